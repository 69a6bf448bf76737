//! One ring with what is needed to use it.
//!
//! Invariant: the guest is told of what was given back as often as it asks for, after the batch.
//! Deliberately does not know: the other queues.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use sluice_frame::{Frame, Pool};

use super::ring::packed::PackedRing;
use super::ring::split::SplitRing;
use super::ring::{Base, Ring, Stop};
use super::transfer::Transfer;
use crate::{PortStats, SendDrop};

/// A ring of either layout.
#[derive(Debug)]
pub(crate) enum AnyRing {
    Split(SplitRing),
    Packed(PackedRing),
}

/// One queue.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Its number among the device's rings.
    pub index: usize,
    ring: AnyRing,
    transfer: Transfer,
    call: Option<Arc<OwnedFd>>,
    /// The guest tells us of new chains when asked to.
    pub has_kick: bool,
}

macro_rules! with_ring {
    ($self:expr, $ring:ident => $body:expr) => {
        match &mut $self.ring {
            AnyRing::Split($ring) => $body,
            AnyRing::Packed($ring) => $body,
        }
    };
}

impl Queue {
    pub(crate) fn new(index: usize, ring: AnyRing, transfer: Transfer, call: Option<Arc<OwnedFd>>, has_kick: bool) -> Queue {
        Queue { index, ring, transfer, call, has_kick }
    }

    #[inline]
    pub(crate) fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize, stats: &mut PortStats) -> Result<usize, Stop> {
        let before = out.len();
        let result = with_ring!(self, r => self.transfer.receive(r, pool, out, max, stats));
        if out.len() > before || result.is_err() {
            self.call();
        }
        result
    }

    /// Gets ready for `want` frames.
    #[inline]
    pub(crate) fn prepare(&mut self, want: usize) -> Result<(), Stop> {
        with_ring!(self, r => self.transfer.prepare(r, want))
    }

    /// Writes one frame to the guest.
    #[inline]
    pub(crate) fn put(&mut self, frame: &Frame) -> Result<Result<(), SendDrop>, Stop> {
        with_ring!(self, r => self.transfer.put(r, frame))
    }

    /// Shows the guest what was written, and tells it.
    #[inline]
    pub(crate) fn finish(&mut self) {
        with_ring!(self, r => r.publish());
        self.transfer.finish();
        self.call();
    }

    #[inline]
    fn call(&mut self) {
        if with_ring!(self, r => r.wants_call()) {
            if let Some(call) = &self.call {
                signal(call);
            }
        }
    }

    /// Asks to be told of new chains; false when some wait.
    pub(crate) fn arm(&mut self) -> bool {
        with_ring!(self, r => r.arm()) && self.has_kick
    }

    /// Asks not to be told.
    pub(crate) fn disarm(&mut self) {
        with_ring!(self, r => r.disarm());
    }

    /// Where to go on later.
    pub(crate) fn base(&self) -> Base {
        match &self.ring {
            AnyRing::Split(r) => r.base(),
            AnyRing::Packed(r) => r.base(),
        }
    }
}

/// Adds one to an event descriptor; one that is full was signalled enough.
pub(crate) fn signal(fd: &OwnedFd) {
    let one: u64 = 1;
    // SAFETY: eight bytes of a local are read.
    unsafe { libc::write(fd.as_raw_fd(), std::ptr::from_ref(&one).cast(), 8) };
}

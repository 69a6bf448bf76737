//! One receive queue of a device, served apart from the port that opened it.
//!
//! Invariant: it receives only; what is sent goes by the port. The port has the program that redirects frames
//! to it: without the port nothing comes in, and a device that goes is the port's to notice.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use sluice_frame::{Frame, Pool};

use super::port::{add_stats, receive_by};
use super::queue::Queue;
use super::Umem;
use crate::device::Device;
use crate::manners::Manners;
use crate::{Offloads, Port, PortError, PortStats, SendDrop, SendOutcome, Trouble};

/// A receive queue.
#[derive(Debug)]
pub(super) struct Intake {
    device: Arc<Device>,
    queue: Queue,
    umem: Arc<Umem>,
    /// The device's MTU, where undone work of frames is to be recognised.
    restore: Option<u32>,
    stats: PortStats,
    /// Last, for what its end does.
    manners: Arc<Manners>,
}

impl Intake {
    pub(super) fn new(device: Arc<Device>, queue: Queue, umem: Arc<Umem>, restore: Option<u32>, manners: Arc<Manners>) -> Intake {
        Intake { device, queue, umem, restore, stats: PortStats::default(), manners }
    }
}

impl Port for Intake {
    fn name(&self) -> &str {
        self.device.name()
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        if !self.umem.is_of(pool) {
            return Err(PortError::new(Trouble::Input, self.device.name(), "receive", "called with another pool"));
        }
        let before = out.len();
        receive_by(&mut self.queue, pool, out, max, &mut self.stats, self.restore);
        Ok(out.len() - before)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        let mut outcome = SendOutcome::default();
        for frame in frames.drain(..) {
            pool.free(frame);
            self.stats.count_drop(SendDrop::Refused, &mut outcome);
        }
        outcome
    }

    fn poll_fd(&self) -> Option<RawFd> {
        Some(self.queue.socket().as_raw_fd())
    }

    fn stats(&self) -> PortStats {
        add_stats(self.stats, &self.queue)
    }

    fn offloads(&self) -> Offloads {
        Offloads::NONE
    }

    fn device_changed(&mut self) {
        if let (Some(known), Ok(mtu)) = (&mut self.restore, self.device.mtu()) {
            *known = mtu;
        }
    }

    fn close(self: Box<Self>, pool: &mut Pool) {
        let Intake { queue, manners, .. } = *self;
        queue.close(pool);
        drop(manners);
    }
}

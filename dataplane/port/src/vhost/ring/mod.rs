//! The device's side of virtio rings: take chains of descriptors, give them back.
//!
//! Purpose: split and packed rings behind one trait, so that what moves frames knows neither.
//! Invariant: every descriptor is read once into memory of ours and judged there; chains, tables and
//! batches are bounded, and no index leaves its ring whatever the guest wrote. Chains are given back
//! in the order in which they were taken.
//! Deliberately does not know: frames, headers, sockets.

pub(crate) mod event;
pub(crate) mod packed;
pub(crate) mod shared;
pub(crate) mod split;

use std::ptr::NonNull;
use std::sync::Arc;

use super::dirty::DirtyLog;
use super::prefetch;
use super::space::{Fault, Space};

/// Descriptors that one chain may have, its indirect table included.
pub const CHAIN_MAX: usize = 512;
/// Chains that one batch may have.
pub(crate) const BATCH: usize = 64;
/// Descriptors after which a batch takes no further chain.
const ARENA: usize = 1024;
/// Largest ring.
pub const RING_MAX: u16 = 32768;

/// Another descriptor follows.
pub(crate) const NEXT: u16 = 1;
/// The device writes there.
pub(crate) const WRITE: u16 = 2;
/// The bytes are a table of descriptors.
pub(crate) const INDIRECT: u16 = 4;

/// What a guest did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It made more available than the ring holds.
    Overrun,
    /// A descriptor's number is outside of the ring or table.
    BadIndex,
    /// A chain has too many descriptors, or runs in a circle.
    LongChain,
    /// An indirect table is empty, not whole, too long, or inside of another one.
    BadTable,
    /// An address is outside of the guest's memory.
    BadAddress,
    /// A descriptor to be read is marked for writing, or the other way round.
    WrongDirection,
    /// A buffer to be written takes not even a header.
    SmallBuffer,
    /// The ring's state was changed by someone else.
    BadState,
    /// The file behind the guest's memory was shortened.
    TornMemory,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Broken::Overrun => "more descriptors are available than the ring holds",
            Broken::BadIndex => "a descriptor's number is outside of its ring or table",
            Broken::LongChain => "a chain of descriptors is too long or runs in a circle",
            Broken::BadTable => "an indirect table is empty, not whole, too long or nested",
            Broken::BadAddress => "a descriptor points outside of the guest's memory",
            Broken::WrongDirection => "a descriptor has the wrong direction",
            Broken::SmallBuffer => "a receive buffer is shorter than a header",
            Broken::TornMemory => "the file behind the guest's memory was shortened",
            Broken::BadState => "the ring's state does not fit its memory",
        })
    }
}

/// Why a queue cannot go on at the next chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The guest broke the rules.
    Broken(Broken),
    /// The front must be asked for a translation.
    Miss {
        /// The address.
        address: u64,
        /// Are we to write there?
        write: bool,
    },
}

impl From<Broken> for Stop {
    fn from(b: Broken) -> Stop {
        Stop::Broken(b)
    }
}

impl From<Fault> for Stop {
    fn from(f: Fault) -> Stop {
        match f {
            Fault::Outside { .. } => Stop::Broken(Broken::BadAddress),
            Fault::Miss { address, write } => Stop::Miss { address, write },
        }
    }
}

/// One descriptor, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Desc {
    pub address: u64,
    pub len: u32,
    pub flags: u16,
}

/// One chain that was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    /// Its first descriptor in the batch.
    pub first: u32,
    /// How many descriptors it has.
    pub count: u32,
    /// What the guest knows it by.
    pub id: u16,
    /// How many places of the ring it takes.
    pub slots: u16,
    /// Where the first descriptor's bytes are, if that was found at once.
    pub host: Option<NonNull<u8>>,
}

/// Chains that were taken and not given back yet.
#[derive(Debug)]
pub(crate) struct Batch {
    pub chains: Vec<Chain>,
    pub descs: Vec<Desc>,
}

// SAFETY: the pointers are only followed while the session's memory is held.
unsafe impl Send for Batch {}

impl Batch {
    pub(crate) fn new() -> Batch {
        Batch { chains: Vec::with_capacity(BATCH), descs: Vec::with_capacity(ARENA + CHAIN_MAX) }
    }

    #[inline]
    fn clear(&mut self) {
        self.chains.clear();
        self.descs.clear();
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.chains.len() >= BATCH || self.descs.len() >= ARENA
    }

    /// The descriptors of a chain.
    #[inline]
    pub(crate) fn of(&self, chain: &Chain) -> &[Desc] {
        let first = chain.first as usize;
        self.descs.get(first..first + chain.count as usize).unwrap_or(&[])
    }

    /// Adds what was pushed since `first` as a chain.
    #[inline]
    fn close(&mut self, first: usize, id: u16, slots: u16, space: &mut Space) {
        let Some(d) = self.descs.get(first) else { return };
        // An address that is not found here is looked at again where it is used.
        let host = space.near(d.address, d.len).or_else(|| space.whole(d.address, d.len, d.flags & WRITE != 0).ok());
        if let Some(host) = host {
            prefetch::begin(host, d.flags & WRITE != 0);
        }
        let count = (self.descs.len() - first) as u32;
        self.chains.push(Chain { first: first as u32, count, id, slots, host });
    }
}

/// Where a ring is and how it is to be used.
#[derive(Clone, Debug)]
pub(crate) struct RingSpec {
    /// Descriptors.
    pub size: u16,
    /// The descriptors; all parts were checked to lie in the guest's memory whole.
    pub desc: NonNull<u8>,
    /// What the guest writes: available ring, or its event suppression.
    pub driver: NonNull<u8>,
    /// What we write: used ring, or our event suppression.
    pub device: NonNull<u8>,
    /// The event index was negotiated.
    pub event_index: bool,
    /// Indirect tables were negotiated.
    pub indirect: bool,
    /// Where to go on.
    pub base: Base,
    /// The dirty log and the guest address of what we write of the ring.
    pub log: Option<(Arc<DirtyLog>, u64)>,
}

// SAFETY: the pointers are only followed while the session's memory is held.
unsafe impl Send for RingSpec {}

/// Where a queue goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// Split: next available and next used entry.
    Split { available: u16, used: u16 },
    /// Packed: the same as places.
    Packed { available: event::Place, used: event::Place },
}

/// A ring seen from the device.
pub(crate) trait Ring {
    /// Takes up to `want` chains without moving on; what was in the batch is forgotten.
    ///
    /// An error only when the very next chain is bad: what comes before a bad one is handed out.
    fn fetch(&mut self, space: &mut Space, batch: &mut Batch, want: usize) -> Result<(), Stop>;

    /// Gives back the next chain, with `written` bytes written into it. Not seen before [`Ring::publish`].
    fn complete(&mut self, chain: &Chain, written: u32);

    /// Shows the guest everything that was given back.
    fn publish(&mut self);

    /// Does the guest want to be told of what was published since the last time?
    fn wants_call(&mut self) -> bool;

    /// Asks to be told of new chains: false when there are some already.
    fn arm(&mut self) -> bool;

    /// Asks not to be told.
    fn disarm(&mut self);

    /// Where to go on later.
    fn base(&self) -> Base;
}

//! From the addresses in descriptors to bytes of ours.
//!
//! Purpose: without an IOMMU descriptors hold guest physical addresses; with one they hold addresses
//! that only the front can translate, and what it told us is kept here.
//! Invariant: a translation that is not there stops the queue at that descriptor, it never guesses.
//! Deliberately does not know: descriptors.

use std::ptr::NonNull;
use std::sync::Arc;

use super::memory::{Memory, Window};

/// Translations that are kept; the front is asked again for what was forgotten.
const TRANSLATIONS_MAX: usize = 4096;

/// Why bytes were not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No memory of the guest is there.
    Outside {
        /// The address.
        address: u64,
    },
    /// The front must be asked for the translation.
    Miss {
        /// The address.
        address: u64,
        /// Are we to write there?
        write: bool,
    },
}

/// One translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// First address in descriptors.
    pub iova: u64,
    /// Last address.
    pub last: u64,
    /// Where the first is in the VMM.
    pub user: u64,
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
}

/// What the front's IOMMU said.
#[derive(Clone, Debug, Default)]
pub struct Iotlb {
    entries: Vec<Translation>,
}

impl Iotlb {
    /// Adds a translation; older ones that it overlaps go.
    pub fn update(&mut self, t: Translation) {
        self.invalidate(t.iova, t.last);
        if self.entries.len() >= TRANSLATIONS_MAX {
            self.entries.clear();
        }
        self.entries.push(t);
    }

    /// Forgets all that overlap these addresses, both ends included.
    pub fn invalidate(&mut self, first: u64, last: u64) {
        self.entries.retain(|e| e.last < first || e.iova > last);
    }

    /// Last address that lies in one piece with a translation, which others may go on.
    fn end_of(&self, t: &Translation) -> u64 {
        let mut end = *t;
        let follows = |e: &Translation, end: &Translation| {
            let offset = end.last - end.iova;
            Some(e.iova) == end.last.checked_add(1)
                && Some(e.user) == end.user.checked_add(offset).and_then(|u| u.checked_add(1))
                && (e.read, e.write) == (end.read, end.write)
        };
        while let Some(next) = self.entries.iter().find(|e| follows(e, &end)) {
            end = *next;
        }
        end.last
    }

    fn find(&self, address: u64, write: bool) -> Option<&Translation> {
        let fits = |e: &&Translation| e.iova <= address && address <= e.last && if write { e.write } else { e.read };
        self.entries.iter().find(fits)
    }
}

/// Bytes of the guest that lie in one piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// First byte.
    pub host: NonNull<u8>,
    /// Bytes.
    pub len: u32,
    /// Guest physical address, for the dirty log.
    pub guest: u64,
}

/// The addresses of one guest, as one queue sees them.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    memory: Arc<Memory>,
    iotlb: Option<Arc<Iotlb>>,
    /// Where the last look-up ended.
    window: Window,
}

impl Space {
    pub(crate) fn new(memory: Arc<Memory>, iotlb: Option<Arc<Iotlb>>) -> Space {
        Space { memory, iotlb, window: Window { start: 0, len: 0, host: NonNull::dangling(), guest: 0 } }
    }

    /// The bytes at an address, if they lie in one piece where the last ones were found.
    #[inline(always)]
    pub(crate) fn near(&self, address: u64, len: u32) -> Option<NonNull<u8>> {
        self.window.find(address, u64::from(len))
    }

    /// As many bytes at an address as lie in one piece, at most `len`, at least one.
    #[inline]
    pub(crate) fn find(&mut self, address: u64, len: u32, write: bool) -> Result<Span, Fault> {
        let window = match self.window.from(address) {
            Some(window) => window,
            None => self.look_up(address, write)?,
        };
        let n = window.len.min(u64::from(len)) as u32;
        Ok(Span { host: window.host, len: n, guest: window.guest })
    }

    #[inline(never)]
    fn look_up(&mut self, address: u64, write: bool) -> Result<Window, Fault> {
        let outside = Fault::Outside { address };
        let Some(iotlb) = &self.iotlb else {
            self.window = self.memory.by_guest(address).ok_or(outside)?;
            return self.window.from(address).ok_or(outside);
        };
        let t = iotlb.find(address, write).ok_or(Fault::Miss { address, write })?;
        let offset = address - t.iova;
        let user = t.user.checked_add(offset).ok_or(outside)?;
        let found = self.memory.by_user(user).and_then(|w| w.from(user)).ok_or(outside)?;
        let left = (iotlb.end_of(t) - address).saturating_add(1);
        let window = Window { start: address, len: found.len.min(left), ..found };
        if t.read && t.write {
            self.window = window;
        }
        Ok(window)
    }

    /// All `len` bytes at an address, if they lie in one piece.
    pub(crate) fn whole(&mut self, address: u64, len: u32, write: bool) -> Result<NonNull<u8>, Fault> {
        let span = self.find(address, len, write)?;
        if span.len == len {
            return Ok(span.host);
        }
        // The rest may lie elsewhere, which is no use, or be unknown yet.
        self.find(address.wrapping_add(u64::from(span.len)), 1, write)?;
        Err(Fault::Outside { address })
    }
}

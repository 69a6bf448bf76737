//! The guest's side of a ring of two entries, as the specification (virtio 1.2, 2.7 and 2.8) has it.

use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::memory::{self, fence};
use crate::vhost::ring::event::{passed, passed_packed, Place};

/// Entries of the ring.
pub(super) const SIZE: u16 = 2;
const AVAILABLE: u16 = 1 << 7;
const USED: u16 = 1 << 15;
const ENABLE: u16 = 0;
const DISABLE: u16 = 1;
const AT_DESC: u16 = 2;

/// Where the parts of a ring are.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    pub desc: NonNull<u8>,
    pub driver: NonNull<u8>,
    pub device: NonNull<u8>,
}

// SAFETY: addresses stand for cells here and are never followed.
unsafe impl Send for Parts {}

/// A guest's driver.
pub(super) struct Guest {
    pub parts: Parts,
    pub packed: bool,
    pub event_index: bool,
    /// Next entry to be made available, and to be found used; of a split ring the index alone.
    pub next: Place,
    pub seen: Place,
    /// Chains that were made available and did not come back.
    pub out: u16,
    /// Chains that were ever made available.
    pub made: u32,
}

fn at(part: NonNull<u8>, offset: usize) -> NonNull<u8> {
    NonNull::new(part.as_ptr().wrapping_add(offset)).expect("not null")
}

fn word(part: NonNull<u8>, n: usize, order: std::sync::atomic::Ordering) -> u16 {
    // SAFETY: only a cell is asked.
    unsafe { memory::load(at(part, 2 * n), order) }
}

fn say(part: NonNull<u8>, n: usize, value: u16, order: std::sync::atomic::Ordering) {
    // SAFETY: as above.
    unsafe { memory::store(at(part, 2 * n), value, order) }
}

impl Guest {
    fn step(&self, p: Place) -> Place {
        match self.packed {
            true => p.after(1, SIZE),
            false => Place { index: p.index.wrapping_add(1), wrap: true },
        }
    }

    fn desc(&self, index: u16) -> NonNull<u8> {
        at(self.parts.desc, 16 * usize::from(index % SIZE))
    }

    /// The length by which the `n`th chain is known.
    pub(super) fn len_of(n: u32) -> u32 {
        100 + n
    }

    /// Makes one more chain available, where there is room; must the other side be kicked?
    pub(super) fn give(&mut self) -> Option<bool> {
        if self.out == SIZE {
            return None;
        }
        let (old, entry) = (self.next, self.desc(self.next.index));
        self.next = self.step(old);
        self.out += 1;
        memory::lay(entry, 0x1000 + u64::from(self.made), Self::len_of(self.made), if self.packed { self.made as u16 } else { 0 });
        self.made += 1;
        if self.packed {
            let flags = if old.wrap { AVAILABLE } else { USED };
            say(entry, 7, flags, Release);
        } else {
            say(self.parts.driver, 2 + usize::from(old.index % SIZE), old.index % SIZE, Relaxed);
            say(self.parts.driver, 1, self.next.index, Release);
        }
        fence(std::sync::atomic::Ordering::SeqCst);
        Some(self.kick_wanted(old))
    }

    fn kick_wanted(&self, old: Place) -> bool {
        let device = self.parts.device;
        if !self.packed {
            return match self.event_index {
                true => passed(word(device, 2 + 4 * usize::from(SIZE), Relaxed), self.next.index, old.index),
                false => word(device, 0, Relaxed) == 0,
            };
        }
        match word(device, 1, Acquire) {
            ENABLE => true,
            AT_DESC => passed_packed(Place::from_word(word(device, 0, Relaxed)), self.next, old, SIZE),
            _ => false,
        }
    }

    /// The next chain that came back: its number and length.
    pub(super) fn take(&mut self) -> Option<(u16, u32)> {
        let here = self.seen;
        let (id, len) = if self.packed {
            let flags = word(self.desc(here.index), 7, Acquire);
            if (flags & AVAILABLE != 0) != here.wrap || (flags & USED != 0) != here.wrap {
                return None;
            }
            let (len, id) = memory::len_id(self.desc(here.index));
            (id, len)
        } else {
            if word(self.parts.device, 1, Acquire) == here.index {
                return None;
            }
            memory::element(at(self.parts.device, 4 + 8 * usize::from(here.index % SIZE)))
        };
        self.seen = self.step(here);
        self.out -= 1;
        Some((id, len))
    }

    /// Asks not to be called.
    pub(super) fn hush(&self) {
        match (self.packed, self.event_index) {
            (false, false) => say(self.parts.driver, 0, 1, Relaxed),
            (true, _) => say(self.parts.driver, 1, DISABLE, Relaxed),
            // An index that was passed already is silence.
            (false, true) => say(self.parts.driver, 2 + usize::from(SIZE), self.seen.index.wrapping_sub(1), Relaxed),
        }
    }

    /// Asks to be called, and looks once more: true when it may sleep.
    pub(super) fn sleep(&mut self) -> bool {
        match (self.packed, self.event_index) {
            (false, false) => say(self.parts.driver, 0, 0, Relaxed),
            (false, true) => say(self.parts.driver, 2 + usize::from(SIZE), self.seen.index, Relaxed),
            (true, false) => say(self.parts.driver, 1, ENABLE, Relaxed),
            (true, true) => {
                say(self.parts.driver, 0, self.seen.word(), Relaxed);
                say(self.parts.driver, 1, AT_DESC, Release);
            }
        }
        fence(std::sync::atomic::Ordering::SeqCst);
        self.take().is_none()
    }
}

//! What was taken from a ring and not given back when the switch died.
//!
//! Purpose: a record in memory that the front keeps for us. The next life of the switch finds out
//! from it which chains were in its hands and gives them back first, in their order.
//! Invariant: a chain is marked before the ring shows it as used and unmarked afterwards, so that at
//! every moment a chain is in the available ring, in the record, or used. What is read from the
//! record is judged like anything else that others can write.
//! Deliberately does not know: what the chains hold.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{fence, Ordering};
use std::sync::Arc;

use super::memory::{size_of_file, Mapping};
use super::ring::event::Place;
use super::ring::BATCH;

const VERSION: u16 = 1;
/// Parts of queues begin at cache lines.
const ALIGN: u64 = 64;
const SPLIT_HEAD: u64 = 16;
const SPLIT_ENTRY: u64 = 16;
const PACKED_HEAD: u64 = 32;
const PACKED_ENTRY: u64 = 32;

/// Bytes that the record of one queue takes.
pub(crate) fn len_of_queue(size: u16, packed: bool) -> u64 {
    let (head, entry) = if packed { (PACKED_HEAD, PACKED_ENTRY) } else { (SPLIT_HEAD, SPLIT_ENTRY) };
    (head + entry * u64::from(size)).next_multiple_of(ALIGN)
}

/// The record of all queues.
#[derive(Clone, Debug)]
pub struct InflightMemory {
    mapping: Arc<Mapping>,
    base: NonNull<u8>,
    queues: u16,
    size: u16,
}

// SAFETY: the pointer is into `mapping`, which may be used from any thread.
unsafe impl Send for InflightMemory {}
// SAFETY: as above.
unsafe impl Sync for InflightMemory {}

impl InflightMemory {
    /// Maps a record for `queues` rings of at most `size` entries.
    pub(crate) fn new(fd: &OwnedFd, offset: u64, len: u64, queues: u16, size: u16, packed: bool) -> io::Result<InflightMemory> {
        if offset % ALIGN != 0 || u64::from(queues) * len_of_queue(size, packed) > len {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the in-flight record is too small for its queues"));
        }
        let mapping = Arc::new(Mapping::new(fd, offset, len)?);
        let base = mapping.at(offset, size_of_file(fd)?.1);
        Ok(InflightMemory { mapping, base, queues, size })
    }

    fn part(&self, queue: usize, size: u16, packed: bool) -> Option<Part> {
        if queue >= usize::from(self.queues) || size > self.size {
            return None;
        }
        let skip = queue as u64 * len_of_queue(self.size, packed);
        // SAFETY: `new` checked that all queues' parts lie in the mapping.
        let base = unsafe { self.base.add(skip as usize) };
        Some(Part { _mapping: self.mapping.clone(), base, size })
    }

    /// The record of a split ring.
    pub(crate) fn split(&self, queue: usize, size: u16) -> Option<InflightSplit> {
        self.part(queue, size, false).map(|part| InflightSplit { part, counter: 0, batch: Vec::with_capacity(BATCH) })
    }

    /// The record of a packed ring.
    pub(crate) fn packed(&self, queue: usize, size: u16) -> Option<InflightPacked> {
        self.part(queue, size, true).map(|part| InflightPacked { part, counter: 0, marked: Vec::with_capacity(BATCH) })
    }
}

/// The part of one queue.
#[derive(Debug)]
struct Part {
    _mapping: Arc<Mapping>,
    base: NonNull<u8>,
    size: u16,
}

// SAFETY: as for `InflightMemory`.
unsafe impl Send for Part {}

impl Part {
    fn get<T: Copy>(&self, at: u64) -> T {
        // SAFETY: callers read plain integers at offsets inside of the part.
        unsafe { self.base.as_ptr().add(at as usize).cast::<T>().read_unaligned() }
    }

    fn put<T: Copy>(&self, at: u64, value: T) {
        // SAFETY: as for `get`.
        unsafe { self.base.as_ptr().add(at as usize).cast::<T>().write_unaligned(value) }
    }

    /// Is the record one that we wrote before? Else it is made so.
    fn is_old(&self) -> bool {
        let old = self.get::<u16>(8) == VERSION && self.get::<u16>(10) == self.size;
        self.put::<u16>(8, VERSION);
        self.put::<u16>(10, self.size);
        old
    }
}

/// Record of a split ring: head {features 8, version 2, entries 2, last of batch 2, used 2}, entries
/// {in flight 1, 5 unused, next of batch 2, counter 8}.
#[derive(Debug)]
pub(crate) struct InflightSplit {
    part: Part,
    counter: u64,
    batch: Vec<u16>,
}

const LAST_OF_BATCH: u64 = 12;
const SPLIT_USED: u64 = 14;

impl InflightSplit {
    fn entry(&self, id: u16) -> u64 {
        SPLIT_HEAD + SPLIT_ENTRY * u64::from(id)
    }

    /// Chains that are to be given back again, oldest first; `used` is the ring's used index.
    pub(crate) fn recover(&mut self, used: u16, size: u16) -> VecDeque<u16> {
        if !self.part.is_old() {
            (0..size).for_each(|id| self.part.put::<u8>(self.entry(id), 0));
            self.part.put(SPLIT_USED, used);
            return VecDeque::new();
        }
        // What the ring shows as used is not in flight, whatever the marks say.
        let shown = used.wrapping_sub(self.part.get(SPLIT_USED)).min(size);
        let mut id: u16 = self.part.get(LAST_OF_BATCH);
        for _ in 0..shown {
            if id >= size {
                break;
            }
            self.part.put::<u8>(self.entry(id), 0);
            id = self.part.get(self.entry(id) + 6);
        }
        self.part.put(SPLIT_USED, used);
        let marked = (0..size).filter(|id| self.part.get::<u8>(self.entry(*id)) == 1);
        let mut again: Vec<(u64, u16)> = marked.map(|id| (self.part.get(self.entry(id) + 8), id)).collect();
        again.sort_unstable();
        self.counter = again.last().map_or(0, |(counter, _)| counter.wrapping_add(1));
        again.into_iter().map(|(_, id)| id).collect()
    }

    /// This chain is given back next.
    pub(crate) fn mark(&mut self, id: u16) {
        if id >= self.part.size {
            return;
        }
        let at = self.entry(id);
        self.part.put(at + 8, self.counter);
        self.counter = self.counter.wrapping_add(1);
        self.part.put::<u16>(at + 6, self.part.get(LAST_OF_BATCH));
        self.part.put::<u8>(at, 1);
        self.part.put(LAST_OF_BATCH, id);
        self.batch.push(id);
        fence(Ordering::Release);
    }

    /// The ring shows everything that was marked.
    pub(crate) fn settle(&mut self, used: u16) {
        fence(Ordering::SeqCst);
        for id in self.batch.drain(..) {
            self.part.put::<u8>(SPLIT_HEAD + SPLIT_ENTRY * u64::from(id), 0);
        }
        fence(Ordering::Release);
        self.part.put(SPLIT_USED, used);
    }
}

/// One place of a packed ring, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    pub address: u64,
    pub len: u32,
    pub id: u16,
    pub flags: u16,
}

/// Record of a packed ring: head {features 8, version 2, entries 2, free 2, old free 2, used 2,
/// old used 2, used wrap 1, old used wrap 1}, entries {in flight 1, 1 unused, next 2, last 2,
/// number 2, counter 8, id 2, flags 2, length 4, address 8}.
#[derive(Debug)]
pub(crate) struct InflightPacked {
    part: Part,
    counter: u64,
    /// First entries of the chains that were marked since the ring last showed some.
    marked: Vec<u16>,
}

const FREE: u64 = 12;
const OLD_FREE: u64 = 14;
const PACKED_USED: u64 = 16;
const OLD_USED: u64 = 18;
const WRAP: u64 = 20;
const OLD_WRAP: u64 = 21;
const RING_WRITE_MARKS: u16 = 1 << 7 | 1 << 15;

impl InflightPacked {
    fn entry(&self, n: u16) -> u64 {
        PACKED_HEAD + PACKED_ENTRY * u64::from(n)
    }

    fn set_used(&self, place: Place) {
        self.part.put(PACKED_USED, place.index);
        self.part.put(WRAP, u8::from(place.wrap));
    }

    fn set_old(&self, place: Place) {
        self.part.put::<u16>(OLD_FREE, self.part.get(FREE));
        self.part.put(OLD_USED, place.index);
        self.part.put(OLD_WRAP, u8::from(place.wrap));
    }

    fn reset(&self, start: Place) {
        for n in 0..self.part.size {
            self.part.put::<u8>(self.entry(n), 0);
            self.part.put::<u16>(self.entry(n) + 2, (n + 1) % self.part.size);
        }
        self.part.put::<u16>(FREE, 0);
        self.set_used(start);
        self.set_old(start);
    }

    /// Where the ring's used part ends, and the chains to be given back again, oldest first. `None` for
    /// a record that was not in use: the ring goes on at `start`.
    pub(crate) fn recover(&mut self, start: Place, flags: &dyn Fn(u16) -> u16) -> Option<(Place, VecDeque<Vec<Saved>>)> {
        let size = self.part.size;
        let old = Place { index: self.part.get(OLD_USED), wrap: self.part.get::<u8>(OLD_WRAP) != 0 };
        let used = Place { index: self.part.get(PACKED_USED), wrap: self.part.get::<u8>(WRAP) != 0 };
        if !self.part.is_old() || old.index >= size || used.index >= size {
            self.reset(start);
            return None;
        }
        let shown = flags(old.index) & RING_WRITE_MARKS == if old.wrap { RING_WRITE_MARKS } else { 0 };
        let again = if used == old || shown { VecDeque::new() } else { self.chains() };
        let place = if shown { used } else { old };
        self.reset(place);
        Some((place, again))
    }

    /// All chains that are marked.
    fn chains(&self) -> VecDeque<Vec<Saved>> {
        let size = self.part.size;
        let marked = (0..size).filter(|n| self.part.get::<u8>(self.entry(*n)) == 1);
        let mut heads: Vec<(u64, u16)> = marked.map(|n| (self.part.get(self.entry(n) + 8), n)).collect();
        heads.sort_unstable();
        heads.into_iter().map(|(_, n)| self.chain(n)).filter(|c| !c.is_empty()).collect()
    }

    fn chain(&self, head: u16) -> Vec<Saved> {
        let count = self.part.get::<u16>(self.entry(head) + 6).min(self.part.size);
        let mut out = Vec::new();
        let mut n = head;
        for _ in 0..count {
            if n >= self.part.size {
                break;
            }
            let at = self.entry(n);
            out.push(Saved {
                id: self.part.get(at + 16),
                flags: self.part.get(at + 18),
                len: self.part.get(at + 20),
                address: self.part.get(at + 24),
            });
            n = self.part.get(at + 2);
        }
        out
    }

    /// The chain of these places is given back next, after which the used part ends at `used`.
    pub(crate) fn mark(&mut self, places: impl Iterator<Item = Saved>, used: Place) {
        let head: u16 = self.part.get(FREE);
        let (mut n, mut last, mut count) = (head, head, 0u16);
        for saved in places {
            if n >= self.part.size {
                return;
            }
            let at = self.entry(n);
            self.part.put(at + 16, saved.id);
            self.part.put(at + 18, saved.flags);
            self.part.put(at + 20, saved.len);
            self.part.put(at + 24, saved.address);
            (last, n, count) = (n, self.part.get(at + 2), count + 1);
        }
        if head >= self.part.size {
            return;
        }
        let at = self.entry(head);
        self.part.put(at + 4, last);
        self.part.put(at + 6, count);
        self.part.put(at + 8, self.counter);
        self.counter = self.counter.wrapping_add(1);
        fence(Ordering::Release);
        self.part.put::<u8>(at, 1);
        self.part.put(FREE, n);
        self.set_used(used);
        self.marked.push(head);
        fence(Ordering::Release);
    }

    /// The ring shows everything that was marked.
    pub(crate) fn settle(&mut self, used: Place) {
        fence(Ordering::SeqCst);
        // Entries were taken in the order of the free list: giving all back is going to its old head.
        self.part.put::<u16>(FREE, self.part.get(OLD_FREE));
        self.set_old(used);
        fence(Ordering::Release);
        for head in self.marked.drain(..) {
            self.part.put::<u8>(PACKED_HEAD + PACKED_ENTRY * u64::from(head), 0);
        }
    }
}

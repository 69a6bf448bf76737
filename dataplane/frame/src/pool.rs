//! Pools of equal chunks in one mapped region.
//!
//! Invariant: a chunk is in one free list, in the depot, in one frame, or lent to the kernel.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Descriptor, Frame, Known, HEADROOM, NO_NEXT};

static NEXT_REGION: AtomicU32 = AtomicU32::new(1);

/// Bytes between the places at which frames of neighbouring chunks start: one cache line.
const SHADE: usize = 64;
/// Different places; together they cost less than 1 KiB of a chunk.
const SHADES: u32 = 16;

/// Why a pool could not be made.
#[derive(Debug)]
pub enum PoolError {
    /// The chunk size is not a power of two of at least 1024, or the count is 0 or too large.
    Shape,
    /// The kernel refused the memory.
    Map(std::io::Error),
}

impl std::fmt::Display for PoolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PoolError::Shape => write!(f, "chunk size must be a power of two of at least 1024, and at least one chunk"),
            PoolError::Map(e) => write!(f, "cannot map frame memory: {e}"),
        }
    }
}

impl std::error::Error for PoolError {}

/// The mapped memory of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub start: NonNull<u8>,
    /// Bytes.
    pub len: usize,
    /// Bytes of one chunk.
    pub chunk_size: usize,
}

/// Chunks that a pool keeps at hand; when there are more, a magazine of them goes back to the depot.
const AT_HAND: usize = 4096;
/// Chunks that move between a pool and the depot at a time.
const MAGAZINE: usize = 512;

/// Mapped memory, its descriptors, and the chunks that no pool has at hand.
#[derive(Debug)]
struct Memory {
    region: Region,
    /// One for each chunk.
    descriptors: NonNull<Descriptor>,
    id: u32,
    chunks: u32,
    depot: Mutex<Vec<u32>>,
    /// How many are in the depot, to be read without its lock.
    stored: AtomicUsize,
}

// SAFETY: the region and the descriptors belong to chunks, each of which has one owner; the depot is locked.
unsafe impl Send for Memory {}
// SAFETY: as above: nothing is reached through a shared `Memory` but plain values and the depot.
unsafe impl Sync for Memory {}

impl Memory {
    /// Nothing that is done under the lock can panic.
    fn depot(&self) -> MutexGuard<'_, Vec<u32>> {
        self.depot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the last `n` chunks of a pool's list, or all, to the depot.
    fn store(&self, free: &mut Vec<u32>, n: usize) {
        let mut depot = self.depot();
        depot.extend(free.drain(free.len().saturating_sub(n)..));
        self.stored.store(depot.len(), Ordering::Relaxed);
    }

    /// Moves chunks from the depot to a pool's list.
    fn fetch(&self, free: &mut Vec<u32>) {
        let mut depot = self.depot();
        let from = depot.len().saturating_sub(MAGAZINE);
        free.extend(depot.drain(from..));
        self.stored.store(depot.len(), Ordering::Relaxed);
    }
}

/// Frames for one worker, last in first out so that warm memory is used again.
///
/// Workers that hand frames to each other have pools of one memory ([`Pool::sibling`]): a frame may be
/// freed into another pool than it came from, and what gathers there goes back through a depot.
#[derive(Debug)]
pub struct Pool {
    region: Region,
    /// One for each chunk.
    descriptors: NonNull<Descriptor>,
    id: u32,
    free: Vec<u32>,
    chunks: u32,
    /// Chunks that the kernel holds (fill rings, transmit rings); below zero where another pool lent them.
    lent: i64,
    memory: Arc<Memory>,
}

// SAFETY: chunks handed out are owned by frames, which are `Send` themselves; the memory is shared safely.
unsafe impl Send for Pool {}

impl Pool {
    /// Maps `count` chunks of `chunk_size` bytes (a power of two, at least 1024).
    pub fn new(chunk_size: usize, count: usize) -> Result<Pool, PoolError> {
        if !chunk_size.is_power_of_two() || chunk_size < 1024 || count == 0 || count > u32::MAX as usize / 2 {
            return Err(PoolError::Shape);
        }
        let len = chunk_size.checked_mul(count).ok_or(PoolError::Shape)?;
        // SAFETY: an anonymous private mapping at an address of the kernel's choice.
        let p = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        let start = match NonNull::new(p.cast::<u8>()) {
            Some(start) if p != libc::MAP_FAILED => start,
            _ => return Err(PoolError::Map(std::io::Error::last_os_error())),
        };
        let region = Region { start, len, chunk_size };
        let id = NEXT_REGION.fetch_add(1, Ordering::Relaxed);
        let memory = Memory {
            region,
            descriptors: describe(region, id, count as u32),
            id,
            chunks: count as u32,
            depot: Mutex::new((0..count as u32).rev().collect()),
            stored: AtomicUsize::new(count),
        };
        Ok(Pool::of(Arc::new(memory)))
    }

    fn of(memory: Arc<Memory>) -> Pool {
        Pool {
            region: memory.region,
            descriptors: memory.descriptors,
            id: memory.id,
            free: Vec::with_capacity(AT_HAND),
            chunks: memory.chunks,
            lent: 0,
            memory,
        }
    }

    /// Another pool of the same memory, for another worker.
    pub fn sibling(&self) -> Pool {
        Pool::of(self.memory.clone())
    }

    #[inline]
    fn take(&mut self) -> Option<u32> {
        self.free.pop().or_else(|| self.refill())
    }

    #[inline]
    fn put(&mut self, index: u32) {
        // The list never grows: this look takes the place of the one that growing would cost.
        if self.free.len() == self.free.capacity() {
            self.give_back();
        }
        self.free.push(index);
    }

    #[cold]
    fn refill(&mut self) -> Option<u32> {
        self.memory.fetch(&mut self.free);
        self.free.pop()
    }

    #[cold]
    fn give_back(&mut self) {
        self.memory.store(&mut self.free, MAGAZINE);
    }

    /// An empty frame with [`HEADROOM`] bytes in front, or `None` when all chunks are out.
    #[inline]
    pub fn alloc(&mut self) -> Option<Frame> {
        let index = self.take()?;
        Some(self.frame(index, HEADROOM as u32 + self.shade(index), 0))
    }

    /// Takes a frame back, with all its segments.
    ///
    /// A frame of another memory is leaked, not mixed in.
    #[inline]
    pub fn free(&mut self, frame: Frame) {
        debug_assert_eq!(frame.at().region, self.id, "a frame must return to the memory it came from");
        if frame.at().region != self.id {
            return;
        }
        let mut next = frame.at().next;
        self.put(frame.at().index);
        while next != NO_NEXT {
            self.put(next);
            // SAFETY: `next` is a chunk of this frame, which is ours now.
            next = unsafe { self.descriptor(next).as_ref().next };
        }
    }

    /// Lends a chunk to the kernel: the offset in the region at which it may write.
    pub fn lend(&mut self) -> Option<u64> {
        let index = self.take()?;
        self.lent += 1;
        Some(index as u64 * self.region.chunk_size as u64 + HEADROOM as u64)
    }

    /// Takes back a chunk that was lent and is not to be looked at.
    ///
    /// # Safety
    /// `addr` must lie in a chunk that was lent (or given by [`Pool::surrender`]) and not taken back since.
    pub unsafe fn reclaim(&mut self, addr: u64) {
        self.lent -= 1;
        self.put((addr / self.region.chunk_size as u64) as u32);
    }

    /// Takes back a chunk that was lent, as the frame that the kernel wrote there.
    ///
    /// # Safety
    /// `addr` must lie in a chunk that was lent and not taken back since, and the kernel must have
    /// written `len` bytes at it. Bounds are checked: what would leave the chunk is cut.
    pub unsafe fn adopt(&mut self, addr: u64, len: usize) -> Frame {
        let size = self.region.chunk_size as u64;
        let index = (addr / size) as u32;
        assert!(index < self.chunks, "address {addr:#x} is outside of the frame memory");
        let head = (addr % size) as u32;
        let len = (len as u64).min(size - head as u64) as u32;
        self.lent -= 1;
        self.frame(index, head, len)
    }

    /// Gives a linear frame to the kernel: offset in the region and length of its bytes.
    ///
    /// Returns the frame when it has several segments or is not of this pool.
    pub fn surrender(&mut self, frame: Frame) -> Result<(u64, u32), Frame> {
        if !frame.is_linear() || frame.at().region != self.id {
            return Err(frame);
        }
        self.lent += 1;
        Ok((frame.at().index as u64 * self.region.chunk_size as u64 + frame.at().head as u64, frame.at().len))
    }

    /// Gives a frame to the kernel segment by segment: appends offset and length of each to `parts`.
    ///
    /// Returns the frame when it is not of this pool.
    pub fn surrender_chain(&mut self, frame: Frame, parts: &mut Vec<(u64, u32)>) -> Result<(), Frame> {
        if frame.at().region != self.id {
            return Err(frame);
        }
        let size = self.region.chunk_size as u64;
        parts.push((frame.at().index as u64 * size + frame.at().head as u64, frame.at().len));
        self.lent += 1;
        let mut next = frame.at().next;
        while next != NO_NEXT {
            // SAFETY: `next` is a chunk of this frame, which is ours now.
            let link = unsafe { self.descriptor(next).as_ref() };
            parts.push((next as u64 * size + link.head as u64, link.len));
            self.lent += 1;
            next = link.next;
        }
        Ok(())
    }

    /// The memory, to register with the kernel.
    pub fn region(&self) -> Region {
        self.region
    }

    /// Chunks in all.
    pub fn capacity(&self) -> usize {
        self.chunks as usize
    }

    /// Chunks ready to be handed out: those at hand and those in the depot.
    pub fn available(&self) -> usize {
        self.free.len() + self.memory.stored.load(Ordering::Relaxed)
    }

    /// Chunks that the kernel holds, of those that this pool lent.
    pub fn lent(&self) -> usize {
        usize::try_from(self.lent).unwrap_or(0)
    }

    /// Chunks that frames hold now, where no other pool shares the memory.
    pub fn outstanding(&self) -> usize {
        (self.chunks as usize).saturating_sub(self.available() + self.lent())
    }

    /// Bytes of payload that one chunk holds behind the usual headroom.
    pub fn chunk_payload(&self) -> usize {
        self.region.chunk_size - HEADROOM - (self.shades() as usize - 1) * SHADE
    }

    /// Frames of neighbouring chunks start at different lines: chunks are powers of two apart, and
    /// frames that all start at the same offset would fight for the same few sets of the cache.
    #[inline]
    fn shade(&self, index: u32) -> u32 {
        (index & (self.shades() - 1)) * SHADE as u32
    }

    #[inline]
    fn shades(&self) -> u32 {
        if self.region.chunk_size >= 4096 {
            SHADES
        } else {
            1
        }
    }

    #[inline(always)]
    fn descriptor(&self, index: u32) -> NonNull<Descriptor> {
        debug_assert!(index < self.chunks);
        // SAFETY: `index < chunks`: indices come from the free list, from descriptors, or were checked.
        unsafe { self.descriptors.add(index as usize) }
    }

    #[inline(always)]
    fn frame(&self, index: u32, head: u32, len: u32) -> Frame {
        let mut frame = Frame { descriptor: self.descriptor(index) };
        frame.at_mut().head = head;
        frame.at_mut().len = len;
        frame.at_mut().next = NO_NEXT;
        frame.at_mut().rest = 0;
        frame.at_mut().known = Known::default();
        frame
    }
}

/// Makes the array of descriptors.
fn describe(region: Region, id: u32, count: u32) -> NonNull<Descriptor> {
    let all: Box<[Descriptor]> = (0..count)
        .map(|index| Descriptor {
            // SAFETY: `index < count`, so the offset stays inside the mapping.
            chunk: unsafe { region.start.add(index as usize * region.chunk_size) },
            index,
            size: region.chunk_size as u32,
            region: id,
            head: 0,
            len: 0,
            next: NO_NEXT,
            rest: 0,
            known: Known::default(),
        })
        .collect();
    NonNull::from(Box::leak(all)).cast()
}

impl Drop for Pool {
    fn drop(&mut self) {
        let all = self.free.len();
        self.memory.store(&mut self.free, all);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // A frame or the kernel may still use a chunk: then the memory stays for good.
        if self.depot().len() != self.chunks as usize {
            return;
        }
        let all = NonNull::slice_from_raw_parts(self.descriptors, self.chunks as usize);
        // SAFETY: every chunk is home, so nothing points into the mapping or to a descriptor, and the
        // array was leaked from a box by `describe`.
        unsafe {
            libc::munmap(self.region.start.as_ptr().cast(), self.region.len);
            drop(Box::from_raw(all.as_ptr()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_pool_frees_another_of_the_same_memory_hands_out() {
        let mut receives = Pool::new(2048, 3 * AT_HAND).unwrap();
        let mut sends = receives.sibling();
        for _ in 0..10 * AT_HAND {
            let mut frame = receives.alloc().expect("the other side gives back what it has too much of");
            assert!(frame.fill(b"crosses"));
            sends.free(frame);
        }
        assert!(sends.free.len() <= AT_HAND);
        assert_eq!(receives.free.len() + sends.available(), 3 * AT_HAND);
    }

    #[test]
    fn memory_goes_with_its_last_pool() {
        let mut one = Pool::new(2048, 64).unwrap();
        let other = one.sibling();
        let frame = one.alloc().unwrap();
        drop(one);
        let mut other = other;
        assert_eq!(other.available(), 63);
        other.free(frame);
        assert_eq!(Arc::strong_count(&other.memory), 1);
    }
}

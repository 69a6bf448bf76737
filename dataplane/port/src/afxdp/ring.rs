//! The rings that a socket shares with the kernel.
//!
//! Invariant: an entry is written before it is published and read only after the kernel published
//! it; indices are masked, so that no value of the kernel's leads outside of the mapping.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the parts of a ring lie in its mapping (`xdp_ring_offset`).
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub(super) struct Offsets {
    pub(super) producer: u64,
    pub(super) consumer: u64,
    pub(super) entries: u64,
    pub(super) flags: u64,
}

/// Offsets of all four rings (`xdp_mmap_offsets`).
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub(super) struct AllOffsets {
    pub(super) receive: Offsets,
    pub(super) transmit: Offsets,
    pub(super) fill: Offsets,
    pub(super) completion: Offsets,
}

/// A mapped ring of entries of type `T`.
#[derive(Debug)]
struct Ring<T> {
    start: NonNull<u8>,
    length: usize,
    offsets: Offsets,
    size: u32,
    kind: PhantomData<T>,
}

// SAFETY: the mapping belongs to this value alone in this process, and has no thread affinity.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T: Copy> Ring<T> {
    /// Maps a ring of `size` entries, a power of two.
    fn map(fd: &OwnedFd, page_offset: i64, offsets: Offsets, size: u32) -> io::Result<Ring<T>> {
        let length = offsets.entries as usize + size as usize * size_of::<T>();
        // SAFETY: a new mapping at an address of the kernel's choice.
        let p = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                fd.as_raw_fd(),
                page_offset,
            )
        };
        match NonNull::new(p.cast()) {
            Some(start) if p != libc::MAP_FAILED => Ok(Ring { start, length, offsets, size, kind: PhantomData }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    #[inline]
    fn word(&self, offset: u64) -> &AtomicU32 {
        // SAFETY: the kernel gave the offset of an aligned word inside of the mapping, which lives
        // as long as `self`; both sides access it atomically.
        unsafe { &*self.start.as_ptr().add(offset as usize).cast::<AtomicU32>() }
    }

    #[inline]
    fn entry(&self, index: u32) -> *mut T {
        let at = (index & (self.size - 1)) as usize;
        // SAFETY: the masked index is below the number of entries that were mapped.
        unsafe { self.start.as_ptr().add(self.offsets.entries as usize).cast::<T>().add(at) }
    }

    #[inline]
    fn needs_wakeup(&self) -> bool {
        self.word(self.offsets.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length; nothing points into it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// A ring that we write (fill, transmit).
#[derive(Debug)]
pub(super) struct Producer<T> {
    ring: Ring<T>,
    /// Next entry to write.
    next: u32,
    /// Where the kernel was when we last looked.
    seen: u32,
}

impl<T: Copy> Producer<T> {
    pub(super) fn map(fd: &OwnedFd, page_offset: i64, offsets: Offsets, size: u32) -> io::Result<Producer<T>> {
        Ok(Producer { ring: Ring::map(fd, page_offset, offsets, size)?, next: 0, seen: 0 })
    }

    /// Free entries; asks the kernel only when fewer than `wanted` are known to be free.
    #[inline]
    pub(super) fn free(&mut self, wanted: u32) -> u32 {
        let known = self.ring.size - self.next.wrapping_sub(self.seen);
        if known >= wanted {
            return known;
        }
        self.seen = self.ring.word(self.ring.offsets.consumer).load(Ordering::Acquire);
        self.ring.size.saturating_sub(self.next.wrapping_sub(self.seen))
    }

    /// Writes one entry; the caller has asked [`Producer::free`] for it.
    #[inline]
    pub(super) fn write(&mut self, value: T) {
        // SAFETY: the entry is inside of the mapping and the kernel has consumed its last value.
        unsafe { self.ring.entry(self.next).write(value) };
        self.next = self.next.wrapping_add(1);
    }

    /// Shows the kernel what was written.
    #[inline]
    pub(super) fn publish(&mut self) {
        self.ring.word(self.ring.offsets.producer).store(self.next, Ordering::Release);
    }

    /// Entries that the kernel has not consumed yet.
    #[inline]
    pub(super) fn waiting(&mut self) -> u32 {
        self.seen = self.ring.word(self.ring.offsets.consumer).load(Ordering::Acquire);
        self.next.wrapping_sub(self.seen)
    }

    /// Does the kernel sleep on this ring?
    #[inline]
    pub(super) fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }
}

/// A ring that we read (receive, completion).
#[derive(Debug)]
pub(super) struct Consumer<T> {
    ring: Ring<T>,
    /// Next entry to read.
    next: u32,
    /// Where the kernel was when we last looked.
    seen: u32,
}

impl<T: Copy> Consumer<T> {
    pub(super) fn map(fd: &OwnedFd, page_offset: i64, offsets: Offsets, size: u32) -> io::Result<Consumer<T>> {
        Ok(Consumer { ring: Ring::map(fd, page_offset, offsets, size)?, next: 0, seen: 0 })
    }

    /// The next entry, if the kernel has published one.
    #[inline]
    pub(super) fn read(&mut self) -> Option<T> {
        if self.next == self.seen {
            self.seen = self.ring.word(self.ring.offsets.producer).load(Ordering::Acquire);
            if self.next == self.seen {
                return None;
            }
        }
        // SAFETY: the entry is inside of the mapping and the kernel has published it.
        let value = unsafe { self.ring.entry(self.next).read() };
        self.next = self.next.wrapping_add(1);
        Some(value)
    }

    /// Gives the entries that were read back to the kernel.
    #[inline]
    pub(super) fn release(&mut self) {
        self.ring.word(self.ring.offsets.consumer).store(self.next, Ordering::Release);
    }
}

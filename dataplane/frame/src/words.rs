//! Large zeroed memory on huge pages where the kernel gives some.
//!
//! Purpose: a table of many megabytes that is read at random costs a walk through page tables for each
//! look on ordinary pages. The kernel is asked, never obliged: without huge pages all is as before.
//! Invariant: the words are aligned to a memory line, readable and writable, and zero at first.
//! Deliberately does not know: what is kept there.

use std::alloc::{handle_alloc_error, Layout};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

const HUGE: usize = 2 << 20;

/// Words of memory, zero at first.
pub struct Words {
    start: NonNull<u64>,
    len: usize,
    mapping: NonNull<u8>,
    mapped: usize,
}

// SAFETY: the memory is owned by this value alone; shared access only reads.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// `len` zeroed words. Memory is taken from the kernel as it is touched. Ends the process, as `Vec` does,
    /// when the kernel refuses.
    pub fn zeroed(len: usize) -> Words {
        let bytes = len.saturating_mul(size_of::<u64>()).max(1);
        let huge = bytes >= HUGE;
        let mapped = if huge { bytes.saturating_add(HUGE) } else { bytes };
        // SAFETY: an anonymous private mapping at an address of the kernel's choice.
        let p = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        let Some(mapping) = NonNull::new(p.cast::<u8>()).filter(|_| p != libc::MAP_FAILED) else {
            handle_alloc_error(Layout::array::<u64>(len).unwrap_or(Layout::new::<u64>()));
        };
        let skip = if huge { mapping.as_ptr().align_offset(HUGE) } else { 0 };
        // SAFETY: `skip` is below HUGE, by which the mapping is longer than `bytes`.
        let start = unsafe { mapping.add(skip) };
        if huge {
            // SAFETY: a hint about memory of our own; what it answers does not matter.
            unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        }
        Words { start: start.cast(), len, mapping, mapped }
    }
}

impl Words {
    /// Gives memory of these words back to the kernel, whole pages of it: they are zero again. What lies beyond the end
    /// is left out.
    pub fn give_back(&mut self, words: std::ops::Range<usize>) {
        const PAGE: usize = 4096 / size_of::<u64>();
        let (from, to) = (words.start.next_multiple_of(PAGE), words.end.min(self.len) / PAGE * PAGE);
        let end = words.end.min(self.len);
        let (first, last) = if from < to { (words.start..from, to..end) } else { (words.start..end, end..end) };
        for edge in [first, last] {
            self.get_mut(edge).into_iter().for_each(|words| words.fill(0));
        }
        if from < to {
            // SAFETY: whole pages inside of memory of our own, borrowed mutably; they read as zero afterwards.
            unsafe { libc::madvise(self.start.as_ptr().add(from).cast(), (to - from) * size_of::<u64>(), libc::MADV_DONTNEED) };
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped; no one else has it.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), self.mapped) };
    }
}

impl Deref for Words {
    type Target = [u64];

    #[inline(always)]
    fn deref(&self) -> &[u64] {
        // SAFETY: `len` zeroed or written words from `start` on, aligned to a page, owned by `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Words {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u64] {
        // SAFETY: as for reading, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} words", self.len)
    }
}

/// The same for words that several threads read while one of them writes.
#[derive(Debug)]
pub struct SharedWords(Words);

impl SharedWords {
    /// `len` zeroed words, as [`Words::zeroed`].
    pub fn zeroed(len: usize) -> SharedWords {
        SharedWords(Words::zeroed(len))
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    #[inline(always)]
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: `len` zeroed or written words from `start` on, aligned to a page, owned by `self`, and
        // nothing but these atomics ever reads or writes them.
        unsafe { std::slice::from_raw_parts(self.0.start.as_ptr().cast(), self.0.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_any_size_is_zero_aligned_and_kept() {
        for len in [0, 1, 1000, HUGE / 8 - 1, HUGE / 8, 3 * HUGE / 8 + 5] {
            let mut words = Words::zeroed(len);
            assert_eq!(words.len(), len);
            assert!(words.iter().all(|w| *w == 0));
            assert_eq!(words.as_ptr() as usize % 64, 0);
            words.iter_mut().enumerate().for_each(|(i, w)| *w = i as u64);
            assert!(words.iter().enumerate().all(|(i, w)| *w == i as u64));
        }
    }

    #[test]
    fn what_was_given_back_is_zero_and_the_rest_stays() {
        let mut words = Words::zeroed(10_000);
        for range in [0..1, 3..700, 600..2000, 5000..10_000, 9000..20_000, 30_000..40_000] {
            words.fill(7);
            words.give_back(range.clone());
            assert!(words.iter().enumerate().all(|(i, w)| (*w == 0) == range.contains(&i)), "{range:?}");
        }
    }

    #[test]
    fn what_one_thread_stores_another_one_reads() {
        use std::sync::atomic::Ordering::{Acquire, Release};
        let words = SharedWords::zeroed(100);
        std::thread::scope(|s| {
            s.spawn(|| words.iter().enumerate().for_each(|(i, w)| w.store(i as u64 + 1, Release)));
            while words.last().is_some_and(|w| w.load(Acquire) == 0) {
                std::hint::spin_loop();
            }
        });
        assert!(words.iter().enumerate().all(|(i, w)| w.load(Acquire) == i as u64 + 1));
    }
}

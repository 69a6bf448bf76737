//! Lines of the guest's memory asked for before they are needed.
//!
//! A line that another processor wrote takes hundreds of cycles to come. One that will be written here is
//! asked for as ours at once: else it would come to be read and its ownership would be asked for again.
//! Deliberately does not know: what lies there. Any address may be asked for.

use std::ptr::NonNull;

/// Bytes of a line.
pub(crate) const LINE: usize = 64;

/// Asks for the line at an address, to be read.
#[inline(always)]
pub(crate) fn to_read(at: NonNull<u8>, offset: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        // SAFETY: a prefetch of any address is allowed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.as_ptr().wrapping_add(offset).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, offset);
}

/// Asks for the line at an address, to be written.
#[inline(always)]
pub(crate) fn to_write(at: NonNull<u8>, offset: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is allowed; processors that do not know this one do nothing.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) at.as_ptr().wrapping_add(offset), options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, offset);
}

/// Asks for the first lines of a buffer: those of most frames.
#[inline(always)]
pub(crate) fn begin(at: NonNull<u8>, write: bool) {
    let ask = if write { to_write } else { to_read };
    ask(at, 0);
    ask(at, LINE);
}

/// Lines that the rest of a long buffer is asked for by, at most: a frame of Ethernet's usual length.
const REST: usize = 24;

/// Asks for what follows [`begin`] of `len` bytes.
#[inline(always)]
pub(crate) fn rest(at: NonNull<u8>, len: usize, write: bool) {
    let ask = if write { to_write } else { to_read };
    for line in 2..len.div_ceil(LINE).min(REST) {
        ask(at, line * LINE);
    }
}

//! Asks the processor to bring memory near before it is needed.

/// Starts loading the cache line of `at`. A hint: never faults, changes nothing.
#[inline(always)]
pub fn prefetch<T>(at: &T) {
    prefetch_at(at);
}

/// The same of an address at which there may be nothing any more.
#[inline(always)]
#[allow(unsafe_code)]
pub fn prefetch_at<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect but on timing, for any address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

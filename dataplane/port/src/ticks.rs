//! A clock that costs next to nothing, for how long things take.
//!
//! Invariant: never goes back on one CPU; the unit is the machine's own.
//! Deliberately does not know: seconds.

/// Ticks of this CPU (cycles of its time stamp counter, or nanoseconds where there is none).
#[inline]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: reading the counter is always allowed; it is part of the architecture.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        use std::time::{SystemTime, UNIX_EPOCH};
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
    }
}

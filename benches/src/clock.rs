//! CPU time of the measuring thread: a neighbour that takes the core away does not count.

use rustix::time::{clock_gettime, ClockId};

/// Nanoseconds of CPU time that this thread has used.
pub fn cpu_ns() -> u64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

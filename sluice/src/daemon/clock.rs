//! The daemon's time: milliseconds that only grow, the same on every thread.
//!
//! Invariant: starts above zero, so that zero can mean "never".

use std::time::Instant;

/// Milliseconds of a young daemon's clock.
const START: u64 = 1000;

/// A clock; copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// Milliseconds.
    pub fn now_ms(&self) -> u64 {
        START + u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - START)
    }
}

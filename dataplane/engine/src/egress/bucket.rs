//! Token buckets of bytes.
//!
//! Invariant: a bucket never holds more than its burst; what was taken beyond it is owed and comes
//! off what flows in later, so that over any span no more passes than the rate and one burst.
//! Deliberately does not know: frames, clocks.

/// The clock of a worker has milliseconds: a burst below what flows in between two looks at it would
/// be a lower rate.
const TICKS: u64 = 2;
/// Tokens of one byte: a rate in bytes a second is one of tokens a millisecond.
const BYTE: i64 = 1000;
const MOST: u64 = i64::MAX as u64 / 4;

/// A bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    per_ms: i64,
    full: i64,
    level: i64,
    filled_ms: u64,
}

impl Bucket {
    /// A full one: bytes in a second, bytes at once.
    pub fn new(rate: u64, burst: u64, now_ms: u64) -> Bucket {
        let burst = burst.max(rate.saturating_mul(TICKS) / 1000);
        let full = tokens(burst);
        Bucket { per_ms: rate.min(MOST) as i64, full, level: full, filled_ms: now_ms }
    }

    pub fn fill(&mut self, now_ms: u64) {
        let ms = i64::try_from(now_ms.saturating_sub(self.filled_ms)).unwrap_or(i64::MAX);
        self.filled_ms = self.filled_ms.max(now_ms);
        self.level = self.level.saturating_add(self.per_ms.saturating_mul(ms)).min(self.full);
    }

    /// Owes nothing: a frame of any length may pass.
    pub fn is_open(&self) -> bool {
        self.level >= 0
    }

    /// Holds so many bytes.
    pub fn has(&self, bytes: usize) -> bool {
        self.level >= tokens(bytes as u64)
    }

    pub fn take(&mut self, bytes: usize) {
        self.level = self.level.saturating_sub(tokens(bytes as u64));
    }
}

fn tokens(bytes: u64) -> i64 {
    (bytes.min(MOST / BYTE as u64) as i64).saturating_mul(BYTE)
}

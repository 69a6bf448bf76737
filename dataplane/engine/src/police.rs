//! Ingress policing: how much a device may hand in.
//!
//! Purpose: token buckets of bits and of packets, filled by the time of the batch.
//! Invariant: over any span no more passes than its rate allows plus one burst.
//! Deliberately does not know: frames, clocks.

/// What a device may hand in; 0 for no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rates {
    /// Thousands of bits in a second.
    pub kbps: u32,
    /// Thousands of bits at once.
    pub burst_kbits: u32,
    /// Thousands of packets in a second.
    pub kpps: u32,
    /// Thousands of packets at once.
    pub burst_kpackets: u32,
}

/// Bursts where none are given, as in Open vSwitch.
const BURST_KBITS: u32 = 8000;
const BURST_KPACKETS: u32 = 16;

/// The buckets of one device.
#[derive(Clone, Copy, Debug)]
pub struct Policer {
    bits: Bucket,
    packets: Bucket,
    last_ms: u64,
}

/// A rate of thousands in a second is one of single ones in a millisecond.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_ms: u64,
    full: u64,
    level: u64,
}

impl Bucket {
    fn new(rate: u32, burst: u32, default: u32) -> Bucket {
        let full = u64::from(if burst == 0 { default } else { burst }) * 1000;
        Bucket { per_ms: u64::from(rate), full, level: full }
    }

    fn fill(&mut self, ms: u64) {
        self.level = self.level.saturating_add(self.per_ms.saturating_mul(ms)).min(self.full);
    }

    fn has(&self, cost: u64) -> bool {
        self.per_ms == 0 || self.level >= cost
    }

    fn take(&mut self, cost: u64) {
        self.level = self.level.saturating_sub(cost);
    }
}

impl Policer {
    /// With full buckets; `None` where nothing is limited.
    pub fn new(rates: Rates, now_ms: u64) -> Option<Policer> {
        (rates.kbps != 0 || rates.kpps != 0).then(|| Policer {
            bits: Bucket::new(rates.kbps, rates.burst_kbits, BURST_KBITS),
            packets: Bucket::new(rates.kpps, rates.burst_kpackets, BURST_KPACKETS),
            last_ms: now_ms,
        })
    }

    /// A new batch begins.
    pub fn fill(&mut self, now_ms: u64) {
        let ms = now_ms.saturating_sub(self.last_ms);
        self.last_ms = now_ms;
        self.bits.fill(ms);
        self.packets.fill(ms);
    }

    /// May a frame of so many bytes pass?
    pub fn admits(&mut self, bytes: usize) -> bool {
        let bits = bytes as u64 * 8;
        let passes = self.bits.has(bits) && self.packets.has(1);
        if passes {
            self.bits.take(bits);
            self.packets.take(1);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(rates: Rates, per_ms: usize, bytes: usize, ms: u64) -> usize {
        let mut p = Policer::new(rates, 0).unwrap();
        let mut n = 0;
        for now in 0..ms {
            p.fill(now);
            n += (0..per_ms).filter(|_| p.admits(bytes)).count();
        }
        n
    }

    #[test]
    fn what_passes_is_the_rate_and_one_burst() {
        let bits = Rates { kbps: 1000, burst_kbits: 100, ..Rates::default() };
        let n = passed(bits, 10, 125, 10_000) * 1000;
        assert!((10_000_000..=10_101_000).contains(&n), "{n} bits in ten seconds");
        let packets = Rates { kpps: 2, burst_kpackets: 1, ..Rates::default() };
        assert!((20_900..=21_000).contains(&passed(packets, 10, 60, 10_000)));
        assert!(Policer::new(Rates::default(), 0).is_none());
    }
}

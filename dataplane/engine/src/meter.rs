//! Token buckets of one worker.
//!
//! Purpose: within the rate or not, by the time of the batch. Buckets fill by milliseconds, so that
//! all packets of a batch find what was there at its beginning.
//! Invariant: a meter's buckets are full when it is first met, and again after it was changed.
//! Deliberately does not know: clocks, frames (only their lengths), other workers' share.

use std::collections::HashMap;

use sluice_flow::meter::{Band, Exceeded, Meter};

use crate::count::MeterUse;

/// Bits and packets are counted by thousandths of what rates and bursts are given in.
const UNIT: u64 = 1000;

#[derive(Debug)]
struct Bucket {
    level: u64,
    packets: u64,
    bytes: u64,
}

#[derive(Debug)]
struct State {
    serial: u32,
    last_ms: u64,
    packets: u64,
    bytes: u64,
    buckets: Vec<Bucket>,
}

/// The buckets of all meters that packets of this worker met.
#[derive(Debug, Default)]
pub struct Meters {
    states: Vec<Option<State>>,
}

impl Meters {
    /// Takes a packet of so many bytes in; says what the band does whose rate it exceeds, if it does.
    pub fn pass(&mut self, meter: &Meter, bytes: usize, now_ms: u64) -> Option<Exceeded> {
        let state = self.state(meter, now_ms)?;
        let since = now_ms.saturating_sub(state.last_ms);
        state.last_ms = now_ms;
        state.packets += 1;
        state.bytes += bytes as u64;
        let cost = if meter.by_packets { UNIT } else { bytes as u64 * 8 };
        let mut worst: Option<(&Band, &mut Bucket)> = None;
        for (band, bucket) in meter.bands.iter().zip(&mut state.buckets) {
            let full = u64::from(band.burst) * UNIT;
            bucket.level = bucket.level.saturating_add(since.saturating_mul(u64::from(band.rate))).min(full);
            if bucket.level >= cost {
                bucket.level -= cost;
            } else if worst.as_ref().is_none_or(|(w, _)| band.rate > w.rate) {
                worst = Some((band, bucket));
            }
        }
        let (band, bucket) = worst?;
        bucket.packets += 1;
        bucket.bytes += bytes as u64;
        Some(band.exceeded)
    }

    fn state(&mut self, meter: &Meter, now_ms: u64) -> Option<&mut State> {
        let at = meter.place as usize;
        if self.states.len() <= at {
            self.states.resize_with(at + 1, || None);
        }
        let place = self.states.get_mut(at)?;
        if place.as_ref().is_none_or(|s| s.serial != meter.serial) {
            let full = |b: &Band| Bucket { level: u64::from(b.burst) * UNIT, packets: 0, bytes: 0 };
            let buckets = meter.bands.iter().map(full).collect();
            *place = Some(State { serial: meter.serial, last_ms: now_ms, packets: 0, bytes: 0, buckets });
        }
        place.as_mut()
    }

    /// What was counted since the last time, by serial.
    pub fn take_counts(&mut self) -> HashMap<u32, MeterUse> {
        let mut all = HashMap::new();
        for state in self.states.iter_mut().flatten().filter(|s| s.packets != 0) {
            let take = |b: &mut Bucket| (std::mem::take(&mut b.packets), std::mem::take(&mut b.bytes));
            let used = MeterUse {
                packets: std::mem::take(&mut state.packets),
                bytes: std::mem::take(&mut state.bytes),
                bands: state.buckets.iter_mut().map(take).collect(),
            };
            all.insert(state.serial, used);
        }
        all
    }
}

/// A DSCP with higher drop precedence: 3 at most, and only where it has one (assured forwarding).
pub fn remark(dscp: u8, by: u8) -> u8 {
    let (class, precedence) = (dscp >> 3, dscp >> 1 & 3);
    if dscp & 1 != 0 || !(1..=4).contains(&class) || precedence == 0 {
        return dscp;
    }
    class << 3 | precedence.saturating_add(by).min(3) << 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(by_packets: bool, bands: &[(u32, u32, Exceeded)]) -> Meter {
        let band = |&(rate, burst, exceeded): &(u32, u32, Exceeded)| Band { rate, burst, exceeded };
        Meter { serial: 1, place: 2, by_packets, bands: bands.iter().map(band).collect() }
    }

    fn passed(m: &Meter, bytes: usize, packets_per_ms: usize, ms: u64) -> usize {
        let mut all = Meters::default();
        let arrivals = (0..ms).flat_map(|t| (0..packets_per_ms).map(move |_| t));
        arrivals.filter(|t| all.pass(m, bytes, *t).is_none()).count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let by_packets = meter(true, &[(1000, 50, Exceeded::Drop)]);
        assert_eq!(passed(&by_packets, 100, 10, 1001), 50 + 1000);
        let by_bits = meter(false, &[(8000, 100, Exceeded::Drop)]);
        assert_eq!(passed(&by_bits, 1000, 10, 1001), 100_000 / 8000 + 1000);
    }

    #[test]
    fn of_the_bands_exceeded_the_one_of_the_highest_rate_acts_and_counts() {
        let m = meter(true, &[(10, 1, Exceeded::Remark(1)), (20, 2, Exceeded::Drop)]);
        let mut all = Meters::default();
        let what: Vec<_> = (0..4).map(|_| all.pass(&m, 60, 0)).collect();
        assert_eq!(what, [None, Some(Exceeded::Remark(1)), Some(Exceeded::Drop), Some(Exceeded::Drop)]);
        let used = all.take_counts().remove(&1).unwrap();
        assert_eq!((used.packets, used.bytes, used.bands), (4, 240, vec![(1, 60), (2, 120)]));
        assert!(all.take_counts().is_empty());
    }

    #[test]
    fn only_assured_forwarding_has_a_precedence_to_raise() {
        assert_eq!([remark(18, 1), remark(18, 9), remark(0, 1), remark(46, 2), remark(48, 1)], [20, 22, 0, 46, 48]);
    }
}

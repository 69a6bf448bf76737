//! Token buckets.
//!
//! Purpose: within the rate or not, by the time of the batch. Buckets fill by milliseconds, so that
//! all packets of a batch find what was there at its beginning. Where several workers meet a meter, its
//! buckets are shared and each worker takes a handful at a time, so that packets share no memory.
//! Invariant: a meter's buckets are full when it is first met, and again after it was changed; all
//! workers together never take more than that and what the rate adds.
//! Deliberately does not know: clocks, frames (only their lengths).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use sluice_flow::meter::{Band, Exceeded, Meter};

use crate::count::MeterUse;

/// Bits and packets are counted by thousandths of what rates and bursts are given in.
const UNIT: u64 = 1000;

/// Of a full bucket, the part that a worker takes at a time.
const HANDFUL: u64 = 64;

/// A meter's buckets that several workers take from.
#[derive(Debug)]
struct Source {
    filled_ms: AtomicU64,
    levels: Box<[AtomicU64]>,
}

impl Source {
    fn new(meter: &Meter, now_ms: u64) -> Source {
        Source { filled_ms: AtomicU64::new(now_ms), levels: meter.bands.iter().map(|b| AtomicU64::new(full(b))).collect() }
    }

    /// Adds what the rates add since the last time; one worker does.
    fn fill(&self, meter: &Meter, now_ms: u64) {
        let before = self.filled_ms.load(Relaxed);
        if now_ms <= before || self.filled_ms.compare_exchange(before, now_ms, Relaxed, Relaxed).is_err() {
            return;
        }
        for (band, level) in meter.bands.iter().zip(&self.levels) {
            let more = (now_ms - before).saturating_mul(u64::from(band.rate));
            let _ = level.fetch_update(Relaxed, Relaxed, |l| Some(l.saturating_add(more).min(full(band))));
        }
    }

    /// Takes up to `wanted` from a bucket.
    fn take(&self, bucket: usize, wanted: u64) -> u64 {
        let Some(level) = self.levels.get(bucket) else { return 0 };
        level.fetch_update(Relaxed, Relaxed, |l| Some(l - l.min(wanted))).map_or(0, |l| l.min(wanted))
    }
}

/// The buckets that all workers of a switch share, by serial of the meter.
#[derive(Clone, Debug, Default)]
pub struct SharedMeters(Arc<Mutex<HashMap<u32, Arc<Source>>>>);

impl SharedMeters {
    fn source(&self, meter: &Meter, now_ms: u64) -> Arc<Source> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that no worker holds any more are of meters that went or changed.
        all.retain(|serial, source| *serial == meter.serial || Arc::strong_count(source) > 1);
        all.entry(meter.serial).or_insert_with(|| Arc::new(Source::new(meter, now_ms))).clone()
    }
}

fn full(band: &Band) -> u64 {
    u64::from(band.burst) * UNIT
}

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
    /// Where the buckets are filled, if not here.
    source: Option<Arc<Source>>,
}

/// The buckets of all meters that packets of this worker met.
#[derive(Debug, Default)]
pub struct Meters {
    states: Vec<Option<State>>,
    shared: Option<SharedMeters>,
}

impl Meters {
    /// From now on buckets are shared with other workers.
    pub fn share(&mut self, with: SharedMeters) {
        self.shared = Some(with);
        self.states.clear();
    }

    /// Takes a packet of so many bytes in; says what the band does whose rate it exceeds, if it does.
    pub fn pass(&mut self, meter: &Meter, bytes: usize, now_ms: u64) -> Option<Exceeded> {
        let state = self.state(meter, now_ms)?;
        let since = now_ms.saturating_sub(state.last_ms);
        state.last_ms = now_ms;
        state.packets += 1;
        state.bytes += bytes as u64;
        let cost = if meter.by_packets { UNIT } else { bytes as u64 * 8 };
        if let Some(source) = &state.source {
            source.fill(meter, now_ms);
        }
        let mut worst: Option<(&Band, &mut Bucket)> = None;
        for (i, (band, bucket)) in meter.bands.iter().zip(&mut state.buckets).enumerate() {
            match &state.source {
                None => bucket.level = bucket.level.saturating_add(since.saturating_mul(u64::from(band.rate))).min(full(band)),
                Some(source) if bucket.level < cost => bucket.level += source.take(i, (full(band) / HANDFUL).max(cost - bucket.level)),
                Some(_) => {}
            }
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
            let source = self.shared.as_ref().map(|s| s.source(meter, now_ms));
            let level = |b: &Band| if source.is_some() { 0 } else { full(b) };
            let buckets = meter.bands.iter().map(|b| Bucket { level: level(b), packets: 0, bytes: 0 }).collect();
            *place = Some(State { serial: meter.serial, last_ms: now_ms, packets: 0, bytes: 0, buckets, source });
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
    fn workers_together_pass_what_one_would() {
        let m = meter(true, &[(1000, 640, Exceeded::Drop)]);
        let shared = SharedMeters::default();
        let mut workers: Vec<Meters> = (0..3).map(|_| Meters::default()).collect();
        workers.iter_mut().for_each(|w| w.share(shared.clone()));
        let mut passed = 0;
        for ms in 0..2001 {
            for w in &mut workers {
                passed += (0..10).filter(|_| w.pass(&m, 100, ms).is_none()).count();
            }
        }
        assert_eq!(passed, 640 + 2000);
    }

    #[test]
    fn only_assured_forwarding_has_a_precedence_to_raise() {
        assert_eq!([remark(18, 1), remark(18, 9), remark(0, 1), remark(46, 2), remark(48, 1)], [20, 22, 0, 46, 48]);
    }
}

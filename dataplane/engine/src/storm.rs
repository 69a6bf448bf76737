//! Storm limits: how many frames of a device the switch may flood.
//!
//! Purpose: two buckets for a device, one of broadcast and multicast, one of unicast to addresses that
//! nobody is known to have.
//! Invariant: over any span no more is flooded than the rate allows plus what one second of it is.
//! Deliberately does not know: what a flood is (the decider says it), frames, clocks.

use sluice_flow::PortIdx;

/// Floods of a device, in packets per second; 0 for no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FloodRates {
    /// To the broadcast address or to a group.
    pub broadcast: u32,
    /// To one host, at a place that is not known.
    pub unknown_unicast: u32,
}

impl FloodRates {
    /// Is nothing limited?
    pub fn is_unlimited(&self) -> bool {
        *self == FloodRates::default()
    }
}

/// Thousandths of packets: a rate per second is that many per millisecond.
const PACKET: u64 = 1000;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: u64,
    level: u64,
    last_ms: u64,
}

impl Bucket {
    fn new(rate: u32, now_ms: u64) -> Bucket {
        Bucket { rate: u64::from(rate), level: u64::from(rate) * PACKET, last_ms: now_ms }
    }

    fn admits(&mut self, now_ms: u64) -> bool {
        if self.rate == 0 {
            return true;
        }
        let ms = now_ms.saturating_sub(self.last_ms);
        self.last_ms = now_ms;
        self.level = self.level.saturating_add(self.rate.saturating_mul(ms)).min(self.rate * PACKET);
        let passes = self.level >= PACKET;
        if passes {
            self.level -= PACKET;
        }
        passes
    }
}

/// The buckets of one device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storm {
    rates: FloodRates,
    broadcast: Bucket,
    unicast: Bucket,
}

/// Those of the devices of one worker.
#[derive(Debug, Default)]
pub struct Storms(Vec<Option<Storm>>);

impl Storms {
    /// Sets what may be flooded; buckets whose rates stay the same stay as full as they are.
    pub fn set(&mut self, device: PortIdx, rates: FloodRates, now_ms: u64) {
        if self.0.get(usize::from(device)).is_some_and(|s| s.is_some_and(|s| s.rates == rates)) {
            return;
        }
        let new = Storm { rates, broadcast: Bucket::new(rates.broadcast, now_ms), unicast: Bucket::new(rates.unknown_unicast, now_ms) };
        self.put(device, (!rates.is_unlimited()).then_some(new));
    }

    /// The buckets of a device that goes.
    pub(crate) fn take(&mut self, device: PortIdx) -> Option<Storm> {
        self.0.get_mut(usize::from(device)).and_then(Option::take)
    }

    /// The buckets of a device that came.
    pub(crate) fn put(&mut self, device: PortIdx, storm: Option<Storm>) {
        let at = usize::from(device);
        if storm.is_some() && self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        if let Some(place) = self.0.get_mut(at) {
            *place = storm;
        }
    }

    /// May a frame of this device be flooded?
    #[inline]
    pub fn admits(&mut self, device: PortIdx, unicast: bool, now_ms: u64) -> bool {
        match self.0.get_mut(usize::from(device)) {
            Some(Some(storm)) if unicast => storm.unicast.admits(now_ms),
            Some(Some(storm)) => storm.broadcast.admits(now_ms),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flooded(storms: &mut Storms, unicast: bool, per_ms: usize, ms: u64) -> usize {
        (0..ms).map(|now| (0..per_ms).filter(|_| storms.admits(3, unicast, now)).count()).sum()
    }

    #[test]
    fn each_kind_has_its_rate_and_a_second_of_it_at_once() {
        let mut storms = Storms::default();
        storms.set(3, FloodRates { broadcast: 100, unknown_unicast: 0 }, 0);
        assert_eq!(flooded(&mut storms, true, 2, 1000), 2000, "not limited");
        assert!((1095..=1100).contains(&flooded(&mut storms, false, 2, 10_000)));
        assert!(storms.admits(4, false, 0), "another device");
    }

    #[test]
    fn setting_the_same_rate_again_fills_no_bucket() {
        let mut storms = Storms::default();
        let rates = FloodRates { broadcast: 1, unknown_unicast: 1 };
        storms.set(3, rates, 0);
        assert!(storms.admits(3, false, 0) && !storms.admits(3, false, 0));
        storms.set(3, rates, 0);
        assert!(!storms.admits(3, false, 0));
        storms.set(3, FloodRates::default(), 0);
        assert!(storms.admits(3, false, 0));
    }
}

//! How fast counters grow.
//!
//! Purpose: the counters as they were 5 seconds, a minute and an hour ago, for `coverage/show`.
//! Invariant: what is kept is bounded; a period that the daemon has not lived through yet counts from
//! its start and is divided by its whole length, as Open vSwitch does.
//! Deliberately does not know: what is counted, clocks.

use std::collections::VecDeque;

/// Seconds between two samples.
pub const SAMPLE_SECONDS: u64 = 5;
/// Samples in a minute.
const MINUTE: usize = 12;
/// Minutes in an hour.
const HOUR: usize = 60;

/// Growth per second of one counter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Over the last 5 seconds.
    pub seconds: f64,
    /// Over the last minute.
    pub minute: f64,
    /// Over the last hour.
    pub hour: f64,
}

/// Totals of all counters, by place, of the last minute and of the last hour; the newest last.
#[derive(Debug, Default)]
pub struct Rates {
    samples: VecDeque<Vec<u64>>,
    minutes: VecDeque<Vec<u64>>,
    taken: usize,
}

impl Rates {
    /// Takes the totals of now; to be called every [`SAMPLE_SECONDS`].
    pub fn sample(&mut self, totals: Vec<u64>) {
        if self.taken.is_multiple_of(MINUTE) {
            keep(&mut self.minutes, totals.clone(), HOUR);
        }
        keep(&mut self.samples, totals, MINUTE);
        self.taken += 1;
    }

    /// How the counter at this place grew until the last sample.
    pub fn of(&self, place: usize) -> Rate {
        let at = |sample: Option<&Vec<u64>>| sample.and_then(|s| s.get(place)).copied().unwrap_or(0) as f64;
        let now = at(self.samples.back());
        let before = |history: &VecDeque<Vec<u64>>, ago: usize| at(history.len().checked_sub(ago + 1).and_then(|i| history.get(i)));
        Rate {
            seconds: (now - before(&self.samples, 1)) / SAMPLE_SECONDS as f64,
            minute: (now - before(&self.samples, MINUTE)) / 60.0,
            hour: (now - before(&self.minutes, HOUR)) / 3600.0,
        }
    }
}

fn keep(history: &mut VecDeque<Vec<u64>>, totals: Vec<u64>, ago: usize) {
    history.push_back(totals);
    if history.len() > ago + 1 {
        history.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_grows_evenly_has_that_rate_over_each_period() {
        let mut rates = Rates::default();
        (0..=720).for_each(|n| rates.sample(vec![n * 50, 7]));
        assert_eq!(rates.of(0), Rate { seconds: 10.0, minute: 10.0, hour: 10.0 });
        assert_eq!(rates.of(1), Rate::default());
        assert_eq!(rates.of(9), Rate::default());
        rates.sample(vec![720 * 50, 7]);
        let rate = rates.of(0);
        assert!(rate.seconds == 0.0 && rate.minute < 10.0 && rate.hour <= 10.0, "{rate:?}");
    }

    #[test]
    fn a_burst_is_seen_for_as_long_as_its_period() {
        let mut rates = Rates::default();
        rates.sample(vec![0]);
        rates.sample(vec![600]);
        assert_eq!(rates.of(0), Rate { seconds: 120.0, minute: 10.0, hour: 600.0 / 3600.0 });
        (0..12).for_each(|_| rates.sample(vec![600]));
        assert_eq!(rates.of(0), Rate { seconds: 0.0, minute: 0.0, hour: 600.0 / 3600.0 });
        (0..721).for_each(|_| rates.sample(vec![600]));
        assert_eq!(rates.of(0), Rate::default());
    }
}

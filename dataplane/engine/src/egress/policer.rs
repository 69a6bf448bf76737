//! Egress policing: what is above a rate is dropped, nothing waits.
//!
//! Purpose: one rate (RFC 2697 without excess) for a device, or two rates (RFC 4115) by queue and then
//! for the device, as the two policers of Open vSwitch have them.
//! Invariant: Ethernet headers are not counted.
//! Deliberately does not know: clocks.

use std::collections::BTreeMap;

use sluice_flow::DropReason;
use sluice_frame::Frame;

use super::bucket::Bucket;
use super::{Losses, QueueCount, TwoRates};

const ETHERNET: usize = 14;

fn length(frame: &Frame) -> usize {
    frame.len().saturating_sub(ETHERNET)
}

/// Leaves the frames that pass, in order.
fn sift(frames: &mut Vec<Frame>, losses: &mut Losses<'_>, mut passes: impl FnMut(&Frame) -> bool) {
    let all = std::mem::take(frames);
    for frame in all {
        if passes(&frame) {
            frames.push(frame);
        } else {
            losses.drop(frame, DropReason::EgressPoliced);
        }
    }
}

/// One rate for all.
#[derive(Debug)]
pub(super) struct Policer {
    committed: Bucket,
}

impl Policer {
    pub fn new(cir: u64, cbs: u64, now_ms: u64) -> Policer {
        Policer { committed: Bucket::new(cir, cbs, now_ms) }
    }

    pub fn pass(&mut self, frames: &mut Vec<Frame>, now_ms: u64, losses: &mut Losses<'_>) {
        self.committed.fill(now_ms);
        sift(frames, losses, |frame| take(&mut self.committed, length(frame)));
    }
}

fn take(bucket: &mut Bucket, bytes: usize) -> bool {
    let has = bucket.has(bytes);
    if has {
        bucket.take(bytes);
    }
    has
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Colour {
    Green,
    Yellow,
    Red,
}

/// A meter with two rates.
#[derive(Debug)]
struct Meter {
    committed: Bucket,
    excess: Bucket,
}

impl Meter {
    fn new(rates: &TwoRates, now_ms: u64) -> Meter {
        Meter { committed: Bucket::new(rates.cir, rates.cbs, now_ms), excess: Bucket::new(rates.eir, rates.ebs, now_ms) }
    }

    fn fill(&mut self, now_ms: u64) {
        self.committed.fill(now_ms);
        self.excess.fill(now_ms);
    }

    /// The colour of a frame that came with one.
    fn colour(&mut self, came: Colour, bytes: usize) -> Colour {
        if came == Colour::Green && take(&mut self.committed, bytes) {
            Colour::Green
        } else if came != Colour::Red && take(&mut self.excess, bytes) {
            Colour::Yellow
        } else {
            Colour::Red
        }
    }
}

/// Two rates by queue, and two for all.
#[derive(Debug)]
pub(super) struct TwoRate {
    all: Meter,
    queues: BTreeMap<u32, (Meter, QueueCount)>,
}

impl TwoRate {
    pub fn new(all: &TwoRates, queues: &BTreeMap<u32, TwoRates>, count: impl Fn(u32) -> QueueCount, now_ms: u64) -> TwoRate {
        let queue = |(number, rates): (&u32, &TwoRates)| (*number, (Meter::new(rates, now_ms), count(*number)));
        TwoRate { all: Meter::new(all, now_ms), queues: queues.iter().map(queue).collect() }
    }

    pub fn counts(&self) -> impl Iterator<Item = (u32, QueueCount)> + '_ {
        self.queues.iter().map(|(number, (_, count))| (*number, *count))
    }

    pub fn pass(&mut self, frames: &mut Vec<Frame>, now_ms: u64, losses: &mut Losses<'_>) {
        self.all.fill(now_ms);
        let TwoRate { all, queues } = self;
        sift(frames, losses, |frame| {
            let bytes = length(frame);
            let number = if queues.contains_key(&frame.queue) { frame.queue } else { 0 };
            // Without queue 0 there is no place for what is in no queue.
            let Some((meter, count)) = queues.get_mut(&number) else { return false };
            meter.fill(now_ms);
            let colour = meter.colour(Colour::Green, bytes);
            match colour {
                Colour::Red => count.errors += 1,
                _ => count.sent(bytes),
            }
            all.colour(colour, bytes) != Colour::Red
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_beyond_the_committed_rate_passes_while_there_is_excess() {
        let mut meter = Meter::new(&TwoRates { cir: 1000, cbs: 100, eir: 1000, ebs: 100 }, 0);
        let colours: Vec<Colour> = (0..4).map(|_| meter.colour(Colour::Green, 60)).collect();
        assert_eq!(colours, [Colour::Green, Colour::Yellow, Colour::Red, Colour::Red]);
        meter.fill(100);
        assert_eq!(meter.colour(Colour::Yellow, 60), Colour::Yellow, "a yellow one never becomes green");
        assert_eq!(meter.colour(Colour::Green, 60), Colour::Green);
    }
}

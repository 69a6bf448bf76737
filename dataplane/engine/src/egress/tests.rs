//! What leaves, over a time that is given in.

use std::collections::BTreeMap;

use sluice_flow::DropReason;
use sluice_frame::Pool;

use super::*;

const MTU: usize = 1000;

struct Line {
    pool: Pool,
    counters: Counters,
    egress: Egress,
    now_ms: u64,
}

impl Line {
    fn new(discipline: Discipline) -> Line {
        let plan = Plan { discipline, dscp: BTreeMap::from([(3, 46)]) };
        let pool = Pool::new(2048, 4096).unwrap();
        Line { pool, counters: Counters::default(), egress: Egress::new(&plan, None, 0).unwrap(), now_ms: 0 }
    }

    fn frame(&mut self, queue: u32, len: usize) -> Frame {
        let mut bytes = vec![0; len];
        bytes[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
        bytes[16..18].copy_from_slice(&((len - 14) as u16).to_be_bytes());
        let mut frame = self.pool.copy_in(&bytes).unwrap();
        frame.queue = queue;
        frame
    }

    /// One millisecond in which so many frames come to each queue. Bytes that left, by queue.
    fn tick(&mut self, offered: &[(u32, usize)]) -> BTreeMap<u32, u64> {
        self.now_ms += 1;
        let mut frames = Vec::new();
        for &(queue, n) in offered {
            frames.extend((0..n).map(|_| self.frame(queue, MTU)));
        }
        let mut losses = Losses { pool: &mut self.pool, counters: &mut self.counters, lost: 0 };
        self.egress.pass(&mut frames, self.now_ms, &mut losses);
        let mut left = BTreeMap::new();
        for frame in frames {
            *left.entry(frame.queue).or_default() += frame.len() as u64;
            self.pool.free(frame);
        }
        left
    }

    /// Bytes a second that left, by queue, while so much came in every millisecond.
    fn rates(&mut self, offered: &[(u32, usize)], seconds: u64) -> BTreeMap<u32, u64> {
        let mut sums: BTreeMap<u32, u64> = BTreeMap::new();
        // The first moments empty the buckets.
        (0..1000).for_each(|_| drop(self.tick(offered)));
        for _ in 0..seconds * 1000 {
            for (queue, bytes) in self.tick(offered) {
                *sums.entry(queue).or_default() += bytes;
            }
        }
        sums.into_iter().map(|(queue, bytes)| (queue, bytes / seconds)).collect()
    }
}

fn queue(min_rate: u64, max_rate: u64, priority: u32) -> QueueRates {
    QueueRates { min_rate, max_rate, burst: 2000, priority }
}

fn near(rate: Option<&u64>, wanted: u64) -> bool {
    rate.is_some_and(|r| r.abs_diff(wanted) * 50 <= wanted)
}

#[test]
fn a_queue_gets_what_it_is_promised_and_no_more_than_its_maximum() {
    let queues = BTreeMap::from([(0, queue(1_000_000, 10_000_000, 0)), (1, queue(6_000_000, 10_000_000, 0)), (2, queue(500_000, 2_000_000, 0))]);
    let mut line = Line::new(Discipline::Htb { max_rate: 10_000_000, queues });
    // All of them want everything.
    let all = line.rates(&[(0, 20), (1, 20), (2, 20)], 4);
    let sum: u64 = all.values().sum();
    assert!(near(Some(&sum), 10_000_000), "the port sends at its rate: {all:?}");
    assert!(all[&1] >= 5_900_000 && all[&0] >= 980_000 && all[&2] >= 490_000, "{all:?}");
    assert!(all[&2] <= 2_040_000, "{all:?}");
    // One alone.
    let alone = line.rates(&[(2, 20)], 4);
    assert!(near(alone.get(&2), 2_000_000), "{alone:?}");
}

#[test]
fn the_lowest_priority_borrows_first() {
    let queues = BTreeMap::from([(0, queue(1_000_000, 10_000_000, 5)), (1, queue(1_000_000, 10_000_000, 1))]);
    let mut line = Line::new(Discipline::Htb { max_rate: 10_000_000, queues });
    let rates = line.rates(&[(0, 20), (1, 20)], 4);
    assert!(near(rates.get(&1), 9_000_000) && near(rates.get(&0), 1_000_000), "{rates:?}");
    // Alike, they share.
    let queues = BTreeMap::from([(0, queue(1_000_000, 10_000_000, 0)), (1, queue(1_000_000, 10_000_000, 0))]);
    let mut line = Line::new(Discipline::Htb { max_rate: 10_000_000, queues });
    let rates = line.rates(&[(0, 20), (1, 20)], 4);
    assert!(near(rates.get(&1), 5_000_000) && near(rates.get(&0), 5_000_000), "{rates:?}");
}

#[test]
fn below_its_rate_a_port_delays_nothing() {
    let queues = BTreeMap::from([(0, queue(1_000_000, 10_000_000, 0))]);
    let mut line = Line::new(Discipline::Htb { max_rate: 10_000_000, queues });
    for _ in 0..1000 {
        assert_eq!(line.tick(&[(0, 9)]).get(&0), Some(&9000));
        assert_eq!(line.egress.waiting(), 0);
    }
}

#[test]
fn what_waits_is_bounded_and_each_loss_is_counted() {
    let queues = BTreeMap::from([(0, queue(1000, 1000, 0)), (7, queue(1000, 1000, 0))]);
    let mut line = Line::new(Discipline::Htb { max_rate: 2000, queues });
    let mut offered = 0;
    for _ in 0..60 {
        line.tick(&[(0, 20), (7, 20), (99, 20)]);
        offered += 60;
    }
    let counts: BTreeMap<u32, QueueCount> = line.egress.counts().collect();
    let (sent, errors): (u64, u64) = counts.values().fold((0, 0), |(s, e), c| (s + c.packets, e + c.errors));
    assert_eq!(line.egress.waiting(), 2 * WAITING_MAX, "queue 99 is not there, its frames took queue 0");
    assert_eq!(sent + errors + line.egress.waiting() as u64, offered);
    assert_eq!(line.counters.dropped[DropReason::QosQueueFull as usize], errors);
    assert_eq!(line.pool.outstanding(), line.egress.waiting());
    // Giving up gives every frame back.
    let mut frames = Vec::new();
    line.egress.give_up(&mut frames);
    frames.into_iter().for_each(|f| line.pool.free(f));
    assert_eq!((line.pool.outstanding(), line.egress.waiting()), (0, 0));
}

#[test]
fn frames_that_wait_leave_half_of_the_pool() {
    let queues = (0..8).map(|n| (n, queue(1000, 1000, 0))).collect();
    let mut line = Line::new(Discipline::Htb { max_rate: 2000, queues });
    let everyone: Vec<(u32, usize)> = (0..8).map(|n| (n, 20)).collect();
    (0..60).for_each(|_| drop(line.tick(&everyone)));
    assert!(line.pool.available() * 2 >= line.pool.capacity() - 320, "{} of {}", line.pool.available(), line.pool.capacity());
    assert!(line.counters.dropped[DropReason::QosQueueFull as usize] > 0);
}

#[test]
fn a_policer_lets_out_its_rate_without_ethernet_headers() {
    let mut line = Line::new(Discipline::Policer { cir: 1_000_000, cbs: 20_000 });
    let rates = line.rates(&[(0, 20)], 4);
    assert!(near(rates.get(&0), 1_000_000 * MTU as u64 / (MTU as u64 - 14)), "{rates:?}");
    assert_eq!(line.egress.waiting(), 0);
    assert!(line.counters.dropped[DropReason::EgressPoliced as usize] > 0);
}

#[test]
fn two_rates_police_each_queue_and_then_the_port() {
    let half = TwoRates { cir: 500_000, cbs: 10_000, eir: 0, ebs: 0 };
    let all = TwoRates { cir: 800_000, cbs: 10_000, eir: 0, ebs: 0 };
    let mut line = Line::new(Discipline::TwoRate { all, queues: BTreeMap::from([(0, half), (1, half)]) });
    let alone = line.rates(&[(1, 20)], 4);
    assert!(near(alone.get(&1), 507_000), "{alone:?}");
    let both = line.rates(&[(0, 20), (1, 20)], 4);
    let sum = both.values().sum();
    assert!(near(Some(&sum), 811_000), "{both:?}");
}

#[test]
fn a_queue_marks_its_packets() {
    let mut line = Line::new(Discipline::None);
    for (queue, tos) in [(0, 0), (3, 46 << 2)] {
        let mut frames = vec![line.frame(queue, 60)];
        let mut losses = Losses { pool: &mut line.pool, counters: &mut line.counters, lost: 0 };
        line.egress.pass(&mut frames, 1, &mut losses);
        let frame = frames.pop().unwrap();
        assert_eq!(frame.head()[15], tos);
        line.pool.free(frame);
    }
}

#[test]
fn queues_that_stay_go_on_counting() {
    let plan = |rate| Plan { discipline: Discipline::Htb { max_rate: rate, queues: BTreeMap::from([(0, queue(rate, rate, 0))]) }, ..Plan::default() };
    let mut line = Line::new(plan(1_000_000).discipline);
    line.tick(&[(0, 2)]);
    let next = Egress::new(&plan(2_000_000), Some(&line.egress), 2).unwrap();
    assert_eq!(next.counts().next(), Some((0, QueueCount { packets: 2, bytes: 2000, errors: 0 })));
    assert!(Egress::new(&Plan::default(), Some(&next), 3).is_none());
}

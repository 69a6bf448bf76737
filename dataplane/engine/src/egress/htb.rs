//! Hierarchical token bucket: queues with a promised rate that borrow what others leave.
//!
//! Purpose: two levels, as Open vSwitch makes them of a QoS record: queues below one root. A queue
//! within its own rate sends at once; above it, it borrows from the root while its maximum and the
//! root allow it, by priority and then in turn.
//! Invariant: a queue never sends above its maximum rate and one burst; frames of a queue keep their
//! order; at most [`WAITING_MAX`] wait in a queue.
//! Deliberately does not know: clocks.

use std::collections::{BTreeMap, VecDeque};

use sluice_flow::DropReason;
use sluice_frame::Frame;

use super::bucket::Bucket;
use super::{Losses, QueueCount, QueueRates};

/// Frames that may wait in one queue: what a device of Linux has (`txqueuelen`).
pub const WAITING_MAX: usize = 1000;
/// Bytes that a queue sends in its turn: a tenth of what it is promised in a second, within bounds.
const TURN: std::ops::RangeInclusive<u64> = 1000..=200_000;

#[derive(Debug)]
struct Queue {
    own: Bucket,
    most: Bucket,
    priority: u32,
    turn: i64,
    /// What is left of its turn.
    deficit: i64,
    waiting: VecDeque<Frame>,
    count: QueueCount,
}

impl Queue {
    fn new(rates: &QueueRates, count: QueueCount, now_ms: u64) -> Queue {
        Queue {
            own: Bucket::new(rates.min_rate, rates.burst, now_ms),
            most: Bucket::new(rates.max_rate, rates.burst, now_ms),
            priority: rates.priority,
            turn: (rates.min_rate / 10).clamp(*TURN.start(), *TURN.end()) as i64,
            deficit: 0,
            waiting: VecDeque::new(),
            count,
        }
    }

    fn fill(&mut self, now_ms: u64) {
        self.own.fill(now_ms);
        self.most.fill(now_ms);
    }
}

/// The queues of one device.
#[derive(Debug)]
pub(super) struct Htb {
    root: Bucket,
    queues: Vec<Queue>,
    numbers: BTreeMap<u32, usize>,
    /// Queues in which frames wait, in the order in which their turn comes.
    busy: VecDeque<usize>,
    waiting: usize,
}

impl Htb {
    pub fn new(max_rate: u64, rates: &BTreeMap<u32, QueueRates>, count: impl Fn(u32) -> QueueCount, now_ms: u64) -> Htb {
        let numbers = rates.keys().enumerate().map(|(place, number)| (*number, place)).collect();
        let queues = rates.iter().map(|(number, rates)| Queue::new(rates, count(*number), now_ms)).collect();
        Htb { root: Bucket::new(max_rate, 0, now_ms), queues, numbers, busy: VecDeque::new(), waiting: 0 }
    }

    pub fn waiting(&self) -> usize {
        self.waiting
    }

    pub fn counts(&self) -> impl Iterator<Item = (u32, QueueCount)> + '_ {
        self.numbers.iter().filter_map(|(number, place)| Some((*number, self.queues.get(*place)?.count)))
    }

    pub fn give_up(&mut self, frames: &mut Vec<Frame>) {
        for place in self.busy.drain(..) {
            frames.extend(self.queues.get_mut(place).into_iter().flat_map(|q| q.waiting.drain(..)));
        }
        self.waiting = 0;
    }

    pub fn enqueue(&mut self, frame: Frame, losses: &mut Losses<'_>) {
        let place = self.numbers.get(&frame.queue).or_else(|| self.numbers.get(&0)).copied();
        let Some((place, queue)) = place.and_then(|p| Some((p, self.queues.get_mut(p)?))) else {
            return losses.drop(frame, DropReason::QosQueueFull);
        };
        if queue.waiting.len() >= WAITING_MAX || !losses.may_hold() {
            queue.count.errors += 1;
            return losses.drop(frame, DropReason::QosQueueFull);
        }
        if queue.waiting.is_empty() {
            self.busy.push_back(place);
        }
        queue.waiting.push_back(frame);
        self.waiting += 1;
    }

    /// Lets go of what may leave now.
    pub fn release(&mut self, now_ms: u64, out: &mut Vec<Frame>) {
        self.root.fill(now_ms);
        for place in &self.busy {
            if let Some(queue) = self.queues.get_mut(*place) {
                queue.fill(now_ms);
            }
        }
        // Time stands still meanwhile: who may not send now may not later either.
        for borrows in [false, true] {
            let mut order: Vec<usize> = self.busy.iter().copied().collect();
            order.sort_by_key(|place| self.queues.get(*place).map_or(0, |q| q.priority));
            let mut rest = order.as_slice();
            while let Some(first) = rest.first() {
                let priority = |place: &usize| self.queues.get(*place).map_or(0, |q| q.priority);
                let alike = rest.iter().take_while(|p| priority(p) == priority(first)).count();
                let (group, later) = rest.split_at(alike);
                rest = later;
                self.serve(group.iter().copied().collect(), borrows, out);
            }
        }
        let queues = &self.queues;
        self.busy.retain(|place| queues.get(*place).is_some_and(|q| !q.waiting.is_empty()));
    }

    /// Lets queues of one priority send in turn, until none may.
    fn serve(&mut self, mut group: VecDeque<usize>, borrows: bool, out: &mut Vec<Frame>) {
        while let Some(place) = group.pop_front() {
            let Some(queue) = self.queues.get_mut(place) else { continue };
            if queue.deficit <= 0 {
                queue.deficit += queue.turn;
            }
            loop {
                let may = match borrows {
                    false => queue.own.is_open() && queue.most.is_open(),
                    true => queue.most.is_open() && self.root.is_open(),
                };
                if !may {
                    break;
                }
                if queue.deficit <= 0 {
                    // Its turn is over: the others come first, also the next time.
                    group.push_back(place);
                    if let Some(at) = self.busy.iter().position(|p| *p == place) {
                        self.busy.remove(at);
                        self.busy.push_back(place);
                    }
                    break;
                }
                let Some(frame) = queue.waiting.pop_front() else {
                    queue.deficit = 0;
                    break;
                };
                let bytes = frame.len();
                queue.deficit -= bytes as i64;
                queue.most.take(bytes);
                self.root.take(bytes);
                if !borrows {
                    queue.own.take(bytes);
                }
                queue.count.sent(bytes);
                self.waiting -= 1;
                out.push(frame);
            }
        }
    }
}

//! Station: what leaves a device first, and how fast.
//!
//! Purpose: frames that are queued to a device with quality of service go through its discipline on
//! their way out: they pass, wait, or are dropped for a reason; a queue may have a DSCP of its own.
//! Invariant: what waits is bounded by frames per queue and by half of the pool; each frame that
//! waits is counted as held. Nothing here is touched for devices without quality of service.
//! Deliberately does not know: which rule chose a queue, databases, clocks.

mod bucket;
mod htb;
mod policer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use sluice_flow::key::slot;
use sluice_flow::DropReason;
use sluice_frame::{Frame, Pool};
use sluice_wire::parse_part;

use crate::count::Counters;
use crate::rewrite;
use htb::Htb;
use policer::{Policer, TwoRate};

pub use htb::WAITING_MAX;

/// One queue of a hierarchy: what it is promised and what it may borrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRates {
    /// Bytes in a second that it has for itself.
    pub min_rate: u64,
    /// Bytes in a second at most.
    pub max_rate: u64,
    /// Bytes at once.
    pub burst: u64,
    /// Who borrows first: the lowest.
    pub priority: u32,
}

/// Two rates (RFC 4115): what is committed, and what may go beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TwoRates {
    /// Bytes in a second.
    pub cir: u64,
    /// Bytes at once.
    pub cbs: u64,
    /// Bytes in a second beyond that.
    pub eir: u64,
    /// Bytes of that at once.
    pub ebs: u64,
}

/// How frames leave.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Discipline {
    /// As they come.
    #[default]
    None,
    /// Hierarchical token bucket: queues share `max_rate` bytes a second.
    Htb {
        /// Bytes in a second.
        max_rate: u64,
        /// By number; frames of an unknown queue take queue 0.
        queues: BTreeMap<u32, QueueRates>,
    },
    /// What is above one rate is dropped.
    Policer {
        /// Bytes in a second, without Ethernet headers.
        cir: u64,
        /// Bytes at once.
        cbs: u64,
    },
    /// What is above two rates is dropped, by queue and then for all of them.
    TwoRate {
        /// For all.
        all: TwoRates,
        /// By number; frames of an unknown queue take queue 0.
        queues: BTreeMap<u32, TwoRates>,
    },
}

/// Quality of service of one device.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Plan {
    /// How frames leave.
    pub discipline: Discipline,
    /// DSCP of the frames of a queue.
    pub dscp: BTreeMap<u32, u8>,
}

impl Plan {
    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        self.discipline == Discipline::None && self.dscp.is_empty()
    }
}

/// What a queue has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCount {
    /// Frames sent.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames dropped.
    pub errors: u64,
}

impl QueueCount {
    fn sent(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

#[derive(Debug)]
enum Active {
    None,
    Htb(Htb),
    Policer(Policer),
    TwoRate(TwoRate),
}

/// One device's way out.
#[derive(Debug)]
pub struct Egress {
    active: Active,
    dscp: BTreeMap<u32, u8>,
}

/// Where frames that do not pass go.
pub(crate) struct Losses<'a> {
    pub pool: &'a mut Pool,
    pub counters: &'a mut Counters,
    /// Frames lost.
    pub lost: u64,
}

impl Losses<'_> {
    fn drop(&mut self, frame: Frame, reason: DropReason) {
        self.pool.free(frame);
        self.counters.drop(reason, 1);
        self.lost += 1;
    }

    /// Is there memory for one more frame that waits?
    fn may_hold(&self) -> bool {
        self.pool.available() * 2 >= self.pool.capacity()
    }
}

impl Egress {
    /// `None` where the plan asks for nothing. Queues that were there before go on counting.
    pub fn new(plan: &Plan, before: Option<&Egress>, now_ms: u64) -> Option<Egress> {
        if plan.is_empty() {
            return None;
        }
        let counts: BTreeMap<u32, QueueCount> = before.map_or(BTreeMap::new(), |b| b.counts().collect());
        let count = |queue: u32| counts.get(&queue).copied().unwrap_or_default();
        let active = match &plan.discipline {
            Discipline::None => Active::None,
            Discipline::Htb { max_rate, queues } => Active::Htb(Htb::new(*max_rate, queues, count, now_ms)),
            Discipline::Policer { cir, cbs } => Active::Policer(Policer::new(*cir, *cbs, now_ms)),
            Discipline::TwoRate { all, queues } => Active::TwoRate(TwoRate::new(all, queues, count, now_ms)),
        };
        Some(Egress { active, dscp: plan.dscp.clone() })
    }

    /// Frames that wait.
    pub fn waiting(&self) -> usize {
        match &self.active {
            Active::Htb(htb) => htb.waiting(),
            _ => 0,
        }
    }

    /// What each queue has done, by number.
    pub fn counts(&self) -> impl Iterator<Item = (u32, QueueCount)> + '_ {
        let (htb, two) = match &self.active {
            Active::Htb(htb) => (Some(htb.counts()), None),
            Active::TwoRate(two) => (None, Some(two.counts())),
            _ => (None, None),
        };
        htb.into_iter().flatten().chain(two.into_iter().flatten())
    }

    /// Takes frames that are to leave, and leaves those that may do so now, in order.
    pub(crate) fn pass(&mut self, frames: &mut Vec<Frame>, now_ms: u64, losses: &mut Losses<'_>) {
        if !self.dscp.is_empty() {
            frames.iter_mut().for_each(|f| self.remark(f));
        }
        match &mut self.active {
            Active::None => {}
            Active::Htb(htb) => {
                frames.drain(..).for_each(|f| htb.enqueue(f, losses));
                htb.release(now_ms, frames);
            }
            Active::Policer(policer) => policer.pass(frames, now_ms, losses),
            Active::TwoRate(two) => two.pass(frames, now_ms, losses),
        }
    }

    /// Gives up the frames that wait.
    pub(crate) fn give_up(&mut self, frames: &mut Vec<Frame>) {
        if let Active::Htb(htb) = &mut self.active {
            htb.give_up(frames);
        }
    }

    fn remark(&self, frame: &mut Frame) {
        let Some(dscp) = self.dscp.get(&frame.queue) else { return };
        let h = parse_part(frame.head(), frame.len());
        if h.is_ip() {
            rewrite::write(frame, &h, slot::NW_DSCP, u128::from(*dscp), slot::NW_DSCP.ones());
        }
    }
}

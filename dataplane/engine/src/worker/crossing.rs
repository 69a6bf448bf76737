//! Frames that cross between workers, and devices that move between them.
//!
//! Invariant: a device that moves takes along what waits in its queues; frames that reach its new
//! worker before it does wait for it, up to a bound.
//! Deliberately does not know: why a device moves.

use sluice_flow::{DropReason, PortIdx};
use sluice_frame::{Frame, Pool};

use super::{Slot, Worker};
use crate::count::Counters;
use crate::exchange::{Exchange, Link, Outcome, Owners};
use crate::meter::SharedMeters;
use crate::storm::Storm;
use crate::BATCH;

/// Frames that wait for a device that is about to move here; more are dropped.
const EXPECTING: usize = 4096;

/// A device between two workers.
pub struct Moving {
    slot: Slot,
    storm: Option<Storm>,
}

/// Gives frames for a device that is not served here to the worker that has it.
pub(super) fn hand_over(exchange: &mut Exchange, device: PortIdx, queue: &mut Vec<Frame>, pool: &mut Pool, counters: &mut Counters) {
    let reason = if exchange.expected == Some(device) {
        if queue.len() <= EXPECTING {
            return;
        }
        DropReason::TxQueueFull
    } else {
        let (handed, left) = exchange.hand_over(device, queue);
        counters.handed += handed;
        match left {
            Outcome::Nobody => DropReason::PortGone,
            Outcome::Full => DropReason::TxQueueFull,
        }
    };
    counters.drop(reason, queue.len() as u64);
    queue.drain(..).for_each(|f| pool.free(f));
}

impl Worker {
    /// Takes part in a switch of several workers.
    pub fn enrol(&mut self, owners: Owners, meters: SharedMeters) {
        self.exchange.enrol(owners);
        self.exits.meters.share(meters);
    }

    /// Exchanges frames with another worker from now on.
    pub fn meet(&mut self, other: usize, link: Link) {
        self.exchange.meet(other, link);
    }

    /// The other worker has ended; what it handed over last is sent.
    pub fn part(&mut self, other: usize) {
        let Some(link) = self.exchange.part(other) else { return };
        let (exits, mut taken) = (&mut self.exits, 0);
        link.drain(|device, frame| {
            exits.queue(device, frame);
            taken += 1;
        });
        self.exits.counters.taken += taken;
        self.flush();
    }

    /// Sends what other workers handed over; how many frames.
    pub fn take_crossings(&mut self) -> usize {
        let exits = &mut self.exits;
        let taken = self.exchange.take(|device, frame| exits.queue(device, frame));
        if taken > 0 {
            self.exits.counters.taken += taken;
            self.flush();
        }
        taken as usize
    }

    /// Sends all that other workers handed over until now.
    pub fn take_all_crossings(&mut self) {
        while self.take_crossings() > 0 {}
    }

    /// Workers that frames were handed to since the last time, a bit each: they may have to be woken.
    pub fn take_called(&mut self) -> u64 {
        self.exchange.take_called()
    }

    /// A device is about to move here: frames for it wait from now on.
    pub fn expect(&mut self, device: PortIdx) {
        self.exchange.expected = Some(device);
    }

    /// The device that was about to move here does not.
    pub fn expect_no_more(&mut self) {
        self.exchange.expected = None;
        self.flush();
    }

    /// Drops what waits in this worker, which is going to end.
    pub fn finish(&mut self) {
        self.exchange.expected = None;
        self.take_all_crossings();
        self.flush();
        self.exits.expire_fragments(&self.tracker.reassembly, u64::MAX);
    }

    /// Gives up a device that another worker is going to serve.
    pub fn give_up(&mut self, device: PortIdx) -> Option<Moving> {
        self.take_all_crossings();
        let slot = self.ports.get_mut(usize::from(device)).and_then(Option::take)?;
        self.shaped.retain(|d| *d != device);
        let waiting = slot.egress.as_ref().map_or(0, |e| e.waiting() as u64);
        self.exits.counters.held_queued -= waiting;
        self.exits.counters.handed += waiting;
        Some(Moving { slot, storm: self.exits.storms.take(device) })
    }

    /// Serves a device that another worker gave up.
    pub fn take_over(&mut self, device: PortIdx, Moving { slot, storm }: Moving) {
        let at = usize::from(device);
        while self.ports.len() <= at {
            self.ports.push(None);
        }
        if self.exits.queues.len() < self.ports.len() {
            self.exits.queues.resize_with(self.ports.len(), || Vec::with_capacity(2 * BATCH));
        }
        self.remove_port(device);
        self.exits.storms.put(device, storm);
        self.exchange.expected = None;
        let waiting = slot.egress.as_ref().map_or(0, |e| e.waiting() as u64);
        self.exits.counters.held_queued += waiting;
        self.exits.counters.taken += waiting;
        if slot.egress.is_some() {
            self.shaped.push(device);
        }
        if let Some(place) = self.ports.get_mut(at) {
            *place = Some(slot);
        }
        self.views.refresh(&self.program, self.ports.len());
        self.flush();
    }
}

//! Receive queues of a device that are served apart from it, by any worker.
//!
//! Purpose: one device's frames come in at several workers. Its own worker has the device, its first queue
//! and all that leaves by it; the others reach it by their rings, as for any device that they do not serve.
//! Invariant: a queue is served by one worker, so a flow that the device keeps to one queue keeps its order.
//! What a device may hand in ([`crate::police`], [`crate::storm`]) is minded only by the worker that has the
//! device: queues of one that is limited belong there.
//! Deliberately does not know: which worker is to serve which queue.

use sluice_flow::PortIdx;
use sluice_port::Port;

use super::{Source, Worker};
use crate::count::PortCounters;
use crate::BATCH;

/// A receive queue, and what came in by it.
pub struct Intake {
    pub(super) device: PortIdx,
    queue: u16,
    port: Box<dyn Port>,
    counters: PortCounters,
    gone: bool,
}

impl Intake {
    pub(super) fn source(&mut self) -> Source<'_> {
        Source { port: &mut self.port, counters: &mut self.counters, gone: &mut self.gone }
    }

    /// The device that it belongs to, and its number there.
    pub fn place(&self) -> (PortIdx, u16) {
        (self.device, self.queue)
    }

    /// The queue itself, to ask it something.
    pub fn port(&self) -> &dyn Port {
        &*self.port
    }
}

impl Worker {
    /// Takes those receive queues out of a device's port that can be served apart from it.
    pub fn split(&mut self, device: PortIdx) -> Vec<Intake> {
        let Some(Some(slot)) = self.ports.get_mut(usize::from(device)) else { return Vec::new() };
        let intake = |(queue, port)| Intake { device, queue, port, counters: PortCounters::default(), gone: false };
        slot.port.intakes().into_iter().map(intake).collect()
    }

    /// Serves a receive queue of a device from the next turn on.
    pub fn add_intake(&mut self, intake: Intake) {
        let at = usize::from(intake.device);
        self.close_intake(intake.place());
        // Places below the number of ports are those of devices.
        while self.ports.len() <= at {
            self.ports.push(None);
        }
        if self.exits.queues.len() < self.ports.len() {
            self.exits.queues.resize_with(self.ports.len(), || Vec::with_capacity(2 * BATCH));
        }
        let after = self.intakes.partition_point(|i| i.place() < intake.place());
        self.intakes.insert(after, intake);
        self.views.refresh(&self.program, self.ports.len());
    }

    /// Stops to serve a receive queue; all that came in by it was handed on.
    pub fn give_intake(&mut self, place: (PortIdx, u16)) -> Option<Intake> {
        let at = self.intakes.iter().position(|i| i.place() == place)?;
        Some(self.intakes.remove(at))
    }

    /// Closes a receive queue that is served here.
    pub fn close_intake(&mut self, place: (PortIdx, u16)) {
        if let Some(intake) = self.give_intake(place) {
            self.discard_intake(intake);
        }
    }

    /// Closes a receive queue that nobody serves.
    pub fn discard_intake(&mut self, intake: Intake) {
        intake.port.close(&mut self.exits.pool);
    }

    /// The receive queues that are served here, and what came in by them.
    pub fn intakes(&self) -> impl Iterator<Item = (&Intake, PortCounters)> {
        self.intakes.iter().map(|i| (i, i.counters))
    }

    pub(super) fn arm_intakes(&mut self) -> bool {
        self.intakes.iter_mut().fold(true, |quiet, i| i.port.arm() && quiet)
    }

    pub(super) fn look_again_at_intakes(&mut self) {
        self.intakes.iter_mut().for_each(|i| i.port.device_changed());
    }
}

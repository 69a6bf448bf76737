//! What the control side asks of a worker, between two turns.
//!
//! Deliberately does not know: how requests and answers travel between threads.

use std::sync::Arc;

use sluice_flow::action::{Action, OfPort};
use sluice_flow::cache::FlowCache;
use sluice_flow::key::{slot, TUN_OPTION_WORDS};
use sluice_flow::decide::Frozen;
use sluice_flow::{BridgeIdx, DropReason, Event, Key, Op, PortIdx, Program};
use sluice_frame::Pool;
use sluice_port::{Port, PortError};
use sluice_wire::Headers;

use super::{Punted, Received, Slot, Worker, RUNT};
use sluice_conntrack::{Metadata, Tracker};

use crate::apply::Route;
use crate::police::{Policer, Rates};
use crate::storm::FloodRates;
use crate::count::{Counters, Report, RuleUse};
use crate::egress::{Egress, Plan};
use crate::store::Store;
use crate::{service, BATCH};

/// What is to be done with a controller's packet.
pub enum Work<'a> {
    /// These actions.
    Execute {
        /// Bridge.
        bridge: BridgeIdx,
        /// What to do.
        actions: &'a Arc<[Action]>,
    },
    /// What was still to be done when it was paused.
    Resume(&'a Frozen),
}

/// Registers, metadata, tunnel, connection: all that is in no header.
fn take_pipeline(key: &mut Key, pipeline: &Key) {
    for words in [slot::IN_PORT.word..slot::CONJ_ID.word + 1, TUN_OPTION_WORDS] {
        let words = usize::from(words.start)..usize::from(words.end);
        if let (Some(to), Some(from)) = (key.words.get_mut(words.clone()), pipeline.words.get(words)) {
            to.copy_from_slice(from);
        }
    }
    key.set(slot::PACKET_TYPE, pipeline.get(slot::PACKET_TYPE));
}

impl Worker {
    /// Runs a new program from the next batch on. Verdicts that its changes cannot touch stay.
    pub fn adopt(&mut self, program: Arc<Program>) {
        let (old, new) = (self.epoch, program.epoch());
        if old >> 31 != new >> 31 {
            self.forget_all();
        } else {
            self.store.touch(&program, old);
        }
        self.program = Arc::new(program);
        self.epoch = new;
        if self.views.is_outdated(&self.program) {
            self.forget_all();
            self.views.forget_continuations();
        }
        self.views.refresh(&self.program, self.ports.len());
    }

    /// Shares a table of connections with other workers and the control side; the table knows the worker by
    /// this place ([`Tracker::register`]).
    pub fn set_tracker(&mut self, tracker: Arc<Tracker>, place: Option<usize>) {
        self.tracked_as = place.unwrap_or(usize::MAX);
        self.tracker = tracker;
    }

    /// The table of connections.
    pub fn tracker(&self) -> &Arc<Tracker> {
        &self.tracker
    }

    /// Goes on with a program that was let go of, or with a newer one.
    pub fn take_program_back(&mut self, program: Arc<Program>) {
        if program.epoch() == self.epoch {
            self.program = Arc::new(program);
        } else {
            self.adopt(program);
        }
    }

    /// Epoch of the program that it runs.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Lets go of the program, so that the control side may change it; adopt one before the next turn.
    pub fn release_program(&mut self) -> Arc<Program> {
        Arc::unwrap_or_clone(std::mem::take(&mut self.program))
    }

    /// Puts a port at a device's place.
    pub fn add_port(&mut self, device: PortIdx, port: Box<dyn Port>) {
        let at = device as usize;
        while self.ports.len() <= at {
            self.ports.push(None);
        }
        if self.exits.queues.len() < self.ports.len() {
            self.exits.queues.resize_with(self.ports.len(), || Vec::with_capacity(2 * BATCH));
        }
        self.remove_port(device);
        self.quiet.heard(at, 1);
        if let Some(place) = self.ports.get_mut(at) {
            *place = Some(Slot::new(port));
        }
        self.views.refresh(&self.program, self.ports.len());
    }

    /// Prepares to sleep until a port's descriptor wakes the thread: false when frames wait already.
    pub fn arm(&mut self) -> bool {
        let quiet = !self.exchange.has_waiting() & self.arm_intakes();
        self.ports.iter_mut().flatten().fold(quiet, |quiet, slot| slot.port.arm() && quiet)
    }

    /// Sets what a device may hand in.
    pub fn police(&mut self, device: PortIdx, rates: Rates) {
        if let Some(Some(slot)) = self.ports.get_mut(device as usize) {
            slot.police = Policer::new(rates, self.now_ms);
        }
    }

    /// Sets what may be flooded of what a device hands in.
    pub fn limit_floods(&mut self, device: PortIdx, rates: FloodRates) {
        self.exits.storms.set(device, rates, self.now_ms);
    }

    /// Takes a port away and closes it.
    pub fn remove_port(&mut self, device: PortIdx) {
        if let Some(old) = self.ports.get_mut(device as usize).and_then(Option::take) {
            old.close(&mut self.exits.pool, &mut self.exits.counters);
        }
        self.shaped.retain(|d| *d != device);
        self.exits.storms.put(device, None);
    }

    /// Sets what leaves by a device first, and how fast. Frames that wait there keep waiting.
    pub fn shape(&mut self, device: PortIdx, plan: &Plan) {
        let Some(Some(slot)) = self.ports.get_mut(device as usize) else { return };
        let mut waiting = Vec::new();
        if let Some(old) = &mut slot.egress {
            old.give_up(&mut waiting);
        }
        self.exits.counters.held_queued -= waiting.len() as u64;
        slot.egress = Egress::new(plan, slot.egress.as_deref(), self.now_ms).map(Box::new);
        self.shaped.retain(|d| *d != device);
        if slot.egress.is_some() {
            self.shaped.push(device);
        }
        slot.send(&mut waiting, &mut self.exits.pool, &mut self.exits.counters, self.now_ms);
    }

    /// Do frames wait for their time? Then turns are needed although nothing comes in.
    pub fn needs_time(&self) -> bool {
        self.exits.counters.held_queued > 0
    }

    /// The memory of this worker's frames, to make ports with.
    pub fn pool_mut(&mut self) -> &mut Pool {
        &mut self.exits.pool
    }

    /// A port, to ask it something.
    pub fn port(&self, device: PortIdx) -> Option<&dyn Port> {
        Some(&*self.ports.get(device as usize)?.as_ref()?.port)
    }

    /// Devices of the host may have changed or gone: ports look again.
    pub fn look_again(&mut self) {
        self.ports.iter_mut().flatten().for_each(|slot| slot.port.device_changed());
        self.look_again_at_intakes();
    }

    /// Executes actions on a packet that a controller sent.
    pub fn inject(&mut self, bridge: BridgeIdx, in_port: OfPort, actions: &Arc<[Action]>, bytes: &[u8], now_ms: u64) {
        let mut pipeline = Key::ZERO;
        pipeline.set(slot::IN_PORT, u64::from(in_port));
        self.inject_with(&Work::Execute { bridge, actions }, &pipeline, bytes, now_ms);
    }

    /// Does something with a packet that a controller sent, whose fields beside the headers are these.
    pub fn inject_with(&mut self, work: &Work<'_>, pipeline: &Key, bytes: &[u8], now_ms: u64) {
        self.now_ms = now_ms;
        self.exits.counters.injected += 1;
        let Some(mut frame) = self.exits.pool.alloc() else {
            return self.exits.counters.drop(DropReason::NoBuffer, 1);
        };
        let packet_type = pipeline.get(slot::PACKET_TYPE);
        let blank = (packet_type != 0).then(|| service::with_blank_ethernet(packet_type, bytes));
        let bytes = blank.as_deref().unwrap_or(bytes);
        if !frame.fill(bytes) {
            return self.exits.drop(frame, DropReason::TxTooLong);
        }
        if bytes.len() < RUNT {
            return self.exits.drop(frame, DropReason::Runt);
        }
        let program = self.program.clone();
        let mut key = Key::ZERO;
        let headers = sluice_wire::parse(frame.head());
        sluice_flow::extract::extract_part(frame.head(), frame.len(), &headers, &mut key);
        key.set(slot::STAGE, 0);
        take_pipeline(&mut key, pipeline);
        let decision = match work {
            Work::Execute { bridge, actions } => {
                let in_port = pipeline.get(slot::IN_PORT) as OfPort;
                self.decider.execute(&program, *bridge, in_port, actions, &key, now_ms)
            }
            Work::Resume(frozen) => self.decider.resume(&program, frozen, &key, now_ms),
        };
        self.outbox.extend(decision.events);
        let used = RuleUse { packets: 1, bytes: bytes.len() as u64, last_ms: now_ms };
        self.store.count_once(&decision.verdict, used);
        self.tracker.enter(self.tracked_as);
        let (tracker, md) = (&*self.tracker, Metadata::default());
        let mut route = Route { program: &program, views: &mut self.views, drop: decision.verdict.drop, now_ms, tracker, md, way: None };
        self.exits.apply(frame, headers, &decision.verdict.ops, &mut route);
        self.process_unwrapped();
        self.flush();
        self.tracker.leave(self.tracked_as);
    }

    /// Sends a frame by a device, past the tables (ARP requests of the switch itself).
    pub fn transmit(&mut self, device: PortIdx, bytes: &[u8]) {
        self.exits.counters.injected += 1;
        let frame = self.exits.pool.alloc();
        let Some(mut frame) = frame else { return self.exits.counters.drop(DropReason::NoBuffer, 1) };
        if !frame.fill(bytes) {
            return self.exits.drop(frame, DropReason::TxTooLong);
        }
        self.exits.apply(
            frame,
            Headers::default(),
            &[Op::Output(device)],
            &mut Route {
                program: &self.program,
                views: &mut self.views,
                drop: None,
                now_ms: self.now_ms,
                tracker: &self.tracker,
                md: Metadata::default(),
                way: None,
            },
        );
        self.flush();
    }

    /// What was counted; rule, table and crossing counts since the last report.
    pub fn report(&mut self) -> Report {
        let mut report = self.store.take_folded();
        report.epoch = self.epoch;
        report.meters = self.exits.meters.take_counts();
        report.counters = self.exits.counters.clone();
        report.flows = self.caches.len();
        report.verdicts = self.store.len();
        let queues = self.shaped.iter().filter_map(|d| Some((*d, self.ports.get(usize::from(*d))?.as_ref()?.egress.as_ref()?)));
        report.queues = queues.map(|(device, egress)| (device, egress.counts().collect())).collect();
        report.ports = self
            .ports
            .iter()
            .enumerate()
            .filter_map(|(i, s)| Some((i as PortIdx, s.as_ref()?.counters)))
            .collect();
        report.intakes = self.intakes().map(|(intake, counters)| (intake.place(), counters)).collect();
        report
    }

    /// Frames by fate, so far.
    pub fn counters(&self) -> &Counters {
        &self.exits.counters
    }

    /// What the control side is asked to do since the last time.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.outbox.take()
    }

    /// Does the control side have something to do for this worker?
    pub fn has_news(&self) -> bool {
        !self.outbox.is_empty() || !self.exits.punts.is_empty() || !self.exits.protocols.is_empty() || !self.trouble.is_empty()
    }

    /// Messages of the switch's own protocols since the last time.
    pub fn take_protocols(&mut self) -> Vec<Received> {
        std::mem::take(&mut self.exits.protocols)
    }

    /// Copies for the controllers since the last time.
    pub fn take_punts(&mut self) -> Vec<Punted> {
        std::mem::take(&mut self.exits.punts)
    }

    /// Ports that reported trouble since the last time.
    pub fn take_trouble(&mut self) -> Vec<(PortIdx, PortError)> {
        std::mem::take(&mut self.trouble)
    }

    /// Has no port anything more to hand in, ever?
    pub fn is_finished(&self) -> bool {
        self.ports.iter().flatten().all(|s| s.port.is_finished())
    }

    pub(super) fn forget_all(&mut self) {
        self.caches.narrow.clear();
        self.caches.wide.clear();
        self.alike.clear();
        self.births.clear();
        self.store.release_all();
    }

    /// Are flows moving to a larger cache?
    pub fn is_growing(&self) -> bool {
        self.caches.narrow.is_growing() || self.caches.wide.is_growing()
    }

    /// Flows move to a larger cache a few in each turn, so that no packet waits for many.
    pub(super) fn grow_caches(&mut self) {
        go_on_growing(&mut self.caches.narrow, &mut self.store);
        go_on_growing(&mut self.caches.wide, &mut self.store);
    }
}

#[inline]
fn go_on_growing<const K: usize, const E: usize>(cache: &mut FlowCache<K, E>, store: &mut Store) {
    if cache.wants_to_grow() {
        cache.grow();
    }
    if cache.is_growing() {
        cache.go_on_growing(|verdict| store.release(verdict));
    }
}

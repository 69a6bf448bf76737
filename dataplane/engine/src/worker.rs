//! One worker: its ports, its cache, and the loop that moves frames.
//!
//! Invariant: between two calls no frame is in flight: all are home, queued in a port, or gone.
//! Deliberately does not know: threads, sleeping, where time comes from.

mod batch;
mod births;
pub mod control;
pub mod crossing;
mod executor;
pub mod flows;
pub mod intakes;
mod judge;
mod runs;

use std::sync::Arc;

use sluice_flow::action::{OfPort, Punt};
use sluice_flow::fdb::Versions;
use sluice_flow::hash::Seeds;
use sluice_flow::{BridgeIdx, Decider, DropReason, Key, PortIdx, Program, RuleId};
use sluice_frame::{Frame, Pool};
use sluice_port::{Port, PortError, SendDrop};

use sluice_conntrack::{Birth, Tracker};

use crate::apply::Exits;
use crate::alike::Alike;
use crate::classify::Caches;
use crate::count::{Counters, PortCounters};
use crate::decide::Outbox;
use crate::door::Door;
use crate::egress::{Egress, Losses};
use crate::exchange::Exchange;
use crate::fair::{Fair, Work};
use crate::quiet::Quiet;
use crate::police::Policer;
use crate::store::Store;
use crate::joined::Carried;
use crate::view::Views;
use crate::BATCH;

/// Shortest frame that is looked at.
const RUNT: usize = 14;

/// A copy of a packet for the controllers.
#[derive(Clone, Debug)]
pub struct Punted {
    /// Bridge.
    pub bridge: BridgeIdx,
    /// Port that it came in by.
    pub in_port: OfPort,
    /// Table of the rule that sent it.
    pub table: u8,
    /// That rule.
    pub rule: Option<RuleId>,
    /// What was asked for.
    pub punt: Arc<Punt>,
    /// The fields that are not in the packet: registers, metadata, tunnel, connection.
    pub state: Arc<Key>,
    /// The packet, or its beginning.
    pub bytes: Vec<u8>,
    /// Length of the whole packet.
    pub total_len: usize,
}

/// A message of one of the switch's own protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bridge.
    pub bridge: BridgeIdx,
    /// Port that it came in by.
    pub port: OfPort,
    /// The packet, or its beginning.
    pub bytes: Vec<u8>,
}

/// What a worker is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Flows that the narrow cache may hold; the wide one a quarter of it.
    pub flows: usize,
    /// Hash seeds: random in a daemon, fixed in replay and tests.
    pub seeds: Seeds,
    /// Versions of learned addresses, shared by all workers and bridges.
    pub versions: Arc<Versions>,
}

struct Slot {
    port: Box<dyn Port>,
    counters: PortCounters,
    /// The device is gone; someone was told.
    gone: bool,
    /// What it may hand in.
    police: Option<Policer>,
    /// What leaves by it first, and how fast.
    egress: Option<Box<Egress>>,
}

/// What frames are received from.
struct Source<'a> {
    port: &'a mut Box<dyn Port>,
    counters: &'a mut PortCounters,
    gone: &'a mut bool,
}

/// One worker.
pub struct Worker {
    /// Counted twice: what a turn clones is this worker's own, so workers that share a program write to no
    /// memory that another one reads.
    program: Arc<Arc<Program>>,
    /// Epoch that the cache was last made to agree with.
    epoch: u64,
    ports: Vec<Option<Slot>>,
    /// Receive queues of devices that are served apart from them, by device and queue.
    intakes: Vec<intakes::Intake>,
    exits: Exits,
    /// Frames from and to other workers.
    exchange: Exchange,
    caches: Caches,
    alike: Alike,
    /// Of first packets of connections, their whole way.
    births: Alike,
    /// Counts those whose way is not known.
    born: u32,
    /// Room for those that open connections.
    cradle: Vec<Birth>,
    door: Door,
    store: Store,
    views: Views,
    decider: Decider,
    outbox: Outbox,
    versions: Arc<Versions>,
    fair: Fair,
    quiet: Quiet,
    now_ms: u64,
    received: Vec<Frame>,
    batch: batch::Batch,
    trouble: Vec<(PortIdx, PortError)>,
    /// Verdicts that flows let go of during this batch.
    released: Vec<u32>,
    /// Devices with quality of service.
    shaped: Vec<PortIdx>,
    pub(crate) tracker: Arc<Tracker>,
    /// Where the tracker knows this worker by.
    pub(crate) tracked_as: usize,
    /// What the tracker said of each frame of the batch that resumes; empty for one from outside.
    carried: Vec<Carried>,
    /// Room for frames that are sorted.
    aside: Vec<Frame>,
    /// Room for the same of the batch that is being gathered.
    carrying: Vec<Carried>,
}

impl Worker {
    /// A worker without ports, with an empty program.
    pub fn new(pool: Pool, settings: Settings) -> Self {
        let tracker = Arc::new(Tracker::new(sluice_conntrack::Settings::default()));
        Worker {
            tracked_as: tracker.register().unwrap_or(usize::MAX),
            tracker,
            program: Arc::default(),
            epoch: 0,
            ports: Vec::new(),
            intakes: Vec::new(),
            exits: Exits::new(pool),
            exchange: Exchange::default(),
            caches: Caches::new(settings.flows, settings.seeds),
            alike: Alike::new(settings.seeds),
            births: Alike::new(settings.seeds),
            born: 0,
            cradle: Vec::new(),
            door: Door::default(),
            store: Store::new(settings.seeds),
            views: Views::default(),
            decider: Decider::default(),
            outbox: Outbox::default(),
            versions: settings.versions,
            fair: Fair::default(),
            quiet: Quiet::default(),
            now_ms: 0,
            received: Vec::with_capacity(BATCH),
            batch: batch::Batch::default(),
            trouble: Vec::new(),
            released: Vec::new(),
            shaped: Vec::new(),
            carried: Vec::new(),
            aside: Vec::new(),
            carrying: Vec::new(),
        }
    }

    /// One turn: a batch from each port, through all stations. Returns the frames received.
    pub fn turn(&mut self, now_ms: u64) -> usize {
        self.now_ms = now_ms;
        let crossed = self.take_crossings();
        self.tracker.enter(self.tracked_as);
        self.quiet.begin();
        let mut work = self.serve();
        let left_out = self.quiet.end(work);
        if work == 0 && (self.fair.forgive() || left_out) {
            work = self.serve();
        }
        self.tracker.leave(self.tracked_as);
        self.tracker.expire(now_ms);
        self.exits.expire_fragments(&self.tracker.reassembly, now_ms);
        if !self.shaped.is_empty() {
            self.send_waiting();
        }
        self.grow_caches();
        if self.views.is_nearly_full() {
            // Peers that are still there come back with their next packet.
            self.forget_all();
            self.views.forget_continuations();
        }
        work + crossed
    }

    /// A batch from each port that owes nothing, and from each queue of its device that is served here.
    fn serve(&mut self) -> usize {
        self.fair.begin();
        let (mut work, mut intake) = (0, 0);
        for device in 0..self.ports.len() {
            let its_turn = self.quiet.is_due(device) && self.fair.may_serve(device);
            let mut got = 0;
            if its_turn {
                got = self.serve_from(device as PortIdx, None);
            }
            while self.intakes.get(intake).is_some_and(|i| usize::from(i.device) == device) {
                if its_turn {
                    got += self.serve_from(device as PortIdx, Some(intake));
                }
                intake += 1;
            }
            if its_turn {
                self.quiet.heard(device, got);
                work += got;
            }
        }
        if work == 0 {
            // What was left by others than ports.
            self.process_unwrapped();
            self.flush();
        }
        work
    }

    /// A batch from a device's port, or from one of its queues that are served apart.
    fn serve_from(&mut self, device: PortIdx, intake: Option<usize>) -> usize {
        let mut frames = std::mem::take(&mut self.received);
        let work = self.receive(device, intake, &mut frames);
        if frames.is_empty() {
            // To look through all queues for each port would cost the square of their number.
            self.received = frames;
            return work;
        }
        let before = self.work_done();
        self.unwrap_known(u32::from(device), &mut frames);
        self.process(u32::from(device), &mut frames);
        self.received = frames;
        self.process_unwrapped();
        self.flush();
        self.fair.charge(usize::from(device), before, self.work_done());
        work
    }

    fn work_done(&self) -> Work {
        Work { misses: self.exits.counters.misses, alike: self.exits.counters.alike, copied: self.exits.counters.copied }
    }

    fn receive(&mut self, device: PortIdx, intake: Option<usize>, frames: &mut Vec<Frame>) -> usize {
        let slot = self.ports.get_mut(usize::from(device)).and_then(Option::as_mut);
        let (source, police) = match intake.map(|at| self.intakes.get_mut(at)) {
            None => match slot {
                Some(slot) => (Source { port: &mut slot.port, counters: &mut slot.counters, gone: &mut slot.gone }, slot.police.as_mut()),
                None => return 0,
            },
            Some(Some(intake)) => (intake.source(), slot.and_then(|s| s.police.as_mut())),
            Some(None) => return 0,
        };
        if *source.gone {
            return 0;
        }
        let got = match source.port.receive(&mut self.exits.pool, frames, BATCH) {
            Ok(got) => got,
            Err(e) => {
                *source.gone = e.is_gone();
                self.trouble.push((device, e));
                frames.len()
            }
        };
        let bytes: u64 = frames.iter().map(|f| f.len() as u64).sum();
        source.counters.rx_packets += got as u64;
        source.counters.rx_bytes += bytes;
        self.exits.counters.received += got as u64;
        self.exits.counters.received_bytes += bytes;
        if let Some(police) = police {
            police.fill(self.now_ms);
            for f in part(frames, |f| police.admits(f.len())) {
                self.exits.drop(f, DropReason::Policed);
            }
        }
        got
    }

    /// Takes frames that start at `stage` through parse, classify, decide and apply.
    fn process(&mut self, stage: u32, frames: &mut Vec<Frame>) {
        if frames.is_empty() {
            return;
        }
        let program = self.program.clone();
        if self.carried.is_empty() {
            self.drop_runts(frames);
        }
        let mut batch = std::mem::take(&mut self.batch);
        match self.classify(&program, stage, frames, &mut batch) {
            true => self.apply(&program, stage, frames, &batch),
            false => frames.drain(..).for_each(|f| self.exits.drop(f, DropReason::PortGone)),
        }
        self.batch = batch;
        for verdict in self.released.drain(..) {
            self.store.release(verdict);
        }
    }

    fn drop_runts(&mut self, frames: &mut Vec<Frame>) {
        for f in part(frames, |f| f.head().len() >= RUNT) {
            self.exits.drop(f, DropReason::Runt);
        }
    }

    /// Hands every queue to its device.
    fn flush(&mut self) {
        for (i, queue) in self.exits.queues.iter_mut().enumerate() {
            if queue.is_empty() {
                continue;
            }
            let Some(Some(slot)) = self.ports.get_mut(i) else {
                let counters = &mut self.exits.counters;
                crossing::hand_over(&mut self.exchange, i as PortIdx, queue, &mut self.exits.pool, counters);
                continue;
            };
            slot.send(queue, &mut self.exits.pool, &mut self.exits.counters, self.now_ms);
        }
    }

    /// Frames that waited in queues of ports, and may leave now.
    fn send_waiting(&mut self) {
        for device in &self.shaped {
            let Some(Some(slot)) = self.ports.get_mut(usize::from(*device)) else { continue };
            if slot.egress.as_ref().is_some_and(|e| e.waiting() > 0) {
                let Some(queue) = self.exits.queues.get_mut(usize::from(*device)) else { continue };
                slot.send(queue, &mut self.exits.pool, &mut self.exits.counters, self.now_ms);
            }
        }
    }
}

impl Slot {
    fn new(port: Box<dyn Port>) -> Slot {
        Slot { port, counters: PortCounters::default(), gone: false, police: None, egress: None }
    }

    /// Hands frames to the device, those first that its quality of service lets out now.
    fn send(&mut self, queue: &mut Vec<Frame>, pool: &mut Pool, counters: &mut Counters, now_ms: u64) {
        if let Some(egress) = &mut self.egress {
            let waited = egress.waiting() as u64;
            let mut losses = Losses { pool, counters, lost: 0 };
            egress.pass(queue, now_ms, &mut losses);
            self.counters.tx_dropped += losses.lost;
            counters.held_queued = counters.held_queued + egress.waiting() as u64 - waited;
            if queue.is_empty() {
                return;
            }
        }
        let outcome = self.port.send(pool, queue);
        self.counters.tx_packets += u64::from(outcome.sent);
        self.counters.tx_bytes += outcome.sent_bytes;
        self.counters.tx_dropped += u64::from(outcome.dropped_total());
        counters.sent += u64::from(outcome.sent);
        for reason in SendDrop::ALL {
            counters.drop(drop_reason(reason), u64::from(outcome.dropped_for(reason)));
        }
    }

    /// Closes the device; what waits for it is lost.
    fn close(mut self, pool: &mut Pool, counters: &mut Counters) {
        if let Some(egress) = &mut self.egress {
            let mut frames = Vec::new();
            egress.give_up(&mut frames);
            counters.held_queued -= frames.len() as u64;
            counters.drop(DropReason::PortGone, frames.len() as u64);
            frames.into_iter().for_each(|f| pool.free(f));
        }
        self.port.close(pool);
    }
}

/// Keeps the frames that `keeps` wants, in their order; the others come out.
fn part<'a>(frames: &'a mut Vec<Frame>, mut keeps: impl FnMut(&Frame) -> bool) -> std::vec::Drain<'a, Frame> {
    let mut kept = 0;
    for at in 0..frames.len() {
        if frames.get(at).is_some_and(&mut keeps) {
            if kept != at {
                frames.swap(kept, at);
            }
            kept += 1;
        }
    }
    frames.drain(kept..)
}

/// What a port, or completing a frame for one, calls a reason.
pub(crate) fn drop_reason(reason: SendDrop) -> DropReason {
    match reason {
        SendDrop::QueueFull => DropReason::TxQueueFull,
        SendDrop::TooLong => DropReason::TxTooLong,
        SendDrop::Down => DropReason::PortDown,
        SendDrop::BadOffload => DropReason::BadOffload,
        SendDrop::NoMemory => DropReason::NoBuffer,
        SendDrop::Refused => DropReason::TxError,
        SendDrop::Injected => DropReason::Injected,
    }
}

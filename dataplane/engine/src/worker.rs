//! One worker: its ports, its cache, and the loop that moves frames.
//!
//! Invariant: between two calls no frame is in flight: all are home, queued in a port, or gone.
//! Deliberately does not know: threads, sleeping, where time comes from.

use std::sync::Arc;

use sluice_flow::action::{Action, OfPort, Punt};
use sluice_flow::fdb::Versions;
use sluice_flow::hash::Seeds;
use sluice_flow::key::{slot, NARROW_WORDS};
use sluice_flow::{BridgeIdx, Decider, DropReason, Event, Op, PortIdx, Program, RuleId};
use sluice_frame::{Frame, Pool};
use sluice_port::{Port, PortError, SendDrop};
use sluice_wire::{Headers, PackedHeaders};

use crate::apply::{Exits, Route};
use crate::classify::{look_up, Caches, Found, Now};
use crate::count::{Counters, PortCounters, Report, RuleUse};
use crate::decide::{self, Outbox};
use crate::store::Store;
use crate::view::{View, Views, Width};
use crate::{parse, BATCH};

/// Times that one frame may be unwrapped and classified anew.
const AGAIN_MAX: usize = 8;
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
    /// The packet, or its beginning.
    pub bytes: Vec<u8>,
    /// Length of the whole packet.
    pub total_len: usize,
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
}

/// One worker.
pub struct Worker {
    program: Arc<Program>,
    /// Epoch that the cache was last made to agree with.
    epoch: u64,
    ports: Vec<Option<Slot>>,
    exits: Exits,
    caches: Caches,
    store: Store,
    views: Views,
    decider: Decider,
    outbox: Outbox,
    versions: Arc<Versions>,
    now_ms: u64,
    received: Vec<Frame>,
    batch: Batch,
    trouble: Vec<(PortIdx, PortError)>,
    /// Verdicts that flows let go of during this batch.
    released: Vec<u32>,
}

/// What the stations hand on for each frame of a batch.
#[derive(Default)]
struct Batch {
    words: Vec<[u64; NARROW_WORDS]>,
    headers: Vec<PackedHeaders>,
    hashes: Vec<u64>,
    verdicts: Vec<u32>,
}

impl Worker {
    /// A worker without ports, with an empty program.
    pub fn new(pool: Pool, settings: Settings) -> Self {
        Worker {
            program: Arc::new(Program::new()),
            epoch: 0,
            ports: Vec::new(),
            exits: Exits::new(pool),
            caches: Caches::new(settings.flows, settings.seeds),
            store: Store::default(),
            views: Views::default(),
            decider: Decider::default(),
            outbox: Outbox::default(),
            versions: settings.versions,
            now_ms: 0,
            received: Vec::with_capacity(BATCH),
            batch: Batch::default(),
            trouble: Vec::new(),
            released: Vec::new(),
        }
    }

    /// One turn: a batch from each port, through all stations. Returns the frames received.
    pub fn turn(&mut self, now_ms: u64) -> usize {
        self.now_ms = now_ms;
        let mut work = 0;
        for device in 0..self.ports.len() {
            let mut frames = std::mem::take(&mut self.received);
            work += self.receive(device as PortIdx, &mut frames);
            self.process(device as u32, &mut frames);
            self.received = frames;
            self.process_unwrapped();
            self.flush();
        }
        self.grow_caches();
        if self.views.is_nearly_full() {
            // Peers that are still there come back with their next packet.
            self.forget_all();
            self.views.forget_continuations();
        }
        work
    }

    fn receive(&mut self, device: PortIdx, frames: &mut Vec<Frame>) -> usize {
        let Some(Some(slot)) = self.ports.get_mut(device as usize) else { return 0 };
        if slot.gone {
            return 0;
        }
        let got = match slot.port.receive(&mut self.exits.pool, frames, BATCH) {
            Ok(got) => got,
            Err(e) => {
                slot.gone = e.is_gone();
                self.trouble.push((device, e));
                frames.len()
            }
        };
        let bytes: u64 = frames.iter().map(|f| f.len() as u64).sum();
        slot.counters.rx_packets += got as u64;
        slot.counters.rx_bytes += bytes;
        self.exits.counters.received += got as u64;
        self.exits.counters.received_bytes += bytes;
        got
    }

    /// Takes frames that start at `stage` through parse, classify, decide and apply.
    fn process(&mut self, stage: u32, frames: &mut Vec<Frame>) {
        if frames.is_empty() {
            return;
        }
        let program = self.program.clone();
        self.drop_runts(frames);
        let mut batch = std::mem::take(&mut self.batch);
        match self.views.get(stage).cloned() {
            Some(view) => {
                self.classify(&program, &view, frames, &mut batch);
                self.apply(&program, frames, &batch);
            }
            None => frames.drain(..).for_each(|f| self.exits.drop(f, DropReason::PortGone)),
        }
        self.batch = batch;
        for verdict in self.released.drain(..) {
            self.store.release(verdict);
        }
    }

    fn drop_runts(&mut self, frames: &mut Vec<Frame>) {
        if frames.iter().all(|f| f.head().len() >= RUNT) {
            return;
        }
        let all = std::mem::take(frames);
        for f in all {
            if f.head().len() < RUNT {
                self.exits.drop(f, DropReason::Runt);
            } else {
                frames.push(f);
            }
        }
    }

    /// Fills the batch: words, headers and a verdict for each frame.
    fn classify(&mut self, program: &Arc<Program>, view: &View, frames: &[Frame], b: &mut Batch) {
        b.words.clear();
        b.headers.clear();
        b.hashes.clear();
        b.verdicts.clear();
        if view.width == Width::Nothing {
            return self.classify_alike(program, view, frames, b);
        }
        for f in frames {
            let (words, headers) = parse::narrow(f, view);
            let hash = self.caches.narrow.hash(&words);
            self.caches.narrow.prefetch(hash);
            b.words.push(words);
            b.headers.push(headers);
            b.hashes.push(hash);
        }
        for (i, f) in frames.iter().enumerate() {
            let (Some(words), Some(headers), Some(&hash)) = (b.words.get(i), b.headers.get(i), b.hashes.get(i)) else { break };
            let verdict = if view.width == Width::Wide && headers.has_wide_fields() {
                let key = parse::wide(f, &headers.unpack(), words, view);
                self.judge_wide(program, view, f, &key)
            } else {
                self.judge(program, view, f, words, hash)
            };
            b.verdicts.push(verdict);
        }
    }

    /// Nothing in the packets matters: one look-up for all of them.
    fn classify_alike(&mut self, program: &Arc<Program>, view: &View, frames: &[Frame], b: &mut Batch) {
        let mut words = [0; NARROW_WORDS];
        words[NARROW_WORDS - 1] = view.stage_word;
        let hash = self.caches.narrow.hash(&words);
        let Some(first) = frames.first() else { return };
        let verdict = self.judge(program, view, first, &words, hash);
        let simple = self.store.simple(verdict).is_some();
        self.exits.counters.hits += frames.len() as u64 - 1;
        for f in frames {
            b.verdicts.push(verdict);
            b.headers.push(if simple { PackedHeaders::default() } else { sluice_wire::parse_part(f.head(), f.len()).into() });
        }
    }

    #[inline(always)]
    fn judge(&mut self, program: &Arc<Program>, view: &View, f: &Frame, key: &[u64; NARROW_WORDS], hash: u64) -> u32 {
        let now = Now { program, versions: &self.versions, second: (self.now_ms / 1000) as u32 };
        match look_up(&mut self.caches.narrow, hash, key, &self.store, &now) {
            Found::Good(verdict) => {
                self.exits.counters.hits += 1;
                verdict
            }
            Found::EffectsDue(verdict, _) if !self.effects(program, verdict, f) => {
                self.exits.counters.hits += 1;
                verdict
            }
            _ => self.miss_narrow(program, view, f, key),
        }
    }

    fn judge_wide(
        &mut self,
        program: &Arc<Program>,
        view: &View,
        f: &Frame,
        key: &[u64; sluice_flow::key::PACKET_WORDS],
    ) -> u32 {
        let now = Now { program, versions: &self.versions, second: (self.now_ms / 1000) as u32 };
        let hash = self.caches.wide.hash(key);
        match look_up(&mut self.caches.wide, hash, key, &self.store, &now) {
            Found::Good(verdict) => {
                self.exits.counters.hits += 1;
                verdict
            }
            Found::EffectsDue(verdict, _) if !self.effects(program, verdict, f) => {
                self.exits.counters.hits += 1;
                verdict
            }
            _ => {
                let decision = self.miss(program, view, f);
                let second = (self.now_ms / 1000) as u32;
                decide::remember(&mut self.caches.wide, &mut self.store, key, decision, program.epoch(), second, &mut self.released)
            }
        }
    }

    #[inline(never)]
    fn miss_narrow(&mut self, program: &Arc<Program>, view: &View, f: &Frame, key: &[u64; NARROW_WORDS]) -> u32 {
        let decision = self.miss(program, view, f);
        let second = (self.now_ms / 1000) as u32;
        decide::remember(&mut self.caches.narrow, &mut self.store, key, decision, program.epoch(), second, &mut self.released)
    }

    fn miss(&mut self, program: &Program, view: &View, f: &Frame) -> sluice_flow::Decision {
        self.exits.counters.misses += 1;
        let key = parse::full(f, view);
        decide::decide(&mut self.decider, program, view, &key, self.now_ms, &mut self.outbox)
    }

    /// True when the flow must be decided again for its effects' sake.
    fn effects(&mut self, program: &Program, verdict: u32, f: &Frame) -> bool {
        let Some(v) = self.store.verdict(verdict) else { return true };
        let source = f.head().get(6..12).map_or(0, |b| b.iter().fold(0, |v, x| v << 8 | u64::from(*x)));
        decide::run_effects(program, v, source, self.now_ms)
    }
}

/// The other half: what becomes of frames, and what the control side asks.
impl Worker {
    /// Executes verdicts, runs of the same one together.
    fn apply(&mut self, program: &Program, frames: &mut Vec<Frame>, b: &Batch) {
        let (mut run, mut packets, mut bytes) = (0, 0, 0);
        let mut simple = None;
        for ((frame, &verdict), headers) in frames.drain(..).zip(&b.verdicts).zip(&b.headers) {
            if verdict != run {
                self.store.count(run, packets, bytes, self.now_ms);
                (run, packets, bytes) = (verdict, 0, 0);
                simple = self.store.simple(verdict);
            }
            packets += 1;
            bytes += frame.len() as u64;
            match simple {
                Some(port) => self.exits.queue(port, frame),
                None => self.execute(program, verdict, frame, &headers.unpack()),
            }
        }
        self.store.count(run, packets, bytes, self.now_ms);
    }

    fn execute(&mut self, program: &Program, verdict: u32, frame: Frame, headers: &Headers) {
        let Some(v) = self.store.verdict(verdict) else {
            return self.exits.drop(frame, DropReason::NoOutput);
        };
        let mut route = Route { program, views: &mut self.views, drop: v.drop };
        self.exits.apply(frame, *headers, &v.ops, &mut route);
    }

    /// Classifies what was unwrapped, until nothing is or it was enough.
    fn process_unwrapped(&mut self) {
        for _ in 0..AGAIN_MAX {
            if self.exits.again.is_empty() {
                return;
            }
            let mut waiting = std::mem::take(&mut self.exits.again);
            let mut frames = std::mem::take(&mut self.received);
            let mut stage = 0;
            for (s, frame) in waiting.drain(..) {
                if s != stage || frames.len() >= BATCH {
                    self.process(stage, &mut frames);
                    stage = s;
                }
                frames.push(frame);
            }
            self.process(stage, &mut frames);
            self.received = frames;
            if self.exits.again.is_empty() {
                self.exits.again = waiting;
            }
        }
        for (_, frame) in std::mem::take(&mut self.exits.again) {
            self.exits.drop(frame, DropReason::TooDeep);
        }
    }

    /// Hands every queue to its device.
    fn flush(&mut self) {
        for (i, queue) in self.exits.queues.iter_mut().enumerate() {
            if queue.is_empty() {
                continue;
            }
            let Some(Some(slot)) = self.ports.get_mut(i) else {
                for f in queue.drain(..) {
                    self.exits.pool.free(f);
                    self.exits.counters.drop(DropReason::PortGone, 1);
                }
                continue;
            };
            let bytes: u64 = queue.iter().map(|f| f.len() as u64).sum();
            let outcome = slot.port.send(&mut self.exits.pool, queue);
            slot.counters.tx_packets += u64::from(outcome.sent);
            slot.counters.tx_bytes += bytes;
            slot.counters.tx_dropped += u64::from(outcome.dropped_total());
            self.exits.counters.sent += u64::from(outcome.sent);
            for reason in SendDrop::ALL {
                self.exits.counters.drop(drop_reason(reason), u64::from(outcome.dropped_for(reason)));
            }
        }
    }

    /// Runs a new program from the next batch on. Verdicts that its changes cannot touch stay.
    pub fn adopt(&mut self, program: Arc<Program>) {
        let (old, new) = (self.epoch, program.epoch());
        if old >> 31 != new >> 31 {
            self.forget_all();
        } else {
            self.store.touch(&program, old);
        }
        self.program = program;
        self.epoch = new;
        self.views.refresh(&self.program, self.ports.len());
    }

    /// Lets go of the program, so that the control side may change it; adopt one before the next turn.
    pub fn release_program(&mut self) -> Arc<Program> {
        std::mem::take(&mut self.program)
    }

    /// Puts a port at a device's place.
    pub fn add_port(&mut self, device: PortIdx, port: Box<dyn Port>) {
        let at = device as usize;
        while self.ports.len() <= at {
            self.ports.push(None);
            self.exits.queues.push(Vec::with_capacity(2 * BATCH));
        }
        let counters = PortCounters::default();
        if let Some(place) = self.ports.get_mut(at) {
            if let Some(old) = place.replace(Slot { port, counters, gone: false }) {
                old.port.close(&mut self.exits.pool);
            }
        }
        self.views.refresh(&self.program, self.ports.len());
    }

    /// Takes a port away and closes it.
    pub fn remove_port(&mut self, device: PortIdx) {
        if let Some(old) = self.ports.get_mut(device as usize).and_then(Option::take) {
            old.port.close(&mut self.exits.pool);
        }
    }

    /// The memory of this worker's frames, to make ports with.
    pub fn pool_mut(&mut self) -> &mut Pool {
        &mut self.exits.pool
    }

    /// A port, to ask it something.
    pub fn port(&self, device: PortIdx) -> Option<&dyn Port> {
        Some(&*self.ports.get(device as usize)?.as_ref()?.port)
    }

    /// Executes actions on a packet that a controller sent.
    pub fn inject(&mut self, bridge: BridgeIdx, in_port: OfPort, actions: &Arc<[Action]>, bytes: &[u8], now_ms: u64) {
        self.now_ms = now_ms;
        self.exits.counters.injected += 1;
        let Some(mut frame) = self.exits.pool.alloc() else {
            return self.exits.counters.drop(DropReason::NoBuffer, 1);
        };
        if !frame.fill(bytes) {
            return self.exits.drop(frame, DropReason::TxTooLong);
        }
        if bytes.len() < RUNT {
            return self.exits.drop(frame, DropReason::Runt);
        }
        let program = self.program.clone();
        let mut key = sluice_flow::Key::ZERO;
        let headers = sluice_wire::parse(frame.head());
        sluice_flow::extract::extract(frame.head(), &headers, &mut key);
        key.set(slot::STAGE, 0);
        let decision = self.decider.execute(&program, bridge, in_port, actions, &key, now_ms);
        self.outbox.extend(decision.events);
        let used = RuleUse { packets: 1, bytes: bytes.len() as u64, last_ms: now_ms };
        self.store.count_once(&decision.verdict, used);
        let mut route = Route { program: &program, views: &mut self.views, drop: decision.verdict.drop };
        self.exits.apply(frame, headers, &decision.verdict.ops, &mut route);
        self.process_unwrapped();
        self.flush();
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
            &mut Route { program: &self.program, views: &mut self.views, drop: None },
        );
        self.flush();
    }

    /// What was counted; rule, table and crossing counts since the last report.
    pub fn report(&mut self) -> Report {
        let mut report = self.store.take_folded();
        report.epoch = self.epoch;
        report.counters = self.exits.counters.clone();
        report.flows = self.caches.len();
        report.verdicts = self.store.len();
        report.ports = self
            .ports
            .iter()
            .enumerate()
            .filter_map(|(i, s)| Some((i as PortIdx, s.as_ref()?.counters)))
            .collect();
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
        !self.outbox.is_empty() || !self.exits.punts.is_empty() || !self.trouble.is_empty()
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

    fn forget_all(&mut self) {
        self.caches.narrow.clear();
        self.caches.wide.clear();
        self.store.release_all();
    }

    /// A cache that grows forgets its flows, and then no one knows which verdicts are in use: both start anew.
    fn grow_caches(&mut self) {
        let (narrow, wide) = (self.caches.narrow.wants_to_grow(), self.caches.wide.wants_to_grow());
        if !narrow && !wide {
            return;
        }
        self.forget_all();
        if narrow {
            self.caches.narrow.grow();
        }
        if wide {
            self.caches.wide.grow();
        }
    }
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

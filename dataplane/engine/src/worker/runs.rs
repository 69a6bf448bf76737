//! Verdicts executed, runs of the same one together; what was unwrapped or tracked goes round again.
//!
//! Invariant: every frame of a batch is handed to the exits once, and counted for its verdict.

use std::sync::Arc;

use sluice_conntrack::Metadata;
use sluice_flow::ct::Continuation;
use sluice_flow::{DropReason, Program};
use sluice_frame::Frame;
use sluice_wire::Headers;

use super::batch::Batch;
use super::executor::{is_underlay, Executor};
use super::Worker;
use crate::apply::Route;
use crate::count::RuleUse;
use crate::joined::Carried;
use crate::resolved::Remembered;
use crate::store::Plan;
use crate::track::{self, Again};
use crate::{encap, BATCH};

/// Times that one frame may be unwrapped and classified anew.
const AGAIN_MAX: usize = 8;

impl Worker {
    /// Executes verdicts, runs of the same one together.
    pub(super) fn apply(&mut self, program: &Arc<Program>, stage: u32, frames: &mut Vec<Frame>, b: &Batch) {
        if !self.carried.is_empty() {
            self.join_carried(program, stage, frames, b);
        }
        let all = frames.len();
        if self.send_alike(frames, b) {
            return self.carried.clear();
        }
        let mut carried = std::mem::take(&mut self.carried);
        let mut rest = frames.drain(..);
        let mut at = 0;
        while at < all {
            let Some(verdicts) = b.verdicts.get(at..all) else { break };
            let Some(&verdict) = verdicts.first() else { break };
            let run = verdicts.iter().take_while(|v| **v == verdict).count();
            let mut bytes = 0;
            let counted = rest.by_ref().take(run).inspect(|f| bytes += f.len() as u64);
            let headers = b.headers.iter().skip(at);
            let plan = self.store.plan(verdict);
            if let Plan::Send(port) = plan {
                counted.for_each(|f| self.exits.queue(*port, f));
                self.store.count(verdict, run as u64, bytes, self.now_ms);
                at += run;
                continue;
            }
            let mut way = Executor {
                exits: &mut self.exits,
                views: &mut self.views,
                program,
                tracker: &self.tracker,
                now_ms: self.now_ms,
                stage,
                verdict,
                store: &self.store,
            };
            match plan {
                // What is commonest is done with already, without any of this.
                Plan::Send(_) => {}
                Plan::Wrap(template, port) => {
                    for (f, h) in counted.zip(headers) {
                        way.wrap(0, f, *h, template, *port, None);
                    }
                }
                Plan::Write(written) => {
                    let mut carried = carried.iter_mut().skip(at);
                    for (f, h) in counted.zip(headers) {
                        way.write(written, f, *h, carried.next());
                    }
                }
                Plan::Unwrap => {
                    let repeats = self.store.hot(verdict).plain && way.is_underlay();
                    let known = if repeats { (verdict, self.store.tag(verdict)) } else { (0, 0) };
                    for (f, h) in counted.zip(headers) {
                        way.exits.unwrap(f, &h.unpack(), program, way.views, known);
                    }
                }
                Plan::Open(_) => {
                    let headers = b.headers.get(at..at + run).unwrap_or(&[]);
                    let mut births = std::mem::take(&mut self.aside);
                    births.extend(counted);
                    self.execute_births(program, stage, verdict, &mut births, headers);
                    self.aside = births;
                    at += run;
                    continue;
                }
                Plan::Any => {
                    let mut carried = carried.iter_mut().skip(at);
                    for (f, h) in counted.zip(headers) {
                        way.execute(0, f, &h.unpack(), carried.next());
                    }
                }
            }
            self.store.count(verdict, run as u64, bytes, self.now_ms);
            at += run;
        }
        drop(rest);
        carried.clear();
        self.carried = carried;
    }

    /// Sends a whole batch by one device, where that is all that is to be done; else nothing happens.
    #[inline]
    fn send_alike(&mut self, frames: &mut Vec<Frame>, b: &Batch) -> bool {
        let Some(verdicts) = b.verdicts.get(..frames.len()) else { return false };
        let Some(&verdict) = verdicts.first() else { return false };
        let Plan::Send(port) = self.store.plan(verdict) else { return false };
        let differing = verdicts.iter().fold(0, |d, v| d | (v ^ verdict));
        let Some(queue) = self.exits.queues.get_mut(usize::from(*port)).filter(|_| differing == 0) else { return false };
        let bytes = frames.iter().map(|f| f.len() as u64).sum();
        self.store.count(verdict, frames.len() as u64, bytes, self.now_ms);
        queue.append(frames);
        true
    }

    /// Remembers the whole way of those frames that came from the tracker and whose way may be remembered.
    fn join_carried(&mut self, program: &Arc<Program>, stage: u32, frames: &[Frame], b: &Batch) {
        let carried = std::mem::take(&mut self.carried);
        for ((frame, &verdict), c) in frames.iter().zip(&b.verdicts).zip(&carried) {
            if c.origin.is_some() {
                self.join(program, stage, verdict, frame, c);
            } else if let Some(begun) = c.begun {
                self.learn_birth(program, begun, (stage, verdict), frame);
            }
        }
        self.carried = carried;
    }

    /// One verdict on one frame, its operations one by one.
    pub(super) fn execute(
        &mut self,
        program: &Program,
        stage: u32,
        verdict: u32,
        frame: Frame,
        headers: &Headers,
        carried: Option<&mut Carried>,
    ) {
        let (exits, views, store, tracker) = (&mut self.exits, &mut self.views, &self.store, &*self.tracker);
        let mut executor = Executor { exits, views, program, tracker, now_ms: self.now_ms, stage, verdict, store };
        executor.execute(0, frame, headers, carried);
    }

    /// Classifies what was unwrapped or tracked, until nothing is or it was enough.
    pub(super) fn process_unwrapped(&mut self) {
        for _ in 0..AGAIN_MAX {
            if self.exits.again.is_empty() && self.exits.unwrapped.is_empty() {
                return;
            }
            self.go_round_unwrapped();
            self.go_round_tracked();
        }
        let exits = &mut self.exits;
        let unwrapped = std::mem::take(&mut exits.unwrapped).into_iter().map(|(_, frame)| frame);
        let tracked = std::mem::take(&mut exits.again).into_iter().map(|a| a.frame);
        unwrapped.chain(tracked).for_each(|f| exits.drop(f, DropReason::TooDeep));
    }

    /// Takes outer headers off that were seen before under this program, without asking what they mean again.
    /// What is left in `frames` goes the whole way.
    pub(super) fn unwrap_known(&mut self, stage: u32, frames: &mut Vec<Frame>) {
        let knows = self.views.resolved.has_any::<u32>() | self.views.resolved.has_any::<u128>();
        if frames.is_empty() || !knows || !self.is_underlay(stage) {
            return;
        }
        self.unwrap_known_from::<u32>(frames);
        self.unwrap_known_from::<u128>(frames);
        self.exits.counters.hits += self.exits.unwrapped.len() as u64;
    }

    /// The same for outer headers with addresses of one family.
    fn unwrap_known_from<A: Remembered>(&mut self, frames: &mut Vec<Frame>) {
        if frames.is_empty() || !self.views.resolved.has_any::<A>() {
            return;
        }
        let mut aside = std::mem::take(&mut self.aside);
        aside.append(frames);
        let (mut run, mut packets, mut bytes) = (0, 0, 0);
        for mut f in aside.drain(..) {
            let known = encap::outer::<A>(&f)
                .and_then(|wrapping| Some((wrapping, self.views.resolved.known(&wrapping.outer, &self.store)?)));
            let Some((wrapping, (at, verdict))) = known else {
                frames.push(f);
                continue;
            };
            if verdict != run {
                self.store.count(run, packets, bytes, self.now_ms);
                (run, packets, bytes) = (verdict, 0, 0);
            }
            packets += 1;
            bytes += f.len() as u64;
            match encap::strip(&mut f, &wrapping) {
                true => self.exits.unwrapped.push((at, f)),
                false => self.exits.drop(f, DropReason::TunnelInvalid),
            }
        }
        self.store.count(run, packets, bytes, self.now_ms);
        self.aside = aside;
    }

    /// Do look-ups at this stage ask for nothing but addresses and ports of tunnels?
    fn is_underlay(&self, stage: u32) -> bool {
        is_underlay(&self.views, stage)
    }

    fn go_round_unwrapped(&mut self) {
        let mut waiting = std::mem::take(&mut self.exits.unwrapped);
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
        if self.exits.unwrapped.is_empty() {
            self.exits.unwrapped = waiting;
        }
    }

    fn go_round_tracked(&mut self) {
        let mut waiting = std::mem::take(&mut self.exits.again);
        let mut frames = std::mem::take(&mut self.received);
        let mut carried = std::mem::take(&mut self.carrying);
        let mut stage = 0;
        for (s, frame, carries, uncached) in waiting.drain(..).map(Again::split) {
            if let Some(at) = uncached {
                self.resume_uncached(&at, frame, carries.md);
                continue;
            }
            if s != stage || frames.len() >= BATCH {
                self.process_carried(stage, &mut frames, &mut carried);
                stage = s;
            }
            frames.push(frame);
            carried.push(carries);
        }
        self.process_carried(stage, &mut frames, &mut carried);
        self.carrying = carried;
        self.received = frames;
        if self.exits.again.is_empty() {
            self.exits.again = waiting;
        }
    }

    fn process_carried(&mut self, stage: u32, frames: &mut Vec<Frame>, carried: &mut Vec<Carried>) {
        // Only frames that the tracker saw have anything to carry; others may be runts.
        if carried.iter().any(|c| c.md.state != 0) {
            std::mem::swap(&mut self.carried, carried);
        }
        carried.clear();
        self.process(stage, frames);
        self.carried.clear();
    }

    /// Decides for one packet that resumes where no stage was left.
    fn resume_uncached(&mut self, at: &Continuation, frame: Frame, md: Metadata) {
        let program = self.program.clone();
        let mut key = at.key();
        track::write_state(&mut key, &md);
        let headers = crate::parse::fill(&frame, &mut key);
        let decision = self.decider.go_on(&program, at, &key, self.now_ms);
        self.exits.counters.misses += 1;
        self.outbox.extend(decision.events);
        let used = RuleUse { packets: 1, bytes: frame.len() as u64, last_ms: self.now_ms };
        self.store.count_once(&decision.verdict, used);
        let (now_ms, tracker) = (self.now_ms, &*self.tracker);
        let mut route = Route { program: &program, views: &mut self.views, drop: decision.verdict.drop, now_ms, tracker, md, way: None };
        self.exits.apply(frame, headers, &decision.verdict.ops, &mut route);
    }
}

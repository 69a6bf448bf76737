//! A verdict for each frame of a batch: from the cache where it holds, decided where it does not.
//!
//! A batch goes through in passes, each of which asks for the memory that the next one reads: words and
//! hashes; flows; connections that flows remember. What is left then is decided one by one.
//! Invariant: ids of verdicts in a batch stay valid until the batch was applied.

use std::sync::Arc;

use sluice_flow::cache::{Displaced, Flow};
use sluice_flow::fdb::Versions;
use sluice_flow::key::{NARROW_WORDS, PACKET_WORDS};
use sluice_flow::Program;
use sluice_frame::prefetch::prefetch;
use sluice_frame::Frame;
use sluice_wire::PackedHeaders;

use super::batch::{Batch, OTHERWISE};
use super::Worker;
use crate::alike::Learned;
use crate::classify::{good, look_up, Caches, Found, Now, CLOSER};
use crate::joined::{self, Carried};
use crate::steady::still_holds;
use crate::store::{Plan, Store};
use crate::view::{Entry, View, Width};
use crate::{decide, parse};

/// What looking up a whole batch left to be done.
struct Left {
    /// Frames without a verdict.
    unknown: usize,
    /// Some flow remembers a connection.
    tracked: bool,
}

impl Worker {
    /// Fills the batch: words, headers and a verdict for each frame; false where no look-up starts at this stage.
    pub(super) fn classify(&mut self, program: &Arc<Program>, stage: u32, frames: &[Frame], b: &mut Batch) -> bool {
        let Some(view) = self.views.get(stage) else { return false };
        b.fit(frames.len());
        if view.width == Width::Nothing {
            let view = view.clone();
            self.classify_alike(program, &view, frames, b);
            return true;
        }
        parse_all(&self.caches, view, frames, b);
        let (wide, second) = (view.width == Width::Wide, (self.now_ms / 1000) as u32);
        let mut left = find_all(&self.caches, &self.store, (&self.versions, second), wide, frames.len(), b);
        self.exits.counters.hits += (frames.len() - left.unknown) as u64;
        if left.tracked {
            left.unknown += self.judge_connections(frames, b);
        }
        if left.unknown != 0 {
            let view = view.clone();
            self.settle(program, &view, frames, b);
        }
        true
    }

    /// Flows that remember their connection: does the tracker still say the same of these packets? Tells of how many not.
    fn judge_connections(&self, frames: &[Frame], b: &mut Batch) -> usize {
        let n = frames.len();
        let (words, headers, verdicts, connections) = (&b.words[..n], &b.headers[..n], &b.verdicts[..n], &mut b.connections[..n]);
        for connection in &*connections {
            if let Some(line) = connection.checked_sub(1).and_then(|id| self.tracker.line(id)) {
                prefetch(line);
            }
        }
        let (mut otherwise, mut run, mut expected) = (0, 0, None);
        for (i, f) in frames.iter().enumerate() {
            if verdicts[i] != run {
                run = verdicts[i];
                expected = self.store.verdict(run).and_then(|v| v.expected.as_deref());
            }
            let Some(expected) = expected.filter(|_| connections[i] != 0) else { continue };
            if !still_holds(&self.tracker, connections[i] - 1, expected, f, headers[i], &words[i], self.now_ms) {
                connections[i] = OTHERWISE;
                otherwise += 1;
            }
        }
        otherwise
    }

    /// Frames whose verdict the first look did not give; and those behind them whose verdict rests on learned
    /// addresses, which they may have taught.
    #[inline(never)]
    fn settle(&mut self, program: &Arc<Program>, view: &View, frames: &[Frame], b: &mut Batch) {
        let mut taught = false;
        self.caches.narrow.begin_news();
        for (verdict, hash) in b.verdicts.iter().zip(&b.hashes).take(frames.len()) {
            if *verdict == 0 {
                self.door.ask_for(*hash);
            }
        }
        for (i, f) in frames.iter().enumerate() {
            let (Some(&verdict), Some(&connection)) = (b.verdicts.get(i), b.connections.get(i)) else { break };
            let (Some(words), Some(headers), Some(&hash)) = (b.words.get(i), b.headers.get(i), b.hashes.get(i)) else { break };
            if verdict != 0 && connection != OTHERWISE {
                if !taught || !self.store.hot(verdict).on_fdb {
                    continue;
                }
                self.exits.counters.hits -= 1;
            }
            let settled = if connection == OTHERWISE {
                self.otherwise(program, verdict)
            } else if view.width == Width::Wide && headers.has_wide_fields() {
                let key = parse::wide(f, &headers.unpack(), words, view);
                self.judge_wide(program, view, f, *headers, &key)
            } else {
                // What was not in the cache is not there now, unless something was put there.
                let absent = verdict == 0 && connection != CLOSER && !self.caches.narrow.may_be_new(hash);
                match absent {
                    true => self.judge_absent(program, view, f, words, hash),
                    false => self.judge(program, view, f, *headers, words, hash),
                }
            };
            taught = true;
            if let Some(verdict) = b.verdicts.get_mut(i) {
                *verdict = settled;
            }
        }
    }

    /// Nothing in the packets matters: one look-up for all of them.
    fn classify_alike(&mut self, program: &Arc<Program>, view: &View, frames: &[Frame], b: &mut Batch) {
        let mut words = [0; NARROW_WORDS];
        words[NARROW_WORDS - 1] = view.stage_word;
        let hash = self.caches.narrow.hash(&words);
        let Some(first) = frames.first() else { return };
        let parsed = sluice_wire::parse_part(first.head(), first.len()).into();
        let verdict = self.judge(program, view, first, parsed, &words, hash);
        self.exits.counters.hits += frames.len() as u64 - 1;
        b.verdicts.iter_mut().take(frames.len()).for_each(|v| *v = verdict);
        if !matches!(self.store.plan(verdict), Plan::Send(_)) {
            for (f, headers) in frames.iter().zip(&mut b.headers) {
                *headers = parse::headers(f);
            }
        }
    }

    fn judge(
        &mut self,
        program: &Arc<Program>,
        view: &View,
        f: &Frame,
        headers: PackedHeaders,
        key: &[u64; NARROW_WORDS],
        hash: u64,
    ) -> u32 {
        let now = Now { program, versions: &self.versions, second: (self.now_ms / 1000) as u32 };
        let found = look_up(&mut self.caches.narrow, hash, key, &self.store, &now);
        if let Some(verdict) = self.judge_found(program, f, headers, key, found) {
            return verdict;
        }
        self.judge_absent(program, view, f, key, hash)
    }

    /// The verdict of a flow that is not in the cache.
    fn judge_absent(&mut self, program: &Arc<Program>, view: &View, f: &Frame, key: &[u64; NARROW_WORDS], hash: u64) -> u32 {
        if let Some(verdict) = self.judge_alike(program, f, key, hash) {
            return verdict;
        }
        let second = (self.now_ms / 1000) as u32;
        let decision = self.miss(program, view, f);
        let (rests_on, deps) = (decision.rests_on, decision.deps);
        let verdict = decide::remember(&mut self.caches.narrow, &mut self.store, key, decision, program.epoch(), second, &mut self.released);
        if let Some(bits) = rests_on {
            // Bits that matter to no rule at all are in no key.
            let bits = std::array::from_fn(|i| bits[i] & view.narrow[i]);
            let learned = Learned { deps: deps.packed, version: deps.version, effect_s: second };
            self.alike.learn(key, &bits, verdict, learned, &mut self.store);
        }
        verdict
    }

    /// The verdict of a flow that is not in the cache, where one like it was decided. It may get a place there.
    fn judge_alike(&mut self, program: &Program, f: &Frame, key: &[u64; NARROW_WORDS], hash: u64) -> Option<u32> {
        if let Some(verdict) = self.judge_birth(program, key, hash) {
            return Some(verdict);
        }
        let second = (self.now_ms / 1000) as u32;
        let (verdict, learned) = self.alike.find(key, &self.store, &self.versions)?;
        let due = std::mem::replace(&mut learned.effect_s, second) != second;
        let learned = *learned;
        let hot = self.store.hot(verdict);
        let (has_effects, tracks) = (hot.has_effects, hot.tracks);
        if due && has_effects && self.effects(program, verdict, f) {
            return None;
        }
        self.exits.counters.alike += 1;
        if !tracks || self.door.admits(hash) {
            self.store.again(verdict);
            self.keep_flow(program, key, hash, verdict, learned);
        }
        Some(verdict)
    }

    /// Gives a flow a place in the cache; its use of the verdict is counted already.
    pub(super) fn keep_flow(&mut self, program: &Program, key: &[u64; NARROW_WORDS], hash: u64, verdict: u32, learned: Learned) {
        let Learned { deps, version: deps_version, effect_s } = learned;
        let flow = Flow { verdict, epoch: program.epoch() as u32, deps, deps_version, effect_s, connection: 0 };
        if let Displaced::Flow { verdict } = self.caches.narrow.insert(hash, key, flow) {
            self.released.push(verdict);
        }
    }

    fn judge_wide(
        &mut self,
        program: &Arc<Program>,
        view: &View,
        f: &Frame,
        headers: PackedHeaders,
        key: &[u64; PACKET_WORDS],
    ) -> u32 {
        let now = Now { program, versions: &self.versions, second: (self.now_ms / 1000) as u32 };
        let hash = self.caches.wide.hash(key);
        let found = look_up(&mut self.caches.wide, hash, key, &self.store, &now);
        let narrow = key.first_chunk().unwrap_or(&[0; NARROW_WORDS]);
        if let Some(verdict) = self.judge_found(program, f, headers, narrow, found) {
            return verdict;
        }
        let decision = self.miss(program, view, f);
        let second = (self.now_ms / 1000) as u32;
        decide::remember(&mut self.caches.wide, &mut self.store, key, decision, program.epoch(), second, &mut self.released)
    }

    /// The verdict of a flow that was found, unless it must be decided again.
    fn judge_found(
        &mut self,
        program: &Program,
        f: &Frame,
        headers: PackedHeaders,
        words: &[u64; NARROW_WORDS],
        found: Found,
    ) -> Option<u32> {
        let (verdict, connection) = match found {
            Found::Good(verdict, connection) => (verdict, connection),
            Found::EffectsDue(verdict, connection) if !self.effects(program, verdict, f) => (verdict, connection),
            _ => return None,
        };
        self.exits.counters.hits += 1;
        let expected = self.store.verdict(verdict).and_then(|v| v.expected.as_deref()).filter(|_| connection != 0);
        let Some(expected) = expected else { return Some(verdict) };
        match still_holds(&self.tracker, connection - 1, expected, f, headers, words, self.now_ms) {
            true => Some(verdict),
            false => Some(self.otherwise(program, verdict)),
        }
    }

    /// The verdict that a tracked flow's packet has when the tracker says something else of it.
    fn otherwise(&mut self, program: &Program, verdict: u32) -> u32 {
        let Some(expected) = self.store.verdict(verdict).and_then(|v| v.expected.as_ref()) else { return verdict };
        let otherwise = expected.otherwise.clone();
        let id = self.store.intern_shared(&otherwise, program.epoch());
        self.released.push(id);
        id
    }

    /// Remembers the whole way of a tracked frame under the flow that it began with.
    pub(super) fn join(&mut self, program: &Arc<Program>, stage: u32, verdict: u32, f: &Frame, carried: &Carried) {
        let Some(origin) = carried.origin.as_deref() else { return };
        let Some(last) = self.store.verdict(verdict).filter(|v| !joined::tracks(&v.ops) && v.expected.is_none()) else { return };
        let Some((&begin, further)) = origin.stages.split_first() else { return };
        let Some((here, first)) = self.views.get(stage).zip(self.views.get(begin)) else { return };
        let Entry::Resume(at) = &here.entry else { return };
        let Some(matters) = program.bridge(at.bridge).map(|b| *b.key_set()) else { return };
        let Some(whole) = joined::join(&origin.chain, last, &carried.md, &matters) else { return };
        let Some(deps) = self.deps_of(here, f, verdict) else { return };
        let (words, headers) = parse::narrow(f, first);
        let wide = (first.width == Width::Wide && headers.has_wide_fields())
            .then(|| parse::wide(f, &headers.unpack(), &words, first));
        let (epoch, second) = (program.epoch(), (self.now_ms / 1000) as u32);
        let id = self.store.intern(whole, deps.0 != 0, epoch);
        let flow = Flow {
            verdict: id,
            epoch: epoch as u32,
            deps: deps.0,
            deps_version: deps.1,
            effect_s: second,
            connection: origin.connection + 1,
        };
        let displaced = match wide {
            Some(key) => self.caches.wide.insert(self.caches.wide.hash(&key), &key, flow),
            None => self.caches.narrow.insert(self.caches.narrow.hash(&words), &words, flow),
        };
        if let Displaced::Flow { verdict } = displaced {
            self.released.push(verdict);
        }
        further.iter().chain([&stage]).for_each(|s| self.forget(*s, f));
    }

    /// Forgets a frame's flow at a stage between: the joined one stands for it, and its place is another flow's.
    fn forget(&mut self, stage: u32, f: &Frame) {
        let Some(view) = self.views.get(stage) else { return };
        let (words, headers) = parse::narrow(f, view);
        let verdict = if view.width == Width::Wide && headers.has_wide_fields() {
            let key = parse::wide(f, &headers.unpack(), &words, view);
            self.caches.wide.take(self.caches.wide.hash(&key), &key)
        } else {
            self.caches.narrow.take(self.caches.narrow.hash(&words), &words)
        };
        self.released.extend(verdict);
    }

    /// Learned addresses that a frame's flow depends on, where it is cached under this verdict.
    fn deps_of(&self, view: &View, f: &Frame, verdict: u32) -> Option<(u32, u32)> {
        if !self.store.hot(verdict).on_fdb {
            return Some((0, 0));
        }
        let (words, headers) = parse::narrow(f, view);
        let flow = if view.width == Width::Wide && headers.has_wide_fields() {
            let key = parse::wide(f, &headers.unpack(), &words, view);
            let cache = &self.caches.wide;
            cache.flow(cache.find(cache.hash(&key), &key)?)
        } else {
            let cache = &self.caches.narrow;
            cache.flow(cache.find(cache.hash(&words), &words)?)
        };
        (flow.verdict == verdict).then_some((flow.deps, flow.deps_version))
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

/// Words, headers and hashes of all frames; starts loading their flows.
fn parse_all(caches: &Caches, view: &View, frames: &[Frame], b: &mut Batch) {
    let n = frames.len();
    let (words, headers, hashes) = (&mut b.words[..n], &mut b.headers[..n], &mut b.hashes[..n]);
    for (i, f) in frames.iter().enumerate() {
        (words[i], headers[i]) = parse::narrow(f, view);
        hashes[i] = caches.narrow.hash(&words[i]);
        caches.narrow.prefetch(hashes[i]);
    }
}

/// Verdicts and connections of all flows that are known and need no closer look.
fn find_all(caches: &Caches, store: &Store, now: (&Versions, u32), wide: bool, n: usize, b: &mut Batch) -> Left {
    let (mut unknown, mut absent, mut tracked) = (0, 0, 0);
    let (words, headers, hashes, elsewhere) = (&b.words[..n], &b.headers[..n], &b.hashes[..n], &mut b.elsewhere[..n]);
    let (verdicts, connections) = (&mut b.verdicts[..n], &mut b.connections[..n]);
    for i in 0..n {
        if wide && headers[i].has_wide_fields() {
            (verdicts[i], connections[i]) = (0, 0);
            unknown += 1;
        } else if let Some(place) = caches.narrow.find_first(hashes[i], &words[i]) {
            let found = good(&caches.narrow, place, store, now.0, now.1);
            (verdicts[i], connections[i]) = found;
            unknown += usize::from(found.0 == 0);
            tracked |= found.1;
        } else {
            // Those that are not where they would be first: all of them are asked for before one is looked at.
            (verdicts[i], connections[i], elsewhere[absent]) = (0, 0, i as u32);
            absent += 1;
        }
    }
    unknown += absent;
    let elsewhere = elsewhere.get(..absent).unwrap_or(&[]);
    if !caches.narrow.is_near() {
        elsewhere.iter().filter_map(|i| hashes.get(*i as usize)).for_each(|hash| caches.narrow.prefetch_further(*hash));
    }
    for i in elsewhere.iter().map(|i| *i as usize) {
        let Some(place) = caches.narrow.find_further(hashes[i], &words[i]) else { continue };
        (verdicts[i], connections[i]) = good(&caches.narrow, place, store, now.0, now.1);
        unknown -= usize::from(verdicts[i] != 0);
        tracked |= connections[i];
    }
    Left { unknown, tracked: tracked != 0 }
}

//! A verdict for each frame of a batch: from the cache where it holds, decided where it does not.
//!
//! Invariant: ids of verdicts in a batch stay valid until the batch was applied.

use std::sync::Arc;

use sluice_conntrack::Tuple;
use sluice_flow::cache::{Displaced, Flow};
use sluice_flow::key::{NARROW_WORDS, PACKET_WORDS};
use sluice_flow::prefetch::prefetch;
use sluice_flow::Program;
use sluice_frame::Frame;
use sluice_wire::PackedHeaders;

use super::{Batch, Worker};
use crate::classify::{look_up, Found, Now};
use crate::joined::{self, Carried};
use crate::view::{Entry, View, Width};
use crate::{decide, parse, track};

impl Worker {
    /// Fills the batch: words, headers and a verdict for each frame.
    pub(super) fn classify(&mut self, program: &Arc<Program>, view: &View, frames: &[Frame], b: &mut Batch) {
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
        if self.remembers {
            self.bring_connections(b);
        }
        for (i, f) in frames.iter().enumerate() {
            let (Some(words), Some(headers), Some(&hash)) = (b.words.get(i), b.headers.get(i), b.hashes.get(i)) else { break };
            let verdict = if view.width == Width::Wide && headers.has_wide_fields() {
                let key = parse::wide(f, &headers.unpack(), words, view);
                self.judge_wide(program, view, f, *headers, &key)
            } else {
                self.judge(program, view, f, *headers, words, hash)
            };
            b.verdicts.push(verdict);
        }
    }

    /// Starts loading the connections that the batch's flows remember.
    fn bring_connections(&self, b: &Batch) {
        for (words, &hash) in b.words.iter().zip(&b.hashes) {
            let Some(place) = self.caches.narrow.find(hash, words) else { continue };
            let connection = self.caches.narrow.flow(place).connection;
            if let Some(line) = connection.checked_sub(1).and_then(|id| self.tracker.line(id)) {
                prefetch(line);
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
        let simple = self.store.simple(verdict).is_some();
        self.exits.counters.hits += frames.len() as u64 - 1;
        for f in frames {
            b.verdicts.push(verdict);
            b.headers.push(if simple { PackedHeaders::default() } else { sluice_wire::parse_part(f.head(), f.len()).into() });
        }
    }

    #[inline(always)]
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
        match look_up(&mut self.caches.narrow, hash, key, &self.store, &now) {
            Found::Good(verdict, 0) => {
                self.exits.counters.hits += 1;
                verdict
            }
            Found::Good(verdict, connection) => {
                self.exits.counters.hits += 1;
                self.judge_tracked(program, f, headers, verdict, connection)
            }
            Found::EffectsDue(verdict, connection) if !self.effects(program, verdict, f) => {
                self.exits.counters.hits += 1;
                match connection {
                    0 => verdict,
                    _ => self.judge_tracked(program, f, headers, verdict, connection),
                }
            }
            _ => self.miss_narrow(program, view, f, key),
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
        match look_up(&mut self.caches.wide, hash, key, &self.store, &now) {
            Found::Good(verdict, 0) => {
                self.exits.counters.hits += 1;
                verdict
            }
            Found::Good(verdict, connection) => {
                self.exits.counters.hits += 1;
                self.judge_tracked(program, f, headers, verdict, connection)
            }
            Found::EffectsDue(verdict, connection) if !self.effects(program, verdict, f) => {
                self.exits.counters.hits += 1;
                match connection {
                    0 => verdict,
                    _ => self.judge_tracked(program, f, headers, verdict, connection),
                }
            }
            _ => {
                let decision = self.miss(program, view, f);
                let second = (self.now_ms / 1000) as u32;
                decide::remember(&mut self.caches.wide, &mut self.store, key, decision, program.epoch(), second, &mut self.released)
            }
        }
    }

    /// A flow that remembers its connection: does the tracker still say the same of this packet?
    fn judge_tracked(&mut self, program: &Program, f: &Frame, headers: PackedHeaders, verdict: u32, connection: u32) -> u32 {
        let Some(expected) = self.store.verdict(verdict).and_then(|v| v.expected.as_ref()) else { return verdict };
        let seen = track::see(f, &headers.unpack());
        let judged = seen.and_then(|seen| {
            let tuple = Tuple { zone: expected.zone, ..seen.tuple };
            self.tracker.steady(connection - 1, &tuple, &seen, self.now_ms)
        });
        if judged.is_some_and(|s| joined::holds(expected, &s)) {
            return verdict;
        }
        let otherwise = expected.otherwise.clone();
        let id = self.store.intern_shared(&otherwise, program.epoch());
        self.released.push(id);
        id
    }

    /// Remembers the whole way of a tracked frame under the flow that it began with.
    pub(super) fn join(&mut self, program: &Arc<Program>, stage: u32, verdict: u32, f: &Frame, carried: &Carried) {
        let Some(origin) = carried.origin.as_deref() else { return };
        let Some(last) = self.store.verdict(verdict).filter(|v| !joined::tracks(&v.ops) && v.expected.is_none()) else { return };
        let Some((here, first)) = self.views.get(stage).zip(self.views.get(origin.stage)) else { return };
        let Entry::Resume(at) = &here.entry else { return };
        let Some(matters) = program.bridge(at.bridge).map(|b| *b.key_set()) else { return };
        let Some(whole) = joined::join(&origin.chain, last, &carried.md, &matters) else { return };
        let Some(deps) = self.deps_of(here, f, verdict) else { return };
        let (words, headers) = parse::narrow(f, first);
        let wide = (first.width == Width::Wide && headers.has_wide_fields())
            .then(|| parse::wide(f, &headers.unpack(), &words, first));
        let (epoch, second) = (program.epoch(), (self.now_ms / 1000) as u32);
        let id = self.store.intern(whole, deps.0 != 0, epoch);
        self.remembers = true;
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

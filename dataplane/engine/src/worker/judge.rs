//! A verdict for each frame of a batch: from the cache where it holds, decided where it does not.
//!
//! Invariant: ids of verdicts in a batch stay valid until the batch was applied.

use std::sync::Arc;

use sluice_flow::key::{NARROW_WORDS, PACKET_WORDS};
use sluice_flow::Program;
use sluice_frame::Frame;
use sluice_wire::PackedHeaders;

use super::{Batch, Worker};
use crate::classify::{look_up, Found, Now};
use crate::view::{View, Width};
use crate::{decide, parse};

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
        key: &[u64; PACKET_WORDS],
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

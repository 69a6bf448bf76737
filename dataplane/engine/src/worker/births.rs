//! Packets that open connections: what both look-ups say of those that are alike is remembered as one verdict.
//!
//! Invariant: a packet that does not open the connection takes the way that it would have taken.
//! Deliberately does not know: connections.

use std::sync::Arc;

use sluice_conntrack::{Birth, Metadata};
use sluice_flow::key::NARROW_WORDS;
use sluice_flow::{DropReason, Program, Verdict};
use sluice_frame::Frame;
use sluice_wire::PackedHeaders;

use super::Worker;
use crate::alike::Learned;
use crate::apply::Route;
use crate::joined::Begun;
use crate::store::Plan;
use crate::view::Entry;
use crate::{born, parse, track};

/// Of so many packets that took the long way one is looked at: not every way can be remembered.
const LOOKED_AT: u32 = 16;

impl Worker {
    /// The verdict of a packet that is like one that opened a connection. One that comes again gets a place in the
    /// cache with its first verdict: it opens nothing.
    #[inline]
    pub(super) fn judge_birth(&mut self, program: &Program, key: &[u64; NARROW_WORDS], hash: u64) -> Option<u32> {
        let (verdict, _) = self.births.find(key, &self.store, &self.versions)?;
        self.exits.counters.alike += 1;
        if !self.door.admits(hash) {
            return Some(verdict);
        }
        let first = self.store.verdict(verdict)?.opens.as_ref()?.otherwise.clone();
        let first = self.store.intern_shared(&first, program.epoch());
        self.keep_flow(program, key, hash, first, Learned::default());
        Some(first)
    }

    /// Remembers the whole way of a packet that was new at its first look-up and met this verdict behind the tracker.
    pub(super) fn learn_birth(&mut self, program: &Program, begun: Begun, here: (u32, u32), f: &Frame) {
        if self.born % LOOKED_AT == 0 {
            let _ = self.try_learn_birth(program, begun, here, f);
        }
        self.born = self.born.wrapping_add(1);
    }

    fn try_learn_birth(&mut self, program: &Program, begun: Begun, here: (u32, u32), f: &Frame) -> Option<()> {
        let (first_view, view) = (self.views.get(begun.0)?, self.views.get(here.0)?);
        let Entry::Resume(at) = &view.entry else { return None };
        let matters = program.bridge(at.bridge)?.key_set();
        let ((words, headers), (behind, _)) = (parse::narrow(f, first_view), parse::narrow(f, view));
        if headers.has_wide_fields() {
            return None;
        }
        let mut bits = self.alike.bits(&words, begun.1, &self.store)?;
        let more = self.alike.bits(&behind, here.1, &self.store)?;
        bits.iter_mut().zip(more).for_each(|(b, m)| *b |= m);
        let whole = born::join(self.store.verdict(begun.1)?, self.store.verdict(here.1)?, matters)?;
        let id = self.store.intern(whole, false, program.epoch());
        self.births.learn(&words, &bits, id, Learned::default(), &mut self.store);
        self.released.push(id);
        Some(())
    }

    /// Opens the connections of these frames, and does what follows; a frame that opens none takes the long way.
    /// Counts them.
    #[inline(never)]
    pub(super) fn execute_births(&mut self, program: &Arc<Program>, stage: u32, verdict: u32, frames: &mut Vec<Frame>, headers: &[PackedHeaders]) {
        let Some(opens) = self.store.verdict(verdict).and_then(|v| v.opens.clone()) else {
            return frames.drain(..).for_each(|f| self.exits.drop(f, DropReason::NoOutput));
        };
        let mut births = std::mem::take(&mut self.cradle);
        births.extend(frames.iter().zip(headers).map(|(f, h)| Birth::of(track::see_packed(f, *h, false))));
        self.tracker.open_run(&born::request(&opens), &mut births, self.now_ms);
        let (mut opened, mut bytes) = (0, 0);
        for ((birth, h), f) in births.drain(..).zip(headers).zip(frames.drain(..)) {
            match birth.is_done() {
                true => {
                    opened += 1;
                    bytes += f.len() as u64;
                    self.execute_born(program, verdict, f, *h);
                }
                false => self.execute_otherwise(program, stage, &opens.otherwise, f, *h),
            }
        }
        self.store.count(verdict, opened, bytes, self.now_ms);
        self.cradle = births;
    }

    #[inline]
    fn execute_born(&mut self, program: &Arc<Program>, verdict: u32, f: Frame, h: PackedHeaders) {
        if let Plan::Open(Some(port)) = self.store.plan(verdict) {
            return self.exits.queue(*port, f);
        }
        let Some(v) = self.store.verdict(verdict) else { return self.exits.drop(f, DropReason::NoOutput) };
        let (tracker, now_ms, md) = (&*self.tracker, self.now_ms, Metadata::default());
        let mut route = Route { program, views: &mut self.views, drop: v.drop, now_ms, tracker, md, way: None };
        self.exits.apply(f, h.unpack(), &v.ops, &mut route);
    }

    /// A packet that opened nothing: as if nobody had known that it is like one that did.
    fn execute_otherwise(&mut self, program: &Arc<Program>, stage: u32, first: &Arc<Verdict>, f: Frame, h: PackedHeaders) {
        let (first, bytes) = (self.store.intern_shared(first, program.epoch()), f.len() as u64);
        self.released.push(first);
        self.execute(program, stage, first, f, &h.unpack(), None);
        self.store.count(first, 1, bytes, self.now_ms);
    }
}

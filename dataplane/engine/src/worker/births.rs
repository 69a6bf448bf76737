//! Packets that open connections: what both look-ups say of those that are alike is remembered as one verdict.
//!
//! Invariant: a packet that does not open the connection takes the way that it would have taken.
//! Deliberately does not know: connections.

use std::sync::Arc;

use sluice_conntrack::Metadata;
use sluice_flow::key::NARROW_WORDS;
use sluice_flow::{DropReason, Op, Program};
use sluice_frame::Frame;
use sluice_wire::Headers;

use super::Worker;
use crate::alike::Learned;
use crate::apply::Route;
use crate::joined::Begun;
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

    /// Opens the frame's connection, and does what follows; where it opens none, it takes the long way. Counts it.
    pub(super) fn execute_birth(&mut self, program: &Arc<Program>, stage: u32, verdict: u32, f: Frame, h: &Headers) {
        let Some((v, opens)) = self.store.verdict(verdict).and_then(|v| Some((v, v.opens.as_deref()?))) else {
            return self.exits.drop(f, DropReason::NoOutput);
        };
        let (request, bytes) = (born::request(opens), f.len() as u64);
        let seen = track::see(&f, h, false);
        if !seen.is_some_and(|seen| self.tracker.open_unasked(&request, &seen, self.now_ms)) {
            let first = opens.otherwise.clone();
            let first = self.store.intern_shared(&first, program.epoch());
            self.released.push(first);
            self.execute(program, stage, first, f, h, None);
            return self.store.count(first, 1, bytes, self.now_ms);
        }
        match &*v.ops {
            [Op::Output(port)] => self.exits.queue(*port, f),
            ops => {
                let (tracker, now_ms, md) = (&*self.tracker, self.now_ms, Metadata::default());
                let mut route = Route { program, views: &mut self.views, drop: v.drop, now_ms, tracker, md, way: None };
                self.exits.apply(f, *h, ops, &mut route);
            }
        }
        self.store.count(verdict, 1, bytes, self.now_ms);
    }
}

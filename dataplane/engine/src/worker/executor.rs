//! One verdict on the frames of a run.
//!
//! Invariant: every frame is handed to the exits once.

use sluice_conntrack::{Metadata, Tracker};
use sluice_flow::program::Ingress;
use sluice_flow::{DropReason, Op, PortIdx, Program};
use sluice_frame::Frame;
use sluice_wire::{Headers, PackedHeaders};

use crate::apply::{Exits, Route};
use crate::encap::Template;
use crate::joined::{Carried, Way};
use crate::store::{Store, Then, Written};
use crate::view::{Entry, Views};

/// Do look-ups at this stage ask for nothing but addresses and ports of tunnels?
pub(super) fn is_underlay(views: &Views, stage: u32) -> bool {
    views.get(stage).is_some_and(|v| matches!(v.entry, Entry::From(Some(Ingress::Underlay))))
}

/// A verdict, and what it takes to execute it.
pub(super) struct Executor<'a> {
    pub exits: &'a mut Exits,
    pub views: &'a mut Views,
    pub program: &'a Program,
    pub tracker: &'a Tracker,
    pub now_ms: u64,
    pub stage: u32,
    pub verdict: u32,
    pub store: &'a Store,
}

impl Executor<'_> {
    pub fn is_underlay(&self) -> bool {
        is_underlay(self.views, self.stage)
    }

    /// The operations from this one on, one by one.
    pub fn execute(&mut self, from: usize, frame: Frame, headers: &Headers, carried: Option<&mut Carried>) {
        let Some(v) = self.store.verdict(self.verdict) else { return self.exits.drop(frame, DropReason::NoOutput) };
        let (md, before) = carried.map_or((Metadata::default(), None), |c| (c.md, c.origin.as_deref()));
        // A frame that resumed without a way to remember has none from here on either.
        let may_join = before.is_some() || md.state == 0;
        let joins = may_join && !self.store.hot(self.verdict).on_fdb && matches!(*v.ops, [Op::Track(_)]);
        let way = joins.then_some(Way { stage: self.stage, verdict: v, id: self.verdict, before });
        let Executor { program, tracker, now_ms, .. } = *self;
        let mut route = Route { program, views: self.views, drop: v.drop, now_ms, tracker, md, way };
        self.exits.apply(frame, *headers, v.ops.get(from..).unwrap_or(&[]), &mut route);
    }

    /// Outer headers in front, and out; a frame that needs more than that takes the operations from `from` on.
    #[inline]
    pub fn wrap(&mut self, from: usize, frame: Frame, h: PackedHeaders, t: &Template, port: PortIdx, carried: Option<&mut Carried>) {
        if let Err(frame) = self.exits.wrap_and_queue(frame, h, t, port) {
            self.execute(from, frame, &h.unpack(), carried);
        }
    }

    /// Header fields at once, and what follows; field by field where that cannot be.
    #[inline]
    pub fn write(&mut self, w: &Written, mut frame: Frame, h: PackedHeaders, carried: Option<&mut Carried>) {
        if !w.writes.apply(&mut frame, h) {
            return self.execute(0, frame, &h.unpack(), carried);
        }
        match &w.then {
            Then::Send(port) => self.exits.queue(*port, frame),
            Then::Wrap(template, port) => self.wrap(w.taken, frame, h, template, *port, carried),
            Then::Any => self.execute(w.taken, frame, &h.unpack(), carried),
        }
    }
}

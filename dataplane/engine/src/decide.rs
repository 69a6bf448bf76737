//! Station: what the cache does not know, decided by the program and remembered.

use std::sync::Arc;

use sluice_flow::cache::{Displaced, Flow, FlowCache};
use sluice_flow::decide::Decision;
use sluice_flow::verdict::Effect;
use sluice_flow::{Decider, Event, Key, Program, Verdict};

use crate::store::Store;
use crate::view::{Entry, View};

/// Most requests to the control side that wait in a worker.
pub const EVENTS_MAX: usize = 4096;

/// Requests to the control side, bounded: what does not fit is asked again by a later packet.
#[derive(Debug, Default)]
pub struct Outbox {
    events: Vec<Event>,
    /// Requests that found the box full.
    pub lost: u64,
}

impl Outbox {
    /// Puts requests in, as many as fit.
    pub fn extend(&mut self, events: impl IntoIterator<Item = Event>) {
        for e in events {
            if self.events.len() < EVENTS_MAX {
                self.events.push(e);
            } else {
                self.lost += 1;
            }
        }
    }

    /// Takes all requests.
    pub fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Does any wait?
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// Decides for a packet with this whole key.
pub fn decide(decider: &mut Decider, program: &Program, view: &View, key: &Key, now_ms: u64, out: &mut Outbox) -> Decision {
    let mut decision = match &view.entry {
        Entry::From(ingress) => decider.decide(program, *ingress, key, now_ms),
        Entry::Resume(at) => decider.go_on(program, at, key, now_ms),
    };
    out.extend(decision.events.drain(..));
    decision
}

/// Remembers a decision under a masked key; answers the verdict's id.
///
/// The verdict of a flow that made room goes to `released`: packets of this batch may still wait for it.
pub fn remember<const K: usize, const E: usize>(
    cache: &mut FlowCache<K, E>,
    store: &mut Store,
    key: &[u64; K],
    decision: Decision,
    epoch: u64,
    second: u32,
    released: &mut Vec<u32>,
) -> u32 {
    let on_fdb = decision.deps.packed != 0;
    let id = store.intern(decision.verdict, on_fdb, epoch);
    if decision.unrepeatable {
        released.push(id);
        return id;
    }
    let flow = Flow {
        verdict: id,
        epoch: epoch as u32,
        deps: decision.deps.packed,
        deps_version: decision.deps.version,
        effect_s: second,
        connection: 0,
    };
    if let Displaced::Flow { verdict } = cache.insert(cache.hash(key), key, flow) {
        released.push(verdict);
    }
    id
}

/// Runs the effects of a hit that need no new decision; true when one does.
pub fn run_effects(program: &Program, verdict: &Arc<Verdict>, source: u64, now_ms: u64) -> bool {
    let mut again = false;
    for effect in &verdict.effects {
        match effect {
            Effect::DecideAgain => again = true,
            Effect::Seen { bridge, vlan, port } => {
                if let Some(b) = program.bridge(*bridge) {
                    b.fdb.learn(*vlan, source, *port, now_ms);
                }
            }
        }
    }
    again
}

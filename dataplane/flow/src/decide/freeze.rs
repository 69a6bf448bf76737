//! Interrupting a packet's way: what is still to be done is kept, and done later.
//!
//! Purpose: `controller(pause)` hands a packet to a controller; when that gives it back, the walk goes
//! on behind the action that paused it, through all nested look-ups. So it does behind a `decap` that shows
//! a packet of which nothing is known yet.
//! Invariant: what is kept is the packet's own; a decision that pauses is never cached.
//! Deliberately does not know: how a controller gives a packet back.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::walk::Walk;
use super::{Decider, Decision};
use crate::action::{Action, Punt};
use crate::ct::{Continuation, Rest, Resume};
use crate::key::{slot, Key};
use crate::program::Program;
use crate::rule::RuleId;
use crate::verdict::{BridgeIdx, Cover, Op};

/// What is still to be done for a packet, and what its tables see of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Frozen {
    /// The bridge that paused it.
    pub bridge: BridgeIdx,
    /// Its fields when it was paused.
    pub key: Key,
    /// The stack, top last.
    pub stack: Vec<u128>,
    action_set: Vec<Action>,
    /// Innermost first.
    rests: Vec<Rest>,
}

impl Frozen {
    /// Nothing is left to be done for this packet.
    pub fn at(bridge: BridgeIdx, key: Key) -> Frozen {
        Frozen { bridge, key, stack: Vec::new(), action_set: Vec::new(), rests: Vec::new() }
    }
}

/// A frozen packet; equal only to itself.
#[derive(Clone, Debug)]
pub struct Paused(pub Arc<Frozen>);

impl PartialEq for Paused {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Paused {}

impl Hash for Paused {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// Why a way is interrupted.
#[derive(Debug)]
enum Reason {
    Pause(Arc<Punt>),
    Uncover(Cover),
}

/// An interruption under way: rests are added while the walk unwinds.
#[derive(Debug)]
pub(super) struct Freezing {
    reason: Reason,
    table: u8,
    rule: Option<RuleId>,
    frozen: Frozen,
}

impl Walk<'_> {
    /// Pauses the packet: nothing more happens to it now.
    pub(super) fn pause(&mut self, punt: &Arc<Punt>) {
        self.freeze(Reason::Pause(punt.clone()));
        self.unrepeatable = true;
    }

    /// The outermost header goes; the packet under it goes on behind this action.
    pub(super) fn uncover(&mut self, cover: Cover) {
        self.flush();
        self.freeze(Reason::Uncover(cover));
    }

    fn freeze(&mut self, reason: Reason) {
        let frozen = Frozen {
            bridge: self.view.bridge,
            key: self.view.key,
            stack: std::mem::take(&mut self.stack),
            action_set: std::mem::take(&mut self.action_set),
            rests: Vec::new(),
        };
        let (table, rule) = (self.view.table, self.view.rule);
        self.freezing = Some(Box::new(Freezing { reason, table, rule, frozen }));
        self.exit = true;
    }

    /// Keeps the actions from `from` on, where a pause is under way.
    pub(super) fn keep_rest(&mut self, actions: &Arc<[Action]>, from: usize) {
        let (table, rule) = (self.view.table, self.view.rule);
        if let Some(freezing) = self.freezing.as_mut().filter(|_| from < actions.len()) {
            freezing.frozen.rests.push(Rest { actions: actions.clone(), from, table, rule });
        }
    }

    /// Hands an interrupted packet over: the walk that it was part of is over.
    pub(super) fn conclude_pause(&mut self) {
        let Some(freezing) = self.freezing.take() else { return };
        let Freezing { reason, table, rule, frozen } = *freezing;
        match reason {
            Reason::Pause(punt) => {
                let (old_table, old_rule) = (self.view.table, self.view.rule);
                (self.view.table, self.view.rule) = (table, rule);
                let paused = Some(Paused(Arc::new(frozen)));
                self.punt(&Arc::new(Punt { paused, ..(*punt).clone() }));
                (self.view.table, self.view.rule) = (old_table, old_rule);
            }
            Reason::Uncover(cover) => {
                let Frozen { bridge, key, stack, action_set, rests } = frozen;
                let at = Continuation::new(bridge, Resume::Rests(rests.into()), &key, &stack, &action_set, self.owner);
                self.emit(Op::Uncover { cover, at: Arc::new(at) });
            }
        }
    }

    /// As [`Walk::conclude_pause`], of a copy that had the original's stack and action set: it keeps them.
    pub(super) fn conclude_bucket(&mut self) {
        if let Some(freezing) = &self.freezing {
            self.stack = freezing.frozen.stack.clone();
            self.action_set = freezing.frozen.action_set.clone();
        }
        self.conclude_pause();
    }

    /// Does what is left of each list, then the action set.
    pub(super) fn run_rests(&mut self, rests: &[Rest]) {
        for rest in rests {
            (self.view.table, self.view.rule) = (rest.table, rest.rule);
            if self.exit {
                self.keep_rest(&rest.actions, rest.from);
                continue;
            }
            let actions: Arc<[Action]> = rest.actions.get(rest.from..).unwrap_or(&[]).into();
            self.run(&actions);
        }
        self.run_action_set();
    }
}

impl Decider {
    /// What happens to a packet that goes on where it was paused, with these fields.
    pub fn resume(&mut self, program: &Program, frozen: &Frozen, key: &Key, now_ms: u64) -> Decision {
        let in_port = key.get(slot::IN_PORT) as u32;
        let mut walk = Walk::new(program, &mut self.soft, frozen.bridge, in_port, key, now_ms);
        walk.view.key.set(slot::ACTSET_OUTPUT, key.get(slot::ACTSET_OUTPUT));
        walk.hide_blank_ethernet();
        walk.stack = frozen.stack.clone();
        walk.action_set = frozen.action_set.clone();
        walk.run_rests(&frozen.rests);
        walk.finish()
    }
}

//! The walk through the tables: look-ups, nesting, limits, and what is remembered on the way.

use std::sync::Arc;

use super::ct::{swap_tuples, tuple_words};
use super::freeze::Freezing;
use super::{tidy, Decision, Event, EVENTS_MAX};
use crate::action::{Action, OfPort, Punt};
use crate::classifier::{Seen, Soft};
use crate::drop::DropReason;
use crate::fdb::Deps;
use crate::key::{slot, Key, FRAG_LATER};
use crate::program::{Bridge, Fragments, Miss, Program, OWN_TABLE};
use crate::rule::{Rule, RuleId};
use crate::verdict::{BridgeIdx, Crossing, Effect, Op, Step, Use, Verdict};

/// Table look-ups per packet, as in Open vSwitch.
const LOOKUPS_MAX: u32 = 4096;
/// Nested look-ups into the same or an earlier table, as in Open vSwitch.
const BACKWARD_MAX: u32 = 64;
/// Nested look-ups of any kind: bounds the stack of the thread.
const NESTED_MAX: u32 = 320;

/// `OFPR_NO_MATCH`: why a packet that no rule matches goes to the controllers.
const REASON_NO_MATCH: u8 = 0;

/// What a bridge's tables see of a packet: saved and restored around whatever works on a copy.
#[derive(Clone)]
pub(super) struct View {
    pub key: Key,
    /// Words of the key written so far, one bit each, but for tunnel options.
    pub written: u64,
    pub bridge: BridgeIdx,
    pub table: u8,
    pub rule: Option<RuleId>,
    /// The Ethernet source is no longer the received frame's.
    pub source_written: bool,
    /// The TTL was decremented since it was received or written.
    pub decremented: bool,
    /// Tags under the one in the key: pushed away, to come back.
    pub inner_vlans: Vec<(u64, u64)>,
    /// What is under labels no longer, but is not what the Ethernet type says: it comes back with a label.
    pub hidden: Option<Box<Key>>,
}

pub(super) struct Walk<'a> {
    pub program: &'a Program,
    soft: &'a mut Soft,
    pub now_ms: u64,
    pub view: View,
    pub ops: Vec<Op>,
    /// Writes that no one has seen yet.
    pub pending: Vec<Op>,
    steps: Vec<Step>,
    pub effects: Vec<Effect>,
    pub crossings: Vec<Crossing>,
    pub uses: Vec<Use>,
    pub deps: Deps,
    events: Vec<Event>,
    pub stack: Vec<u128>,
    pub action_set: Vec<Action>,
    lookups: u32,
    backward: u32,
    nested: u32,
    /// Nothing more happens to this packet.
    pub exit: bool,
    pub hint: Option<DropReason>,
    pub uses_underlay: bool,
    /// Inside a group's bucket.
    pub in_group: bool,
    /// Inside an action set.
    pub in_action_set: bool,
    /// The actions are a controller's own, not a rule's.
    pub in_packet_out: bool,
    /// More was looked at than the key set has.
    pub unrepeatable: bool,
    /// The packet is being paused.
    pub freezing: Option<Box<Freezing>>,
    /// Mirrors of the present bridge that have a copy, one bit each.
    pub mirrored: u32,
    /// Most bytes of the mirror's copy under way.
    pub snaplen: Option<u32>,
    /// Mirrors that got a copy.
    pub copies: Vec<(BridgeIdx, u8)>,
    /// Whom new connections count for.
    pub owner: u32,
    /// Bridge and port where it began.
    pub start: (BridgeIdx, OfPort),
    /// The packet may have connection state.
    pub tracked: bool,
    /// The next look-up is for the connection's first packet.
    pub by_connection: bool,
    /// Bits of the packet that the decision rests on so far.
    pub seen: Seen,
    /// It rests on more than those.
    pub alone: bool,
}

impl<'a> Walk<'a> {
    pub fn new(
        program: &'a Program,
        soft: &'a mut Soft,
        bridge: BridgeIdx,
        in_port: OfPort,
        key: &Key,
        now_ms: u64,
    ) -> Self {
        let mut key = *key;
        key.set(slot::IN_PORT, in_port as u64);
        key.set(slot::ACTSET_OUTPUT, u32::MAX as u64);
        let view = View { key, written: 0, bridge, table: 0, rule: None, source_written: false, decremented: false, inner_vlans: Vec::new(), hidden: None };
        Walk {
            program,
            soft,
            now_ms,
            view,
            ops: Vec::new(),
            pending: Vec::new(),
            steps: Vec::new(),
            effects: Vec::new(),
            crossings: Vec::new(),
            uses: Vec::new(),
            deps: Deps::default(),
            events: Vec::new(),
            stack: Vec::new(),
            action_set: Vec::new(),
            lookups: 0,
            backward: 0,
            nested: 0,
            exit: false,
            hint: None,
            uses_underlay: false,
            in_group: false,
            in_action_set: false,
            in_packet_out: false,
            unrepeatable: false,
            freezing: None,
            mirrored: 0,
            snaplen: None,
            copies: Vec::new(),
            owner: u32::from(bridge) << 16 ^ in_port,
            start: (bridge, in_port),
            tracked: false,
            by_connection: false,
            seen: super::alike::first(),
            alone: false,
        }
    }

    pub fn bridge(&self) -> Option<&'a Bridge> {
        self.program.bridge(self.view.bridge)
    }

    pub fn in_port(&self) -> OfPort {
        self.view.key.get(slot::IN_PORT) as OfPort
    }

    /// May the port it came in by receive at all?
    pub fn accepts_input(&mut self) -> bool {
        let Some(bridge) = self.bridge() else { return true };
        let in_port = self.in_port();
        if bridge.fragments == Fragments::Dropped && self.view.key.get(slot::NW_FRAG) != 0 {
            self.hint(DropReason::FragmentRefused);
            return false;
        }
        if bridge.ports.get(&in_port).is_some_and(|p| p.no_receive) {
            self.hint(DropReason::InputPortDown);
            return false;
        }
        if bridge.normal.is_mirror_output(in_port) {
            self.hint(DropReason::MirrorPort);
            return false;
        }
        true
    }

    /// A bridge's whole pipeline: the switch's own rules, where it has any, else the tables from 0.
    pub fn run_bridge(&mut self) {
        let own = self.bridge().is_some_and(|b| b.own_rules) && self.may_look_up();
        match own.then(|| self.look_up(OWN_TABLE, None)).flatten() {
            Some(rule) => self.run_actions(&rule.actions),
            None => self.run_pipeline(0),
        }
    }

    /// Looks up `table` and what follows, then executes the action set.
    pub fn run_pipeline(&mut self, table: u8) {
        self.enter(table, true);
        self.run_action_set();
    }

    /// Executes actions that no rule holds, then the action set.
    pub fn run_actions(&mut self, actions: &Arc<[Action]>) {
        self.run(actions);
        self.run_action_set();
    }

    pub fn run(&mut self, actions: &Arc<[Action]>) {
        let mut next = self.execute(actions);
        while let Some(table) = next {
            next = self.look_up_and_execute(table, None, true);
        }
    }

    /// Looks up `table` and everything that it leads to by `goto_table`.
    fn enter(&mut self, table: u8, honour_miss: bool) {
        let mut next = self.look_up_and_execute(table, None, honour_miss);
        while let Some(table) = next {
            next = self.look_up_and_execute(table, None, true);
        }
    }

    /// A `resubmit`: back to the same rule and table afterwards.
    pub fn resubmit(&mut self, table: u8, in_port: Option<OfPort>) {
        let (old_table, old_rule) = (self.view.table, self.view.rule);
        let backward = u32::from(table <= old_table);
        if self.backward + backward > BACKWARD_MAX || self.nested >= NESTED_MAX {
            return self.stop(DropReason::TooDeep);
        }
        self.backward += backward;
        self.nested += 1;
        let mut next = self.look_up_and_execute(table, in_port, false);
        while let Some(table) = next {
            next = self.look_up_and_execute(table, None, true);
        }
        self.backward -= backward;
        self.nested -= 1;
        self.view.table = old_table;
        self.view.rule = old_rule;
    }

    /// Executes what `table` says; answers the table that a `goto_table` names.
    fn look_up_and_execute(&mut self, table: u8, in_port: Option<OfPort>, honour_miss: bool) -> Option<u8> {
        if self.exit {
            return None;
        }
        if !self.may_look_up() {
            return None;
        }
        match self.look_up(table, in_port) {
            Some(rule) => self.execute(&rule.actions),
            None if honour_miss => self.miss(table),
            None => None,
        }
    }

    /// Takes one of the look-ups that a packet has; false when none is left.
    pub fn may_look_up(&mut self) -> bool {
        if self.lookups >= LOOKUPS_MAX {
            self.stop(DropReason::TooManyResubmits);
            return false;
        }
        self.lookups += 1;
        true
    }

    fn miss(&mut self, table: u8) -> Option<u8> {
        match self.bridge()?.tables.get(table as usize)?.miss {
            Miss::Drop => {
                self.hint(DropReason::NoRule);
                None
            }
            Miss::Continue => table.checked_add(1).filter(|t| *t < 255),
            Miss::Controller => {
                self.punt(&Arc::new(Punt { max_len: u16::MAX, reason: REASON_NO_MATCH, ..Punt::default() }));
                None
            }
        }
    }

    fn look_up(&mut self, table: u8, in_port: Option<OfPort>) -> Option<Arc<Rule>> {
        let rules = &self.bridge()?.tables.get(table as usize)?.rules;
        let by_connection = std::mem::take(&mut self.by_connection);
        if by_connection {
            self.alone = true;
            swap_tuples(&mut self.view.key);
        }
        let own_port = self.view.key.get(slot::IN_PORT);
        if let Some(p) = in_port {
            self.view.key.set(slot::IN_PORT, p as u64);
        }
        // The pieces of a packet meet the same rules: ports are hidden, also where the first has them.
        let ports = (self.view.key.get(slot::TP_SRC), self.view.key.get(slot::TP_DST));
        let hidden = match self.bridge().map(|b| b.fragments) {
            Some(Fragments::FirstShows) => FRAG_LATER,
            _ => u64::MAX,
        };
        if self.view.key.get(slot::NW_FRAG) & hidden != 0 {
            self.view.key.set(slot::TP_SRC, 0);
            self.view.key.set(slot::TP_DST, 0);
        }
        let found = match self.is_bare() {
            false => rules.lookup_seen(&self.view.key, self.soft, &mut self.seen).cloned(),
            true => {
                self.alone = true;
                rules.lookup(&self.key_without_ethernet(), self.soft).cloned()
            }
        };
        self.view.key.set(slot::IN_PORT, own_port);
        self.view.key.set(slot::TP_SRC, ports.0);
        self.view.key.set(slot::TP_DST, ports.1);
        if by_connection {
            swap_tuples(&mut self.view.key);
        }
        self.view.table = table;
        self.view.rule = found.as_ref().map(|r| r.id);
        let conj = |r: &Arc<Rule>| r.matching.mask.words.iter().any(|(w, m)| *w == slot::CONJ_ID.word && m >> 32 != 0);
        self.steps.push(Step {
            bridge: self.view.bridge,
            table,
            priority: found.as_ref().map(|r| r.priority),
            rule: self.view.rule,
            by_conjunction: found.as_ref().is_some_and(conj),
            written: self.view.written | if by_connection { tuple_words() } else { 0 },
        });
        found
    }

    /// Runs another bridge's pipeline, or anything else, on a copy of the packet and of its fields.
    pub fn branch(&mut self, work: impl FnOnce(&mut Self)) {
        let inner = self.apart(work);
        if !inner.is_empty() {
            self.ops.push(Op::Branch(inner.into()));
        }
    }

    /// What `work` does to a copy of the packet and of its fields.
    pub fn apart(&mut self, work: impl FnOnce(&mut Self)) -> Vec<Op> {
        if self.nested >= NESTED_MAX || self.backward >= BACKWARD_MAX {
            self.stop(DropReason::TooDeep);
            return Vec::new();
        }
        self.flush();
        let before = std::mem::take(&mut self.ops);
        let view = self.view.clone();
        let stack = std::mem::take(&mut self.stack);
        let action_set = std::mem::take(&mut self.action_set);
        self.nested += 1;
        self.backward += 1;
        work(self);
        self.conclude_pause();
        self.backward -= 1;
        self.nested -= 1;
        let inner = self.close_branch(before, view);
        self.stack = stack;
        self.action_set = action_set;
        inner
    }

    /// A bucket of a group: on a copy of the fields, with the stack and the action set of the original.
    pub fn branch_bucket(&mut self, work: impl FnOnce(&mut Self)) {
        if self.nested >= NESTED_MAX || self.backward >= BACKWARD_MAX {
            return self.stop(DropReason::TooDeep);
        }
        self.flush();
        let before = std::mem::take(&mut self.ops);
        let view = self.view.clone();
        self.nested += 1;
        self.backward += 1;
        work(self);
        self.conclude_bucket();
        self.backward -= 1;
        self.nested -= 1;
        let inner = self.close_branch(before, view);
        if !inner.is_empty() {
            self.ops.push(Op::Branch(inner.into()));
        }
    }

    fn close_branch(&mut self, before: Vec<Op>, view: View) -> Vec<Op> {
        let inner = tidy(std::mem::replace(&mut self.ops, before));
        self.pending.clear();
        self.view = view;
        inner
    }

    /// Makes what was written so far visible to what follows.
    pub fn flush(&mut self) {
        self.ops.append(&mut self.pending);
    }

    pub fn emit(&mut self, op: Op) {
        self.flush();
        self.ops.push(op);
    }

    pub fn hint(&mut self, reason: DropReason) {
        self.hint.get_or_insert(reason);
    }

    /// Nothing more happens to this packet.
    pub fn stop(&mut self, reason: DropReason) {
        self.hint = Some(reason);
        self.exit = true;
    }

    pub fn event(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(event);
        }
    }

    pub fn effect(&mut self, effect: Effect) {
        if !self.effects.contains(&effect) {
            self.effects.push(effect);
        }
    }

    pub fn depends(&mut self, on: Use) {
        if !self.uses.contains(&on) {
            self.uses.push(on);
        }
    }

    /// A group's use counts each time.
    pub fn counts(&mut self, on: Use) {
        self.uses.push(on);
    }

    /// A limit was met: the packet goes nowhere, not even where it was sent before, as in Open vSwitch.
    pub fn ran_away(&self) -> bool {
        use DropReason::{PacketType, StackOverflow, TooDeep, TooManyLabels, TooManyResubmits};
        matches!(self.hint, Some(TooManyResubmits | TooDeep | StackOverflow | TooManyLabels | PacketType))
    }

    pub fn finish(mut self) -> Decision {
        self.conclude_pause();
        if self.ran_away() {
            self.ops.clear();
        }
        let ops = tidy(std::mem::take(&mut self.ops));
        let rests_on = self.claim(&ops).filter(|_| self.events.is_empty());
        let leaves = ops.iter().any(Op::leaves);
        let punted = ops.iter().any(Op::punts) && self.hint != Some(DropReason::TtlExpired);
        let drop = if leaves || punted { None } else { Some(self.hint.unwrap_or_else(|| why_nothing(&self.steps))) };
        Decision {
            verdict: Verdict {
                ops: ops.into(),
                steps: self.steps.into(),
                effects: self.effects.into(),
                crossings: self.crossings.into(),
                uses: self.uses.into(),
                mirrors: self.copies.into(),
                drop,
                uses_underlay: self.uses_underlay,
                expected: None,
                opens: None,
            },
            deps: self.deps,
            events: self.events,
            unrepeatable: self.unrepeatable,
            rests_on,
        }
    }
}

/// Why a packet went nowhere when nothing said so on the way.
fn why_nothing(steps: &[Step]) -> DropReason {
    match steps.last() {
        Some(Step { rule: Some(_), .. }) => DropReason::RuleDrop,
        _ => DropReason::NoOutput,
    }
}

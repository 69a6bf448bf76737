//! From a packet that met a learning action to the rule that it teaches.
//!
//! Purpose: the learned rule as a flow-mod, written with the fields that the learning action names,
//! so that a dump shows what Open vSwitch would show.
//! Deliberately does not know: packets (the key says it all).

use std::sync::Arc;

use sluice_flow::action as ir;
use sluice_flow::options::OptionMap;
use sluice_flow::{BridgeIdx, Key};
use sluice_openflow::action::{
    FlowFlags, Learn, LearnSource, LearnSpec, PortNo, SetField, SetForm, WideValue,
};
use sluice_openflow::wide::Wide;
use sluice_openflow::{Action, FlowMod, FlowModCommand, Match, SubField};

use crate::lower::{lower, read, write_match, Lowered};
use crate::rules::{Applied, Filter, RuleSet, GROUP_ANY};

/// Learning actions of controllers' packets that are remembered; the packets themselves are gone long
/// before so many have come.
const PASSING: usize = 4096;

impl RuleSet {
    /// Lowers the actions of a controller's packet. What it learns is understood for a while.
    pub fn lower_passing(&mut self, bridge: BridgeIdx, actions: &[Action]) -> Lowered {
        let lowered = {
            let map = self.options(bridge).clone();
            lower(actions, &map, &mut self.next_learn_id)
        };
        for (id, learn) in &lowered.learns {
            self.learns.insert(*id, (learn.clone(), 1));
            self.passing.push_back(*id);
        }
        while self.passing.len() > PASSING {
            if let Some(id) = self.passing.pop_front() {
                self.learns.remove(&id);
            }
        }
        lowered
    }

    /// Adds or refreshes what a packet taught. `learn` is the instruction it met, `key` the packet as
    /// it was then. Nothing happens when the learning rule is gone or its limit is reached.
    pub fn learn(&mut self, bridge: BridgeIdx, learn: &ir::Learn, key: &Key, now: u64) -> Applied {
        let Some(given) = self.learns.get(&learn.id).map(|(given, _)| given.clone()) else { return Applied::default() };
        let fm = learned_flow_mod(&given, key, self.options(bridge));
        if self.refresh(bridge, &fm, now) {
            return Applied::default();
        }
        let filter = Filter { table: fm.table, cookie: given.cookie, cookie_mask: u64::MAX, ..Filter::default() };
        if given.limit != 0 && self.aggregate(bridge, &filter).flows >= given.limit {
            return Applied::default();
        }
        self.apply_trusted(bridge, &fm, now)
    }
}

/// The rule that a packet with this key teaches.
pub fn learned_flow_mod(learn: &Learn, key: &Key, map: &Arc<OptionMap>) -> FlowMod {
    let mut matching = Match::ANY;
    let mut actions = Vec::new();
    if learn.fin_idle_timeout != 0 || learn.fin_hard_timeout != 0 {
        actions.push(Action::FinTimeout { idle: learn.fin_idle_timeout, hard: learn.fin_hard_timeout });
    }
    for spec in &learn.specs {
        match spec {
            LearnSpec::Match { src, dst } => write_match(&mut matching, *dst, value_of(src, key, map), map),
            LearnSpec::Load { src, dst } => actions.push(load(*dst, value_of(src, key, map))),
            LearnSpec::Output(src) => actions.extend(output(read(key, *src, map))),
        }
    }
    FlowMod {
        command: FlowModCommand::ModifyStrict,
        table: Some(learn.table),
        priority: learn.priority,
        matching,
        cookie: 0,
        cookie_mask: 0,
        new_cookie: (learn.cookie != u64::MAX).then_some(learn.cookie),
        idle_timeout: learn.idle_timeout,
        hard_timeout: learn.hard_timeout,
        importance: 0,
        buffer_id: u32::MAX,
        out_port: PortNo::NONE,
        out_group: GROUP_ANY,
        flags: FlowFlags { send_flow_rem: learn.send_flow_rem, ..FlowFlags::default() },
        actions,
    }
}

fn value_of(src: &LearnSource, key: &Key, map: &OptionMap) -> u128 {
    match src {
        LearnSource::Field(part) => read(key, *part, map),
        LearnSource::Value { value, .. } => *value,
    }
}

fn load(dst: SubField, value: u128) -> Action {
    if dst.field.option_number().is_some() {
        return Action::SetField(Box::new(SetField::load_option(dst, &Wide::from(value))));
    }
    let mask = 1u128.checked_shl(u32::from(dst.width)).map_or(u128::MAX, |x| x - 1);
    let shift = |v: u128| v.checked_shl(u32::from(dst.start)).unwrap_or(0);
    Action::SetField(Box::new(SetField {
        field: dst.field,
        value: WideValue::Small(shift(value & mask)),
        mask: WideValue::Small(shift(mask)),
        form: SetForm::Load,
    }))
}

/// Only ports that fit 16 bits, and of the reserved ones only those that send to real ports.
fn output(value: u128) -> Option<Action> {
    let port = PortNo::from_u16(u16::try_from(value).ok()?);
    let reserved = [PortNo::IN_PORT, PortNo::FLOOD, PortNo::LOCAL, PortNo::ALL];
    (port.0 < 0xff00 || reserved.contains(&port)).then_some(Action::Output { port, max_len: 0 })
}

//! Flow monitors of one connection.
//!
//! Purpose: which changes of rules it hears of, its own abbreviated; a pause while it does not read.
//! Invariant: a listener that does not read costs at most a number per changed rule; after the pause
//! it is told what it missed, so that its picture is whole again.
//! Deliberately does not know: how rules change.

use std::collections::{BTreeMap, HashMap};

use sluice_compiler::{outputs_to, uses_group, Filter};
use sluice_flow::RuleId;
use sluice_openflow::message::{
    monitor_flags as flag, FlowChange, FlowEvent, FlowMonitorRequest, FlowUpdate, MonitorCommand, StatsReply,
};
use sluice_openflow::{Message, OfpError, Version};

use super::dump::{FlowDump, Telling};
use super::{Effect, Session, Turn};
use crate::daemon::ofserver::output::Output;
use crate::daemon::switch::{RuleChange, Switch};

/// Bytes that wait for the peer before a pause, as in Open vSwitch.
const PAUSE: usize = 128 << 10;
/// Monitors of one connection.
const MONITORS: usize = 1024;

/// The monitors, and what waits to be told.
#[derive(Default)]
pub(super) struct Monitors {
    requests: BTreeMap<u32, FlowMonitorRequest>,
    updates: Vec<FlowUpdate>,
    paused: bool,
    /// Rules that came (true) or changed during the pause.
    missed: HashMap<RuleId, bool>,
}

impl Monitors {
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Flags of all monitors that want to hear of a change; 0 for none.
    fn flags_for(&self, change: &RuleChange) -> u16 {
        let wanted = match change.event {
            FlowEvent::Initial => flag::INITIAL,
            FlowEvent::Added => flag::ADD,
            FlowEvent::Removed(_) => flag::REMOVED,
            FlowEvent::Modified => flag::MODIFY,
        };
        let hearing = self.requests.values().filter(|m| m.flags & wanted != 0 && concerns(m, change));
        hearing.fold(0, |flags, m| flags | m.flags)
    }
}

fn concerns(m: &FlowMonitorRequest, change: &RuleChange) -> bool {
    let flow = &change.flow;
    if m.table.is_some_and(|t| t != flow.table) {
        return false;
    }
    let outputs = outputs_to(&flow.actions, m.out_port)
        || change.old_actions.as_ref().is_some_and(|old| outputs_to(old, m.out_port));
    outputs && uses_group(&flow.actions, m.out_group) && is_within(m, change)
}

/// Does the rule match at least all that the monitor asks for?
fn is_within(m: &FlowMonitorRequest, change: &RuleChange) -> bool {
    let rule = change.flow.matching();
    let words = m.matching.mask.words.iter().zip(&m.matching.value.words);
    let theirs = rule.mask.words.iter().zip(&rule.value.words);
    words.zip(theirs).all(|((mask, value), (rule_mask, rule_value))| mask & !rule_mask == 0 && (value ^ rule_value) & mask == 0)
}

fn told(change: &RuleChange, event: FlowEvent, with_actions: bool) -> FlowUpdate {
    let flow = &change.flow;
    FlowUpdate::Change(Box::new(FlowChange {
        event,
        table: flow.table,
        priority: flow.priority(),
        cookie: flow.cookie,
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        matching: flow.matching(),
        actions: if with_actions { flow.actions.to_vec() } else { Vec::new() },
    }))
}

impl Session {
    /// Whether it has any monitor.
    pub fn is_watching(&self) -> bool {
        !self.monitors.is_empty()
    }

    pub(super) fn monitor(&mut self, requests: Vec<FlowMonitorRequest>, xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        let before = self.monitors.requests.clone();
        let mut initial = Vec::new();
        for request in requests {
            if let Err(error) = self.change_monitor(request, &mut initial) {
                self.monitors.requests = before;
                return Err(error);
            }
        }
        let mut left = std::collections::VecDeque::new();
        let mut with_actions = HashMap::new();
        for request in initial.iter().filter(|r| r.flags & flag::INITIAL != 0) {
            let filter = Filter {
                table: request.table,
                matching: request.matching.clone(),
                out_port: request.out_port,
                out_group: request.out_group,
                ..Filter::default()
            };
            for id in turn.switch.rules.select(self.bridge, &filter) {
                let actions = request.flags & flag::INSTRUCTIONS != 0;
                let told = with_actions.entry(id).or_insert_with(|| {
                    left.push_back(id);
                    false
                });
                *told |= actions;
            }
        }
        let bare = with_actions.into_iter().filter(|(_, actions)| !actions).map(|(id, _)| id).collect();
        let dump = FlowDump { xid, telling: Telling::Monitor { bare }, left };
        self.dump = self.continue_dump(dump, turn);
        Ok(Effect::WatchingChanged)
    }

    fn change_monitor(&mut self, request: FlowMonitorRequest, initial: &mut Vec<FlowMonitorRequest>) -> Result<(), OfpError> {
        let known = self.monitors.requests.contains_key(&request.id);
        if request.table.is_some_and(|t| t >= super::features::TABLES) {
            return Err(OfpError::OFPBRC_BAD_TABLE_ID);
        }
        match (request.command, known) {
            (MonitorCommand::Add, true) => Err(OfpError::OFPMOFC_MONITOR_EXISTS),
            (MonitorCommand::Modify | MonitorCommand::Delete, false) => Err(OfpError::OFPMOFC_UNKNOWN_MONITOR),
            (MonitorCommand::Delete, true) => {
                self.monitors.requests.remove(&request.id);
                Ok(())
            }
            (MonitorCommand::Add, false) if self.monitors.requests.len() >= MONITORS => Err(OfpError::OFPMOFC_UNKNOWN),
            (MonitorCommand::Add | MonitorCommand::Modify, _) => {
                initial.push(request.clone());
                self.monitors.requests.insert(request.id, request);
                Ok(())
            }
        }
    }

    pub(super) fn cancel_monitor(&mut self, id: u32) -> Result<Effect, OfpError> {
        self.monitors.requests.remove(&id).ok_or(OfpError::OFPMOFC_UNKNOWN_MONITOR)?;
        Ok(Effect::WatchingChanged)
    }

    /// Tells of changes; `own` is the number of the connection's own message that made them.
    pub fn tell_changes(&mut self, changes: &[RuleChange], own: Option<u32>, output: &mut Output) {
        if self.monitors.is_empty() {
            return;
        }
        let mut abbreviated = false;
        let bridge = self.bridge;
        for change in changes.iter().filter(|c| c.bridge() == bridge) {
            self.tell_change(change, own, &mut abbreviated);
        }
        self.flush_updates(output);
        if !self.monitors.paused && output.waiting() > PAUSE {
            self.monitors.paused = true;
            self.say_of_monitors(FlowUpdate::Paused, Message::FlowMonitorPaused, output);
        }
    }

    fn tell_change(&mut self, change: &RuleChange, own: Option<u32>, abbreviated: &mut bool) {
        let id = change.flow.id;
        if self.monitors.paused {
            match change.event {
                FlowEvent::Removed(_) => match self.monitors.missed.remove(&id) {
                    // It came and went without the listener's knowing.
                    Some(true) => return,
                    _ => {}
                },
                event => {
                    let came = event == FlowEvent::Added;
                    self.monitors.missed.entry(id).and_modify(|c| *c |= came).or_insert(came);
                    return;
                }
            }
        }
        let flags = self.monitors.flags_for(change);
        if flags == 0 {
            return;
        }
        match own {
            Some(xid) if flags & flag::ONLY_OWN == 0 && !self.monitors.paused => {
                if !std::mem::replace(abbreviated, true) {
                    self.monitors.updates.push(FlowUpdate::Abbreviated(xid));
                }
            }
            _ => self.monitors.updates.push(told(change, change.event, flags & flag::INSTRUCTIONS != 0)),
        }
    }

    fn flush_updates(&mut self, output: &mut Output) {
        if !self.monitors.updates.is_empty() {
            let updates = std::mem::take(&mut self.monitors.updates);
            self.say(&Message::StatsReply(StatsReply::FlowMonitor { more: false, updates }), 0, output);
        }
    }

    fn say_of_monitors(&mut self, update: FlowUpdate, message: Message, output: &mut Output) {
        if self.protocol.version >= Version::V14 {
            self.monitors.updates.push(update);
            self.flush_updates(output);
        } else {
            self.say(&message, 0, output);
        }
    }

    /// Tells a listener that has read everything what it missed.
    pub fn resume_monitors(&mut self, switch: &Switch, output: &mut Output) {
        if !self.monitors.paused || output.waiting() > 0 {
            return;
        }
        self.monitors.paused = false;
        for (id, came) in std::mem::take(&mut self.monitors.missed) {
            let Some(flow) = switch.rules.rule(id) else { continue };
            let event = if came { FlowEvent::Added } else { FlowEvent::Modified };
            let change = RuleChange { event, flow, old_actions: None };
            let flags = self.monitors.flags_for(&change);
            if flags != 0 {
                self.monitors.updates.push(told(&change, event, flags & flag::INSTRUCTIONS != 0));
            }
        }
        self.flush_updates(output);
        self.say_of_monitors(FlowUpdate::Resumed, Message::FlowMonitorResumed, output);
    }
}

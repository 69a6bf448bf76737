//! Rules that went and are not forgotten yet.
//!
//! Purpose: a removed rule's last packets are counted before its id is free and its removal is told.
//! Invariant: waits first for the epoch without the rule, then for a report made after that.
//! Deliberately does not know: why it was removed.

use std::collections::{HashMap, VecDeque};

use sluice_compiler::{FlowStats, Removed};
use sluice_flow::hash::FoldBuild;
use sluice_flow::RuleId;
use sluice_openflow::message::{FlowRemoved, FlowRemovedReason};

use super::{Notice, Switch};

/// Rules on their way out, by the order in which they left.
#[derive(Default)]
pub(super) struct Retiring {
    rules: HashMap<RuleId, Removed, FoldBuild>,
    /// Workers may still use them: the first epoch without the rule.
    leaving: VecDeque<(u64, RuleId)>,
    /// No worker uses them; their last counts come with this report or a later one.
    left: VecDeque<(u64, RuleId)>,
}

impl Retiring {
    pub(super) fn add(&mut self, epoch: u64, removed: Vec<Removed>) {
        for removed in removed {
            self.leaving.push_back((epoch, removed.flow.id));
            self.rules.insert(removed.flow.id, removed);
        }
    }

    /// Adds what a worker counted for a rule, if it is on its way out.
    pub(super) fn fold(&mut self, id: RuleId, packets: u64, bytes: u64) {
        if let Some(removed) = self.rules.get_mut(&id) {
            removed.flow.packets = removed.flow.packets.saturating_add(packets);
            removed.flow.bytes = removed.flow.bytes.saturating_add(bytes);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Switch {
    /// Moves rules on whose epoch is adopted; asks for the report that has their last counts.
    pub(super) fn settle(&mut self) {
        let adopted = self.adopted;
        if self.retiring.leaving.front().is_none_or(|(epoch, _)| *epoch > adopted) {
            return;
        }
        let ticket = self.request_report();
        while let Some(id) = pop_until(&mut self.retiring.leaving, adopted) {
            self.retiring.left.push_back((ticket, id));
        }
        if self.has_reported(ticket) {
            self.bury(ticket, self.now_of_last_report());
        }
    }

    /// Frees the ids of rules whose last counts came with this report, and tells who must be told.
    pub(super) fn bury(&mut self, ticket: u64, now_ms: u64) {
        while let Some(id) = pop_until(&mut self.retiring.left, ticket) {
            self.rules.release(id);
            let Some(removed) = self.retiring.rules.remove(&id) else { continue };
            if let Some(reason) = told_reason(&removed) {
                let message = flow_removed(&removed.flow, reason, now_ms);
                self.notify(Notice::FlowRemoved(removed.flow.bridge, Box::new(message)));
            }
        }
    }
}

/// The first of a queue, when it is not later than `last`.
fn pop_until(queue: &mut VecDeque<(u64, RuleId)>, last: u64) -> Option<RuleId> {
    let (_, id) = *queue.front().filter(|(at, _)| *at <= last)?;
    queue.pop_front();
    Some(id)
}

fn told_reason(removed: &Removed) -> Option<FlowRemovedReason> {
    if !removed.flow.flags.send_flow_rem {
        return None;
    }
    super::news::reason(removed.reason)
}

fn flow_removed(flow: &FlowStats, reason: FlowRemovedReason, now_ms: u64) -> FlowRemoved {
    let lived = now_ms.saturating_sub(flow.created);
    FlowRemoved {
        matching: flow.matching(),
        cookie: flow.cookie,
        priority: flow.priority(),
        reason,
        table: Some(flow.table),
        duration_sec: u32::try_from(lived / 1000).unwrap_or(u32::MAX),
        duration_nsec: (lived % 1000) as u32 * 1_000_000,
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        packets: Some(flow.packets),
        bytes: Some(flow.bytes),
    }
}

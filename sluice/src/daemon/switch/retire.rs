//! Rules that went and are not forgotten yet.
//!
//! Purpose: a removed rule's last packets are counted before its id is free and its removal is told.
//! Invariant: waits first for the epoch without the rule, then for a report made after that.
//! Deliberately does not know: why it was removed.

use std::collections::VecDeque;

use sluice_compiler::{FlowStats, Removed, RemovedReason};
use sluice_flow::RuleId;
use sluice_openflow::message::{FlowRemoved, FlowRemovedReason};

use super::{Notice, Switch};

/// Rules on their way out.
#[derive(Default)]
pub(super) struct Retiring {
    /// Workers may still use them: the first epoch without the rule.
    leaving: VecDeque<(u64, Removed)>,
    /// No worker uses them; their last counts come with this report or a later one.
    left: VecDeque<(u64, Removed)>,
}

impl Retiring {
    pub(super) fn add(&mut self, epoch: u64, removed: Vec<Removed>) {
        self.leaving.extend(removed.into_iter().map(|r| (epoch, r)));
    }

    /// Adds what a worker counted for a rule that is on its way out.
    pub(super) fn fold(&mut self, id: RuleId, packets: u64, bytes: u64) {
        let all = self.leaving.iter_mut().chain(&mut self.left);
        for (_, removed) in all.filter(|(_, r)| r.flow.id == id) {
            removed.flow.packets = removed.flow.packets.saturating_add(packets);
            removed.flow.bytes = removed.flow.bytes.saturating_add(bytes);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.leaving.is_empty() && self.left.is_empty()
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
        while self.retiring.leaving.front().is_some_and(|(epoch, _)| *epoch <= adopted) {
            if let Some((_, removed)) = self.retiring.leaving.pop_front() {
                self.retiring.left.push_back((ticket, removed));
            }
        }
        if self.has_reported(ticket) {
            self.bury(ticket, self.now_of_last_report());
        }
    }

    /// Frees the ids of rules whose last counts came with this report, and tells who must be told.
    pub(super) fn bury(&mut self, ticket: u64, now_ms: u64) {
        while self.retiring.left.front().is_some_and(|(t, _)| *t <= ticket) {
            let Some((_, removed)) = self.retiring.left.pop_front() else { return };
            self.rules.release(removed.flow.id);
            if let Some(reason) = told_reason(&removed) {
                let message = flow_removed(&removed.flow, reason, now_ms);
                self.notify(Notice::FlowRemoved(removed.flow.bridge, message));
            }
        }
    }
}

fn told_reason(removed: &Removed) -> Option<FlowRemovedReason> {
    if !removed.flow.flags.send_flow_rem {
        return None;
    }
    match removed.reason {
        RemovedReason::IdleTimeout => Some(FlowRemovedReason::IdleTimeout),
        RemovedReason::HardTimeout => Some(FlowRemovedReason::HardTimeout),
        RemovedReason::Delete => Some(FlowRemovedReason::Delete),
        RemovedReason::Replaced => None,
    }
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

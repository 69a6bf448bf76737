//! Changes of the rules, for those who watch them.
//!
//! Invariant: nothing is kept while nobody watches; what is kept is taken after every message.
//! Deliberately does not know: who watches.

use sluice_compiler::{Applied, FlowStats, RemovedReason};
use sluice_flow::BridgeIdx;
use sluice_openflow::message::{FlowEvent, FlowRemovedReason};
use sluice_openflow::Action;
use std::sync::Arc;

use super::Switch;

/// One change of one rule.
#[derive(Clone, Debug)]
pub struct RuleChange {
    /// What happened.
    pub event: FlowEvent,
    /// The rule, as it is now or was last.
    pub flow: FlowStats,
    /// What it did before, where it did something else.
    pub old_actions: Option<Arc<[Action]>>,
}

impl RuleChange {
    /// Whose rule it is.
    pub fn bridge(&self) -> BridgeIdx {
        self.flow.bridge
    }
}

impl Switch {
    /// Whether anybody wants to hear of changes of the rules.
    pub fn set_watched(&mut self, watched: bool) {
        self.watched = watched;
        self.rules.set_watched(watched);
    }

    /// Whether there are any.
    pub fn has_rule_changes(&self) -> bool {
        !self.rule_changes.is_empty()
    }

    /// Changes of the rules since the last time.
    pub fn take_rule_changes(&mut self) -> Vec<RuleChange> {
        std::mem::take(&mut self.rule_changes)
    }

    pub(super) fn note_changes(&mut self, applied: &mut Applied) {
        if !self.watched {
            return;
        }
        for news in std::mem::take(&mut applied.news) {
            let event = if news.added { FlowEvent::Added } else { FlowEvent::Modified };
            self.rule_changes.push(RuleChange { event, flow: news.flow, old_actions: news.old_actions });
        }
        for removed in &applied.removed {
            if let Some(reason) = reason(removed.reason) {
                let flow = removed.flow.clone();
                self.rule_changes.push(RuleChange { event: FlowEvent::Removed(reason), flow, old_actions: None });
            }
        }
    }
}

/// Why a rule went, as others are told; `None` when another took its place.
pub(super) fn reason(reason: RemovedReason) -> Option<FlowRemovedReason> {
    match reason {
        RemovedReason::IdleTimeout => Some(FlowRemovedReason::IdleTimeout),
        RemovedReason::HardTimeout => Some(FlowRemovedReason::HardTimeout),
        RemovedReason::Delete => Some(FlowRemovedReason::Delete),
        RemovedReason::GroupDelete => Some(FlowRemovedReason::GroupDelete),
        RemovedReason::MeterDelete => Some(FlowRemovedReason::MeterDelete),
        RemovedReason::Eviction => Some(FlowRemovedReason::Eviction),
        RemovedReason::Replaced => None,
    }
}

//! Rules as text.
//!
//! Purpose: print rules as `ovs-ofctl add-flows` reads them, and changes for messages.
//! Deliberately does not know: terminals, files.

use crate::reconcile::Change;
use crate::rules::Rule;
use sluice_openflow::action::FlowFlags;
use sluice_openflow::text::{format_flow_stats, FlowLine, Names};

/// A rule on one line, without counters.
pub fn rule(rule: &Rule) -> String {
    let line = FlowLine {
        table: rule.table,
        priority: rule.priority,
        cookie: rule.cookie,
        matching: &rule.matching,
        actions: &rule.actions,
        idle_timeout: 0,
        hard_timeout: 0,
        importance: 0,
        flags: FlowFlags::default(),
        counters: None,
    };
    format_flow_stats(&line, &Names::new())
}

/// What a change does, on one line.
pub fn change(change: &Change) -> String {
    let word = match change {
        Change::Delete(_) => "delete",
        Change::Modify(_) => "modify",
        Change::Add(_) => "add",
    };
    format!("{word} '{}'", rule(change.rule()))
}

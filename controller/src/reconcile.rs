//! From the rules that are there to the rules that shall be, by the smallest change.
//!
//! Purpose: compare two rule sets and say what to send.
//! Invariant: applying the changes to what is there gives what shall be; where both are equal
//! there is no change at all. Deletes come first, so that a full table can take the adds.
//! Deliberately does not know: where the rules come from, how changes are sent.

mod canonical;

pub use canonical::canonical;

use crate::rules::{Rule, RuleSet};
use sluice_openflow::action::{FlowFlags, FlowMod, FlowModCommand};
use sluice_openflow::PortNo;

const NO_BUFFER: u32 = 0xffff_ffff;
const ANY_GROUP: u32 = 0xffff_ffff;

/// One change.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// This rule goes.
    Delete(Rule),
    /// This rule, which is there, gets these actions; its counters stay.
    Modify(Rule),
    /// This rule comes. It replaces one that differs in its cookie.
    Add(Rule),
}

/// What to change so that `actual` becomes `desired`.
///
/// Actions are compared by meaning: two spellings of the same action do not count as a change.
pub fn changes(actual: &RuleSet, desired: &RuleSet) -> Vec<Change> {
    let gone = actual.iter().filter(|rule| desired.get(&rule.key()).is_none());
    let mut changes: Vec<Change> = gone.cloned().map(Change::Delete).collect();
    for rule in desired.iter() {
        match actual.get(&rule.key()) {
            None => changes.push(Change::Add(rule.clone())),
            Some(old) if old.cookie != rule.cookie => changes.push(Change::Add(rule.clone())),
            Some(old) if canonical(&old.actions) != canonical(&rule.actions) => {
                changes.push(Change::Modify(rule.clone()));
            }
            Some(_) => {}
        }
    }
    changes
}

impl Change {
    /// The rule that changes.
    pub fn rule(&self) -> &Rule {
        match self {
            Change::Delete(rule) | Change::Modify(rule) | Change::Add(rule) => rule,
        }
    }

    /// The message that brings the change about.
    pub fn flow_mod(&self) -> FlowMod {
        let rule = self.rule();
        let (command, cookie, cookie_mask) = match self {
            // Only where the rule still carries the cookie that was seen: never somebody else's.
            Change::Delete(_) => (FlowModCommand::DeleteStrict, rule.cookie, u64::MAX),
            Change::Modify(_) => (FlowModCommand::ModifyStrict, rule.cookie, u64::MAX),
            Change::Add(_) => (FlowModCommand::Add, 0, 0),
        };
        let removes = command == FlowModCommand::DeleteStrict;
        FlowMod {
            command,
            table: Some(rule.table),
            priority: rule.priority,
            matching: rule.matching.clone(),
            cookie,
            cookie_mask,
            new_cookie: (command == FlowModCommand::Add).then_some(rule.cookie),
            idle_timeout: 0,
            hard_timeout: 0,
            importance: 0,
            buffer_id: NO_BUFFER,
            out_port: PortNo::NONE,
            out_group: ANY_GROUP,
            flags: FlowFlags::default(),
            actions: if removes { Vec::new() } else { rule.actions.clone() },
        }
    }
}

/// How many changes of each kind, for logs.
pub fn summary(changes: &[Change]) -> String {
    let count = |kind: fn(&Change) -> bool| changes.iter().filter(|c| kind(c)).count();
    let added = count(|c| matches!(c, Change::Add(_)));
    let modified = count(|c| matches!(c, Change::Modify(_)));
    let deleted = count(|c| matches!(c, Change::Delete(_)));
    format!("{added} added, {modified} modified, {deleted} deleted")
}

#[cfg(test)]
#[path = "reconcile/tests.rs"]
mod tests;

//! Which rule goes when a table is full.
//!
//! Purpose: as Open vSwitch chooses: only rules with a timeout may go; of the largest group of rules
//! (alike in the fields that the table names) the least important, then the one that would go first.
//! Deliberately does not know: why a table has a limit.

use std::collections::HashMap;

use sluice_flow::RuleId;
use sluice_openflow::{Field, Match};

use super::entry::Entry;
use super::table::{Entries, Table};

/// What happens to rules that are too many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    /// Rules at most; `None` for no limit.
    pub limit: Option<u32>,
    /// The configuration lets another rule go for a new one; else the new one is refused.
    pub evicts: bool,
    /// Fields in which rules of one group are alike.
    pub groups: Vec<Field>,
}

/// The rule that goes first, if any may go.
pub(super) fn victim(table: &Table, entries: &Entries) -> Option<RuleId> {
    let rules = || table.ordered().flat_map(|s| table.rules_of(s, entries));
    let may_go = |e: &&Entry| e.deadline().is_some();
    let mut sizes: HashMap<Vec<u128>, u32> = HashMap::new();
    if !table.overflow.groups.is_empty() {
        for e in rules() {
            *sizes.entry(group_of(table, e)).or_default() += 1;
        }
    }
    let size = |e: &Entry| sizes.get(&group_of(table, e)).copied().unwrap_or(0);
    let best = rules().filter(may_go).min_by_key(|e| (std::cmp::Reverse(size(e)), e.importance, e.deadline()));
    best.map(|e| e.rule.id)
}

fn group_of(table: &Table, e: &Entry) -> Vec<u128> {
    let m = Match { value: e.rule.matching.value_key(), mask: e.rule.matching.mask.to_key() };
    table.overflow.groups.iter().map(|f| m.field(*f).0).collect()
}

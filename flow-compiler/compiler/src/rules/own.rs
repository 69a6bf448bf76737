//! The switch's own rules: what it adds to a bridge so that it can be reached and does not fall silent.
//!
//! Invariant: they live in a table of their own, which no controller sees or changes; a rule that stays
//! keeps its counters.
//! Deliberately does not know: which rules there are and why.

use sluice_flow::program::OWN_TABLE;
use sluice_flow::{BridgeIdx, Change};
use sluice_openflow::FlowMod;

use super::{transaction, Applied, FlowStats, RemovedReason, RuleSet};

impl RuleSet {
    /// Makes `wanted` (additions) the switch's own rules of a bridge, and no others.
    pub fn set_own(&mut self, bridge: BridgeIdx, wanted: &[FlowMod], now: u64) -> Applied {
        self.grow(bridge);
        let wanted: Vec<FlowMod> = wanted.iter().map(|fm| FlowMod { table: Some(OWN_TABLE), ..fm.clone() }).collect();
        let there: Vec<FlowStats> = self.own(bridge).collect();
        let is = |fm: &FlowMod, e: &FlowStats| {
            fm.priority == e.priority() && fm.matching == e.matching() && fm.actions[..] == e.actions[..]
        };
        let mut t = transaction::Transaction::new(self, bridge, now);
        for gone in there.iter().filter(|e| !wanted.iter().any(|fm| is(fm, e))) {
            t.remove(gone.id, RemovedReason::Replaced);
        }
        for new in wanted.iter().filter(|fm| !there.iter().any(|e| is(fm, e))) {
            // Nothing limits this table, and rules of the switch refer to nothing that could be missing.
            let _ = t.execute(new);
        }
        let mut applied = t.finish();
        applied.news.clear();
        if there.is_empty() != wanted.is_empty() {
            applied.changes.push(Change::SetOwnRules { bridge, any: !wanted.is_empty() });
        }
        applied
    }

    /// The switch's own rules of a bridge, highest priority first.
    pub fn own(&self, bridge: BridgeIdx) -> impl Iterator<Item = FlowStats> + '_ {
        let table = self.tables(bridge).get(usize::from(OWN_TABLE));
        let mut all: Vec<FlowStats> = table.map_or(Vec::new(), |t| {
            t.select(&self.entries, &super::Filter::default()).into_iter().map(|e| FlowStats::of(e, self.options(bridge))).collect()
        });
        all.sort_by_key(|e| std::cmp::Reverse(e.priority()));
        all.into_iter()
    }
}

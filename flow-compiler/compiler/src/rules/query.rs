//! Which rules a request is about, and what is answered.
//!
//! Invariant: answers come table by table, and within a table in the order of `table`.
//! Deliberately does not know: messages.

use std::sync::Arc;

use sluice_flow::{BridgeIdx, Key, Rule, RuleId};
use sluice_openflow::action::PortNo;
use sluice_openflow::{Action, FlowMod, Match};

use super::entry::{Entry, FlowStats};
use super::outputs::{outputs_to, uses_group, GROUP_ANY};
use super::table::{Entries, Subtable, Table};
use super::RuleSet;

/// Tables that OpenFlow may look at: 0..=253. Table 254 is kept for the switch's own rules.
pub const VISIBLE_TABLES: u8 = 254;

/// Which rules a request is about.
#[derive(Clone, PartialEq, Debug)]
pub struct Filter {
    /// Table; `None` for all.
    pub table: Option<u8>,
    /// Rules that match at least all of this.
    pub matching: Match,
    /// Wanted cookie bits.
    pub cookie: u64,
    /// Which cookie bits matter.
    pub cookie_mask: u64,
    /// Rules that output here; `NONE` for any.
    pub out_port: PortNo,
    /// Rules that use this group; [`GROUP_ANY`] for any.
    pub out_group: u32,
}

impl Default for Filter {
    fn default() -> Self {
        Filter {
            table: None,
            matching: Match::ANY,
            cookie: 0,
            cookie_mask: 0,
            out_port: PortNo::NONE,
            out_group: GROUP_ANY,
        }
    }
}

impl Filter {
    /// What a modify or delete is about.
    pub(crate) fn of(fm: &FlowMod) -> Self {
        let (out_port, out_group) = outputs_of(fm);
        let (matching, cookie, cookie_mask) = (fm.matching.clone(), fm.cookie, fm.cookie_mask);
        Filter { table: fm.table, matching, cookie, cookie_mask, out_port, out_group }
    }

    /// All but the match.
    fn accepts(&self, e: &Entry) -> bool {
        accepts(e, (self.cookie, self.cookie_mask), self.out_port, self.out_group)
    }

    fn covers(&self, s: &Subtable) -> bool {
        let mut left = self.matching.mask;
        for (i, bits) in s.mask.words.iter() {
            left.words[*i as usize] &= !bits;
        }
        left.is_zero()
    }

    fn matches(&self, e: &Entry) -> bool {
        let m = &e.rule.matching;
        m.mask.words.iter().zip(m.values.iter()).all(|((i, _), v)| {
            let i = *i as usize;
            (v ^ self.matching.value.words[i]) & self.matching.mask.words[i] == 0
        }) && self.accepts(e)
    }
}

/// Whether a modify or delete is about a rule, as far as it does not depend on the match.
pub(crate) fn concerns(fm: &FlowMod, e: &Entry) -> bool {
    let (out_port, out_group) = outputs_of(fm);
    accepts(e, (fm.cookie, fm.cookie_mask), out_port, out_group)
}

/// Port and group that a rule must use; only deletes ask for any.
fn outputs_of(fm: &FlowMod) -> (PortNo, u32) {
    use sluice_openflow::FlowModCommand::{Delete, DeleteStrict};
    match fm.command {
        Delete | DeleteStrict => (fm.out_port, fm.out_group),
        _ => (PortNo::NONE, GROUP_ANY),
    }
}

fn accepts(e: &Entry, (cookie, mask): (u64, u64), out_port: PortNo, out_group: u32) -> bool {
    (e.cookie ^ cookie) & mask == 0 && outputs_to(&e.actions, out_port) && uses_group(&e.actions, out_group)
}

/// A rule as explanations need it.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Match, priority and instructions.
    pub rule: &'a Rule,
    /// Actions exactly as given.
    pub actions: &'a Arc<[Action]>,
    /// Cookie.
    pub cookie: u64,
}

impl<'a> Shown<'a> {
    fn of(e: &'a Entry) -> Shown<'a> {
        Shown { rule: &e.rule, actions: &e.actions, cookie: e.cookie }
    }
}

/// Sums over rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Aggregate {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Rules.
    pub flows: u32,
}

/// What is known of one table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TableStats {
    /// Rules.
    pub active: u32,
    /// Packets looked up.
    pub lookups: u64,
    /// Packets that matched a rule.
    pub matched: u64,
}

impl Table {
    /// Visible rules that a request is about, in order.
    pub(crate) fn select<'a>(&self, entries: &'a Entries, filter: &Filter) -> Vec<&'a Entry> {
        let subtables = self.ordered().filter(|s| filter.covers(s));
        subtables.flat_map(|s| self.rules_of(s, entries)).filter(|e| filter.matches(e)).collect()
    }
}

impl RuleSet {
    /// The numbers of the rules that a request is about, in the order in which they are shown.
    pub fn select(&self, bridge: BridgeIdx, filter: &Filter) -> Vec<RuleId> {
        self.select_entries(bridge, filter).map(|e| e.rule.id).collect()
    }

    fn select_entries<'a>(&'a self, bridge: BridgeIdx, filter: &'a Filter) -> impl Iterator<Item = &'a Entry> + 'a {
        let tables = self.tables(bridge).iter().enumerate().take(VISIBLE_TABLES as usize);
        tables
            .filter(|(i, _)| filter.table.is_none_or(|t| usize::from(t) == *i))
            .flat_map(|(_, t)| t.select(&self.entries, filter))
    }

    /// Rules and their counters, in the order in which they are shown.
    pub fn dump<'a>(&'a self, bridge: BridgeIdx, filter: &'a Filter) -> impl Iterator<Item = FlowStats> + 'a {
        self.select_entries(bridge, filter).map(move |e| FlowStats::of(e, self.options(bridge)))
    }

    /// Sums over rules.
    pub fn aggregate(&self, bridge: BridgeIdx, filter: &Filter) -> Aggregate {
        self.select_entries(bridge, filter).fold(Aggregate::default(), |sum, e| Aggregate {
            packets: sum.packets.saturating_add(e.packets),
            bytes: sum.bytes.saturating_add(e.bytes),
            flows: sum.flows + 1,
        })
    }

    /// What is known of a table.
    pub fn table_stats(&self, bridge: BridgeIdx, table: u8) -> TableStats {
        self.tables(bridge).get(table as usize).map_or(TableStats::default(), |t| TableStats {
            active: t.count,
            lookups: t.lookups,
            matched: t.matched,
        })
    }

    /// A table's rules by mask, in the order in which look-ups of Open vSwitch go through them.
    pub fn subtables(&self, bridge: BridgeIdx, table: u8) -> Vec<(Key, Vec<Shown<'_>>)> {
        let Some(t) = self.tables(bridge).get(usize::from(table)) else { return Vec::new() };
        let shown = |e| Shown::of(e);
        t.ordered().map(|s| (s.mask.to_key(), t.rules_of(s, &self.entries).map(shown).collect())).collect()
    }

    /// All there is to say of one rule.
    pub fn rule(&self, id: RuleId) -> Option<FlowStats> {
        super::table::entry(&self.entries, id).filter(|e| !e.gone).map(|e| FlowStats::of(e, self.options(e.bridge)))
    }
}

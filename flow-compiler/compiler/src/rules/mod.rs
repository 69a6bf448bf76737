//! Every bridge's rules, with OpenFlow's semantics.
//!
//! Purpose: apply flow-mods, one by one or several as one, and say what they mean for the program.
//! Invariant: a refused flow-mod or bundle changes nothing, not even the order of a dump; a rule id
//! is given out again only after [`RuleSet::release`].
//! Deliberately does not know: messages, connections, workers.

pub(crate) mod entry;
mod eviction;
mod groups;
mod meters;
mod news;
mod options;
mod order;
mod outputs;
mod own;
mod query;
mod recent;
mod table;
mod timeouts;
mod transaction;
mod users;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use sluice_flow::hash::FoldBuild;
use sluice_flow::{BridgeIdx, Change, RuleId};
use sluice_openflow::action::Learn;
use sluice_openflow::message::GroupMod;
use sluice_openflow::packed::PackedFlowMod;
use sluice_openflow::{FlowMod, Match, Version};

use crate::error::OfError;
pub use entry::{FlowStats, Removed, RemovedReason};
pub use groups::GROUP_ALL;
pub use meters::{METER_ALL, METER_FEATURES};
pub use eviction::Overflow;
pub use news::RuleNews;
pub use outputs::{outputs_to, uses_group, GROUP_ANY};
pub use query::{Aggregate, Filter, Shown, TableStats, VISIBLE_TABLES};
use table::{entry_mut, Entries, Sought, Table};
pub use users::Reference;

/// Rules of every bridge.
#[derive(Debug, Default)]
pub struct RuleSet {
    pub(crate) entries: Entries,
    free: Vec<RuleId>,
    /// Removed, but workers may still count for them.
    retired: HashSet<RuleId, FoldBuild>,
    bridges: Vec<Vec<Table>>,
    /// Deadline and rule; an entry that is not the rule's `scheduled` one is void.
    timers: BinaryHeap<Reverse<(u64, RuleId)>>,
    /// Learning actions as written, by the id in their instruction, and how many rules have them.
    pub(crate) learns: HashMap<u64, (Arc<Learn>, u32), FoldBuild>,
    pub(crate) next_learn_id: u64,
    /// Rules whose learning action asks for `delete_learned`, by what they learn.
    learned_cookies: HashMap<(BridgeIdx, u8, u64), i32, FoldBuild>,
    /// Somebody wants to hear of changes.
    watched: bool,
    /// Learning actions of controllers' own packets, oldest first.
    pub(crate) passing: VecDeque<u64>,
    groups: groups::Groups,
    meters: meters::Meters,
    users: users::Users,
    recent: recent::Recent,
    options: options::Options,
}

/// One message of a bundle.
#[derive(Clone, Debug)]
pub enum Mod<'a> {
    /// A change of rules.
    Flow(&'a FlowMod),
    /// A change of rules that was kept in little room.
    Packed(PackedFlowMod),
    /// A change of groups.
    Group(&'a GroupMod),
}

/// What a change of the rules came to.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// What the program must do, in order, as one epoch.
    pub changes: Vec<Change>,
    /// Rules that went. Fold what workers still hold of them, tell who must be told, then release.
    pub removed: Vec<Removed>,
    /// Rules that came or changed, in order; only while somebody watches.
    pub news: Vec<RuleNews>,
}

/// A bundle that was refused as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BundleError {
    /// Position of the flow-mod at fault.
    pub index: usize,
    /// What was wrong with it.
    pub error: OfError,
}

impl RuleSet {
    /// No bridges, no rules.
    pub fn new() -> Self {
        RuleSet::default()
    }

    /// Applies one flow-mod.
    pub fn apply(&mut self, bridge: BridgeIdx, fm: &FlowMod, version: Version, now: u64) -> Result<Applied, OfError> {
        self.commit(bridge, std::slice::from_ref(fm), version, now).map_err(|e| e.error)
    }

    /// Applies flow-mods in order, all or none.
    pub fn commit(
        &mut self,
        bridge: BridgeIdx,
        fms: &[FlowMod],
        version: Version,
        now: u64,
    ) -> Result<Applied, BundleError> {
        self.commit_mods(bridge, fms.iter().map(Mod::Flow), version, now)
    }

    /// Applies changes of rules and groups in order, all or none.
    pub fn commit_mods<'a>(
        &mut self,
        bridge: BridgeIdx,
        mods: impl IntoIterator<Item = Mod<'a>>,
        version: Version,
        now: u64,
    ) -> Result<Applied, BundleError> {
        self.grow(bridge);
        let mut t = transaction::Transaction::new(self, bridge, now);
        let mut whole = None;
        for (index, one) in mods.into_iter().enumerate() {
            let done = match one {
                Mod::Flow(fm) => t.flow_mod(fm, version),
                Mod::Packed(packed) => {
                    let fm = whole.get_or_insert_with(|| Box::new(FlowMod::around(Match::ANY)));
                    packed.unpack(fm);
                    t.flow_mod(fm, version)
                }
                Mod::Group(gm) => t.group_mod(gm),
            };
            if let Err(error) = done {
                t.roll_back();
                return Err(BundleError { index, error });
            }
        }
        Ok(t.finish())
    }

    /// Does a bridge have this group or meter?
    pub fn knows(&self, bridge: BridgeIdx, what: Reference) -> bool {
        match what {
            Reference::Group(id) => self.groups.contains(bridge, id),
            Reference::Meter(id) => self.meters.contains(bridge, id),
        }
    }

    /// Applies a flow-mod that the switch itself made; one that cannot be applied does nothing.
    pub(crate) fn apply_trusted(&mut self, bridge: BridgeIdx, fm: &FlowMod, now: u64) -> Applied {
        self.grow(bridge);
        let mut t = transaction::Transaction::new(self, bridge, now);
        if t.execute(fm).is_err() {
            t.roll_back();
            return Applied::default();
        }
        t.finish()
    }

    /// Makes an equal rule young again. False where there is none, or it differs.
    pub(crate) fn refresh(&mut self, bridge: BridgeIdx, fm: &FlowMod, now: u64) -> bool {
        let found = self.tables(bridge).get(usize::from(fm.table.unwrap_or(0)));
        let Some(id) = found.and_then(|t| t.find(&self.entries, &Sought::new(&fm.matching), fm.priority)) else { return false };
        let Some(e) = entry_mut(&mut self.entries, id) else { return false };
        let same = *e.actions == *fm.actions && fm.new_cookie.is_none_or(|c| c == e.cookie);
        if same {
            e.modified = now;
        }
        same
    }

    /// Removes all rules of a bridge; its groups and meters stay.
    pub fn clear(&mut self, bridge: BridgeIdx, now: u64) -> Applied {
        let all = self.select(bridge, &Filter::default());
        let mut t = transaction::Transaction::new(self, bridge, now);
        for id in all {
            t.remove(id, RemovedReason::Delete);
        }
        t.finish()
    }

    /// Adds what workers counted for a rule since the last time. Unknown ids are ignored.
    pub fn fold(&mut self, id: RuleId, packets: u64, bytes: u64, last_used: u64) {
        if let Some(e) = entry_mut(&mut self.entries, id) {
            e.packets = e.packets.saturating_add(packets);
            e.bytes = e.bytes.saturating_add(bytes);
            e.used = e.used.max(last_used);
        }
    }

    /// Adds what workers counted for a table since the last time.
    pub fn fold_table(&mut self, bridge: BridgeIdx, table: u8, lookups: u64, matched: u64) {
        let Some(tables) = self.bridges.get_mut(bridge as usize) else { return };
        if let Some(t) = tables.get_mut(table as usize) {
            t.lookups = t.lookups.saturating_add(lookups);
            t.matched = t.matched.saturating_add(matched);
        }
    }

    /// What happens to rules that are too many for a table. Those that are too many now go at once
    /// where another may go for a new one.
    pub fn set_overflow(&mut self, bridge: BridgeIdx, table: u8, overflow: Overflow, now: u64) -> Applied {
        self.grow(bridge);
        if let Some((t, entries)) = self.table_mut(bridge, table) {
            t.set_overflow(entries, overflow, t.evicts());
        }
        let mut t = transaction::Transaction::new(self, bridge, now);
        t.shrink(table);
        t.finish()
    }

    /// Whether a controller lets rules of a table go for new ones.
    pub fn set_eviction(&mut self, bridge: BridgeIdx, table: u8, evicts: bool) {
        self.grow(bridge);
        if let Some((t, entries)) = self.table_mut(bridge, table) {
            t.set_overflow(entries, t.overflow().clone(), evicts);
        }
    }

    /// Most rules that a table may hold; `None` for no limit.
    pub fn limit(&self, bridge: BridgeIdx, table: u8) -> Option<u32> {
        self.tables(bridge).get(usize::from(table))?.overflow().limit
    }

    /// Most rules that a table may hold; `None` for no limit. More are refused.
    pub fn set_limit(&mut self, bridge: BridgeIdx, table: u8, limit: Option<u32>) {
        self.grow(bridge);
        if let Some((t, entries)) = self.table_mut(bridge, table) {
            t.set_overflow(entries, Overflow { limit, ..t.overflow().clone() }, t.evicts());
        }
    }

    /// Makes the id of a removed rule free: every worker has let go of it.
    pub fn release(&mut self, id: RuleId) {
        if self.retired.remove(&id) {
            self.free.push(id);
        }
    }

    /// Number of rules in all bridges.
    pub fn len(&self) -> usize {
        self.bridges.iter().flatten().map(|t| t.count as usize).sum()
    }

    /// Are there no rules at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn tables(&self, bridge: BridgeIdx) -> &[Table] {
        self.bridges.get(bridge as usize).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn table_mut(&mut self, bridge: BridgeIdx, table: u8) -> Option<(&mut Table, &mut Entries)> {
        let t = self.bridges.get_mut(bridge as usize)?.get_mut(table as usize)?;
        Some((t, &mut self.entries))
    }

    fn grow(&mut self, bridge: BridgeIdx) {
        while self.bridges.len() <= bridge as usize {
            let mut tables = Vec::with_capacity(sluice_flow::program::TABLES);
            tables.resize_with(sluice_flow::program::TABLES, Table::default);
            self.bridges.push(tables);
        }
    }
}

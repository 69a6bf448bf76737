//! Which rule goes when a table is full.
//!
//! Purpose: as Open vSwitch chooses: only rules with a timeout may go; of the largest group of those (alike
//! in the fields that the table names) the least important, then the one that would go first.
//! Invariant: of a table in which rules make room for others every visible rule with a timeout has one
//! place here. Places are by the deadline that was known; one that use has moved since is put right when it
//! comes to the front, so that a choice costs the logarithm of what there is, however much was used.
//! Deliberately does not know: why a table has a limit.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use sluice_flow::hash::FoldBuild;
use sluice_flow::RuleId;
use sluice_openflow::{Field, Match};

use super::entry::Entry;
use super::table::{entry, Entries};

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

/// Importance, deadline and id: the lowest goes first.
type Rank = (u16, u64, RuleId);
/// Values of the fields in which the rules of a group are alike.
type Likeness = Vec<u128>;
/// A group by its size and by its rule that goes first.
type Front = (Reverse<usize>, Rank, u32);

/// The rules of a table that may go.
#[derive(Debug, Default)]
pub(super) struct Evictable {
    fields: Vec<Field>,
    ids: HashMap<Likeness, u32, FoldBuild>,
    groups: HashMap<u32, (Likeness, BTreeSet<Rank>), FoldBuild>,
    last_group: u32,
    fronts: BTreeSet<Front>,
    places: HashMap<RuleId, (u32, Rank), FoldBuild>,
}

impl Evictable {
    /// None yet; groups are by these fields.
    pub fn new(fields: &[Field]) -> Evictable {
        Evictable { fields: fields.to_vec(), ..Evictable::default() }
    }

    /// Takes in a rule, where it has a timeout.
    pub fn add(&mut self, e: &Entry) {
        let Some(rank) = rank(e) else { return };
        let likeness = likeness(&self.fields, e);
        let group = match self.ids.get(&likeness) {
            Some(group) => *group,
            None => {
                self.last_group = self.last_group.wrapping_add(1);
                self.ids.insert(likeness.clone(), self.last_group);
                self.groups.insert(self.last_group, (likeness, BTreeSet::new()));
                self.last_group
            }
        };
        self.change(group, |ranks| ranks.insert(rank));
        self.places.insert(rank.2, (group, rank));
    }

    /// Forgets a rule.
    pub fn remove(&mut self, id: RuleId) {
        let Some((group, rank)) = self.places.remove(&id) else { return };
        self.change(group, |ranks| ranks.remove(&rank));
        if self.groups.get(&group).is_some_and(|(_, ranks)| ranks.is_empty()) {
            if let Some((likeness, _)) = self.groups.remove(&group) {
                self.ids.remove(&likeness);
            }
        }
    }

    fn change(&mut self, group: u32, what: impl FnOnce(&mut BTreeSet<Rank>) -> bool) {
        let Some((_, ranks)) = self.groups.get_mut(&group) else { return };
        if let Some(first) = ranks.first() {
            self.fronts.remove(&(Reverse(ranks.len()), *first, group));
        }
        what(ranks);
        if let Some(first) = ranks.first() {
            self.fronts.insert((Reverse(ranks.len()), *first, group));
        }
    }

    /// The rule that goes first, if any may go.
    pub fn victim(&mut self, entries: &Entries) -> Option<RuleId> {
        loop {
            let (_, known, _) = *self.fronts.first()?;
            let e = entry(entries, known.2)?;
            if rank(e) == Some(known) {
                return Some(known.2);
            }
            self.remove(known.2);
            self.add(e);
        }
    }
}

fn rank(e: &Entry) -> Option<Rank> {
    e.deadline().map(|deadline| (e.importance, deadline, e.rule.id))
}

fn likeness(fields: &[Field], e: &Entry) -> Likeness {
    if fields.is_empty() {
        return Likeness::new();
    }
    let m = Match { value: e.rule.matching.value_key(), mask: e.rule.matching.mask.to_key(), ..Match::ANY };
    fields.iter().map(|f| m.field(*f).0).collect()
}

//! One table's rules, looked up by priority.
//!
//! Purpose: find the rule of highest priority that a key matches, with few probes whatever masks the
//! rules have. Rules lie in groups. A group is a hash table over some of the bits that all of its
//! rules look at; rules that agree in those bits form a chain by falling priority, and each rule of
//! a chain is compared in full. The first rules of a table share a group that hashes nothing: a
//! short list. A chain that becomes too long is split: a new group takes what tells its rules apart
//! (see [`split`]). So the structure follows the rules: a list, a hash table for each mask, or a few
//! tables of many masks merged. Groups are probed from the highest priority down until no later one
//! can win.
//! Conjunctions follow Open vSwitch: rules with clauses only contribute; when all clauses of one
//! conjunction matched at one priority, the key is looked up again with that `conj_id`.
//! Invariant: a rule is in exactly one group, whose mask is part of its own; no group is empty; only
//! rules of a group's very own mask, or that nothing tells apart, may lie in a chain above its limit.
//! The number of probes is bounded by what the operator installed; traffic cannot add one.
//! Deliberately does not know: what actions do, counters, other tables.

mod entries;
mod group;
mod masks;
mod shape;
mod soft;
mod split;
#[cfg(test)]
mod tests;
mod witness;

use std::collections::HashMap;
use std::sync::Arc;

use crate::hash::FoldBuild;
use crate::key::{slot, Key};
use crate::rule::{Rule, RuleId, SparseMask};
use entries::{Entries, NONE};
use group::{covers, Group};
use masks::Masks;
pub use shape::Shape;
pub use soft::Soft;
pub use witness::Seen;
use witness::Witness;

/// Rules that a chain may have before it is split.
const CHAIN_MAX: usize = 32;
/// The same for the list that every look-up in a table walks.
const LIST_MAX: usize = 12;

/// The rules of one table.
#[derive(Clone, Debug, Default)]
pub struct Classifier {
    masks: Masks,
    entries: Entries,
    groups: Vec<Option<Group>>,
    /// Groups by falling highest priority: what is probed, in this order.
    order: Vec<Probe>,
    /// Where each rule is.
    by_id: HashMap<RuleId, Place, FoldBuild>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    max_priority: u16,
    group: u32,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    group: u32,
    entry: u32,
}

/// Where a rule may go.
enum Room {
    /// A group whose chain for it is short enough.
    In(u32),
    /// Every group that could take it has a long chain there; the one of the finest mask.
    Full(u32),
    /// No group can take it.
    Nowhere,
}

impl Classifier {
    /// Adds a rule. One with the same id must not be present.
    pub fn insert(&mut self, rule: Arc<Rule>) {
        debug_assert!(!self.by_id.contains_key(&rule.id));
        let key = rule.matching.value_key();
        let mask = self.masks.intern(&rule.matching.mask);
        let entry = self.entries.add(rule, mask);
        match self.room(entry, &key) {
            Room::In(group) => self.link(group, entry, &key),
            Room::Full(group) => self.split(group, entry, &key),
            Room::Nowhere => {
                // The first rule of a table: nothing need be looked at to find it.
                let group = self.add_group(SparseMask { words: Box::new([]) });
                self.link(group, entry, &key);
            }
        }
    }

    /// Removes a rule by id; `None` when it is not here.
    pub fn remove(&mut self, id: RuleId) -> Option<Arc<Rule>> {
        let place = self.by_id.remove(&id)?;
        let key = self.entries.rule(place.entry)?.matching.value_key();
        self.unlink(place.group, place.entry, &key);
        if self.group(place.group).is_some_and(Group::is_empty) {
            self.remove_group(place.group);
        } else {
            self.resort(place.group);
        }
        let (rule, mask) = self.entries.remove(place.entry)?;
        self.masks.release(mask);
        Some(rule)
    }

    /// The rule with this id.
    pub fn get(&self, id: RuleId) -> Option<&Arc<Rule>> {
        self.entries.rule(self.by_id.get(&id)?.entry)
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True when there is no rule.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Number of groups: hash tables that a look-up may have to probe.
    pub fn groups(&self) -> usize {
        self.order.len()
    }

    /// Every mask in use.
    pub fn masks(&self) -> impl Iterator<Item = &Arc<SparseMask>> {
        self.masks.iter()
    }

    /// Every bit that some rule looks at. May hold bits that only rules which went looked at.
    pub fn looks_at(&self) -> &Key {
        self.masks.looks_at()
    }

    /// Rises whenever [`Classifier::looks_at`] changes.
    pub fn shape_changes(&self) -> u64 {
        self.masks.changes()
    }

    /// Every rule, in no particular order.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.by_id.values().filter_map(|p| self.entries.rule(p.entry))
    }

    /// What structure this table has, and how well it fits.
    pub fn shape(&self) -> Shape {
        shape::of(self)
    }

    /// The rule of highest priority that `key` matches.
    pub fn lookup(&self, key: &Key, scratch: &mut Soft) -> Option<&Arc<Rule>> {
        self.lookup_seen(key, scratch, &mut ())
    }

    /// The same, with someone who hears what the answer rests on.
    pub(crate) fn lookup_seen(&self, key: &Key, scratch: &mut Soft, witness: &mut impl Witness) -> Option<&Arc<Rule>> {
        scratch.clear();
        let hard = self.search(key, witness, |entry| scratch.push(entry));
        if scratch.is_empty() {
            return hard;
        }
        self.resolve_conjunctions(key, hard, scratch, witness)
    }

    /// Best rule without clauses; `soft` hears of matching rules that have some, perhaps also below it.
    #[inline(always)]
    fn search(&self, key: &Key, witness: &mut impl Witness, mut soft: impl FnMut(u32)) -> Option<&Arc<Rule>> {
        let mut best = NONE;
        let mut floor = -1;
        for probe in &self.order {
            if i32::from(probe.max_priority) <= floor {
                break;
            }
            let Some(Some(group)) = self.groups.get(probe.group as usize) else { continue };
            if witness.rules_out(group.agreed(), key) {
                continue;
            }
            witness.probed(&group.mask);
            let mut at = group.first(group.hash(key));
            while let Some(e) = self.entries.get(at) {
                if i32::from(e.priority) <= floor {
                    break;
                }
                if let Some(rule) = self.entries.rule(at) {
                    witness.compared(&rule.matching, key);
                }
                if e.matches(key, &self.masks) {
                    if !e.soft {
                        (best, floor) = (at, i32::from(e.priority));
                        break;
                    }
                    soft(at);
                }
                at = e.next;
            }
        }
        self.entries.rule(best)
    }

    /// Tries the clauses that matched, highest priority first.
    fn resolve_conjunctions<'a>(
        &'a self,
        key: &Key,
        hard: Option<&'a Arc<Rule>>,
        scratch: &mut Soft,
        witness: &mut impl Witness,
    ) -> Option<&'a Arc<Rule>> {
        let floor = hard.map_or(-1, |h| i32::from(h.priority));
        let mut below = i32::from(u16::MAX) + 1;
        loop {
            let priorities = scratch.entries().filter_map(|e| Some(i32::from(self.entries.get(e)?.priority)));
            let Some(top) = priorities.filter(|p| *p > floor && *p < below).max() else { return hard };
            if let Some(id) = scratch.complete(|e| self.entries.rule(e).filter(|r| i32::from(r.priority) == top)) {
                let mut again = *key;
                again.set(slot::CONJ_ID, u64::from(id));
                if let Some(rule) = self.search(&again, witness, |_| {}) {
                    return Some(rule);
                }
            }
            below = top;
        }
    }

    fn group(&self, group: u32) -> Option<&Group> {
        self.groups.get(group as usize)?.as_ref()
    }

    /// The group of the finest mask that can take this rule and has a short chain for it.
    fn room(&self, entry: u32, key: &Key) -> Room {
        let Some(mask) = self.entries.get(entry).and_then(|e| self.masks.get(e.mask)) else { return Room::Nowhere };
        let (mut free, mut full) = (None, None);
        for probe in &self.order {
            let Some(group) = self.group(probe.group) else { continue };
            let better = |old: Option<(u32, u32)>| old.is_none_or(|(bits, _)| group.bits > bits);
            if !better(free) || !covers(mask, &group.mask) {
                continue;
            }
            let first = group.first(group.hash(key));
            let most = if group.bits == 0 { LIST_MAX } else { CHAIN_MAX };
            if self.entries.chain(first).take(most).count() < most {
                free = Some((group.bits, probe.group));
            } else if better(full) {
                full = Some((group.bits, probe.group));
            }
        }
        match (free, full) {
            (Some((_, group)), _) => Room::In(group),
            (None, Some((_, group))) => Room::Full(group),
            (None, None) => Room::Nowhere,
        }
    }

    /// Makes a group that takes rules out of the chain that became too long.
    fn split(&mut self, from: u32, entry: u32, key: &Key) {
        let Some(group) = self.group(from) else { return };
        let mut members: Vec<u32> = self.entries.chain(group.first(group.hash(key))).collect();
        members.push(entry);
        let described: Vec<split::Member> = members
            .iter()
            .filter_map(|e| {
                let rule = self.entries.rule(*e)?;
                Some(split::Member { mask: &rule.matching.mask, key: rule.matching.value_key() })
            })
            .collect();
        let taken: Vec<&SparseMask> = self.order.iter().filter_map(|p| Some(&self.group(p.group)?.mask)).collect();
        let Some(mask) = split::choose(&described, &group.mask, &taken) else {
            return self.link_to_own_mask(from, entry, key);
        };
        let moves: Vec<(u32, Key)> =
            members.iter().zip(&described).filter(|(_, m)| covers(m.mask, &mask)).map(|(e, m)| (*e, m.key)).collect();
        let new = self.add_group(mask);
        let mut linked = false;
        for (e, key) in moves {
            if e == entry {
                linked = true;
            } else {
                self.unlink(from, e, &key);
            }
            self.link(new, e, &key);
        }
        if !linked {
            self.link(from, entry, key);
        }
        if self.group(from).is_some_and(Group::is_empty) {
            self.remove_group(from);
        } else {
            self.resort(from);
        }
    }

    /// Nothing tells the rules of the chain apart: a group of the rule's very own mask takes it, or the full one.
    fn link_to_own_mask(&mut self, full: u32, entry: u32, key: &Key) {
        let own = self.entries.rule(entry).map(|r| r.matching.mask.clone());
        let group = match own {
            Some(mask) if self.group(full).is_some_and(|g| g.mask != *mask) => {
                let known = self.order.iter().find(|p| self.group(p.group).is_some_and(|g| g.mask == *mask));
                known.map(|p| p.group).unwrap_or_else(|| self.add_group((*mask).clone()))
            }
            _ => full,
        };
        self.link(group, entry, key);
    }

    fn add_group(&mut self, mask: SparseMask) -> u32 {
        let free = self.groups.iter().position(Option::is_none).unwrap_or(self.groups.len());
        if free == self.groups.len() {
            self.groups.push(None);
        }
        self.groups[free] = Some(Group::new(mask));
        self.order.push(Probe { max_priority: 0, group: free as u32 });
        free as u32
    }

    fn remove_group(&mut self, group: u32) {
        if let Some(g) = self.groups.get_mut(group as usize) {
            *g = None;
        }
        self.order.retain(|p| p.group != group);
    }

    fn link(&mut self, group: u32, entry: u32, key: &Key) {
        let (Some(Some(g)), Some(rule)) = (self.groups.get_mut(group as usize), self.entries.rule(entry)) else { return };
        let (id, priority) = (rule.id, rule.priority);
        let hash = g.hash(key);
        let first = self.entries.insert_into(g.first(hash), entry);
        g.set_first(hash, first);
        g.count(key, priority);
        self.by_id.insert(id, Place { group, entry });
        self.resort(group);
    }

    /// Takes an entry out of its chain. The group may be empty then.
    fn unlink(&mut self, group: u32, entry: u32, key: &Key) {
        let (Some(Some(g)), Some(rule)) = (self.groups.get_mut(group as usize), self.entries.rule(entry)) else { return };
        let priority = rule.priority;
        let hash = g.hash(key);
        let first = self.entries.take_out_of(g.first(hash), entry);
        g.set_first(hash, first);
        g.discount(priority);
    }

    /// Moves the one group whose highest priority may have changed to its place.
    fn resort(&mut self, group: u32) {
        let Some(max_priority) = self.group(group).map(Group::max_priority) else { return };
        let Some(at) = self.order.iter().position(|p| p.group == group) else { return };
        if self.order[at].max_priority == max_priority {
            return;
        }
        self.order.remove(at);
        let to = self.order.partition_point(|p| p.max_priority >= max_priority);
        self.order.insert(to, Probe { max_priority, group });
    }
}

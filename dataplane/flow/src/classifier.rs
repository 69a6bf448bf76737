//! One table's rules, looked up by priority.
//!
//! Purpose: find the rule of highest priority that a key matches. Rules are grouped by mask, each
//! group is a hash table, groups are probed from the highest priority down and the search stops
//! when no later group can win. The number of probes is bounded by the number of *masks that the
//! operator installed*; traffic cannot add one.
//! Conjunctions follow Open vSwitch: rules with clauses only contribute; when all clauses of one
//! conjunction matched at one priority, the key is looked up again with that `conj_id`.
//! Invariant: groups are sorted by falling `max_priority`; no group is empty.
//! Deliberately does not know: what actions do, counters, other tables.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::hash::{FoldBuild, Seeds};
use crate::key::{slot, Key, WORDS};
use crate::rule::{Rule, RuleId, SparseMask};

/// The rules of one table.
#[derive(Clone, Debug, Default)]
pub struct Classifier {
    groups: Vec<Group>,
    by_id: HashMap<RuleId, Arc<Rule>, FoldBuild>,
}

/// Rules with the same mask.
#[derive(Clone, Debug)]
struct Group {
    mask: Arc<SparseMask>,
    max_priority: u16,
    priorities: BTreeMap<u16, u32>,
    /// By a hash of the values, which stand in the rules themselves: once is enough.
    rules: HashMap<u64, Chain, FoldBuild>,
    /// Chains whose hash is another one's too.
    clashing: Vec<Chain>,
}

/// Rules with the same match, by falling priority.
#[derive(Clone, Debug)]
enum Chain {
    One(Arc<Rule>),
    Many(Vec<Arc<Rule>>),
}

impl Chain {
    #[inline]
    fn as_slice(&self) -> &[Arc<Rule>] {
        match self {
            Chain::One(r) => std::slice::from_ref(r),
            Chain::Many(v) => v,
        }
    }

    /// Are these the values of its rules?
    #[inline]
    fn is_of(&self, values: &[u64]) -> bool {
        self.as_slice().first().is_some_and(|r| *r.matching.values == *values)
    }

    fn insert(&mut self, rule: Arc<Rule>) {
        let mut all: Vec<_> = self.as_slice().to_vec();
        let at = all.partition_point(|r| r.priority > rule.priority);
        all.insert(at, rule);
        *self = Chain::Many(all);
    }

    fn remove(&mut self, id: RuleId) {
        let mut all: Vec<_> = self.as_slice().to_vec();
        all.retain(|r| r.id != id);
        *self = match <[_; 1]>::try_from(all) {
            Ok([one]) => Chain::One(one),
            Err(all) => Chain::Many(all),
        };
    }
}

impl Group {
    fn new(mask: Arc<SparseMask>) -> Self {
        Group { mask, max_priority: 0, priorities: BTreeMap::new(), rules: HashMap::default(), clashing: Vec::new() }
    }

    fn insert(&mut self, rule: Arc<Rule>) {
        *self.priorities.entry(rule.priority).or_insert(0) += 1;
        self.max_priority = self.max_priority.max(rule.priority);
        let values = &rule.matching.values;
        if let Some(chain) = self.chain_mut(values) {
            return chain.insert(rule);
        }
        match self.rules.entry(hash(values)) {
            Entry::Vacant(place) => {
                place.insert(Chain::One(rule));
            }
            Entry::Occupied(_) => self.clashing.push(Chain::One(rule)),
        }
    }

    fn chain_mut(&mut self, values: &[u64]) -> Option<&mut Chain> {
        match self.rules.get_mut(&hash(values)) {
            Some(chain) if chain.is_of(values) => Some(chain),
            _ => self.clashing.iter_mut().find(|c| c.is_of(values)),
        }
    }

    fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.clashing.is_empty()
    }

    fn remove(&mut self, rule: &Rule) {
        if let Some(n) = self.priorities.get_mut(&rule.priority) {
            *n -= 1;
            if *n == 0 {
                self.priorities.remove(&rule.priority);
            }
        }
        self.max_priority = self.priorities.keys().next_back().copied().unwrap_or(0);
        let values = &rule.matching.values;
        let Some(chain) = self.chain_mut(values) else { return };
        chain.remove(rule.id);
        if chain.as_slice().is_empty() {
            let hash = hash(values);
            if self.rules.get(&hash).is_some_and(|c| c.as_slice().is_empty()) {
                self.rules.remove(&hash);
            }
            self.clashing.retain(|c| !c.as_slice().is_empty());
        }
    }

    #[inline]
    fn probe(&self, key: &Key) -> &[Arc<Rule>] {
        let mut out = [0; WORDS];
        let values = self.mask.project(key, &mut out);
        match self.rules.get(&hash(values)) {
            Some(chain) if chain.is_of(values) => chain.as_slice(),
            _ if self.clashing.is_empty() => &[],
            _ => self.clashing.iter().find(|c| c.is_of(values)).map_or(&[], Chain::as_slice),
        }
    }
}

/// Of the values of a match.
#[inline]
fn hash(values: &[u64]) -> u64 {
    Seeds::FIXED.hash(values)
}

impl Classifier {
    /// Adds a rule. One with the same id must not be present.
    pub fn insert(&mut self, rule: Arc<Rule>) {
        debug_assert!(!self.by_id.contains_key(&rule.id));
        self.by_id.insert(rule.id, rule.clone());
        let mask = &rule.matching.mask;
        let at = match self.groups.iter().position(|g| Arc::ptr_eq(&g.mask, mask) || g.mask == *mask) {
            Some(at) => at,
            None => {
                self.groups.push(Group::new(mask.clone()));
                self.groups.len() - 1
            }
        };
        if let Some(group) = self.groups.get_mut(at) {
            group.insert(rule);
        }
        self.resort(at);
    }

    /// Removes a rule by id; `None` when it is not here.
    pub fn remove(&mut self, id: RuleId) -> Option<Arc<Rule>> {
        let rule = self.by_id.remove(&id)?;
        let at = self.groups.iter().position(|g| g.mask == rule.matching.mask)?;
        self.groups[at].remove(&rule);
        if self.groups[at].is_empty() {
            self.groups.remove(at);
        } else {
            self.resort(at);
        }
        Some(rule)
    }

    /// Moves the one group whose highest priority may have changed to its place.
    fn resort(&mut self, at: usize) {
        let group = self.groups.remove(at);
        let to = self.groups.partition_point(|g| g.max_priority >= group.max_priority);
        self.groups.insert(to, group);
    }

    /// The rule with this id.
    pub fn get(&self, id: RuleId) -> Option<&Arc<Rule>> {
        self.by_id.get(&id)
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True when there is no rule.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Number of hash tables that a lookup may have to probe.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Every mask in use.
    pub fn masks(&self) -> impl Iterator<Item = &Arc<SparseMask>> {
        self.groups.iter().map(|g| &g.mask)
    }

    /// Every rule, in no particular order.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.by_id.values()
    }

    /// The rule of highest priority that `key` matches.
    pub fn lookup(&self, key: &Key, scratch: &mut Soft) -> Option<&Arc<Rule>> {
        scratch.candidates.clear();
        let hard = self.search(key, &mut |chain, at| scratch.candidates.push((chain, at)));
        if scratch.candidates.is_empty() {
            return hard;
        }
        self.resolve_conjunctions(key, hard, scratch)
    }

    /// Best rule without conjunctions; `soft` hears of each group whose first match has clauses.
    fn search(&self, key: &Key, soft: &mut dyn FnMut(usize, usize)) -> Option<&Arc<Rule>> {
        let mut best: Option<&Arc<Rule>> = None;
        for (g, group) in self.groups.iter().enumerate() {
            if best.is_some_and(|b| b.priority >= group.max_priority) {
                break;
            }
            let Some(rule) = group.probe(key).first() else { continue };
            if !rule.conjunctions.is_empty() {
                soft(g, 0);
            } else if best.is_none_or(|b| rule.priority > b.priority) {
                best = Some(rule);
            }
        }
        best
    }

    /// Tries the clauses that matched, highest priority first; each that leads nowhere gives way to
    /// the next rule with the same match.
    fn resolve_conjunctions<'a>(
        &'a self,
        key: &Key,
        mut hard: Option<&'a Arc<Rule>>,
        scratch: &mut Soft,
    ) -> Option<&'a Arc<Rule>> {
        let mut soft: Vec<&'a [Arc<Rule>]> =
            scratch.candidates.iter().map(|&(g, at)| &self.groups[g].probe(key)[at..]).collect();
        loop {
            let top = soft.iter().filter_map(|c| c.first()).map(|r| r.priority).max()?;
            if hard.is_some_and(|h| h.priority >= top) {
                return hard;
            }
            if let Some(id) = scratch.complete(soft.iter().filter_map(|c| c.first()).filter(|r| r.priority == top)) {
                let mut again = *key;
                again.set(slot::CONJ_ID, id as u64);
                if let Some(rule) = self.lookup_without_clauses(&again) {
                    return Some(rule);
                }
            }
            for chain in &mut soft {
                if chain.first().is_some_and(|r| r.priority == top) {
                    *chain = &chain[1..];
                }
                if let Some(rule) = chain.first().filter(|r| r.conjunctions.is_empty()) {
                    if hard.is_none_or(|h| rule.priority > h.priority) {
                        hard = Some(rule);
                    }
                    *chain = &[];
                }
            }
            soft.retain(|c| !c.is_empty());
            if soft.is_empty() {
                return hard;
            }
        }
    }

    fn lookup_without_clauses(&self, key: &Key) -> Option<&Arc<Rule>> {
        let mut best: Option<&Arc<Rule>> = None;
        for group in &self.groups {
            if best.is_some_and(|b| b.priority >= group.max_priority) {
                break;
            }
            let rule = group.probe(key).iter().find(|r| r.conjunctions.is_empty());
            if let Some(rule) = rule.filter(|r| best.is_none_or(|b| r.priority > b.priority)) {
                best = Some(rule);
            }
        }
        best
    }
}

/// Scratch memory of a lookup, kept by the caller so that lookups do not allocate without conjunctions.
#[derive(Debug, Default)]
pub struct Soft {
    candidates: Vec<(usize, usize)>,
    clauses: HashMap<u32, u64, FoldBuild>,
}

impl Soft {
    /// The lowest id of a conjunction all of whose clauses are among these rules.
    fn complete<'a>(&mut self, rules: impl Iterator<Item = &'a Arc<Rule>>) -> Option<u32> {
        self.clauses.clear();
        let mut found: Option<u32> = None;
        for c in rules.flat_map(|r| r.conjunctions.iter()) {
            let all = if c.n_clauses >= 64 { u64::MAX } else { (1u64 << c.n_clauses) - 1 };
            let seen = self.clauses.entry(c.id).or_insert(0);
            *seen |= 1u64 << (c.clause & 63);
            if *seen & all == all {
                found = Some(found.map_or(c.id, |f| f.min(c.id)));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Slot;
    use crate::rule::{Conjunction, MaskedKey};

    fn rule(id: RuleId, priority: u16, conditions: &[(Slot, u128, u128)]) -> Rule {
        let (mut value, mut mask) = (Key::ZERO, Key::ZERO);
        for &(s, v, m) in conditions {
            value.set_masked(s, v, m);
            mask.set_masked(s, m, m);
        }
        Rule { id, priority, matching: MaskedKey::new(&value, &mask), actions: Arc::new([]), conjunctions: Box::new([]) }
    }

    fn clause(id: RuleId, priority: u16, on: (Slot, u128), conj: u32, clause: u8, n_clauses: u8) -> Rule {
        let mut r = rule(id, priority, &[(on.0, on.1, on.0.ones())]);
        r.conjunctions = Box::new([Conjunction { id: conj, clause, n_clauses }]);
        r
    }

    fn found(c: &Classifier, key: &Key) -> Option<RuleId> {
        c.lookup(key, &mut Soft::default()).map(|r| r.id)
    }

    fn key(fields: &[(Slot, u64)]) -> Key {
        let mut k = Key::ZERO;
        for &(s, v) in fields {
            k.set(s, v);
        }
        k
    }

    #[test]
    fn the_highest_priority_wins_whatever_its_mask() {
        let mut c = Classifier::default();
        c.insert(Arc::new(rule(1, 10, &[(slot::NW_DST, 0x0a000000, 0xff000000)])));
        c.insert(Arc::new(rule(2, 20, &[(slot::NW_DST, 0x0a010000, 0xffff0000)])));
        c.insert(Arc::new(rule(3, 5, &[])));
        assert_eq!(found(&c, &key(&[(slot::NW_DST, 0x0a010203)])), Some(2));
        assert_eq!(found(&c, &key(&[(slot::NW_DST, 0x0a020203)])), Some(1));
        assert_eq!(found(&c, &key(&[(slot::NW_DST, 0x0b020203)])), Some(3));
        c.remove(3);
        assert_eq!(found(&c, &key(&[(slot::NW_DST, 0x0b020203)])), None);
        c.remove(2);
        assert_eq!(found(&c, &key(&[(slot::NW_DST, 0x0a010203)])), Some(1));
        assert_eq!(c.groups(), 1);
    }

    #[test]
    fn the_same_match_at_two_priorities_is_two_rules() {
        let mut c = Classifier::default();
        for (id, p) in [(1, 10), (2, 30), (3, 20)] {
            c.insert(Arc::new(rule(id, p, &[(slot::TP_DST, 80, 0xffff)])));
        }
        let k = key(&[(slot::TP_DST, 80)]);
        assert_eq!(found(&c, &k), Some(2));
        c.remove(2);
        assert_eq!(found(&c, &k), Some(3));
        c.remove(3);
        assert_eq!(found(&c, &k), Some(1));
    }

    #[test]
    fn a_conjunction_needs_a_match_in_every_clause() {
        let mut c = Classifier::default();
        c.insert(Arc::new(rule(1, 10, &[(slot::CONJ_ID, 7, u32::MAX as u128)])));
        c.insert(Arc::new(clause(2, 10, (slot::NW_SRC, 1), 7, 0, 2)));
        c.insert(Arc::new(clause(3, 10, (slot::TP_DST, 80), 7, 1, 2)));
        c.insert(Arc::new(rule(4, 1, &[])));
        assert_eq!(found(&c, &key(&[(slot::NW_SRC, 1), (slot::TP_DST, 80)])), Some(1));
        assert_eq!(found(&c, &key(&[(slot::NW_SRC, 1), (slot::TP_DST, 81)])), Some(4));
        assert_eq!(found(&c, &key(&[(slot::NW_SRC, 2), (slot::TP_DST, 80)])), Some(4));
    }

    #[test]
    fn an_incomplete_conjunction_gives_way_to_a_lower_rule_with_the_same_match() {
        let mut c = Classifier::default();
        c.insert(Arc::new(clause(2, 20, (slot::NW_SRC, 1), 7, 0, 2)));
        c.insert(Arc::new(rule(5, 15, &[(slot::NW_SRC, 1, slot::NW_SRC.ones())])));
        c.insert(Arc::new(rule(4, 1, &[])));
        assert_eq!(found(&c, &key(&[(slot::NW_SRC, 1)])), Some(5));
    }

    #[test]
    fn a_hard_rule_above_the_clauses_wins() {
        let mut c = Classifier::default();
        c.insert(Arc::new(rule(1, 10, &[(slot::CONJ_ID, 7, u32::MAX as u128)])));
        c.insert(Arc::new(clause(2, 10, (slot::NW_SRC, 1), 7, 0, 2)));
        c.insert(Arc::new(clause(3, 10, (slot::TP_DST, 80), 7, 1, 2)));
        c.insert(Arc::new(rule(9, 11, &[(slot::TP_DST, 80, 0xffff)])));
        assert_eq!(found(&c, &key(&[(slot::NW_SRC, 1), (slot::TP_DST, 80)])), Some(9));
    }
}

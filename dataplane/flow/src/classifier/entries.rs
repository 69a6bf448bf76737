//! The rules of a table, each in one memory line, and the chains that they form.
//!
//! Invariant: a chain falls in priority; rules of equal priority stay in the order in which they came.
//! An entry is in at most one chain.

use std::sync::Arc;

use super::masks::Masks;
use crate::key::Key;
use crate::rule::Rule;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;
/// Words of a match that lie in the entry itself.
const NEAR: usize = 4;

/// One rule.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Entry {
    /// The next one of its chain.
    pub next: u32,
    /// Number of its mask.
    pub mask: u32,
    /// Its priority.
    pub priority: u16,
    /// It has clauses.
    pub soft: bool,
    /// First words of its values.
    near: [u64; NEAR],
    rule: Option<Arc<Rule>>,
}

impl Entry {
    /// Does the key match?
    #[inline(always)]
    pub fn matches(&self, key: &Key, masks: &Masks) -> bool {
        let Some(mask) = masks.get(self.mask) else { return false };
        let mut differing = 0;
        for ((word, bits), value) in mask.words.iter().zip(&self.near) {
            differing |= (key.words[*word as usize] & bits) ^ value;
        }
        differing == 0 && (mask.words.len() <= NEAR || self.matches_further(key))
    }

    #[inline(never)]
    fn matches_further(&self, key: &Key) -> bool {
        self.rule.as_ref().is_some_and(|r| r.matching.matches(key))
    }
}

/// All rules of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    all: Vec<Entry>,
    free: Vec<u32>,
}

impl Entries {
    /// Adds a rule, in no chain yet.
    pub fn add(&mut self, rule: Arc<Rule>, mask: u32) -> u32 {
        let mut near = [0; NEAR];
        for (n, v) in near.iter_mut().zip(rule.matching.values.iter()) {
            *n = *v;
        }
        let (priority, soft) = (rule.priority, !rule.conjunctions.is_empty());
        let entry = Entry { next: NONE, mask, priority, soft, near, rule: Some(rule) };
        match self.free.pop() {
            Some(at) => {
                self.all[at as usize] = entry;
                at
            }
            None => {
                self.all.push(entry);
                self.all.len() as u32 - 1
            }
        }
    }

    /// Removes an entry that is in no chain; its rule and mask.
    pub fn remove(&mut self, at: u32) -> Option<(Arc<Rule>, u32)> {
        let entry = self.all.get_mut(at as usize)?;
        let rule = entry.rule.take()?;
        self.free.push(at);
        Some((rule, entry.mask))
    }

    /// The entry.
    #[inline(always)]
    pub fn get(&self, at: u32) -> Option<&Entry> {
        self.all.get(at as usize)
    }

    /// The rule.
    #[inline(always)]
    pub fn rule(&self, at: u32) -> Option<&Arc<Rule>> {
        self.all.get(at as usize)?.rule.as_ref()
    }

    /// A chain from `first` on.
    pub fn chain(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(Some(first), |at| Some(self.get(*at)?.next)).take_while(|at| *at != NONE)
    }

    /// Puts an entry into the chain that begins with `first`; the chain's new first.
    pub fn insert_into(&mut self, first: u32, entry: u32) -> u32 {
        let Some(priority) = self.get(entry).map(|e| e.priority) else { return first };
        let before = self.chain(first).take_while(|at| self.get(*at).is_some_and(|e| e.priority >= priority)).last();
        let next = before.map_or(first, |b| self.get(b).map_or(NONE, |e| e.next));
        if let Some(e) = self.all.get_mut(entry as usize) {
            e.next = next;
        }
        match before {
            Some(b) => {
                if let Some(e) = self.all.get_mut(b as usize) {
                    e.next = entry;
                }
                first
            }
            None => entry,
        }
    }

    /// Takes an entry out of the chain that begins with `first`; the chain's new first.
    pub fn take_out_of(&mut self, first: u32, entry: u32) -> u32 {
        let next = self.get(entry).map_or(NONE, |e| e.next);
        if first == entry {
            return next;
        }
        let before = self.chain(first).find(|at| self.get(*at).is_some_and(|e| e.next == entry));
        if let Some(e) = before.and_then(|b| self.all.get_mut(b as usize)) {
            e.next = next;
        }
        first
    }
}

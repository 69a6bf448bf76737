//! One table: rules by exact match, and in the order in which they are shown.
//!
//! Purpose: rules of equal mask form a subtable. Rules are shown subtable by subtable in the order
//! that `order` keeps, within a subtable in the order of insertion. That is the order in which Open
//! vSwitch shows them, and people compare dumps.
//! Invariant: no subtable is empty; `hist` counts the rules of a subtable by priority.
//! Deliberately does not know: what a flow-mod is.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sluice_flow::hash::{FoldBuild, FoldHasher};
use sluice_flow::rule::{MaskWords, MaskedKey, SharedMask, SparseMask};
use sluice_flow::{RuleId, WORDS};
use sluice_openflow::Match;

use super::eviction::{Evictable, Overflow};
use super::entry::{Entry, NIL};
use super::order::{Order, Place};

/// Rules by id; the position is the id.
pub(crate) type Entries = Vec<Option<Box<Entry>>>;

pub(crate) fn entry(entries: &Entries, id: RuleId) -> Option<&Entry> {
    entries.get(id as usize)?.as_deref()
}

pub(crate) fn entry_mut(entries: &mut Entries, id: RuleId) -> Option<&mut Entry> {
    entries.get_mut(id as usize)?.as_deref_mut()
}

/// Rules with one mask.
#[derive(Debug)]
pub(crate) struct Subtable {
    pub mask: Arc<SparseMask>,
    /// Priority and number of rules, by rising priority.
    hist: Vec<(u16, u32)>,
    head: RuleId,
    tail: RuleId,
}

impl Subtable {
    fn max_priority(&self) -> u16 {
        self.hist.last().map_or(0, |h| h.0)
    }

    pub fn has_priority(&self, priority: u16) -> bool {
        self.hist.binary_search_by_key(&priority, |h| h.0).is_ok()
    }
}

/// A match, made ready to be looked for.
pub(crate) struct Sought<'a> {
    matching: Cow<'a, Match>,
    /// Its mask.
    words: MaskWords,
}

impl<'a> Sought<'a> {
    pub fn new(matching: &'a Match) -> Sought<'a> {
        let matching = matching.kept();
        let words = MaskWords::of(&matching.mask);
        Sought { matching, words }
    }
}

/// One table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    by_mask: HashMap<SharedMask, u32, FoldBuild>,
    subtables: Vec<Option<Subtable>>,
    free: Vec<u32>,
    /// Fingerprint of subtable, values and priority, to the first rule of a chain.
    by_match: HashMap<u64, RuleId, FoldBuild>,
    /// Rules that are visible.
    pub count: u32,
    /// Most rules it may hold.
    overflow: Overflow,
    /// A controller lets rules go for new ones.
    evicts: bool,
    /// Rules that may go; only where any ever will.
    evictable: Option<Box<Evictable>>,
    pub lookups: u64,
    pub matched: u64,
    /// Of subtables.
    pub(super) order: Order,
}

impl Table {
    /// What happens to rules that are too many.
    pub fn overflow(&self) -> &Overflow {
        &self.overflow
    }

    /// Changes what happens to rules that are too many; `evicts` is what a controller says.
    pub fn set_overflow(&mut self, entries: &Entries, overflow: Overflow, evicts: bool) {
        (self.overflow, self.evicts) = (overflow, evicts);
        self.evictable = None;
        if self.overflow.limit.is_none() || !self.makes_room() {
            return;
        }
        let mut all = Box::new(Evictable::new(&self.overflow.groups));
        for s in self.subtables.iter().flatten() {
            self.rules_of(s, entries).for_each(|e| all.add(e));
        }
        self.evictable = Some(all);
    }

    /// Whether a controller lets rules go for new ones.
    pub fn evicts(&self) -> bool {
        self.evicts
    }

    /// Whether rules go for new ones.
    pub fn makes_room(&self) -> bool {
        self.evicts || self.overflow.evicts
    }

    /// The rule that goes first, if any may go.
    pub fn victim(&mut self, entries: &Entries) -> Option<RuleId> {
        self.evictable.as_mut()?.victim(entries)
    }

    /// A rule's timeouts or importance may have changed.
    pub fn rank_again(&mut self, entries: &Entries, id: RuleId) {
        let Some(evictable) = &mut self.evictable else { return };
        evictable.remove(id);
        if let Some(e) = entry(entries, id).filter(|e| !e.gone) {
            evictable.add(e);
        }
    }

    /// A match as a rule of this table has it: with the mask object that others of this mask share.
    pub fn masked(&self, sought: &Sought<'_>) -> MaskedKey {
        let mask = match self.by_mask.get_key_value(&*sought.words) {
            Some((shared, _)) => shared.0.clone(),
            None => Arc::new(SparseMask { words: (*sought.words).into() }),
        };
        MaskedKey::with_mask(&sought.matching.value, mask)
    }

    /// The visible rule with exactly this match and priority.
    pub fn find(&self, entries: &Entries, sought: &Sought<'_>, priority: u16) -> Option<RuleId> {
        let (mask, subtable) = self.by_mask.get_key_value(&*sought.words)?;
        let subtable = *subtable;
        let mut words = [0; WORDS];
        let values = mask.0.project(&sought.matching.value, &mut words);
        let mut id = *self.by_match.get(&fingerprint(subtable, values, priority))?;
        while let Some(e) = entry(entries, id) {
            if e.subtable == subtable && e.rule.priority == priority && *e.rule.matching.values == *values {
                return Some(id);
            }
            id = e.chain;
        }
        None
    }

    /// Would a new rule with this mask and priority change the order of subtables?
    pub fn reorders(&self, mask: &SparseMask, priority: u16) -> bool {
        let s = self.by_mask.get(&*mask.words).and_then(|s| self.subtables.get(*s as usize)?.as_ref());
        s.is_none_or(|s| s.max_priority() < priority)
    }

    /// Adds a rule that is already among `entries`.
    pub fn insert(&mut self, entries: &mut Entries, id: RuleId) {
        let Some(e) = entry(entries, id) else { return };
        let (mask, priority) = (e.rule.matching.mask.clone(), e.rule.priority);
        let (group, fresh) = match self.by_mask.get(&*mask.words) {
            Some(&s) => (s, false),
            None => (self.new_subtable(mask), true),
        };
        let Some(s) = self.subtables.get_mut(group as usize).and_then(Option::as_mut) else { return };
        if fresh {
            self.order.insert(Place { group, priority });
        } else if s.max_priority() < priority {
            self.order.change(group, priority);
        }
        match s.hist.binary_search_by_key(&priority, |h| h.0) {
            Ok(i) => s.hist[i].1 += 1,
            Err(i) => s.hist.insert(i, (priority, 1)),
        }
        if let Some(e) = entry_mut(entries, id) {
            e.subtable = group;
        }
        self.link_last(entries, id);
        self.show(entries, id);
    }

    fn new_subtable(&mut self, mask: Arc<SparseMask>) -> u32 {
        let s = Subtable { mask: mask.clone(), hist: Vec::new(), head: NIL, tail: NIL };
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.subtables.push(None);
                self.subtables.len() as u32 - 1
            }
        };
        self.subtables[at as usize] = Some(s);
        self.by_mask.insert(SharedMask(mask), at);
        at
    }

    /// Makes a rule findable and counted.
    pub fn show(&mut self, entries: &mut Entries, id: RuleId) {
        let Some(e) = entry_mut(entries, id) else { return };
        let key = fingerprint(e.subtable, &e.rule.matching.values, e.rule.priority);
        e.chain = self.by_match.insert(key, id).unwrap_or(NIL);
        e.gone = false;
        self.count += 1;
        self.rank_again(entries, id);
    }

    /// Makes a rule neither findable nor counted; it keeps its place until [`Table::drop_out`].
    pub fn hide(&mut self, entries: &mut Entries, id: RuleId) {
        let Some(e) = entry_mut(entries, id) else { return };
        e.gone = true;
        let rest = e.chain;
        if let Some(evictable) = &mut self.evictable {
            evictable.remove(id);
        }
        let key = fingerprint(e.subtable, &e.rule.matching.values, e.rule.priority);
        self.count -= 1;
        match self.by_match.get(&key) {
            Some(&first) if first == id && rest == NIL => {
                self.by_match.remove(&key);
            }
            Some(&first) if first == id => {
                self.by_match.insert(key, rest);
            }
            Some(&first) => unchain(entries, first, id, rest),
            None => {}
        }
    }

    /// Takes a hidden rule out of its subtable for good.
    pub fn drop_out(&mut self, entries: &mut Entries, id: RuleId) {
        self.unlink(entries, id);
        let Some(e) = entry(entries, id) else { return };
        let (at, priority) = (e.subtable, e.rule.priority);
        let Some(s) = self.subtables.get_mut(at as usize).and_then(Option::as_mut) else { return };
        if let Ok(i) = s.hist.binary_search_by_key(&priority, |h| h.0) {
            s.hist[i].1 -= 1;
            if s.hist[i].1 == 0 {
                let was_max = i + 1 == s.hist.len();
                s.hist.remove(i);
                if was_max && !s.hist.is_empty() {
                    self.order.change(at, s.max_priority());
                }
            }
        }
        if s.hist.is_empty() {
            self.order.remove(at);
            self.by_mask.remove(&*s.mask.words);
            self.subtables[at as usize] = None;
            self.free.push(at);
        }
    }

    fn link_last(&mut self, entries: &mut Entries, id: RuleId) {
        let Some(at) = entry(entries, id).map(|e| e.subtable) else { return };
        let Some(s) = self.subtables.get_mut(at as usize).and_then(Option::as_mut) else { return };
        let last = std::mem::replace(&mut s.tail, id);
        match entry_mut(entries, last) {
            Some(e) => e.next = id,
            None => s.head = id,
        }
        if let Some(e) = entry_mut(entries, id) {
            (e.prev, e.next) = (last, NIL);
        }
    }

    fn unlink(&mut self, entries: &mut Entries, id: RuleId) {
        let Some((at, prev, next)) = entry(entries, id).map(|e| (e.subtable, e.prev, e.next)) else { return };
        let Some(s) = self.subtables.get_mut(at as usize).and_then(Option::as_mut) else { return };
        match entry_mut(entries, prev) {
            Some(e) => e.next = next,
            None => s.head = next,
        }
        match entry_mut(entries, next) {
            Some(e) => e.prev = prev,
            None => s.tail = prev,
        }
    }

    /// Moves a rule to the end of its subtable. Returns its former neighbours.
    pub fn move_last(&mut self, entries: &mut Entries, id: RuleId) -> (RuleId, RuleId) {
        let place = entry(entries, id).map_or((NIL, NIL), |e| (e.prev, e.next));
        self.unlink(entries, id);
        self.link_last(entries, id);
        place
    }

    /// Undoes [`Table::move_last`], when all that followed it is undone.
    pub fn move_back(&mut self, entries: &mut Entries, id: RuleId, (prev, next): (RuleId, RuleId)) {
        self.unlink(entries, id);
        let Some(at) = entry(entries, id).map(|e| e.subtable) else { return };
        let Some(s) = self.subtables.get_mut(at as usize).and_then(Option::as_mut) else { return };
        match entry_mut(entries, prev) {
            Some(e) => e.next = id,
            None => s.head = id,
        }
        match entry_mut(entries, next) {
            Some(e) => e.prev = id,
            None => s.tail = id,
        }
        if let Some(e) = entry_mut(entries, id) {
            (e.prev, e.next) = (prev, next);
        }
    }

    /// Subtables that are published, in the order in which they are shown.
    pub fn ordered(&self) -> impl Iterator<Item = &Subtable> {
        self.order.seen().iter().filter_map(|p| self.subtables.get(p.group as usize)?.as_ref())
    }

    /// Visible rules of a subtable, in order.
    pub fn rules_of<'a>(&self, s: &Subtable, entries: &'a Entries) -> impl Iterator<Item = &'a Entry> {
        let mut id = s.head;
        std::iter::from_fn(move || {
            let e = entry(entries, id)?;
            id = e.next;
            Some(e)
        })
        .filter(|e| !e.gone)
    }

    /// Is there a visible rule of this priority, in a subtable that is published, that some packet of
    /// `matching` would match too?
    pub fn overlaps(&self, entries: &Entries, matching: &Match, priority: u16) -> bool {
        let high_enough = self.order.seen().iter().take_while(|p| p.priority >= priority);
        let candidates = high_enough.filter_map(|p| self.subtables.get(p.group as usize)?.as_ref());
        let candidates = candidates.filter(|s| s.has_priority(priority));
        for s in candidates {
            for e in self.rules_of(s, entries).filter(|e| e.rule.priority == priority) {
                let m = &e.rule.matching;
                let apart = m.mask.words.iter().zip(m.values.iter()).any(|((i, bits), v)| {
                    let i = *i as usize;
                    (v ^ matching.value.words[i]) & bits & matching.mask.words[i] != 0
                });
                if !apart {
                    return true;
                }
            }
        }
        false
    }
}

fn unchain(entries: &mut Entries, first: RuleId, id: RuleId, rest: RuleId) {
    let mut at = first;
    while let Some(e) = entry_mut(entries, at) {
        if e.chain == id {
            e.chain = rest;
            return;
        }
        at = e.chain;
    }
}

fn fingerprint(subtable: u32, values: &[u64], priority: u16) -> u64 {
    let mut h = FoldHasher::default();
    (u64::from(subtable) << 16 | u64::from(priority)).hash(&mut h);
    for v in values {
        v.hash(&mut h);
    }
    h.finish()
}

//! A hash table over some bits of the key: where the chains of rules begin.
//!
//! Invariant: at most half of the places are taken; a chain is found from its hash by going on from
//! place to place until a free one.
//! Deliberately does not know: rules. Chains of different values may share a hash; who walks a chain compares.

use std::collections::BTreeMap;

use super::entries::NONE;
use crate::hash;
use crate::key::Key;
use crate::rule::SparseMask;

const PLACES_MIN: usize = 2;

#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u32,
    /// First entry of the chain; [`NONE`] where the place is free.
    first: u32,
}

const FREE: Place = Place { hash: 0, first: NONE };

/// Rules that all look at some bits, by those bits.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The bits.
    pub mask: SparseMask,
    /// How many.
    pub bits: u32,
    max_priority: u16,
    priorities: BTreeMap<u16, u32>,
    places: Vec<Place>,
    taken: usize,
    /// What all rules say alike: a key that differs there matches none of them. One entry per word of the mask.
    agreed: Box<[Agreed]>,
}

/// Bits of a word in which rules agree, perhaps not all of those.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreed {
    pub word: u8,
    pub bits: u64,
    pub value: u64,
}

impl Group {
    /// An empty one.
    pub fn new(mask: SparseMask) -> Self {
        let bits = mask.words.iter().map(|(_, m)| m.count_ones()).sum();
        let agreed = mask.words.iter().map(|(word, bits)| Agreed { word: *word, bits: *bits, value: 0 }).collect();
        Group { mask, bits, max_priority: 0, priorities: BTreeMap::new(), places: vec![FREE; PLACES_MIN], taken: 0, agreed }
    }

    /// Has it no rule?
    pub fn is_empty(&self) -> bool {
        self.priorities.is_empty()
    }

    /// Highest priority of its rules.
    pub fn max_priority(&self) -> u16 {
        self.max_priority
    }

    /// What all its rules say alike.
    pub fn agreed(&self) -> &[Agreed] {
        &self.agreed
    }

    /// A rule with these values and this priority came.
    pub fn count(&mut self, key: &Key, priority: u16) {
        let is_first = self.is_empty();
        for (agreed, (word, mask)) in self.agreed.iter_mut().zip(self.mask.words.iter()) {
            let value = key.words[usize::from(*word)] & mask;
            *agreed = match is_first {
                true => Agreed { word: *word, bits: *mask, value },
                false => Agreed { bits: agreed.bits & !(agreed.value ^ value), ..*agreed },
            };
        }
        *self.priorities.entry(priority).or_insert(0) += 1;
        self.max_priority = self.max_priority.max(priority);
    }

    /// A rule of this priority went.
    pub fn discount(&mut self, priority: u16) {
        if let Some(n) = self.priorities.get_mut(&priority) {
            *n -= 1;
            if *n == 0 {
                self.priorities.remove(&priority);
            }
        }
        self.max_priority = self.priorities.keys().next_back().copied().unwrap_or(0);
    }

    /// Number of rules, and of chains.
    pub fn size(&self) -> (usize, usize) {
        (self.priorities.values().map(|n| *n as usize).sum(), self.taken)
    }

    /// First entries of all chains.
    pub fn chains(&self) -> impl Iterator<Item = u32> + '_ {
        self.places.iter().map(|p| p.first).filter(|first| *first != NONE)
    }

    /// Hash of the bits of a key.
    #[inline(always)]
    pub fn hash(&self, key: &Key) -> u32 {
        let mut h = 0;
        for (word, bits) in self.mask.words.iter() {
            h = hash::step(h, key.words[*word as usize] & bits);
        }
        (h >> 32) as u32 ^ h as u32
    }

    #[inline(always)]
    fn place(&self, hash: u32) -> usize {
        let last = self.places.len() - 1;
        let mut at = hash as usize & last;
        loop {
            match self.places.get(at) {
                Some(p) if p.first != NONE && p.hash != hash => at = (at + 1) & last,
                _ => return at,
            }
        }
    }

    /// First entry of the chain of a hash.
    #[inline(always)]
    pub fn first(&self, hash: u32) -> u32 {
        self.places.get(self.place(hash)).map_or(NONE, |p| p.first)
    }

    /// Says where the chain of a hash begins now; [`NONE`] ends it.
    pub fn set_first(&mut self, hash: u32, first: u32) {
        let at = self.place(hash);
        let was_free = self.places.get(at).is_none_or(|p| p.first == NONE);
        match (was_free, first == NONE) {
            (true, true) => {}
            (false, true) => self.free(at),
            (false, false) => self.places[at].first = first,
            (true, false) => {
                self.places[at] = Place { hash, first };
                self.taken += 1;
                if self.taken * 2 > self.places.len() {
                    self.resize(self.places.len() * 2);
                }
            }
        }
    }

    fn resize(&mut self, len: usize) {
        let old = std::mem::replace(&mut self.places, vec![FREE; len]);
        for p in old.into_iter().filter(|p| p.first != NONE) {
            let at = self.place(p.hash);
            self.places[at] = p;
        }
    }

    /// Frees a place and closes the gap behind it.
    fn free(&mut self, at: usize) {
        let last = self.places.len() - 1;
        let mut gap = at;
        let mut next = (at + 1) & last;
        while self.places[next].first != NONE {
            let home = self.places[next].hash as usize & last;
            // It may move unless its home lies behind the gap, up to itself.
            if (next.wrapping_sub(home) & last) >= (next.wrapping_sub(gap) & last) {
                self.places[gap] = self.places[next];
                gap = next;
            }
            next = (next + 1) & last;
        }
        self.places[gap] = FREE;
        self.taken -= 1;
        if self.places.len() > PLACES_MIN && self.taken * 8 < self.places.len() {
            self.resize(self.places.len() / 2);
        }
    }
}

/// Does `mask` look at every bit of `part`?
#[inline]
pub(super) fn covers(mask: &SparseMask, part: &SparseMask) -> bool {
    let mut words = mask.words.iter();
    part.words.iter().all(|(word, bits)| words.by_ref().find(|(w, _)| w >= word).is_some_and(|(w, m)| w == word && m & bits == *bits))
}

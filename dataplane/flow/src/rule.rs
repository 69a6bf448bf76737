//! A rule as the program holds it: what it matches, what it does.
//!
//! Invariant: values are zero outside of their mask, so that equal matches have equal words.
//! Deliberately does not know: cookies, timeouts, counters (the control side keeps them by id).

use std::borrow::Borrow;
use std::ops::Deref;
use std::sync::Arc;

use crate::action::Action;
use crate::key::{Key, WORDS};

/// Names a rule in counters and reports. Chosen by the control side; used again only once every
/// worker has let go of the rule.
pub type RuleId = u32;

/// Which bits matter, only the words that have any. Rules with equal masks should share one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SparseMask {
    /// Word index and bits, by rising index.
    pub words: Box<[(u8, u64)]>,
}

impl SparseMask {
    /// The words of `mask` that are not zero.
    pub fn new(mask: &Key) -> Self {
        SparseMask { words: (*MaskWords::of(mask)).into() }
    }

    /// Writes the masked words of `key` to `out`, as many as the mask has, and returns them.
    #[inline]
    pub fn project<'a>(&self, key: &Key, out: &'a mut [u64; WORDS]) -> &'a [u64] {
        for (o, (i, m)) in out.iter_mut().zip(self.words.iter()) {
            *o = key.words[*i as usize] & m;
        }
        &out[..self.words.len()]
    }

    /// The mask as a full key.
    pub fn to_key(&self) -> Key {
        let mut k = Key::ZERO;
        for (i, m) in self.words.iter() {
            k.words[*i as usize] = *m;
        }
        k
    }
}

impl Borrow<[(u8, u64)]> for SparseMask {
    fn borrow(&self) -> &[(u8, u64)] {
        &self.words
    }
}

/// A mask that others share, findable in maps by its words alone.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SharedMask(pub Arc<SparseMask>);

impl Borrow<[(u8, u64)]> for SharedMask {
    fn borrow(&self) -> &[(u8, u64)] {
        &self.0.words
    }
}

/// Words that most masks have room in.
const FEW: usize = 16;

/// The words of a mask that are not zero, mostly on the stack: to look for a mask without making one.
pub struct MaskWords {
    few: [(u8, u64); FEW],
    len: usize,
    /// All of them, where they are too many.
    many: Vec<(u8, u64)>,
}

impl MaskWords {
    /// None.
    pub const NONE: MaskWords = MaskWords { few: [(0, 0); FEW], len: 0, many: Vec::new() };

    /// The words of `mask` that are not zero.
    pub fn of(mask: &Key) -> Self {
        const BLOCK: usize = 8;
        let mut all = MaskWords::NONE;
        let blocks = mask.words.chunks_exact(BLOCK);
        let rest = blocks.remainder();
        for (b, block) in blocks.enumerate() {
            // Most of a mask is zeros.
            if block.iter().fold(0, |all, bits| all | bits) != 0 {
                all.push_block(b * BLOCK, block);
            }
        }
        all.push_block(WORDS - rest.len(), rest);
        all
    }

    fn push_block(&mut self, first: usize, block: &[u64]) {
        for (i, bits) in block.iter().enumerate() {
            if *bits != 0 {
                self.push(((first + i) as u8, *bits));
            }
        }
    }

    #[inline]
    fn push(&mut self, word: (u8, u64)) {
        match self.few.get_mut(self.len) {
            Some(place) => *place = word,
            None => {
                if self.many.is_empty() {
                    self.many.extend_from_slice(&self.few);
                }
                self.many.push(word);
            }
        }
        self.len += 1;
    }
}

impl Deref for MaskWords {
    type Target = [(u8, u64)];

    #[inline]
    fn deref(&self) -> &[(u8, u64)] {
        self.few.get(..self.len).unwrap_or(&self.many)
    }
}

/// A value under a mask.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MaskedKey {
    /// Which bits matter.
    pub mask: Arc<SparseMask>,
    /// Their values, one word per word of the mask.
    pub values: Box<[u64]>,
}

impl MaskedKey {
    /// Makes one with a mask of its own.
    pub fn new(value: &Key, mask: &Key) -> Self {
        Self::with_mask(value, Arc::new(SparseMask::new(mask)))
    }

    /// Makes one with a mask that other rules share.
    pub fn with_mask(value: &Key, mask: Arc<SparseMask>) -> Self {
        let mut out = [0; WORDS];
        let values = mask.project(value, &mut out).into();
        MaskedKey { mask, values }
    }

    /// Does a packet with these fields match?
    pub fn matches(&self, key: &Key) -> bool {
        self.mask.words.iter().zip(self.values.iter()).all(|((i, m), v)| key.words[*i as usize] & m == *v)
    }

    /// The values as a full key.
    pub fn value_key(&self) -> Key {
        let mut k = Key::ZERO;
        for ((i, _), v) in self.mask.words.iter().zip(self.values.iter()) {
            k.words[*i as usize] = *v;
        }
        k
    }
}

/// Membership of a rule in one clause of a conjunction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conjunction {
    /// Which conjunction.
    pub id: u32,
    /// Clause, from 0.
    pub clause: u8,
    /// Number of clauses, 2..=64.
    pub n_clauses: u8,
}

/// A compiled rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name in counters and reports.
    pub id: RuleId,
    /// Higher wins.
    pub priority: u16,
    /// What packets.
    pub matching: MaskedKey,
    /// What to do.
    pub actions: Arc<[Action]>,
    /// When not empty, the rule only contributes to these conjunctions.
    pub conjunctions: Box<[Conjunction]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_the_words_that_are_not_zero_however_many() {
        for count in [0, 1, 7, FEW, FEW + 1, WORDS] {
            let mut key = Key::ZERO;
            let places: Vec<usize> = (0..WORDS).filter(|i| i * count / WORDS != (i + 1) * count / WORDS).collect();
            places.iter().for_each(|i| key.words[*i] = *i as u64 + 1);
            let words: Vec<(u8, u64)> = places.iter().map(|i| (*i as u8, *i as u64 + 1)).collect();
            assert_eq!((*MaskWords::of(&key)).to_vec(), words);
            assert_eq!(SparseMask::new(&key).to_key(), key);
        }
    }
}

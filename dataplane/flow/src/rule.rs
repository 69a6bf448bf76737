//! A rule as the program holds it: what it matches, what it does.
//!
//! Invariant: values are zero outside of their mask, so that equal matches have equal words.
//! Deliberately does not know: cookies, timeouts, counters (the control side keeps them by id).

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
        SparseMask { words: (0..WORDS).filter(|&i| mask.words[i] != 0).map(|i| (i as u8, mask.words[i])).collect() }
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

//! Which bits of a key a look-up rested on.
//!
//! Invariant: every key that agrees with the looked-up one in these bits finds the same rule.
//! Deliberately does not know: groups' order, priorities.

use super::group::Agreed;
use crate::key::Key;
use crate::rule::{MaskedKey, SparseMask};

/// Hears what a look-up does.
pub(crate) trait Witness {
    /// May rules that all say this be passed over? Who listens says so, for one bit less to rest on than a probe.
    fn rules_out(&mut self, agreed: &[Agreed], key: &Key) -> bool;
    /// These bits chose a chain of rules.
    fn probed(&mut self, mask: &SparseMask);
    /// The key was compared with a rule.
    fn compared(&mut self, rule: &MaskedKey, key: &Key);
}

/// Nobody listens.
impl Witness for () {
    #[inline(always)]
    fn rules_out(&mut self, _: &[Agreed], _: &Key) -> bool {
        false
    }
    #[inline(always)]
    fn probed(&mut self, _: &SparseMask) {}
    #[inline(always)]
    fn compared(&mut self, _: &MaskedKey, _: &Key) {}
}

/// Four bits that are told together.
const NEIGHBOURS: u64 = 0xf;

/// The bits that were rested on so far.
#[derive(Clone, Copy, Debug)]
pub struct Seen(pub Key);

impl Seen {
    /// Does the key differ from these words, bits and values? One bit is enough to tell, best one that is rested on anyway.
    /// Of the others it is told with its neighbours: keys differ from a port in its 14th bit, or in its 13th, and each would be
    /// another set of bits to look under.
    fn differs(&mut self, key: &Key, from: impl Iterator<Item = (usize, u64, u64)>) -> bool {
        let mut tells = None;
        for (word, bits, value) in from {
            let differing = (key.words[word] ^ value) & bits;
            if differing & self.0.words[word] != 0 {
                return true;
            }
            if differing != 0 {
                tells.get_or_insert((word, (NEIGHBOURS << (differing.ilog2() & !3)) & bits));
            }
        }
        tells.is_some_and(|(word, bits)| {
            self.0.words[word] |= bits;
            true
        })
    }
}

impl Witness for Seen {
    fn rules_out(&mut self, agreed: &[Agreed], key: &Key) -> bool {
        self.differs(key, agreed.iter().map(|a| (usize::from(a.word), a.bits, a.value)))
    }

    fn probed(&mut self, mask: &SparseMask) {
        for (word, bits) in mask.words.iter() {
            self.0.words[*word as usize] |= bits;
        }
    }

    /// A match rests on all bits of the rule.
    fn compared(&mut self, rule: &MaskedKey, key: &Key) {
        let words = rule.mask.words.iter().zip(rule.values.iter());
        if !self.differs(key, words.map(|((word, bits), value)| (usize::from(*word), *bits, *value))) {
            self.probed(&rule.mask);
        }
    }
}

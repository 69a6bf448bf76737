//! What packets a rule looks at: a value and a mask over the flow key.

use sluice_flow::{Key, Slot};

/// A match: every bit that `mask` names must equal `value`'s.
///
/// Invariant: `value` is zero wherever `mask` is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Match {
    /// Wanted bits.
    pub value: Key,
    /// Bits that matter.
    pub mask: Key,
}

impl Match {
    /// Matches every packet.
    pub const ANY: Match = Match { value: Key::ZERO, mask: Key::ZERO };

    /// Adds a condition: `slot` under `mask` equals `value`. All right-aligned.
    pub fn set(&mut self, slot: Slot, value: u128, mask: u128) {
        let mask = mask & slot.ones();
        self.value.set_masked(slot, value & mask, mask);
        let old = self.mask.get_wide(slot);
        self.mask.set_wide(slot, old | mask);
    }

    /// Adds the condition that all of `slot` equals `value`.
    pub fn set_exact(&mut self, slot: Slot, value: u128) {
        self.set(slot, value, u128::MAX);
    }

    /// Removes every condition on `slot`.
    pub fn clear(&mut self, slot: Slot) {
        self.value.set_wide(slot, 0);
        self.mask.set_wide(slot, 0);
    }

    /// Does a packet with these fields match?
    pub fn matches(&self, key: &Key) -> bool {
        key.matches(&self.value, &self.mask)
    }
}

impl std::fmt::Debug for Match {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Match").field("value", &self.value).field("mask", &self.mask).finish()
    }
}

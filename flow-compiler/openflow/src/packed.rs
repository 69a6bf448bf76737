//! Flow-mods in little room.
//!
//! Purpose: a bundle may hold very many; most of a [`Match`] is zeros, and few masks are in use.
//! Invariant: what is unpacked equals what was packed.
//! Deliberately does not know: bundles.

use std::collections::HashSet;
use std::sync::Arc;

use sluice_flow::hash::FoldBuild;
use sluice_flow::rule::{MaskWords, MaskedKey, SharedMask, SparseMask};

use crate::action::FlowMod;
use crate::matching::{Match, Places};

/// A flow-mod of which only the words are kept that its match looks at.
pub type PackedFlowMod = FlowMod<PackedMatch>;

/// The words that a match looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackedMatch {
    key: MaskedKey,
    places: Places,
}

/// Packs flow-mods; those with equal masks share one.
#[derive(Debug, Default)]
pub struct Packer {
    masks: HashSet<SharedMask, FoldBuild>,
}

impl Packer {
    /// The same in little room. Its actions are taken along.
    pub fn pack(&mut self, fm: &mut FlowMod) -> PackedFlowMod {
        let key = MaskedKey::with_mask(&fm.matching.value, self.share(&fm.matching));
        let mut packed = FlowMod::around(PackedMatch { key, places: fm.matching.places.clone() });
        packed.take_rest(fm);
        packed
    }

    fn share(&mut self, matching: &Match) -> Arc<SparseMask> {
        let words = MaskWords::of(&matching.mask);
        if let Some(known) = self.masks.get(&*words) {
            return known.0.clone();
        }
        let mask = Arc::new(SparseMask { words: (*words).into() });
        self.masks.insert(SharedMask(mask.clone()));
        mask
    }
}

impl PackedFlowMod {
    /// Makes `whole` the same with its match whole; what that said before does not matter.
    pub fn unpack(mut self, whole: &mut FlowMod) {
        whole.clear();
        let MaskedKey { mask, values } = &self.matching.key;
        for ((word, bits), value) in mask.words.iter().zip(values.iter()) {
            whole.matching.mask.words[*word as usize] = *bits;
            whole.matching.value.words[*word as usize] = *value;
        }
        whole.matching.places = std::mem::take(&mut self.matching.places);
        whole.take_rest(&mut self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{parse_flow_line, Names};

    #[test]
    fn what_is_unpacked_equals_what_was_packed_and_equal_masks_are_kept_once() {
        let mut packer = Packer::default();
        let mut whole = FlowMod::around(Match::ANY);
        let texts = ["ip,nw_dst=10.0.0.0/8,actions=drop", "ip,nw_dst=11.0.0.0/8,actions=output:2", "actions=normal", "delete reg3=5/0xff", "tun_metadata3=5/0xff,actions=drop"];
        for text in texts {
            let (fm, _) = parse_flow_line(text, &Names::new()).unwrap();
            packer.pack(&mut fm.clone()).unpack(&mut whole);
            assert_eq!(whole, fm, "{text}");
        }
        assert_eq!(packer.masks.len(), 4);
    }
}

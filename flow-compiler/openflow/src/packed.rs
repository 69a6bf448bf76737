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
    /// The same in little room.
    pub fn pack(&mut self, fm: FlowMod) -> PackedFlowMod {
        let mask = self.share(&fm.matching);
        fm.map_match(|m| PackedMatch { key: MaskedKey::with_mask(&m.value, mask), places: m.places })
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
    /// The same with its match whole.
    pub fn unpack(self) -> FlowMod {
        self.map_match(|m| Match { value: m.key.value_key(), mask: m.key.mask.to_key(), places: m.places })
    }
}

impl<M> FlowMod<M> {
    fn map_match<N>(self, with: impl FnOnce(M) -> N) -> FlowMod<N> {
        FlowMod {
            command: self.command,
            table: self.table,
            priority: self.priority,
            matching: with(self.matching),
            cookie: self.cookie,
            cookie_mask: self.cookie_mask,
            new_cookie: self.new_cookie,
            idle_timeout: self.idle_timeout,
            hard_timeout: self.hard_timeout,
            importance: self.importance,
            buffer_id: self.buffer_id,
            out_port: self.out_port,
            out_group: self.out_group,
            flags: self.flags,
            actions: self.actions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{parse_flow_line, Names};

    #[test]
    fn what_is_unpacked_equals_what_was_packed_and_equal_masks_are_kept_once() {
        let mut packer = Packer::default();
        let texts = ["ip,nw_dst=10.0.0.0/8,actions=drop", "ip,nw_dst=11.0.0.0/8,actions=output:2", "actions=normal", "delete reg3=5/0xff", "tun_metadata3=5/0xff,actions=drop"];
        for text in texts {
            let (fm, _) = parse_flow_line(text, &Names::new()).unwrap();
            assert_eq!(packer.pack(fm.clone()).unpack(), fm, "{text}");
        }
        assert_eq!(packer.masks.len(), 4);
    }
}

//! What packets a rule looks at: a value and a mask over the flow key.

mod options;

pub use options::{cut, OptionError, OptionMatch, Places};

use crate::field::{word_bit, Field};
use sluice_flow::key::slot;
use sluice_flow::options::OptionMap;
use sluice_flow::{Key, Slot};
use std::borrow::Cow;
use std::sync::Arc;

/// A match: every bit that `mask` names must equal `value`'s.
///
/// Invariant: `value` is zero wherever `mask` is.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Match {
    /// Wanted bits.
    pub value: Key,
    /// Bits that matter.
    pub mask: Key,
    /// Where the tunnel options lie that it speaks of.
    pub places: Places,
}

impl Match {
    /// Matches every packet.
    pub const ANY: Match = Match {
        value: Key::ZERO,
        mask: Key::ZERO,
        places: Places::None,
    };

    /// A match of a bridge that has these mappings, from its bits.
    pub fn of_bridge(value: Key, mask: Key, map: &Arc<OptionMap>) -> Match {
        let mut mask = mask;
        if value.get(slot::PACKET_TYPE) == 0 {
            // See `kept`: it goes without saying.
            mask.set(slot::PACKET_TYPE, 0);
        }
        let speaks = mask.get(slot::TUN_OPTIONS_PRESENT) != 0;
        let places = if speaks { Places::Bridge(map.clone()) } else { Places::None };
        Match { value, mask, places }
    }

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

    /// Says all there is to say of an OpenFlow field: `value` under `mask`, both right-aligned.
    /// What was said of it before is forgotten; a zero mask leaves it open.
    ///
    /// Ports are given in their 32-bit form, `vlan_vid` with its "a tag is present" bit. Returns
    /// false, and changes nothing, for a field that the flow key does not hold.
    pub fn set_field(&mut self, field: Field, value: u128, mask: u128) -> bool {
        let Some(place) = field.slot() else {
            return false;
        };
        match field {
            Field::DL_VLAN if mask != 0 => self.set_vlan_id(value),
            Field::DL_VLAN_PCP | Field::VLAN_PCP if mask != 0 => {
                self.replace(slot::VLAN_PCP, value, u128::MAX);
                self.replace(slot::VLAN_PRESENT, 1, 1);
            }
            Field::NW_TOS => self.replace(slot::NW_DSCP, value >> 2, mask >> 2),
            // Every frame is Ethernet: that it must be one goes without saying.
            Field::PACKET_TYPE if value == 0 => self.clear(place),
            // A type or code of ICMP fills the whole port field.
            _ if place.width > 16 || mask == 0 || mask & field.ones() != field.ones() => {
                self.replace(place, value, mask)
            }
            _ => self.replace(place, value & field.ones(), u128::MAX),
        }
        true
    }

    /// What is said of an OpenFlow field: value and mask, right-aligned. The counterpart of
    /// [`Match::set_field`].
    #[inline]
    pub fn field(&self, field: Field) -> (u128, u128) {
        let Some(place) = field.slot() else { return (0, 0) };
        let mask = self.mask.get_wide(place);
        if mask == 0 {
            return (0, 0);
        }
        let value = self.value.get_wide(place);
        match field {
            Field::NW_TOS => (value & 0xfc, mask & 0xfc),
            Field::ARP_OP if mask != 0 => (value, field.ones()),
            _ if place.width > 16 => (value, mask),
            _ => (value & field.ones(), mask & field.ones()),
        }
    }

    /// Which words it says anything of.
    pub(crate) fn asked(&self) -> Asked {
        let bits = self.mask.words.iter().enumerate().map(|(i, bits)| if *bits == 0 { 0 } else { word_bit(i) });
        Asked(bits.fold(0, |all, bit| all | bit))
    }

    /// OpenFlow 1.0's `dl_vlan`: an id, or 0xffff for "no tag".
    fn set_vlan_id(&mut self, id: u128) {
        if id == 0xffff {
            self.replace(slot::VLAN_TCI, 0, u128::MAX);
        } else {
            self.replace(slot::VLAN_VID_PRESENT, 0x1000 | (id & 0xfff), u128::MAX);
        }
    }

    fn replace(&mut self, place: Slot, value: u128, mask: u128) {
        self.clear(place);
        self.set(place, value, mask);
    }

    /// As a rule keeps it: one that wants zeros of the Ethernet header says that there must be one.
    ///
    /// Of a packet without it those fields are zero, so that any other condition on them fails by itself.
    pub fn kept(&self) -> Cow<'_, Match> {
        let wants_zeros = self.mask.words[..2] != [0; 2] && self.value.words[..2] == [0; 2];
        if !wants_zeros || self.mask.get(slot::PACKET_TYPE) != 0 {
            return Cow::Borrowed(self);
        }
        let mut kept = self.clone();
        kept.set_exact(slot::PACKET_TYPE, 0);
        Cow::Owned(kept)
    }

    /// Does a packet with these fields match?
    pub fn matches(&self, key: &Key) -> bool {
        key.matches(&self.value, &self.mask)
    }
}

/// The words that a match says anything of: whoever goes through all fields can pass most of them by.
#[derive(Clone, Copy)]
pub(crate) struct Asked(u64);

impl Asked {
    /// Whether it may say something of a field.
    #[inline]
    pub(crate) fn has(self, field: Field) -> bool {
        self.0 & field.words() != 0
    }
}

impl std::fmt::Debug for Match {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Match")
            .field("value", &self.value)
            .field("mask", &self.mask)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(fields: &[(Field, u128, u128)]) -> Match {
        let mut m = Match::ANY;
        for (field, value, mask) in fields {
            assert!(m.set_field(*field, *value, *mask), "{field:?}");
        }
        m
    }

    #[test]
    fn a_field_reads_back_what_was_said_of_it() {
        for field in Field::all().filter(|f| f.info().slot.is_some()) {
            // These keep only part of what is said: the DSCP, nothing, eight bits.
            if matches!(field, Field::NW_TOS | Field::PACKET_TYPE | Field::ARP_OP) {
                continue;
            }
            let mut m = Match::ANY;
            let value = 1.max(field.ones() >> 3) & field.ones();
            m.set_field(field, value, field.ones());
            assert_eq!(m.field(field), (value, field.ones()), "{field:?}");
            m.set_field(field, 0, 0);
            assert_eq!(m.field(field).1 & 0xfff & field.ones(), 0, "{field:?}");
        }
    }

    #[test]
    fn a_field_that_something_is_said_of_is_not_passed_by() {
        for field in Field::all().filter(|f| f.slot().is_some()) {
            let mut m = Match::ANY;
            assert!(!m.asked().has(field), "{field:?}");
            m.set_field(field, 1, 1);
            assert!(m.asked().has(field) || m.field(field).1 == 0, "{field:?}");
            m.set_field(field, 1, field.ones());
            assert!(m.asked().has(field) || m.field(field).1 == 0, "{field:?}");
        }
    }

    #[test]
    fn vlan_conditions_imply_a_tag_and_0xffff_its_absence() {
        let tagged = with(&[(Field::DL_VLAN, 5, 0xffff)]);
        assert_eq!(tagged.field(Field::VLAN_TCI), (0x1005, 0x1fff));
        let both = with(&[(Field::DL_VLAN, 5, 0xffff), (Field::DL_VLAN_PCP, 3, 0xff)]);
        assert_eq!(both.field(Field::VLAN_TCI), (0x7005, 0xffff));
        let none = with(&[(Field::DL_VLAN, 0xffff, 0xffff)]);
        assert_eq!(none.field(Field::VLAN_TCI), (0, 0xffff));
    }

    #[test]
    fn a_rule_that_wants_zeros_of_the_ethernet_header_says_that_there_is_one() {
        let zeros = with(&[(Field::VLAN_TCI, 0, 0x1fff)]);
        let kept = zeros.kept();
        assert!(kept.mask.covers(slot::PACKET_TYPE));
        assert_eq!(Match::of_bridge(kept.value, kept.mask, &Arc::default()), zeros);
        for other in [with(&[]), with(&[(Field::ETH_TYPE, 0x0800, 0xffff), (Field::VLAN_TCI, 0, 0x1fff)])] {
            assert_eq!(*other.kept(), other);
        }
    }

    #[test]
    fn the_last_word_on_a_field_counts() {
        let m = with(&[(Field::REG0, 0xff, 0xff), (Field::REG0, 0x100, 0xf00)]);
        assert_eq!(m.field(Field::REG0), (0x100, 0xf00));
    }

    #[test]
    fn icmp_types_fill_the_port_field() {
        let m = with(&[(Field::ICMP_TYPE, 8, 0xff)]);
        assert_eq!(m.mask.get(slot::TP_SRC), 0xffff);
        assert_eq!(m.field(Field::TCP_SRC), (8, 0xffff));
    }

    #[test]
    fn fields_without_a_place_are_refused() {
        assert!(!Match::ANY.clone().set_field(Field::TUN_METADATA0, 1, 1));
    }
}

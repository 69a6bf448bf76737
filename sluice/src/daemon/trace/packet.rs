//! A packet as a trace sees it: the flow key and a second VLAN tag.
//!
//! Purpose: read and write OpenFlow fields of a packet, and of a mask over packets.
//! Invariant: writing a field changes its own bits only, and what a VLAN tag implies.
//! Deliberately does not know: bytes.

use std::sync::Arc;

use sluice_flow::key::slot;
use sluice_flow::options::OptionMap;
use sluice_flow::{Key, Slot, WORDS};
use sluice_openflow::wide::Wide;
use sluice_openflow::{Field, Match, PortNo, SubField};

/// "A tag is present".
pub(super) const PRESENT: u16 = 0x1000;
const ALL: Key = Key { words: [u64::MAX; WORDS] };

/// A packet, or which of its bits matter.
#[derive(Clone)]
pub(super) struct Packet {
    /// Everything but the second tag.
    pub key: Key,
    /// Type and content of the second VLAN tag.
    pub inner: (u16, u16),
    /// Where tunnel options are in the key, in the bridge that the packet is in.
    pub options: Option<Arc<OptionMap>>,
}

impl PartialEq for Packet {
    fn eq(&self, other: &Packet) -> bool {
        self.key == other.key && self.inner == other.inner
    }
}

impl Packet {
    /// All zero.
    pub const ZERO: Packet = Packet { key: Key::ZERO, inner: (0, 0), options: None };

    pub fn get(&self, place: Slot) -> u64 {
        self.key.get(place)
    }

    pub fn set(&mut self, place: Slot, value: u64) {
        self.key.set(place, value);
    }

    /// As a mask: these bits matter.
    pub fn mark(&mut self, place: Slot, bits: u128) {
        let old = self.key.get_wide(place);
        self.key.set_wide(place, old | bits);
    }

    /// As a mask: all of it matters.
    pub fn mark_all(&mut self, place: Slot) {
        self.key.cover(place);
    }

    pub fn eth_type(&self) -> u64 {
        self.get(slot::ETH_TYPE)
    }

    pub fn is_ip(&self) -> bool {
        matches!(self.eth_type(), 0x0800 | 0x86dd)
    }

    pub fn is_mpls(&self) -> bool {
        matches!(self.eth_type(), 0x8847 | 0x8848)
    }

    pub fn protocol(&self) -> u64 {
        self.get(slot::NW_PROTO)
    }

    pub fn is_later_fragment(&self) -> bool {
        self.get(slot::NW_FRAG) & 2 != 0
    }

    pub fn tci(&self) -> u16 {
        self.get(slot::VLAN_TCI) as u16
    }

    pub fn in_port(&self) -> PortNo {
        PortNo(self.get(slot::IN_PORT) as u32)
    }

    /// VLAN tags, outermost first.
    pub fn tags(&self) -> Vec<(u16, u16)> {
        let outer = (self.get(slot::VLAN_TPID) as u16, self.tci());
        [outer, self.inner].into_iter().take_while(|(_, tci)| tci & PRESENT != 0).collect()
    }

    /// Has these VLAN tags from now on; a third one has no place.
    pub fn set_tags(&mut self, tags: &[(u16, u16)]) {
        let tag = |i: usize| tags.get(i).copied().unwrap_or((0, 0));
        self.set(slot::VLAN_TPID, u64::from(tag(0).0));
        self.set(slot::VLAN_TCI, u64::from(tag(0).1));
        self.inner = tag(1);
    }

    /// Whether the packet has the field.
    pub fn has(&self, field: Field) -> bool {
        field.prereqs_met(&Match { value: self.key, mask: ALL, ..Match::ANY })
    }

    /// A part of a field.
    pub fn read(&self, part: SubField) -> u128 {
        if let Some(n) = part.field.option_number() {
            return self.option(n).bits(part.start, part.width);
        }
        let (value, _) = Match { value: self.key, mask: ALL, ..Match::ANY }.field(part.field);
        value.checked_shr(u32::from(part.start)).unwrap_or(0) & ones(part.width)
    }

    /// Writes a part of a field. False for a field that the key does not hold.
    pub fn write(&mut self, part: SubField, value: u128) -> bool {
        if let Some(n) = part.field.option_number() {
            return self.write_option_part(n, part, value);
        }
        let shift = |v: u128| v.checked_shl(u32::from(part.start)).unwrap_or(0);
        let mask = shift(ones(part.width));
        self.write_bits(part.field, shift(value) & mask, mask)
    }

    /// Writes those bits of a field that `mask` names.
    pub fn write_bits(&mut self, field: Field, value: u128, mask: u128) -> bool {
        let Some(place) = field.info().slot else { return false };
        let (value, mask) = match field {
            Field::NW_TOS => (value, mask & 0xfc),
            Field::IN_PORT => (u128::from(PortNo::from_u16(value as u16).0), u128::MAX),
            Field::DL_VLAN | Field::VLAN_VID => (value & 0x1fff, mask & 0x1fff),
            _ => (value, mask & field.ones()),
        };
        self.key.set_masked(place, value, mask);
        match field {
            Field::DL_VLAN | Field::DL_VLAN_PCP | Field::VLAN_PCP => self.set(slot::VLAN_PRESENT, 1),
            _ => {}
        }
        if self.tci() & PRESENT != 0 && self.get(slot::VLAN_TPID) == 0 {
            self.set(slot::VLAN_TPID, 0x8100);
        }
        true
    }

    /// As a mask: this part of a field matters.
    pub fn mark_part(&mut self, part: SubField) {
        if let Some(n) = part.field.option_number() {
            return self.mark_option(n, &Wide::ones(part.start, part.width));
        }
        self.mark_bits(part.field, ones(part.width).checked_shl(u32::from(part.start)).unwrap_or(0));
    }

    /// As a mask: these bits of a field matter.
    pub fn mark_bits(&mut self, field: Field, mask: u128) {
        let Some(place) = field.info().slot else { return };
        let mask = match field {
            Field::NW_TOS => mask & 0xfc,
            Field::IN_PORT => u128::MAX,
            Field::DL_VLAN => mask & 0xfff | 0x1000,
            Field::DL_VLAN_PCP | Field::VLAN_PCP => {
                self.mark(slot::VLAN_PRESENT, 1);
                mask
            }
            _ => mask & field.ones(),
        };
        self.mark(place, mask & place.ones());
    }

    /// As a mask: what tells whether the packet has a field.
    pub fn mark_condition(&mut self, field: Field, packet: &Packet) {
        use sluice_openflow::field::Prereq;
        match field.info().prereq {
            Prereq::VlanVid => self.mark(slot::VLAN_PRESENT, 1),
            Prereq::Tcp | Prereq::Udp | Prereq::Sctp | Prereq::Icmpv4 | Prereq::Icmpv6 if packet.is_ip() => {
                self.mark_all(slot::NW_PROTO);
            }
            Prereq::Nd | Prereq::NdSolicit | Prereq::NdAdvert if packet.eth_type() == 0x86dd => {
                self.mark_all(slot::NW_PROTO);
                if packet.protocol() == 58 {
                    self.mark(slot::TP_DST, 0xffff);
                    if packet.get(slot::TP_DST) == 0 {
                        self.mark(slot::TP_SRC, 0xffff);
                    }
                }
            }
            _ => {}
        }
    }

    /// Labels of the MPLS stack, outermost first.
    pub fn labels(&self) -> Vec<u32> {
        if !self.is_mpls() {
            return Vec::new();
        }
        let places = [slot::MPLS_LSE0, slot::MPLS_LSE1, slot::MPLS_LSE2];
        let all: Vec<u32> = places.iter().map(|p| self.get(*p) as u32).collect();
        let bottom = all.iter().position(|l| l & 0x100 != 0).map_or(all.len(), |at| at + 1);
        all.into_iter().take(bottom).collect()
    }

    /// Has these labels from now on.
    pub fn set_labels(&mut self, labels: &[u32]) {
        for (i, place) in [slot::MPLS_LSE0, slot::MPLS_LSE1, slot::MPLS_LSE2].into_iter().enumerate() {
            self.set(place, u64::from(labels.get(i).copied().unwrap_or(0)));
        }
    }

    /// Without what is known of a connection.
    pub fn forget_connection(&mut self) {
        for place in [slot::CT_STATE, slot::CT_MARK, slot::CT_ZONE, slot::CT_NW_PROTO, slot::CT_TP_SRC, slot::CT_TP_DST] {
            self.set(place, 0);
        }
        self.key.set_wide(slot::CT_LABEL, 0);
        for place in [slot::CT_NW_SRC, slot::CT_NW_DST, slot::CT_IPV6_SRC, slot::CT_IPV6_DST] {
            self.key.set_wide(place, 0);
        }
    }

    /// Without tunnel fields.
    pub fn forget_tunnel(&mut self) {
        self.key.clear_tunnel_options();
        for word in TUNNEL_WORDS {
            if let Some(w) = self.key.words.get_mut(word) {
                *w = 0;
            }
        }
    }
}

/// Words of the key that hold tunnel fields, but for options.
pub(super) const TUNNEL_WORDS: std::ops::RangeInclusive<usize> = slot::TUN_ID.word as usize..=slot::TUN_FLAGS.word as usize;

/// That many ones.
pub(super) fn ones(width: u16) -> u128 {
    1u128.checked_shl(u32::from(width)).map_or(u128::MAX, |x| x - 1)
}

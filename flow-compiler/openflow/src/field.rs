//! The match fields, one line each.
//!
//! Purpose: what a field is called, where it lives in the flow key, how it is encoded and printed,
//! what must be matched before it. Source: the OpenFlow 1.5 OXM list and the Nicira extensions.
//! Deliberately does not know: values, packets.

use sluice_flow::hash::FoldBuild;
use sluice_flow::Slot;
use std::collections::HashMap;
use std::sync::OnceLock;
use table::{FIELDS, SLOTS, WORDS};

mod consts;
mod prereq;
mod table;

pub(crate) use prereq::{connection_known, eth_type};

/// A match field: an index into the table of fields.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Field(u8);

/// Bits `start..start + width` of a field, counted from its least significant bit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SubField {
    /// The field.
    pub field: Field,
    /// Lowest bit.
    pub start: u16,
    /// Number of bits, at least 1.
    pub width: u16,
}

/// How values of a field are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Format {
    Decimal,
    Hex,
    Ethernet,
    Ipv4,
    Ipv6,
    Port,
    CtState,
    Frag,
    TunnelFlags,
    TcpFlags,
    PacketType,
}

/// What a rule must match before it may look at a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Prereq {
    None,
    Ethernet,
    VlanVid,
    Mpls,
    Ipv4,
    Ipv6,
    /// IPv4 or IPv6.
    Ip,
    Arp,
    Nsh,
    /// A service instance tag of provider backbone bridges.
    Pbb,
    Tcp,
    Udp,
    Sctp,
    Icmpv4,
    Icmpv6,
    /// ICMPv6 type 135 or 136, code 0.
    Nd,
    NdSolicit,
    NdAdvert,
    /// A tracked connection of a known protocol.
    Ct,
}

/// How far the fixed match structures of OpenFlow 1.0 and 1.1 can express a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Legacy {
    /// Not at all.
    No,
    /// All of it or nothing.
    Exact,
    /// Under a prefix mask.
    Cidr,
    /// Under any mask.
    Any,
}

/// An NXM/OXM class and field number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OxmId {
    /// Class; 0xffff with `experimenter` set.
    pub class: u16,
    /// Field number, 0..=127.
    pub number: u8,
    /// Experimenter id, 0 for none.
    pub experimenter: u32,
}

/// All there is to know of a field.
#[derive(Debug)]
pub struct FieldInfo {
    /// Name that is printed.
    pub name: &'static str,
    /// Other name that is understood, or "".
    pub alias: &'static str,
    /// Name in the Nicira format (`NXM_OF_ETH_SRC`), or "".
    pub nxm_name: &'static str,
    /// Name in the standard's extensible format (`OXM_OF_ETH_SRC`), or "".
    pub oxm_name: &'static str,
    /// What OpenFlow 1.0's fixed match can say of it.
    pub of10: Legacy,
    /// What OpenFlow 1.1's fixed match can say of it.
    pub of11: Legacy,
    /// Where it lives in the flow key; `None` for fields that Sluice does not hold yet.
    pub slot: Option<Slot>,
    /// Width in bits as OpenFlow has it (may exceed the slot's: `arp_op`).
    pub n_bits: u16,
    /// NXM id, if any.
    pub nxm: Option<OxmId>,
    /// OXM id, if any.
    pub oxm: Option<OxmId>,
    /// OpenFlow 1.x version that brought the OXM id (0: none).
    pub oxm_since: u8,
    /// May be matched under a mask.
    pub maskable: bool,
    /// May be written by an action.
    pub writable: bool,
    /// How it is written.
    pub format: Format,
    /// What must be matched first.
    pub prereq: Prereq,
}

impl Field {
    /// All there is to know of it.
    pub fn info(self) -> &'static FieldInfo {
        &FIELDS[self.0 as usize]
    }

    /// Every field, in the order in which Open vSwitch numbers them.
    pub fn all() -> impl Iterator<Item = Field> {
        (0..FIELDS.len() as u8).map(Field)
    }

    /// Where it lies in a flow key; as in [`FieldInfo::slot`].
    #[inline]
    pub fn slot(self) -> Option<Slot> {
        SLOTS.get(usize::from(self.0)).copied().flatten()
    }

    /// The words of a key that it is in, as bits: see [`word_bit`].
    #[inline]
    pub(crate) fn words(self) -> u64 {
        WORDS.get(usize::from(self.0)).copied().unwrap_or(u64::MAX)
    }

    /// The field `n` places further in the table: `Field::REG0.plus(5)` is `reg5`.
    pub const fn plus(self, n: u8) -> Field {
        Field(self.0 + n)
    }

    /// By name or alias.
    pub fn by_name(name: &str) -> Option<Field> {
        Index::get().names.get(name).copied()
    }

    /// By its name in the Nicira (`NXM_…`) or the standard's extensible format (`OXM_…`).
    pub fn by_wire_name(name: &str) -> Option<Field> {
        Index::get().wire_names.get(name).copied()
    }

    /// By NXM or OXM id.
    pub fn by_oxm(id: OxmId) -> Option<Field> {
        Index::get().ids.get(&id).copied()
    }

    /// The name by which a slice of it is printed: `NXM_OF_ETH_SRC`, and its own where it has no id.
    pub fn wire_name(self) -> &'static str {
        let i = self.info();
        [i.nxm_name, i.oxm_name]
            .into_iter()
            .find(|n| !n.is_empty())
            .unwrap_or(i.name)
    }

    /// Bytes that a value of the field takes on the wire.
    pub fn n_bytes(self) -> u16 {
        match self.info().n_bits {
            _ if self == Field::TUN_FLAGS => 2,
            // OpenFlow 1.3 table 12 gives it three bytes, where others of its width have four.
            _ if self == Field::PBB_ISID => 3,
            bits @ (0..=8 | 48 | 129..) => bits.div_ceil(8),
            bits => bits.div_ceil(8).next_power_of_two(),
        }
    }

    /// All ones over the bits that a value may use, at most the low 128. One bit more than the
    /// width of `vlan_vid`, whose values carry the "a tag is present" bit.
    pub fn ones(self) -> u128 {
        match self.info().n_bits {
            _ if self == Field::VLAN_VID => 0x1fff,
            bits @ 0..=127 => (1 << bits) - 1,
            _ => u128::MAX,
        }
    }

    /// Can an action write this value? (`nw_tos` leaves the ECN bits alone, `vlan_pcp` has 3 bits.)
    pub fn accepts(self, value: u128) -> bool {
        match self {
            Field::NW_TOS => value & !0xfc == 0,
            Field::ARP_OP => value <= 0xff,
            Field::TUN_FLAGS | Field::IN_PORT_OXM => true,
            _ => value & !self.ones() == 0,
        }
    }

    /// The number of a `tun_metadata` field, whose length the mappings of its bridge decide.
    pub fn option_number(self) -> Option<u8> {
        self.0.checked_sub(Field::TUN_METADATA0.0).filter(|n| *n < sluice_flow::key::TUN_OPTIONS)
    }

    /// The whole field as a [`SubField`].
    pub fn whole(self) -> SubField {
        SubField {
            field: self,
            start: 0,
            width: self.info().n_bits,
        }
    }
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.info().name)
    }
}

/// The bit that stands for a word of a key. The last stands for all further words, which hold tunnel options.
pub(crate) const fn word_bit(word: usize) -> u64 {
    1 << if word < 63 { word } else { 63 }
}

/// The fields by what they may be called.
struct Index {
    names: HashMap<&'static str, Field, FoldBuild>,
    wire_names: HashMap<&'static str, Field, FoldBuild>,
    ids: HashMap<OxmId, Field, FoldBuild>,
}

impl Index {
    fn get() -> &'static Index {
        static INDEX: OnceLock<Index> = OnceLock::new();
        INDEX.get_or_init(Index::build)
    }

    fn build() -> Index {
        let (mut names, mut wire_names, mut ids) = (HashMap::default(), HashMap::default(), HashMap::default());
        for field in Field::all() {
            let i = field.info();
            names.extend(
                [i.name, i.alias]
                    .into_iter()
                    .filter(|n| !n.is_empty())
                    .map(|n| (n, field)),
            );
            wire_names.extend(
                [i.nxm_name, i.oxm_name]
                    .into_iter()
                    .filter(|n| !n.is_empty())
                    .map(|n| (n, field)),
            );
            ids.extend([i.nxm, i.oxm].into_iter().flatten().map(|id| (id, field)));
        }
        Index {
            names,
            wire_names,
            ids,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_field_finds_it() {
        for field in Field::all() {
            let i = field.info();
            assert_eq!(Field::by_name(i.name), Some(field));
            for name in [i.nxm_name, i.oxm_name]
                .into_iter()
                .filter(|n| !n.is_empty())
            {
                assert_eq!(Field::by_wire_name(name), Some(field), "{name}");
            }
            for id in [i.nxm, i.oxm].into_iter().flatten() {
                assert_eq!(Field::by_oxm(id), Some(field), "{}", i.name);
            }
        }
        assert_eq!(Field::by_name("tp_dst"), Some(Field::TCP_DST));
        assert_eq!(Field::by_name(""), None);
    }

    #[test]
    fn widths_on_the_wire_are_those_of_the_formats() {
        let widths = [
            (Field::TUN_FLAGS, 2),
            (Field::VLAN_VID, 2),
            (Field::MPLS_LABEL, 4),
            (Field::NSH_SPI, 4),
            (Field::PBB_ISID, 3),
            (Field::ETH_SRC, 6),
            (Field::METADATA, 8),
            (Field::IPV6_SRC, 16),
            (Field::TUN_METADATA0, 124),
        ];
        for (field, bytes) in widths {
            assert_eq!(field.n_bytes(), bytes, "{field:?}");
        }
    }
}

//! The match fields, one line each.
//!
//! Purpose: what a field is called, where it lives in the flow key, how it is encoded and printed,
//! what must be matched before it. Source: the OpenFlow 1.5 OXM list and the Nicira extensions.
//! Deliberately does not know: values, packets.

use sluice_flow::key::slot;
use sluice_flow::Slot;

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

/// An NXM/OXM class and field number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

    /// The field `n` places further in the table: `Field::REG0.plus(5)` is `reg5`.
    pub const fn plus(self, n: u8) -> Field {
        Field(self.0 + n)
    }

    /// By name or alias.
    pub fn by_name(name: &str) -> Option<Field> {
        Field::all().find(|f| {
            let i = f.info();
            i.name == name || (!i.alias.is_empty() && i.alias == name)
        })
    }

    /// By NXM or OXM id.
    pub fn by_oxm(id: OxmId) -> Option<Field> {
        Field::all().find(|f| f.info().nxm == Some(id) || f.info().oxm == Some(id))
    }

    /// The whole field as a [`SubField`].
    pub fn whole(self) -> SubField {
        SubField { field: self, start: 0, width: self.info().n_bits }
    }
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.info().name)
    }
}

impl Field {
    /// `dp_hash`.
    pub const DP_HASH: Field = Field(0);
    /// `recirc_id`.
    pub const RECIRC_ID: Field = Field(1);
    /// `packet_type`.
    pub const PACKET_TYPE: Field = Field(2);
    /// `conj_id`.
    pub const CONJ_ID: Field = Field(3);
    /// `tun_id`.
    pub const TUN_ID: Field = Field(4);
    /// `tun_src`.
    pub const TUN_SRC: Field = Field(5);
    /// `tun_dst`.
    pub const TUN_DST: Field = Field(6);
    /// `tun_ipv6_src`.
    pub const TUN_IPV6_SRC: Field = Field(7);
    /// `tun_ipv6_dst`.
    pub const TUN_IPV6_DST: Field = Field(8);
    /// `tun_flags`.
    pub const TUN_FLAGS: Field = Field(9);
    /// `tun_ttl`.
    pub const TUN_TTL: Field = Field(10);
    /// `tun_tos`.
    pub const TUN_TOS: Field = Field(11);
    /// `tun_gbp_id`.
    pub const TUN_GBP_ID: Field = Field(12);
    /// `tun_gbp_flags`.
    pub const TUN_GBP_FLAGS: Field = Field(13);
    /// `tun_erspan_idx`.
    pub const TUN_ERSPAN_IDX: Field = Field(14);
    /// `tun_erspan_ver`.
    pub const TUN_ERSPAN_VER: Field = Field(15);
    /// `tun_erspan_dir`.
    pub const TUN_ERSPAN_DIR: Field = Field(16);
    /// `tun_erspan_hwid`.
    pub const TUN_ERSPAN_HWID: Field = Field(17);
    /// `tun_gtpu_flags`.
    pub const TUN_GTPU_FLAGS: Field = Field(18);
    /// `tun_gtpu_msgtype`.
    pub const TUN_GTPU_MSGTYPE: Field = Field(19);
    /// `tun_metadata0`; `tun_metadataN` is N fields further.
    pub const TUN_METADATA0: Field = Field(20);
    /// `metadata`.
    pub const METADATA: Field = Field(84);
    /// `in_port`.
    pub const IN_PORT: Field = Field(85);
    /// `in_port_oxm`.
    pub const IN_PORT_OXM: Field = Field(86);
    /// `actset_output`.
    pub const ACTSET_OUTPUT: Field = Field(87);
    /// `skb_priority`.
    pub const SKB_PRIORITY: Field = Field(88);
    /// `pkt_mark`.
    pub const PKT_MARK: Field = Field(89);
    /// `ct_state`.
    pub const CT_STATE: Field = Field(90);
    /// `ct_zone`.
    pub const CT_ZONE: Field = Field(91);
    /// `ct_mark`.
    pub const CT_MARK: Field = Field(92);
    /// `ct_label`.
    pub const CT_LABEL: Field = Field(93);
    /// `ct_nw_proto`.
    pub const CT_NW_PROTO: Field = Field(94);
    /// `ct_nw_src`.
    pub const CT_NW_SRC: Field = Field(95);
    /// `ct_nw_dst`.
    pub const CT_NW_DST: Field = Field(96);
    /// `ct_ipv6_src`.
    pub const CT_IPV6_SRC: Field = Field(97);
    /// `ct_ipv6_dst`.
    pub const CT_IPV6_DST: Field = Field(98);
    /// `ct_tp_src`.
    pub const CT_TP_SRC: Field = Field(99);
    /// `ct_tp_dst`.
    pub const CT_TP_DST: Field = Field(100);
    /// `reg0`; the others follow it.
    pub const REG0: Field = Field(101);
    /// `xreg0`; the others follow it.
    pub const XREG0: Field = Field(117);
    /// `xxreg0`; the others follow it.
    pub const XXREG0: Field = Field(125);
    /// `eth_src`.
    pub const ETH_SRC: Field = Field(129);
    /// `eth_dst`.
    pub const ETH_DST: Field = Field(130);
    /// `eth_type`.
    pub const ETH_TYPE: Field = Field(131);
    /// `vlan_tci`.
    pub const VLAN_TCI: Field = Field(132);
    /// `dl_vlan`.
    pub const DL_VLAN: Field = Field(133);
    /// `vlan_vid`.
    pub const VLAN_VID: Field = Field(134);
    /// `dl_vlan_pcp`.
    pub const DL_VLAN_PCP: Field = Field(135);
    /// `vlan_pcp`.
    pub const VLAN_PCP: Field = Field(136);
    /// `mpls_label`.
    pub const MPLS_LABEL: Field = Field(137);
    /// `mpls_tc`.
    pub const MPLS_TC: Field = Field(138);
    /// `mpls_bos`.
    pub const MPLS_BOS: Field = Field(139);
    /// `mpls_ttl`.
    pub const MPLS_TTL: Field = Field(140);
    /// `ip_src`.
    pub const IP_SRC: Field = Field(141);
    /// `ip_dst`.
    pub const IP_DST: Field = Field(142);
    /// `ipv6_src`.
    pub const IPV6_SRC: Field = Field(143);
    /// `ipv6_dst`.
    pub const IPV6_DST: Field = Field(144);
    /// `ipv6_label`.
    pub const IPV6_LABEL: Field = Field(145);
    /// `nw_proto`.
    pub const NW_PROTO: Field = Field(146);
    /// `nw_tos`.
    pub const NW_TOS: Field = Field(147);
    /// `ip_dscp`.
    pub const IP_DSCP: Field = Field(148);
    /// `nw_ecn`.
    pub const NW_ECN: Field = Field(149);
    /// `nw_ttl`.
    pub const NW_TTL: Field = Field(150);
    /// `ip_frag`.
    pub const IP_FRAG: Field = Field(151);
    /// `arp_op`.
    pub const ARP_OP: Field = Field(152);
    /// `arp_spa`.
    pub const ARP_SPA: Field = Field(153);
    /// `arp_tpa`.
    pub const ARP_TPA: Field = Field(154);
    /// `arp_sha`.
    pub const ARP_SHA: Field = Field(155);
    /// `arp_tha`.
    pub const ARP_THA: Field = Field(156);
    /// `tcp_src`.
    pub const TCP_SRC: Field = Field(157);
    /// `tcp_dst`.
    pub const TCP_DST: Field = Field(158);
    /// `tcp_flags`.
    pub const TCP_FLAGS: Field = Field(159);
    /// `udp_src`.
    pub const UDP_SRC: Field = Field(160);
    /// `udp_dst`.
    pub const UDP_DST: Field = Field(161);
    /// `sctp_src`.
    pub const SCTP_SRC: Field = Field(162);
    /// `sctp_dst`.
    pub const SCTP_DST: Field = Field(163);
    /// `icmp_type`.
    pub const ICMP_TYPE: Field = Field(164);
    /// `icmp_code`.
    pub const ICMP_CODE: Field = Field(165);
    /// `icmpv6_type`.
    pub const ICMPV6_TYPE: Field = Field(166);
    /// `icmpv6_code`.
    pub const ICMPV6_CODE: Field = Field(167);
    /// `nd_target`.
    pub const ND_TARGET: Field = Field(168);
    /// `nd_sll`.
    pub const ND_SLL: Field = Field(169);
    /// `nd_tll`.
    pub const ND_TLL: Field = Field(170);
    /// `nd_reserved`.
    pub const ND_RESERVED: Field = Field(171);
    /// `nd_options_type`.
    pub const ND_OPTIONS_TYPE: Field = Field(172);
    /// `nsh_flags`.
    pub const NSH_FLAGS: Field = Field(173);
    /// `nsh_mdtype`.
    pub const NSH_MDTYPE: Field = Field(174);
    /// `nsh_np`.
    pub const NSH_NP: Field = Field(175);
    /// `nsh_spi`.
    pub const NSH_SPI: Field = Field(176);
    /// `nsh_si`.
    pub const NSH_SI: Field = Field(177);
    /// `nsh_c1`.
    pub const NSH_C1: Field = Field(178);
    /// `nsh_c2`.
    pub const NSH_C2: Field = Field(179);
    /// `nsh_c3`.
    pub const NSH_C3: Field = Field(180);
    /// `nsh_c4`.
    pub const NSH_C4: Field = Field(181);
    /// `nsh_ttl`.
    pub const NSH_TTL: Field = Field(182);
}

const NO: Option<OxmId> = None;

const fn std(class: u16, number: u8) -> Option<OxmId> {
    Some(OxmId { class, number, experimenter: 0 })
}

const fn exp(experimenter: u32, number: u8) -> Option<OxmId> {
    Some(OxmId { class: 0xffff, number, experimenter })
}

#[allow(clippy::too_many_arguments)]
const fn f(
    name: &'static str,
    alias: &'static str,
    slot: Option<Slot>,
    n_bits: u16,
    nxm: Option<OxmId>,
    oxm: Option<OxmId>,
    oxm_since: u8,
    maskable: bool,
    writable: bool,
    format: Format,
    prereq: Prereq,
) -> FieldInfo {
    FieldInfo { name, alias, slot, n_bits, nxm, oxm, oxm_since, maskable, writable, format, prereq }
}

#[rustfmt::skip]
static FIELDS: [FieldInfo; 183] = [
    // name, alias, slot, bits, nxm, oxm, since 1.x, maskable, writable, format, prerequisite
    f("dp_hash", "", Some(slot::DP_HASH), 32, std(0x0001, 35), exp(0x00002320, 0), 0, true, false, Format::Hex, Prereq::None),
    f("recirc_id", "", Some(slot::RECIRC_ID), 32, std(0x0001, 36), NO, 0, false, false, Format::Decimal, Prereq::None),
    f("packet_type", "", Some(slot::PACKET_TYPE), 32, NO, std(0x8000, 44), 5, false, false, Format::PacketType, Prereq::None),
    f("conj_id", "", Some(slot::CONJ_ID), 32, std(0x0001, 37), NO, 0, false, false, Format::Decimal, Prereq::None),
    f("tun_id", "tunnel_id", Some(slot::TUN_ID), 64, std(0x0001, 16), std(0x8000, 38), 3, true, true, Format::Hex, Prereq::None),
    f("tun_src", "", Some(slot::TUN_SRC), 32, std(0x0001, 31), NO, 0, true, true, Format::Ipv4, Prereq::None),
    f("tun_dst", "", Some(slot::TUN_DST), 32, std(0x0001, 32), NO, 0, true, true, Format::Ipv4, Prereq::None),
    f("tun_ipv6_src", "", Some(slot::TUN_IPV6_SRC), 128, std(0x0001, 109), NO, 0, true, true, Format::Ipv6, Prereq::None),
    f("tun_ipv6_dst", "", Some(slot::TUN_IPV6_DST), 128, std(0x0001, 110), NO, 0, true, true, Format::Ipv6, Prereq::None),
    f("tun_flags", "", Some(slot::TUN_FLAGS), 1, std(0x0001, 104), NO, 0, true, true, Format::TunnelFlags, Prereq::None),
    f("tun_ttl", "", Some(slot::TUN_TTL), 8, NO, NO, 0, false, false, Format::Decimal, Prereq::None),
    f("tun_tos", "", Some(slot::TUN_TOS), 8, NO, NO, 0, false, false, Format::Decimal, Prereq::None),
    f("tun_gbp_id", "", Some(slot::TUN_GBP_ID), 16, std(0x0001, 38), NO, 0, true, true, Format::Decimal, Prereq::None),
    f("tun_gbp_flags", "", Some(slot::TUN_GBP_FLAGS), 8, std(0x0001, 39), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_erspan_idx", "", None, 20, NO, exp(0x00002320, 11), 0, true, true, Format::Hex, Prereq::None),
    f("tun_erspan_ver", "", None, 4, NO, exp(0x00002320, 12), 0, true, true, Format::Decimal, Prereq::None),
    f("tun_erspan_dir", "", None, 1, NO, exp(0x00002320, 13), 0, true, true, Format::Decimal, Prereq::None),
    f("tun_erspan_hwid", "", None, 6, NO, exp(0x00002320, 14), 0, true, true, Format::Hex, Prereq::None),
    f("tun_gtpu_flags", "", None, 8, NO, exp(0x00002320, 15), 0, true, false, Format::Hex, Prereq::None),
    f("tun_gtpu_msgtype", "", None, 8, NO, exp(0x00002320, 16), 0, true, false, Format::Decimal, Prereq::None),
    f("tun_metadata0", "", None, 992, std(0x0001, 40), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata1", "", None, 992, std(0x0001, 41), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata2", "", None, 992, std(0x0001, 42), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata3", "", None, 992, std(0x0001, 43), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata4", "", None, 992, std(0x0001, 44), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata5", "", None, 992, std(0x0001, 45), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata6", "", None, 992, std(0x0001, 46), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata7", "", None, 992, std(0x0001, 47), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata8", "", None, 992, std(0x0001, 48), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata9", "", None, 992, std(0x0001, 49), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata10", "", None, 992, std(0x0001, 50), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata11", "", None, 992, std(0x0001, 51), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata12", "", None, 992, std(0x0001, 52), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata13", "", None, 992, std(0x0001, 53), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata14", "", None, 992, std(0x0001, 54), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata15", "", None, 992, std(0x0001, 55), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata16", "", None, 992, std(0x0001, 56), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata17", "", None, 992, std(0x0001, 57), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata18", "", None, 992, std(0x0001, 58), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata19", "", None, 992, std(0x0001, 59), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata20", "", None, 992, std(0x0001, 60), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata21", "", None, 992, std(0x0001, 61), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata22", "", None, 992, std(0x0001, 62), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata23", "", None, 992, std(0x0001, 63), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata24", "", None, 992, std(0x0001, 64), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata25", "", None, 992, std(0x0001, 65), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata26", "", None, 992, std(0x0001, 66), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata27", "", None, 992, std(0x0001, 67), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata28", "", None, 992, std(0x0001, 68), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata29", "", None, 992, std(0x0001, 69), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata30", "", None, 992, std(0x0001, 70), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata31", "", None, 992, std(0x0001, 71), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata32", "", None, 992, std(0x0001, 72), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata33", "", None, 992, std(0x0001, 73), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata34", "", None, 992, std(0x0001, 74), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata35", "", None, 992, std(0x0001, 75), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata36", "", None, 992, std(0x0001, 76), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata37", "", None, 992, std(0x0001, 77), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata38", "", None, 992, std(0x0001, 78), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata39", "", None, 992, std(0x0001, 79), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata40", "", None, 992, std(0x0001, 80), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata41", "", None, 992, std(0x0001, 81), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata42", "", None, 992, std(0x0001, 82), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata43", "", None, 992, std(0x0001, 83), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata44", "", None, 992, std(0x0001, 84), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata45", "", None, 992, std(0x0001, 85), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata46", "", None, 992, std(0x0001, 86), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata47", "", None, 992, std(0x0001, 87), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata48", "", None, 992, std(0x0001, 88), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata49", "", None, 992, std(0x0001, 89), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata50", "", None, 992, std(0x0001, 90), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata51", "", None, 992, std(0x0001, 91), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata52", "", None, 992, std(0x0001, 92), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata53", "", None, 992, std(0x0001, 93), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata54", "", None, 992, std(0x0001, 94), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata55", "", None, 992, std(0x0001, 95), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata56", "", None, 992, std(0x0001, 96), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata57", "", None, 992, std(0x0001, 97), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata58", "", None, 992, std(0x0001, 98), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata59", "", None, 992, std(0x0001, 99), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata60", "", None, 992, std(0x0001, 100), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata61", "", None, 992, std(0x0001, 101), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata62", "", None, 992, std(0x0001, 102), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata63", "", None, 992, std(0x0001, 103), NO, 0, true, true, Format::Hex, Prereq::None),
    f("metadata", "", Some(slot::METADATA), 64, NO, std(0x8000, 2), 2, true, true, Format::Hex, Prereq::None),
    f("in_port", "", Some(slot::IN_PORT), 16, std(0x0000, 0), NO, 0, false, true, Format::Port, Prereq::None),
    f("in_port_oxm", "", Some(slot::IN_PORT), 32, NO, std(0x8000, 0), 2, false, true, Format::Port, Prereq::None),
    f("actset_output", "", Some(slot::ACTSET_OUTPUT), 32, NO, exp(0x4f4e4600, 43), 3, false, false, Format::Port, Prereq::None),
    f("skb_priority", "", Some(slot::SKB_PRIORITY), 32, NO, NO, 0, false, false, Format::Hex, Prereq::None),
    f("pkt_mark", "", Some(slot::PKT_MARK), 32, std(0x0001, 33), NO, 0, true, true, Format::Hex, Prereq::None),
    f("ct_state", "", Some(slot::CT_STATE), 32, std(0x0001, 105), NO, 0, true, false, Format::CtState, Prereq::None),
    f("ct_zone", "", Some(slot::CT_ZONE), 16, std(0x0001, 106), NO, 0, false, false, Format::Hex, Prereq::None),
    f("ct_mark", "", Some(slot::CT_MARK), 32, std(0x0001, 107), NO, 0, true, true, Format::Hex, Prereq::None),
    f("ct_label", "", Some(slot::CT_LABEL), 128, std(0x0001, 108), NO, 0, true, true, Format::Hex, Prereq::None),
    f("ct_nw_proto", "", Some(slot::CT_NW_PROTO), 8, std(0x0001, 119), NO, 0, false, false, Format::Decimal, Prereq::Ct),
    f("ct_nw_src", "", Some(slot::CT_NW_SRC), 32, std(0x0001, 120), NO, 0, true, false, Format::Ipv4, Prereq::Ct),
    f("ct_nw_dst", "", Some(slot::CT_NW_DST), 32, std(0x0001, 121), NO, 0, true, false, Format::Ipv4, Prereq::Ct),
    f("ct_ipv6_src", "", Some(slot::CT_IPV6_SRC), 128, std(0x0001, 122), NO, 0, true, false, Format::Ipv6, Prereq::Ct),
    f("ct_ipv6_dst", "", Some(slot::CT_IPV6_DST), 128, std(0x0001, 123), NO, 0, true, false, Format::Ipv6, Prereq::Ct),
    f("ct_tp_src", "", Some(slot::CT_TP_SRC), 16, std(0x0001, 124), NO, 0, true, false, Format::Decimal, Prereq::Ct),
    f("ct_tp_dst", "", Some(slot::CT_TP_DST), 16, std(0x0001, 125), NO, 0, true, false, Format::Decimal, Prereq::Ct),
    f("reg0", "", Some(slot::reg(0)), 32, std(0x0001, 0), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg1", "", Some(slot::reg(1)), 32, std(0x0001, 1), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg2", "", Some(slot::reg(2)), 32, std(0x0001, 2), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg3", "", Some(slot::reg(3)), 32, std(0x0001, 3), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg4", "", Some(slot::reg(4)), 32, std(0x0001, 4), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg5", "", Some(slot::reg(5)), 32, std(0x0001, 5), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg6", "", Some(slot::reg(6)), 32, std(0x0001, 6), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg7", "", Some(slot::reg(7)), 32, std(0x0001, 7), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg8", "", Some(slot::reg(8)), 32, std(0x0001, 8), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg9", "", Some(slot::reg(9)), 32, std(0x0001, 9), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg10", "", Some(slot::reg(10)), 32, std(0x0001, 10), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg11", "", Some(slot::reg(11)), 32, std(0x0001, 11), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg12", "", Some(slot::reg(12)), 32, std(0x0001, 12), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg13", "", Some(slot::reg(13)), 32, std(0x0001, 13), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg14", "", Some(slot::reg(14)), 32, std(0x0001, 14), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg15", "", Some(slot::reg(15)), 32, std(0x0001, 15), NO, 0, true, true, Format::Hex, Prereq::None),
    f("xreg0", "", Some(slot::xreg(0)), 64, NO, std(0x8001, 0), 0, true, true, Format::Hex, Prereq::None),
    f("xreg1", "", Some(slot::xreg(1)), 64, NO, std(0x8001, 1), 0, true, true, Format::Hex, Prereq::None),
    f("xreg2", "", Some(slot::xreg(2)), 64, NO, std(0x8001, 2), 0, true, true, Format::Hex, Prereq::None),
    f("xreg3", "", Some(slot::xreg(3)), 64, NO, std(0x8001, 3), 0, true, true, Format::Hex, Prereq::None),
    f("xreg4", "", Some(slot::xreg(4)), 64, NO, std(0x8001, 4), 0, true, true, Format::Hex, Prereq::None),
    f("xreg5", "", Some(slot::xreg(5)), 64, NO, std(0x8001, 5), 0, true, true, Format::Hex, Prereq::None),
    f("xreg6", "", Some(slot::xreg(6)), 64, NO, std(0x8001, 6), 0, true, true, Format::Hex, Prereq::None),
    f("xreg7", "", Some(slot::xreg(7)), 64, NO, std(0x8001, 7), 0, true, true, Format::Hex, Prereq::None),
    f("xxreg0", "", Some(slot::xxreg(0)), 128, std(0x0001, 111), NO, 0, true, true, Format::Hex, Prereq::None),
    f("xxreg1", "", Some(slot::xxreg(1)), 128, std(0x0001, 112), NO, 0, true, true, Format::Hex, Prereq::None),
    f("xxreg2", "", Some(slot::xxreg(2)), 128, std(0x0001, 113), NO, 0, true, true, Format::Hex, Prereq::None),
    f("xxreg3", "", Some(slot::xxreg(3)), 128, std(0x0001, 114), NO, 0, true, true, Format::Hex, Prereq::None),
    f("eth_src", "dl_src", Some(slot::ETH_SRC), 48, std(0x0000, 2), std(0x8000, 4), 2, true, true, Format::Ethernet, Prereq::Ethernet),
    f("eth_dst", "dl_dst", Some(slot::ETH_DST), 48, std(0x0000, 1), std(0x8000, 3), 2, true, true, Format::Ethernet, Prereq::Ethernet),
    f("eth_type", "dl_type", Some(slot::ETH_TYPE), 16, std(0x0000, 3), std(0x8000, 5), 2, false, false, Format::Hex, Prereq::Ethernet),
    f("vlan_tci", "", Some(slot::VLAN_TCI), 16, std(0x0000, 4), NO, 0, true, true, Format::Hex, Prereq::Ethernet),
    f("dl_vlan", "", Some(slot::VLAN_VID), 12, NO, NO, 0, false, true, Format::Decimal, Prereq::Ethernet),
    f("vlan_vid", "", Some(slot::VLAN_VID_PRESENT), 12, NO, std(0x8000, 6), 2, true, true, Format::Decimal, Prereq::Ethernet),
    f("dl_vlan_pcp", "", Some(slot::VLAN_PCP), 3, NO, NO, 0, false, true, Format::Decimal, Prereq::Ethernet),
    f("vlan_pcp", "", Some(slot::VLAN_PCP), 3, NO, std(0x8000, 7), 2, false, true, Format::Decimal, Prereq::VlanVid),
    f("mpls_label", "", Some(slot::MPLS_LABEL), 20, NO, std(0x8000, 34), 2, false, true, Format::Decimal, Prereq::Mpls),
    f("mpls_tc", "", Some(slot::MPLS_TC), 3, NO, std(0x8000, 35), 2, false, true, Format::Decimal, Prereq::Mpls),
    f("mpls_bos", "", Some(slot::MPLS_BOS), 1, NO, std(0x8000, 36), 3, false, false, Format::Decimal, Prereq::Mpls),
    f("mpls_ttl", "", Some(slot::MPLS_TTL), 8, std(0x0001, 30), NO, 0, false, true, Format::Decimal, Prereq::Mpls),
    f("ip_src", "nw_src", Some(slot::NW_SRC), 32, std(0x0000, 7), std(0x8000, 11), 2, true, true, Format::Ipv4, Prereq::Ipv4),
    f("ip_dst", "nw_dst", Some(slot::NW_DST), 32, std(0x0000, 8), std(0x8000, 12), 2, true, true, Format::Ipv4, Prereq::Ipv4),
    f("ipv6_src", "", Some(slot::IPV6_SRC), 128, std(0x0001, 19), std(0x8000, 26), 2, true, true, Format::Ipv6, Prereq::Ipv6),
    f("ipv6_dst", "", Some(slot::IPV6_DST), 128, std(0x0001, 20), std(0x8000, 27), 2, true, true, Format::Ipv6, Prereq::Ipv6),
    f("ipv6_label", "", Some(slot::IPV6_LABEL), 20, std(0x0001, 27), std(0x8000, 28), 2, true, true, Format::Hex, Prereq::Ipv6),
    f("nw_proto", "ip_proto", Some(slot::NW_PROTO), 8, std(0x0000, 6), std(0x8000, 10), 2, false, false, Format::Decimal, Prereq::Ip),
    f("nw_tos", "", Some(slot::NW_TOS), 8, std(0x0000, 5), NO, 0, false, true, Format::Decimal, Prereq::Ip),
    f("ip_dscp", "", Some(slot::NW_DSCP), 6, NO, std(0x8000, 8), 2, false, true, Format::Decimal, Prereq::Ip),
    f("nw_ecn", "ip_ecn", Some(slot::NW_ECN), 2, std(0x0001, 28), std(0x8000, 9), 2, false, true, Format::Decimal, Prereq::Ip),
    f("nw_ttl", "", Some(slot::NW_TTL), 8, std(0x0001, 29), NO, 0, false, true, Format::Decimal, Prereq::Ip),
    f("ip_frag", "nw_frag", Some(slot::NW_FRAG), 2, std(0x0001, 26), NO, 0, true, false, Format::Frag, Prereq::Ip),
    f("arp_op", "", Some(slot::NW_PROTO), 16, std(0x0000, 15), std(0x8000, 21), 2, false, true, Format::Decimal, Prereq::Arp),
    f("arp_spa", "", Some(slot::NW_SRC), 32, std(0x0000, 16), std(0x8000, 22), 2, true, true, Format::Ipv4, Prereq::Arp),
    f("arp_tpa", "", Some(slot::NW_DST), 32, std(0x0000, 17), std(0x8000, 23), 2, true, true, Format::Ipv4, Prereq::Arp),
    f("arp_sha", "", Some(slot::ARP_SHA), 48, std(0x0001, 17), std(0x8000, 24), 2, true, true, Format::Ethernet, Prereq::Arp),
    f("arp_tha", "", Some(slot::ARP_THA), 48, std(0x0001, 18), std(0x8000, 25), 2, true, true, Format::Ethernet, Prereq::Arp),
    f("tcp_src", "tp_src", Some(slot::TP_SRC), 16, std(0x0000, 9), std(0x8000, 13), 2, true, true, Format::Decimal, Prereq::Tcp),
    f("tcp_dst", "tp_dst", Some(slot::TP_DST), 16, std(0x0000, 10), std(0x8000, 14), 2, true, true, Format::Decimal, Prereq::Tcp),
    f("tcp_flags", "", Some(slot::TCP_FLAGS), 12, std(0x0001, 34), exp(0x4f4e4600, 42), 3, true, false, Format::TcpFlags, Prereq::Tcp),
    f("udp_src", "", Some(slot::TP_SRC), 16, std(0x0000, 11), std(0x8000, 15), 2, true, true, Format::Decimal, Prereq::Udp),
    f("udp_dst", "", Some(slot::TP_DST), 16, std(0x0000, 12), std(0x8000, 16), 2, true, true, Format::Decimal, Prereq::Udp),
    f("sctp_src", "", Some(slot::TP_SRC), 16, NO, std(0x8000, 17), 2, true, true, Format::Decimal, Prereq::Sctp),
    f("sctp_dst", "", Some(slot::TP_DST), 16, NO, std(0x8000, 18), 2, true, true, Format::Decimal, Prereq::Sctp),
    f("icmp_type", "", Some(slot::TP_SRC), 8, std(0x0000, 13), std(0x8000, 19), 2, false, true, Format::Decimal, Prereq::Icmpv4),
    f("icmp_code", "", Some(slot::TP_DST), 8, std(0x0000, 14), std(0x8000, 20), 2, false, true, Format::Decimal, Prereq::Icmpv4),
    f("icmpv6_type", "", Some(slot::TP_SRC), 8, std(0x0001, 21), std(0x8000, 29), 2, false, true, Format::Decimal, Prereq::Icmpv6),
    f("icmpv6_code", "", Some(slot::TP_DST), 8, std(0x0001, 22), std(0x8000, 30), 2, false, true, Format::Decimal, Prereq::Icmpv6),
    f("nd_target", "", Some(slot::ND_TARGET), 128, std(0x0001, 23), std(0x8000, 31), 2, true, true, Format::Ipv6, Prereq::Nd),
    f("nd_sll", "", Some(slot::ARP_SHA), 48, std(0x0001, 24), std(0x8000, 32), 2, true, true, Format::Ethernet, Prereq::NdSolicit),
    f("nd_tll", "", Some(slot::ARP_THA), 48, std(0x0001, 25), std(0x8000, 33), 2, true, true, Format::Ethernet, Prereq::NdAdvert),
    f("nd_reserved", "", Some(slot::ND_RESERVED), 32, NO, exp(0x0000_1e96, 1), 0, false, true, Format::Decimal, Prereq::Nd),
    f("nd_options_type", "", Some(slot::ND_OPTIONS_TYPE), 8, NO, exp(0x0000_1e96, 2), 0, false, true, Format::Decimal, Prereq::Nd),
    f("nsh_flags", "", Some(slot::NSH_FLAGS), 8, NO, exp(0x005ad650, 1), 0, true, true, Format::Decimal, Prereq::Nsh),
    f("nsh_mdtype", "", Some(slot::NSH_MDTYPE), 8, NO, exp(0x005ad650, 2), 0, false, false, Format::Decimal, Prereq::Nsh),
    f("nsh_np", "", Some(slot::NSH_NP), 8, NO, exp(0x005ad650, 3), 0, false, false, Format::Decimal, Prereq::Nsh),
    f("nsh_spi", "nsp", Some(slot::NSH_SPI), 24, NO, exp(0x005ad650, 4), 0, false, true, Format::Hex, Prereq::Nsh),
    f("nsh_si", "nsi", Some(slot::NSH_SI), 8, NO, exp(0x005ad650, 5), 0, false, true, Format::Decimal, Prereq::Nsh),
    f("nsh_c1", "nshc1", Some(slot::nsh_c(1)), 32, NO, exp(0x005ad650, 6), 0, true, true, Format::Hex, Prereq::Nsh),
    f("nsh_c2", "nshc2", Some(slot::nsh_c(2)), 32, NO, exp(0x005ad650, 7), 0, true, true, Format::Hex, Prereq::Nsh),
    f("nsh_c3", "nshc3", Some(slot::nsh_c(3)), 32, NO, exp(0x005ad650, 8), 0, true, true, Format::Hex, Prereq::Nsh),
    f("nsh_c4", "nshc4", Some(slot::nsh_c(4)), 32, NO, exp(0x005ad650, 9), 0, true, true, Format::Hex, Prereq::Nsh),
    f("nsh_ttl", "", Some(slot::NSH_TTL), 8, NO, exp(0x005ad650, 10), 0, false, true, Format::Decimal, Prereq::Nsh),
];

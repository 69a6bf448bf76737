//! The table of fields.
//!
//! Purpose: one line for each field. Invariant: its order is that of the constants.
//! Deliberately does not know: how the columns are used.

use super::{FieldInfo, Format, Legacy, OxmId, Prereq};
use sluice_flow::key::slot;
use sluice_flow::Slot;

const NO: Option<OxmId> = None;

const fn std(class: u16, number: u8) -> Option<OxmId> {
    Some(OxmId {
        class,
        number,
        experimenter: 0,
    })
}

const fn exp(experimenter: u32, number: u8) -> Option<OxmId> {
    Some(OxmId {
        class: 0xffff,
        number,
        experimenter,
    })
}

#[allow(clippy::too_many_arguments)]
const fn f(
    name: &'static str,
    alias: &'static str,
    nxm_name: &'static str,
    oxm_name: &'static str,
    of10: Legacy,
    of11: Legacy,
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
    FieldInfo {
        name,
        alias,
        nxm_name,
        oxm_name,
        of10,
        of11,
        slot,
        n_bits,
        nxm,
        oxm,
        oxm_since,
        maskable,
        writable,
        format,
        prereq,
    }
}

#[rustfmt::skip]
pub(super) static FIELDS: [FieldInfo; 186] = [
    // name, alias, nxm name, oxm name, in 1.0, in 1.1, slot, bits, nxm, oxm, since 1.x, maskable, writable, format, prerequisite
    f("dp_hash", "", "NXM_NX_DP_HASH", "NXOXM_ET_DP_HASH", Legacy::No, Legacy::No, Some(slot::DP_HASH), 32, std(0x0001, 35), exp(0x00002320, 0), 0, true, false, Format::Hex, Prereq::None),
    f("recirc_id", "", "NXM_NX_RECIRC_ID", "", Legacy::No, Legacy::No, Some(slot::RECIRC_ID), 32, std(0x0001, 36), NO, 0, false, false, Format::Decimal, Prereq::None),
    f("packet_type", "", "", "OXM_OF_PACKET_TYPE", Legacy::No, Legacy::No, Some(slot::PACKET_TYPE), 32, NO, std(0x8000, 44), 5, false, false, Format::PacketType, Prereq::None),
    f("conj_id", "", "NXM_NX_CONJ_ID", "", Legacy::No, Legacy::No, Some(slot::CONJ_ID), 32, std(0x0001, 37), NO, 0, false, false, Format::Decimal, Prereq::None),
    f("tun_id", "tunnel_id", "NXM_NX_TUN_ID", "OXM_OF_TUNNEL_ID", Legacy::No, Legacy::No, Some(slot::TUN_ID), 64, std(0x0001, 16), std(0x8000, 38), 3, true, true, Format::Hex, Prereq::None),
    f("tun_src", "", "NXM_NX_TUN_IPV4_SRC", "", Legacy::No, Legacy::No, Some(slot::TUN_SRC), 32, std(0x0001, 31), NO, 0, true, true, Format::Ipv4, Prereq::None),
    f("tun_dst", "", "NXM_NX_TUN_IPV4_DST", "", Legacy::No, Legacy::No, Some(slot::TUN_DST), 32, std(0x0001, 32), NO, 0, true, true, Format::Ipv4, Prereq::None),
    f("tun_ipv6_src", "", "NXM_NX_TUN_IPV6_SRC", "", Legacy::No, Legacy::No, Some(slot::TUN_IPV6_SRC), 128, std(0x0001, 109), NO, 0, true, true, Format::Ipv6, Prereq::None),
    f("tun_ipv6_dst", "", "NXM_NX_TUN_IPV6_DST", "", Legacy::No, Legacy::No, Some(slot::TUN_IPV6_DST), 128, std(0x0001, 110), NO, 0, true, true, Format::Ipv6, Prereq::None),
    f("tun_flags", "", "NXM_NX_TUN_FLAGS", "", Legacy::No, Legacy::No, Some(slot::TUN_FLAGS), 1, std(0x0001, 104), NO, 0, true, true, Format::TunnelFlags, Prereq::None),
    f("tun_ttl", "", "", "", Legacy::No, Legacy::No, Some(slot::TUN_TTL), 8, NO, NO, 0, false, false, Format::Decimal, Prereq::None),
    f("tun_tos", "", "", "", Legacy::No, Legacy::No, Some(slot::TUN_TOS), 8, NO, NO, 0, false, false, Format::Decimal, Prereq::None),
    f("tun_gbp_id", "", "NXM_NX_TUN_GBP_ID", "", Legacy::No, Legacy::No, Some(slot::TUN_GBP_ID), 16, std(0x0001, 38), NO, 0, true, true, Format::Decimal, Prereq::None),
    f("tun_gbp_flags", "", "NXM_NX_TUN_GBP_FLAGS", "", Legacy::No, Legacy::No, Some(slot::TUN_GBP_FLAGS), 8, std(0x0001, 39), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_erspan_idx", "", "", "NXOXM_ET_ERSPAN_IDX", Legacy::No, Legacy::No, None, 20, NO, exp(0x00002320, 11), 0, true, true, Format::Hex, Prereq::None),
    f("tun_erspan_ver", "", "", "NXOXM_ET_ERSPAN_VER", Legacy::No, Legacy::No, None, 4, NO, exp(0x00002320, 12), 0, true, true, Format::Decimal, Prereq::None),
    f("tun_erspan_dir", "", "", "NXOXM_ET_ERSPAN_DIR", Legacy::No, Legacy::No, None, 1, NO, exp(0x00002320, 13), 0, true, true, Format::Decimal, Prereq::None),
    f("tun_erspan_hwid", "", "", "NXOXM_ET_ERSPAN_HWID", Legacy::No, Legacy::No, None, 6, NO, exp(0x00002320, 14), 0, true, true, Format::Hex, Prereq::None),
    f("tun_gtpu_flags", "", "", "NXOXM_ET_GTPU_FLAGS", Legacy::No, Legacy::No, None, 8, NO, exp(0x00002320, 15), 0, true, false, Format::Hex, Prereq::None),
    f("tun_gtpu_msgtype", "", "", "NXOXM_ET_GTPU_MSGTYPE", Legacy::No, Legacy::No, None, 8, NO, exp(0x00002320, 16), 0, true, false, Format::Decimal, Prereq::None),
    f("tun_metadata0", "", "NXM_NX_TUN_METADATA0", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 40), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata1", "", "NXM_NX_TUN_METADATA1", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 41), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata2", "", "NXM_NX_TUN_METADATA2", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 42), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata3", "", "NXM_NX_TUN_METADATA3", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 43), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata4", "", "NXM_NX_TUN_METADATA4", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 44), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata5", "", "NXM_NX_TUN_METADATA5", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 45), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata6", "", "NXM_NX_TUN_METADATA6", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 46), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata7", "", "NXM_NX_TUN_METADATA7", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 47), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata8", "", "NXM_NX_TUN_METADATA8", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 48), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata9", "", "NXM_NX_TUN_METADATA9", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 49), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata10", "", "NXM_NX_TUN_METADATA10", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 50), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata11", "", "NXM_NX_TUN_METADATA11", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 51), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata12", "", "NXM_NX_TUN_METADATA12", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 52), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata13", "", "NXM_NX_TUN_METADATA13", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 53), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata14", "", "NXM_NX_TUN_METADATA14", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 54), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata15", "", "NXM_NX_TUN_METADATA15", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 55), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata16", "", "NXM_NX_TUN_METADATA16", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 56), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata17", "", "NXM_NX_TUN_METADATA17", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 57), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata18", "", "NXM_NX_TUN_METADATA18", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 58), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata19", "", "NXM_NX_TUN_METADATA19", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 59), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata20", "", "NXM_NX_TUN_METADATA20", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 60), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata21", "", "NXM_NX_TUN_METADATA21", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 61), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata22", "", "NXM_NX_TUN_METADATA22", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 62), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata23", "", "NXM_NX_TUN_METADATA23", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 63), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata24", "", "NXM_NX_TUN_METADATA24", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 64), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata25", "", "NXM_NX_TUN_METADATA25", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 65), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata26", "", "NXM_NX_TUN_METADATA26", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 66), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata27", "", "NXM_NX_TUN_METADATA27", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 67), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata28", "", "NXM_NX_TUN_METADATA28", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 68), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata29", "", "NXM_NX_TUN_METADATA29", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 69), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata30", "", "NXM_NX_TUN_METADATA30", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 70), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata31", "", "NXM_NX_TUN_METADATA31", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 71), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata32", "", "NXM_NX_TUN_METADATA32", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 72), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata33", "", "NXM_NX_TUN_METADATA33", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 73), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata34", "", "NXM_NX_TUN_METADATA34", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 74), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata35", "", "NXM_NX_TUN_METADATA35", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 75), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata36", "", "NXM_NX_TUN_METADATA36", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 76), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata37", "", "NXM_NX_TUN_METADATA37", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 77), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata38", "", "NXM_NX_TUN_METADATA38", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 78), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata39", "", "NXM_NX_TUN_METADATA39", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 79), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata40", "", "NXM_NX_TUN_METADATA40", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 80), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata41", "", "NXM_NX_TUN_METADATA41", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 81), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata42", "", "NXM_NX_TUN_METADATA42", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 82), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata43", "", "NXM_NX_TUN_METADATA43", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 83), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata44", "", "NXM_NX_TUN_METADATA44", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 84), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata45", "", "NXM_NX_TUN_METADATA45", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 85), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata46", "", "NXM_NX_TUN_METADATA46", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 86), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata47", "", "NXM_NX_TUN_METADATA47", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 87), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata48", "", "NXM_NX_TUN_METADATA48", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 88), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata49", "", "NXM_NX_TUN_METADATA49", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 89), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata50", "", "NXM_NX_TUN_METADATA50", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 90), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata51", "", "NXM_NX_TUN_METADATA51", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 91), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata52", "", "NXM_NX_TUN_METADATA52", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 92), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata53", "", "NXM_NX_TUN_METADATA53", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 93), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata54", "", "NXM_NX_TUN_METADATA54", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 94), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata55", "", "NXM_NX_TUN_METADATA55", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 95), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata56", "", "NXM_NX_TUN_METADATA56", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 96), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata57", "", "NXM_NX_TUN_METADATA57", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 97), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata58", "", "NXM_NX_TUN_METADATA58", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 98), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata59", "", "NXM_NX_TUN_METADATA59", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 99), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata60", "", "NXM_NX_TUN_METADATA60", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 100), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata61", "", "NXM_NX_TUN_METADATA61", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 101), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata62", "", "NXM_NX_TUN_METADATA62", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 102), NO, 0, true, true, Format::Hex, Prereq::None),
    f("tun_metadata63", "", "NXM_NX_TUN_METADATA63", "", Legacy::No, Legacy::No, None, 992, std(0x0001, 103), NO, 0, true, true, Format::Hex, Prereq::None),
    f("metadata", "", "", "OXM_OF_METADATA", Legacy::No, Legacy::Any, Some(slot::METADATA), 64, NO, std(0x8000, 2), 2, true, true, Format::Hex, Prereq::None),
    f("in_port", "", "NXM_OF_IN_PORT", "", Legacy::Exact, Legacy::Exact, Some(slot::IN_PORT), 16, std(0x0000, 0), NO, 0, false, true, Format::Port, Prereq::None),
    f("in_port_oxm", "", "", "OXM_OF_IN_PORT", Legacy::No, Legacy::Exact, Some(slot::IN_PORT), 32, NO, std(0x8000, 0), 2, false, true, Format::Port, Prereq::None),
    f("actset_output", "", "", "ONFOXM_ET_ACTSET_OUTPUT", Legacy::No, Legacy::No, Some(slot::ACTSET_OUTPUT), 32, NO, exp(0x4f4e4600, 43), 3, false, false, Format::Port, Prereq::None),
    f("skb_priority", "", "", "", Legacy::No, Legacy::No, Some(slot::SKB_PRIORITY), 32, NO, NO, 0, false, false, Format::Hex, Prereq::None),
    f("pkt_mark", "", "NXM_NX_PKT_MARK", "", Legacy::No, Legacy::No, Some(slot::PKT_MARK), 32, std(0x0001, 33), NO, 0, true, true, Format::Hex, Prereq::None),
    f("ct_state", "", "NXM_NX_CT_STATE", "", Legacy::No, Legacy::No, Some(slot::CT_STATE), 32, std(0x0001, 105), NO, 0, true, false, Format::CtState, Prereq::None),
    f("ct_zone", "", "NXM_NX_CT_ZONE", "", Legacy::No, Legacy::No, Some(slot::CT_ZONE), 16, std(0x0001, 106), NO, 0, false, false, Format::Hex, Prereq::None),
    f("ct_mark", "", "NXM_NX_CT_MARK", "", Legacy::No, Legacy::No, Some(slot::CT_MARK), 32, std(0x0001, 107), NO, 0, true, true, Format::Hex, Prereq::None),
    f("ct_label", "", "NXM_NX_CT_LABEL", "", Legacy::No, Legacy::No, Some(slot::CT_LABEL), 128, std(0x0001, 108), NO, 0, true, true, Format::Hex, Prereq::None),
    f("ct_nw_proto", "", "NXM_NX_CT_NW_PROTO", "", Legacy::No, Legacy::No, Some(slot::CT_NW_PROTO), 8, std(0x0001, 119), NO, 0, false, false, Format::Decimal, Prereq::Ct),
    f("ct_nw_src", "", "NXM_NX_CT_NW_SRC", "", Legacy::No, Legacy::No, Some(slot::CT_NW_SRC), 32, std(0x0001, 120), NO, 0, true, false, Format::Ipv4, Prereq::Ct),
    f("ct_nw_dst", "", "NXM_NX_CT_NW_DST", "", Legacy::No, Legacy::No, Some(slot::CT_NW_DST), 32, std(0x0001, 121), NO, 0, true, false, Format::Ipv4, Prereq::Ct),
    f("ct_ipv6_src", "", "NXM_NX_CT_IPV6_SRC", "", Legacy::No, Legacy::No, Some(slot::CT_IPV6_SRC), 128, std(0x0001, 122), NO, 0, true, false, Format::Ipv6, Prereq::Ct),
    f("ct_ipv6_dst", "", "NXM_NX_CT_IPV6_DST", "", Legacy::No, Legacy::No, Some(slot::CT_IPV6_DST), 128, std(0x0001, 123), NO, 0, true, false, Format::Ipv6, Prereq::Ct),
    f("ct_tp_src", "", "NXM_NX_CT_TP_SRC", "", Legacy::No, Legacy::No, Some(slot::CT_TP_SRC), 16, std(0x0001, 124), NO, 0, true, false, Format::Decimal, Prereq::Ct),
    f("ct_tp_dst", "", "NXM_NX_CT_TP_DST", "", Legacy::No, Legacy::No, Some(slot::CT_TP_DST), 16, std(0x0001, 125), NO, 0, true, false, Format::Decimal, Prereq::Ct),
    f("reg0", "", "NXM_NX_REG0", "", Legacy::No, Legacy::No, Some(slot::reg(0)), 32, std(0x0001, 0), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg1", "", "NXM_NX_REG1", "", Legacy::No, Legacy::No, Some(slot::reg(1)), 32, std(0x0001, 1), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg2", "", "NXM_NX_REG2", "", Legacy::No, Legacy::No, Some(slot::reg(2)), 32, std(0x0001, 2), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg3", "", "NXM_NX_REG3", "", Legacy::No, Legacy::No, Some(slot::reg(3)), 32, std(0x0001, 3), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg4", "", "NXM_NX_REG4", "", Legacy::No, Legacy::No, Some(slot::reg(4)), 32, std(0x0001, 4), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg5", "", "NXM_NX_REG5", "", Legacy::No, Legacy::No, Some(slot::reg(5)), 32, std(0x0001, 5), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg6", "", "NXM_NX_REG6", "", Legacy::No, Legacy::No, Some(slot::reg(6)), 32, std(0x0001, 6), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg7", "", "NXM_NX_REG7", "", Legacy::No, Legacy::No, Some(slot::reg(7)), 32, std(0x0001, 7), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg8", "", "NXM_NX_REG8", "", Legacy::No, Legacy::No, Some(slot::reg(8)), 32, std(0x0001, 8), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg9", "", "NXM_NX_REG9", "", Legacy::No, Legacy::No, Some(slot::reg(9)), 32, std(0x0001, 9), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg10", "", "NXM_NX_REG10", "", Legacy::No, Legacy::No, Some(slot::reg(10)), 32, std(0x0001, 10), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg11", "", "NXM_NX_REG11", "", Legacy::No, Legacy::No, Some(slot::reg(11)), 32, std(0x0001, 11), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg12", "", "NXM_NX_REG12", "", Legacy::No, Legacy::No, Some(slot::reg(12)), 32, std(0x0001, 12), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg13", "", "NXM_NX_REG13", "", Legacy::No, Legacy::No, Some(slot::reg(13)), 32, std(0x0001, 13), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg14", "", "NXM_NX_REG14", "", Legacy::No, Legacy::No, Some(slot::reg(14)), 32, std(0x0001, 14), NO, 0, true, true, Format::Hex, Prereq::None),
    f("reg15", "", "NXM_NX_REG15", "", Legacy::No, Legacy::No, Some(slot::reg(15)), 32, std(0x0001, 15), NO, 0, true, true, Format::Hex, Prereq::None),
    f("xreg0", "", "", "OXM_OF_PKT_REG0", Legacy::No, Legacy::No, Some(slot::xreg(0)), 64, NO, std(0x8001, 0), 3, true, true, Format::Hex, Prereq::None),
    f("xreg1", "", "", "OXM_OF_PKT_REG1", Legacy::No, Legacy::No, Some(slot::xreg(1)), 64, NO, std(0x8001, 1), 3, true, true, Format::Hex, Prereq::None),
    f("xreg2", "", "", "OXM_OF_PKT_REG2", Legacy::No, Legacy::No, Some(slot::xreg(2)), 64, NO, std(0x8001, 2), 3, true, true, Format::Hex, Prereq::None),
    f("xreg3", "", "", "OXM_OF_PKT_REG3", Legacy::No, Legacy::No, Some(slot::xreg(3)), 64, NO, std(0x8001, 3), 3, true, true, Format::Hex, Prereq::None),
    f("xreg4", "", "", "OXM_OF_PKT_REG4", Legacy::No, Legacy::No, Some(slot::xreg(4)), 64, NO, std(0x8001, 4), 3, true, true, Format::Hex, Prereq::None),
    f("xreg5", "", "", "OXM_OF_PKT_REG5", Legacy::No, Legacy::No, Some(slot::xreg(5)), 64, NO, std(0x8001, 5), 3, true, true, Format::Hex, Prereq::None),
    f("xreg6", "", "", "OXM_OF_PKT_REG6", Legacy::No, Legacy::No, Some(slot::xreg(6)), 64, NO, std(0x8001, 6), 3, true, true, Format::Hex, Prereq::None),
    f("xreg7", "", "", "OXM_OF_PKT_REG7", Legacy::No, Legacy::No, Some(slot::xreg(7)), 64, NO, std(0x8001, 7), 3, true, true, Format::Hex, Prereq::None),
    f("xxreg0", "", "NXM_NX_XXREG0", "", Legacy::No, Legacy::No, Some(slot::xxreg(0)), 128, std(0x0001, 111), NO, 0, true, true, Format::Hex, Prereq::None),
    f("xxreg1", "", "NXM_NX_XXREG1", "", Legacy::No, Legacy::No, Some(slot::xxreg(1)), 128, std(0x0001, 112), NO, 0, true, true, Format::Hex, Prereq::None),
    f("xxreg2", "", "NXM_NX_XXREG2", "", Legacy::No, Legacy::No, Some(slot::xxreg(2)), 128, std(0x0001, 113), NO, 0, true, true, Format::Hex, Prereq::None),
    f("xxreg3", "", "NXM_NX_XXREG3", "", Legacy::No, Legacy::No, Some(slot::xxreg(3)), 128, std(0x0001, 114), NO, 0, true, true, Format::Hex, Prereq::None),
    f("eth_src", "dl_src", "NXM_OF_ETH_SRC", "OXM_OF_ETH_SRC", Legacy::Exact, Legacy::Any, Some(slot::ETH_SRC), 48, std(0x0000, 2), std(0x8000, 4), 2, true, true, Format::Ethernet, Prereq::Ethernet),
    f("eth_dst", "dl_dst", "NXM_OF_ETH_DST", "OXM_OF_ETH_DST", Legacy::Exact, Legacy::Any, Some(slot::ETH_DST), 48, std(0x0000, 1), std(0x8000, 3), 2, true, true, Format::Ethernet, Prereq::Ethernet),
    f("eth_type", "dl_type", "NXM_OF_ETH_TYPE", "OXM_OF_ETH_TYPE", Legacy::Exact, Legacy::Exact, Some(slot::ETH_TYPE), 16, std(0x0000, 3), std(0x8000, 5), 2, false, false, Format::Hex, Prereq::Ethernet),
    f("vlan_tci", "", "NXM_OF_VLAN_TCI", "", Legacy::Exact, Legacy::Exact, Some(slot::VLAN_TCI), 16, std(0x0000, 4), NO, 0, true, true, Format::Hex, Prereq::Ethernet),
    f("dl_vlan", "", "", "", Legacy::Exact, Legacy::Exact, Some(slot::VLAN_VID), 12, NO, NO, 0, false, true, Format::Decimal, Prereq::Ethernet),
    f("vlan_vid", "", "", "OXM_OF_VLAN_VID", Legacy::Exact, Legacy::Exact, Some(slot::VLAN_VID_PRESENT), 12, NO, std(0x8000, 6), 2, true, true, Format::Decimal, Prereq::Ethernet),
    f("dl_vlan_pcp", "", "", "", Legacy::Exact, Legacy::Exact, Some(slot::VLAN_PCP), 3, NO, NO, 0, false, true, Format::Decimal, Prereq::Ethernet),
    f("vlan_pcp", "", "", "OXM_OF_VLAN_PCP", Legacy::Exact, Legacy::Exact, Some(slot::VLAN_PCP), 3, NO, std(0x8000, 7), 2, false, true, Format::Decimal, Prereq::VlanVid),
    f("mpls_label", "", "", "OXM_OF_MPLS_LABEL", Legacy::No, Legacy::Exact, Some(slot::MPLS_LABEL), 20, NO, std(0x8000, 34), 2, false, true, Format::Decimal, Prereq::Mpls),
    f("mpls_tc", "", "", "OXM_OF_MPLS_TC", Legacy::No, Legacy::Exact, Some(slot::MPLS_TC), 3, NO, std(0x8000, 35), 2, false, true, Format::Decimal, Prereq::Mpls),
    f("mpls_bos", "", "", "OXM_OF_MPLS_BOS", Legacy::No, Legacy::No, Some(slot::MPLS_BOS), 1, NO, std(0x8000, 36), 3, false, false, Format::Decimal, Prereq::Mpls),
    f("mpls_ttl", "", "NXM_NX_MPLS_TTL", "", Legacy::No, Legacy::No, Some(slot::MPLS_TTL), 8, std(0x0001, 30), NO, 0, false, true, Format::Decimal, Prereq::Mpls),
    f("ip_src", "nw_src", "NXM_OF_IP_SRC", "OXM_OF_IPV4_SRC", Legacy::Cidr, Legacy::Any, Some(slot::NW_SRC), 32, std(0x0000, 7), std(0x8000, 11), 2, true, true, Format::Ipv4, Prereq::Ipv4),
    f("ip_dst", "nw_dst", "NXM_OF_IP_DST", "OXM_OF_IPV4_DST", Legacy::Cidr, Legacy::Any, Some(slot::NW_DST), 32, std(0x0000, 8), std(0x8000, 12), 2, true, true, Format::Ipv4, Prereq::Ipv4),
    f("ipv6_src", "", "NXM_NX_IPV6_SRC", "OXM_OF_IPV6_SRC", Legacy::No, Legacy::No, Some(slot::IPV6_SRC), 128, std(0x0001, 19), std(0x8000, 26), 2, true, true, Format::Ipv6, Prereq::Ipv6),
    f("ipv6_dst", "", "NXM_NX_IPV6_DST", "OXM_OF_IPV6_DST", Legacy::No, Legacy::No, Some(slot::IPV6_DST), 128, std(0x0001, 20), std(0x8000, 27), 2, true, true, Format::Ipv6, Prereq::Ipv6),
    f("ipv6_label", "", "NXM_NX_IPV6_LABEL", "OXM_OF_IPV6_FLABEL", Legacy::No, Legacy::No, Some(slot::IPV6_LABEL), 20, std(0x0001, 27), std(0x8000, 28), 2, true, true, Format::Hex, Prereq::Ipv6),
    f("nw_proto", "ip_proto", "NXM_OF_IP_PROTO", "OXM_OF_IP_PROTO", Legacy::Exact, Legacy::Exact, Some(slot::NW_PROTO), 8, std(0x0000, 6), std(0x8000, 10), 2, false, false, Format::Decimal, Prereq::Ip),
    f("nw_tos", "", "NXM_OF_IP_TOS", "", Legacy::Exact, Legacy::Exact, Some(slot::NW_TOS), 8, std(0x0000, 5), NO, 0, false, true, Format::Decimal, Prereq::Ip),
    f("ip_dscp", "", "", "OXM_OF_IP_DSCP", Legacy::Exact, Legacy::Exact, Some(slot::NW_DSCP), 6, NO, std(0x8000, 8), 2, false, true, Format::Decimal, Prereq::Ip),
    f("nw_ecn", "ip_ecn", "NXM_NX_IP_ECN", "OXM_OF_IP_ECN", Legacy::No, Legacy::Exact, Some(slot::NW_ECN), 2, std(0x0001, 28), std(0x8000, 9), 2, false, true, Format::Decimal, Prereq::Ip),
    f("nw_ttl", "", "NXM_NX_IP_TTL", "", Legacy::No, Legacy::No, Some(slot::NW_TTL), 8, std(0x0001, 29), NO, 0, false, true, Format::Decimal, Prereq::Ip),
    f("ip_frag", "nw_frag", "NXM_NX_IP_FRAG", "", Legacy::No, Legacy::No, Some(slot::NW_FRAG), 2, std(0x0001, 26), NO, 0, true, false, Format::Frag, Prereq::Ip),
    f("arp_op", "", "NXM_OF_ARP_OP", "OXM_OF_ARP_OP", Legacy::Exact, Legacy::Exact, Some(slot::NW_PROTO), 16, std(0x0000, 15), std(0x8000, 21), 2, false, true, Format::Decimal, Prereq::Arp),
    f("arp_spa", "", "NXM_OF_ARP_SPA", "OXM_OF_ARP_SPA", Legacy::Cidr, Legacy::Any, Some(slot::NW_SRC), 32, std(0x0000, 16), std(0x8000, 22), 2, true, true, Format::Ipv4, Prereq::Arp),
    f("arp_tpa", "", "NXM_OF_ARP_TPA", "OXM_OF_ARP_TPA", Legacy::Cidr, Legacy::Any, Some(slot::NW_DST), 32, std(0x0000, 17), std(0x8000, 23), 2, true, true, Format::Ipv4, Prereq::Arp),
    f("arp_sha", "", "NXM_NX_ARP_SHA", "OXM_OF_ARP_SHA", Legacy::No, Legacy::No, Some(slot::ARP_SHA), 48, std(0x0001, 17), std(0x8000, 24), 2, true, true, Format::Ethernet, Prereq::Arp),
    f("arp_tha", "", "NXM_NX_ARP_THA", "OXM_OF_ARP_THA", Legacy::No, Legacy::No, Some(slot::ARP_THA), 48, std(0x0001, 18), std(0x8000, 25), 2, true, true, Format::Ethernet, Prereq::Arp),
    f("tcp_src", "tp_src", "NXM_OF_TCP_SRC", "OXM_OF_TCP_SRC", Legacy::Exact, Legacy::Exact, Some(slot::TP_SRC), 16, std(0x0000, 9), std(0x8000, 13), 2, true, true, Format::Decimal, Prereq::Tcp),
    f("tcp_dst", "tp_dst", "NXM_OF_TCP_DST", "OXM_OF_TCP_DST", Legacy::Exact, Legacy::Exact, Some(slot::TP_DST), 16, std(0x0000, 10), std(0x8000, 14), 2, true, true, Format::Decimal, Prereq::Tcp),
    f("tcp_flags", "", "NXM_NX_TCP_FLAGS", "ONFOXM_ET_TCP_FLAGS", Legacy::No, Legacy::No, Some(slot::TCP_FLAGS), 12, std(0x0001, 34), exp(0x4f4e4600, 42), 3, true, false, Format::TcpFlags, Prereq::Tcp),
    f("udp_src", "", "NXM_OF_UDP_SRC", "OXM_OF_UDP_SRC", Legacy::Exact, Legacy::Exact, Some(slot::TP_SRC), 16, std(0x0000, 11), std(0x8000, 15), 2, true, true, Format::Decimal, Prereq::Udp),
    f("udp_dst", "", "NXM_OF_UDP_DST", "OXM_OF_UDP_DST", Legacy::Exact, Legacy::Exact, Some(slot::TP_DST), 16, std(0x0000, 12), std(0x8000, 16), 2, true, true, Format::Decimal, Prereq::Udp),
    f("sctp_src", "", "", "OXM_OF_SCTP_SRC", Legacy::No, Legacy::Exact, Some(slot::TP_SRC), 16, NO, std(0x8000, 17), 2, true, true, Format::Decimal, Prereq::Sctp),
    f("sctp_dst", "", "", "OXM_OF_SCTP_DST", Legacy::No, Legacy::Exact, Some(slot::TP_DST), 16, NO, std(0x8000, 18), 2, true, true, Format::Decimal, Prereq::Sctp),
    f("icmp_type", "", "NXM_OF_ICMP_TYPE", "OXM_OF_ICMPV4_TYPE", Legacy::Exact, Legacy::Exact, Some(slot::TP_SRC), 8, std(0x0000, 13), std(0x8000, 19), 2, false, true, Format::Decimal, Prereq::Icmpv4),
    f("icmp_code", "", "NXM_OF_ICMP_CODE", "OXM_OF_ICMPV4_CODE", Legacy::Exact, Legacy::Exact, Some(slot::TP_DST), 8, std(0x0000, 14), std(0x8000, 20), 2, false, true, Format::Decimal, Prereq::Icmpv4),
    f("icmpv6_type", "", "NXM_NX_ICMPV6_TYPE", "OXM_OF_ICMPV6_TYPE", Legacy::No, Legacy::No, Some(slot::TP_SRC), 8, std(0x0001, 21), std(0x8000, 29), 2, false, true, Format::Decimal, Prereq::Icmpv6),
    f("icmpv6_code", "", "NXM_NX_ICMPV6_CODE", "OXM_OF_ICMPV6_CODE", Legacy::No, Legacy::No, Some(slot::TP_DST), 8, std(0x0001, 22), std(0x8000, 30), 2, false, true, Format::Decimal, Prereq::Icmpv6),
    f("nd_target", "", "NXM_NX_ND_TARGET", "OXM_OF_IPV6_ND_TARGET", Legacy::No, Legacy::No, Some(slot::ND_TARGET), 128, std(0x0001, 23), std(0x8000, 31), 2, true, true, Format::Ipv6, Prereq::Nd),
    f("nd_sll", "", "NXM_NX_ND_SLL", "OXM_OF_IPV6_ND_SLL", Legacy::No, Legacy::No, Some(slot::ARP_SHA), 48, std(0x0001, 24), std(0x8000, 32), 2, true, true, Format::Ethernet, Prereq::NdSolicit),
    f("nd_tll", "", "NXM_NX_ND_TLL", "OXM_OF_IPV6_ND_TLL", Legacy::No, Legacy::No, Some(slot::ARP_THA), 48, std(0x0001, 25), std(0x8000, 33), 2, true, true, Format::Ethernet, Prereq::NdAdvert),
    f("nd_reserved", "", "", "ERICOXM_OF_ICMPV6_ND_RESERVED", Legacy::No, Legacy::No, Some(slot::ND_RESERVED), 32, NO, exp(0x0000_1e96, 1), 0, false, true, Format::Decimal, Prereq::Nd),
    f("nd_options_type", "", "", "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", Legacy::No, Legacy::No, Some(slot::ND_OPTIONS_TYPE), 8, NO, exp(0x0000_1e96, 2), 0, false, true, Format::Decimal, Prereq::Nd),
    f("nsh_flags", "", "", "NXOXM_NSH_FLAGS", Legacy::No, Legacy::No, Some(slot::NSH_FLAGS), 8, NO, exp(0x005ad650, 1), 0, true, true, Format::Decimal, Prereq::Nsh),
    f("nsh_mdtype", "", "", "NXOXM_NSH_MDTYPE", Legacy::No, Legacy::No, Some(slot::NSH_MDTYPE), 8, NO, exp(0x005ad650, 2), 0, false, false, Format::Decimal, Prereq::Nsh),
    f("nsh_np", "", "", "NXOXM_NSH_NP", Legacy::No, Legacy::No, Some(slot::NSH_NP), 8, NO, exp(0x005ad650, 3), 0, false, false, Format::Decimal, Prereq::Nsh),
    f("nsh_spi", "nsp", "", "NXOXM_NSH_SPI", Legacy::No, Legacy::No, Some(slot::NSH_SPI), 24, NO, exp(0x005ad650, 4), 0, false, true, Format::Hex, Prereq::Nsh),
    f("nsh_si", "nsi", "", "NXOXM_NSH_SI", Legacy::No, Legacy::No, Some(slot::NSH_SI), 8, NO, exp(0x005ad650, 5), 0, false, true, Format::Decimal, Prereq::Nsh),
    f("nsh_c1", "nshc1", "", "NXOXM_NSH_C1", Legacy::No, Legacy::No, Some(slot::nsh_c(1)), 32, NO, exp(0x005ad650, 6), 0, true, true, Format::Hex, Prereq::Nsh),
    f("nsh_c2", "nshc2", "", "NXOXM_NSH_C2", Legacy::No, Legacy::No, Some(slot::nsh_c(2)), 32, NO, exp(0x005ad650, 7), 0, true, true, Format::Hex, Prereq::Nsh),
    f("nsh_c3", "nshc3", "", "NXOXM_NSH_C3", Legacy::No, Legacy::No, Some(slot::nsh_c(3)), 32, NO, exp(0x005ad650, 8), 0, true, true, Format::Hex, Prereq::Nsh),
    f("nsh_c4", "nshc4", "", "NXOXM_NSH_C4", Legacy::No, Legacy::No, Some(slot::nsh_c(4)), 32, NO, exp(0x005ad650, 9), 0, true, true, Format::Hex, Prereq::Nsh),
    f("nsh_ttl", "", "", "NXOXM_NSH_TTL", Legacy::No, Legacy::No, Some(slot::NSH_TTL), 8, NO, exp(0x005ad650, 10), 0, false, true, Format::Decimal, Prereq::Nsh),
    f("pbb_isid", "", "", "OXM_OF_PBB_ISID", Legacy::No, Legacy::No, Some(slot::PBB_ISID), 24, NO, std(0x8000, 37), 3, true, true, Format::Decimal, Prereq::Pbb),
    f("pbb_uca", "", "", "OXM_OF_PBB_UCA", Legacy::No, Legacy::No, Some(slot::PBB_UCA), 1, NO, std(0x8000, 41), 4, false, true, Format::Decimal, Prereq::Pbb),
    f("ipv6_exthdr", "", "", "OXM_OF_IPV6_EXTHDR", Legacy::No, Legacy::No, Some(slot::IPV6_EXTHDR), 9, NO, std(0x8000, 39), 3, true, false, Format::Hex, Prereq::Ipv6),
];

/// The words of a key that each field is in, as bits (see [`super::word_bit`]).
pub(super) static WORDS: [u64; FIELDS.len()] = {
    let mut words = [0; FIELDS.len()];
    let mut i = 0;
    while i < words.len() {
        if let Some(slot) = FIELDS[i].slot {
            words[i] = super::word_bit(slot.word as usize);
            if slot.width > 64 {
                words[i] |= super::word_bit(slot.word as usize + 1);
            }
        }
        i += 1;
    }
    words
};

/// Where each field lies, close together: the whole table is in the way of whoever only asks this.
pub(super) static SLOTS: [Option<Slot>; FIELDS.len()] = {
    let mut slots = [None; FIELDS.len()];
    let mut i = 0;
    while i < slots.len() {
        slots[i] = FIELDS[i].slot;
        i += 1;
    }
    slots
};

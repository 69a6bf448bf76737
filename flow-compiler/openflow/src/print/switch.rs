//! The small messages, printed.
//!
//! Purpose: features, configuration, roles, bundles, hellos. Deliberately does not know: the rest.

use super::bits::write_bits;
use super::{port, write_hex};
use crate::message::{
    capabilities as c, BundleControl, BundleKind, Features, FragMode, Hello, PacketInFormat, Role,
    RoleRequest, SwitchConfig, TlvMap, TlvTable,
};
use crate::version::Version;
use std::fmt::Write;

pub(super) fn hello(out: &mut String, h: &Hello) {
    out.push_str("\n version bitmap: ");
    let versions = (0..31).filter(|n| h.versions.0 & (1 << n) != 0);
    let list: Vec<String> = versions.map(|n| format!("0x{n:02x}")).collect();
    out.push_str(&list.join(", "));
}

const CAPABILITIES: [(u32, &str); 11] = [
    (c::FLOW_STATS, "FLOW_STATS"),
    (c::TABLE_STATS, "TABLE_STATS"),
    (c::PORT_STATS, "PORT_STATS"),
    (c::GROUP_STATS, "GROUP_STATS"),
    (c::STP, "STP"),
    (c::IP_REASM, "IP_REASM"),
    (c::QUEUE_STATS, "QUEUE_STATS"),
    (c::ARP_MATCH_IP, "ARP_MATCH_IP"),
    (c::PORT_BLOCKED, "PORT_BLOCKED"),
    (c::BUNDLES, "BUNDLES"),
    (c::FLOW_MONITORING, "FLOW_MONITORING"),
];

/// The actions of 1.0, in the order in which they are printed.
const ACTIONS: [(u32, &str); 12] = [
    (1 << 0, "output"),
    (1 << 11, "enqueue"),
    (1 << 1, "set_vlan_vid"),
    (1 << 2, "set_vlan_pcp"),
    (1 << 3, "strip_vlan"),
    (1 << 4, "mod_dl_src"),
    (1 << 5, "mod_dl_dst"),
    (1 << 6, "mod_nw_src"),
    (1 << 7, "mod_nw_dst"),
    (1 << 8, "mod_nw_tos"),
    (1 << 9, "mod_tp_src"),
    (1 << 10, "mod_tp_dst"),
];

pub(super) fn features(out: &mut String, v: Version, f: &Features) {
    let _ = writeln!(out, " dpid:{:016x}", f.datapath_id);
    let _ = write!(out, "n_tables:{}, n_buffers:{}", f.n_tables, f.n_buffers);
    if f.auxiliary_id != 0 {
        let _ = write!(out, ", auxiliary_id:{}", f.auxiliary_id);
    }
    out.push_str("\ncapabilities: ");
    write_bits(out, f.capabilities, &CAPABILITIES);
    out.push('\n');
    if v == Version::V10 {
        out.push_str("actions: ");
        write_bits(out, f.actions & 0xfff, &ACTIONS);
        out.push('\n');
    }
    port::ports(out, &f.ports);
}

pub(super) fn config(out: &mut String, c: &SwitchConfig) {
    let frags = match c.frags {
        FragMode::Normal => "normal",
        FragMode::Drop => "drop",
        FragMode::Reassemble => "reassemble",
        FragMode::NxMatch => "nx-match",
    };
    let _ = write!(out, " frags={frags}");
    if c.invalid_ttl_to_controller {
        out.push_str(" invalid_ttl_to_controller");
    }
    let _ = writeln!(out, " miss_send_len={}", c.miss_send_len);
}

pub(super) fn role(out: &mut String, r: &RoleRequest) {
    out.push_str(match r.role {
        Role::NoChange => " role=nochange",
        Role::Equal => " role=equal",
        Role::Primary => " role=primary",
        Role::Secondary => " role=secondary",
    });
    if let Some(id) = r.generation_id {
        let _ = write!(out, " generation_id={id}");
    }
}

pub(super) fn bundle_flags(out: &mut String, flags: u16) {
    out.push_str(" flags=");
    write_bits(out, flags as u32, &[(1, "atomic"), (2, "ordered")]);
}

pub(super) fn bundle_control(out: &mut String, b: &BundleControl) {
    out.push_str("\n bundle_id=");
    write_hex(out, b.id);
    out.push_str(" type=");
    out.push_str(match b.kind {
        BundleKind::OpenRequest => "OPEN_REQUEST",
        BundleKind::OpenReply => "OPEN_REPLY",
        BundleKind::CloseRequest => "CLOSE_REQUEST",
        BundleKind::CloseReply => "CLOSE_REPLY",
        BundleKind::CommitRequest => "COMMIT_REQUEST",
        BundleKind::CommitReply => "COMMIT_REPLY",
        BundleKind::DiscardRequest => "DISCARD_REQUEST",
        BundleKind::DiscardReply => "DISCARD_REPLY",
    });
    bundle_flags(out, b.flags);
}

pub(super) fn packet_in_format(out: &mut String, f: PacketInFormat) {
    out.push_str(match f {
        PacketInFormat::Standard => " format=standard",
        PacketInFormat::Nicira => " format=nxt_packet_in",
        PacketInFormat::Nicira2 => " format=nxt_packet_in2",
    });
}

pub(super) fn tlv_table(out: &mut String, t: &TlvTable) {
    let used: u32 = t.maps.iter().map(|m| m.len as u32).sum();
    let _ = writeln!(out, "\n max option space={} max fields={}", t.max_option_space, t.max_fields);
    let _ = writeln!(out, " allocated option space={used}\n");
    out.push_str(" mapping table:\n");
    tlv_maps(out, &t.maps);
}

/// The lines of a table of mappings, with its heading.
pub(super) fn tlv_maps(out: &mut String, maps: &[TlvMap]) {
    out.push_str("  class  type  length  match field\n");
    out.push_str(" ------  ----  ------  --------------\n");
    for m in maps {
        let (len, index) = (m.len, m.index);
        let (mut class, mut kind) = (String::new(), String::new());
        write_hex(&mut class, m.class as u32);
        write_hex(&mut kind, m.kind as u32);
        let _ = writeln!(out, " {class:>6}  {kind:>4}  {len:6}  tun_metadata{index}");
    }
}

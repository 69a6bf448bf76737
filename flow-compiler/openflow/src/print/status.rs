//! Role and table status, masks of what is told unasked, flushes of connections, printed.

use crate::message::{AsyncConfig, AsyncMasks, CtFlush, CtTuple, RequestForward, RoleReason, RoleStatus, TableStatus, TlvTableCommand, TlvTableMod};
use crate::text::Names;
use crate::message::Message;
use crate::version::Version;
use std::fmt::Write;

use super::{flow, group, switch, table};

pub(super) fn role(out: &mut String, s: &RoleStatus) {
    let generation_id = Some(s.generation_id).filter(|g| *g != u64::MAX);
    switch::role(out, &crate::message::RoleRequest { role: s.role, generation_id, nicira: false });
    out.push_str(" reason=");
    out.push_str(match s.reason {
        RoleReason::PrimaryRequest => "primary_request",
        RoleReason::Configuration => "configuration_changed",
        RoleReason::Experimenter => "experimenter_data_changed",
        RoleReason::Other(_) => "(unknown)",
    });
}

pub(super) fn table_status(out: &mut String, s: &TableStatus, names: &Names) {
    out.push_str(if s.vacancy_down { " reason=VACANCY_DOWN" } else { " reason=VACANCY_UP" });
    out.push_str("\ntable_desc:-");
    table::desc(out, &s.desc, names);
}

pub(super) fn forward(out: &mut String, v: Version, f: &RequestForward, names: &Names) {
    out.push_str(" reason=");
    match Message::decode(v, &f.request) {
        Ok((_, Message::GroupMod(g))) => {
            out.push_str("group_mod");
            group::group_mod(out, v, &g, names);
        }
        Ok((_, Message::MeterMod(m))) => {
            out.push_str("meter_mod");
            group::meter_mod(out, &m);
        }
        _ => out.push_str("unreadable"),
    }
}

/// The name of a reason, by the kind of message.
fn reason(kind: usize, bit: u32) -> String {
    let name = match (kind, bit) {
        (0, _) => return flow::reason(bit as u8),
        (1, 0) => "add",
        (1, 1) => "delete",
        (1, 2) => "modify",
        (2, 0) => "idle",
        (2, 1) => "hard",
        (2, 2) => "delete",
        (2, 3) => "group_delete",
        (2, 4) => "meter_delete",
        (2, 5) => "eviction",
        (3, 0) => "primary_request",
        (3, 1) => "configuration_changed",
        (3, 2) => "experimenter_data_changed",
        (4, 3) => "vacancy_down",
        (4, 4) => "vacancy_up",
        (5, 0) => "group_mod_request",
        (5, 1) => "meter_mod_request",
        _ => return bit.to_string(),
    };
    name.to_string()
}

fn masks(m: &AsyncMasks) -> [(&'static str, u32); 6] {
    [
        ("PACKET_IN", m.packet_in),
        ("PORT_STATUS", m.port_status),
        ("FLOW_REMOVED", m.flow_removed),
        ("ROLE_STATUS", m.role_status),
        ("TABLE_STATUS", m.table_status),
        ("REQUESTFORWARD", m.request_forward),
    ]
}

pub(super) fn async_config(out: &mut String, c: &AsyncConfig) {
    for (role, half) in [("primary", &c.primary), ("secondary", &c.secondary)] {
        let _ = writeln!(out, "\n {role}:");
        for (kind, (name, bits)) in masks(half).into_iter().enumerate() {
            let _ = write!(out, "{name:>16}:");
            for bit in (0..32).filter(|b| bits & (1 << b) != 0) {
                let _ = write!(out, " {}", reason(kind, bit));
            }
            out.push_str(if bits == 0 { " (off)\n" } else { "\n" });
        }
    }
}

fn tuple(out: &mut String, t: &CtTuple, protocol: u8, ipv4: bool) {
    let (src, dst) = if ipv4 { ("ct_nw_src", "ct_nw_dst") } else { ("ct_ipv6_src", "ct_ipv6_dst") };
    let show = |a: std::net::Ipv6Addr| a.to_ipv4_mapped().map_or_else(|| a.to_string(), |v4| v4.to_string());
    let _ = write!(out, "{src}={},{dst}={}", show(t.src), show(t.dst));
    let _ = match protocol {
        1 | 58 => write!(out, ",icmp_id={},icmp_type={},icmp_code={}", t.icmp_id, t.icmp_type, t.icmp_code),
        _ => write!(out, ",ct_tp_src={},ct_tp_dst={}", t.src_port, t.dst_port),
    };
}

pub(super) fn ct_flush(out: &mut String, f: &CtFlush) {
    let ipv4 = f.is_ipv4();
    let _ = write!(out, " zone={} '", f.zone.unwrap_or(0));
    tuple(out, &f.original, f.protocol, ipv4);
    let _ = write!(out, ",ct_nw_proto={}' '", f.protocol);
    tuple(out, &f.reply, f.protocol, ipv4);
    out.push('\'');
}

pub(super) fn tlv_mod(out: &mut String, m: &TlvTableMod) {
    out.push_str("\n ");
    out.push_str(match m.command {
        TlvTableCommand::Add => "ADD",
        TlvTableCommand::Delete => "DEL",
        TlvTableCommand::Clear => return out.push_str("CLEAR"),
    });
    out.push_str(" mapping table:\n");
    switch::tlv_maps(out, &m.maps);
}

//! Groups and meters, printed.
//!
//! Purpose: as `ovs-ofctl` shows them. Deliberately does not know: which exist.

use super::bits::write_bits;
use super::duration;
use crate::action::PortNo;
use crate::field::Field;
use crate::message::{
    Bucket, GroupCommand, GroupDesc, GroupFeatures, GroupMod, GroupStats, MeterBand, MeterBandKind,
    MeterCommand, MeterConfig, MeterFeatures, MeterMod, MeterStats, ANY_GROUP,
};
use crate::text::{format_actions, write_value, Names};
use crate::version::Version;
use crate::wire::SelectionMethod;
use std::fmt::Write;

const SELECT: u8 = 1;

pub(super) fn write_group_id(out: &mut String, id: u32) {
    match id {
        0xffff_fffc => out.push_str("ALL"),
        0xffff_ffff => out.push_str("ANY"),
        id => {
            let _ = write!(out, "{id}");
        }
    }
}

/// Only 1.0 (which borrows it) and 1.5 have ids of buckets.
fn bucket_id(out: &mut String, v: Version, label: &str, id: u32) {
    if v != Version::V10 && v != Version::V15 {
        return;
    }
    out.push_str(label);
    match id {
        0xffff_fffd => out.push_str("first"),
        0xffff_fffe => out.push_str("last"),
        0xffff_ffff => out.push_str("all"),
        id => {
            let _ = write!(out, "{id}");
        }
    }
    out.push(',');
}

fn bucket(out: &mut String, v: Version, kind: u8, b: &Bucket, names: &Names) {
    out.push_str("bucket=");
    bucket_id(out, v, "bucket_id:", b.id);
    if b.weight != (kind == SELECT) as u16 {
        let _ = write!(out, "weight:{},", b.weight);
    }
    if b.watch_port != PortNo::NONE {
        out.push_str("watch_port:");
        names.write_port(out, b.watch_port);
        out.push(',');
    }
    if b.watch_group != ANY_GROUP {
        let _ = write!(out, "watch_group:{},", b.watch_group);
    }
    let _ = write!(out, "actions={},", format_actions(&b.actions, names));
}

/// Prints `,selection_method=…` where a property asks for one.
fn selection(out: &mut String, properties: &[(u16, Vec<u8>)]) {
    let Some(s) = SelectionMethod::find(properties) else { return };
    let _ = write!(out, ",selection_method={}", s.method);
    if s.parameter != 0 {
        let _ = write!(out, ",selection_method_param={}", s.parameter);
    }
    let fields: Vec<String> = s.fields.iter().map(hashed_field).collect();
    match fields.len() {
        0 => {}
        1 => {
            let _ = write!(out, ",fields={}", fields.join(","));
        }
        _ => {
            let _ = write!(out, ",fields({})", fields.join(","));
        }
    }
}

/// A field that is hashed, with its mask where not all of it counts.
fn hashed_field((field, mask): &(Field, u128)) -> String {
    let mut out = field.info().name.to_owned();
    if *mask != field.ones() {
        out.push('=');
        write_value(&mut out, *field, *mask);
    }
    out
}

struct Group<'a> {
    id: u32,
    kind: Option<u8>,
    buckets: &'a [Bucket],
    properties: &'a [(u16, Vec<u8>)],
}

fn group(out: &mut String, v: Version, g: &Group<'_>, kind: u8, names: &Names) {
    out.push_str("group_id=");
    let _ = write!(out, "{}", g.id);
    if let Some(kind) = g.kind {
        let name = ["all", "select", "indirect", "ff"].get(kind as usize).unwrap_or(&"unknown");
        let _ = write!(out, ",type={name}");
    }
    selection(out, g.properties);
    out.push(',');
    g.buckets.iter().for_each(|b| bucket(out, v, kind, b, names));
    if out.ends_with(',') {
        out.pop();
    }
}

pub(super) fn desc(out: &mut String, v: Version, g: &GroupDesc, names: &Names) {
    out.push_str("\n ");
    let parts = Group {
        id: g.id,
        kind: Some(g.kind),
        buckets: &g.buckets,
        properties: &g.properties,
    };
    group(out, v, &parts, g.kind, names);
}

pub(super) fn group_mod(out: &mut String, v: Version, g: &GroupMod, names: &Names) {
    let (name, single) = match g.command {
        GroupCommand::Add => ("ADD", false),
        GroupCommand::Modify => ("MOD", false),
        GroupCommand::AddOrModify => ("ADD_OR_MOD", false),
        GroupCommand::Delete => ("DEL", false),
        GroupCommand::InsertBucket => ("INSERT_BUCKET", true),
        GroupCommand::RemoveBucket => ("REMOVE_BUCKET", true),
    };
    let _ = write!(out, "\n {name} ");
    if single {
        bucket_id(out, v, "command_bucket_id:", g.command_bucket_id);
    }
    let parts = Group {
        id: g.id,
        kind: (!single).then_some(g.kind),
        buckets: &g.buckets,
        properties: &g.properties,
    };
    group(out, v, &parts, g.kind, names);
}

pub(super) fn stats(out: &mut String, g: &GroupStats) {
    let _ = write!(out, "\n group_id={},", g.id);
    if g.duration_sec != u32::MAX {
        out.push_str("duration=");
        duration(out, g.duration_sec, g.duration_nsec);
        out.push(',');
    }
    let _ = write!(out, "ref_count={},packet_count={},byte_count={}", g.ref_count, g.packets, g.bytes);
    for (i, (packets, bytes)) in g.buckets.iter().enumerate().filter(|(_, b)| b.0 != u64::MAX) {
        let _ = write!(out, ",bucket{i}:packet_count={packets},byte_count={bytes}");
    }
}

/// Actions of 1.1 and later by number, in the order in which they are printed.
pub(super) const ACTIONS: [(u32, &str); 23] = [
    (1 << 0, "output"),
    (1 << 22, "group"),
    (1 << 25, "set_field"),
    (1 << 1, "set_vlan_vid"),
    (1 << 2, "set_vlan_pcp"),
    (1 << 18, "strip_vlan"),
    (1 << 17, "push_vlan"),
    (1 << 3, "mod_dl_src"),
    (1 << 4, "mod_dl_dst"),
    (1 << 5, "mod_nw_src"),
    (1 << 6, "mod_nw_dst"),
    (1 << 7, "mod_nw_tos"),
    (1 << 8, "mod_nw_ecn"),
    (1 << 23, "mod_nw_ttl"),
    (1 << 9, "mod_tp_src"),
    (1 << 10, "mod_tp_dst"),
    (1 << 24, "dec_ttl"),
    (1 << 13, "set_mpls_label"),
    (1 << 14, "set_mpls_tc"),
    (1 << 15, "set_mpls_ttl"),
    (1 << 16, "dec_mpls_ttl"),
    (1 << 19, "push_mpls"),
    (1 << 20, "pop_mpls"),
];

/// The queue action comes last.
pub(super) fn write_actions(out: &mut String, bits: u32) {
    let names: Vec<&str> = ACTIONS
        .into_iter()
        .chain([(1 << 21, "set_queue")])
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, name)| name)
        .collect();
    out.push_str(&names.join(" "));
}

pub(super) fn features(out: &mut String, f: &GroupFeatures) {
    let _ = write!(out, "\n Group table:\n    Types:  {:#x}\n", f.types);
    let _ = writeln!(out, "    Capabilities:  {:#x}", f.capabilities);
    let names = ["all", "select", "indirect", "fast failover"];
    let each = names.into_iter().zip(f.max_groups).zip(f.actions).enumerate();
    for (i, ((name, max), actions)) in each {
        if f.types & (1 << i) != 0 {
            let _ = write!(out, "    {name} group:\n       max_groups={max:#x}\n       actions: ");
            write_actions(out, actions);
            out.push('\n');
        }
    }
}

pub(super) fn write_meter_id(out: &mut String, id: u32, separator: char) {
    let _ = write!(out, "meter{separator}");
    match id {
        0xffff_fffd => out.push_str("slowpath"),
        0xffff_fffe => out.push_str("controller"),
        0xffff_ffff => out.push_str("all"),
        id if id <= 0xffff_0000 => {
            let _ = write!(out, "{id}");
        }
        _ => out.push_str("unknown"),
    }
}

const FLAGS: [(u16, &str); 4] = [(1, "kbps "), (2, "pktps "), (4, "burst "), (8, "stats ")];
const BURST: u16 = 4;

fn band(out: &mut String, flags: u16, b: &MeterBand) {
    out.push_str(match b.kind {
        MeterBandKind::Drop => "\ntype=drop",
        MeterBandKind::DscpRemark(_) => "\ntype=dscp_remark",
    });
    let _ = write!(out, " rate={}", b.rate);
    if flags & BURST != 0 {
        let _ = write!(out, " burst_size={}", b.burst_size);
    }
    if let MeterBandKind::DscpRemark(level) = b.kind {
        let _ = write!(out, " prec_level={level}");
    }
}

pub(super) fn meter_config(out: &mut String, c: &MeterConfig) {
    write_meter_id(out, c.id, '=');
    out.push(' ');
    FLAGS.iter().filter(|(bit, _)| c.flags & bit != 0).for_each(|(_, name)| out.push_str(name));
    if c.flags & !0xf != 0 {
        let _ = write!(out, "flags:{:#x} ", c.flags & !0xf);
    }
    out.push_str("bands=");
    c.bands.iter().for_each(|b| band(out, c.flags, b));
    out.push('\n');
}

pub(super) fn meter_mod(out: &mut String, m: &MeterMod) {
    out.push_str(match m.command {
        MeterCommand::Add => " ADD ",
        MeterCommand::Modify => " MOD ",
        MeterCommand::Delete => " DEL ",
    });
    meter_config(out, &m.config);
}

pub(super) fn meter_stats(out: &mut String, m: &MeterStats) {
    out.push('\n');
    write_meter_id(out, m.id, ':');
    let (flows, packets, bytes) = (m.flow_count, m.packets, m.bytes);
    let _ = write!(out, " flow_count:{flows} packet_in_count:{packets} byte_in_count:{bytes} duration:");
    duration(out, m.duration_sec, m.duration_nsec);
    out.push_str(" bands:\n");
    for (i, (packets, bytes)) in m.bands.iter().enumerate() {
        let _ = writeln!(out, "{i}: packet_count:{packets} byte_count:{bytes}");
    }
}

pub(super) fn meter_features(out: &mut String, f: &MeterFeatures) {
    let (meters, bands, colours) = (f.max_meters, f.max_bands, f.max_color);
    let _ = writeln!(out, "\nmax_meter:{meters} max_bands:{bands} max_color:{colours}");
    out.push_str("band_types: ");
    write_bits(out, f.band_types, &[(2, "drop"), (4, "dscp_remark")]);
    out.push_str("\ncapabilities: ");
    write_bits(out, f.capabilities, &[(1, "kbps"), (2, "pktps"), (4, "burst"), (8, "stats")]);
    out.push('\n');
}

//! Flow-mods, rules, packets, printed.
//!
//! Purpose: put the words of `text` around the values of messages.
//! Deliberately does not know: the syntax of matches and actions (see `text`).

use super::duration;
use super::packet::format_packet;
use crate::action::{FlowMod, FlowModCommand};
use crate::error::OfpError;
use crate::message::{
    Continuation, FlowRemoved, FlowRemovedReason, FlowStats, FlowStatsRequest, PacketIn, PacketOut, NO_BUFFER,
};
use crate::text::{
    format_actions, format_flow_mod, format_flow_stats, format_match, FlowCounters, FlowLine, Names,
};
use crate::version::Version;
use std::fmt::Write;
use std::time::Duration;

pub(super) fn flow_mod(out: &mut String, v: Version, fm: &FlowMod, names: &Names) {
    let mut fm = fm.clone();
    if v <= Version::V11 && fm.command == FlowModCommand::Add {
        // Every addition of these versions resets the counters: nobody asked for it.
        fm.flags.reset_counts = false;
    }
    out.push(' ');
    out.push_str(&format_flow_mod(&fm, names));
}

/// Prints one rule of a dump, without the space in front of it; `counters` as `--no-stats` leaves
/// them out.
pub(crate) fn flow(fs: &FlowStats, counters: bool, names: &Names) -> String {
    let counters = counters.then(|| FlowCounters {
        duration: Duration::new(fs.duration_sec as u64, fs.duration_nsec.min(999_999_999)),
        n_packets: fs.packets.unwrap_or(u64::MAX),
        n_bytes: fs.bytes.unwrap_or(u64::MAX),
        idle_age: fs.idle_age.map(u32::from),
        hard_age: fs.hard_age.map(u32::from),
    });
    let line = FlowLine {
        table: fs.table,
        priority: fs.priority,
        cookie: fs.cookie,
        matching: &fs.matching,
        actions: &fs.actions,
        idle_timeout: fs.idle_timeout,
        hard_timeout: fs.hard_timeout,
        importance: fs.importance,
        flags: fs.flags,
        counters,
    };
    format_flow_stats(&line, names)
}

impl FlowStats {
    /// The line of `ovs-ofctl dump-flows` for this rule, without the space in front of it.
    pub fn to_line(&self, counters: bool, names: &Names) -> String {
        flow(self, counters, names)
    }
}

pub(super) fn request(out: &mut String, q: &FlowStatsRequest, names: &Names) {
    if let Some(table) = q.table {
        out.push_str(" table=");
        names.write_table(out, table);
    }
    if q.out_port != crate::action::PortNo::NONE {
        out.push_str(" out_port=");
        names.write_port(out, q.out_port);
    }
    out.push(' ');
    out.push_str(&format_match(&q.matching, names));
}

/// The name of a packet-in's reason.
pub(super) fn reason(code: u8) -> String {
    let name = match code {
        0 => "no_match",
        1 => "action",
        2 => "invalid_ttl",
        3 => "action_set",
        4 => "group",
        5 => "packet_out",
        6 | 7 => "",
        _ => return code.to_string(),
    };
    name.to_string()
}

pub(super) fn packet_in(out: &mut String, v: Version, p: &PacketIn, names: &Names) -> Result<(), OfpError> {
    let continuation = Continuation::decode(v, &p.continuation)?;
    if let Some(table) = p.table.filter(|t| *t != 0 || names.has_table(*t)) {
        out.push_str(" table_id=");
        names.write_table(out, table);
    }
    if let Some(cookie) = p.cookie.filter(|c| *c != u64::MAX) {
        let _ = write!(out, " cookie={cookie:#x}");
    }
    let len = p.packet.len();
    let _ = write!(out, " total_len={} {}", p.total_len, format_match(&p.metadata, names));
    let _ = write!(out, " (via {}) data_len={len}", reason(p.reason));
    match p.buffer_id {
        NO_BUFFER => {
            out.push_str(" (unbuffered)");
            if p.total_len as usize != len {
                out.push_str(" (***total_len != data_len***)");
            }
        }
        id => {
            let _ = write!(out, " buffer=0x{id:08x}");
        }
    }
    out.push('\n');
    if !p.userdata.is_empty() {
        let hex: Vec<String> = p.userdata.iter().map(|b| format!("{b:02x}")).collect();
        let _ = writeln!(out, " userdata={}", hex.join("."));
    }
    continued(out, &continuation, names);
    out.push_str(&format_packet(&p.packet));
    Ok(())
}

fn continued(out: &mut String, c: &Continuation, names: &Names) {
    if c.bridge != 0 {
        let b = format!("{:032x}", c.bridge);
        let part = |from: usize, to: usize| b.get(from..to).unwrap_or("");
        let uuid = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-");
        let _ = writeln!(out, " continuation.bridge={uuid}");
    }
    if !c.stack.is_empty() {
        out.push_str(" continuation.stack=(top)");
        for value in &c.stack {
            let hex: String = value.iter().map(|b| format!("{b:02x}")).collect();
            let digits = hex.trim_start_matches('0');
            let _ = write!(out, " 0x{}", if digits.is_empty() { "0" } else { digits });
        }
        out.push_str(" (bottom)\n");
    }
    if c.conntracked {
        out.push_str(" continuation.conntracked=true\n");
    }
    for (name, actions) in [("actions", &c.actions), ("action_set", &c.action_set)] {
        if !actions.is_empty() {
            let _ = writeln!(out, " continuation.{name}={}", format_actions(actions, names));
        }
    }
}

pub(super) fn packet_out(out: &mut String, p: &PacketOut, names: &Names) {
    let _ = write!(out, " {}", format_match(&p.metadata, names));
    let _ = write!(out, " actions={}", format_actions(&p.actions, names));
    match p.buffer_id {
        NO_BUFFER => {
            let _ = write!(out, " data_len={}", p.packet.len());
            if !p.packet.is_empty() {
                out.push('\n');
                out.push_str(&format_packet(&p.packet));
            }
        }
        id => {
            let _ = write!(out, " buffer=0x{id:08x}");
        }
    }
}

/// The name of the reason why a rule went.
pub(super) fn removed_reason(reason: FlowRemovedReason) -> &'static str {
    match reason {
        FlowRemovedReason::IdleTimeout => "idle",
        FlowRemovedReason::HardTimeout => "hard",
        FlowRemovedReason::Delete => "delete",
        FlowRemovedReason::GroupDelete => "group_delete",
        FlowRemovedReason::MeterDelete => "meter_delete",
        FlowRemovedReason::Eviction => "eviction",
    }
}

pub(super) fn removed(out: &mut String, f: &FlowRemoved, names: &Names) {
    let matching = format_match(&f.matching, names);
    let priority = match (f.priority, matching.is_empty()) {
        (0x8000, _) => String::new(),
        (p, true) => format!("priority={p}"),
        (p, false) => format!("priority={p},"),
    };
    let reason = removed_reason(f.reason);
    let _ = write!(out, " {priority}{matching} reason={reason}");
    if let Some(table) = f.table {
        out.push_str(" table_id=");
        names.write_table(out, table);
    }
    if f.cookie != 0 {
        let _ = write!(out, " cookie:{:#x}", f.cookie);
    }
    out.push_str(" duration");
    duration(out, f.duration_sec, f.duration_nsec);
    let _ = write!(out, " idle{}", f.idle_timeout);
    if f.hard_timeout != 0 {
        let _ = write!(out, " hard{}", f.hard_timeout);
    }
    let (packets, bytes) = (f.packets.unwrap_or(u64::MAX), f.bytes.unwrap_or(u64::MAX));
    let _ = writeln!(out, " pkts{packets} bytes{bytes}");
}

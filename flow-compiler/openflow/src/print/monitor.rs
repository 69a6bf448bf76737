//! Flow monitors, printed.

use crate::message::{FlowEvent, FlowMonitorRequest, FlowUpdate, MonitorCommand, ANY_GROUP};
use crate::text::{format_actions, format_match, Names};
use crate::PortNo;
use std::fmt::Write;

use super::flow::removed_reason;

const FLAGS: [&str; 7] = ["initial", "add", "delete", "modify", "actions", "no-abbrev", "own"];

pub(super) fn request(out: &mut String, q: &FlowMonitorRequest, names: &Names) {
    if q.command == MonitorCommand::Delete {
        let _ = write!(out, "\n id={} command=delete", q.id);
    } else {
        let _ = write!(out, "\n id={} flags=", q.id);
        let set: Vec<&str> = FLAGS.iter().enumerate().filter(|(i, _)| q.flags & (1 << i) != 0).map(|(_, n)| *n).collect();
        out.push_str(if set.is_empty() { "0" } else { "" });
        out.push_str(&set.join(","));
    }
    if q.out_port != PortNo::NONE {
        out.push_str(" out_port=");
        names.write_port(out, q.out_port);
    }
    if q.out_group != 0 && q.out_group != ANY_GROUP {
        let _ = write!(out, " out_group={}", q.out_group as i32);
    }
    if let Some(table) = q.table {
        out.push_str(" table=");
        names.write_table(out, table);
    }
    if q.command != MonitorCommand::Delete {
        let matching = format_match(&q.matching, names);
        if !matching.is_empty() {
            let _ = write!(out, " {matching}");
        }
    }
}

pub(super) fn update(out: &mut String, u: &FlowUpdate, names: &Names) {
    out.push_str("\n event=");
    let change = match u {
        FlowUpdate::Abbreviated(xid) => {
            let _ = write!(out, "ABBREV xid={xid:#x}");
            return;
        }
        FlowUpdate::Paused => return out.push_str("PAUSED"),
        FlowUpdate::Resumed => return out.push_str("RESUMED"),
        FlowUpdate::Change(change) => change,
    };
    match change.event {
        FlowEvent::Initial => out.push_str("INITIAL"),
        FlowEvent::Added => out.push_str("ADDED"),
        FlowEvent::Removed(reason) => {
            let _ = write!(out, "DELETED reason={}", removed_reason(reason));
        }
        FlowEvent::Modified => out.push_str("MODIFIED"),
    }
    out.push_str(" table=");
    names.write_table(out, change.table);
    if change.idle_timeout != 0 {
        let _ = write!(out, " idle_timeout={}", change.idle_timeout);
    }
    if change.hard_timeout != 0 {
        let _ = write!(out, " hard_timeout={}", change.hard_timeout);
    }
    match change.cookie {
        0 => out.push_str(" cookie=0"),
        c => {
            let _ = write!(out, " cookie={c:#x}");
        }
    }
    // Open vSwitch leaves the priority out.
    let _ = write!(out, " {}", format_match(&change.matching, names));
    if !change.actions.is_empty() {
        if !out.ends_with(' ') {
            out.push(' ');
        }
        let _ = write!(out, "actions={}", format_actions(&change.actions, names));
    }
}

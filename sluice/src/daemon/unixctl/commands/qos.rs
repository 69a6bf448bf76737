//! Commands about quality of service.

use std::fmt::Write;

use sluice_engine::egress::{Discipline, QueueRates, TwoRates};
use sluice_ovsdb_bridge::Discipline as Wished;

use super::{Console, Reply};
use crate::daemon::switch::bridge::PortState;

fn found<'a>(console: &'a Console<'_>, words: &[&str]) -> Option<&'a PortState> {
    let name = words.first()?;
    console.switch.bridges().find_map(|b| b.port_by_name(name))
}

fn unknown() -> Reply {
    Reply::Error("no such interface".to_string())
}

pub(super) fn types(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let Some(port) = found(console, words) else { return unknown() };
    if !port.is_opened() {
        return Reply::Text(format!("No QoS types supported for interface: {}\n", port.name));
    }
    Reply::Text(Wished::TYPES.iter().map(|name| format!("QoS type: {name}\n")).collect())
}

pub(super) fn show(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let Some(port) = found(console, words) else { return unknown() };
    let Some(qos) = port.wanted.as_ref().and_then(|w| w.qos.as_ref()) else {
        return Reply::Text(format!("QoS not configured on {}\n", port.name));
    };
    let mut out = format!("QoS: {} {}\n", port.name, qos.discipline.name());
    let plan = &port.shape.plan;
    match &plan.discipline {
        Discipline::None => {}
        Discipline::Htb { max_rate, .. } => line(&mut out, "", "max-rate", max_rate * 8),
        Discipline::Policer { cir, cbs } => {
            line(&mut out, "", "cir", *cir);
            line(&mut out, "", "cbs", *cbs);
        }
        Discipline::TwoRate { all, .. } => two_rates(&mut out, "", all),
    }
    for queue in console.switch.queue_states(port) {
        match queue.number {
            0 => out.push_str("\nDefault:\n"),
            n => {
                let _ = write!(out, "\nQueue {n}:\n");
            }
        }
        match &plan.discipline {
            Discipline::Htb { queues, .. } => queues.get(&queue.number).into_iter().for_each(|q| htb(&mut out, q)),
            Discipline::TwoRate { queues, .. } => queues.get(&queue.number).into_iter().for_each(|q| two_rates(&mut out, "  ", q)),
            _ => {}
        }
        line(&mut out, "  ", "tx_packets", queue.count.packets);
        line(&mut out, "  ", "tx_bytes", queue.count.bytes);
        line(&mut out, "  ", "tx_errors", queue.count.errors);
    }
    Reply::Text(out)
}

/// Bits in a second, as they are configured.
fn htb(out: &mut String, q: &QueueRates) {
    line(out, "  ", "min-rate", q.min_rate * 8);
    if q.min_rate != q.max_rate {
        line(out, "  ", "max-rate", q.max_rate * 8);
    }
    line(out, "  ", "burst", q.burst * 8);
    if q.priority != 0 {
        line(out, "  ", "priority", q.priority.into());
    }
}

fn two_rates(out: &mut String, indent: &str, r: &TwoRates) {
    for (name, n) in [("cir", r.cir), ("eir", r.eir), ("cbs", r.cbs), ("ebs", r.ebs)] {
        line(out, indent, name, n);
    }
}

fn line(out: &mut String, indent: &str, name: &str, n: u64) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{indent}{name}: {n}");
}

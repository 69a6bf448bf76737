//! Commands about how packets are worked on.

use std::fmt::Write;

use sluice_flow::DropReason;

use super::{Console, Reply};

pub(super) fn queues(console: &mut Console<'_>, _: &[&str]) -> Reply {
    let mut out = String::from("pmd thread numa_id 0 core_id 0:\n  isolated : false\n");
    for port in console.switch.bridges().flat_map(|b| b.ports.values()) {
        if crate::daemon::trace::ports::datapath_number(port).is_some() {
            let _ = writeln!(out, "  port: {:<16}  queue-id:  0 (enabled)   pmd usage: NOT AVAIL", port.name);
        }
    }
    Reply::Text(out)
}

pub(super) fn upcalls(console: &mut Console<'_>, _: &[&str]) -> Reply {
    let (flows, verdicts) = console.switch.cached();
    Reply::Text(format!(
        "netdev@ovs-netdev:\n  flows         : (current {flows}) (verdicts {verdicts})\n  upcalls       : none, workers decide by themselves\n"
    ))
}

pub(super) fn memory(console: &mut Console<'_>, _: &[&str]) -> Reply {
    let switch = &console.switch;
    let ports: usize = switch.bridges().map(|b| b.ports.len()).sum();
    let (flows, verdicts) = switch.cached();
    let resident = std::fs::read_to_string("/proc/self/statm").ok().and_then(|t| t.split(' ').nth(1)?.parse::<u64>().ok());
    let resident = resident.map_or(String::new(), |pages| format!(" resident-KiB:{}", pages * rustix::param::page_size() as u64 / 1024));
    Reply::Text(format!("flows:{flows} handlers:0 ports:{ports}{resident} revalidators:0 rules:{} verdicts:{verdicts}\n", switch.rules.len()))
}

fn counters(console: &Console<'_>) -> Vec<(String, u64)> {
    let c = console.switch.counters();
    let mut all = vec![
        ("received".to_string(), c.received),
        ("received_bytes".to_string(), c.received_bytes),
        ("injected".to_string(), c.injected),
        ("copied".to_string(), c.copied),
        ("sent".to_string(), c.sent),
        ("punted".to_string(), c.punted),
        ("cache_hit".to_string(), c.hits),
        ("cache_miss".to_string(), c.misses),
    ];
    let drops = DropReason::ALL.iter().zip(c.dropped.iter());
    all.extend(drops.map(|(reason, n)| (format!("drop_{}", reason.name()), *n)));
    let connections = console.switch.tracker().stats.named();
    all.extend(connections.into_iter().map(|(name, n)| (format!("ct_{name}"), n)));
    all
}

pub(super) fn coverage(console: &mut Console<'_>, _: &[&str]) -> Reply {
    let all = counters(console);
    let mut out = String::from("Event coverage:\n");
    for (name, n) in all.iter().filter(|(_, n)| *n > 0) {
        let _ = writeln!(out, "{name:<32} total: {n}");
    }
    let _ = writeln!(out, "{} events never hit", all.iter().filter(|(_, n)| *n == 0).count());
    Reply::Text(out)
}

pub(super) fn counter(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let wanted = words.first().copied().unwrap_or("");
    match counters(console).iter().find(|(name, _)| name == wanted) {
        Some((_, n)) => Reply::Text(format!("{n}\n")),
        None => Reply::Error("No such counter".to_string()),
    }
}

/// Something that needs nothing done.
pub(super) fn nothing(_: &mut Console<'_>, _: &[&str]) -> Reply {
    Reply::Text(String::new())
}

//! Commands about how packets are worked on.

use std::fmt::Write;

use super::{Console, Reply};

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

/// What was counted, in Open vSwitch's form: monitoring reads names, rates and totals.
pub(super) fn coverage(console: &mut Console<'_>, _: &[&str]) -> Reply {
    let switch = &console.switch;
    let all = switch.named_counters();
    let mut lines = String::new();
    let mut hash = 0x811c_9dc5u32;
    for (place, (name, n)) in all.iter().enumerate().filter(|(_, (_, n))| *n > 0) {
        // Which events there were: FNV-1a over their names.
        hash = name.bytes().fold(hash, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
        let rate = switch.rate(place);
        let _ = writeln!(lines, "{name:<24} {:5.1}/sec {:9.3}/sec {:13.4}/sec   total: {n}", rate.seconds, rate.minute, rate.hour);
    }
    let silent = all.iter().filter(|(_, n)| *n == 0).count();
    Reply::Text(format!(
        "Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash={hash:08x}:\n{lines}{silent} events never hit\n"
    ))
}

pub(super) fn counter(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let wanted = words.first().copied().unwrap_or("");
    match console.switch.named_counters().iter().find(|(name, _)| name == wanted) {
        Some((_, n)) => Reply::Text(format!("{n}\n")),
        None => Reply::Error("No such counter".to_string()),
    }
}

/// Something that needs nothing done.
pub(super) fn nothing(_: &mut Console<'_>, _: &[&str]) -> Reply {
    Reply::Text(String::new())
}

//! Commands about workers, in the form that Open vSwitch gives for its own.
//!
//! Invariant: a line that Open vSwitch has is left out where nothing here is counted for it; zero is
//! said only of what cannot happen here.
//! Deliberately does not know: how workers count.

use std::fmt::Write;

use super::{Console, Reply};
use crate::daemon::switch::WorkerReport;

/// A worker's heading: the CPU that it is pinned to, else its number.
fn heading(cpu: Option<u16>, worker: usize) -> String {
    format!("pmd thread numa_id 0 core_id {}:\n", cpu.map_or(worker, usize::from))
}

/// The value behind an option.
fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.windows(2).find_map(|pair| match pair {
        [key, value] if *key == name => Some(*value),
        _ => None,
    })
}

/// Workers that the words ask for, by number and CPU.
fn wanted(console: &Console<'_>, words: &[&str]) -> Vec<(usize, Option<u16>)> {
    let core = option(words, "-pmd");
    let asked = |n: usize, cpu: Option<u16>| core.is_none_or(|c| c == cpu.map_or(n, usize::from).to_string());
    console.switch.team().map_or(Vec::new(), |t| t.workers().filter(|(n, cpu)| asked(*n, *cpu)).collect())
}

/// Which queue of which device is served by whom.
pub(super) fn queues_show(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let seconds = option(words, "-secs").and_then(|s| s.parse::<u64>().ok()).map_or(60, |s| s.clamp(5, 60));
    let mut text = format!("Displaying last {seconds} seconds pmd usage %\n");
    for (worker, cpu) in wanted(console, words) {
        text += &heading(cpu, worker);
        text += "  isolated : false\n";
        let units = console.switch.team().into_iter().flat_map(|t| t.units_of(worker));
        for (name, queue, share) in units.filter_map(|((device, queue), share)| Some((console.switch.device_name(device)?, queue, share))) {
            let usage = share.map_or("NOT AVAIL".to_string(), |s| format!("{:>2.0} %", s * 100.0));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  port: {name:<16}  queue-id: {queue:>2} (enabled)   pmd usage: {usage}");
        }
    }
    Reply::Text(text)
}

/// Places all devices anew, by what they were measured to ask for.
pub(super) fn rebalance(console: &mut Console<'_>, _: &[&str]) -> Reply {
    console.switch.spread();
    Reply::Text("pmd rxq rebalance requested.\n".to_string())
}

/// How workers spend their time. A packet whose flow is cached is a hit of the exact-match cache; one
/// that the tables decide is a miss with an upcall, which is its counterpart there.
pub(super) fn stats_show(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let mut text = String::new();
    for (worker, cpu) in wanted(console, words) {
        if let Some((_, report)) = console.switch.worker_reports().find(|(n, _)| *n == worker) {
            text += &heading(cpu, worker);
            stats(&mut text, report);
        }
    }
    Reply::Text(text)
}

fn stats(text: &mut String, WorkerReport { counters, time, .. }: &WorkerReport) {
    let all = time.busy + time.idle;
    let packets = counters.received;
    let passes = if packets > 0 { 1.0 } else { 0.0 };
    let share = |cycles: u64| 100.0 * cycles as f64 / all.max(1) as f64;
    let lines = [
        format!("packets received: {packets}"),
        "packet recirculations: 0".to_string(),
        format!("avg. datapath passes per packet: {passes:.2}"),
        "phwol hits: 0".to_string(),
        "mfex opt hits: 0".to_string(),
        "simple match hits: 0".to_string(),
        format!("emc hits: {}", counters.hits),
        "smc hits: 0".to_string(),
        "megaflow hits: 0".to_string(),
        "avg. subtable lookups per megaflow hit: 0.00".to_string(),
        format!("miss with success upcall: {}", counters.misses),
        "miss with failed upcall: 0".to_string(),
        format!("idle cycles: {} ({:.2}%)", time.idle, share(time.idle)),
        format!("processing cycles: {} ({:.2}%)", time.busy, share(time.busy)),
    ];
    lines.iter().for_each(|line| _ = writeln!(text, "  {line}"));
    if packets > 0 {
        let _ = writeln!(text, "  avg cycles per packet: {:.2} ({all}/{packets})", all as f64 / packets as f64);
        let _ = writeln!(text, "  avg processing cycles per packet: {:.2} ({}/{packets})", time.busy as f64 / packets as f64, time.busy);
    }
}

//! Commands about the worker, in the form that Open vSwitch gives for its own.
//!
//! Invariant: a line that Open vSwitch has is left out where nothing here is counted for it; zero is
//! said only of what cannot happen here.
//! Deliberately does not know: how the worker counts.

use std::fmt::Write;

use super::{Console, Reply};

/// The one worker, as Open vSwitch names its own.
const HEAD: &str = "pmd thread numa_id 0 core_id 0:\n";

/// The value behind an option.
fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.windows(2).find_map(|pair| match pair {
        [key, value] if *key == name => Some(*value),
        _ => None,
    })
}

/// Whether the words ask for another core than the worker's.
fn elsewhere(words: &[&str]) -> bool {
    option(words, "-pmd").is_some_and(|core| core != "0")
}

/// Which device is polled by whom.
pub(super) fn queues_show(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let seconds = option(words, "-secs").and_then(|s| s.parse::<u64>().ok()).map_or(60, |s| s.clamp(5, 60));
    let mut text = format!("Displaying last {seconds} seconds pmd usage %\n");
    if elsewhere(words) {
        return Reply::Text(text);
    }
    text += HEAD;
    text += "  isolated : false\n";
    for port in console.switch.bridges().flat_map(|b| b.ports.values()) {
        if crate::daemon::trace::ports::datapath_number(port).is_some() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  port: {:<16}  queue-id:  0 (enabled)   pmd usage: NOT AVAIL", port.name);
        }
    }
    Reply::Text(text)
}

/// How the worker spends its time. A packet whose flow is cached is a hit of the exact-match cache; one
/// that the tables decide is a miss with an upcall, which is its counterpart there.
pub(super) fn stats_show(console: &mut Console<'_>, words: &[&str]) -> Reply {
    if elsewhere(words) {
        return Reply::Text(String::new());
    }
    let (counters, time) = (console.switch.counters(), console.switch.worker_time());
    let all = time.busy + time.idle;
    let packets = counters.received;
    let passes = if packets > 0 { 1.0 } else { 0.0 };
    let share = |cycles: u64| 100.0 * cycles as f64 / all.max(1) as f64;
    let mut text = HEAD.to_string();
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
    Reply::Text(text)
}

//! Commands about the worker.
//!
//! Deliberately does not know: how it counts.

use std::fmt::Write;

use super::{Console, Reply};

/// How the worker spends its time, in the words of Open vSwitch.
pub(super) fn stats_show(console: &mut Console<'_>, _: &[&str]) -> Reply {
    let (counters, time) = (console.switch.counters(), console.switch.worker_time());
    let all = (time.busy + time.idle).max(1) as f64;
    let packets = counters.received.max(1) as f64;
    let mut text = "pmd thread numa_id 0 core_id 0:\n".to_string();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  packets received: {}", counters.received);
    let _ = writeln!(text, "  flow cache hits: {}", counters.hits);
    let _ = writeln!(text, "  flow cache misses: {}", counters.misses);
    let _ = writeln!(text, "  idle cycles: {} ({:.2}%)", time.idle, 100.0 * time.idle as f64 / all);
    let _ = writeln!(text, "  processing cycles: {} ({:.2}%)", time.busy, 100.0 * time.busy as f64 / all);
    if counters.received > 0 {
        let _ = writeln!(text, "  avg processing cycles per packet: {:.2} ({}/{})", time.busy as f64 / packets, time.busy, counters.received);
    }
    Reply::Text(text)
}

//! What structure each table of rules has come to, and why.
//!
//! Deliberately does not know: how rules are looked up.

use std::fmt::Write;

use super::{Console, Reply};
use crate::daemon::switch::bridge::Bridge;

/// One line for each table that has rules, of one bridge or of all.
pub(super) fn explain(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let mut bridges: Vec<&Bridge> = console.switch.bridges().collect();
    if let Some(name) = words.first() {
        bridges.retain(|b| b.name == *name);
        if bridges.is_empty() {
            return Reply::Error(format!("no bridge named {name}"));
        }
    }
    bridges.sort_by(|a, b| a.name.cmp(&b.name));
    let mut out = String::new();
    for bridge in bridges {
        let _ = writeln!(out, "{}:", bridge.name);
        let Some(compiled) = console.switch.program().bridge(bridge.index) else { continue };
        for (number, table) in compiled.tables.iter().enumerate().filter(|(_, t)| !t.rules.is_empty()) {
            let shape = table.rules.shape();
            let _ = writeln!(out, "  table {number}: {} rule{}, {}: {}", shape.rules, if shape.rules == 1 { "" } else { "s" }, shape.name(), shape.reason());
        }
    }
    Reply::Text(out)
}

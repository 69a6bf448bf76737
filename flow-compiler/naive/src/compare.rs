//! Comparing what two switches did.

use std::collections::BTreeMap;

use crate::world::{Output, RuleHits, World};

/// Packets of each rule; rules that share bridge, table and priority are told apart by counts only.
pub type Counts = BTreeMap<(usize, u8, u16), Vec<u64>>;

/// Sums up what a switch says of its rules.
pub fn counts(hits: Option<Vec<RuleHits>>) -> Counts {
    let mut all = Counts::new();
    for h in hits.unwrap_or_default() {
        all.entry((h.bridge, h.table, h.priority)).or_default().push(h.packets);
    }
    all.values_mut().for_each(|v| v.sort_unstable());
    all
}

/// Outputs for a person to read.
pub fn show(outputs: &[Output]) -> String {
    let line = |o: &Output| {
        let hex: String = o.bytes.iter().map(|b| format!("{b:02x}")).collect();
        format!("\n   br{}:{} {hex}", o.bridge, o.port as i32)
    };
    outputs.iter().map(line).collect()
}

/// The rules of these bridges, tables and priorities.
pub fn rules_met(world: &World, way: &[(usize, u8, u16)]) -> String {
    let line = |&(bridge, table, priority): &(usize, u8, u16)| {
        let begins = format!("table={table},priority={priority},");
        let rule = world.bridges[bridge].text.iter().find(|l| l.starts_with(&begins));
        format!("\n  br{bridge} {}", rule.map_or("", String::as_str))
    };
    way.iter().map(line).collect()
}

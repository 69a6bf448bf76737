//! Comparing what two switches did.

use std::collections::BTreeMap;

use crate::world::{Output, RuleHits};

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

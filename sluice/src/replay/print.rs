//! The figures as a table for a person and as JSON for a program.

use std::fmt::Write;

use serde_json::{json, Map, Value};

use super::Figures;

/// For a program; names are stable.
pub fn json(f: &Figures) -> String {
    let drops: Map<String, Value> = f.drops.iter().map(|(r, n)| (r.name().into(), json!(n))).collect();
    let rules: Vec<Value> = f
        .rules
        .iter()
        .map(|r| {
            json!({
                "bridge": r.bridge, "table": r.table, "priority": r.priority, "cookie": r.cookie,
                "match": r.matching, "actions": r.actions, "packets": r.packets, "bytes": r.bytes,
            })
        })
        .collect();
    let all = json!({
        "packets_in": f.packets_in, "packets_out": f.packets_out, "copied": f.copied, "punted": f.punted,
        "drops": drops, "seconds_cpu": f.seconds_cpu, "seconds_wall": f.seconds_wall,
        "mpps_cpu": f.mpps_cpu(), "mpps_wall": f.mpps_wall(), "cycles_per_packet": f.cycles_per_packet(),
        "cache": {"hits": f.hits, "misses": f.misses}, "rules": rules, "conserved": f.conserved,
    });
    all.to_string()
}

/// For a person.
pub fn table(f: &Figures) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_table(&mut out, f);
    out.trim_end().to_owned()
}

fn write_table(out: &mut String, f: &Figures) -> std::fmt::Result {
    writeln!(out, "packets in   {:>12}", f.packets_in)?;
    writeln!(out, "packets out  {:>12}", f.packets_out)?;
    writeln!(out, "CPU time     {:>12.3} s   {:.2} Mpps   {:.0} cycles/packet", f.seconds_cpu, f.mpps_cpu(), f.cycles_per_packet())?;
    writeln!(out, "wall time    {:>12.3} s   {:.2} Mpps", f.seconds_wall, f.mpps_wall())?;
    writeln!(out, "flow cache   {:>12} hits, {} misses", f.hits, f.misses)?;
    if f.punted > 0 {
        writeln!(out, "to controllers {:>10}", f.punted)?;
    }
    for (reason, n) in &f.drops {
        writeln!(out, "dropped      {n:>12} {}: {}", reason.name(), reason.text())?;
    }
    let dropped: u64 = f.drops.iter().map(|(_, n)| n).sum();
    let verdict = if f.conserved { "conserved" } else { "NOT CONSERVED" };
    writeln!(
        out,
        "{verdict}: {} in + {} copied {} {} out + {} to controllers + {dropped} dropped",
        f.packets_in,
        f.copied,
        if f.conserved { "=" } else { "!=" },
        f.packets_out,
        f.punted
    )?;
    writeln!(out, "\n{:>12} {:>14}  rule", "packets", "bytes")?;
    let two = f.rules.iter().any(|r| r.bridge != 0);
    for r in &f.rules {
        write!(out, "{:>12} {:>14}  ", r.packets, r.bytes)?;
        if two {
            write!(out, "bridge={}, ", r.bridge)?;
        }
        writeln!(out, "table={}, {} actions={}", r.table, with_priority(r.priority, &r.matching), r.actions)?;
    }
    Ok(())
}

fn with_priority(priority: u16, matching: &str) -> String {
    if matching.is_empty() {
        format!("priority={priority}")
    } else {
        format!("priority={priority},{matching}")
    }
}

//! Rule tables that a real Neutron wrote go through a value and come out as they were.
//!
//! Skips where the tables are not there; compressed ones need `zstd`.

use sluice_openflow::text::{format_flow_stats, parse_flow_file, FlowLine, Names};
use std::path::{Path, PathBuf};

fn tables() -> Vec<PathBuf> {
    let shared = std::env::var("SLUICE_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let Ok(folder) = std::fs::read_dir(shared.join("neutron")) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = folder.flatten().map(|e| e.path()).collect();
    paths.retain(|p| p.to_string_lossy().contains(".flows"));
    paths.sort();
    paths
}

fn read(path: &Path) -> Option<String> {
    if path.extension().is_some_and(|e| e == "flows") {
        return std::fs::read_to_string(path).ok();
    }
    let output = std::process::Command::new("zstd")
        .arg("-dc")
        .arg(path)
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn every_rule_of_neutron_comes_out_as_it_went_in() {
    let tables = tables();
    if tables.is_empty() {
        println!("skipped: no rule tables (set SLUICE_SHARED)");
        return;
    }
    let names = Names::new();
    let mut rules = 0;
    for path in tables {
        let Some(text) = read(&path) else {
            println!("skipped: cannot read {}", path.display());
            continue;
        };
        let flows = parse_flow_file(&text, &names).expect("a table that a switch took");
        let lines: Vec<&str> = text.lines().filter(|l| l.contains("actions=")).collect();
        assert_eq!(flows.len(), lines.len(), "{}", path.display());
        for (flow, line) in flows.iter().zip(lines) {
            let shown = FlowLine {
                table: flow.table.unwrap_or(0),
                priority: flow.priority,
                cookie: flow.new_cookie.unwrap_or(0),
                matching: &flow.matching,
                actions: &flow.actions,
                idle_timeout: flow.idle_timeout,
                hard_timeout: flow.hard_timeout,
                importance: flow.importance,
                flags: flow.flags,
                counters: None,
            };
            assert_eq!(
                format_flow_stats(&shown, &names),
                line.trim(),
                "{}",
                path.display()
            );
            rules += 1;
        }
    }
    println!("{rules} rules come out as they went in");
}

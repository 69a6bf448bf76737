//! The compiled classifier alone: look-ups, memory and updates on a rule set.
//!
//! `classify sets FOLDER OUT` turns the ClassBench sets of a folder (`*.zst`) into `OUT/NAME.flows` and `OUT/NAME.pcap`.
//! `classify RULES.flows FRAMES.pcap` measures one of them and prints one line of JSON.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::json;
use sluice_benches::classbench;
use sluice_benches::clock::cpu_ns;
use sluice_compiler::RuleSet;
use sluice_fixtures::{capture, write_pcap};
use sluice_flow::classifier::{Classifier, Soft};
use sluice_flow::extract::extract;
use sluice_flow::{Change, Key, Rule};
use sluice_openflow::text::{parse_flow_file, Names};
use sluice_openflow::version::Version;

/// Headers of each set.
const FRAMES: usize = 100_000;
const SEED: u64 = 7;
/// Words of a key that the frames of these sets fill.
const WORDS: usize = 5;
const LOOKUPS: usize = 1_000_000;
const UPDATES: usize = 100_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["sets", folder, out] => sets(Path::new(folder), Path::new(out)),
        [rules, frames] => measure(rules, frames),
        _ => Err("usage: classify sets FOLDER OUT | classify RULES.flows FRAMES.pcap".into()),
    };
    if let Err(e) = done {
        eprintln!("classify: {e}");
        std::process::exit(1);
    }
}

fn sets(folder: &Path, out: &Path) -> Result<(), String> {
    let say = |p: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", p.display());
    std::fs::create_dir_all(out).map_err(|e| say(out, &e))?;
    let mut found: Vec<_> = std::fs::read_dir(folder).map_err(|e| say(folder, &e))?.filter_map(|e| Some(e.ok()?.path())).collect();
    found.retain(|p| p.extension().is_some_and(|e| e == "zst"));
    found.sort();
    for path in found {
        let Some(name) = path.file_stem().and_then(|n| n.to_str()) else { continue };
        let unpacked = Command::new("zstd").arg("-dcq").arg(&path).output().map_err(|e| format!("zstd: {e}"))?;
        let filters = classbench::parse(&String::from_utf8_lossy(&unpacked.stdout)).map_err(|e| say(&path, &e))?;
        let (text, count) = classbench::rules(&filters);
        std::fs::write(out.join(format!("{name}.flows")), text).map_err(|e| say(out, &e))?;
        let frames = write_pcap(&classbench::frames(&filters, FRAMES, SEED));
        std::fs::write(out.join(format!("{name}.pcap")), frames).map_err(|e| say(out, &e))?;
        println!("{name}: {} filters, {count} rules", filters.len());
    }
    Ok(())
}

fn measure(rules: &str, frames: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(rules).map_err(|e| format!("{rules}: {e}"))?;
    let before = resident();
    let compiled = compile(&text)?;
    drop(text);
    let of_rules = resident().saturating_sub(before);
    let (before, start) = (resident(), cpu_ns());
    let mut table = Classifier::default();
    compiled.iter().for_each(|r| table.insert(r.clone()));
    let built_ns = cpu_ns() - start;
    let of_structure = resident().saturating_sub(before);
    let keys = keys(frames)?;
    let lookup_ns = look_up(&table, &keys);
    let update_ns = update(&mut table, &compiled);
    let after_updates_ns = look_up(&table, &keys);
    let per = |ns: u64, n: usize| ns as f64 / n.max(1) as f64;
    println!(
        "{}",
        json!({
            "rules": compiled.len(), "masks": table.masks().count(), "tables": table.groups(),
            "bytes_per_rule": of_rules / compiled.len().max(1), "structure_bytes_per_rule": of_structure / compiled.len().max(1),
            "insert_ns": per(built_ns, compiled.len()), "lookup_ns": lookup_ns, "update_ns": update_ns,
            "lookup_after_updates_ns": after_updates_ns,
        })
    );
    Ok(())
}

fn compile(text: &str) -> Result<Vec<Arc<Rule>>, String> {
    let mods = parse_flow_file(text, &Names::new()).map_err(|e| e.to_string())?;
    let mut rules = RuleSet::new();
    let applied = rules.commit(0, &mods, Version::V14, 0).map_err(|e| format!("rule {}: {}", e.index + 1, e.error))?;
    let added = applied.changes.into_iter().filter_map(|c| match c {
        Change::Add { rule, .. } => Some(rule),
        _ => None,
    });
    Ok(added.collect())
}

fn keys(frames: &str) -> Result<Vec<[u64; WORDS]>, String> {
    let bytes = std::fs::read(frames).map_err(|e| format!("{frames}: {e}"))?;
    let frames = capture::read_capture(&bytes).map_err(|e| format!("{frames}: {e}"))?;
    Ok(frames
        .iter()
        .map(|f| {
            let mut key = Key::ZERO;
            extract(&f.bytes, &sluice_wire::parse(&f.bytes), &mut key);
            let mut words = [0; WORDS];
            words.copy_from_slice(&key.words[..WORDS]);
            words
        })
        .collect())
}

/// Nanoseconds for each.
fn look_up(table: &Classifier, keys: &[[u64; WORDS]]) -> f64 {
    let (mut key, mut soft, mut found) = (Key::ZERO, Soft::default(), 0usize);
    let start = cpu_ns();
    let count = LOOKUPS / keys.len().max(1) * keys.len();
    for words in keys.iter().cycle().take(count) {
        key.words[..WORDS].copy_from_slice(words);
        found += usize::from(table.lookup(black_box(&key), &mut soft).is_some());
    }
    let ns = cpu_ns() - start;
    black_box(found);
    ns as f64 / count.max(1) as f64
}

/// Nanoseconds for taking a rule out or putting it back.
fn update(table: &mut Classifier, rules: &[Arc<Rule>]) -> f64 {
    let mut random = sluice_fixtures::Random::new(SEED);
    let start = cpu_ns();
    let mut out: Vec<&Arc<Rule>> = Vec::new();
    for _ in 0..UPDATES / 2 {
        let Some(rule) = rules.get(random.below(rules.len().max(1))) else { break };
        if table.remove(rule.id).is_some() {
            out.push(rule);
        }
        if out.len() > 100 || out.len() * 2 > rules.len() {
            out.drain(..).for_each(|r| table.insert(r.clone()));
        }
    }
    out.drain(..).for_each(|r| table.insert(r.clone()));
    (cpu_ns() - start) as f64 / UPDATES as f64
}

/// Bytes of memory of this process.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|n| n.parse::<usize>().ok()).unwrap_or(0) * 4096
}

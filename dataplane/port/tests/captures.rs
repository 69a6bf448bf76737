//! Real captures, well-formed and hostile, read to the same number of packets as an independent
//! reader finds in them. Skipped where the shared captures or `capinfos` are absent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use sluice_port::pcap::{Capture, End, PcapError};

fn captures() -> Vec<PathBuf> {
    let root = std::env::var_os("SLUICE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let mut found = Vec::new();
    for folder in ["tcpdump", "ndpi"] {
        let Ok(entries) = std::fs::read_dir(root.join("pcaps").join(folder)) else { continue };
        found.extend(entries.flatten().map(|e| e.path()).filter(|p| p.is_file()));
    }
    found.sort();
    found
}

/// Packet counts by file, as Wireshark's reader finds them. It refuses to count a damaged file, so
/// those are counted from a listing, which goes as far as the damage.
fn independent_counts(files: &[PathBuf]) -> Option<BTreeMap<PathBuf, u64>> {
    let mut counts = BTreeMap::new();
    for batch in files.chunks(100) {
        let out = Command::new("capinfos").args(["-K", "-c", "-M", "-T", "-r", "-B"]).args(batch).output().ok()?;
        for line in String::from_utf8_lossy(&out.stdout).lines() {
            let mut parts = line.split('\t');
            if let (Some(file), Some(Ok(n))) = (parts.next(), parts.next().map(str::parse)) {
                counts.insert(PathBuf::from(file), n);
            }
        }
    }
    for file in files {
        if !counts.contains_key(file) {
            counts.insert(file.clone(), listed(file)?);
        }
    }
    Some(counts)
}

fn listed(file: &Path) -> Option<u64> {
    let out = Command::new("tshark").args(["-n", "-T", "fields", "-e", "frame.number", "-r"]).arg(file).output().ok()?;
    Some(out.stdout.iter().filter(|b| **b == b'\n').count() as u64)
}

#[test]
fn every_capture_reads_to_the_count_of_an_independent_reader() {
    let files = captures();
    if files.is_empty() {
        println!("SKIPPED: no shared captures (set SLUICE_SHARED)");
        return;
    }
    let Some(expected) = independent_counts(&files) else {
        println!("SKIPPED: capinfos or tshark is not installed");
        return;
    };
    let (mut packets, mut read, mut damaged, mut refused, mut wrong) = (0, 0, 0, 0, Vec::new());
    for file in &files {
        let capture = Capture::open(file).unwrap();
        let (mut n, mut refusal, mut end) = (0u64, None, None);
        match capture.packets() {
            Err(e) => refusal = Some(e),
            Ok(mut it) => {
                for p in it.by_ref() {
                    match p {
                        Ok(_) => n += 1,
                        Err(e) => refusal = Some(e),
                    }
                }
                end = it.end().cloned();
            }
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if let Some(e) = refusal {
            assert!(matches!(e, PcapError::LinkType(_) | PcapError::Format(_)), "{name}: {e}");
            refused += 1;
            continue;
        }
        if let Some(End::Damaged(why)) = end {
            println!("{name}: {n} packets, then {why}");
            damaged += 1;
        }
        read += 1;
        packets += n;
        if expected.get(file) != Some(&n) {
            wrong.push(format!("{name}: {n} packets here, {:?} there", expected.get(file)));
        }
    }
    println!("{read} captures with {packets} packets read, {damaged} of them damaged; {refused} refused by link type or format");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

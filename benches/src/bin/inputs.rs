//! `inputs DIR`: writes the captures that all switches replay, and the rules that are made from them.
//! With `$SLUICE_SHARED` (or `../shared`) also one with lengths as in the real captures there.

use std::path::Path;

use sluice_benches::answers::exchange;
use sluice_benches::traffic::{self, flows, frames, hosts, mixed_frames};
use sluice_fixtures::write_pcap;

/// Bytes, then numbers of flows.
const PLAIN: [(usize, &[u64]); 3] = [(60, &[1, 1000, 10_000, 100_000, 200_000]), (508, &[10_000]), (1514, &[1, 10_000])];
const TUNNELLED: [u64; 5] = [1, 1000, 10_000, 100_000, 200_000];
const HOSTS: u64 = 1000;
const MIXED: u64 = 10_000;
/// Addresses of the remote security group.
const REMOTE: u64 = 10_000;
const NEUTRON: &str = include_str!("../../rules/neutron.flows");

fn main() {
    let Some(dir) = std::env::args().nth(1) else {
        eprintln!("usage: inputs DIR");
        std::process::exit(2);
    };
    if let Err(e) = write_all(Path::new(&dir)) {
        eprintln!("inputs: {dir}: {e}");
        std::process::exit(1);
    }
}

fn write_all(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (len, counts) in PLAIN {
        for &count in counts {
            write_both(dir, &format!("plain-{len}-{count}.pcap"), frames(&flows(len), count))?;
        }
    }
    write_both(dir, &format!("hosts-60-{HOSTS}.pcap"), frames(&hosts(60), HOSTS))?;
    write_both(dir, &format!("mix-0-{MIXED}.pcap"), mixed_frames(MIXED))?;
    for count in TUNNELLED {
        let wrapped = frames(&flows(60).vxlan(traffic::VNI), count);
        std::fs::write(dir.join(format!("vxlan-60-{count}.pcap")), write_pcap(&wrapped))?;
    }
    std::fs::write(dir.join("vxlan6-60-1000.pcap"), write_pcap(&frames(&flows(60).vxlan6(traffic::VNI), 1000)))?;
    write_real(dir)?;
    std::fs::write(dir.join("remote.flows"), traffic::remote_group(NEUTRON, REMOTE))
}

/// Flows with the lengths of real captures, where those are there; beside it the mean length in bytes.
fn write_real(dir: &Path) -> std::io::Result<()> {
    let Some(shared) = sluice_fixtures::shared::shared_dir("frames as long as those of real captures") else { return Ok(()) };
    let below = sluice_fixtures::shared::captures_below(&shared.join("pcaps"));
    let lengths: Vec<usize> = below.iter().flat_map(|(_, frames)| frames).map(|f| f.bytes.len()).collect();
    if lengths.is_empty() {
        return Ok(());
    }
    let all = traffic::frames_as_long_as(&lengths, MIXED);
    let mean = all.iter().map(Vec::len).sum::<usize>() / all.len().max(1);
    write_both(dir, &format!("real-1-{MIXED}.pcap"), all)?;
    std::fs::write(dir.join("real-mean"), mean.to_string())
}

/// A capture and its answers.
fn write_both(dir: &Path, name: &str, mut all: Vec<Vec<u8>>) -> std::io::Result<()> {
    std::fs::write(dir.join(name), write_pcap(&all))?;
    all.iter_mut().for_each(|f| exchange(f));
    std::fs::write(dir.join(format!("answers-{name}")), write_pcap(&all))
}

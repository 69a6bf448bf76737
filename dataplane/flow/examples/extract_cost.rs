//! Prints what it costs to get the narrow key words of common frames, from memory.
//!
//! Run with `--release`. Under `valgrind --tool=callgrind` pass the number of rounds and divide the
//! instructions of `extract_narrow` and what it calls by rounds times frames.

use std::hint::black_box;
use std::time::Instant;

use sluice_flow::extract::{extract, extract_narrow};
use sluice_flow::Key;

fn ipv4(proto: u8, l4: &[u8], tagged: bool) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    if tagged {
        f.extend([0x81, 0, 0, 42]);
    }
    f.extend([8, 0, 0x45, 0, 0, 20 + l4.len() as u8, 0, 1, 0x40, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    f.extend(l4);
    f.resize(f.len().max(60), 0);
    f
}

fn ipv6_udp() -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, 64];
    f.extend([1; 32]);
    f.extend([3, 232, 0, 80, 0, 8, 0, 0]);
    f
}

fn frames() -> [(&'static str, Vec<u8>); 5] {
    let tcp = [3, 232, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 16, 0, 0, 0, 0, 0, 0];
    let udp = [3, 232, 0, 80, 0, 8, 0, 0];
    [
        ("udp", ipv4(17, &udp, false)),
        ("tcp", ipv4(6, &tcp, false)),
        ("icmp", ipv4(1, &[8, 0, 0, 0, 0, 1, 0, 1], false)),
        ("vlan tcp", ipv4(6, &tcp, true)),
        ("udp6", ipv6_udp()),
    ]
}

#[inline(never)]
fn narrow_batch(frames: &[&[u8]]) -> u64 {
    let mut all = 0;
    for frame in frames {
        let (words, headers) = extract_narrow(frame);
        all ^= words.iter().fold(0, |a, w| a ^ w) ^ u64::from(headers.payload);
    }
    all
}

#[inline(never)]
fn full_batch(frames: &[&[u8]], key: &mut Key) -> u64 {
    let mut all = 0;
    for frame in frames {
        extract(frame, &sluice_wire::parse(frame), key);
        all ^= key.words[3];
    }
    all
}

fn main() {
    let rounds: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(200_000);
    for (name, frame) in &frames() {
        let batch: Vec<&[u8]> = vec![frame; 32];
        let report = |what: &str, start: Instant| {
            let ns = start.elapsed().as_nanos() as f64 / (rounds * batch.len()) as f64;
            println!("{name:9} {what}: {ns:.2} ns per frame");
        };
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(narrow_batch(black_box(&batch)));
        }
        report("narrow", start);
        let mut key = Key::ZERO;
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(full_batch(black_box(&batch), &mut key));
        }
        report("all   ", start);
    }
}

//! What the first packet of a flow costs, alone and when there is nothing else.
//!
//! `first` sends flows that were never seen, one packet in a turn, through the Neutron tables and through forty tables, and
//! prints how long such a turn takes (wall time: median and 99th percentile; the same for packets that are known), then how many
//! new flows a second of CPU time bears in full batches. The last line is JSON.
//! `first write DIR` writes the forty tables for other switches.

use std::os::fd::RawFd;
use std::path::Path;
use std::time::Instant;

use serde_json::{json, Value};
use sluice::inline::Inline;
use sluice_benches::cell::{build, Shape};
use sluice_benches::clock::cpu_ns;
use sluice_benches::{ovn, traffic, vary::Vary};
use sluice_frame::{Frame, Pool};
use sluice_port::{Offloads, Port, PortError, PortStats, SendOutcome};

const NEUTRON: &str = include_str!("../../rules/neutron.flows");
/// Flows before those that count.
const SETTLE: usize = 20_000;
const COUNTED: usize = 200_000;
/// Flows of one churn, and how long it lasts at most: no flow comes twice in it.
const CHURNED: u32 = 1 << 24;
const WINDOW_NS: u64 = 1_000_000_000;
const STRIDE: usize = 20;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => all(),
        ["write", dir] => std::fs::write(Path::new(dir).join("ovn.flows"), ovn::rules()).map_err(|e| format!("{dir}: {e}")),
        _ => Err("usage: first [write DIR]".into()),
    };
    if let Err(e) = done {
        eprintln!("first: {e}");
        std::process::exit(1);
    }
}

/// One frame in each turn, every other one of them a copy of the one before.
struct OneByOne {
    source: Vary,
    last: Option<Vec<u8>>,
}

impl Port for OneByOne {
    fn name(&self) -> &str {
        "one by one"
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        if let Some(bytes) = self.last.take() {
            out.extend(pool.copy_in(&bytes));
            return Ok(out.len().min(1));
        }
        let got = self.source.receive(pool, out, max.min(1))?;
        self.last = out.last().map(Frame::to_vec);
        Ok(got)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        self.source.send(pool, frames)
    }

    fn poll_fd(&self) -> Option<RawFd> {
        None
    }

    fn stats(&self) -> PortStats {
        self.source.stats()
    }

    fn offloads(&self) -> Offloads {
        Offloads::NONE
    }
}

fn source() -> Result<Vary, String> {
    Vary::new(traffic::flows(60).frame(0), 0, CHURNED).ok_or("the frame to vary is too short".into())
}

fn turn(switch: &mut Inline, turns: usize) {
    for _ in 0..turns {
        switch.turn(1000);
    }
}

fn all_sent(switch: &mut Inline) -> Result<(), String> {
    let c = switch.worker().counters();
    match c.conserved() && c.sent == c.received {
        true => Ok(()),
        false => Err(format!("{} packets came in, {} were sent: the rules do not forward", c.received, c.sent)),
    }
}

/// Nanoseconds of a turn: `(first packets, known packets)`, each as median and 99th percentile.
fn turns(rules: &str) -> Result<[(u64, u64); 2], String> {
    let mut switch = build(Shape::Plain, rules, Box::new(OneByOne { source: source()?, last: None }))?;
    let mut seen = [Vec::with_capacity(COUNTED), Vec::with_capacity(COUNTED)];
    for i in 0..SETTLE + COUNTED {
        for times in &mut seen {
            let start = Instant::now();
            switch.turn(1000);
            let ns = start.elapsed().as_nanos() as u64;
            if i >= SETTLE {
                times.push(ns);
            }
        }
    }
    all_sent(&mut switch)?;
    Ok(seen.map(|mut times| {
        times.sort_unstable();
        let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(0);
        (at(50), at(99))
    }))
}

/// Flows per microsecond of CPU time, all new.
fn churn(rules: &str) -> Result<f64, String> {
    let mut switch = build(Shape::Plain, rules, Box::new(source()?))?;
    turn(&mut switch, 1000);
    let (before, start) = (switch.worker().counters().received, cpu_ns());
    loop {
        turn(&mut switch, STRIDE);
        let (used, packets) = (cpu_ns() - start, switch.worker().counters().received - before);
        if used >= WINDOW_NS || packets >= u64::from(CHURNED) / 2 {
            all_sent(&mut switch)?;
            return Ok(packets as f64 * 1000.0 / used as f64);
        }
    }
}

fn row(name: &str, rules: &str, bar_ns: u64) -> Result<Value, String> {
    let [(p50, p99), (known_p50, known_p99)] = turns(rules)?;
    let mpps = churn(rules)?;
    println!("| {name} | {p50} | {p99} | {bar_ns} | {known_p50} | {known_p99} | {mpps:.2} |");
    Ok(json!({"tables": name, "first_p50_ns": p50, "first_p99_ns": p99, "bar_ns": bar_ns, "known_p50_ns": known_p50,
        "known_p99_ns": known_p99, "new_flows_mpps": mpps}))
}

fn all() -> Result<(), String> {
    println!("| tables | first packet, ns | p99 | bar | known packet, ns | p99 | new flows, Mpps |\n|---|---:|---:|---:|---:|---:|---:|");
    let rows = [row("Neutron", NEUTRON, 2000)?, row("forty tables", &ovn::rules(), 5000)?];
    println!("{}", json!(rows));
    Ok(())
}

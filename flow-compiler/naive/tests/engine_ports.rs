//! With made-up VLAN modes, mirrors and bridge settings the engine does what the naive interpreter does.
//!
//! Every packet is sent twice in a row, so that both a decision and a hit of the flow cache are seen.
//! `SLUICE_PAIRS=100000` makes the long form of it.

mod engine;

use engine::Engine;
use sluice_naive::compare::show;
use sluice_naive::generate::ports::scenario;
use sluice_naive::{NaiveSwitch, Output, Subject};

const PACKETS: usize = 60;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[test]
fn normal_of_the_engine_agrees_with_the_naive_interpreter_whatever_the_ports_are() {
    let (pairs, first) = (number("SLUICE_PAIRS", 12_000), number("SLUICE_SEED", 1));
    let (mut compared, mut wrong) = (0u64, Vec::new());
    for seed in first..first + pairs.div_ceil(PACKETS as u64) {
        if let Err(what) = run(seed, &mut compared) {
            println!("seed {seed}: {what}");
            wrong.push(seed);
        }
        if wrong.len() >= number("SLUICE_WRONG", 3) as usize {
            break;
        }
    }
    println!("{compared} pairs compared, {} scenarios differ", wrong.len());
    assert!(wrong.is_empty(), "seeds {wrong:?}");
    assert!(compared > pairs);
}

fn run(seed: u64, compared: &mut u64) -> Result<(), String> {
    let s = scenario(seed, PACKETS)?;
    let (mut naive, mut engine) = (NaiveSwitch::default(), Engine::default());
    naive.load(&s.world)?;
    engine.load(&s.world)?;
    for (i, p) in s.packets.iter().enumerate() {
        for round in 0..2 {
            let now = (i * 2 + round) as u64 * 1100;
            let (mine, theirs) = (sorted(naive.packet(p, now)?), sorted(engine.packet(p, now)?));
            if naive.unsupported.is_some() {
                continue;
            }
            *compared += 1;
            if mine != theirs {
                let hex: String = p.bytes.iter().map(|b| format!("{b:02x}")).collect();
                let world: String = s.world.bridges.iter().map(|b| format!("\n {:?} {:?}\n {:?}", b.text, b.mirrors, b.ports)).collect();
                return Err(format!(
                    "packet {i} round {round} in br{}:{} {hex}{world}\n naive {}\n engine {}",
                    p.bridge, p.port, show(&mine), show(&theirs)
                ));
            }
        }
    }
    Ok(())
}

fn sorted(mut all: Vec<Output>) -> Vec<Output> {
    all.sort();
    all
}

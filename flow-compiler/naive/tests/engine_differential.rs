//! On made-up rules and packets the engine does what the naive interpreter does: the same bytes leave
//! by the same ports in the same order, and the same rules count the same packets.
//!
//! Every packet is sent twice in a row, so that both a decision and a hit of the flow cache are seen.
//! `SLUICE_PAIRS=100000` makes the long form of it.

mod engine;

use engine::Engine;
use sluice_naive::compare::{counts, rules_met, show};
use sluice_naive::generate::{covers, scenario, Scenario};
use sluice_naive::{by_port, NaiveSwitch, Subject};

const RULES: usize = 40;
const PACKETS: usize = 50;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[test]
fn the_engine_agrees_with_the_naive_interpreter() {
    agree(number("SLUICE_PAIRS", 20_000), true, &|seed| scenario(seed, RULES, PACKETS));
}

#[test]
fn so_it_does_where_headers_are_put_around_packets() {
    // What an odd packet teaches may be odd: nothing is asked behind it.
    agree(number("SLUICE_PAIRS", 10_000), false, &|seed| covers::scenario(seed, covers::place(seed % 2 == 0), 25, PACKETS));
}

fn agree(pairs: u64, goes_on: bool, make: &dyn Fn(u64) -> Result<Scenario, String>) {
    let first = number("SLUICE_SEED", 1);
    let (mut compared, mut skipped, mut wrong) = (0, 0, Vec::new());
    for seed in first..first + pairs.div_ceil(PACKETS as u64) {
        match run(make(seed), goes_on, &mut compared, &mut skipped) {
            Ok(()) => {}
            Err(what) => {
                println!("seed {seed}: {what}");
                wrong.push(seed);
            }
        }
        if wrong.len() >= 5 {
            break;
        }
    }
    println!("{compared} pairs compared, {skipped} skipped, {} scenarios differ", wrong.len());
    assert!(wrong.is_empty(), "seeds {wrong:?}");
    assert!(compared * 10 >= (compared + skipped) * 8, "too many skipped");
}

fn run(s: Result<Scenario, String>, goes_on: bool, compared: &mut u64, skipped: &mut u64) -> Result<(), String> {
    let s = s?;
    let (mut naive, mut engine) = (NaiveSwitch::default(), Engine::default());
    naive.load(&s.world)?;
    engine.load(&s.world)?;
    let mut all = true;
    for (i, p) in s.packets.iter().enumerate() {
        for round in 0..2 {
            // What a packet teaches is refreshed once a second: give each packet a second of its own.
            let now = (i * 2 + round) as u64 * 1100;
            let mine = by_port(naive.packet(p, now)?);
            let theirs = by_port(engine.packet(p, now)?);
            if naive.unsupported.is_some() || naive.learned_midway {
                *skipped += 1;
                all = false;
                if !goes_on {
                    return Ok(());
                }
                continue;
            }
            *compared += 1;
            if std::env::var_os("SLUICE_HITS").is_some() {
                compare_counts(&mut naive, &mut engine).map_err(|e| format!("after packet {i} round {round}: {e}"))?;
            }
            let same = if naive.flooded { sorted(&mine) == sorted(&theirs) } else { mine == theirs };
            if !same {
                let hex: String = p.bytes.iter().map(|b| format!("{b:02x}")).collect();
                return Err(format!(
                    "packet {i} round {round} in br{}:{} {hex}\n naive {}\n engine {}\n way {:?}{}",
                    p.bridge,
                    p.port,
                    show(&mine),
                    show(&theirs),
                    naive.way,
                    rules_met(&s.world, &naive.way)
                ));
            }
        }
    }
    if all {
        compare_counts(&mut naive, &mut engine)?;
    }
    Ok(())
}

fn compare_counts(naive: &mut NaiveSwitch, engine: &mut Engine) -> Result<(), String> {
    let (mine, theirs) = (counts(naive.hits()?), counts(engine.hits()?));
    if mine == theirs {
        return Ok(());
    }
    let differing: Vec<_> = mine.iter().filter(|(k, v)| theirs.get(*k) != Some(v)).collect();
    let other: Vec<_> = differing.iter().map(|(k, _)| theirs.get(*k)).collect();
    Err(format!("counters differ: naive {differing:?}, engine {other:?}, way {:?}", naive.way))
}

fn sorted<T: Clone + Ord>(all: &[T]) -> Vec<T> {
    let mut all = all.to_vec();
    all.sort();
    all
}

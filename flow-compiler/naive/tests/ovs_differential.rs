//! On made-up rules and packets the naive interpreter does what a stock Open vSwitch does: the same
//! bytes leave by the same ports, and the same rules count the same packets, learned ones included.
//!
//! `SLUICE_PAIRS=100000` makes the long form of it.

mod ovs;

use ovs::Ovs;
use sluice_naive::compare::{counts, show};
use sluice_naive::generate::scenario;
use sluice_naive::{by_port, NaiveSwitch, Subject};

const RULES: usize = 40;
const PACKETS: usize = 50;

fn pairs() -> usize {
    std::env::var("SLUICE_PAIRS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000)
}

fn first_seed() -> u64 {
    std::env::var("SLUICE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Open vSwitch 3.1 does not know where the transport header is once its datapath has popped the labels; what it
/// writes there then is lost. Which port of a flood that hits depends on their order in its hash table.
fn writes_behind_popped_labels(trace: &str) -> bool {
    let Some(actions) = trace.lines().find_map(|l| l.strip_prefix("Datapath actions:")) else { return false };
    let Some((_, behind)) = actions.split_once("pop_mpls(") else { return false };
    ["set(tcp(", "set(udp(", "set(sctp("].iter().any(|write| behind.contains(write))
}

/// What became of one scenario.
#[derive(Default)]
struct Played {
    compared: usize,
    skipped: usize,
    /// The first packet that was treated differently; `usize::MAX` for the counters at the end.
    wrong: Option<usize>,
}

/// Loads a scenario into both, and compares packet by packet, then the rules' counters.
fn play(naive: &mut NaiveSwitch, ovs: &mut Ovs, seed: u64) -> Played {
    let mut played = Played::default();
    let s = scenario(seed, RULES, PACKETS).unwrap();
    naive.load(&s.world).unwrap();
    ovs.load(&s.world).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    for (i, p) in s.packets.iter().enumerate() {
        let mut mine = by_port(naive.packet(p, i as u64).unwrap());
        let mut theirs = by_port(ovs.packet(p, i as u64).unwrap());
        if naive.flooded {
            mine.sort();
            theirs.sort();
        }
        if let Some(why) = naive.unsupported {
            println!("seed {seed} packet {i}: {why}");
            played.skipped += 1;
            continue;
        }
        let trace = if mine == theirs { String::new() } else { ovs.trace(p).unwrap() };
        if writes_behind_popped_labels(&trace) {
            println!("seed {seed} packet {i}: the stock datapath cannot undo a transport header behind labels that it pops");
            played.skipped += 1;
            continue;
        }
        played.compared += 1;
        if mine != theirs {
            println!("seed {seed} packet {i} in br{}:{}", p.bridge, p.port);
            println!(" naive {}\n stock {}", show(&mine), show(&theirs));
            println!("{trace}");
            played.wrong = Some(i);
            return played;
        }
    }
    if played.skipped == 0 {
        let (mine, theirs) = (counts(naive.hits().unwrap()), counts(ovs.hits().unwrap()));
        if mine != theirs {
            let differing: Vec<_> = mine.iter().filter(|(k, v)| theirs.get(*k) != Some(v)).collect();
            println!("seed {seed}: counters differ: naive {differing:?}");
            for (k, _) in &differing {
                println!("  stock {k:?}: {:?}", theirs.get(*k));
            }
            played.wrong = Some(usize::MAX);
        }
    }
    played
}

#[test]
fn the_naive_interpreter_agrees_with_a_stock_switch() {
    if !Ovs::installed() {
        println!("SKIPPED: no stock Open vSwitch here (apt-get install openvswitch-switch)");
        return;
    }
    let mut ovs = Ovs::start("naive").unwrap();
    let mut naive = NaiveSwitch::default();
    let scenarios = pairs().div_ceil(PACKETS) as u64;
    let (mut compared, mut skipped, mut wrong) = (0, 0, Vec::new());
    for seed in first_seed()..first_seed() + scenarios {
        let first = play(&mut naive, &mut ovs, seed);
        (compared, skipped) = (compared + first.compared, skipped + first.skipped);
        // A busy stock switch was seen to send another packet than it says itself, once: what counts is what
        // it does again.
        let again = first.wrong.and_then(|_| play(&mut naive, &mut ovs, seed).wrong);
        match (first.wrong, again) {
            (Some(at), None) => println!("seed {seed}: the stock switch did not repeat its difference at {at}"),
            (_, Some(at)) => wrong.push((seed, at)),
            (None, None) => {}
        }
        if wrong.len() >= 5 {
            break;
        }
    }
    println!("{compared} pairs compared, {skipped} skipped, {} differ", wrong.len());
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(compared * 10 >= (compared + skipped) * 9);
}

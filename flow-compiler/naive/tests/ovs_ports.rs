//! With made-up VLAN modes, mirrors and bridge settings NORMAL of the naive interpreter does what a
//! stock Open vSwitch does: the same bytes leave by the same ports.
//!
//! `SLUICE_PAIRS=100000` makes the long form of it.

mod ovs;

use ovs::Ovs;
use sluice_naive::compare::show;
use sluice_naive::generate::ports::scenario;
use sluice_naive::{NaiveSwitch, Output, Subject};

const PACKETS: usize = 60;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[test]
fn normal_agrees_with_a_stock_switch_whatever_the_ports_are() {
    if !Ovs::installed() {
        println!("SKIPPED: no stock Open vSwitch here (apt-get install openvswitch-switch)");
        return;
    }
    let mut ovs = Ovs::start("ports").unwrap();
    let mut naive = NaiveSwitch::default();
    let (pairs, first) = (number("SLUICE_PAIRS", 1500), number("SLUICE_SEED", 1));
    let (mut compared, mut wrong) = (0, Vec::new());
    for seed in first..first + pairs.div_ceil(PACKETS as u64) {
        let s = scenario(seed, PACKETS).unwrap();
        naive.load(&s.world).unwrap();
        ovs.configure(&s.world).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        ovs.load(&s.world).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        for (i, p) in s.packets.iter().enumerate() {
            let mine = sorted(naive.packet(p, i as u64).unwrap());
            let theirs = sorted(ovs.packet(p, i as u64).unwrap());
            if naive.unsupported.is_some() {
                break;
            }
            compared += 1;
            if mine != theirs {
                println!("seed {seed} packet {i} in br{}:{}", p.bridge, p.port);
                for (b, bridge) in s.world.bridges.iter().enumerate() {
                    println!(" br{b}: flood {:?} bpdu {} mirrors {:?}", bridge.flood_vlans, bridge.forward_bpdu, bridge.mirrors);
                    bridge.ports.iter().for_each(|p| println!("  {p:?}"));
                }
                println!(" naive {}\n stock {}", show(&mine), show(&theirs));
                println!("{}", ovs.trace(p).unwrap());
                wrong.push((seed, i));
                break;
            }
        }
        if wrong.len() >= number("SLUICE_WRONG", 3) as usize {
            break;
        }
    }
    println!("{compared} pairs compared, {} differ", wrong.len());
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn sorted(mut all: Vec<Output>) -> Vec<Output> {
    all.sort();
    all
}

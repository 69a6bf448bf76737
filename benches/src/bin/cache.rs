//! Cost of one packet in the engine alone: one rule, more and more flows, frames from memory.

use std::sync::Arc;

use sluice_benches::clock::cpu_ns;
use sluice_engine::{Settings, Worker};
use sluice_flow::action::Action;
use sluice_flow::fdb::{Fdb, Versions};
use sluice_flow::hash::Seeds;
use sluice_flow::key::slot;
use sluice_flow::program::{Ingress, Port};
use sluice_flow::{Change, Key, MaskedKey, Program, Rule, Slot};
use sluice_frame::Pool;
use sluice_port::pcap::{Output, PcapPort, Repeat};

fn frame(flow: u32) -> Vec<u8> {
    let mut f = vec![0u8; 60];
    f[0..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    f[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    f[12..14].copy_from_slice(&[8, 0]);
    f[14..24].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17]);
    f[26..30].copy_from_slice(&(0x0a00_0000 + flow).to_be_bytes());
    f[30..34].copy_from_slice(&[10, 1, 0, 1]);
    f[34..42].copy_from_slice(&[4, 0, 0, 53, 0, 26, 0, 0]);
    f
}

fn run(name: &str, flows: u32, on: &[Slot]) {
    let versions = Versions::new(Seeds::FIXED);
    let settings = Settings { flows: 1 << 21, seeds: Seeds::FIXED, versions: versions.clone() };
    let Ok(pool) = Pool::new(4096, 512) else { return };
    let mut worker = Worker::new(pool, settings);
    let mut source = PcapPort::new("in", Repeat::Forever, Output::Discard);
    let mut x = 1u64;
    let mut order: Vec<u32> = (0..flows).collect();
    for i in (1..order.len()).rev() {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        order.swap(i, (x >> 33) as usize % (i + 1));
    }
    order.iter().for_each(|i| source.push(&frame(*i)));
    worker.add_port(0, Box::new(source));
    worker.add_port(1, Box::new(PcapPort::new("out", Repeat::Times(0), Output::Discard)));
    let (mut value, mut mask) = (Key::ZERO, Key::ZERO);
    for s in on {
        mask.cover(*s);
    }
    value.set(slot::ETH_TYPE, 0x800);
    let any = MaskedKey::new(&Key::ZERO, &Key::ZERO);
    let other = MaskedKey::new(&value, &mask);
    let rule = |id, priority, matching| {
        Arc::new(Rule { id, priority, matching, actions: vec![Action::Output(2)].into(), conjunctions: Box::new([]) })
    };
    let mut program = Program::new();
    program.apply(&[
        Change::AddBridge { bridge: 0, fdb: Arc::new(Fdb::new(100, 300, 0, versions)) },
        Change::SetPort { bridge: 0, port: 1, to: Some(Port::device(0)) },
        Change::SetPort { bridge: 0, port: 2, to: Some(Port::device(1)) },
        Change::SetIngress { device: 0, to: Some(Ingress::Bridge { bridge: 0, port: 1 }) },
        Change::Add { bridge: 0, table: 0, rule: rule(1, 1, any) },
    ]);
    if !on.is_empty() {
        program.apply(&[Change::Add { bridge: 0, table: 0, rule: rule(2, 2, other) }]);
    }
    worker.adopt(Arc::new(program));
    while worker.counters().received < 4 * u64::from(flows) + 100_000 {
        worker.turn(1000);
    }
    let mut best = f64::MAX;
    for _ in 0..5 {
        let (packets, start) = (worker.counters().received, cpu_ns());
        while worker.counters().received < packets + 2_000_000 {
            worker.turn(1000);
        }
        best = best.min((cpu_ns() - start) as f64 / (worker.counters().received - packets) as f64);
    }
    let c = worker.counters();
    println!("{name:28} {flows:8} flows {best:7.1} ns {:6.1} Mpps  misses {}", 1000.0 / best, c.misses);
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("one") {
        return run("one", 1000, &[slot::ETH_TYPE, slot::NW_SRC, slot::TP_DST]);
    }
    run("port only", 1, &[]);
    for flows in [1, 1000, 10_000, 100_000, 1_000_000] {
        run("narrow key, all fields", flows, &[slot::ETH_TYPE, slot::ETH_DST, slot::ETH_SRC, slot::NW_SRC, slot::NW_DST, slot::NW_PROTO, slot::TP_SRC, slot::TP_DST]);
    }
}

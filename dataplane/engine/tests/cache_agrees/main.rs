//! What the flow cache answers is what deciding would answer: a worker that keeps its cache over
//! random changes of the program sends what a new worker with the same program sends.
//!
//! `SLUICE_STEPS` sets the steps per seed, `SLUICE_SEED` the first of ten seeds.

mod corners;
mod random;

use std::sync::Arc;

use random::Random;
use sluice_engine::{Settings, Worker};
use sluice_flow::group::{Bucket, Choice, Group, Kind};
use sluice_flow::action::LOCAL;
use sluice_flow::fdb::{Fdb, Versions};
use sluice_flow::hash::Seeds;
use sluice_flow::key::slot;
use sluice_flow::program::{Ingress, Miss, Port, PortKind, Tunnel, VlanMode};
use sluice_flow::underlay::{Device, Exit, Route, Underlay};
use sluice_flow::verdict::{OuterTos, OuterTtl};
use sluice_flow::{Change, Conjunction, DropReason, MaskedKey, Program, Rule};
use sluice_frame::Pool;
use sluice_port::pcap::{Captured, Output, PcapPort, Repeat};

const SEEDS: u64 = 10;
const STEPS: u64 = 250;
/// Devices 0 to 2 are ports 1 to 3 of bridge 0, 3 is port 1 of bridge 1, 4 its LOCAL, 5 serves tunnels.
const DEVICES: u16 = 6;
/// Clauses have these priorities, plain rules all others, each once per table.
const CLAUSES: [u16; 2] = [100, 200];

/// What became of some frames: by device, at the controllers, by reason.
#[derive(PartialEq, Eq, Debug, Default)]
struct Fate {
    sent: Vec<Vec<Vec<u8>>>,
    punted: Vec<(u16, u32, u8, Option<u32>, Vec<u8>)>,
    dropped: Vec<(DropReason, u64)>,
}

/// A program with learned addresses of its own.
struct Side {
    program: Program,
    versions: Arc<Versions>,
}

impl Side {
    fn new() -> Side {
        let versions = Versions::new(Seeds::FIXED);
        let mut program = Program::new();
        for bridge in 0..2u16 {
            let fdb = Arc::new(Fdb::new(1000, 1 << 40, u64::from(bridge), versions.clone()));
            program.apply(&[Change::AddBridge { bridge, fdb }]);
        }
        Side { program, versions }
    }

    fn worker(&self) -> Worker {
        let settings = Settings { flows: 1 << 12, seeds: Seeds::FIXED, versions: self.versions.clone() };
        let mut w = Worker::new(Pool::new(2048, 256).unwrap(), settings);
        w.adopt(Arc::new(self.program.clone()));
        w
    }
}

/// Hands frames in by a device and collects what became of them.
fn run(worker: &mut Worker, device: u16, frames: &[Vec<u8>], now_ms: u64) -> Fate {
    let before = worker.counters().clone();
    let out: Vec<Captured> = (0..DEVICES).map(|_| Captured::default()).collect();
    for (d, captured) in out.iter().enumerate() {
        let mut port = PcapPort::new("p", Repeat::Times(1), Output::Memory(captured.clone()));
        if d == usize::from(device) {
            frames.iter().for_each(|f| port.push(f));
        }
        worker.add_port(d as u16, Box::new(port));
    }
    while worker.turn(now_ms) > 0 {}
    // Pieces of outer packets wait in one side only: the other is a new worker each time.
    worker.finish();
    let counters = worker.counters();
    assert!(counters.conserved(), "{counters:?}");
    assert_eq!(worker.pool_mut().outstanding(), 0, "frames that never came home");
    let counters = worker.counters();
    let dropped = DropReason::ALL.iter().map(|r| (*r, counters.dropped[*r as usize] - before.dropped[*r as usize]));
    let dropped = dropped.filter(|(_, n)| *n > 0).collect();
    let punts = worker.take_punts();
    let punted = punts.into_iter().map(|p| (p.bridge, p.in_port, p.table, p.rule, p.bytes)).collect();
    worker.take_events();
    Fate { sent: out.iter().map(Captured::take).collect(), punted, dropped }
}

impl Fate {
    fn add(&mut self, other: Fate) {
        self.sent.resize(other.sent.len(), Vec::new());
        self.sent.iter_mut().zip(other.sent).for_each(|(a, b)| a.extend(b));
        self.punted.extend(other.punted);
        for (reason, n) in other.dropped {
            match self.dropped.iter_mut().find(|(r, _)| *r == reason) {
                Some((_, m)) => *m += n,
                None => self.dropped.push((reason, n)),
            }
        }
    }

    /// In few words.
    fn told(&self) -> String {
        let sent: Vec<Vec<usize>> = self.sent.iter().map(|s| s.iter().map(Vec::len).collect()).collect();
        let some = self.sent.iter().flatten().next();
        format!("sent {sent:?}, punted {:?}, dropped {:?}, first {some:02x?}", self.punted, self.dropped)
    }

    /// Frames that were unwrapped come behind the rest of their batch.
    fn sorted(mut self) -> Fate {
        self.sent.iter_mut().for_each(|s| s.sort());
        self.punted.sort();
        self.dropped.sort();
        self
    }
}

/// What is installed, to be able to remove it.
#[derive(Default)]
struct Installed {
    rules: Vec<(u16, u8, Arc<Rule>)>,
    next_id: u32,
}

impl Installed {
    fn change(&mut self, r: &mut Random) -> Change {
        match r.below(24) {
            0 | 20 => port_change(r),
            21..=23 => group_change(r),
            1 => underlay(r),
            2 => Change::SetMiss {
                bridge: r.below(2) as u16,
                table: r.below(4) as u8,
                miss: r.pick(&[Miss::Drop, Miss::Continue, Miss::Controller]),
            },
            3..=8 if !self.rules.is_empty() => {
                let (bridge, table, rule) = self.rules.swap_remove(r.below(self.rules.len() as u64) as usize);
                Change::Remove { bridge, table, id: rule.id }
            }
            9 | 10 if !self.rules.is_empty() => {
                let at = r.below(self.rules.len() as u64) as usize;
                let (bridge, table, old) = self.rules[at].clone();
                let rule = Arc::new(Rule { actions: random::actions(r, table, 0).into(), ..(*old).clone() });
                self.rules[at].2 = rule.clone();
                Change::Replace { bridge, table, rule }
            }
            _ => self.addition(r),
        }
    }

    fn addition(&mut self, r: &mut Random) -> Change {
        let (bridge, table) = (r.pick(&[0, 0, 1]), r.pick(&[0, 0, 1, 2, 3]));
        let (mut value, mut mask) = random::matching(r);
        let (id, mut conjunctions) = (self.next_id, Vec::new());
        self.next_id += 1;
        let mut priority = 300;
        match r.below(6) {
            0 | 1 => {
                priority = r.pick(&CLAUSES);
                for _ in 0..1 + r.below(2) {
                    conjunctions.push(Conjunction { id: 1 + r.below(3) as u32, clause: r.below(2) as u8, n_clauses: 2 });
                }
            }
            2 => {
                value.set(slot::CONJ_ID, 1 + r.below(3));
                mask.cover(slot::CONJ_ID);
            }
            _ => {}
        }
        let taken = |p: u16| {
            CLAUSES.contains(&p) || self.rules.iter().any(|(b, t, r)| (*b, *t, r.priority) == (bridge, table, p))
        };
        while conjunctions.is_empty() && taken(priority) {
            priority = r.below(400) as u16;
        }
        let actions = if conjunctions.is_empty() { random::actions(r, table, 0) } else { Vec::new() };
        let matching = MaskedKey::new(&value, &mask);
        // Two rules with one match and one priority are one rule to OpenFlow: the older one goes on being there.
        let twin = |(b, t, o): &(u16, u8, Arc<Rule>)| {
            (*b, *t, o.priority) == (bridge, table, priority) && o.matching == matching
        };
        if let Some((_, _, old)) = self.rules.iter().find(|x| twin(x)) {
            return Change::Replace { bridge, table, rule: old.clone() };
        }
        let rule = Arc::new(Rule { id, priority, matching, actions: actions.into(), conjunctions: conjunctions.into() });
        self.rules.push((bridge, table, rule.clone()));
        Change::Add { bridge, table, rule }
    }
}

fn trunk(kind: PortKind) -> Port {
    Port { kind, ..Port::device(0) }
}

fn port_change(r: &mut Random) -> Change {
    let vlan = r.pick(&[VlanMode::Trunk(None), VlanMode::Trunk(Some([0, 1].into_iter().collect())), VlanMode::Access(1), VlanMode::Access(2)]);
    let n = r.below(3) as u16;
    let port = Port { vlan, live: !r.one_in(3), no_flood: r.one_in(4), no_forward: r.one_in(6), no_receive: r.one_in(8), ..Port::device(n) };
    Change::SetPort { bridge: 0, port: u32::from(n) + 1, to: (!r.one_in(8)).then_some(port) }
}

fn group_change(r: &mut Random) -> Change {
    let (bridge, id, serial) = (r.below(2) as u16, r.below(4) as u32, r.below(1 << 30) as u32);
    let kind = match r.below(4) {
        0 => Kind::All,
        1 => Kind::Indirect,
        2 => Kind::Select(Choice::AnyHeader),
        _ => Kind::FastFailover,
    };
    let bucket = |r: &mut Random, id: u32| Bucket {
        id,
        weight: r.below(3) as u16,
        watch_port: r.one_in(2).then(|| r.below(4) as u32),
        watch_group: r.one_in(3).then(|| r.below(4) as u32),
        actions: random::actions(r, 3, 1).into(),
    };
    let n = 1 + r.below(3) as u32;
    let buckets = (0..n).map(|id| bucket(r, id)).collect();
    Change::SetGroup { bridge, id, to: (!r.one_in(4)).then(|| Arc::new(Group::new(serial, kind, buckets))) }
}

fn underlay(r: &mut Random) -> Change {
    let ip = |s: &str| s.parse().unwrap();
    let (own, own6) = r.pick(&[("192.0.2.1", "fd00::1"), ("192.0.2.1", "fd00::9"), ("192.0.2.9", "fd00::1")]);
    let exit = r.pick(&[Exit::Port(5), Exit::Bridge(1)]);
    let device = Device { name: "u".into(), mac: [2, 0, 0, 0, 0, 1], addresses: vec![ip(own), ip(own6)], exit, mtu: 1500 };
    let route = |prefix: &str, len| Route { prefix: ip(prefix), len, device: 0, gateway: None, source: None };
    let routes = vec![route("192.0.2.0", 24), route("fd00::", 64)];
    let mut neighbours = std::collections::HashMap::new();
    for peer in ["192.0.2.2", "fd00::2"] {
        if !r.one_in(4) {
            neighbours.insert((0, ip(peer)), [2, 0, 0, 0, 0, 2]);
        }
    }
    Change::SetUnderlay(Arc::new(Underlay { devices: vec![device], routes, neighbours, ..Underlay::default() }))
}

/// The ports of both bridges. A tunnel over IPv6 makes every look-up wide, so not all worlds have one.
fn ports(over_ipv6: bool) -> Vec<Change> {
    let mut all = Vec::new();
    for (device, bridge, port) in [(0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 1, 1), (4, 1, LOCAL)] {
        all.push(Change::SetPort { bridge, port, to: Some(Port::device(device)) });
        all.push(Change::SetIngress { device, to: Some(Ingress::Bridge { bridge, port }) });
    }
    all.push(Change::SetIngress { device: 5, to: Some(Ingress::Underlay) });
    let tunnel = |remote: Option<&str>, csum| Tunnel {
        key: None, out_key: None,
        remote: remote.map(|a| a.parse().unwrap()),
        local: None,
        dst_port: 4789,
        tos: OuterTos::Inherit,
        ttl: OuterTtl::Inherit,
        df: true,
        csum,
        gbp: false,
        mark: 0,
    };
    for (bridge, port, kind) in [
        (0, 10, PortKind::Patch { bridge: 1, port: 10 }),
        (1, 10, PortKind::Patch { bridge: 0, port: 10 }),
        (0, 20, PortKind::Tunnel(Arc::new(tunnel(Some("192.0.2.2"), None)))),
    ] {
        all.push(Change::SetPort { bridge, port, to: Some(trunk(kind)) });
    }
    if over_ipv6 {
        for (port, tunnel) in [(21, tunnel(Some("fd00::2"), None)), (22, tunnel(None, Some(false)))] {
            all.push(Change::SetPort { bridge: 0, port, to: Some(trunk(PortKind::Tunnel(Arc::new(tunnel)))) });
        }
    }
    all
}

/// A worker with its cache beside ever new ones.
struct Pair {
    cached: Side,
    fresh: Side,
    worker: Worker,
    now_ms: u64,
}

impl Pair {
    fn new() -> Pair {
        let (cached, fresh) = (Side::new(), Side::new());
        let worker = cached.worker();
        Pair { cached, fresh, worker, now_ms: 1000 }
    }

    /// Each change is an epoch of its own; the worker adopts the last one.
    fn change(&mut self, changes: &[Change]) {
        for c in changes {
            self.cached.program.apply(std::slice::from_ref(c));
            self.fresh.program.apply(std::slice::from_ref(c));
        }
        self.worker.adopt(Arc::new(self.cached.program.clone()));
    }

    /// Both give the same answer to these frames.
    fn agree(&mut self, device: u16, batch: &[Vec<u8>], what: &str) {
        let got = run(&mut self.worker, device, batch, self.now_ms).sorted();
        let mut wanted = Fate::default();
        // What is unwrapped teaches addresses when the rest of its batch was decided.
        let tunnelled = batch.iter().any(|f| f.windows(2).any(|w| w == 4789u16.to_be_bytes()));
        for frames in batch.chunks(if tunnelled { batch.len() } else { 1 }) {
            wanted.add(run(&mut self.fresh.worker(), device, frames, self.now_ms));
        }
        let wanted = wanted.sorted();
        let no_memory = |f: &Fate| f.dropped.iter().any(|(r, _)| *r == DropReason::NoBuffer);
        if got != wanted && !no_memory(&got) && !no_memory(&wanted) {
            panic!("{what}, device {device}, {batch:02x?}\ncached: {}\nfresh:  {}", got.told(), wanted.told());
        }
    }
}

/// The same frame with other addresses, ports or flags: a flow of its own, and often the same verdict.
fn nearly(mut frame: Vec<u8>, r: &mut Random) -> Vec<u8> {
    for _ in 0..1 + r.below(3) {
        let at = r.below(54.min(frame.len() as u64)) as usize;
        frame[at] ^= 1 << r.below(8);
    }
    frame
}

fn agree_for(seed: u64, steps: u64) {
    let mut r = Random::new(seed);
    let mut pair = Pair::new();
    let mut installed = Installed::default();
    pair.change(&ports(seed % 2 == 0));
    pair.change(&[underlay(&mut r)]);
    let first: Vec<_> = (0..20).map(|_| installed.addition(&mut r)).collect();
    pair.change(&first);
    let mut frames: Vec<Vec<u8>> = (0..40).map(|_| random::frame(&mut r)).collect();
    for step in 0..steps {
        if r.one_in(2) {
            let changes: Vec<_> = (0..1 + r.below(3)).map(|_| installed.change(&mut r)).collect();
            pair.change(&changes);
        }
        let at = r.below(40) as usize;
        let like = r.pick(&frames);
        frames[at] = if r.one_in(2) { random::frame(&mut r) } else { nearly(like, &mut r) };
        pair.now_ms += r.pick(&[0, 0, 0, 300, 2000]);
        let device = r.pick(&[0, 0, 0, 1, 2, 3, 5]);
        for _ in 0..1 + r.below(8) {
            let batch: Vec<Vec<u8>> = (0..1 + r.below(3)).map(|_| r.pick(&frames)).collect();
            pair.agree(device, &batch, &format!("seed {seed}, step {step}"));
        }
    }
    let counters = pair.worker.counters();
    assert!(counters.hits * 5 > counters.misses, "a test of the cache needs hits: {counters:?}");
    assert!(counters.alike > 0 || steps < STEPS, "and flows that are like others: {counters:?}");
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn the_cache_answers_what_the_tables_answer_whatever_changes() {
    let (first, steps) = (number("SLUICE_SEED", 1), number("SLUICE_STEPS", STEPS));
    for seed in first..first + SEEDS {
        agree_for(seed, steps);
    }
}

#[test]
fn a_seed_gives_the_same_packets_and_matches_again() {
    let (mut a, mut b) = (Random::new(7), Random::new(7));
    for _ in 0..100 {
        assert_eq!(random::frame(&mut a), random::frame(&mut b));
        assert_eq!(random::matching(&mut a), random::matching(&mut b));
    }
}

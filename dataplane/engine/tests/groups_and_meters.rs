//! Groups, meters and labels through a worker: what leaves, what counts, and which flows stay cached.

use std::sync::Arc;

use sluice_engine::{Settings, Worker};
use sluice_flow::action::{Action, Punt};
use sluice_flow::fdb::{Fdb, Versions};
use sluice_flow::group::{Bucket, Choice, Group, Kind};
use sluice_flow::hash::Seeds;
use sluice_flow::key::slot;
use sluice_flow::meter::{Band, Exceeded, Meter, CONTROLLER};
use sluice_flow::program::{Ingress, Port};
use sluice_flow::{Change, DropReason, Key, MaskedKey, Program, Rule};
use sluice_frame::Pool;
use sluice_port::pcap::{Captured, Output, PcapPort, Repeat};

struct Bench {
    worker: Worker,
    program: Program,
    sent: Vec<Captured>,
    rules: u32,
}

impl Bench {
    /// One bridge with ports 1 to 3.
    fn new() -> Bench {
        let versions = Versions::new(Seeds::FIXED);
        let settings = Settings { flows: 1 << 12, seeds: Seeds::FIXED, versions: versions.clone() };
        let worker = Worker::new(Pool::new(2048, 1024).unwrap(), settings);
        let mut b = Bench { worker, program: Program::new(), sent: Vec::new(), rules: 0 };
        b.apply(&[Change::AddBridge { bridge: 0, fdb: Arc::new(Fdb::new(100, 300, 0, versions)) }]);
        for device in 0..3u16 {
            let out = Captured::default();
            b.worker.add_port(device, Box::new(PcapPort::new("p", Repeat::Times(1), Output::Memory(out.clone()))));
            b.sent.push(out);
            b.link(device, true);
            b.apply(&[Change::SetIngress { device, to: Some(Ingress::Bridge { bridge: 0, port: u32::from(device) + 1 }) }]);
        }
        b
    }

    fn apply(&mut self, changes: &[Change]) {
        self.program.apply(changes);
        self.worker.adopt(Arc::new(self.program.clone()));
    }

    fn link(&mut self, device: u16, live: bool) {
        let to = Some(Port { live, ..Port::device(device) });
        self.apply(&[Change::SetPort { bridge: 0, port: u32::from(device) + 1, to }]);
    }

    /// A rule for an Ethernet destination.
    fn rule(&mut self, eth_dst: u64, actions: Vec<Action>) {
        let (mut value, mut mask) = (Key::ZERO, Key::ZERO);
        value.set(slot::ETH_DST, eth_dst);
        mask.cover(slot::ETH_DST);
        self.rules += 1;
        let matching = MaskedKey::new(&value, &mask);
        let rule = Rule { id: self.rules, priority: 1, matching, actions: actions.into(), conjunctions: Box::new([]) };
        self.apply(&[Change::Add { bridge: 0, table: 0, rule: Arc::new(rule) }]);
    }

    fn group(&mut self, serial: u32, kind: Kind, buckets: Vec<Bucket>) {
        let to = Some(Arc::new(Group::new(serial, kind, buckets.into())));
        self.apply(&[Change::SetGroup { bridge: 0, id: 7, to }]);
    }

    fn meter(&mut self, id: u32, serial: u32, rate: u32, exceeded: Exceeded) {
        let bands = Box::new([Band { rate, burst: rate, exceeded }]);
        let to = Some(Arc::new(Meter { serial, place: id & 1, by_packets: true, bands }));
        self.apply(&[Change::SetMeter { bridge: 0, id, to }]);
    }

    /// Frames into port 1; how many left by each port, and the last one.
    fn run(&mut self, frames: &[Vec<u8>], now_ms: u64) -> (Vec<usize>, Vec<u8>) {
        let mut port = PcapPort::new("in", Repeat::Times(1), Output::Memory(self.sent[0].clone()));
        frames.iter().for_each(|f| port.push(f));
        self.worker.add_port(0, Box::new(port));
        while self.worker.turn(now_ms) > 0 {}
        assert!(self.worker.counters().conserved(), "{:?}", self.worker.counters());
        let all: Vec<Vec<Vec<u8>>> = self.sent.iter().map(Captured::take).collect();
        let last = all.iter().flatten().last().cloned().unwrap_or_default();
        (all.iter().map(Vec::len).collect(), last)
    }

    fn misses(&self) -> u64 {
        self.worker.counters().misses
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.worker.counters().dropped[reason as usize]
    }
}

fn bucket(port: u32, weight: u16, watch: Option<u32>) -> Bucket {
    let actions = Arc::new([Action::Output(port)]);
    Bucket { id: port, weight, watch_port: watch, watch_group: None, actions }
}

/// An IPv4 packet of protocol 99 with this TTL and TOS, to this Ethernet address.
fn ip(eth_dst: u8, src: u16, tos: u8, ttl: u8) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, eth_dst, 2, 0, 0, 0, 0, 9, 8, 0];
    let [a, b] = src.to_be_bytes();
    f.extend([0x45, tos, 0, 20, 0, 1, 0, 0, ttl, 99, 0, 0, 10, 0, a, b, 10, 1, 0, 1]);
    let sum = !sluice_wire::checksum::fold(sluice_wire::checksum::sum(&f[14..]));
    f[24..26].copy_from_slice(&sum.to_be_bytes());
    f.resize(60, 0);
    f
}

const TO_GROUP: u64 = 0x0200_0000_0001;
const ELSEWHERE: u64 = 0x0200_0000_0002;

#[test]
fn a_select_group_spreads_flows_by_weight_and_keeps_each_on_its_bucket() {
    let mut b = Bench::new();
    b.group(1, Kind::Select(Choice::AnyHeader), vec![bucket(2, 1, None), bucket(3, 3, None)]);
    b.rule(TO_GROUP, vec![Action::Group(7)]);
    let frames: Vec<_> = (0..1000).map(|i| ip(1, i, 0, 64)).collect();
    let (first, _) = b.run(&frames, 1000);
    assert!((200..300).contains(&first[1]) && first[1] + first[2] == 1000, "{first:?}");
    let misses = b.misses();
    assert_eq!((b.run(&frames, 1001).0, b.misses()), (first.clone(), misses), "cached, and alike");
    let report = b.worker.report();
    let of = |bucket| report.groups.get(&(1, Some(bucket))).map_or(0, |u| u.packets as usize);
    assert_eq!([of(0), of(1)], [2 * first[1], 2 * first[2]]);
}

#[test]
fn a_change_of_a_group_or_link_touches_only_flows_that_asked_it() {
    let mut b = Bench::new();
    b.group(1, Kind::FastFailover, vec![bucket(2, 0, Some(2)), bucket(3, 0, Some(3))]);
    b.rule(TO_GROUP, vec![Action::Group(7)]);
    b.rule(ELSEWHERE, vec![Action::Output(3)]);
    let frames = [ip(1, 1, 0, 64), ip(2, 1, 0, 64)];
    assert_eq!(b.run(&frames, 1000).0, [0, 1, 1]);
    let misses = b.misses();
    b.link(1, false);
    assert_eq!((b.run(&frames, 1001).0, b.misses()), (vec![0, 0, 2], misses + 1));
    b.link(2, false);
    assert_eq!((b.run(&frames, 1002).0, b.dropped(DropReason::NoLiveBucket)), (vec![0, 0, 1], 1));
    b.group(2, Kind::All, vec![bucket(2, 0, None), bucket(3, 0, None)]);
    let misses = b.misses();
    assert_eq!((b.run(&frames, 1003).0, b.misses()), (vec![0, 1, 2], misses + 1));
}

#[test]
fn a_meter_drops_above_its_rate_and_counts() {
    let mut b = Bench::new();
    b.meter(5, 9, 100, Exceeded::Drop);
    b.rule(TO_GROUP, vec![Action::Meter(5), Action::Output(2)]);
    let frames: Vec<_> = (0..300).map(|_| ip(1, 1, 0, 64)).collect();
    assert_eq!(b.run(&frames, 1000).0, [0, 100, 0]);
    assert_eq!(b.run(&frames, 1500).0, [0, 50, 0]);
    assert_eq!(b.dropped(DropReason::Metered), 450);
    let used = b.worker.report().meters.remove(&9).unwrap();
    assert_eq!((used.packets, used.bytes, used.bands), (600, 36_000, vec![(450, 27_000)]));
}

#[test]
fn a_meter_remarks_only_what_has_a_drop_precedence_and_the_controllers_have_a_meter_of_their_own() {
    let mut b = Bench::new();
    b.meter(5, 9, 1, Exceeded::Remark(1));
    b.meter(CONTROLLER, 10, 2, Exceeded::Drop);
    b.rule(TO_GROUP, vec![Action::Meter(5), Action::Output(2)]);
    b.rule(ELSEWHERE, vec![Action::Punt(Arc::new(Punt { max_len: 20, ..Punt::default() }))]);
    let (_, last) = b.run(&[ip(1, 1, 18 << 2 | 1, 64), ip(1, 1, 18 << 2 | 1, 64)], 1000);
    assert_eq!(last, ip(1, 1, 20 << 2 | 1, 64), "AF21 became AF22, checksum and all");
    let (_, last) = b.run(&[ip(1, 1, 46 << 2, 64)], 1000);
    assert_eq!(last, ip(1, 1, 46 << 2, 64));
    b.run(&[ip(2, 1, 0, 64), ip(2, 1, 0, 64), ip(2, 1, 0, 64)], 1000);
    assert_eq!((b.worker.take_punts().len(), b.dropped(DropReason::Metered)), (2, 1));
}

#[test]
fn later_tables_see_the_dscp_that_a_meter_wrote() {
    let mut b = Bench::new();
    b.meter(5, 9, 1, Exceeded::Remark(1));
    b.rule(TO_GROUP, vec![Action::Meter(5), Action::Resubmit { in_port: None, table: Some(1) }, Action::Output(1)]);
    for (dscp, port) in [(18, 2), (20, 3)] {
        let (mut value, mut mask) = (Key::ZERO, Key::ZERO);
        for (place, wanted) in [(slot::ETH_TYPE, 0x0800), (slot::NW_DSCP, dscp)] {
            value.set(place, wanted);
            mask.cover(place);
        }
        let actions = Arc::new([Action::Output(port)]);
        let matching = MaskedKey::new(&value, &mask);
        let rule = Rule { id: 100 + port, priority: 1, matching, actions, conjunctions: Box::new([]) };
        b.apply(&[Change::Add { bridge: 0, table: 1, rule: Arc::new(rule) }]);
    }
    let frames: Vec<_> = (0..4).map(|_| ip(1, 1, 18 << 2, 64)).collect();
    assert_eq!(b.run(&frames, 1000).0, [0, 1, 3], "within the rate by one port, above it by the other");
    let misses = b.misses();
    assert_eq!((b.run(&frames, 2000).0, b.misses()), (vec![0, 1, 3], misses), "cached, both ways");
}

#[test]
fn labels_are_pushed_copied_and_popped_and_the_packet_under_them_is_seen_again() {
    let mut b = Bench::new();
    let labelled = vec![Action::PushMpls(0x8847), Action::PushMpls(0x8847), Action::CopyTtlIn, Action::Output(2)];
    b.rule(TO_GROUP, labelled);
    let ttl = |f: &[u8]| [f[17], f[21], f[30]];
    let (_, sent) = b.run(&[ip(1, 1, 0, 33)], 1000);
    assert_eq!((&sent[12..14], ttl(&sent), sent.len()), (&[0x88, 0x47][..], [33, 33, 33], 68));
    let mut arriving = ip(2, 1, 0, 9);
    arriving.splice(12..14, [0x88, 0x47, 0, 1, 1, 50]);
    let one = [Action::CopyTtlIn, Action::PopMpls(0x0800), Action::DecTtl(Arc::new([0])), Action::Output(3)];
    b.rule(ELSEWHERE, one.to_vec());
    let (_, sent) = b.run(&[arriving.clone()], 1000);
    assert_eq!(sent, ip(2, 1, 0, 49));
    let misses = b.misses();
    b.run(&[arriving.clone(), arriving], 1001);
    assert_eq!(b.misses(), misses, "one pass, and cached");
}

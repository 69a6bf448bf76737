//! Whole frames through a worker: what goes in by one port comes out as the rules say.

use std::net::Ipv4Addr;
use std::sync::Arc;

use sluice_engine::storm::FloodRates;
use sluice_engine::{Settings, Worker};
use sluice_flow::action::{Action, Need, LOCAL};
use sluice_flow::fdb::{Fdb, Versions};
use sluice_flow::hash::Seeds;
use sluice_flow::key::slot;
use sluice_flow::program::{Ingress, Port, PortKind, Tunnel};
use sluice_flow::underlay::{Device, Exit, Route, Underlay};
use sluice_flow::verdict::{OuterTos, OuterTtl};
use sluice_flow::{Change, DropReason, Key, MaskedKey, Program, Rule, Slot};
use sluice_frame::Pool;
use sluice_port::pcap::{Captured, Output, PcapPort, Repeat};
use sluice_wire::{build, ipv4};

struct Bench {
    worker: Worker,
    program: Program,
    versions: Arc<Versions>,
    sent: Vec<Captured>,
    next_rule: u32,
    now_ms: u64,
}

impl Bench {
    /// A worker with bridge 0 and `ports` ports, OpenFlow numbers from 1.
    fn new(ports: u16) -> Bench {
        let versions = Versions::new(Seeds::FIXED);
        let pool = Pool::new(4096, 512).unwrap();
        let settings = Settings { flows: 1 << 16, seeds: Seeds::FIXED, versions: versions.clone() };
        let mut b = Bench {
            worker: Worker::new(pool, settings),
            program: Program::new(),
            versions,
            sent: Vec::new(),
            next_rule: 1,
            now_ms: 1000,
        };
        b.bridge(0);
        for i in 0..ports {
            b.port(0, u32::from(i) + 1, i);
        }
        b
    }

    fn apply(&mut self, changes: &[Change]) {
        self.program.apply(changes);
        self.worker.adopt(Arc::new(self.program.clone()));
    }

    fn bridge(&mut self, n: u16) {
        let fdb = Arc::new(Fdb::new(100, 300, u64::from(n), self.versions.clone()));
        self.apply(&[Change::AddBridge { bridge: n, fdb }]);
    }

    fn port(&mut self, bridge: u16, port: u32, device: u16) {
        let out = Captured::default();
        self.sent.push(out.clone());
        self.worker.add_port(device, Box::new(PcapPort::new("p", Repeat::Times(1), Output::Memory(out))));
        self.apply(&[
            Change::SetPort { bridge, port, to: Some(Port::device(device)) },
            Change::SetIngress { device, to: Some(Ingress::Bridge { bridge, port }) },
        ]);
    }

    fn rule(&mut self, bridge: u16, table: u8, priority: u16, on: &[(Slot, u128)], actions: Vec<Action>) -> u32 {
        let (mut value, mut mask) = (Key::ZERO, Key::ZERO);
        for &(s, v) in on {
            value.set_wide(s, v);
            mask.cover(s);
        }
        let id = self.next_rule;
        self.next_rule += 1;
        let matching = MaskedKey::new(&value, &mask);
        let rule = Arc::new(Rule { id, priority, matching, actions: actions.into(), conjunctions: Box::new([]) });
        self.apply(&[Change::Add { bridge, table, rule }]);
        id
    }

    /// Hands frames in by a device and answers what each device sent.
    fn run(&mut self, device: u16, frames: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
        self.port_with(device, frames);
        self.turns()
    }

    /// Makes frames ready to come in by a device.
    fn port_with(&mut self, device: u16, frames: &[Vec<u8>]) {
        let mut port = PcapPort::new("in", Repeat::Times(1), Output::Memory(self.sent[device as usize].clone()));
        frames.iter().for_each(|f| port.push(f));
        self.worker.add_port(device, Box::new(port));
    }

    /// Turns until nothing comes in any more.
    fn turns(&mut self) -> Vec<Vec<Vec<u8>>> {
        while self.worker.turn(self.now_ms) > 0 {}
        assert!(self.worker.counters().conserved(), "{:?}", self.worker.counters());
        assert_eq!(self.worker.pool_mut().outstanding(), 0);
        self.sent.iter().map(Captured::take).collect()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.worker.counters().dropped[reason as usize]
    }
}

fn mac(n: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, n]
}

fn ipv4_sum(header: &[u8]) -> u16 {
    !sluice_wire::checksum::fold(sluice_wire::checksum::sum(header))
}

/// A UDP packet with right checksums.
fn udp(src: u8, dst: u8, sport: u16, dport: u16, ttl: u8) -> Vec<u8> {
    let payload = b"sluice";
    let mut f = Vec::new();
    f.extend(mac(dst));
    f.extend(mac(src));
    f.extend([8, 0]);
    let len = 20 + 8 + payload.len() as u16;
    let mut ip = vec![0x45, 0, (len >> 8) as u8, len as u8, 0, 1, 0, 0, ttl, 17, 0, 0, 10, 0, 0, src, 10, 0, 0, dst];
    let sum = ipv4_sum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    f.extend(&ip);
    let mut u = Vec::new();
    u.extend(sport.to_be_bytes());
    u.extend(dport.to_be_bytes());
    u.extend((len - 20).to_be_bytes());
    u.extend([0, 0]);
    u.extend(payload);
    f.extend(&u);
    fix_udp(&mut f);
    f
}

fn fix_udp(f: &mut [u8]) {
    f[40..42].fill(0);
    let c = udp_sum(f);
    f[40..42].copy_from_slice(&c.to_be_bytes());
}

fn udp_sum(f: &[u8]) -> u16 {
    let src = u32::from_be_bytes(f[26..30].try_into().unwrap());
    let dst = u32::from_be_bytes(f[30..34].try_into().unwrap());
    let mut copy = f[34..].to_vec();
    copy[6..8].fill(0);
    let sum = sluice_wire::checksum::pseudo4(src, dst, 17, copy.len() as u32) + sluice_wire::checksum::sum(&copy);
    !sluice_wire::checksum::fold(sum)
}

fn set(slot: Slot, value: u128, need: Need) -> Action {
    Action::Set { slot, value, mask: slot.ones(), need }
}

#[test]
fn a_rule_on_the_input_port_sends_every_frame_on() {
    let mut b = Bench::new(2);
    b.rule(0, 0, 1, &[(slot::IN_PORT, 1)], vec![Action::Output(2)]);
    let frames: Vec<_> = (0..200).map(|i| udp(1, 2, 1000 + i, 53, 64)).collect();
    let out = b.run(0, &frames);
    assert_eq!(out[1], frames);
    let report = b.worker.report();
    assert_eq!((report.rules[&1].packets, report.counters.misses), (200, 1));
}

#[test]
fn without_a_rule_or_with_an_empty_one_the_reason_is_counted() {
    let mut b = Bench::new(2);
    b.run(0, &[udp(1, 2, 1, 2, 64)]);
    assert_eq!(b.dropped(DropReason::NoRule), 1);
    b.rule(0, 0, 1, &[], vec![]);
    b.run(0, &[udp(1, 2, 1, 2, 64), vec![0; 9]]);
    assert_eq!(b.dropped(DropReason::RuleDrop), 1);
    assert_eq!(b.dropped(DropReason::Runt), 1);
    b.rule(0, 0, 2, &[], vec![Action::Output(1)]);
    b.run(0, &[udp(1, 2, 1, 2, 64)]);
    assert_eq!(b.dropped(DropReason::SamePort), 1);
}

#[test]
fn rewriting_keeps_every_checksum_right() {
    let mut b = Bench::new(2);
    b.rule(
        0,
        0,
        1,
        &[(slot::ETH_TYPE, 0x0800)],
        vec![
            set(slot::NW_SRC, 0xc0a80101, Need::Ipv4),
            set(slot::NW_DST, 0xcb007107, Need::Ipv4),
            set(slot::TP_DST, 8053, Need::Udp),
            set(slot::NW_DSCP, 46, Need::Ip),
            Action::DecTtl(Arc::new([0])),
            Action::Output(2),
        ],
    );
    let out = b.run(0, &[udp(1, 2, 1000, 53, 64)]);
    let f = &out[1][0];
    assert_eq!(ipv4_sum(&f[14..34]), 0);
    assert_eq!(u16::from_be_bytes([f[40], f[41]]), udp_sum(f));
    assert_eq!(f[26..30], [192, 168, 1, 1]);
    assert_eq!((f[15], f[22], &f[36..38]), (46 << 2, 63, &8053u16.to_be_bytes()[..]));
}

#[test]
fn an_expired_ttl_goes_no_further() {
    let mut b = Bench::new(2);
    b.rule(0, 0, 1, &[], vec![Action::DecTtl(Arc::new([0])), Action::Output(2)]);
    let out = b.run(0, &[udp(1, 2, 1, 1, 1), udp(1, 2, 1, 1, 2), udp(1, 2, 1, 1, 200)]);
    assert_eq!(out[1].iter().map(|f| f[22]).collect::<Vec<_>>(), [1, 199]);
    assert_eq!(b.dropped(DropReason::TtlExpired), 1);
    assert_eq!(b.worker.take_punts().len(), 1);
}

#[test]
fn earlier_outputs_see_the_packet_as_it_was_then() {
    let mut b = Bench::new(3);
    let actions = vec![Action::Output(2), set(slot::TP_SRC, 7, Need::Udp), Action::Output(3)];
    b.rule(0, 0, 1, &[], actions);
    let f = udp(1, 2, 1000, 53, 64);
    let out = b.run(0, std::slice::from_ref(&f));
    assert_eq!(out[1], [f]);
    assert_eq!(out[2][0][34..36], [0, 7]);
}

#[test]
fn tags_are_pushed_and_popped() {
    let mut b = Bench::new(3);
    let vid = set(slot::VLAN_VID_PRESENT, 0x1000 | 42, Need::Vlan);
    b.rule(0, 0, 1, &[(slot::IN_PORT, 1)], vec![Action::PushVlan(0x8100), vid, Action::Output(2)]);
    b.rule(0, 0, 1, &[(slot::IN_PORT, 2)], vec![Action::PopVlan, Action::Output(3)]);
    let f = udp(1, 2, 1000, 53, 64);
    let tagged = b.run(0, std::slice::from_ref(&f)).remove(1).remove(0);
    assert_eq!(tagged[12..16], [0x81, 0, 0, 42]);
    assert_eq!(b.run(1, &[tagged])[2], [f]);
}

#[test]
fn a_frame_gets_every_tag_that_its_rule_pushes_or_goes_nowhere() {
    let mut b = Bench::new(2);
    let mut actions = vec![Action::PushVlan(0x8100); 60];
    actions.push(Action::Output(2));
    b.rule(0, 0, 1, &[], actions);
    let f = udp(1, 2, 1000, 53, 64);
    let out = b.run(0, std::slice::from_ref(&f));
    assert_eq!(out[1].iter().map(Vec::len).collect::<Vec<_>>(), [f.len() + 60 * 4]);
    assert_eq!(out[1][0][12 + 60 * 4..], f[12..]);
}

#[test]
fn a_packet_that_runs_in_circles_goes_nowhere_at_all() {
    for (table, reason) in [(Some(0), DropReason::TooDeep), (Some(1), DropReason::TooManyResubmits)] {
        let mut b = Bench::new(2);
        let again = Action::Resubmit { in_port: None, table };
        b.rule(0, 0, 1, &[], vec![Action::Output(2), again.clone(), again]);
        for t in 1..60u8 {
            let next = Action::Resubmit { in_port: None, table: Some(t + 1) };
            b.rule(0, t, 1, &[], vec![next.clone(), next]);
        }
        let out = b.run(0, &[udp(1, 2, 1000, 53, 64)]);
        assert_eq!((out[1].len(), b.dropped(reason)), (0, 1));
    }
}

#[test]
fn normal_floods_learns_and_then_does_not_flood() {
    let mut b = Bench::new(3);
    b.rule(0, 0, 1, &[], vec![Action::Normal]);
    let out = b.run(0, &[udp(1, 2, 1, 1, 64)]);
    assert_eq!((out[1].len(), out[2].len()), (1, 1));
    let out = b.run(1, &[udp(2, 1, 1, 1, 64)]);
    assert_eq!((out[0].len(), out[2].len()), (1, 0));
    let out = b.run(0, &[udp(1, 2, 1, 1, 64)]);
    assert_eq!((out[1].len(), out[2].len()), (1, 0));
    // The address moves: the very next packet to it follows.
    b.run(2, &[udp(2, 1, 1, 1, 64)]);
    let out = b.run(0, &[udp(1, 2, 1, 1, 64)]);
    assert_eq!((out[1].len(), out[2].len()), (0, 1));
}

#[test]
fn a_storm_is_cut_and_what_goes_to_a_known_place_is_not() {
    let mut b = Bench::new(3);
    b.rule(0, 0, 1, &[], vec![Action::Normal, Action::Output(1)]);
    let limited = Port { storm_limited: true, ..Port::device(2) };
    b.apply(&[Change::SetPort { bridge: 0, port: 3, to: Some(limited) }]);
    let frames = |dst: u8| vec![udp(3, dst, 1, 1, 64); 5];
    let mut broadcast = frames(9);
    broadcast.iter_mut().for_each(|f| f[..6].fill(0xff));
    let floods = |b: &mut Bench, frames: &[Vec<u8>], broadcast, unknown_unicast| {
        b.port_with(2, frames);
        b.worker.limit_floods(2, FloodRates { broadcast, unknown_unicast });
        let out = b.turns();
        (out[1].len(), out[0].len())
    };
    // What the rule does beside flooding it still does.
    assert_eq!(floods(&mut b, &frames(9), 1, 2), (2, 5 + 2));
    assert_eq!(b.dropped(DropReason::StormLimited), 3);
    assert_eq!(floods(&mut b, &broadcast, 1, 2), (1, 5 + 1));
    assert_eq!(floods(&mut b, &broadcast, 0, 2), (5, 5 + 5));
    b.run(1, &[udp(2, 9, 1, 1, 64)]);
    assert_eq!(floods(&mut b, &frames(2), 1, 2), (5, 5), "the place is known");
    assert_eq!(b.dropped(DropReason::StormLimited), 3 + 4);
}

#[test]
fn a_patch_port_clears_registers_and_the_original_goes_on_unchanged() {
    let mut b = Bench::new(2);
    b.bridge(1);
    b.port(1, 1, 2);
    let patch = |bridge, port| Some(Port { kind: PortKind::Patch { bridge, port }, ..Port::device(0) });
    b.apply(&[
        Change::SetPort { bridge: 0, port: 9, to: patch(1, 8) },
        Change::SetPort { bridge: 1, port: 8, to: patch(0, 9) },
    ]);
    b.rule(0, 0, 1, &[], vec![set(slot::reg(0), 5, Need::Nothing), Action::Output(9), Action::Output(2)]);
    b.rule(1, 0, 2, &[(slot::reg(0), 5)], vec![]);
    b.rule(1, 0, 1, &[(slot::IN_PORT, 8)], vec![set(slot::TP_DST, 99, Need::Udp), Action::Output(1)]);
    let f = udp(1, 2, 1000, 53, 64);
    let out = b.run(0, std::slice::from_ref(&f));
    assert_eq!(out[1], [f]);
    assert_eq!(out[2][0][36..38], [0, 99]);
    let report = b.worker.report();
    assert_eq!(report.crossings[&(0, 9)][1].packets, 1);
    assert_eq!(report.crossings[&(1, 8)][0].packets, 1);
}

fn tunnel(remote: &str, local: &str) -> Option<Port> {
    let tunnel = Tunnel {
        key: None, out_key: None,
        remote: Some(remote.parse().unwrap()),
        local: Some(local.parse().unwrap()),
        dst_port: 4789,
        tos: OuterTos::Set(0),
        ttl: OuterTtl::Set(64),
        df: true,
        csum: None,
        gbp: false,
        mark: 0,
    };
    Some(Port { kind: PortKind::Tunnel(Arc::new(tunnel)), ..Port::device(0) })
}

fn underlay(own: &str, peer: &str, exit: Exit) -> Change {
    let (own, peer) = (own.parse().unwrap(), peer.parse().unwrap());
    let device = Device { name: "u".into(), mac: mac(0xaa), addresses: vec![own], exit, mtu: 1500 };
    let route = Route { prefix: peer, len: 24, device: 0, gateway: None, source: None };
    let neighbours = [((0, peer), mac(0xbb))].into();
    Change::SetUnderlay(Arc::new(Underlay { devices: vec![device], routes: vec![route], neighbours, ..Underlay::default() }))
}

#[test]
fn vxlan_out_and_back_gives_the_same_frame() {
    let mut b = Bench::new(2);
    b.bridge(1);
    b.port(1, 1, 2);
    b.apply(&[
        Change::SetPort { bridge: 0, port: 10, to: tunnel("192.0.2.2", "192.0.2.1") },
        Change::SetPort { bridge: 1, port: 10, to: tunnel("192.0.2.1", "192.0.2.2") },
        underlay("192.0.2.1", "192.0.2.2", Exit::Port(1)),
        Change::SetIngress { device: 1, to: Some(Ingress::Underlay) },
    ]);
    b.rule(0, 0, 1, &[], vec![set(slot::TUN_ID, 123, Need::Nothing), Action::Output(10)]);
    b.rule(1, 0, 1, &[(slot::TUN_ID, 123), (slot::IN_PORT, 10)], vec![Action::Output(1)]);
    let f = udp(1, 2, 1000, 53, 64);
    let wire = b.run(0, std::slice::from_ref(&f)).remove(1);
    assert_eq!(wire[0].len(), f.len() + 50);
    assert_eq!(ipv4_sum(&wire[0][14..34]), 0);
    assert_eq!(wire[0][46..50], [0, 0, 123, 0]);
    assert_eq!(&wire[0][50..], &f[..]);
    assert_eq!(b.run(1, &wire)[2], [f]);
    // The inner frame's VNI is not one that any rule takes.
    b.rule(1, 0, 5, &[(slot::TUN_ID, 123)], vec![]);
    b.run(1, &wire);
    assert_eq!(b.dropped(DropReason::RuleDrop), 1);
}

#[test]
fn a_packet_that_is_too_big_for_the_tunnel_is_answered_with_what_fits() {
    let mut b = Bench::new(1);
    b.port(0, 2, 1);
    b.apply(&[
        Change::SetPort { bridge: 0, port: 10, to: tunnel("192.0.2.2", "192.0.2.1") },
        underlay("192.0.2.1", "192.0.2.2", Exit::Port(1)),
    ]);
    b.rule(0, 0, 1, &[(slot::IN_PORT, 1)], vec![Action::Output(10)]);
    // 1500 of the device less 36 of outer headers: frames of 1464 bytes, packets of 1450.
    let sized = |len: usize, flags: u16| {
        let [src, dst] = [1, 2].map(|n| Ipv4Addr::new(10, 0, 0, n));
        let header = ipv4::Header { tos: 0, total_len: 0, id: 1, flags, ttl: 64, proto: ipv4::UDP, src, dst };
        build::frame(mac(2), mac(1), &[], 0x0800, &build::udp4(header, 1000, 53, &vec![0; len - 42]))
    };
    let fits = sized(1464, ipv4::DF);
    assert_eq!(b.run(0, &[fits])[1][0].len(), 1514);
    let long = sized(1465, ipv4::DF);
    let out = b.run(0, std::slice::from_ref(&long));
    assert!(out[1].is_empty());
    let told = &out[0][0];
    assert_eq!((&told[..6], &told[6..12]), (&long[6..12], &long[..6]));
    assert_eq!((&told[26..30], &told[30..34]), (&long[30..34], &long[26..30]));
    assert_eq!((told[34], told[35], &told[40..42]), (3, 4, &1450u16.to_be_bytes()[..]));
    assert_eq!(b.dropped(DropReason::TunnelMtu), 1);
    // One that may be fragmented is dropped and counted only: its sender would not believe the answer.
    assert_eq!(b.run(0, &[sized(1465, 0)]).concat().len(), 0);
    assert_eq!(b.dropped(DropReason::TunnelMtu), 2);
}

#[test]
fn peers_without_end_do_not_shut_out_new_ones() {
    let mut b = Bench::new(1);
    b.port(0, 2, 1);
    b.apply(&[
        Change::SetPort { bridge: 0, port: 10, to: tunnel("192.0.2.2", "192.0.2.1") },
        underlay("192.0.2.1", "192.0.2.2", Exit::Port(1)),
        Change::SetIngress { device: 1, to: Some(Ingress::Underlay) },
    ]);
    b.rule(0, 0, 1, &[(slot::IN_PORT, 1)], vec![Action::Output(10)]);
    b.rule(0, 0, 1, &[(slot::IN_PORT, 10)], vec![Action::Output(1)]);
    let mut wire = b.run(0, &[udp(1, 2, 1000, 53, 64)]).remove(1).remove(0);
    wire[26..30].copy_from_slice(&[192, 0, 2, 2]);
    wire[30..34].copy_from_slice(&[192, 0, 2, 1]);
    for vnis in (0..70_000u32).collect::<Vec<_>>().chunks(1000) {
        let frames: Vec<_> = vnis
            .iter()
            .map(|vni| {
                let mut f = wire.clone();
                f[46..50].copy_from_slice(&(vni << 8).to_be_bytes());
                f
            })
            .collect();
        assert_eq!(b.run(1, &frames)[0].len(), vnis.len(), "{vnis:?}");
    }
}

#[test]
fn a_tunnel_through_a_bridge_with_the_hosts_address_ends_at_its_own_device() {
    // Bridge 0 holds the tunnel, bridge 1 the host's address on LOCAL and the wire on port 1.
    let mut b = Bench::new(1);
    b.bridge(1);
    b.port(1, 1, 1);
    b.port(1, LOCAL, 2);
    b.apply(&[
        Change::SetPort { bridge: 0, port: 10, to: tunnel("192.0.2.2", "192.0.2.1") },
        underlay("192.0.2.1", "192.0.2.2", Exit::Bridge(1)),
    ]);
    b.rule(0, 0, 1, &[(slot::IN_PORT, 1)], vec![Action::Output(10)]);
    b.rule(0, 0, 1, &[(slot::IN_PORT, 10)], vec![Action::Output(1)]);
    b.rule(1, 0, 1, &[], vec![Action::Normal]);
    let f = udp(1, 2, 1000, 53, 64);
    let wire = b.run(0, std::slice::from_ref(&f));
    assert_eq!(wire[1].len(), 1);
    let mut back = wire[1][0].clone();
    back[0..6].copy_from_slice(&mac(0xaa));
    back[6..12].copy_from_slice(&mac(0xbb));
    back[26..30].copy_from_slice(&[192, 0, 2, 2]);
    back[30..34].copy_from_slice(&[192, 0, 2, 1]);
    assert_eq!(b.run(1, &[back])[0], [f]);
}

#[test]
fn a_change_of_one_rule_leaves_other_flows_cached() {
    let mut b = Bench::new(3);
    b.rule(0, 0, 10, &[(slot::ETH_TYPE, 0x800), (slot::NW_PROTO, 17), (slot::TP_DST, 53)], vec![Action::Output(2)]);
    b.rule(0, 0, 1, &[], vec![Action::Output(3)]);
    b.run(0, &[udp(1, 2, 9, 53, 64), udp(1, 2, 9, 80, 64)]);
    let misses = b.worker.counters().misses;
    // Cannot concern either: another port, higher priority.
    b.rule(0, 0, 20, &[(slot::ETH_TYPE, 0x800), (slot::NW_PROTO, 17), (slot::TP_DST, 443)], vec![]);
    let out = b.run(0, &[udp(1, 2, 9, 53, 64), udp(1, 2, 9, 80, 64)]);
    assert_eq!((out[1].len(), out[2].len()), (1, 1));
    assert_eq!(b.worker.counters().misses, misses);
    // Concerns one of them.
    b.rule(0, 0, 20, &[(slot::ETH_TYPE, 0x800), (slot::NW_PROTO, 17), (slot::TP_DST, 80)], vec![Action::Output(2)]);
    let out = b.run(0, &[udp(1, 2, 9, 53, 64), udp(1, 2, 9, 80, 64)]);
    assert_eq!((out[1].len(), out[2].len()), (2, 0));
    assert_eq!(b.worker.counters().misses, misses + 1);
}

#[test]
fn many_flows_fit_and_each_gets_its_own_answer() {
    let mut b = Bench::new(3);
    for port in 0..64u16 {
        let to = if port % 2 == 0 { 2 } else { 3 };
        let on = [(slot::ETH_TYPE, 0x800), (slot::NW_PROTO, 17), (slot::TP_SRC, u128::from(port))];
        b.rule(0, 0, 10, &on, vec![Action::Output(to)]);
    }
    let frames: Vec<_> = (0..64 * 300u32).map(|i| udp((i / 64) as u8, 2, (i % 64) as u16, 5, 64)).collect();
    let out = b.run(0, &frames);
    assert_eq!((out[1].len(), out[2].len()), (32 * 300, 32 * 300));
    assert!(out[1].iter().all(|f| f[35] % 2 == 0));
}

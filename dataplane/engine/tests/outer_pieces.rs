//! Tunnel packets that the underlay fragmented: put together, within bounds, each refusal counted.

use std::sync::Arc;

use sluice_engine::{Settings, Worker};
use sluice_fixtures::FlowSpec;
use sluice_flow::action::{Action, LOCAL};
use sluice_flow::fdb::{Fdb, Versions};
use sluice_flow::hash::Seeds;
use sluice_flow::program::{Ingress, Port, PortKind, Tunnel};
use sluice_flow::underlay::{Device, Exit, Underlay};
use sluice_flow::verdict::{OuterTos, OuterTtl};
use sluice_flow::{Change, DropReason, Key, MaskedKey, Program, Rule};
use sluice_frame::Pool;
use sluice_port::pcap::{Captured, Output, PcapPort, Repeat};
use sluice_wire::checksum;

const MACHINE: u16 = 0;
const UNDERLAY: u16 = 1;
const WIRE: u16 = 2;
const HOST: u16 = 3;
const DEVICES: u16 = 4;
const VNI: u32 = 5;

/// A switch with a machine on bridge 0, where a tunnel ends, and a wire and the host's device on bridge 1.
struct Rig {
    worker: Worker,
    now_ms: u64,
}

impl Rig {
    fn new(chunks: usize) -> Rig {
        let versions = Versions::new(Seeds::FIXED);
        let mut program = Program::new();
        for bridge in 0..2u16 {
            let fdb = Arc::new(Fdb::new(100, 300, u64::from(bridge), versions.clone()));
            program.apply(&[Change::AddBridge { bridge, fdb }]);
        }
        let devices = [(MACHINE, 0, 1), (WIRE, 1, 1), (HOST, 1, LOCAL)];
        for (device, bridge, port) in devices {
            program.apply(&[
                Change::SetPort { bridge, port, to: Some(Port::device(device)) },
                Change::SetIngress { device, to: Some(Ingress::Bridge { bridge, port }) },
            ]);
        }
        program.apply(&[
            Change::SetIngress { device: UNDERLAY, to: Some(Ingress::Underlay) },
            Change::SetPort { bridge: 0, port: 9, to: Some(Port { kind: PortKind::Tunnel(Arc::new(tunnel())), ..Port::device(0) }) },
            rule(0, 1, Action::Output(1)),
            rule(1, 2, Action::Output(LOCAL)),
            Change::SetUnderlay(Arc::new(underlay())),
        ]);
        let settings = Settings { flows: 1 << 10, seeds: Seeds::FIXED, versions };
        let mut worker = Worker::new(Pool::new(2048, chunks).unwrap(), settings);
        worker.adopt(Arc::new(program));
        Rig { worker, now_ms: 1000 }
    }

    /// What each device sent.
    fn run(&mut self, device: u16, frames: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
        let out: Vec<Captured> = (0..DEVICES).map(|_| Captured::default()).collect();
        for (d, captured) in (0..DEVICES).zip(&out) {
            let mut port = PcapPort::new("p", Repeat::Times(1), Output::Memory(captured.clone()));
            if d == device {
                frames.iter().for_each(|f| port.push(f));
            }
            self.worker.add_port(d, Box::new(port));
        }
        while self.worker.turn(self.now_ms) > 0 {}
        assert!(self.worker.counters().conserved(), "{:?}", self.worker.counters());
        out.iter().map(Captured::take).collect()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.worker.counters().dropped[reason as usize]
    }
}

fn tunnel() -> Tunnel {
    Tunnel {
        key: None,
        out_key: None,
        remote: None,
        local: None,
        dst_port: 4789,
        tos: OuterTos::Set(0),
        ttl: OuterTtl::Set(64),
        df: true,
        csum: None,
        gbp: false,
        mark: 0,
    }
}

fn underlay() -> Underlay {
    let addresses = ["192.0.2.2", "2001:db8::2"].map(|a| a.parse().unwrap()).to_vec();
    Underlay {
        devices: vec![Device { name: "u".into(), mac: [2; 6], addresses, exit: Exit::Port(UNDERLAY), mtu: 1500 }],
        ..Underlay::default()
    }
}

fn rule(bridge: u16, id: u32, action: Action) -> Change {
    let matching = MaskedKey::new(&Key::ZERO, &Key::ZERO);
    let rule = Rule { id, priority: 1, matching, actions: vec![action].into(), conjunctions: Vec::new().into() };
    Change::Add { bridge, table: 0, rule: Arc::new(rule) }
}

/// The inner frame and the tunnel packet.
fn packet(v6: bool, len: usize) -> (Vec<u8>, Vec<u8>) {
    let spec = FlowSpec::new(7).len(len);
    (spec.frame(0), if v6 { spec.clone().vxlan6(VNI) } else { spec.clone().vxlan(VNI) }.frame(0))
}

/// The fragments of a packet, with so many bytes (a multiple of 8) in each but the last.
fn cut(packet: &[u8], size: usize, ident: u16) -> Vec<Vec<u8>> {
    let v6 = packet[12] == 0x86;
    let payload = &packet[if v6 { 54 } else { 34 }..];
    let count = payload.len().div_ceil(size);
    let piece = |i: usize| {
        let part = &payload[i * size..payload.len().min((i + 1) * size)];
        let more = u16::from(i + 1 < count);
        let offset = (i * size) as u16;
        let mut f = packet[..if v6 { 54 } else { 34 }].to_vec();
        if v6 {
            f[18..20].copy_from_slice(&(part.len() as u16 + 8).to_be_bytes());
            f[20] = 44;
            f.extend([17, 0]);
            f.extend((offset | more).to_be_bytes());
            f.extend([0, 0]);
            f.extend(ident.to_be_bytes());
        } else {
            f[16..18].copy_from_slice(&(part.len() as u16 + 20).to_be_bytes());
            f[18..20].copy_from_slice(&ident.to_be_bytes());
            f[20..22].copy_from_slice(&(offset / 8 | more << 13).to_be_bytes());
            f[24..26].fill(0);
            let sum = checksum::finish(checksum::sum(&f[14..34]));
            f[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        f.extend(part);
        f
    };
    (0..count).map(piece).collect()
}

#[test]
fn a_fragmented_tunnel_packet_arrives_in_whatever_order_its_pieces_come() {
    let mut rig = Rig::new(256);
    for v6 in [false, true] {
        let (inner, outer) = packet(v6, 1400);
        let pieces = cut(&outer, 512, 1);
        assert_eq!(pieces.len(), 3);
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let joined = rig.worker.counters().joined;
            let frames: Vec<_> = order.iter().map(|i| pieces[*i].clone()).collect();
            assert_eq!(rig.run(UNDERLAY, &frames)[0], [inner.clone()], "{order:?}, IPv6: {v6}");
            assert_eq!(rig.worker.counters().joined, joined + 2);
        }
    }
    assert_eq!(rig.worker.counters().dropped_total(), 0);
    assert_eq!(rig.worker.pool_mut().outstanding(), 0);
}

#[test]
fn pieces_that_reach_the_hosts_own_device_are_the_hosts_as_well() {
    let mut rig = Rig::new(256);
    let (inner, outer) = packet(false, 1400);
    let pieces = cut(&outer, 1024, 1);
    let out = rig.run(WIRE, &pieces);
    assert_eq!((&out[0], &out[usize::from(HOST)]), (&vec![inner], &pieces));
    // Another service's: the host has its pieces, ours are counted.
    let mut other = outer;
    other[36..38].copy_from_slice(&53u16.to_be_bytes());
    let pieces = cut(&other, 1024, 2);
    let out = rig.run(WIRE, &pieces);
    assert_eq!((out[0].len(), &out[usize::from(HOST)]), (0, &pieces));
    assert_eq!(rig.dropped(DropReason::NotForTunnel), 1);
}

#[test]
fn pieces_whose_others_never_come_are_dropped_when_their_time_is_over() {
    let mut rig = Rig::new(256);
    let (inner, outer) = packet(true, 1400);
    let pieces = cut(&outer, 512, 1);
    assert!(rig.run(UNDERLAY, &pieces[..2]).concat().is_empty());
    assert_eq!(rig.worker.counters().held_fragments, 2);
    rig.now_ms += 16_000;
    rig.run(UNDERLAY, &[]);
    assert_eq!((rig.dropped(DropReason::FragmentsMissing), rig.worker.counters().held_fragments), (2, 0));
    assert!(rig.run(UNDERLAY, &pieces[2..]).concat().is_empty(), "too late");
    assert_eq!(rig.run(UNDERLAY, &pieces[..2])[0], [inner], "the same again is another matter");
}

#[test]
fn pieces_without_end_find_no_room_and_take_none_from_whole_packets() {
    let mut rig = Rig::new(256);
    let (inner, outer) = packet(false, 1400);
    let first: Vec<_> = (0..500).map(|ident| cut(&outer, 1024, ident).remove(0)).collect();
    rig.run(UNDERLAY, &first);
    let held = rig.worker.counters().held_fragments;
    assert_eq!(held, 256 / 8);
    assert_eq!(rig.dropped(DropReason::TooManyFragments), 500 - held);
    assert_eq!(rig.run(UNDERLAY, &[outer])[0], [inner]);
}

#[test]
fn pieces_that_overlap_are_too_short_or_lie_are_refused() {
    let mut rig = Rig::new(256);
    for v6 in [false, true] {
        let (_, outer) = packet(v6, 1400);
        let pieces = cut(&outer, 512, 1);
        let mut overlapping = cut(&outer, 256, 1);
        assert!(rig.run(UNDERLAY, &[pieces[0].clone(), overlapping.remove(1)]).concat().is_empty());
        let tiny = cut(&outer, 64, 9).remove(0);
        assert!(rig.run(UNDERLAY, &[tiny]).concat().is_empty());
        rig.now_ms += 16_000;
        rig.run(UNDERLAY, &[]);
    }
    assert_eq!(rig.dropped(DropReason::TunnelInvalid), 4);
    assert_eq!(rig.dropped(DropReason::FragmentsMissing), 2);
    assert_eq!(rig.worker.pool_mut().outstanding(), 0);
}

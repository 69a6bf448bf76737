//! Security groups: what their rules and members mean, read naively, against the tables that a real Neutron
//! agent made of them, for every class of packet.
//!
//! A class is a pair of ports, a family, a protocol and a destination port beside each border of each rule.

use std::collections::HashSet;
use std::net::IpAddr;

use sluice_naive::{Input, PortSettings, PortSpec, Subject, VlanMode};
use sluice_openflow::text::{parse_flow_line, Names};

use super::engine::Engine;
use super::packets::{self, Tcp};

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const VRRP: u8 = 112;
/// VLAN of the network inside the node, and the port to the other nodes.
const VLAN: u16 = 2;
const OUTWARD: u32 = 1;

/// Who is at the other end.
#[derive(Clone, Copy)]
enum Remote {
    Any,
    Prefix(IpAddr, u32),
    Group(&'static str),
}

/// An ingress rule; every group also has Neutron's default: egress of anything.
struct Rule {
    group: &'static str,
    v6: bool,
    protocol: Option<u8>,
    ports: Option<(u16, u16)>,
    remote: Remote,
}

struct Guest {
    port: u32,
    mac: [u8; 6],
    addresses: [&'static str; 2],
    groups: &'static [&'static str],
}

impl Guest {
    fn address(&self, v6: bool) -> IpAddr {
        self.addresses[usize::from(v6)].parse().unwrap()
    }

    fn is_local(&self) -> bool {
        self.port != OUTWARD
    }
}

/// The inputs of the recorded tables, as the recipe that made them has them.
fn rules() -> Vec<Rule> {
    let rule = |group, v6, protocol, ports, remote| Rule { group, v6, protocol, ports, remote };
    let (v4_net, v6_net) = (Remote::Prefix([10, 10, 0, 0].into(), 16), Remote::Prefix([0xfd00, 0x10, 0, 0, 0, 0, 0, 0].into(), 32));
    vec![
        rule("web", false, Some(TCP), Some((22, 22)), Remote::Any),
        rule("web", false, Some(1), None, Remote::Any),
        rule("web", false, Some(TCP), Some((8000, 8099)), v4_net),
        rule("db", false, Some(TCP), Some((5432, 5432)), Remote::Group("web")),
        rule("db", false, None, None, Remote::Group("db")),
        rule("db", false, Some(UDP), Some((1000, 2000)), Remote::Group("web")),
        rule("v6", true, Some(TCP), Some((22, 22)), v6_net),
        rule("v6", true, Some(58), None, Remote::Any),
        rule("v6", true, Some(TCP), Some((80, 80)), Remote::Group("v6")),
    ]
}

fn guests() -> Vec<Guest> {
    let guest = |port, mac: [u8; 3], addresses, groups| Guest { port, mac: [0xfa, 0x16, 0x3e, mac[0], mac[1], mac[2]], addresses, groups };
    vec![
        guest(2, [0xa3, 0x7d, 0xee], ["10.10.1.228", "fd00:10:1::29e"], &["web", "v6"]),
        guest(3, [0xac, 0xb1, 0xe8], ["10.10.1.119", "fd00:10:1::1ce"], &["web", "db"]),
        guest(4, [0x85, 0xe3, 0xde], ["10.10.1.172", "fd00:10:1::307"], &["db"]),
        guest(OUTWARD, [0, 0, 5], ["10.10.1.49", "fd00:10:1::343"], &["web", "v6"]),
        guest(OUTWARD, [0, 0, 6], ["10.10.1.3", "fd00:10:1::3"], &["db"]),
        // Someone who is in no group at all.
        guest(OUTWARD, [0, 0, 9], ["172.16.0.9", "2001:db8::9"], &[]),
    ]
}

fn is_within(a: IpAddr, of: IpAddr, len: u32) -> bool {
    match (a, of) {
        (IpAddr::V4(a), IpAddr::V4(of)) => (u32::from(a) ^ u32::from(of)).checked_shr(32 - len).unwrap_or(0) == 0,
        (IpAddr::V6(a), IpAddr::V6(of)) => (u128::from(a) ^ u128::from(of)).checked_shr(128 - len).unwrap_or(0) == 0,
        _ => false,
    }
}

/// May `from` open this with `to`? Every guest may send anything; what it may be sent, its groups' rules say.
fn may_open(guests: &[Guest], from: &Guest, to: &Guest, c: &Class) -> bool {
    rules().iter().filter(|r| to.groups.contains(&r.group)).any(|r| {
        let source = from.address(c.v6);
        let remote = match r.remote {
            Remote::Any => true,
            Remote::Prefix(of, len) => is_within(source, of, len),
            Remote::Group(name) => guests.iter().any(|g| g.groups.contains(&name) && g.address(c.v6) == source),
        };
        let ports = r.ports.is_none_or(|(low, high)| (low..=high).contains(&c.dport));
        r.v6 == c.v6 && r.protocol.is_none_or(|p| p == c.protocol) && ports && remote
    })
}

#[derive(Clone, Copy, Debug)]
struct Class {
    v6: bool,
    protocol: u8,
    sport: u16,
    dport: u16,
}

impl Class {
    fn reversed(self) -> Class {
        Class { sport: self.dport, dport: self.sport, ..self }
    }
}

/// The packets of a talk of this class: first there, then back, then there again.
fn packet(c: &Class, from: &Guest, to: &Guest, step: usize) -> Vec<u8> {
    let (src, dst) = (from.address(c.v6), to.address(c.v6));
    let back = step == 1;
    let ports = (c.sport, c.dport);
    let l4 = match c.protocol {
        TCP => {
            let (flags, seq, ack) = [(2, 100, 0), (18, 500, 101), (16, 101, 501)][step];
            packets::tcp(src, dst, &Tcp { ports, seq, ack, flags, window: 1000, scale: None, payload: 0 })
        }
        UDP => packets::udp(src, dst, ports, 10),
        1 | 58 => {
            let kind = match (c.protocol, back) {
                (1, false) => 8,
                (1, true) => 0,
                (_, false) => 128,
                (_, true) => 129,
            };
            packets::icmp(src, dst, kind, ports.0.max(ports.1), 20)
        }
        _ => [&ports.0.to_be_bytes()[..], &ports.1.to_be_bytes(), &[0; 16]].concat(),
    };
    let mut frame = packets::frame(&packets::ip(src, dst, c.protocol, 0x4000, &l4));
    frame[..6].copy_from_slice(&to.mac);
    frame[6..12].copy_from_slice(&from.mac);
    if !from.is_local() {
        frame.splice(12..12, [0x81, 0, 0, VLAN as u8]);
    }
    frame
}

/// A guest asks for its own address: the node learns where it is.
fn announce(engine: &mut Engine, g: &Guest) {
    let IpAddr::V4(own) = g.address(false) else { return };
    let mut frame = [[0xff; 6], g.mac].concat();
    if !g.is_local() {
        frame.extend([0x81, 0, 0, VLAN as u8]);
    }
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend([&g.mac[..], &own.octets(), &[0; 6], &own.octets(), &[0; 18]].concat());
    engine.packet(&Input { bridge: 0, port: g.port, bytes: frame }, 0).unwrap();
}

/// The ports that a frame leaves by.
fn sent(engine: &mut Engine, c: &Class, from: &Guest, to: &Guest, step: usize, now: u64) -> HashSet<u32> {
    let input = Input { bridge: 0, port: from.port, bytes: packet(c, from, to, step) };
    engine.packet(&input, now).unwrap().into_iter().map(|o| o.port).collect()
}

fn classes() -> Vec<Class> {
    let mut borders: Vec<u16> = rules().iter().filter_map(|r| r.ports).flat_map(|(low, high)| [low - 1, low, low.midpoint(high), high, high + 1]).collect();
    borders.extend([1, 9999, 65_535]);
    borders.sort();
    borders.dedup();
    let mut all = Vec::new();
    for v6 in [false, true] {
        for protocol in [TCP, UDP, SCTP, VRRP, if v6 { 58 } else { 1 }] {
            all.extend(borders.iter().map(|p| Class { v6, protocol, sport: 40_000, dport: *p }));
        }
    }
    all
}

/// The meaning of statefulness: what has been opened goes on both ways, all else must be allowed to open.
fn passes(guests: &[Guest], is_open: &mut bool, c: &Class, from: &Guest, to: &Guest, step: usize) -> bool {
    // An answer by itself opens nothing; an acknowledgement is taken for a connection under way.
    let may_begin = step != 1 || !matches!(c.protocol, TCP | 1 | 58);
    // What leaves the node, the other node judges.
    *is_open = *is_open || may_begin && (!to.is_local() || may_open(guests, from, to, c));
    *is_open
}

#[test]
fn the_tables_of_a_real_agent_mean_what_the_groups_say() {
    let Some(path) = super::shared("neutron/corpus-zed-few-ports-br-int.flows") else { return };
    let text = std::fs::read_to_string(path).expect("the recorded tables");
    let mut world = super::world(&[]);
    world.bridges.truncate(1);
    let guests = guests();
    let access = |n| PortSpec { number: n, settings: PortSettings { mode: VlanMode::Access, tag: Some(VLAN), ..PortSettings::default() }, peer: None };
    world.bridges[0].ports = [2, 3, 4].map(access).into();
    world.bridges[0].ports.push(PortSpec { number: OUTWARD, settings: PortSettings::default(), peer: None });
    world.bridges[0].text = text.lines().map(str::to_string).collect();
    world.bridges[0].rules = text.lines().map(|l| parse_flow_line(l, &Names::new()).unwrap_or_else(|e| panic!("{l}: {e:?}")).0).collect();
    let mut engine = Engine::default();
    engine.load(&world).unwrap();
    guests.iter().for_each(|g| announce(&mut engine, g));
    let (mut talks, mut allowed, mut now) = (0, 0, 0);
    for c in classes() {
        for from in &guests {
            for to in guests.iter().filter(|g| g.port != from.port && g.is_local()) {
                now += 1;
                engine.switch().worker().tracker().flush(|_| true);
                let mut is_open = false;
                for step in 0..3 {
                    let (a, b, class) = if step == 1 { (to, from, c.reversed()) } else { (from, to, c) };
                    let out = sent(&mut engine, &class, a, b, step, now);
                    let wanted = passes(&guests, &mut is_open, &class, a, b, step);
                    let ports: HashSet<u32> = wanted.then_some(b.port).into_iter().collect();
                    assert_eq!(out, ports, "{c:?} step {step}: {} -> {}", a.address(c.v6), b.address(c.v6));
                    talks += 1;
                    allowed += usize::from(wanted);
                }
            }
        }
    }
    println!("{talks} packets, {allowed} of them allowed");
    assert!(allowed > 1000 && talks - allowed > 1000, "{talks} {allowed}");
}

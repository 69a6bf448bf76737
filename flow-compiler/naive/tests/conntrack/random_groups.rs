//! Random security groups with state, as the controller compiles them: the engine lets through what the groups'
//! rules and members mean, read naively, and a rule that goes takes its connections with it.
//!
//! What fails is made smaller by proptest until little is left of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use sluice_controller::desired::desired_state;
use sluice_controller::model::{read, Cloud, Direction, EtherType, GroupRule, Port, Remote, SecurityGroup, Service};
use sluice_controller::reconcile::changes;
use sluice_controller::rules::{node_rules, RuleSet, SwitchPorts};
use sluice_naive::{Input, PortSettings, PortSpec, Subject};
use sluice_openflow::version::Version;

use super::engine::Engine;
use super::packets::{self, Tcp};

const TCP: u8 = 6;
const OUTWARD: u32 = 1;

/// Three ports of this node (the last without port security), one elsewhere, one that no group knows.
const CLOUD: &str = r#"
networks: [{name: n, vni: 123}]
hosts: [{name: a, tunnel_ip: 192.0.2.1}, {name: b, tunnel_ip: 192.0.2.2}]
ports:
  - {name: p1, network: n, mac: 02:00:00:00:00:01, addresses: [10.0.0.1, "fd00::1"], host: a, ofport: 11, security_groups: [g0, g1]}
  - {name: p2, network: n, mac: 02:00:00:00:00:02, addresses: [10.0.0.2, "fd00::2"], host: a, ofport: 12, security_groups: [g2]}
  - {name: p3, network: n, mac: 02:00:00:00:00:03, addresses: [10.0.0.3, "fd00::3"], host: a, ofport: 13, port_security: false}
  - {name: p4, network: n, mac: 02:00:00:00:00:04, addresses: [10.0.0.4, "fd00::4"], host: b, security_groups: [g1]}
  - {name: p5, network: n, mac: 02:00:00:00:00:05, addresses: [10.0.0.5, "fd00::5"], host: b}
security_groups: [{name: g0, stateful: true}, {name: g1, stateful: true}, {name: g2, stateful: true}]
"#;

fn cloud(groups: &[Vec<GroupRule>; 3]) -> Cloud {
    let mut cloud = read::cloud(CLOUD).unwrap();
    for (group, rules) in cloud.security_groups.iter_mut().zip(groups) {
        *group = SecurityGroup { rules: rules.clone(), ..group.clone() };
    }
    cloud
}

fn compiled(cloud: &Cloud) -> RuleSet {
    let ports = SwitchPorts { integration: [("patch-tun".to_string(), OUTWARD)].into(), tunnel: BTreeMap::new() };
    node_rules(&desired_state(cloud, "a").unwrap(), &ports).integration
}

/// A switch that is changed from rules to rules as the controller would change it.
struct Node {
    engine: Engine,
    rules: RuleSet,
    now: u64,
}

impl Node {
    fn new() -> Node {
        let mut world = super::world(&[]);
        world.bridges.truncate(1);
        let port = |number| PortSpec { number, settings: PortSettings::default(), peer: None };
        world.bridges[0].ports = [OUTWARD, 11, 12, 13].map(port).into();
        let mut engine = Engine::default();
        engine.load(&world).unwrap();
        Node { engine, rules: RuleSet::default(), now: 0 }
    }

    fn set(&mut self, cloud: &Cloud) {
        let wanted = compiled(cloud);
        for change in changes(&self.rules, &wanted) {
            self.engine.switch().flow_mod(0, &change.flow_mod(), Version::V14).unwrap_or_else(|e| panic!("{change:?}: {e:?}"));
        }
        self.rules = wanted;
    }

    /// Does a packet of this class arrive, and nowhere else?
    fn passes(&mut self, c: &Class, from: &Port, to: &Port) -> bool {
        self.now += 1;
        let input = Input { bridge: 0, port: number(from), bytes: c.frame(from, to) };
        let out: Vec<u32> = self.engine.packet(&input, self.now).unwrap().into_iter().map(|o| o.port).collect();
        assert!(out.is_empty() || out == [number(to)], "{c:?} {} -> {}: {out:?}", from.name, to.name);
        !out.is_empty()
    }
}

fn number(p: &Port) -> u32 {
    match p.place {
        sluice_controller::model::Place::Number(n) if p.host == "a" => n,
        _ => OUTWARD,
    }
}

fn address(p: &Port, v6: bool) -> IpAddr {
    p.addresses[usize::from(v6)]
}

#[derive(Clone, Copy, Debug)]
struct Class {
    v6: bool,
    protocol: u8,
    sport: u16,
    dport: u16,
    /// 0 there, 1 back, 2 there again.
    step: usize,
}

impl Class {
    fn at(self, step: usize) -> Class {
        match step {
            1 => Class { sport: self.dport, dport: self.sport, step, ..self },
            _ => Class { step, ..self },
        }
    }

    fn frame(&self, from: &Port, to: &Port) -> Vec<u8> {
        let (src, dst) = (address(from, self.v6), address(to, self.v6));
        let ports = (self.sport, self.dport);
        let l4 = match self.protocol {
            TCP => {
                let (flags, seq, ack) = [(2, 100, 0), (18, 500, 101), (16, 101, 501)][self.step];
                packets::tcp(src, dst, &Tcp { ports, seq, ack, flags, window: 1000, scale: None, payload: 0 })
            }
            17 => packets::udp(src, dst, ports, 10),
            1 => packets::icmp(src, dst, if self.step == 1 { 0 } else { 8 }, self.sport.max(self.dport), 20),
            58 => packets::icmp(src, dst, if self.step == 1 { 129 } else { 128 }, self.sport.max(self.dport), 20),
            _ => vec![0; 20],
        };
        let mut frame = packets::frame(&packets::ip(src, dst, self.protocol, 0x4000, &l4));
        frame[..6].copy_from_slice(&to.mac.0);
        frame[6..12].copy_from_slice(&from.mac.0);
        if from.host != "a" {
            frame.splice(12..12, [0x81, 0, 0, 123]);
        }
        frame
    }

    fn is_icmp(&self) -> bool {
        matches!(self.protocol, 1 | 58)
    }
}

/// May a port send, or be sent, the first packet of this?
fn permits(cloud: &Cloud, port: &Port, other: &Port, direction: Direction, c: &Class) -> bool {
    if port.host != "a" || !port.port_security {
        return true;
    }
    let groups = cloud.security_groups.iter().filter(|g| port.security_groups.contains(&g.name));
    groups.flat_map(|g| &g.rules).filter(|r| r.direction == direction).any(|r| {
        let service = match r.service {
            Service::Any => true,
            Service::Protocol(p) => p == c.protocol,
            Service::Ports { protocol, low, high } => protocol == c.protocol && (low..=high).contains(&c.dport),
            Service::Icmp { kind, code } => c.is_icmp() && kind == (if c.v6 { 128 } else { 8 }) && code.is_none_or(|code| code == 0),
        };
        let far = address(other, c.v6);
        let remote = match &r.remote {
            Remote::Any => true,
            Remote::Prefix(p) => p.contains(far),
            Remote::Group(g) => cloud.ports.iter().any(|p| p.security_groups.contains(g) && p.addresses.contains(&far)),
        };
        (r.ethertype == EtherType::V6) == c.v6 && service && remote
    })
}

fn may_open(cloud: &Cloud, from: &Port, to: &Port, c: &Class) -> bool {
    permits(cloud, from, to, Direction::Egress, c) && permits(cloud, to, from, Direction::Ingress, c)
}

/// Nobody of this node looks at what is between two that have no port security or are elsewhere.
fn is_watched(a: &Port, b: &Port) -> bool {
    [a, b].iter().any(|p| p.host == "a" && p.port_security)
}

fn rule() -> impl Strategy<Value = GroupRule> {
    let service = prop_oneof![
        Just(Service::Any),
        prop_oneof![Just(6u8), Just(17), Just(112)].prop_map(Service::Protocol),
        (prop_oneof![Just(6u8), Just(17)], 0u16..300, 0u16..300).prop_map(|(protocol, a, b)| Service::Ports { protocol, low: a.min(b), high: a.max(b) }),
        (prop_oneof![Just(8u8), Just(128)], proptest::option::of(0u8..2)).prop_map(|(kind, code)| Service::Icmp { kind, code }),
    ];
    (any::<bool>(), any::<bool>(), service, 0usize..6).prop_map(|(ingress, v6, service, remote)| {
        let remote = match remote {
            0 | 1 => Remote::Any,
            2 if v6 => Remote::Prefix("fd00::/126".parse().unwrap()),
            2 => Remote::Prefix("10.0.0.0/30".parse().unwrap()),
            n => Remote::Group(format!("g{}", n - 3)),
        };
        let direction = if ingress { Direction::Ingress } else { Direction::Egress };
        GroupRule { direction, ethertype: if v6 { EtherType::V6 } else { EtherType::V4 }, service, remote }
    })
}

fn groups() -> impl Strategy<Value = [Vec<GroupRule>; 3]> {
    let one = || proptest::collection::vec(rule(), 0..6);
    (one(), one(), one()).prop_map(|(a, b, c)| [a, b, c])
}

fn classes(groups: &[Vec<GroupRule>; 3]) -> Vec<Class> {
    let mut borders: Vec<u16> = groups.iter().flatten().flat_map(|r| match r.service {
        Service::Ports { low, high, .. } => vec![low.saturating_sub(1).max(1), low.max(1), high.max(1), high + 1],
        _ => vec![7],
    }).collect();
    borders.sort();
    borders.dedup();
    let protocols = [(false, TCP), (false, 17), (false, 1), (false, 112), (true, TCP), (true, 17), (true, 58)];
    protocols.iter().flat_map(|(v6, protocol)| borders.iter().map(|p| Class { v6: *v6, protocol: *protocol, sport: 40_000, dport: *p, step: 0 })).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn compiled_groups_mean_what_they_say(groups in groups(), gone in 0usize..3) {
        let mut node = Node::new();
        let before = cloud(&groups);
        node.set(&before);
        let pairs: Vec<(&Port, &Port)> = before.ports.iter().flat_map(|a| before.ports.iter().map(move |b| (a, b))).collect();
        let watched = pairs.into_iter().filter(|(a, b)| a.name != b.name && is_watched(a, b));
        let mut opened = Vec::new();
        for (from, to) in watched {
            for c in classes(&groups) {
                // Each talk is a connection of its own, also between the same two.
                let c = Class { sport: 30_000 + opened.len() as u16 % 30_000, ..c };
                if c.protocol == 112 && opened.iter().any(|(o, a, b): &(Class, &Port, &Port)| o.protocol == 112 && is_between(from, to, a, b)) {
                    continue;
                }
                let opens = may_open(&before, from, to, &c);
                prop_assert_eq!(node.passes(&c, from, to), opens, "{:?} {} -> {}", c, from.name, to.name);
                if opens {
                    prop_assert!(node.passes(&c.at(1), to, from), "the answer: {:?} {} -> {}", c, from.name, to.name);
                    prop_assert!(node.passes(&c.at(2), from, to), "and on: {:?} {} -> {}", c, from.name, to.name);
                    opened.push((c, from, to));
                }
            }
        }
        // A group loses its rules: what they allowed ends, in both directions.
        let mut fewer = groups.clone();
        fewer[gone].clear();
        let after = cloud(&fewer);
        node.set(&after);
        for (c, from, to) in opened {
            let stays = may_open(&after, from, to, &c);
            prop_assert_eq!(node.passes(&c.at(2), from, to), stays, "after: {:?} {} -> {}", c, from.name, to.name);
            prop_assert_eq!(node.passes(&c.at(1), to, from), stays, "answers after: {:?} {} -> {}", c, from.name, to.name);
        }
    }
}

/// The same two, whoever began.
fn is_between(from: &Port, to: &Port, a: &Port, b: &Port) -> bool {
    [(&from.name, &to.name), (&to.name, &from.name)].contains(&(&a.name, &b.name))
}

use super::*;
use crate::desired::desired_state;
use crate::model::read::cloud;
use crate::model::{Cloud, Direction, EtherType, GroupRule, Mac, Remote, Service};
use proptest::prelude::*;
use sluice_openflow::Field;
use std::net::IpAddr;

#[path = "test_packets.rs"]
mod test_packets;
use test_packets::{Packet, Walk};

const CLOUD: &str = r#"
networks: [{name: n, vni: 123}]
hosts: [{name: a, tunnel_ip: 192.0.2.1}, {name: b, tunnel_ip: 192.0.2.2}, {name: c, tunnel_ip: 192.0.2.3}]
ports:
  - {name: p1, network: n, mac: 02:00:00:00:00:01, addresses: [10.0.0.1, "fd00::1"], host: a, security_groups: [web, all]}
  - {name: p2, network: n, mac: 02:00:00:00:00:02, addresses: [10.0.0.2, "fd00::2"], host: a, security_groups: [db]}
  - {name: p3, network: n, mac: 02:00:00:00:00:03, addresses: [10.0.0.3, "fd00::3"], host: b, security_groups: [web]}
  - {name: p4, network: n, mac: 02:00:00:00:00:04, addresses: [10.0.0.4], host: c, security_groups: [all]}
  - {name: p5, network: n, mac: 02:00:00:00:00:05, addresses: [10.0.0.5], host: a, port_security: false}
security_groups:
  - name: all
    rules: [{direction: egress}, {direction: egress, ethertype: IPv6}]
  - name: web
    rules:
      - {direction: ingress, protocol: tcp, port_range: 80}
      - {direction: ingress, protocol: udp, port_range: 1000-1999, remote_group: web}
      - {direction: ingress, protocol: icmp, icmp_type: 8, icmp_code: 0, remote_ip_prefix: 10.0.0.0/30}
      - {direction: ingress, ethertype: IPv6, protocol: icmp, icmp_type: 128}
      - {direction: ingress, ethertype: IPv6, protocol: tcp, port_range: 443-450, remote_group: db}
  - name: db
    rules:
      - {direction: ingress, remote_group: web}
      - {direction: egress, protocol: tcp, remote_group: web}
      - {direction: egress, protocol: udp, port_range: 53, remote_ip_prefix: 10.0.0.4}
      - {direction: egress, protocol: 112, remote_group: all}
"#;

fn switch_ports() -> SwitchPorts {
    let numbers = |names: &[(&str, u32)]| names.iter().map(|(n, p)| ((*n).to_owned(), *p)).collect();
    SwitchPorts {
        integration: numbers(&[("patch-tun", 1), ("p1", 11), ("p2", 12), ("p5", 15)]),
        tunnel: numbers(&[("patch-int", 1), ("vxlan-c0000202", 2), ("vxlan-c0000203", 3)]),
    }
}

fn node(text: &str) -> (Cloud, NodeRules) {
    let cloud = cloud(text).unwrap();
    let rules = node_rules(&desired_state(&cloud, "a").unwrap(), &switch_ports());
    (cloud, rules)
}

/// The meaning of security groups, read straight off the cloud.
fn allowed(cloud: &Cloud, port: &str, direction: Direction, packet: &Packet) -> bool {
    let port = cloud.ports.iter().find(|p| p.name == port).unwrap();
    let groups = cloud.security_groups.iter().filter(|g| port.security_groups.contains(&g.name));
    let mut rules = groups.flat_map(|g| &g.rules).filter(|r| r.direction == direction);
    rules.any(|rule| covers(cloud, rule, packet))
}

fn covers(cloud: &Cloud, rule: &GroupRule, packet: &Packet) -> bool {
    let other = if rule.direction == Direction::Ingress { packet.src } else { packet.dst };
    let service = match rule.service {
        Service::Any => true,
        Service::Protocol(p) => packet.protocol == p,
        Service::Ports { protocol, low, high } => {
            packet.protocol == protocol && (low..=high).contains(&packet.tp_dst)
        }
        Service::Icmp { kind, code } => {
            let icmp = if rule.ethertype == EtherType::V4 { 1 } else { 58 };
            packet.protocol == icmp
                && packet.tp_src == u16::from(kind)
                && code.is_none_or(|c| packet.tp_dst == u16::from(c))
        }
    };
    let remote = match &rule.remote {
        Remote::Any => true,
        Remote::Prefix(prefix) => prefix.contains(other),
        Remote::Group(group) => {
            let mut members = cloud.ports.iter().filter(|p| p.security_groups.contains(group));
            members.any(|m| {
                m.addresses.contains(&other) || m.allowed_address_pairs.iter().any(|a| a.prefix.contains(other))
            })
        }
    };
    EtherType::of(packet.src) == rule.ethertype && service && remote
}

fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}

fn packets() -> impl Strategy<Value = Packet> {
    let ports = prop_oneof![
        Just(80u16),
        Just(53),
        Just(1000),
        Just(1999),
        Just(2000),
        Just(447),
        Just(8),
        Just(128),
        0u16..3,
        any::<u16>()
    ];
    let protocol = prop_oneof![Just(6u8), Just(17), Just(1), Just(58), Just(112)];
    (1u8..6, 1u8..6, any::<bool>(), protocol, ports.clone(), ports).prop_map(
        |(from, to, v6, protocol, tp_src, tp_dst)| {
            let ip = |n: u8| -> IpAddr {
                if v6 {
                    format!("fd00::{n}").parse().unwrap()
                } else {
                    IpAddr::from([10, 0, 0, n])
                }
            };
            let icmp = matches!(protocol, 1 | 58);
            let (tp_src, tp_dst) = if icmp { (tp_src & 0xff, tp_dst & 0xff) } else { (tp_src, tp_dst) };
            Packet { eth_src: mac(from), eth_dst: mac(to), src: ip(from), dst: ip(to), protocol, tp_src, tp_dst }
        },
    )
}

/// Packets that the tables treat specially whatever the groups say.
fn is_special(p: &Packet) -> bool {
    let dhcp = p.protocol == 17 && matches!((p.tp_src, p.tp_dst), (67, 68) | (68, 67) | (546, 547) | (547, 546));
    dhcp || (p.src.is_ipv6() && p.protocol == 58 && matches!(p.tp_src, 130..=136))
}

/// Any rule that a group may have, between any of three groups.
fn group_rule() -> impl Strategy<Value = GroupRule> {
    let service = prop_oneof![
        Just(Service::Any),
        prop_oneof![Just(6u8), Just(17), Just(112)].prop_map(Service::Protocol),
        (prop_oneof![Just(6u8), Just(17)], any::<u16>(), any::<u16>()).prop_map(|(protocol, a, b)| {
            Service::Ports { protocol, low: a.min(b), high: a.max(b) }
        }),
        (prop_oneof![Just(8u8), Just(128)], proptest::option::of(0u8..3))
            .prop_map(|(kind, code)| Service::Icmp { kind, code }),
    ];
    let remote = (0u8..6, any::<bool>()).prop_map(|(n, v6)| match n {
        0 | 1 => Remote::Any,
        2 if v6 => Remote::Prefix("fd00::/126".parse().unwrap()),
        2 => Remote::Prefix("10.0.0.0/30".parse().unwrap()),
        n => Remote::Group(["all", "web", "db"][usize::from(n) - 3].to_owned()),
    });
    (any::<bool>(), any::<bool>(), service, remote).prop_map(|(ingress, v6, service, remote)| {
        let ethertype = match &remote {
            Remote::Prefix(prefix) => prefix.ethertype(),
            _ if v6 => EtherType::V6,
            _ => EtherType::V4,
        };
        let direction = if ingress { Direction::Ingress } else { Direction::Egress };
        GroupRule { direction, ethertype, service, remote }
    })
}

/// The cloud above with other rules in its groups, and other groups on its ports.
fn clouds() -> impl Strategy<Value = Cloud> {
    let rules = proptest::collection::vec(proptest::collection::vec(group_rule(), 0..6), 3);
    let members = proptest::collection::vec(proptest::sample::subsequence(vec!["all", "web", "db"], 0..=3), 4);
    (rules, members).prop_map(|(rules, members)| {
        let mut cloud = cloud(CLOUD).unwrap();
        for (group, rules) in cloud.security_groups.iter_mut().zip(rules) {
            group.rules = rules;
        }
        for (port, groups) in cloud.ports.iter_mut().zip(members) {
            port.security_groups = groups.into_iter().map(str::to_owned).collect();
        }
        cloud
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_packet_passes_exactly_when_the_groups_of_both_ends_allow_it(
        cloud in prop_oneof![1 => Just(cloud(CLOUD).unwrap()), 3 => clouds()],
        packets in proptest::collection::vec(packets(), 30),
    ) {
        let rules = node_rules(&desired_state(&cloud, "a").unwrap(), &switch_ports());
        let walk = Walk { rules: &rules.integration };
        for packet in packets.into_iter().filter(|p| !is_special(p)) {
            for (name, number) in [("p1", 11u32), ("p2", 12)] {
                let owner = cloud.ports.iter().find(|p| p.name == name).unwrap();
                if owner.mac == packet.eth_src {
                    let own = owner.addresses.contains(&packet.src);
                    let egress = own && allowed(&cloud, name, Direction::Egress, &packet);
                    let out = walk.outputs(&packet, number, None);
                    let receiver = [("p1", 11), ("p2", 12), ("p5", 15)].into_iter()
                        .find(|(n, _)| cloud.ports.iter().any(|p| p.name == *n && p.mac == packet.eth_dst));
                    let expected = match receiver {
                        _ if !egress => vec![],
                        None => vec![1],
                        Some(("p5", to)) => vec![to],
                        Some((_, to)) if to == number => vec![],
                        Some((n, to)) if allowed(&cloud, n, Direction::Ingress, &packet) => vec![to],
                        Some(_) => vec![],
                    };
                    prop_assert_eq!(out, expected, "{} sends {:?}", name, packet);
                }
                if owner.mac == packet.eth_dst {
                    let out = walk.outputs(&packet, 1, Some(123));
                    let pass = allowed(&cloud, name, Direction::Ingress, &packet);
                    prop_assert_eq!(out, if pass { vec![number] } else { vec![] }, "{} is sent {:?}", name, packet);
                }
            }
        }
    }
}

#[test]
fn a_port_speaks_only_for_itself() {
    let (_, rules) = node(CLOUD);
    let walk = Walk { rules: &rules.integration };
    let arp = |sha: Mac, spa: [u8; 4]| walk.arp_outputs(mac(1), sha, spa, [10, 0, 0, 2], 11);
    assert_eq!(arp(mac(1), [10, 0, 0, 1]), vec![12, 15, 1], "its own question goes everywhere but back");
    assert!(arp(mac(1), [10, 0, 0, 9]).is_empty(), "somebody else's address");
    assert!(arp(mac(2), [10, 0, 0, 1]).is_empty(), "somebody else's hardware address");
    let mut packet = Packet {
        eth_src: mac(1),
        eth_dst: mac(3),
        src: IpAddr::from([10, 0, 0, 1]),
        dst: IpAddr::from([10, 0, 0, 3]),
        protocol: 6,
        tp_src: 1,
        tp_dst: 2,
    };
    assert_eq!(walk.outputs(&packet, 11, None), vec![1]);
    assert!(walk.outputs(&packet, 11, Some(124)).is_empty(), "a tag of its own");
    packet.eth_src = mac(9);
    assert!(walk.outputs(&packet, 11, None).is_empty(), "another hardware address");
}

#[test]
fn a_port_advertises_only_its_own_neighbours_and_no_routes() {
    let (_, rules) = node(CLOUD);
    let walk = Walk { rules: &rules.integration };
    let own: IpAddr = "fd00::1".parse().unwrap();
    let other: IpAddr = "fd00::9".parse().unwrap();
    assert_eq!(walk.nd_outputs(mac(1), own, 136, own, 11), vec![1]);
    assert!(walk.nd_outputs(mac(1), own, 136, other, 11).is_empty(), "somebody else's neighbour entry");
    assert!(walk.nd_outputs(mac(1), other, 135, own, 11).is_empty(), "somebody else's question");
    assert_eq!(walk.nd_outputs(mac(1), own, 135, other, 11), vec![1], "its own question");
    assert!(walk.nd_outputs(mac(1), own, 134, own, 11).is_empty(), "a router's advertisement");
}

#[test]
fn a_hardware_address_of_several_ports_is_delivered_to_each() {
    let pair = "allowed_address_pairs: [{address: 10.0.0.200, mac: 00:00:5e:00:01:01}]";
    let mut text = CLOUD.replace("host: a, security_groups: [db]", &format!("host: a, security_groups: [all], {pair}"));
    text = text.replace("host: a, port_security: false", &format!("host: a, port_security: false, {pair}"));
    let (_, rules) = node(&text);
    let packet = Packet {
        eth_src: mac(1),
        eth_dst: "00:00:5e:00:01:01".parse().unwrap(),
        src: IpAddr::from([10, 0, 0, 1]),
        dst: IpAddr::from([10, 0, 0, 200]),
        protocol: 6,
        tp_src: 1,
        tp_dst: 2,
    };
    let walk = Walk { rules: &rules.integration };
    assert_eq!(walk.outputs(&packet, 11, None), vec![15, 1], "p2's groups refuse it, p5 has none, others may have it");
    assert_eq!(walk.outputs(&packet, 1, Some(123)), vec![15], "from another host");
}

#[test]
fn the_tunnel_bridge_answers_sends_and_copies() {
    let (_, rules) = node(CLOUD);
    let walk = Walk { rules: &rules.tunnel };
    let ask = |tpa: [u8; 4]| walk.arp_on_tunnel(mac(1), [10, 0, 0, 1], tpa, 123);
    let in_port = 0xffff_fff8;
    assert_eq!(ask([10, 0, 0, 3]), vec![in_port], "a remote address is answered");
    assert!(ask([10, 0, 0, 2]).is_empty(), "a local one is not asked for elsewhere");
    assert_eq!(ask([10, 0, 0, 77]), vec![2, 3], "an unknown one is asked for everywhere");
    let packet = |to: Mac| Packet {
        eth_src: mac(1),
        eth_dst: to,
        src: IpAddr::from([10, 0, 0, 1]),
        dst: IpAddr::from([10, 0, 0, 3]),
        protocol: 6,
        tp_src: 1,
        tp_dst: 2,
    };
    assert_eq!(walk.outputs(&packet(mac(3)), 1, Some(123)), vec![2]);
    assert_eq!(walk.outputs(&packet(mac(4)), 1, Some(123)), vec![3]);
    assert_eq!(walk.outputs(&packet(Mac([1, 0, 0x5e, 0, 0, 1])), 1, Some(123)), vec![2, 3]);
    assert!(walk.outputs(&packet(mac(3)), 1, Some(9)).is_empty(), "a VLAN that is no network");
}

#[test]
fn a_shared_address_is_asked_for_everywhere() {
    let pair = "addresses: [10.0.0.3, \"fd00::3\"], allowed_address_pairs: [{address: 10.0.0.4}]";
    let (_, rules) = node(&CLOUD.replace("addresses: [10.0.0.3, \"fd00::3\"]", pair));
    let walk = Walk { rules: &rules.tunnel };
    assert_eq!(walk.arp_on_tunnel(mac(1), [10, 0, 0, 1], [10, 0, 0, 4], 123), vec![2, 3]);
    let answers = rules.tunnel.iter().filter(|r| r.table == 21 && r.matching.field(Field::ARP_TPA).0 == 0x0a00_0004);
    assert_eq!(answers.count(), 0);
}

#[test]
fn what_the_switch_lacks_is_named_and_the_rest_is_done() {
    let cloud = cloud(CLOUD).unwrap();
    let mut ports = switch_ports();
    ports.integration.remove("p2");
    ports.tunnel.remove("vxlan-c0000203");
    let rules = node_rules(&desired_state(&cloud, "a").unwrap(), &ports);
    assert_eq!(rules.missing.len(), 2);
    assert!(rules.missing[0].contains("br-int has no port 'p2'"), "{:?}", rules.missing);
    assert!(rules.missing[1].contains("host 'c' (192.0.2.3) cannot be reached"), "{:?}", rules.missing);
    assert!(rules.integration.len() > 20 && rules.tunnel.len() > 10);
    ports.tunnel.insert(FLOW_TUNNEL.to_owned(), 9);
    let rules = node_rules(&desired_state(&cloud, "a").unwrap(), &ports);
    assert_eq!(rules.missing.len(), 1, "one port for all peers will do: {:?}", rules.missing);
}

#[test]
fn every_rule_is_marked_and_the_same_cloud_gives_the_same_rules() {
    let (_, one) = node(CLOUD);
    let (_, two) = node(CLOUD);
    assert_eq!(one, two);
    for rule in one.integration.iter().chain(one.tunnel.iter()) {
        assert_eq!(rule.cookie & cookie::OWNER_MASK, cookie::OWNER);
    }
}

#[test]
fn a_new_port_changes_only_what_concerns_it() {
    let more = CLOUD.replace(
        "security_groups:\n  - name: all",
        "  - {name: p6, network: n, mac: 02:00:00:00:00:06, addresses: [10.0.0.6], host: b}\n\
         security_groups:\n  - name: all",
    );
    let (_, before) = node(CLOUD);
    let (_, after) = node(&more);
    let changes = crate::reconcile::changes(&before.tunnel, &after.tunnel);
    assert_eq!(crate::reconcile::summary(&changes), "2 added, 0 modified, 0 deleted");
    assert!(crate::reconcile::changes(&before.integration, &after.integration).is_empty());
}

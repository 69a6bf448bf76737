//! Single cases of the promise: what was once answered from the cache and was not what the tables say.

use std::sync::Arc;

use sluice_flow::action::{Action, Need, LOCAL};
use sluice_flow::key::{slot, Slot};
use sluice_flow::program::{Port, PortKind, VlanMode};
use sluice_flow::underlay::{Device, Exit, Route, Underlay};
use sluice_flow::{Change, Conjunction, Key, MaskedKey, Rule};

use super::{ports, Pair};

fn rule(id: u32, bridge: u16, table: u8, priority: u16, on: &[(Slot, u128)], actions: Vec<Action>) -> Change {
    let (mut value, mut mask) = (Key::ZERO, Key::ZERO);
    for &(s, v) in on {
        value.set_wide(s, v);
        mask.cover(s);
    }
    let matching = MaskedKey::new(&value, &mask);
    let rule = Rule { id, priority, matching, actions: actions.into(), conjunctions: Box::new([]) };
    Change::Add { bridge, table, rule: Arc::new(rule) }
}

fn clause(id: u32, priority: u16, on: (Slot, u128), clause: u8) -> Change {
    let Change::Add { rule: plain, .. } = rule(id, 0, 0, priority, &[on], vec![]) else { unreachable!() };
    let conjunctions = Box::new([Conjunction { id: 7, clause, n_clauses: 2 }]);
    Change::Add { bridge: 0, table: 0, rule: Arc::new(Rule { conjunctions, ..(*plain).clone() }) }
}

fn set(slot: Slot, value: u128, need: Need) -> Action {
    Action::Set { slot, value, mask: slot.ones(), need }
}

fn dec_ttl() -> Action {
    Action::DecTtl(Arc::new([0]))
}

/// UDP from 10.0.0.`src` to 10.0.0.`dst`; MAC addresses end alike.
fn udp(src: u8, dst: u8, ttl: u8) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src, 8, 0];
    let mut ip = vec![0x45, 0, 0, 28, 0, 1, 0, 0, ttl, 17, 0, 0, 10, 0, 0, src, 10, 0, 0, dst];
    let sum = !sluice_wire::checksum::fold(sluice_wire::checksum::sum(&ip));
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    f.extend(ip);
    f.extend([0, 1, 0, 2, 0, 8, 0, 0]);
    f
}

fn tagged(mut frame: Vec<u8>, tci: u16) -> Vec<u8> {
    let [high, low] = tci.to_be_bytes();
    frame.splice(12..12, [0x81, 0, high, low]);
    frame
}

fn pair(rules: &[Change]) -> Pair {
    let mut p = Pair::new();
    p.change(&ports(false));
    p.change(rules);
    p
}

#[test]
fn a_register_that_names_normal_makes_addresses_matter() {
    let mut p = pair(&[
        rule(1, 0, 0, 1, &[], vec![set(slot::reg(0), 0xfffa, Need::Nothing), Action::OutputFrom(slot::reg(0))]),
    ]);
    let to = |mac: u8| [&[2, 0, 0, 0, 0, mac], &udp(1, 2, 64)[6..]].concat();
    p.agree(1, &[udp(2, 9, 64)], "learns 2");
    p.agree(0, &[to(9)], "floods");
    p.agree(0, &[to(2)], "knows 2");
}

#[test]
fn a_second_decrement_asks_for_more_than_whether_the_packet_came_in_expiring() {
    for rules in [
        vec![rule(1, 0, 0, 1, &[], vec![dec_ttl(), dec_ttl(), Action::Output(2)])],
        vec![
            rule(1, 0, 0, 1, &[], vec![dec_ttl(), Action::Resubmit { in_port: None, table: Some(1) }]),
            rule(2, 0, 1, 1, &[], vec![dec_ttl(), Action::Output(2)]),
        ],
        vec![
            rule(1, 0, 0, 1, &[], vec![dec_ttl(), Action::Output(10)]),
            rule(2, 1, 0, 1, &[], vec![dec_ttl(), Action::Output(1)]),
        ],
    ] {
        let mut p = pair(&rules);
        for ttl in [64, 2, 3, 1, 2, 64, 0] {
            p.agree(0, &[udp(1, 2, ttl)], "twice");
        }
        assert!(p.worker.counters().hits == 0 || p.worker.counters().misses < 20);
    }
}

#[test]
fn a_ttl_written_in_part_or_moved_is_expiring_when_it_is() {
    let low = Slot { width: 4, ..slot::NW_TTL };
    let high = Slot { width: 4, shift: slot::NW_TTL.shift + 4, ..slot::NW_TTL };
    let part = Action::Set { slot: slot::NW_TTL, value: 0, mask: 0xf0, need: Need::Ip };
    for write in [set(low, 0, Need::Ip), set(high, 0, Need::Ip), part] {
        let mut p = pair(&[rule(1, 0, 0, 1, &[], vec![write, dec_ttl(), Action::Output(2)])]);
        for ttl in [0x41, 0x11, 0x42, 0x10, 0x01] {
            p.agree(0, &[udp(1, 2, ttl)], "written in part");
        }
    }
}

#[test]
fn a_value_from_the_stack_pushes_a_tag_only_where_there_is_none() {
    let mut p = pair(&[
        rule(1, 0, 0, 1, &[], vec![
            Action::StackPush(slot::VLAN_TCI.bits(0, 12).unwrap_or(slot::VLAN_VID)),
            Action::StackPop(slot::VLAN_VID),
            Action::Output(2),
        ]),
    ]);
    p.agree(0, &[udp(1, 2, 64), tagged(udp(1, 2, 64), 0), udp(1, 2, 64)], "popped");
    let mut p = pair(&[
        rule(1, 0, 0, 1, &[], vec![
            Action::Move { src: slot::reg(0).bits(0, 12).unwrap_or(slot::VLAN_VID), src_need: Need::Nothing, dst: slot::VLAN_VID, dst_need: Need::Nothing },
            Action::Output(2),
        ]),
    ]);
    p.agree(0, &[udp(1, 2, 64), tagged(udp(1, 2, 64), 0), udp(1, 2, 64)], "moved");
}

#[test]
fn a_rule_below_a_conjunctions_rule_may_still_hide_its_clauses() {
    let mut p = pair(&[
        rule(1, 0, 0, 300, &[(slot::CONJ_ID, 7)], vec![Action::Output(2)]),
        clause(2, 100, (slot::NW_SRC, 0x0a00_0001), 0),
        clause(3, 100, (slot::NW_DST, 0x0a00_0002), 1),
    ]);
    p.agree(0, &[udp(1, 2, 64)], "conjunction");
    p.change(&[rule(4, 0, 0, 200, &[], vec![Action::Output(3)])]);
    p.agree(0, &[udp(1, 2, 64)], "hidden");
    p.change(&[Change::Remove { bridge: 0, table: 0, id: 4 }]);
    p.agree(0, &[udp(1, 2, 64)], "seen again");
}

#[test]
fn the_hosts_own_addresses_decide_what_ends_here_also_for_known_flows() {
    let underlay = |own: &[&str]| {
        let addresses = own.iter().map(|a| a.parse().unwrap()).collect();
        let device = Device { name: "u".into(), mac: [2, 0, 0, 0, 0, 1], addresses, exit: Exit::Port(5), mtu: 1500 };
        Change::SetUnderlay(Arc::new(Underlay { devices: vec![device], ..Underlay::default() }))
    };
    let mut outer = udp(1, 2, 64);
    outer[36..38].copy_from_slice(&4789u16.to_be_bytes());
    let mut p = pair(&[rule(1, 1, 0, 1, &[], vec![Action::Output(LOCAL)])]);
    for own in [&["10.0.0.9"][..], &["10.0.0.2"], &[], &["10.0.0.2", "10.0.0.9"]] {
        p.change(&[underlay(own)]);
        p.agree(3, std::slice::from_ref(&outer), "by the bridge's own port");
        p.agree(5, std::slice::from_ref(&outer), "by a device for tunnels");
    }
}

#[test]
fn a_tag_that_normal_wrote_is_what_the_next_bridge_looks_up() {
    let access = |port, kind| Change::SetPort {
        bridge: 0,
        port,
        to: Some(Port { kind, vlan: VlanMode::Access(5), ..Port::device(0) }),
    };
    let mut p = pair(&[
        access(1, PortKind::Device(0)),
        rule(1, 0, 0, 1, &[], vec![Action::Normal]),
        rule(2, 1, 0, 1, &[], vec![Action::Output(1)]),
    ]);
    let f = tagged(udp(1, 2, 64), 0);
    p.agree(0, std::slice::from_ref(&f), "priority-tagged");
    p.change(&[rule(3, 1, 0, 2, &[(slot::VLAN_VID, 5)], vec![])]);
    p.agree(0, std::slice::from_ref(&f), "VLAN 5 is dropped there");
}

#[test]
fn a_next_hop_is_asked_for_again_while_packets_come() {
    let device = Device { name: "u".into(), mac: [2; 6], addresses: vec!["192.0.2.1".parse().unwrap()], exit: Exit::Port(5), mtu: 1500 };
    let route = Route { prefix: "192.0.2.0".parse().unwrap(), len: 24, device: 0, gateway: None, source: None };
    let underlay = Underlay { devices: vec![device], routes: vec![route], ..Underlay::default() };
    let to_tunnel = rule(1, 0, 0, 1, &[], vec![Action::Output(20)]);
    let mut p = pair(&[Change::SetUnderlay(Arc::new(underlay)), to_tunnel]);
    for (second, decisions) in [(1, 1), (1, 1), (2, 2), (2, 2), (3, 3)] {
        p.now_ms = 1000 * second;
        p.agree(0, &[udp(1, 2, 64)], "unresolved");
        assert_eq!(p.worker.counters().misses, decisions);
    }
}

#[test]
fn the_learned_address_is_the_written_one_also_where_part_was_written() {
    let part = Slot { width: 8, ..slot::ETH_SRC };
    let mut p = pair(&[
        rule(1, 0, 0, 2, &[(slot::IN_PORT, 1)], vec![set(part, 0x77, Need::Nothing), Action::Normal]),
        rule(2, 0, 0, 1, &[], vec![Action::Normal]),
    ]);
    for _ in 0..3 {
        p.agree(0, &[udp(1, 9, 64)], "written");
        p.now_ms += 1500;
    }
    p.agree(1, &[udp(2, 1, 64), udp(2, 0x77, 64)], "only the written one is known");
}

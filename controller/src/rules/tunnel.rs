//! The rules of `br-tun`: from VLANs to tunnels and back.
//!
//! Purpose: Neutron's tables with L2 population: known stations by unicast to their host, ARP for
//! them answered here, all else copied to every host of the network.
//! Deliberately does not know: local ports, security groups.

use super::build::*;
use super::cookie::{Purpose, LEARNED};
use super::{tunnel_port_name, PortNumbers, FLOW_TUNNEL, TO_INTEGRATION, TUNNEL};
use crate::desired::{DesiredState, LocalNetwork, PeerHost, Station};
use sluice_openflow::action::{Learn, LearnSource, LearnSpec};
use sluice_openflow::{Action, Field, PortNo, SubField};
use std::net::Ipv4Addr;

const ENTRY: u8 = 0;
const FROM_INTEGRATION: u8 = 2;
const FROM_TUNNEL: u8 = 4;
const LEARN: u8 = 10;
const UNICAST: u8 = 20;
const ANSWER: u8 = 21;
const FLOOD: u8 = 22;

/// Seconds that a station which traffic taught is remembered.
const LEARNED_FOR: u16 = 300;
const ARP_REQUEST: u128 = 1;
const ARP_REPLY: u128 = 2;
const EVERYBODY: u128 = 0xffff_ffff_ffff;

/// How a peer is reached.
#[derive(Clone, Copy)]
struct Way {
    port: u32,
    /// Tunnel end to set, where the port does not have one of its own.
    end: Option<Ipv4Addr>,
}

pub(super) fn rules(state: &DesiredState, ports: &PortNumbers, missing: &mut Vec<String>) -> RuleSet {
    let mut set = RuleSet::default();
    let Some(&inward) = ports.get(TO_INTEGRATION) else {
        missing.push(format!("{TUNNEL} has no port '{TO_INTEGRATION}'; no rules are made for {TUNNEL}"));
        return set;
    };
    base(&mut set, inward);
    let mut tunnels: Vec<(u32, bool)> = Vec::new();
    for network in &state.networks {
        decapsulated(&mut set, network);
        let mut ways = Vec::new();
        for peer in &network.peers {
            let Some(way) = way_to(peer, ports) else {
                note_missing(peer, missing);
                continue;
            };
            ways.push(way);
            tunnels.push((way.port, way.end.is_some()));
            for station in &peer.stations {
                reach(&mut set, network, station, way);
            }
        }
        own_addresses(&mut set, network);
        flood(&mut set, network, &ways);
    }
    for (port, flow_based) in tunnels {
        from_tunnel(&mut set, port, inward, flow_based);
    }
    set
}

fn base(set: &mut RuleSet, inward: u32) {
    use Purpose::Base;
    set.add(ENTRY, 1, any().in_port(inward), vec![goto(FROM_INTEGRATION)], Base);
    set.add(ENTRY, 0, any(), vec![], Base);
    let question = any().arp().is(Field::ETH_DST, EVERYBODY);
    set.add(FROM_INTEGRATION, 1, question, vec![goto(ANSWER)], Base);
    set.add(FROM_INTEGRATION, 0, any().to_one(), vec![goto(UNICAST)], Base);
    set.add(FROM_INTEGRATION, 0, any().to_many(), vec![goto(FLOOD)], Base);
    set.add(FROM_TUNNEL, 0, any(), vec![], Base);
    set.add(LEARN, 1, any(), vec![learn(false), output(inward)], Base);
    set.add(UNICAST, 0, any(), vec![goto(FLOOD)], Base);
    set.add(ANSWER, 0, any(), vec![goto(FLOOD)], Base);
    set.add(FLOOD, 0, any(), vec![], Base);
}

fn way_to(peer: &PeerHost, ports: &PortNumbers) -> Option<Way> {
    let own = ports.get(&tunnel_port_name(peer.tunnel_ip)).map(|&port| Way { port, end: None });
    own.or_else(|| ports.get(FLOW_TUNNEL).map(|&port| Way { port, end: Some(peer.tunnel_ip) }))
}

fn note_missing(peer: &PeerHost, missing: &mut Vec<String>) {
    let line = format!(
        "{TUNNEL} has neither '{}' nor '{FLOW_TUNNEL}'; host '{}' ({}) cannot be reached",
        tunnel_port_name(peer.tunnel_ip),
        peer.name,
        peer.tunnel_ip
    );
    if !missing.contains(&line) {
        missing.push(line);
    }
}

fn from_tunnel(set: &mut RuleSet, port: u32, inward: u32, flow_based: bool) {
    set.add(ENTRY, 1, any().in_port(port), vec![goto(FROM_TUNNEL)], Purpose::Peer);
    if flow_based {
        set.add(LEARN, 2, any().in_port(port), vec![learn(true), output(inward)], Purpose::Peer);
    }
}

fn decapsulated(set: &mut RuleSet, network: &LocalNetwork) {
    let [push, tag] = push_vlan(network.vlan);
    let when = any().is(Field::TUN_ID, u128::from(network.vni));
    set.add(FROM_TUNNEL, 1, when, vec![push, tag, goto(LEARN)], Purpose::Network);
}

fn reach(set: &mut RuleSet, network: &LocalNetwork, station: &Station, way: Way) {
    let mut actions = encapsulate(network);
    actions.extend(send(way));
    set.add(UNICAST, 2, any().vlan(network.vlan).to(station.mac), actions, Purpose::Peer);
    for &address in &station.answers {
        let when = asks(network, address);
        set.add(ANSWER, 1, when, answer(station, address), Purpose::Answer);
    }
}

fn asks(network: &LocalNetwork, address: Ipv4Addr) -> When {
    let target = u128::from(u32::from(address));
    any().vlan(network.vlan).arp().is(Field::ARP_OP, ARP_REQUEST).is(Field::ARP_TPA, target)
}

/// Turns the question around and sends it back where it came from.
fn answer(station: &Station, address: Ipv4Addr) -> Vec<Action> {
    vec![
        set(Field::ARP_OP, ARP_REPLY),
        copy(Field::ARP_SHA, Field::ARP_THA),
        copy(Field::ARP_SPA, Field::ARP_TPA),
        set(Field::ARP_SHA, station.mac.bits()),
        set(Field::ARP_SPA, u128::from(u32::from(address))),
        copy(Field::ETH_SRC, Field::ETH_DST),
        set(Field::ETH_SRC, station.mac.bits()),
        output(PortNo::IN_PORT.0),
    ]
}

/// Who asks for a local address has an answer from its owner: other hosts need not hear of it.
fn own_addresses(set: &mut RuleSet, network: &LocalNetwork) {
    for &address in &network.own_addresses {
        set.add(ANSWER, 1, asks(network, address), vec![], Purpose::Answer);
    }
}

fn flood(set: &mut RuleSet, network: &LocalNetwork, ways: &[Way]) {
    if ways.is_empty() {
        return;
    }
    let mut actions = encapsulate(network);
    actions.extend(ways.iter().flat_map(|&way| send(way)));
    set.add(FLOOD, 1, any().vlan(network.vlan), actions, Purpose::Network);
}

fn encapsulate(network: &LocalNetwork) -> Vec<Action> {
    vec![pop_vlan(), set(Field::TUN_ID, u128::from(network.vni))]
}

fn send(way: Way) -> Vec<Action> {
    let end = way.end.map(|ip| set(Field::TUN_DST, u128::from(u32::from(ip))));
    end.into_iter().chain([output(way.port)]).collect()
}

/// Remembers behind which tunnel a station is.
fn learn(flow_based: bool) -> Action {
    let vlan_id = SubField { field: Field::VLAN_TCI, start: 0, width: 12 };
    let mut specs = vec![
        LearnSpec::Match { src: LearnSource::Field(vlan_id), dst: vlan_id },
        LearnSpec::Match { src: LearnSource::Field(Field::ETH_SRC.whole()), dst: Field::ETH_DST.whole() },
        LearnSpec::Load { src: LearnSource::Value { n_bits: 16, value: 0 }, dst: Field::VLAN_TCI.whole() },
        LearnSpec::Load { src: LearnSource::Field(Field::TUN_ID.whole()), dst: Field::TUN_ID.whole() },
    ];
    if flow_based {
        specs.push(LearnSpec::Load {
            src: LearnSource::Field(Field::TUN_SRC.whole()),
            dst: Field::TUN_DST.whole(),
        });
    }
    specs.push(LearnSpec::Output(Field::IN_PORT.whole()));
    Action::Learn(Box::new(Learn {
        hard_timeout: LEARNED_FOR,
        priority: 1,
        cookie: LEARNED,
        table: UNICAST,
        specs,
        ..Learn::default()
    }))
}

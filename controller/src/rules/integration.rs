//! The rules of `br-int`: between local ports, and from and to `br-tun`.
//!
//! Purpose: say which port a packet belongs to, have its rights checked, deliver it. Delivery names
//! ports and tags explicitly, so that it does not depend on tags configured on the switch's ports.
//! Deliberately does not know: how rights are checked (`spoof`, `filter`), tunnels.

use super::build::*;
use super::cookie::Purpose;
use super::{filter, number_of, spoof, state, PortNumbers, INTEGRATION, TO_TUNNEL};
use crate::desired::{DesiredState, LocalNetwork, LocalPort};
use crate::model::{Mac, Place};
use sluice_openflow::Action;

const ENTRY: u8 = 0;
/// Which port or network a packet belongs to.
const TRANSIENT: u8 = 60;
/// What a local port sends: may it send as that station?
pub(super) const EGRESS_BASE: u8 = 71;
/// What a local port sends, where connections are tracked: is it part of one?
pub(super) const EGRESS_STATE: u8 = 70;
/// What a local port sends: is it allowed to?
pub(super) const EGRESS_RULES: u8 = 72;
/// What a local port sent and may: where does it go?
pub(super) const ACCEPTED_EGRESS: u8 = 73;
/// What a local port is sent: things that are always allowed.
pub(super) const INGRESS_BASE: u8 = 81;
/// What a local port is sent, where connections are tracked: is it part of one?
pub(super) const INGRESS_STATE: u8 = 80;
/// What a local port is sent: is that allowed?
pub(super) const INGRESS_RULES: u8 = 82;
/// What a local port is sent and may be, where connections are tracked.
pub(super) const ACCEPTED_INGRESS: u8 = 83;
/// What was refused.
pub(super) const DROPPED: u8 = 93;
/// To the other hosts.
pub(super) const TO_OTHERS: u8 = 94;
/// To every local port of the network.
const TO_LOCAL: u8 = 95;

/// VLAN of ports that Neutron has not wired yet.
const DEAD_VLAN: u16 = 4095;

/// A local port that has a number.
pub(super) struct Attached<'a> {
    pub port: &'a LocalPort,
    pub number: u32,
}

pub(super) fn rules(state: &DesiredState, numbers: &PortNumbers, missing: &mut Vec<String>) -> RuleSet {
    let mut set = RuleSet::default();
    let Some(&outward) = numbers.get(TO_TUNNEL) else {
        missing.push(format!("{INTEGRATION} has no port '{TO_TUNNEL}'; no rules are made for {INTEGRATION}"));
        return set;
    };
    base(&mut set);
    let mut here = Vec::new();
    for network in &state.networks {
        let attached: Vec<Option<Attached<'_>>> =
            network.ports.iter().map(|port| attach(port, numbers, missing)).collect();
        deliver_network(&mut set, network, &attached, outward);
        for attached in attached.into_iter().flatten() {
            deliver_port(&mut set, network, &attached);
            spoof::rules(&mut set, &attached);
            if network.ports.iter().any(|p| p.stateful) {
                state::rules(&mut set, &attached);
            }
            here.push(attached);
        }
    }
    filter::rules(&mut set, &here, &state.groups);
    if here.iter().any(|p| p.port.stateful) {
        state::base(&mut set);
    }
    set
}

fn attach<'a>(port: &'a LocalPort, numbers: &PortNumbers, missing: &mut Vec<String>) -> Option<Attached<'a>> {
    let number = number_of(port, numbers);
    if let (None, Place::Device(device)) = (number, &port.place) {
        missing.push(format!("{INTEGRATION} has no port '{device}'; '{}' is not served", port.name));
    }
    number.map(|number| Attached { port, number })
}

fn base(set: &mut RuleSet) {
    use Purpose::Base;
    set.add(ENTRY, 65535, any().vlan(DEAD_VLAN), vec![], Base);
    set.add(ENTRY, 0, any(), vec![goto(TRANSIENT)], Base);
    set.add(TRANSIENT, 0, any(), vec![], Base);
    for table in [EGRESS_BASE, EGRESS_RULES, INGRESS_BASE, INGRESS_RULES] {
        set.add(table, 0, any(), vec![resubmit(DROPPED)], Base);
    }
    for table in [ACCEPTED_EGRESS, DROPPED, TO_OTHERS, TO_LOCAL] {
        set.add(table, 0, any(), vec![], Base);
    }
}

/// Where packets of a network go whose receiver is not just one local port.
fn deliver_network(set: &mut RuleSet, network: &LocalNetwork, attached: &[Option<Attached<'_>>], outward: u32) {
    use Purpose::Network;
    let vlan = network.vlan;
    let in_network = any().vlan_register(vlan);
    let arriving = [set_vlan(vlan), pop_vlan(), resubmit(TO_LOCAL)];
    set.add(TRANSIENT, 80, any().in_port(outward).vlan(vlan).to_many(), arriving.to_vec(), Network);
    let everywhere = vec![resubmit(TO_LOCAL), resubmit(TO_OTHERS)];
    set.add(ACCEPTED_EGRESS, 90, in_network.to_many(), everywhere, Network);
    set.add(ACCEPTED_EGRESS, 80, in_network.clone(), vec![resubmit(TO_OTHERS)], Network);
    let [push, tag] = push_vlan(vlan);
    let leave = vec![push, tag, output(outward)];
    if network.ports.iter().any(|p| p.stateful) {
        state::leaving(set, &in_network, &leave);
    }
    set.add(TO_OTHERS, 1, in_network.clone(), leave, Network);
    let all = attached.iter().flatten().flat_map(hand_to).collect();
    set.add(TO_LOCAL, 1, in_network, all, Network);
    for (mac, candidates) in &network.shared_macs {
        let here: Vec<&Attached<'_>> =
            candidates.iter().filter_map(|&i| attached.get(i).and_then(Option::as_ref)).collect();
        deliver_shared(set, network, *mac, &here, outward);
    }
}

/// A station that may be behind several ports: each of them gets a copy, and so do other hosts.
fn deliver_shared(set: &mut RuleSet, network: &LocalNetwork, mac: Mac, here: &[&Attached<'_>], outward: u32) {
    let copies: Vec<Action> = here.iter().flat_map(|a| hand_to(a)).collect();
    let mut arriving = vec![set_vlan(network.vlan), pop_vlan()];
    arriving.extend(copies.clone());
    let when = any().in_port(outward).vlan(network.vlan).to(mac);
    set.add(TRANSIENT, 90, when, arriving, Purpose::Network);
    let mut leaving = copies;
    leaving.push(resubmit(TO_OTHERS));
    let when = any().vlan_register(network.vlan).to(mac);
    set.add(ACCEPTED_EGRESS, 100, when, leaving, Purpose::Network);
}

/// What a local port sends, and what is meant for it alone.
fn deliver_port(set: &mut RuleSet, network: &LocalNetwork, attached: &Attached<'_>) {
    use Purpose::Port;
    let (vlan, number) = (network.vlan, attached.number);
    let belongs = vec![set_port(number), set_vlan(vlan), resubmit(EGRESS_BASE)];
    set.add(TRANSIENT, 100, any().in_port(number).untagged(), belongs, Port);
    set.add(TRANSIENT, 99, any().in_port(number), vec![resubmit(DROPPED)], Port);
    for &mac in &attached.port.macs {
        let arriving = vec![set_port(number), set_vlan(vlan), pop_vlan(), resubmit(INGRESS_BASE)];
        set.add(TRANSIENT, 90, any().vlan(vlan).to(mac), arriving, Port);
        let local = hand_to(attached).to_vec();
        set.add(ACCEPTED_EGRESS, 100, any().vlan_register(vlan).to(mac), local, Port);
    }
    if attached.port.claims.is_none() {
        let open = any().port_register(number);
        set.add(EGRESS_BASE, 100, open.in_port(number), vec![resubmit(ACCEPTED_EGRESS)], Port);
        set.add(INGRESS_BASE, 100, open, vec![output(number)], Port);
    }
}

fn hand_to(attached: &Attached<'_>) -> [Action; 2] {
    [set_port(attached.number), resubmit(INGRESS_BASE)]
}

fn set_port(number: u32) -> Action {
    set(PORT_REGISTER, u128::from(number))
}

fn set_vlan(vlan: u16) -> Action {
    set(VLAN_REGISTER, u128::from(vlan))
}

//! Who a local port may send as, and what every port may be sent.
//!
//! Purpose: a port speaks only for its own stations, in ARP, neighbour discovery and IP; it is
//! neither a DHCP server nor a router, unless its port security is off.
//! Deliberately does not know: security groups.

use super::build::*;
use super::cookie::Purpose::AntiSpoofing;
use super::integration::*;
use super::state;
use crate::desired::Claim;
use crate::model::{EtherType, Mac};
use sluice_openflow::Field;

const LISTENER_QUERY: u8 = 130;
const ROUTER_SOLICIT: u8 = 133;
const ROUTER_ADVERT: u8 = 134;
const NEIGHBOUR_SOLICIT: u8 = 135;
const NEIGHBOUR_ADVERT: u8 = 136;

/// DHCP: client and server port, per IP version.
const DHCP: [(EtherType, u16, u16); 2] = [(EtherType::V4, 68, 67), (EtherType::V6, 546, 547)];

pub(super) fn rules(set: &mut RuleSet, attached: &Attached<'_>) {
    let Some(claims) = &attached.port.claims else { return };
    let number = attached.number;
    for claim in claims {
        match claim.prefix.ethertype() {
            EtherType::V4 => send_v4(set, attached, claim),
            EtherType::V6 => send_v6(set, attached, claim),
        }
    }
    for mac in claims.iter().map(|c| c.mac) {
        ask_for_address(set, number, mac);
    }
    never(set, number);
    always(set, number);
}

fn sent_by(number: u32) -> When {
    any().port_register(number).in_port(number)
}

fn send_v4(set: &mut RuleSet, attached: &Attached<'_>, claim: &Claim) {
    let from = sent_by(attached.number).from(claim.mac);
    let arp = from.arp().is(Field::ARP_SHA, claim.mac.bits());
    let arp = arp.under(Field::ARP_SPA, claim.prefix.bits(), claim.prefix.mask());
    set.add(EGRESS_BASE, 95, arp, vec![resubmit(ACCEPTED_EGRESS)], AntiSpoofing);
    send_ip(set, attached, claim);
}

fn send_v6(set: &mut RuleSet, attached: &Attached<'_>, claim: &Claim) {
    let number = attached.number;
    let from = sent_by(number).from(claim.mac);
    for kind in [LISTENER_QUERY, ROUTER_SOLICIT, NEIGHBOUR_SOLICIT] {
        let when = from.icmp6(kind).from_address(&claim.prefix);
        set.add(EGRESS_BASE, 95, when, vec![resubmit(ACCEPTED_EGRESS)], AntiSpoofing);
    }
    let advert = from.icmp6(NEIGHBOUR_ADVERT).is(Field::ICMPV6_CODE, 0);
    let advert = advert.under(Field::ND_TARGET, claim.prefix.bits(), claim.prefix.mask());
    set.add(EGRESS_BASE, 95, advert, vec![resubmit(ACCEPTED_EGRESS)], AntiSpoofing);
    // An advertisement for somebody else must not pass as plain IPv6 below.
    let other = sent_by(number).icmp6(NEIGHBOUR_ADVERT);
    set.add(EGRESS_BASE, 94, other, vec![resubmit(DROPPED)], AntiSpoofing);
    send_ip(set, attached, claim);
}

fn send_ip(set: &mut RuleSet, attached: &Attached<'_>, claim: &Claim) {
    let when = sent_by(attached.number).from(claim.mac).from_address(&claim.prefix);
    let judged = if attached.port.stateful { state::track(EGRESS_STATE) } else { resubmit(EGRESS_RULES) };
    set.add(EGRESS_BASE, 65, when.clone(), vec![judged], AntiSpoofing);
    for (ethertype, client, server) in DHCP {
        if ethertype == claim.prefix.ethertype() {
            let when = when.udp(ethertype, client, server);
            set.add(EGRESS_BASE, 80, when, vec![resubmit(ACCEPTED_EGRESS)], AntiSpoofing);
        }
    }
}

/// DHCP before there is an address.
fn ask_for_address(set: &mut RuleSet, number: u32, mac: Mac) {
    let (ethertype, client, server) = DHCP[0];
    let when = sent_by(number).from(mac).udp(ethertype, client, server).is(Field::IP_SRC, 0);
    set.add(EGRESS_BASE, 80, when, vec![resubmit(ACCEPTED_EGRESS)], AntiSpoofing);
}

/// What no machine may send: DHCP answers and router advertisements.
fn never(set: &mut RuleSet, number: u32) {
    for (ethertype, client, server) in DHCP {
        let when = sent_by(number).udp(ethertype, server, client);
        set.add(EGRESS_BASE, 70, when, vec![resubmit(DROPPED)], AntiSpoofing);
    }
    let advert = sent_by(number).icmp6(ROUTER_ADVERT);
    set.add(EGRESS_BASE, 70, advert, vec![resubmit(DROPPED)], AntiSpoofing);
}

/// What every machine may be sent.
fn always(set: &mut RuleSet, number: u32) {
    let to = any().port_register(number);
    set.add(INGRESS_BASE, 100, to.arp(), vec![output(number)], AntiSpoofing);
    for kind in [LISTENER_QUERY, ROUTER_ADVERT, NEIGHBOUR_SOLICIT, NEIGHBOUR_ADVERT] {
        set.add(INGRESS_BASE, 100, to.icmp6(kind), vec![output(number)], AntiSpoofing);
    }
    for (ethertype, client, server) in DHCP {
        let when = to.udp(ethertype, server, client);
        set.add(INGRESS_BASE, 95, when, vec![output(number)], AntiSpoofing);
        set.add(INGRESS_BASE, 90, to.ip(ethertype), vec![resubmit(INGRESS_RULES)], AntiSpoofing);
    }
}

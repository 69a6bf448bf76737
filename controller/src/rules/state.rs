//! Connections of ports whose security groups have state.
//!
//! Purpose: what a permission allowed to open goes on in both directions, errors about it too, while the
//! permission is there. One zone per network: its VLAN.
//!
//! A connection of which a packet in the direction that was allowed is no longer allowed is marked, and nothing
//! of it passes from then on, as with Neutron's agent. Permissions themselves (`filter`) know nothing of state.
//! Deliberately does not know: what permissions say.

use super::build::*;
use super::cookie::Purpose::SecurityGroup;
use super::integration::*;
use crate::model::EtherType;
use sluice_openflow::action::{Ct, CtZone};
use sluice_openflow::{Action, Field};

const NEW: u128 = 0x01;
const ESTABLISHED: u128 = 0x02;
const RELATED: u128 = 0x04;
const ANSWER: u128 = 0x08;
const INVALID: u128 = 0x10;
const TRACKED: u128 = 0x20;
/// Mark of a connection that is no longer allowed (Neutron's choice).
const CUT: u128 = 1;
const FAMILIES: [EtherType; 2] = [EtherType::V4, EtherType::V6];

fn ct(commit: bool, table: Option<u8>, actions: Vec<Action>) -> Action {
    let mut zone = VLAN_REGISTER.whole();
    zone.width = 16;
    Action::Ct(Box::new(Ct { commit, force: false, zone: CtZone::Field(zone), table, alg: 0, actions }))
}

/// Looks for the packet's connection, and goes on.
pub(super) fn track(table: u8) -> Action {
    ct(false, Some(table), vec![])
}

fn open() -> Action {
    ct(true, None, vec![])
}

/// The packet is all of `is` and nothing of `not`.
fn state(when: When, is: u128, not: u128) -> When {
    when.under(Field::CT_STATE, is | TRACKED, is | not | TRACKED)
}

/// What is the same for all ports.
pub(super) fn base(set: &mut RuleSet) {
    for (table, rules) in [(EGRESS_STATE, EGRESS_RULES), (INGRESS_STATE, INGRESS_RULES)] {
        set.add(table, 60, state(any(), INVALID, 0), vec![resubmit(DROPPED)], SecurityGroup);
        set.add(table, 55, any().is(Field::CT_MARK, CUT), vec![resubmit(DROPPED)], SecurityGroup);
        set.add(table, 0, any(), vec![resubmit(rules)], SecurityGroup);
        for family in FAMILIES {
            let cut = ct(true, None, vec![super::build::set(Field::CT_MARK, CUT)]);
            let no_longer = state(any().ip(family), ESTABLISHED, 0);
            set.add(rules, 1, no_longer, vec![cut, resubmit(DROPPED)], SecurityGroup);
        }
    }
    for when in going_on() {
        set.add(EGRESS_STATE, 50, when, vec![resubmit(ACCEPTED_EGRESS)], SecurityGroup);
    }
}

/// Answers, and errors about a connection.
fn going_on() -> [When; 2] {
    [state(any(), ESTABLISHED | ANSWER, RELATED), state(any(), RELATED, NEW | ESTABLISHED)]
}

/// What one port is sent. A port without state opens connections for senders that have it and wait for answers.
pub(super) fn rules(set: &mut RuleSet, to: &Attached<'_>) {
    let number = to.number;
    for family in FAMILIES {
        let port = any().port_register(number).ip(family);
        match (&to.port.claims, to.port.stateful) {
            (_, true) => {
                let unknown = port.clone().under(Field::CT_STATE, 0, TRACKED);
                set.add(INGRESS_BASE, 92, unknown, vec![track(INGRESS_STATE)], SecurityGroup);
                set.add(INGRESS_BASE, 91, port.clone(), vec![resubmit(INGRESS_STATE)], SecurityGroup);
                set.add(ACCEPTED_INGRESS, 2, state(port.clone(), NEW, 0), vec![open(), output(number)], SecurityGroup);
                set.add(ACCEPTED_INGRESS, 1, port, vec![output(number)], SecurityGroup);
            }
            (Some(_), false) => set.add(INGRESS_BASE, 92, state(port, NEW, 0), vec![open(), resubmit(INGRESS_RULES)], SecurityGroup),
            (None, false) => set.add(INGRESS_BASE, 101, state(port, NEW, 0), vec![open(), output(number)], SecurityGroup),
        }
    }
    for when in going_on().into_iter().filter(|_| to.port.stateful) {
        set.add(INGRESS_STATE, 50, when.port_register(number), vec![output(number)], SecurityGroup);
    }
}

/// What leaves the node: a new connection is opened here, as no one else of this node sees it.
pub(super) fn leaving(set: &mut RuleSet, in_network: &When, leave: &[Action]) {
    for family in FAMILIES {
        let then = std::iter::once(open()).chain(leave.iter().cloned()).collect();
        set.add(TO_OTHERS, 2, state(in_network.clone().ip(family), NEW, 0), then, SecurityGroup);
    }
}

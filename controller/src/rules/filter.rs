//! Security groups as rules.
//!
//! Purpose: a packet passes when any permission of any group of the port covers it. Where connections are
//! tracked (`state`), only what is new, or goes on in the direction that was allowed, comes here; elsewhere
//! each direction needs a permission of its own, as in Neutron's stateless groups.
//!
//! A permission that names another group becomes a conjunction: the group's members on one side
//! (once per node, however many ports and permissions name it), the port and the service on the
//! other.
//! Deliberately does not know: how packets get here or where they go.

use super::build::*;
use super::cookie::Purpose::SecurityGroup;
use super::integration::*;
use super::range;
use crate::desired::{GroupMembers, Permission};
use crate::model::{protocol, Direction, EtherType, Remote, Service};
use sluice_openflow::{Action, Field};
use std::collections::HashMap;

/// Permissions that stand alone.
const PLAIN: u16 = 77;
/// Permissions that name a group.
const BY_GROUP: u16 = 73;

const MEMBER_SIDE: u8 = 0;
const SERVICE_SIDE: u8 = 1;

pub(super) fn rules(set: &mut RuleSet, ports: &[Attached<'_>], groups: &[GroupMembers]) {
    let ids: HashMap<&str, &GroupMembers> = groups.iter().map(|g| (g.name.as_str(), g)).collect();
    for port in ports.iter().filter(|p| p.port.claims.is_some()) {
        for permission in &port.port.permissions {
            permit(set, port, permission, &ids);
        }
    }
    for group in groups {
        members(set, group);
    }
}

fn permit(set: &mut RuleSet, to: &Attached<'_>, permission: &Permission, groups: &HashMap<&str, &GroupMembers>) {
    let (direction, ethertype) = (permission.direction, permission.ethertype);
    let table = table(direction);
    let port = any().port_register(to.number).ip(ethertype);
    match &permission.remote {
        Remote::Group(name) => {
            let Some(&id) = groups.get(name.as_str()).and_then(|g| g.ids.get(&(direction, ethertype))) else {
                return;
            };
            for when in services(port.clone(), ethertype, permission.service) {
                set.add(table, BY_GROUP, when, vec![conjunction(id, SERVICE_SIDE)], SecurityGroup);
            }
            let met = port.is(Field::CONJ_ID, u128::from(id));
            set.add(table, BY_GROUP, met, accept(direction, to), SecurityGroup);
        }
        remote => {
            let when = match remote {
                Remote::Prefix(prefix) if direction == Direction::Ingress => port.from_address(prefix),
                Remote::Prefix(prefix) => port.to_address(prefix),
                _ => port,
            };
            for when in services(when, ethertype, permission.service) {
                set.add(table, PLAIN, when, accept(direction, to), SecurityGroup);
            }
        }
    }
}

fn table(direction: Direction) -> u8 {
    match direction {
        Direction::Ingress => INGRESS_RULES,
        Direction::Egress => EGRESS_RULES,
    }
}

fn accept(direction: Direction, to: &Attached<'_>) -> Vec<Action> {
    match direction {
        Direction::Ingress if to.port.stateful => vec![resubmit(ACCEPTED_INGRESS)],
        Direction::Ingress => vec![output(to.number)],
        Direction::Egress => vec![resubmit(ACCEPTED_EGRESS)],
    }
}

fn conjunction(id: u32, clause: u8) -> Action {
    Action::Conjunction { id, clause, n_clauses: 2 }
}

/// The members' side of a group's conjunctions.
fn members(set: &mut RuleSet, group: &GroupMembers) {
    let mut kinds: Vec<_> = group.ids.iter().collect();
    kinds.sort();
    for (&(direction, ethertype), &id) in kinds {
        for prefix in group.prefixes.iter().filter(|p| p.ethertype() == ethertype) {
            let when = match direction {
                Direction::Ingress => any().from_address(prefix),
                Direction::Egress => any().to_address(prefix),
            };
            let then = vec![conjunction(id, MEMBER_SIDE)];
            set.add(table(direction), BY_GROUP, when, then, SecurityGroup);
        }
    }
}

/// The conditions that together cover a service.
fn services(when: When, ethertype: EtherType, service: Service) -> Vec<When> {
    match service {
        Service::Any => vec![when],
        Service::Protocol(protocol) => vec![when.protocol(ethertype, protocol)],
        Service::Ports { protocol, low, high } => {
            let field = match protocol {
                protocol::UDP => Field::UDP_DST,
                protocol::SCTP => Field::SCTP_DST,
                _ => Field::TCP_DST,
            };
            let when = when.protocol(ethertype, protocol);
            let masks = range::masks(low, high).into_iter();
            masks.map(|(value, mask)| when.under(field, u128::from(value), u128::from(mask))).collect()
        }
        Service::Icmp { kind, code } => {
            let (protocol, kinds, codes) = match ethertype {
                EtherType::V4 => (protocol::ICMP, Field::ICMP_TYPE, Field::ICMP_CODE),
                EtherType::V6 => (protocol::ICMPV6, Field::ICMPV6_TYPE, Field::ICMPV6_CODE),
            };
            let when = when.protocol(ethertype, protocol).is(kinds, u128::from(kind));
            vec![code.map_or(when.clone(), |code| when.is(codes, u128::from(code)))]
        }
    }
}

//! A small reader of rules, for tests: which ports does a packet leave by?

use crate::model::address::to_bits;
use crate::model::{EtherType, Mac};
use crate::rules::{Rule, RuleSet};
use sluice_openflow::action::WideValue;
use sluice_openflow::{Action, Field, Match};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

#[derive(Clone, Debug)]
pub struct Packet {
    pub eth_src: Mac,
    pub eth_dst: Mac,
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    pub tp_src: u16,
    pub tp_dst: u16,
}

pub struct Walk<'a> {
    pub rules: &'a RuleSet,
}

/// The fields of a packet are those of a match on all of them.
type Fields = Match;

fn put(fields: &mut Fields, field: Field, value: u128) {
    assert!(fields.set_field(field, value, u128::MAX));
}

impl Walk<'_> {
    pub fn outputs(&self, packet: &Packet, in_port: u32, vlan: Option<u16>) -> Vec<u32> {
        let mut fields = frame(packet.eth_src, packet.eth_dst, in_port, vlan);
        let v4 = EtherType::of(packet.src) == EtherType::V4;
        put(&mut fields, Field::ETH_TYPE, if v4 { 0x0800 } else { 0x86dd });
        put(&mut fields, if v4 { Field::IP_SRC } else { Field::IPV6_SRC }, to_bits(packet.src));
        put(&mut fields, if v4 { Field::IP_DST } else { Field::IPV6_DST }, to_bits(packet.dst));
        put(&mut fields, Field::NW_PROTO, packet.protocol.into());
        let with_ports = matches!((packet.protocol, v4), (1, true) | (58, false) | (6 | 17 | 132, _));
        if with_ports {
            put(&mut fields, Field::TCP_SRC, packet.tp_src.into());
            put(&mut fields, Field::TCP_DST, packet.tp_dst.into());
        }
        self.run(fields, in_port)
    }

    pub fn arp_outputs(&self, from: Mac, sha: Mac, spa: [u8; 4], tpa: [u8; 4], in_port: u32) -> Vec<u32> {
        self.run(arp(frame(from, Mac([0xff; 6]), in_port, None), sha, spa, tpa), in_port)
    }

    pub fn arp_on_tunnel(&self, from: Mac, spa: [u8; 4], tpa: [u8; 4], vlan: u16) -> Vec<u32> {
        self.run(arp(frame(from, Mac([0xff; 6]), 1, Some(vlan)), from, spa, tpa), 1)
    }

    fn run(&self, mut fields: Fields, in_port: u32) -> Vec<u32> {
        let mut out = Vec::new();
        self.table(0, &mut fields, &mut out, 0);
        out.retain(|port| *port != in_port);
        out
    }

    fn table(&self, table: u8, fields: &mut Fields, out: &mut Vec<u32>, depth: u32) {
        assert!(depth < 64, "resubmitted too deep");
        let Some(rule) = self.lookup(table, fields) else { return };
        for action in &rule.actions {
            match action {
                Action::GotoTable(next) => {
                    assert!(*next > table);
                    self.table(*next, fields, out, depth + 1);
                }
                Action::Resubmit { table: Some(next), .. } => self.table(*next, fields, out, depth + 1),
                Action::Output { port, .. } => out.push(port.0),
                Action::SetField(set) => {
                    let WideValue::Small(value) = set.value else { panic!() };
                    put(fields, set.field, value);
                }
                Action::StripVlan { .. } => put(fields, Field::VLAN_TCI, 0),
                Action::PushVlan(_) => put(fields, Field::VLAN_TCI, 0x1000),
                Action::Move { .. } | Action::Learn(_) => {}
                other => panic!("{other:?} has no meaning here"),
            }
        }
    }

    /// The rule of highest priority, conjunctions included.
    fn lookup(&self, table: u8, fields: &Fields) -> Option<&Rule> {
        let matching = |f: &Fields| {
            let key = f.value;
            self.rules.iter().filter(move |r| r.table == table && r.matching.matches(&key)).collect::<Vec<_>>()
        };
        let priorities: BTreeSet<u16> = matching(fields).iter().map(|r| r.priority).collect();
        for &priority in priorities.iter().rev() {
            let at = |f: &Fields| -> Vec<&Rule> {
                matching(f).into_iter().filter(|r| r.priority == priority).collect()
            };
            let mut clauses: BTreeMap<u32, BTreeSet<u8>> = BTreeMap::new();
            for rule in at(fields) {
                match rule.actions.first() {
                    Some(Action::Conjunction { .. }) => {
                        for action in &rule.actions {
                            let Action::Conjunction { id, clause, .. } = action else { panic!("mixed") };
                            clauses.entry(*id).or_default().insert(*clause);
                        }
                    }
                    _ => return Some(rule),
                }
            }
            for (id, _) in clauses.iter().filter(|(_, met)| met.len() == 2) {
                let mut with = *fields;
                put(&mut with, Field::CONJ_ID, u128::from(*id));
                let mut hits = at(&with).into_iter();
                let plain = hits.find(|r| !matches!(r.actions.first(), Some(Action::Conjunction { .. })));
                if plain.is_some() {
                    return plain;
                }
            }
        }
        None
    }
}

fn frame(from: Mac, to: Mac, in_port: u32, vlan: Option<u16>) -> Fields {
    let mut fields = Match::ANY;
    put(&mut fields, Field::IN_PORT_OXM, in_port.into());
    put(&mut fields, Field::ETH_SRC, from.bits());
    put(&mut fields, Field::ETH_DST, to.bits());
    if let Some(vlan) = vlan {
        put(&mut fields, Field::VLAN_TCI, 0x1000 | u128::from(vlan));
    }
    fields
}

fn arp(mut fields: Fields, sha: Mac, spa: [u8; 4], tpa: [u8; 4]) -> Fields {
    put(&mut fields, Field::ETH_TYPE, 0x0806);
    put(&mut fields, Field::ARP_OP, 1);
    put(&mut fields, Field::ARP_SHA, sha.bits());
    put(&mut fields, Field::ARP_SPA, u32::from_be_bytes(spa).into());
    put(&mut fields, Field::ARP_TPA, u32::from_be_bytes(tpa).into());
    fields
}

//! Packets for tests of rules, and where they leave.

use crate::model::address::to_bits;
use crate::model::{EtherType, Mac};
use crate::rules::RuleSet;
use crate::walk::{put, walk, Fields};
use sluice_openflow::{Field, Match};
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
        self.run(fields)
    }

    /// Neighbour discovery about `target`, to a station that is not here.
    pub fn nd_outputs(&self, from: Mac, src: IpAddr, kind: u8, target: IpAddr, in_port: u32) -> Vec<u32> {
        let mut fields = frame(from, Mac([2, 0, 0, 0, 0, 0x77]), in_port, None);
        put(&mut fields, Field::ETH_TYPE, 0x86dd);
        put(&mut fields, Field::NW_PROTO, 58);
        put(&mut fields, Field::IPV6_SRC, to_bits(src));
        put(&mut fields, Field::ICMPV6_TYPE, kind.into());
        put(&mut fields, Field::ND_TARGET, to_bits(target));
        self.run(fields)
    }

    pub fn arp_outputs(&self, from: Mac, sha: Mac, spa: [u8; 4], tpa: [u8; 4], in_port: u32) -> Vec<u32> {
        self.run(arp(frame(from, Mac([0xff; 6]), in_port, None), sha, spa, tpa))
    }

    pub fn arp_on_tunnel(&self, from: Mac, spa: [u8; 4], tpa: [u8; 4], vlan: u16) -> Vec<u32> {
        self.run(arp(frame(from, Mac([0xff; 6]), 1, Some(vlan)), from, spa, tpa))
    }

    fn run(&self, fields: Fields) -> Vec<u32> {
        walk(self.rules, fields).outputs.into_iter().map(|(port, _)| port).collect()
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

//! Conditions that no packet can be held to are dropped from a match.
//!
//! Purpose: `tp_dst=80` without a transport protocol says nothing; Open vSwitch takes such words out
//! before it installs a rule. Invariant: normalizing twice changes nothing more.
//! Deliberately does not know: who is told about what was dropped.

use crate::field::eth_type;
use crate::matching::Match;
use sluice_flow::key::slot;
use sluice_flow::Slot;

/// What a match may look at, by the kind of packet that it asks for.
#[derive(Clone, Copy, Default)]
struct May {
    ethernet: bool,
    addresses: bool,
    ports: bool,
    protocol: bool,
    ip: bool,
    arp_sha: bool,
    arp_tha: bool,
    ipv6: bool,
    target: bool,
    mpls: bool,
}

impl May {
    fn of(m: &Match) -> May {
        let packet_type = m.value.get(slot::PACKET_TYPE);
        let plain = May {
            ethernet: packet_type == 0,
            ..May::default()
        };
        if packet_type != 0 && packet_type >> 16 != 1 {
            return plain;
        }
        let protocol = m.value.get(slot::NW_PROTO);
        let ports = matches!(protocol, 6 | 17 | 132);
        match eth_type(m) {
            0x0800 => May {
                protocol: true,
                ip: true,
                addresses: true,
                ports: ports || protocol == 1,
                ..plain
            },
            0x86dd => {
                let icmp = protocol == 58;
                let kind = m.value.get(slot::TP_SRC);
                let (solicit, advert) = (icmp && kind == 135, icmp && kind == 136);
                May {
                    protocol: true,
                    ip: true,
                    ipv6: true,
                    ports: ports || icmp,
                    target: solicit || advert,
                    arp_sha: solicit,
                    arp_tha: advert,
                    ..plain
                }
            }
            0x0806 | 0x8035 => May {
                protocol: true,
                addresses: true,
                arp_sha: true,
                arp_tha: true,
                ..plain
            },
            0x8847 | 0x8848 => May {
                mpls: true,
                ..plain
            },
            _ => plain,
        }
    }

    /// The fields that it may not look at, in groups.
    fn forbids(&self) -> impl Iterator<Item = &'static Slot> {
        let unless = |may: bool, slots: &'static [Slot]| if may { &[] } else { slots };
        let groups = [
            unless(self.ethernet, &[slot::ETH_SRC, slot::ETH_DST]),
            unless(self.addresses, &[slot::NW_SRC, slot::NW_DST]),
            unless(self.ports, &[slot::TP_SRC, slot::TP_DST]),
            unless(self.protocol, &[slot::NW_PROTO]),
            unless(self.ip, &[slot::NW_TOS, slot::NW_TTL]),
            unless(self.arp_sha, &[slot::ARP_SHA]),
            unless(self.arp_tha, &[slot::ARP_THA]),
            unless(self.ipv6, &[slot::IPV6_SRC, slot::IPV6_DST, slot::IPV6_LABEL]),
            unless(self.target, &[slot::ND_TARGET]),
            unless(self.mpls, &[slot::MPLS_LSE0, slot::MPLS_LSE1, slot::MPLS_LSE2]),
        ];
        groups.into_iter().flatten()
    }
}

impl Match {
    /// Without the conditions that no packet of the kind that it asks for can be held to.
    pub fn normalized(&self) -> Match {
        let mut m = self.clone();
        m.normalize();
        m
    }

    /// Drops the conditions that no packet of the kind that it asks for can be held to.
    pub fn normalize(&mut self) {
        May::of(self).forbids().for_each(|place| self.clear(*place));
    }

    /// Whether it has no such conditions.
    pub fn is_normal(&self) -> bool {
        May::of(self).forbids().all(|place| self.mask.get_wide(*place) == 0)
    }
}

#[cfg(test)]
mod tests {
    use crate::text::{format_match, parse_match, Names};

    #[test]
    fn words_without_their_condition_are_dropped() {
        let cases = [
            ("ip,nw_proto=2,tp_src=3", "ip,nw_proto=2"),
            ("tp_dst=80", ""),
            ("nw_src=1.2.3.4", ""),
            ("arp,nw_tos=4,arp_spa=1.1.1.1", "arp,arp_spa=1.1.1.1"),
            ("arp,tp_src=3", "arp"),
            ("ipv6,nw_src=1.2.3.4", "ipv6"),
            ("icmp6,nd_target=::1", "icmp6"),
            (
                "icmp6,icmp_type=136,nd_sll=1:2:3:4:5:6,nd_target=::1",
                "icmp6,icmp_type=136,nd_target=::1",
            ),
            (
                "icmp6,icmp_type=135,nd_tll=1:2:3:4:5:6",
                "icmp6,icmp_type=135",
            ),
            ("mpls,nw_src=1.1.1.1,mpls_label=3", "mpls,mpls_label=3"),
            ("mpls_label=3", ""),
            ("nw_ttl=4,nw_ecn=3,nw_tos=4,nw_proto=3", ""),
            (
                "packet_type=(1,0x800),dl_src=1:2:3:4:5:6,nw_src=1.1.1.1",
                "packet_type=(1,0x800),nw_src=1.1.1.1",
            ),
            ("dl_type=0x1234,nw_src=1.1.1.1", "dl_type=0x1234"),
            ("sctp6,tp_src=5", "sctp6,tp_src=5"),
            ("tcp,tp_dst=80,reg0=1", "tcp,reg0=0x1,tp_dst=80"),
            (
                "rarp,arp_op=1,nw_src=1.1.1.1",
                "rarp,arp_spa=1.1.1.1,arp_op=1",
            ),
        ];
        for (text, expected) in cases {
            let given = parse_match(text, &Names::new()).unwrap_or_default();
            let m = given.normalized();
            assert_eq!(format_match(&m, &Names::new()), expected, "{text}");
            assert_eq!(m.normalized(), m);
            assert_eq!((m.is_normal(), given.is_normal()), (true, given == m), "{text}");
        }
    }
}

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
}

impl Match {
    /// Without the conditions that no packet of the kind that it asks for can be held to.
    pub fn normalized(&self) -> Match {
        let may = May::of(self);
        let mut m = self.clone();
        let mut keep = |kept: bool, slots: &[Slot]| {
            slots.iter().filter(|_| !kept).for_each(|s| m.clear(*s));
        };
        keep(may.ethernet, &[slot::ETH_SRC, slot::ETH_DST]);
        keep(may.addresses, &[slot::NW_SRC, slot::NW_DST]);
        keep(may.ports, &[slot::TP_SRC, slot::TP_DST]);
        keep(may.protocol, &[slot::NW_PROTO]);
        keep(may.ip, &[slot::NW_TOS, slot::NW_TTL]);
        keep(may.arp_sha, &[slot::ARP_SHA]);
        keep(may.arp_tha, &[slot::ARP_THA]);
        keep(
            may.ipv6,
            &[slot::IPV6_SRC, slot::IPV6_DST, slot::IPV6_LABEL],
        );
        keep(may.target, &[slot::ND_TARGET]);
        keep(
            may.mpls,
            &[slot::MPLS_LSE0, slot::MPLS_LSE1, slot::MPLS_LSE2],
        );
        m
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
            let m = parse_match(text, &Names::new())
                .unwrap_or_default()
                .normalized();
            assert_eq!(format_match(&m, &Names::new()), expected, "{text}");
            assert_eq!(m.normalized(), m);
        }
    }
}

//! What a rule must match before it may look at a field.
//!
//! Purpose: tell whether a match meets the condition of a field, and what it would have to say.
//! Invariant: a match that says what [`Prereq::implied`] lists meets the condition.
//! Deliberately does not know: actions, and what is done about a condition that is not met.

use super::{Field, Prereq};
use crate::matching::Match;
use sluice_flow::key::slot;

/// Ethernet types that conditions speak of.
mod eth {
    pub const IPV4: u64 = 0x0800;
    pub const ARP: u64 = 0x0806;
    pub const RARP: u64 = 0x8035;
    pub const IPV6: u64 = 0x86dd;
    pub const MPLS: u64 = 0x8847;
    pub const MPLS_MULTICAST: u64 = 0x8848;
    pub const NSH: u64 = 0x894f;
    pub const PBB: u64 = 0x88e7;
}

/// Bits of `ct_state`.
mod ct {
    pub const INVALID: u64 = 0x10;
    pub const TRACKED: u64 = 0x20;
    /// New, established, related, reply, source NAT, destination NAT.
    pub const CONNECTED: u64 = 0x01 | 0x02 | 0x04 | 0x08 | 0x40 | 0x80;
}

impl Field {
    /// Does a rule with this match look at the field only where a packet has it?
    pub fn prereqs_met(self, m: &Match) -> bool {
        self.info().prereq.met(m)
    }
}

impl Prereq {
    /// Does the match say enough?
    pub fn met(self, m: &Match) -> bool {
        let value = |s| m.value.get(s);
        let eth_type = eth_type(m);
        let ip = eth_type == eth::IPV4 || eth_type == eth::IPV6;
        let first_of =
            |protocol| ip && value(slot::NW_PROTO) == protocol && value(slot::NW_FRAG) & 2 == 0;
        match self {
            Prereq::None => true,
            Prereq::Ethernet => value(slot::PACKET_TYPE) == 0,
            Prereq::VlanVid => value(slot::VLAN_PRESENT) == 1,
            Prereq::Mpls => eth_type == eth::MPLS || eth_type == eth::MPLS_MULTICAST,
            Prereq::Ipv4 => eth_type == eth::IPV4,
            Prereq::Ipv6 => eth_type == eth::IPV6,
            Prereq::Ip => ip,
            Prereq::Arp => eth_type == eth::ARP || eth_type == eth::RARP,
            Prereq::Nsh => eth_type == eth::NSH,
            Prereq::Pbb => eth_type == eth::PBB,
            Prereq::Tcp => first_of(6),
            Prereq::Udp => first_of(17),
            Prereq::Sctp => first_of(132),
            Prereq::Icmpv4 => eth_type == eth::IPV4 && first_of(1),
            Prereq::Icmpv6 => eth_type == eth::IPV6 && first_of(58),
            Prereq::Nd => neighbour(m).is_some(),
            Prereq::NdSolicit => neighbour(m) == Some(135),
            Prereq::NdAdvert => neighbour(m) == Some(136),
            Prereq::Ct => connection_known(m),
        }
    }

    /// What a match has to say, as fields and values: the shortest way to meet the condition.
    pub fn implied(self) -> &'static [(Field, u64)] {
        const ND_SOLICIT: &[(Field, u64)] = &[
            (Field::ETH_TYPE, eth::IPV6),
            (Field::NW_PROTO, 58),
            (Field::ICMPV6_TYPE, 135),
            (Field::ICMPV6_CODE, 0),
        ];
        const ND_ADVERT: &[(Field, u64)] = &[
            (Field::ETH_TYPE, eth::IPV6),
            (Field::NW_PROTO, 58),
            (Field::ICMPV6_TYPE, 136),
            (Field::ICMPV6_CODE, 0),
        ];
        match self {
            Prereq::None | Prereq::Ethernet => &[],
            Prereq::VlanVid => &[(Field::VLAN_VID, 0x1000)],
            Prereq::Mpls => &[(Field::ETH_TYPE, eth::MPLS)],
            Prereq::Ipv4 | Prereq::Ip => &[(Field::ETH_TYPE, eth::IPV4)],
            Prereq::Ipv6 => &[(Field::ETH_TYPE, eth::IPV6)],
            Prereq::Arp => &[(Field::ETH_TYPE, eth::ARP)],
            Prereq::Nsh => &[(Field::ETH_TYPE, eth::NSH)],
            Prereq::Pbb => &[(Field::ETH_TYPE, eth::PBB)],
            Prereq::Tcp => &[(Field::ETH_TYPE, eth::IPV4), (Field::NW_PROTO, 6)],
            Prereq::Udp => &[(Field::ETH_TYPE, eth::IPV4), (Field::NW_PROTO, 17)],
            Prereq::Sctp => &[(Field::ETH_TYPE, eth::IPV4), (Field::NW_PROTO, 132)],
            Prereq::Icmpv4 => &[(Field::ETH_TYPE, eth::IPV4), (Field::NW_PROTO, 1)],
            Prereq::Icmpv6 => &[(Field::ETH_TYPE, eth::IPV6), (Field::NW_PROTO, 58)],
            Prereq::Nd | Prereq::NdSolicit => ND_SOLICIT,
            Prereq::NdAdvert => ND_ADVERT,
            Prereq::Ct => &[(Field::CT_STATE, ct::TRACKED | 1)],
        }
    }
}

/// The Ethernet type that the match asks for, also where it asks by packet type.
pub(crate) fn eth_type(m: &Match) -> u64 {
    let packet_type = m.value.get(slot::PACKET_TYPE);
    if packet_type >> 16 == 1 {
        packet_type & 0xffff
    } else {
        m.value.get(slot::ETH_TYPE)
    }
}

/// ICMPv6 type of a neighbour discovery message with code 0.
fn neighbour(m: &Match) -> Option<u64> {
    let kind = m.value.get(slot::TP_SRC);
    (Prereq::Icmpv6.met(m) && m.value.get(slot::TP_DST) == 0 && matches!(kind, 135 | 136))
        .then_some(kind)
}

/// Does the match ask for a packet whose connection is known?
pub(crate) fn connection_known(m: &Match) -> bool {
    let state = m.value.get(slot::CT_STATE);
    let mask = m.mask.get(slot::CT_STATE);
    state & ct::CONNECTED != 0
        || (state & ct::TRACKED != 0 && mask & ct::INVALID != 0 && state & ct::INVALID == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_condition_implies_meets_it() {
        for field in Field::all() {
            let mut m = Match::ANY;
            for (f, value) in field.info().prereq.implied() {
                assert!(m.set_field(*f, *value as u128, f.ones()), "{f:?}");
            }
            assert!(field.prereqs_met(&m), "{field:?}");
        }
    }

    #[test]
    fn later_fragments_have_no_ports() {
        let mut m = Match::ANY;
        m.set_field(Field::ETH_TYPE, 0x0800, u128::MAX);
        m.set_field(Field::NW_PROTO, 6, u128::MAX);
        assert!(Field::TCP_DST.prereqs_met(&m));
        assert!(!Field::UDP_DST.prereqs_met(&m));
        m.set_field(Field::IP_FRAG, 3, 3);
        assert!(!Field::TCP_DST.prereqs_met(&m));
    }

    #[test]
    fn a_connection_is_known_when_it_is_tracked_and_not_invalid() {
        let mut m = Match::ANY;
        m.set_field(Field::CT_STATE, 0x20, 0x20);
        assert!(!Field::CT_NW_SRC.prereqs_met(&m));
        m.set_field(Field::CT_STATE, 0x20, 0x30);
        assert!(Field::CT_NW_SRC.prereqs_met(&m));
        m.set_field(Field::CT_STATE, 0x22, 0x22);
        assert!(Field::CT_NW_SRC.prereqs_met(&m));
    }
}

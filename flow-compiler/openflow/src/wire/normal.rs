//! Forgetting what a match says of headers that the packets it matches cannot have.
//!
//! Purpose: OpenFlow 1.0's fixed match may say anything of anything; a switch drops what cannot
//! matter.
//! Invariant: the result matches the same packets.
//! Deliberately does not know: the wire.

use crate::field::Prereq;
use crate::matching::Match;
use sluice_flow::key::slot;
use sluice_flow::Slot;

/// Drops conditions without their prerequisites; true when anything was dropped.
pub fn normalize(m: &mut Match) -> bool {
    let before = *m;
    let (v4, v6) = (Prereq::Ipv4.met(m), Prereq::Ipv6.met(m));
    let arp = Prereq::Arp.met(m);
    let proto = m.value.get(slot::NW_PROTO);
    let ports = match proto {
        6 | 17 | 132 => v4 || v6,
        1 => v4,
        58 => v6,
        _ => false,
    };
    let kind = if v6 && proto == 58 { m.value.get(slot::TP_SRC) } else { 0 };
    let mut keep = |kept: bool, slots: &[Slot]| {
        if !kept {
            slots.iter().for_each(|s| m.clear(*s));
        }
    };
    keep(v4 || arp, &[slot::NW_SRC, slot::NW_DST]);
    keep(ports, &[slot::TP_SRC, slot::TP_DST]);
    keep(v4 || v6 || arp, &[slot::NW_PROTO]);
    keep(v4 || v6, &[slot::NW_TOS, slot::NW_TTL]);
    keep(arp || kind == 135, &[slot::ARP_SHA]);
    keep(arp || kind == 136, &[slot::ARP_THA]);
    keep(v6, &[slot::IPV6_SRC, slot::IPV6_DST, slot::IPV6_LABEL]);
    keep(kind == 135 || kind == 136, &[slot::ND_TARGET]);
    if !Prereq::Mpls.met(&before) {
        [slot::MPLS_LSE0, slot::MPLS_LSE1, slot::MPLS_LSE2].iter().for_each(|s| m.clear(*s));
    }
    *m != before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;

    #[test]
    fn ports_without_a_protocol_are_forgotten() {
        let mut m = Match::ANY;
        m.set_field(Field::TCP_DST, 80, u128::MAX);
        assert!(normalize(&mut m));
        assert_eq!(m, Match::ANY);
    }

    #[test]
    fn what_can_matter_stays() {
        let mut m = Match::ANY;
        m.set_field(Field::ETH_TYPE, 0x0800, u128::MAX);
        m.set_field(Field::NW_PROTO, 6, u128::MAX);
        m.set_field(Field::TCP_DST, 80, u128::MAX);
        assert!(!normalize(&mut m));
    }
}

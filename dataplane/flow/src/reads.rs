//! What actions look at: part of the key set, beside what rules match.
//!
//! Invariant: when two packets agree in everything a rule's actions read, the actions decide the
//! same for both (what they *write* may be left out).

use crate::action::{Action, LearnSpec, Need, Source, Target};
use crate::key::{slot, Key, Slot};

/// Every bit that these actions look at.
pub fn reads_of(actions: &[Action]) -> Key {
    let mut key = Key::ZERO;
    add(&mut key, actions);
    key
}

fn add(key: &mut Key, actions: &[Action]) {
    for action in actions {
        match action {
            Action::StackPush(s) => key.cover(*s),
            Action::OutputFrom(s) => {
                key.cover(*s);
                // The field may name NORMAL.
                if s.width >= 16 {
                    cover_all(key, &NORMAL);
                }
            }
            Action::Normal => cover_all(key, &NORMAL),
            Action::Set { need, slot: s, mask, .. } => {
                cover_need(key, *need);
                write_reads(key, *s, *mask);
            }
            Action::Move { src, src_need, dst, dst_need } => {
                key.cover(*src);
                cover_need(key, *src_need);
                cover_need(key, *dst_need);
                write_reads(key, *dst, dst.ones());
            }
            Action::StackPop(s) => {
                cover_need(key, Need::L4);
                write_reads(key, *s, s.ones());
            }
            Action::SetVlanVid { .. } | Action::SetVlanPcp { .. } | Action::PopVlan | Action::PushVlan(_) => {
                key.cover(slot::VLAN_PRESENT)
            }
            Action::PushMpls(_) => {
                cover_all(key, &LABELS);
                cover_all(key, &[slot::NW_TOS, slot::NW_TTL]);
            }
            // What is under the labels may be looked at from here on.
            Action::PopMpls(_) => {
                cover_all(key, &LABELS);
                cover_all(key, &[slot::UNDER_LABELS, slot::NW_TTL]);
            }
            Action::EncapMpls(_) => cover_all(key, &LABELS),
            Action::EncapNsh(_) | Action::EncapEthernet => {}
            Action::Decap { .. } => {
                cover_all(key, &LABELS);
                cover_all(key, &[slot::VLAN_PRESENT, slot::NSH_NP]);
            }
            Action::DecNshTtl => cover_all(key, &[slot::ETH_TYPE, slot::NSH_TTL]),
            Action::PushPbb => cover_all(key, &[slot::ETH_TYPE, slot::VLAN_TCI, slot::PBB_ISID]),
            Action::PopPbb => key.cover(slot::ETH_TYPE),
            Action::DecMplsTtl => cover_all(key, &[slot::ETH_TYPE, slot::MPLS_TTL]),
            Action::CopyTtlOut | Action::CopyTtlIn => {
                cover_all(key, &LABELS);
                cover_all(key, &[slot::UNDER_LABELS, slot::NW_TTL]);
            }
            Action::Multipath(m) => {
                m.headers.cover(key);
                cover_target(key, &m.dst);
            }
            Action::Bundle(b) => {
                b.by.iter().for_each(|(headers, _)| headers.cover(key));
                b.dst.iter().for_each(|dst| cover_target(key, dst));
                cover_all(key, &NORMAL);
            }
            Action::IfLonger(check) => cover_target(key, &check.dst),
            Action::FinTimeout { .. } => cover_all(key, &[slot::ETH_TYPE, slot::NW_PROTO, slot::NW_FRAG, slot::TCP_FLAGS]),
            // The second one in a list asks for more than whether the packet came in expiring.
            Action::DecTtl(_) if key.covers(slot::TTL_EXPIRING) => key.cover(slot::NW_TTL),
            Action::DecTtl(_) => cover_all(key, &[slot::ETH_TYPE, slot::TTL_EXPIRING]),
            Action::Learn(learn) => learn.specs.iter().filter_map(source).for_each(|s| key.cover(s)),
            Action::ResubmitByConnection { .. } => {
                key.cover(slot::ETH_TYPE);
                crate::decide::tuple_fields().for_each(|s| key.cover(s));
            }
            Action::Ct(ct) => {
                cover_all(key, &TUPLE);
                if let crate::ct::Zone::Field(s) = ct.zone {
                    key.cover(s);
                }
                add(key, &ct.exec);
            }
            Action::WriteActions(inner) | Action::Clone(inner) => add(key, inner),
            _ => {}
        }
    }
}

/// What NORMAL looks at.
const NORMAL: [Slot; 4] = [slot::ETH_DST, slot::ETH_SRC, slot::VLAN_TCI, slot::ETH_TYPE];

/// Ethernet type and all labels.
const LABELS: [Slot; 4] = [slot::ETH_TYPE, slot::MPLS_LSE0, slot::MPLS_LSE1, slot::MPLS_LSE2];

fn cover_target(key: &mut Key, dst: &Target) {
    cover_need(key, dst.need);
    dst.parts.iter().for_each(|(s, _)| write_reads(key, *s, s.ones()));
}

/// What names a connection: a cached flow of a tracked packet is one connection's.
const TUPLE: [Slot; 9] = [
    slot::ETH_TYPE,
    slot::NW_PROTO,
    slot::NW_FRAG,
    slot::NW_SRC,
    slot::NW_DST,
    slot::TP_SRC,
    slot::TP_DST,
    slot::IPV6_SRC,
    slot::IPV6_DST,
];

/// What must be known of a field's surroundings to write it.
fn write_reads(key: &mut Key, s: Slot, mask: u128) {
    if s.word == slot::VLAN_TCI.word && s.shift < 16 {
        key.cover(slot::VLAN_PRESENT);
    }
    // Whether a TTL of which some bits stay is expiring depends on those.
    if touches_ttl(s) && !(s == slot::NW_TTL && mask == s.ones()) {
        key.cover(slot::NW_TTL);
    }
}

/// Is the slot the TTL, or bits of it?
pub fn touches_ttl(s: Slot) -> bool {
    let ttl = slot::NW_TTL;
    s.word == ttl.word && s.shift < ttl.shift + ttl.width && s.shift + s.width > ttl.shift
}

fn cover_all(key: &mut Key, slots: &[Slot]) {
    for s in slots {
        key.cover(*s);
    }
}

fn source(spec: &LearnSpec) -> Option<Slot> {
    match spec {
        LearnSpec::Match { src: Source::Field(s), .. }
        | LearnSpec::Load { src: Source::Field(s), .. }
        | LearnSpec::Output(s) => Some(*s),
        _ => None,
    }
}

/// Adds what must be known of a packet to tell whether it is what `need` says.
pub fn cover_need(key: &mut Key, need: Need) {
    // What has an Ethernet header is no matter of the packet's own bytes.
    if matches!(need, Need::Nothing | Need::Ethernet) {
        return;
    }
    if need == Need::Vlan {
        return key.cover(slot::VLAN_PRESENT);
    }
    key.cover(slot::ETH_TYPE);
    if matches!(need, Need::Mpls | Need::Ipv4 | Need::Ipv6 | Need::Ip | Need::Arp | Need::Nsh | Need::Pbb) {
        return;
    }
    key.cover(slot::NW_PROTO);
    key.cover(slot::NW_FRAG);
    if matches!(need, Need::Nd | Need::NdSolicit | Need::NdAdvert) {
        key.cover(slot::TP_SRC);
        key.cover(slot::TP_DST);
    }
}

/// Is a packet with this key what `need` says?
pub fn satisfies(key: &Key, need: Need) -> bool {
    let eth = key.get(slot::ETH_TYPE);
    let (v4, v6) = (eth == 0x0800, eth == 0x86dd);
    let l4 = |v4_ok: bool, v6_ok: bool, proto: u64| {
        (v4 && v4_ok || v6 && v6_ok) && key.get(slot::NW_PROTO) == proto && key.get(slot::NW_FRAG) & 2 == 0
    };
    let nd = |t: u64| l4(false, true, 58) && key.get(slot::TP_SRC) == t && key.get(slot::TP_DST) == 0;
    match need {
        Need::Nothing => true,
        Need::Ethernet => key.get(slot::PACKET_TYPE) == 0,
        Need::Vlan => key.get(slot::VLAN_PRESENT) != 0,
        Need::Mpls => eth == 0x8847 || eth == 0x8848,
        Need::Ipv4 => v4,
        Need::Ipv6 => v6,
        Need::Ip => v4 || v6,
        Need::Arp => eth == 0x0806 || eth == 0x8035,
        Need::Tcp => l4(true, true, 6),
        Need::Udp => l4(true, true, 17),
        Need::Sctp => l4(true, true, 132),
        Need::L4 => l4(true, true, 6) || l4(true, true, 17) || l4(true, true, 132),
        Need::Icmp4 => l4(true, false, 1),
        Need::Icmp6 => l4(false, true, 58),
        Need::Nd => nd(135) || nd(136),
        Need::NdSolicit => nd(135),
        Need::NdAdvert => nd(136),
        Need::Nsh => eth == 0x894f,
        Need::Pbb => eth == 0x88e7,
    }
}

//! From the difference between two packets to the actions that make it.
//!
//! Purpose: set, push and pop actions of the datapath for what OpenFlow actions have changed since
//! the last output, in Open vSwitch's order.
//! Invariant: afterwards `base` equals the packet in everything that can be sent.
//! Deliberately does not know: why the packet changed.

use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_flow::key::slot;
use sluice_flow::Slot;

use super::odp::Odp;
use super::packet::Packet;

/// How a value is written inside `set(...)`.
#[derive(Clone, Copy)]
enum Form {
    Decimal,
    Hex,
    /// Hexadecimal, also where it is 0.
    Prefixed,
    Mac,
    Ipv4,
    Ipv6,
}

/// A field of a header.
type Part = (Slot, &'static str, Form);

const ETHERNET: &[Part] = &[(slot::ETH_SRC, "src", Form::Mac), (slot::ETH_DST, "dst", Form::Mac)];
const IPV4: &[Part] = &[
    (slot::NW_SRC, "src", Form::Ipv4),
    (slot::NW_DST, "dst", Form::Ipv4),
    (slot::NW_TOS, "tos", Form::Hex),
    (slot::NW_TTL, "ttl", Form::Decimal),
];
const IPV6: &[Part] = &[
    (slot::IPV6_SRC, "src", Form::Ipv6),
    (slot::IPV6_DST, "dst", Form::Ipv6),
    (slot::IPV6_LABEL, "label", Form::Hex),
    (slot::NW_TOS, "tclass", Form::Hex),
    (slot::NW_TTL, "hlimit", Form::Decimal),
];
const ARP: &[Part] = &[
    (slot::NW_SRC, "sip", Form::Ipv4),
    (slot::NW_DST, "tip", Form::Ipv4),
    (slot::NW_PROTO, "op", Form::Decimal),
    (slot::ARP_SHA, "sha", Form::Mac),
    (slot::ARP_THA, "tha", Form::Mac),
];
const PORTS: &[Part] = &[(slot::TP_SRC, "src", Form::Decimal), (slot::TP_DST, "dst", Form::Decimal)];
const ICMP: &[Part] = &[(slot::TP_SRC, "type", Form::Decimal), (slot::TP_DST, "code", Form::Decimal)];
const ND: &[Part] = &[
    (slot::ND_TARGET, "target", Form::Ipv6),
    (slot::ARP_SHA, "sll", Form::Mac),
    (slot::ARP_THA, "tll", Form::Mac),
];
const NSH: &[Part] = &[
    (slot::NSH_FLAGS, "flags", Form::Decimal),
    (slot::NSH_TTL, "ttl", Form::Decimal),
    (slot::NSH_SPI, "spi", Form::Prefixed),
    (slot::NSH_SI, "si", Form::Decimal),
    (slot::nsh_c(1), "c1", Form::Prefixed),
    (slot::nsh_c(2), "c2", Form::Prefixed),
    (slot::nsh_c(3), "c3", Form::Prefixed),
    (slot::nsh_c(4), "c4", Form::Prefixed),
];
const ND_MORE: &[Part] = &[(slot::ND_RESERVED, "nd_reserved", Form::Hex), (slot::ND_OPTIONS_TYPE, "nd_options_type", Form::Decimal)];

/// Adds the actions that turn `base` into `packet`; true when only the slow path could do them.
pub(super) fn commit(packet: &Packet, base: &mut Packet, mask: &mut Packet, out: &mut Vec<Odp>) -> bool {
    let mut step = Step { packet, base, mask, out };
    step.header("eth", ETHERNET, false);
    let mut mpls_done = false;
    if step.base.is_mpls() && !packet.is_mpls() {
        step.mpls();
        mpls_done = true;
    }
    step.service();
    let mut slow = step.network();
    if packet.protocol() != 0 && step.base.is_ip() {
        match packet.protocol() {
            6 => step.header("tcp", PORTS, false),
            17 => step.header("udp", PORTS, false),
            132 => step.header("sctp", PORTS, false),
            _ => false,
        };
    }
    match (packet.eth_type(), packet.protocol()) {
        (0x0800, 1) => slow |= step.header("icmp", ICMP, true),
        (0x86dd, 58) => slow |= step.header("icmpv6", ICMP, true),
        _ => {}
    }
    if !mpls_done {
        step.mpls();
    }
    step.vlans();
    step.number("skb_priority", slot::SKB_PRIORITY);
    step.number("skb_mark", slot::PKT_MARK);
    slow
}

struct Step<'a> {
    packet: &'a Packet,
    base: &'a mut Packet,
    mask: &'a mut Packet,
    out: &'a mut Vec<Odp>,
}

impl Step<'_> {
    /// Fields of a network service header: those that are written, and those that rules looked at.
    fn service(&mut self) {
        let differs = |p: &Part| self.packet.get(p.0) != self.base.get(p.0);
        if self.packet.eth_type() != 0x894f || !NSH.iter().any(differs) {
            return;
        }
        let mut texts = Vec::new();
        for (place, word, form) in NSH {
            let (value, mask) = (self.packet.key.get_wide(*place), self.mask.key.get_wide(*place));
            if mask != 0 {
                texts.push(format!("{word}={}", text_of(value, mask, *place, *form)));
            }
            self.base.key.set_wide(*place, value);
        }
        self.out.push(Odp::Text(format!("set(nsh({}))", texts.join(","))));
    }

    fn network(&mut self) -> bool {
        if self.packet.protocol() == 0 {
            return false;
        }
        match self.base.eth_type() {
            0x0800 => {
                self.header("ipv4", IPV4, false);
                false
            }
            0x86dd => {
                self.header("ipv6", IPV6, false);
                let nd = self.base.protocol() == 58;
                nd && (self.header("nd_ext", ND_MORE, false) | self.header("nd", ND, false))
            }
            0x0806 | 0x8035 => self.header("arp", ARP, false),
            _ => false,
        }
    }

    /// `set(name(part=value,...))` for parts that differ (all of them where it is all or nothing);
    /// true when there was any.
    fn header(&mut self, name: &str, parts: &[Part], whole: bool) -> bool {
        let differs = |place: Slot| self.packet.key.get_wide(place) != self.base.key.get_wide(place);
        if !parts.iter().any(|p| differs(p.0)) {
            return false;
        }
        let changed: Vec<Part> = parts.iter().filter(|p| whole || differs(p.0)).copied().collect();
        let mut texts = Vec::new();
        for (place, word, form) in changed {
            let value = self.packet.key.get_wide(place);
            let mask = if whole { place.ones() } else { self.mask.key.get_wide(place) };
            texts.push(format!("{word}={}", text_of(value, mask, place, form)));
            self.base.key.set_wide(place, value);
            if whole {
                self.mask.mark_all(place);
            }
        }
        self.out.push(Odp::Text(format!("set({name}({}))", texts.join(","))));
        true
    }

    fn mpls(&mut self) {
        let wanted = self.packet.labels();
        let mut have = self.base.labels();
        let common = wanted.iter().rev().zip(have.iter().rev()).take_while(|(a, b)| a == b).count();
        let mut common = common;
        while have.len() > common {
            if have.len() - 1 == common && wanted.len() > common {
                let label = wanted.get(wanted.len() - have.len()).copied().unwrap_or(0);
                self.out.push(Odp::Text(format!("set(mpls({}))", label_text(label))));
                if let Some(top) = have.first_mut() {
                    *top = label;
                }
                common += 1;
            } else {
                let inner = !self.packet.is_mpls() && have.len() > 1;
                let eth_type = if inner { 0x8847 } else { self.packet.eth_type() };
                self.out.push(Odp::Text(format!("pop_mpls(eth_type=0x{eth_type:x})")));
                have.remove(0);
            }
        }
        while have.len() < wanted.len() {
            let label = wanted.get(wanted.len() - have.len() - 1).copied().unwrap_or(0);
            let eth_type = self.packet.eth_type();
            self.out.push(Odp::Text(format!("push_mpls({},eth_type=0x{eth_type:x})", label_text(label))));
            have.insert(0, label);
        }
        if self.packet.is_mpls() || self.base.is_mpls() {
            self.base.set(slot::ETH_TYPE, self.packet.eth_type());
            self.base.set_labels(&wanted);
        }
    }

    fn vlans(&mut self) {
        let (wanted, have) = (self.packet.tags(), self.base.tags());
        let common = wanted.iter().rev().zip(have.iter().rev()).take_while(|(a, b)| a == b).count();
        for at in (0..have.len() - common).rev() {
            self.out.push(Odp::Text("pop_vlan".to_string()));
            if at == 0 {
                self.mask.mark_all(slot::VLAN_TCI);
            } else {
                self.mask.inner = (u16::MAX, u16::MAX);
            }
        }
        for (tpid, tci) in wanted.iter().take(wanted.len() - common).rev() {
            let mut text = "push_vlan(".to_string();
            if *tpid != 0x8100 {
                text += &format!("tpid=0x{tpid:04x},");
            }
            text += &format!("vid={},pcp={}", tci & 0xfff, tci >> 13);
            if tci & 0x1000 == 0 {
                text += ",cfi=0";
            }
            self.out.push(Odp::Text(text + ")"));
        }
        let tags = (self.packet.get(slot::VLAN_TPID), self.packet.get(slot::VLAN_TCI), self.packet.inner);
        self.base.set(slot::VLAN_TPID, tags.0);
        self.base.set(slot::VLAN_TCI, tags.1);
        self.base.inner = tags.2;
    }

    fn number(&mut self, name: &str, place: Slot) {
        let value = self.packet.get(place);
        if value == self.base.get(place) {
            return;
        }
        self.base.set(place, value);
        let mask = self.mask.get(place);
        let mut text = hex(u128::from(value & mask));
        if mask != 0xffff_ffff {
            text += &format!("/0x{mask:x}");
        }
        self.out.push(Odp::Text(format!("set({name}({text}))")));
    }
}

pub(super) fn label_text(label: u32) -> String {
    format!("label={},tc={},ttl={},bos={}", label >> 12, label >> 9 & 7, label & 0xff, label >> 8 & 1)
}

fn hex(value: u128) -> String {
    if value == 0 { "0".to_string() } else { format!("0x{value:x}") }
}

fn text_of(value: u128, mask: u128, place: Slot, form: Form) -> String {
    let exact = mask == place.ones();
    let one = |v: u128| match form {
        Form::Decimal => v.to_string(),
        Form::Hex => hex(v),
        Form::Prefixed => format!("0x{v:x}"),
        Form::Mac => mac(v as u64),
        Form::Ipv4 => Ipv4Addr::from(v as u32).to_string(),
        Form::Ipv6 => Ipv6Addr::from(v).to_string(),
    };
    match form {
        _ if exact => one(value),
        Form::Decimal => format!("{}/{}", one(value & mask), hex(mask)),
        _ => format!("{}/{}", one(value & mask), one(mask)),
    }
}

/// `00:11:22:33:44:55`.
pub(super) fn mac(value: u64) -> String {
    let [_, _, a, b, c, d, e, f] = value.to_be_bytes();
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

//! A packet, printed as the rule that matches just it.
//!
//! Purpose: the line that follows a packet-in or packet-out. Invariant: any bytes give a line.
//! Deliberately does not know: ports, tunnels, connections: what is not in the packet itself.

use crate::matching::Match;
use crate::text::{format_match, Names};
use sluice_flow::key::slot;
use sluice_flow::{Key, Slot};
use sluice_wire::{Headers, Net, Transport};
use std::fmt::Write;

/// Prints every header field of a packet and the checksum of its transport header; ends the line.
pub fn format_packet(packet: &[u8]) -> String {
    let Some((tci, outer_only)) = without_inner_tag(packet) else { return one_tag(packet) };
    let (vid, pcp) = (tci & 0xfff, tci >> 13);
    let line = one_tag(&outer_only).replacen(",vlan_tci1=0x0000,dl_src=", ",dl_src=", 1);
    line.replacen(",dl_src=", &format!(",dl_vlan1={vid},dl_vlan_pcp1={pcp},dl_src="), 1)
}

/// The inner one of two VLAN tags, and the packet without it.
fn without_inner_tag(packet: &[u8]) -> Option<(u16, Vec<u8>)> {
    const OUTER: usize = 12;
    const INNER: usize = 16;
    let word = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    if !sluice_wire::is_vlan(word(OUTER)?) || !sluice_wire::is_vlan(word(INNER)?) {
        return None;
    }
    let tci = word(INNER + 2)?;
    let rest = packet.get(INNER + 4..)?;
    Some((tci, [packet.get(..INNER)?, rest].concat()))
}

fn one_tag(packet: &[u8]) -> String {
    let headers = sluice_wire::parse(packet);
    let mut key = Key::ZERO;
    sluice_flow::extract::extract(packet, &headers, &mut key);
    let mut m = Match::ANY;
    let mut show = |slots: &[Slot]| {
        for s in slots {
            m.set_exact(*s, key.get_wide(*s));
        }
    };
    show(&[slot::VLAN_TCI, slot::ETH_SRC, slot::ETH_DST, slot::ETH_TYPE]);
    let ip = [slot::NW_PROTO, slot::NW_TOS, slot::NW_TTL, slot::NW_FRAG];
    match key.get(slot::ETH_TYPE) {
        0x0800 => {
            show(&[slot::NW_SRC, slot::NW_DST]);
            show(&ip);
        }
        0x86dd => {
            show(&[slot::IPV6_SRC, slot::IPV6_DST, slot::IPV6_LABEL]);
            show(&ip);
        }
        0x0806 | 0x8035 => {
            let hardware = [slot::ARP_SHA, slot::ARP_THA];
            show(&[slot::NW_SRC, slot::NW_DST, slot::NW_PROTO]);
            show(&hardware);
        }
        0x8847 | 0x8848 => show(&[slot::MPLS_LSE0]),
        _ => {}
    }
    if matches!(key.get(slot::ETH_TYPE), 0x0800 | 0x86dd) {
        show(transport_fields(&key));
    }
    let mut out = format_match(&m, &Names::new());
    if headers.vlan && !sluice_wire::is_vlan(headers.eth_type) {
        // A packet has room for a second tag, and this one has none.
        out = out.replacen(",dl_src=", ",vlan_tci1=0x0000,dl_src=", 1);
    }
    checksum(&mut out, packet, &headers);
    out.push('\n');
    out
}

/// The fields behind the IP header that a packet of its protocol has.
fn transport_fields(key: &Key) -> &'static [Slot] {
    const LATER: u64 = 2;
    if key.get(slot::NW_FRAG) & LATER != 0 {
        return &[];
    }
    let v6 = key.get(slot::ETH_TYPE) == 0x86dd;
    match (key.get(slot::NW_PROTO), key.get(slot::TP_SRC)) {
        (6, _) => &[slot::TP_SRC, slot::TP_DST, slot::TCP_FLAGS],
        (17 | 132, _) => &[slot::TP_SRC, slot::TP_DST],
        (1, _) if !v6 => &[slot::TP_SRC, slot::TP_DST],
        (58, 135 | 136) if v6 => {
            &[slot::TP_SRC, slot::TP_DST, slot::ND_TARGET, slot::ARP_SHA, slot::ARP_THA]
        }
        (58, _) if v6 => &[slot::TP_SRC, slot::TP_DST],
        _ => &[],
    }
}

/// Where each transport header has its checksum, how wide it is, and what it is called.
fn checksum(out: &mut String, packet: &[u8], h: &Headers) {
    if !matches!(h.net, Net::Ipv4 | Net::Ipv6) {
        return;
    }
    let (name, at, width) = match h.transport {
        Transport::Tcp => ("tcp", 16, 2),
        Transport::Udp => ("udp", 6, 2),
        Transport::Sctp => ("sctp", 8, 4),
        Transport::Icmp4 => ("icmp", 2, 2),
        Transport::Icmp6 => ("icmp6", 2, 2),
        _ => return,
    };
    let start = usize::from(h.l4) + at;
    if let Some(bytes) = packet.get(start..start + width) {
        let sum = bytes.iter().fold(0u32, |v, b| v << 8 | u32::from(*b));
        let _ = write!(out, " {name}_csum:{sum:x}");
    }
}

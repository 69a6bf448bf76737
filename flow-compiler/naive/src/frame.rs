//! A frame, taken apart just enough to be matched and changed, and put together again.
//!
//! Purpose: fields are read from and written to the bytes themselves; after each write every
//! checksum that covers it is computed anew from all bytes. Slow and obvious.
//! At most one VLAN tag of an arriving frame is looked at; what lies behind a second one is opaque,
//! as in Open vSwitch by default. Tags that rules push stay visible until they are popped.
//! Deliberately does not know: rules, ports, registers.

use sluice_flow::key::slot;
use sluice_flow::{Key, Slot};

use crate::sums;

/// A VLAN tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    /// Type of the tag.
    pub tpid: u16,
    /// Priority, 1 bit of presence (always set here), id.
    pub tci: u16,
}

/// A frame in pieces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Destination and source address.
    pub macs: [u8; 12],
    /// Tags that are looked at, outer one first.
    pub tags: Vec<Tag>,
    /// Ethernet type that is matched; 0x05ff where the frame has a length instead.
    pub eth_type: u16,
    /// Everything behind the visible tags, beginning with the type or length, without visible labels.
    pub rest: Vec<u8>,
    /// MPLS label stack entries that are looked at: three at most.
    pub labels: Vec<u32>,
    /// Name space and Ethernet type of a packet without Ethernet header; 0 for a frame.
    pub packet_type: u32,
    /// Bytes between the start of `rest` and the network header.
    pub(crate) net: usize,
    /// Neighbour discovery addresses that were written though the packet has no option for them, and context
    /// headers that a service header does not have: rules see them from then on, the packet does not change.
    pub(crate) absent: Vec<(Slot, u128)>,
    /// A tag of another type than 802.1Q was cleared bit by bit: Open vSwitch would give its type to
    /// the next tag.
    pub odd_tag_cleared: bool,
    /// Labels were popped that rules had pushed, to another type than was there before: Open vSwitch
    /// leaves the old one.
    pub odd_pop: bool,
    /// Written to a service header or ARP packet that contradicts itself: Open vSwitch writes over whatever is there.
    pub odd_service: bool,
    /// The type under the labels that rules pushed.
    pushed_on: Option<u16>,
    /// The tag that the frame came with, and whether its drop eligibility bit was set.
    arrived: Option<(Tag, bool)>,
}

/// Where the headers of an IP packet are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip {
    /// Offset of its header in `rest`.
    at: usize,
    v6: bool,
    /// Offset of the transport header.
    l4: usize,
    /// End of the datagram.
    end: usize,
    proto: u8,
    fragment: bool,
    later: bool,
}

impl Frame {
    /// Takes a frame apart. `None` when it is shorter than an Ethernet header.
    pub fn parse(bytes: &[u8]) -> Option<Frame> {
        let macs = bytes.get(..12)?.try_into().ok()?;
        let mut at = 12;
        let mut tags = Vec::new();
        let mut arrived = None;
        let first = be16(bytes, at)?;
        if matches!(first, 0x8100 | 0x88a8) && bytes.len() >= 18 {
            let tci = be16(bytes, 14)? | 0x1000;
            tags.push(Tag { tpid: first, tci });
            arrived = Some((Tag { tpid: first, tci }, be16(bytes, 14)? & 0x1000 != 0));
            at = 16;
        }
        let mut rest = bytes.get(at..)?.to_vec();
        let (eth_type, net) = ether_type(&rest);
        let mut labels: Vec<u32> = Vec::new();
        while is_mpls(eth_type) && labels.len() < 3 && labels.last().is_none_or(|l| l & BOTTOM == 0) && rest.len() >= net + 4 {
            labels.push(wide(&rest[net..net + 4]) as u32);
            rest.drain(net..net + 4);
        }
        Some(Frame { packet_type: 0, labels, macs, tags, eth_type, rest, net, absent: Vec::new(), odd_tag_cleared: false, odd_pop: false, odd_service: false, pushed_on: None, arrived })
    }

    /// Puts the frame together.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.macs.to_vec();
        for (i, tag) in self.tags.iter().enumerate() {
            // The presence bit is a bit of the flow key; on the wire it is drop eligibility, which
            // Open vSwitch keeps only in a tag that it did not touch.
            let untouched = i + 1 == self.tags.len() && self.arrived.is_some_and(|(t, dei)| t == *tag && dei);
            let tci = if untouched { tag.tci } else { tag.tci & !0x1000 };
            out.extend(tag.tpid.to_be_bytes());
            out.extend(tci.to_be_bytes());
        }
        out.extend(&self.rest[..self.net.min(self.rest.len())]);
        out.extend(self.labels.iter().flat_map(|l| l.to_be_bytes()));
        out.extend(&self.rest[self.net.min(self.rest.len())..]);
        out
    }

    /// Pushes a label; false when there are too many.
    pub fn push_label(&mut self, eth_type: u16) -> bool {
        let Some(outer) = self.labels.first().copied() else {
            let entry = self.first_entry();
            self.labels.push(entry);
            self.pushed_on = Some(self.eth_type);
            self.set_type(eth_type);
            return true;
        };
        if self.labels.len() >= 3 {
            return false;
        }
        self.labels.insert(0, outer & !BOTTOM);
        self.set_type(eth_type);
        true
    }

    fn first_entry(&self) -> u32 {
        let key = self.key();
        let ip = matches!(self.eth_type, 0x0800 | 0x86dd);
        let tc = if ip { key.get(slot::NW_DSCP) as u32 & 7 } else { 0 };
        let ttl = if ip { key.get(slot::NW_TTL) as u32 } else { 0 };
        let label = if self.eth_type == 0x86dd { 2 } else { 0 };
        label << 12 | tc << 9 | BOTTOM | if ttl == 0 { 64 } else { ttl }
    }

    /// Pops a label, where there is one; false when what is under it is not known.
    pub fn pop_label(&mut self, eth_type: u16) -> bool {
        if self.labels.is_empty() {
            return true;
        }
        if self.labels.len() == 3 && self.labels[2] & BOTTOM == 0 {
            return false;
        }
        self.labels.remove(0);
        self.odd_pop |= !is_mpls(eth_type) && self.pushed_on.is_some_and(|t| t != eth_type);
        self.set_type(eth_type);
        if !is_mpls(eth_type) {
            // What is not MPLS has no labels: all of them go, as in Open vSwitch.
            self.labels.clear();
        }
        true
    }

    /// Copies the TTL between the outermost label and what is next to it: another label, or the packet.
    pub fn copy_ttl(&mut self, outwards: bool) {
        let Some(outer) = self.labels.first().copied() else { return };
        let mut inner = self.clone();
        if self.labels.len() > 1 {
            let next = self.labels[1];
            let (to, from) = if outwards { (0, next) } else { (1, outer) };
            self.labels[to] = self.labels[to] & !0xff | from & 0xff;
            return;
        }
        inner.labels.clear();
        inner.eth_type = match self.rest.get(self.net).map(|b| b >> 4) {
            Some(4) => 0x0800,
            Some(6) => 0x86dd,
            _ => return,
        };
        if inner.ip().is_none() {
            return;
        }
        if outwards {
            self.labels[0] = outer & !0xff | inner.key().get(slot::NW_TTL) as u32;
        } else {
            inner.write_ip(slot::NW_TTL, u128::from(outer & 0xff));
            self.rest = inner.rest;
        }
    }

    fn set_type(&mut self, eth_type: u16) {
        put(&mut self.rest, self.net - 2, 2, u128::from(eth_type));
        self.eth_type = eth_type;
    }

    fn label_key(&self, key: &mut Key) {
        for (place, entry) in [slot::MPLS_LSE0, slot::MPLS_LSE1, slot::MPLS_LSE2].into_iter().zip(&self.labels) {
            key.set(place, u64::from(*entry));
        }
    }

    /// Every field of the frame.
    pub fn key(&self) -> Key {
        let mut key = Key::ZERO;
        key.set(slot::ETH_DST, wide(&self.macs[..6]) as u64);
        key.set(slot::ETH_SRC, wide(&self.macs[6..]) as u64);
        key.set(slot::ETH_TYPE, u64::from(self.eth_type));
        key.set(slot::PACKET_TYPE, u64::from(self.packet_type));
        if let Some(tag) = self.tags.first() {
            key.set(slot::VLAN_TCI, u64::from(tag.tci));
            key.set(slot::VLAN_TPID, u64::from(tag.tpid));
        }
        match self.eth_type {
            0x0806 | 0x8035 => self.arp_key(&mut key),
            0x0800 | 0x86dd => self.ip_key(&mut key),
            0x894f => self.nsh_key(&mut key),
            0x88e7 => self.pbb_key(&mut key),
            t if is_mpls(t) => self.label_key(&mut key),
            _ => {}
        }
        key
    }

    fn arp_key(&self, key: &mut Key) {
        let Some(arp) = self.rest.get(self.net..self.net + 28) else { return };
        if arp[..6] != [0, 1, 8, 0, 6, 4] {
            return;
        }
        let op = be16(arp, 6).unwrap_or(0);
        if op <= 0xff {
            key.set(slot::NW_PROTO, u64::from(op));
        }
        key.set(slot::NW_SRC, wide(&arp[14..18]) as u64);
        key.set(slot::NW_DST, wide(&arp[24..28]) as u64);
        key.set(slot::ARP_SHA, wide(&arp[8..14]) as u64);
        key.set(slot::ARP_THA, wide(&arp[18..24]) as u64);
    }

    fn ip_key(&self, key: &mut Key) {
        let Some(ip) = self.ip() else { return };
        let header = &self.rest[ip.at..];
        key.set(slot::NW_PROTO, u64::from(ip.proto));
        key.set(slot::NW_FRAG, u64::from(ip.fragment) | u64::from(ip.later) << 1);
        if ip.v6 {
            let first = wide(&header[..4]) as u64;
            key.set(slot::NW_TOS, first >> 20);
            key.set(slot::IPV6_LABEL, first);
            key.set(slot::NW_TTL, u64::from(header[7]));
            key.set_wide(slot::IPV6_SRC, wide(&header[8..24]));
            key.set_wide(slot::IPV6_DST, wide(&header[24..40]));
            key.set(slot::IPV6_EXTHDR, extension_bits(&self.rest[ip.at..ip.end]));
        } else {
            key.set(slot::NW_TOS, u64::from(header[1]));
            key.set(slot::NW_TTL, u64::from(header[8]));
            key.set(slot::NW_SRC, wide(&header[12..16]) as u64);
            key.set(slot::NW_DST, wide(&header[16..20]) as u64);
        }
        key.set(slot::TTL_EXPIRING, u64::from(key.get(slot::NW_TTL) <= 1));
        if !ip.later {
            self.transport_key(ip, key);
        }
    }

    fn transport_key(&self, ip: Ip, key: &mut Key) {
        let l4 = &self.rest[ip.l4..ip.end];
        match (ip.proto, ip.v6) {
            (6, _) if l4.len() >= 20 => {
                key.set(slot::TP_SRC, wide(&l4[..2]) as u64);
                key.set(slot::TP_DST, wide(&l4[2..4]) as u64);
                key.set(slot::TCP_FLAGS, wide(&l4[12..14]) as u64 & 0xfff);
            }
            (17, _) if l4.len() >= 8 => {
                key.set(slot::TP_SRC, wide(&l4[..2]) as u64);
                key.set(slot::TP_DST, wide(&l4[2..4]) as u64);
            }
            (132, _) if l4.len() >= 12 => {
                key.set(slot::TP_SRC, wide(&l4[..2]) as u64);
                key.set(slot::TP_DST, wide(&l4[2..4]) as u64);
            }
            (1, false) | (58, true) if l4.len() >= 8 => {
                key.set(slot::TP_SRC, u64::from(l4[0]));
                key.set(slot::TP_DST, u64::from(l4[1]));
                if ip.proto == 58 && matches!(l4[0], 135 | 136) && l4[1] == 0 {
                    self.neighbour_key(l4, key);
                }
            }
            _ => {}
        }
    }

    fn neighbour_key(&self, l4: &[u8], key: &mut Key) {
        key.set(slot::ND_RESERVED, wide(&l4[4..8]) as u64);
        let Some(target) = l4.get(8..24) else { return };
        key.set_wide(slot::ND_TARGET, wide(target));
        for (kind, at) in neighbour_options(l4) {
            let place = if kind == 1 { slot::ARP_SHA } else { slot::ARP_THA };
            if key.get(slot::ND_OPTIONS_TYPE) == 0 {
                key.set(slot::ND_OPTIONS_TYPE, u64::from(kind));
            }
            key.set(place, wide(&l4[at..at + 6]) as u64);
        }
        for (place, value) in &self.absent {
            key.set_wide(*place, *value);
        }
    }

    /// Where the headers of the IP packet are, when they are sound.
    pub(crate) fn ip(&self) -> Option<Ip> {
        let header = self.rest.get(self.net..)?;
        if self.eth_type == 0x0800 {
            let len = usize::from(header.first()? & 0xf) * 4;
            let total = usize::from(be16(header, 2)?);
            if header[0] >> 4 != 4 || len < 20 || header.len() < len || total < len || total > header.len() {
                return None;
            }
            let frag = be16(header, 6)?;
            return Some(Ip {
                at: self.net,
                v6: false,
                l4: self.net + len,
                end: self.net + total,
                proto: header[9],
                fragment: frag & 0x3fff != 0,
                later: frag & 0x1fff != 0,
            });
        }
        let payload = usize::from(be16(header, 4)?);
        if self.eth_type != 0x86dd || header.len() < 40 || header[0] >> 4 != 6 || 40 + payload > header.len() {
            return None;
        }
        let (proto, l4, fragment, later) = ipv6_extensions(&header[..40 + payload])?;
        Some(Ip {
            at: self.net,
            v6: true,
            l4: self.net + l4,
            end: self.net + 40 + payload,
            proto,
            fragment,
            later,
        })
    }

    /// Writes a header field. The frame must have it.
    pub fn write(&mut self, place: Slot, value: u128) {
        match place {
            slot::ETH_DST | slot::ETH_SRC | slot::VLAN_TCI if self.packet_type != 0 => {}
            slot::ETH_DST => self.macs[..6].copy_from_slice(&value.to_be_bytes()[10..]),
            slot::ETH_SRC => self.macs[6..].copy_from_slice(&value.to_be_bytes()[10..]),
            slot::VLAN_TCI => self.write_tci(value as u16),
            slot::MPLS_LSE0 if is_mpls(self.eth_type) => {
                if let Some(entry) = self.labels.first_mut() {
                    *entry = value as u32;
                }
            }
            _ if is_mpls(self.eth_type) => {}
            _ if matches!(self.eth_type, 0x0806 | 0x8035) => self.write_arp(place, value),
            _ if self.eth_type == 0x894f => self.write_nsh(place, value),
            _ if self.eth_type == 0x88e7 => self.write_pbb(place, value),
            _ => self.write_ip(place, value),
        }
    }

    fn write_tci(&mut self, tci: u16) {
        match (self.tags.first_mut(), tci & 0x1000 != 0) {
            (Some(tag), true) => tag.tci = tci,
            (Some(_), false) => {
                self.odd_tag_cleared |= self.tags.remove(0).tpid != 0x8100;
            }
            (None, true) => self.tags.push(Tag { tpid: 0x8100, tci }),
            (None, false) => {}
        }
    }

    fn write_arp(&mut self, place: Slot, value: u128) {
        let (at, len) = match place {
            slot::NW_PROTO => (6, 2),
            slot::ARP_SHA => (8, 6),
            slot::NW_SRC => (14, 4),
            slot::ARP_THA => (18, 6),
            slot::NW_DST => (24, 4),
            _ => return,
        };
        // Labels may have been popped to a type that the packet under them is not of.
        let sound = self.rest.get(self.net..self.net + 28).is_some_and(|arp| arp[..6] == [0, 1, 8, 0, 6, 4]);
        self.odd_service |= !sound;
        put(&mut self.rest, self.net + at, len, value);
    }

    fn write_ip(&mut self, place: Slot, value: u128) {
        let Some(ip) = self.ip() else { return };
        let before = self.rest.clone();
        let at = ip.at;
        match (place, ip.v6) {
            (slot::NW_SRC, false) => put(&mut self.rest, at + 12, 4, value),
            (slot::NW_DST, false) => put(&mut self.rest, at + 16, 4, value),
            (slot::NW_TOS, false) => put(&mut self.rest, at + 1, 1, value),
            (slot::NW_TTL, false) => put(&mut self.rest, at + 8, 1, value),
            (slot::NW_TTL, true) => put(&mut self.rest, at + 7, 1, value),
            (slot::IPV6_SRC, true) => put(&mut self.rest, at + 8, 16, value),
            (slot::IPV6_DST, true) => put(&mut self.rest, at + 24, 16, value),
            (slot::NW_TOS | slot::IPV6_LABEL, true) => {
                let first = wide(&self.rest[at..at + 4]);
                let (shift, ones) = if place == slot::NW_TOS { (20, 0xff) } else { (0, 0xfffff) };
                put(&mut self.rest, at, 4, (first & !(ones << shift)) | (value & ones) << shift);
            }
            _ => self.write_transport(ip, place, value),
        }
        sums::refresh(&before, &mut self.rest, &ip.span());
    }

    fn write_transport(&mut self, ip: Ip, place: Slot, value: u128) {
        let l4 = self.rest[ip.l4..ip.end].to_vec();
        let icmp = matches!((ip.proto, ip.v6), (1, false) | (58, true));
        match place {
            slot::TP_SRC if icmp => put(&mut self.rest, ip.l4, 1, value),
            slot::TP_DST if icmp => put(&mut self.rest, ip.l4 + 1, 1, value),
            slot::TP_SRC => put(&mut self.rest, ip.l4, 2, value),
            slot::TP_DST => put(&mut self.rest, ip.l4 + 2, 2, value),
            slot::ND_RESERVED => put(&mut self.rest, ip.l4 + 4, 4, value),
            slot::ND_TARGET => put(&mut self.rest, ip.l4 + 8, 16, value),
            slot::ARP_SHA | slot::ARP_THA => {
                let wanted = if place == slot::ARP_SHA { 1 } else { 2 };
                let mut found = false;
                for (kind, at) in neighbour_options(&l4) {
                    if kind == wanted {
                        put(&mut self.rest, ip.l4 + at, 6, value);
                        found = true;
                    }
                }
                if !found {
                    self.absent.push((place, value));
                }
            }
            _ => {}
        }
    }
}

impl Ip {
    fn span(&self) -> sums::Span {
        sums::Span {
            ip: self.at,
            v6: self.v6,
            l4: self.l4,
            end: self.end,
            proto: self.proto,
            fragment: self.fragment,
            later: self.later,
        }
    }
}

/// Bottom of the label stack.
pub(crate) const BOTTOM: u32 = 0x100;

pub(crate) fn is_mpls(eth_type: u16) -> bool {
    matches!(eth_type, 0x8847 | 0x8848)
}

/// Ethernet type and the length of what stands before the network header.
fn ether_type(rest: &[u8]) -> (u16, usize) {
    let first = be16(rest, 0).unwrap_or(0);
    if first >= 0x600 {
        return (first, 2);
    }
    let snap = rest.get(2..8).is_some_and(|h| h == [0xaa, 0xaa, 3, 0, 0, 0]);
    match be16(rest, 8) {
        Some(inner) if snap && inner >= 0x600 => (inner, 10),
        _ => (0x05ff, 2),
    }
}

/// Protocol, its offset, and the two fragment bits, behind the extension headers of IPv6.
fn ipv6_extensions(packet: &[u8]) -> Option<(u8, usize, bool, bool)> {
    let (mut next, mut at, mut fragment, mut later) = (packet[6], 40, false, false);
    loop {
        match next {
            0 | 43 | 60 | 51 => {
                let len = usize::from(*packet.get(at + 1)?);
                let bytes = if next == 51 { (len + 2) * 4 } else { (len + 1) * 8 };
                next = packet[at];
                at += bytes;
                packet.get(..at)?;
            }
            44 => {
                let frag = be16(packet, at + 2)?;
                packet.get(at..at + 8)?;
                next = packet[at];
                at += 8;
                fragment = frag != 0;
                later = frag & 0xfff8 != 0;
                if later {
                    // What lies behind is no header: Open vSwitch shows the fragment header's own number.
                    return Some((44, at, fragment, later));
                }
            }
            _ => return Some((next, at, fragment, later)),
        }
    }
}

/// Which extension headers a sound IPv6 packet has, as OpenFlow's `ipv6_exthdr` says it.
fn extension_bits(packet: &[u8]) -> u64 {
    let mut kinds = vec![packet[6]];
    let mut at = 40;
    while let Some(kind) = kinds.last().copied().filter(|k| matches!(k, 0 | 43 | 44 | 51 | 60)) {
        let (Some(&next), Some(&len)) = (packet.get(at), packet.get(at + 1)) else { break };
        if kind == 44 && be16(packet, at + 2).is_none_or(|f| f & 0xfff8 != 0) {
            break;
        }
        kinds.push(next);
        at += match kind {
            44 => 8,
            51 => (usize::from(len) + 2) * 4,
            _ => (usize::from(len) + 1) * 8,
        };
    }
    let count = |kind: u8| kinds.iter().filter(|k| **k == kind).count();
    let told = [(59, 0), (50, 1), (51, 2), (60, 3), (44, 4), (43, 5), (0, 6)];
    let mut bits: u64 = told.iter().filter(|(kind, _)| count(*kind) > 0).map(|(_, bit)| 1 << bit).sum();
    if told.iter().any(|(kind, _)| count(*kind) > if *kind == 60 { 2 } else { 1 }) {
        bits |= 1 << 7;
    }
    let order = |i: usize| match (kinds[i], kinds.get(i + 1)) {
        (60, Some(43)) => Some(1),
        (kind, _) => [0, 255, 43, 44, 51, 50, 60, 59].iter().position(|k| *k == kind),
    };
    let places: Vec<usize> = (0..kinds.len()).filter_map(order).collect();
    if !places.is_sorted() {
        bits |= 1 << 8;
    }
    bits
}

/// Kind and offset of the address in each link-layer address option, up to the first malformed one.
fn neighbour_options(l4: &[u8]) -> Vec<(u8, usize)> {
    let mut found = Vec::new();
    let mut at = 24;
    while at + 2 <= l4.len() {
        let len = usize::from(l4[at + 1]) * 8;
        if len == 0 || at + len > l4.len() {
            break;
        }
        if matches!(l4[at], 1 | 2) && len == 8 {
            found.push((l4[at], at + 2));
        }
        at += len;
    }
    found
}

pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn wide(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |v, b| v << 8 | u128::from(*b))
}

pub(crate) fn put(bytes: &mut [u8], at: usize, len: usize, value: u128) {
    if let Some(to) = bytes.get_mut(at..at + len) {
        to.copy_from_slice(&value.to_be_bytes()[16 - len..]);
    }
}

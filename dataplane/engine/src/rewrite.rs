//! Writing header fields, with every checksum kept right (RFC 1624).
//!
//! Invariant: a field that the frame does not have is not written; bytes outside of the field and its
//! checksums do not change.
//! Deliberately does not know: why a field is written.

use sluice_flow::extract::extract_part;
use sluice_flow::key::{slot, PACKET_WORDS};
use sluice_flow::{Key, Slot};
use sluice_frame::Frame;
use sluice_wire::{checksum, Headers, Net, Transport};

use crate::service;

const ND_SOURCE_OPTION: u8 = 1;
const ND_TARGET_OPTION: u8 = 2;
const PROTO_UDP: u8 = 17;
/// In a key this bit says that there is a tag; in a frame it is the drop eligible indicator.
const TAG_PRESENT: u16 = 0x1000;

/// Which checksums cover a run of bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Covered {
    No,
    /// The IPv4 header checksum.
    Ip,
    /// The transport checksum.
    L4,
    /// IPv4's and, by way of the pseudo header, the transport's.
    IpAndPseudo,
    /// The transport's, by way of the pseudo header.
    Pseudo,
}

/// A field's place in a frame.
struct Place {
    at: usize,
    /// Bytes, at most 16.
    len: usize,
    /// Bits below the field in its last byte.
    shift: u32,
    covered: Covered,
}

/// The value of a field in the frame now.
pub fn read(frame: &Frame, h: &Headers, s: Slot) -> u128 {
    let mut key = Key::ZERO;
    extract_part(frame.head(), frame.len(), h, &mut key);
    key.get_wide(s)
}

/// Writes the bits of a field that `mask` names.
pub fn write(frame: &mut Frame, h: &Headers, s: Slot, value: u128, mask: u128) {
    if within(s, slot::VLAN_TCI) {
        return write_tag(frame, h, value << s.shift, mask << s.shift);
    }
    if usize::from(s.word) >= PACKET_WORDS {
        return service::write(frame, h, s, value, mask);
    }
    let Some(place) = place(frame.head(), h, s) else { return };
    let partial = frame.meta.needs_csum;
    let head = frame.head_mut();
    let Some(bytes) = head.get(place.at..place.at + place.len) else { return };
    let mut old = [0u8; 16];
    old[16 - place.len..].copy_from_slice(bytes);
    let old = u128::from_be_bytes(old);
    let (value, mask) = (value << place.shift, mask << place.shift);
    let new = (old & !mask) | (value & mask);
    if new != old {
        replace(head, h, &place, &new.to_be_bytes()[16 - place.len..], partial);
    }
}

/// Writes bits of the tag. A tag that changes loses its drop eligible indicator, as in Open vSwitch.
fn write_tag(frame: &mut Frame, h: &Headers, value: u128, mask: u128) {
    let Some(tag) = frame.head_mut().get_mut(14..16).filter(|_| h.vlan) else { return };
    let (value, mask) = (value as u16, mask as u16 & !TAG_PRESENT);
    let old = u16::from_be_bytes([tag[0], tag[1]]);
    if (old ^ value) & mask != 0 {
        let new = ((old & !mask) | (value & mask)) & !TAG_PRESENT;
        tag.copy_from_slice(&new.to_be_bytes());
    }
}

/// Decrements TTL or hop limit.
pub fn dec_ttl(frame: &mut Frame, h: &Headers) {
    let at = h.l3 as usize + if h.net == Net::Ipv4 { 8 } else { 7 };
    let ttl = frame.head().get(at).copied().unwrap_or(0);
    write(frame, h, slot::NW_TTL, u128::from(ttl.saturating_sub(1)), 0xff);
}

/// Where a field is in this frame; `None` where it is not.
fn place(head: &[u8], h: &Headers, s: Slot) -> Option<Place> {
    let (l3, l4) = (h.l3 as usize, h.l4 as usize);
    let p = |at, len, shift, covered| Some(Place { at, len, shift, covered });
    // A part of a field (a bit range of it) is written through the whole field's bytes.
    let part = |whole: Slot, at, len, covered| {
        let low = u32::from(s.shift) - u32::from(whole.shift);
        p(at, len, low, covered)
    };
    if within(s, slot::ETH_DST) {
        return part(slot::ETH_DST, 0, 6, Covered::No);
    }
    if within(s, slot::ETH_SRC) {
        return part(slot::ETH_SRC, 6, 6, Covered::No);
    }
    if h.mpls != 0 {
        return label_place(h, s);
    }
    match h.net {
        Net::Arp => return arp_place(l3, s),
        Net::Ipv4 | Net::Ipv6 | Net::Ipv6Broken => {}
        Net::Opaque | Net::Nsh | Net::Pbb => return None,
    }
    let v4 = h.net == Net::Ipv4;
    if within(s, slot::NW_SRC) {
        return v4.then_some(()).and_then(|()| part(slot::NW_SRC, l3 + 12, 4, Covered::IpAndPseudo));
    }
    if within(s, slot::NW_DST) {
        return v4.then_some(()).and_then(|()| part(slot::NW_DST, l3 + 16, 4, Covered::IpAndPseudo));
    }
    if within(s, slot::NW_TOS) {
        let low = u32::from(s.shift - slot::NW_TOS.shift);
        return if v4 { p(l3 + 1, 1, low, Covered::Ip) } else { p(l3, 2, low + 4, Covered::No) };
    }
    if within(s, slot::NW_TTL) {
        return if v4 { part(slot::NW_TTL, l3 + 8, 1, Covered::Ip) } else { part(slot::NW_TTL, l3 + 7, 1, Covered::No) };
    }
    if within(s, slot::TP_SRC) || within(s, slot::TP_DST) {
        return transport_place(l4, h.transport, s);
    }
    if v4 {
        return None;
    }
    if within(s, slot::IPV6_LABEL) {
        return part(slot::IPV6_LABEL, l3 + 1, 3, Covered::No);
    }
    ipv6_place(head, h, s)
}

fn label_place(h: &Headers, s: Slot) -> Option<Place> {
    let entries = [slot::MPLS_LSE0, slot::MPLS_LSE1, slot::MPLS_LSE2];
    let i = entries.iter().position(|e| within(s, *e))?;
    let shift = u32::from(s.shift - entries.get(i)?.shift);
    Some(Place { at: usize::from(h.mpls) + 4 * i, len: 4, shift, covered: Covered::No })
}

fn arp_place(l3: usize, s: Slot) -> Option<Place> {
    let fields = [
        (slot::NW_PROTO, 6, 2),
        (slot::ARP_SHA, 8, 6),
        (slot::NW_SRC, 14, 4),
        (slot::ARP_THA, 18, 6),
        (slot::NW_DST, 24, 4),
    ];
    let (whole, at, len) = fields.into_iter().find(|(f, _, _)| within(s, *f))?;
    Some(Place { at: l3 + at, len, shift: u32::from(s.shift - whole.shift), covered: Covered::No })
}

fn transport_place(l4: usize, t: Transport, s: Slot) -> Option<Place> {
    let second = within(s, slot::TP_DST);
    let whole = if second { slot::TP_DST } else { slot::TP_SRC };
    let shift = u32::from(s.shift - whole.shift);
    let (at, len) = match t {
        Transport::Tcp | Transport::Udp | Transport::Sctp => (l4 + if second { 2 } else { 0 }, 2),
        Transport::Icmp4 | Transport::Icmp6 => (l4 + usize::from(second), 1),
        Transport::Igmp | Transport::Opaque => return None,
    };
    Some(Place { at, len, shift, covered: Covered::L4 })
}

fn ipv6_place(head: &[u8], h: &Headers, s: Slot) -> Option<Place> {
    let (l3, l4) = (h.l3 as usize, h.l4 as usize);
    if let Some((at, len, shift)) = within_wide(s, slot::IPV6_SRC) {
        return Some(Place { at: l3 + 8 + at, len, shift, covered: Covered::Pseudo });
    }
    if let Some((at, len, shift)) = within_wide(s, slot::IPV6_DST) {
        return Some(Place { at: l3 + 24 + at, len, shift, covered: Covered::Pseudo });
    }
    if h.transport != Transport::Icmp6 {
        return None;
    }
    if let Some((at, len, shift)) = within_wide(s, slot::ND_TARGET) {
        return Some(Place { at: l4 + 8 + at, len, shift, covered: Covered::L4 });
    }
    if within(s, slot::ND_RESERVED) {
        return Some(Place { at: l4 + 4, len: 4, shift: u32::from(s.shift), covered: Covered::L4 });
    }
    let wanted = [(slot::ARP_SHA, ND_SOURCE_OPTION), (slot::ARP_THA, ND_TARGET_OPTION)];
    let (whole, kind) = wanted.into_iter().find(|(f, _)| within(s, *f))?;
    let at = nd_option(head, l4 + 24, kind)? + 2;
    Some(Place { at, len: 6, shift: u32::from(s.shift - whole.shift), covered: Covered::L4 })
}

/// Offset of the first ND option of a kind.
fn nd_option(head: &[u8], mut at: usize, kind: u8) -> Option<usize> {
    loop {
        let (&found, &units) = (head.get(at)?, head.get(at + 1)?);
        if units == 0 {
            return None;
        }
        if found == kind {
            return (units == 1).then_some(at);
        }
        at += usize::from(units) * 8;
    }
}

fn within(s: Slot, whole: Slot) -> bool {
    s.shift_within(whole).is_some()
}

/// Byte offset, length and shift inside a 128-bit field of two words.
fn within_wide(s: Slot, whole: Slot) -> Option<(usize, usize, u32)> {
    if s == whole {
        return Some((0, 16, 0));
    }
    let word = s.word.checked_sub(whole.word).filter(|w| *w < 2)?;
    (s.width <= 64).then_some((usize::from(word) * 8, 8, u32::from(s.shift)))
}

/// Writes new bytes and brings the checksums that cover them up to date.
fn replace(head: &mut [u8], h: &Headers, place: &Place, new: &[u8], partial: bool) {
    let base = if place.covered == Covered::L4 { h.l4 } else { h.l3 } as usize;
    // Whole 16-bit words, counted from where the checksum starts counting.
    let from = base + (place.at.saturating_sub(base) & !1);
    let to = base + ((place.at + place.len).saturating_sub(base) + 1 & !1);
    let sum = |head: &[u8]| match head.get(from..to.min(head.len())) {
        Some(bytes) if place.covered != Covered::No => checksum::fold(checksum::sum(bytes)),
        _ => 0,
    };
    let before = sum(head);
    if let Some(bytes) = head.get_mut(place.at..place.at + place.len) {
        let change = (h.transport == Transport::Sctp && place.covered == Covered::L4).then(|| {
            let behind = (h.end as usize).saturating_sub(place.at + place.len);
            checksum::crc32c_change(bytes.iter().zip(new).map(|(old, new)| old ^ new), behind)
        });
        bytes.copy_from_slice(new);
        if let Some(change) = change {
            return adjust_sctp(head, h, change);
        }
    }
    let after = sum(head);
    if matches!(place.covered, Covered::Ip | Covered::IpAndPseudo) && h.net == Net::Ipv4 {
        adjust(head, h.l3 as usize + 10, before, after, false);
    }
    let pseudo = matches!(place.covered, Covered::Pseudo | Covered::IpAndPseudo);
    if pseudo || place.covered == Covered::L4 {
        adjust_transport(head, h, before, after, pseudo, partial);
    }
}

fn adjust_transport(head: &mut [u8], h: &Headers, before: u16, after: u16, pseudo: bool, partial: bool) {
    let l4 = h.l4 as usize;
    let (at, has_pseudo) = match h.transport {
        Transport::Tcp => (l4 + 16, true),
        Transport::Udp => (l4 + 6, true),
        Transport::Icmp6 => (l4 + 2, true),
        Transport::Icmp4 => (l4 + 2, false),
        _ => return,
    };
    if pseudo && !has_pseudo {
        return;
    }
    if partial && h.transport != Transport::Icmp4 && h.transport != Transport::Icmp6 {
        // The field holds the plain sum of the pseudo header only; the rest is summed when it is filled.
        if pseudo {
            adjust_sum(head, at, before, after);
        }
        return;
    }
    let none = head.get(at..at + 2).is_none_or(|b| b == [0, 0]);
    if h.proto == PROTO_UDP && none {
        return; // no checksum in use
    }
    adjust(head, at, before, after, h.proto == PROTO_UDP);
}

/// Changes a checksum for data whose sum went from `before` to `after`.
fn adjust(head: &mut [u8], at: usize, before: u16, after: u16, never_zero: bool) {
    let Some(field) = head.get_mut(at..at + 2) else { return };
    let old = u16::from_be_bytes([field[0], field[1]]);
    let new = checksum::incremental16(old, before, after);
    let new = if never_zero && new == 0 { 0xffff } else { new };
    field.copy_from_slice(&new.to_be_bytes());
}

/// Changes a plain (not complemented) sum.
fn adjust_sum(head: &mut [u8], at: usize, before: u16, after: u16) {
    let Some(field) = head.get_mut(at..at + 2) else { return };
    let old = u64::from(u16::from_be_bytes([field[0], field[1]]));
    let new = checksum::fold(old + u64::from(!before) + u64::from(after));
    field.copy_from_slice(&new.to_be_bytes());
}

/// A checksum that was wrong stays as wrong as it was: nobody takes a damaged packet for a whole one.
fn adjust_sctp(head: &mut [u8], h: &Headers, change: u32) {
    let at = h.l4 as usize + 8;
    let Some(field) = head.get_mut(at..at + 4) else { return };
    field.iter_mut().zip(change.to_le_bytes()).for_each(|(byte, bits)| *byte ^= bits);
}

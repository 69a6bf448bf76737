//! Station: addresses and ports of a frame replaced, checksums kept right.
//!
//! An ICMP error quotes a packet of its connection: that is translated too, the other way round.
//! Invariant: translating back gives the bytes that came in, checksums included (but for a UDP checksum
//! that is zero and one that is all ones, which mean the same sum).
//! Deliberately does not know: why.

use std::net::IpAddr;

use sluice_conntrack::{Rewrite, Tuple};
use sluice_flow::key::slot;
use sluice_frame::Frame;
use sluice_wire::bytes::{put_u16, u16_at, u8_at};
use sluice_wire::ipv6::{is_extension, AUTHENTICATION};
use sluice_wire::{checksum, Headers, Net, Transport};

use crate::rewrite;

const ICMP_HEADER: usize = 8;
const TCP: u8 = 6;
const UDP: u8 = 17;
const EXTENSIONS_MAX: usize = 16;

/// Replaces what a translation asks for.
pub fn translate(frame: &mut Frame, h: &Headers, r: &Rewrite) {
    if r.related {
        quoted(frame, h, r);
    }
    if r.kind.src {
        address(frame, h, r.to.src(), true);
    }
    if r.kind.dst {
        address(frame, h, r.to.dst(), false);
    }
    if !r.related && matches!(h.transport, Transport::Tcp | Transport::Udp) {
        rewrite::write(frame, h, slot::TP_SRC, u128::from(r.to.sport()), 0xffff);
        rewrite::write(frame, h, slot::TP_DST, u128::from(r.to.dport()), 0xffff);
    }
}

fn address(frame: &mut Frame, h: &Headers, to: IpAddr, is_src: bool) {
    match to {
        IpAddr::V4(a) => {
            let s = if is_src { slot::NW_SRC } else { slot::NW_DST };
            rewrite::write(frame, h, s, u128::from(u32::from(a)), u128::from(u32::MAX));
        }
        IpAddr::V6(a) => {
            let s = if is_src { slot::IPV6_SRC } else { slot::IPV6_DST };
            rewrite::write(frame, h, s, a.into(), u128::MAX);
        }
    }
}

/// The packet inside an ICMP error, and the error's own checksum over it.
fn quoted(frame: &mut Frame, h: &Headers, r: &Rewrite) {
    let (l4, end) = (usize::from(h.l4), (h.end as usize).min(frame.head().len()));
    let at = l4 + ICMP_HEADER;
    let inner = r.to.reversed();
    let Some(whole) = frame.head_mut().get_mut(l4..end) else { return };
    let before = checksum::fold(checksum::sum(whole));
    let Some(packet) = whole.get_mut(at - l4..) else { return };
    match h.net {
        Net::Ipv4 => quoted4(packet, &inner, r),
        _ => quoted6(packet, &inner, r),
    }
    let after = checksum::fold(checksum::sum(whole));
    if let Some(old) = u16_at(whole, 2) {
        let _ = put_u16(whole, 2, checksum::incremental16(old, before, after));
    }
}

/// In the quoted packet the error's source is the destination, and the other way round.
fn quoted4(packet: &mut [u8], inner: &Tuple, r: &Rewrite) {
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (inner.src(), inner.dst()) else { return };
    let Some(header) = u8_at(packet, 0).map(|b| usize::from(b & 15) * 4) else { return };
    let sum = |p: &[u8]| p.get(12..20).map(|b| checksum::fold(checksum::sum(b)));
    let Some(before) = sum(packet) else { return };
    if let Some(place) = packet.get_mut(12..16).filter(|_| r.kind.dst) {
        place.copy_from_slice(&src.octets());
    }
    if let Some(place) = packet.get_mut(16..20).filter(|_| r.kind.src) {
        place.copy_from_slice(&dst.octets());
    }
    let Some(after) = sum(packet) else { return };
    if let Some(old) = u16_at(packet, 10) {
        let _ = put_u16(packet, 10, checksum::incremental16(old, before, after));
    }
    let proto = u8_at(packet, 9).unwrap_or(0);
    ports(packet, header, proto, inner, before, after);
}

fn quoted6(packet: &mut [u8], inner: &Tuple, r: &Rewrite) {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (inner.src(), inner.dst()) else { return };
    let sum = |p: &[u8]| p.get(8..40).map(|b| checksum::fold(checksum::sum(b)));
    let Some(before) = sum(packet) else { return };
    if let Some(place) = packet.get_mut(8..24).filter(|_| r.kind.dst) {
        place.copy_from_slice(&src.octets());
    }
    if let Some(place) = packet.get_mut(24..40).filter(|_| r.kind.src) {
        place.copy_from_slice(&dst.octets());
    }
    let Some(after) = sum(packet) else { return };
    let mut proto = u8_at(packet, 6).unwrap_or(0);
    let mut l4 = 40;
    for _ in 0..EXTENSIONS_MAX {
        if !is_extension(proto) {
            break;
        }
        let (Some(next), Some(len)) = (u8_at(packet, l4), u8_at(packet, l4 + 1)) else { return };
        l4 += if proto == AUTHENTICATION { (usize::from(len) + 2) * 4 } else { (usize::from(len) + 1) * 8 };
        proto = next;
    }
    ports(packet, l4, proto, inner, before, after);
}

/// Ports of the quoted packet, and its checksum where the quotation reaches so far.
fn ports(packet: &mut [u8], l4: usize, proto: u8, inner: &Tuple, before: u16, after: u16) {
    let at = match proto {
        TCP => l4 + 16,
        UDP => l4 + 6,
        _ => return,
    };
    let (Some(old_src), Some(old_dst)) = (u16_at(packet, l4), u16_at(packet, l4 + 2)) else { return };
    let _ = put_u16(packet, l4, inner.sport());
    let _ = put_u16(packet, l4 + 2, inner.dport());
    let Some(old) = u16_at(packet, at).filter(|sum| proto != UDP || *sum != 0) else { return };
    let mut sum = checksum::incremental16(old, before, after);
    sum = checksum::incremental16(sum, old_src, inner.sport());
    sum = checksum::incremental16(sum, old_dst, inner.dport());
    let _ = put_u16(packet, at, if proto == UDP && sum == 0 { 0xffff } else { sum });
}

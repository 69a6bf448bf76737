//! Station: outer headers on and off (VXLAN over UDP/IPv4, RFC 7348).
//!
//! Invariant: a frame that cannot carry outer headers is left as it was and the reason is given.

use sluice_flow::verdict::{Encap, OuterTos, OuterTtl};
use sluice_flow::DropReason;
use sluice_frame::{Frame, Gso};
use sluice_wire::checksum;
use sluice_wire::{Headers, Net, Transport};

/// Ethernet, IPv4, UDP, VXLAN.
pub const OUTER_LEN: usize = 14 + 20 + 8 + 8;
const IP: usize = 14;
const UDP: usize = IP + 20;
const VXLAN: usize = UDP + 8;
/// Longest inner frame: a UDP datagram in an IPv4 packet of 65,535 bytes.
const INNER_MAX: usize = 65_535 - 20 - 8 - 8;
const VXLAN_FLAG_VNI: u8 = 0x08;
const GBP_FLAG: u8 = 0x80;
/// First of the source ports that spread flows over the underlay (RFC 7348 section 5).
const FIRST_SOURCE_PORT: u16 = 0xc000;
const SOURCE_PORTS: u32 = 0x4000;
const DEFAULT_TTL: u8 = 64;
const DF: u16 = 0x4000;
const ECN: u8 = 0x03;
const PROTO_UDP: u8 = 17;

/// Puts outer headers in front of a frame. `ident` numbers packets that routers may fragment.
pub fn encap(frame: &mut Frame, inner: &Headers, e: &Encap, ident: u16) -> Result<(), DropReason> {
    let len = frame.len();
    if len > INNER_MAX {
        return Err(DropReason::EncapTooLong);
    }
    let source_port = source_port(frame.head(), inner);
    let (inner_tos, inner_ttl) = inner_tos_ttl(frame.head(), inner);
    if !frame.push_front(OUTER_LEN) {
        return Err(DropReason::NoHeadroom);
    }
    let Some(h) = frame.head_mut().first_chunk_mut::<OUTER_LEN>() else { return Err(DropReason::NoHeadroom) };
    let udp_len = (len + OUTER_LEN - UDP) as u16;
    let (ident, flags) = if e.df { (0, DF) } else { (ident, 0) };
    let ttl = match e.ttl {
        OuterTtl::Set(ttl) => ttl,
        OuterTtl::Inherit => inner_ttl.unwrap_or(DEFAULT_TTL),
    };
    // As 16-bit words, and summed from here: bytes just written would have to be waited for.
    let first = u16::from_be_bytes([0x45, outer_tos(e.tos, inner_tos)]);
    let ttl_proto = u16::from_be_bytes([ttl, PROTO_UDP]);
    let words = [first, udp_len + 20, ident, flags, ttl_proto].map(u64::from);
    let sum = checksum::finish(words.iter().sum::<u64>() + u64::from(e.src) + u64::from(e.dst));
    h[0..6].copy_from_slice(&e.dst_mac);
    h[6..12].copy_from_slice(&e.src_mac);
    h[12..14].copy_from_slice(&[0x08, 0x00]);
    h[IP..IP + 2].copy_from_slice(&first.to_be_bytes());
    h[IP + 2..IP + 4].copy_from_slice(&(udp_len + 20).to_be_bytes());
    h[IP + 4..IP + 6].copy_from_slice(&ident.to_be_bytes());
    h[IP + 6..IP + 8].copy_from_slice(&flags.to_be_bytes());
    h[IP + 8..IP + 10].copy_from_slice(&ttl_proto.to_be_bytes());
    h[IP + 10..IP + 12].copy_from_slice(&sum.to_be_bytes());
    h[IP + 12..IP + 16].copy_from_slice(&e.src.to_be_bytes());
    h[IP + 16..IP + 20].copy_from_slice(&e.dst.to_be_bytes());
    h[UDP..UDP + 2].copy_from_slice(&source_port.to_be_bytes());
    h[UDP + 2..UDP + 4].copy_from_slice(&e.dst_port.to_be_bytes());
    h[UDP + 4..UDP + 6].copy_from_slice(&udp_len.to_be_bytes());
    h[UDP + 6..UDP + 8].fill(0);
    let (gbp_id, gbp_flags) = e.gbp.unwrap_or((0, 0));
    h[VXLAN] = VXLAN_FLAG_VNI | if e.gbp.is_some() { GBP_FLAG } else { 0 };
    h[VXLAN + 1] = gbp_flags;
    h[VXLAN + 2..VXLAN + 4].copy_from_slice(&gbp_id.to_be_bytes());
    h[VXLAN + 4..VXLAN + 8].copy_from_slice(&(e.vni << 8).to_be_bytes());
    shift_offload(frame);
    if e.csum {
        fill_udp_checksum(frame, e);
    }
    Ok(())
}

/// What is to be done to the inner packet later lies further back now.
fn shift_offload(frame: &mut Frame) {
    if frame.meta.needs_csum {
        frame.meta.csum_start += OUTER_LEN as u16;
    }
    if frame.meta.gso != Gso::None && frame.meta.hdr_len != 0 {
        frame.meta.hdr_len += OUTER_LEN as u16;
    }
}

/// The outer UDP checksum covers the inner frame as it is; one with work left to do gets none.
fn fill_udp_checksum(frame: &mut Frame, e: &Encap) {
    if frame.meta.needs_csum || frame.meta.gso != Gso::None {
        return;
    }
    let len = (frame.len() - UDP) as u16;
    let mut sum = checksum::pseudo4(e.src, e.dst, 17, u32::from(len));
    let mut odd = false;
    for (i, s) in frame.segments().enumerate() {
        let bytes = if i == 0 { s.get(UDP..).unwrap_or(&[]) } else { s };
        let part = checksum::fold(checksum::sum(bytes));
        sum += u64::from(if odd { part.swap_bytes() } else { part });
        odd ^= bytes.len() % 2 == 1;
    }
    let csum = !checksum::fold(sum);
    let csum = if csum == 0 { 0xffff } else { csum };
    if let Some(field) = frame.head_mut().get_mut(UDP + 6..UDP + 8) {
        field.copy_from_slice(&csum.to_be_bytes());
    }
}

fn outer_tos(tos: OuterTos, inner: Option<u8>) -> u8 {
    let ecn = inner.unwrap_or(0) & ECN;
    match tos {
        OuterTos::Set(v) => (v & !ECN) | ecn,
        OuterTos::Inherit => (inner.unwrap_or(0) & !ECN) | ecn,
    }
}

fn inner_tos_ttl(head: &[u8], h: &Headers) -> (Option<u8>, Option<u8>) {
    let at = |i: usize| head.get(h.l3 as usize + i).copied();
    match h.net {
        Net::Ipv4 => (at(1), at(8)),
        Net::Ipv6 | Net::Ipv6Broken => (at(0).zip(at(1)).map(|(a, b)| a << 4 | b >> 4), at(7)),
        _ => (None, None),
    }
}

/// A port that is the same for all packets of an inner flow and spread over flows.
fn source_port(head: &[u8], h: &Headers) -> u16 {
    let word = |at: usize| head.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
    let l3 = h.l3 as usize;
    let ports = if h.transport == Transport::Opaque { 0 } else { word(h.l4 as usize) };
    let addresses = match h.net {
        Net::Ipv4 => word(l3 + 12) ^ word(l3 + 16).rotate_left(16),
        Net::Ipv6 | Net::Ipv6Broken => (0..8).fold(0, |a: u32, i| a.rotate_left(5) ^ word(l3 + 8 + 4 * i)),
        _ => word(0) ^ word(4).rotate_left(11) ^ word(8).rotate_left(22),
    };
    let mixed = (u64::from(addresses) << 32 | u64::from(ports ^ u32::from(h.proto))).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    FIRST_SOURCE_PORT + ((mixed >> 40) as u32 % SOURCE_PORTS) as u16
}

/// The outer headers of a packet for one of the tunnels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outer {
    /// Outer source address.
    pub src: u32,
    /// Outer destination address.
    pub dst: u32,
    /// UDP destination port.
    pub dst_port: u16,
    /// VNI.
    pub vni: u32,
    /// Group policy id and flags, zero without the extension.
    pub gbp: (u16, u8),
}

/// Takes the outer headers off. The frame is left as it was where they are not sane.
pub fn decap(frame: &mut Frame, outer: &Headers) -> Result<Outer, DropReason> {
    let (l3, l4) = (outer.l3 as usize, outer.l4 as usize);
    if outer.net != Net::Ipv4 || outer.transport != Transport::Udp {
        return Err(DropReason::TunnelInvalid);
    }
    let inner_at = l4 + 16;
    let head = frame.head();
    let vxlan: [u8; 8] = bytes(head, l4 + 8)?;
    let reads_vni = vxlan[0] & VXLAN_FLAG_VNI != 0;
    if !reads_vni || vxlan[0] & !(VXLAN_FLAG_VNI | GBP_FLAG) != 0 || vxlan[7] != 0 {
        return Err(DropReason::TunnelInvalid);
    }
    let gbp = if vxlan[0] & GBP_FLAG != 0 { (u16::from_be_bytes([vxlan[2], vxlan[3]]), vxlan[1]) } else { (0, 0) };
    let udp_len = usize::from(u16::from_be_bytes(bytes(head, l4 + 4)?));
    let seen = Outer {
        src: u32::from_be_bytes(bytes(head, l3 + 12)?),
        dst: u32::from_be_bytes(bytes(head, l3 + 16)?),
        dst_port: u16::from_be_bytes(bytes(head, l4 + 2)?),
        vni: u32::from_be_bytes([0, vxlan[4], vxlan[5], vxlan[6]]),
        gbp,
    };
    let end = l4 + udp_len;
    if udp_len < 16 || end > frame.len() {
        return Err(DropReason::TunnelInvalid);
    }
    // Link padding behind the datagram is not part of the inner frame.
    if end < frame.len() && !frame.truncate(end) {
        return Err(DropReason::TunnelInvalid);
    }
    if !frame.pull_front(inner_at) {
        return Err(DropReason::TunnelInvalid);
    }
    unshift_offload(frame, inner_at as u16);
    Ok(seen)
}

fn bytes<const N: usize>(head: &[u8], at: usize) -> Result<[u8; N], DropReason> {
    head.get(at..at + N).and_then(|b| b.try_into().ok()).ok_or(DropReason::TunnelInvalid)
}

/// Work left on the outer checksum is moot; work on the inner packet now lies nearer.
fn unshift_offload(frame: &mut Frame, removed: u16) {
    let meta = &mut frame.meta;
    match meta.csum_start.checked_sub(removed) {
        Some(start) if meta.needs_csum => meta.csum_start = start,
        _ => meta.needs_csum = false,
    }
    meta.hdr_len = meta.hdr_len.saturating_sub(removed);
}

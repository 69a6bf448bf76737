//! Station: outer headers on and off (VXLAN over UDP/IPv4, RFC 7348).
//!
//! Invariant: a frame that cannot carry outer headers is left as it was and the reason is given.

use sluice_flow::verdict::{Encap, OuterTos, OuterTtl};
use sluice_flow::DropReason;
use sluice_frame::{Frame, Gso};
use sluice_wire::bytes::{array_at, u16_or_zero, u32_at, u32_or_zero, u64_or_zero};
use sluice_wire::checksum;
use sluice_wire::{Headers, Net, PackedHeaders, Transport};

/// Ethernet, IPv4, UDP, VXLAN.
pub const OUTER_LEN: usize = 14 + 20 + 8 + 8;
const IP: usize = 14;
const UDP: usize = IP + 20;
const VXLAN: usize = UDP + 8;
const UDP_VXLAN: usize = 16;
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

/// Outer headers of a tunnel, written beforehand but for what depends on the frame.
#[derive(Debug)]
pub struct Template {
    bytes: [u8; OUTER_LEN],
    /// Bytes of the longest frame that its way takes.
    pub longest: usize,
    /// Sum of the IP header's words, what depends on the frame left out.
    sum: u64,
    tos: OuterTos,
    inherits_ttl: bool,
    df: bool,
    /// Addresses, where the outer UDP checksum is filled.
    csum: Option<(u32, u32)>,
}

impl Template {
    /// For packets that are wrapped like this.
    pub fn new(e: &Encap) -> Template {
        let mut h = [0; OUTER_LEN];
        h[0..6].copy_from_slice(&e.dst_mac);
        h[6..12].copy_from_slice(&e.src_mac);
        h[12..14].copy_from_slice(&[0x08, 0x00]);
        h[IP] = 0x45;
        h[IP + 6..IP + 8].copy_from_slice(&if e.df { DF } else { 0 }.to_be_bytes());
        h[IP + 8] = match e.ttl {
            OuterTtl::Set(ttl) => ttl,
            OuterTtl::Inherit => 0,
        };
        h[IP + 9] = PROTO_UDP;
        h[IP + 12..IP + 16].copy_from_slice(&e.src.to_be_bytes());
        h[IP + 16..IP + 20].copy_from_slice(&e.dst.to_be_bytes());
        h[UDP + 2..UDP + 4].copy_from_slice(&e.dst_port.to_be_bytes());
        let (gbp_id, gbp_flags) = e.gbp.unwrap_or((0, 0));
        h[VXLAN] = VXLAN_FLAG_VNI | if e.gbp.is_some() { GBP_FLAG } else { 0 };
        h[VXLAN + 1] = gbp_flags;
        h[VXLAN + 2..VXLAN + 4].copy_from_slice(&gbp_id.to_be_bytes());
        h[VXLAN + 4..VXLAN + 8].copy_from_slice(&(e.vni << 8).to_be_bytes());
        Template {
            sum: checksum::sum(&h[IP..UDP]),
            bytes: h,
            longest: e.longest as usize,
            tos: e.tos,
            inherits_ttl: e.ttl == OuterTtl::Inherit,
            df: e.df,
            csum: e.csum.then_some((e.src, e.dst)),
        }
    }
}

/// What outer headers take from the packet inside.
#[derive(Clone, Copy)]
struct Inner {
    /// UDP source port: by flow.
    port: u16,
    tos: Option<u8>,
    ttl: Option<u8>,
}

impl Inner {
    fn of(head: &[u8], h: &Headers) -> Inner {
        let (tos, ttl) = inner_tos_ttl(head, h);
        Inner { port: source_port(head, h), tos, ttl }
    }

    /// The same from packed headers, for what most packets are.
    #[inline(always)]
    fn of_packed(head: &[u8], h: PackedHeaders) -> Inner {
        let plain = h.is_plain_tcp().and_then(|_| Some((array_at::<20>(head, h.l3())?, u32_at(head, h.l4())?)));
        let Some((ip, ports)) = plain else { return Inner::of(head, &h.unpack()) };
        Inner { port: port_of(folded(u64_or_zero(ip, 12)), ports, ip[9]), tos: Some(ip[1]), ttl: Some(ip[8]) }
    }
}

/// Puts outer headers in front of a frame. `ident` numbers packets that routers may fragment.
pub fn encap(frame: &mut Frame, inner: &Headers, t: &Template, ident: u16) -> Result<(), DropReason> {
    let inner = Inner::of(frame.head(), inner);
    put_on(frame, inner, t, ident)
}

/// As [`encap`], with packed headers.
#[inline]
pub fn encap_packed(frame: &mut Frame, inner: PackedHeaders, t: &Template, ident: u16) -> Result<(), DropReason> {
    let inner = Inner::of_packed(frame.head(), inner);
    put_on(frame, inner, t, ident)
}

#[inline(always)]
fn put_on(frame: &mut Frame, inner: Inner, t: &Template, ident: u16) -> Result<(), DropReason> {
    let len = frame.len();
    if len > INNER_MAX {
        return Err(DropReason::EncapTooLong);
    }
    if !frame.push_front(OUTER_LEN) {
        return Err(DropReason::NoHeadroom);
    }
    let Some(h) = frame.head_mut().first_chunk_mut::<OUTER_LEN>() else { return Err(DropReason::NoHeadroom) };
    *h = t.bytes;
    // Summed from here: bytes just written would have to be waited for.
    let udp_len = (len + OUTER_LEN - UDP) as u16;
    let tos = outer_tos(t.tos, inner.tos);
    let mut sum = t.sum + u64::from(tos) + u64::from(udp_len + 20);
    h[IP + 1] = tos;
    [h[IP + 2], h[IP + 3]] = (udp_len + 20).to_be_bytes();
    if !t.df {
        [h[IP + 4], h[IP + 5]] = ident.to_be_bytes();
        sum += u64::from(ident);
    }
    if t.inherits_ttl {
        let ttl = inner.ttl.unwrap_or(DEFAULT_TTL);
        h[IP + 8] = ttl;
        sum += u64::from(ttl) << 8;
    }
    [h[IP + 10], h[IP + 11]] = checksum::finish(sum).to_be_bytes();
    [h[UDP], h[UDP + 1]] = inner.port.to_be_bytes();
    [h[UDP + 4], h[UDP + 5]] = udp_len.to_be_bytes();
    if frame.meta.needs_csum || frame.meta.gso != Gso::None {
        shift_offload(frame);
    }
    if let Some((src, dst)) = t.csum {
        fill_udp_checksum(frame, src, dst);
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
fn fill_udp_checksum(frame: &mut Frame, src: u32, dst: u32) {
    if frame.meta.needs_csum || frame.meta.gso != Gso::None {
        return;
    }
    let len = (frame.len() - UDP) as u16;
    let mut sum = checksum::pseudo4(src, dst, 17, u32::from(len));
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
        Net::Ipv4 => head.get(l3 + 12..).map_or(0, |b| folded(u64_or_zero(b, 0))),
        Net::Ipv6 | Net::Ipv6Broken => (0..8).fold(0, |a: u32, i| a.rotate_left(5) ^ word(l3 + 8 + 4 * i)),
        _ => word(0) ^ word(4).rotate_left(11) ^ word(8).rotate_left(22),
    };
    port_of(addresses, ports, h.proto)
}

/// Both addresses of IPv4 in one word.
#[inline(always)]
fn folded(both: u64) -> u32 {
    (both >> 32) as u32 ^ (both as u32).rotate_left(16)
}

#[inline(always)]
fn port_of(addresses: u32, ports: u32, proto: u8) -> u16 {
    let mixed = (u64::from(addresses) << 32 | u64::from(ports ^ u32::from(proto))).wrapping_mul(0x9e37_79b9_7f4a_7c15);
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
#[inline]
pub fn decap(frame: &mut Frame, outer: &Headers) -> Result<Outer, DropReason> {
    if outer.net != Net::Ipv4 || outer.transport != Transport::Udp {
        return Err(DropReason::TunnelInvalid);
    }
    let (seen, udp_len) = read_outer(frame.head(), outer.l3.into(), outer.l4.into()).ok_or(DropReason::TunnelInvalid)?;
    let (inner_at, end) = (usize::from(outer.l4) + UDP_VXLAN, usize::from(outer.l4) + udp_len);
    if udp_len < UDP_VXLAN || end > frame.len() {
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

/// Outer headers as most packets have them: Ethernet without a tag, IPv4 without options.
#[derive(Clone, Copy, Debug)]
pub struct Wrapping {
    /// What they say.
    pub outer: Outer,
    /// End of the UDP datagram, bytes from the frame's start.
    end: usize,
}

/// Reads outer headers in their commonest form; `None` for any other frame, which may be a tunnel's all the same.
#[inline(always)]
pub fn outer(frame: &Frame) -> Option<Wrapping> {
    let head = frame.head();
    let b = head.first_chunk::<OUTER_LEN>()?;
    // version 4, header length 4 | ... | flags and fragment offset: not a fragment
    let first = u64_or_zero(b, IP);
    let is_udp4 = u16_or_zero(b, 12) == 0x0800 && first & 0xff00_0000_0000_3fff == 0x4500_0000_0000_0000 && b[IP + 9] == PROTO_UDP;
    let total = IP + ((first >> 32) as usize & 0xffff);
    let (outer, udp_len) = read_outer(head, IP, UDP).filter(|_| is_udp4)?;
    let end = UDP + udp_len;
    let fits = total >= OUTER_LEN && frame.len().wrapping_sub(total) <= usize::from(u16::MAX);
    (fits && udp_len >= UDP_VXLAN && end <= frame.len()).then_some(Wrapping { outer, end })
}

/// Takes off what [`outer`] read; false where the frame cannot be cut.
#[inline(always)]
pub fn strip(frame: &mut Frame, w: &Wrapping) -> bool {
    if w.end < frame.len() && !frame.truncate(w.end) || !frame.pull_front(OUTER_LEN) {
        return false;
    }
    unshift_offload(frame, OUTER_LEN as u16);
    true
}

/// What the outer headers say, and the length of the UDP datagram; `None` for what is not VXLAN.
#[inline(always)]
fn read_outer(head: &[u8], l3: usize, l4: usize) -> Option<(Outer, usize)> {
    let ip = head.get(l3..)?.first_chunk::<20>()?;
    let udp = head.get(l4..)?.first_chunk::<UDP_VXLAN>()?;
    let vxlan = u64_or_zero(udp, 8);
    let flags = (vxlan >> 56) as u8;
    if flags & !GBP_FLAG != VXLAN_FLAG_VNI || vxlan as u8 != 0 {
        return None;
    }
    let gbp = if flags & GBP_FLAG != 0 { ((vxlan >> 32) as u16, (vxlan >> 48) as u8) } else { (0, 0) };
    let outer = Outer {
        src: u32_or_zero(ip, 12),
        dst: u32_or_zero(ip, 16),
        dst_port: u16_or_zero(udp, 2),
        vni: vxlan as u32 >> 8,
        gbp,
    };
    Some((outer, usize::from(u16_or_zero(udp, 4))))
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

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_fixtures::samples::samples;

    #[test]
    fn packed_or_not_headers_give_the_same_outer_ones() {
        for sample in samples() {
            let h = sluice_wire::parse(&sample.frame);
            let (a, b) = (Inner::of(&sample.frame, &h), Inner::of_packed(&sample.frame, h.into()));
            assert_eq!((a.port, a.tos, a.ttl), (b.port, b.tos, b.ttl), "{}", sample.name);
        }
    }
}

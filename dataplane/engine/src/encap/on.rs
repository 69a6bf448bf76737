//! Outer headers on, from a template.
//!
//! Invariant: a template holds all that does not depend on the frame; what does is written once, and no byte just
//! written is read again.

use std::net::IpAddr;

use sluice_flow::verdict::{Encap, OuterTos, OuterTtl};
use sluice_flow::DropReason;
use sluice_frame::{Frame, Gso};
use sluice_wire::{checksum, Headers, PackedHeaders};

use super::inner::Inner;
use super::udp::fill_checksum;
use super::{ETHERNET, GBP_FLAG, PROTO_UDP, UDP_VXLAN, VXLAN_FLAG_VNI};

const IP: usize = ETHERNET;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
/// Ethernet, IP, UDP, VXLAN.
const OUTER4_LEN: usize = ETHERNET + IPV4_LEN + UDP_VXLAN;
const OUTER6_LEN: usize = ETHERNET + IPV6_LEN + UDP_VXLAN;
const UDP4: usize = IP + IPV4_LEN;
const UDP6: usize = IP + IPV6_LEN;
/// Longest inner frame: a UDP datagram in an IPv4 packet of 65,535 bytes.
const INNER4_MAX: usize = 65_535 - IPV4_LEN - UDP_VXLAN;
/// Longest inner frame: a UDP datagram of 65,535 bytes, which IPv6 carries without a jumbo payload.
const INNER6_MAX: usize = 65_535 - UDP_VXLAN;
const DEFAULT_TTL: u8 = 64;
const DF: u16 = 0x4000;

/// Outer headers of a tunnel, written beforehand but for what depends on the frame.
#[derive(Debug)]
pub struct Template {
    /// Bytes of the longest frame that its way takes.
    pub longest: usize,
    tos: OuterTos,
    inherits_ttl: bool,
    outer: Outermost,
}

/// The bytes. Of IPv4 two kinds, so that one question tells all.
#[derive(Debug)]
enum Outermost {
    /// IPv4, no UDP checksum.
    V4(Over4),
    /// IPv4, with a UDP checksum; `pseudo` is the sum of addresses and protocol.
    Summed4 { over: Over4, pseudo: u64 },
    /// IPv6; `pseudo` where there is a UDP checksum.
    V6 { bytes: [u8; OUTER6_LEN], pseudo: Option<u64> },
}

#[derive(Debug)]
struct Over4 {
    bytes: [u8; OUTER4_LEN],
    /// Sum of the IP header's words, what depends on the frame left out.
    sum: u64,
    df: bool,
}

impl Template {
    /// For packets that are wrapped like this.
    pub fn new(e: &Encap) -> Template {
        let outer = match (e.src, e.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let over = Over4::new(e, src.octets(), dst.octets());
                match e.csum {
                    false => Outermost::V4(over),
                    true => Outermost::Summed4 { over, pseudo: checksum::pseudo4(src.into(), dst.into(), PROTO_UDP, 0) },
                }
            }
            (src, dst) => {
                let (src, dst) = (mapped(src), mapped(dst));
                let pseudo = e.csum.then(|| checksum::pseudo6(src, dst, PROTO_UDP, 0));
                Outermost::V6 { bytes: bytes6(e, src, dst), pseudo }
            }
        };
        let inherits_ttl = e.ttl == OuterTtl::Inherit;
        Template { longest: e.longest as usize, tos: e.tos, inherits_ttl, outer }
    }

    /// Hop limit or TTL, where it is the inner packet's.
    #[inline(always)]
    fn ttl(&self, inner: &Inner) -> Option<u8> {
        self.inherits_ttl.then(|| inner.ttl.unwrap_or(DEFAULT_TTL))
    }
}

/// Both ends of a way are of one family; were they not, this is what IPv6 would call the other.
fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => a.to_ipv6_mapped().into(),
        IpAddr::V6(a) => a.into(),
    }
}

impl Over4 {
    fn new(e: &Encap, src: [u8; 4], dst: [u8; 4]) -> Over4 {
        let mut h = [0; OUTER4_LEN];
        write_ethernet(&mut h, e, [0x08, 0x00]);
        h[IP] = 0x45;
        h[IP + 6..IP + 8].copy_from_slice(&if e.df { DF } else { 0 }.to_be_bytes());
        h[IP + 8] = own_ttl(e);
        h[IP + 9] = PROTO_UDP;
        h[IP + 12..IP + 16].copy_from_slice(&src);
        h[IP + 16..IP + 20].copy_from_slice(&dst);
        write_vxlan(&mut h[UDP4..], e);
        Over4 { sum: checksum::sum(&h[IP..UDP4]), bytes: h, df: e.df }
    }

    #[inline(always)]
    fn put_on(&self, frame: &mut Frame, inner: Inner, t: &Template, ident: u16) -> Result<(), DropReason> {
        let len = frame.len();
        let h = room::<OUTER4_LEN>(frame, INNER4_MAX)?;
        *h = self.bytes;
        // Summed from here: bytes just written would have to be waited for.
        let udp_len = (len + UDP_VXLAN) as u16;
        let tos = inner.outer_tos(t.tos);
        let mut sum = self.sum + u64::from(tos) + u64::from(udp_len + 20);
        h[IP + 1] = tos;
        [h[IP + 2], h[IP + 3]] = (udp_len + 20).to_be_bytes();
        if !self.df {
            [h[IP + 4], h[IP + 5]] = ident.to_be_bytes();
            sum += u64::from(ident);
        }
        if let Some(ttl) = t.ttl(&inner) {
            h[IP + 8] = ttl;
            sum += u64::from(ttl) << 8;
        }
        [h[IP + 10], h[IP + 11]] = checksum::finish(sum).to_be_bytes();
        [h[UDP4], h[UDP4 + 1]] = inner.port.to_be_bytes();
        [h[UDP4 + 4], h[UDP4 + 5]] = udp_len.to_be_bytes();
        shift_offload(frame, OUTER4_LEN as u16);
        Ok(())
    }
}

fn bytes6(e: &Encap, src: u128, dst: u128) -> [u8; OUTER6_LEN] {
    let mut h = [0; OUTER6_LEN];
    write_ethernet(&mut h, e, [0x86, 0xdd]);
    h[IP] = 0x60;
    h[IP + 6] = PROTO_UDP;
    h[IP + 7] = own_ttl(e);
    h[IP + 8..IP + 24].copy_from_slice(&src.to_be_bytes());
    h[IP + 24..IP + 40].copy_from_slice(&dst.to_be_bytes());
    write_vxlan(&mut h[UDP6..], e);
    h
}

#[inline(always)]
fn put_on6(frame: &mut Frame, inner: Inner, t: &Template, bytes: &[u8; OUTER6_LEN]) -> Result<(), DropReason> {
    let len = frame.len();
    let h = room::<OUTER6_LEN>(frame, INNER6_MAX)?;
    *h = *bytes;
    let udp_len = (len + UDP_VXLAN) as u16;
    // The traffic class lies across two bytes; the flow label is 0.
    let tos = inner.outer_tos(t.tos);
    (h[IP], h[IP + 1]) = (0x60 | tos >> 4, tos << 4);
    [h[IP + 4], h[IP + 5]] = udp_len.to_be_bytes();
    if let Some(ttl) = t.ttl(&inner) {
        h[IP + 7] = ttl;
    }
    [h[UDP6], h[UDP6 + 1]] = inner.port.to_be_bytes();
    [h[UDP6 + 4], h[UDP6 + 5]] = udp_len.to_be_bytes();
    shift_offload(frame, OUTER6_LEN as u16);
    Ok(())
}

fn write_ethernet(h: &mut [u8], e: &Encap, eth_type: [u8; 2]) {
    h[0..6].copy_from_slice(&e.dst_mac);
    h[6..12].copy_from_slice(&e.src_mac);
    h[12..14].copy_from_slice(&eth_type);
}

/// UDP and VXLAN headers, ports and lengths of the frame left out.
fn write_vxlan(h: &mut [u8], e: &Encap) {
    h[2..4].copy_from_slice(&e.dst_port.to_be_bytes());
    let (gbp_id, gbp_flags) = e.gbp.unwrap_or((0, 0));
    h[8] = VXLAN_FLAG_VNI | if e.gbp.is_some() { GBP_FLAG } else { 0 };
    h[9] = gbp_flags;
    h[10..12].copy_from_slice(&gbp_id.to_be_bytes());
    h[12..16].copy_from_slice(&(e.vni << 8).to_be_bytes());
}

fn own_ttl(e: &Encap) -> u8 {
    match e.ttl {
        OuterTtl::Set(ttl) => ttl,
        OuterTtl::Inherit => 0,
    }
}

/// Room for outer headers in front of a frame of at most `longest` bytes.
#[inline(always)]
fn room<const LEN: usize>(frame: &mut Frame, longest: usize) -> Result<&mut [u8; LEN], DropReason> {
    if frame.len() > longest {
        return Err(DropReason::EncapTooLong);
    }
    if !frame.push_front(LEN) {
        return Err(DropReason::NoHeadroom);
    }
    frame.head_mut().first_chunk_mut::<LEN>().ok_or(DropReason::NoHeadroom)
}

/// Puts outer headers in front of a frame. `ident` numbers packets that routers may fragment.
pub fn encap(frame: &mut Frame, inner: &Headers, t: &Template, ident: u16) -> Result<(), DropReason> {
    put_on(frame, Inner::of(frame.head(), inner), t, ident)
}

/// As [`encap`], with packed headers.
#[inline]
pub fn encap_packed(frame: &mut Frame, inner: PackedHeaders, t: &Template, ident: u16) -> Result<(), DropReason> {
    match &t.outer {
        Outermost::V4(over) => over.put_on(frame, Inner::of_packed(frame.head(), inner), t, ident),
        // Not in line: it would cost the others registers.
        _ => put_on(frame, Inner::of_packed(frame.head(), inner), t, ident),
    }
}

#[inline(never)]
fn put_on(frame: &mut Frame, inner: Inner, t: &Template, ident: u16) -> Result<(), DropReason> {
    match &t.outer {
        Outermost::V4(over) => over.put_on(frame, inner, t, ident),
        Outermost::Summed4 { over, pseudo } => {
            over.put_on(frame, inner, t, ident)?;
            fill_checksum(frame, UDP4, *pseudo);
            Ok(())
        }
        Outermost::V6 { bytes, pseudo } => {
            put_on6(frame, inner, t, bytes)?;
            if let Some(pseudo) = pseudo {
                fill_checksum(frame, UDP6, *pseudo);
            }
            Ok(())
        }
    }
}

/// What is to be done to the inner packet later lies further back now.
#[inline(always)]
fn shift_offload(frame: &mut Frame, by: u16) {
    if frame.meta.needs_csum {
        frame.meta.csum_start += by;
    }
    if frame.meta.gso != Gso::None && frame.meta.hdr_len != 0 {
        frame.meta.hdr_len += by;
    }
}

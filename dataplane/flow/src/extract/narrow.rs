//! The short cut from bytes to narrow key words, for the frames that most traffic is made of.
//!
//! Purpose: plain IPv4 and IPv6 with whole TCP, UDP or ICMP headers, behind at most one 0x8100 tag,
//! in a few wide loads after one length check; every other frame takes the long way.
//! Invariant: gives what parsing and filling one field after the other gives, on every frame.
//! Deliberately does not know: options, extension headers, fragments.

use sluice_wire::bytes::{u16_or_zero, u32_or_zero, u64_or_zero};
use sluice_wire::{parse_part, Headers, Net, PackedHeaders, Transport};

use super::{narrow_words, type_and_code, NarrowWords, ETH_LEN, IPV4_LEN, LOW_16};
use crate::key::{slot, VLAN_PRESENT};

const TAGGED_LEN: usize = 18;
const IPV6_LEN: usize = 40;
/// Shortest transport header of the short cut: UDP's and ICMP's.
const L4_MIN: usize = 8;
const V4: usize = ETH_LEN + IPV4_LEN + L4_MIN;
const V4_TAGGED: usize = TAGGED_LEN + IPV4_LEN + L4_MIN;
const V6: usize = ETH_LEN + IPV6_LEN + L4_MIN;
const V6_TAGGED: usize = TAGGED_LEN + IPV6_LEN + L4_MIN;
const ETH_TYPE_IPV4: u16 = 0x0800;
const ETH_TYPE_IPV6: u16 = 0x86dd;
const ICMP4: u8 = 1;
const ICMP6: u8 = 58;
const BYTE: u64 = 0xff;

/// Parses a frame that `head` holds whole, and gives words `0..NARROW_WORDS` of its key.
#[inline]
pub fn extract_narrow(head: &[u8]) -> (NarrowWords, Headers) {
    extract_narrow_part(head, head.len())
}

/// As [`extract_narrow`], for a frame of `frame_len` bytes of which `head` is the beginning.
#[inline]
pub fn extract_narrow_part(head: &[u8], frame_len: usize) -> (NarrowWords, Headers) {
    let frame_len = frame_len.max(head.len());
    short_cut(head, frame_len).unwrap_or_else(|| long_way(head, frame_len))
}

/// As [`extract_narrow_part`], with the headers packed.
#[inline(always)]
pub fn extract_narrow_packed(head: &[u8], frame_len: usize) -> (NarrowWords, PackedHeaders) {
    let frame_len = frame_len.max(head.len());
    short_cut(head, frame_len).unwrap_or_else(|| long_way(head, frame_len))
}

#[inline(always)]
fn short_cut<H: From<Headers>>(head: &[u8], frame_len: usize) -> Option<(NarrowWords, H)> {
    let b = head.first_chunk::<V4>()?;
    match u16_or_zero(b, 12) {
        ETH_TYPE_IPV4 => ipv4::<ETH_LEN, V4, H>(head, b, frame_len, 0),
        ETH_TYPE_IPV6 => ipv6::<ETH_LEN, V6, H>(head, head.first_chunk()?, frame_len, 0),
        0x8100 => {
            let b = head.first_chunk::<V4_TAGGED>()?;
            let tci = u64::from(u16_or_zero(b, 14)) | VLAN_PRESENT;
            match u16_or_zero(b, 16) {
                ETH_TYPE_IPV4 => ipv4::<TAGGED_LEN, V4_TAGGED, H>(head, b, frame_len, tci),
                ETH_TYPE_IPV6 => ipv6::<TAGGED_LEN, V6_TAGGED, H>(head, head.first_chunk()?, frame_len, tci),
                _ => None,
            }
        }
        _ => None,
    }
}

#[inline(never)]
fn long_way<H: From<Headers>>(head: &[u8], frame_len: usize) -> (NarrowWords, H) {
    let headers = parse_part(head, frame_len);
    (narrow_words(head, &headers, frame_len), headers.into())
}

/// An IPv4 header without options at `L3`, not a fragment, and what follows.
#[inline(always)]
fn ipv4<const L3: usize, const N: usize, H: From<Headers>>(
    head: &[u8],
    b: &[u8; N],
    frame_len: usize,
    tci: u64,
) -> Option<(NarrowWords, H)> {
    // version 8 | tos 8 | total length 16 | id 16 | flags and fragment offset 16
    let first = u64_or_zero(b, L3);
    // ttl 8 | protocol 8 | checksum 16 | source 32
    let second = u64_or_zero(b, L3 + 8);
    if first & 0xff00_0000_0000_3fff != 0x4500_0000_0000_0000 {
        return None;
    }
    let total = (first >> 32) as usize & 0xffff;
    if !fits(frame_len, L3 + total) || total < IPV4_LEN + L4_MIN {
        return None;
    }
    let proto = (second >> 48) as u8;
    let l4 = transport(head, b, L3 + IPV4_LEN, L3 + total, proto, ICMP4)?;
    let words = [
        link_word(b, 0) | u64::from(ETH_TYPE_IPV4),
        link_word(b, 6) | tci,
        u64_or_zero(b, L3 + 12),
        ((second << 8) & (BYTE << 56)) | (first & (BYTE << 48)) | ttl_bits((second >> 16) & (BYTE << 40)) | l4.ports,
        l4.flags,
    ];
    let headers = Headers {
        end: (L3 + total) as u32,
        l3: L3 as u16,
        l4: (L3 + IPV4_LEN) as u16,
        payload: l4.payload,
        eth_type: ETH_TYPE_IPV4,
        proto,
        vlan: L3 == TAGGED_LEN,
        more_tags: 0,
        net: Net::Ipv4,
        transport: l4.kind,
        mpls: 0,
        frag: 0,
    };
    Some((words, headers.into()))
}

/// An IPv6 header at `L3` without extension headers, and what follows.
#[inline(always)]
fn ipv6<const L3: usize, const N: usize, H: From<Headers>>(
    head: &[u8],
    b: &[u8; N],
    frame_len: usize,
    tci: u64,
) -> Option<(NarrowWords, H)> {
    // version 4 | traffic class 8 | flow label 20 | payload length 16 | next header 8 | hop limit 8
    let first = u64_or_zero(b, L3);
    let end = L3 + IPV6_LEN + ((first >> 16) as usize & 0xffff);
    if !fits(frame_len, end) || end < L3 + IPV6_LEN + L4_MIN {
        return None;
    }
    let proto = (first >> 8) as u8;
    let l4 = transport(head, b, L3 + IPV6_LEN, end, proto, ICMP6)?;
    let words = [
        link_word(b, 0) | u64::from(ETH_TYPE_IPV6),
        link_word(b, 6) | tci,
        0,
        ((first << 48) & (BYTE << 56)) | ((first >> 4) & (BYTE << 48)) | ttl_bits((first << 40) & (BYTE << 40)) | l4.ports,
        l4.flags | (first >> 32 & 0xf_ffff),
    ];
    let headers = Headers {
        end: end as u32,
        l3: L3 as u16,
        l4: (L3 + IPV6_LEN) as u16,
        payload: l4.payload,
        eth_type: ETH_TYPE_IPV6,
        proto,
        vlan: L3 == TAGGED_LEN,
        more_tags: 0,
        net: Net::Ipv6,
        transport: l4.kind,
        mpls: 0,
        frag: 0,
    };
    Some((words, headers.into()))
}

/// What the transport header adds to the key and to the headers.
struct L4 {
    kind: Transport,
    /// Both ports, or ICMP type and code, where the key has them.
    ports: u64,
    /// TCP flags where the key has them.
    flags: u64,
    payload: u16,
}

/// The transport header at `at`, of at least `L4_MIN` bytes, in a datagram that ends at `end`.
#[inline(always)]
fn transport<const N: usize>(head: &[u8], b: &[u8; N], at: usize, end: usize, proto: u8, icmp: u8) -> Option<L4> {
    if proto == 6 {
        let offset_and_flags = u16_or_zero(head, at + 12);
        let len = usize::from(offset_and_flags >> 12) * 4;
        if len < 20 || at + len > end || at + len > head.len() {
            return None;
        }
        let flags = u64::from(offset_and_flags & 0xfff) << slot::TCP_FLAGS.shift;
        return Some(L4 { kind: Transport::Tcp, ports: u64::from(u32_or_zero(b, at)), flags, payload: (at + len) as u16 });
    }
    let (kind, ports) = if proto == 17 {
        (Transport::Udp, u64::from(u32_or_zero(b, at)))
    } else if proto == icmp {
        let kind = if icmp == ICMP4 { Transport::Icmp4 } else { Transport::Icmp6 };
        (kind, type_and_code(u16_or_zero(b, at)))
    } else {
        return None;
    };
    Some(L4 { kind, ports, flags: 0, payload: (at + L4_MIN) as u16 })
}

/// Does a datagram that ends at `end` lie in the frame, with no more than 64 KiB of padding behind it?
#[inline(always)]
fn fits(frame_len: usize, end: usize) -> bool {
    // Wraps to a huge number when the datagram claims more than the frame has.
    frame_len.wrapping_sub(end) <= usize::from(u16::MAX)
}

/// An Ethernet address at the top of a word.
#[inline(always)]
fn link_word(b: &[u8], at: usize) -> u64 {
    u64_or_zero(b, at) & !LOW_16
}

/// A TTL that is where the key has it, with the bit that says whether it is at most 1.
#[inline(always)]
fn ttl_bits(ttl: u64) -> u64 {
    ttl | (u64::from(ttl < 2 << slot::NW_TTL.shift) << slot::TTL_EXPIRING.shift)
}

//! The IPv6 header and its extension headers.
//!
//! Purpose: field offsets, reading and writing, and a walk over the extension headers.
//! Invariant: the walk ends at the first header that is not an extension or does not fit.
//! Deliberately does not know: what options mean.

use std::net::Ipv6Addr;

use crate::bytes::array_at;
use crate::checksum;

/// Bytes of the fixed header.
pub const LEN: usize = 40;
/// Offset of version, traffic class and flow label (32 bits).
pub const FLOW: usize = 0;
/// Offset of the payload's length.
pub const PAYLOAD_LEN: usize = 4;
/// Offset of the type of the next header.
pub const NEXT: usize = 6;
/// Offset of the hop limit.
pub const HOP_LIMIT: usize = 7;
/// Offset of the source address.
pub const SRC: usize = 8;
/// Offset of the destination address.
pub const DST: usize = 24;

/// Next header: hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// Next header: routing.
pub const ROUTING: u8 = 43;
/// Next header: fragment.
pub const FRAGMENT: u8 = 44;
/// Next header: encrypted payload.
pub const ESP: u8 = 50;
/// Next header: authentication.
pub const AUTHENTICATION: u8 = 51;
/// Next header: ICMPv6.
pub const ICMP6: u8 = 58;
/// Next header: nothing follows.
pub const NOTHING: u8 = 59;
/// Next header: destination options.
pub const DESTINATION: u8 = 60;

/// An IPv6 header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label; 20 bits.
    pub label: u32,
    /// Bytes behind this header.
    pub payload_len: u16,
    /// Type of the next header.
    pub next: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
}

impl Header {
    /// The header at the front of `bytes`.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let &[f0, f1, f2, f3, l0, l1, next, hop_limit, ..] = bytes.first_chunk::<LEN>()?;
        let flow = u32::from_be_bytes([f0, f1, f2, f3]);
        Some(Header {
            traffic_class: (flow >> 20) as u8,
            label: flow & 0xf_ffff,
            payload_len: u16::from_be_bytes([l0, l1]),
            next,
            hop_limit,
            src: Ipv6Addr::from(*array_at::<16>(bytes, SRC)?),
            dst: Ipv6Addr::from(*array_at::<16>(bytes, DST)?),
        })
    }

    /// The header as it goes onto the wire.
    pub fn to_bytes(&self) -> [u8; LEN] {
        let flow = 6 << 28 | u32::from(self.traffic_class) << 20 | self.label & 0xf_ffff;
        let fixed = u64::from(flow) << 32 | u64::from(self.payload_len) << 16;
        let fixed = fixed | u64::from(self.next) << 8 | u64::from(self.hop_limit);
        let parts = fixed.to_be_bytes().into_iter().chain(self.src.octets()).chain(self.dst.octets());
        let mut out = [0; LEN];
        out.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        out
    }

    /// Sum of the pseudo header for `len` bytes of `proto`'s header and payload.
    pub fn pseudo(&self, proto: u8, len: usize) -> u64 {
        checksum::pseudo6(self.src.into(), self.dst.into(), proto, len as u32)
    }
}

/// Is this the type of an extension header that can be stepped over?
pub const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION)
}

/// Extension headers, from the first byte behind the fixed header on.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    next: u8,
}

impl<'a> Extensions<'a> {
    /// A walk over `payload`, which begins with a header of type `next`.
    pub fn new(next: u8, payload: &'a [u8]) -> Self {
        Extensions { rest: payload, next }
    }

    /// Type of the header that the walk stands at.
    pub fn next_header(&self) -> u8 {
        self.next
    }

    /// What the walk has not stepped over.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Extensions<'a> {
    /// Type and bytes of one extension header.
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if !is_extension(self.next) {
            return None;
        }
        let &[next, len, ..] = self.rest.first_chunk::<8>()?;
        let len = match self.next {
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(len) + 2) * 4,
            _ => (usize::from(len) + 1) * 8,
        };
        let (header, rest) = self.rest.split_at_checked(len)?;
        let kind = std::mem::replace(&mut self.next, next);
        self.rest = rest;
        Some((kind, header))
    }
}

/// What can be told of a packet's extension headers: OpenFlow 1.3's `OFPIEH_*` (7.2.3.8).
pub mod seen {
    /// Nothing follows the headers.
    pub const NO_NEXT: u16 = 1 << 0;
    /// An encrypted payload.
    pub const ESP: u16 = 1 << 1;
    /// An authentication header.
    pub const AUTH: u16 = 1 << 2;
    /// One or two headers of destination options.
    pub const DEST: u16 = 1 << 3;
    /// A fragment header.
    pub const FRAGMENT: u16 = 1 << 4;
    /// A routing header.
    pub const ROUTING: u16 = 1 << 5;
    /// Hop-by-hop options.
    pub const HOP_BY_HOP: u16 = 1 << 6;
    /// A header that is there more often than RFC 8200 (4.1) expects.
    pub const REPEATED: u16 = 1 << 7;
    /// Headers in another order than RFC 8200 (4.1) recommends.
    pub const UNORDERED: u16 = 1 << 8;
}

/// The bit of a header in [`seen`], and its place in the recommended order.
const fn extension_bit(kind: u8) -> (u16, u8) {
    match kind {
        HOP_BY_HOP => (seen::HOP_BY_HOP, 0),
        // Before a routing header, destination options come at 1: `present` looks for that.
        ROUTING => (seen::ROUTING, 2),
        FRAGMENT => (seen::FRAGMENT, 3),
        AUTHENTICATION => (seen::AUTH, 4),
        ESP => (seen::ESP, 5),
        DESTINATION => (seen::DEST, 6),
        NOTHING => (seen::NO_NEXT, 7),
        _ => (0, 8),
    }
}

/// Bits of [`seen`] for the headers of `payload`, which begins with one of type `next`. What lies behind the
/// header of a later fragment is not looked at.
pub fn present(next: u8, payload: &[u8]) -> u16 {
    let (mut bits, mut last, mut destinations) = (0, 0, 0);
    let mut walk = Extensions::new(next, payload);
    loop {
        let kind = walk.next_header();
        let stepped = walk.next();
        let (bit, mut place) = extension_bit(kind);
        if kind == DESTINATION {
            destinations += 1;
            place = if walk.next_header() == ROUTING { 1 } else { place };
        }
        let may_repeat = kind == DESTINATION && destinations == 2;
        bits |= if bits & bit != 0 && !may_repeat { seen::REPEATED } else { 0 };
        bits |= if bit != 0 && place < last { seen::UNORDERED } else { 0 };
        bits |= bit;
        last = place.max(last);
        let later = |header: &[u8]| matches!(header, [_, _, o0, o1, ..] if u16::from_be_bytes([*o0, *o1]) >> 3 != 0);
        match stepped {
            Some((FRAGMENT, header)) if later(header) => return bits,
            Some(_) => {}
            None => return bits,
        }
    }
}

/// A fragment header; `offset` in units of 8 bytes.
pub const fn fragment(next: u8, offset: u16, more: bool, id: u32) -> [u8; 8] {
    let [o0, o1] = (offset << 3 | more as u16).to_be_bytes();
    let [i0, i1, i2, i3] = id.to_be_bytes();
    [next, 0, o0, o1, i0, i1, i2, i3]
}

/// The shortest hop-by-hop or destination options header: 6 bytes of padding.
pub const fn no_options(next: u8) -> [u8; 8] {
    [next, 0, 1, 4, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back() {
        let header = Header {
            traffic_class: 0xb8,
            label: 0x12345,
            payload_len: 8,
            next: 17,
            hop_limit: 3,
            src: "fe80::1".parse().unwrap(),
            dst: "ff02::2".parse().unwrap(),
        };
        let bytes = header.to_bytes();
        assert_eq!(bytes[0] >> 4, 6);
        assert_eq!(Header::read(&bytes), Some(header));
        assert_eq!(Header::read(&bytes[..39]), None);
    }

    #[test]
    fn the_walk_steps_over_extensions_and_stops_where_one_does_not_fit() {
        let chain = [no_options(FRAGMENT), fragment(17, 0, true, 9), [0; 8]].concat();
        let mut walk = Extensions::new(HOP_BY_HOP, &chain);
        assert_eq!(walk.by_ref().map(|(kind, _)| kind).collect::<Vec<_>>(), [HOP_BY_HOP, FRAGMENT]);
        assert_eq!((walk.next_header(), walk.rest().len()), (17, 8));
        for len in 0..8 {
            assert_eq!(Extensions::new(HOP_BY_HOP, &chain[..len]).next(), None);
        }
    }

    #[test]
    fn headers_are_told_with_what_is_repeated_and_what_is_out_of_order() {
        /// A chain of these headers, which ends in `last`.
        fn told(kinds: &[u8], last: u8) -> u16 {
            let followers = kinds.iter().skip(1).chain([&last]);
            let one = |(kind, next): (&u8, &u8)| match *kind {
                FRAGMENT => fragment(*next, 0, true, 7),
                AUTHENTICATION => [*next, 0, 0, 0, 0, 0, 0, 1],
                _ => no_options(*next),
            };
            let payload: Vec<u8> = kinds.iter().zip(followers).flat_map(one).chain([0; 8]).collect();
            present(*kinds.first().unwrap_or(&last), &payload)
        }
        use seen::{AUTH, DEST, HOP_BY_HOP as HOP, NO_NEXT, REPEATED, UNORDERED};
        assert_eq!(told(&[], 6), 0);
        assert_eq!(told(&[], NOTHING), NO_NEXT);
        assert_eq!(told(&[], ESP), seen::ESP);
        assert_eq!(told(&[HOP_BY_HOP, AUTHENTICATION], 6), HOP | AUTH);
        let all = [HOP_BY_HOP, DESTINATION, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION];
        assert_eq!(told(&all, 17), HOP | DEST | seen::ROUTING | seen::FRAGMENT | AUTH);
        assert_eq!(told(&[DESTINATION, HOP_BY_HOP], 6), HOP | DEST | UNORDERED);
        assert_eq!(told(&[DESTINATION, AUTHENTICATION], 6), DEST | AUTH | UNORDERED);
        assert_eq!(told(&[AUTHENTICATION, AUTHENTICATION], 6), AUTH | REPEATED);
        assert_eq!(told(&[DESTINATION, DESTINATION], 6), DEST);
        assert_eq!(told(&[DESTINATION, DESTINATION, DESTINATION], 6), DEST | REPEATED);
    }

    #[test]
    fn behind_a_later_fragment_nothing_is_told() {
        let chain = [fragment(NOTHING, 1, false, 7), [0; 8]].concat();
        assert_eq!(present(FRAGMENT, &chain), seen::FRAGMENT);
        assert_eq!(present(FRAGMENT, &chain[..7]), seen::FRAGMENT);
    }
}

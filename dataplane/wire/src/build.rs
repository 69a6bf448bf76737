//! Whole frames from headers and payloads, with lengths and checksums filled in.
//!
//! Purpose: frames for tests, fixtures and answers; not for the packet path, since each call allocates.
//! Invariant: what is built parses back to the headers it was built from; lengths above 16 bits saturate.
//! Deliberately does not know: what the frames are for.

use crate::bytes::{put, put_u16};
use crate::ethernet::{self, Mac};
use crate::vlan::Tag;
use crate::{checksum, ipv4, ipv6, sctp, tcp, udp, vxlan};

/// Shortest frame that Ethernet carries, without its checksum.
pub const ETHERNET_MIN: usize = 60;

/// An Ethernet frame; tags stand outermost first.
pub fn frame(dst: Mac, src: Mac, tags: &[Tag], eth_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = [dst, src].concat();
    tags.iter().for_each(|tag| out.extend(tag.to_bytes()));
    out.extend(eth_type.to_be_bytes());
    out.extend(payload);
    out
}

/// An 802.3 frame with LLC and SNAP headers.
pub fn snap_frame(dst: Mac, src: Mac, eth_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![0xaa, 0xaa, 3, 0, 0, 0];
    body.extend(eth_type.to_be_bytes());
    body.extend(payload);
    frame(dst, src, &[], saturate(body.len()), &body)
}

/// Fills a frame with zeros up to Ethernet's shortest.
pub fn pad(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(ETHERNET_MIN), 0);
    frame
}

/// An IPv4 datagram: the header with its length filled in, and what follows.
pub fn ipv4(header: ipv4::Header, payload: &[u8]) -> Vec<u8> {
    let total_len = saturate(ipv4::LEN + payload.len());
    let mut out = ipv4::Header { total_len, ..header }.to_bytes().to_vec();
    out.extend(payload);
    out
}

/// An IPv6 datagram: the header with its length filled in, and what follows.
pub fn ipv6(header: ipv6::Header, payload: &[u8]) -> Vec<u8> {
    let payload_len = saturate(payload.len());
    let mut out = ipv6::Header { payload_len, ..header }.to_bytes().to_vec();
    out.extend(payload);
    out
}

/// An IPv6 datagram with extension headers, each of which begins with a byte that is overwritten by
/// the type of what follows it; `proto` is the type of `payload`.
pub fn ipv6_extended(header: ipv6::Header, extensions: &[(u8, &[u8])], proto: u8, payload: &[u8]) -> Vec<u8> {
    let followers = extensions.iter().map(|(kind, _)| *kind).chain([proto]);
    let mut body = Vec::new();
    for ((_, bytes), follower) in extensions.iter().zip(followers.clone().skip(1)) {
        let at = body.len();
        body.extend_from_slice(bytes);
        let _ = put(&mut body, at, &[follower]);
    }
    body.extend_from_slice(payload);
    let next = followers.into_iter().next().unwrap_or(proto);
    ipv6(ipv6::Header { next, ..header }, &body)
}

/// A TCP segment with its checksum. `pseudo` gives the sum of the pseudo header for a length.
pub fn tcp(header: tcp::Header, payload: &[u8], pseudo: impl Fn(usize) -> u64) -> Vec<u8> {
    let mut out = tcp::Header { checksum: 0, ..header }.to_bytes().to_vec();
    out.extend(payload);
    let checksum = checksum::finish(checksum::add(pseudo(out.len()), checksum::sum(&out)));
    let _ = put_u16(&mut out, tcp::CHECKSUM, checksum);
    out
}

/// A UDP datagram with its length and checksum. `pseudo` gives the sum of the pseudo header for a length.
pub fn udp(src: u16, dst: u16, payload: &[u8], pseudo: impl Fn(usize) -> u64) -> Vec<u8> {
    let len = saturate(udp::LEN + payload.len());
    let mut out = udp::Header { src, dst, len, checksum: 0 }.to_bytes().to_vec();
    out.extend(payload);
    let checksum = checksum::finish_udp(checksum::add(pseudo(out.len()), checksum::sum(&out)));
    let _ = put_u16(&mut out, udp::CHECKSUM, checksum);
    out
}

/// An SCTP packet with its checksum.
pub fn sctp(header: sctp::Header, chunks: &[u8]) -> Vec<u8> {
    let mut out = header.to_bytes().to_vec();
    out.extend(chunks);
    let _ = sctp::set_checksum(&mut out);
    out
}

/// TCP in IPv4.
pub fn tcp4(header: ipv4::Header, tcp_header: tcp::Header, payload: &[u8]) -> Vec<u8> {
    let header = ipv4::Header { proto: ipv4::TCP, ..header };
    ipv4(header, &tcp(tcp_header, payload, |len| header.pseudo(len)))
}

/// UDP in IPv4.
pub fn udp4(header: ipv4::Header, src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    let header = ipv4::Header { proto: ipv4::UDP, ..header };
    ipv4(header, &udp(src, dst, payload, |len| header.pseudo(len)))
}

/// TCP in IPv6.
pub fn tcp6(header: ipv6::Header, tcp_header: tcp::Header, payload: &[u8]) -> Vec<u8> {
    let header = ipv6::Header { next: ipv4::TCP, ..header };
    ipv6(header, &tcp(tcp_header, payload, |len| header.pseudo(ipv4::TCP, len)))
}

/// UDP in IPv6.
pub fn udp6(header: ipv6::Header, src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    let header = ipv6::Header { next: ipv4::UDP, ..header };
    ipv6(header, &udp(src, dst, payload, |len| header.pseudo(ipv4::UDP, len)))
}

/// What is in front of an encapsulated frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outer4 {
    /// Ethernet destination: the next hop.
    pub dst: Mac,
    /// Ethernet source.
    pub src: Mac,
    /// IPv4 header; protocol and length are filled in.
    pub ip: ipv4::Header,
    /// UDP source port; see [`vxlan::source_port`].
    pub source_port: u16,
    /// UDP destination port.
    pub port: u16,
    /// VXLAN header.
    pub vxlan: vxlan::Header,
}

impl Outer4 {
    /// The outer headers for an inner frame of `inner_len` bytes, without a UDP checksum.
    ///
    /// `None` when the datagram would be longer than its length field can say.
    pub fn headers(&self, inner_len: usize) -> Option<[u8; vxlan::OUTER4_LEN]> {
        let len = u16::try_from(udp::LEN + vxlan::LEN + inner_len).ok()?;
        let total_len = len.checked_add(ipv4::LEN as u16)?;
        let link = ethernet::Header { dst: self.dst, src: self.src, eth_type: ethernet::IPV4 };
        let ip = ipv4::Header { total_len, proto: ipv4::UDP, ..self.ip };
        let udp = udp::Header { src: self.source_port, dst: self.port, len, checksum: 0 };
        let mut out = [0; vxlan::OUTER4_LEN];
        let fits = put(&mut out, 0, &link.to_bytes())
            && put(&mut out, 14, &ip.to_bytes())
            && put(&mut out, 34, &udp.to_bytes())
            && put(&mut out, 42, &self.vxlan.to_bytes());
        fits.then_some(out)
    }

    /// The encapsulated frame; `None` when it is too long for a UDP datagram.
    pub fn encapsulate(&self, inner: &[u8]) -> Option<Vec<u8>> {
        Some([&self.headers(inner.len())?[..], inner].concat())
    }
}

/// Cuts an IPv4 datagram without options into fragments whose payloads have at most `size` bytes
/// (rounded down to a multiple of 8, at least 8).
pub fn fragments4(header: ipv4::Header, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let size = (size / 8).max(1) * 8;
    let count = payload.len().div_ceil(size).max(1);
    let cut = |i: usize| {
        let from = i * size;
        let part = payload.get(from..payload.len().min(from + size)).unwrap_or(&[]);
        let more = if i + 1 < count { ipv4::MF } else { 0 };
        ipv4(ipv4::Header { flags: more | saturate(from / 8) & 0x1fff, ..header }, part)
    };
    (0..count).map(cut).collect()
}

fn saturate(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{parse, Net, Transport};
    use std::net::{Ipv4Addr, Ipv6Addr};

    const A: Mac = [2, 0, 0, 0, 0, 1];
    const B: Mac = [2, 0, 0, 0, 0, 2];

    fn v4() -> ipv4::Header {
        let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        ipv4::Header { tos: 0, total_len: 0, id: 1, flags: ipv4::DF, ttl: 64, proto: 0, src, dst }
    }

    fn v6() -> ipv6::Header {
        let (src, dst) = (Ipv6Addr::from(1), Ipv6Addr::from(2));
        ipv6::Header { traffic_class: 0, label: 7, payload_len: 0, next: 0, hop_limit: 64, src, dst }
    }

    #[test]
    fn a_tagged_tcp_segment_parses_back_with_right_checksums() {
        let segment = tcp::Header { src: 1, dst: 2, flags: tcp::SYN, ..Default::default() };
        let bytes = frame(B, A, &[Tag::new(5, 3)], ethernet::IPV4, &tcp4(v4(), segment, b"abc"));
        let h = parse(&bytes);
        assert_eq!((h.vlan, h.net, h.transport, h.l3, h.l4, h.payload), (true, Net::Ipv4, Transport::Tcp, 18, 38, 58));
        assert!(ipv4::checksum_is_valid(&bytes[18..]));
        let sum = checksum::sum(&bytes[38..]);
        assert!(checksum::is_valid(checksum::add(v4_pseudo(ipv4::TCP, 23), sum)));
    }

    fn v4_pseudo(proto: u8, len: usize) -> u64 {
        ipv4::Header { proto, ..v4() }.pseudo(len)
    }

    #[test]
    fn extension_headers_name_what_follows_them() {
        let options = ipv6::no_options(0);
        let piece = ipv6::fragment(0, 0, true, 9);
        let udp = udp(1, 2, b"x", |len| v6().pseudo(ipv4::UDP, len));
        let chain: [(u8, &[u8]); 2] = [(ipv6::HOP_BY_HOP, &options), (ipv6::FRAGMENT, &piece)];
        let bytes = frame(B, A, &[], ethernet::IPV6, &ipv6_extended(v6(), &chain, ipv4::UDP, &udp));
        let h = parse(&bytes);
        assert_eq!((h.net, h.transport, h.proto, h.frag, h.l4), (Net::Ipv6, Transport::Udp, 17, 1, 14 + 40 + 16));
    }

    #[test]
    fn an_encapsulated_frame_has_its_inner_frame_behind_its_outer_headers() {
        let inner = pad(frame(B, A, &[], ethernet::IPV4, &udp4(v4(), 5, 6, b"hello")));
        let vxlan = vxlan::Header { vni: 123, group: None };
        let outer = Outer4 { dst: A, src: B, ip: v4(), source_port: 40_000, port: vxlan::PORT, vxlan };
        let bytes = outer.encapsulate(&inner).unwrap();
        let payload = usize::from(parse(&bytes).payload);
        assert_eq!(vxlan::Header::read(&bytes[payload..]), Some(vxlan));
        assert_eq!(bytes[payload + vxlan::LEN..], inner);
        assert!(outer.headers(65_535 - 20 - 16).is_some());
        assert!(outer.headers(65_535 - 20 - 15).is_none());
    }

    #[test]
    fn fragments_cover_the_payload_and_only_the_last_says_that_nothing_follows() {
        let payload: Vec<u8> = (0..100).collect();
        let parts = fragments4(ipv4::Header { proto: ipv4::UDP, ..v4() }, &payload, 50);
        let frags: Vec<u8> = parts.iter().map(|p| parse(&frame(B, A, &[], ethernet::IPV4, p)).frag).collect();
        assert_eq!(frags, [1, 3, 3]);
        let joined: Vec<u8> = parts.iter().flat_map(|p| &p[20..]).copied().collect();
        assert_eq!(joined, payload);
        assert_eq!(ipv4::Header::read(&parts[2]).unwrap().flags, 12);
    }

    #[test]
    fn snap_and_ethernet_lead_to_the_same_headers() {
        let bytes = snap_frame(B, A, ethernet::IPV4, &udp4(v4(), 1, 2, b""));
        let h = parse(&bytes);
        assert_eq!((h.eth_type, h.l3, h.transport), (ethernet::IPV4, 22, Transport::Udp));
    }
}

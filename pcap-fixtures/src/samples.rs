//! One well-formed frame of each kind that the switch looks into.
//!
//! Purpose: the stock from which malformed frames and mutants are made.
//! Invariant: every frame is what its name says, with right lengths and checksums.
//! Deliberately does not know: randomness.

use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_wire::build::{self, Outer4};
use sluice_wire::ethernet::{self, Mac};
use sluice_wire::icmp6::{self, Neighbour};
use sluice_wire::vlan::Tag;
use sluice_wire::{arp, icmp4, ipv4, ipv6, mpls, nsh, sctp, tcp, vxlan};

/// A frame and what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// What it is, in a few words.
    pub name: String,
    /// The frame.
    pub frame: Vec<u8>,
}

/// Ethernet source of all samples.
pub const SRC_MAC: Mac = [0x02, 0, 0, 0, 0, 0x01];
/// Ethernet destination of all samples.
pub const DST_MAC: Mac = [0x02, 0, 0, 0, 0, 0x02];

/// The IPv4 header of all samples: 10.0.0.1 to 10.0.0.2.
pub fn ipv4_header() -> ipv4::Header {
    let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    ipv4::Header { tos: 0x29, total_len: 0, id: 0x1234, flags: ipv4::DF, ttl: 64, proto: 0, src, dst }
}

/// The IPv6 header of all samples: 2001:db8::1 to 2001:db8::2.
pub fn ipv6_header() -> ipv6::Header {
    let net = 0x2001_0db8u128 << 96;
    let (src, dst) = (Ipv6Addr::from(net | 1), Ipv6Addr::from(net | 2));
    ipv6::Header { traffic_class: 0x29, label: 0x12345, payload_len: 0, next: 0, hop_limit: 64, src, dst }
}

/// The TCP header of all samples.
pub fn tcp_header() -> tcp::Header {
    let flags = tcp::PSH | tcp::ACK;
    tcp::Header { src: 40_000, dst: 80, seq: 1, ack: 2, flags, window: 512, checksum: 0, urgent: 0 }
}

/// All samples.
pub fn samples() -> Vec<Sample> {
    [link_samples(), ipv4_samples(), ipv6_samples(), extension_samples(), neighbour_samples(), tunnel_samples()].concat()
}

fn sample(name: &str, eth_type: u16, payload: &[u8]) -> Sample {
    tagged(name, &[], eth_type, payload)
}

fn tagged(name: &str, tags: &[Tag], eth_type: u16, payload: &[u8]) -> Sample {
    Sample { name: name.to_owned(), frame: build::frame(DST_MAC, SRC_MAC, tags, eth_type, payload) }
}

fn udp4() -> Vec<u8> {
    build::udp4(ipv4_header(), 40_000, 7000, b"a question")
}

fn link_samples() -> Vec<Sample> {
    let request = arp::Packet {
        op: arp::REQUEST,
        sha: SRC_MAC,
        spa: Ipv4Addr::new(10, 0, 0, 1),
        tha: [0; 6],
        tpa: Ipv4Addr::new(10, 0, 0, 2),
    };
    let reply = arp::Packet { op: arp::REPLY, tha: DST_MAC, ..request };
    let service = Tag { tpid: ethernet::SERVICE_VLAN, tci: 0x3064 };
    let label = |label, bottom| mpls::Entry { label, class: 3, bottom, ttl: 60 }.to_u32().to_be_bytes();
    let snap = build::snap_frame(DST_MAC, SRC_MAC, ethernet::IPV4, &udp4());
    vec![
        sample("ARP request", ethernet::ARP, &request.to_bytes()),
        sample("ARP reply", ethernet::ARP, &reply.to_bytes()),
        sample("reverse ARP", ethernet::RARP, &arp::Packet { op: 3, ..request }.to_bytes()),
        tagged("ARP in a VLAN", &[Tag::new(100, 0)], ethernet::ARP, &request.to_bytes()),
        tagged("UDP in a VLAN", &[Tag::new(4094, 7)], ethernet::IPV4, &udp4()),
        tagged("UDP with a priority tag", &[Tag::new(0, 5)], ethernet::IPV4, &udp4()),
        tagged("UDP in a service VLAN", &[service], ethernet::IPV4, &udp4()),
        tagged("UDP behind two tags", &[service, Tag::new(7, 1)], ethernet::IPV4, &udp4()),
        tagged("UDP behind three tags", &[service, Tag::new(7, 1), Tag::new(8, 2)], ethernet::IPV4, &udp4()),
        Sample { name: "UDP behind LLC and SNAP".to_owned(), frame: snap },
        sample("spanning tree over LLC", 38, &[&[0x42, 0x42, 3][..], &[0; 35]].concat()),
        sample("one MPLS label", ethernet::MPLS, &[&label(16, true)[..], &udp4()].concat()),
        sample("ARP under an MPLS label", ethernet::MPLS, &[&label(16, true)[..], &request.to_bytes()].concat()),
        sample("three MPLS labels", ethernet::MPLS, &[label(16, false), label(17, false), label(18, true)].concat()),
        sample("five MPLS labels", ethernet::MPLS_MULTICAST, &[label(9, false); 5].concat()),
        sample("a service header around a frame", ethernet::NSH, &service_header(1, &sample("", ethernet::IPV4, &udp4()).frame)),
        sample("a service header with long metadata", ethernet::NSH, &service_header(2, &udp4())),
        sample("a backbone tag", ethernet::SERVICE_INSTANCE, &[&[0xe8, 1, 2, 3][..], &sample("", ethernet::IPV4, &udp4()).frame].concat()),
        sample("an unknown type", 0x88b5, b"local experiment"),
        sample("a bare Ethernet header", 0x88b5, b""),
    ]
}

/// RFC 8300: around a frame with metadata of type 1, around an IPv4 packet with metadata of type 2.
fn service_header(md_type: u8, inner: &[u8]) -> Vec<u8> {
    let next = if md_type == nsh::TYPE1 { nsh::next::ETHERNET } else { nsh::next::IPV4 };
    let header = nsh::Header { flags: 2, ttl: 63, md_type, next, path: 0x0001_23ff, context: [1, 2, 3, 0xdead_beef] };
    [&header.to_bytes(&[0, 1, 7, 4, 9, 9, 9, 9])[..], inner].concat()
}

fn ipv4_samples() -> Vec<Sample> {
    let echo = icmp4::echo_request(7, 1, b"abcdefgh");
    let icmp = ipv4::Header { proto: ipv4::ICMP, ..ipv4_header() };
    let igmp = ipv4::Header { proto: ipv4::IGMP, ttl: 1, ..ipv4_header() };
    let sctp_header = ipv4::Header { proto: ipv4::SCTP, ..ipv4_header() };
    let chunks = build::sctp(sctp::Header { src: 2905, dst: 2905, tag: 9, checksum: 0 }, b"\x00\x03\x00\x08data");
    let udp = ipv4::Header { proto: ipv4::UDP, ..ipv4_header() };
    let parts = build::fragments4(udp, udp4().get(ipv4::LEN..).unwrap_or(&[]), 8);
    let mut frames = vec![
        sample("UDP", ethernet::IPV4, &udp4()),
        sample("UDP without payload", ethernet::IPV4, &build::udp4(ipv4_header(), 1, 2, b"")),
        sample("TCP", ethernet::IPV4, &build::tcp4(ipv4_header(), tcp_header(), b"GET /")),
        sample("TCP with options", ethernet::IPV4, &tcp_with_options()),
        sample("ICMP echo", ethernet::IPV4, &build::ipv4(icmp, &echo)),
        sample("IGMP", ethernet::IPV4, &build::ipv4(igmp, &icmp4::message(0x16, 0, [239, 1, 2, 3], b""))),
        sample("SCTP", ethernet::IPV4, &build::ipv4(sctp_header, &chunks)),
        sample("GRE", ethernet::IPV4, &build::ipv4(ipv4::Header { proto: 47, ..icmp }, &[0, 0, 8, 0, 0x45])),
        sample("IPv4 with options", ethernet::IPV4, &ipv4_with_options()),
        Sample {
            name: "UDP with link padding".to_owned(),
            frame: build::pad(sample("", ethernet::IPV4, &build::udp4(ipv4_header(), 1, 2, b"x")).frame),
        },
    ];
    frames.extend(parts.iter().enumerate().map(|(i, p)| sample(&format!("UDP fragment {i}"), ethernet::IPV4, p)));
    frames
}

/// A SYN with the options that Linux sends.
fn tcp_with_options() -> Vec<u8> {
    let options = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    let header = tcp::Header { flags: tcp::SYN, ..tcp_header() };
    let ip = ipv4::Header { proto: ipv4::TCP, ..ipv4_header() };
    let mut segment = build::tcp(header, &options, |_| 0);
    let longer = u8::try_from((tcp::LEN + options.len()) / 4).unwrap_or(0) << 4;
    let _ = sluice_wire::bytes::put(&mut segment, tcp::FLAGS, &[longer]);
    let _ = sluice_wire::bytes::put_u16(&mut segment, tcp::CHECKSUM, 0);
    let sum = sluice_wire::checksum::add(ip.pseudo(segment.len()), sluice_wire::checksum::sum(&segment));
    let _ = sluice_wire::bytes::put_u16(&mut segment, tcp::CHECKSUM, sluice_wire::checksum::finish(sum));
    build::ipv4(ip, &segment)
}

/// Router alert in front of UDP.
fn ipv4_with_options() -> Vec<u8> {
    let ip = ipv4::Header { proto: ipv4::UDP, ..ipv4_header() };
    let udp = build::udp(1, 2, b"x", |len| ip.pseudo(len));
    let mut out = build::ipv4(ip, &[&[0x94, 4, 0, 0][..], &udp].concat());
    let _ = sluice_wire::bytes::put(&mut out, 0, &[0x46]);
    let _ = sluice_wire::bytes::put_u16(&mut out, ipv4::CHECKSUM, 0);
    let sum = sluice_wire::checksum::sum(out.get(..24).unwrap_or(&[]));
    let _ = sluice_wire::bytes::put_u16(&mut out, ipv4::CHECKSUM, sluice_wire::checksum::finish(sum));
    out
}

fn ipv6_samples() -> Vec<Sample> {
    let h = ipv6_header();
    let icmp = ipv6::Header { next: ipv6::ICMP6, ..h };
    let sctp_header = ipv6::Header { next: ipv4::SCTP, ..h };
    let chunks = build::sctp(sctp::Header { src: 2905, dst: 2905, tag: 9, checksum: 0 }, b"");
    vec![
        sample("UDP over IPv6", ethernet::IPV6, &build::udp6(h, 40_000, 7000, b"a question")),
        sample("TCP over IPv6", ethernet::IPV6, &build::tcp6(h, tcp_header(), b"GET /")),
        sample("SCTP over IPv6", ethernet::IPV6, &build::ipv6(sctp_header, &chunks)),
        sample("ICMPv6 echo", ethernet::IPV6, &build::ipv6(icmp, &icmp6::echo_request(h.src, h.dst, 7, 1, b"abc"))),
        sample("IPv6 with nothing inside", ethernet::IPV6, &build::ipv6(ipv6::Header { next: ipv6::NOTHING, ..h }, b"")),
        tagged("TCP over IPv6 in a VLAN", &[Tag::new(42, 0)], ethernet::IPV6, &build::tcp6(h, tcp_header(), b"")),
    ]
}

fn extension_samples() -> Vec<Sample> {
    let options = ipv6::no_options(0);
    let authentication = [0u8, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
    let routing = [0u8, 2, 4, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2];
    let piece = |offset, more| ipv6::fragment(0, offset, more, 77);
    let udp = build::udp(40_000, 7000, b"a question", |len| ipv6_header().pseudo(ipv4::UDP, len));
    let make = |name: &str, chain: &[(u8, &[u8])]| {
        sample(name, ethernet::IPV6, &build::ipv6_extended(ipv6_header(), chain, ipv4::UDP, &udp))
    };
    vec![
        make("UDP behind hop-by-hop options", &[(ipv6::HOP_BY_HOP, &options)]),
        make("UDP behind a routing header", &[(ipv6::ROUTING, &routing)]),
        make("UDP behind authentication", &[(ipv6::AUTHENTICATION, &authentication)]),
        make("UDP, first IPv6 fragment", &[(ipv6::FRAGMENT, &piece(0, true))]),
        make("UDP, later IPv6 fragment", &[(ipv6::FRAGMENT, &piece(2, true))]),
        make("UDP, last IPv6 fragment", &[(ipv6::FRAGMENT, &piece(4, false))]),
        make("UDP, atomic IPv6 fragment", &[(ipv6::FRAGMENT, &piece(0, false))]),
        make(
            "UDP behind every extension header",
            &[
                (ipv6::HOP_BY_HOP, &options),
                (ipv6::ROUTING, &routing),
                (ipv6::FRAGMENT, &piece(0, true)),
                (ipv6::AUTHENTICATION, &authentication),
                (ipv6::DESTINATION, &options),
            ],
        ),
    ]
}

fn neighbour_samples() -> Vec<Sample> {
    let target = ipv6_header().dst;
    let group = icmp6::solicited_node(target);
    let ask = Neighbour { kind: icmp6::SOLICITATION, flags: 0, target, address: Some(SRC_MAC) };
    let flags = icmp6::SOLICITED | icmp6::OVERRIDE;
    let tell = Neighbour { kind: icmp6::ADVERTISEMENT, flags, target, address: Some(DST_MAC) };
    let both = |n: Neighbour, more: &[u8]| {
        let h = ipv6::Header { next: ipv6::ICMP6, hop_limit: 255, dst: group, ..ipv6_header() };
        let message = n.to_bytes(h.src, h.dst);
        let body = [message.get(icmp6::LEN..).unwrap_or(&[]), more].concat();
        build::ipv6(h, &icmp6::message(h.src, h.dst, n.kind, 0, n.flags.to_be_bytes(), &body))
    };
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    let again = [1, 1, 2, 0, 0, 0, 0, 9];
    let other = [2, 1, 2, 0, 0, 0, 0, 8];
    vec![
        sample("neighbour solicitation", ethernet::IPV6, &both(ask, &[])),
        sample("neighbour solicitation with a nonce", ethernet::IPV6, &both(ask, &nonce)),
        sample("neighbour solicitation without options", ethernet::IPV6, &both(Neighbour { address: None, ..ask }, &[])),
        sample("neighbour solicitation with both addresses", ethernet::IPV6, &both(ask, &other)),
        sample("neighbour solicitation with one address twice", ethernet::IPV6, &both(ask, &again)),
        sample("neighbour advertisement", ethernet::IPV6, &both(tell, &[])),
        sample("neighbour advertisement with both addresses", ethernet::IPV6, &both(tell, &again)),
    ]
}

fn tunnel_samples() -> Vec<Sample> {
    let vxlan = vxlan::Header { vni: 123, group: None };
    let outer = |vxlan| Outer4 {
        dst: [0x02, 0, 0, 0, 1, 2],
        src: [0x02, 0, 0, 0, 1, 1],
        ip: ipv4::Header { tos: 0, src: Ipv4Addr::new(192, 0, 2, 1), dst: Ipv4Addr::new(192, 0, 2, 2), ..ipv4_header() },
        source_port: vxlan::source_port(0x8000_0000),
        port: vxlan::PORT,
        vxlan,
    };
    let inner = sample("", ethernet::IPV4, &build::tcp4(ipv4_header(), tcp_header(), b"GET /")).frame;
    let make = |name: &str, outer: Outer4, inner: &[u8]| Sample {
        name: name.to_owned(),
        frame: outer.encapsulate(inner).unwrap_or_default(),
    };
    vec![
        make("TCP in VXLAN", outer(vxlan), &inner),
        make("TCP in VXLAN with a group policy", outer(vxlan::Header { group: Some((0, 9)), ..vxlan }), &inner),
        make("VXLAN with nothing inside", outer(vxlan), &[]),
        make("VXLAN in VXLAN", outer(vxlan), &outer(vxlan).encapsulate(&inner).unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_wire::{parse, Net, Transport};

    #[test]
    fn every_sample_is_what_its_name_says() {
        let kind = |name: &str| {
            let all = samples();
            let found = all.iter().find(|s| s.name == name).expect(name);
            let h = parse(&found.frame);
            (h.net, h.transport)
        };
        assert_eq!(kind("ARP in a VLAN"), (Net::Arp, Transport::Opaque));
        assert_eq!(kind("UDP behind two tags"), (Net::Opaque, Transport::Opaque));
        assert_eq!(kind("TCP with options"), (Net::Ipv4, Transport::Tcp));
        assert_eq!(kind("IPv4 with options"), (Net::Ipv4, Transport::Udp));
        assert_eq!(kind("UDP behind every extension header"), (Net::Ipv6, Transport::Udp));
        assert_eq!(kind("neighbour advertisement"), (Net::Ipv6, Transport::Icmp6));
    }

    #[test]
    fn names_are_unique_and_frames_not_empty() {
        let all = samples();
        let names: std::collections::HashSet<_> = all.iter().map(|s| &s.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|s| s.frame.len() >= 14));
    }
}

//! What `parse` finds, promise by promise.

use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_wire::build;
use sluice_wire::vlan::Tag;
use sluice_wire::{arp, ethernet, ipv4, ipv6, mpls, parse, parse_part, tcp, Headers, Net, Transport, ETH_TYPE_NONE};

const A: ethernet::Mac = [2, 0, 0, 0, 0, 1];
const B: ethernet::Mac = [2, 0, 0, 0, 0, 2];

fn v4() -> ipv4::Header {
    let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    ipv4::Header { tos: 0, total_len: 0, id: 1, flags: 0, ttl: 64, proto: ipv4::UDP, src, dst }
}

fn v6() -> ipv6::Header {
    let (src, dst) = (Ipv6Addr::from(1), Ipv6Addr::from(2));
    ipv6::Header { traffic_class: 0, label: 0, payload_len: 0, next: 0, hop_limit: 64, src, dst }
}

fn frame(eth_type: u16, payload: &[u8]) -> Vec<u8> {
    build::frame(B, A, &[], eth_type, payload)
}

fn udp() -> Vec<u8> {
    frame(ethernet::IPV4, &build::udp4(v4(), 1, 2, b"payload"))
}

#[test]
fn a_frame_shorter_than_its_ethernet_header_has_nothing() {
    for len in 0..14 {
        assert_eq!(parse(&udp()[..len]), Headers::default());
    }
}

#[test]
fn every_offset_of_a_plain_datagram_is_found() {
    let h = parse(&udp());
    assert_eq!((h.eth_type, h.l3, h.l4, h.payload, h.end), (ethernet::IPV4, 14, 34, 42, 49));
    assert_eq!((h.net, h.transport, h.proto, h.frag, h.vlan), (Net::Ipv4, Transport::Udp, 17, 0, false));
    assert_eq!((h.l2_end(), h.is_ip()), (14, true));
}

#[test]
fn link_padding_is_not_part_of_the_datagram() {
    let padded = build::pad(udp());
    assert_eq!(padded.len(), 60);
    assert_eq!(parse(&padded).end, 49);
}

#[test]
fn one_tag_is_looked_into_and_a_second_is_a_type() {
    let packet = build::udp4(v4(), 1, 2, b"");
    let one = parse(&build::frame(B, A, &[Tag::new(5, 0)], ethernet::IPV4, &packet));
    assert_eq!((one.vlan, one.eth_type, one.l3, one.transport), (true, ethernet::IPV4, 18, Transport::Udp));
    let two = parse(&build::frame(B, A, &[Tag::new(5, 0), Tag::new(6, 0)], ethernet::IPV4, &packet));
    assert_eq!((two.vlan, two.eth_type, two.net), (true, ethernet::VLAN, Net::Opaque));
}

#[test]
fn a_tag_without_a_type_behind_it_is_no_tag() {
    let bare = build::frame(B, A, &[Tag::new(5, 0)], ethernet::IPV4, b"");
    assert!(parse(&bare).vlan);
    for len in [16, 17] {
        let h = parse(&bare[..len]);
        assert_eq!((h.vlan, h.eth_type), (false, ethernet::VLAN));
    }
}

#[test]
fn a_length_in_place_of_a_type_gives_the_type_of_snap_or_none() {
    let packet = build::udp4(v4(), 1, 2, b"");
    assert_eq!(parse(&build::snap_frame(B, A, ethernet::IPV4, &packet)).transport, Transport::Udp);
    assert_eq!(parse(&frame(3, &[0x42, 0x42, 3])).eth_type, ETH_TYPE_NONE);
    let mut vendor = build::snap_frame(B, A, ethernet::IPV4, &packet);
    vendor[19] = 1;
    assert_eq!(parse(&vendor).eth_type, ETH_TYPE_NONE);
    assert_eq!(parse(&build::snap_frame(B, A, 0x05dc, &packet)).eth_type, ETH_TYPE_NONE);
}

#[test]
fn ipv4_that_contradicts_its_lengths_is_opaque() {
    let good = udp();
    let spoil = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        parse(&bad)
    };
    assert_eq!(spoil(14, 0x44).net, Net::Opaque, "header length below 20");
    assert_eq!(spoil(14, 0x4f).net, Net::Opaque, "header length above the datagram's");
    assert_eq!(spoil(17, 19).net, Net::Opaque, "total length below the header's");
    assert_eq!(spoil(17, 36).net, Net::Opaque, "total length above the frame's");
    assert_eq!(spoil(17, 27).transport, Transport::Opaque, "total length that cuts the UDP header");
    assert_eq!(parse(&good[..33]).net, Net::Opaque, "a header cut short");
}

#[test]
fn later_fragments_have_no_transport_header_and_first_ones_have() {
    for (flags, frag, transport) in
        [(ipv4::MF, 1, Transport::Udp), (1, 3, Transport::Opaque), (ipv4::MF | 185, 3, Transport::Opaque)]
    {
        let packet = build::ipv4(ipv4::Header { flags, ..v4() }, &[0; 16]);
        let h = parse(&frame(ethernet::IPV4, &packet));
        assert_eq!((h.frag, h.transport, h.l4), (frag, transport, 34));
    }
}

#[test]
fn tcp_counts_only_with_all_of_its_options() {
    let segment = tcp::Header { src: 1, dst: 2, ..Default::default() };
    let mut bytes = frame(ethernet::IPV4, &build::tcp4(v4(), segment, &[0; 4]));
    for (offset, whole) in [(0x40, false), (0x50, true), (0x60, true), (0x70, false)] {
        bytes[14 + 20 + 12] = offset;
        assert_eq!(parse(&bytes).transport == Transport::Tcp, whole, "{offset:#x}");
    }
}

#[test]
fn ipv6_extension_headers_are_stepped_over_or_make_it_broken() {
    let options = ipv6::no_options(0);
    let udp = build::udp(1, 2, b"", |_| 0);
    let chain = [(ipv6::HOP_BY_HOP, &options[..]), (ipv6::DESTINATION, &options[..])];
    let good = frame(ethernet::IPV6, &build::ipv6_extended(v6(), &chain, ipv4::UDP, &udp));
    let h = parse(&good);
    assert_eq!((h.net, h.proto, h.l4, h.transport), (Net::Ipv6, 17, 70, Transport::Udp));
    let mut bad = good;
    bad[14 + 40 + 1] = 9;
    let h = parse(&bad);
    assert_eq!((h.net, h.proto, h.l4, h.transport), (Net::Ipv6Broken, 0, 0, Transport::Opaque));
}

#[test]
fn a_later_ipv6_fragment_keeps_the_fragment_header_as_its_protocol() {
    let piece = ipv6::fragment(0, 3, true, 1);
    let packet = build::ipv6_extended(v6(), &[(ipv6::FRAGMENT, &piece)], ipv4::UDP, &[0; 16]);
    let h = parse(&frame(ethernet::IPV6, &packet));
    assert_eq!((h.net, h.proto, h.frag, h.transport), (Net::Ipv6, ipv6::FRAGMENT, 3, Transport::Opaque));
}

#[test]
fn the_network_header_lies_behind_all_labels() {
    let entry = |bottom| mpls::Entry { label: 16, class: 0, bottom, ttl: 9 }.to_u32().to_be_bytes();
    let stack = [entry(false), entry(false), entry(false), entry(false), entry(true)].concat();
    let h = parse(&frame(ethernet::MPLS, &[&stack[..], &[0x45; 40]].concat()));
    assert_eq!((h.mpls, h.l3, h.l2_end(), h.net), (14, 34, 14, Net::Opaque));
}

#[test]
fn only_arp_of_ipv4_over_ethernet_is_looked_into() {
    let packet = arp::Packet { op: 1, sha: A, spa: [10, 0, 0, 1].into(), tha: [0; 6], tpa: [10, 0, 0, 2].into() };
    let mut bytes = frame(ethernet::ARP, &packet.to_bytes());
    assert_eq!(parse(&bytes).net, Net::Arp);
    assert_eq!(parse(&bytes[..41]).net, Net::Opaque);
    bytes[14 + 4] = 8;
    assert_eq!(parse(&bytes).net, Net::Opaque);
}

#[test]
fn a_frame_in_segments_is_judged_by_its_whole_length() {
    let whole = frame(ethernet::IPV4, &build::udp4(v4(), 1, 2, &[0; 60_000]));
    let head = &whole[..256];
    assert_eq!(parse(head).net, Net::Opaque);
    let h = parse_part(head, whole.len());
    assert_eq!((h.transport, h.payload, h.end as usize), (Transport::Udp, 42, whole.len()));
    assert_eq!(h, parse(&whole));
}

#[test]
fn a_frame_longer_than_64_kib_keeps_its_end() {
    let packet = build::udp4(v4(), 1, 2, &vec![0; 65_535 - 28]);
    let whole = build::frame(B, A, &[Tag::new(1, 0)], ethernet::IPV4, &packet);
    assert_eq!(parse(&whole).end as usize, 18 + 65_535);
}

//! Seeded generators of traffic: any number of flows of any kind.
//!
//! Purpose: `FlowSpec::new(seed).flows(100_000).udp().len(128).frames()`.
//! Invariant: flow `i` of a specification always has the same bytes, and differs from every other flow
//! in its addresses (the first 2^24) or its ports.
//! Deliberately does not know: in which order and how often the flows appear; shuffle as you need.

use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_wire::build::{self, Outer4};
use sluice_wire::ethernet::{self, Mac};
use sluice_wire::icmp6::{self, Neighbour};
use sluice_wire::vlan::Tag;
use sluice_wire::{arp, icmp4, ipv4, ipv6, tcp, vxlan};

use crate::random::mix;

/// What the frames of a flow carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// TCP segments with ACK set.
    Tcp,
    /// UDP datagrams.
    Udp,
    /// ICMP or ICMPv6 echo requests.
    Icmp,
    /// ARP requests.
    Arp,
    /// IPv6 neighbour solicitations.
    Neighbour,
    /// One of the above by the flow's number: mostly TCP and UDP.
    Mixed,
}

/// Seed of outer headers, apart from the inner ones.
const OUTER: u64 = 0x6f75_7465_7200;
/// Flows that differ in their addresses alone.
const ADDRESSES: u64 = 1 << 24;
/// Odd, so that multiplying by it permutes the addresses.
const STRIDE: u64 = 0x9e_3779;

/// A description of flows, from which each frame follows.
#[derive(Clone, Debug)]
pub struct FlowSpec {
    seed: u64,
    flows: u64,
    kind: Kind,
    v6: bool,
    len: usize,
    vlan: Option<Tag>,
    vni: Option<u32>,
    over6: bool,
    macs: Option<(Mac, Mac)>,
    dst4: Option<Ipv4Addr>,
    dst6: Option<Ipv6Addr>,
}

impl FlowSpec {
    /// One UDP flow over IPv4, 60 bytes, without VLAN tag or tunnel.
    pub fn new(seed: u64) -> Self {
        let (kind, len) = (Kind::Udp, build::ETHERNET_MIN);
        FlowSpec { seed, flows: 1, kind, v6: false, len, vlan: None, vni: None, over6: false, macs: None, dst4: None, dst6: None }
    }

    /// How many flows.
    pub fn flows(self, flows: u64) -> Self {
        FlowSpec { flows, ..self }
    }

    /// What they carry.
    pub fn kind(self, kind: Kind) -> Self {
        FlowSpec { kind, ..self }
    }

    /// IPv6 instead of IPv4.
    pub fn ipv6(self) -> Self {
        FlowSpec { v6: true, ..self }
    }

    /// Length of a frame in bytes, without the checksum of Ethernet; what its headers need is its minimum.
    pub fn len(self, len: usize) -> Self {
        FlowSpec { len, ..self }
    }

    /// A VLAN tag in the (inner) frame.
    pub fn vlan(self, vid: u16, pcp: u8) -> Self {
        FlowSpec { vlan: Some(Tag::new(vid, pcp)), ..self }
    }

    /// Wraps each frame into VXLAN over IPv4, 192.0.2.1 to 192.0.2.2. `len` counts the inner frame.
    pub fn vxlan(self, vni: u32) -> Self {
        FlowSpec { vni: Some(vni), ..self }
    }

    /// As [`FlowSpec::vxlan`] over IPv6, 2001:db8::1 to 2001:db8::2, with the outer checksum.
    pub fn vxlan6(self, vni: u32) -> Self {
        FlowSpec { vni: Some(vni), over6: true, ..self }
    }

    /// The same Ethernet source and destination in every frame. Without this both depend on the flow.
    pub fn macs(self, src: Mac, dst: Mac) -> Self {
        FlowSpec { macs: Some((src, dst)), ..self }
    }

    /// The same IPv4 destination in every frame.
    pub fn to4(self, dst: Ipv4Addr) -> Self {
        FlowSpec { dst4: Some(dst), ..self }
    }

    /// The same IPv6 destination in every frame.
    pub fn to6(self, dst: Ipv6Addr) -> Self {
        FlowSpec { dst6: Some(dst), ..self }
    }

    /// One frame of each flow, in order.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        (0..self.flows).map(|i| self.frame(i)).collect()
    }

    /// The frame of flow `i`; it need not be below the number of flows.
    pub fn frame(&self, i: u64) -> Vec<u8> {
        let inner = self.plain_frame(i);
        let Some(vni) = self.vni else { return inner };
        let hash = mix(self.seed ^ OUTER ^ i);
        if self.over6 {
            return over_ipv6(vni, hash, &inner);
        }
        let outer = Outer4 {
            dst: [2, 0, 0, 0, 0xff, 2],
            src: [2, 0, 0, 0, 0xff, 1],
            ip: ipv4_between(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)),
            source_port: vxlan::source_port(hash as u32),
            port: vxlan::PORT,
            vxlan: vxlan::Header { vni, group: None },
        };
        outer.encapsulate(&inner).unwrap_or(inner)
    }

    fn plain_frame(&self, i: u64) -> Vec<u8> {
        let flow = Flow::new(self, i);
        let (eth_type, packet) = match self.kind_of(&flow) {
            Kind::Arp => (ethernet::ARP, flow.arp()),
            Kind::Neighbour => (ethernet::IPV6, flow.neighbour()),
            kind if self.v6 => (ethernet::IPV6, flow.ipv6(kind, self.payload_len(kind))),
            kind => (ethernet::IPV4, flow.ipv4(kind, self.payload_len(kind))),
        };
        build::pad(build::frame(flow.dst_mac, flow.src_mac, self.vlan.as_slice(), eth_type, &packet))
    }

    fn kind_of(&self, flow: &Flow) -> Kind {
        match self.kind {
            Kind::Mixed => match flow.hash >> 40 & 0x3f {
                0 => Kind::Arp,
                1 => Kind::Neighbour,
                2..4 => Kind::Icmp,
                4..24 => Kind::Udp,
                _ => Kind::Tcp,
            },
            kind => kind,
        }
    }

    fn payload_len(&self, kind: Kind) -> usize {
        let tag = if self.vlan.is_some() { 4 } else { 0 };
        let ip = if self.v6 { ipv6::LEN } else { ipv4::LEN };
        let transport = if kind == Kind::Tcp { tcp::LEN } else { 8 };
        self.len.saturating_sub(ethernet::LEN + tag + ip + transport)
    }
}

/// The numbers that tell one flow from the others.
struct Flow {
    hash: u64,
    /// Permuted number of the flow below [`ADDRESSES`].
    host: u32,
    src_mac: Mac,
    dst_mac: Mac,
    src_port: u16,
    dst_port: u16,
    dst4: Ipv4Addr,
    dst6: Ipv6Addr,
}

impl Flow {
    fn new(spec: &FlowSpec, i: u64) -> Flow {
        let hash = mix(spec.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ i);
        let host = (i.wrapping_mul(STRIDE).wrapping_add(spec.seed) % ADDRESSES) as u32;
        let [_, a, b, c] = host.to_be_bytes();
        let [x, y, z, ..] = hash.to_be_bytes();
        let (src_mac, dst_mac) = spec.macs.unwrap_or(([2, 1, 0, a, b, c], [2, 2, 0, x, y, z]));
        let round = (i / ADDRESSES) as u16;
        Flow {
            hash,
            host,
            src_mac,
            dst_mac,
            src_port: (1024 + (hash % 60_000) as u16).wrapping_add(round),
            dst_port: [53, 80, 443, 8080, 5432, 4000, 22, 123][(hash >> 32) as usize % 8],
            dst4: spec.dst4.unwrap_or(Ipv4Addr::new(172, 16 | x & 15, y, z)),
            dst6: spec.dst6.unwrap_or(Ipv6Addr::from(0x2001_0db8_0002u128 << 80 | u128::from(hash))),
        }
    }

    fn src4(&self) -> Ipv4Addr {
        Ipv4Addr::from(10 << 24 | self.host)
    }

    fn src6(&self) -> Ipv6Addr {
        Ipv6Addr::from(0x2001_0db8_0001u128 << 80 | u128::from(self.host))
    }

    fn payload(&self, len: usize) -> Vec<u8> {
        (0..len).map(|i| (self.hash as usize + i) as u8).collect()
    }

    fn tcp_header(&self) -> tcp::Header {
        tcp::Header {
            src: self.src_port,
            dst: self.dst_port,
            seq: self.hash as u32,
            ack: (self.hash >> 32) as u32,
            flags: tcp::ACK,
            window: 512,
            checksum: 0,
            urgent: 0,
        }
    }

    fn ipv4(&self, kind: Kind, len: usize) -> Vec<u8> {
        let header = ipv4_between(self.src4(), self.dst4);
        let payload = self.payload(len);
        match kind {
            Kind::Tcp => build::tcp4(header, self.tcp_header(), &payload),
            Kind::Icmp => {
                let echo = icmp4::echo_request(self.src_port, 1, &payload);
                build::ipv4(ipv4::Header { proto: ipv4::ICMP, ..header }, &echo)
            }
            _ => build::udp4(header, self.src_port, self.dst_port, &payload),
        }
    }

    fn ipv6(&self, kind: Kind, len: usize) -> Vec<u8> {
        let header = self.ipv6_header(self.dst6);
        let payload = self.payload(len);
        match kind {
            Kind::Tcp => build::tcp6(header, self.tcp_header(), &payload),
            Kind::Icmp => {
                let echo = icmp6::echo_request(header.src, header.dst, self.src_port, 1, &payload);
                build::ipv6(ipv6::Header { next: ipv6::ICMP6, ..header }, &echo)
            }
            _ => build::udp6(header, self.src_port, self.dst_port, &payload),
        }
    }

    fn ipv6_header(&self, dst: Ipv6Addr) -> ipv6::Header {
        ipv6::Header {
            traffic_class: 0,
            label: self.hash as u32 & 0xf_ffff,
            payload_len: 0,
            next: 0,
            hop_limit: 64,
            src: self.src6(),
            dst,
        }
    }

    fn arp(&self) -> Vec<u8> {
        let (sha, spa, tpa) = (self.src_mac, self.src4(), self.dst4);
        arp::Packet { op: arp::REQUEST, sha, spa, tha: [0; 6], tpa }.to_bytes().to_vec()
    }

    fn neighbour(&self) -> Vec<u8> {
        let group = icmp6::solicited_node(self.dst6);
        let header = ipv6::Header { next: ipv6::ICMP6, hop_limit: 255, ..self.ipv6_header(group) };
        let ask =
            Neighbour { kind: icmp6::SOLICITATION, flags: 0, target: self.dst6, address: Some(self.src_mac) };
        build::ipv6(header, &ask.to_bytes(header.src, group))
    }
}

fn over_ipv6(vni: u32, hash: u64, inner: &[u8]) -> Vec<u8> {
    let end = |n| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n);
    let header = ipv6::Header { traffic_class: 0, label: 0, payload_len: 0, next: 0, hop_limit: 64, src: end(1), dst: end(2) };
    let payload = [&vxlan::Header { vni, group: None }.to_bytes()[..], inner].concat();
    let packet = build::udp6(header, vxlan::source_port(hash as u32), vxlan::PORT, &payload);
    build::frame([2, 0, 0, 0, 0xff, 2], [2, 0, 0, 0, 0xff, 1], &[], ethernet::IPV6, &packet)
}

fn ipv4_between(src: Ipv4Addr, dst: Ipv4Addr) -> ipv4::Header {
    ipv4::Header { tos: 0, total_len: 0, id: 0, flags: ipv4::DF, ttl: 64, proto: 0, src, dst }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_wire::{parse, Net, Transport};
    use std::collections::HashSet;

    #[test]
    fn flows_are_distinct_and_the_same_in_every_run() {
        for kind in [Kind::Tcp, Kind::Udp, Kind::Icmp, Kind::Arp, Kind::Neighbour, Kind::Mixed] {
            for spec in [FlowSpec::new(3), FlowSpec::new(3).ipv6()] {
                let spec = spec.kind(kind).flows(2000).macs([2; 6], [4; 6]);
                let frames = spec.frames();
                assert_eq!(frames.iter().collect::<HashSet<_>>().len(), 2000, "{kind:?}");
                assert_eq!(frames, spec.frames());
            }
        }
        assert_ne!(FlowSpec::new(3).frame(0), FlowSpec::new(4).frame(0));
    }

    #[test]
    fn frames_have_the_kind_tag_and_length_asked_for() {
        let spec = FlowSpec::new(1).kind(Kind::Tcp).len(512).vlan(9, 3).ipv6();
        let frame = spec.frame(7);
        let h = parse(&frame);
        assert_eq!((frame.len(), h.vlan, h.net, h.transport), (512, true, Net::Ipv6, Transport::Tcp));
        for len in [0, 60, 61, 1514, 9014] {
            assert_eq!(FlowSpec::new(1).len(len).frame(0).len(), len.max(60));
        }
    }

    #[test]
    fn a_tunnelled_flow_has_its_plain_frame_inside() {
        let plain = FlowSpec::new(5).kind(Kind::Mixed);
        for i in 0..100 {
            let outer = plain.clone().vxlan(77).frame(i);
            assert_eq!(outer[vxlan::OUTER4_LEN..], plain.frame(i));
            assert_eq!(vxlan::Header::read(&outer[42..]).map(|h| h.vni), Some(77));
        }
    }

    #[test]
    fn every_kind_occurs_in_a_mix() {
        let frames = FlowSpec::new(1).kind(Kind::Mixed).flows(1000).frames();
        let kinds: HashSet<_> = frames.iter().map(|f| (parse(f).net as u8, parse(f).transport as u8)).collect();
        assert_eq!(kinds.len(), 5);
    }
}

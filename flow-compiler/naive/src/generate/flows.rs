//! Made-up flows: what a packet carries, and its bytes.
//!
//! Purpose: values come from small pools, so that rules made from one flow also hit others.
//! Invariant: every frame is well-formed and its checksums are right.
//! Deliberately does not know: rules.

use super::random::Random;
use crate::sums::{crc32c, sum};

/// What is inside the Ethernet frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Tcp,
    Udp,
    Sctp,
    Icmp,
    /// An IP protocol without ports.
    OtherIp,
    /// First fragment of a TCP packet.
    FirstFragment,
    /// A later fragment of a UDP packet.
    LaterFragment,
    Arp,
    Icmp6,
    Solicit,
    Advert,
    OtherEther,
}

/// Every kind.
pub const KINDS: [Kind; 12] = [
    Kind::Tcp,
    Kind::Udp,
    Kind::Sctp,
    Kind::Icmp,
    Kind::OtherIp,
    Kind::FirstFragment,
    Kind::LaterFragment,
    Kind::Arp,
    Kind::Icmp6,
    Kind::Solicit,
    Kind::Advert,
    Kind::OtherEther,
];

/// A made-up flow.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)]
pub struct Flow {
    pub bridge: usize,
    pub in_port: u32,
    pub eth_src: u64,
    pub eth_dst: u64,
    /// Id and priority.
    pub vlan: Option<(u16, u16)>,
    pub kind: Kind,
    pub v6: bool,
    /// The last byte of an address: see [`ipv4`] and [`ipv6`].
    pub src: u8,
    pub dst: u8,
    pub tos: u8,
    pub ttl: u8,
    pub label: u32,
    pub tp_src: u16,
    pub tp_dst: u16,
    pub tcp_flags: u16,
    pub arp_op: u16,
    pub payload: usize,
    /// MPLS labels in front of the packet: label, traffic class, TTL.
    pub labels: Vec<(u32, u8, u8)>,
}

fn label(r: &mut Random) -> (u32, u8, u8) {
    (r.pick(&[5, 16, 17, 1000]), r.below(8) as u8, r.pick(&[64, 64, 255, 2, 1, 0]))
}

/// IPv4 address of a number.
pub fn ipv4(n: u8) -> [u8; 4] {
    [10, n >> 6, (n >> 3) & 7, n & 7]
}

/// IPv6 address of a number.
pub fn ipv6(n: u8) -> [u8; 16] {
    [0x20, 0x01, 0x0d, 0xb8, 0, n >> 6, 0, 0, 0, 0, 0, 0, 0, (n >> 3) & 7, 0, n & 7]
}

/// Ethernet address of a number.
pub fn mac(n: u64) -> u64 {
    0x0200_0000_0000 | n << 8 | n
}

impl Flow {
    /// A random flow that enters by one of these ports.
    pub fn random(r: &mut Random, ports: &[(usize, u32)]) -> Flow {
        let (bridge, in_port) = r.pick(ports);
        let kind = r.pick(&KINDS);
        let v6 = match kind {
            Kind::Icmp6 | Kind::Solicit | Kind::Advert => true,
            Kind::Icmp | Kind::Arp | Kind::OtherEther => false,
            _ => r.chance(40),
        };
        let icmp = matches!(kind, Kind::Icmp | Kind::Icmp6);
        Flow {
            bridge,
            in_port,
            eth_src: mac(r.below(4) + 1),
            eth_dst: r.pick(&[mac(1), mac(2), mac(3), mac(4), mac(9), 0xffff_ffff_ffff, 0x0100_5e00_0001]),
            vlan: r.chance(35).then(|| (r.pick(&[0, 10, 20, 30]), r.below(8) as u16)),
            kind,
            v6,
            src: r.below(24) as u8 * 3,
            dst: r.below(24) as u8 * 3,
            tos: r.pick(&[0, 0, 0x28, 0xb8, 0x2b, 0x03]),
            ttl: r.pick(&[64, 64, 255, 2, 1, 0]),
            label: r.pick(&[0, 0, 0x12345, 0xfffff]),
            tp_src: if icmp { r.pick(&[0, 3, 8, 128, 129]) } else { r.pick(&[53, 80, 443, 1000, 40000]) },
            tp_dst: if icmp { r.pick(&[0, 1, 3]) } else { r.pick(&[53, 80, 443, 1000, 40000]) },
            tcp_flags: r.pick(&[0x002, 0x010, 0x012, 0x011, 0x004, 0x018]),
            arp_op: r.pick(&[1, 1, 2, 3]),
            payload: r.below(40) as usize,
            labels: match kind {
                Kind::Arp | Kind::OtherEther => Vec::new(),
                _ if r.chance(85) => Vec::new(),
                _ => (0..r.pick(&[1, 1, 1, 2, 2, 3, 4])).map(|_| label(r)).collect(),
            },
        }
    }

    /// The same flow with something else in one place.
    pub fn mutated(&self, r: &mut Random, ports: &[(usize, u32)]) -> Flow {
        let other = Flow::random(r, ports);
        let mut flow = self.clone();
        match r.below(9) {
            0 => (flow.bridge, flow.in_port) = (other.bridge, other.in_port),
            1 => flow.eth_src = other.eth_src,
            2 => flow.eth_dst = other.eth_dst,
            3 => flow.vlan = other.vlan,
            4 => flow.src = other.src,
            5 => flow.dst = other.dst,
            6 => flow.tos = other.tos,
            7 => flow.ttl = other.ttl,
            _ if !flow.labels.is_empty() => {
                let n = flow.labels.len() as u64;
                flow.labels[r.below(n) as usize] = label(r);
            }
            _ if flow.kind == other.kind => (flow.tp_src, flow.tp_dst) = (other.tp_src, other.tp_dst),
            _ => {}
        }
        flow
    }

    /// IP protocol, where it has one.
    pub fn proto(&self) -> Option<u8> {
        Some(match self.kind {
            Kind::Tcp | Kind::FirstFragment => 6,
            Kind::Udp | Kind::LaterFragment => 17,
            Kind::Sctp => 132,
            Kind::Icmp => 1,
            Kind::OtherIp => 47,
            Kind::Icmp6 | Kind::Solicit | Kind::Advert => 58,
            Kind::Arp | Kind::OtherEther => return None,
        })
    }

    /// The frame.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.eth_dst.to_be_bytes()[2..].to_vec();
        out.extend(&self.eth_src.to_be_bytes()[2..]);
        if let Some((vid, pcp)) = self.vlan {
            out.extend([0x81, 0x00]);
            out.extend((vid | pcp << 13).to_be_bytes());
        }
        match self.kind {
            Kind::Arp => out.extend(self.arp()),
            Kind::OtherEther => {
                out.extend([0x88, 0xb5]);
                out.extend(vec![0x5a; 46 + self.payload]);
            }
            _ => {
                out.extend(self.type_and_labels());
                out.extend(if self.v6 { self.packet6() } else { self.packet4() });
            }
        }
        out
    }

    fn type_and_labels(&self) -> Vec<u8> {
        if self.labels.is_empty() {
            return if self.v6 { vec![0x86, 0xdd] } else { vec![0x08, 0x00] };
        }
        let mut out = vec![0x88, 0x47];
        for (i, (label, tc, ttl)) in self.labels.iter().enumerate() {
            let bottom = u32::from(i + 1 == self.labels.len());
            out.extend((label << 12 | u32::from(*tc) << 9 | bottom << 8 | u32::from(*ttl)).to_be_bytes());
        }
        out
    }

    fn arp(&self) -> Vec<u8> {
        let mut out = vec![0x08, 0x06, 0, 1, 8, 0, 6, 4];
        out.extend(self.arp_op.to_be_bytes());
        out.extend(&self.eth_src.to_be_bytes()[2..]);
        out.extend(ipv4(self.src));
        out.extend(&mac(u64::from(self.dst % 5)).to_be_bytes()[2..]);
        out.extend(ipv4(self.dst));
        out.extend([0; 18]);
        out
    }

    fn packet4(&self) -> Vec<u8> {
        let (src, dst) = (ipv4(self.src), ipv4(self.dst));
        let proto = self.proto().unwrap_or(0);
        let pseudo: Vec<u8> = if proto == 1 { Vec::new() } else { [&src[..], &dst[..]].concat() };
        let l4 = self.transport(&pseudo);
        let fragment: u16 = match self.kind {
            Kind::FirstFragment => 0x2000,
            Kind::LaterFragment => 0x2010,
            _ => 0x4000,
        };
        let mut out = vec![0x45, self.tos];
        out.extend((20 + l4.len() as u16).to_be_bytes());
        out.extend([0x12, 0x34]);
        out.extend(fragment.to_be_bytes());
        out.extend([self.ttl, proto, 0, 0]);
        out.extend(src);
        out.extend(dst);
        let check = !sum(&out);
        out[10..12].copy_from_slice(&check.to_be_bytes());
        out.extend(l4);
        out
    }

    fn packet6(&self) -> Vec<u8> {
        let (src, dst) = (ipv6(self.src), ipv6(self.dst));
        let proto = self.proto().unwrap_or(0);
        let l4 = self.transport(&[&src[..], &dst[..]].concat());
        let offset: Option<u16> = match self.kind {
            Kind::FirstFragment => Some(1),
            Kind::LaterFragment => Some(0x81),
            _ => None,
        };
        let mut body = Vec::new();
        if let Some(offset) = offset {
            body.extend([proto, 0]);
            body.extend(offset.to_be_bytes());
            body.extend([0, 0, 0x12, 0x34]);
        }
        body.extend(l4);
        let first = 6 << 28 | u32::from(self.tos) << 20 | self.label;
        let mut out = first.to_be_bytes().to_vec();
        out.extend((body.len() as u16).to_be_bytes());
        out.extend([if offset.is_some() { 44 } else { proto }, self.ttl]);
        out.extend(src);
        out.extend(dst);
        out.extend(body);
        out
    }

    fn transport(&self, pseudo: &[u8]) -> Vec<u8> {
        let payload: Vec<u8> = (0..self.payload).map(|i| i as u8 ^ 0x5a).collect();
        let mut out = Vec::new();
        let check_at = match self.kind {
            Kind::Tcp | Kind::FirstFragment => {
                out.extend(self.tp_src.to_be_bytes());
                out.extend(self.tp_dst.to_be_bytes());
                out.extend([0, 0, 0, 1, 0, 0, 0, 2]);
                out.extend((0x5000 | self.tcp_flags).to_be_bytes());
                out.extend([0x20, 0, 0, 0, 0, 0]);
                16
            }
            Kind::Udp => {
                out.extend(self.tp_src.to_be_bytes());
                out.extend(self.tp_dst.to_be_bytes());
                out.extend((8 + payload.len() as u16).to_be_bytes());
                out.extend([0, 0]);
                6
            }
            Kind::Sctp => {
                out.extend(self.tp_src.to_be_bytes());
                out.extend(self.tp_dst.to_be_bytes());
                out.extend([0, 0, 0, 7, 0, 0, 0, 0]);
                out.extend(&payload);
                // Some are damaged, and must stay so.
                let check = crc32c(&out) ^ u32::from(self.payload % 8 == 3);
                out[8..12].copy_from_slice(&check.to_le_bytes());
                return out;
            }
            Kind::Icmp | Kind::Icmp6 => {
                out.extend([self.tp_src as u8, self.tp_dst as u8, 0, 0, 0, 1, 0, 2]);
                2
            }
            Kind::Solicit | Kind::Advert => {
                let (kind, option) = if self.kind == Kind::Solicit { (135, 1) } else { (136, 2) };
                out.extend([kind, 0, 0, 0, 0x60, 0, 0, 0]);
                out.extend(ipv6(self.dst));
                if self.payload % 2 == 0 {
                    out.extend([option, 1]);
                    out.extend(&self.eth_src.to_be_bytes()[2..]);
                }
                return with_sum(out, 2, 58, pseudo);
            }
            _ => {
                out.extend(&payload);
                out.resize(out.len().max(24), 0xa5);
                // Where a UDP header would have its checksum: Open vSwitch 3.1 takes the payload of later
                // fragments for one when it rewrites addresses, and leaves alone only a zero.
                out[6..8].fill(0);
                return out;
            }
        };
        out.extend(&payload);
        if self.kind == Kind::FirstFragment {
            out.resize(24 + self.payload / 8 * 8, 7);
        }
        with_sum(out, check_at, self.proto().unwrap_or(0), pseudo)
    }
}

fn with_sum(mut l4: Vec<u8>, at: usize, proto: u8, pseudo: &[u8]) -> Vec<u8> {
    let mut all = pseudo.to_vec();
    if !pseudo.is_empty() {
        all.extend([0, proto]);
        all.extend((l4.len() as u32).to_be_bytes());
    }
    all.extend(&l4);
    let check = match !sum(&all) {
        0 if proto == 17 => 0xffff,
        c => c,
    };
    l4[at..at + 2].copy_from_slice(&check.to_be_bytes());
    l4
}

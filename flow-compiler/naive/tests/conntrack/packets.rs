//! Frames for the tracker, with checksums right unless asked otherwise.

#![allow(dead_code)] // not every test binary sends every kind

use std::net::IpAddr;

/// One's complement sum, folded and complemented.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut all: Vec<u8> = parts.concat();
    if all.len() % 2 == 1 {
        all.push(0);
    }
    let mut sum: u64 = all.chunks(2).map(|c| u64::from(u16::from_be_bytes([c[0], c[1]]))).sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(a: IpAddr) -> Vec<u8> {
    match a {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

fn with_sum(mut l4: Vec<u8>, at: usize, src: IpAddr, dst: IpAddr, proto: u8) -> Vec<u8> {
    let len = (l4.len() as u32).to_be_bytes();
    let sum = checksum(&[&octets(src), &octets(dst), &len, &[0, 0, 0, proto], &l4]);
    l4[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    l4
}

/// A TCP segment.
pub struct Tcp {
    pub ports: (u16, u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub scale: Option<u8>,
    pub payload: usize,
}

pub fn tcp(src: IpAddr, dst: IpAddr, t: &Tcp) -> Vec<u8> {
    let options: Vec<u8> = t.scale.map_or(Vec::new(), |s| vec![2, 4, 5, 180, 1, 3, 3, s]);
    let mut l4 = Vec::new();
    l4.extend(t.ports.0.to_be_bytes());
    l4.extend(t.ports.1.to_be_bytes());
    l4.extend(t.seq.to_be_bytes());
    l4.extend(t.ack.to_be_bytes());
    l4.extend([(5 + options.len() as u8 / 4) << 4, t.flags]);
    l4.extend(t.window.to_be_bytes());
    l4.extend([0; 4]);
    l4.extend(options);
    l4.extend((0..t.payload).map(|i| i as u8));
    with_sum(l4, 16, src, dst, 6)
}

pub fn udp(src: IpAddr, dst: IpAddr, ports: (u16, u16), payload: usize) -> Vec<u8> {
    let mut l4 = Vec::new();
    l4.extend(ports.0.to_be_bytes());
    l4.extend(ports.1.to_be_bytes());
    l4.extend((8 + payload as u16).to_be_bytes());
    l4.extend([0; 2]);
    l4.extend((0..payload).map(|i| i as u8));
    with_sum(l4, 6, src, dst, 17)
}

/// An ICMP query or answer; `kind` is 8, 0, 13, 14 or (for IPv6) 128, 129.
pub fn icmp(src: IpAddr, dst: IpAddr, kind: u8, id: u16, payload: usize) -> Vec<u8> {
    let mut l4 = vec![kind, 0, 0, 0];
    l4.extend(id.to_be_bytes());
    l4.extend([0, 1]);
    l4.extend((0..payload).map(|i| i as u8));
    icmp_sum(l4, src, dst)
}

/// An ICMP error that quotes `packet`, a whole IP packet.
pub fn icmp_error(src: IpAddr, dst: IpAddr, kind: u8, code: u8, packet: &[u8], quoted: usize) -> Vec<u8> {
    let mut l4 = vec![kind, code, 0, 0, 0, 0, 5, 180];
    l4.extend(&packet[..packet.len().min(quoted)]);
    icmp_sum(l4, src, dst)
}

fn icmp_sum(mut l4: Vec<u8>, src: IpAddr, dst: IpAddr) -> Vec<u8> {
    if src.is_ipv6() {
        return with_sum(l4, 2, src, dst, 58);
    }
    let sum = checksum(&[&l4]);
    l4[2..4].copy_from_slice(&sum.to_be_bytes());
    l4
}

/// Is the checksum of an ICMPv6 packet right? It may come with link padding.
pub fn icmp6_sum_is_right(packet: &[u8]) -> bool {
    let len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    checksum(&[&packet[8..40], &(len as u32).to_be_bytes(), &[0, 0, 0, 58], &packet[40..40 + len]]) == 0
}

/// An IP packet around a transport header; `offset_flags` is IPv4's fragment field.
pub fn ip(src: IpAddr, dst: IpAddr, proto: u8, offset_flags: u16, l4: &[u8]) -> Vec<u8> {
    if src.is_ipv6() {
        let mut p = vec![0x60, 0, 0, 0];
        p.extend((l4.len() as u16).to_be_bytes());
        p.extend([proto, 64]);
        p.extend(octets(src));
        p.extend(octets(dst));
        p.extend(l4);
        return p;
    }
    let mut h = vec![0x45, 0];
    h.extend((20 + l4.len() as u16).to_be_bytes());
    h.extend([0x12, 0x34]);
    h.extend(offset_flags.to_be_bytes());
    h.extend([64, proto, 0, 0]);
    h.extend(octets(src));
    h.extend(octets(dst));
    let sum = checksum(&[&h]);
    h[10..12].copy_from_slice(&sum.to_be_bytes());
    h.extend(l4);
    h
}

/// The fragments of an IPv4 packet without options, `size` payload bytes (a multiple of 8) in each.
pub fn fragments(packet: &[u8], size: usize, ident: u16) -> Vec<Vec<u8>> {
    let (head, payload) = packet.split_at(20);
    let n = payload.len().div_ceil(size);
    let cut = |(i, part): (usize, &[u8])| {
        let mut h = head.to_vec();
        h[2..4].copy_from_slice(&(20 + part.len() as u16).to_be_bytes());
        h[4..6].copy_from_slice(&ident.to_be_bytes());
        let more = if i + 1 < n { 0x2000 } else { 0 };
        h[6..8].copy_from_slice(&(more | (i * size / 8) as u16).to_be_bytes());
        h[10..12].copy_from_slice(&[0, 0]);
        let sum = checksum(&[&h]);
        h[10..12].copy_from_slice(&sum.to_be_bytes());
        h.extend(part);
        h
    };
    payload.chunks(size).enumerate().map(cut).collect()
}

/// An Ethernet frame around an IP packet.
pub fn frame(packet: &[u8]) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    f.extend(if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [8, 0] });
    f.extend(packet);
    f.resize(f.len().max(60), 0);
    f
}

/// A TCP segment that carries this text.
pub fn tcp_text(src: IpAddr, dst: IpAddr, t: &Tcp, text: &[u8]) -> Vec<u8> {
    let mut l4 = tcp(src, dst, &Tcp { payload: 0, ..*t });
    l4.extend(text);
    l4[16..18].fill(0);
    with_sum(l4, 16, src, dst, 6)
}

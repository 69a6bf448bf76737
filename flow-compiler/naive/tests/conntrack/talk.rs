//! Made-up conversations: mostly what clients and servers say, with mistakes, resets and lies.

use std::net::IpAddr;

use sluice_naive::generate::random::Random;

use crate::packets::{self, Tcp};

/// IPv4 or IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    V4,
    V6,
}

/// A frame, where it comes in, and what it is to a person.
#[derive(Clone, Debug)]
pub struct Sent {
    pub port: u32,
    pub bytes: Vec<u8>,
    pub what: String,
}

/// What one end takes the conversation to be between: itself, and whom it hears.
#[derive(Clone, Debug)]
struct View {
    own: (IpAddr, u16),
    peer: (IpAddr, u16),
}

/// Two ends of a conversation.
#[derive(Clone, Debug)]
struct Talk {
    /// Of the client, then of the server: translation makes them differ.
    views: [View; 2],
    proto: u8,
    /// Next sequence number of each end.
    next: [u32; 2],
    scale: [Option<u8>; 2],
    step: usize,
    /// The last packet that each end heard, for errors about it.
    heard: [Vec<u8>; 2],
}

fn address(family: Family, n: u8) -> IpAddr {
    match family {
        Family::V4 => [10, 0, 0, n].into(),
        Family::V6 => [0xfc00, 0, 0, 0, 0, 0, 0, u16::from(n)].into(),
    }
}

fn below(r: &mut Random, n: usize) -> usize {
    r.below(n as u64) as usize
}

fn pick<T: Clone>(r: &mut Random, all: &[T]) -> T {
    r.pick(all)
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

impl Talk {
    fn new(r: &mut Random, family: Family, n: usize) -> Talk {
        let proto = pick(r, &[6u8, 6, 6, 17, 1, 47, 132]);
        let scale = |r: &mut Random| pick(r, &[None, Some(0), Some(2), Some(7), Some(14), Some(15)]);
        let base = pick(r, &[100u32, 0xffff_ff00, 0x7fff_ff00]);
        let client = (address(family, 1 + below(r, 2) as u8), 1000 + n as u16);
        let server = (address(family, 11 + below(r, 2) as u8), pick(r, &[80, 53, 443]));
        Talk {
            views: [View { own: client, peer: server }, View { own: server, peer: client }],
            proto,
            next: [base, base.wrapping_mul(3)],
            scale: [scale(r), scale(r)],
            step: 0,
            heard: [Vec::new(), Vec::new()],
        }
    }

    /// Source and destination of what an end sends.
    fn between(&self, end: usize) -> (IpAddr, IpAddr) {
        (self.views[end].own.0, self.views[end].peer.0)
    }

    fn ports(&self, end: usize) -> (u16, u16) {
        (self.views[end].own.1, self.views[end].peer.1)
    }

    /// A frame arrived at an end: it answers to what it sees.
    fn hear(&mut self, end: usize, frame: &[u8]) {
        let packet = &frame[14..];
        let v6 = packet[0] >> 4 == 6;
        let (proto, l4) = if v6 { (packet[6], 40) } else { (packet[9], 20) };
        if proto != self.proto || packet.len() < l4 + 8 {
            return;
        }
        let ip = |at: usize| -> IpAddr {
            match v6 {
                false => <[u8; 4]>::try_from(&packet[at..at + 4]).unwrap().into(),
                true => <[u8; 16]>::try_from(&packet[at..at + 16]).unwrap().into(),
            }
        };
        let (src, dst) = if v6 { (ip(8), ip(24)) } else { (ip(12), ip(16)) };
        let port = |at: usize| u16::from_be_bytes([packet[l4 + at], packet[l4 + at + 1]]);
        let has_ports = matches!(proto, 6 | 17);
        let view = &mut self.views[end];
        let (own, peer) = if has_ports { (port(2), port(0)) } else { (view.own.1, view.peer.1) };
        if own != 0 && peer != 0 {
            *view = View { own: (dst, own), peer: (src, peer) };
            self.heard[end] = packet.to_vec();
        }
    }

    fn send(&mut self, end: usize, proto: u8, l4: &[u8], what: String) -> Sent {
        let (src, dst) = self.between(end);
        let packet = packets::ip(src, dst, proto, 0x4000, l4);
        Sent { port: 1 + end as u32, bytes: packets::frame(&packet), what: format!("{src} -> {dst} {what}") }
    }

    fn tcp(&mut self, end: usize, flags: u8, seq: u32, ack: u32, payload: usize, window: u16) -> Sent {
        let (src, dst) = self.between(end);
        let ports = self.ports(end);
        let scale = self.scale[end].filter(|_| flags & SYN != 0);
        let l4 = packets::tcp(src, dst, &Tcp { ports, seq, ack, flags, window, scale, payload });
        self.send(end, 6, &l4, format!("tcp {ports:?} flags {flags:#x} seq {seq} ack {ack} len {payload} win {window} scale {scale:?}"))
    }

    /// What a real client and server would say next.
    fn proper(&mut self, r: &mut Random) -> Sent {
        let [c, s] = self.next;
        self.step += 1;
        let window = pick(r, &[100u16, 1000, 65535]);
        match self.step {
            1 => {
                self.next[0] = c.wrapping_add(1);
                self.tcp(0, SYN, c, 0, 0, window)
            }
            2 => {
                self.next[1] = s.wrapping_add(1);
                self.tcp(1, SYN | ACK, s, c, 0, window)
            }
            3 => self.tcp(0, ACK, c, s, 0, window),
            4..=9 => {
                let (end, len) = (below(r, 2), below(r, 90));
                self.next[end] = self.next[end].wrapping_add(len as u32);
                let (own, other) = if end == 0 { (c, s) } else { (s, c) };
                self.tcp(end, ACK | PSH, own, other, len, window)
            }
            10 | 12 => {
                let end = usize::from(self.step == 12);
                let (own, other) = (self.next[end], self.next[1 - end]);
                self.next[end] = own.wrapping_add(1);
                self.tcp(end, FIN | ACK, own, other, 0, window)
            }
            11 => self.tcp(1, ACK, s, c, 0, window),
            13 => self.tcp(0, ACK, c, s, 0, window),
            _ => {
                self.step = 0;
                let end = below(r, 2);
                self.tcp(end, ACK, self.next[end], self.next[1 - end], 0, window)
            }
        }
    }

    /// Something that does not fit.
    fn wrong(&mut self, r: &mut Random) -> Sent {
        let end = below(r, 2);
        let flags = pick(r, &[SYN, SYN | ACK, ACK, RST, RST | ACK, FIN | ACK, FIN, PSH | ACK, 0, SYN | FIN, SYN | RST, PSH]);
        let away = |r: &mut Random| pick(r, &[0u32, 1, 0xffff_ffff, 50, 70_000, 0xfffe_0000, 2_000_000, 0x8000_0000]);
        let seq = self.next[end].wrapping_add(away(r));
        let near = self.next[1 - end].wrapping_add(away(r));
        let ack = pick(r, &[0, near, near]);
        let (len, window) = (pick(r, &[0, 0, 10, 300]), pick(r, &[0, 1, 500, 65535]));
        self.tcp(end, flags, seq, ack, len, window)
    }

    /// An error about what the other end sent last, from it or from a router.
    fn error(&mut self, r: &mut Random, family: Family) -> Option<Sent> {
        let about = below(r, 2);
        let packet = self.heard[1 - about].clone();
        if packet.is_empty() {
            return None;
        }
        let (to, other) = (self.views[1 - about].peer.0, self.views[1 - about].own.0);
        let from = pick(r, &[other, address(family, 99)]);
        let (kind, code) = match family {
            Family::V4 => pick(r, &[(3u8, 1u8), (3, 4), (11, 0), (12, 0), (5, 1), (4, 0), (9, 0)]),
            Family::V6 => pick(r, &[(1, 0), (2, 0), (3, 0), (4, 0), (135, 0)]),
        };
        let quoted = pick(r, &[28usize, 48, 500, 20]);
        let to = pick(r, &[to, to, to, other]);
        let l4 = packets::icmp_error(from, to, kind, code, &packet, quoted);
        let bytes = packets::frame(&packets::ip(from, to, if family == Family::V4 { 1 } else { 58 }, 0, &l4));
        let what = format!("{from} -> {to} icmp error {kind}/{code} about end {about}, {quoted} quoted");
        Some(Sent { port: 2 - about as u32, bytes, what })
    }

    fn ping(&mut self, r: &mut Random, family: Family) -> Sent {
        let end = below(r, 2);
        let (src, dst) = self.between(end);
        let id = self.views[0].own.1;
        let (proto, kinds) = match family {
            Family::V4 => (1, [8u8, 0, 8, 0, 13, 14]),
            Family::V6 => (58, [128, 129, 128, 129, 128, 133]),
        };
        let kind = pick(r, &kinds);
        let l4 = packets::icmp(src, dst, kind, id, below(r, 40));
        self.send(end, proto, &l4, format!("icmp {kind} id {id}"))
    }

    fn say(&mut self, r: &mut Random, family: Family) -> Sent {
        if below(r, 10) == 0 {
            if let Some(s) = self.error(r, family) {
                return s;
            }
        }
        let end = below(r, 2);
        let (src, dst) = self.between(end);
        match self.proto {
            6 if below(r, 4) == 0 => self.wrong(r),
            6 => self.proper(r),
            17 => {
                let ports = if below(r, 30) == 0 { (0, 53) } else { self.ports(end) };
                let l4 = packets::udp(src, dst, ports, below(r, 50));
                self.send(end, 17, &l4, format!("udp {ports:?}"))
            }
            1 => self.ping(r, family),
            proto => {
                let l4 = vec![0x12, 0x34, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0];
                self.send(end, proto, &l4, format!("protocol {proto}"))
            }
        }
    }
}

/// A fault on the wire: a checksum or a length is wrong.
fn spoil(r: &mut Random, s: &mut Sent) {
    let at = 14 + below(r, s.bytes.len() - 14);
    let bit = 1 << below(r, 8);
    s.bytes[at] ^= bit;
    s.what += &format!(" (byte {at} spoiled by {bit:#x})");
}

/// A few conversations at once.
pub struct Talks {
    r: Random,
    talks: Vec<Talk>,
    family: Family,
}

impl Talks {
    pub fn new(seed: u64, family: Family) -> Talks {
        let mut r = Random::new(seed);
        let talks = (0..6).map(|n| Talk::new(&mut r, family, n / 2)).collect();
        Talks { r, talks, family }
    }

    /// The next frame, and whose it is.
    pub fn next(&mut self) -> (usize, Sent) {
        let n = below(&mut self.r, self.talks.len());
        let mut s = self.talks[n].say(&mut self.r, self.family);
        if below(&mut self.r, 40) == 0 {
            spoil(&mut self.r, &mut s);
        }
        (n, s)
    }

    /// A frame of a conversation came out of a port.
    pub fn hear(&mut self, talk: usize, port: u32, frame: &[u8]) {
        self.talks[talk].hear(port as usize - 1, frame);
    }
}

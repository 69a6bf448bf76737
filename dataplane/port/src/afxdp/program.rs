//! The XDP programs, assembled instruction by instruction.
//!
//! Invariant: a frame that a program does not take goes on to the host's own stack, unchanged.

use std::net::IpAddr;

/// Which frames of a device the switch takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Take {
    /// All of them: the device belongs to the switch.
    Everything,
    /// Those that tunnel peers send to us; the host keeps the rest. Fragments and packets with IP
    /// options or extension headers go to the host as well, which reassembles them for a UDP socket.
    Tunnel {
        /// Our addresses, at most [`Take::ADDRESSES_MAX`].
        local: Vec<IpAddr>,
        /// UDP destination port.
        udp_port: u16,
    },
    /// Fragments of UDP packets to these addresses, at most [`Take::ADDRESSES_MAX`]. The host has them as well, so only a
    /// packet socket can take them.
    Fragments {
        /// Our addresses.
        local: Vec<IpAddr>,
    },
}

impl Take {
    /// Addresses that one program compares with.
    pub const ADDRESSES_MAX: usize = 64;
}

/// One instruction of the kernel's virtual machine, in memory layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(super) struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// Verdict of a classifier: the frame goes no further.
const CLASSIFIER_DROP: i32 = 2;

/// A classifier that drops every frame.
pub(super) fn drop_all() -> [Instruction; 2] {
    let put = Instruction { code: MOVE_CONSTANT, registers: 0, offset: 0, immediate: CLASSIFIER_DROP };
    [put, Instruction { code: EXIT, registers: 0, offset: 0, immediate: 0 }]
}

/// Loads of 4, 2 and 1 bytes through a register.
const LOAD_WORD: u8 = 0x61;
const LOAD_HALF: u8 = 0x69;
const LOAD_BYTE: u8 = 0x71;
const LOAD_CONSTANT_64: u8 = 0x18;
const MOVE: u8 = 0xbf;
const MOVE_CONSTANT: u8 = 0xb7;
const ADD_CONSTANT: u8 = 0x07;
const AND_CONSTANT: u8 = 0x57;
const JUMP_IF_GREATER: u8 = 0x2d;
/// Compares the lower 32 bits with a constant.
const JUMP_IF_EQUAL: u8 = 0x16;
const JUMP_UNLESS_EQUAL: u8 = 0x56;
const JUMP_ALWAYS: u8 = 0x05;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

const MAP_BY_DESCRIPTOR: u8 = 1;
const REDIRECT_MAP: i32 = 51;
const XDP_PASS: i32 = 2;

/// Offsets in the program's argument (`xdp_md`).
const FIRST_BYTE: i16 = 0;
const END: i16 = 4;
const QUEUE: i16 = 16;

/// Offsets in an untagged Ethernet frame.
const ETHERTYPE: i16 = 12;
const VERSION: i16 = 14;
/// With an IPv4 header without options.
const FRAGMENT: i16 = 20;
const PROTOCOL: i16 = 23;
const DESTINATION: i16 = 30;
const UDP_DESTINATION: i16 = 36;
const HEADERS: i32 = 42;
/// With an IPv6 header without extension headers.
const NEXT_HEADER: i16 = 20;
const DESTINATION6: i16 = 38;
const UDP_DESTINATION6: i16 = 56;
const HEADERS6: i32 = 62;

fn op(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: from << 4 | to, offset, immediate }
}

/// A value in network byte order as the machine loads it.
fn network16(v: u16) -> i32 {
    i32::from(v.to_be())
}

/// The program that redirects what is ours to the socket of its receive queue, found in `map`.
pub(super) fn assemble(take: &Take, map: i32) -> Vec<Instruction> {
    // r6: argument, kept across the call.
    let mut code = vec![op(MOVE, 6, 1, 0, 0)];
    match take {
        Take::Everything => {}
        Take::Tunnel { local, udp_port } => choose(&mut code, local, *udp_port),
        // Refused before: what is redirected would be the host's no more.
        Take::Fragments { .. } => choose(&mut code, &[], 0),
    }
    code.extend([
        op(LOAD_WORD, 2, 6, QUEUE, 0),
        op(LOAD_CONSTANT_64, 1, MAP_BY_DESCRIPTOR, 0, map),
        op(0, 0, 0, 0, 0),
        // Where no socket serves the queue, the frame goes on to the host.
        op(MOVE_CONSTANT, 3, 0, 0, XDP_PASS),
        op(CALL, 0, 0, 0, REDIRECT_MAP),
        op(EXIT, 0, 0, 0, 0),
    ]);
    code
}

/// Where a jump leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    /// The frame is the host's.
    Pass,
    /// Behind the choice: the frame is ours.
    Take,
    /// The part for IPv6.
    Ipv6,
    /// The comparison with this address.
    Address(usize),
}

/// Instructions whose jumps are named until all are there.
#[derive(Default)]
struct Assembly {
    code: Vec<(Instruction, Option<Label>)>,
    places: Vec<(Label, usize)>,
}

impl Assembly {
    fn put(&mut self, i: Instruction) {
        self.code.push((i, None));
    }

    fn jump(&mut self, i: Instruction, to: Label) {
        self.code.push((i, Some(to)));
    }

    fn place(&mut self, label: Label) {
        self.places.push((label, self.code.len()));
    }

    /// Loads from the frame; passes the frame where that is not `value`.
    fn require(&mut self, load: u8, at: i16, value: i32) {
        self.put(op(load, 5, 2, at, 0));
        self.jump(op(JUMP_UNLESS_EQUAL, 5, 0, 0, value), Label::Pass);
    }

    /// Passes a frame that is shorter than this.
    fn require_length(&mut self, bytes: i32) {
        self.put(op(MOVE, 4, 2, 0, 0));
        self.put(op(ADD_CONSTANT, 4, 0, 0, bytes));
        self.jump(op(JUMP_IF_GREATER, 4, 3, 0, 0), Label::Pass);
    }

    fn finish(self) -> impl Iterator<Item = Instruction> {
        let places = self.places;
        let place = move |label| places.iter().find(|(l, _)| *l == label).map_or(0, |(_, at)| *at as i16);
        self.code.into_iter().enumerate().map(move |(at, (i, to))| match to {
            Some(label) => Instruction { offset: place(label) - at as i16 - 1, ..i },
            None => i,
        })
    }
}

/// Goes on behind itself for a frame that is ours, and leaves the program with "pass" for others.
fn choose(code: &mut Vec<Instruction>, local: &[IpAddr], udp_port: u16) {
    let local = local.get(..Take::ADDRESSES_MAX).unwrap_or(local);
    let mut a = Assembly::default();
    a.put(op(LOAD_WORD, 2, 1, FIRST_BYTE, 0));
    a.put(op(LOAD_WORD, 3, 1, END, 0));
    a.require_length(HEADERS);
    a.put(op(LOAD_HALF, 5, 2, ETHERTYPE, 0));
    a.jump(op(JUMP_IF_EQUAL, 5, 0, 0, network16(0x86dd)), Label::Ipv6);
    a.jump(op(JUMP_UNLESS_EQUAL, 5, 0, 0, network16(0x0800)), Label::Pass);
    over_ipv4(&mut a, local, udp_port);
    a.place(Label::Ipv6);
    over_ipv6(&mut a, local, udp_port);
    a.place(Label::Pass);
    a.put(op(MOVE_CONSTANT, 0, 0, 0, XDP_PASS));
    a.put(op(EXIT, 0, 0, 0, 0));
    a.place(Label::Take);
    code.extend(a.finish());
}

fn over_ipv4(a: &mut Assembly, local: &[IpAddr], udp_port: u16) {
    a.require(LOAD_BYTE, VERSION, 0x45);
    a.put(op(LOAD_HALF, 5, 2, FRAGMENT, 0));
    a.put(op(AND_CONSTANT, 5, 0, 0, network16(0x3fff)));
    a.jump(op(JUMP_UNLESS_EQUAL, 5, 0, 0, 0), Label::Pass);
    a.require(LOAD_BYTE, PROTOCOL, 17);
    a.require(LOAD_HALF, UDP_DESTINATION, network16(udp_port));
    a.put(op(LOAD_WORD, 5, 2, DESTINATION, 0));
    for address in local {
        if let IpAddr::V4(v4) = address {
            a.jump(op(JUMP_IF_EQUAL, 5, 0, 0, i32::from_ne_bytes(v4.octets())), Label::Take);
        }
    }
    a.jump(op(JUMP_ALWAYS, 0, 0, 0, 0), Label::Pass);
}

fn over_ipv6(a: &mut Assembly, local: &[IpAddr], udp_port: u16) {
    a.require_length(HEADERS6);
    a.put(op(LOAD_BYTE, 5, 2, VERSION, 0));
    a.put(op(AND_CONSTANT, 5, 0, 0, 0xf0));
    a.jump(op(JUMP_UNLESS_EQUAL, 5, 0, 0, 0x60), Label::Pass);
    a.require(LOAD_BYTE, NEXT_HEADER, 17);
    a.require(LOAD_HALF, UDP_DESTINATION6, network16(udp_port));
    let own: Vec<[u8; 16]> = local.iter().filter_map(|a| if let IpAddr::V6(v6) = a { Some(v6.octets()) } else { None }).collect();
    for (n, octets) in own.iter().enumerate() {
        a.place(Label::Address(n));
        let next = if n + 1 < own.len() { Label::Address(n + 1) } else { Label::Pass };
        for (i, word) in octets.chunks_exact(4).filter_map(<[u8]>::first_chunk).enumerate() {
            a.put(op(LOAD_WORD, 5, 2, DESTINATION6 + 4 * i as i16, 0));
            a.jump(op(JUMP_UNLESS_EQUAL, 5, 0, 0, i32::from_ne_bytes(*word)), next);
        }
        a.jump(op(JUMP_ALWAYS, 0, 0, 0, 0), Label::Take);
    }
    // "Pass" follows: a jump there, which nothing could come to, is one that the kernel refuses.
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// A machine that runs the programs on bytes: true when the frame is redirected.
    fn run(code: &[Instruction], frame: &[u8]) -> bool {
        let mut r = [0i64; 11];
        let mut pc = 0;
        let load = |address: i64, n: usize| {
            let at = address as usize;
            let mut b = [0; 8];
            b[..n].copy_from_slice(frame.get(at..at + n).expect("the program reads outside of the frame"));
            i64::from_le_bytes(b)
        };
        loop {
            let i = code[pc];
            pc += 1;
            let (to, from) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            let jump = match i.code {
                LOAD_WORD if from == 1 || from == 6 => {
                    r[to] = [0, frame.len() as i64, 0, 0, 3][i.offset as usize / 4];
                    false
                }
                LOAD_WORD | LOAD_HALF | LOAD_BYTE => {
                    let n = [(LOAD_WORD, 4), (LOAD_HALF, 2), (LOAD_BYTE, 1)].iter().find(|x| x.0 == i.code).unwrap().1;
                    r[to] = load(r[from] + i64::from(i.offset), n);
                    false
                }
                LOAD_CONSTANT_64 => {
                    assert_eq!((from, i.immediate), (1, 99));
                    pc += 1;
                    false
                }
                MOVE => {
                    r[to] = r[from];
                    false
                }
                MOVE_CONSTANT => {
                    r[to] = i64::from(i.immediate);
                    false
                }
                ADD_CONSTANT => {
                    r[to] += i64::from(i.immediate);
                    false
                }
                AND_CONSTANT => {
                    r[to] &= i64::from(i.immediate);
                    false
                }
                JUMP_IF_GREATER => r[to] > r[from],
                JUMP_IF_EQUAL => r[to] as i32 == i.immediate,
                JUMP_UNLESS_EQUAL => r[to] as i32 != i.immediate,
                JUMP_ALWAYS => true,
                CALL => {
                    assert_eq!((i.immediate, r[2], r[3]), (REDIRECT_MAP, 3, i64::from(XDP_PASS)));
                    return true;
                }
                EXIT => {
                    assert_eq!(r[0], i64::from(XDP_PASS));
                    return false;
                }
                other => panic!("unknown instruction {other:#x}"),
            };
            if jump {
                pc += i.offset as usize;
            }
        }
    }

    fn vxlan(destination: [u8; 4], udp_port: u16) -> Vec<u8> {
        let mut f = vec![0u8; 64];
        f[12..15].copy_from_slice(&[8, 0, 0x45]);
        f[23] = 17;
        f[30..34].copy_from_slice(&destination);
        f[36..38].copy_from_slice(&udp_port.to_be_bytes());
        f
    }

    fn vxlan6(destination: Ipv6Addr, udp_port: u16) -> Vec<u8> {
        let mut f = vec![0u8; 80];
        f[12..15].copy_from_slice(&[0x86, 0xdd, 0x6a]);
        f[20] = 17;
        f[38..54].copy_from_slice(&destination.octets());
        f[56..58].copy_from_slice(&udp_port.to_be_bytes());
        f
    }

    fn own4(i: usize) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 255 - i as u8, 254)
    }

    /// Addresses that differ in one word each.
    fn own6(i: usize) -> Ipv6Addr {
        Ipv6Addr::from(0xfd00_u128 << 112 | 1 << (32 * (i % 4)) | (i as u128) << (32 * (i % 4) + 1))
    }

    #[test]
    fn everything_is_taken_whatever_it_is() {
        let code = assemble(&Take::Everything, 99);
        for frame in [&[][..], &[0; 14], &vxlan([1, 2, 3, 4], 1)] {
            assert!(run(&code, frame));
        }
    }

    #[test]
    fn only_tunnel_packets_to_our_addresses_are_taken() {
        for n in [1, 2, 5, Take::ADDRESSES_MAX / 2] {
            let local: Vec<_> = (0..n).flat_map(|i| [IpAddr::V4(own4(i)), IpAddr::V6(own6(i))]).collect();
            let code = assemble(&Take::Tunnel { local, udp_port: 4789 }, 99);
            for i in 0..n {
                assert!(run(&code, &vxlan(own4(i).octets(), 4789)), "{i} of {n}");
                assert!(!run(&code, &vxlan(own4(i).octets(), 4790)));
                assert!(run(&code, &vxlan6(own6(i), 4789)), "{i} of {n}");
                assert!(!run(&code, &vxlan6(own6(i), 4790)));
            }
            assert!(!run(&code, &vxlan([192, 168, 1, 1], 4789)));
            assert!(!run(&code, &vxlan6(own6(99), 4789)));
        }
        for local in [vec![], vec![IpAddr::V4(own4(0))], vec![IpAddr::V6(own6(0))]] {
            let code = assemble(&Take::Tunnel { local: local.clone(), udp_port: 4789 }, 99);
            assert!(!run(&code, &vxlan([0; 4], 4789)) && !run(&code, &vxlan6(own6(1), 4789)), "{local:?}");
        }
    }

    #[test]
    fn short_frames_fragments_options_and_other_protocols_are_left_to_the_host() {
        let code = assemble(&Take::Tunnel { local: vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V6(own6(1))], udp_port: 4789 }, 99);
        let good = vxlan([10, 0, 0, 1], 4789);
        assert!(run(&code, &good));
        for len in 0..42 {
            assert!(!run(&code, &good[..len]), "{len} bytes");
        }
        assert!(run(&code, &good[..42]));
        for (at, value) in [(12, 0x86), (13, 0x06), (14, 0x46), (14, 0x65), (20, 0x20), (20, 0x01), (21, 0x01), (23, 6)] {
            let mut f = good.clone();
            f[at] = value;
            assert!(!run(&code, &f), "byte {at} = {value:#x}");
        }
        let mut whole = good;
        whole[20] = 0x40;
        assert!(run(&code, &whole), "the don't-fragment bit makes no fragment");
        let good = vxlan6(own6(1), 4789);
        for len in 0..62 {
            assert!(!run(&code, &good[..len]), "{len} bytes");
        }
        assert!(run(&code, &good[..62]));
        for (at, value) in [(13, 0xde), (14, 0x45), (20, 44), (20, 0), (20, 6)] {
            let mut f = good.clone();
            f[at] = value;
            assert!(!run(&code, &f), "byte {at} = {value:#x}");
        }
    }
}

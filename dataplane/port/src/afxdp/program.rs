//! The XDP programs, assembled instruction by instruction.
//!
//! Invariant: a frame that a program does not take goes on to the host's own stack, unchanged.

use std::net::Ipv4Addr;

/// Which frames of a device the switch takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Take {
    /// All of them: the device belongs to the switch.
    Everything,
    /// Those that tunnel peers send to us; the host keeps the rest. Fragments and packets with IP
    /// options go to the host as well, which reassembles them for a UDP socket.
    Tunnel {
        /// Our addresses, at most [`Take::ADDRESSES_MAX`].
        local: Vec<Ipv4Addr>,
        /// UDP destination port.
        udp_port: u16,
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
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

const MAP_BY_DESCRIPTOR: u8 = 1;
const REDIRECT_MAP: i32 = 51;
const XDP_PASS: i32 = 2;

/// Offsets in the program's argument (`xdp_md`).
const FIRST_BYTE: i16 = 0;
const END: i16 = 4;
const QUEUE: i16 = 16;

/// Offsets in an untagged Ethernet frame with an IPv4 header without options.
const ETHERTYPE: i16 = 12;
const VERSION_AND_LENGTH: i16 = 14;
const FRAGMENT: i16 = 20;
const PROTOCOL: i16 = 23;
const DESTINATION: i16 = 30;
const UDP_DESTINATION: i16 = 36;
const HEADERS: i32 = 42;

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
    if let Take::Tunnel { local, udp_port } = take {
        choose(&mut code, local, *udp_port);
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

/// Goes on behind itself for a frame that is ours, and leaves the program with "pass" for others.
fn choose(code: &mut Vec<Instruction>, local: &[Ipv4Addr], udp_port: u16) {
    let local = local.get(..Take::ADDRESSES_MAX).unwrap_or(local);
    let mut body = vec![
        op(LOAD_HALF, 5, 2, ETHERTYPE, 0),
        op(JUMP_UNLESS_EQUAL, 5, 0, PASS, network16(0x0800)),
        op(LOAD_BYTE, 5, 2, VERSION_AND_LENGTH, 0),
        op(JUMP_UNLESS_EQUAL, 5, 0, PASS, 0x45),
        op(LOAD_HALF, 5, 2, FRAGMENT, 0),
        op(AND_CONSTANT, 5, 0, 0, network16(0x3fff)),
        op(JUMP_UNLESS_EQUAL, 5, 0, PASS, 0),
        op(LOAD_BYTE, 5, 2, PROTOCOL, 0),
        op(JUMP_UNLESS_EQUAL, 5, 0, PASS, 17),
        op(LOAD_HALF, 5, 2, UDP_DESTINATION, 0),
        op(JUMP_UNLESS_EQUAL, 5, 0, PASS, network16(udp_port)),
        op(LOAD_WORD, 5, 2, DESTINATION, 0),
    ];
    for (i, address) in local.iter().enumerate() {
        // A match jumps over the other addresses, the jump to "pass" and "pass" itself.
        let over = (local.len() - 1 - i) as i16 + 2;
        body.push(op(JUMP_IF_EQUAL, 5, 0, over, u32::from(*address).to_be() as i32));
    }
    let pass = [op(MOVE_CONSTANT, 0, 0, 0, XDP_PASS), op(EXIT, 0, 0, 0, 0)];
    let length = body.len() as i16;
    for (at, i) in body.iter_mut().enumerate() {
        if i.offset == PASS {
            i.offset = length - at as i16 - 1;
        }
    }
    code.extend([
        op(LOAD_WORD, 2, 1, FIRST_BYTE, 0),
        op(LOAD_WORD, 3, 1, END, 0),
        op(MOVE, 4, 2, 0, 0),
        op(ADD_CONSTANT, 4, 0, 0, HEADERS),
        op(JUMP_IF_GREATER, 4, 3, length, 0),
    ]);
    code.append(&mut body);
    code.extend(pass);
}

/// Stands for the distance to "pass" until that is known.
const PASS: i16 = i16::MAX;


#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn everything_is_taken_whatever_it_is() {
        let code = assemble(&Take::Everything, 99);
        for frame in [&[][..], &[0; 14], &vxlan([1, 2, 3, 4], 1)] {
            assert!(run(&code, frame));
        }
    }

    #[test]
    fn only_tunnel_packets_to_our_addresses_are_taken() {
        for n in [1, 2, 5, Take::ADDRESSES_MAX] {
            let local: Vec<_> = (0..n).map(|i| Ipv4Addr::new(192, 168, 255 - i as u8, 254)).collect();
            let code = assemble(&Take::Tunnel { local: local.clone(), udp_port: 4789 }, 99);
            for a in &local {
                assert!(run(&code, &vxlan(a.octets(), 4789)), "{a} of {n}");
                assert!(!run(&code, &vxlan(a.octets(), 4790)));
            }
            assert!(!run(&code, &vxlan([192, 168, 1, 1], 4789)));
        }
        let none = assemble(&Take::Tunnel { local: vec![], udp_port: 4789 }, 99);
        assert!(!run(&none, &vxlan([0; 4], 4789)));
    }

    #[test]
    fn short_frames_fragments_options_and_other_protocols_are_left_to_the_host() {
        let code = assemble(&Take::Tunnel { local: vec![Ipv4Addr::new(10, 0, 0, 1)], udp_port: 4789 }, 99);
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
    }
}

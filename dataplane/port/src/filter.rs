//! The filter of a packet socket that is to see tunnel packets only (classic BPF).
//!
//! Invariant: it accepts what the XDP program of [`crate::afxdp::Take::Tunnel`] redirects, and
//! packets with IP options as well, which the host cannot be asked to keep to itself here.

use std::io;
use std::os::fd::OwnedFd;

use crate::afxdp::Take;
use crate::sys::set_option;

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF_BEHIND_HEADER: u16 = 0x48;
const HEADER_LENGTH: u16 = 0xb1;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
/// Where the kernel says whether a VLAN tag is kept beside the frame.
const TAG_PRESENT: u32 = (-0x1000i32 + 48) as u32;

/// Stands for the distance to the end until that is known: drop, or accept.
const DROP: u8 = 255;
const ACCEPT: u8 = 254;

fn op(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// The filter for a choice of frames; none when all are wanted.
fn assemble(take: &Take) -> Option<Vec<libc::sock_filter>> {
    let Take::Tunnel { local, udp_port } = take else { return None };
    let mut code = vec![
        op(LOAD_WORD, 0, 0, TAG_PRESENT),
        op(JUMP_EQUAL, 0, DROP, 0),
        op(LOAD_HALF, 0, 0, 12),
        op(JUMP_EQUAL, 0, DROP, 0x0800),
        op(LOAD_HALF, 0, 0, 20),
        op(JUMP_ANY_BIT, DROP, 0, 0x3fff),
        op(LOAD_BYTE, 0, 0, 23),
        op(JUMP_EQUAL, 0, DROP, 17),
        op(HEADER_LENGTH, 0, 0, 14),
        op(LOAD_HALF_BEHIND_HEADER, 0, 0, 16),
        op(JUMP_EQUAL, 0, DROP, u32::from(*udp_port)),
        op(LOAD_WORD, 0, 0, 30),
    ];
    let known = local.get(..Take::ADDRESSES_MAX).unwrap_or(local);
    code.extend(known.iter().map(|a| op(JUMP_EQUAL, ACCEPT, 0, u32::from(*a))));
    let drop_at = code.len();
    code.extend([op(RETURN, 0, 0, 0), op(RETURN, 0, 0, u32::MAX)]);
    for (at, i) in code.iter_mut().enumerate() {
        for target in [&mut i.jt, &mut i.jf] {
            match *target {
                DROP => *target = (drop_at - at - 1) as u8,
                ACCEPT => *target = (drop_at + 1 - at - 1) as u8,
                _ => {}
            }
        }
    }
    Some(code)
}

/// Attaches the filter to a socket, in the place of an earlier one.
pub(crate) fn attach(fd: &OwnedFd, take: &Take) -> io::Result<()> {
    match assemble(take) {
        Some(mut code) => {
            let program = libc::sock_fprog { len: code.len() as libc::c_ushort, filter: code.as_mut_ptr() };
            set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
        }
        None => match set_option(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0i32) {
            // There was none.
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            other => other,
        },
    }
}

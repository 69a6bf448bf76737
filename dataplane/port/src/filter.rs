//! The filter of a packet socket that is to see tunnel packets only (classic BPF).
//!
//! Invariant: it accepts what the XDP program of [`crate::afxdp::Take::Tunnel`] redirects, and
//! packets with IP options as well, which the host cannot be asked to keep to itself here.

use std::io;
use std::net::IpAddr;
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

const JUMP: u16 = 0x05;
const ACCEPT: u32 = u32::MAX;
const DROP: u32 = 0;

fn op(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Goes on where what was loaded is `value`; drops the frame else.
fn require(code: &mut Vec<libc::sock_filter>, load: u16, at: u32, value: u32) {
    code.extend([op(load, 0, 0, at), op(JUMP_EQUAL, 1, 0, value), op(RETURN, 0, 0, DROP)]);
}

/// The filter for a choice of frames; none when all are wanted.
fn assemble(take: &Take) -> Option<Vec<libc::sock_filter>> {
    let known = |local: &'_ [IpAddr]| local.get(..Take::ADDRESSES_MAX).unwrap_or(local).to_vec();
    let (over4, over6) = match take {
        Take::Everything => return None,
        Take::Tunnel { local, udp_port } => (over_ipv4(&known(local), *udp_port), over_ipv6(&known(local), *udp_port)),
        Take::Fragments { local } => (fragments4(&known(local)), fragments6(&known(local))),
    };
    let mut code = Vec::new();
    require(&mut code, LOAD_WORD, TAG_PRESENT, 0);
    code.extend([
        op(LOAD_HALF, 0, 0, 12),
        op(JUMP_EQUAL, 1, 0, 0x0800),
        // Jumps of comparisons do not reach far enough.
        op(JUMP, 0, 0, over4.len() as u32),
    ]);
    code.extend(over4);
    code.extend(over6);
    Some(code)
}

fn over_ipv4(local: &[IpAddr], udp_port: u16) -> Vec<libc::sock_filter> {
    let mut code = vec![op(LOAD_HALF, 0, 0, 20), op(JUMP_ANY_BIT, 0, 1, 0x3fff), op(RETURN, 0, 0, DROP)];
    require(&mut code, LOAD_BYTE, 23, 17);
    code.push(op(HEADER_LENGTH, 0, 0, 14));
    require(&mut code, LOAD_HALF_BEHIND_HEADER, 16, u32::from(udp_port));
    to_any4(&mut code, local);
    code
}

fn fragments4(local: &[IpAddr]) -> Vec<libc::sock_filter> {
    let mut code = vec![op(LOAD_HALF, 0, 0, 20), op(JUMP_ANY_BIT, 1, 0, 0x3fff), op(RETURN, 0, 0, DROP)];
    require(&mut code, LOAD_BYTE, 23, 17);
    to_any4(&mut code, local);
    code
}

/// Accepts what is for one of these, drops what is not.
fn to_any4(code: &mut Vec<libc::sock_filter>, local: &[IpAddr]) {
    code.push(op(LOAD_WORD, 0, 0, 30));
    for address in local {
        if let IpAddr::V4(a) = address {
            code.extend([op(JUMP_EQUAL, 0, 1, u32::from(*a)), op(RETURN, 0, 0, ACCEPT)]);
        }
    }
    code.push(op(RETURN, 0, 0, DROP));
}

/// Packets without extension headers; those with any are left to the host.
fn over_ipv6(local: &[IpAddr], udp_port: u16) -> Vec<libc::sock_filter> {
    let mut code = Vec::new();
    require(&mut code, LOAD_HALF, 12, 0x86dd);
    require(&mut code, LOAD_BYTE, 20, 17);
    require(&mut code, LOAD_HALF, 56, u32::from(udp_port));
    to_any6(&mut code, local);
    code
}

/// Fragment headers that follow the IPv6 header at once, as those of tunnel packets do.
fn fragments6(local: &[IpAddr]) -> Vec<libc::sock_filter> {
    let mut code = Vec::new();
    require(&mut code, LOAD_HALF, 12, 0x86dd);
    require(&mut code, LOAD_BYTE, 20, 44);
    require(&mut code, LOAD_BYTE, 54, 17);
    to_any6(&mut code, local);
    code
}

fn to_any6(code: &mut Vec<libc::sock_filter>, local: &[IpAddr]) {
    for address in local {
        let IpAddr::V6(a) = address else { continue };
        let bits = u128::from(*a);
        for (i, at) in [38, 42, 46, 50].into_iter().enumerate() {
            // To the next address: over what is left of this one's comparisons and its end.
            let rest = (3 - i) as u8 * 2 + 1;
            code.extend([op(LOAD_WORD, 0, 0, at), op(JUMP_EQUAL, 0, rest, (bits >> (96 - 32 * i)) as u32)]);
        }
        code.push(op(RETURN, 0, 0, ACCEPT));
    }
    code.push(op(RETURN, 0, 0, DROP));
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

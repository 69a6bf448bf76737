//! The few calls of bpf(2) that an XDP program and its socket map need.
//!
//! Invariant: everything made here is a descriptor of this process, and vanishes with it.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::program::Instruction;
use crate::sys::check;

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const PROGRAM_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const LINK_UPDATE: libc::c_int = 29;
const LINK_DETACH: libc::c_int = 34;
const MAP_TYPE_SOCKETS: u32 = 17;
const PROGRAM_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const PROGRAM_TYPE_CLASSIFIER: u32 = 3;
const ATTACH_INGRESS: u32 = 46;
const PROGRAM_HAS_FRAGMENTS: u32 = 1 << 5;
/// Attach in the driver, or in the kernel's generic receive path.
pub(super) const NATIVE: u32 = 1 << 2;
pub(super) const GENERIC: u32 = 1 << 1;

const LICENSE: &std::ffi::CStr = c"Apache-2.0";
const NAME: [u8; 16] = *b"sluice\0\0\0\0\0\0\0\0\0\0";

/// One call; `attributes` is the command's part of the kernel's `union bpf_attr`.
fn bpf<T: Copy>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    let p = std::ptr::from_ref(attributes);
    // SAFETY: the pointer and size describe `attributes`; pointers inside of it are the caller's,
    // who keeps what they point to alive across the call.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, p, size_of::<T>() as libc::c_uint) } as libc::c_int)
}

fn descriptor(fd: libc::c_int) -> OwnedFd {
    // SAFETY: the kernel has just made the descriptor for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[derive(Clone, Copy)]
#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; 16],
}

/// A map from receive queue to AF_XDP socket.
pub(super) fn socket_map(queues: u32) -> io::Result<OwnedFd> {
    let a = MapCreate {
        kind: MAP_TYPE_SOCKETS,
        key_size: 4,
        value_size: 4,
        entries: queues,
        flags: 0,
        inner_map: 0,
        numa_node: 0,
        name: NAME,
    };
    bpf(MAP_CREATE, &a).map(descriptor)
}

#[derive(Clone, Copy)]
#[repr(C)]
struct MapUpdate {
    map: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Enters the socket of a queue.
pub(super) fn enter_socket(map: &OwnedFd, queue: u32, socket: &OwnedFd) -> io::Result<()> {
    let value = socket.as_raw_fd();
    let a = MapUpdate {
        map: map.as_raw_fd() as u32,
        _pad: 0,
        key: std::ptr::from_ref(&queue) as u64,
        value: std::ptr::from_ref(&value) as u64,
        flags: 0,
    };
    bpf(MAP_UPDATE, &a).map(drop)
}

#[derive(Clone, Copy)]
#[repr(C)]
struct ProgramLoad {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    device: u32,
    attach: u32,
}

/// Loads the program that drops every frame behind the packet sockets.
pub(crate) fn load_for_ingress() -> io::Result<OwnedFd> {
    let code = super::program::drop_all();
    let a = ProgramLoad {
        kind: PROGRAM_TYPE_CLASSIFIER,
        instructions: code.len() as u32,
        code: code.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: NAME,
        device: 0,
        attach: ATTACH_INGRESS,
    };
    bpf(PROGRAM_LOAD, &a).map(descriptor)
}

/// Attaches that program to a device for as long as the link is open.
pub(crate) fn drop_on_ingress(program: &OwnedFd, device: u32) -> io::Result<OwnedFd> {
    let a = LinkCreate { program: program.as_raw_fd() as u32, device, attach: ATTACH_INGRESS, flags: 0 };
    bpf(LINK_CREATE, &a).map(descriptor)
}

/// Loads a program; with `fragments` it is also offered frames of several buffers.
/// On refusal the error carries the end of what the kernel's verifier said.
pub(super) fn load(code: &[Instruction], fragments: bool) -> io::Result<OwnedFd> {
    let mut a = ProgramLoad {
        kind: PROGRAM_TYPE_XDP,
        instructions: code.len() as u32,
        code: code.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: if fragments { PROGRAM_HAS_FRAGMENTS } else { 0 },
        name: NAME,
        device: 0,
        attach: ATTACH_XDP,
    };
    let refused = match bpf(PROGRAM_LOAD, &a) {
        Ok(fd) => return Ok(descriptor(fd)),
        Err(e) => e,
    };
    if refused.raw_os_error() != Some(libc::EINVAL) && refused.raw_os_error() != Some(libc::EACCES) {
        return Err(refused);
    }
    // Once more with a log, to be able to say why.
    let mut log = vec![0u8; 16_384];
    (a.log_level, a.log_size, a.log) = (1, log.len() as u32, log.as_mut_ptr() as u64);
    match bpf(PROGRAM_LOAD, &a) {
        Ok(fd) => Ok(descriptor(fd)),
        Err(e) => {
            let text = String::from_utf8_lossy(&log);
            let last = text.trim_end_matches('\0').lines().rev().find(|l| !l.starts_with("processed")).unwrap_or("");
            Err(io::Error::new(e.kind(), format!("{refused}; the verifier says: {last}")))
        }
    }
}

#[derive(Clone, Copy)]
#[repr(C)]
struct LinkCreate {
    program: u32,
    device: u32,
    attach: u32,
    flags: u32,
}

/// A program on a device; it is off again when this goes, or with the process.
#[derive(Debug)]
pub(super) struct Link(OwnedFd);

impl Drop for Link {
    /// Closing alone is not enough: a child that this process is just making holds the descriptor too until it runs
    /// its own program, and so long the device would be taken. Where the kernel refuses, closing has to do.
    fn drop(&mut self) {
        let _ = bpf(LINK_DETACH, &(self.0.as_raw_fd() as u32));
    }
}

/// Attaches a program to a device for as long as the link is there.
pub(super) fn link(program: &OwnedFd, device: u32, mode: u32) -> io::Result<Link> {
    let a = LinkCreate { program: program.as_raw_fd() as u32, device, attach: ATTACH_XDP, flags: mode };
    bpf(LINK_CREATE, &a).map(|fd| Link(descriptor(fd)))
}

#[derive(Clone, Copy)]
#[repr(C)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// Puts another program in the place of the attached one, between two frames.
pub(super) fn replace(link: &Link, program: &OwnedFd) -> io::Result<()> {
    let a = LinkUpdate { link: link.0.as_raw_fd() as u32, program: program.as_raw_fd() as u32, flags: 0, old_program: 0 };
    bpf(LINK_UPDATE, &a).map(drop)
}

//! The Unix socket of a front: messages with descriptors, in both directions.
//!
//! Invariant: no more descriptors and bytes are taken in than a message may have; every wait ends when
//! the port is closed.
//! Deliberately does not know: what messages mean.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::protocol::{read_header, write_header, HEADER};
use crate::sys::{bind, check, retry, set_option, socket};

/// Descriptors that one message may have.
pub(crate) const DESCRIPTORS_MAX: usize = 8;
/// Longest wait for a front that does not read what we answer.
const SEND_TIMEOUT_S: libc::time_t = 5;
/// Room for the control part of a message, in words so that it is aligned.
const CONTROL_WORDS: usize = 16;

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Message {
    pub request: u32,
    pub flags: u32,
    pub body: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

/// What a wait ended with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ready {
    /// The socket can be read.
    Socket,
    /// The worker or the closing of the port wants attention.
    Notice,
    /// Time is over.
    Timeout,
}

/// Waits for a socket (if any) or a notice. A notice is taken in.
pub(crate) fn wait(socket: Option<RawFd>, notice: &OwnedFd, timeout: Option<Duration>) -> io::Result<Ready> {
    let mut fds = [
        libc::pollfd { fd: notice.as_raw_fd(), events: libc::POLLIN, revents: 0 },
        libc::pollfd { fd: socket.unwrap_or(-1), events: libc::POLLIN, revents: 0 },
    ];
    let ms = timeout.map_or(-1, |t| t.as_millis().min(60_000) as libc::c_int);
    // SAFETY: two entries are passed.
    let n = retry(|| unsafe { libc::poll(fds.as_mut_ptr(), 2, ms) } as isize)?;
    if fds[0].revents != 0 {
        let mut count = 0u64;
        // SAFETY: eight bytes of a local are written. The descriptor is our own and never blocks.
        unsafe { libc::read(notice.as_raw_fd(), std::ptr::from_mut(&mut count).cast(), 8) };
        return Ok(Ready::Notice);
    }
    Ok(if n == 0 { Ready::Timeout } else { Ready::Socket })
}

fn address(path: &Path) -> io::Result<libc::sockaddr_un> {
    // SAFETY: all zero is a valid address.
    let mut a: libc::sockaddr_un = unsafe { zeroed() };
    a.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.len() >= a.sun_path.len() || bytes.contains(&0) {
        let why = format!("a socket's path has 1 to {} bytes", a.sun_path.len() - 1);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    for (to, from) in a.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(a)
}

fn stream() -> io::Result<OwnedFd> {
    socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)
}

/// Listens at a path. What is there goes, unless someone listens there.
pub(crate) fn listen(path: &Path) -> io::Result<OwnedFd> {
    if connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let fd = stream()?;
    bind(&fd, &address(path)?)?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::listen(fd.as_raw_fd(), 1) })?;
    Ok(fd)
}

/// Takes a connection.
pub(crate) fn accept(listener: &OwnedFd) -> io::Result<OwnedFd> {
    let null = std::ptr::null_mut();
    // SAFETY: no address is asked for.
    let fd = retry(|| unsafe { libc::accept4(listener.as_raw_fd(), null, std::ptr::null_mut(), libc::SOCK_CLOEXEC) } as isize)?;
    // SAFETY: the descriptor is new and ours alone.
    prepare(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Connects, or fails at once.
pub(crate) fn connect(path: &Path) -> io::Result<OwnedFd> {
    let a = address(path)?;
    let fd = socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
    let len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: the address outlives the call. A full queue of the listener is an error, not a wait.
    check(unsafe { libc::connect(fd.as_raw_fd(), std::ptr::from_ref(&a).cast(), len) })?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, 0) })?;
    prepare(fd)
}

fn prepare(fd: OwnedFd) -> io::Result<OwnedFd> {
    let timeout = libc::timeval { tv_sec: SEND_TIMEOUT_S, tv_usec: 0 };
    set_option(&fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &timeout)?;
    Ok(fd)
}

/// Reads what waits; an error at the end of the stream.
fn read(fd: &OwnedFd, to: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut control = [0u64; CONTROL_WORDS];
    let mut vector = libc::iovec { iov_base: to.as_mut_ptr().cast(), iov_len: to.len() };
    // SAFETY: all zero is a valid message.
    let mut m: libc::msghdr = unsafe { zeroed() };
    m.msg_iov = &mut vector;
    m.msg_iovlen = 1;
    m.msg_control = control.as_mut_ptr().cast();
    m.msg_controllen = size_of::<[u64; CONTROL_WORDS]>();
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: the message describes `to` and `control`, which outlive the call.
    let n = retry(|| unsafe { libc::recvmsg(fd.as_raw_fd(), &mut m, flags) })?;
    // SAFETY: `m` is as the kernel left it.
    unsafe { take_descriptors(&m, fds) };
    if m.msg_flags & libc::MSG_CTRUNC != 0 || fds.len() > DESCRIPTORS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message has too many descriptors"));
    }
    if n == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the front closed the connection"));
    }
    Ok(n)
}

/// Takes ownership of all descriptors that came.
///
/// # Safety
/// `m` is a message that the kernel filled in, whose control part is still there.
unsafe fn take_descriptors(m: &libc::msghdr, fds: &mut Vec<OwnedFd>) {
    // SAFETY: the walk is libc's own, over what the kernel wrote; the descriptors are new and ours.
    unsafe {
        let mut c = libc::CMSG_FIRSTHDR(m);
        while !c.is_null() {
            if (*c).cmsg_level == libc::SOL_SOCKET && (*c).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*c).cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
                let first = libc::CMSG_DATA(c).cast::<RawFd>();
                for i in 0..bytes / size_of::<RawFd>() {
                    fds.push(OwnedFd::from_raw_fd(first.add(i).read_unaligned()));
                }
            }
            c = libc::CMSG_NXTHDR(m, c);
        }
    }
}

/// Fills `to`, waiting for more where the front sends in pieces. `None` when the port is closed.
fn fill(
    fd: &OwnedFd,
    notice: &OwnedFd,
    to: &mut [u8],
    fds: &mut Vec<OwnedFd>,
    closing: &dyn Fn() -> bool,
) -> io::Result<Option<()>> {
    let mut done = 0;
    while let Some(rest) = to.get_mut(done..).filter(|r| !r.is_empty()) {
        match read(fd, rest, fds) {
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                if wait(Some(fd.as_raw_fd()), notice, None)? == Ready::Notice && closing() {
                    return Ok(None);
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(Some(()))
}

/// Reads one message. `None` when the port is closed meanwhile.
pub(crate) fn receive(fd: &OwnedFd, notice: &OwnedFd, closing: &dyn Fn() -> bool) -> io::Result<Option<Message>> {
    let mut header = [0; HEADER];
    let mut fds = Vec::new();
    if fill(fd, notice, &mut header, &mut fds, closing)?.is_none() {
        return Ok(None);
    }
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let (request, flags, len) = read_header(&header).map_err(|r| invalid(r.0))?;
    let mut body = vec![0; len];
    if fill(fd, notice, &mut body, &mut fds, closing)?.is_none() {
        return Ok(None);
    }
    Ok(Some(Message { request, flags, body, fds }))
}

/// Writes one message, with a descriptor where given.
pub(crate) fn send(fd: &OwnedFd, request: u32, flags: u32, body: &[u8], extra: Option<&OwnedFd>) -> io::Result<()> {
    let mut bytes = write_header(request, flags, body.len()).to_vec();
    bytes.extend_from_slice(body);
    let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut control = [0u64; CONTROL_WORDS];
    // SAFETY: all zero is a valid message.
    let mut m: libc::msghdr = unsafe { zeroed() };
    m.msg_iov = &mut vector;
    m.msg_iovlen = 1;
    if let Some(extra) = extra {
        let len = size_of::<RawFd>() as u32;
        m.msg_control = control.as_mut_ptr().cast();
        // SAFETY: the control part has room for one descriptor.
        unsafe {
            m.msg_controllen = libc::CMSG_SPACE(len) as usize;
            let c = libc::CMSG_FIRSTHDR(&m);
            (*c).cmsg_level = libc::SOL_SOCKET;
            (*c).cmsg_type = libc::SCM_RIGHTS;
            (*c).cmsg_len = libc::CMSG_LEN(len) as usize;
            libc::CMSG_DATA(c).cast::<RawFd>().write_unaligned(extra.as_raw_fd());
        }
    }
    // SAFETY: the message describes `bytes` and `control`, which outlive the call.
    let n = retry(|| unsafe { libc::sendmsg(fd.as_raw_fd(), &m, libc::MSG_NOSIGNAL) })?;
    if n < bytes.len() {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the front does not read our answers"));
    }
    Ok(())
}

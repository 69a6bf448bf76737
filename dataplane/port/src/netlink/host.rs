//! The follower of the kernel's tables.
//!
//! Invariant: nothing here blocks except a request for a whole table, which the kernel answers at
//! once; whatever was missed is read anew.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::error::NetlinkError;
use super::message::{messages, u32_at, Request, NLMSG_DONE, NLMSG_ERROR, NLM_F_DUMP, NLM_F_DUMP_INTERRUPTED};
use super::read;
use super::tables::{Change, Tables};
use crate::sys::{bind, retry, set_option, socket};

/// Groups: links, neighbours, addresses and routes of both families.
const GROUPS: u32 = 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10;
const BUFFER: usize = 64 * 1024;
const QUEUE: libc::c_int = 4 << 20;
/// Times that a table is read again when it changes under the reading.
const DUMP_TRIES: u32 = 8;
/// Datagrams read by one call of [`Host::follow`].
const FOLLOW_MAX: usize = 256;

/// The host's tables, kept up to date.
#[derive(Debug)]
pub struct Host {
    events: OwnedFd,
    pub(super) requests: OwnedFd,
    pub(super) sequence: u32,
    tables: Tables,
    generation: u64,
    buffer: Vec<u8>,
}

impl Host {
    /// Reads the tables of the calling thread's network namespace and starts to follow them.
    pub fn open() -> Result<Host, NetlinkError> {
        let events = open_socket(GROUPS).map_err(|e| NetlinkError::new("listen for changes", e))?;
        // A larger queue only helps; an overrun is noticed and repaired.
        let _ = set_option(&events, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &QUEUE);
        let requests = open_socket(0).map_err(|e| NetlinkError::new("open socket", e))?;
        let mut host =
            Host { events, requests, sequence: 0, tables: Tables::default(), generation: 0, buffer: vec![0; BUFFER] };
        host.read_all(&mut Vec::new())?;
        Ok(host)
    }

    /// Readable while changes wait.
    pub fn poll_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }

    /// The tables as of the last call of [`Host::follow`].
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Grows with every change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Applies the changes that wait and appends those that altered anything. Never waits for one.
    pub fn follow(&mut self, changes: &mut Vec<Change>) -> Result<(), NetlinkError> {
        let mut routes_lost = false;
        for _ in 0..FOLLOW_MAX {
            let n = match self.receive_event() {
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {
                    // The kernel had more to tell than fits: start again from the whole.
                    routes_lost = false;
                    self.read_all(changes)?;
                    continue;
                }
                Err(e) => return Err(NetlinkError::new("read changes", e)),
            };
            let bytes = self.buffer.get(..n).unwrap_or(&[]);
            for change in messages(bytes).filter_map(|m| read::change(&m)) {
                routes_lost |= takes_routes_along(&self.tables, &change);
                if self.tables.apply(&change) {
                    self.generation += 1;
                    changes.push(change);
                }
            }
        }
        if routes_lost {
            self.record(Change::RoutesCleared, changes);
            self.dump_family(libc::RTM_GETROUTE, changes)?;
        }
        Ok(())
    }

    fn receive_event(&mut self) -> io::Result<usize> {
        receive(&self.events, &mut self.buffer, libc::MSG_DONTWAIT)
    }

    fn record(&mut self, change: Change, changes: &mut Vec<Change>) {
        if self.tables.apply(&change) {
            self.generation += 1;
            changes.push(change);
        }
    }

    fn read_all(&mut self, changes: &mut Vec<Change>) -> Result<(), NetlinkError> {
        self.record(Change::Cleared, changes);
        for kind in [libc::RTM_GETLINK, libc::RTM_GETADDR, libc::RTM_GETROUTE, libc::RTM_GETNEIGH] {
            self.dump_family(kind, changes)?;
        }
        Ok(())
    }

    /// Reads one whole table, again when it changed meanwhile.
    fn dump_family(&mut self, kind: u16, changes: &mut Vec<Change>) -> Result<(), NetlinkError> {
        for _ in 0..DUMP_TRIES {
            let complete = self.dump(kind, changes).map_err(|e| NetlinkError::new("read table", e))?;
            if complete {
                return Ok(());
            }
        }
        // It changes all the time; the changes themselves are followed.
        Ok(())
    }

    /// Reads one whole table: false when the kernel says that it changed meanwhile.
    fn dump(&mut self, kind: u16, changes: &mut Vec<Change>) -> io::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        // The longest fixed part that any of the four kinds of request has.
        let request = Request::new(kind, NLM_F_DUMP, self.sequence, &[0; 16]).finish();
        send(&self.requests, &request)?;
        let mut complete = true;
        loop {
            let n = receive(&self.requests, &mut self.buffer, 0)?;
            let (mut done, mut refused, mut read) = (false, None, Vec::new());
            let sequence = self.sequence;
            for m in messages(self.buffer.get(..n).unwrap_or(&[])).filter(|m| m.sequence == sequence) {
                complete &= m.flags & NLM_F_DUMP_INTERRUPTED == 0;
                match m.kind {
                    NLMSG_DONE => done = true,
                    NLMSG_ERROR => refused = Some(error_of(m.body)),
                    _ => read.extend(read::change(&m)),
                }
            }
            read.into_iter().for_each(|change| self.record(change, changes));
            if let Some(e) = refused {
                return Err(e);
            }
            if done {
                return Ok(complete);
            }
        }
    }
}

/// Does the kernel remove routes with this change and not say which?
fn takes_routes_along(tables: &Tables, change: &Change) -> bool {
    match change {
        Change::Link(l) => !l.up && tables.link(l.index).is_some_and(|before| before.up),
        Change::LinkGone(_) | Change::AddressGone(_) => true,
        _ => false,
    }
}

pub(super) fn open_socket(groups: u32) -> io::Result<OwnedFd> {
    let fd = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    // SAFETY: sockaddr_nl is plain old data; zero is a value of it.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as u16;
    address.nl_groups = groups;
    bind(&fd, &address)?;
    Ok(fd)
}

pub(super) fn send(fd: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and length describe `bytes`; an unconnected netlink socket sends to the kernel.
    retry(|| unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) }).map(drop)
}

/// Reads one datagram that the kernel sent.
pub(super) fn receive(fd: &OwnedFd, buffer: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    loop {
        // SAFETY: sockaddr_nl is plain old data; zero is a value of it.
        let mut from: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        let mut length = std::mem::size_of_val(&from) as libc::socklen_t;
        let address = std::ptr::from_mut(&mut from).cast();
        let (p, size) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: the pointers and lengths describe `buffer` and `from`.
        let n = retry(|| unsafe { libc::recvfrom(fd.as_raw_fd(), p, size, flags, address, &mut length) })?;
        // Another process may send here as well; only the kernel has number 0.
        if from.nl_pid == 0 {
            return Ok(n);
        }
    }
}

/// The error in an acknowledgement; number 0 means success.
pub(super) fn error_of(body: &[u8]) -> io::Error {
    let number = u32_at(body, 0).map_or(libc::EBADMSG, |v| (v as i32).wrapping_neg());
    io::Error::from_raw_os_error(number)
}

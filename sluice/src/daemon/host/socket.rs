//! The netlink socket.
//!
//! Purpose: reads everything once, then every change; starts over when the kernel lost some.
//! Invariant: never blocks; one dump at a time, as the kernel wants it.
//! Deliberately does not know: what the updates mean.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::message::{dump_request, parse, resolve_request, Dump, Update};

/// Links, neighbours, and addresses and routes of both families.
const GROUPS: u32 = 0x1 | 0x4 | 0x10 | 0x40 | 0x100 | 0x400;

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// Changes.
    Updates(Vec<Update>),
    /// Everything is read anew: forget what was known.
    Restarted,
    /// Nothing more now.
    Empty,
}

/// A socket that follows the host.
pub struct HostSocket {
    socket: Socket,
    dump: Option<Dump>,
    interrupted: bool,
    sequence: u32,
}

impl HostSocket {
    /// Subscribes, and asks for everything.
    pub fn open() -> io::Result<HostSocket> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, GROUPS))?;
        socket.set_non_blocking(true)?;
        // Room for bursts; less is no harm, only a reason to read anew.
        let _ = socket.set_rx_buf_sz(1u32 << 20);
        let mut host = HostSocket { socket, dump: None, interrupted: false, sequence: 0 };
        host.ask(Dump::Links)?;
        Ok(host)
    }

    /// Whether everything has been read once.
    pub fn is_complete(&self) -> bool {
        self.dump.is_none()
    }

    /// Reads one datagram.
    pub fn read(&mut self) -> io::Result<Reading> {
        let bytes = match self.socket.recv_from_full() {
            Ok((bytes, _)) => bytes,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Reading::Empty),
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return self.restart(),
            Err(e) => return Err(e),
        };
        let updates = parse(&bytes);
        self.interrupted |= updates.contains(&Update::Interrupted);
        if updates.contains(&Update::Done) {
            if std::mem::take(&mut self.interrupted) {
                return self.restart();
            }
            self.dump = self.dump.and_then(Dump::next);
            if let Some(dump) = self.dump {
                self.ask(dump)?;
            }
        }
        Ok(Reading::Updates(updates))
    }

    /// Asks the kernel to find out a neighbour's hardware address.
    pub fn resolve(&mut self, index: u32, address: IpAddr) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send(&resolve_request(index, address, self.sequence), 0).map(|_| ())
    }

    fn restart(&mut self) -> io::Result<Reading> {
        // While a dump is under way its end comes first; it then starts over.
        if self.dump.is_some() && !self.interrupted {
            self.interrupted = true;
            return Ok(Reading::Updates(Vec::new()));
        }
        self.ask(Dump::Links)?;
        Ok(Reading::Restarted)
    }

    fn ask(&mut self, dump: Dump) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        self.dump = Some(dump);
        self.socket.send(&dump_request(dump, self.sequence), 0).map(|_| ())
    }
}

impl AsRawFd for HostSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

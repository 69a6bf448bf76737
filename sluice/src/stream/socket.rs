//! A connected byte stream, whatever carries it.
//!
//! Purpose: one type for unix sockets, TCP and TLS, so that nothing above cares.
//! Invariant: non-blocking; what cannot be done now is `WouldBlock`.
//! Deliberately does not know: what is said over it.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::keys::Keys;
use super::tls::Tls;

/// A connected stream.
#[derive(Debug)]
pub enum Stream {
    /// A unix socket.
    Unix(UnixStream),
    /// TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Tls),
}

impl Stream {
    /// Connects to a local socket.
    pub fn unix(path: &Path) -> io::Result<Stream> {
        UnixStream::connect(path).map(Stream::Unix)
    }

    /// Begins to connect; the first write tells whether it worked.
    pub fn tcp(address: SocketAddr) -> io::Result<Stream> {
        TcpStream::connect(address).map(Stream::Tcp)
    }

    /// Begins to connect with TLS; reads tell what is wrong with certificates.
    pub fn tls(address: SocketAddr, keys: &Keys) -> io::Result<Stream> {
        Tls::connect(address, keys).map(Stream::Tls)
    }

    /// Takes an accepted connection, whose other end begins TLS.
    pub fn accept_tls(socket: TcpStream, keys: &Keys) -> io::Result<Stream> {
        Tls::accept(socket, keys).map(Stream::Tls)
    }

    /// Whether nothing is kept between the socket and its reader: a short read means that the socket is empty.
    pub fn is_plain(&self) -> bool {
        !matches!(self, Stream::Tls(_))
    }

    /// Registers it for both directions.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Stream::Unix(s) => s.register(registry, token, both),
            Stream::Tcp(s) => {
                // Messages are small; waiting to fill a segment would only delay them.
                let _ = s.set_nodelay(true);
                s.register(registry, token, both)
            }
            Stream::Tls(s) => {
                let _ = s.socket.set_nodelay(true);
                s.socket.register(registry, token, both)
            }
        }
    }

    /// Registers it no more.
    pub fn deregister(&mut self, registry: &Registry) {
        // Closing does the same.
        let _ = match self {
            Stream::Unix(s) => s.deregister(registry),
            Stream::Tcp(s) => s.deregister(registry),
            Stream::Tls(s) => s.socket.deregister(registry),
        };
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(s) => s.as_fd(),
            Stream::Tcp(s) => s.as_fd(),
            Stream::Tls(s) => s.socket.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.read(bytes),
            Stream::Tcp(s) => s.read(bytes),
            Stream::Tls(s) => s.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.write(bytes),
            Stream::Tcp(s) => s.write(bytes),
            Stream::Tls(s) => s.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Unix(_) | Stream::Tcp(_) => Ok(()),
            Stream::Tls(s) => s.flush(),
        }
    }
}

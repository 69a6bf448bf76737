//! Sockets that carry OpenFlow: unix or TCP, listening or connected.
//!
//! Purpose: one type for both families, so that nothing above cares.
//! Invariant: every socket here is non-blocking.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};

use crate::stream::target::Target;

/// A connected socket.
#[derive(Debug)]
pub enum Stream {
    /// Unix.
    Unix(UnixStream),
    /// TCP.
    Tcp(TcpStream),
}

impl Stream {
    /// Begins to connect; the first write tells whether it worked.
    pub fn connect(target: &Target) -> io::Result<Stream> {
        match target {
            Target::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
            Target::Tcp(address) => TcpStream::connect(*address).map(Stream::Tcp),
        }
    }

    /// Registers it for both directions.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Stream::Unix(s) => s.register(registry, token, both),
            Stream::Tcp(s) => {
                // Answers are small; waiting to fill a segment would only delay them.
                let _ = s.set_nodelay(true);
                s.register(registry, token, both)
            }
        }
    }

    /// Registers it no more.
    pub fn deregister(&mut self, registry: &Registry) {
        let _ = match self {
            Stream::Unix(s) => s.deregister(registry),
            Stream::Tcp(s) => s.deregister(registry),
        };
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.read(bytes),
            Stream::Tcp(s) => s.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.write(bytes),
            Stream::Tcp(s) => s.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A listening socket. A unix one removes its name when it is closed.
#[derive(Debug)]
pub enum Listener {
    /// Unix.
    Unix(UnixListener, PathBuf),
    /// TCP.
    Tcp(TcpListener),
}

impl Listener {
    /// Listens on a path that must be free.
    pub fn unix(path: &Path) -> io::Result<Listener> {
        Ok(Listener::Unix(UnixListener::bind(path)?, path.to_path_buf()))
    }

    /// Listens on an address.
    pub fn tcp(address: std::net::SocketAddr) -> io::Result<Listener> {
        TcpListener::bind(address).map(Listener::Tcp)
    }

    /// The next connection and what to call its other end.
    pub fn accept(&self) -> io::Result<(Stream, String)> {
        match self {
            Listener::Unix(l, path) => l.accept().map(|(s, _)| (Stream::Unix(s), path.display().to_string())),
            Listener::Tcp(l) => l.accept().map(|(s, peer)| (Stream::Tcp(s), format!("tcp:{peer}"))),
        }
    }

    /// Registers it for new connections.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Listener::Unix(l, _) => l.register(registry, token, Interest::READABLE),
            Listener::Tcp(l) => l.register(registry, token, Interest::READABLE),
        }
    }

    /// Registers it no more.
    pub fn deregister(&mut self, registry: &Registry) {
        let _ = match self {
            Listener::Unix(l, _) => l.deregister(registry),
            Listener::Tcp(l) => l.deregister(registry),
        };
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

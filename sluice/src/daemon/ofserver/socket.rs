//! Sockets on which controllers come to us: unix or TCP.
//!
//! Purpose: one type for both families, so that nothing above cares.
//! Invariant: every socket here is non-blocking.

use std::io;
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};

use crate::stream::keys::Keys;
use crate::stream::socket::Stream;

/// A listening socket. A unix one removes its name when it is closed.
#[derive(Debug)]
pub enum Listener {
    /// Unix.
    Unix(UnixListener, PathBuf),
    /// TCP.
    Tcp(TcpListener),
    /// TCP, over which those who come speak TLS.
    Tls(TcpListener),
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

    /// Listens on an address for TLS.
    pub fn tls(address: std::net::SocketAddr) -> io::Result<Listener> {
        TcpListener::bind(address).map(Listener::Tls)
    }

    /// The next connection and what to call its other end.
    pub fn accept(&self, keys: Option<&Keys>) -> io::Result<(Stream, String)> {
        match self {
            Listener::Unix(l, path) => l.accept().map(|(s, _)| (Stream::Unix(s), path.display().to_string())),
            Listener::Tcp(l) => l.accept().map(|(s, peer)| (Stream::Tcp(s), format!("tcp:{peer}"))),
            Listener::Tls(l) => {
                let (socket, peer) = l.accept()?;
                let keys = keys.ok_or_else(|| io::Error::other(format!("ssl:{peer} came, but there are no keys for TLS")))?;
                Ok((Stream::accept_tls(socket, keys)?, format!("ssl:{peer}")))
            }
        }
    }

    /// Registers it for new connections.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Listener::Unix(l, _) => l.register(registry, token, Interest::READABLE),
            Listener::Tcp(l) | Listener::Tls(l) => l.register(registry, token, Interest::READABLE),
        }
    }

    /// Registers it no more.
    pub fn deregister(&mut self, registry: &Registry) {
        let _ = match self {
            Listener::Unix(l, _) => l.deregister(registry),
            Listener::Tcp(l) | Listener::Tls(l) => l.deregister(registry),
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

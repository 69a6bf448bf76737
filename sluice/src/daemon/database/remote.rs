//! Where the database is.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::stream::keys::Keys;
use crate::stream::socket::Stream;

/// OVSDB's registered port.
const PORT: u16 = 6640;

/// The other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// `unix:FILE`.
    Unix(PathBuf),
    /// `tcp:IP[:PORT]`.
    Tcp(SocketAddr),
    /// `ssl:IP[:PORT]`.
    Ssl(SocketAddr),
}

impl Remote {
    /// Reads the name of a remote.
    pub fn parse(text: &str) -> Result<Remote, String> {
        let bad = || format!("\"{text}\" is no database: unix:FILE, tcp:IP[:PORT] or ssl:IP[:PORT] is expected");
        let (scheme, rest) = text.split_once(':').ok_or_else(bad)?;
        match scheme {
            "unix" if !rest.is_empty() => Ok(Remote::Unix(PathBuf::from(rest))),
            "tcp" => address(rest).map(Remote::Tcp).ok_or_else(bad),
            "ssl" => address(rest).map(Remote::Ssl).ok_or_else(bad),
            _ => Err(bad()),
        }
    }

    /// Begins to connect.
    pub fn connect(&self, keys: Option<&Keys>) -> io::Result<Stream> {
        match self {
            Remote::Unix(path) => Stream::unix(path),
            Remote::Tcp(address) => Stream::tcp(*address),
            Remote::Ssl(address) => match keys {
                Some(keys) => Stream::tls(*address, keys),
                None => Err(io::Error::other("ssl needs --private-key, --certificate and --ca-cert")),
            },
        }
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().map(|ip| SocketAddr::new(ip, PORT))
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Unix(path) => write!(f, "unix:{}", path.display()),
            Remote::Tcp(address) => write!(f, "tcp:{address}"),
            Remote::Ssl(address) => write!(f, "ssl:{address}"),
        }
    }
}

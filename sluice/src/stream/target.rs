//! The names of OpenFlow connections.
//!
//! Purpose: `unix:PATH`, `tcp:HOST[:PORT]`, a path, or the name of a bridge, and where each leads.
//! Deliberately does not know: what is said over the connection.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// The registered port of OpenFlow.
pub const OPENFLOW_PORT: u16 = 6653;

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP address.
    Tcp(SocketAddr),
    /// A TCP address, with TLS.
    Ssl(SocketAddr),
}

/// Why a name leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub enum BadTarget {
    /// The word before the colon is none that we know.
    UnknownScheme,
    /// Host or port cannot be understood, or found.
    BadAddress(String),
}

/// Reads `unix:PATH`, `tcp:HOST[:PORT]` or `ssl:HOST[:PORT]`.
pub fn parse(name: &str) -> Result<Target, BadTarget> {
    let (scheme, rest) = name.split_once(':').ok_or(BadTarget::UnknownScheme)?;
    match scheme {
        "unix" => Ok(Target::Unix(PathBuf::from(rest))),
        "tcp" => tcp(rest).map(Target::Tcp),
        "ssl" => tcp(rest).map(Target::Ssl),
        _ => Err(BadTarget::UnknownScheme),
    }
}

fn tcp(text: &str) -> Result<SocketAddr, BadTarget> {
    let bad = || BadTarget::BadAddress(text.to_string());
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port.parse().map_err(|_| bad())?),
        _ => (text, OPENFLOW_PORT),
    };
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    (host, port).to_socket_addrs().ok().and_then(|mut a| a.next()).ok_or_else(bad)
}

/// The run directory: the option, else `OVS_RUNDIR`, else the system's.
pub fn run_directory(option: Option<&str>) -> PathBuf {
    match option {
        Some(path) => PathBuf::from(path),
        None => std::env::var_os("OVS_RUNDIR")
            .filter(|v| !v.is_empty())
            .map_or_else(|| PathBuf::from("/var/run/openvswitch"), PathBuf::from),
    }
}

/// The socket on which a bridge serves OpenFlow.
pub fn management_socket(run_directory: &Path, bridge: &str) -> PathBuf {
    run_directory.join(format!("{bridge}.mgmt"))
}

/// The socket on which a bridge shows what it and its controllers say.
pub fn snoop_socket(run_directory: &Path, bridge: &str) -> PathBuf {
    run_directory.join(format!("{bridge}.snoop"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_where_they_say() {
        assert_eq!(parse("unix:/run/x"), Ok(Target::Unix("/run/x".into())));
        let address = |s: &str| Target::Tcp(s.parse().unwrap());
        assert_eq!(parse("tcp:127.0.0.1"), Ok(address("127.0.0.1:6653")));
        assert_eq!(parse("tcp:127.0.0.1:66"), Ok(address("127.0.0.1:66")));
        assert_eq!(parse("tcp:[::1]:66"), Ok(address("[::1]:66")));
        assert_eq!(parse("tcp:[::1]"), Ok(address("[::1]:6653")));
        assert_eq!(parse("ssh:x"), Err(BadTarget::UnknownScheme));
        assert!(matches!(parse("tcp:127.0.0.1:99999"), Err(BadTarget::BadAddress(_))));
    }
}

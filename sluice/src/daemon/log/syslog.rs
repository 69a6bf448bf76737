//! The system's log.
//!
//! Purpose: lines to the local socket of the system's log, and to a host by UDP where asked for.
//! Invariant: sending never blocks; a line that finds no room is lost, as everywhere in syslog.
//! Deliberately does not know: levels of modules.

use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::level::Level;
use super::time::civil;

/// Number of the facility "system daemons".
const DAEMON: u8 = 3;

/// How the system's log is reached.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Method {
    /// The C library's way: the local socket.
    #[default]
    Libc,
    /// Not at all.
    Null,
    /// Another local socket.
    Unix(PathBuf),
    /// A host.
    Udp(SocketAddr),
}

impl Method {
    /// Reads `libc`, `null`, `unix:FILE` or `udp:IP:PORT`.
    pub fn parse(text: &str) -> Result<Method, String> {
        match text.split_once(':') {
            None if text == "libc" => Ok(Method::Libc),
            None if text == "null" => Ok(Method::Null),
            Some(("unix", path)) => Ok(Method::Unix(PathBuf::from(path))),
            Some(("udp", address)) => udp_address(address).map(Method::Udp),
            _ => Err(format!("syslog method '{text}' is none of libc, null, unix:FILE, udp:IP:PORT")),
        }
    }
}

/// Reads `HOST:PORT`; the port may be missing.
pub fn udp_address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().ok().and_then(|mut a| a.next());
    let found = found.or_else(|| (text, 514).to_socket_addrs().ok().and_then(|mut a| a.next()));
    found.ok_or_else(|| format!("'{text}' is no HOST:PORT that can be found"))
}

/// The sockets in use.
#[derive(Default)]
pub struct Syslog {
    method: Method,
    local: Option<UnixDatagram>,
    remote: Option<UdpSocket>,
    target: Option<(UdpSocket, SocketAddr)>,
}

impl Syslog {
    /// From now on by this method.
    pub fn set_method(&mut self, method: Method) {
        *self = Syslog { method, target: self.target.take(), ..Syslog::default() };
    }

    /// Also to this host.
    pub fn set_target(&mut self, target: SocketAddr) -> Result<(), String> {
        let socket = udp_socket(target).map_err(|e| format!("cannot send to {target}: {e}"))?;
        self.target = Some((socket, target));
        Ok(())
    }

    /// Sends a line.
    pub fn send(&mut self, level: Level, program: &str, seconds: u64, text: &str) {
        let priority = DAEMON * 8 + level.severity();
        let line = format!("<{priority}>{}{program}: {text}", local_date(seconds));
        let _ = match self.method.clone() {
            Method::Null => Ok(0),
            Method::Libc => self.send_local("/dev/log".into(), &line),
            Method::Unix(path) => self.send_local(path, &line),
            Method::Udp(address) => self.send_udp(address, &line),
        };
        if let Some((socket, target)) = &self.target {
            let _ = socket.send_to(line.as_bytes(), target);
        }
    }

    fn send_local(&mut self, path: PathBuf, line: &str) -> std::io::Result<usize> {
        if self.local.is_none() {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            self.local = Some(socket);
        }
        self.local.as_ref().map_or(Ok(0), |socket| socket.send_to(line.as_bytes(), path))
    }

    fn send_udp(&mut self, address: SocketAddr, line: &str) -> std::io::Result<usize> {
        if self.remote.is_none() {
            self.remote = Some(udp_socket(address)?);
        }
        self.remote.as_ref().map_or(Ok(0), |socket| socket.send_to(line.as_bytes(), address))
    }
}

fn udp_socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// `Jan  5 12:00:00 `.
fn local_date(seconds: u64) -> String {
    let (_, m, day) = civil((seconds / 86_400) as i64);
    let rest = seconds % 86_400;
    format!("{} {day:2} {:02}:{:02}:{:02} ", month(m), rest / 3600, rest / 60 % 60, rest % 60)
}

/// The short name of a month, 1 to 12.
pub fn month(number: i64) -> &'static str {
    const NAMES: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    usize::try_from(number - 1).ok().and_then(|i| NAMES.get(i).copied()).unwrap_or("???")
}

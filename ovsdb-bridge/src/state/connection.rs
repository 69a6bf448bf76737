//! Connections to controllers: where to, which versions, by which keys.

/// A version of OpenFlow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// OpenFlow 1.0.
    V10 = 1,
    /// OpenFlow 1.1.
    V11 = 2,
    /// OpenFlow 1.2.
    V12 = 3,
    /// OpenFlow 1.3.
    V13 = 4,
    /// OpenFlow 1.4.
    V14 = 5,
    /// OpenFlow 1.5.
    V15 = 6,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Version; 6] =
        [Version::V10, Version::V11, Version::V12, Version::V13, Version::V14, Version::V15];

    /// The number in a message header.
    pub const fn wire(self) -> u8 {
        self as u8
    }

    /// The name that Open vSwitch uses.
    pub const fn name(self) -> &'static str {
        match self {
            Version::V10 => "OpenFlow10",
            Version::V11 => "OpenFlow11",
            Version::V12 => "OpenFlow12",
            Version::V13 => "OpenFlow13",
            Version::V14 => "OpenFlow14",
            Version::V15 => "OpenFlow15",
        }
    }

    /// The version with this name.
    pub fn from_name(name: &str) -> Option<Version> {
        Version::ALL.into_iter().find(|v| v.name().eq_ignore_ascii_case(name))
    }
}

/// One end of an OpenFlow connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ControllerTarget {
    /// `tcp:HOST:PORT`: connect, and connect again when it breaks.
    Tcp(std::net::SocketAddr),
    /// `unix:PATH`: connect to a local socket.
    Unix(String),
    /// `ptcp:[PORT][:HOST]`: listen.
    PassiveTcp(std::net::SocketAddr),
    /// `punix:PATH`: listen on a local socket.
    PassiveUnix(String),
    /// `ssl:HOST:PORT`: connect, with TLS.
    Ssl(std::net::SocketAddr),
    /// `pssl:[PORT][:HOST]`: listen, with TLS.
    PassiveSsl(std::net::SocketAddr),
}

/// A controller or an address to listen on for some.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    /// The other end.
    pub target: ControllerTarget,
    /// Longest wait between two attempts, milliseconds.
    pub max_backoff_ms: u32,
    /// Milliseconds of silence after which the peer is asked for a sign of life; 0 for never.
    pub inactivity_probe_ms: u32,
    /// The controller's connection goes through the bridge itself.
    pub in_band: bool,
    /// Asynchronous messages are on from the start.
    pub enable_async: bool,
    /// Packet-ins in a second at most; `None` for no limit.
    pub rate_limit: Option<u32>,
    /// Packet-ins at once at most, where there is a limit.
    pub burst_limit: Option<u32>,
    /// Packet-ins that wait for this controller at most.
    pub queue_size: Option<u16>,
    /// A service controller does not keep a bridge from being on its own.
    pub service: bool,
}

impl Controller {
    /// A connection with Open vSwitch's defaults.
    pub const fn new(target: ControllerTarget) -> Controller {
        use ControllerTarget::{PassiveSsl, PassiveTcp, PassiveUnix};
        let service = matches!(target, PassiveTcp(_) | PassiveUnix(_) | PassiveSsl(_));
        Controller {
            target,
            max_backoff_ms: 8000,
            inactivity_probe_ms: 5000,
            in_band: false,
            enable_async: true,
            rate_limit: None,
            burst_limit: None,
            queue_size: None,
            service,
        }
    }
}

impl From<ControllerTarget> for Controller {
    fn from(target: ControllerTarget) -> Controller {
        Controller::new(target)
    }
}

/// Files for TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Our private key.
    pub private_key: String,
    /// Our certificate.
    pub certificate: String,
    /// The authority whose certificates we believe.
    pub ca_certificate: String,
    /// Takes the authority's certificate from the first peer, when the file is not there yet.
    pub bootstrap_ca: bool,
}

//! Connections to controllers: where to, which versions, by which keys.

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

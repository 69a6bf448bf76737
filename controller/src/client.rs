//! An OpenFlow connection to one bridge.
//!
//! Purpose: ask for ports and rules, send changes as one bundle, or between barriers where the
//! switch has no bundles. One request at a time.
//! Invariant: every wait ends: a switch that is silent for [`PATIENCE`] is given up.
//! Deliberately does not know: what the rules are for, when to connect.

use crate::reconcile::Change;
use crate::rules::{PortNumbers, Rule, RuleSet};
use sluice_openflow::message::{BundleAdd, BundleControl, BundleKind, FlowStatsRequest, StatsReply, StatsRequest};
use sluice_openflow::wire::Framer;
use sluice_openflow::{Message, PortNo, Version, VersionSet};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// How long a switch may stay silent when it owes an answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Messages between two barriers: errors never fill the way back while we still write.
const BATCH: usize = 256;
/// The registered port of OpenFlow.
const OPENFLOW_PORT: u16 = 6653;
/// Bundles: all or nothing, in the order given.
const ATOMIC_ORDERED: u16 = 3;
/// Most rules that are read from one bridge.
const MAX_RULES: usize = 4_000_000;

/// Where a bridge's OpenFlow connection is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A unix socket.
    Unix(PathBuf),
    /// HOST:PORT.
    Tcp(String),
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Target::Unix(PathBuf::from(path))),
            Some(("tcp", host)) if !host.is_empty() => Ok(Target::Tcp(host.to_owned())),
            _ => Err(format!("'{text}' is not a switch; expected unix:PATH or tcp:HOST[:PORT]")),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
            Target::Tcp(host) => write!(f, "tcp:{host}"),
        }
    }
}

/// Why a connection, or a request over it, failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke.
    #[error("{target}: {error}")]
    Io {
        /// Which switch.
        target: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The switch does not keep to the protocol, or has no version that we speak.
    #[error("{target}: {what}")]
    Protocol {
        /// Which switch.
        target: String,
        /// What is wrong.
        what: String,
    },
    /// The switch refused a change.
    #[error("{target}: refused {what}: {error}")]
    Refused {
        /// Which switch.
        target: String,
        /// The change.
        what: String,
        /// The switch's error.
        error: String,
    },
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A connection.
pub struct Client {
    stream: Box<dyn Stream>,
    framer: Framer,
    target: String,
    version: Version,
    xid: u32,
}

impl Client {
    /// Connects and agrees on OpenFlow 1.4 or 1.3.
    pub fn connect(target: &Target) -> Result<Client, ClientError> {
        let name = target.to_string();
        let stream = open(target).map_err(|error| ClientError::Io { target: name.clone(), error })?;
        let mut client = Client { stream, framer: Framer::new(), target: name, version: Version::V14, xid: 0 };
        client.negotiate()?;
        Ok(client)
    }

    /// The version that was agreed on.
    pub fn version(&self) -> Version {
        self.version
    }

    fn negotiate(&mut self) -> Result<(), ClientError> {
        let ours = VersionSet::only(Version::V13).with(Version::V14);
        self.send(&Message::hello(ours))?;
        let (_, first) = self.receive()?;
        let Message::Hello(hello) = first else {
            return Err(self.broken("expected a hello first"));
        };
        self.version = ours.negotiate(hello.versions).ok_or_else(|| {
            self.broken("speaks neither OpenFlow 1.3 nor 1.4; allow one of them in the bridge's protocols")
        })?;
        Ok(())
    }

    fn broken(&self, what: impl Into<String>) -> ClientError {
        ClientError::Protocol { target: self.target.clone(), what: what.into() }
    }

    fn io(&self, error: std::io::Error) -> ClientError {
        let timed_out = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
        let error = if timed_out {
            std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer for {} s", PATIENCE.as_secs()))
        } else {
            error
        };
        ClientError::Io { target: self.target.clone(), error }
    }

    /// Sends a message and gives its transaction id.
    fn send(&mut self, message: &Message) -> Result<u32, ClientError> {
        self.xid = self.xid.wrapping_add(1);
        let bytes = self.encode(message, self.xid)?;
        self.stream.write_all(&bytes).map_err(|e| self.io(e))?;
        Ok(self.xid)
    }

    fn encode(&self, message: &Message, xid: u32) -> Result<Vec<u8>, ClientError> {
        message.encode(self.version, xid).map_err(|e| self.broken(e.to_string()))
    }

    /// The next message; echo requests are answered on the way.
    fn receive(&mut self) -> Result<(u32, Message), ClientError> {
        loop {
            let bytes = self.next_message()?;
            let (xid, message) =
                Message::decode(self.version, &bytes).map_err(|e| self.broken(e.to_string()))?;
            let Message::EchoRequest(payload) = message else { return Ok((xid, message)) };
            let reply = self.encode(&Message::EchoReply(payload), xid)?;
            self.stream.write_all(&reply).map_err(|e| self.io(e))?;
        }
    }

    fn next_message(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut bytes = [0; 16 << 10];
        loop {
            if let Some(message) = self.framer.next_message().map_err(|e| self.broken(e.to_string()))? {
                return Ok(message);
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(self.io(std::io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => self.framer.push(bytes.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.io(e)),
            }
        }
    }

    /// The answer to request `xid`; an error among them is an `Err`. What else arrives is passed over.
    fn answer(&mut self, xid: u32, what: &str) -> Result<Message, ClientError> {
        loop {
            let (got, message) = self.receive()?;
            if got != xid {
                continue;
            }
            let Message::Error(error) = message else { return Ok(message) };
            return Err(self.refused(what, &error));
        }
    }

    fn refused(&self, what: &str, error: &sluice_openflow::message::ErrorMessage) -> ClientError {
        let text = error.error.map_or_else(|| format!("{:?}", error.code), |e| e.to_string());
        ClientError::Refused { target: self.target.clone(), what: what.to_owned(), error: text }
    }

    /// Every part of the answer to a request for statistics.
    fn statistics(&mut self, request: StatsRequest, what: &str) -> Result<Vec<StatsReply>, ClientError> {
        let xid = self.send(&Message::StatsRequest(request))?;
        let mut parts = Vec::new();
        loop {
            let Message::StatsReply(reply) = self.answer(xid, what)? else {
                return Err(self.broken(format!("expected {what}, found another message")));
            };
            let more = reply.more();
            parts.push(reply);
            if !more {
                return Ok(parts);
            }
        }
    }

    /// Names and numbers of the bridge's ports.
    pub fn ports(&mut self) -> Result<PortNumbers, ClientError> {
        let mut numbers = PortNumbers::new();
        for part in self.statistics(StatsRequest::PortDesc(PortNo::NONE), "the list of ports")? {
            let StatsReply::PortDesc { ports, .. } = part else { continue };
            numbers.extend(ports.into_iter().map(|p| (p.name, p.number.0)));
        }
        Ok(numbers)
    }

    /// The bridge's rules that carry a cookie with this mark.
    pub fn rules(&mut self, cookie: u64, cookie_mask: u64) -> Result<RuleSet, ClientError> {
        let request = FlowStatsRequest { cookie, cookie_mask, ..FlowStatsRequest::default() };
        let mut rules = Vec::new();
        for part in self.statistics(StatsRequest::Flow(request), "the list of rules")? {
            let StatsReply::Flow { flows, .. } = part else { continue };
            rules.extend(flows.into_iter().filter(|f| f.cookie & cookie_mask == cookie).map(|f| Rule {
                table: f.table,
                priority: f.priority,
                matching: f.matching,
                actions: f.actions,
                cookie: f.cookie,
            }));
            if rules.len() > MAX_RULES {
                return Err(self.broken(format!("more than {MAX_RULES} rules of ours")));
            }
        }
        Ok(rules.into_iter().collect())
    }

    /// Makes the changes: all or none where the switch has bundles, else in order up to the first
    /// that is refused. All are in force when this returns.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), ClientError> {
        if changes.is_empty() {
            return Ok(());
        }
        if self.version < Version::V14 {
            return self.apply_in_batches(changes);
        }
        let id = 1;
        self.bundle(id, BundleKind::OpenRequest, &[])?;
        let mut sent = Vec::with_capacity(changes.len());
        if let Err(error) = self.fill_bundle(id, changes, &mut sent) {
            // The first error counts; the switch forgets the bundle with the connection anyway.
            let _ = self.bundle(id, BundleKind::DiscardRequest, &[]);
            return Err(error);
        }
        self.bundle(id, BundleKind::CommitRequest, &sent)?;
        self.barrier(&[])
    }

    /// Takes a bundle one step further. What is wrong with one of the changes in it, and makes the
    /// step fail, is told as that change's error.
    fn bundle(&mut self, id: u32, kind: BundleKind, sent: &[(u32, &Change)]) -> Result<(), ClientError> {
        let control = BundleControl { id, kind, flags: ATOMIC_ORDERED };
        let xid = self.send(&Message::BundleControl(control))?;
        let mut refused = None;
        loop {
            let (got, message) = self.receive()?;
            let Message::Error(error) = message else {
                if got == xid {
                    return refused.map_or(Ok(()), Err);
                }
                continue;
            };
            if let Some((_, change)) = sent.iter().find(|(sent, _)| *sent == got) {
                refused.get_or_insert(self.refused(&crate::text::change(change), &error));
            } else if got == xid {
                return Err(refused.unwrap_or_else(|| self.refused(&format!("bundle step {kind:?}"), &error)));
            }
        }
    }

    fn fill_bundle<'c>(
        &mut self,
        id: u32,
        changes: &'c [Change],
        all: &mut Vec<(u32, &'c Change)>,
    ) -> Result<(), ClientError> {
        for batch in changes.chunks(BATCH) {
            let mut sent = Vec::new();
            for change in batch {
                // The message inside carries the transaction id of the message around it.
                let xid = self.xid.wrapping_add(1);
                let message = self.encode(&Message::flow_mod(change.flow_mod()), xid)?;
                let add = BundleAdd { id, flags: ATOMIC_ORDERED, message };
                sent.push((self.send(&Message::BundleAdd(add))?, change));
            }
            self.barrier(&sent)?;
            all.append(&mut sent);
        }
        Ok(())
    }

    fn apply_in_batches(&mut self, changes: &[Change]) -> Result<(), ClientError> {
        for batch in changes.chunks(BATCH) {
            let mut sent = Vec::new();
            for change in batch {
                sent.push((self.send(&Message::flow_mod(change.flow_mod()))?, change));
            }
            self.barrier(&sent)?;
        }
        Ok(())
    }

    /// Waits until all that was sent is done; an error about one of `sent` is an `Err`.
    fn barrier(&mut self, sent: &[(u32, &Change)]) -> Result<(), ClientError> {
        let barrier = self.send(&Message::BarrierRequest)?;
        let mut refused = None;
        loop {
            let (xid, message) = self.receive()?;
            if xid == barrier {
                return refused.map_or(Ok(()), Err);
            }
            let about = sent.iter().find(|(sent, _)| *sent == xid);
            if let (Message::Error(error), Some((_, change))) = (message, about) {
                let what = crate::text::change(change);
                refused.get_or_insert(self.refused(&what, &error));
            }
        }
    }
}

fn open(target: &Target) -> std::io::Result<Box<dyn Stream>> {
    match target {
        Target::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        }
        Target::Tcp(host) => {
            let stream = connect_tcp(host)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
    }
}

fn connect_tcp(host: &str) -> std::io::Result<TcpStream> {
    let with_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let full = if with_port { host.to_owned() } else { format!("{host}:{OPENFLOW_PORT}") };
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address");
    for address in full.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

//! A connection to a switch, one request at a time.
//!
//! Purpose: negotiate a version, ask and wait for the answer, send without waiting.
//! Invariant: transaction ids count up over all connections of one run, as scripts that read error
//! dumps expect.
//! Deliberately does not know: what a command wants.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, Timespec};
use sluice_openflow::message::{BundleControl, BundleKind, ErrorMessage, StatsReply, StatsRequest};
use sluice_openflow::wire::Framer;
use sluice_openflow::{Message, Protocol, Version, VersionSet};

use super::fatal::Fatal;
use crate::stream::keys::{KeyFiles, Keys};
use crate::stream::target::{self, management_socket, run_directory, snoop_socket, BadTarget, Target};

/// Type of echo requests in every version.
const ECHO_REQUEST: u8 = 2;

static NEXT_XID: AtomicU32 = AtomicU32::new(1);

/// A transaction id that was not used before in this run.
pub fn next_xid() -> u32 {
    NEXT_XID.fetch_add(1, Ordering::Relaxed)
}

/// A socket that waits where it must.
trait Stream: Read + Write + AsFd {
    /// Reads what is there; `None` where nothing is.
    fn read_now(&mut self, bytes: &mut [u8]) -> std::io::Result<Option<usize>> {
        if wait(self.as_fd(), PollFlags::IN, Some(0)) { self.read(bytes).map(Some) } else { Ok(None) }
    }
}

impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// TLS, over a socket that never waits by itself.
struct Tls(crate::stream::socket::Stream);

impl Tls {
    fn patiently<T>(&mut self, mut what: impl FnMut(&mut crate::stream::socket::Stream) -> std::io::Result<T>) -> std::io::Result<T> {
        loop {
            match what(&mut self.0) {
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    // An error wakes too, and is told by the next attempt; connecting ends with room to write.
                    wait(self.0.as_fd(), PollFlags::IN, Some(50));
                }
                done => return done,
            }
        }
    }
}

impl Read for Tls {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.patiently(|s| s.read(bytes))
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.patiently(|s| s.write(bytes))?;
        self.patiently(|s| s.flush())?;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.patiently(|s| s.flush())
    }
}

impl AsFd for Tls {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Stream for Tls {
    fn read_now(&mut self, bytes: &mut [u8]) -> std::io::Result<Option<usize>> {
        match self.0.read(bytes) {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            read => read.map(Some),
        }
    }
}

/// A message as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its transaction id.
    pub xid: u32,
    /// What it says, or why it cannot be read.
    pub message: Result<Message, sluice_openflow::message::DecodeError>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Received {
    fn read(protocol: Protocol, bytes: Vec<u8>) -> Received {
        match Message::decode(protocol, &bytes) {
            Ok((xid, message)) => Received { xid, message: Ok(message), bytes },
            Err(e) => Received { xid: e.xid, message: Err(e), bytes },
        }
    }
}

/// A connection.
pub struct Client {
    stream: Box<dyn Stream>,
    framer: Framer,
    /// What it is called in errors: `unix:PATH` or `tcp:HOST:PORT`.
    name: String,
    /// Version and variants.
    pub protocol: Protocol,
}

impl Client {
    /// Connects to a bridge, a path, or `unix:` and `tcp:` targets, and agrees on a version.
    pub fn open(target: &str, versions: VersionSet) -> Result<Client, Fatal> {
        Client::over(connect(target, management_socket)?, target, versions)
    }

    /// Connects to the socket that shows what a bridge and its controllers say.
    pub fn open_snoop(target: &str, versions: VersionSet) -> Result<Client, Fatal> {
        Client::over(connect(target, snoop_socket)?, target, versions)
    }

    fn over((stream, name): (Box<dyn Stream>, String), target: &str, versions: VersionSet) -> Result<Client, Fatal> {
        let protocol = Protocol::from(Version::V10);
        let mut client = Client { stream, framer: Framer::new(), name, protocol };
        client.negotiate(target, versions)?;
        Ok(client)
    }

    /// What it is called in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn negotiate(&mut self, target: &str, ours: VersionSet) -> Result<(), Fatal> {
        let failed = |why: &str| Fatal(format!("{target}: failed to connect to socket ({why})"));
        let newest = ours.newest().unwrap_or(Version::V10);
        self.protocol = Protocol::from(newest);
        self.send(&Message::hello(ours), next_xid())?;
        let first = self.receive_raw().map_err(|e| failed(&super::fatal::reason(&e)))?;
        let theirs = match Message::decode(self.protocol, &first) {
            Ok((_, Message::Hello(hello))) => hello.versions,
            _ => return Err(failed("Protocol error")),
        };
        match ours.negotiate(theirs) {
            Some(version) => self.protocol = Protocol::from(version),
            None => return Err(failed("Protocol error")),
        }
        Ok(())
    }

    /// Sends a message.
    pub fn send(&mut self, message: &Message, xid: u32) -> Result<(), Fatal> {
        let bytes = message.encode(self.protocol, xid).map_err(|e| Fatal(e.to_string()))?;
        self.send_raw(&bytes)
    }

    /// The socket, to wait on.
    pub fn descriptor(&self) -> RawFd {
        self.stream.as_fd().as_raw_fd()
    }

    /// The next message if it has arrived; never waits.
    pub fn receive_now(&mut self) -> std::io::Result<Option<Received>> {
        loop {
            match self.framer.next_message() {
                Ok(Some(message)) => return Ok(Some(Received::read(self.protocol, message))),
                Ok(None) => {}
                Err(e) => return Err(std::io::Error::other(e.to_string())),
            }
            let (stream, mut is_there) = (&mut self.stream, true);
            let read: std::io::Result<usize> = self.framer.fill(|room| {
                let read = stream.read_now(room)?;
                is_there = read.is_some();
                Ok(read.unwrap_or(0))
            });
            match read {
                Ok(_) if !is_there => return Ok(None),
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Sends whole messages and a barrier behind them; gives its number.
    pub fn send_chunk(&mut self, mut bytes: Vec<u8>) -> Result<u32, Fatal> {
        let barrier = next_xid();
        bytes.extend(Message::BarrierRequest.encode(self.protocol, barrier).map_err(|e| Fatal(e.to_string()))?);
        self.send_raw(&bytes)?;
        Ok(barrier)
    }

    /// Waits for the answer to a barrier; gives the first refusal before it.
    pub fn wait_for_barrier(&mut self, barrier: Option<u32>) -> Result<Option<Received>, Fatal> {
        let mut refused = None;
        loop {
            let received = self.receive()?;
            if Some(received.xid) == barrier {
                return Ok(refused);
            }
            if matches!(received.message, Ok(Message::Error(_))) {
                refused.get_or_insert(received);
            }
        }
    }

    /// Sends bytes that are a message already.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<(), Fatal> {
        self.stream.write_all(bytes).map_err(|e| Fatal::io(format!("sending to {}", self.name), &e))
    }

    /// The next message that is no echo request; those are answered.
    pub fn receive(&mut self) -> Result<Received, Fatal> {
        loop {
            let bytes = self
                .receive_raw()
                .map_err(|e| Fatal::io(format!("talking to {}", self.name), &e))?;
            if bytes.get(1) != Some(&ECHO_REQUEST) {
                return Ok(Received::read(self.protocol, bytes));
            }
            self.answer_echo(bytes)?;
        }
    }

    fn receive_raw(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            match self.framer.next_message() {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(e) => return Err(std::io::Error::other(e.to_string())),
            }
            match self.framer.fill(|room| self.stream.read(room)) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Asks and waits for the answer with the same transaction id, an error among them.
    pub fn transact(&mut self, request: &Message) -> Result<Received, Fatal> {
        let xid = next_xid();
        self.send(request, xid)?;
        loop {
            let received = self.receive()?;
            if received.xid == xid {
                return Ok(received);
            }
        }
    }

    /// Sends a message that has no answer but an error, and a barrier to know; gives the error.
    pub fn transact_silent(&mut self, request: &Message) -> Result<Option<Received>, Fatal> {
        let xid = next_xid();
        self.send(request, xid)?;
        let barrier = next_xid();
        self.send(&Message::BarrierRequest, barrier)?;
        let mut answer = None;
        loop {
            let received = self.receive()?;
            if received.xid == barrier {
                return Ok(answer);
            }
            if received.xid == xid {
                answer = Some(received);
            }
        }
    }

    /// Asks for statistics; gives every part.
    pub fn dump(&mut self, request: StatsRequest) -> Result<Vec<Received>, Fatal> {
        let (mut parts, protocol) = (Vec::new(), self.protocol);
        self.dump_each(request, |bytes| parts.push(Received::read(protocol, bytes)))?;
        Ok(parts)
    }

    /// Asks for statistics; hands on the bytes of each part as it comes.
    pub fn dump_each(&mut self, request: StatsRequest, mut part: impl FnMut(Vec<u8>)) -> Result<(), Fatal> {
        let xid = next_xid();
        self.send(&Message::StatsRequest(request), xid)?;
        loop {
            let bytes = self.receive_raw().map_err(|e| Fatal::io(format!("talking to {}", self.name), &e))?;
            if bytes.get(1) == Some(&ECHO_REQUEST) {
                self.answer_echo(bytes)?;
            } else if super::batch::xid_of(&bytes) == xid {
                let more = sluice_openflow::wire::has_more(&bytes);
                part(bytes);
                if !more {
                    return Ok(());
                }
            }
        }
    }

    fn answer_echo(&mut self, bytes: Vec<u8>) -> Result<(), Fatal> {
        match Message::decode(self.protocol, &bytes) {
            Ok((xid, Message::EchoRequest(payload))) => self.send(&Message::EchoReply(payload), xid),
            _ => Ok(()),
        }
    }

    /// Asks for statistics; gives the replies, or the error that came instead.
    pub fn dump_replies(&mut self, request: StatsRequest) -> Result<Vec<StatsReply>, Fatal> {
        let name = self.name.clone();
        let parts = self.dump(request)?;
        let replies = parts.into_iter().map(|part| match part.message {
            Ok(Message::StatsReply(reply)) => Ok(reply),
            Ok(Message::Error(ErrorMessage { error: Some(error), .. })) => Err(Fatal(format!("{name}: {error}"))),
            _ => Err(Fatal(format!("talking to {name} (Protocol error)"))),
        });
        replies.collect()
    }

    /// Sends one step of a bundle's life and waits for its answer.
    pub fn bundle_control(&mut self, id: u32, kind: BundleKind) -> Result<Received, Fatal> {
        self.transact(&Message::BundleControl(BundleControl { id, kind, flags: BUNDLE_FLAGS }))
    }
}

/// Waits, at most so many milliseconds; true when there is something to do.
fn wait(socket: BorrowedFd<'_>, what: PollFlags, ms: Option<i64>) -> bool {
    let mut poll = [PollFd::from_borrowed_fd(socket, what)];
    let time = ms.map(|ms| Timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 });
    rustix::event::poll(&mut poll, time.as_ref()).is_ok_and(|n| n > 0)
}

/// Atomic and in order.
pub const BUNDLE_FLAGS: u16 = 3;

fn connect(target: &str, socket_of: fn(&Path, &str) -> PathBuf) -> Result<(Box<dyn Stream>, String), Fatal> {
    if target.contains(':') {
        let connecting = format!("connecting to {target}");
        let opened = match target::parse(target) {
            Ok(Target::Unix(path)) => unix(&run_directory(None).join(path)),
            Ok(Target::Tcp(address)) => TcpStream::connect(address).map(|s| {
                // One request at a time: waiting for more to send would only delay it.
                let _ = s.set_nodelay(true);
                Box::new(s) as Box<dyn Stream>
            }),
            Ok(Target::Ssl(address)) => tls(address),
            Err(BadTarget::UnknownScheme) => Err(std::io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
            Err(BadTarget::BadAddress(_)) => Err(std::io::Error::from_raw_os_error(libc::EINVAL)),
        };
        return opened.map(|s| (s, target.to_string())).map_err(|e| Fatal::io(connecting, &e));
    }
    let rundir = run_directory(None);
    let bridge = socket_of(&rundir, target).display().to_string();
    for path in [target, &bridge] {
        match unix(&rundir.join(path)) {
            Ok(stream) => return Ok((stream, format!("unix:{path}"))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Fatal::io(format!("{path}: failed to open socket"), &e)),
        }
    }
    Err(Fatal(format!("{target} is not a bridge or a socket")))
}

fn tls(address: std::net::SocketAddr) -> std::io::Result<Box<dyn Stream>> {
    let files = KEYS.get().cloned().ok_or_else(|| std::io::Error::other("ssl: needs --private-key, --certificate and --ca-cert"))?;
    let keys = Keys::load(&files).map_err(std::io::Error::other)?;
    Ok(Box::new(Tls(crate::stream::socket::Stream::tls(address, &keys)?)))
}

/// Files for TLS, where the options name them.
pub static KEYS: OnceLock<KeyFiles> = OnceLock::new();

fn unix(path: &Path) -> std::io::Result<Box<dyn Stream>> {
    UnixStream::connect(path).map(|s| Box::new(s) as Box<dyn Stream>)
}

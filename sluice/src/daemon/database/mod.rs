//! The connection to the database.
//!
//! Purpose: connects, and connects again when it breaks; carries bytes between the socket and the
//! conversation.
//! Invariant: nothing here waits. While there is no connection, what was learned stays in force.
//! Deliberately does not know: what rows mean.

mod remote;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use mio::{Registry, Token};
use sluice_ovsdb_bridge::database::{Memory, News, Session, SessionError};

pub use remote::Remote;

use crate::stream::keys::Keys;
use crate::stream::socket::Stream;

/// The connection's token.
pub const TOKEN: Token = Token(4);
/// Bytes read in one turn; the rest waits for the next.
const BYTES_PER_TURN: usize = 4 << 20;
/// Silence after which the server is asked for a sign of life.
const PROBE_MS: u64 = 5000;
/// The first wait before another attempt, and the longest.
const WAIT_MS: (u64, u64) = (1000, 8000);

/// Different troubles that are told before the rest is only for debugging.
const TOLD: usize = 8;

/// The connection to the database, or what is left of it.
pub struct Database {
    remote: Remote,
    keys: Option<Keys>,
    link: Option<Link>,
    memory: Memory,
    due_ms: u64,
    wait_ms: u64,
    /// Troubles that were told since the database was followed last.
    told: BTreeSet<String>,
}

struct Link {
    stream: Stream,
    session: Session,
    readable: bool,
}

impl Database {
    /// Will connect at once.
    pub fn new(remote: Remote, keys: Option<Keys>) -> Database {
        Database { remote, keys, link: None, memory: Memory::default(), due_ms: 0, wait_ms: WAIT_MS.0, told: BTreeSet::new() }
    }

    /// The conversation, while there is one.
    pub fn session(&self) -> Option<&Session> {
        self.link.as_ref().map(|l| &l.session)
    }

    /// The conversation, to write to.
    pub fn session_mut(&mut self) -> Option<&mut Session> {
        self.link.as_mut().map(|l| &mut l.session)
    }

    /// There is something to read or write.
    pub fn set_ready(&mut self) {
        if let Some(link) = &mut self.link {
            link.readable = true;
        }
    }

    /// When [`Database::turn`] has something to do without an event.
    pub fn next_date(&self) -> Option<u64> {
        match &self.link {
            Some(link) => link.session.next_date(),
            None => Some(self.due_ms),
        }
    }

    /// Connects, reads and writes. True when there is more to do at once; `lost` when a conversation
    /// ended.
    pub fn turn(&mut self, registry: &Registry, now_ms: u64, news: &mut Vec<News>) -> Turn {
        if self.link.is_none() {
            if now_ms < self.due_ms {
                return Turn::default();
            }
            if let Err(e) = self.connect(registry, now_ms) {
                self.lose(registry, now_ms, &Ending::Io(e));
                return Turn::default();
            }
        }
        let Some(link) = &mut self.link else { return Turn::default() };
        match link.work(now_ms, news) {
            Ok(more) => {
                if link.session.is_following() {
                    self.wait_ms = WAIT_MS.0;
                    if !std::mem::take(&mut self.told).is_empty() {
                        crate::log!(Info, "", "{}: connected again", self.remote);
                    }
                }
                Turn { more, lost: false }
            }
            Err(ending) => {
                self.lose(registry, now_ms, &ending);
                Turn { more: false, lost: true }
            }
        }
    }

    fn connect(&mut self, registry: &Registry, now_ms: u64) -> io::Result<()> {
        let mut stream = self.remote.connect(self.keys.as_ref())?;
        stream.register(registry, TOKEN)?;
        let session = Session::begin(std::mem::take(&mut self.memory), PROBE_MS, now_ms);
        self.link = Some(Link { stream, session, readable: true });
        Ok(())
    }

    fn lose(&mut self, registry: &Registry, now_ms: u64, ending: &Ending) {
        if let Some(mut link) = self.link.take() {
            link.stream.deregister(registry);
            self.memory = link.session.end();
        }
        let why = ending.to_string();
        if self.told.len() < TOLD && self.told.insert(why) {
            crate::log!(Warn, "", "{}: {ending}; the switch goes on as it is, trying again", self.remote);
        } else {
            crate::log!(Debug, "", "{}: {ending}", self.remote);
        }
        self.due_ms = now_ms + self.wait_ms;
        self.wait_ms = (self.wait_ms * 2).min(WAIT_MS.1);
    }
}

/// What a turn leaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    /// There is more to do at once.
    pub more: bool,
    /// The conversation ended.
    pub lost: bool,
}

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
enum Ending {
    #[error("cannot reach the database: {0}")]
    Io(io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("{0}")]
    Session(#[from] SessionError),
}

impl Link {
    fn work(&mut self, now_ms: u64, news: &mut Vec<News>) -> Result<bool, Ending> {
        let more = self.readable && self.read(now_ms, news)?;
        self.session.tick(now_ms)?;
        self.send()?;
        Ok(more)
    }

    /// True when there may be more to read.
    fn read(&mut self, now_ms: u64, news: &mut Vec<News>) -> Result<bool, Ending> {
        let mut bytes = [0; 1 << 16];
        let mut total = 0;
        while total < BYTES_PER_TURN {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(Ending::Closed),
                Ok(n) => {
                    total += n;
                    self.session.receive(bytes.get(..n).unwrap_or(&[]), now_ms, news)?;
                }
                Err(e) if later(&e) => {
                    self.readable = false;
                    return Ok(false);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Ending::Io(e)),
            }
        }
        Ok(true)
    }

    fn send(&mut self) -> Result<(), Ending> {
        loop {
            let out = self.session.output();
            if out.is_empty() {
                break;
            }
            match self.stream.write(out) {
                Ok(0) => return Err(Ending::Closed),
                Ok(n) => drop(out.drain(..n)),
                Err(e) if later(&e) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Ending::Io(e)),
            }
        }
        match self.stream.flush() {
            Err(e) if !later(&e) => Err(Ending::Io(e)),
            _ => Ok(()),
        }
    }
}

/// Nothing to do now; a connection under way says it is not connected.
fn later(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}

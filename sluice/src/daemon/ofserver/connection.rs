//! One OpenFlow connection's bytes.
//!
//! Purpose: whole messages come out, answers go in; the socket is read only as fast as it is served.
//! Invariant: keeps at most one message that was read and not served, and a bounded output.
//! Deliberately does not know: what a message says.

use std::io::{self, ErrorKind, Read, Write};

use sluice_openflow::wire::Framer;

use super::output::Output;
use crate::stream::socket::Stream;

/// Bytes read from a socket at once.
const CHUNK: usize = 16 << 10;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub enum Ending {
    /// The other end closed it.
    #[error("closed by the peer")]
    Closed,
    /// The system reported an error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What arrived is not OpenFlow.
    #[error("{0}")]
    Protocol(String),
}

/// A connected socket with its buffers.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    framer: Framer,
    /// Answers that wait.
    pub output: Output,
    /// There may be something to read that no event will announce again.
    may_read: bool,
    closed_by_peer: bool,
}

impl Connection {
    /// Over a connected (or connecting) socket.
    pub fn new(stream: Stream) -> Connection {
        Connection { stream, framer: Framer::new(), output: Output::default(), may_read: false, closed_by_peer: false }
    }

    /// The socket.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// The system says that there is something to read.
    pub fn set_readable(&mut self) {
        self.may_read = true;
    }

    /// Whether reading on could give another message now.
    pub fn has_work(&self) -> bool {
        (self.may_read || self.framer.buffered() > 0) && !self.output.is_congested()
    }

    /// The next message, reading as much as it takes; `None` when it has not arrived.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, Ending> {
        loop {
            match self.framer.next_message() {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => {}
                Err(e) => return Err(Ending::Protocol(e.to_string())),
            }
            if self.closed_by_peer {
                return Err(Ending::Closed);
            }
            if !self.may_read {
                return Ok(None);
            }
            self.read_once()?;
        }
    }

    fn read_once(&mut self) -> Result<(), Ending> {
        let mut bytes = [0; CHUNK];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.closed_by_peer = true,
            Ok(n) => self.framer.push(bytes.get(..n).unwrap_or(&[])),
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.may_read = false,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    /// Sends what the socket takes now.
    pub fn flush(&mut self) -> Result<(), Ending> {
        // What was taken may still wait within the stream.
        match self.stream.flush() {
            Err(e) if e.kind() != ErrorKind::WouldBlock && e.kind() != ErrorKind::NotConnected => return Err(e.into()),
            _ => {}
        }
        while self.output.waiting() > 0 {
            match self.stream.write(self.output.next()) {
                Ok(0) => return Err(Ending::Closed),
                Ok(n) => self.output.advance(n),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

//! One OpenFlow connection's bytes.
//!
//! Purpose: whole messages come out, answers go in; the socket is read only as fast as it is served.
//! Invariant: keeps at most one message that was read and not served, and a bounded output.
//! Deliberately does not know: what a message says.

use std::io::{self, ErrorKind, Read, Write};

use sluice_openflow::wire::Framer;

use super::output::Output;
use crate::stream::socket::Stream;

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
    /// The peer will send no more than what is there: it is to be read up to its end.
    is_closing: bool,
    closed_by_peer: bool,
}

impl Connection {
    /// Over a connected (or connecting) socket.
    pub fn new(stream: Stream) -> Connection {
        Connection { stream, framer: Framer::new(), output: Output::default(), may_read: false, is_closing: false, closed_by_peer: false }
    }

    /// The socket.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// The system says that there is something to read, and perhaps that nothing comes after it.
    pub fn set_readable(&mut self, is_closing: bool) {
        self.may_read = true;
        self.is_closing |= is_closing;
    }

    /// Whether reading on could give another message now.
    pub fn has_work(&self) -> bool {
        (self.may_read || self.framer.buffered() > 0) && !self.output.is_congested()
    }

    /// Puts the next message where `message` was, reading as much as it takes; false when it has not arrived.
    pub fn next_message(&mut self, message: &mut Vec<u8>) -> Result<bool, Ending> {
        loop {
            match self.framer.next() {
                Ok(Some(next)) => {
                    message.clear();
                    message.extend_from_slice(next);
                    return Ok(true);
                }
                Ok(None) => {}
                Err(e) => return Err(Ending::Protocol(e.to_string())),
            }
            if self.closed_by_peer {
                return Err(Ending::Closed);
            }
            if !self.may_read {
                return Ok(false);
            }
            self.read_once()?;
        }
    }

    fn read_once(&mut self) -> Result<(), Ending> {
        let stream = &mut self.stream;
        let mut room = 0;
        let read = self.framer.fill(|bytes| {
            room = bytes.len();
            stream.read(bytes)
        });
        match read {
            Ok(0) => self.closed_by_peer = true,
            // The socket is empty: what comes later is announced.
            Ok(n) if n < room && !self.is_closing && self.stream.is_plain() => self.may_read = false,
            Ok(_) => {}
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

//! One connection of the control socket.
//!
//! Purpose: bytes to requests, answers to bytes.
//! Invariant: holds at most one request's bytes and one answer.
//! Deliberately does not know: commands.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use mio::net::UnixStream;
use mio::Registry;

use super::request::{self, Request};

/// Longest request.
const REQUEST: usize = 1 << 20;
/// How long the end of the daemon waits for one who asked for it.
const PATIENCE: Duration = Duration::from_millis(500);

/// A connected socket with its buffers.
pub struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    may_read: bool,
    /// Bytes came since the last look at them.
    fresh: bool,
    closed: bool,
}

impl Connection {
    /// Over a connected socket.
    pub fn new(stream: UnixStream) -> Connection {
        Connection { stream, input: Vec::new(), output: Vec::new(), sent: 0, may_read: true, fresh: false, closed: false }
    }

    /// The system says that there is something to read, or room to write.
    pub fn set_ready(&mut self) {
        self.may_read = true;
    }

    /// Takes it out of the loop.
    pub fn deregister(&mut self, registry: &Registry) -> std::io::Result<()> {
        registry.deregister(&mut self.stream)
    }

    /// Whether an answer waits to be taken.
    pub fn is_sending(&self) -> bool {
        self.sent < self.output.len()
    }

    /// The next request, if it has arrived. An error ends the connection.
    pub fn next_request(&mut self) -> Result<Option<Request>, String> {
        loop {
            if std::mem::take(&mut self.fresh) {
                if let Some((request, used)) = request::take(&self.input)? {
                    self.input.drain(..used);
                    self.fresh = !self.input.is_empty();
                    return Ok(Some(request));
                }
            }
            if self.closed {
                return Err("closed by the peer".to_string());
            }
            if !self.may_read {
                return Ok(None);
            }
            self.read()?;
        }
    }

    /// An error when the other end has gone.
    pub fn check_peer(&mut self) -> Result<(), String> {
        if self.may_read && self.input.is_empty() {
            self.read()?;
        }
        if self.closed {
            return Err("closed by the peer".to_string());
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), String> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.closed = true,
            Ok(n) => {
                if self.input.len() + n > REQUEST {
                    return Err(format!("a request longer than {REQUEST} bytes"));
                }
                self.input.extend_from_slice(bytes.get(..n).unwrap_or(&[]));
                self.fresh = true;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.may_read = false,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e.to_string()),
        }
        Ok(())
    }

    /// Answers a request.
    pub fn answer(&mut self, request: &Request, result: &Result<String, String>) {
        self.output = request::answer(request, result).into_bytes();
        self.sent = 0;
    }

    /// Sends what the socket takes now.
    pub fn flush(&mut self) -> Result<(), String> {
        while self.is_sending() {
            match self.stream.write(self.output.get(self.sent..).unwrap_or(&[])) {
                Ok(0) => return Err("closed by the peer".to_string()),
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.to_string()),
            }
        }
        self.output = Vec::new();
        self.sent = 0;
        Ok(())
    }

    /// Sends what is left, waiting a little.
    pub fn flush_at_end(&mut self) {
        let end = std::time::Instant::now() + PATIENCE;
        while self.flush().is_ok() && self.is_sending() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

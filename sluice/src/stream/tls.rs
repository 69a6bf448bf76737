//! TLS over a TCP socket.
//!
//! Purpose: a stream that reads and writes like a socket, both as client and as server.
//! Invariant: non-blocking, and bounded: what the peer does not take is refused with `WouldBlock` when
//! more than a buffer waits.
//! Deliberately does not know: whose keys these are.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};

use super::keys::Keys;

/// Bytes that wait to be encrypted or sent.
const BUFFER: usize = 1 << 18;

/// The stream.
#[derive(Debug)]
pub struct Tls {
    pub(super) socket: TcpStream,
    session: Box<Connection>,
}

impl Tls {
    /// Begins to connect. What goes wrong with certificates is told by the first reads.
    pub fn connect(address: SocketAddr, keys: &Keys) -> io::Result<Tls> {
        let socket = TcpStream::connect(address)?;
        let name = ServerName::from(address.ip());
        let session = ClientConnection::new(keys.client(), name).map_err(io::Error::other)?;
        Ok(Tls::new(socket, session.into()))
    }

    /// Takes a connection that was accepted.
    pub fn accept(socket: TcpStream, keys: &Keys) -> io::Result<Tls> {
        let Some(settings) = keys.server() else {
            return Err(io::Error::other("the authority's certificate is not there yet, so nobody can be believed"));
        };
        let session = ServerConnection::new(settings).map_err(io::Error::other)?;
        Ok(Tls::new(socket, session.into()))
    }

    fn new(socket: TcpStream, mut session: Connection) -> Tls {
        session.set_buffer_limit(Some(BUFFER));
        Tls { socket, session: Box::new(session) }
    }

    /// Sends what is encrypted already, as far as the socket takes it.
    fn push(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::NotConnected => return Err(io::ErrorKind::WouldBlock.into()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Takes encrypted bytes from the socket; false at its end.
    fn pull(&mut self) -> io::Result<bool> {
        match self.session.read_tls(&mut self.socket) {
            Ok(0) => Ok(false),
            Ok(_) => match self.session.process_new_packets() {
                Ok(_) => Ok(true),
                Err(e) => {
                    // The peer hears why, if it still listens.
                    let _ = self.push();
                    Err(io::Error::new(io::ErrorKind::InvalidData, e))
                }
            },
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
            Err(e) => Err(e),
        }
    }
}

impl Read for Tls {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            match self.push() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                pushed => pushed?,
            }
            match self.pull() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl Write for Tls {
    /// What is accepted may still wait for the socket: call `flush` (or read) when it is writable.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.session.writer().write(bytes)?;
        match self.push() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            pushed => pushed?,
        }
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}

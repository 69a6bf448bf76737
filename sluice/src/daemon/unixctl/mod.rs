//! The control socket: the one that `ovs-appctl` talks to.
//!
//! Purpose: accept, read requests, run commands, send what they print.
//! Invariant: nothing here waits. A connection has one request in work at a time and is not read from
//! until its answer was taken, so a slow client costs its own connection only. Their number, the size
//! of a request and the size of an answer are bounded.
//! Deliberately does not know: what commands do.

mod commands;
pub(crate) mod connection;
pub(crate) mod request;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use mio::event::Event;
use mio::net::UnixListener;
use mio::{Interest, Registry, Token};

pub use commands::{Console, Wishes};
use commands::{Command, Need, Reply};
use connection::Connection;
use request::Request;

use super::rundir::RunDirectory;

/// First token of the control socket.
const FIRST_TOKEN: usize = 1 << 40;
/// Connections at once; more are accepted and closed at once.
const CONNECTIONS: usize = 64;

/// Whether an event is for this server.
pub fn owns(token: Token) -> bool {
    (FIRST_TOKEN..usize::MAX).contains(&token.0)
}

/// What a connection waits for.
enum Work {
    /// Another request.
    Idle,
    /// A worker's counts, with this ticket, before the command can run.
    Report(u64, Command, Request),
    /// The end of the daemon.
    End(Request),
}

struct Talking {
    connection: Connection,
    work: Work,
}

/// The control socket and its connections.
#[derive(Default)]
pub struct Server {
    listener: Option<(UnixListener, PathBuf)>,
    talking: BTreeMap<Token, Talking>,
    next_token: usize,
}

impl Server {
    /// A server that listens nowhere.
    pub fn nowhere() -> Server {
        Server::default()
    }

    /// Listens here.
    pub fn listen(registry: &Registry, path: &Path) -> Result<Server, String> {
        RunDirectory::free_socket(path).map_err(|e| e.to_string())?;
        let cannot = |e: io::Error| format!("{}: cannot listen: {e}", path.display());
        let mut listener = UnixListener::bind(path).map_err(cannot)?;
        RunDirectory::restrict(path).map_err(|e| e.to_string())?;
        registry.register(&mut listener, Token(FIRST_TOKEN), Interest::READABLE).map_err(cannot)?;
        Ok(Server { listener: Some((listener, path.to_path_buf())), talking: BTreeMap::new(), next_token: FIRST_TOKEN })
    }

    /// Takes an event; the work is done in [`Server::turn`].
    pub fn take_event(&mut self, registry: &Registry, event: &Event) {
        if event.token() == Token(FIRST_TOKEN) {
            return self.accept(registry);
        }
        if let Some(talking) = self.talking.get_mut(&event.token()) {
            talking.connection.set_ready();
        }
    }

    fn accept(&mut self, registry: &Registry) {
        while let Some((listener, path)) = &self.listener {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) => return crate::log!(Warn, "", "{}: cannot accept a connection: {e}", path.display()),
            };
            if self.talking.len() >= CONNECTIONS {
                crate::log!(Warn, "", "{}: refused a connection, there are {CONNECTIONS} already", path.display());
                continue;
            }
            self.next_token += 1;
            let token = Token(self.next_token);
            if registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).is_ok() {
                self.talking.insert(token, Talking { connection: Connection::new(stream), work: Work::Idle });
            }
        }
    }

    /// Serves every connection that can work; true when there is more to do at once.
    pub fn turn(&mut self, registry: &Registry, console: &mut Console<'_>) -> bool {
        let mut more = false;
        let mut ended = Vec::new();
        for (token, talking) in &mut self.talking {
            match talking.serve(console) {
                Ok(has_more) => more |= has_more,
                Err(e) => {
                    crate::log!(Debug, "", "connection ended: {e}");
                    ended.push(*token);
                }
            }
        }
        for token in ended {
            if let Some(mut talking) = self.talking.remove(&token) {
                let _ = talking.connection.deregister(registry);
            }
        }
        more
    }

    /// The daemon ends: tells those who asked for it, and goes.
    pub fn finish(mut self) {
        for talking in self.talking.values_mut() {
            if let Work::End(request) = std::mem::replace(&mut talking.work, Work::Idle) {
                talking.connection.answer(&request, &Ok(String::new()));
                talking.connection.flush_at_end();
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((_, path)) = self.listener.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Talking {
    fn serve(&mut self, console: &mut Console<'_>) -> Result<bool, String> {
        self.connection.flush()?;
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Report(ticket, command, request) if console.switch.has_reported(ticket) => self.run(command, request, console),
            Work::Idle => {}
            waiting => {
                self.work = waiting;
                // One that has gone needs no answer.
                return self.connection.check_peer().map(|()| false);
            }
        }
        if self.connection.is_sending() {
            return Ok(false);
        }
        let Some(request) = self.connection.next_request()? else { return Ok(false) };
        self.begin(request, console);
        self.connection.flush()?;
        Ok(matches!(self.work, Work::Idle))
    }

    fn begin(&mut self, request: Request, console: &mut Console<'_>) {
        match commands::find(&request.method, request.params.len()) {
            Err(e) => self.connection.answer(&request, &Err(e)),
            Ok(command) if command.need != Need::Nothing => {
                let ticket = match command.need {
                    Need::Flows => console.switch.request_flows(),
                    _ => console.switch.request_report(),
                };
                if console.switch.has_reported(ticket) {
                    return self.run(command, request, console);
                }
                self.work = Work::Report(ticket, command, request);
            }
            Ok(command) => self.run(command, request, console),
        }
    }

    fn run(&mut self, command: Command, request: Request, console: &mut Console<'_>) {
        let words: Vec<&str> = request.params.iter().map(String::as_str).collect();
        match command.run(console, &words) {
            Reply::Text(text) => self.connection.answer(&request, &Ok(text)),
            Reply::Error(text) => self.connection.answer(&request, &Err(text)),
            Reply::AtEnd => self.work = Work::End(request),
        }
    }
}

//! The control socket of a running `monitor` or `snoop`.
//!
//! Purpose: `ofctl/send` and its like, asked for with `ovs-appctl`, become orders; answers go back.
//! Invariant: one order of a client at a time; a client that goes away is forgotten.
//! Deliberately does not know: OpenFlow.

use std::path::{Path, PathBuf};

use mio::net::UnixListener;
use mio::{Interest, Registry, Token};

use super::fatal::{reason, Fatal};
use super::run::Run;
use crate::daemon::unixctl::connection::Connection;
use crate::daemon::unixctl::request::Request;
use crate::stream::target::run_directory;

/// Clients at once; more are accepted and closed at once.
const CLIENTS: usize = 32;

/// What a client wants.
pub enum Order {
    /// Messages in hexadecimal, to be sent.
    Send(Vec<String>),
    /// A packet, in words.
    PacketOut(String),
    /// A barrier, and its answer.
    Barrier,
    /// Messages go to this file from now on.
    SetOutputFile(String),
    /// Nothing is read from now on.
    Block,
    /// Reading goes on.
    Unblock,
    /// The end.
    Exit,
}

/// Commands: name, arguments for people, fewest and most.
const COMMANDS: [(&str, &str, usize, usize); 9] = [
    ("exit", "", 0, 0),
    ("list-commands", "", 0, 0),
    ("ofctl/barrier", "", 0, 0),
    ("ofctl/block", "", 0, 0),
    ("ofctl/packet-out", "\"in_port=<port> packet=<hex data> actions=...\"", 1, 1),
    ("ofctl/send", "OFMSG...", 1, usize::MAX),
    ("ofctl/set-output-file", "FILE", 1, 1),
    ("ofctl/unblock", "", 0, 0),
    ("version", "", 0, 0),
];

struct ClientOf {
    number: usize,
    connection: Connection,
    asked: Option<Request>,
}

/// The socket and its clients.
pub struct Control {
    listener: Option<UnixListener>,
    path: PathBuf,
    registry: Option<Registry>,
    next: usize,
    clients: Vec<ClientOf>,
}

impl Control {
    /// Listens where the options say, by default in the run directory under our own pid.
    pub fn open(run: &Run) -> Result<Control, Fatal> {
        let default = || run_directory(None).join(format!("ovs-ofctl.{}.ctl", std::process::id()));
        let path = match run.options.unixctl.as_deref() {
            Some("none") => return Ok(Control::at(None, PathBuf::new())),
            Some(path) => run_directory(None).join(path),
            None => default(),
        };
        let _ = std::fs::remove_file(&path);
        match UnixListener::bind(&path) {
            Ok(listener) => Ok(Control::at(Some(listener), path)),
            // A run directory that does not exist keeps nobody from watching a switch elsewhere.
            Err(_) if run.options.unixctl.is_none() && !path.parent().is_some_and(Path::exists) => Ok(Control::at(None, PathBuf::new())),
            Err(e) => Err(Fatal(format!("{}: cannot listen for commands ({})", path.display(), reason(&e)))),
        }
    }

    fn at(listener: Option<UnixListener>, path: PathBuf) -> Control {
        Control { listener, path, registry: None, next: 1, clients: Vec::new() }
    }

    /// Wakes a poll when somebody comes.
    pub fn register(&mut self, registry: &Registry, token: Token) -> std::io::Result<()> {
        self.registry = Some(registry.try_clone()?);
        match &mut self.listener {
            Some(listener) => registry.register(listener, token, Interest::READABLE),
            None => Ok(()),
        }
    }

    /// Accepts who has come; looks at everybody again.
    pub fn accept(&mut self) {
        while let Some(Ok((mut stream, _))) = self.listener.as_ref().map(UnixListener::accept) {
            if self.clients.len() >= CLIENTS {
                continue;
            }
            self.next += 1;
            let both = Interest::READABLE | Interest::WRITABLE;
            if let Some(registry) = &self.registry {
                let _ = registry.register(&mut stream, Token(self.next), both);
            }
            self.clients.push(ClientOf { number: self.next, connection: Connection::new(stream), asked: None });
        }
        self.clients.iter_mut().for_each(|c| c.connection.set_ready());
    }

    /// The next order of somebody whose last one was answered.
    pub fn next_order(&mut self) -> Option<(usize, Order)> {
        let mut at = 0;
        while let Some(client) = self.clients.get_mut(at) {
            let asked = match client.asked {
                Some(_) => client.connection.check_peer().map(|()| None),
                None => client.connection.flush().and_then(|()| client.connection.next_request()),
            };
            match asked {
                Ok(None) => at += 1,
                Err(_) => drop(self.clients.remove(at)),
                Ok(Some(request)) => {
                    let number = client.number;
                    let order = order(&request);
                    client.asked = Some(request);
                    match order {
                        Ok(order) => return Some((number, order)),
                        Err(told) => self.answer(number, told),
                    }
                }
            }
        }
        None
    }

    /// Answers who gave an order.
    pub fn answer(&mut self, who: usize, result: Result<String, String>) {
        let Some(client) = self.clients.iter_mut().find(|c| c.number == who) else { return };
        if let Some(request) = client.asked.take() {
            client.connection.answer(&request, &result);
            let _ = client.connection.flush();
        }
    }

    /// Answers the last order.
    pub fn finish(&mut self, who: usize) {
        self.answer(who, Ok(String::new()));
        if let Some(client) = self.clients.iter_mut().find(|c| c.number == who) {
            client.connection.flush_at_end();
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if self.listener.is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What a request asks for, or its answer where that is known already.
fn order(request: &Request) -> Result<Order, Result<String, String>> {
    let (name, params) = (request.method.as_str(), &request.params);
    let Some((_, arguments, least, most)) = COMMANDS.iter().find(|(n, ..)| *n == name) else {
        return Err(Err(format!("\"{name}\" is not a valid command (use \"list-commands\" to see a list of valid commands)")));
    };
    if params.len() < *least {
        return Err(Err(format!("\"{name}\" command requires at least {least} arguments ({arguments})")));
    }
    if params.len() > *most {
        return Err(Err(format!("\"{name}\" command takes at most {most} arguments")));
    }
    let first = || params.first().cloned().unwrap_or_default();
    Ok(match name {
        "exit" => Order::Exit,
        "ofctl/barrier" => Order::Barrier,
        "ofctl/block" => Order::Block,
        "ofctl/unblock" => Order::Unblock,
        "ofctl/send" => Order::Send(params.clone()),
        "ofctl/packet-out" => Order::PacketOut(first()),
        "ofctl/set-output-file" => Order::SetOutputFile(first()),
        "version" => return Err(Ok(format!("sluice ofctl {}\n", env!("CARGO_PKG_VERSION")))),
        _ => {
            let widest = COMMANDS.iter().map(|(n, ..)| n.len()).max().unwrap_or(0);
            let lines = COMMANDS.iter().map(|(n, a, ..)| format!("  {n:widest$}  {a}").trim_end().to_string() + "\n");
            return Err(Ok("The available commands are:\n".to_string() + &lines.collect::<String>()));
        }
    })
}

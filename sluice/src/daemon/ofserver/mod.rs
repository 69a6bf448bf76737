//! The OpenFlow server: every connection of every bridge.
//!
//! Purpose: accept, connect, read, answer; tell those who want to hear of what happens.
//! Invariant: connections take turns and none waits for another: a peer that sends much, reads
//! nothing or talks nonsense costs its own connection only. Their number is bounded.
//! Deliberately does not know: what rules do.

mod connection;
mod news;
mod outgoing;
mod output;
pub mod session;
mod socket;

use std::collections::hash_map::RandomState;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::PathBuf;

use mio::event::Event;
use mio::{Registry, Token};
use sluice_flow::BridgeIdx;
use sluice_openflow::VersionSet;
use sluice_ovsdb_bridge::ControllerTarget;

use connection::{Connection, Ending};
use outgoing::Outgoing;
use session::{Effect, Session, Turn};
use socket::{Listener, Stream};

use super::rundir::RunDirectory;
use super::switch::Switch;

/// First token of the server; smaller ones are the control loop's own.
pub const FIRST_TOKEN: usize = 16;
/// Messages of one connection in one turn.
const MESSAGES_PER_TURN: usize = 128;
/// Connections at once; more are accepted and closed at once.
const CONNECTIONS: usize = 1024;

struct Listening {
    listener: Listener,
    bridge: BridgeIdx,
    versions: VersionSet,
}

struct Talking {
    connection: Connection,
    session: Session,
    name: String,
    /// The connection that we made, to be made again.
    outgoing: Option<usize>,
    /// When the peer was last heard.
    heard_ms: u64,
    /// It was asked since then whether it is still there.
    probed: bool,
}

/// Every listener and connection.
#[derive(Default)]
pub struct Server {
    next_token: usize,
    listening: BTreeMap<Token, Listening>,
    talking: BTreeMap<Token, Talking>,
    outgoing: Vec<Outgoing>,
    /// Tells this run of the daemon from others, in what controllers give back.
    run: u128,
}

impl Server {
    /// A server that listens nowhere.
    pub fn new() -> Server {
        let run = u128::from(RandomState::new().build_hasher().finish());
        Server { next_token: FIRST_TOKEN, run, ..Server::default() }
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// Listens on a unix socket for a bridge.
    pub fn listen_unix(&mut self, registry: &Registry, path: PathBuf, bridge: BridgeIdx, versions: VersionSet) -> Result<(), String> {
        RunDirectory::free_socket(&path).map_err(|e| e.to_string())?;
        let listener = Listener::unix(&path).map_err(|e| format!("{}: cannot listen: {e}", path.display()))?;
        RunDirectory::restrict(&path).map_err(|e| e.to_string())?;
        self.listen(registry, listener, bridge, versions).map_err(|e| format!("{}: cannot listen: {e}", path.display()))
    }

    fn listen(&mut self, registry: &Registry, mut listener: Listener, bridge: BridgeIdx, versions: VersionSet) -> io::Result<()> {
        let token = self.token();
        listener.register(registry, token)?;
        self.listening.insert(token, Listening { listener, bridge, versions });
        Ok(())
    }

    /// Listens or connects, as a controller target says.
    pub fn add_target(&mut self, registry: &Registry, target: &ControllerTarget, bridge: BridgeIdx, versions: VersionSet, now_ms: u64) -> Result<(), String> {
        match target {
            ControllerTarget::PassiveUnix(path) => self.listen_unix(registry, PathBuf::from(path), bridge, versions),
            ControllerTarget::PassiveTcp(address) => {
                let cannot = |e| format!("ptcp:{address}: cannot listen: {e}");
                let listener = Listener::tcp(*address).map_err(cannot)?;
                self.listen(registry, listener, bridge, versions).map_err(cannot)
            }
            ControllerTarget::Ssl(address) | ControllerTarget::PassiveSsl(address) => {
                Err(format!("ssl:{address}: TLS is not there yet; use tcp or unix"))
            }
            ControllerTarget::Tcp(_) | ControllerTarget::Unix(_) => {
                self.outgoing.push(Outgoing::new(target.clone(), bridge, versions, now_ms));
                Ok(())
            }
        }
    }

    /// Closes everything that a bridge has.
    pub fn forget_bridge(&mut self, registry: &Registry, bridge: BridgeIdx) {
        self.outgoing.iter_mut().filter(|o| o.bridge == bridge).for_each(Outgoing::give_up);
        let tokens: Vec<Token> = self.listening.iter().filter(|(_, l)| l.bridge == bridge).map(|(t, _)| *t).collect();
        for token in tokens {
            if let Some(mut gone) = self.listening.remove(&token) {
                gone.listener.deregister(registry);
            }
        }
        let tokens: Vec<Token> = self.talking.iter().filter(|(_, t)| t.session.bridge == bridge).map(|(t, _)| *t).collect();
        for token in tokens {
            self.close(registry, token, &Ending::Protocol("its bridge is gone".to_string()), 0);
        }
    }

    /// Takes an event of a socket; the work is done in [`Server::turn`].
    pub fn take_event(&mut self, registry: &Registry, event: &Event, now_ms: u64) {
        let token = event.token();
        if self.listening.contains_key(&token) {
            return self.accept(registry, token, now_ms);
        }
        if let Some(talking) = self.talking.get_mut(&token) {
            talking.connection.set_readable();
        }
    }

    fn accept(&mut self, registry: &Registry, token: Token, now_ms: u64) {
        loop {
            let Some(listening) = self.listening.get(&token) else { return };
            let (bridge, versions) = (listening.bridge, listening.versions);
            match listening.listener.accept() {
                Ok((stream, name)) => self.welcome(registry, stream, name, bridge, versions, None, now_ms),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return crate::log!(Warn, "openflow", "cannot accept a connection: {e}"),
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // who, where from, about what, since when
    fn welcome(&mut self, registry: &Registry, mut stream: Stream, name: String, bridge: BridgeIdx, versions: VersionSet, outgoing: Option<usize>, now_ms: u64) {
        if self.talking.len() >= CONNECTIONS {
            return crate::log!(Warn, "openflow", "{name}: refused, there are {CONNECTIONS} connections already");
        }
        let token = self.token();
        if let Err(e) = stream.register(registry, token) {
            crate::log!(Warn, "openflow", "{name}: cannot be served: {e}");
            return self.lost(outgoing, now_ms);
        }
        let mut connection = Connection::new(stream);
        let mut session = Session::new(bridge, versions, outgoing.is_none());
        session.set_bridge_uuid(self.run << 16 | u128::from(bridge) + 1);
        session.greet(&mut connection.output);
        connection.set_readable();
        self.talking.insert(token, Talking { connection, session, name, outgoing, heard_ms: now_ms, probed: false });
    }

    /// Lets every connection that can work do some; true when there is more to do at once.
    pub fn turn(&mut self, registry: &Registry, switch: &mut Switch, now_ms: u64) -> bool {
        self.connect_again(registry, now_ms);
        self.probe(registry, now_ms);
        let tokens: Vec<Token> = self.talking.keys().copied().collect();
        let mut more = false;
        for token in tokens {
            match self.serve(token, switch, now_ms) {
                Ok(has_more) => more |= has_more,
                Err(ending) => self.close(registry, token, &ending, now_ms),
            }
        }
        switch.publish();
        more
    }

    fn serve(&mut self, token: Token, switch: &mut Switch, now_ms: u64) -> Result<bool, Ending> {
        let Some(talking) = self.talking.get_mut(&token) else { return Ok(false) };
        talking.connection.flush()?;
        talking.session.resume_monitors(switch, &mut talking.connection.output);
        for _ in 0..MESSAGES_PER_TURN {
            let Some(talking) = self.talking.get_mut(&token) else { return Ok(false) };
            if talking.connection.output.is_congested() {
                talking.connection.flush()?;
            }
            if talking.session.is_busy() {
                let output = &mut talking.connection.output;
                if talking.session.go_on(&mut Turn { switch, output, now_ms }) {
                    break;
                }
            }
            if talking.connection.output.is_congested() {
                break;
            }
            let Some(message) = talking.connection.next_message()? else { break };
            talking.heard_ms = now_ms;
            talking.probed = false;
            let output = &mut talking.connection.output;
            switch.act_for(Some(token.0));
            let effect = talking.session.handle(&message, &mut Turn { switch, output, now_ms });
            switch.act_for(None);
            if effect == Effect::Close {
                let _ = talking.connection.flush();
                return Err(Ending::Protocol("the conversation was ended".to_string()));
            }
            if effect != Effect::None || switch.has_rule_changes() {
                self.spread(token, effect, switch);
            }
        }
        let Some(talking) = self.talking.get_mut(&token) else { return Ok(false) };
        talking.connection.flush()?;
        Ok(talking.connection.has_work() && !talking.session.is_busy())
    }

    fn close(&mut self, registry: &Registry, token: Token, ending: &Ending, now_ms: u64) {
        let Some(mut talking) = self.talking.remove(&token) else { return };
        talking.connection.stream().deregister(registry);
        match ending {
            Ending::Closed => crate::log!(Debug, "openflow", "{}: {ending}", talking.name),
            _ => crate::log!(Info, "openflow", "{}: closed: {ending}", talking.name),
        }
        self.lost(talking.outgoing, now_ms);
    }
}

//! The OpenFlow server: every connection of every bridge.
//!
//! Purpose: accept, connect, read, answer; tell those who want to hear of what happens.
//! Invariant: connections take turns and none waits for another: a peer that sends much, reads
//! nothing or talks nonsense costs its own connection only. Their number is bounded.
//! Deliberately does not know: what rules do.

mod connection;
mod controllers;
mod limiter;
mod news;
mod outgoing;
mod output;
pub mod session;
mod socket;
mod tls;

use std::collections::hash_map::RandomState;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::PathBuf;

use mio::event::Event;
use mio::{Registry, Token};
use sluice_flow::BridgeIdx;
use sluice_openflow::VersionSet;
use sluice_ovsdb_bridge::{Controller, ControllerTarget};

use connection::{Connection, Ending};
use limiter::Limiter;
use outgoing::Outgoing;
use session::{Effect, Session, Turn};
pub use outgoing::ControllerStatus;
use socket::Listener;

use super::rundir::RunDirectory;
use super::switch::Switch;
use crate::stream::keys::Keys;
use crate::stream::socket::Stream;

/// First token of the server; smaller ones are the control loop's own.
pub const FIRST_TOKEN: usize = 16;
/// Messages of one connection in one turn.
const MESSAGES_PER_TURN: usize = 128;
/// Connections that ended badly, told of in a second; more are only counted.
const TOLD_PER_SECOND: u32 = 10;
/// Connections at once; more are accepted and closed at once.
const CONNECTIONS: usize = 1024;

struct Listening {
    listener: Listener,
    bridge: BridgeIdx,
    versions: VersionSet,
    /// How those who come are treated.
    controller: Controller,
    /// Those who come hear what the bridge's controllers say and are told.
    snoop: bool,
    /// One of the bridge's own sockets, which no configuration names.
    own: bool,
}

struct Talking {
    connection: Connection,
    session: Session,
    name: String,
    /// The connection that we made, to be made again.
    outgoing: Option<usize>,
    /// Where it came in.
    door: Option<Token>,
    /// When the peer was last heard.
    heard_ms: u64,
    /// It was asked since then whether it is still there.
    probed: bool,
    /// Silence after which it is asked, milliseconds; 0 for never.
    probe_ms: u64,
    /// Packets that it is told of.
    limiter: Option<Limiter>,
    /// Hears what the bridge's controllers say and are told, and says nothing itself.
    snoops: bool,
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
    /// When a bridge without controllers is to go on by itself.
    alone_ms: Option<u64>,
    /// For connections with TLS.
    keys: Option<Keys>,
    /// The message that is being served.
    message: Vec<u8>,
    /// A second, and the connections that ended badly in it.
    told: (u64, u32),
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
        let snoop = path.extension().is_some_and(|e| e == "snoop");
        let controller = Controller { inactivity_probe_ms: 0, ..Controller::new(ControllerTarget::PassiveUnix(path.display().to_string())) };
        let new = Listening { listener, bridge, versions, controller, snoop, own: true };
        self.listen(registry, new).map_err(|e| format!("{}: cannot listen: {e}", path.display()))
    }

    fn listen(&mut self, registry: &Registry, mut new: Listening) -> io::Result<()> {
        let token = self.token();
        new.listener.register(registry, token)?;
        self.listening.insert(token, new);
        Ok(())
    }

    /// Listens or connects, as a controller's configuration says.
    pub fn add_controller(&mut self, registry: &Registry, controller: &Controller, bridge: BridgeIdx, versions: VersionSet, now_ms: u64) -> Result<(), String> {
        let target = &controller.target;
        let cannot = |e| format!("{}: cannot listen: {e}", outgoing::name_of(target));
        let listener = match target {
            ControllerTarget::PassiveUnix(path) => {
                let path = PathBuf::from(path);
                RunDirectory::free_socket(&path).map_err(|e| e.to_string())?;
                Listener::unix(&path).map_err(cannot)?
            }
            ControllerTarget::PassiveTcp(address) => Listener::tcp(*address).map_err(cannot)?,
            ControllerTarget::PassiveSsl(address) => Listener::tls(*address).map_err(cannot)?,
            _ => {
                let new = Outgoing::new(controller.clone(), bridge, versions, now_ms);
                match self.outgoing.iter_mut().find(|o| o.is_given_up()) {
                    Some(free) => *free = new,
                    None => self.outgoing.push(new),
                }
                return Ok(());
            }
        };
        let new = Listening { listener, bridge, versions, controller: controller.clone(), snoop: false, own: false };
        self.listen(registry, new).map_err(cannot)
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

    /// Leaves the controllers of a bridge (of all for `None`) and connects to them anew.
    pub fn reconnect(&mut self, registry: &Registry, bridge: Option<BridgeIdx>, now_ms: u64) {
        let ours = |t: &Talking| t.outgoing.is_some() && bridge.is_none_or(|b| t.session.bridge == b);
        let tokens: Vec<Token> = self.talking.iter().filter(|(_, t)| ours(t)).map(|(t, _)| *t).collect();
        for token in tokens {
            self.close(registry, token, &Ending::Protocol("asked to connect anew".to_string()), now_ms);
        }
    }

    /// Takes an event of a socket; the work is done in [`Server::turn`].
    pub fn take_event(&mut self, registry: &Registry, event: &Event, now_ms: u64) {
        let token = event.token();
        if self.listening.contains_key(&token) {
            return self.accept(registry, token, now_ms);
        }
        if let Some(talking) = self.talking.get_mut(&token) {
            talking.connection.set_readable(event.is_read_closed() || event.is_error());
        }
    }

    fn accept(&mut self, registry: &Registry, token: Token, now_ms: u64) {
        loop {
            let Some(listening) = self.listening.get(&token) else { return };
            let (bridge, versions, snoop) = (listening.bridge, listening.versions, listening.snoop);
            let controller = listening.controller.clone();
            match listening.listener.accept(self.keys.as_ref()) {
                Ok((stream, name)) => {
                    let new = self.welcome(registry, stream, name, bridge, versions, &controller, None, now_ms);
                    let Some(talking) = new.and_then(|t| self.talking.get_mut(&t)) else { continue };
                    talking.door = Some(token);
                    if snoop {
                        talking.snoops = true;
                        talking.session.mute();
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return crate::log!(Warn, "openflow", "cannot accept a connection: {e}"),
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // who, where from, about what, since when
    fn welcome(&mut self, registry: &Registry, mut stream: Stream, name: String, bridge: BridgeIdx, versions: VersionSet, controller: &Controller, outgoing: Option<usize>, now_ms: u64) -> Option<Token> {
        if self.talking.len() >= CONNECTIONS {
            crate::log!(Warn, "openflow", "{name}: refused, there are {CONNECTIONS} connections already");
            return None;
        }
        let token = self.token();
        if let Err(e) = stream.register(registry, token) {
            crate::log!(Warn, "openflow", "{name}: cannot be served: {e}");
            self.lost(outgoing, &e.to_string(), now_ms);
            return None;
        }
        let mut connection = Connection::new(stream);
        let mut session = Session::new(bridge, versions, outgoing.is_none());
        session.set_bridge_uuid(self.run << 16 | u128::from(bridge) + 1);
        session.greet(&mut connection.output);
        connection.set_readable(false);
        if !controller.enable_async {
            session.hear_nothing_at_first();
        }
        let limiter = controller.rate_limit.map(|rate| Limiter::new(rate, controller.burst_limit, now_ms));
        let probe_ms = u64::from(controller.inactivity_probe_ms);
        let talking = Talking { connection, session, name, outgoing, door: None, heard_ms: now_ms, probed: false, probe_ms, limiter, snoops: false };
        self.talking.insert(token, talking);
        Some(token)
    }

    /// Lets every connection that can work do some; true when there is more to do at once.
    pub fn turn(&mut self, registry: &Registry, switch: &mut Switch, now_ms: u64) -> bool {
        self.connect_again(registry, now_ms);
        self.probe(registry, now_ms);
        self.tell_limited(now_ms);
        let tokens: Vec<Token> = self.talking.keys().copied().collect();
        let mut more = false;
        for token in tokens {
            match self.serve(token, switch, now_ms) {
                Ok(has_more) => more |= has_more,
                Err(ending) => self.close(registry, token, &ending, now_ms),
            }
        }
        self.mind_the_lonely(switch, now_ms);
        self.show_to_snoopers(switch);
        self.flush_all(registry, now_ms);
        switch.set_reading(more);
        switch.publish_at_leisure();
        more
    }

    /// Sends what others' messages left behind for connections that had been served before.
    fn flush_all(&mut self, registry: &Registry, now_ms: u64) {
        let waiting = self.talking.iter_mut().filter(|(_, t)| t.connection.output.waiting() > 0);
        let broken: Vec<(Token, Ending)> = waiting.filter_map(|(token, t)| Some((*token, t.connection.flush().err()?))).collect();
        for (token, ending) in broken {
            self.close(registry, token, &ending, now_ms);
        }
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
            if !talking.connection.next_message(&mut self.message)? {
                break;
            }
            let message = &self.message;
            talking.heard_ms = now_ms;
            talking.probed = false;
            if talking.snoops && talking.session.version().is_some() {
                // One who only listens is not answered.
                continue;
            }
            let output = &mut talking.connection.output;
            output.overhear(message);
            switch.act_for(Some(token.0));
            let effect = talking.session.handle(message, &mut Turn { switch, output, now_ms });
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

    /// Whether one more ending may be told of: a peer that comes and dies all the time must not fill the log.
    fn may_tell(&mut self, now_ms: u64) -> bool {
        let second = now_ms / 1000;
        if self.told.0 != second {
            if let Some(more) = self.told.1.checked_sub(TOLD_PER_SECOND).filter(|n| *n > 0) {
                crate::log!(Info, "openflow", "{more} more connections were closed in one second");
            }
            self.told = (second, 0);
        }
        self.told.1 += 1;
        self.told.1 <= TOLD_PER_SECOND
    }

    fn close(&mut self, registry: &Registry, token: Token, ending: &Ending, now_ms: u64) {
        let Some(mut talking) = self.talking.remove(&token) else { return };
        talking.connection.stream().deregister(registry);
        match ending {
            Ending::Closed => crate::log!(Debug, "openflow", "{}: {ending}", talking.name),
            _ if !self.may_tell(now_ms) => crate::log!(Debug, "openflow", "{}: closed: {ending}", talking.name),
            _ => crate::log!(Info, "openflow", "{}: closed: {ending}", talking.name),
        }
        self.lost(talking.outgoing, &ending.to_string(), now_ms);
    }
}

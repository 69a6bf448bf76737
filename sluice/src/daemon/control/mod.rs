//! The control thread.
//!
//! Purpose: one loop over connections, the host, signals, the worker and time.
//! Invariant: nothing in it waits but the poll itself; an idle daemon sleeps until something is due.
//! Deliberately does not know: packets.

mod configure;
mod follow;
mod guard;
mod host;
mod leftover;
mod punts;
mod report;
mod timers;
mod tls;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use sluice_flow::Event;
use sluice_ovsdb_bridge::DesiredState;
use sluice_port::netlink::Host;

use super::args::{Args, ControlSocket, Source, SERVICE};
use super::clock::Clock;
use super::database::{self, Database, Remote};
use super::detach::Readiness;
use super::ofserver::Server;
use super::rundir::RunDirectory;
use super::signals::{self, Signals};
use super::switch::{Notice, Switch};
use super::unixctl;
use super::worker::{Kit, Team};
use crate::stream::keys::Keys;

const WAKE: Token = Token(0);
const STOP: Token = Token(1);
const RELOAD: Token = Token(2);
const HOST: Token = Token(3);
/// Buffers for each worker that there is at the beginning.
const BUFFERS: usize = 1 << 15;

/// The daemon.
pub struct Control {
    args: Args,
    rundir: RunDirectory,
    state: DesiredState,
    poll: Poll,
    clock: Clock,
    signals: Signals,
    host: Host,
    guard: guard::Guard,
    timers: timers::Timers,
    punts: punts::PuntLog,
    switch: Switch,
    server: Server,
    unixctl: unixctl::Server,
    follower: Option<follow::Follower>,
    /// For `ssl:` and `pssl:` connections.
    keys: Option<Keys>,
    /// Speeds of devices, which are slow to ask for.
    speeds: HashMap<String, u32>,
}

/// Runs until a signal ends it.
///
/// `readiness` hears when configuration can begin.
pub fn run(args: Args, mut readiness: Readiness) -> Result<(), String> {
    let keys = tls::of_command_line(&args.tls)?;
    let (state, follower) = match &args.source {
        Source::File(file) => (configure::read(file)?, None),
        Source::Database(remote) => {
            let follower = follow::Follower::new(Database::new(Remote::parse(remote)?, keys.clone()));
            (DesiredState::default(), Some(follower))
        }
    };
    configure::check(&state)?;
    let rundir = RunDirectory::claim(&args.directories.run).map_err(|e| e.to_string())?;
    let mut control = Control::new(args, rundir, &state)?;
    control.follower = follower;
    control.server.set_keys(keys.clone());
    control.keys = keys;
    let result = control.configure_first(state).and_then(|()| control.serve(&mut readiness));
    control.end(result)
}

impl Control {
    fn new(args: Args, rundir: RunDirectory, state: &DesiredState) -> Result<Control, String> {
        let cannot = |what: &'static str| move |e: io::Error| format!("cannot {what}: {e}");
        let poll = Poll::new().map_err(cannot("wait for events"))?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE).map_err(cannot("be woken by the worker"))?);
        let mut signals = Signals::install().map_err(cannot("take signals"))?;
        let readable = Interest::READABLE;
        let registry = poll.registry();
        registry.register(&mut signals.stop, STOP, readable).map_err(cannot("wait for signals"))?;
        registry.register(&mut signals.reload, RELOAD, readable).map_err(cannot("wait for signals"))?;
        let host = Host::open().map_err(|e| e.to_string())?;
        registry.register(&mut SourceFd(&host.poll_fd()), HOST, readable).map_err(cannot("follow the host"))?;
        let clock = Clock::start();
        let seeds = configure::random_seeds();
        let mut switch = Switch::new(seeds);
        let settings = configure::worker_settings(&state.workers, seeds, switch.versions());
        let unixctl = listen_for_commands(registry, &args)?;
        let buffers = BUFFERS * usize::from(state.workers.count.max(1));
        leftover::put_devices_back(rundir.path());
        let records = Arc::from(rundir.path());
        let kit = Kit { settings, tracker: switch.tracker().clone(), buffers, records, clock, control: waker };
        let team = Team::start(kit, &configure::seats(&state.workers)).map_err(cannot("start the workers"))?;
        let mark = leftover::mark(rundir.path());
        switch.set_lost(leftover::taps_elsewhere(&mark));
        switch.set_mark(mark);
        switch.employ(team);
        Ok(Control {
            args,
            rundir,
            state: DesiredState { workers: state.workers.clone(), ..DesiredState::default() },
            poll,
            clock,
            signals,
            host,
            guard: guard::Guard::default(),
            timers: timers::Timers::default(),
            punts: punts::PuntLog::default(),
            switch,
            server: Server::new(),
            unixctl,
            follower: None,
            keys: None,
            speeds: HashMap::new(),
        })
    }

    /// Ends the worker, and with `exit --cleanup` also what bridges made on the host.
    fn end(mut self, result: Result<bool, String>) -> Result<(), String> {
        if matches!(result, Ok(true)) {
            let now_ms = self.clock.now_ms();
            let bridges: Vec<_> = self.switch.bridges().map(|b| b.index).collect();
            bridges.into_iter().for_each(|index| self.switch.remove_bridge(index, now_ms));
        }
        self.switch.dismiss();
        drop(self.server);
        self.unixctl.finish();
        result.map(|_| ())
    }

    /// Runs until it is to end; true when what bridges made on the host is to go too.
    fn serve(&mut self, readiness: &mut Readiness) -> Result<bool, String> {
        crate::log!(Info, "sluiced", "serving in {}, pid {}", self.rundir.path().display(), std::process::id());
        let mut events = Events::with_capacity(256);
        let mut more = true;
        loop {
            let timeout = if more { Some(Duration::ZERO) } else { self.time_to_next() };
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(format!("cannot wait for events: {e}")),
            }
            let now_ms = self.clock.now_ms();
            self.switch.set_time(now_ms);
            let (mut host_changed, mut signalled) = (false, false);
            for event in &events {
                match event.token() {
                    HOST => host_changed = true,
                    database::TOKEN => self.follower.iter_mut().for_each(|f| f.database.set_ready()),
                    STOP | RELOAD => signalled = true,
                    WAKE => {}
                    token if unixctl::owns(token) => self.unixctl.take_event(self.poll.registry(), event),
                    _ => self.server.take_event(self.poll.registry(), event, now_ms),
                }
            }
            let wishes = if signalled { self.signals.take() } else { signals::Wishes::default() };
            if wishes.stop {
                crate::log!(Info, "sluiced", "stopping");
                return Ok(false);
            }
            if wishes.reload {
                self.reload(now_ms);
            }
            if host_changed {
                self.follow_host(now_ms);
            }
            more = self.work(now_ms)?;
            more |= self.follow_database(now_ms);
            if self.follower.as_ref().is_none_or(follow::Follower::has_begun) {
                readiness.announce();
            }
            let asked = self.obey(now_ms);
            more |= asked.more;
            self.switch.call_workers();
            if let Some(cleanup) = asked.exit {
                crate::log!(Info, "sluiced", "stopping, as asked for on the control socket");
                return Ok(cleanup);
            }
        }
    }

    /// Everything that is due; true when there is more to do at once.
    fn work(&mut self, now_ms: u64) -> Result<bool, String> {
        let news = self.switch.take_news(now_ms);
        if self.switch.has_lost_a_worker() {
            return Err("a worker thread ended unexpectedly; see above for why".to_string());
        }
        self.grant_wishes(now_ms);
        self.do_timers(now_ms);
        while let Some(notice) = self.switch.next_notice() {
            if let Notice::Punted(punted) = &notice {
                let bridge = self.switch.bridge(punted.bridge).map_or("", |b| &b.name);
                self.punts.write(bridge, punted, now_ms);
            }
            self.server.tell(&notice, &mut self.switch, now_ms);
        }
        self.server.tell_changes(None, &mut self.switch);
        let more = self.server.turn(self.poll.registry(), &mut self.switch, now_ms);
        Ok(more || news)
    }

    /// Commands of the control socket.
    fn obey(&mut self, now_ms: u64) -> unixctl::Wishes {
        let mut wishes = unixctl::Wishes::default();
        let mut console = unixctl::Console { switch: &mut self.switch, host: self.host.tables(), now_ms, wishes: &mut wishes };
        wishes.more = self.unixctl.turn(self.poll.registry(), &mut console);
        if wishes.underlay {
            self.take_host(crate::daemon::host::Touched { links: false, underlay: true }, now_ms);
        }
        for bridge in wishes.reconnect.take().unwrap_or_default() {
            self.server.reconnect(self.poll.registry(), bridge, now_ms);
        }
        self.switch.publish_at_leisure();
        wishes
    }

    /// What deciding asked for.
    fn grant_wishes(&mut self, now_ms: u64) {
        for wish in self.switch.take_wishes() {
            match wish {
                Event::Learned { bridge, learn, key } => self.switch.learn(bridge, &learn, &key, now_ms),
                Event::ShortenTimeouts { rule, idle, hard } => self.switch.rules.shorten_timeouts(rule, idle, hard),
                Event::Resolve { device, address } => self.resolve(device, address),
            }
        }
    }

    fn resolve(&mut self, device: usize, address: std::net::IpAddr) {
        let name = self.switch.underlay_device(device).unwrap_or_default();
        let Some(link) = self.host.tables().link_by_name(name).map(|l| l.index) else { return };
        if let Err(e) = self.host.request_neighbour(link, address) {
            crate::log!(Debug, name, "{e}");
        }
    }
}

/// Opens the control socket where it shall be.
fn listen_for_commands(registry: &mio::Registry, args: &Args) -> Result<unixctl::Server, String> {
    match &args.unixctl {
        ControlSocket::Nowhere => Ok(unixctl::Server::nowhere()),
        ControlSocket::At(path) => unixctl::Server::listen(registry, path),
        ControlSocket::Default => {
            let name = format!("{SERVICE}.{}.ctl", std::process::id());
            unixctl::Server::listen(registry, &args.directories.run.join(name))
        }
    }
}

//! Connections that we make, and make again.
//!
//! Purpose: a controller that has silently gone away is noticed, and tried again; a bridge whose
//! controllers are all gone goes on by itself where it shall.
//! Invariant: between two attempts at one target passes a time that doubles up to a limit.

use std::collections::BTreeMap;

use mio::Registry;
use sluice_flow::BridgeIdx;
use sluice_openflow::message::Role;
use sluice_openflow::VersionSet;
use sluice_ovsdb_bridge::{Controller, ControllerTarget, FailMode};

use super::connection::Ending;
use super::{Server, Talking};
use crate::daemon::switch::Switch;
use crate::stream::socket::Stream;

/// First wait between two attempts, and the least that the longest can be.
const FIRST_MS: u64 = 1000;
/// A connection that held this long makes the next wait short again.
const STABLE_MS: u64 = 10_000;
/// Probes without an answer before a bridge goes on by itself, and the interval where none is set.
const PROBES: u64 = 3;
const PROBE_MS: u64 = 5000;

/// When a silent connection is to be probed, or left; `None` where silence is fine.
fn probe_date(talking: &Talking) -> Option<u64> {
    let silences = if talking.probed { 2 } else { 1 };
    (talking.probe_ms > 0).then(|| talking.heard_ms + silences * talking.probe_ms)
}

/// A controller that we connect to.
pub(super) struct Outgoing {
    controller: Controller,
    pub(super) bridge: BridgeIdx,
    versions: VersionSet,
    /// When to try; `None` while connected, or given up.
    due_ms: Option<u64>,
    wait_ms: u64,
    since_ms: u64,
    given_up: bool,
    /// When both sides had agreed on a version last, and when the connection was lost last.
    connected_ms: Option<u64>,
    disconnected_ms: Option<u64>,
    made_ms: u64,
    last_error: Option<String>,
}

impl Outgoing {
    pub(super) fn new(controller: Controller, bridge: BridgeIdx, versions: VersionSet, now_ms: u64) -> Outgoing {
        Outgoing {
            controller,
            bridge,
            versions,
            due_ms: Some(now_ms),
            wait_ms: FIRST_MS,
            since_ms: now_ms,
            given_up: false,
            connected_ms: None,
            disconnected_ms: None,
            made_ms: now_ms,
            last_error: None,
        }
    }

    pub(super) fn give_up(&mut self) {
        self.given_up = true;
        self.due_ms = None;
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// Whether it is for this bridge, still.
    pub(super) fn serves(&self, bridge: BridgeIdx) -> bool {
        self.bridge == bridge && !self.given_up
    }

    pub(super) fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Another pace for the same target.
    pub(super) fn set_controller(&mut self, controller: Controller) {
        self.controller = controller;
        self.wait_ms = self.wait_ms.min(self.longest_ms());
    }

    fn longest_ms(&self) -> u64 {
        u64::from(self.controller.max_backoff_ms).max(FIRST_MS)
    }

    fn name(&self) -> String {
        name_of(&self.controller.target)
    }
}

/// A target as the configuration names it.
pub(super) fn name_of(target: &ControllerTarget) -> String {
    match target {
        ControllerTarget::Tcp(address) => format!("tcp:{address}"),
        ControllerTarget::Ssl(address) => format!("ssl:{address}"),
        ControllerTarget::Unix(path) => format!("unix:{path}"),
        ControllerTarget::PassiveTcp(address) => format!("ptcp:{address}"),
        ControllerTarget::PassiveSsl(address) => format!("pssl:{address}"),
        ControllerTarget::PassiveUnix(path) => format!("punix:{path}"),
    }
}

/// How a controller that we connect to is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerStatus {
    /// Which.
    pub target: ControllerTarget,
    /// Both sides have agreed on a version.
    pub is_connected: bool,
    /// The role that it has.
    pub role: Role,
    /// `ACTIVE`, `IDLE`, `CONNECTING`, `BACKOFF`.
    pub state: &'static str,
    /// Why the last connection ended.
    pub last_error: Option<String>,
    /// Seconds since the last connection was made.
    pub sec_since_connect: Option<u64>,
    /// Seconds since the last connection was lost.
    pub sec_since_disconnect: Option<u64>,
}

impl Server {
    /// Tries the connections whose time has come.
    pub(super) fn connect_again(&mut self, registry: &Registry, now_ms: u64) {
        for i in 0..self.outgoing.len() {
            let Some(outgoing) = self.outgoing.get_mut(i).filter(|o| o.due_ms.is_some_and(|due| due <= now_ms)) else { continue };
            outgoing.due_ms = None;
            outgoing.since_ms = now_ms;
            let (bridge, versions, name) = (outgoing.bridge, outgoing.versions, outgoing.name());
            let controller = outgoing.controller.clone();
            match self.dial(&controller.target) {
                Ok(stream) => {
                    self.welcome(registry, stream, name, bridge, versions, &controller, Some(i), now_ms);
                }
                Err(e) => {
                    crate::log!(Debug, "openflow", "{name}: cannot connect: {e}");
                    self.lost(Some(i), &e.to_string(), now_ms);
                }
            }
        }
    }

    fn dial(&self, target: &ControllerTarget) -> std::io::Result<Stream> {
        match target {
            ControllerTarget::Tcp(address) => Stream::tcp(*address),
            ControllerTarget::Unix(path) => Stream::unix(path.as_ref()),
            ControllerTarget::Ssl(address) => self.dial_tls(*address),
            _ => Err(std::io::Error::other("nothing to connect to")),
        }
    }

    /// A connection that we made is gone: try again later.
    pub(super) fn lost(&mut self, outgoing: Option<usize>, why: &str, now_ms: u64) {
        let Some(outgoing) = outgoing.and_then(|i| self.outgoing.get_mut(i)) else { return };
        outgoing.last_error = Some(without_number(why).to_string());
        if outgoing.connected_ms.is_some_and(|at| outgoing.disconnected_ms.is_none_or(|gone| gone < at)) {
            outgoing.disconnected_ms = Some(now_ms);
        }
        if outgoing.given_up {
            return;
        }
        if now_ms.saturating_sub(outgoing.since_ms) >= STABLE_MS {
            outgoing.wait_ms = FIRST_MS;
        }
        outgoing.due_ms = Some(now_ms + outgoing.wait_ms);
        outgoing.wait_ms = (outgoing.wait_ms * 2).min(outgoing.longest_ms());
    }

    /// Asks silent controllers whether they are still there; leaves those that do not answer.
    pub(super) fn probe(&mut self, registry: &Registry, now_ms: u64) {
        let mut silent = Vec::new();
        for (token, talking) in &mut self.talking {
            if probe_date(talking).is_some_and(|at| now_ms >= at) {
                if std::mem::replace(&mut talking.probed, true) {
                    silent.push(*token);
                } else {
                    talking.session.probe(&mut talking.connection.output);
                }
            }
        }
        for token in silent {
            self.close(registry, token, &Ending::Protocol("it does not answer".to_string()), now_ms);
        }
    }

    /// When the next connection is to be tried, or asked whether it still holds, or something waits
    /// for its time to be told.
    pub fn next_attempt(&self) -> Option<u64> {
        let attempts = self.outgoing.iter().filter_map(|o| o.due_ms);
        let probes = self.talking.values().filter_map(probe_date);
        let limits = self.talking.values().filter_map(|t| t.limiter.as_ref()?.due_ms());
        attempts.chain(probes).chain(limits).chain(self.alone_ms).min()
    }

    /// Lets bridges whose controllers are all gone go on by themselves, and no longer once one is back.
    pub(super) fn mind_the_lonely(&mut self, switch: &mut Switch, now_ms: u64) {
        for talking in self.talking.values().filter(|t| t.session.version().is_some()) {
            let Some(outgoing) = talking.outgoing.and_then(|i| self.outgoing.get_mut(i)) else { continue };
            if outgoing.connected_ms.is_none_or(|at| at < outgoing.since_ms) {
                outgoing.connected_ms = Some(now_ms);
            }
        }
        let mut bridges: BTreeMap<BridgeIdx, (bool, u64)> = BTreeMap::new();
        for (i, outgoing) in self.outgoing.iter().enumerate().filter(|(_, o)| !o.given_up && !o.controller.service) {
            let talks = self.talking.values().any(|t| t.outgoing == Some(i) && t.session.version().is_some());
            let probe_ms = match outgoing.controller.inactivity_probe_ms {
                0 => PROBE_MS,
                ms => u64::from(ms),
            };
            let alone = outgoing.disconnected_ms.unwrap_or(outgoing.made_ms) + PROBES * probe_ms;
            let entry = bridges.entry(outgoing.bridge).or_insert((false, 0));
            *entry = (entry.0 || talks, entry.1.max(alone));
        }
        self.alone_ms = None;
        for (bridge, (controlled, alone)) in bridges {
            let standalone = switch.bridge(bridge).is_some_and(|b| b.wanted.fail_mode == FailMode::Standalone);
            let on_its_own = standalone && !controlled && now_ms >= alone;
            if standalone && !controlled && !on_its_own {
                self.alone_ms = Some(self.alone_ms.map_or(alone, |at| at.min(alone)));
            }
            switch.set_fail_open(bridge, on_its_own, now_ms);
        }
    }

    /// How the controllers are that a bridge connects to.
    pub fn controller_status(&self, bridge: BridgeIdx, now_ms: u64) -> Vec<ControllerStatus> {
        let of_bridge = self.outgoing.iter().enumerate().filter(|(_, o)| o.bridge == bridge && !o.given_up);
        of_bridge
            .map(|(i, outgoing)| {
                let talking = self.talking.values().find(|t| t.outgoing == Some(i));
                let is_connected = talking.is_some_and(|t| t.session.version().is_some());
                let seconds = |at: Option<u64>| at.map(|at| now_ms.saturating_sub(at) / 1000);
                ControllerStatus {
                    target: outgoing.controller.target.clone(),
                    is_connected,
                    role: talking.map_or(Role::Equal, |t| t.session.role),
                    state: match (talking, is_connected) {
                        (Some(t), true) if t.probed => "IDLE",
                        (Some(_), true) => "ACTIVE",
                        (Some(_), false) => "CONNECTING",
                        (None, _) => "BACKOFF",
                    },
                    last_error: outgoing.last_error.clone().filter(|_| !is_connected),
                    sec_since_connect: seconds(outgoing.connected_ms),
                    sec_since_disconnect: seconds(outgoing.disconnected_ms),
                }
            })
            .collect()
    }
}

/// An error of the host in the words that operators know: without the number that Rust puts behind it.
fn without_number(why: &str) -> &str {
    why.rsplit_once(" (os error ").filter(|(_, number)| number.ends_with(')')).map_or(why, |(words, _)| words)
}

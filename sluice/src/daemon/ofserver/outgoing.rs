//! Connections that we make, and make again.
//!
//! Purpose: a controller that has silently gone away is noticed, and tried again.
//! Invariant: between two attempts at one target passes a time that doubles up to a limit.

use mio::Registry;
use sluice_flow::BridgeIdx;
use sluice_openflow::VersionSet;
use sluice_ovsdb_bridge::ControllerTarget;

use super::connection::Ending;
use super::socket::Stream;
use super::{Server, Talking};
use crate::stream::target::Target;

/// First and longest wait between two attempts.
const FIRST_MS: u64 = 1000;
const LONGEST_MS: u64 = 8000;
/// A connection that held this long makes the next wait short again.
const STABLE_MS: u64 = 10_000;

/// Silence after which a controller is asked whether it is there, and again until it is left.
const SILENCE_MS: u64 = 5000;

/// When a silent connection is to be probed, or left.
fn probe_date(talking: &Talking) -> u64 {
    let silences = if talking.probed { 2 } else { 1 };
    talking.heard_ms + silences * SILENCE_MS
}

/// A controller that we connect to.
pub(super) struct Outgoing {
    target: ControllerTarget,
    pub(super) bridge: BridgeIdx,
    versions: VersionSet,
    /// When to try; `None` while connected, or given up.
    due_ms: Option<u64>,
    wait_ms: u64,
    since_ms: u64,
    given_up: bool,
}

impl Outgoing {
    pub(super) fn new(target: ControllerTarget, bridge: BridgeIdx, versions: VersionSet, now_ms: u64) -> Outgoing {
        Outgoing { target, bridge, versions, due_ms: Some(now_ms), wait_ms: FIRST_MS, since_ms: now_ms, given_up: false }
    }

    pub(super) fn give_up(&mut self) {
        self.given_up = true;
        self.due_ms = None;
    }

    fn address(&self) -> Option<(Target, String)> {
        match &self.target {
            ControllerTarget::Tcp(address) => Some((Target::Tcp(*address), format!("tcp:{address}"))),
            ControllerTarget::Unix(path) => Some((Target::Unix(path.into()), format!("unix:{path}"))),
            _ => None,
        }
    }
}

impl Server {
    /// Tries the connections whose time has come.
    pub(super) fn connect_again(&mut self, registry: &Registry, now_ms: u64) {
        for i in 0..self.outgoing.len() {
            let Some(outgoing) = self.outgoing.get_mut(i).filter(|o| o.due_ms.is_some_and(|due| due <= now_ms)) else { continue };
            outgoing.due_ms = None;
            outgoing.since_ms = now_ms;
            let (bridge, versions) = (outgoing.bridge, outgoing.versions);
            let Some((target, name)) = outgoing.address() else { continue };
            match Stream::connect(&target) {
                Ok(stream) => self.welcome(registry, stream, name, bridge, versions, Some(i), now_ms),
                Err(e) => {
                    crate::log!(Debug, "openflow", "{name}: cannot connect: {e}");
                    self.lost(Some(i), now_ms);
                }
            }
        }
    }

    /// A connection that we made is gone: try again later.
    pub(super) fn lost(&mut self, outgoing: Option<usize>, now_ms: u64) {
        let Some(outgoing) = outgoing.and_then(|i| self.outgoing.get_mut(i)) else { return };
        if outgoing.given_up {
            return;
        }
        if now_ms.saturating_sub(outgoing.since_ms) >= STABLE_MS {
            outgoing.wait_ms = FIRST_MS;
        }
        outgoing.due_ms = Some(now_ms + outgoing.wait_ms);
        outgoing.wait_ms = (outgoing.wait_ms * 2).min(LONGEST_MS);
    }

    /// Asks silent controllers whether they are still there; leaves those that do not answer.
    pub(super) fn probe(&mut self, registry: &Registry, now_ms: u64) {
        let mut silent = Vec::new();
        for (token, talking) in self.talking.iter_mut().filter(|(_, t)| t.outgoing.is_some()) {
            if now_ms >= probe_date(talking) {
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

    /// When the next connection is to be tried, or asked whether it still holds.
    pub fn next_attempt(&self) -> Option<u64> {
        let attempts = self.outgoing.iter().filter_map(|o| o.due_ms);
        let probes = self.talking.values().filter(|t| t.outgoing.is_some()).map(probe_date);
        attempts.chain(probes).min()
    }
}

//! The commands of the control socket.
//!
//! Purpose: one list of names with what they need and do.
//! Invariant: every command answers at once, from what is in memory; its answer is bounded.
//! Deliberately does not know: sockets and JSON.

mod absent;
mod basic;
mod conntrack;
mod bonds;
mod datapath;
mod explain;
mod flows;
mod fragments;
mod limits;
mod list;
mod pmd;
mod qos;
mod switching;
mod tables;
mod tunnels;
mod workers;

use sluice_flow::BridgeIdx;
use sluice_port::netlink::Tables;

pub use list::find;

use crate::daemon::switch::Switch;

/// What commands work on.
pub struct Console<'a> {
    /// The switch.
    pub switch: &'a mut Switch,
    /// The host's devices, routes and neighbours.
    pub host: &'a Tables,
    /// Now.
    pub now_ms: u64,
    /// What the daemon is to do.
    pub wishes: &'a mut Wishes,
}

/// What commands ask of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// End; true removes what bridges made on the host.
    pub exit: Option<bool>,
    /// Connect anew to the controllers of these bridges, of all for `None`.
    pub reconnect: Option<Vec<Option<BridgeIdx>>>,
    /// Routes or neighbours were changed by hand.
    pub underlay: bool,
    /// Look again at once.
    pub more: bool,
}

/// What has to be there before a command can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// What the workers have counted until now.
    Counts,
    /// What the workers have cached.
    Flows,
}

/// What a command gives.
pub enum Reply {
    /// Text.
    Text(String),
    /// What is wrong.
    Error(String),
    /// An empty text, when the daemon has ended.
    AtEnd,
}

impl From<Result<String, String>> for Reply {
    fn from(result: Result<String, String>) -> Reply {
        match result {
            Ok(text) => Reply::Text(text),
            Err(text) => Reply::Error(text),
        }
    }
}

/// A command.
#[derive(Clone, Copy)]
pub struct Command {
    /// Name.
    pub name: &'static str,
    /// Its arguments, for people.
    pub usage: &'static str,
    /// Fewest and most arguments.
    pub arguments: (usize, usize),
    /// What it needs.
    pub need: Need,
    /// What it does; `None` for one that only says why it has nothing to do.
    pub run: Option<fn(&mut Console<'_>, &[&str]) -> Reply>,
}

impl Command {
    /// Runs it.
    pub fn run(&self, console: &mut Console<'_>, words: &[&str]) -> Reply {
        self.run.map_or_else(|| absent::answer(self.name), |run| run(console, words))
    }
}

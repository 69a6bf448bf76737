//! Flow monitors: a controller that hears of changes of the rules.

use super::FlowRemovedReason;
use crate::action::{Action, PortNo};
use crate::matching::Match;

/// Bits of [`FlowMonitorRequest::flags`], as OpenFlow 1.4 numbers them.
#[allow(missing_docs)]
pub mod monitor_flags {
    /// Tell of the rules that are there already.
    pub const INITIAL: u16 = 1 << 0;
    pub const ADD: u16 = 1 << 1;
    pub const REMOVED: u16 = 1 << 2;
    pub const MODIFY: u16 = 1 << 3;
    /// Tell the actions too.
    pub const INSTRUCTIONS: u16 = 1 << 4;
    pub const NO_ABBREV: u16 = 1 << 5;
    /// Tell of the connection's own changes in full. (Open vSwitch takes Nicira's "own" for it.)
    pub const ONLY_OWN: u16 = 1 << 6;
}

/// What is to become of a monitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MonitorCommand {
    /// A new one.
    Add,
    /// Changes an existing one.
    Modify,
    /// Ends one.
    Delete,
}

/// Asks to be told of changes of some rules.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowMonitorRequest {
    /// The controller's number for it.
    pub id: u32,
    /// New, changed, ended.
    pub command: MonitorCommand,
    /// Bits of [`monitor_flags`].
    pub flags: u16,
    /// Rules that output here; `NONE` for any.
    pub out_port: PortNo,
    /// Rules that use this group; all ones for any.
    pub out_group: u32,
    /// Table; `None` for all.
    pub table: Option<u8>,
    /// Rules that match at least all of this.
    pub matching: Match,
}

/// What happened to a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlowEvent {
    /// It was there when the monitor was made. (Before 1.4: as if added.)
    Initial,
    /// It came.
    Added,
    /// It went.
    Removed(FlowRemovedReason),
    /// Its actions or what it says of itself changed.
    Modified,
}

/// A change of a rule.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowChange {
    /// What happened.
    pub event: FlowEvent,
    /// Table.
    pub table: u8,
    /// Priority.
    pub priority: u16,
    /// Cookie.
    pub cookie: u64,
    /// Seconds without packets until it goes.
    pub idle_timeout: u16,
    /// Seconds until it goes.
    pub hard_timeout: u16,
    /// What it matches.
    pub matching: Match,
    /// What it does, where asked for.
    pub actions: Vec<Action>,
}

/// One part of what a monitor tells.
#[derive(Clone, PartialEq, Debug)]
pub enum FlowUpdate {
    /// A change.
    Change(Box<FlowChange>),
    /// The changes that the listener's own message of this number made.
    Abbreviated(u32),
    /// More changes than the listener can take: only removals are told from here on (1.4+).
    Paused,
    /// Everything missed has been told (1.4+).
    Resumed,
}

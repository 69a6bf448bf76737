//! Rules as the switch reports them.

use crate::action::{Action, FlowFlags, PortNo};
use crate::matching::Match;

/// Which rules a flow or aggregate request asks for.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowStatsRequest {
    /// Rules that this match contains.
    pub matching: Match,
    /// Table, `None` for all.
    pub table: Option<u8>,
    /// Rules that output here; `PortNo::NONE` for any.
    pub out_port: PortNo,
    /// Rules that use this group; `0xffff_ffff` for any.
    pub out_group: u32,
    /// Rules whose cookie has these bits under `cookie_mask`.
    pub cookie: u64,
    /// Mask for `cookie`; 0 for any.
    pub cookie_mask: u64,
    /// OpenFlow 1.0: the `NXST` form, whose reply is in NXM.
    pub nxm: bool,
}

impl Default for FlowStatsRequest {
    fn default() -> FlowStatsRequest {
        FlowStatsRequest {
            matching: Match::ANY,
            table: None,
            out_port: PortNo::NONE,
            out_group: 0xffff_ffff,
            cookie: 0,
            cookie_mask: 0,
            nxm: false,
        }
    }
}

/// One rule in a flow reply.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowStats {
    /// Table.
    pub table: u8,
    /// Priority.
    pub priority: u16,
    /// Cookie.
    pub cookie: u64,
    /// What packets.
    pub matching: Match,
    /// Whole seconds since it was added.
    pub duration_sec: u32,
    /// Nanoseconds beyond that.
    pub duration_nsec: u32,
    /// Seconds, 0 for none.
    pub idle_timeout: u16,
    /// Seconds, 0 for none.
    pub hard_timeout: u16,
    /// Seconds since a packet used it, where told.
    pub idle_age: Option<u16>,
    /// Seconds since it was added or modified, where told.
    pub hard_age: Option<u16>,
    /// Eviction importance.
    pub importance: u16,
    /// Flags.
    pub flags: FlowFlags,
    /// Packets, where counted.
    pub packets: Option<u64>,
    /// Bytes, where counted.
    pub bytes: Option<u64>,
    /// Actions and instructions.
    pub actions: Vec<Action>,
}

/// Why a rule went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlowRemovedReason {
    /// No packet for `idle_timeout`.
    IdleTimeout,
    /// `hard_timeout` passed.
    HardTimeout,
    /// A flow-mod deleted it.
    Delete,
    /// Its group was deleted.
    GroupDelete,
    /// Its meter was deleted.
    MeterDelete,
    /// It made room for another.
    Eviction,
}

/// A rule has gone.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowRemoved {
    /// What packets it took.
    pub matching: Match,
    /// Cookie.
    pub cookie: u64,
    /// Priority.
    pub priority: u16,
    /// Why.
    pub reason: FlowRemovedReason,
    /// Table, where told.
    pub table: Option<u8>,
    /// Whole seconds that it lived.
    pub duration_sec: u32,
    /// Nanoseconds beyond that.
    pub duration_nsec: u32,
    /// Seconds, 0 for none.
    pub idle_timeout: u16,
    /// Seconds, 0 for none.
    pub hard_timeout: u16,
    /// Packets, where counted.
    pub packets: Option<u64>,
    /// Bytes, where counted.
    pub bytes: Option<u64>,
}

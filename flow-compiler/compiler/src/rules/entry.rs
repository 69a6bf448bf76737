//! One rule as the control side keeps it, and what is told of it to others.
//!
//! Invariant: match and priority live in the compiled rule alone; they are never kept twice.
//! Deliberately does not know: where rules are found (see `table`).

use std::sync::Arc;

use sluice_flow::options::OptionMap;
use sluice_flow::{BridgeIdx, Rule, RuleId};
use sluice_openflow::action::FlowFlags;
use sluice_openflow::{Action, Match};

/// No rule.
pub(crate) const NIL: RuleId = RuleId::MAX;

/// One rule.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Match, priority and instructions; shared with the program.
    pub rule: Arc<Rule>,
    /// Actions exactly as given.
    pub actions: Arc<[Action]>,
    pub cookie: u64,
    /// Times in milliseconds.
    pub created: u64,
    pub modified: u64,
    pub used: u64,
    /// Deadline of its live entry in the timer heap.
    pub scheduled: u64,
    pub packets: u64,
    pub bytes: u64,
    pub idle_timeout: u16,
    pub hard_timeout: u16,
    pub importance: u16,
    pub flags: FlowFlags,
    pub bridge: BridgeIdx,
    pub table: u8,
    /// Removed by the transaction that is running.
    pub gone: bool,
    /// Place in its table.
    pub subtable: u32,
    pub prev: RuleId,
    pub next: RuleId,
    pub chain: RuleId,
}

impl Entry {
    /// When it times out if nothing uses it; `None` without timeouts.
    pub fn deadline(&self) -> Option<u64> {
        let after = |from: u64, seconds: u16| (seconds != 0).then(|| from + u64::from(seconds) * 1000);
        match (after(self.used, self.idle_timeout), after(self.modified, self.hard_timeout)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Why it is gone at `now`, if it is.
    pub fn expired(&self, now: u64) -> Option<RemovedReason> {
        let over = |from: u64, seconds: u16| seconds != 0 && now > from + u64::from(seconds) * 1000;
        if over(self.modified, self.hard_timeout) {
            Some(RemovedReason::HardTimeout)
        } else if over(self.used, self.idle_timeout) {
            Some(RemovedReason::IdleTimeout)
        } else {
            None
        }
    }
}

/// Why a rule went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RemovedReason {
    /// Unused for too long.
    IdleTimeout,
    /// Too old.
    HardTimeout,
    /// Deleted.
    Delete,
    /// Its group was deleted.
    GroupDelete,
    /// Its meter was deleted.
    MeterDelete,
    /// It made room for another.
    Eviction,
    /// Another rule took its place: nobody is told.
    Replaced,
}

/// A rule that went. Its id is free again only after [`crate::RuleSet::release`].
#[derive(Clone, Debug)]
pub struct Removed {
    /// Why.
    pub reason: RemovedReason,
    /// What it was.
    pub flow: FlowStats,
}

/// All there is to say of one rule.
#[derive(Clone, Debug)]
pub struct FlowStats {
    /// Name in counters.
    pub id: RuleId,
    /// Bridge.
    pub bridge: BridgeIdx,
    /// Table.
    pub table: u8,
    /// Match, priority and instructions.
    pub rule: Arc<Rule>,
    /// Actions exactly as given.
    pub actions: Arc<[Action]>,
    /// Cookie.
    pub cookie: u64,
    /// Seconds, 0 for none.
    pub idle_timeout: u16,
    /// Seconds, 0 for none.
    pub hard_timeout: u16,
    /// Eviction importance.
    pub importance: u16,
    /// Flags.
    pub flags: FlowFlags,
    /// Milliseconds.
    pub created: u64,
    /// Milliseconds.
    pub modified: u64,
    /// Milliseconds.
    pub used: u64,
    /// Packets, as far as they were folded.
    pub packets: u64,
    /// Bytes, as far as they were folded.
    pub bytes: u64,
    /// The tunnel options that its bridge maps.
    pub options: Arc<OptionMap>,
}

impl FlowStats {
    pub(crate) fn of(e: &Entry, options: &Arc<OptionMap>) -> Self {
        FlowStats {
            id: e.rule.id,
            bridge: e.bridge,
            table: e.table,
            rule: e.rule.clone(),
            actions: e.actions.clone(),
            cookie: e.cookie,
            idle_timeout: e.idle_timeout,
            hard_timeout: e.hard_timeout,
            importance: e.importance,
            flags: e.flags,
            created: e.created,
            modified: e.modified,
            used: e.used,
            packets: e.packets,
            bytes: e.bytes,
            options: options.clone(),
        }
    }

    /// Priority.
    pub fn priority(&self) -> u16 {
        self.rule.priority
    }

    /// Match as a value and a mask over the whole key.
    pub fn matching(&self) -> Match {
        Match::of_bridge(self.rule.matching.value_key(), self.rule.matching.mask.to_key(), &self.options)
    }
}

//! Rules, told in parts.
//!
//! Purpose: a dump of a million rules takes no more memory than the numbers of the rules and one
//! part; it goes on as fast as the peer reads, a part of bounded size at a time.
//! Invariant: a rule that goes while it is told of is left out; the last part says that it is the
//! last.

use std::collections::{HashSet, VecDeque};

use sluice_compiler::{Filter, FlowStats as Rule};
use sluice_flow::RuleId;
use sluice_openflow::message::{EncodeError, FlowChange, FlowEvent, FlowStats, FlowStatsRequest, FlowUpdate, StatsReply};
use sluice_openflow::wire::FlowReplies;
use sluice_openflow::Message;

use super::{Session, Turn};

/// Bytes of rules that make a part; more wait until the peer has read.
const PART: usize = 60 << 10;
/// Rules that one who watches is told of in a part.
const UPDATES: usize = 256;

/// A dump that is under way.
pub(super) struct FlowDump {
    pub xid: u32,
    pub telling: Telling,
    pub left: VecDeque<RuleId>,
}

/// What is told of each rule.
pub(super) enum Telling {
    /// All, to one who asked for rules.
    Rules { nxm: bool },
    /// What it is, to one who watches rules; without actions for these.
    Monitor { bare: HashSet<RuleId> },
}

/// Which rules a request is about.
pub(super) fn filter(request: &FlowStatsRequest) -> Filter {
    Filter {
        table: request.table,
        matching: request.matching.clone(),
        cookie: request.cookie,
        cookie_mask: request.cookie_mask,
        out_port: request.out_port,
        out_group: request.out_group,
    }
}

impl Session {
    pub(super) fn start_dump(&mut self, request: &FlowStatsRequest, xid: u32, turn: &mut Turn<'_>) {
        let filter = filter(request);
        let left = turn.switch.rules.select(self.bridge, &filter).into();
        let dump = FlowDump { xid, telling: Telling::Rules { nxm: request.nxm }, left };
        self.dump = self.continue_dump(dump, turn);
    }

    /// Tells of more rules, until the peer has to read first.
    pub(super) fn continue_dump(&mut self, mut dump: FlowDump, turn: &mut Turn<'_>) -> Option<FlowDump> {
        while !turn.output.is_congested() {
            match &dump.telling {
                Telling::Rules { nxm } => self.tell_rules(*nxm, dump.xid, &mut dump.left, turn),
                Telling::Monitor { bare } => self.tell_watched(bare, dump.xid, &mut dump.left, turn),
            }
            if dump.left.is_empty() {
                return None;
            }
        }
        Some(dump)
    }

    /// One part of an answer to one who asked for rules.
    fn tell_rules(&self, nxm: bool, xid: u32, left: &mut VecDeque<RuleId>, turn: &mut Turn<'_>) {
        let mut replies = match FlowReplies::new(self.protocol, nxm, xid) {
            Ok(replies) => replies,
            Err(e) => {
                left.clear();
                return cannot_tell(&e);
            }
        };
        while replies.written() < PART {
            let Some(id) = left.pop_front() else { break };
            let Some(rule) = turn.switch.rules.rule(id) else { continue };
            if let Err(e) = replies.add(&told(&rule, turn.now_ms)) {
                cannot_tell(&e);
            }
        }
        match replies.finish(!left.is_empty()) {
            Ok(parts) => parts.iter().for_each(|bytes| turn.output.push(bytes)),
            Err(e) => cannot_tell(&e),
        }
    }

    /// One part for one who watches rules.
    fn tell_watched(&self, bare: &HashSet<RuleId>, xid: u32, left: &mut VecDeque<RuleId>, turn: &mut Turn<'_>) {
        let n = UPDATES.min(left.len());
        let rules = left.drain(..n).filter_map(|id| turn.switch.rules.rule(id));
        let updates = rules.map(|r| initial(&r, !bare.contains(&r.id))).collect();
        let more = !left.is_empty();
        self.reply(&Message::StatsReply(StatsReply::FlowMonitor { more, updates }), xid, turn);
    }
}

fn cannot_tell(e: &EncodeError) {
    crate::log!(Error, "openflow", "a rule cannot be told: {e}");
}

fn initial(rule: &Rule, with_actions: bool) -> FlowUpdate {
    FlowUpdate::Change(Box::new(FlowChange {
        event: FlowEvent::Initial,
        table: rule.table,
        priority: rule.priority(),
        cookie: rule.cookie,
        idle_timeout: rule.idle_timeout,
        hard_timeout: rule.hard_timeout,
        matching: rule.matching(),
        actions: if with_actions { rule.actions.to_vec() } else { Vec::new() },
    }))
}

/// A rule as it is told.
fn told(rule: &Rule, now_ms: u64) -> FlowStats {
    let age = now_ms.saturating_sub(rule.created);
    let seconds = |since: u64| Some(u16::try_from(now_ms.saturating_sub(since) / 1000).unwrap_or(u16::MAX));
    FlowStats {
        table: rule.table,
        priority: rule.priority(),
        cookie: rule.cookie,
        matching: rule.matching(),
        duration_sec: u32::try_from(age / 1000).unwrap_or(u32::MAX),
        duration_nsec: (age % 1000) as u32 * 1_000_000,
        idle_timeout: rule.idle_timeout,
        hard_timeout: rule.hard_timeout,
        idle_age: seconds(rule.used),
        hard_age: seconds(rule.modified),
        importance: rule.importance,
        flags: rule.flags,
        packets: Some(rule.packets),
        bytes: Some(rule.bytes),
        actions: rule.actions.to_vec(),
    }
}

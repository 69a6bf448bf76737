//! Which rules are too old or unused for too long.
//!
//! Purpose: a heap of deadlines, corrected lazily: a rule whose use has moved its deadline is put
//! back when its old deadline comes, so that a tick costs what is due, not what exists.
//! Invariant: every visible rule with a timeout has exactly one live heap entry.
//! Deliberately does not know: clocks; where counters come from.

use std::cmp::Reverse;

use sluice_flow::RuleId;

use super::entry::RemovedReason;
use super::table::{entry, entry_mut};
use super::transaction::Transaction;
use super::{Applied, RuleSet};

impl RuleSet {
    /// Earliest time at which some rule may expire, if nothing uses it.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes the rules that have timed out. Fold what workers counted first: a rule that was used
    /// since then stays.
    pub fn expire(&mut self, now: u64) -> Applied {
        let mut all = Applied::default();
        for (id, reason) in self.take_expired(now) {
            let Some(bridge) = entry(&self.entries, id).map(|e| e.bridge) else { continue };
            let mut t = Transaction::new(self, bridge, now);
            t.remove(id, reason);
            let one = t.finish();
            all.changes.extend(one.changes);
            all.removed.extend(one.removed);
            all.news.extend(one.news);
        }
        all
    }

    /// Shortens a rule's timeouts (`fin_timeout`); zero leaves one as it is.
    pub fn shorten_timeouts(&mut self, id: RuleId, idle: u16, hard: u16) {
        let shorter = |old: u16, new: u16| if new != 0 && (old == 0 || new < old) { new } else { old };
        if let Some(e) = entry_mut(&mut self.entries, id) {
            e.idle_timeout = shorter(e.idle_timeout, idle);
            e.hard_timeout = shorter(e.hard_timeout, hard);
            let (bridge, table) = (e.bridge, e.table);
            self.schedule(id);
            if let Some((t, entries)) = self.table_mut(bridge, table) {
                t.rank_again(entries, id);
            }
        }
    }

    /// Makes the rule's deadline the live heap entry, where it is not already early enough.
    pub(super) fn schedule(&mut self, id: RuleId) {
        let Some(e) = entry_mut(&mut self.entries, id) else { return };
        if let Some(deadline) = e.deadline() {
            if e.scheduled == 0 || deadline < e.scheduled {
                e.scheduled = deadline.max(1);
                self.timers.push(Reverse((e.scheduled, id)));
            }
        }
    }

    fn take_expired(&mut self, now: u64) -> Vec<(RuleId, RemovedReason)> {
        let mut expired = Vec::new();
        while let Some(&Reverse((at, id))) = self.timers.peek() {
            if at >= now {
                break;
            }
            self.timers.pop();
            let Some(e) = entry_mut(&mut self.entries, id).filter(|e| e.scheduled == at) else { continue };
            e.scheduled = 0;
            match e.expired(now) {
                Some(reason) => expired.push((id, reason)),
                None => self.schedule(id),
            }
        }
        expired
    }
}

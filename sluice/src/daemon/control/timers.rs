//! What is due when.
//!
//! Purpose: timeouts of rules, ageing of learned addresses, devices and connections to try again.
//! Invariant: the loop sleeps until the first of them, no matter how many there are.

use std::time::Duration;

use super::Control;
use crate::daemon::switch::SAMPLE_SECONDS;

/// How often learned addresses are looked through, counters remembered and loads of workers compared.
const AGEING_MS: u64 = SAMPLE_SECONDS * 1000;
/// Programs that wait for the worker, and the like: soon, but not at once.
const SOON_MS: u64 = 1;

/// Dates.
#[derive(Default)]
pub(super) struct Timers {
    /// The report after which rules are timed out.
    expiry: Option<u64>,
    ageing_ms: u64,
}

impl Control {
    /// How long nothing is due.
    pub(super) fn time_to_next(&self) -> Option<Duration> {
        let now = self.clock.now_ms();
        let rules = self.switch.rules.next_deadline().filter(|_| self.timers.expiry.is_none()).map(|at| at + 1);
        let waiting = (!self.switch.is_published()).then_some(now + SOON_MS);
        let ageing = self.switch.bridges().next().map(|_| self.timers.ageing_ms);
        let database = self.follower.as_ref().and_then(super::follow::Follower::next_date);
        let dates = [self.switch.next_bond_ms(), rules, waiting, ageing, database, self.switch.next_retry(), self.server.next_attempt()];
        let next = dates.into_iter().flatten().min()?;
        Some(Duration::from_millis(next.saturating_sub(now)))
    }

    /// Does what is due.
    pub(super) fn do_timers(&mut self, now_ms: u64) {
        self.time_out_rules(now_ms);
        self.switch.retry_ports(now_ms);
        self.switch.run_bonds(now_ms);
        if now_ms >= self.timers.ageing_ms {
            self.timers.ageing_ms = now_ms + AGEING_MS;
            self.switch.balance();
            self.switch.bridges().for_each(|b| {
                b.fdb.expire(now_ms);
                b.mdb.iter().for_each(|m| m.expire(now_ms));
            });
            self.switch.sample_counters();
        }
        self.switch.publish_at_leisure();
    }

    /// Rules are only timed out on fresh counts: one that was used since stays.
    fn time_out_rules(&mut self, now_ms: u64) {
        match self.timers.expiry {
            None if self.switch.rules.next_deadline().is_some_and(|at| at < now_ms) => {
                self.timers.expiry = Some(self.switch.request_report());
            }
            Some(ticket) if self.switch.has_reported(ticket) => {
                self.timers.expiry = None;
                self.switch.expire(now_ms);
            }
            _ => {}
        }
    }
}

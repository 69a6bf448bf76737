//! From the database's rows to a configuration in force, and the word that it is.
//!
//! Purpose: take rows as soon as they change, confirm them once every port has its answer and the
//! workers run the program.
//! Invariant: `cur_cfg` is written together with the port numbers and errors that belong to it, never
//! before. Rows that make no configuration change nothing.
//! Deliberately does not know: the protocol.

use std::collections::{BTreeSet, HashMap};

use sluice_openflow::message::Role;
use sluice_ovsdb_bridge::database::{Datum, News, Uuid};
use sluice_ovsdb_bridge::{diff, read_rows, Reading};

use sluice_port::netlink::LinkCounters;

use super::Control;
use crate::daemon::database::Database;
use crate::daemon::host::Touched;

/// How long to wait after a transaction failed.
const RETRY_MS: u64 = 1000;
/// The least time between two reports that nobody waits for.
const REPORT_MS: u64 = 100;

/// What there is to do with the database.
pub(super) struct Follower {
    pub(super) database: Database,
    /// What the rows said last.
    pub(super) reading: Reading,
    locked: bool,
    /// The rows changed and were not read since.
    changed: bool,
    /// A configuration is in force or becomes so, up to this number and epoch.
    awaited: Option<(i64, u64)>,
    /// The last number that was in force.
    pub(super) confirmed: Option<i64>,
    /// What was told already.
    complaints: BTreeSet<(String, String)>,
    refused: String,
    /// A transaction that is not answered yet.
    writing: Option<u64>,
    /// When something may be reported again.
    report_ms: u64,
    /// Something changed that is to be reported.
    pub(super) stale: bool,
    /// When statistics are asked for again, and the report that has them.
    pub(super) statistics_ms: u64,
    pub(super) statistics: Option<u64>,
    pub(super) writer: sluice_ovsdb_bridge::database::Writer,
    lock_told: bool,
    /// What the kernel counted, by link.
    pub(super) counters: HashMap<u32, LinkCounters>,
    /// How controllers were when they were told last.
    pub(super) controllers: Vec<(Uuid, bool, Role, &'static str)>,
    /// What belonged to no bridge was looked for.
    tidied: bool,
}

impl Follower {
    pub(super) fn new(database: Database) -> Follower {
        Follower {
            database,
            reading: Reading::default(),
            locked: false,
            changed: false,
            awaited: None,
            confirmed: None,
            complaints: BTreeSet::new(),
            refused: String::new(),
            writing: None,
            report_ms: 0,
            stale: false,
            statistics_ms: 0,
            statistics: None,
            writer: Default::default(),
            lock_told: false,
            counters: HashMap::new(),
            controllers: Vec::new(),
            tidied: false,
        }
    }

    /// Whether the first configuration is in force. Whoever started us waits for that, however long the
    /// database is away or another switch has it, as with Open vSwitch.
    pub(super) fn has_begun(&self) -> bool {
        self.confirmed.is_some()
    }

    /// When something is due.
    pub(super) fn next_date(&self) -> Option<u64> {
        let report = (self.stale && self.confirmed.is_some() && self.awaited.is_none()).then_some(self.report_ms);
        let statistics = (self.confirmed.is_some() && self.statistics.is_none()).then_some(self.statistics_ms);
        [self.database.next_date(), report, statistics].into_iter().flatten().min()
    }
}

impl Control {
    /// Reads, configures, confirms, reports; true when there is more to do at once.
    pub(super) fn follow_database(&mut self, now_ms: u64) -> bool {
        let Some(mut follower) = self.follower.take() else { return false };
        let mut news = Vec::new();
        let turn = follower.database.turn(self.poll.registry(), now_ms, &mut news);
        if turn.lost {
            follower.writer.forget();
            follower.writing = None;
            follower.locked = false;
        }
        news.into_iter().for_each(|n| take(&mut follower, n, now_ms));
        // What else has arrived is read first: many small changes are one.
        if follower.changed && follower.locked && !turn.more {
            follower.changed = false;
            self.configure_from_rows(&mut follower, now_ms);
        }
        self.confirm(&mut follower, now_ms);
        self.report(&mut follower, now_ms);
        let written = self.write(&mut follower);
        self.follower = Some(follower);
        turn.more || written
    }

    fn configure_from_rows(&mut self, follower: &mut Follower, now_ms: u64) {
        let Some(session) = follower.database.session() else { return };
        let reading = match read_rows(session.tables()) {
            Ok(reading) => reading,
            Err(e) => {
                let told = e.to_string();
                if told != follower.refused {
                    crate::log!(Warn, "", "configuration not taken, the last one stays: {told}");
                }
                follower.refused = told;
                return;
            }
        };
        follower.refused.clear();
        let complaints: BTreeSet<_> = reading.complaints.iter().cloned().collect();
        for (subject, what) in complaints.difference(&follower.complaints) {
            crate::log!(Warn, subject, "{what}");
        }
        follower.complaints = complaints;
        let steps = diff(&self.state, &reading.state);
        let any = !steps.is_empty();
        self.release_carriers(&reading.state);
        self.state = reading.state.clone();
        for step in steps {
            if let Err(e) = self.carry_out(step, now_ms) {
                crate::log!(Error, "", "{e}");
            }
        }
        if any {
            self.take_host(Touched::ALL, now_ms);
        }
        follower.writer.retain(|table, id| session.tables().row(table, id).is_some());
        follower.awaited = Some((reading.number, self.switch.target_epoch()));
        follower.reading = reading;
        follower.stale = true;
    }

    /// Says that a configuration is in force, when it is.
    fn confirm(&mut self, follower: &mut Follower, now_ms: u64) {
        let Some((number, epoch)) = follower.awaited else { return };
        if self.switch.is_opening() || !self.switch.has_adopted(epoch) {
            return;
        }
        follower.awaited = None;
        follower.confirmed = Some(number);
        follower.stale = true;
        follower.report_ms = now_ms;
        if !std::mem::replace(&mut follower.tidied, true) {
            self.remove_left_taps();
        }
    }

    /// Writes what differs from what was written.
    fn report(&mut self, follower: &mut Follower, now_ms: u64) {
        self.ask_for_statistics(follower, now_ms);
        self.look_at_controllers(follower, now_ms);
        // What is under way is told with the word that it is in force.
        let busy = follower.awaited.is_some();
        if busy || follower.confirmed.is_none() || !follower.stale || now_ms < follower.report_ms {
            return;
        }
        follower.stale = false;
        follower.report_ms = now_ms + REPORT_MS;
        let Some(session) = follower.database.session().filter(|s| s.is_following()) else { return };
        let schema = session.schema().clone();
        self.describe_all(follower, &schema, now_ms);
    }

    fn write(&mut self, follower: &mut Follower) -> bool {
        if follower.writing.is_some() || !follower.locked {
            return false;
        }
        let Some(session) = follower.database.session_mut() else { return false };
        let operations = follower.writer.take();
        if operations.is_empty() {
            return false;
        }
        follower.writing = Some(session.write(operations));
        true
    }
}

fn take(follower: &mut Follower, news: News, now_ms: u64) {
    match news {
        News::Changed => follower.changed = true,
        News::Locked(true) => {
            follower.locked = true;
            follower.stale = true;
            if std::mem::take(&mut follower.lock_told) {
                crate::log!(Info, "", "the lock is ours now");
            }
        }
        News::Locked(false) => {
            follower.locked = false;
            if !std::mem::replace(&mut follower.lock_told, true) {
                let pid = std::process::id();
                crate::log!(Error, "", "another ovs-vswitchd process is running, disabling this process (pid {pid}) until it goes away");
            }
        }
        News::Written(id, outcome) if follower.writing == Some(id) => {
            follower.writing = None;
            if let Err(e) = outcome {
                crate::log!(Warn, "", "the database did not take a report: {e}; it is tried again");
                follower.writer.forget();
                follower.stale = true;
                follower.report_ms = now_ms + RETRY_MS;
            }
        }
        News::Written(..) => {}
        News::Complaint(what) => crate::log!(Warn, "", "{what}"),
    }
}

/// Columns with one text or none.
pub(super) fn text(value: Option<&str>) -> Datum {
    Datum::optional(value)
}

//! Births of a run: packets that open connections, one after the other.
//!
//! Records are taken for all of them under one lock, and what each birth will touch is asked for before the first one
//! touches it.
//! Invariant: in the end it is as if each packet had come alone, in their order; a record that was taken and not used
//! is back.
//! Deliberately does not know: where the packets come from, what becomes of those that open nothing.

use std::sync::atomic::Ordering::Relaxed;

use sluice_frame::prefetch::prefetch;

use crate::birth::Refused;
use crate::keep::{lock, Tracker};
use crate::packet::Seen;
use crate::track::Request;
use crate::tuple::Tuple;

/// A packet that may open a connection, and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Birth {
    seen: Option<Seen>,
    hash: u64,
    /// The record that was taken for it, plus one; 0 for none.
    record: u32,
    is_done: bool,
}

impl Birth {
    /// Of this packet; `None` for one that is not sane.
    #[inline]
    pub fn of(seen: Option<Seen>) -> Birth {
        Birth { seen, hash: 0, record: 0, is_done: false }
    }

    /// Was its connection opened, or refused for want of room? Else nothing has happened.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    fn taken(&self) -> Option<u32> {
        self.record.checked_sub(1)
    }
}

impl Tracker {
    /// Opens connections for packets that no zone was asked about yet, as asking and then committing would for each.
    ///
    /// Nothing happens for a packet that has a connection, or does not open a plain one.
    pub fn open_run(&self, a: &Request<'_>, run: &mut [Birth], now_ms: u64) {
        self.look_ahead(a.zone, run);
        self.take_records(a.owner, run);
        let mut opened = 0;
        for b in run.iter_mut() {
            let Some(seen) = &b.seen else { continue };
            let tuple = Tuple { zone: a.zone, ..seen.tuple };
            let Some(mut conn) = self.plain(a, seen, &tuple) else { continue };
            let inserted = match b.taken() {
                Some(id) => self.insert_at(id, &mut conn, b.hash, now_ms).inspect(|()| {
                    b.record = 0;
                    opened += 1;
                }),
                None => self.insert(&mut conn, b.hash, now_ms).map(|_| ()),
            };
            match inserted {
                Ok(()) => b.is_done = true,
                Err(Refused::Taken) => {}
                Err(e) => {
                    self.refuse(e);
                    b.is_done = true;
                }
            }
        }
        self.stats.opened.fetch_add(opened, Relaxed);
        self.put_back_unused(a.owner, run);
    }

    fn look_ahead(&self, zone: u16, run: &mut [Birth]) {
        for b in run {
            let Some(seen) = &b.seen else { continue };
            b.hash = self.hasher.symmetric(&Tuple { zone, ..seen.tuple });
            if let Some(near) = self.near.get(self.shard(b.hash)) {
                near.ask_for(b.hash);
            }
        }
    }

    /// Records for the run, as far as nobody must make room for them.
    fn take_records(&self, owner: u32, run: &mut [Birth]) {
        let mut population = lock(&self.population);
        let room = population.owners.spare(self.limit());
        for b in run.iter_mut().filter(|b| b.seen.is_some()).take(room) {
            let Some(id) = population.free(&self.records, &self.grace) else { break };
            b.record = id + 1;
            for line in self.records.get(id).iter().flat_map(|r| r.lines()) {
                prefetch(line);
            }
        }
        if run.iter().any(|b| b.record != 0) {
            population.owners.add(&self.records, owner, run.iter().filter_map(Birth::taken));
        }
    }

    fn put_back_unused(&self, owner: u32, run: &mut [Birth]) {
        if run.iter().all(|b| b.record == 0) {
            return;
        }
        let mut population = lock(&self.population);
        for b in run {
            if let Some(id) = b.taken() {
                population.undo(owner, &self.records, id);
                b.record = 0;
            }
        }
    }
}

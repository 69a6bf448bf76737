//! Births: a new connection gets a record, its tuples, and a place among the deadlines.
//!
//! Both tuples of a connection that is not translated hash alike: one lock of one shard, in which the tuples are
//! looked for and taken. A translated one whose answers hash to another shard locks both, the lower one first.
//! Invariant: a connection has both of its tuples or neither.
//! Deliberately does not know: packets, how a translation is chosen.

use std::sync::atomic::Ordering::Relaxed;

use crate::conn::Conn;
use crate::keep::{lock, Shard, Tracker};
use crate::owners::Room;
use crate::record::Record;
use crate::stats::count;

/// Times that room is made for one connection.
const EVICTIONS_MAX: usize = 4;
/// Connections whose time is over that may still hold one of the tuples: one each.
const DEAD_MAX: usize = 2;

/// Why a connection was not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    Full,
    Share,
    Zone,
    Taken,
}

/// Who holds a tuple that a new connection is to have.
enum Holder {
    Alive,
    /// Its time is over, but it was not removed yet.
    Dead(u32),
}

impl Tracker {
    /// Opens a connection whose original tuple has this hash: both tuples, or an error and neither.
    pub(crate) fn insert(&self, c: &mut Conn, hash: u64, now_ms: u64) -> Result<u32, Refused> {
        let id = self.admit(c.owner)?;
        match self.insert_at(id, c, hash, now_ms) {
            Ok(()) => {
                count(&self.stats.opened);
                Ok(id)
            }
            Err(e) => {
                lock(&self.population).undo(c.owner, &self.records, id);
                Err(e)
            }
        }
    }

    /// As [`Tracker::insert`], into a record that was taken for it. Counts nothing; an error leaves the record as it was.
    #[inline]
    pub(crate) fn insert_at(&self, id: u32, c: &mut Conn, hash: u64, now_ms: u64) -> Result<(), Refused> {
        c.last_ms = now_ms as u32;
        self.admit_to_zone(c)?;
        self.place(id, c, hash, now_ms).inspect_err(|_| self.leave_zone(c))
    }

    /// A record for one more connection of this owner, if it may have one.
    fn admit(&self, owner: u32) -> Result<u32, Refused> {
        for _ in 0..EVICTIONS_MAX {
            let mut population = lock(&self.population);
            match population.owners.room(owner, self.limit()) {
                Room::Yes => return population.take(owner, &self.records, &self.grace).ok_or(Refused::Full),
                Room::Instead(id) => {
                    drop(population);
                    if self.remove(id) {
                        count(&self.stats.evicted);
                    }
                }
                Room::OverShare => return Err(Refused::Share),
                Room::Full => return Err(Refused::Full),
            }
        }
        Err(Refused::Full)
    }

    fn admit_to_zone(&self, c: &mut Conn) -> Result<(), Refused> {
        if !self.zoned.load(Relaxed) {
            return Ok(());
        }
        let mut zones = lock(&self.zones);
        c.policy = zones.policy(c.orig.zone);
        if !zones.admits(c.orig.zone) {
            return Err(Refused::Zone);
        }
        if zones.limit(c.orig.zone).is_some() {
            zones.add(c.orig.zone);
            c.counted = true;
        }
        Ok(())
    }

    pub(crate) fn leave_zone(&self, c: &Conn) {
        if c.counted {
            lock(&self.zones).remove(c.orig.zone);
        }
    }

    /// Takes the tuples.
    fn place(&self, id: u32, c: &Conn, hash: u64, now_ms: u64) -> Result<(), Refused> {
        if c.nat.any() && c.reply != c.orig.reversed() {
            return self.place_translated(id, c, hash, now_ms);
        }
        for _ in 0..=DEAD_MAX {
            let Some(mut shard) = self.lock_shard(self.shard(hash)) else { return Err(Refused::Full) };
            // The answers of a connection without translation may be another, translated one's.
            let holds = |r: Record<'_>| r.direction(&c.orig).is_some() || r.direction(&c.reply).is_some();
            match self.holder(&shard, hash, holds, now_ms) {
                Some(Holder::Alive) => return Err(Refused::Taken),
                None => {
                    return match shard.index.insert(hash, id) {
                        true => self.begin(&mut shard, id, c, hash, now_ms),
                        false => Err(Refused::Taken),
                    };
                }
                Some(Holder::Dead(id)) => {
                    drop(shard);
                    self.bury(id);
                }
            }
        }
        Err(Refused::Taken)
    }

    /// Takes tuples that hash differently.
    fn place_translated(&self, id: u32, c: &Conn, hash: u64, now_ms: u64) -> Result<(), Refused> {
        let reply_hash = self.hasher.symmetric(&c.reply);
        for (t, hash) in [(&c.orig, hash), (&c.reply, reply_hash)] {
            let held = self.lock_shard(self.shard(hash)).and_then(|s| self.holder(&s, hash, |r| r.direction(t).is_some(), now_ms));
            if let Some(Holder::Dead(id)) = held {
                self.bury(id);
            }
        }
        let (home, away) = (self.shard(hash), self.shard(reply_hash));
        let (mut first, mut second) = (self.lock_shard(home.min(away)), None);
        if away != home {
            second = self.lock_shard(home.max(away));
        }
        let (own, other) = match home <= away {
            true => (first.as_deref_mut(), second.as_deref_mut()),
            false => (second.as_deref_mut(), first.as_deref_mut()),
        };
        let Some(own) = own else { return Err(Refused::Full) };
        if self.search(own, &c.orig, hash, now_ms).is_some() || !own.index.insert(hash, id) {
            return Err(Refused::Taken);
        }
        let there = match other {
            Some(other) => other,
            None => &mut *own,
        };
        if self.search(there, &c.reply, reply_hash, now_ms).is_some() || !there.index.insert(reply_hash, id) {
            own.index.remove(hash, id);
            return Err(Refused::Taken);
        }
        self.begin(own, id, c, hash, now_ms)
    }

    /// The life of a connection that has its tuples begins.
    fn begin(&self, shard: &mut Shard, id: u32, c: &Conn, hash: u64, now_ms: u64) -> Result<(), Refused> {
        let Some(r) = self.records.get(id) else { return Err(Refused::Full) };
        r.create(c);
        if shard.live == 0 {
            shard.wheel.start(now_ms);
        }
        shard.live += 1;
        if let Some(near) = self.near.get(self.shard(hash)) {
            near.remember(&shard.index);
        }
        shard.wheel.insert(&self.records, id, self.deadline(c, now_ms));
        Ok(())
    }

    /// Who holds a tuple with this hash: whoever lives, else who has not gone yet.
    #[inline]
    fn holder(&self, shard: &Shard, hash: u64, holds: impl Fn(Record<'_>) -> bool, now_ms: u64) -> Option<Holder> {
        let mut found = None;
        for id in shard.index.candidates(hash) {
            let Some(r) = self.records.get(id).filter(|r| holds(*r)) else { continue };
            if !self.is_over(r, now_ms) {
                return Some(Holder::Alive);
            }
            found = Some(Holder::Dead(id));
        }
        found
    }

    /// Removes a connection whose time is over.
    fn bury(&self, id: u32) {
        if self.remove(id) {
            count(&self.stats.expired);
        }
    }
}

//! Fairness: who opened how many connections, and whose must make room when the table is full.
//!
//! Up to a reserve below the limit anyone may open connections. Above it only owners below their even
//! share may; for one of those the oldest half-open connection of the owner with the most half-open
//! ones makes room. So an owner that opens connections without end is held to its share.
//! Invariant: a connection that is half-open is in its owner's list, oldest first.
//! Deliberately does not know: what an owner is (a port), how a connection is removed.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::record::{Record, Records, HALF};
use crate::tuple::mix;

/// The part of the limit that is kept for owners below their share: one in eight.
const RESERVE: usize = 8;

#[derive(Debug, Default)]
struct Owner {
    connections: usize,
    half_open: usize,
    /// Oldest and newest half-open connection, plus one.
    oldest: u32,
    newest: u32,
}

/// Of ports, which the operator numbers: cheap rather than hard to guess.
#[derive(Debug, Default)]
struct OfPort(u64);

impl Hasher for OfPort {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.0 = mix(self.0 ^ u64::from(*b)));
    }

    fn write_u32(&mut self, port: u32) {
        self.0 = mix(self.0 ^ u64::from(port));
    }
}

/// All owners.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    owners: HashMap<u32, Owner, BuildHasherDefault<OfPort>>,
    total: usize,
}

/// May a connection be opened?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    Yes,
    /// Once this one is gone.
    Instead(u32),
    /// The owner has its share.
    OverShare,
    /// Every connection is established and within its owner's share.
    Full,
}

fn neighbours(r: Record<'_>) -> (u32, u32) {
    let w = r.get(HALF);
    ((w >> 32) as u32, w as u32)
}

fn link(r: Record<'_>, previous: u32, next: u32) {
    r.set(HALF, u64::from(previous) << 32 | u64::from(next));
}

fn at(records: &Records, place: u32) -> Option<Record<'_>> {
    place.checked_sub(1).and_then(|id| records.get(id))
}

impl Owners {
    /// Connections of all owners.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Is there room for one more of this owner?
    pub fn room(&self, owner: u32, limit: usize) -> Room {
        if self.spare(limit) > 0 {
            return Room::Yes;
        }
        let own = self.owners.get(&owner);
        let (mine, known) = (own.map_or(0, |o| o.connections), usize::from(own.is_none()));
        let share = limit / (self.owners.len() + known).max(1);
        if mine >= share {
            return match own.and_then(|o| o.oldest.checked_sub(1)) {
                Some(id) => Room::Instead(id),
                None if self.total >= limit => Room::Full,
                None => Room::OverShare,
            };
        }
        if self.total < limit {
            return Room::Yes;
        }
        let most = self.owners.values().max_by_key(|o| o.half_open);
        most.and_then(|o| o.oldest.checked_sub(1)).map_or(Room::Full, Room::Instead)
    }

    /// Connections that anyone may open before somebody must make room.
    pub fn spare(&self, limit: usize) -> usize {
        (limit - limit / RESERVE).saturating_sub(self.total)
    }

    /// Connections are being opened, in this order.
    pub fn add(&mut self, records: &Records, owner: u32, ids: impl Iterator<Item = u32>) {
        let o = self.owners.entry(owner).or_default();
        let (mut newest, mut count) = (at(records, o.newest), 0);
        for id in ids {
            let Some(r) = records.get(id) else { continue };
            link(r, o.newest, 0);
            match newest {
                Some(newest) => link(newest, neighbours(newest).0, id + 1),
                None => o.oldest = id + 1,
            }
            (newest, o.newest) = (Some(r), id + 1);
            count += 1;
        }
        o.connections += count;
        o.half_open += count;
        self.total += count;
    }

    /// A connection is no longer half-open. Harmless for one that was not.
    pub fn answered(&mut self, records: &Records, owner: u32, id: u32) {
        let Some(o) = self.owners.get_mut(&owner) else { return };
        let Some(r) = records.get(id) else { return };
        let (previous, next) = neighbours(r);
        if previous == 0 && o.oldest != id + 1 {
            return;
        }
        match at(records, previous) {
            Some(p) => link(p, neighbours(p).0, next),
            None => o.oldest = next,
        }
        match at(records, next) {
            Some(n) => link(n, previous, neighbours(n).1),
            None => o.newest = previous,
        }
        link(r, 0, 0);
        o.half_open -= 1;
    }

    /// A connection is gone.
    pub fn remove(&mut self, records: &Records, owner: u32, id: u32) {
        self.answered(records, owner, id);
        let Some(o) = self.owners.get_mut(&owner) else { return };
        o.connections -= 1;
        self.total -= 1;
        if o.connections == 0 {
            self.owners.remove(&owner);
        }
    }

    /// Connections of one owner: all, and half-open ones.
    pub fn of(&self, owner: u32) -> (usize, usize) {
        self.owners.get(&owner).map_or((0, 0), |o| (o.connections, o.half_open))
    }
}

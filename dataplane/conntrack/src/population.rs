//! Who is there and who may come: owners' shares, and records that wait for a connection.
//!
//! One lock for both: a birth takes a record and is counted for its owner, a death gives both back.
//! Invariant: a record is with an owner or free, never both; one that was given back waits until every turn that
//! may still read it has ended.
//! Deliberately does not know: tuples, which connection a record has.

use std::collections::VecDeque;

use crate::grace::{Grace, LONG_AGO};
use crate::owners::Owners;
use crate::record::Records;

/// Owners, and records without a connection.
#[derive(Debug, Default)]
pub(crate) struct Population {
    pub owners: Owners,
    /// Records, and since which epoch of removals they are free.
    free: VecDeque<(u32, u64)>,
    /// Turns that began in an epoch before this one have all ended.
    ended: u64,
}

impl Population {
    /// A record for a new connection of this owner; `None` where there is none.
    pub fn take(&mut self, owner: u32, records: &Records, grace: &Grace) -> Option<u32> {
        let id = self.free(records, grace)?;
        self.owners.add(records, owner, std::iter::once(id));
        Some(id)
    }

    /// A record that is nobody's: its owner is to be told of it, or it is to be put back.
    pub fn free(&mut self, records: &Records, grace: &Grace) -> Option<u32> {
        if let Some((id, since)) = self.free.pop_front() {
            if since < self.ended || self.has_ended(since, grace) {
                return Some(id);
            }
            self.free.push_front((id, since));
        }
        records.more()?.rev().for_each(|id| self.put_back(id));
        self.free.pop_front().map(|(id, _)| id)
    }

    /// Has every turn ended that began before something was removed in this epoch?
    fn has_ended(&mut self, since: u64, grace: &Grace) -> bool {
        if since != LONG_AGO {
            self.ended = grace.oldest();
        }
        since < self.ended || since == LONG_AGO
    }

    /// A record whose connection was not opened after all.
    pub fn undo(&mut self, owner: u32, records: &Records, id: u32) {
        self.owners.remove(records, owner, id);
        self.put_back(id);
    }

    /// A record whose connection ended in this epoch.
    pub fn give_back(&mut self, id: u32, since: u64) {
        self.free.push_back((id, since));
    }

    /// A record that never had a connection.
    pub fn put_back(&mut self, id: u32) {
        self.free.push_front((id, LONG_AGO));
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        self.free.capacity() * size_of::<(u32, u64)>()
    }
}

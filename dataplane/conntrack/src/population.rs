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
        let waited = self.free.front().is_some_and(|(_, since)| {
            if *since >= self.ended && *since != LONG_AGO {
                self.ended = grace.oldest();
            }
            *since < self.ended || *since == LONG_AGO
        });
        if !waited {
            let more = records.more()?;
            more.rev().for_each(|id| self.put_back(id));
        }
        let (id, _) = self.free.pop_front()?;
        self.owners.add(records, owner, id);
        Some(id)
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

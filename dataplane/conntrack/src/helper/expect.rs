//! Connections that helpers expect: announced in another connection and not yet there.
//!
//! Invariant: bounded per announcing connection, per owner and in all; each ends with its time, its
//! connection or its use. An announcement names any source port, so a tuple here has none.
//! Deliberately does not know: protocols, connections.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::conn::NatKind;
use crate::tuple::Tuple;

/// Milliseconds that an announced connection is waited for.
pub const PATIENCE_MS: u64 = 300_000;
/// Announcements of one connection; a further one takes the oldest one's place.
pub const PER_PARENT: usize = 16;
/// Announcements in all.
pub const TOTAL: usize = 8192;
/// Announcements of one owner's connections.
pub const PER_OWNER: usize = TOTAL / 4;

/// What an expected connection takes from the one that announced it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected {
    /// Record of the announcing connection.
    pub parent: u32,
    /// Its original tuple.
    pub tuple: Tuple,
    /// Its mark.
    pub mark: u32,
    /// Its label.
    pub label: u128,
    /// Whom it counts for.
    pub owner: u32,
    /// How the first packet is translated, if the rule asks: which address, to what, and the destination port.
    pub nat: Option<(NatKind, IpAddr, Option<u16>)>,
}

#[derive(Debug)]
struct Waiting {
    expected: Expected,
    until_ms: u64,
    serial: u64,
}

/// All that is expected.
#[derive(Debug, Default)]
pub struct Expectations {
    waiting: HashMap<Tuple, Waiting>,
    parents: HashMap<u32, Vec<Tuple>>,
    owners: HashMap<u32, usize>,
    /// Oldest first: all wait equally long.
    order: BTreeMap<u64, Tuple>,
    serial: u64,
}

/// What became of an announcement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Announcement {
    /// It is waited for.
    Waits,
    /// Another connection has announced the same.
    Taken,
    /// Too many are waited for.
    NoRoom,
}

fn any_source(t: &Tuple) -> Tuple {
    Tuple { ports: t.ports & 0xffff, ..*t }
}

impl Expectations {
    /// Number of announcements.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Is none waited for?
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes an announcement in.
    pub fn announce(&mut self, tuple: &Tuple, expected: Expected, now_ms: u64) -> Announcement {
        self.expire(now_ms);
        let tuple = any_source(tuple);
        if let Some(w) = self.waiting.get(&tuple) {
            return if w.expected.parent == expected.parent { Announcement::Waits } else { Announcement::Taken };
        }
        let own = self.parents.get(&expected.parent).filter(|all| all.len() >= PER_PARENT);
        if let Some(oldest) = own.and_then(|all| all.first()).copied() {
            self.take(&oldest);
        }
        let of_owner = self.owners.get(&expected.owner).copied().unwrap_or(0);
        if self.waiting.len() >= TOTAL || of_owner >= PER_OWNER {
            return Announcement::NoRoom;
        }
        self.serial += 1;
        self.order.insert(self.serial, tuple);
        self.parents.entry(expected.parent).or_default().push(tuple);
        *self.owners.entry(expected.owner).or_default() += 1;
        self.waiting.insert(tuple, Waiting { expected, until_ms: now_ms + PATIENCE_MS, serial: self.serial });
        Announcement::Waits
    }

    /// What is expected of a packet with this tuple.
    pub fn of(&self, tuple: &Tuple, now_ms: u64) -> Option<Expected> {
        self.waiting.get(&any_source(tuple)).filter(|w| now_ms < w.until_ms).map(|w| w.expected)
    }

    /// It came, or is no longer waited for.
    pub fn take(&mut self, tuple: &Tuple) {
        let tuple = any_source(tuple);
        let Some(w) = self.waiting.remove(&tuple) else { return };
        self.order.remove(&w.serial);
        if let Some(all) = self.parents.get_mut(&w.expected.parent) {
            all.retain(|t| *t != tuple);
            if all.is_empty() {
                self.parents.remove(&w.expected.parent);
            }
        }
        if let Some(n) = self.owners.get_mut(&w.expected.owner) {
            *n -= 1;
            if *n == 0 {
                self.owners.remove(&w.expected.owner);
            }
        }
    }

    /// The announcing connection is gone.
    pub fn orphan(&mut self, parent: u32) {
        for tuple in self.parents.remove(&parent).unwrap_or_default() {
            self.take(&tuple);
        }
    }

    /// Forgets what was waited for long enough. Costs what ends.
    fn expire(&mut self, now_ms: u64) {
        while let Some((_, tuple)) = self.order.first_key_value() {
            let tuple = *tuple;
            if self.waiting.get(&tuple).is_some_and(|w| now_ms < w.until_ms) {
                return;
            }
            self.take(&tuple);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16, n: u8) -> Tuple {
        let t = Tuple::between([10, 0, 0, n].into(), [10, 0, 0, 2].into()).unwrap();
        Tuple { proto: 6, ports: 20 << 16 | u32::from(port), ..t }
    }

    fn by(parent: u32, owner: u32) -> Expected {
        Expected { parent, tuple: Tuple::default(), mark: 0, label: 0, owner, nat: None }
    }

    #[test]
    fn each_ends_with_its_time_its_use_or_its_connection() {
        let mut e = Expectations::default();
        for port in 1..=3 {
            assert_eq!(e.announce(&to(port, 1), by(7, 0), 0), Announcement::Waits);
        }
        assert_eq!(e.announce(&to(1, 1), by(8, 0), 0), Announcement::Taken);
        assert!(e.of(&Tuple { ports: 999 << 16 | 1, ..to(1, 1) }, PATIENCE_MS - 1).is_some());
        assert!(e.of(&to(1, 1), PATIENCE_MS).is_none());
        e.take(&to(2, 1));
        assert!(e.of(&to(2, 1), 0).is_none());
        e.orphan(7);
        assert!(e.is_empty() && e.order.is_empty() && e.owners.is_empty() && e.parents.is_empty());
        e.announce(&to(1, 1), by(1, 0), 0);
        e.announce(&to(2, 1), by(2, 0), PATIENCE_MS);
        assert_eq!(e.len(), 1);
    }

    #[test]
    fn no_connection_and_no_owner_takes_all_room() {
        let mut e = Expectations::default();
        for port in 1..=100 {
            assert_eq!(e.announce(&to(port, 1), by(1, 1), 0), Announcement::Waits);
        }
        assert_eq!(e.len(), PER_PARENT);
        assert!(e.of(&to(100, 1), 0).is_some() && e.of(&to(1, 1), 0).is_none());
        let mut refused = 0;
        for i in 0..2 * TOTAL as u32 {
            let t = Tuple { ports: 20 << 16 | 1 + i % 60_000, ..to(1, 3 + (i / 60_000) as u8) };
            refused += u32::from(e.announce(&t, by(100 + i, 1), 0) == Announcement::NoRoom);
        }
        assert_eq!(e.len(), PER_OWNER);
        assert_eq!(refused as usize, 2 * TOTAL - (PER_OWNER - PER_PARENT));
        assert_eq!(e.announce(&to(5, 200), by(5, 2), 0), Announcement::Waits, "another owner has room");
    }
}

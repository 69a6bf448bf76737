//! The forwarding database of one bridge: which port a MAC address was last seen on.
//!
//! Purpose: NORMAL's memory. Shared by all workers; a worker comes here on a miss and then at most
//! once a second per cached flow, so a lock is cheap. The *versions* are read on every hit of a
//! verdict that depends on the table: one relaxed load.
//! Invariant: never more than `limit` entries; every change of what a look-up would answer bumps
//! the version of its bucket.
//! Deliberately does not know: frames, VLAN modes of ports, the clock (time comes in as milliseconds).

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::action::OfPort;
use crate::hash::{FoldBuild, Seeds};

const BUCKETS: usize = 1024;

/// Default most entries, as in Open vSwitch.
pub const DEFAULT_LIMIT: usize = 8192;
/// Default age at which an entry goes, seconds.
pub const DEFAULT_AGEING_S: u64 = 300;

/// A learned address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// VLAN id, 0 for untagged.
    pub vlan: u16,
    /// Address, right-aligned 48 bits.
    pub mac: u64,
    /// Where it was last seen.
    pub port: OfPort,
    /// When it was last seen, milliseconds.
    pub seen_ms: u64,
}

/// The forwarding database of one bridge.
#[derive(Debug)]
pub struct Fdb {
    state: Mutex<State>,
    versions: Box<[AtomicU32]>,
    seeds: Seeds,
}

#[derive(Debug)]
struct State {
    entries: HashMap<(u16, u64), Entry, FoldBuild>,
    /// Per port: addresses by time last seen, stale pairs skipped when they surface.
    by_age: HashMap<OfPort, VecDeque<(u64, u16, u64)>, FoldBuild>,
    count: HashMap<OfPort, usize, FoldBuild>,
    limit: usize,
    ageing_ms: u64,
}

impl Fdb {
    /// An empty table.
    pub fn new(limit: usize, ageing_s: u64, seeds: Seeds) -> Self {
        let state = State {
            entries: HashMap::default(),
            by_age: HashMap::default(),
            count: HashMap::default(),
            limit: limit.max(1),
            ageing_ms: ageing_s.saturating_mul(1000),
        };
        let versions = (0..BUCKETS).map(|_| AtomicU32::new(0)).collect();
        Fdb { state: Mutex::new(state), versions, seeds }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn bucket(&self, vlan: u16, mac: u64) -> &AtomicU32 {
        let h = self.seeds.hash(&[mac, vlan as u64]) as usize % BUCKETS;
        &self.versions[h]
    }

    /// Number that changes whenever the answer for this address may have changed.
    #[inline]
    pub fn version(&self, vlan: u16, mac: u64) -> u32 {
        self.bucket(vlan, mac).load(Ordering::Relaxed)
    }

    /// Where the address was last seen.
    pub fn lookup(&self, vlan: u16, mac: u64, now_ms: u64) -> Option<OfPort> {
        let state = self.lock();
        let e = state.entries.get(&(vlan, mac))?;
        (now_ms.saturating_sub(e.seen_ms) < state.ageing_ms).then_some(e.port)
    }

    /// Notes that the address was seen on a port. True when that is news.
    pub fn learn(&self, vlan: u16, mac: u64, port: OfPort, now_ms: u64) -> bool {
        let mut state = self.lock();
        let news = match state.entries.get(&(vlan, mac)) {
            Some(old) if old.port == port => false,
            Some(old) => {
                let old = *old;
                state.forget(&old);
                true
            }
            None => {
                if state.entries.len() >= state.limit {
                    if let Some(victim) = state.evict() {
                        self.bump(victim.vlan, victim.mac);
                    }
                }
                true
            }
        };
        state.note(Entry { vlan, mac, port, seen_ms: now_ms });
        drop(state);
        if news {
            self.bump(vlan, mac);
        }
        news
    }

    /// Removes what was not seen for the ageing time.
    pub fn expire(&self, now_ms: u64) {
        let mut state = self.lock();
        let ageing = state.ageing_ms;
        let old: Vec<Entry> =
            state.entries.values().filter(|e| now_ms.saturating_sub(e.seen_ms) >= ageing).copied().collect();
        for e in &old {
            state.forget(e);
            self.bump(e.vlan, e.mac);
        }
    }

    /// Removes all addresses of one port, or of all.
    pub fn flush(&self, port: Option<OfPort>) {
        let mut state = self.lock();
        let gone: Vec<Entry> =
            state.entries.values().filter(|e| port.is_none_or(|p| p == e.port)).copied().collect();
        for e in &gone {
            state.forget(e);
            self.bump(e.vlan, e.mac);
        }
    }

    /// Changes the limits; what is too much goes at once, oldest of the fullest port first.
    pub fn configure(&self, limit: usize, ageing_s: u64) {
        let mut state = self.lock();
        state.limit = limit.max(1);
        state.ageing_ms = ageing_s.saturating_mul(1000);
        while state.entries.len() > state.limit {
            match state.evict() {
                Some(v) => self.bump(v.vlan, v.mac),
                None => break,
            }
        }
    }

    /// Every entry, by VLAN and address.
    pub fn entries(&self) -> Vec<Entry> {
        let mut all: Vec<Entry> = self.lock().entries.values().copied().collect();
        all.sort_by_key(|e| (e.vlan, e.mac));
        all
    }

    fn bump(&self, vlan: u16, mac: u64) {
        self.bucket(vlan, mac).fetch_add(1, Ordering::Relaxed);
    }
}

impl State {
    fn note(&mut self, e: Entry) {
        if self.entries.insert((e.vlan, e.mac), e).is_none() {
            *self.count.entry(e.port).or_insert(0) += 1;
        }
        let live = self.count.get(&e.port).copied().unwrap_or(0);
        let queue = self.by_age.entry(e.port).or_default();
        queue.push_back((e.seen_ms, e.vlan, e.mac));
        if queue.len() > 2 * live + 64 {
            let entries = &self.entries;
            queue.retain(|&(at, v, m)| entries.get(&(v, m)).is_some_and(|x| x.seen_ms == at && x.port == e.port));
        }
    }

    fn forget(&mut self, e: &Entry) {
        if self.entries.remove(&(e.vlan, e.mac)).is_some() {
            if let Some(n) = self.count.get_mut(&e.port) {
                *n -= 1;
                if *n == 0 {
                    self.count.remove(&e.port);
                    self.by_age.remove(&e.port);
                }
            }
        }
    }

    /// Removes the oldest entry of the port with the most: one port cannot push out the others.
    fn evict(&mut self) -> Option<Entry> {
        let (&port, _) = self.count.iter().max_by_key(|(&p, &n)| (n, p))?;
        loop {
            let (at, vlan, mac) = self.by_age.get_mut(&port)?.pop_front()?;
            if let Some(e) = self.entries.get(&(vlan, mac)).copied().filter(|e| e.seen_ms == at && e.port == port) {
                self.forget(&e);
                return Some(e);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fdb(limit: usize) -> Fdb {
        Fdb::new(limit, 300, Seeds::FIXED)
    }

    #[test]
    fn an_address_is_found_where_it_was_last_seen_until_it_ages() {
        let f = fdb(10);
        assert!(f.learn(1, 0xaa, 3, 1000));
        assert!(!f.learn(1, 0xaa, 3, 2000));
        assert_eq!(f.lookup(1, 0xaa, 2000), Some(3));
        assert_eq!(f.lookup(2, 0xaa, 2000), None);
        let v = f.version(1, 0xaa);
        assert!(f.learn(1, 0xaa, 4, 3000));
        assert_ne!(f.version(1, 0xaa), v);
        assert_eq!(f.lookup(1, 0xaa, 3000 + 299_999), Some(4));
        assert_eq!(f.lookup(1, 0xaa, 3000 + 300_000), None);
        f.expire(3000 + 300_000);
        assert!(f.entries().is_empty());
    }

    #[test]
    fn a_flood_from_one_port_does_not_push_out_another_ports_addresses() {
        let f = fdb(100);
        for mac in 0..10 {
            f.learn(0, mac, 1, mac);
        }
        for mac in 0..100_000u64 {
            f.learn(0, 1000 + mac, 2, 100 + mac);
        }
        let all = f.entries();
        assert_eq!(all.len(), 100);
        assert_eq!(all.iter().filter(|e| e.port == 1).count(), 10);
    }

    #[test]
    fn steady_refresh_keeps_memory_bounded() {
        let f = fdb(100);
        for t in 0..100_000 {
            f.learn(0, t % 50, 1, t);
        }
        assert!(f.lock().by_age[&1].len() <= 2 * 50 + 64);
    }
}

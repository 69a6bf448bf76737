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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::action::OfPort;
use crate::hash::{FoldBuild, Seeds};

const BUCKETS: u64 = 1 << Deps::BITS;
/// Counts every change of every table.
const ANY: u16 = 1;
/// First bucket that belongs to addresses.
const FIRST: u64 = 2;

/// Version counters that all forwarding databases of a switch share, by hash of the address.
#[derive(Debug)]
pub struct Versions {
    cells: Box<[AtomicU32]>,
    seeds: Seeds,
}

impl Versions {
    /// Counters at zero; `seeds` keep a tenant from aiming at a bucket.
    pub fn new(seeds: Seeds) -> Arc<Self> {
        Arc::new(Versions { cells: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(), seeds })
    }

    #[inline]
    fn get(&self, bucket: u32) -> u32 {
        self.cells.get(bucket as usize).map_or(0, |c| c.load(Ordering::Relaxed))
    }

    fn bump(&self, bucket: u16) {
        for b in [bucket, ANY] {
            if let Some(c) = self.cells.get(b as usize) {
                c.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The counter of something that these words name.
    pub fn bucket_of(&self, words: &[u64]) -> u16 {
        (FIRST + self.seeds.hash(words) % (BUCKETS - FIRST)) as u16
    }

    /// What depends on this counter must be decided again.
    pub fn changed(&self, bucket: u16) {
        self.bump(bucket);
    }

    /// Current version of everything that `deps` names: differs from [`Deps::version`] when any of it changed.
    #[inline]
    pub fn current(&self, deps: u32) -> u32 {
        let at = |i: u32| self.get((deps >> (i * Deps::BITS)) & (BUCKETS as u32 - 1));
        at(0).wrapping_add(at(1)).wrapping_add(at(2))
    }
}

/// Which addresses' buckets a decision depended on: up to three, else all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deps {
    /// Buckets, ten bits each; 0 for none.
    pub packed: u32,
    /// Sum of their versions when they were read.
    pub version: u32,
    count: u32,
}

impl Deps {
    const BITS: u32 = 10;

    /// Notes a dependency; call before the look-up whose answer it guards.
    pub fn add(&mut self, versions: &Versions, bucket: u16) {
        if self.count < 3 {
            self.packed |= (bucket as u32) << (self.count * Self::BITS);
            self.count += 1;
            self.version = self.version.wrapping_add(versions.get(bucket as u32));
        } else if self.packed != ANY as u32 {
            self.packed = ANY as u32;
            self.version = versions.get(ANY as u32);
        }
    }
}

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
    /// Set by a person: it neither moves nor ages.
    pub fixed: bool,
    /// Until when gratuitous ARP by a bond does not move it, milliseconds.
    pub locked_ms: u64,
}

/// How an address was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sighting {
    /// On a port of its own.
    #[default]
    Port,
    /// In a gratuitous ARP packet on a port of its own: one that comes back by a bond does not count.
    Announced,
    /// By a bond.
    Bond,
    /// In a gratuitous ARP packet by a bond.
    AnnouncedByBond,
}

/// What happened to a table since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Addresses learned.
    pub learned: u64,
    /// Addresses that aged.
    pub expired: u64,
    /// Addresses pushed out by others.
    pub evicted: u64,
    /// Addresses that moved to another port.
    pub moved: u64,
}

/// How long a gratuitous ARP packet keeps its copies from moving the address, as in Open vSwitch.
const LOCK_MS: u64 = 5000;

/// The forwarding database of one bridge.
#[derive(Debug)]
pub struct Fdb {
    state: Mutex<State>,
    versions: Arc<Versions>,
    /// Keeps equal addresses of two bridges apart.
    salt: u64,
}

#[derive(Debug)]
struct State {
    entries: HashMap<(u16, u64), Entry, FoldBuild>,
    /// Per port: addresses by time last seen, stale pairs skipped when they surface.
    by_age: HashMap<OfPort, VecDeque<(u64, u16, u64)>, FoldBuild>,
    count: HashMap<OfPort, usize, FoldBuild>,
    limit: usize,
    ageing_ms: u64,
    stats: Stats,
}

impl Fdb {
    /// An empty table; `salt` differs from bridge to bridge.
    pub fn new(limit: usize, ageing_s: u64, salt: u64, versions: Arc<Versions>) -> Self {
        let state = State {
            entries: HashMap::default(),
            by_age: HashMap::default(),
            count: HashMap::default(),
            limit: limit.max(1),
            ageing_ms: ageing_s.saturating_mul(1000),
            stats: Stats::default(),
        };
        Fdb { state: Mutex::new(state), versions, salt }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters that this table bumps.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Which counter is bumped when the answer for this address may have changed.
    #[inline]
    pub fn bucket(&self, vlan: u16, mac: u64) -> u16 {
        let h = self.versions.seeds.hash(&[mac, vlan as u64 ^ self.salt << 16]);
        (FIRST + h % (BUCKETS - FIRST)) as u16
    }

    /// Where the address was last seen.
    pub fn lookup(&self, vlan: u16, mac: u64, now_ms: u64) -> Option<OfPort> {
        let state = self.lock();
        let e = state.entries.get(&(vlan, mac))?;
        (e.fixed || now_ms.saturating_sub(e.seen_ms) < state.ageing_ms).then_some(e.port)
    }

    /// Would a packet from this address that came in by this bond be one that was sent out by it?
    pub fn came_back(&self, vlan: u16, mac: u64, bond: OfPort, announced: bool, now_ms: u64) -> bool {
        let state = self.lock();
        let known = state.entries.get(&(vlan, mac)).filter(|e| e.fixed || now_ms.saturating_sub(e.seen_ms) < state.ageing_ms);
        known.is_some_and(|e| e.port != bond && (!announced || e.locked_ms > now_ms))
    }

    /// Notes that the address was seen on a port. True when that is news.
    pub fn learn(&self, vlan: u16, mac: u64, port: OfPort, now_ms: u64) -> bool {
        self.learn_as(vlan, mac, port, Sighting::Port, now_ms)
    }

    /// Notes that the address was seen, and how. True when that is news.
    pub fn learn_as(&self, vlan: u16, mac: u64, port: OfPort, how: Sighting, now_ms: u64) -> bool {
        let mut state = self.lock();
        let old = state.entries.get(&(vlan, mac)).copied();
        let mut locked_ms = old.map_or(0, |e| e.locked_ms);
        match how {
            Sighting::Announced => locked_ms = now_ms + LOCK_MS,
            Sighting::AnnouncedByBond if locked_ms > now_ms => return false,
            _ => {}
        }
        let news = match old {
            Some(old) if old.fixed => return false,
            Some(old) if old.port == port && old.seen_ms == now_ms && old.locked_ms == locked_ms => return false,
            // One that look-ups do not find any more is news.
            Some(old) if old.port == port => now_ms.saturating_sub(old.seen_ms) >= state.ageing_ms,
            Some(old) => {
                state.forget(&old);
                state.stats.moved += 1;
                true
            }
            None => {
                if !self.make_room(&mut state) {
                    return false;
                }
                state.stats.learned += 1;
                true
            }
        };
        state.note(Entry { vlan, mac, port, seen_ms: now_ms, fixed: false, locked_ms });
        drop(state);
        if news {
            self.bump(vlan, mac);
        }
        news
    }

    /// Sees to it that one more address fits; false when all that are there are fixed.
    fn make_room(&self, state: &mut State) -> bool {
        while state.entries.len() >= state.limit {
            let Some(victim) = state.evict() else { return false };
            state.stats.evicted += 1;
            self.bump(victim.vlan, victim.mac);
        }
        true
    }

    /// Says where an address is, whatever is seen of it; false when there is no room.
    pub fn fix(&self, vlan: u16, mac: u64, port: OfPort, now_ms: u64) -> bool {
        let mut state = self.lock();
        match state.entries.get(&(vlan, mac)).copied() {
            Some(old) => state.forget(&old),
            None if !self.make_room(&mut state) => return false,
            None => {}
        }
        state.note(Entry { vlan, mac, port, seen_ms: now_ms, fixed: true, locked_ms: 0 });
        drop(state);
        self.bump(vlan, mac);
        true
    }

    /// Forgets one address, fixed or learned; false when it was not known.
    pub fn forget(&self, vlan: u16, mac: u64) -> bool {
        let mut state = self.lock();
        let Some(old) = state.entries.get(&(vlan, mac)).copied() else { return false };
        state.forget(&old);
        self.bump(vlan, mac);
        true
    }

    /// What happened since the table was made.
    pub fn stats(&self) -> Stats {
        self.lock().stats
    }

    /// Zeroes what was counted.
    pub fn clear_stats(&self) {
        self.lock().stats = Stats::default();
    }

    /// Most entries.
    pub fn limit(&self) -> usize {
        self.lock().limit
    }

    /// Removes what was not seen for the ageing time.
    pub fn expire(&self, now_ms: u64) {
        let mut state = self.lock();
        let ageing = state.ageing_ms;
        let over = |e: &&Entry| !e.fixed && now_ms.saturating_sub(e.seen_ms) >= ageing;
        let old: Vec<Entry> = state.entries.values().filter(over).copied().collect();
        state.stats.expired += old.len() as u64;
        for e in &old {
            state.forget(e);
            self.bump(e.vlan, e.mac);
        }
    }

    /// Removes all addresses of one port, which has gone, or all learned ones.
    pub fn flush(&self, port: Option<OfPort>) {
        let mut state = self.lock();
        let goes = |e: &&Entry| port.map_or(!e.fixed, |p| p == e.port);
        let gone: Vec<Entry> = state.entries.values().filter(goes).copied().collect();
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
                Some(v) => {
                    state.stats.evicted += 1;
                    self.bump(v.vlan, v.mac);
                }
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
        self.versions.bump(self.bucket(vlan, mac));
    }
}

impl State {
    /// Fixed entries are in no queue: nothing pushes them out.
    fn note(&mut self, e: Entry) {
        let known = self.entries.insert((e.vlan, e.mac), e).is_some();
        if e.fixed {
            return;
        }
        if !known {
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
        if self.entries.remove(&(e.vlan, e.mac)).is_some() && !e.fixed {
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
            let known = self.entries.get(&(vlan, mac)).copied();
            if let Some(e) = known.filter(|e| e.seen_ms == at && e.port == port) {
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
        Fdb::new(limit, 300, 0, Versions::new(Seeds::FIXED))
    }

    #[test]
    fn an_address_is_found_where_it_was_last_seen_until_it_ages() {
        let f = fdb(10);
        assert!(f.learn(1, 0xaa, 3, 1000));
        assert!(!f.learn(1, 0xaa, 3, 2000));
        assert_eq!(f.lookup(1, 0xaa, 2000), Some(3));
        assert_eq!(f.lookup(2, 0xaa, 2000), None);
        let mut deps = Deps::default();
        deps.add(f.versions(), f.bucket(1, 0xaa));
        assert_eq!(f.versions().current(deps.packed), deps.version);
        assert!(f.learn(1, 0xaa, 4, 3000));
        assert_ne!(f.versions().current(deps.packed), deps.version);
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
    fn more_dependencies_than_fit_depend_on_everything() {
        let f = fdb(10);
        let mut deps = Deps::default();
        for mac in 0..5 {
            deps.add(f.versions(), f.bucket(0, mac));
        }
        assert_eq!(f.versions().current(deps.packed), deps.version);
        f.learn(0, 999, 1, 0);
        assert_ne!(f.versions().current(deps.packed), deps.version);
    }

    #[test]
    fn an_address_that_is_seen_again_after_its_time_is_news() {
        let f = fdb(10);
        f.learn(0, 0xaa, 3, 1000);
        let mut deps = Deps::default();
        deps.add(f.versions(), f.bucket(0, 0xaa));
        assert_eq!(f.lookup(0, 0xaa, 301_000), None);
        assert!(f.learn(0, 0xaa, 3, 301_000));
        assert_ne!(f.versions().current(deps.packed), deps.version);
        assert_eq!(f.lookup(0, 0xaa, 301_000), Some(3));
    }

    #[test]
    fn many_packets_of_one_moment_keep_memory_bounded() {
        let f = fdb(100);
        for _ in 0..10_000 {
            f.learn(0, 0xaa, 1, 5);
        }
        assert!(f.lock().by_age[&1].len() <= 2 + 64);
    }

    #[test]
    fn what_a_person_fixed_neither_moves_nor_ages_nor_is_pushed_out() {
        let f = fdb(10);
        assert!(f.fix(0, 0xaa, 7, 0));
        assert!(!f.learn(0, 0xaa, 1, 1000));
        (0..100).for_each(|mac| _ = f.learn(0, mac, 1, 1000 + mac));
        f.expire(10_000_000);
        f.learn(0, 5, 1, 10_000_000);
        f.flush(None);
        assert_eq!((f.lookup(0, 0xaa, 20_000_000), f.entries().len()), (Some(7), 1));
        assert!(f.forget(0, 0xaa) && !f.forget(0, 0xaa) && f.entries().is_empty());
        assert_eq!(f.stats().learned, 101);
    }

    #[test]
    fn an_announcement_that_comes_back_by_a_bond_does_not_move_its_address() {
        let f = fdb(10);
        f.learn_as(0, 0xaa, 1, Sighting::Announced, 1000);
        assert!(f.came_back(0, 0xaa, 8, true, 2000) && !f.came_back(0, 0xaa, 8, true, 6000));
        assert!(!f.learn_as(0, 0xaa, 8, Sighting::AnnouncedByBond, 2000));
        assert_eq!(f.lookup(0, 0xaa, 2000), Some(1));
        assert!(f.learn_as(0, 0xaa, 8, Sighting::AnnouncedByBond, 6001));
        assert_eq!(f.lookup(0, 0xaa, 6001), Some(8));
        assert!(!f.came_back(0, 0xaa, 8, false, 6002) && f.came_back(0, 0xaa, 9, false, 6002));
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

//! The table: finding, removing and expiring connections (`birth` adds them).
//!
//! Connections lie in records that never move; shards, by a symmetric hash of zone and tuple, hold the
//! index and the deadlines. Whoever opens, moves or ends a connection locks its shard; a translated
//! connection whose answers hash to another shard locks both, the lower one first.
//! Deliberately does not know: how packets are judged.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::conn::{Alg, Conn};
use crate::grace::Grace;
use crate::helper::Helpers;
use crate::index::Index;
use crate::near::Near;
use crate::population::Population;
use crate::reassembly::Reassembly;
use crate::record::{Record, Records};
use crate::stats::{count, Stats};
use crate::timeouts::{self, Class, Policy, Timeouts};
use crate::tuple::{mix, Hasher, Tuple};
use crate::wheel::{Wheel, TICK_MS};
use crate::zones::Zones;

/// Shards; a power of two.
const SHARDS: usize = 64;
/// Records beyond the limit: what is removed in a turn is not given away in it.
const SPARE: usize = 4096;
/// Steps of a wheel that one call runs at most, per shard: a clock that jumped is caught up with by and by.
const STEPS_MAX: usize = 512;

/// What a tracker is made with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most connections that can ever be asked for; memory comes as it is needed.
    pub max: usize,
    /// 64 random bits in a daemon, fixed in replay and tests.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { max: 3_000_000, seed: 0 }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub(crate) index: Index,
    pub(crate) wheel: Wheel,
    pub(crate) live: usize,
}

/// All connections.
#[derive(Debug)]
pub struct Tracker {
    pub(crate) records: Records,
    shards: Box<[Mutex<Shard>]>,
    pub(crate) near: Box<[Near]>,
    pub(crate) population: Mutex<Population>,
    pub(crate) grace: Grace,
    pub(crate) zones: Mutex<Zones>,
    pub(crate) helpers: Mutex<Helpers>,
    /// Connections that helpers expect.
    pub(crate) expecting: AtomicUsize,
    /// Some zone has a limit or a policy.
    pub(crate) zoned: AtomicBool,
    /// Timeouts of all policies.
    pub timeouts: Timeouts,
    /// How fragments are put together.
    pub reassembly: Reassembly,
    limit: AtomicUsize,
    max: usize,
    strict: AtomicBool,
    pub(crate) hasher: Hasher,
    random: AtomicU64,
    next_tick: AtomicU64,
    /// What happened so far.
    pub stats: Stats,
}

pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking thread left is still sane word by word.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tracker {
    /// An empty table.
    pub fn new(settings: Settings) -> Tracker {
        let max = settings.max.clamp(1, 1 << 30);
        Tracker {
            records: Records::new(max + SPARE),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            near: (0..SHARDS).map(|_| Near::default()).collect(),
            population: Mutex::default(),
            grace: Grace::default(),
            zones: Mutex::default(),
            helpers: Mutex::default(),
            expecting: AtomicUsize::new(0),
            zoned: AtomicBool::new(false),
            timeouts: Timeouts::default(),
            reassembly: Reassembly::default(),
            limit: AtomicUsize::new(max),
            max,
            strict: AtomicBool::new(true),
            hasher: Hasher::new(settings.seed),
            random: AtomicU64::new(settings.seed),
            next_tick: AtomicU64::new(0),
            stats: Stats::default(),
        }
    }

    /// A place for one more worker that will read connections by their records; `None` beyond [`crate::WORKERS_MAX`].
    pub fn register(&self) -> Option<usize> {
        self.grace.register()
    }

    /// The worker at this place begins a turn: records that it sees keep their connections, or none, to its end.
    pub fn enter(&self, place: usize) {
        self.grace.enter(place);
    }

    /// The worker at this place ended its turn.
    pub fn leave(&self, place: usize) {
        self.grace.leave(place);
    }

    /// Most connections now.
    pub fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Changes the limit; connections above it stay until they end. False for more than there can be room for.
    pub fn set_limit(&self, limit: usize) -> bool {
        let fits = limit <= self.max;
        if fits {
            self.limit.store(limit, Relaxed);
        }
        fits
    }

    /// Are TCP sequence numbers checked?
    pub fn is_strict(&self) -> bool {
        self.strict.load(Relaxed)
    }

    /// Switches the check of TCP sequence numbers.
    pub fn set_strict(&self, strict: bool) {
        self.strict.store(strict, Relaxed);
    }

    /// Connections now, those whose time is over but that were not yet removed included.
    pub fn len(&self) -> usize {
        lock(&self.population).owners.total()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Connections that this owner opened: all, and those that no one answered.
    pub fn of_owner(&self, owner: u32) -> (usize, usize) {
        lock(&self.population).owners.of(owner)
    }

    /// Reads or changes limits and policies of zones.
    pub fn zones<R>(&self, f: impl FnOnce(&mut Zones) -> R) -> R {
        self.zoned.store(true, Relaxed);
        f(&mut lock(&self.zones))
    }

    /// Sets the timeouts of a policy (1..=255; 0 is the default policy) for the zones that have it.
    pub fn set_policy(&self, policy: u8, to: &Policy) {
        self.timeouts.set(policy, to);
    }

    /// Bytes that the table holds.
    pub fn bytes(&self) -> usize {
        let shards: usize = self.shards.iter().map(|s| lock(s).index.bytes() + 3 * 256 * 4).sum();
        shards + self.records.bytes() + lock(&self.population).bytes()
    }

    pub(crate) fn random(&self) -> u64 {
        mix(self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed))
    }

    pub(crate) fn shard(&self, hash: u64) -> usize {
        hash as usize % SHARDS
    }

    pub(crate) fn lock_shard(&self, i: usize) -> Option<MutexGuard<'_, Shard>> {
        self.shards.get(i).map(lock)
    }

    pub(crate) fn is_over(&self, r: Record<'_>, now_ms: u64) -> bool {
        let (last, class, policy) = r.age();
        timeouts::is_over(now_ms as u32, last, self.timeouts.ms(policy, class))
    }

    #[inline]
    pub(crate) fn search(&self, shard: &Shard, t: &Tuple, hash: u64, now_ms: u64) -> Option<(u32, bool)> {
        for id in shard.index.candidates(hash) {
            let Some(r) = self.records.get(id) else { continue };
            if let Some(is_reply) = r.direction(t).filter(|_| !self.is_over(r, now_ms)) {
                return Some((id, is_reply));
            }
        }
        None
    }

    /// Is the tuple one of a live connection?
    pub(crate) fn is_taken(&self, t: &Tuple, now_ms: u64) -> bool {
        let hash = self.hasher.symmetric(t);
        let shard = self.lock_shard(self.shard(hash));
        shard.is_some_and(|s| self.search(&s, t, hash, now_ms).is_some())
    }

    /// A tuple's connection as it is now: its record, and whether the tuple is the reply's.
    pub(crate) fn find(&self, t: &Tuple, hash: u64, now_ms: u64) -> Option<(u32, bool, Conn)> {
        let first = self.shard(hash);
        let shard = self.lock_shard(first)?;
        let (id, is_reply) = self.search(&shard, t, hash, now_ms)?;
        let r = self.records.get(id)?;
        if is_reply && r.steady().nat().any() {
            let home = self.shard(self.hasher.symmetric(&r.orig()));
            if home != first {
                drop(shard);
                let _home = self.lock_shard(home)?;
                return (r.direction(t) == Some(is_reply)).then(|| (id, is_reply, r.load()));
            }
        }
        Some((id, is_reply, r.load()))
    }

    /// Lets `f` change the connection in this record.
    pub(crate) fn with_id<R>(&self, id: u32, now_ms: u64, f: impl FnOnce(&mut Conn) -> R) -> Option<R> {
        let r = self.records.get(id).filter(|r| r.is_alive())?;
        let mut shard = self.lock_shard(self.shard(self.hasher.symmetric(&r.orig())))?;
        if !r.is_alive() {
            return None;
        }
        let mut c = r.load();
        let before = c.class;
        let out = f(&mut c);
        r.store(&c);
        if c.class != before {
            self.class_changed(&mut shard, id, before, &c, now_ms);
        }
        Some(out)
    }

    fn class_changed(&self, shard: &mut Shard, id: u32, before: Class, after: &Conn, now_ms: u64) {
        if before.is_half_open() && !after.class.is_half_open() {
            lock(&self.population).owners.answered(&self.records, after.owner, id);
        }
        if self.timeouts.ms(after.policy, after.class) < self.timeouts.ms(after.policy, before) {
            shard.wheel.remove(&self.records, id);
            shard.wheel.insert(&self.records, id, self.deadline(after, now_ms));
        }
    }

    pub(crate) fn deadline(&self, c: &Conn, now_ms: u64) -> u64 {
        let idle = timeouts::idle(now_ms as u32, c.last_ms);
        now_ms.saturating_sub(u64::from(idle)) + u64::from(self.timeouts.ms(c.policy, c.class))
    }

    /// Removes a connection; false when it is gone already.
    pub(crate) fn remove(&self, id: u32) -> bool {
        let Some(r) = self.records.get(id) else { return false };
        let orig = r.orig();
        let hash = self.hasher.symmetric(&orig);
        let c = {
            let Some(mut shard) = self.lock_shard(self.shard(hash)) else { return false };
            if !r.is_alive() || r.orig() != orig {
                return false;
            }
            let c = r.load();
            shard.wheel.remove(&self.records, id);
            shard.index.remove(hash, id);
            shard.live -= 1;
            r.kill();
            c
        };
        if c.nat.any() && c.reply != c.orig.reversed() {
            let hash = self.hasher.symmetric(&c.reply);
            if let Some(mut shard) = self.lock_shard(self.shard(hash)) {
                shard.index.remove(hash, id);
            }
        }
        self.leave_zone(&c);
        if c.alg != Alg::None {
            self.unhelped(id);
        }
        let mut population = lock(&self.population);
        population.owners.remove(&self.records, c.owner, id);
        population.give_back(id, self.grace.removed());
        true
    }

    /// Ends connections whose time is over. Costs what ends, never a scan; call it once a turn.
    pub fn expire(&self, now_ms: u64) {
        let tick = now_ms / TICK_MS;
        // Workers' times differ by a little; only one of them does it, and most only look.
        if self.next_tick.load(Relaxed) > tick || self.next_tick.fetch_max(tick + 1, Relaxed) > tick {
            return;
        }
        let mut due = Vec::new();
        for i in 0..SHARDS {
            self.expire_shard(i, now_ms, &mut due);
        }
    }

    fn expire_shard(&self, i: usize, now_ms: u64, due: &mut Vec<u32>) {
        for _ in 0..STEPS_MAX {
            let Some(mut shard) = self.lock_shard(i) else { return };
            if shard.live == 0 {
                return shard.wheel.start(now_ms);
            }
            if !shard.wheel.is_due(now_ms) {
                return;
            }
            shard.wheel.step(&self.records, now_ms, due);
            let over = |id: &u32| self.records.get(*id).is_some_and(|r| self.is_over(r, now_ms));
            for id in due.iter().copied().filter(|id| !over(id)) {
                let Some(r) = self.records.get(id) else { continue };
                shard.wheel.insert(&self.records, id, self.deadline(&r.load(), now_ms));
            }
            drop(shard);
            due.retain(over);
            for id in due.drain(..) {
                if self.remove(id) {
                    count(&self.stats.expired);
                }
            }
        }
    }

    /// Every connection whose time is not over, in no order.
    pub fn for_each(&self, now_ms: u64, mut f: impl FnMut(&Conn, u32)) {
        for i in 0..SHARDS {
            let Some(shard) = self.lock_shard(i) else { continue };
            for (entry, id) in shard.index.entries() {
                let Some(r) = self.records.get(id).filter(|r| r.is_alive() && !self.is_over(*r, now_ms)) else { continue };
                let c = r.load();
                // A translated connection has two entries; the one of its original tuple counts.
                if !Index::is_under(entry, self.hasher.symmetric(&c.orig)) {
                    continue;
                }
                let left = self.deadline(&c, now_ms).saturating_sub(now_ms) / 1000;
                f(&c, left as u32);
            }
        }
    }

    /// Removes every connection that `wanted` names; says how many.
    pub fn flush(&self, mut wanted: impl FnMut(&Conn) -> bool) -> usize {
        let mut ids = Vec::new();
        for i in 0..SHARDS {
            let Some(shard) = self.lock_shard(i) else { continue };
            let alive = |id: &u32| self.records.get(*id).is_some_and(|r| r.is_alive() && wanted(&r.load()));
            ids.extend(shard.index.ids().filter(alive));
        }
        let gone = ids.into_iter().filter(|id| self.remove(*id)).count();
        self.stats.flushed.fetch_add(gone as u64, Relaxed);
        gone
    }
}

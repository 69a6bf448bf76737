//! The table: finding, adding, removing and expiring connections.
//!
//! Connections lie in records that never move; shards, by a symmetric hash of zone and tuple, hold the
//! index and the deadlines. Whoever opens, moves or ends a connection locks its shard; a translated
//! connection whose answers hash to another shard locks both, the lower one first.
//! Deliberately does not know: how packets are judged.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::conn::{Alg, Conn};
use crate::grace::{Grace, LONG_AGO};
use crate::helper::Helpers;
use crate::index::Index;
use crate::owners::{Owners, Room};
use crate::reassembly::Reassembly;
use crate::record::{Record, Records};
use crate::stats::{count, Stats};
use crate::timeouts::{self, Policy, Timeouts};
use crate::tuple::{mix, Hasher, Tuple};
use crate::wheel::{Wheel, TICK_MS};
use crate::zones::Zones;

/// Shards; a power of two.
const SHARDS: usize = 64;
/// Records beyond the limit: what is removed in a turn is not given away in it.
const SPARE: usize = 4096;
/// Times that room is made for one connection.
const EVICTIONS_MAX: usize = 4;
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
    index: Index,
    wheel: Wheel,
    live: usize,
}

/// All connections.
#[derive(Debug)]
pub struct Tracker {
    pub(crate) records: Records,
    shards: Box<[Mutex<Shard>]>,
    /// Records without a connection, and since which epoch of removals.
    free: Mutex<VecDeque<(u32, u64)>>,
    grace: Grace,
    owners: Mutex<Owners>,
    zones: Mutex<Zones>,
    pub(crate) helpers: Mutex<Helpers>,
    /// Connections that helpers expect.
    pub(crate) expecting: AtomicUsize,
    /// Some zone has a limit or a policy.
    zoned: AtomicBool,
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

/// Why a connection was not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    Full,
    Share,
    Zone,
    Taken,
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
            free: Mutex::default(),
            grace: Grace::default(),
            owners: Mutex::default(),
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
        lock(&self.owners).total()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Connections that this owner opened: all, and those that no one answered.
    pub fn of_owner(&self, owner: u32) -> (usize, usize) {
        lock(&self.owners).of(owner)
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
        shards + self.records.bytes() + lock(&self.free).capacity() * size_of::<(u32, u64)>()
    }

    pub(crate) fn random(&self) -> u64 {
        mix(self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed))
    }

    fn shard(&self, hash: u64) -> usize {
        hash as usize % SHARDS
    }

    fn lock_shard(&self, i: usize) -> Option<MutexGuard<'_, Shard>> {
        self.shards.get(i).map(lock)
    }

    pub(crate) fn is_over(&self, r: Record<'_>, now_ms: u64) -> bool {
        let (last, class, policy) = r.age();
        timeouts::is_over(now_ms as u32, last, self.timeouts.ms(policy, class))
    }

    fn search(&self, shard: &Shard, t: &Tuple, hash: u64, now_ms: u64) -> Option<(u32, bool)> {
        shard.index.candidates(hash).find_map(|id| {
            let r = self.records.get(id)?;
            let is_reply = r.direction(t)?;
            (!self.is_over(r, now_ms)).then_some((id, is_reply))
        })
    }

    /// Is the tuple one of a live connection?
    pub(crate) fn is_taken(&self, t: &Tuple, now_ms: u64) -> bool {
        let hash = self.hasher.symmetric(t);
        let shard = self.lock_shard(self.shard(hash));
        shard.is_some_and(|s| self.search(&s, t, hash, now_ms).is_some())
    }

    /// Finds a tuple's connection and lets `f` change it. `f` is told its record and whether the tuple is the reply's.
    pub(crate) fn with<R>(&self, t: &Tuple, now_ms: u64, f: impl FnOnce(u32, &mut Conn, bool) -> R) -> Option<R> {
        let hash = self.hasher.symmetric(t);
        let first = self.shard(hash);
        let mut shard = self.lock_shard(first)?;
        let (id, is_reply) = self.search(&shard, t, hash, now_ms)?;
        let r = self.records.get(id)?;
        if is_reply && r.steady().nat().any() {
            let home = self.shard(self.hasher.symmetric(&r.orig()));
            if home != first {
                drop(shard);
                shard = self.lock_shard(home)?;
                if r.direction(t) != Some(is_reply) {
                    return None;
                }
            }
        }
        Some(self.change(&mut shard, id, r, is_reply, now_ms, f))
    }

    /// As [`Tracker::with`], for a record known from before.
    pub(crate) fn with_id<R>(&self, id: u32, now_ms: u64, f: impl FnOnce(&mut Conn) -> R) -> Option<R> {
        let r = self.records.get(id).filter(|r| r.is_alive())?;
        let mut shard = self.lock_shard(self.shard(self.hasher.symmetric(&r.orig())))?;
        r.is_alive().then(|| self.change(&mut shard, id, r, false, now_ms, |_, c, _| f(c)))
    }

    fn change<R>(
        &self,
        shard: &mut Shard,
        id: u32,
        r: Record<'_>,
        is_reply: bool,
        now_ms: u64,
        f: impl FnOnce(u32, &mut Conn, bool) -> R,
    ) -> R {
        let before = r.load();
        let mut c = before.clone();
        let out = f(id, &mut c, is_reply);
        if c != before {
            r.store(&c);
        }
        if c.class != before.class {
            self.class_changed(shard, id, &before, &c, now_ms);
        }
        out
    }

    fn class_changed(&self, shard: &mut Shard, id: u32, before: &Conn, after: &Conn, now_ms: u64) {
        if before.class.is_half_open() && !after.class.is_half_open() {
            lock(&self.owners).answered(&self.records, after.owner, id);
        }
        if self.timeouts.ms(after.policy, after.class) < self.timeouts.ms(before.policy, before.class) {
            shard.wheel.remove(&self.records, id);
            shard.wheel.insert(&self.records, id, self.deadline(after, now_ms));
        }
    }

    fn deadline(&self, c: &Conn, now_ms: u64) -> u64 {
        let idle = timeouts::idle(now_ms as u32, c.last_ms);
        now_ms.saturating_sub(u64::from(idle)) + u64::from(self.timeouts.ms(c.policy, c.class))
    }

    /// Opens a connection: both tuples, or an error and neither.
    pub(crate) fn insert(&self, mut c: Conn, now_ms: u64) -> Result<u32, Refused> {
        let reply = (c.reply != c.orig.reversed()).then_some(c.reply);
        for t in [c.orig, c.reply] {
            self.clear_dead(&t, now_ms);
        }
        c.last_ms = now_ms as u32;
        self.admit(&mut c)?;
        let placed = self.free_record().ok_or(Refused::Full).and_then(|id| match self.place(id, &c, reply, now_ms) {
            Ok(()) => Ok(id),
            Err(e) => {
                lock(&self.free).push_front((id, LONG_AGO));
                Err(e)
            }
        });
        match placed {
            Ok(id) => {
                lock(&self.owners).add(&self.records, c.owner, id);
                count(&self.stats.opened);
            }
            Err(_) => self.unadmit(&c),
        }
        placed
    }

    /// Zone and owner: may it be opened?
    fn admit(&self, c: &mut Conn) -> Result<(), Refused> {
        for _ in 0..EVICTIONS_MAX {
            let room = lock(&self.owners).room(c.owner, self.limit());
            match room {
                Room::Yes => return self.admit_zone(c),
                Room::Instead(id) => {
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

    fn admit_zone(&self, c: &mut Conn) -> Result<(), Refused> {
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

    fn unadmit(&self, c: &Conn) {
        if c.counted {
            lock(&self.zones).remove(c.orig.zone);
        }
    }

    fn free_record(&self) -> Option<u32> {
        let mut free = lock(&self.free);
        if !free.front().is_some_and(|(_, since)| self.grace.is_over(*since)) {
            let more = self.records.more()?;
            more.rev().for_each(|id| free.push_front((id, LONG_AGO)));
        }
        free.pop_front().map(|(id, _)| id)
    }

    fn place(&self, id: u32, c: &Conn, reply: Option<Tuple>, now_ms: u64) -> Result<(), Refused> {
        let hash = self.hasher.symmetric(&c.orig);
        let reply = reply.map(|t| (t, self.hasher.symmetric(&t)));
        let (home, away) = (self.shard(hash), reply.map_or(usize::MAX, |(_, h)| self.shard(h)));
        let (mut first, mut second) = (self.lock_shard(home.min(away)), None);
        if away != usize::MAX && away != home {
            second = self.lock_shard(home.max(away));
        }
        let (mut own, other) = match home <= away {
            true => (first.as_deref_mut(), second.as_deref_mut()),
            false => (second.as_deref_mut(), first.as_deref_mut()),
        };
        let own = own.as_mut().ok_or(Refused::Full)?;
        let taken = |t: &Tuple| self.search(own, t, hash, now_ms).is_some();
        // The answers of a connection without translation may be another, translated one's.
        if taken(&c.orig) || reply.is_none() && taken(&c.reply) || !own.index.insert(hash, id) {
            return Err(Refused::Taken);
        }
        if let Some((t, reply_hash)) = reply {
            let there = other.unwrap_or(own);
            if self.search(there, &t, reply_hash, now_ms).is_some() || !there.index.insert(reply_hash, id) {
                own.index.remove(hash, id);
                return Err(Refused::Taken);
            }
        }
        let Some(r) = self.records.get(id) else { return Err(Refused::Full) };
        r.create(c);
        if own.live == 0 {
            own.wheel.start(now_ms);
        }
        own.live += 1;
        own.wheel.insert(&self.records, id, self.deadline(c, now_ms));
        Ok(())
    }

    /// Removes a connection whose time is over and that still holds a tuple.
    fn clear_dead(&self, t: &Tuple, now_ms: u64) {
        let hash = self.hasher.symmetric(t);
        let dead: Option<u32> = self.lock_shard(self.shard(hash)).and_then(|s| {
            let held = |id: &u32| self.records.get(*id).is_some_and(|r| r.direction(t).is_some() && self.is_over(r, now_ms));
            let found = s.index.candidates(hash).find(held);
            found
        });
        if dead.is_some_and(|id| self.remove(id)) {
            count(&self.stats.expired);
        }
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
            lock(&self.owners).remove(&self.records, c.owner, id);
            r.kill();
            c
        };
        if c.reply != c.orig.reversed() {
            let hash = self.hasher.symmetric(&c.reply);
            if let Some(mut shard) = self.lock_shard(self.shard(hash)) {
                shard.index.remove(hash, id);
            }
        }
        self.unadmit(&c);
        if c.alg != Alg::None {
            self.unhelped(id);
        }
        let since = self.grace.removed();
        lock(&self.free).push_back((id, since));
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

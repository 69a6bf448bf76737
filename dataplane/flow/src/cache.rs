//! The exact flow cache: masked key words to a verdict.
//!
//! Purpose: one memory line decides a packet of a known flow. A bounded-probe set: a key may be in
//! four places, two neighbouring lines at each of two hashes. Where all four are taken one occupant may
//! move once to a free place of its own; else it is displaced: a collision costs a miss, never a chain.
//! Grows by doubling up to a limit: flows move to the larger table a few at a time, and are found in either.
//! Invariant: an entry's verdict is never 0 while it is in use; `K` key words come first; a key is in one place only.
//! Deliberately does not know: what a verdict is, which words matter (keys come in masked).

mod grow;

use crate::hash::Seeds;
use grow::Old;
use sluice_frame::prefetch::prefetch;
use sluice_frame::Words;

/// Words of an entry for narrow keys: one memory line.
pub const NARROW_ENTRY: usize = 8;
/// Words of an entry for wide keys: three memory lines.
pub const WIDE_ENTRY: usize = 24;
const WORDS_PER_LINE: usize = 8;
const START: usize = 4096;
/// Words of a table that a processor's own cache holds: half a megabyte.
const NEAR: usize = (512 << 10) / size_of::<u64>();
/// Word of a key in which most flows differ: addresses.
const TELLING: usize = 2;

/// What a cached flow carries beside its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flow {
    /// Verdict, never 0.
    pub verdict: u32,
    /// Low 32 bits of the epoch that it was decided in, or found unharmed in.
    pub epoch: u32,
    /// Learned addresses it depends on (see `fdb::Deps`).
    pub deps: u32,
    /// Their version.
    pub deps_version: u32,
    /// Second in which its effects last ran.
    pub effect_s: u32,
    /// Connection, 0 for none.
    pub connection: u32,
}

/// What an insertion did to what was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Displaced {
    /// A free place was taken.
    Nothing,
    /// A flow with this verdict made room (or had the same key).
    Flow {
        /// Its verdict.
        verdict: u32,
    },
}

/// Flows by `K` words of key, in entries of `E` words.
#[derive(Debug)]
pub struct FlowCache<const K: usize, const E: usize> {
    cells: Words,
    /// The table that flows are moved out of. Its places are numbered on from those of `cells`.
    old: Option<Old>,
    mask: usize,
    live: usize,
    /// Flows that came since some were moved last.
    added: usize,
    max: usize,
    /// Chooses whom to displace; any sequence does.
    turn: u32,
    /// Hashes of those that were inserted of late, a bit for each 64th of them.
    news: u64,
    seeds: Seeds,
}

impl<const K: usize, const E: usize> FlowCache<K, E> {
    /// An empty cache that may grow to `max` flows (rounded up to a power of two).
    pub fn new(max: usize, seeds: Seeds) -> Self {
        const { assert!(K + 3 <= E && E % WORDS_PER_LINE == 0 && TELLING < K) };
        let max = max.next_power_of_two().max(START);
        // Zeroed memory comes from the kernel page by page as it is touched.
        FlowCache { cells: Words::zeroed(START * E), old: None, mask: START - 1, live: 0, added: 0, max, turn: 0, news: 0, seeds }
    }

    /// Flows that the cache can hold now.
    pub fn capacity(&self) -> usize {
        self.mask + 1
    }

    /// Flows in the cache.
    pub fn len(&self) -> usize {
        self.live
    }

    /// From here on [`FlowCache::may_be_new`] tells of what is inserted.
    #[inline]
    pub fn begin_news(&mut self) {
        self.news = 0;
    }

    /// Was perhaps a flow with this hash inserted since? Where not, one that was absent still is.
    #[inline]
    pub fn may_be_new(&self, hash: u64) -> bool {
        self.news & news_bit(hash) != 0
    }

    /// True when nothing is cached.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Hash of a key, to be given to the other methods with it.
    #[inline(always)]
    pub fn hash(&self, key: &[u64; K]) -> u64 {
        match key.first_chunk::<5>() {
            Some(narrow) if K == 5 => self.seeds.hash5(narrow),
            _ => self.seeds.hash(key),
        }
    }

    #[inline(always)]
    fn first(&self, hash: u64) -> usize {
        hash as usize & self.mask
    }

    #[inline(always)]
    fn second(&self, hash: u64) -> usize {
        (hash >> 32) as usize & self.mask
    }

    /// Forgets every flow.
    pub fn clear(&mut self) {
        self.old = None;
        self.cells.fill(0);
        self.live = 0;
    }

    #[inline(always)]
    fn entry(&self, slot: usize) -> Option<&[u64; E]> {
        let at = slot * E;
        match self.cells.get(at..at + E) {
            Some(entry) => entry.try_into().ok(),
            None => self.old_entry(slot - self.capacity()),
        }
    }

    #[inline(always)]
    fn entry_mut(&mut self, slot: usize) -> Option<&mut [u64; E]> {
        let at = slot * E;
        if at >= self.cells.len() {
            return self.old_entry_mut(slot - self.capacity());
        }
        self.cells.get_mut(at..at + E)?.try_into().ok()
    }

    /// Every flow with its key, in no order.
    pub fn flows(&self) -> impl Iterator<Item = ([u64; K], Flow)> + '_ {
        self.places_in_use().filter_map(|place| {
            let entry = self.entry(place).filter(|e| e[K] >> 32 != 0)?;
            Some((std::array::from_fn(|i| entry[i]), self.flow(place)))
        })
    }

    /// Starts loading where the key would be first.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        if let Some(e) = self.entry(self.first(hash)) {
            for line in (0..K + 3).step_by(WORDS_PER_LINE) {
                prefetch(&e[line]);
            }
        }
    }

    /// Is the table so small that the processor has it near anyway?
    #[inline]
    pub fn is_near(&self) -> bool {
        self.cells.len() <= NEAR
    }

    /// Starts loading the other places where the key may be.
    #[inline]
    pub fn prefetch_further(&self, hash: u64) {
        let [_, further @ ..] = self.places(hash);
        for e in further.iter().filter_map(|slot| self.cells.get(slot * E)) {
            prefetch(e);
        }
    }

    /// Where the key is.
    #[inline(always)]
    pub fn find(&self, hash: u64, key: &[u64; K]) -> Option<usize> {
        self.find_first(hash, key).or_else(|| self.find_further(hash, key))
    }

    /// Where the key is, if that is where it would be first.
    #[inline(always)]
    pub fn find_first(&self, hash: u64, key: &[u64; K]) -> Option<usize> {
        let slot = self.first(hash);
        self.holds(slot, key).then_some(slot)
    }

    /// Where the key is, if it is not where it would be first.
    #[inline(never)]
    pub fn find_further(&self, hash: u64, key: &[u64; K]) -> Option<usize> {
        let places = [self.first(hash) ^ 1, self.second(hash), self.second(hash) ^ 1];
        places.into_iter().find(|s| self.resembles(*s, key) && self.holds(*s, key)).or_else(|| self.find_old(hash, key))
    }

    /// Is it, by the word that tells most flows apart, perhaps this key? For places where it rarely is.
    #[inline(always)]
    fn resembles(&self, slot: usize, key: &[u64; K]) -> bool {
        self.entry(slot).is_some_and(|e| e[TELLING] == key[TELLING])
    }

    #[inline(always)]
    fn holds(&self, slot: usize, key: &[u64; K]) -> bool {
        let Some(e) = self.entry(slot) else { return false };
        let mut differing = 0;
        for i in 0..K {
            differing |= e[i] ^ key[i];
        }
        differing == 0 && e[K] >> 32 != 0
    }

    /// The flow at a place that [`FlowCache::find`] gave.
    #[inline(always)]
    pub fn flow(&self, slot: usize) -> Flow {
        let Some(e) = self.entry(slot) else { return Flow::default() };
        let (a, b, c) = (e[K], e[K + 1], e[K + 2]);
        Flow {
            verdict: (a >> 32) as u32,
            epoch: a as u32,
            deps: (b >> 32) as u32,
            deps_version: b as u32,
            effect_s: (c >> 32) as u32,
            connection: c as u32,
        }
    }

    /// Replaces the flow at a place that [`FlowCache::find`] gave.
    #[inline]
    pub fn update(&mut self, slot: usize, flow: Flow) {
        if let Some(e) = self.entry_mut(slot) {
            e[K] = (flow.verdict as u64) << 32 | flow.epoch as u64;
            e[K + 1] = (flow.deps as u64) << 32 | flow.deps_version as u64;
            e[K + 2] = (flow.effect_s as u64) << 32 | flow.connection as u64;
        }
    }

    fn places(&self, hash: u64) -> [usize; 4] {
        let (a, b) = (self.first(hash), self.second(hash));
        [a, a ^ 1, b, b ^ 1]
    }

    fn is_free(&self, slot: usize) -> bool {
        self.entry(slot).is_some_and(|e| e[K] >> 32 == 0)
    }

    /// Adds a flow, displacing another one where no place can be made.
    pub fn insert(&mut self, hash: u64, key: &[u64; K], flow: Flow) -> Displaced {
        let places = self.places(hash);
        self.turn = self.turn.wrapping_add(1);
        self.news |= news_bit(hash);
        let slot = self.find(hash, key).unwrap_or_else(|| self.make_room(&places));
        let displaced = match self.flow(slot).verdict {
            0 => {
                self.live += 1;
                self.added += 1;
                Displaced::Nothing
            }
            verdict => Displaced::Flow { verdict },
        };
        if let Some(e) = self.entry_mut(slot) {
            e[..K].copy_from_slice(key);
        }
        self.update(slot, flow);
        displaced
    }

    /// One of these places, free if that can be; else a flow is displaced from it.
    fn make_room(&mut self, places: &[usize; 4]) -> usize {
        let free = places.iter().find(|s| self.is_free(**s)).copied();
        free.or_else(|| places.iter().find(|s| self.move_away(**s)).copied()).unwrap_or(places[self.turn as usize % 4])
    }

    /// Moves the flow at `slot` to another place of its own that is free; true when that made room.
    fn move_away(&mut self, slot: usize) -> bool {
        let Some(entry) = self.entry(slot).copied() else { return false };
        let Some(key) = entry.first_chunk::<K>() else { return false };
        let Some(free) = self.places(self.hash(key)).into_iter().find(|s| self.is_free(*s)) else { return false };
        if let Some(e) = self.entry_mut(free) {
            *e = entry;
        }
        if let Some(e) = self.entry_mut(slot) {
            e.fill(0);
        }
        true
    }

    /// Forgets the flow with this key; its verdict, where there is one.
    pub fn take(&mut self, hash: u64, key: &[u64; K]) -> Option<u32> {
        let slot = self.find(hash, key)?;
        let verdict = self.flow(slot).verdict;
        self.remove(slot);
        Some(verdict)
    }

    /// Forgets the flow at a place that [`FlowCache::find`] gave.
    pub fn remove(&mut self, slot: usize) {
        if let Some(e) = self.entry_mut(slot) {
            e.fill(0);
            self.live = self.live.saturating_sub(1);
        }
    }
}

fn news_bit(hash: u64) -> u64 {
    1 << (hash >> 58)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Narrow = FlowCache<5, NARROW_ENTRY>;

    fn flow(verdict: u32) -> Flow {
        Flow { verdict, epoch: 9, deps: 8, deps_version: 7, effect_s: 6, connection: 5 }
    }

    #[test]
    fn a_flow_reads_back_whole() {
        let mut c = Narrow::new(1 << 20, Seeds::FIXED);
        let (k, h) = ([1, 2, 3, 4, 5], Seeds::FIXED.hash5(&[1, 2, 3, 4, 5]));
        assert_eq!(c.find(h, &k), None);
        c.begin_news();
        assert!(!c.may_be_new(h));
        assert_eq!(c.insert(h, &k, flow(42)), Displaced::Nothing);
        assert!(c.may_be_new(h));
        assert_eq!(c.find(h, &k).map(|at| c.flow(at)), Some(flow(42)));
        assert_eq!(c.insert(h, &k, flow(43)), Displaced::Flow { verdict: 42 });
        assert_eq!(c.len(), 1);
        assert_eq!((c.take(h, &k), c.take(h, &k)), (Some(43), None));
        assert_eq!((c.len(), c.find(h, &k)), (0, None));
    }

    #[test]
    fn half_full_it_holds_nearly_every_flow_and_never_another_ones() {
        let mut c = Narrow::new(1 << 16, Seeds::FIXED);
        while c.capacity() < 1 << 16 {
            c.grow();
            while c.is_growing() {
                c.go_on_growing(|_| {});
            }
        }
        let key = |i: u64| [i, i * 3, 7, i ^ 0xff, 1];
        for i in 0..1 << 15 {
            let k = key(i);
            c.insert(Seeds::FIXED.hash5(&k), &k, flow(i as u32 + 1));
        }
        let mut found = 0;
        for i in 0..1 << 15 {
            let k = key(i);
            if let Some(at) = c.find(Seeds::FIXED.hash5(&k), &k) {
                assert_eq!(c.flow(at).verdict, i as u32 + 1);
                found += 1;
            }
        }
        assert!(found * 1000 >= (1 << 15) * 999, "{found}");
    }

    #[test]
    fn an_all_zero_key_is_not_found_in_an_empty_cache() {
        let c = Narrow::new(16, Seeds::FIXED);
        assert_eq!(c.find(0, &[0; 5]), None);
    }
}

//! Growing without forgetting and without a pause.
//!
//! Purpose: a larger table takes the flows of the old one a few at a time; until all have moved a flow is looked for in both.
//! Invariant: no flow is in both; every flow that was cached before is cached after, but where all places of it are taken.

use super::{FlowCache, Words};

/// Places whose flows move for each new flow. Before the new table is half full as many came as half the old one's places: two would do.
const FOR_EACH: usize = 3;
/// Places whose flows move where no flow is new.
const AT_LEAST: usize = 16;
/// Words that are given back to the kernel at once.
const GIVEN_BACK: usize = (2 << 20) / size_of::<u64>();

/// The table that flows are moved out of.
#[derive(Debug)]
pub(super) struct Old {
    cells: Words,
    /// What is written in places before this one has moved.
    moved: usize,
}

impl Old {
    fn capacity(&self, entry: usize) -> usize {
        self.cells.len() / entry
    }
}

impl<const K: usize, const E: usize> FlowCache<K, E> {
    /// Is it so full that it should grow, and may?
    pub fn wants_to_grow(&self) -> bool {
        self.live * 2 > self.capacity() && self.capacity() < self.max && self.old.is_none()
    }

    /// Doubles the cache. Its flows are then moved by [`FlowCache::go_on_growing`]. Nothing happens while it still grows.
    pub fn grow(&mut self) {
        if self.old.is_some() {
            return;
        }
        let entries = (self.capacity() * 2).min(self.max);
        let cells = std::mem::replace(&mut self.cells, Words::zeroed(entries * E));
        self.old = Some(Old { cells, moved: 0 });
        self.added = 0;
        self.mask = entries - 1;
    }

    /// Are there flows that have not moved yet?
    #[inline]
    pub fn is_growing(&self) -> bool {
        self.old.is_some()
    }

    /// Moves a few flows, in proportion to those that were added since; hears of the verdict of each that had to make room.
    pub fn go_on_growing(&mut self, mut displaced: impl FnMut(u32)) {
        let Some(mut old) = self.old.take() else { return };
        let places = AT_LEAST + FOR_EACH * std::mem::take(&mut self.added);
        let (from, all) = (old.moved, old.capacity(E));
        let to = from.saturating_add(places).min(all);
        let cells = old.cells.get(from * E..to * E).unwrap_or(&[]);
        for entry in cells.chunks_exact(E).filter_map(<[u64]>::first_chunk::<E>).filter(|e| e[K] >> 32 != 0) {
            if let Some(verdict) = self.put(entry) {
                self.live -= 1;
                displaced(verdict);
            }
        }
        if to == all {
            return;
        }
        // All of it at the end would be a pause.
        let (before, now) = (from * E / GIVEN_BACK, to * E / GIVEN_BACK);
        if now != before {
            old.cells.give_back(before * GIVEN_BACK..now * GIVEN_BACK);
        }
        old.moved = to;
        self.old = Some(old);
    }

    /// Puts an entry where its key belongs; the verdict of the flow that was there.
    #[inline]
    fn put(&mut self, entry: &[u64; E]) -> Option<u32> {
        let hash = self.hash(entry.first_chunk::<K>()?);
        let first = self.first(hash);
        if self.is_free(first) {
            *self.entry_mut(first)? = *entry;
            return None;
        }
        self.turn = self.turn.wrapping_add(1);
        let slot = self.make_room(&self.places(hash));
        let before = self.flow(slot).verdict;
        *self.entry_mut(slot)? = *entry;
        (before != 0).then_some(before)
    }

    /// Places of both tables where a flow may be.
    pub(super) fn places_in_use(&self) -> impl Iterator<Item = usize> {
        let own = self.capacity();
        let old = self.old.as_ref().map_or(0..0, |old| old.moved..old.capacity(E));
        (0..own).chain(own + old.start..own + old.end)
    }

    #[cold]
    pub(super) fn old_entry(&self, place: usize) -> Option<&[u64; E]> {
        self.old.as_ref()?.cells.get(place * E..(place + 1) * E)?.try_into().ok()
    }

    #[cold]
    pub(super) fn old_entry_mut(&mut self, place: usize) -> Option<&mut [u64; E]> {
        self.old.as_mut()?.cells.get_mut(place * E..(place + 1) * E)?.try_into().ok()
    }

    /// Where the key is, if it has not moved yet.
    pub(super) fn find_old(&self, hash: u64, key: &[u64; K]) -> Option<usize> {
        let old = self.old.as_ref()?;
        let mask = old.capacity(E) - 1;
        let (a, b) = (hash as usize & mask, (hash >> 32) as usize & mask);
        // What has moved is still written there.
        let places = [a, a ^ 1, b, b ^ 1].into_iter().filter(|place| *place >= old.moved);
        places.map(|place| self.capacity() + place).find(|s| self.resembles(*s, key) && self.holds(*s, key))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Displaced, Flow, NARROW_ENTRY};
    use super::*;
    use crate::hash::Seeds;

    type Narrow = FlowCache<5, NARROW_ENTRY>;

    fn key(i: u32) -> [u64; 5] {
        [u64::from(i), 7, u64::from(i) << 20, 1, 2]
    }

    fn insert(c: &mut Narrow, i: u32) -> Displaced {
        let flow = Flow { verdict: i + 1, ..Flow::default() };
        c.insert(Seeds::FIXED.hash5(&key(i)), &key(i), flow)
    }

    fn verdict(c: &Narrow, i: u32) -> Option<u32> {
        c.find(Seeds::FIXED.hash5(&key(i)), &key(i)).map(|at| c.flow(at).verdict)
    }

    #[test]
    fn a_cache_that_grows_under_traffic_knows_every_flow_all_the_time() {
        let mut c = Narrow::new(1 << 16, Seeds::FIXED);
        let (mut lost, flows) = (0, 20_000);
        for i in 0..flows {
            lost += usize::from(insert(&mut c, i) != Displaced::Nothing);
            if c.wants_to_grow() {
                c.grow();
            }
            c.go_on_growing(|_| lost += 1);
            for seen in [i, i / 2, i / 3] {
                assert!(verdict(&c, seen).is_none_or(|v| v == seen + 1));
            }
        }
        while c.is_growing() {
            c.go_on_growing(|_| lost += 1);
        }
        assert!(c.capacity() == 1 << 16);
        let known = (0..flows).filter(|i| verdict(&c, *i) == Some(i + 1)).count();
        assert_eq!((known + lost, c.len()), (flows as usize, known));
        assert!(lost * 1000 < flows as usize, "{lost} flows of {flows} had to make room");
        assert_eq!(c.flows().count(), known);
    }

    #[test]
    fn what_has_not_moved_yet_is_changed_and_forgotten_where_it_is() {
        let mut c = Narrow::new(1 << 16, Seeds::FIXED);
        (0..2000).for_each(|i| assert_eq!(insert(&mut c, i), Displaced::Nothing));
        c.grow();
        for i in 0..2000 {
            assert_eq!(insert(&mut c, i), Displaced::Flow { verdict: i + 1 }, "it is the same flow, not a second one");
        }
        assert_eq!((c.len(), c.flows().count()), (2000, 2000));
        for i in 0..1000 {
            assert_eq!(c.take(Seeds::FIXED.hash5(&key(i)), &key(i)), Some(i + 1));
        }
        while c.is_growing() {
            c.go_on_growing(|_| {});
        }
        assert_eq!((c.len(), c.flows().count()), (1000, 1000));
        assert!((0..2000).all(|i| verdict(&c, i).is_some() == (i >= 1000)));
    }

    #[test]
    fn a_cache_that_is_emptied_while_it_grows_is_empty() {
        let mut c = Narrow::new(1 << 16, Seeds::FIXED);
        (0..2000).for_each(|i| assert_eq!(insert(&mut c, i), Displaced::Nothing));
        c.grow();
        (0..5).for_each(|_| c.go_on_growing(|_| {}));
        c.clear();
        assert!(c.is_empty() && !c.is_growing() && c.flows().next().is_none());
    }
}

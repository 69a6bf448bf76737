//! Station: new flows that are like others: a verdict by the bits that its decision rested on.
//!
//! Purpose: a flow that is not in the cache need not be decided when a packet that agrees with it in everything
//! that mattered was decided before. Entries lie under the mask of those bits, masks in the order of their use.
//! Invariant: an entry holds its verdict, and answers only while no change has touched that since and no learned
//! address that it rested on is elsewhere; there are never more masks, nor entries of a mask, than the constants say, whatever traffic comes.
//! Deliberately does not know: why those bits; the exact cache, which gets the flow afterwards.

use sluice_flow::fdb::Versions;
use sluice_flow::hash::Seeds;
use sluice_flow::key::NARROW_WORDS;

use crate::store::Store;

/// Masks of all stages.
const MASKS_MAX: usize = 64;
/// Masks of one stage: what a look-up costs at most.
const OF_STAGE_MAX: usize = 16;
/// Entries of one mask; a power of two.
const ENTRIES: usize = 1024;
/// The last narrow word holds the stage in its high half.
const STAGE_BITS: u64 = 0xffff_ffff_0000_0000;

type Words = [u64; NARROW_WORDS];

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    words: Words,
    /// Verdict; of another serial number than the mask's, none.
    verdict: u32,
    serial: u32,
    /// What the verdict's tag was.
    tag: u64,
    rests_on: Learned,
}

/// What of the learned addresses a verdict rested on, and when it last told what it teaches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Learned {
    /// As in the decision.
    pub deps: u32,
    /// As in the decision.
    pub version: u32,
    /// Second in which the verdict's effects ran.
    pub effect_s: u32,
}

#[derive(Debug)]
struct Masked {
    /// Which bits, the stage among them.
    mask: Words,
    stage: u64,
    /// Entries of an older number were another mask's.
    serial: u32,
    uses: u32,
    /// Place of the entry that was found last.
    latest: u16,
    entries: Box<[Entry]>,
    /// Places of those that are this mask's.
    filled: Vec<u16>,
}

/// Decisions that hold for more than one flow.
#[derive(Debug)]
pub struct Alike {
    masks: Vec<Masked>,
    serial: u32,
    seeds: Seeds,
}

fn under(words: &Words, mask: &Words) -> Words {
    std::array::from_fn(|i| words[i] & mask[i])
}

/// In line: a comparison of arrays calls a function.
#[inline(always)]
fn equal(a: &Words, b: &Words) -> bool {
    a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

fn stage_of(words: &Words) -> u64 {
    words[NARROW_WORDS - 1] & STAGE_BITS
}

impl Alike {
    /// Nothing is known.
    pub fn new(seeds: Seeds) -> Alike {
        Alike { masks: Vec::new(), serial: 0, seeds }
    }

    /// Knows nothing any more: every verdict was let go of.
    pub fn clear(&mut self) {
        self.masks.clear();
    }

    /// The verdict of a packet with these words, where one like it was decided. Its effects are due when they ran
    /// in another second than the one told.
    pub fn find(&mut self, words: &Words, store: &Store, versions: &Versions) -> Option<(u32, &mut Learned)> {
        let (stage, seeds) = (stage_of(words), self.seeds);
        let mut found = None;
        for (i, m) in self.masks.iter_mut().enumerate().filter(|(_, m)| m.stage == stage) {
            let masked = under(words, &m.mask);
            let is_at = |place: usize| m.entries.get(place).filter(|e| e.serial == m.serial && equal(&e.words, &masked));
            // One that is like the last one is where that was.
            let latest = usize::from(m.latest);
            let (place, at) = match is_at(latest) {
                Some(e) => (latest, Some(e)),
                None => {
                    let place = seeds.hash5(&masked) as usize & (ENTRIES - 1);
                    (place, is_at(place))
                }
            };
            let Some(e) = at else { continue };
            let same = store.tag(e.verdict) == e.tag;
            if same && (e.rests_on.deps == 0 || versions.current(e.rests_on.deps) == e.rests_on.version) {
                m.uses = m.uses.saturating_add(1);
                m.latest = place as u16;
                found = Some((i, place));
                break;
            }
        }
        let (mut at, place) = found?;
        if at > 0 && self.masks[at].uses > self.masks[at - 1].uses {
            self.masks.swap(at, at - 1);
            at -= 1;
        }
        let e = self.masks.get_mut(at)?.entries.get_mut(place)?;
        Some((e.verdict, &mut e.rests_on))
    }

    /// The bits by which packets with these words have this verdict, where it rests on nothing else.
    pub fn bits(&self, words: &Words, verdict: u32, store: &Store) -> Option<Words> {
        let (stage, tag) = (stage_of(words), store.tag(verdict));
        let known = self.masks.iter().filter(|m| m.stage == stage).find(|m| {
            let masked = under(words, &m.mask);
            let e = m.entries.get(self.seeds.hash5(&masked) as usize & (ENTRIES - 1));
            let alone = |e: &&Entry| e.rests_on.deps == 0 && !store.hot(verdict).has_effects;
            e.filter(alone).is_some_and(|e| e.serial == m.serial && e.words == masked && (e.verdict, e.tag) == (verdict, tag))
        });
        known.map(|m| m.mask)
    }

    /// A packet with these words got this verdict, and these bits of it mattered.
    pub fn learn(&mut self, words: &Words, bits: &Words, verdict: u32, rests_on: Learned, store: &mut Store) {
        let stage = stage_of(words);
        let mut mask = *bits;
        mask[NARROW_WORDS - 1] |= STAGE_BITS;
        let known = self.masks.iter().position(|m| m.stage == stage && m.mask == mask);
        let at = known.unwrap_or_else(|| self.room(stage, mask, store));
        let masked = under(words, &mask);
        let place = self.seeds.hash5(&masked) as usize & (ENTRIES - 1);
        let Some(m) = self.masks.get_mut(at) else { return };
        let serial = m.serial;
        if let Some(e) = m.entries.get_mut(place) {
            store.again(verdict);
            match e.serial == serial {
                true => store.release(e.verdict),
                false => m.filled.push(place as u16),
            }
            *e = Entry { words: masked, verdict, serial, tag: store.tag(verdict), rests_on };
        }
    }

    /// A place for one more mask, perhaps that of the least used one.
    fn room(&mut self, stage: u64, mask: Words, store: &mut Store) -> usize {
        self.serial = self.serial.wrapping_add(1);
        let of_stage = self.masks.iter().filter(|m| m.stage == stage).count();
        if of_stage < OF_STAGE_MAX && self.masks.len() < MASKS_MAX {
            let entries = vec![Entry::default(); ENTRIES].into_boxed_slice();
            self.masks.push(Masked { mask, stage, serial: self.serial, uses: 0, latest: 0, entries, filled: Vec::new() });
            return self.masks.len() - 1;
        }
        let is_candidate = |m: &Masked| of_stage < OF_STAGE_MAX || m.stage == stage;
        let candidates = self.masks.iter().enumerate().filter(|(_, m)| is_candidate(m));
        let at = candidates.min_by_key(|(_, m)| m.uses).map_or(0, |(i, _)| i);
        // What was much used once makes room in the end.
        self.masks.iter_mut().for_each(|m| m.uses /= 2);
        if let Some(m) = self.masks.get_mut(at) {
            m.filled.drain(..).filter_map(|at| m.entries.get(usize::from(at))).for_each(|e| store.release(e.verdict));
            (m.mask, m.stage, m.serial, m.uses) = (mask, stage, self.serial, 0);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_flow::{Op, Verdict};

    fn found(a: &mut Alike, words: &Words, store: &Store) -> Option<u32> {
        a.find(words, store, &Versions::new(Seeds::FIXED)).map(|(verdict, _)| verdict)
    }

    fn verdict(store: &mut Store, port: u16) -> u32 {
        store.intern(Verdict { ops: Box::new([Op::Output(port)]), ..Verdict::default() }, false, 1)
    }

    #[test]
    fn what_agrees_in_the_bits_that_mattered_has_the_verdict_and_holds_it() {
        let (mut a, mut store) = (Alike::new(Seeds::FIXED), Store::default());
        let (id, other) = (verdict(&mut store, 1), verdict(&mut store, 2));
        a.learn(&[1, 2, 3, 4, 5 << 32], &[0xff, 0, 0, 0, 0], id, Learned::default(), &mut store);
        assert_eq!(found(&mut a, &[1, 7, 8, 9, 5 << 32], &store), Some(id));
        assert_eq!(found(&mut a, &[2, 2, 3, 4, 5 << 32], &store), None);
        assert_eq!(found(&mut a, &[1, 2, 3, 4, 6 << 32], &store), None, "another stage");
        store.release(id);
        assert_eq!(found(&mut a, &[1, 7, 8, 9, 5 << 32], &store), Some(id), "it is held without any flow");
        a.learn(&[1, 2, 3, 4, 5 << 32], &[0xff, 0, 0, 0, 0], other, Learned::default(), &mut store);
        assert!(store.verdict(id).is_none(), "nobody holds it");
        store.release_all();
        assert_eq!(found(&mut a, &[1, 2, 3, 4, 5 << 32], &store), None);
        verdict(&mut store, 3);
        verdict(&mut store, 4);
        assert_eq!(found(&mut a, &[1, 2, 3, 4, 5 << 32], &store), None, "the numbers are other verdicts'");
    }

    #[test]
    fn what_rested_on_a_learned_address_has_the_verdict_until_that_changes() {
        let (mut a, mut store, versions) = (Alike::new(Seeds::FIXED), Store::default(), Versions::new(Seeds::FIXED));
        let id = verdict(&mut store, 1);
        let bucket = versions.bucket_of(&[7]);
        let rests_on = Learned { deps: u32::from(bucket), version: versions.current(u32::from(bucket)), effect_s: 4 };
        a.learn(&[1, 0, 0, 0, 0], &[0xff, 0, 0, 0, 0], id, rests_on, &mut store);
        let (verdict, learned) = a.find(&[1, 5, 0, 0, 0], &store, &versions).unwrap();
        assert_eq!((verdict, learned.effect_s), (id, 4));
        assert_eq!(a.bits(&[1, 0, 0, 0, 0], id, &store), None, "the bits alone do not make it");
        versions.changed(bucket);
        assert!(a.find(&[1, 5, 0, 0, 0], &store, &versions).is_none());
    }

    #[test]
    fn masks_are_bounded_and_the_most_used_stays() {
        let (mut a, mut store) = (Alike::new(Seeds::FIXED), Store::default());
        let id = verdict(&mut store, 1);
        let used = [1, 0, 0, 0, 0];
        a.learn(&used, &[u64::MAX, 0, 0, 0, 0], id, Learned::default(), &mut store);
        for i in 0..10_000u64 {
            assert_eq!(found(&mut a, &used, &store), Some(id));
            assert_eq!(found(&mut a, &used, &store), Some(id));
            a.learn(&[2, i, 0, 0, i % 50 << 32], &[i, i, 0, 0, 0], id, Learned::default(), &mut store);
        }
        assert!(a.masks.len() <= MASKS_MAX);
        assert!((0..50).all(|s| a.masks.iter().filter(|m| m.stage == s << 32).count() <= OF_STAGE_MAX));
    }
}

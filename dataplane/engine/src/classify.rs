//! Station: masked key words to a verdict, from the cache where it holds.
//!
//! Invariant: what the cache answers is what deciding would answer now: an entry older than the last
//! change that may concern its verdict, or whose learned addresses moved, counts as a miss.

use sluice_flow::cache::{Flow, FlowCache, NARROW_ENTRY, WIDE_ENTRY};
use sluice_flow::fdb::Versions;
use sluice_flow::hash::Seeds;
use sluice_flow::key::{slot, NARROW_WORDS, PACKET_WORDS};
use sluice_flow::program::Note;
use sluice_flow::{Program, Verdict};

use crate::store::{concerns, may_change, Hot, Store};

/// The last narrow word holds the stage in its high half.
const STAGE_WORD: usize = NARROW_WORDS - 1;
const STAGE_BITS: u64 = 0xffff_ffff_0000_0000;

/// The word that holds both ports, in its low half, and the fragment bits.
const PORTS_WORD: usize = slot::TP_DST.word as usize;
const PORTS_BITS: u64 = 0xffff_ffff;
const FRAGMENT_SHIFT: u8 = slot::NW_FRAG.shift;

/// Cache of flows with narrow keys.
pub type NarrowCache = FlowCache<NARROW_WORDS, NARROW_ENTRY>;
/// Cache of flows with wide keys.
pub type WideCache = FlowCache<PACKET_WORDS, WIDE_ENTRY>;

/// What the cache says of one packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// This verdict holds; the flow's connection, 0 for none.
    Good(u32, u32),
    /// This verdict holds, but its effects are due; the flow's connection, 0 for none.
    EffectsDue(u32, u32),
    /// Decide (again).
    Miss,
}

/// Both caches of a worker.
#[derive(Debug)]
pub struct Caches {
    /// For most packets.
    pub narrow: NarrowCache,
    /// For packets with wide fields, where rules look at those.
    pub wide: WideCache,
}

impl Caches {
    /// Empty caches that may grow to `flows` each.
    pub fn new(flows: usize, seeds: Seeds) -> Self {
        Caches { narrow: FlowCache::new(flows, seeds), wide: FlowCache::new(flows / 4, seeds) }
    }

    /// Flows in both.
    pub fn len(&self) -> usize {
        self.narrow.len() + self.wide.len()
    }

    /// True when no flow is cached.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// In place of a connection: the flow is in the cache, and may not hold as it is.
pub const CLOSER: u32 = u32::MAX - 1;

/// Verdict and connection of the flow at this place, if it holds, with nothing to be done for it. Else verdict 0 with
/// [`CLOSER`].
#[inline(always)]
pub fn good(cache: &NarrowCache, place: usize, store: &Store, versions: &Versions, second: u32) -> (u32, u32) {
    let flow = cache.flow(place);
    let hot = store.hot(flow.verdict);
    match flow.epoch >= hot.touched && (hot.plain || is_looked_after(&flow, hot, versions, second)) {
        true => (flow.verdict, flow.connection),
        false => (0, CLOSER),
    }
}

/// Have its learned addresses not moved, and did its effects run in this second?
#[inline]
fn is_looked_after(flow: &Flow, hot: &Hot, versions: &Versions, second: u32) -> bool {
    !(hot.on_fdb && versions.current(flow.deps) != flow.deps_version || hot.has_effects && flow.effect_s != second)
}

/// Looks a key up.
pub fn look_up<const K: usize, const E: usize>(
    cache: &mut FlowCache<K, E>,
    hash: u64,
    key: &[u64; K],
    store: &Store,
    now: &Now<'_>,
) -> Found {
    let Some(place) = cache.find(hash, key) else { return Found::Miss };
    let flow = cache.flow(place);
    let hot = store.hot(flow.verdict);
    if flow.epoch >= hot.touched && hot.plain {
        return Found::Good(flow.verdict, flow.connection);
    }
    check(cache, place, key, flow, store, now)
}

/// What "now" is to a look-up.
#[derive(Clone, Copy)]
pub struct Now<'a> {
    /// The program.
    pub program: &'a Program,
    /// Versions of learned addresses.
    pub versions: &'a Versions,
    /// Time, seconds.
    pub second: u32,
}

#[inline(never)]
fn check<const K: usize, const E: usize>(
    cache: &mut FlowCache<K, E>,
    place: usize,
    key: &[u64; K],
    flow: Flow,
    store: &Store,
    now: &Now<'_>,
) -> Found {
    let hot = store.hot(flow.verdict);
    if flow.epoch < hot.touched {
        let Some(verdict) = store.verdict(flow.verdict) else { return Found::Miss };
        if !unharmed(key, flow.epoch, verdict, now.program) {
            return Found::Miss;
        }
        cache.update(place, Flow { epoch: now.program.epoch() as u32, ..flow });
    }
    if hot.on_fdb && now.versions.current(flow.deps) != flow.deps_version {
        return Found::Miss;
    }
    if hot.has_effects && flow.effect_s != now.second {
        let flow = cache.flow(place);
        cache.update(place, Flow { effect_s: now.second, ..flow });
        return Found::EffectsDue(flow.verdict, flow.connection);
    }
    Found::Good(flow.verdict, flow.connection)
}

/// Can no change since `epoch` concern this very flow?
fn unharmed(key: &[u64], epoch: u32, verdict: &Verdict, program: &Program) -> bool {
    let since = program.epoch() & !0xffff_ffff | epoch as u64;
    let Some(mut notes) = program.notes_since(since) else { return false };
    notes.all(|(_, note)| match note {
        Note::Everything => false,
        Note::Underlay => !verdict.uses_underlay,
        Note::Group { .. } | Note::Meter { .. } | Note::Liveness { .. } => !concerns(note, verdict),
        Note::Rule { rule, .. } => verdict.steps.iter().all(|step| {
            !may_change(note, step) || differs(key, step.written, rule.matching.mask.words.iter().zip(rule.matching.values.iter()))
        }),
    })
}

/// Does the packet differ from a match, in a header that nothing had written before the look-up?
fn differs<'a>(key: &[u64], written: u64, matching: impl Iterator<Item = (&'a (u8, u64), &'a u64)>) -> bool {
    for ((word, mask), value) in matching {
        let w = *word as usize;
        if w >= PACKET_WORDS || written >> w & 1 != 0 {
            continue;
        }
        let own = key.get(w).copied().unwrap_or(0);
        let own = if w == STAGE_WORD { own & !STAGE_BITS } else { own };
        // Rules do not see the ports of a fragment.
        let fragment = w == PORTS_WORD && own >> FRAGMENT_SHIFT & 3 != 0;
        let own = if fragment { own & !PORTS_BITS } else { own };
        if (own ^ value) & mask != 0 {
            return true;
        }
    }
    false
}

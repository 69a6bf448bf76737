//! Where look-ups start: one view per device, and one per tunnel peer whose packets were unwrapped.
//!
//! Purpose: which words of a key matter for a packet that starts here, and what is known of it beside
//! its own headers. The number of a view is the `STAGE` of its packets' keys.
//! Invariant: a view's masks cover the key set of its bridge.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_conntrack::Metadata;
use sluice_flow::action::OfPort;
use sluice_flow::ct::{Continuation, CT_WORDS};
use sluice_flow::hash::FoldBuild;
use sluice_flow::key::{slot, NARROW_WORDS, PACKET_WORDS, SERVICE_WORDS};
use sluice_flow::program::Ingress;
use sluice_flow::{BridgeIdx, Key, PortIdx, Program};

use crate::encap::Outer;
use crate::store::Store;
use crate::track::{ct_words, state_words, CT_LEN};

/// First stage that is not a device.
pub const FIRST_CONTINUATION: u32 = 0x1_0000;
/// Tunnel peers (with their VNIs) known at once.
const CONTINUATIONS_MAX: usize = 65_536;
/// Views beyond which packets from the tracker are decided without the cache.
const TRACKED_MAX: usize = 32_768;
/// Peers that a turn may add after all.
const ROOM: usize = 4096;
const STAGE_SHIFT: u32 = 32;
/// Stages of tracked packets that need no search; a power of two.
const RECENT: usize = 64;
/// Words of service headers.
const SERVICE_LEN: usize = SERVICE_WORDS.end - SERVICE_WORDS.start;
/// Kinds of outer headers whose stage is remembered; a power of two.
const RESOLVED: usize = 256;

/// Which words must be compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// None: all packets that start here share one verdict.
    Nothing,
    /// The narrow ones, for every packet.
    Narrow,
    /// All, for packets that have wide fields.
    Wide,
}

/// How packets come to a look-up.
#[derive(Clone, Debug)]
pub enum Entry {
    /// From outside.
    From(Option<Ingress>),
    /// From the tracker.
    Resume(Arc<Continuation>),
}

/// Where look-ups start.
#[derive(Clone, Debug)]
pub struct View {
    /// Its number, in place in the last narrow word.
    pub stage_word: u64,
    /// Where packets enter.
    pub entry: Entry,
    /// Which words must be compared.
    pub width: Width,
    /// Bits that matter of all packets.
    pub narrow: [u64; NARROW_WORDS],
    /// Bits that matter of packets with wide fields.
    pub wide: [u64; PACKET_WORDS],
    /// Bits that matter of service headers.
    pub service: [u64; SERVICE_LEN],
    /// Fields that do not come from the packet's own headers.
    pub base: Arc<Key>,
}

impl View {
    fn new(stage: u32, program: &Program, entry: Entry, base: Arc<Key>) -> View {
        let of_bridge = |bridge| program.bridge(bridge).map_or(Key::ZERO, |b| *b.key_set());
        let mut set = match &entry {
            Entry::From(Some(Ingress::Bridge { bridge, .. })) => of_bridge(*bridge),
            Entry::Resume(at) => of_bridge(at.bridge),
            Entry::From(Some(Ingress::Underlay)) => underlay_key_set(),
            Entry::From(None) => Key::ZERO,
        };
        set.set(slot::STAGE, 0);
        let mut narrow = [0; NARROW_WORDS];
        narrow.copy_from_slice(&set.words[..NARROW_WORDS]);
        let mut wide = [0; PACKET_WORDS];
        wide.copy_from_slice(&set.words[..PACKET_WORDS]);
        let mut service = [0; SERVICE_LEN];
        service.copy_from_slice(&set.words[SERVICE_WORDS]);
        let any = |w: &[u64]| w.iter().any(|w| *w != 0);
        let width = match (any(&wide[NARROW_WORDS..]) || any(&service), any(&narrow)) {
            (true, _) => Width::Wide,
            (false, true) => Width::Narrow,
            (false, false) => Width::Nothing,
        };
        View { stage_word: (stage as u64) << STAGE_SHIFT, entry, width, narrow, wide, service, base }
    }
}

fn underlay_key_set() -> Key {
    let mut set = Key::ZERO;
    for s in [slot::ETH_TYPE, slot::NW_PROTO, slot::NW_FRAG, slot::NW_DST, slot::TP_DST] {
        set.cover(s);
    }
    set
}

/// What a packet that was unwrapped is known by, beside its inner headers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Unwrapped {
    /// Bridge of the tunnel port.
    pub bridge: BridgeIdx,
    /// The tunnel port.
    pub port: OfPort,
    /// VNI.
    pub vni: u32,
    /// Outer source: the peer.
    pub src: u32,
    /// Outer destination: ourselves.
    pub dst: u32,
    /// Group policy id and flags.
    pub gbp: (u16, u8),
}

/// All views of a worker.
#[derive(Debug, Default)]
pub struct Views {
    devices: Vec<View>,
    continuations: Vec<View>,
    known: HashMap<Unwrapped, u32>,
    /// Stages of packets that came from the tracker.
    tracked: HashMap<(Arc<Continuation>, [u64; CT_LEN]), u32, FoldBuild>,
    /// Some of them, which need no search: packets of one kind come in a row.
    recent: Vec<Option<Recent>>,
    /// The bits of connection state that matter, per bridge, when those stages were made.
    masks: Vec<Option<[u64; CT_LEN]>>,
    /// Key set of each bridge when the views were made.
    key_sets: Vec<Key>,
    /// The last one looked up: packets of one peer come in a row.
    last: Option<(Unwrapped, u32)>,
    /// Stages by outer headers under the present program: the search among all tunnels is for the first
    /// packet of a peer.
    resolved: Vec<Resolved>,
    /// Something was resolved under the present program.
    any_resolved: bool,
}

/// A stage of packets that came from the tracker.
#[derive(Clone, Debug)]
struct Recent {
    at: Arc<Continuation>,
    words: [u64; CT_LEN],
    stage: u32,
}

/// What outer headers mean.
#[derive(Clone, Copy, Debug, Default)]
struct Resolved {
    outer: Outer,
    /// Where what is inside goes on; 0, a device, stands for nothing.
    stage: u32,
    /// The verdict that asked to take the headers off, 0 for none, and its tag.
    by: (u32, u64),
}

impl Views {
    /// The view with this number.
    #[inline]
    pub fn get(&self, stage: u32) -> Option<&View> {
        match stage.checked_sub(FIRST_CONTINUATION) {
            None => self.devices.get(stage as usize),
            Some(i) => self.continuations.get(i as usize),
        }
    }

    /// Computes all masks anew for a program.
    pub fn refresh(&mut self, program: &Program, devices: usize) {
        self.forget_resolved();
        let nothing = Arc::new(Key::ZERO);
        self.devices = (0..devices)
            .map(|d| View::new(d as u32, program, Entry::From(program.ingress(d as PortIdx)), nothing.clone()))
            .collect();
        let key_sets: Vec<Key> = program.bridges().map(|b| b.map_or(Key::ZERO, |b| *b.key_set())).collect();
        if key_sets == self.key_sets {
            // All else that a peer's view is made of never changes.
            return;
        }
        self.key_sets = key_sets;
        for (i, view) in self.continuations.iter_mut().enumerate() {
            *view = View::new(FIRST_CONTINUATION + i as u32, program, view.entry.clone(), view.base.clone());
        }
    }

    /// The stage that packets with these outer headers had last, if the program has not changed since and the
    /// same verdict asks.
    #[inline]
    pub fn resolved(&self, outer: &Outer, by: (u32, u64)) -> Option<u32> {
        self.resolved.get(place(outer)).filter(|r| r.stage != 0 && r.outer == *outer && r.by == by).map(|r| r.stage)
    }

    /// The same, with the verdict, for a packet that was not classified: if that verdict is what it was.
    #[inline(always)]
    pub fn known(&self, outer: &Outer, store: &Store) -> Option<(u32, u32)> {
        let r = self.resolved.get(place(outer)).filter(|r| r.stage != 0 && r.outer == *outer)?;
        (r.by.0 != 0 && store.tag(r.by.0) == r.by.1).then_some((r.stage, r.by.0))
    }

    /// May [`Views::known`] know anything?
    pub fn has_resolved(&self) -> bool {
        self.any_resolved
    }

    /// Remembers a stage in place of what was there.
    pub fn resolve(&mut self, outer: Outer, stage: u32, by: (u32, u64)) {
        if let Some(at) = self.resolved.get_mut(place(&outer)) {
            *at = Resolved { outer, stage, by };
            self.any_resolved = true;
        }
    }

    /// Forgets what outer headers mean.
    fn forget_resolved(&mut self) {
        self.resolved.clear();
        self.resolved.resize(RESOLVED, Resolved::default());
        self.any_resolved = false;
    }

    /// Are there so many tunnel peers that the next batches may not find room?
    pub fn is_nearly_full(&self) -> bool {
        self.continuations.len() > CONTINUATIONS_MAX - ROOM
    }

    /// Forgets every tunnel peer. Their numbers are given again: no cached flow may have one.
    pub fn forget_continuations(&mut self) {
        self.continuations.clear();
        self.known.clear();
        self.tracked.clear();
        self.recent.clear();
        self.masks.clear();
        self.last = None;
        self.forget_resolved();
    }

    /// Number of the view for an unwrapped packet; `None` when there are too many.
    #[inline]
    pub fn unwrapped(&mut self, program: &Program, u: Unwrapped) -> Option<u32> {
        if let Some((last, stage)) = self.last {
            if last == u {
                return Some(stage);
            }
        }
        let stage = match self.known.get(&u) {
            Some(&stage) => stage,
            None => self.add(program, u)?,
        };
        self.last = Some((u, stage));
        Some(stage)
    }

    /// Number of the view for a packet that resumes; `None` when there are too many.
    #[inline]
    pub fn tracked(&mut self, program: &Program, at: &Arc<Continuation>, md: &Metadata) -> Option<u32> {
        let mask = self.mask(program, at.bridge);
        let mut words = state_words(md);
        for (w, m) in words.iter_mut().zip(mask) {
            *w &= m;
        }
        let place = (words[0] ^ words[0] >> 32) as usize % RECENT;
        if let Some(Some(r)) = self.recent.get(place) {
            if Arc::ptr_eq(&r.at, at) && r.words == words {
                return Some(r.stage);
            }
        }
        let stage = self.search_tracked(program, at, words)?;
        self.recent.resize(RECENT, None);
        if let Some(r) = self.recent.get_mut(place) {
            *r = Some(Recent { at: at.clone(), words, stage });
        }
        Some(stage)
    }

    #[inline]
    fn mask(&mut self, program: &Program, bridge: BridgeIdx) -> [u64; CT_LEN] {
        let place = usize::from(bridge);
        if let Some(Some(mask)) = self.masks.get(place) {
            return *mask;
        }
        if self.masks.len() <= place {
            self.masks.resize(place + 1, None);
        }
        *self.masks[place].insert(bridge_mask(program, bridge))
    }

    fn search_tracked(&mut self, program: &Program, at: &Arc<Continuation>, words: [u64; CT_LEN]) -> Option<u32> {
        let key = (at.clone(), words);
        if let Some(stage) = self.tracked.get(&key) {
            return Some(*stage);
        }
        if self.continuations.len() >= TRACKED_MAX {
            return None;
        }
        let mut base = at.key();
        for (to, from) in base.words.iter_mut().skip(usize::from(CT_WORDS.start)).zip(key.1) {
            *to = from;
        }
        let stage = FIRST_CONTINUATION + self.continuations.len() as u32;
        self.continuations.push(View::new(stage, program, Entry::Resume(at.clone()), Arc::new(base)));
        self.tracked.insert(key, stage);
        Some(stage)
    }

    /// Do other bits of connection state matter now than when stages were made?
    pub fn is_outdated(&self, program: &Program) -> bool {
        let known = self.masks.iter().enumerate().filter_map(|(bridge, mask)| Some((bridge, mask.as_ref()?)));
        known.into_iter().any(|(bridge, mask)| bridge_mask(program, bridge as BridgeIdx) != *mask)
    }

    fn add(&mut self, program: &Program, u: Unwrapped) -> Option<u32> {
        if self.continuations.len() >= CONTINUATIONS_MAX {
            return None;
        }
        let mut base = Key::ZERO;
        base.set(slot::TUN_ID, u.vni as u64);
        base.set(slot::TUN_SRC, u.src as u64);
        base.set(slot::TUN_DST, u.dst as u64);
        base.set(slot::TUN_GBP_ID, u.gbp.0 as u64);
        base.set(slot::TUN_GBP_FLAGS, u.gbp.1 as u64);
        let stage = FIRST_CONTINUATION + self.continuations.len() as u32;
        let ingress = Some(Ingress::Bridge { bridge: u.bridge, port: u.port });
        self.continuations.push(View::new(stage, program, Entry::From(ingress), Arc::new(base)));
        self.known.insert(u, stage);
        Some(stage)
    }
}

fn bridge_mask(program: &Program, bridge: BridgeIdx) -> [u64; CT_LEN] {
    program.bridge(bridge).map_or([0; CT_LEN], |b| ct_words(b.key_set()))
}

fn place(outer: &Outer) -> usize {
    let mixed = (u64::from(outer.src) << 32 | u64::from(outer.vni)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize % RESOLVED
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_flow::{Op, Verdict};

    #[test]
    fn a_stage_is_remembered_until_peers_or_program_change() {
        let program = Program::new();
        let outer = Outer { src: 1, dst: 2, dst_port: 4789, vni: 3, gbp: (0, 0) };
        let mut views = Views::default();
        views.refresh(&program, 1);
        for forget in [Views::forget_continuations, |v: &mut Views| v.refresh(&Program::new(), 1)] {
            assert_eq!(views.resolved(&outer, (0, 0)), None);
            views.resolve(outer, FIRST_CONTINUATION, (0, 0));
            assert_eq!(views.resolved(&outer, (0, 0)), Some(FIRST_CONTINUATION));
            assert_eq!(views.resolved(&outer, (1, 0)), None);
            assert_eq!(views.resolved(&Outer { vni: 4, ..outer }, (0, 0)), None);
            forget(&mut views);
        }
        assert_eq!(views.resolved(&outer, (0, 0)), None);
    }

    #[test]
    fn outer_headers_are_known_while_the_verdict_that_takes_them_off_is_what_it_was() {
        let outer = Outer { src: 1, dst: 2, dst_port: 4789, vni: 3, gbp: (0, 0) };
        let mut views = Views::default();
        views.refresh(&Program::new(), 1);
        let mut store = Store::default();
        let verdict = Verdict { ops: Box::new([Op::Decap]), ..Verdict::default() };
        let id = store.intern(verdict.clone(), false, 1);
        views.resolve(outer, FIRST_CONTINUATION, (id, store.tag(id)));
        assert_eq!(views.known(&outer, &store), Some((FIRST_CONTINUATION, id)));
        store.release(id);
        assert_eq!(store.intern(Verdict { ops: Box::new([Op::Output(1)]), ..verdict }, false, 1), id);
        assert_eq!(views.known(&outer, &store), None);
    }
}

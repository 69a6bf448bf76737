//! Where look-ups start: one view per device, and one per tunnel peer whose packets were unwrapped.
//!
//! Purpose: which words of a key matter for a packet that starts here, and what is known of it beside
//! its own headers. The number of a view is the `STAGE` of its packets' keys.
//! Invariant: a view's masks cover the key set of its bridge.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use sluice_conntrack::Metadata;
use sluice_flow::action::OfPort;
use sluice_flow::ct::{Continuation, CT_WORDS};
use sluice_flow::hash::FoldBuild;
use sluice_flow::key::{slot, NARROW_WORDS, PACKET_WORDS, SERVICE_WORDS};
use sluice_flow::program::Ingress;
use sluice_flow::{BridgeIdx, Key, PortIdx, Program};

use crate::resolved::Resolutions;
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
            Entry::From(Some(Ingress::Underlay)) => program.underlay_key_set(),
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
    pub src: IpAddr,
    /// Outer destination: ourselves.
    pub dst: IpAddr,
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
    /// What outer headers mean under the present program.
    pub resolved: Resolutions,
}

/// A stage of packets that came from the tracker.
#[derive(Clone, Debug)]
struct Recent {
    at: Arc<Continuation>,
    words: [u64; CT_LEN],
    stage: u32,
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
        self.resolved.forget();
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
        self.resolved.forget();
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
        for (address, v4, v6) in [(u.src, slot::TUN_SRC, slot::TUN_IPV6_SRC), (u.dst, slot::TUN_DST, slot::TUN_IPV6_DST)] {
            match address {
                IpAddr::V4(a) => base.set(v4, u64::from(u32::from(a))),
                IpAddr::V6(a) => base.set_wide(v6, u128::from(a)),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_outer_headers_mean_is_forgotten_when_peers_or_program_change() {
        let outer = crate::encap::Outer { src: 1u32, dst: 2, dst_port: 4789, vni: 3, gbp: (0, 0) };
        let mut views = Views::default();
        views.refresh(&Program::new(), 1);
        for forget in [Views::forget_continuations, |v: &mut Views| v.refresh(&Program::new(), 1)] {
            views.resolved.remember(outer, FIRST_CONTINUATION, (0, 0));
            assert_eq!(views.resolved.of(&outer, (0, 0)), Some(FIRST_CONTINUATION));
            forget(&mut views);
            assert_eq!(views.resolved.of(&outer, (0, 0)), None);
        }
    }
}

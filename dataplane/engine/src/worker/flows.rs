//! Station: what is in the cache, for people.
//!
//! Purpose: cached flows, those with the same way in and the same verdict together.
//! Invariant: bounded in flows that are looked at and in groups that are told; nothing changes.
//! Deliberately does not know: text.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_flow::action::OfPort;
use sluice_flow::cache::Flow;
use sluice_flow::program::Ingress;
use sluice_flow::key::slot;
use sluice_flow::{BridgeIdx, Key, Verdict};

use super::Worker;
use crate::view::Entry;

/// Flows that are looked at.
const FLOWS: usize = 1 << 16;
/// Groups that are told.
const GROUPS: usize = 4096;

/// Flows with the same way in and the same verdict.
#[derive(Clone, Debug)]
pub struct CachedFlows {
    /// Bridge and port that they come in by; `None` for tunnel packets on a device of the host.
    pub ingress: Option<(BridgeIdx, OfPort)>,
    /// They come from the connection tracker.
    pub resumed: bool,
    /// What they have in common.
    pub key: Key,
    /// Which bits of it.
    pub mask: Key,
    /// What happens to them.
    pub verdict: Arc<Verdict>,
    /// How many.
    pub flows: u64,
    /// Packets of all flows of the verdict.
    pub packets: u64,
    /// Bytes of all flows of the verdict.
    pub bytes: u64,
    /// When the verdict was last used, milliseconds; 0 for never.
    pub last_ms: u64,
}

impl Worker {
    /// What is in the cache.
    pub fn cached_flows(&self) -> Vec<CachedFlows> {
        let mut groups: HashMap<(u32, u32), CachedFlows> = HashMap::new();
        let narrow = self.caches.narrow.flows().map(|(key, flow)| (key.to_vec(), flow));
        let wide = self.caches.wide.flows().map(|(key, flow)| (key.to_vec(), flow));
        for (words, flow) in narrow.chain(wide).take(FLOWS) {
            self.note(&mut groups, &words, &flow);
        }
        let mut all: Vec<_> = groups.into_iter().collect();
        all.sort_by_key(|(id, _)| *id);
        all.into_iter().map(|(_, group)| group).collect()
    }

    fn note(&self, groups: &mut HashMap<(u32, u32), CachedFlows>, words: &[u64], flow: &Flow) {
        let mut key = Key::ZERO;
        for (to, from) in key.words.iter_mut().zip(words) {
            *to = *from;
        }
        let stage = key.get(slot::STAGE) as u32;
        key.set(slot::STAGE, 0);
        if let Some(group) = groups.get_mut(&(stage, flow.verdict)) {
            for ((mask, ours), theirs) in group.mask.words.iter_mut().zip(&group.key.words).zip(&key.words) {
                *mask &= !(ours ^ theirs);
            }
            group.key = group.key.and(&group.mask);
            group.flows += 1;
            return;
        }
        let (Some(view), Some(verdict)) = (self.views.get(stage), self.store.verdict(flow.verdict)) else { return };
        if groups.len() >= GROUPS {
            return;
        }
        let mut mask = Key::ZERO;
        let bits = if words.len() > view.narrow.len() { &view.wide[..] } else { &view.narrow[..] };
        for (to, from) in mask.words.iter_mut().zip(bits) {
            *to = *from;
        }
        let (ingress, resumed) = match &view.entry {
            Entry::From(Some(Ingress::Bridge { bridge, port })) => (Some((*bridge, *port)), false),
            Entry::From(_) => (None, false),
            Entry::Resume(at) => (Some((at.bridge, 0)), true),
        };
        let (packets, bytes, last_ms) = self.store.total(flow.verdict);
        let group = CachedFlows { ingress, resumed, key, mask, verdict: verdict.clone(), flows: 1, packets, bytes, last_ms };
        groups.insert((stage, flow.verdict), group);
    }
}

//! Station: a frame through the connection tracker, and on from there.
//!
//! Invariant: every frame that comes in goes on, resumes or is dropped, and is counted as that.
//! Deliberately does not know: connections; how a verdict came to be.

use std::sync::Arc;

use sluice_conntrack::{packet, Metadata, Request, Seen};
use sluice_flow::ct::{Continuation, Tracking, CT_WORDS};
use sluice_flow::key::{slot, Key, Slot};
use sluice_frame::{Frame, Gso};
use sluice_wire::{checksum, Headers, PackedHeaders};

use crate::apply::{Exits, Route};
use crate::joined::{self, Begun, Origin};
use crate::{helper, translate};

/// Words of connection state in a key.
pub const CT_LEN: usize = (CT_WORDS.end - CT_WORDS.start) as usize;

/// A tracked frame that is to be looked at again.
#[derive(Debug)]
pub struct Again {
    /// Where its look-up starts.
    pub stage: u32,
    /// The frame.
    pub frame: Frame,
    /// What the tracker said of it.
    pub md: Metadata,
    /// How it came here, where its verdicts may be joined.
    pub origin: Option<Box<Origin>>,
    /// Where it came in, where it is new.
    pub begun: Option<Begun>,
    /// It resumes here, and no stage is left for it: to be decided without the cache.
    pub uncached: Option<Arc<Continuation>>,
}

/// What the tracker needs to know of a frame; `None` when it is not sane. Of one that was `checked` before, checksums
/// are right.
#[inline]
pub fn see(frame: &Frame, h: &Headers, checked: bool) -> Option<Seen> {
    see_packed(frame, (*h).into(), checked)
}

/// The same by headers as a batch has them.
#[inline(always)]
pub fn see_packed(frame: &Frame, h: PackedHeaders, checked: bool) -> Option<Seen> {
    let meta = &frame.meta;
    let trust = checked || meta.needs_csum || meta.csum_valid || meta.gso != Gso::None;
    if let Some(seen) = packet::read_plain(frame.head(), h, trust) {
        return seen;
    }
    packet::read(frame.head(), &h.unpack(), trust, |from, to| sum(frame, from, to))
}

/// One's complement sum of a run of the frame's bytes.
fn sum(frame: &Frame, from: usize, to: usize) -> u16 {
    if let Some(bytes) = frame.head().get(from..to) {
        return checksum::fold(checksum::sum(bytes));
    }
    let (mut at, mut total, mut odd) = (0, 0u64, false);
    for s in frame.segments() {
        let (a, b) = (from.max(at).min(at + s.len()), to.min(at + s.len()));
        if let Some(bytes) = s.get(a - at..b.max(a) - at) {
            let part = checksum::fold(checksum::sum(bytes));
            total += u64::from(if odd { part.swap_bytes() } else { part });
            odd ^= bytes.len() % 2 == 1;
        }
        at += s.len();
    }
    checksum::fold(total)
}

/// Writes what the tracker said into a key.
pub fn write_state(key: &mut Key, md: &Metadata) {
    let words = key.words.iter_mut().skip(usize::from(CT_WORDS.start));
    words.zip(state_words(md)).for_each(|(to, from)| *to = from);
}

/// What the tracker said, as a key's words of connection state.
#[inline]
pub fn state_words(md: &Metadata) -> [u64; CT_LEN] {
    let mut words = [0; CT_LEN];
    let mut put = |s: Slot, value: u64| words[usize::from(s.word - CT_WORDS.start)] |= value << s.shift;
    let mut wide = |s: Slot, high: u64, low: u64| {
        put(Slot { width: 64, ..s }, high);
        put(Slot { word: s.word + 1, width: 64, ..s }, low);
    };
    wide(slot::CT_LABEL, (md.label >> 64) as u64, md.label as u64);
    let tuple = md.orig.unwrap_or_default();
    let a = tuple.addresses;
    if tuple.v6 {
        wide(slot::CT_IPV6_SRC, a[0], a[1]);
        wide(slot::CT_IPV6_DST, a[2], a[3]);
    } else {
        put(slot::CT_NW_SRC, a[0] >> 32);
        put(slot::CT_NW_DST, a[0] & 0xffff_ffff);
    }
    put(slot::CT_STATE, u64::from(md.state));
    put(slot::CT_MARK, u64::from(md.mark));
    put(slot::CT_ZONE, u64::from(md.zone));
    put(slot::CT_NW_PROTO, u64::from(tuple.proto));
    let (src, dst) = if tuple.is_icmp() { (tuple.dport(), 0) } else { (tuple.sport(), tuple.dport()) };
    put(slot::CT_TP_SRC, u64::from(src));
    put(slot::CT_TP_DST, u64::from(dst));
    words
}

/// The words of connection state of a key or mask.
pub fn ct_words(key: &Key) -> [u64; CT_LEN] {
    let mut out = [0; CT_LEN];
    out.copy_from_slice(&key.words[usize::from(CT_WORDS.start)..usize::from(CT_WORDS.end)]);
    out
}

/// What a verdict asks of the tracker.
pub fn request(t: &Tracking) -> Request<'_> {
    Request {
        zone: t.zone,
        commit: t.commit,
        force: t.force,
        mark: t.mark,
        label: t.label,
        nat: t.nat.as_deref(),
        alg: t.alg,
        owner: t.owner,
    }
}

impl Exits {
    /// Through the tracker, and on.
    pub(crate) fn track(&mut self, mut frame: Frame, h: &Headers, t: &Arc<Tracking>, route: &mut Route<'_>) {
        if h.frag != 0 && h.is_ip() {
            return self.track_fragment(frame, h, t, route);
        }
        let seen = see(&frame, h, route.md.checked);
        let rewrite = route.tracker.track(&request(t), seen.as_ref(), &mut route.md, route.now_ms);
        if let Some(r) = &rewrite {
            translate::translate(&mut frame, h, r);
        }
        if let (Some(at), Some(seen)) = (route.md.helped.take(), &seen) {
            let h = helper::read(&mut frame, h, at, seen, rewrite.is_some(), route);
            return self.go_on(frame, &h, t, route);
        }
        self.go_on(frame, h, t, route);
    }

    /// What follows a `ct`: a copy resumes, the packet itself goes through the rest of the list.
    pub(crate) fn go_on(&mut self, frame: Frame, h: &Headers, t: &Tracking, route: &mut Route<'_>) {
        match (&t.fork, t.then.is_empty()) {
            (Some(at), true) => {
                let (origin, begun) = (joined::extend(t, route), joined::begun(t, route));
                self.resume(frame, at, (origin, begun), route);
            }
            (Some(at), false) => {
                if let Some(copy) = self.copy_or_count(&frame) {
                    self.resume(copy, at, (None, None), route);
                }
                self.apply(frame, *h, &t.then, route);
            }
            (None, false) => self.apply(frame, *h, &t.then, route),
            (None, true) => self.end(frame, route),
        }
    }

    pub(crate) fn resume(&mut self, frame: Frame, at: &Arc<Continuation>, (origin, begun): (Option<Box<Origin>>, Option<Begun>), route: &mut Route<'_>) {
        let md = route.md;
        let (stage, uncached) = match route.views.tracked(route.program, at, &md) {
            Some(stage) => (stage, None),
            None => (u32::MAX, Some(at.clone())),
        };
        let origin = origin.filter(|_| uncached.is_none());
        self.again.push(Again { stage, frame, md, origin, begun, uncached });
    }

    /// The tracker has seen it and nothing else is to happen.
    fn end(&mut self, frame: Frame, route: &Route<'_>) {
        if let Some(reason) = route.drop {
            return self.drop(frame, reason);
        }
        // What left earlier was a copy, which was one frame too many.
        match self.counters.copied {
            0 => self.counters.punted += 1,
            _ => self.counters.copied -= 1,
        }
        self.pool.free(frame);
    }
}

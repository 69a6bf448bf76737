//! Station: fragments of a datagram, tracked as one.
//!
//! Invariant: a fragment that waits is counted as held; it goes on when its datagram is whole, in the order
//! in which the fragments came, or is dropped when its time is over.
//! Deliberately does not know: connections.

use std::sync::Arc;

use sluice_conntrack::fragments::{Datagram, Fragments, Kept, Span};
use sluice_conntrack::reassembly::Reassembly;
use sluice_conntrack::{packet, Metadata, Seen};
use sluice_flow::ct::Tracking;
use sluice_flow::DropReason;
use sluice_frame::Frame;
use sluice_wire::bytes::{u16_at, u32_at, u64_at, u8_at};
use sluice_wire::ipv6::{is_extension, AUTHENTICATION, FRAGMENT};
use sluice_wire::{checksum, parse, Headers, Net};

use crate::apply::{Exits, Route};
use crate::{track, translate};

/// The part of a worker's frame memory that fragments may wait in: one in four.
pub const HELD_SHARE: usize = 4;
const IPV6_HEADER: usize = 40;
const MORE4: u16 = 0x2000;
const EXTENSIONS_MAX: usize = 8;

/// A fragment that waits.
#[derive(Debug)]
pub struct Held {
    frame: Frame,
    headers: Headers,
    md: Metadata,
    tracking: Arc<Tracking>,
    drop: Option<DropReason>,
    /// Where the pieces of the payload lie in the frame.
    payload: (usize, usize),
}

/// All of a worker's.
pub type Waiting = Fragments<Held>;

/// Which datagram a fragment is of, where it lies in it, and where its payload lies in the frame.
pub(crate) fn piece(head: &[u8], h: &Headers, zone: u16, rules: &Reassembly) -> Option<(Datagram, Span, (usize, usize))> {
    let (l3, end) = (usize::from(h.l3), h.end as usize);
    match h.net {
        Net::Ipv4 => {
            let header = usize::from(u8_at(head, l3)? & 15) * 4;
            if checksum::fold(checksum::sum(head.get(l3..l3 + header)?)) != 0xffff {
                return None;
            }
            let field = u16_at(head, l3 + 6)?;
            let span = span(rules, false, (field << 3, field & MORE4 != 0), l3, l3 + header, end)?;
            let addresses = [u64_at(head, l3 + 12)?, 0, 0, 0];
            let ident = u32::from(u16_at(head, l3 + 4)?);
            let of = Datagram { addresses, ident, zone, proto: u8_at(head, l3 + 9)?, v6: false };
            Some((of, span, (l3 + header, end)))
        }
        Net::Ipv6 => {
            let at = fragment_header(head, l3)?;
            let field = u16_at(head, at + 2)?;
            let span = span(rules, true, (field & !7, field & 1 != 0), l3, at + 8, end)?;
            let word = |i: usize| u64_at(head, l3 + 8 + 8 * i);
            let addresses = [word(0)?, word(1)?, word(2)?, word(3)?];
            let of = Datagram { addresses, ident: u32_at(head, at + 4)?, zone, proto: u8_at(head, at)?, v6: true };
            Some((of, span, (at + 8, end)))
        }
        _ => None,
    }
}

/// `None` for one that is too short, if it is not the last one.
fn span(rules: &Reassembly, v6: bool, (offset, more): (u16, bool), l3: usize, from: usize, end: usize) -> Option<Span> {
    if more && !rules.is_long_enough(v6, end - l3) {
        rules.count(v6, |f| &f.too_small);
        return None;
    }
    let len = end.checked_sub(from)?;
    Some(Span { offset: usize::from(offset), len, more })
}

/// Where the fragment extension header is.
fn fragment_header(head: &[u8], l3: usize) -> Option<usize> {
    let (mut next, mut at) = (u8_at(head, l3 + 6)?, l3 + IPV6_HEADER);
    for _ in 0..EXTENSIONS_MAX {
        if next == FRAGMENT {
            return Some(at);
        }
        if !is_extension(next) {
            return None;
        }
        let len = usize::from(u8_at(head, at + 1)?);
        let this = next;
        next = u8_at(head, at)?;
        at += if this == AUTHENTICATION { (len + 2) * 4 } else { (len + 1) * 8 };
    }
    None
}

/// The datagram that the pieces make, as the tracker sees it.
fn whole(pieces: &[(Span, Held)], of: &Datagram) -> Option<Seen> {
    let mut ordered: Vec<&(Span, Held)> = pieces.iter().collect();
    ordered.sort_by_key(|(span, _)| span.offset);
    let (_, first) = ordered.first()?;
    let l3 = usize::from(first.headers.l3);
    let mut bytes = first.frame.to_vec();
    bytes.truncate(if of.v6 { l3 + IPV6_HEADER } else { first.payload.0 });
    let header = bytes.len();
    for (_, held) in &ordered {
        bytes.extend_from_slice(held.frame.to_vec().get(held.payload.0..held.payload.1)?);
    }
    let len = bytes.len();
    let (at, value) = if of.v6 { (l3 + 4, len - header) } else { (l3 + 2, len - l3) };
    bytes.get_mut(at..at + 2)?.copy_from_slice(&u16::try_from(value).ok()?.to_be_bytes());
    match of.v6 {
        true => *bytes.get_mut(l3 + 6)? = of.proto,
        false => bytes.get_mut(l3 + 6..l3 + 8)?.fill(0),
    }
    let headers = parse(&bytes);
    // The pieces' own headers were verified when they came.
    let sum = |from: usize, to: usize| match from == l3 {
        true => 0xffff,
        false => checksum::fold(checksum::sum(bytes.get(from..to).unwrap_or(&[]))),
    };
    packet::read(&bytes, &headers, first.frame.meta.csum_valid, sum)
}

impl Exits {
    /// A fragment waits for the others, or goes on as invalid.
    pub(crate) fn track_fragment(&mut self, frame: Frame, h: &Headers, t: &Arc<Tracking>, route: &mut Route<'_>) {
        route.way = None;
        let known = route.md.known.is_some() && route.md.zone == t.zone;
        let rules = &route.tracker.reassembly;
        let enabled = rules.is_enabled(h.net == Net::Ipv6);
        let place = if known || !enabled { None } else { piece(frame.head(), h, t.zone, rules) };
        let Some((of, span, payload)) = place else {
            let rewrite = route.tracker.track(&track::request(t), None, &mut route.md, route.now_ms);
            let mut frame = frame;
            if let Some(r) = rewrite {
                translate::translate(&mut frame, h, &r);
            }
            return self.go_on(frame, h, t, route);
        };
        let held = Held { frame, headers: *h, md: route.md, tracking: t.clone(), drop: route.drop, payload };
        match self.fragments.add(&route.tracker.reassembly, of, span, t.owner, held, route.now_ms) {
            Kept::Waits => self.count_held(),
            Kept::NoRoom(held) => self.drop(held.frame, DropReason::TooManyFragments),
            Kept::Wrong(held) => {
                route.tracker.track(&track::request(t), None, &mut route.md, route.now_ms);
                self.go_on(held.frame, h, t, route);
            }
            Kept::Whole(pieces) => self.release(pieces, &of, route),
        }
    }

    /// All pieces are there: judged as one, they go on.
    fn release(&mut self, pieces: Vec<(Span, Held)>, of: &Datagram, route: &mut Route<'_>) {
        self.count_held();
        let seen = whole(&pieces, of);
        let Some((_, last)) = pieces.last() else { return };
        let mut md = last.md;
        let rewrite = route.tracker.track(&track::request(&last.tracking), seen.as_ref(), &mut md, route.now_ms);
        for (_, held) in pieces {
            let Held { mut frame, headers, tracking, drop, .. } = held;
            if let Some(r) = &rewrite {
                translate::translate(&mut frame, &headers, r);
            }
            (route.md, route.drop) = (md, drop);
            self.go_on(frame, &headers, &tracking, route);
        }
    }

    /// Drops fragments whose datagram did not become whole in time.
    pub(crate) fn expire_fragments(&mut self, rules: &Reassembly, now_ms: u64) {
        self.expire_pieces(now_ms);
        if self.fragments.is_empty() {
            return;
        }
        for held in self.fragments.expire(rules, now_ms) {
            self.drop(held.frame, DropReason::FragmentsMissing);
        }
        self.count_held();
    }
}

//! Station: pieces of outer packets, which the underlay fragmented.
//!
//! Purpose: what a tunnel's peer sent as one packet and the way cut arrives as one packet again, so that its outer
//! headers can come off.
//! Invariant: pieces that wait are bounded in number (and so in memory), per sender and in time, are counted as held,
//! and never overlap; each that is refused is dropped by its reason.
//! Deliberately does not know: connections, what is inside.

use std::net::IpAddr;

use sluice_conntrack::fragments::{Datagram, Fragments, Kept, Span};
use sluice_conntrack::reassembly::{Reassembly, SHORTEST_MIN};
use sluice_flow::DropReason;
use sluice_frame::{Frame, Meta, Pool};
use sluice_wire::bytes::{put, put_u16, u16_at};
use sluice_wire::{checksum, ipv4, parse_part, Headers, Transport};

use crate::apply::{Exits, Route};
use crate::fragments::piece;

/// The part of a worker's frame memory that pieces may wait in: one in eight.
const SHARE: usize = 8;
const IPV6_HEADER: usize = 40;
const FRAGMENT_HEADER: usize = 8;

/// A piece that waits.
#[derive(Debug)]
struct Piece {
    frame: Frame,
    l3: usize,
    /// Where its payload lies in the frame.
    payload: (usize, usize),
}

/// All of a worker's.
#[derive(Debug)]
pub struct Pieces {
    waiting: Fragments<Piece>,
    rules: Reassembly,
}

impl Pieces {
    /// With a share of a pool of so many chunks.
    pub fn new(chunks: usize) -> Pieces {
        let rules = Reassembly::default();
        // The underlay's MTU may be small. Tiny pieces are none that a sane way makes.
        for v6 in [false, true] {
            rules.set_shortest(v6, SHORTEST_MIN);
        }
        Pieces { waiting: Fragments::new(chunks / SHARE), rules }
    }

    /// Pieces that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// The datagram that the pieces make, as a frame of as many segments. `None`, and everything is freed, where a piece
/// does not allow it.
fn join(pool: &mut Pool, mut pieces: Vec<(Span, Piece)>, of: &Datagram) -> Option<Frame> {
    pieces.sort_by_key(|(span, _)| span.offset);
    let mut sane = true;
    let mut whole: Option<(Frame, usize)> = None;
    for (_, Piece { mut frame, l3, payload: (from, to) }) in pieces {
        sane &= frame.truncate(to);
        match &mut whole {
            Some((whole, _)) if sane && frame.pull_front(from) => whole.append(frame),
            Some(_) => {
                sane = false;
                pool.free(frame);
            }
            None => {
                sane &= !of.v6 || from == l3 + IPV6_HEADER + FRAGMENT_HEADER && without_fragment_header(&mut frame, l3);
                frame.meta = Meta::default();
                whole = Some((frame, l3));
            }
        }
    }
    let (mut frame, l3) = whole?;
    if sane && write_header(&mut frame, l3, of) {
        return Some(frame);
    }
    pool.free(frame);
    None
}

/// Moves the headers in front of it over the fragment header.
fn without_fragment_header(frame: &mut Frame, l3: usize) -> bool {
    let end = l3 + IPV6_HEADER;
    let head = frame.head_mut();
    if head.len() < end + FRAGMENT_HEADER {
        return false;
    }
    head.copy_within(..end, FRAGMENT_HEADER);
    frame.pull_front(FRAGMENT_HEADER)
}

/// Makes the IP header that of a whole packet.
fn write_header(frame: &mut Frame, l3: usize, of: &Datagram) -> bool {
    let Ok(total) = u16::try_from(frame.len() - l3 - if of.v6 { IPV6_HEADER } else { 0 }) else { return false };
    let head = frame.head_mut();
    if of.v6 {
        return put_u16(head, l3 + 4, total) && put(head, l3 + 6, &[of.proto]);
    }
    let Some(len) = head.get(l3).map(|b| usize::from(b & 15) * 4) else { return false };
    let cleared = put_u16(head, l3 + 2, total) && put_u16(head, l3 + 6, 0) && put_u16(head, l3 + 10, 0);
    let sum = head.get(l3..l3 + len).map(|header| checksum::finish(checksum::sum(header)));
    cleared && sum.is_some_and(|sum| put_u16(head, l3 + 10, sum))
}

/// The address that the datagram was sent to.
fn destination(of: &Datagram) -> IpAddr {
    let [first, _, third, fourth] = of.addresses;
    match of.v6 {
        true => IpAddr::V6((u128::from(third) << 64 | u128::from(fourth)).into()),
        false => IpAddr::V4((first as u32).into()),
    }
}

/// Who sent it, for fairness among senders.
fn sender(of: &Datagram) -> u32 {
    let [first, second, ..] = of.addresses;
    match of.v6 {
        true => (first ^ first >> 32 ^ second ^ second >> 32) as u32,
        false => (first >> 32) as u32,
    }
}

impl Exits {
    /// A piece waits for the others. When all are there, the outer headers come off.
    pub(crate) fn put_together(&mut self, frame: Frame, h: &Headers, route: &mut Route<'_>) {
        let Some((of, span, payload)) = piece(frame.head(), h, 0, &self.pieces.rules) else {
            return self.drop(frame, DropReason::TunnelInvalid);
        };
        if of.proto != ipv4::UDP {
            return self.drop(frame, DropReason::NotForTunnel);
        }
        let item = Piece { frame, l3: h.l3.into(), payload };
        let Pieces { waiting, rules } = &mut self.pieces;
        match waiting.add(rules, of, span, sender(&of), item, route.now_ms) {
            Kept::Waits => self.count_held(),
            Kept::NoRoom(p) => self.drop(p.frame, DropReason::TooManyFragments),
            Kept::Wrong(p) => self.drop(p.frame, DropReason::TunnelInvalid),
            Kept::Whole(pieces) => {
                self.count_held();
                // All but one are part of another frame now.
                self.counters.joined += pieces.len() as u64 - 1;
                match join(&mut self.pool, pieces, &of) {
                    Some(frame) => self.unwrap_whole(frame, &of, route),
                    None => self.counters.drop(DropReason::TunnelInvalid, 1),
                }
            }
        }
    }

    fn unwrap_whole(&mut self, frame: Frame, of: &Datagram, route: &mut Route<'_>) {
        let h = parse_part(frame.head(), frame.len());
        let port = u16_at(frame.head(), usize::from(h.l4) + 2).filter(|_| h.transport == Transport::Udp);
        match port.is_some_and(|port| route.program.terminates(destination(of), port)) {
            true => self.unwrap(frame, &h, route.program, route.views, (0, 0)),
            // The host has pieces of its own.
            false => self.drop(frame, DropReason::NotForTunnel),
        }
    }

    /// Drops pieces whose packet did not become whole in time.
    pub(crate) fn expire_pieces(&mut self, now_ms: u64) {
        if self.pieces.len() == 0 {
            return;
        }
        let Pieces { waiting, rules } = &mut self.pieces;
        for piece in waiting.expire(rules, now_ms) {
            self.drop(piece.frame, DropReason::FragmentsMissing);
        }
        self.count_held();
    }

    /// Counts what waits.
    pub(crate) fn count_held(&mut self) {
        self.counters.held_fragments = (self.fragments.len() + self.pieces.len()) as u64;
    }
}

//! One packet through the tracker: what it is to its connection, and what `commit` and NAT make of it.
//!
//! The order of things is Open vSwitch's, so that verdicts are: find, judge, translate, open, mark.
//! Invariant: a packet that does not fit leaves with `INVALID`, never without a state.
//! Deliberately does not know: how the packet's bytes are changed (it says what to).

use crate::conn::{Alg, Conn};
use crate::helper::expect::Expected;
use crate::keep::Tracker;
use crate::nat::{NatSpec, Rewrite};
use crate::packet::Seen;
use crate::stats::count;
use crate::tcp::Fit;
use crate::tuple::Tuple;

/// Bits of `ct_state`, as OpenFlow numbers them.
pub mod state {
    #![allow(missing_docs)]
    pub const NEW: u8 = 0x01;
    pub const ESTABLISHED: u8 = 0x02;
    pub const RELATED: u8 = 0x04;
    pub const REPLY: u8 = 0x08;
    pub const INVALID: u8 = 0x10;
    pub const TRACKED: u8 = 0x20;
    pub const SNAT: u8 = 0x40;
    pub const DNAT: u8 = 0x80;
}
use state::{DNAT, ESTABLISHED, INVALID, NEW, RELATED, REPLY, SNAT, TRACKED};

const TRANSLATED: u8 = SNAT | DNAT;

/// What a `ct` action asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Zone.
    pub zone: u16,
    /// Open a connection for a packet that has none.
    pub commit: bool,
    /// If the packet answers a connection, end that one and open another.
    pub force: bool,
    /// Mark to set: value and mask.
    pub mark: Option<(u32, u32)>,
    /// Label to set: value and mask.
    pub label: Option<(u128, u128)>,
    /// Translation.
    pub nat: Option<&'a NatSpec>,
    /// Helper that reads the payload.
    pub alg: Alg,
    /// Whom a new connection counts for: the port that the packet came in by.
    pub owner: u32,
}

/// What a packet carries from one `ct` action to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Metadata {
    /// State bits.
    pub state: u8,
    /// Zone of the last action.
    pub zone: u16,
    /// Mark.
    pub mark: u32,
    /// Label.
    pub label: u128,
    /// Original tuple of the connection (of a packet without one: its own).
    pub orig: Option<Tuple>,
    /// The connection, for a further action in the same zone.
    pub known: Option<Known>,
    /// A connection whose helper is to read this packet, now.
    pub helped: Option<Known>,
    /// The packet was found whole and sane, checksums included. Who changes a packet keeps them right.
    pub checked: bool,
}

/// A packet's connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its record.
    pub id: u32,
    /// The packet is an answer.
    pub is_reply: bool,
    /// The packet is an ICMP error about it.
    pub related: bool,
}

/// A connection that was found, and what the packet is to it.
pub(crate) struct Found {
    pub id: u32,
    pub conn: Conn,
    pub is_reply: bool,
}

impl Tracker {
    /// Tracks one packet. `seen` is `None` for one that is not sane. Answers how to translate it.
    pub fn track(&self, a: &Request<'_>, seen: Option<&Seen>, md: &mut Metadata, now_ms: u64) -> Option<Rewrite> {
        md.helped = None;
        let known = md.known.take().filter(|_| !a.force);
        if let Some((known, conn)) = known.and_then(|k| Some((k, self.known(k, a.zone)?))) {
            return self.again(a, known, conn, md, now_ms);
        }
        let Some(seen) = seen else {
            *md = Metadata { state: INVALID | TRACKED, zone: a.zone, ..Metadata::default() };
            return None;
        };
        md.checked = true;
        self.first(a, seen, md, now_ms)
    }

    fn known(&self, k: Known, zone: u16) -> Option<Conn> {
        let r = self.records.get(k.id).filter(|r| r.is_alive())?;
        let conn = r.load();
        (conn.orig.zone == zone).then_some(conn)
    }

    /// A further action in the zone of the last one: the state stays.
    fn again(&self, a: &Request<'_>, known: Known, conn: Conn, md: &mut Metadata, now_ms: u64) -> Option<Rewrite> {
        let mut rewrite = None;
        if a.nat.is_some() {
            rewrite = translate(&conn, known.is_reply, known.related, a.zone, md);
            md.helped = (reads(&conn) && rewrite.is_some() && md.state & INVALID == 0).then_some(known);
        } else {
            md.known = Some(known);
        }
        md.zone = a.zone;
        (md.mark, md.label) = (conn.mark, conn.label);
        self.mark(a, known.id, md, now_ms);
        rewrite
    }

    fn first(&self, a: &Request<'_>, seen: &Seen, md: &mut Metadata, now_ms: u64) -> Option<Rewrite> {
        if md.state != 0 && md.zone != a.zone {
            md.state = 0;
        }
        let mut tuple = Tuple { zone: a.zone, ..seen.tuple };
        let hash = self.hasher.symmetric(&tuple);
        if self.open_at_once(a, seen, &tuple, hash, md, now_ms) {
            return None;
        }
        let translated = md.state & TRANSLATED != 0;
        let mut found = self.look_up(&mut tuple, hash, a, md, now_ms);
        // Nobody has a tuple that was just looked for in vain.
        let is_free = found.is_none() && !translated;
        let (mut rewrite, mut expected) = (None, None);
        let mut opens = false;
        match &mut found {
            Some(f) => {
                opens = self.update(f, seen, md, now_ms);
                if a.nat.is_some() && !opens {
                    rewrite = translate(&f.conn, f.is_reply, seen.related, a.zone, md);
                }
            }
            None => match self.by_original_tuple(a, &tuple, md, now_ms) {
                Some(mut f) => {
                    opens = self.update(&mut f, seen, md, now_ms);
                    found = Some(f);
                }
                None if seen.related => md.state = INVALID,
                None => opens = true,
            },
        }
        if opens && (is_free || !self.is_taken(&tuple, now_ms)) {
            expected = self.expected(&tuple, now_ms);
            found = self.open(a, seen, &tuple, expected.as_ref(), md, &mut rewrite, now_ms);
        }
        write(a, &tuple, found.as_ref(), expected.as_ref(), md);
        if let Some(f) = &found {
            self.mark(a, f.id, md, now_ms);
            let known = Some(Known { id: f.id, is_reply: f.is_reply, related: seen.related });
            if a.nat.is_none() {
                md.known = known;
            }
            if reads(&f.conn) && !seen.related && md.state & INVALID == 0 {
                md.helped = known;
            }
        }
        rewrite
    }

    /// The connection of a tuple. One that was translated before in this zone is found by what it is now.
    fn look_up(&self, tuple: &mut Tuple, hash: u64, a: &Request<'_>, md: &Metadata, now_ms: u64) -> Option<Found> {
        let translated = md.state & TRANSLATED != 0;
        let mut found = match translated {
            true => self.found(&tuple.reversed(), hash, now_ms),
            false => self.found(tuple, hash, now_ms),
        }?;
        if translated {
            found.is_reply = !found.is_reply;
            *tuple = if found.is_reply { found.conn.reply } else { found.conn.orig };
        }
        if a.force && found.is_reply {
            self.remove(found.id);
            return None;
        }
        Some(found)
    }

    fn found(&self, t: &Tuple, hash: u64, now_ms: u64) -> Option<Found> {
        self.find(t, hash, now_ms).map(|(id, is_reply, conn)| Found { id, conn, is_reply })
    }

    /// A packet that was translated by an action of the same zone belongs to the connection that this made.
    fn by_original_tuple(&self, a: &Request<'_>, tuple: &Tuple, md: &Metadata, now_ms: u64) -> Option<Found> {
        if md.state & TRANSLATED == 0 || a.nat.is_some() {
            return None;
        }
        let orig = md.orig.filter(|o| o.v6 == tuple.v6)?;
        let wanted = Tuple { zone: md.zone, ..orig };
        self.found(&wanted, self.hasher.symmetric(&wanted), now_ms)
    }

    /// Judges a packet of a connection; true when it opens another one in its place.
    fn update(&self, f: &mut Found, seen: &Seen, md: &mut Metadata, now_ms: u64) -> bool {
        let is_reply = f.is_reply;
        if seen.related {
            md.state |= RELATED | if is_reply { REPLY } else { 0 };
            return false;
        }
        if f.conn.parent.is_some() {
            md.state |= RELATED;
        }
        let strict = self.is_strict();
        let already = md.state & TRANSLATED != 0;
        let moved = reads(&f.conn).then(|| self.unmoved(f.id, is_reply, already, seen));
        let seen = moved.as_ref().unwrap_or(seen);
        let fit = self.with_id(f.id, now_ms, |c| {
            let fit = c.update(seen, is_reply, strict, now_ms as u32);
            f.conn = c.clone();
            fit
        });
        match fit.unwrap_or(Fit::Reopens) {
            Fit::Valid => {
                md.state = (md.state | ESTABLISHED) & !NEW;
                md.state |= if is_reply { REPLY } else { 0 };
            }
            Fit::Opening => md.state |= NEW,
            Fit::Invalid => md.state = INVALID,
            Fit::Reopens => {
                self.remove(f.id);
                count(&self.stats.reopened);
                return true;
            }
        }
        false
    }

    /// Sets mark and label of the connection, and of the packet.
    fn mark(&self, a: &Request<'_>, id: u32, md: &mut Metadata, now_ms: u64) {
        let (mark, label) = (a.mark, a.label);
        if mark.is_none() && label.is_none() {
            return;
        }
        let set = self.with_id(id, now_ms, |c| {
            if let Some((value, mask)) = mark.filter(|_| c.parent.is_none()) {
                c.mark = value & mask | md.mark & !mask;
            }
            if let Some((value, mask)) = label.filter(|_| c.parent.is_none()) {
                c.label = value & mask | md.label & !mask;
            }
            (c.mark, c.label)
        });
        if let Some(set) = set {
            (md.mark, md.label) = set;
        }
    }
}

/// What the packet is told of its connection, or of the one that announced it.
fn write(a: &Request<'_>, tuple: &Tuple, found: Option<&Found>, expected: Option<&Expected>, md: &mut Metadata) {
    md.state |= TRACKED;
    md.zone = a.zone;
    let known = found.map(|f| (f.conn.mark, f.conn.label, f.conn.parent.unwrap_or(f.conn.orig)));
    let announced = expected.map(|e| (e.mark, e.label, e.tuple));
    let (mark, label, orig) = known.or(announced).unwrap_or((0, 0, *tuple));
    (md.mark, md.label, md.orig) = (mark, label, Some(orig));
}

/// Does a helper read packets of this connection?
pub(crate) fn reads(c: &Conn) -> bool {
    c.alg.reads(c.orig.proto)
}

/// Translates a packet of a connection, once per zone.
pub(crate) fn translate(c: &Conn, is_reply: bool, related: bool, zone: u16, md: &mut Metadata) -> Option<Rewrite> {
    let already = md.state & TRANSLATED != 0;
    if !c.nat.any() || already && zone == md.zone {
        return None;
    }
    md.state &= !TRANSLATED;
    let kind = if is_reply { c.nat.reversed() } else { c.nat };
    md.state |= if kind.src { SNAT } else { 0 } | if kind.dst { DNAT } else { 0 };
    let to = if is_reply { c.orig } else { c.reply };
    Some(Rewrite { to: to.reversed(), kind, related })
}

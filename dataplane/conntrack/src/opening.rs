//! A packet without a connection: new, and where a rule asks for it one is opened.
//!
//! Invariant: what a packet is told of a connection that it opened is what the next packet will find.
//! Deliberately does not know: how a connection is kept.

use std::sync::atomic::Ordering::Relaxed;

use crate::birth::Refused;
use crate::conn::{Alg, Conn};
use crate::helper::{self, expect::Expected};
use crate::keep::Tracker;
use crate::nat::{choose, Rewrite};
use crate::packet::Seen;
use crate::stats::count;
use crate::track::state::{INVALID, NEW, RELATED, TRACKED};
use crate::track::{reads, translate, Found, Known, Metadata, Request};
use crate::tuple::Tuple;

/// Times that a free tuple is looked for when another worker takes it first.
const RACES_MAX: usize = 4;

impl Tracker {
    /// Opens the plain connection of a packet that was new when this zone was last asked; true when that was all.
    #[inline]
    pub(crate) fn open_at_once(&self, a: &Request<'_>, seen: &Seen, tuple: &Tuple, hash: u64, md: &mut Metadata, now_ms: u64) -> bool {
        if md.state != NEW | TRACKED || !a.commit || md.orig != Some(*tuple) {
            return false;
        }
        let Some(mut conn) = self.plain(a, seen, tuple) else { return false };
        match self.insert(&mut conn, hash, now_ms) {
            Ok(id) => {
                (md.mark, md.label) = (conn.mark, conn.label);
                md.known = Some(Known { id, is_reply: false, related: false });
                md.helped = md.known.filter(|_| reads(&conn));
            }
            Err(Refused::Taken) => return false,
            Err(e) => {
                self.refuse(e);
                (md.mark, md.label) = (0, 0);
            }
        }
        true
    }

    /// The connection that this packet would open without a look for it before; `None` where more is to be found out.
    #[inline(always)]
    pub(crate) fn plain(&self, a: &Request<'_>, seen: &Seen, tuple: &Tuple) -> Option<Conn> {
        if a.nat.is_some() || seen.related || self.expecting.load(Relaxed) != 0 {
            return None;
        }
        let mut conn = Conn::open(seen, *tuple)?;
        (conn.owner, conn.alg) = (a.owner, if a.alg.reads(tuple.proto) { a.alg } else { Alg::None });
        conn.mark = a.mark.map_or(0, |(value, mask)| value & mask);
        conn.label = a.label.map_or(0, |(value, mask)| value & mask);
        Some(conn)
    }

    /// A packet without a connection: new, and if asked for, one is opened.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn open(
        &self,
        a: &Request<'_>,
        seen: &Seen,
        tuple: &Tuple,
        expected: Option<&Expected>,
        md: &mut Metadata,
        rewrite: &mut Option<Rewrite>,
        now_ms: u64,
    ) -> Option<Found> {
        if !Conn::may_open(seen) {
            md.state = INVALID;
            return None;
        }
        md.state = NEW | if expected.is_some() { RELATED } else { 0 };
        if !a.commit {
            return None;
        }
        let mut conn = Conn::open(seen, *tuple)?;
        conn.owner = a.owner;
        conn.alg = if a.alg.reads(tuple.proto) { a.alg } else { Alg::None };
        if let Some(e) = expected {
            (conn.parent, conn.mark, conn.label) = (Some(e.tuple), e.mark, e.label);
        }
        // What was announced is translated as was announced.
        let announced = expected.map(helper::translation);
        let hash = self.hasher.symmetric(tuple);
        for _ in 0..RACES_MAX {
            if let Some(spec) = a.nat.map(|own| announced.as_ref().unwrap_or(own)) {
                let free = |t: &Tuple| !self.is_taken(t, now_ms);
                let Some(reply) = choose(tuple, spec, &self.hasher, self.random(), free) else {
                    count(&self.stats.refused_nat);
                    return None;
                };
                (conn.reply, conn.nat) = (reply, spec.kind);
            }
            match self.insert(&mut conn, hash, now_ms) {
                Ok(id) => {
                    if expected.is_some() {
                        self.arrived(tuple);
                    }
                    if a.nat.is_some() {
                        *rewrite = translate(&conn, false, false, a.zone, md);
                    }
                    return Some(Found { id, conn, is_reply: false });
                }
                Err(Refused::Taken) if a.nat.is_some() => {}
                Err(e) => {
                    self.refuse(e);
                    return None;
                }
            }
        }
        count(&self.stats.refused_nat);
        None
    }

    pub(crate) fn refuse(&self, why: Refused) {
        match why {
            Refused::Full | Refused::Taken => count(&self.stats.refused_full),
            Refused::Share => count(&self.stats.refused_share),
            Refused::Zone => count(&self.stats.refused_zone),
        }
    }
}

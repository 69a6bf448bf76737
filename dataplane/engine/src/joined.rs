//! One look-up for an established connection: the verdicts before and behind the tracker, joined.
//!
//! The flow of a packet that went through the tracker gets one verdict for its whole way, together with
//! what the tracker said and the record of the connection. A hit judges the packet against that record;
//! where the tracker says anything else, the packet takes the long way from the first verdict.
//! Invariant: a joined verdict is applied only to packets of which the tracker says, now, what it said
//! when the verdict was joined.
//! Deliberately does not know: how flows are cached.

use std::sync::Arc;

use sluice_conntrack::{state, Metadata, Steadily};
use sluice_flow::ct::Tracking;
use sluice_flow::key::{slot, Key};
use sluice_flow::verdict::Expected;
use sluice_flow::{Op, Verdict};

use crate::apply::Route;
use crate::track::Again;

/// Verdicts that one flow's way may have.
const CHAIN_MAX: usize = 4;

/// Where a tracked frame's way began, and the verdicts that it met.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Stages of the look-ups.
    pub stages: Vec<u32>,
    /// Their verdicts, each of which did nothing but track.
    pub chain: Vec<Arc<Verdict>>,
    /// The connection's record.
    pub connection: u32,
}

/// What a frame that is tracked met so far: borrowed until it is known whether anyone wants it.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// Stage of this look-up.
    pub stage: u32,
    /// Verdict of this look-up.
    pub verdict: &'a Arc<Verdict>,
    /// What it is stored as.
    pub id: u32,
    /// What came before.
    pub before: Option<&'a Origin>,
}

/// What a frame carries from one look-up to the next.
#[derive(Debug, Default)]
pub struct Carried {
    /// What the tracker said.
    pub md: Metadata,
    /// How it came here, where its verdicts may be joined.
    pub origin: Option<Box<Origin>>,
    /// Where it came in, where it is new.
    pub begun: Option<Begun>,
}

/// The first look-up of a packet that has no connection: its stage and verdict.
pub type Begun = (u32, u32);

/// The first look-up of a packet that the tracker calls new; `None` where its way is not to be remembered.
#[inline]
pub fn begun(t: &Tracking, route: &Route<'_>) -> Option<Begun> {
    let way = route.way.filter(|w| w.before.is_none())?;
    let is_new = route.md.state == state::NEW | state::TRACKED && route.md.known.is_none();
    (is_new && is_plain(t)).then_some((way.stage, way.id))
}

/// May the way of a packet that was tracked like this be remembered as one?
pub fn is_plain(t: &Tracking) -> bool {
    t.then.is_empty()
        && !t.commit
        && !t.force
        && t.nat.is_none()
        && t.mark.is_none()
        && t.label.is_none()
        && t.alg == sluice_conntrack::Alg::None
}

/// The way of a frame behind this tracking; `None` where it is not to be remembered.
pub fn extend(t: &Tracking, route: &Route<'_>) -> Option<Box<Origin>> {
    let way = route.way?;
    let known = route.md.known.filter(|k| !k.related)?;
    let established = route.md.state & (state::ESTABLISHED | state::INVALID | state::NEW) == state::ESTABLISHED;
    if !established || !is_plain(t) || !route.tracker.is_steady(known.id) {
        return None;
    }
    let (mut stages, mut chain) = match way.before {
        // Only one connection is judged on a hit: further tracking must be of the same one.
        Some(o) if o.connection == known.id && o.chain.len() < CHAIN_MAX => (o.stages.clone(), o.chain.clone()),
        Some(_) => return None,
        None => (Vec::new(), Vec::new()),
    };
    stages.push(way.stage);
    chain.push(way.verdict.clone());
    Some(Box::new(Origin { stages, chain, connection: known.id }))
}

/// Does any operation track?
pub fn tracks(ops: &[Op]) -> bool {
    ops.iter().any(|op| match op {
        Op::Track(_) => true,
        Op::Branch(inner) | Op::Copy(inner) => tracks(inner),
        Op::IfLonger { longer, other, .. } => tracks(longer) || tracks(other),
        _ => false,
    })
}

/// One verdict for the whole way: what the last one does, for the reasons of all.
pub fn join(chain: &[Arc<Verdict>], last: &Verdict, md: &Metadata, matters: &Key) -> Option<Verdict> {
    let first = chain.first()?;
    // An expected connection shows the first packet of the one that announced it, which no flow knows.
    if md.state & state::RELATED != 0 && sees_first_packet(matters) {
        return None;
    }
    let zone = match &*first.ops {
        [Op::Track(t)] => t.zone,
        _ => return None,
    };
    let (mark_mask, label_mask) = (matters.get(slot::CT_MARK) as u32, matters.get_wide(slot::CT_LABEL));
    let expected = Expected {
        zone,
        state: md.state,
        mark: md.mark & mark_mask,
        mark_mask,
        label: md.label & label_mask,
        label_mask,
        otherwise: first.clone(),
    };
    Some(Verdict { expected: Some(Arc::new(expected)), ..one(chain, last, last.ops.clone()) })
}

/// These operations, for the reasons of all verdicts.
pub fn one(chain: &[Arc<Verdict>], last: &Verdict, ops: Box<[Op]>) -> Verdict {
    fn all<T: Clone>(chain: &[Arc<Verdict>], last: &Verdict, part: fn(&Verdict) -> &[T]) -> Box<[T]> {
        chain.iter().flat_map(|v| part(v)).chain(part(last)).cloned().collect()
    }
    Verdict {
        ops,
        steps: all(chain, last, |v| &v.steps),
        effects: all(chain, last, |v| &v.effects),
        uses: all(chain, last, |v| &v.uses),
        crossings: all(chain, last, |v| &v.crossings),
        mirrors: all(chain, last, |v| &v.mirrors),
        drop: last.drop,
        uses_underlay: last.uses_underlay || chain.iter().any(|v| v.uses_underlay),
        expected: None,
        opens: None,
    }
}

/// Do rules look at the tuple of a connection's first packet?
pub fn sees_first_packet(matters: &Key) -> bool {
    let fields = [slot::CT_NW_PROTO, slot::CT_TP_SRC, slot::CT_TP_DST, slot::CT_NW_SRC, slot::CT_NW_DST, slot::CT_IPV6_SRC, slot::CT_IPV6_DST];
    fields.into_iter().any(|s| matters.get_wide(s) != 0)
}

/// Does the tracker say of a packet what it said when the verdict was joined?
#[inline]
pub fn holds(e: &Expected, s: &Steadily) -> bool {
    s.state == e.state
        && !s.nat.any()
        && s.mark & e.mark_mask == e.mark
        && (e.label_mask == 0 || s.label & e.label_mask == e.label)
}

impl Again {
    /// What the frame carries.
    pub fn split(self) -> (u32, sluice_frame::Frame, Carried, Option<Arc<sluice_flow::ct::Continuation>>) {
        (self.stage, self.frame, Carried { md: self.md, origin: self.origin, begun: self.begun }, self.uncached)
    }
}

//! One look-up for a packet that opens a connection: the verdicts before and behind the tracker, joined.
//!
//! A packet that the tracker has no connection for, and for which one is then opened in the same zone, is asked about
//! once: it opens the connection, or somebody has its tuple and it takes the long way.
//! Invariant: a joined verdict does to a packet that opens a connection what both verdicts do, and nothing to any other.
//! Deliberately does not know: which packets are like it, how a connection is opened.

use std::sync::Arc;

use sluice_conntrack::{Alg, Request};
use sluice_flow::ct::Tracking;
use sluice_flow::verdict::Opening;
use sluice_flow::{Key, Op, Verdict};

use crate::joined::{is_plain, one, sees_first_packet, tracks};

/// One verdict for both look-ups, where the first one asks and the second one opens and sends.
pub fn join(first: &Arc<Verdict>, second: &Verdict, matters: &Key) -> Option<Verdict> {
    let ([Op::Track(asks)], [Op::Track(opens)]) = (&*first.ops, &*second.ops) else { return None };
    let is_one = is_plain(asks) && is_plain_opening(opens) && asks.zone == opens.zone;
    let stands_alone = second.drop.is_none() && second.expected.is_none() && !sees_first_packet(matters);
    if !is_one || !stands_alone || tracks(&opens.then) || !opens.then.iter().any(Op::leaves) {
        return None;
    }
    let (zone, owner, otherwise) = (opens.zone, opens.owner, first.clone());
    let opening = Opening { zone, mark: opens.mark, label: opens.label, owner, otherwise };
    let whole = one(std::slice::from_ref(first), second, opens.then.clone());
    Some(Verdict { opens: Some(Arc::new(opening)), ..whole })
}

/// Is nothing but a connection opened, and the packet itself sent on?
fn is_plain_opening(t: &Tracking) -> bool {
    t.commit && !t.force && t.nat.is_none() && t.alg == Alg::None && t.fork.is_none()
}

/// What is asked of the tracker.
#[inline]
pub fn request(opens: &Opening) -> Request<'static> {
    Request { zone: opens.zone, commit: true, mark: opens.mark, label: opens.label, owner: opens.owner, ..Request::default() }
}

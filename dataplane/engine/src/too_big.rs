//! Station: frames that a tunnel's way cannot carry.
//!
//! Purpose: their sender hears how big packets may be (path MTU discovery), where that may be said.
//! Invariant: every such frame is dropped by its reason; answers are bounded in time, so that they amplify nothing.
//! Deliberately does not know: what an answer looks like.

use std::sync::Arc;

use sluice_conntrack::state;
use sluice_flow::verdict::Encap;
use sluice_flow::DropReason;
use sluice_frame::Frame;
use sluice_wire::{too_big, Headers};

use crate::apply::{Exits, Route};

/// Answers in a second at most, of one worker.
const PER_SECOND: u32 = 1000;

/// Answers that were given in the current second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers {
    second: u64,
    given: u32,
}

impl Answers {
    fn may_answer(&mut self, now_ms: u64) -> bool {
        if self.second != now_ms / 1000 {
            *self = Answers { second: now_ms / 1000, given: 0 };
        }
        self.given += 1;
        self.given <= PER_SECOND
    }
}

impl Exits {
    /// Drops a frame that is longer than the tunnel's way can carry; its sender hears of it.
    #[cold]
    pub(crate) fn refuse_too_big(&mut self, frame: Frame, h: &Headers, e: &Arc<Encap>, route: &Route<'_>) {
        // A translated packet is not what its sender knows.
        let known = route.md.state & (state::SNAT | state::DNAT) == 0;
        let mtu = e.longest.saturating_sub(u32::from(h.l3)).min(u32::from(u16::MAX)) as u16;
        let back = e.back.filter(|_| known);
        let told = back.and_then(|port| Some((port, too_big::answer(frame.head(), h, mtu)?)));
        self.drop(frame, DropReason::TunnelMtu);
        let Some((port, bytes)) = told.filter(|_| self.answers.may_answer(route.now_ms)) else { return };
        self.counters.copied += 1;
        match self.pool.alloc() {
            None => self.counters.drop(DropReason::NoBuffer, 1),
            Some(mut answer) => match answer.fill(&bytes) {
                true => self.queue(port, answer),
                false => self.drop(answer, DropReason::NoBuffer),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_bounded_in_every_second() {
        let mut answers = Answers::default();
        let given = |answers: &mut Answers, now_ms| (0..5000).filter(|_| answers.may_answer(now_ms)).count();
        assert_eq!(given(&mut answers, 10), 1000);
        assert_eq!(given(&mut answers, 999), 0);
        assert_eq!(given(&mut answers, 1000), 1000);
    }
}

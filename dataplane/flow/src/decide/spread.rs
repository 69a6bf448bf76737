//! `multipath`, `bundle`, and what depends on a packet's length.

use std::sync::Arc;

use super::walk::Walk;
use crate::action::{Action, LengthCheck, Target};
use crate::spread::{Bundle, Multipath};
use crate::verdict::{Op, Use};

/// OpenFlow's numbers of ports that always live, and of the one that a bundle never chooses.
const RESERVED: std::ops::RangeInclusive<u32> = 0xffff_ff00..=0xffff_ffff;
const CONTROLLER: u32 = 0xffff_fffd;
const LOCAL: u32 = crate::action::LOCAL;
/// What `bundle_load` writes when no member lives.
const NONE: u32 = 0xffff_ffff;

const ETH_LEN: u16 = 14;

impl Walk<'_> {
    pub(super) fn multipath(&mut self, m: &Multipath) {
        let hash = m.headers.hash(&self.view.key, m.basis);
        // Links are numbered by 16 bits.
        let link = m.algorithm.link(hash, m.links) & 0xffff;
        self.set_target(&m.dst, u128::from(link));
    }

    pub(super) fn set_target(&mut self, dst: &Target, value: u128) {
        for (slot, offset) in &dst.parts {
            let part = value.checked_shr(u32::from(*offset)).unwrap_or(0) & slot.ones();
            self.set(*slot, part, slot.ones(), dst.need);
        }
    }

    pub(super) fn bundle(&mut self, b: &Bundle) {
        self.depends(Use::Liveness { bridge: self.view.bridge });
        let ports = self.bridge().map(|b| &b.ports);
        let lives = |i: usize| match b.members.get(i) {
            Some(&CONTROLLER) | None => false,
            Some(n) if RESERVED.contains(n) && *n != LOCAL => true,
            Some(n) => ports.and_then(|p| p.get(n)).is_some_and(|p| p.live),
        };
        let port = b.choose(&self.view.key, lives).and_then(|i| b.members.get(i)).copied().unwrap_or(NONE);
        match &b.dst {
            Some(dst) => self.set_target(dst, u128::from(port & 0xffff)),
            None => self.output_to(port),
        }
    }

    /// Decides for longer packets and for others, each on a copy of all that there is. The first half
    /// uses the action set up: the second finds it empty, as in Open vSwitch.
    pub(super) fn split_by_length(&mut self, check: &LengthCheck, rest: Arc<[Action]>) {
        if rest.is_empty() {
            return;
        }
        let mut state = (self.stack.clone(), self.action_set.clone());
        let longer = self.half(check, 1, &rest, &mut state);
        let other = self.half(check, 0, &rest, &mut state);
        if !longer.is_empty() || !other.is_empty() {
            // A bare packet's frame is longer by a blank Ethernet header.
            let blank = if self.is_bare() { ETH_LEN } else { 0 };
            self.emit(Op::IfLonger { than: check.than.saturating_add(blank), longer: longer.into(), other: other.into() });
        }
    }

    fn half(&mut self, check: &LengthCheck, bit: u128, rest: &Arc<[Action]>, state: &mut Left) -> Vec<Op> {
        if !self.may_look_up() {
            return Vec::new();
        }
        let exit = std::mem::replace(&mut self.exit, false);
        let ops = self.apart(|w| {
            (w.stack, w.action_set) = std::mem::take(state);
            w.set_target(&check.dst, bit);
            w.run_actions(rest);
            *state = (std::mem::take(&mut w.stack), std::mem::take(&mut w.action_set));
        });
        self.resume_after_copy();
        self.exit |= exit;
        ops
    }
}

/// Stack and action set, as one half leaves them to the next.
type Left = (Vec<u128>, Vec<Action>);

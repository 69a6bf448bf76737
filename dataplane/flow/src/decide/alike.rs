//! What a decision rests on: so that packets that are alike need not be decided one by one.
//!
//! Look-ups tell which bits they rested on, and actions which they read. Of actions whose answers rest on more
//! than the packet (learned addresses, groups, meters, tunnels, mirrors) nothing is claimed.
//! Invariant: what is claimed for a packet holds for every packet with the same bits at the same stage.
//! Deliberately does not know: who remembers decisions.

use super::walk::Walk;
use crate::action::Action;
use crate::classifier::Seen;
use crate::ct::Zone;
use crate::key::{slot, Key, NARROW_WORDS};
use crate::reads::reads_of;
use crate::verdict::Op;

/// What every decision rests on: whether ports are hidden, and what kind of packet it is.
pub(super) fn first() -> Seen {
    let mut bits = Key::ZERO;
    bits.cover(slot::ETH_TYPE);
    bits.cover(slot::NW_FRAG);
    Seen(bits)
}

impl Walk<'_> {
    /// Actions are about to be executed.
    pub(super) fn rests_on(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Output(_)
                | Action::OutputTruncated { .. }
                | Action::InPort
                | Action::Resubmit { .. }
                | Action::Goto(_)
                | Action::ClearActions
                | Action::CtClear
                | Action::SetQueue(_)
                | Action::Exit
                | Action::Nothing => {}
                Action::Ct(ct) => {
                    if let Zone::Field(s) = ct.zone {
                        self.seen.0.cover(s);
                    }
                    self.rests_on(&ct.exec);
                }
                Action::WriteActions(inner) | Action::Clone(inner) => self.rests_on(inner),
                Action::DecTtl(_) => self.reads(action, Some(slot::NW_TTL)),
                Action::Set { .. }
                | Action::Move { .. }
                | Action::SetVlanVid { .. }
                | Action::SetVlanPcp { .. }
                | Action::PushVlan(_)
                | Action::PopVlan
                | Action::StackPush(_)
                | Action::StackPop(_) => self.reads(action, None),
                _ => self.alone = true,
            }
        }
    }

    fn reads(&mut self, action: &Action, more: Option<crate::key::Slot>) {
        let mut bits = reads_of(std::slice::from_ref(action));
        more.into_iter().for_each(|s| bits.cover(s));
        self.seen.0 = self.seen.0.or(&bits);
    }

    /// The bits, where nothing else had a part in it.
    pub(super) fn claim(&self, ops: &[Op]) -> Option<[u64; NARROW_WORDS]> {
        let of_the_packet_alone = !self.alone
            && !self.unrepeatable
            && !self.uses_underlay
            && self.freezing.is_none()
            && self.deps.packed == 0
            && self.effects.is_empty()
            && self.uses.is_empty()
            && self.copies.is_empty()
            && !ops.iter().any(Op::punts);
        let narrow = self.seen.0.words.first_chunk().copied();
        narrow.filter(|_| of_the_packet_alone)
    }
}

//! What a decision rests on: so that packets that are alike need not be decided one by one.
//!
//! Look-ups tell which bits they rested on, and actions which they read. Of actions whose answers rest on more
//! than the packet (groups, meters, tunnels, mirrors) nothing is claimed, except NORMAL's: what it knew of
//! addresses is in the decision's dependencies.
//! Invariant: what is claimed for a packet holds for every packet with the same bits at the same stage, until a
//! dependency of the decision changes.
//! Deliberately does not know: who remembers decisions.

use super::walk::Walk;
use crate::action::Action;
use crate::classifier::Seen;
use crate::ct::Zone;
use crate::key::{slot, Key, NARROW_WORDS};
use crate::program::Bridge;
use crate::reads::reads_of;
use crate::verdict::{Effect, Op};

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
                Action::Normal => self.rests_on_addresses(),
                _ => self.alone = true,
            }
        }
    }

    /// NORMAL reads addresses and VLAN. Bonds and multicast groups make it read more.
    fn rests_on_addresses(&mut self) {
        [slot::ETH_SRC, slot::ETH_DST, slot::VLAN_TCI].into_iter().for_each(|s| self.seen.0.cover(s));
        let reads_more = |b: &Bridge| !b.normal.bonds.is_empty() || b.normal.multicast.is_some();
        self.alone |= self.bridge().is_none_or(reads_more);
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
            && self.effects.iter().all(|e| matches!(e, Effect::Seen { .. }))
            && self.uses.is_empty()
            && self.copies.is_empty()
            && !ops.iter().any(Op::punts);
        let narrow = self.seen.0.words.first_chunk().copied();
        narrow.filter(|_| of_the_packet_alone)
    }
}

//! `ct` and `ct_clear`.

use std::sync::Arc;

use super::walk::Walk;
use super::Decision;
use crate::action::{Action, OfPort};
use crate::ct::{Continuation, Ct, Resume, Tracking, Zone, CT_WORDS};
use crate::decide::Decider;
use crate::key::{slot, Key, Slot};
use crate::program::Program;
use crate::verdict::Op;

impl Decider {
    /// What happens to a packet that resumes; `key` has the continuation's state in it.
    pub fn go_on(&mut self, program: &Program, at: &Continuation, key: &Key, now_ms: u64) -> Decision {
        let in_port = key.get(slot::IN_PORT) as u32;
        let mut walk = Walk::new(program, self.soft(), at.bridge, in_port, key, now_ms);
        walk.view.key = *key;
        walk.stack = at.stack.to_vec();
        walk.action_set = at.action_set.to_vec();
        walk.owner = at.owner;
        walk.tracked = true;
        walk.hide_blank_ethernet();
        match &at.resume {
            Resume::Table(table) => {
                walk.view.table = *table;
                walk.run_pipeline(*table);
            }
            Resume::Rests(rests) => walk.run_rests(rests),
        }
        walk.finish()
    }
}

impl Walk<'_> {
    /// Sends the packet, or a copy that resumes in a table, through the tracker.
    pub(super) fn track(&mut self, ct: &Ct) {
        let zone = match ct.zone {
            Zone::Number(n) => n,
            Zone::Field(s) => self.view.key.get(s) as u16,
        };
        let (mark, label) = self.marks(&ct.exec);
        let fork = ct.table.map(|table| {
            let v = &self.view;
            Arc::new(Continuation::new(v.bridge, Resume::Table(table), &v.key, &self.stack, &self.action_set, self.owner))
        });
        self.emit(Op::Track(Arc::new(Tracking {
            zone,
            commit: ct.commit,
            force: ct.force,
            alg: ct.alg,
            nat: ct.nat.clone(),
            mark,
            label,
            owner: self.owner,
            fork,
            then: Box::new([]),
        })));
        self.tracked = true;
        // Only a copy that resumes knows what the tracker said, as in Open vSwitch.
        self.clear_words(CT_WORDS);
    }

    /// What `exec` writes to mark and label.
    #[allow(clippy::type_complexity)]
    fn marks(&self, exec: &[Action]) -> (Option<(u32, u32)>, Option<(u128, u128)>) {
        let (mut value, mut written) = (Key::ZERO, Key::ZERO);
        for action in exec {
            match action {
                Action::Set { slot, value: v, mask, .. } => {
                    value.set_masked(*slot, *v, *mask);
                    written.set_masked(*slot, *mask, *mask);
                }
                Action::Move { src, dst, .. } => {
                    value.set_wide(*dst, self.view.key.get_wide(*src));
                    written.cover(*dst);
                }
                _ => {}
            }
        }
        let mark = (value.get(slot::CT_MARK) as u32, written.get(slot::CT_MARK) as u32);
        let label = (value.get_wide(slot::CT_LABEL), written.get_wide(slot::CT_LABEL));
        ((mark.1 != 0).then_some(mark), (label.1 != 0).then_some(label))
    }

    /// Looks a table up as the connection's first packet would; nothing for a packet that was not tracked.
    pub(super) fn resubmit_by_connection(&mut self, table: u8, in_port: Option<OfPort>) {
        let key = &self.view.key;
        let is_ip = matches!(key.get(slot::ETH_TYPE) as u16, sluice_wire::ethernet::IPV4 | sluice_wire::ethernet::IPV6);
        if is_ip && key.get(slot::CT_NW_PROTO) != 0 {
            self.by_connection = true;
            self.resubmit(table, in_port);
            self.by_connection = false;
        }
    }

    /// Forgets the connection state of the packet.
    pub(super) fn clear_tracking(&mut self) {
        self.clear_words(CT_WORDS);
        if self.tracked {
            self.pending.push(Op::Untrack);
            self.tracked = false;
        }
    }
}

/// What a packet says of itself, and what its connection's first packet said.
const TUPLES: [(Slot, Slot); 7] = [
    (slot::NW_PROTO, slot::CT_NW_PROTO),
    (slot::TP_SRC, slot::CT_TP_SRC),
    (slot::TP_DST, slot::CT_TP_DST),
    (slot::NW_SRC, slot::CT_NW_SRC),
    (slot::NW_DST, slot::CT_NW_DST),
    (slot::IPV6_SRC, slot::CT_IPV6_SRC),
    (slot::IPV6_DST, slot::CT_IPV6_DST),
];

/// Fields that a look-up by the connection's first packet takes from elsewhere.
pub(crate) fn tuple_fields() -> impl Iterator<Item = Slot> {
    TUPLES.into_iter().flat_map(|(own, first)| [own, first])
}

/// Puts each in the other's place. Addresses of the other family are zero in both.
pub(super) fn swap_tuples(key: &mut Key) {
    for (own, first) in TUPLES {
        let (a, b) = (key.get_wide(own), key.get_wide(first));
        key.set_wide(own, b);
        key.set_wide(first, a);
    }
}

/// The words of those fields, one bit each.
pub(super) fn tuple_words() -> u64 {
    let words = tuple_fields().flat_map(|s| [s.word, if s.width > 64 { s.word + 1 } else { s.word }]);
    words.fold(0, |all, w| all | super::act::written(w))
}

/// A list that tracks ends with it: what follows is part of it.
pub(super) fn nest(ops: Vec<Op>) -> Vec<Op> {
    let Some(at) = ops.iter().position(|op| matches!(op, Op::Track(_))) else { return ops };
    let mut before = ops;
    let after = before.split_off(at + 1);
    if let Some(Op::Track(t)) = before.pop() {
        let then = super::tidy(after).into_boxed_slice();
        before.push(Op::Track(Arc::new(Tracking { then, ..(*t).clone() })));
    }
    before
}

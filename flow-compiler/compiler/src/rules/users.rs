//! Which rules use which group or meter.
//!
//! Invariant: agrees with the visible rules; an entry without rules is not kept.
//! Deliberately does not know: whether the group or meter exists.

use std::collections::{BTreeMap, HashMap};

use sluice_flow::action::Action;
use sluice_flow::hash::FoldBuild;
use sluice_flow::{BridgeIdx, RuleId};

/// Something that rules refer to by number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reference {
    /// A group.
    Group(u32),
    /// A meter.
    Meter(u32),
}

/// Rules by what they use, and how often each names it.
#[derive(Debug, Default)]
pub(crate) struct Users {
    rules: HashMap<(BridgeIdx, Reference), BTreeMap<RuleId, i32>, FoldBuild>,
}

impl Users {
    /// Counts what a rule's actions refer to, or takes the count back.
    pub fn count(&mut self, bridge: BridgeIdx, id: RuleId, actions: &[Action], by: i32) {
        each_reference(actions, &mut |r| {
            let rules = self.rules.entry((bridge, r)).or_default();
            let n = rules.entry(id).or_insert(0);
            *n += by;
            if *n == 0 {
                rules.remove(&id);
            }
            if rules.is_empty() {
                self.rules.remove(&(bridge, r));
            }
        });
    }

    /// Rules that use it, by id.
    pub fn of(&self, bridge: BridgeIdx, r: Reference) -> impl Iterator<Item = RuleId> + '_ {
        self.rules.get(&(bridge, r)).into_iter().flat_map(|rules| rules.keys().copied())
    }
}

fn each_reference(actions: &[Action], visit: &mut dyn FnMut(Reference)) {
    for a in actions {
        match a {
            Action::Group(id) => visit(Reference::Group(*id)),
            Action::Meter(id) => visit(Reference::Meter(*id)),
            Action::Clone(inner) | Action::WriteActions(inner) => each_reference(inner, visit),
            _ => {}
        }
    }
}

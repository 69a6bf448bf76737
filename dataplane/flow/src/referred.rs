//! What a bridge's rules refer to by number: its groups and meters.
//!
//! Invariant: `reads` counts the groups by what they look at, so that a change tells whether the
//! bridge's key set must be computed again.
//! Deliberately does not know: rules, who refers to what.

use std::collections::HashMap;
use std::sync::Arc;

use crate::group::{Group, GroupId};
use crate::hash::FoldBuild;
use crate::key::slot;
use crate::meter::{Meter, MeterId};
use crate::rule::SparseMask;

/// Groups and meters of one bridge.
#[derive(Clone, Debug, Default)]
pub struct Referred {
    groups: HashMap<GroupId, Arc<Group>, FoldBuild>,
    meters: HashMap<MeterId, Arc<Meter>, FoldBuild>,
    reads: HashMap<SparseMask, u32, FoldBuild>,
}

impl Referred {
    /// The group of this number.
    pub fn group(&self, id: GroupId) -> Option<&Arc<Group>> {
        self.groups.get(&id)
    }

    /// The meter of this number.
    pub fn meter(&self, id: MeterId) -> Option<&Arc<Meter>> {
        self.meters.get(&id)
    }

    /// What the groups look at.
    pub fn reads(&self) -> impl Iterator<Item = &SparseMask> {
        self.reads.keys()
    }

    /// Groups that decrement the TTL, as far as what they look at tells.
    pub fn decrementing(&self) -> usize {
        self.reads.iter().filter(|(m, _)| m.to_key().covers(slot::TTL_EXPIRING)).map(|(_, n)| *n as usize).sum()
    }

    /// Sets or removes a group; true when the groups look at other things now.
    pub fn set_group(&mut self, id: GroupId, to: Option<Arc<Group>>) -> bool {
        let mut changed = false;
        if let Some(new) = &to {
            let n = self.reads.entry(new.reads.clone()).or_insert(0);
            *n += 1;
            changed = *n == 1;
        }
        let old = match to {
            Some(new) => self.groups.insert(id, new),
            None => self.groups.remove(&id),
        };
        if let Some(n) = old.as_ref().and_then(|old| self.reads.get_mut(&old.reads)) {
            *n -= 1;
            if *n == 0 {
                changed = true;
                self.reads.retain(|_, n| *n != 0);
            }
        }
        changed
    }

    /// Sets or removes a meter.
    pub fn set_meter(&mut self, id: MeterId, to: Option<Arc<Meter>>) {
        match to {
            Some(meter) => self.meters.insert(id, meter),
            None => self.meters.remove(&id),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;
    use crate::group::{Bucket, Kind};

    fn group(actions: &[Action]) -> Option<Arc<Group>> {
        let bucket = Bucket { id: 0, weight: 0, watch_port: None, watch_group: None, actions: actions.into() };
        Some(Arc::new(Group::new(1, Kind::All, Box::new([bucket]))))
    }

    #[test]
    fn only_a_group_that_looks_at_something_else_asks_for_new_key_sets() {
        let mut r = Referred::default();
        assert!(r.set_group(1, group(&[Action::PopVlan])));
        assert!(!r.set_group(2, group(&[Action::PopVlan])));
        assert!(!r.set_group(2, None));
        assert!(r.set_group(1, group(&[Action::Normal])));
        assert!(!r.set_group(1, group(&[Action::Normal])));
        assert!(r.set_group(1, None) && r.reads().count() == 0);
    }
}

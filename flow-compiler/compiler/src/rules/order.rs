//! In which order a table's groups of rules (one mask each) are gone through, and which are seen.
//!
//! Purpose: Open vSwitch keeps the groups of a table in a vector, the one with the highest priority
//! first, that readers may go through at any time. Where a change fits into it (room at the end, the
//! order stays) it is made in place and seen at once; any other goes into a copy that is seen when it
//! is published: with the message, or with the bundle that the message is part of. What people see of
//! it is the order of a dump, and what a loose change inside a bundle does not find.
//! Invariant: [`Order::seen`] falls by priority, and outside of a bundle it holds every group.
//! Deliberately does not know: rules.

/// Places that a copy has free at its end.
const SPARE: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub group: u32,
    /// Highest priority in the group, as far as those who look know.
    pub priority: u16,
}

/// A table's groups in order.
#[derive(Clone, Debug)]
pub(super) struct Order {
    seen: Vec<Place>,
    /// Groups that `seen` has room for.
    room: usize,
    copy: Option<Vec<Place>>,
}

impl Default for Order {
    fn default() -> Self {
        Order { seen: Vec::new(), room: SPARE, copy: None }
    }
}

impl Order {
    /// What those who look see, in order.
    pub fn seen(&self) -> &[Place] {
        &self.seen
    }

    /// A new group.
    pub fn insert(&mut self, place: Place) {
        let fits = self.seen.len() < self.room && self.seen.last().is_none_or(|last| place.priority <= last.priority);
        if fits && self.copy.is_none() {
            self.seen.push(place);
            return;
        }
        let copy = self.copy();
        copy.push(place);
        let held = copy.len();
        if held > self.room {
            self.room = held - 1 + SPARE;
        }
    }

    /// A group that is empty.
    pub fn remove(&mut self, group: u32) {
        let copy = self.copy();
        if let Some(i) = copy.iter().position(|p| p.group == group) {
            copy.swap_remove(i);
        }
    }

    /// A group whose highest priority is another now.
    pub fn change(&mut self, group: u32, priority: u16) {
        let now = self.copy.as_ref().unwrap_or(&self.seen);
        let Some(i) = now.iter().position(|p| p.group == group) else { return };
        let rises = priority > now[i].priority && i > 0 && priority > now[i - 1].priority;
        let falls = priority < now[i].priority && now.get(i + 1).is_some_and(|next| priority < next.priority);
        let now = if rises || falls { self.copy() } else { self.copy.as_mut().unwrap_or(&mut self.seen) };
        now[i].priority = priority;
    }

    /// Makes all of it seen.
    pub fn publish(&mut self) {
        if let Some(mut copy) = self.copy.take() {
            // Stable: groups of one priority keep their order.
            copy.sort_by_key(|p| std::cmp::Reverse(p.priority));
            self.seen = copy;
        }
    }

    fn copy(&mut self) -> &mut Vec<Place> {
        let Order { seen, room, copy } = self;
        copy.get_or_insert_with(|| {
            *room = seen.len() + SPARE;
            seen.clone()
        })
    }
}

//! Which members of a bond work, and which is the active one.
//!
//! Purpose: links come and go with a delay each way; the active member stays as long as it works.
//! Invariant: a member that works has been allowed to for its delay, save when none else does.
//! Deliberately does not know: LACP's messages, devices.

use std::collections::BTreeMap;

/// Settings of a bond's links.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// Milliseconds that a link must be up to be used.
    pub up_ms: u64,
    /// Milliseconds that a link must be down to be left.
    pub down_ms: u64,
    /// The member that is active whenever it works.
    pub primary: Option<u32>,
}

/// A member.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Member {
    /// The link is there, and LACP (if it is asked) agrees.
    pub may_enable: bool,
    /// It is used.
    pub enabled: bool,
    /// When that changes, if nothing else does.
    pub changes_ms: Option<u64>,
}

/// Links of a bond.
#[derive(Clone, Debug, Default)]
pub struct Links {
    settings: Settings,
    members: BTreeMap<u32, Member>,
    active: Option<u32>,
}

impl Links {
    /// Changes settings and members; what stays keeps its state.
    pub fn configure(&mut self, settings: Settings, members: &[u32]) {
        self.settings = settings;
        self.members.retain(|n, _| members.contains(n));
        for n in members {
            self.members.entry(*n).or_default();
        }
    }

    /// The members.
    pub fn members(&self) -> &BTreeMap<u32, Member> {
        &self.members
    }

    /// The active one.
    pub fn active(&self) -> Option<u32> {
        self.active
    }

    /// Those that are used.
    pub fn enabled(&self) -> Vec<u32> {
        self.members.iter().filter(|(_, m)| m.enabled).map(|(n, _)| *n).collect()
    }

    /// Makes a member the active one, if it is used.
    pub fn activate(&mut self, member: u32) -> bool {
        let works = self.members.get(&member).is_some_and(|m| m.enabled);
        if works {
            self.active = Some(member);
        }
        works
    }

    /// Uses or leaves a member at once, whatever its link says next.
    pub fn force(&mut self, member: u32, enabled: bool) -> bool {
        let Some(m) = self.members.get_mut(&member) else { return false };
        (m.enabled, m.changes_ms) = (enabled, None);
        self.choose();
        true
    }

    /// Takes in what links say now; `delays` is false where a partner vouches for them. True when the
    /// members in use or the active one changed.
    pub fn run(&mut self, now_ms: u64, delays: bool, may_enable: impl Fn(u32) -> bool) -> bool {
        let before = (self.enabled(), self.active);
        for (n, m) in &mut self.members {
            m.may_enable = may_enable(*n);
            if m.may_enable == m.enabled {
                m.changes_ms = None;
                continue;
            }
            let delay = if m.may_enable { self.settings.up_ms } else { self.settings.down_ms };
            let at = *m.changes_ms.get_or_insert(now_ms + if delays { delay } else { 0 });
            if at <= now_ms {
                (m.enabled, m.changes_ms) = (m.may_enable, None);
            }
        }
        self.choose();
        before != (self.enabled(), self.active)
    }

    /// The active member: the primary where it works, else the one that is, else the first that works. With
    /// none, a member whose link came up need not wait any longer.
    fn choose(&mut self) {
        let works = |n: &u32, all: &BTreeMap<u32, Member>| all.get(n).is_some_and(|m| m.enabled);
        let primary = self.settings.primary.filter(|n| works(n, &self.members));
        let stays = self.active.filter(|n| works(n, &self.members));
        let first = self.members.iter().find(|(_, m)| m.enabled).map(|(n, _)| *n);
        self.active = primary.or(stays).or(first);
        if self.active.is_some() {
            return;
        }
        let soonest = self.members.iter_mut().filter(|(_, m)| m.may_enable && m.changes_ms.is_some());
        if let Some((n, m)) = soonest.min_by_key(|(_, m)| m.changes_ms) {
            (m.enabled, m.changes_ms) = (true, None);
            self.active = Some(*n);
        }
    }

    /// When something changes by itself.
    pub fn next_ms(&self) -> Option<u64> {
        self.members.values().filter_map(|m| m.changes_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(settings: Settings) -> Links {
        let mut l = Links::default();
        l.configure(settings, &[1, 2]);
        l
    }

    #[test]
    fn the_active_member_stays_until_its_link_goes() {
        let mut l = links(Settings::default());
        assert!(l.run(0, true, |_| true));
        assert_eq!((l.active(), l.enabled()), (Some(1), vec![1, 2]));
        assert!(l.run(10, true, |n| n == 2));
        assert_eq!((l.active(), l.enabled()), (Some(2), vec![2]));
        assert!(l.run(20, true, |_| true));
        assert_eq!(l.active(), Some(2));
        assert!(l.activate(1) && !l.activate(7));
    }

    #[test]
    fn the_primary_takes_over_again() {
        let mut l = links(Settings { primary: Some(2), ..Settings::default() });
        l.run(0, true, |n| n == 1);
        assert_eq!(l.active(), Some(1));
        l.run(1, true, |_| true);
        assert_eq!(l.active(), Some(2));
    }

    #[test]
    fn delays_hold_but_not_when_nothing_else_works() {
        let mut l = links(Settings { up_ms: 1000, down_ms: 500, primary: None });
        assert!(l.run(0, true, |n| n == 1));
        assert_eq!(l.active(), Some(1));
        assert!(!l.run(10, true, |_| true));
        assert_eq!((l.enabled(), l.next_ms()), (vec![1], Some(1010)));
        assert!(l.run(1010, true, |_| true));
        assert_eq!(l.enabled(), [1, 2]);
        assert!(!l.run(1100, true, |n| n == 2));
        assert!(!l.run(1200, true, |_| true) && l.next_ms().is_none());
        l.run(1300, true, |n| n == 2);
        assert!(l.run(1800, true, |n| n == 2));
        assert_eq!(l.active(), Some(2));
    }
}

//! The multicast database of one bridge: which ports want which group, and where routers are.
//!
//! Purpose: NORMAL's memory of IGMP and MLD. The control side learns and ages; workers look up on a
//! miss, and check versions on a hit, as with addresses.
//! Invariant: never more than `limit` groups; every change of an answer bumps a version.
//! Deliberately does not know: messages, frames, the clock.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::action::OfPort;
use crate::fdb::Versions;

/// Most ports that are remembered for a group, or routers for a VLAN.
const PORTS_MAX: usize = 1024;
/// Milliseconds after which a router is forgotten, as in Open vSwitch.
const ROUTER_MS: u64 = 180_000;

/// A port that wants a group, or has a router behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// The port.
    pub port: OfPort,
    /// When it was last heard, milliseconds.
    pub seen_ms: u64,
}

/// The database.
#[derive(Debug)]
pub struct Mdb {
    state: Mutex<State>,
    versions: Arc<Versions>,
    salt: u64,
}

#[derive(Debug, Default)]
struct State {
    groups: HashMap<(u16, IpAddr), Vec<Member>>,
    routers: BTreeMap<u16, Vec<Member>>,
    limit: usize,
    ageing_ms: u64,
}

impl Mdb {
    /// An empty one; `salt` differs from bridge to bridge.
    pub fn new(limit: usize, ageing_s: u64, salt: u64, versions: Arc<Versions>) -> Mdb {
        let mdb = Mdb { state: Mutex::default(), versions, salt };
        mdb.configure(limit, ageing_s);
        mdb
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the limits.
    pub fn configure(&self, limit: usize, ageing_s: u64) {
        let mut s = self.lock();
        (s.limit, s.ageing_ms) = (limit.max(1), ageing_s.saturating_mul(1000));
    }

    /// The counters that this database bumps.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Which counter is bumped when the answer for this group may have changed.
    pub fn bucket(&self, vlan: u16, group: IpAddr) -> u16 {
        let (high, low) = match group {
            IpAddr::V4(a) => (0, u64::from(u32::from(a))),
            IpAddr::V6(a) => ((u128::from(a) >> 64) as u64, u128::from(a) as u64),
        };
        self.versions.bucket_of(&[high, low, u64::from(vlan), self.salt << 8 | 1])
    }

    /// Which counter is bumped when routers of a VLAN come or go.
    pub fn router_bucket(&self, vlan: u16) -> u16 {
        self.versions.bucket_of(&[u64::from(vlan), self.salt << 8 | 2])
    }

    /// The ports that want a group; `None` when nobody does.
    pub fn members(&self, vlan: u16, group: IpAddr) -> Option<Vec<OfPort>> {
        Some(self.lock().groups.get(&(vlan, group))?.iter().map(|m| m.port).collect())
    }

    /// The ports with routers behind them.
    pub fn routers(&self, vlan: u16) -> Vec<OfPort> {
        self.lock().routers.get(&vlan).map_or(Vec::new(), |all| all.iter().map(|m| m.port).collect())
    }

    /// A port wants a group. True when that is news.
    pub fn join(&self, vlan: u16, group: IpAddr, port: OfPort, now_ms: u64) -> bool {
        let mut s = self.lock();
        // What goes to a router goes there anyway.
        if s.routers.get(&vlan).is_some_and(|all| all.iter().any(|m| m.port == port)) {
            return false;
        }
        if !s.groups.contains_key(&(vlan, group)) && s.groups.len() >= s.limit {
            let newest = |all: &[Member]| all.iter().map(|m| m.seen_ms).max().unwrap_or(0);
            let oldest = s.groups.iter().min_by_key(|(k, all)| (newest(all), **k)).map(|(k, _)| *k);
            if let Some((vlan, group)) = oldest {
                s.groups.remove(&(vlan, group));
                self.versions.changed(self.bucket(vlan, group));
            }
        }
        let news = hear(s.groups.entry((vlan, group)).or_default(), port, now_ms);
        drop(s);
        if news {
            self.versions.changed(self.bucket(vlan, group));
        }
        news
    }

    /// A port does not want a group any more.
    pub fn leave(&self, vlan: u16, group: IpAddr, port: OfPort) {
        let mut s = self.lock();
        let Some(all) = s.groups.get_mut(&(vlan, group)) else { return };
        all.retain(|m| m.port != port);
        if all.is_empty() {
            s.groups.remove(&(vlan, group));
        }
        drop(s);
        self.versions.changed(self.bucket(vlan, group));
    }

    /// A router was heard on a port. True when that is news.
    pub fn router(&self, vlan: u16, port: OfPort, now_ms: u64) -> bool {
        let news = hear(self.lock().routers.entry(vlan).or_default(), port, now_ms);
        if news {
            self.versions.changed(self.router_bucket(vlan));
        }
        news
    }

    /// Forgets who was not heard for too long.
    pub fn expire(&self, now_ms: u64) {
        let ageing = self.lock().ageing_ms;
        self.retain(|m| now_ms.saturating_sub(m.seen_ms) < ageing, |m| now_ms.saturating_sub(m.seen_ms) < ROUTER_MS);
    }

    /// Forgets a port, or all.
    pub fn flush(&self, port: Option<OfPort>) {
        let stays = |m: &Member| port.is_some_and(|p| p != m.port);
        self.retain(stays, stays);
    }

    fn retain(&self, member: impl Fn(&Member) -> bool, router: impl Fn(&Member) -> bool) {
        let mut s = self.lock();
        let mut changed = Vec::new();
        s.groups.retain(|(vlan, group), all| {
            let before = all.len();
            all.retain(&member);
            if all.len() != before {
                changed.push(self.bucket(*vlan, *group));
            }
            !all.is_empty()
        });
        s.routers.retain(|vlan, all| {
            let before = all.len();
            all.retain(&router);
            if all.len() != before {
                changed.push(self.router_bucket(*vlan));
            }
            !all.is_empty()
        });
        drop(s);
        changed.into_iter().for_each(|bucket| self.versions.changed(bucket));
    }

    /// Every group with its members, by VLAN and address.
    pub fn groups(&self) -> Vec<(u16, IpAddr, Vec<Member>)> {
        let mut all: Vec<_> = self.lock().groups.iter().map(|((v, g), m)| (*v, *g, m.clone())).collect();
        all.sort_by_key(|(v, g, _)| (*v, *g));
        all
    }

    /// Every router, by VLAN.
    pub fn all_routers(&self) -> Vec<(u16, Member)> {
        self.lock().routers.iter().flat_map(|(v, all)| all.iter().map(|m| (*v, *m))).collect()
    }
}

/// Notes that a port was heard. True when it was not in the list.
fn hear(list: &mut Vec<Member>, port: OfPort, now_ms: u64) -> bool {
    if let Some(m) = list.iter_mut().find(|m| m.port == port) {
        m.seen_ms = now_ms;
        return false;
    }
    let room = list.len() < PORTS_MAX;
    if room {
        list.push(Member { port, seen_ms: now_ms });
        list.sort_by_key(|m| m.port);
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fdb::Deps;
    use crate::hash::Seeds;

    const G: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(239, 1, 2, 3));

    fn mdb(limit: usize) -> Mdb {
        Mdb::new(limit, 300, 0, Versions::new(Seeds::FIXED))
    }

    #[test]
    fn members_come_leave_and_age_and_answers_grow_stale() {
        let m = mdb(10);
        let deps = |m: &Mdb| {
            let mut d = Deps::default();
            d.add(m.versions(), m.bucket(5, G));
            d
        };
        let before = deps(&m);
        assert!(m.join(5, G, 3, 1000) && !m.join(5, G, 3, 2000) && m.join(5, G, 2, 2000));
        assert_ne!(m.versions().current(before.packed), before.version);
        assert_eq!((m.members(5, G), m.members(6, G)), (Some(vec![2, 3]), None));
        m.leave(5, G, 2);
        assert_eq!(m.members(5, G), Some(vec![3]));
        m.expire(302_000);
        assert_eq!(m.members(5, G), None);
    }

    #[test]
    fn routers_are_kept_apart_and_groups_are_bounded() {
        let m = mdb(4);
        assert!(m.router(5, 9, 0) && !m.router(5, 9, 10));
        assert!(!m.join(5, G, 9, 20), "a router gets everything anyway");
        for n in 0..20u8 {
            m.join(5, IpAddr::from([239, 0, 0, n]), 1, u64::from(n));
        }
        assert_eq!(m.groups().len(), 4);
        m.expire(180_010);
        assert_eq!((m.routers(5), m.groups().len()), (vec![], 4));
        m.flush(Some(1));
        assert!(m.groups().is_empty());
    }
}

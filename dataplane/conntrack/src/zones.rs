//! Limits of connections per zone, and which timeout policy a zone has.
//!
//! Invariant: a zone's count is what was admitted under its limit and is still there.
//! Deliberately does not know: connections.

use std::collections::{BTreeMap, HashMap};

/// A limit and what counts towards it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limit {
    /// Most connections, 0 for none at all.
    pub limit: u32,
    /// Connections.
    pub count: u32,
}

/// Limits and policies of all zones.
#[derive(Debug, Default)]
pub struct Zones {
    default: Option<u32>,
    limits: BTreeMap<u16, u32>,
    counts: HashMap<u16, u32>,
    policies: HashMap<u16, u8>,
}

impl Zones {
    /// Sets or removes the limit of zones without one of their own.
    pub fn set_default(&mut self, limit: Option<u32>) {
        self.default = limit;
    }

    /// The limit of zones without one of their own.
    pub fn default_limit(&self) -> Option<u32> {
        self.default
    }

    /// Sets or removes a zone's limit.
    pub fn set(&mut self, zone: u16, limit: Option<u32>) {
        match limit {
            Some(limit) => self.limits.insert(zone, limit),
            None => self.limits.remove(&zone),
        };
    }

    /// Zones with limits of their own.
    pub fn own(&self) -> impl Iterator<Item = (u16, Limit)> + '_ {
        self.limits.iter().map(|(z, limit)| (*z, Limit { limit: *limit, count: self.count(*z) }))
    }

    /// A zone's limit, where it has one.
    pub fn limit(&self, zone: u16) -> Option<Limit> {
        let limit = self.limits.get(&zone).copied().or(self.default)?;
        Some(Limit { limit, count: self.count(zone) })
    }

    fn count(&self, zone: u16) -> u32 {
        self.counts.get(&zone).copied().unwrap_or(0)
    }

    /// May a zone have one more connection?
    pub fn admits(&self, zone: u16) -> bool {
        self.limit(zone).is_none_or(|l| l.count < l.limit)
    }

    /// A connection was opened.
    pub fn add(&mut self, zone: u16) {
        *self.counts.entry(zone).or_default() += 1;
    }

    /// A connection is gone.
    pub fn remove(&mut self, zone: u16) {
        if let Some(n) = self.counts.get_mut(&zone) {
            *n -= 1;
            if *n == 0 {
                self.counts.remove(&zone);
            }
        }
    }

    /// Gives a zone a timeout policy; 0 is the default one.
    pub fn set_policy(&mut self, zone: u16, policy: u8) {
        match policy {
            0 => self.policies.remove(&zone),
            p => self.policies.insert(zone, p),
        };
    }

    /// A zone's timeout policy.
    pub fn policy(&self, zone: u16) -> u8 {
        self.policies.get(&zone).copied().unwrap_or(0)
    }
}

//! What happened to connections, by kind.
//!
//! Deliberately does not know: why.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What happened so far.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Stats {
    pub opened: AtomicU64,
    pub expired: AtomicU64,
    pub flushed: AtomicU64,
    /// Ended, as another one with the same tuple began.
    pub reopened: AtomicU64,
    /// Half-open connections that made room for another owner's.
    pub evicted: AtomicU64,
    /// Not opened: the table is full of established connections.
    pub refused_full: AtomicU64,
    /// Not opened: the port has its share.
    pub refused_share: AtomicU64,
    /// Not opened: the zone's limit.
    pub refused_zone: AtomicU64,
    /// Not opened: no address or port is free.
    pub refused_nat: AtomicU64,
    /// Not expected: a helper's announcement found no room, or no free port.
    pub refused_expected: AtomicU64,
}

impl Stats {
    /// Every counter by its name.
    pub fn named(&self) -> [(&'static str, u64); 10] {
        [
            ("opened", &self.opened),
            ("expired", &self.expired),
            ("flushed", &self.flushed),
            ("reopened", &self.reopened),
            ("evicted", &self.evicted),
            ("refused_full", &self.refused_full),
            ("refused_share", &self.refused_share),
            ("refused_zone", &self.refused_zone),
            ("refused_nat", &self.refused_nat),
            ("refused_expected", &self.refused_expected),
        ]
        .map(|(name, n)| (name, n.load(Relaxed)))
    }
}

pub(crate) fn count(n: &AtomicU64) {
    n.fetch_add(1, Relaxed);
}

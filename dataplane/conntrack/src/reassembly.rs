//! What people set about fragments, and what became of them, for all workers.
//!
//! Invariant: the limits stay in the ranges that Open vSwitch allows.
//! Deliberately does not know: fragments (see `fragments`), frames.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::stats::count;

/// Least "shortest fragment" that may be asked for, bytes.
pub const SHORTEST_MIN: u32 = 400;
/// Most fragments that may be asked to wait.
pub const WAITING_MAX: u32 = 5000;

/// What became of fragments of one family.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Fates {
    pub accepted: AtomicU64,
    /// Went on, as their datagram was whole.
    pub completed: AtomicU64,
    /// Dropped, as it was not whole in time.
    pub expired: AtomicU64,
    /// Too short for a fragment that is not the last one.
    pub too_small: AtomicU64,
    pub overlapped: AtomicU64,
    /// Found no room.
    pub refused: AtomicU64,
}

/// One family's settings.
#[derive(Debug)]
struct Family {
    enabled: AtomicBool,
    shortest: AtomicU32,
    fates: Fates,
}

impl Family {
    fn new(shortest: u32) -> Family {
        Family { enabled: AtomicBool::new(true), shortest: AtomicU32::new(shortest), fates: Fates::default() }
    }
}

/// Settings and counters of both families.
#[derive(Debug)]
pub struct Reassembly {
    v4: Family,
    v6: Family,
    max: AtomicU32,
    waiting: AtomicUsize,
}

impl Default for Reassembly {
    fn default() -> Self {
        Reassembly { v4: Family::new(1200), v6: Family::new(1280), max: AtomicU32::new(1000), waiting: AtomicUsize::new(0) }
    }
}

impl Reassembly {
    fn family(&self, v6: bool) -> &Family {
        if v6 { &self.v6 } else { &self.v4 }
    }

    /// Are fragments put together? If not, each is invalid to the tracker.
    pub fn is_enabled(&self, v6: bool) -> bool {
        self.family(v6).enabled.load(Relaxed)
    }

    /// Switches it.
    pub fn enable(&self, v6: bool, enabled: bool) {
        self.family(v6).enabled.store(enabled, Relaxed);
    }

    /// Is a fragment that is not the last one long enough to be sane? `len` counts from the IP header.
    pub fn is_long_enough(&self, v6: bool, len: usize) -> bool {
        len >= self.family(v6).shortest.load(Relaxed) as usize
    }

    /// Sets the shortest length; false for less than [`SHORTEST_MIN`].
    pub fn set_shortest(&self, v6: bool, len: u32) -> bool {
        let sane = len >= SHORTEST_MIN;
        if sane {
            self.family(v6).shortest.store(len, Relaxed);
        }
        sane
    }

    /// Sets how many fragments may wait; false for more than [`WAITING_MAX`].
    pub fn set_max(&self, max: u32) -> bool {
        let sane = max <= WAITING_MAX;
        if sane {
            self.max.store(max, Relaxed);
        }
        sane
    }

    /// May another one wait?
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.load(Relaxed) < self.max.load(Relaxed) as usize
    }

    /// Most of all that one sender's may be: a quarter.
    pub(crate) fn share(&self) -> usize {
        (self.max.load(Relaxed) as usize / 4).max(1)
    }

    pub(crate) fn waits(&self) {
        self.waiting.fetch_add(1, Relaxed);
    }

    pub(crate) fn wait_no_more(&self, n: usize) {
        self.waiting.fetch_sub(n, Relaxed);
    }

    /// Counts a fate.
    pub fn count(&self, v6: bool, which: impl FnOnce(&Fates) -> &AtomicU64) {
        count(which(&self.family(v6).fates));
    }

    /// As `dpctl/ipf-get-status` prints it; with `more`, a heading for datagrams that wait (workers keep them).
    pub fn status(&self, more: bool) -> String {
        let mut out = String::from("        Fragmentation Module Status\n        ---------------------------\n");
        let mut line = |name: &str, value: u64| {
            let _ = writeln!(out, "        {name}: {value}");
        };
        line("v4 enabled", self.is_enabled(false).into());
        line("v6 enabled", self.is_enabled(true).into());
        line("max num frags (v4/v6)", self.max.load(Relaxed).into());
        line("num frag", self.waiting.load(Relaxed) as u64);
        for (name, f) in [("v4", &self.v4), ("v6", &self.v6)] {
            line(&format!("min {name} frag size"), f.shortest.load(Relaxed).into());
            let fates = &f.fates;
            let all = [
                ("accepted", &fates.accepted),
                ("completed", &fates.completed),
                ("expired", &fates.expired),
                ("too small", &fates.too_small),
                ("overlapped", &fates.overlapped),
                ("purged", &fates.refused),
            ];
            for (fate, n) in all {
                line(&format!("{name} frags {fate}"), n.load(Relaxed));
            }
        }
        if more {
            let _ = write!(out, "\n        Fragment Lists:\n\n");
        }
        out
    }
}

//! When a record that lost its connection may get another one: not before every worker that may still be
//! reading it has ended its turn.
//!
//! A removal takes the number of the epoch and begins the next; a worker shows the epoch in which its turn began.
//! Invariant: while a worker is in a turn that began in epoch `e`, nothing that was removed in `e` or later is
//! given away.
//! Deliberately does not know: records.

use std::sync::atomic::{fence, AtomicU64, AtomicUsize, Ordering::{Acquire, Relaxed, Release, SeqCst}};

/// Workers that may share a table.
pub const WORKERS_MAX: usize = 64;
/// Shown by a worker that is not in a turn.
const AWAY: u64 = u64::MAX;
/// Older than every turn: of what never belonged to a connection.
pub(crate) const LONG_AGO: u64 = 0;

/// Where one worker is, in a memory line of its own: each turn writes it.
#[derive(Debug)]
#[repr(align(128))]
struct Turn(AtomicU64);

/// Epochs of removals, and where workers are in them.
#[derive(Debug)]
pub(crate) struct Grace {
    epoch: AtomicU64,
    workers: [Turn; WORKERS_MAX],
    known: AtomicUsize,
}

impl Default for Grace {
    fn default() -> Self {
        Grace { epoch: AtomicU64::new(LONG_AGO + 1), workers: std::array::from_fn(|_| Turn(AtomicU64::new(AWAY))), known: AtomicUsize::new(0) }
    }
}

impl Grace {
    /// A place for one more worker.
    pub fn register(&self) -> Option<usize> {
        let place = self.known.fetch_add(1, Relaxed);
        (place < WORKERS_MAX).then_some(place)
    }

    /// A worker begins a turn.
    pub fn enter(&self, place: usize) {
        if let Some(w) = self.workers.get(place) {
            w.0.store(self.epoch.load(Relaxed), Relaxed);
            // What it reads from here on, it reads after showing that it does.
            fence(SeqCst);
        }
    }

    /// A worker ended its turn: it holds nothing.
    pub fn leave(&self, place: usize) {
        if let Some(w) = self.workers.get(place) {
            w.0.store(AWAY, Release);
        }
    }

    /// Something was removed: the epoch of that.
    pub fn removed(&self) -> u64 {
        self.epoch.fetch_add(1, SeqCst)
    }

    /// The epoch in which the oldest turn that is under way began: turns that began before have ended.
    pub fn oldest(&self) -> u64 {
        fence(SeqCst);
        let known = self.known.load(Relaxed).min(WORKERS_MAX);
        self.workers.iter().take(known).map(|w| w.0.load(Acquire)).min().unwrap_or(AWAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_during_a_turn_waits_for_its_end() {
        let g = Grace::default();
        let is_over = |epoch| g.oldest() > epoch;
        let (a, b) = (g.register().unwrap(), g.register().unwrap());
        assert!(is_over(g.removed()), "no one is in a turn");
        g.enter(a);
        g.enter(b);
        let gone = g.removed();
        assert!(!is_over(gone));
        g.enter(a);
        assert!(!is_over(gone), "the other's turn goes on");
        g.leave(b);
        assert!(is_over(gone));
        assert!(!is_over(g.removed()));
        assert!(is_over(LONG_AGO));
    }
}

//! Packets that wait for a controller to give them back.
//!
//! Purpose: a number stands for what is still to be done; the controller carries the number.
//! Invariant: bounded; the oldest is forgotten first, and giving it back is refused as stale.
//! Deliberately does not know: messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_flow::decide::Frozen;

/// Packets that wait, at most.
const PAUSED: usize = 8192;

/// What waits, by number.
#[derive(Default)]
pub struct PausedPackets {
    next: u64,
    waiting: BTreeMap<u64, Arc<Frozen>>,
}

impl PausedPackets {
    /// Keeps one; the number stands for it.
    pub fn keep(&mut self, frozen: Arc<Frozen>) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, frozen);
        while self.waiting.len() > PAUSED {
            self.waiting.pop_first();
        }
        self.next
    }

    /// What a number stands for. It may be given back more than once, as to Open vSwitch.
    pub fn find(&self, token: u64) -> Option<Arc<Frozen>> {
        self.waiting.get(&token).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_flow::Key;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut paused = PausedPackets::default();
        let frozen = Arc::new(Frozen::at(0, Key::ZERO));
        let first = paused.keep(frozen.clone());
        for _ in 0..PAUSED - 1 {
            paused.keep(frozen.clone());
        }
        assert!(paused.find(first).is_some());
        let last = paused.keep(frozen);
        assert!(paused.find(first).is_none() && paused.find(last).is_some());
    }
}

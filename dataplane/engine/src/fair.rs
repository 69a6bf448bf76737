//! Whose turn it is: ports are served by what their packets cost, not by how many they are.
//!
//! Purpose: deficit round robin. A batch of known flows is what each port gets in every turn. What a
//! batch costs beyond that (first packets of flows, copies) is a debt of its port, paid by waiting
//! while others are served. So one port's misses cost its own ring.
//! Invariant: a port never waits while no other has anything to do; a debt is bounded.
//! Deliberately does not know: time. Work is counted, so a replay takes the same turns in every run.

use crate::BATCH;

/// What deciding a packet costs, in packets of known flows.
const MISS: u64 = 40;
/// What a new flow that is like others costs.
const ALIKE: u64 = 8;
/// What a copy of a packet costs.
const COPY: u64 = 1;
/// What one turn pays of a debt: a batch.
const QUANTUM: u64 = BATCH as u64;
/// Most turns that a port waits.
const WAIT_MAX: u64 = 64;

/// Work counted so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Packets that the cache did not know.
    pub misses: u64,
    /// Packets that the cache did not know, decided like others.
    pub alike: u64,
    /// Copies made of packets.
    pub copied: u64,
}

/// Debts of all ports.
#[derive(Debug, Default)]
pub struct Fair {
    debts: Vec<u64>,
    waiting: bool,
}

impl Fair {
    /// A new turn begins.
    #[inline]
    pub fn begin(&mut self) {
        self.waiting = false;
    }

    /// Is this port to be served in this turn? Waiting pays a part of what it owes.
    #[inline]
    pub fn may_serve(&mut self, device: usize) -> bool {
        match self.debts.get_mut(device) {
            Some(debt) if *debt >= QUANTUM => {
                *debt -= QUANTUM;
                self.waiting = true;
                false
            }
            _ => true,
        }
    }

    /// A batch of this port was served.
    #[inline]
    pub fn charge(&mut self, device: usize, before: Work, after: Work) {
        let cost = (after.misses - before.misses) * MISS + (after.alike - before.alike) * ALIKE + (after.copied - before.copied) * COPY;
        if cost == 0 {
            return;
        }
        if self.debts.len() <= device {
            self.debts.resize(device + 1, 0);
        }
        if let Some(debt) = self.debts.get_mut(device) {
            *debt = (*debt + cost).min(WAIT_MAX * QUANTUM);
        }
    }

    /// No port that was served had anything: true when others waited, whose debts are forgiven.
    pub fn forgive(&mut self) -> bool {
        if self.waiting {
            self.debts.fill(0);
        }
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(fair: &mut Fair, device: usize, misses: u64) {
        fair.charge(device, Work::default(), Work { misses, ..Work::default() });
    }

    #[test]
    fn known_flows_never_wait_and_misses_wait_for_as_long_as_they_cost() {
        let mut fair = Fair::default();
        let mut served = [0usize, 0];
        for _ in 0..10_000 {
            fair.begin();
            for (device, misses) in [(0, 0), (1, BATCH as u64)] {
                if fair.may_serve(device) {
                    served[device] += 1;
                    batch(&mut fair, device, misses);
                }
            }
        }
        assert_eq!(served[0], 10_000);
        let expected = 10_000 / (MISS as usize + 1);
        assert!(served[1].abs_diff(expected) < 10, "{served:?}");
    }

    #[test]
    fn who_is_alone_never_waits() {
        let mut fair = Fair::default();
        for _ in 0..100 {
            fair.begin();
            if !fair.may_serve(3) {
                assert!(fair.forgive());
                assert!(fair.may_serve(3));
            }
            batch(&mut fair, 3, 64);
        }
        fair.begin();
        assert!(!fair.forgive());
    }
}

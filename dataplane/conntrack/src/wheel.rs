//! Deadlines without a scan: three wheels of 256 places, the coarser ones emptying into the finer.
//!
//! A connection is put where its deadline was when it was put there. When the place comes round the
//! deadline is looked at again: one that moved on is put further, so that packets never touch a wheel.
//! Invariant: a connection is in exactly one list, which its record names; unlinking costs no search.
//! Deliberately does not know: what a deadline means.

use crate::record::{Record, Records, OWNER, WHEEL};

/// Milliseconds per place of the finest wheel.
pub(crate) const TICK_MS: u64 = 128;
const PLACES: u64 = 256;
const LEVELS: u64 = 3;
const PLACE_SHIFT: u32 = 32;
const NONE: u32 = 0;

/// One shard's wheels.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// First connection of each list, plus one.
    heads: Vec<u32>,
    /// Ticks that were run.
    now: u64,
}

impl Default for Wheel {
    fn default() -> Self {
        Wheel { heads: vec![NONE; (PLACES * LEVELS) as usize], now: 0 }
    }
}

fn neighbours(r: Record<'_>) -> (u32, u32) {
    let w = r.get(WHEEL);
    ((w >> 32) as u32, w as u32)
}

fn link(r: Record<'_>, previous: u32, next: u32) {
    r.set(WHEEL, u64::from(previous) << 32 | u64::from(next));
}

impl Wheel {
    /// Starts at this time.
    pub fn start(&mut self, now_ms: u64) {
        self.now = now_ms / TICK_MS;
    }

    /// Has the time of the next place come?
    pub fn is_due(&self, now_ms: u64) -> bool {
        now_ms / TICK_MS > self.now
    }

    fn place(&self, due: u64) -> u64 {
        let ahead = due.saturating_sub(self.now);
        if ahead < PLACES {
            due % PLACES
        } else if ahead < PLACES * PLACES {
            PLACES + (due / PLACES) % PLACES
        } else {
            let far = (due / (PLACES * PLACES)).min(self.now / (PLACES * PLACES) + PLACES - 1);
            2 * PLACES + far % PLACES
        }
    }

    /// Puts a connection where its deadline is.
    pub fn insert(&mut self, records: &Records, id: u32, deadline_ms: u64) {
        let Some(r) = records.get(id) else { return };
        let due = deadline_ms.div_ceil(TICK_MS).max(self.now + 1);
        let place = self.place(due);
        let Some(head) = self.heads.get_mut(place as usize) else { return };
        link(r, NONE, *head);
        if let Some(next) = head.checked_sub(1).and_then(|n| records.get(n)) {
            link(next, id + 1, neighbours(next).1);
        }
        *head = id + 1;
        r.set(OWNER, r.get(OWNER) & 0xffff_ffff | place << PLACE_SHIFT);
    }

    /// Takes a connection out.
    pub fn remove(&mut self, records: &Records, id: u32) {
        let Some(r) = records.get(id) else { return };
        let (previous, next) = neighbours(r);
        match previous.checked_sub(1).and_then(|p| records.get(p)) {
            Some(p) => link(p, neighbours(p).0, next),
            None => {
                let place = (r.get(OWNER) >> PLACE_SHIFT) as usize;
                if let Some(head) = self.heads.get_mut(place).filter(|h| **h == id + 1) {
                    *head = next;
                }
            }
        }
        if let Some(n) = next.checked_sub(1).and_then(|n| records.get(n)) {
            link(n, previous, neighbours(n).1);
        }
        link(r, NONE, NONE);
    }

    /// Goes one place on, if its time has come, and takes out whatever is there.
    pub fn step(&mut self, records: &Records, now_ms: u64, out: &mut Vec<u32>) {
        if !self.is_due(now_ms) {
            return;
        }
        self.now += 1;
        self.empty(records, self.now % PLACES, out);
        if self.now % PLACES == 0 {
            self.empty(records, PLACES + (self.now / PLACES) % PLACES, out);
        }
        if self.now % (PLACES * PLACES) == 0 {
            self.empty(records, 2 * PLACES + (self.now / (PLACES * PLACES)) % PLACES, out);
        }
    }

    fn empty(&mut self, records: &Records, place: u64, out: &mut Vec<u32>) {
        let Some(head) = self.heads.get_mut(place as usize) else { return };
        let mut at = std::mem::replace(head, NONE);
        while let Some(r) = at.checked_sub(1).and_then(|i| records.get(i)) {
            out.push(at - 1);
            at = neighbours(r).1;
            link(r, NONE, NONE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_round_at_its_deadline_however_far() {
        let records = Records::new(1024);
        records.more();
        let mut wheel = Wheel::default();
        let deadlines: Vec<u64> = (0..600).map(|i: u64| 100 + i * i * 331).collect();
        for (i, d) in deadlines.iter().enumerate() {
            wheel.insert(&records, i as u32, *d);
        }
        wheel.remove(&records, 17);
        let (mut seen, mut out) = (0, Vec::new());
        for tick in 1..=deadlines.last().unwrap() / TICK_MS + 1 {
            let now = tick * TICK_MS;
            wheel.step(&records, now, &mut out);
            for id in std::mem::take(&mut out) {
                let due = deadlines[id as usize];
                if due > now {
                    wheel.insert(&records, id, due);
                    continue;
                }
                assert!(now - due < TICK_MS, "{id} was due {due}, came {now}");
                seen += 1;
            }
        }
        assert_eq!(seen, 599);
    }
}

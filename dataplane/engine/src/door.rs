//! Station: which new flows get a place of their own in the cache.
//!
//! Purpose: the first packet of a connection has a flow that no second packet may ever meet: the connection's way
//! is remembered once it is open. Such a flow, where it is like others, gets a place when it is seen again.
//! Invariant: memory is fixed; a flow that keeps coming gets its place in the end, however many there are.
//! Deliberately does not know: what flows are.

use sluice_frame::prefetch::prefetch;

/// Flows that are remembered to have been seen; a power of two.
const SEEN: usize = 1 << 16;
/// One in so many flows gets its place at once: so many that come in turn are forgotten before they come again.
const AT_ONCE: u32 = 64;

/// Who was seen before.
#[derive(Debug)]
pub struct Door {
    /// A part of the hash of the last flow that came by each place.
    seen: Box<[u16]>,
    turn: u32,
}

impl Default for Door {
    fn default() -> Self {
        Door { seen: vec![0; SEEN].into_boxed_slice(), turn: 0 }
    }
}

impl Door {
    /// Starts loading what [`Door::admits`] will read.
    #[inline]
    pub fn ask_for(&self, hash: u64) {
        if let Some(seen) = self.seen.get(place(hash)) {
            prefetch(seen);
        }
    }

    /// Does the flow with this hash get its place?
    #[inline]
    pub fn admits(&mut self, hash: u64) -> bool {
        self.turn = (self.turn + 1) % AT_ONCE;
        let tag = (hash >> 48) as u16;
        let Some(seen) = self.seen.get_mut(place(hash)) else { return true };
        std::mem::replace(seen, tag) == tag || self.turn == 0
    }
}

fn place(hash: u64) -> usize {
    (hash >> 24) as usize & (SEEN - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_flow::hash::Seeds;

    fn hash(flow: u64) -> u64 {
        Seeds::FIXED.hash5(&[flow, 1, 2, 3, 4])
    }

    #[test]
    fn a_flow_gets_its_place_when_it_comes_again_and_few_at_once() {
        let mut door = Door::default();
        let at_once = (0..10_000).filter(|flow| door.admits(hash(*flow))).count();
        assert!(at_once < 10_000 / AT_ONCE as usize + 100, "{at_once}");
        let again = (0..10_000).filter(|flow| door.admits(hash(*flow))).count();
        assert!(again > 8_500, "{again}");
    }

    #[test]
    fn of_very_many_flows_each_gets_its_place_in_the_end() {
        let mut door = Door::default();
        let mut waiting: Vec<u64> = (0..500_000).collect();
        for _ in 0..8 * AT_ONCE {
            waiting.retain(|flow| !door.admits(hash(*flow)));
        }
        assert!(waiting.len() < 500, "{}", waiting.len());
    }
}

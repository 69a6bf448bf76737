//! Ports that were quiet for long are asked less often while others are busy.
//!
//! Purpose: what a packet costs does not grow with ports that nobody uses.
//! Invariant: a turn that finds nothing has asked every port; a port with traffic is asked in every turn.
//! Deliberately does not know: time, ports. Turns are counted, so a replay takes the same ones in every run.

/// Turns without a frame after which a port is quiet: some milliseconds of a busy worker.
const QUIET_AFTER: u16 = 1024;
/// A quiet port is asked once in so many turns; a power of two. What comes in by it waits as many batches of the
/// busy ports at most.
const EVERY: usize = 8;

/// How quiet each port is.
#[derive(Debug, Default)]
pub struct Quiet {
    /// Turns since the last frame, by device.
    empty: Vec<u16>,
    turn: usize,
    /// The last turn found something.
    busy: bool,
    /// This turn has left a port out.
    skipped: bool,
}

impl Quiet {
    /// A turn begins.
    #[inline]
    pub fn begin(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        self.skipped = false;
    }

    /// Is this device to be asked in this turn? The quiet ones take turns.
    #[inline]
    pub fn is_due(&mut self, device: usize) -> bool {
        let quiet = self.busy && self.empty.get(device).is_some_and(|n| *n >= QUIET_AFTER);
        if !quiet || (self.turn ^ device) % EVERY == 0 {
            return true;
        }
        self.skipped = true;
        false
    }

    /// A device was asked, and had so many frames.
    #[inline]
    pub fn heard(&mut self, device: usize, frames: usize) {
        match self.empty.get_mut(device) {
            Some(n) if frames == 0 => *n = n.saturating_add(1),
            Some(n) => *n = 0,
            None => self.empty.resize(device + 1, 0),
        }
    }

    /// The turn ends: true where it found nothing and left ports out, which are to be asked after all.
    #[inline]
    pub fn end(&mut self, work: usize) -> bool {
        self.busy = work > 0;
        work == 0 && std::mem::take(&mut self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these devices a turn asks; those in `busy` have something.
    fn turn(quiet: &mut Quiet, devices: usize, busy: &[usize]) -> Vec<usize> {
        quiet.begin();
        let mut asked = Vec::new();
        for again in [false, true] {
            let mut work = 0;
            for device in (0..devices).filter(|d| quiet.is_due(*d)).collect::<Vec<_>>() {
                asked.push(device);
                let frames = usize::from(busy.contains(&device));
                quiet.heard(device, frames);
                work += frames;
            }
            if again || !quiet.end(work) {
                break;
            }
        }
        asked.sort_unstable();
        asked.dedup();
        asked
    }

    #[test]
    fn long_quiet_ports_are_asked_in_turn_and_busy_ones_always() {
        let mut quiet = Quiet::default();
        for _ in 0..=QUIET_AFTER {
            assert_eq!(turn(&mut quiet, 64, &[3]).len(), 64, "not yet quiet");
        }
        let turns: Vec<_> = (0..EVERY).map(|_| turn(&mut quiet, 64, &[3])).collect();
        assert!(turns.iter().all(|asked| asked.contains(&3) && asked.len() <= 64 / EVERY + 1), "{turns:?}");
        let mut all = turns.concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 64, "each once");
    }

    #[test]
    fn a_turn_that_finds_nothing_has_asked_every_port_and_one_that_speaks_is_asked_always() {
        let mut quiet = Quiet::default();
        for _ in 0..2 * QUIET_AFTER {
            turn(&mut quiet, 16, &[0]);
        }
        assert!(turn(&mut quiet, 16, &[0]).len() < 16);
        assert_eq!(turn(&mut quiet, 16, &[]).len(), 16, "the busy one has stopped");
        turn(&mut quiet, 16, &[0, 5]);
        for _ in 0..100 {
            assert!(turn(&mut quiet, 16, &[0]).contains(&5), "it has just spoken");
        }
    }
}

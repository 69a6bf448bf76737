//! Which worker serves which device.
//!
//! Purpose: a new device goes to the worker with the least to do; a device moves when one worker has
//! too much to do and another has room, or when its worker is to end.
//! Invariant: a device is served by one worker at a time, and frames keep their order through a move:
//! each step waits until every worker has seen to what the step before left behind.
//! Deliberately does not know: threads, rings; loads come in as numbers.

use std::collections::BTreeMap;

use sluice_flow::PortIdx;

/// A worker that is busier than this share of its time may give a device away.
const BUSY: f64 = 0.7;
/// A move must take at least this off the busiest worker's load.
const WORTH: f64 = 0.1;

/// What one device asks of its worker: a share of a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Worker that serves it.
    pub worker: usize,
    /// Share of the worker's time, 0 to 1.
    pub share: f64,
    /// It may not be moved.
    pub fixed: bool,
}

/// What is placed: a device by its place and 0, or another receive queue of it by its number.
pub type Unit = (PortIdx, u16);

/// What is placed and its load.
pub type Loads = BTreeMap<Unit, Load>;

fn sums(loads: &Loads, workers: &[usize]) -> Vec<(usize, f64, usize)> {
    let of = |w: usize| loads.values().filter(move |l| l.worker == w);
    workers.iter().map(|&w| (w, of(w).map(|l| l.share).sum(), of(w).count())).collect()
}

/// The worker for one more device: the one with the least to do, then the one with the fewest devices.
pub fn least_loaded(loads: &Loads, workers: &[usize]) -> Option<usize> {
    let all = sums(loads, workers);
    all.into_iter().min_by(|a, b| a.1.total_cmp(&b.1).then(a.2.cmp(&b.2))).map(|(w, ..)| w)
}

/// Places for all devices anew: the busiest first, each where the least is to do; it stays where it is if
/// that is as good.
pub fn spread(loads: &Loads, workers: &[usize]) -> Vec<(Unit, usize)> {
    let mut placed: Loads = loads.iter().filter(|(_, l)| l.fixed).map(|(d, l)| (*d, *l)).collect();
    let mut open: Vec<(Unit, Load)> = loads.iter().filter(|(_, l)| !l.fixed).map(|(d, l)| (*d, *l)).collect();
    open.sort_by(|a, b| b.1.share.total_cmp(&a.1.share).then(a.0.cmp(&b.0)));
    for (unit, load) in open {
        let all = sums(&placed, workers);
        let rank = |w: &(usize, f64, usize)| (w.1, w.2, w.0 != load.worker);
        let best = all.iter().min_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2)))
        });
        let Some((worker, ..)) = best else { break };
        placed.insert(unit, Load { worker: *worker, ..load });
    }
    let differs = |(d, l): &(&Unit, &Load)| loads.get(d).is_some_and(|was| was.worker != l.worker);
    placed.iter().filter(differs).map(|(d, l)| (*d, l.worker)).collect()
}

/// The move that helps most, if one helps: a device and its new worker.
pub fn best_move(loads: &Loads, workers: &[usize]) -> Option<(Unit, usize)> {
    let all = sums(loads, workers);
    let (busiest, most, _) = *all.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let (idlest, least, _) = *all.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    if most < BUSY {
        return None;
    }
    let candidates = loads.iter().filter(|(_, l)| l.worker == busiest && !l.fixed);
    let after = |share: f64| (most - share).max(least + share);
    let (unit, load) = candidates.min_by(|a, b| after(a.1.share).total_cmp(&after(b.1.share)))?;
    (after(load.share) + WORTH <= most).then_some((*unit, idlest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(all: &[(PortIdx, usize, f64)]) -> Loads {
        all.iter().map(|&(device, worker, share)| ((device, 0), Load { worker, share, fixed: false })).collect()
    }

    #[test]
    fn a_new_device_goes_where_the_least_is_to_do() {
        assert_eq!(least_loaded(&loads(&[(0, 0, 0.5), (1, 1, 0.1), (2, 1, 0.1)]), &[0, 1]), Some(1));
        assert_eq!(least_loaded(&loads(&[(0, 0, 0.0), (1, 1, 0.0), (2, 1, 0.0)]), &[0, 1]), Some(0), "the fewest devices");
        assert_eq!(least_loaded(&Loads::new(), &[3, 4]), Some(3));
    }

    #[test]
    fn a_device_moves_only_when_that_helps() {
        let two = [0, 1];
        assert_eq!(best_move(&loads(&[(0, 0, 0.5), (1, 0, 0.4), (2, 1, 0.1)]), &two), Some(((1, 0), 1)));
        assert_eq!(best_move(&loads(&[(0, 0, 0.9), (2, 1, 0.1)]), &two), None, "it would only change places");
        assert_eq!(best_move(&loads(&[(0, 0, 0.3), (1, 0, 0.3)]), &two), None, "nobody is busy");
        let mut fixed = loads(&[(0, 0, 0.5), (1, 0, 0.4), (2, 1, 0.1)]);
        fixed.values_mut().for_each(|l| l.fixed = true);
        assert_eq!(best_move(&fixed, &two), None);
    }

    #[test]
    fn new_workers_get_their_part_at_once() {
        let idle = loads(&[(0, 0, 0.0), (1, 0, 0.0), (2, 0, 0.0), (3, 0, 0.0)]);
        assert_eq!(spread(&idle, &[0, 1]), [((1, 0), 1), ((3, 0), 1)]);
        let one_is_busy = loads(&[(0, 0, 0.1), (1, 0, 0.6), (2, 0, 0.1)]);
        assert_eq!(spread(&one_is_busy, &[0, 1]), [((0, 0), 1), ((2, 0), 1)]);
        let even = loads(&[(0, 0, 0.0), (1, 1, 0.0), (2, 0, 0.0), (3, 1, 0.0)]);
        assert_eq!(spread(&even, &[0, 1]), []);
    }

    #[test]
    fn moves_come_to_an_end() {
        let mut all = loads(&[(0, 0, 0.30), (1, 0, 0.25), (2, 0, 0.20), (3, 0, 0.15), (4, 0, 0.10)]);
        let mut moves = 0;
        while let Some((device, to)) = best_move(&all, &[0, 1, 2]) {
            all.get_mut(&device).unwrap().worker = to;
            moves += 1;
            assert!(moves < 10);
        }
        let busiest = sums(&all, &[0, 1, 2]).iter().map(|s| s.1).fold(0.0, f64::max);
        assert!(busiest < BUSY, "{busiest}");
    }
}

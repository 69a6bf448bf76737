//! Frames from worker to worker.
//!
//! Purpose: a device is served by one worker, which receives and sends there; what another worker has
//! for the device crosses to its owner by a bounded ring between the two.
//! Invariant: frames of one worker for one device stay in order; a frame that finds no room is handed
//! back to be counted, none is lost in silence.
//! Deliberately does not know: threads, sleeping; it only notes whom frames were handed to.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};
use sluice_flow::PortIdx;
use sluice_frame::Frame;

/// Most workers of a switch.
pub const WORKERS_MAX: usize = 64;
/// Frames that a ring between two workers holds.
const RING: usize = 2048;
/// Most frames that are taken from one worker in one turn.
const TAKEN: usize = 256;
const NOBODY: u8 = u8::MAX;

/// Which worker serves each device; shared by all of them, written by the control side.
#[derive(Clone, Debug)]
pub struct Owners(Arc<[AtomicU8]>);

impl Default for Owners {
    fn default() -> Self {
        Owners((0..=PortIdx::MAX).map(|_| AtomicU8::new(NOBODY)).collect())
    }
}

impl Owners {
    /// The worker that serves a device.
    pub fn get(&self, device: PortIdx) -> Option<usize> {
        let owner = self.0.get(usize::from(device))?.load(Ordering::Relaxed);
        (owner != NOBODY).then_some(usize::from(owner))
    }

    /// Says who serves a device from now on.
    pub fn set(&self, device: PortIdx, worker: Option<usize>) {
        let value = worker.and_then(|w| u8::try_from(w).ok()).unwrap_or(NOBODY);
        if let Some(owner) = self.0.get(usize::from(device)) {
            owner.store(value, Ordering::Relaxed);
        }
    }
}

/// A frame on its way to the worker that serves its device.
#[derive(Debug)]
pub struct Crossing {
    device: PortIdx,
    frame: Frame,
}

/// One worker's ends of the rings between it and another.
#[derive(Debug)]
pub struct Link {
    to: Producer<Crossing>,
    from: Consumer<Crossing>,
}

/// Rings between two workers: the ends of either.
pub fn link() -> (Link, Link) {
    let (to_second, from_first) = RingBuffer::new(RING);
    let (to_first, from_second) = RingBuffer::new(RING);
    (Link { to: to_second, from: from_second }, Link { to: to_first, from: from_first })
}

/// One worker's rings to and from all others.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    owners: Option<Owners>,
    links: Vec<Option<Link>>,
    /// Workers that frames were handed to, a bit each.
    called: u64,
    /// A device that is about to move here: frames for it wait.
    pub expected: Option<PortIdx>,
}

impl Exchange {
    pub fn enrol(&mut self, owners: Owners) {
        self.owners = Some(owners);
    }

    pub fn meet(&mut self, other: usize, link: Link) {
        if self.links.len() <= other {
            self.links.resize_with(other + 1, || None);
        }
        if let Some(place) = self.links.get_mut(other) {
            *place = Some(link);
        }
    }

    /// Frames that still come from a worker that ended, or are on their way to it.
    pub fn part(&mut self, other: usize) -> Option<Link> {
        self.links.get_mut(other)?.take()
    }

    /// Hands frames to the worker that serves a device. What stays in `queue` found no room, or nobody
    /// that is known here serves the device. Returns how many were handed over.
    pub fn hand_over(&mut self, device: PortIdx, queue: &mut Vec<Frame>) -> (u64, Outcome) {
        let Some(owner) = self.owners.as_ref().and_then(|o| o.get(device)) else { return (0, Outcome::Nobody) };
        let Some(Some(link)) = self.links.get_mut(owner) else { return (0, Outcome::Nobody) };
        let room = link.to.slots().min(queue.len());
        for frame in queue.drain(..room) {
            // There is room: this side alone fills the ring.
            let _ = link.to.push(Crossing { device, frame });
        }
        if room > 0 {
            self.called |= 1 << owner;
        }
        (room as u64, Outcome::Full)
    }

    /// Takes frames that other workers handed over.
    pub fn take(&mut self, mut each: impl FnMut(PortIdx, Frame)) -> u64 {
        let mut taken = 0;
        for link in self.links.iter_mut().flatten() {
            for _ in 0..TAKEN {
                let Ok(Crossing { device, frame }) = link.from.pop() else { break };
                each(device, frame);
                taken += 1;
            }
        }
        taken
    }

    /// Do frames of other workers wait here?
    pub fn has_waiting(&self) -> bool {
        self.links.iter().flatten().any(|l| !l.from.is_empty())
    }

    /// Workers that frames were handed to since the last time, a bit each.
    pub fn take_called(&mut self) -> u64 {
        std::mem::take(&mut self.called)
    }
}

/// Why frames were not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nobody serves the device.
    Nobody,
    /// The ring is full.
    Full,
}

impl Link {
    /// Takes out what is left in it.
    pub(crate) fn drain(mut self, mut each: impl FnMut(PortIdx, Frame)) {
        while let Ok(Crossing { device, frame }) = self.from.pop() {
            each(device, frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_frame::Pool;

    fn two() -> (Exchange, Exchange, Owners) {
        let (mut a, mut b, owners) = (Exchange::default(), Exchange::default(), Owners::default());
        let (first, second) = link();
        a.enrol(owners.clone());
        b.enrol(owners.clone());
        a.meet(1, first);
        b.meet(0, second);
        (a, b, owners)
    }

    #[test]
    fn frames_reach_the_owner_of_their_device_in_order() {
        let (mut a, mut b, owners) = two();
        let mut pool = Pool::new(2048, 16).unwrap();
        owners.set(7, Some(1));
        let mut queue: Vec<Frame> = (0u8..10).map(|n| pool.alloc().map(|mut f| (f.fill(&[n; 60]), f).1).unwrap()).collect();
        assert_eq!(a.hand_over(7, &mut queue), (10, Outcome::Full));
        assert_eq!((a.take_called(), a.take_called()), (2, 0));
        assert!(b.has_waiting());
        let mut seen = Vec::new();
        let taken = b.take(|device, frame| {
            seen.push((device, frame.head()[0]));
            pool.free(frame);
        });
        assert_eq!(taken, 10);
        assert_eq!(seen, (0u8..10).map(|n| (7, n)).collect::<Vec<_>>());
    }

    #[test]
    fn what_finds_no_room_or_no_owner_is_given_back() {
        let (mut a, _b, owners) = two();
        let mut pool = Pool::new(2048, RING + 1).unwrap();
        let mut queue: Vec<Frame> = (0..=RING).map(|_| pool.alloc().unwrap()).collect();
        assert_eq!(a.hand_over(3, &mut queue), (0, Outcome::Nobody));
        owners.set(3, Some(1));
        assert_eq!(a.hand_over(3, &mut queue), (RING as u64, Outcome::Full));
        assert_eq!(queue.len(), 1);
        queue.drain(..).for_each(|f| pool.free(f));
    }
}

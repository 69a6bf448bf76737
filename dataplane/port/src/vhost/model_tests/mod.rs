//! Every order in which a guest and the switch can use a ring at once, under the memory model of Rust and
//! C: `make model-vhost`.
//!
//! The rings are the real ones; only the words of their memory are the checker's.

mod guest;
pub(crate) mod memory;

use std::ptr::NonNull;
use std::sync::Arc;

use guest::{Guest, Parts, SIZE};

use super::memory::Memory;
use super::queue::AnyRing;
use super::ring::event::Place;
use super::ring::packed::PackedRing;
use super::ring::split::SplitRing;
use super::ring::{Base, Batch, Ring, RingSpec};
use super::space::Space;

/// The switch's side.
struct Switch {
    ring: AnyRing,
    space: Space,
    batch: Batch,
    taken: u32,
}

/// Calls a method of a ring of either layout.
macro_rules! ring {
    ($switch:expr, $ring:ident => $body:expr) => {
        match &mut $switch.ring {
            AnyRing::Split($ring) => $body,
            AnyRing::Packed($ring) => $body,
        }
    };
}

impl Switch {
    /// Takes what is available and gives it back; is the guest to be called?
    fn work(&mut self) -> bool {
        ring!(self, r => r.fetch(&mut self.space, &mut self.batch, 2)).expect("the guest breaks no rule");
        for chain in &self.batch.chains {
            let d = self.batch.of(chain)[0];
            assert_eq!(d.address, 0x1000 + u64::from(self.taken), "taken in order and as it was laid out");
            assert_eq!(d.len, Guest::len_of(self.taken));
            self.taken += 1;
            ring!(self, r => r.complete(chain, d.len));
        }
        ring!(self, r => r.publish());
        ring!(self, r => r.wants_call())
    }

    fn arm(&mut self) -> bool {
        ring!(self, r => r.arm())
    }

    fn has_work(&mut self) -> bool {
        ring!(self, r => r.fetch(&mut self.space, &mut self.batch, 2)).expect("the guest breaks no rule");
        !self.batch.chains.is_empty()
    }
}

/// A ring whose indices are about to wrap.
fn pair(packed: bool, event_index: bool) -> (Guest, Switch) {
    // Addresses that belong to nobody: only cells are reached by them.
    let part = |n: usize| NonNull::new((0x10000 * n) as *mut u8).expect("not null");
    let parts = Parts { desc: part(1), driver: part(2), device: part(3) };
    let size = usize::from(SIZE);
    memory::make(parts.desc, (0..size).flat_map(|i| [0, 8, 12, 14].map(|o| 16 * i + o)));
    memory::make(parts.driver, (0..4 + size).map(|i| 2 * i));
    memory::make(parts.device, [0, 2, 4 + 8 * size].into_iter().chain((0..size).map(|i| 4 + 8 * i)));
    let place = if packed { Place { index: SIZE - 1, wrap: true } } else { Place { index: u16::MAX, wrap: true } };
    let base = match packed {
        true => Base::Packed { available: place, used: place },
        false => Base::Split { available: place.index, used: place.index },
    };
    if packed {
        // Nothing is available: marks of the other round.
        (0..size).for_each(|i| memory::mark(parts.desc, 16 * i + 14, if i < size - 1 { 1 << 7 | 1 << 15 } else { 0 }));
    } else {
        memory::mark(parts.device, 2, place.index);
        memory::mark(parts.driver, 2, place.index);
    }
    let guest = Guest { parts, packed, event_index, next: place, seen: place, out: 0, made: 0 };
    guest.hush();
    let spec = RingSpec { size: SIZE, desc: parts.desc, driver: parts.driver, device: parts.device, event_index, indirect: true, base, log: None };
    let ring = match packed {
        true => AnyRing::Packed(PackedRing::new(spec, None).expect("a ring")),
        false => AnyRing::Split(SplitRing::new(spec, None).expect("a ring")),
    };
    (guest, Switch { ring, space: Space::new(Arc::new(Memory::default()), None), batch: Batch::new(), taken: 0 })
}

/// Tries every order for both layouts, with and without the event index.
fn in_every_order(run: impl Fn(Guest, Switch) + Send + Sync + Copy + 'static) {
    for (packed, event_index) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut checker = loom::model::Builder::new();
        checker.preemption_bound = Some(3);
        checker.check(move || {
            let (guest, switch) = pair(packed, event_index);
            run(guest, switch);
            memory::clear();
        });
    }
}

fn check_back(guest: &mut Guest, back: &mut u32) {
    while let Some((id, len)) = guest.take() {
        assert_eq!(len, Guest::len_of(*back), "given back in order and as it was written");
        if guest.packed {
            assert_eq!(u32::from(id), *back);
        }
        *back += 1;
    }
}

#[test]
fn chains_cross_and_come_back_as_they_were_written() {
    in_every_order(|mut guest, mut switch| {
        let other = loom::thread::spawn(move || {
            let mut back = 0;
            guest.give();
            guest.give();
            check_back(&mut guest, &mut back);
            guest.give();
            (guest, back)
        });
        switch.work();
        switch.work();
        let (mut guest, mut back) = other.join().expect("the guest");
        switch.work();
        check_back(&mut guest, &mut back);
        assert_eq!((switch.taken, back, guest.out), (guest.made, guest.made, 0), "none is lost");
    });
}

#[test]
fn a_switch_that_sleeps_is_kicked() {
    in_every_order(|mut guest, mut switch| {
        let other = loom::thread::spawn(move || guest.give().expect("room"));
        switch.work();
        let sleeps = switch.arm();
        let kicked = other.join().expect("the guest");
        assert!(!sleeps || kicked || !switch.has_work(), "work waits, and nobody wakes the switch");
    });
}

#[test]
fn a_guest_that_sleeps_is_called() {
    in_every_order(|mut guest, mut switch| {
        // The first one is told in any case.
        guest.give();
        switch.work();
        guest.take().expect("given back");
        guest.hush();
        guest.give();
        let other = loom::thread::spawn(move || guest.sleep());
        let called = switch.work();
        let sleeps = other.join().expect("the guest");
        assert!(!sleeps || called, "a chain came back, and nobody wakes the guest");
    });
}

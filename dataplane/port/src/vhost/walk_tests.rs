//! Every ring of up to eight entries, every chain that fits, around every wrap.

use std::os::fd::AsFd;
use std::sync::Arc;

use sluice_frame::{Frame, Pool};

use super::driver::{Buf, Driver, Guest, Shape, USER};
use super::memory::{Memory, RegionSpec};
use super::queue::{AnyRing, Queue};
use super::record::{Undone, LONG};
use super::ring::event::Place;
use super::ring::packed::PackedRing;
use super::ring::split::SplitRing;
use super::ring::{Base, Broken, RingSpec, Stop};
use super::space::Space;
use super::transfer::Transfer;
use crate::{Offloads, PortStats, SendDrop};

fn memory_of(g: &Guest) -> Arc<Memory> {
    let mut memory = Memory::default();
    let fd = g.fd.as_fd().try_clone_to_owned().unwrap();
    for (guest, len, offset) in g.regions() {
        memory.add(RegionSpec { guest, len, user: guest + USER, offset }, &fd).unwrap();
    }
    Arc::new(memory)
}

struct Bench {
    g: Guest,
    d: Driver,
    q: Queue,
    memory: Arc<Memory>,
    pool: Pool,
    stats: PortStats,
}

fn place(d: &Driver) -> Place {
    Place::from_word(d.base() as u16)
}

fn queue_for(d: &Driver, memory: &Arc<Memory>, mergeable: bool) -> Queue {
    let at = |a: u64| memory.by_guest(a).unwrap().find(a, 1).unwrap();
    let base = if d.shape.packed {
        Base::Packed { available: place(d), used: place(d) }
    } else {
        Base::Split { available: d.shape.start, used: d.shape.start }
    };
    let spec = RingSpec {
        size: d.shape.size,
        desc: at(d.desc),
        driver: at(d.driver),
        device: at(d.device),
        event_index: d.shape.event_index,
        indirect: true,
        base,
        log: None,
    };
    let ring = if d.shape.packed {
        AnyRing::Packed(PackedRing::new(spec, None).unwrap())
    } else {
        AnyRing::Split(SplitRing::new(spec, None).unwrap())
    };
    let may = Undone { offloads: Offloads::ALL, ecn: true };
    let transfer = Transfer::new(Space::new(memory.clone(), None), LONG, mergeable, may, true, None);
    Queue::new(0, ring, transfer, None, true)
}

impl Bench {
    fn new(shape: Shape, mergeable: bool) -> Bench {
        let mut g = Guest::new(1 << 17);
        let d = Driver::new(&mut g, shape);
        let memory = memory_of(&g);
        let q = queue_for(&d, &memory, mergeable);
        Bench { g, d, q, memory, pool: Pool::new(2048, 256).unwrap(), stats: PortStats::default() }
    }

    fn receive(&mut self) -> Result<Vec<Vec<u8>>, Stop> {
        let mut out = Vec::new();
        let result = self.q.receive(&mut self.pool, &mut out, 64, &mut self.stats);
        let bytes = out.iter().map(Frame::to_vec).collect();
        out.into_iter().for_each(|f| self.pool.free(f));
        result.map(|_| bytes)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), SendDrop> {
        let f = self.pool.copy_in(bytes).unwrap();
        self.q.prepare(1).unwrap();
        let result = self.q.put(&f).unwrap();
        self.q.finish();
        self.pool.free(f);
        result
    }
}

fn shapes() -> Vec<Shape> {
    let mut all = Vec::new();
    for size in 1..=8u16 {
        for packed in [false, true] {
            if !packed && !size.is_power_of_two() {
                continue;
            }
            let last: Vec<u16> = if packed { (0..2 * size).collect() } else { (0..size).chain([65_535 - size, 65_534, 65_535]).collect() };
            for start in last {
                for event_index in [false, true] {
                    all.push(Shape { size, packed, event_index, start });
                }
            }
        }
    }
    all
}

/// Cuts `bytes` into `parts` buffers at `at`, with gaps between them.
fn lay_out(g: &Guest, at: u64, bytes: &[u8], parts: usize) -> Vec<Buf> {
    let step = bytes.len().div_ceil(parts).max(1);
    let mut bufs = Vec::new();
    for (i, part) in bytes.chunks(step).enumerate() {
        let address = at + (i * (step + 3)) as u64;
        g.write(address, part);
        bufs.push(Buf { address, len: part.len() as u32, write: false });
    }
    bufs
}

fn message(seed: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; LONG];
    bytes.extend((0..len).map(|i| (i * 7 + seed * 13) as u8));
    bytes
}

#[test]
fn every_small_ring_receives_every_chain_around_every_wrap() {
    for shape in shapes() {
        let mut b = Bench::new(shape, true);
        let area = b.g.take(8192, 64);
        let table = b.g.take(16 * 32, 16);
        let mut seed = 0;
        for round in 0..3 {
            for parts in 1..=usize::from(shape.size) {
                for waiting in 1..=usize::from(shape.size) / parts {
                    let mut expected = Vec::new();
                    for n in 0..waiting {
                        seed += 1;
                        let bytes = message(seed, 40 + seed % 50);
                        let bufs = lay_out(&b.g, area + 1000 * n as u64, &bytes, parts);
                        let indirect = (round == 1 && n == 0).then_some(table);
                        b.d.add(&b.g, &bufs, indirect).expect("room");
                        expected.push(bytes[LONG..].to_vec());
                    }
                    assert_eq!(b.receive().unwrap(), Vec::<Vec<u8>>::new(), "{shape:?}: seen before it was published");
                    assert!(b.q.arm(), "{shape:?}");
                    b.d.publish(&b.g);
                    assert!(b.d.wants_kick(&b.g), "{shape:?} {parts} {waiting}: an armed ring wants to be told");
                    assert!(!b.q.arm(), "{shape:?}: frames wait");
                    b.q.disarm();
                    assert_eq!(b.receive().unwrap(), expected, "{shape:?} {parts} {waiting}");
                    for _ in 0..waiting {
                        assert!(b.d.pop(&b.g).is_some(), "{shape:?}");
                    }
                    assert!(b.d.pop(&b.g).is_none());
                }
            }
        }
        assert_eq!((b.d.outstanding(), b.pool.outstanding(), b.stats.rx_errors), (0, 0, 0));
    }
}

#[test]
fn every_small_ring_sends_into_every_layout_of_buffers() {
    for shape in shapes() {
        for parts in 1..=usize::from(shape.size) {
            let mut b = Bench::new(shape, true);
            let area = b.g.take(8192, 64);
            let chains = usize::from(shape.size) / parts;
            for round in 0..5 {
                let mut ids = Vec::new();
                for n in 0..chains {
                    // The first buffer has room for the header, the others for less.
                    let bufs: Vec<Buf> = (0..parts)
                        .map(|p| Buf { address: area + (n * 800 + p * 60) as u64, len: if p == 0 { 20 } else { 11 }, write: true })
                        .collect();
                    ids.push((b.d.add(&b.g, &bufs, None).expect("room"), bufs));
                }
                b.d.publish(&b.g);
                let capacity = 20 + 11 * (parts - 1);
                let needed = 1 + round % chains;
                // Just fits into so many chains.
                let frame: Vec<u8> = (0..capacity * needed - LONG).map(|i| (i + round) as u8).collect();
                b.send(&frame).unwrap();
                let mut got = Vec::new();
                for (id, bufs) in ids.iter().take(needed) {
                    let (used, len) = b.d.pop(&b.g).expect("used");
                    assert_eq!((used, len as usize), (*id, capacity), "{shape:?}");
                    bufs.iter().for_each(|buf| got.extend(b.g.read(buf.address, buf.len as usize)));
                }
                assert_eq!(got[10..12], (needed as u16).to_le_bytes(), "{shape:?}: number of buffers");
                assert_eq!(got[LONG..], frame[..], "{shape:?} {parts} {needed}");
                let too_long = vec![0; capacity * (chains - needed) + 1];
                assert_eq!(b.send(&too_long), Err(SendDrop::QueueFull), "{shape:?}");
                assert!(b.d.pop(&b.g).is_none(), "{shape:?}: a frame that does not fit takes nothing");
                for _ in needed..chains {
                    b.send(&[9; 8]).unwrap();
                    assert_eq!(b.d.pop(&b.g).expect("used").1, 20);
                }
                assert_eq!(b.send(&[1; 8]), Err(SendDrop::QueueFull));
            }
        }
    }
}

#[test]
fn without_mergeable_buffers_a_frame_takes_one_chain_or_none() {
    for packed in [false, true] {
        let mut b = Bench::new(Shape { size: 4, packed, event_index: false, start: 0 }, false);
        let area = b.g.take(4096, 64);
        for n in 0..2 {
            let bufs = [Buf { address: area + n * 200, len: 30, write: true }, Buf { address: area + n * 200 + 100, len: 50, write: true }];
            b.d.add(&b.g, &bufs, None).unwrap();
        }
        b.d.publish(&b.g);
        assert_eq!(b.send(&[1; 69]), Err(SendDrop::TooLong));
        b.send(&[2; 68]).unwrap();
        assert_eq!(b.d.pop(&b.g).unwrap().1, 80);
    }
}

#[test]
fn a_buffer_across_two_regions_is_one_buffer() {
    for packed in [false, true] {
        let mut b = Bench::new(Shape { size: 4, packed, event_index: false, start: 0 }, true);
        let border = b.g.border();
        let bytes = message(3, 100);
        b.g.write(border - 50, &bytes);
        b.d.add(&b.g, &[Buf { address: border - 50, len: bytes.len() as u32, write: false }], None).unwrap();
        b.d.publish(&b.g);
        assert_eq!(b.receive().unwrap(), [bytes[LONG..].to_vec()]);
        b.d.pop(&b.g).unwrap();
        b.d.add(&b.g, &[Buf { address: border - 20, len: 200, write: true }], None).unwrap();
        b.d.publish(&b.g);
        b.send(&bytes[LONG..]).unwrap();
        assert_eq!(b.g.read(border - 20 + LONG as u64, 100), bytes[LONG..]);
    }
}

/// What a guest writes into its first descriptor, and what that is.
fn break_first(b: &mut Bench, bufs: &[Buf], table: Option<u64>, spoil: impl Fn(&Guest, &Driver)) -> Result<Vec<Vec<u8>>, Stop> {
    b.d.add(&b.g, bufs, table).unwrap();
    spoil(&b.g, &b.d);
    b.d.publish(&b.g);
    b.receive()
}

#[test]
fn whatever_breaks_the_rules_is_found_and_named() {
    let broken = |b: Broken| Err(Stop::Broken(b));
    for packed in [false, true] {
        let shape = Shape { size: 8, packed, event_index: false, start: 0 };
        let fresh = || {
            let mut b = Bench::new(shape, true);
            let area = b.g.take(8192, 64);
            (b, area)
        };
        let good = |area: u64| Buf { address: area, len: 80, write: false };
        let (mut b, area) = fresh();
        let wild = Buf { address: u64::MAX - 4, ..good(area) };
        assert_eq!(break_first(&mut b, &[wild], None, |_, _| {}), broken(Broken::BadAddress));
        let (mut b, area) = fresh();
        let end = b.g.border() + b.g.len / 2;
        assert_eq!(break_first(&mut b, &[Buf { address: end - 79, ..good(area) }], None, |_, _| {}), broken(Broken::BadAddress));
        let (mut b, area) = fresh();
        assert_eq!(break_first(&mut b, &[Buf { write: true, ..good(area) }], None, |_, _| {}), broken(Broken::WrongDirection));
        let (mut b, area) = fresh();
        let nested = |g: &Guest, _: &Driver| {
            let flags = area + 4096 + if packed { 14 } else { 12 };
            g.put16(flags, 4);
        };
        assert_eq!(break_first(&mut b, &[good(area)], Some(area + 4096), nested), broken(Broken::BadTable));
        let (mut b, area) = fresh();
        let torn = |g: &Guest, d: &Driver| g.write(d.desc + 8, &17u32.to_le_bytes());
        assert_eq!(break_first(&mut b, &[good(area)], Some(area + 4096), torn), broken(Broken::BadTable));
        let (mut b, area) = fresh();
        let empty = |g: &Guest, d: &Driver| g.write(d.desc + 8, &0u32.to_le_bytes());
        assert_eq!(break_first(&mut b, &[good(area)], Some(area + 4096), empty), broken(Broken::BadTable));
    }
    let split = Shape { size: 8, packed: false, event_index: false, start: 0 };
    let mut b = Bench::new(split, true);
    let area = b.g.take(8192, 64);
    let circle = |g: &Guest, d: &Driver| {
        let at = d.desc;
        g.put16(at + 12, 1);
        g.put16(at + 14, 0);
    };
    let good = Buf { address: area, len: 80, write: false };
    assert_eq!(break_first(&mut b, &[good], None, circle), broken(Broken::LongChain));
    let mut b = Bench::new(split, true);
    assert_eq!(break_first(&mut b, &[good], None, |g, d| g.put16(d.driver + 4, 8)), broken(Broken::BadIndex));
    let mut b = Bench::new(split, true);
    b.g.put16(b.d.driver + 2, 9);
    assert_eq!(b.receive(), broken(Broken::Overrun));
    // A packed ring whose every descriptor says that another follows.
    let mut b = Bench::new(Shape { packed: true, ..split }, true);
    for i in 0..8 {
        b.g.put16(b.d.desc + 16 * i + 14, 1 | 1 << 7);
    }
    assert_eq!(b.receive(), broken(Broken::LongChain));
}

#[test]
fn frames_before_a_bad_one_come_through() {
    let mut b = Bench::new(Shape { size: 8, packed: false, event_index: false, start: 0 }, true);
    let area = b.g.take(8192, 64);
    let bytes = message(1, 60);
    for n in 0..3 {
        b.g.write(area + n * 100, &bytes);
        b.d.add(&b.g, &[Buf { address: area + n * 100, len: 72, write: false }], None).unwrap();
    }
    b.d.add(&b.g, &[Buf { address: 1, len: 72, write: false }], None).unwrap();
    b.d.publish(&b.g);
    let mut out = Vec::new();
    let result = b.q.receive(&mut b.pool, &mut out, 64, &mut b.stats);
    assert_eq!((out.len(), result), (3, Err(Stop::Broken(Broken::BadAddress))));
    out.into_iter().for_each(|f| b.pool.free(f));
    assert_eq!(b.memory.by_guest(area).map(|w| w.guest), Some(super::driver::BASE));
}

//! The guest as an enemy: rings, tables, headers and records full of made-up and half-right bytes.
//!
//! Promise: whatever a guest writes, nothing panics, nothing outside of its memory changes, no chunk
//! of the pool is lost, and every frame that comes out has a length and a record that fit.
//! `HOSTILE_RUNS` and `HOSTILE_SEED` say how many and which; `make fuzz-vhost` runs very many, with a
//! second thread that scribbles while the rings are walked.

mod enemy;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use sluice_frame::{Frame, Gso, Meta, Pool, FRAME_MAX};

use enemy::{any_address, file, go_on, scribble, Dice, Life, View};
use enemy::{BASE, CANARY, DEVICE, DRIVER, FILE, GAP, HALF, SIZE_MAX};

use super::dirty::DirtyLog;
use super::inflight::{len_of_queue, InflightMemory};
use super::memory::{Memory, RegionSpec};
use super::queue::{AnyRing, Queue};
use super::record::{Undone, LONG, SHORT};
use super::ring::packed::PackedRing;
use super::ring::split::SplitRing;
use super::ring::{Base, Broken, RingSpec, Stop};
use super::space::{Iotlb, Space, Translation};
use super::transfer::Transfer;
use crate::{Offloads, PortStats, SendDrop};

/// What lives came to: a change of the enemy that makes it tamer shows here.
#[derive(Debug, Default)]
struct Reached {
    lives: u64,
    /// Frames that were taken from the enemy, those in several pieces, and those with work undone.
    frames: u64,
    pieces: u64,
    undone: u64,
    /// Frames that the enemy got.
    sent: u64,
    full: u64,
    long: u64,
    /// Translations that were not there.
    misses: u64,
    /// Rules that were broken, by [`Broken`]'s order.
    broken: [u64; Broken::TornMemory as usize + 1],
}

impl Reached {
    fn stop(&mut self, stop: Stop) -> bool {
        match stop {
            Stop::Miss { .. } => self.misses += 1,
            Stop::Broken(b) => self.broken[b as usize] += 1,
        }
        true
    }

    /// Was everything met that an enemy can bring about?
    fn is_everything(&self) -> bool {
        let counts = [self.frames, self.pieces, self.undone, self.sent, self.full, self.long, self.misses];
        counts.iter().all(|n| *n > 0) && RULES.iter().all(|b| self.broken[*b as usize] > 0)
    }
}

struct Arena {
    view: View,
    memory: Arc<Memory>,
    log: Arc<DirtyLog>,
    /// Records of chains in flight, of a split and of a packed ring, in the same memory.
    records: [InflightMemory; 2],
    record_view: View,
    pool: Pool,
    out: Vec<Frame>,
    reached: Reached,
}

const RECORD: u64 = 8192;
/// What a ring can find wrong.
const RULES: [Broken; 7] = [
    Broken::Overrun,
    Broken::BadIndex,
    Broken::LongChain,
    Broken::BadTable,
    Broken::BadAddress,
    Broken::WrongDirection,
    Broken::SmallBuffer,
];
/// Bytes of the longest frame that is sent to the enemy.
static SENT: [u8; FRAME_MAX] = [7; FRAME_MAX];

impl Arena {
    fn new() -> Arena {
        let fd = file(FILE);
        std::fs::File::from(fd.try_clone().unwrap()).write_all(&[CANARY; FILE as usize]).unwrap();
        let mut memory = Memory::default();
        memory.add(RegionSpec { guest: BASE, len: HALF, user: BASE, offset: 2 * GAP + HALF }, &fd).unwrap();
        memory.add(RegionSpec { guest: BASE + HALF, len: HALF, user: BASE + HALF, offset: GAP }, &fd).unwrap();
        let log = file(4096);
        let record = file(RECORD);
        let records = [false, true].map(|packed| {
            let len = len_of_queue(SIZE_MAX as u16, packed);
            InflightMemory::new(&record, 0, len, 1, SIZE_MAX as u16, packed).unwrap()
        });
        Arena {
            view: View::new(&fd, FILE),
            memory: Arc::new(memory),
            log: Arc::new(DirtyLog::new(&log, 0, 40).unwrap()),
            record_view: View::new(&record, RECORD),
            records,
            pool: Pool::new(2048, 128).unwrap(),
            out: Vec::with_capacity(64),
            reached: Reached::default(),
        }
    }

    fn queue(&mut self, d: &mut Dice, life: &Life) -> Option<Queue> {
        let find = |a: u64| self.memory.by_guest(a).unwrap().find(a, 1).unwrap();
        let &Life { size, packed, start, place, mergeable, .. } = life;
        let base = if packed { Base::Packed { available: place, used: place } } else { Base::Split { available: start, used: start } };
        let log = d.one_in(8).then(|| self.log.clone());
        let spec = RingSpec {
            size: size as u16,
            desc: find(BASE),
            driver: find(BASE + DRIVER),
            device: find(BASE + DEVICE),
            event_index: d.one_in(2),
            indirect: !d.one_in(4),
            base,
            log: log.clone().map(|log| (log, d.next())),
        };
        let inflight = d.one_in(8).then(|| self.record(d, life));
        let ring = if packed {
            AnyRing::Packed(PackedRing::new(spec, inflight.and_then(|m| m.packed(0, size as u16))).ok()?)
        } else {
            AnyRing::Split(SplitRing::new(spec, inflight.and_then(|m| m.split(0, size as u16))).ok()?)
        };
        let iotlb = d.one_in(8).then(|| Arc::new(self.translations(d)));
        let may = if d.one_in(2) { Undone { offloads: Offloads::ALL, ecn: d.one_in(2) } } else { Undone::default() };
        let header = if mergeable || d.one_in(2) { LONG } else { SHORT };
        let transfer = Transfer::new(Space::new(self.memory.clone(), iotlb), header, mergeable, may, true, log);
        Some(Queue::new(0, ring, transfer, None, true))
    }

    /// A record in which a few bytes are others, most of them near its head.
    fn record(&self, d: &mut Dice, life: &Life) -> &InflightMemory {
        for _ in 0..d.below(40) {
            let at = if d.one_in(4) { d.below(RECORD) } else { d.below(256) };
            self.record_view.put(at, &[if d.one_in(2) { d.next() as u8 } else { d.below(4) as u8 }]);
        }
        if !life.lies(d) {
            // Version and size are right: the rest of it is believed.
            self.record_view.put(8, &[1, 0, life.size as u8, 0]);
        }
        &self.records[usize::from(life.packed)]
    }

    fn translations(&self, d: &mut Dice) -> Iotlb {
        let mut t = Iotlb::default();
        for _ in 0..d.below(12) {
            let iova = any_address(d);
            let len = 1 + d.below(0x4000);
            let Some(last) = iova.checked_add(len - 1) else { continue };
            let user = if d.one_in(4) { d.next() } else { iova };
            t.update(Translation { iova, last, user, read: !d.one_in(4), write: !d.one_in(4) });
        }
        t
    }

    fn frame(&mut self, d: &mut Dice) -> Option<Frame> {
        let len = if d.one_in(16) { d.below(FRAME_MAX as u64) } else { 14 + d.below(1600) } as usize;
        let mut f = self.pool.copy_in(&SENT[..len.max(14)])?;
        if d.one_in(4) {
            f.meta = Meta { needs_csum: true, csum_start: d.next() as u16, csum_offset: 6, gso: Gso::Tcp4, gso_size: 9, ..Meta::default() };
        }
        Some(f)
    }

    /// One life of an enemy.
    fn run(&mut self, d: &mut Dice) {
        let life = Life::draw(d);
        scribble(self.view, d, &life);
        self.reached.lives += 1;
        let Some(mut q) = self.queue(d, &life) else { return };
        let mut stats = PortStats::default();
        for round in 0..1 + d.below(4) {
            if round > 0 && d.one_in(2) {
                go_on(self.view, d, &life, q.base());
            }
            let send = life.guest_receives != d.one_in(16);
            let failed = if send { self.send(&mut q, d) } else { self.receive(&mut q, &mut stats) };
            if d.one_in(8) {
                q.arm();
                q.disarm();
            }
            if failed {
                break;
            }
        }
        q.base();
        assert_eq!(self.pool.outstanding(), 0, "frames are lost");
    }

    fn receive(&mut self, q: &mut Queue, stats: &mut PortStats) -> bool {
        let result = q.receive(&mut self.pool, &mut self.out, 64, stats);
        for f in self.out.drain(..) {
            let (len, m) = (f.len(), f.meta);
            assert!((14..=FRAME_MAX).contains(&len), "a frame of {len} bytes");
            assert!(!m.needs_csum || usize::from(m.csum_start) + usize::from(m.csum_offset) + 2 <= len, "{m:?} in {len}");
            assert!(m.gso == Gso::None || m.gso_size > 0);
            self.reached.frames += 1;
            self.reached.pieces += u64::from(!f.is_linear());
            self.reached.undone += u64::from(m.needs_csum);
            self.pool.free(f);
        }
        result.is_err_and(|stop| self.reached.stop(stop))
    }

    fn send(&mut self, q: &mut Queue, d: &mut Dice) -> bool {
        let n = 1 + d.below(6);
        let mut failed = q.prepare(n as usize).is_err_and(|stop| self.reached.stop(stop));
        for _ in 0..n {
            let Some(f) = self.frame(d) else { break };
            if !failed {
                match q.put(&f) {
                    Ok(Ok(())) => self.reached.sent += 1,
                    Ok(Err(SendDrop::TooLong)) => self.reached.long += 1,
                    Ok(Err(_)) => self.reached.full += 1,
                    Err(stop) => failed = self.reached.stop(stop),
                }
            }
            self.pool.free(f);
        }
        q.finish();
        failed
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(otherwise)
}

fn lives(runs: u64, seed: u64) {
    let mut arena = Arena::new();
    for i in 0..runs {
        // Every life has a seed of its own, so that one can be lived again alone.
        let life = seed.wrapping_add(i);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| arena.run(&mut Dice(life))));
        assert!(caught.is_ok(), "life {life}: run with HOSTILE_SEED={life} HOSTILE_RUNS=1");
        if i % 1024 == 0 || i + 1 == runs {
            assert!(arena.view.gaps_are_whole(), "memory beside the guest's was written, up to life {life}");
        }
        if i % 10_000_000 == 0 && i > 0 {
            eprintln!("{i} lives");
        }
    }
    eprintln!("{:?}", arena.reached);
    assert!(runs < 50_000 || arena.reached.is_everything(), "the enemy is tamer than it should be: {:?}", arena.reached);
}

#[test]
fn whatever_a_guest_writes_only_the_guest_suffers() {
    lives(number("HOSTILE_RUNS", 50_000), number("HOSTILE_SEED", 1));
}

#[test]
#[ignore = "long: make fuzz-vhost"]
fn whatever_a_guest_writes_while_it_is_read() {
    let runs = number("HOSTILE_RUNS", 1_000_000);
    let mut arena = Arena::new();
    let (view, stop) = (arena.view, AtomicBool::new(false));
    std::thread::scope(|s| {
        let stop = &stop;
        s.spawn(move || {
            let view = view;
            let mut d = Dice(99);
            while !stop.load(Ordering::Relaxed) {
                let at = if d.one_in(2) { d.below(0x1000) } else { d.below(2 * HALF) };
                // A byte here and there, and now and then a whole word.
                let bytes = d.next().to_le_bytes();
                match at % 8 {
                    0 if d.one_in(4) => view.guest(BASE + at, &bytes),
                    _ => view.guest(BASE + at, &bytes[..1]),
                }
            }
        });
        let seed = number("HOSTILE_SEED", 1);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (0..runs).for_each(|i| {
            arena.run(&mut Dice(seed + i));
            if i % 10_000_000 == 0 && i > 0 {
                eprintln!("{i} lives under another's hand");
            }
        })));
        stop.store(true, Ordering::Relaxed);
        assert!(result.is_ok());
    });
    assert!(arena.view.gaps_are_whole());
    eprintln!("{:?}", arena.reached);
}

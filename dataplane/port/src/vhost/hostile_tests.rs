//! The guest as an enemy: rings, tables, headers and records full of made-up and half-right bytes.
//!
//! Promise: whatever a guest writes, nothing panics, nothing outside of its memory changes, no chunk
//! of the pool is lost, and every frame that comes out has a length and a record that fit.
//! `HOSTILE_RUNS` and `HOSTILE_SEED` say how many and which; `make fuzz-vhost` runs very many, with a
//! second thread that scribbles while the rings are walked.

use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use sluice_frame::{Frame, Gso, Meta, Pool, FRAME_MAX};

use super::dirty::DirtyLog;
use super::inflight::{len_of_queue, InflightMemory};
use super::memory::{Memory, RegionSpec};
use super::queue::{AnyRing, Queue};
use super::record::{Undone, LONG, SHORT};
use super::ring::event::Place;
use super::ring::packed::PackedRing;
use super::ring::split::SplitRing;
use super::ring::{Base, RingSpec};
use super::space::{Iotlb, Space, Translation};
use super::transfer::Transfer;
use crate::{Offloads, PortStats};

const BASE: u64 = 0x10_0000;
const HALF: u64 = 0x8000;
const GAP: u64 = 0x1000;
/// Gap, region, gap, region, gap.
const FILE: u64 = 3 * GAP + 2 * HALF;
const CANARY: u8 = 0xa5;
const SIZE_MAX: u64 = 64;

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn file(len: u64) -> OwnedFd {
    // SAFETY: the name ends in a zero byte; the descriptor is new.
    let fd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"enemy".as_ptr(), libc::MFD_CLOEXEC)) };
    // SAFETY: no memory is passed.
    assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), len as i64) }, 0);
    fd
}

/// The whole file as the enemy and the judge see it.
#[derive(Clone, Copy)]
struct View(*mut u8);

// SAFETY: it is an address of a mapping that lives as long as the test.
unsafe impl Send for View {}

impl View {
    fn new(fd: &OwnedFd, len: u64) -> View {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, never unmapped.
        let p = unsafe { libc::mmap(std::ptr::null_mut(), len as usize, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        assert_ne!(p, libc::MAP_FAILED);
        View(p.cast())
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        for (i, b) in bytes.iter().enumerate() {
            // SAFETY: callers stay inside of the file.
            unsafe { self.0.add(at as usize + i).write_volatile(*b) };
        }
    }

    /// Guest addresses to places in the file; the regions lie in the other order there.
    fn guest(&self, address: u64, bytes: &[u8]) {
        for (offset, b) in (address - BASE..).zip(bytes) {
            self.put(if offset < HALF { 2 * GAP + HALF + offset } else { GAP + offset - HALF }, &[*b]);
        }
    }

    fn gaps_are_whole(&self) -> bool {
        let gaps = [0, GAP + HALF, 2 * GAP + 2 * HALF];
        // SAFETY: the gaps lie in the file.
        let gap = |at: u64| unsafe { std::slice::from_raw_parts(self.0.add(at as usize), GAP as usize) };
        gaps.iter().all(|at| gap(*at).iter().all(|b| *b == CANARY))
    }
}

struct Arena {
    view: View,
    memory: Arc<Memory>,
    log: Arc<DirtyLog>,
    record: OwnedFd,
    record_view: View,
    pool: Pool,
}

const RECORD: u64 = 8192;

impl Arena {
    fn new() -> Arena {
        let fd = file(FILE);
        std::fs::File::from(fd.try_clone().unwrap()).write_all(&[CANARY; FILE as usize]).unwrap();
        let mut memory = Memory::default();
        memory.add(RegionSpec { guest: BASE, len: HALF, user: BASE, offset: 2 * GAP + HALF }, &fd).unwrap();
        memory.add(RegionSpec { guest: BASE + HALF, len: HALF, user: BASE + HALF, offset: GAP }, &fd).unwrap();
        let log = file(4096);
        let record = file(RECORD);
        Arena {
            view: View::new(&fd, FILE),
            memory: Arc::new(memory),
            log: Arc::new(DirtyLog::new(&log, 0, 40).unwrap()),
            record_view: View::new(&record, RECORD),
            record,
            pool: Pool::new(2048, 128).unwrap(),
        }
    }

    /// An address that is often good and often just not.
    fn address(d: &mut Dice) -> u64 {
        match d.below(16) {
            0 => d.next(),
            1 => BASE + 2 * HALF - d.below(64),
            2 => BASE + HALF - d.below(64),
            3 => BASE.wrapping_sub(d.below(64)),
            4 => u64::MAX - d.below(4096),
            _ => BASE + 0x2000 + d.below(2 * HALF - 0x2000),
        }
    }

    fn length(d: &mut Dice) -> u32 {
        match d.below(12) {
            0 => d.next() as u32,
            1 => u32::MAX - d.below(32) as u32,
            2 => 0,
            3 => 16 * d.below(40) as u32,
            4 => d.below(70_000) as u32,
            _ => d.below(300) as u32,
        }
    }

    fn descriptor(d: &mut Dice, size: u64, packed: bool) -> [u8; 16] {
        let mut b = [0; 16];
        b[..8].copy_from_slice(&Self::address(d).to_le_bytes());
        b[8..12].copy_from_slice(&Self::length(d).to_le_bytes());
        let flags = match d.below(8) {
            0 => d.next() as u16,
            1 => 4,
            2 | 3 => 2,
            4 => 1,
            5 => 3,
            _ => 0,
        };
        let other = if d.one_in(8) { d.next() as u16 } else { d.below(size + 1) as u16 };
        if packed {
            let mark = [1 << 7, 1 << 15, 1 << 7 | 1 << 15, 0][d.below(4) as usize];
            b[12..14].copy_from_slice(&other.to_le_bytes());
            b[14..16].copy_from_slice(&(flags | mark).to_le_bytes());
        } else {
            b[12..14].copy_from_slice(&flags.to_le_bytes());
            b[14..16].copy_from_slice(&other.to_le_bytes());
        }
        b
    }

    /// Rings at the start of memory, tables and headers anywhere behind.
    fn scribble(view: View, d: &mut Dice, size: u64, packed: bool) {
        for i in 0..size {
            view.guest(BASE + 16 * i, &Self::descriptor(d, size, packed));
        }
        let driver = BASE + 16 * SIZE_MAX;
        let device = driver + 0x400;
        view.guest(driver, &(d.next() as u16 & 3).to_le_bytes());
        let index = if d.one_in(4) { d.next() as u16 } else { d.below(size + 2) as u16 };
        view.guest(driver + 2, &index.to_le_bytes());
        for i in 0..size + 1 {
            let entry = if d.one_in(16) { d.next() as u16 } else { d.below(size) as u16 };
            view.guest(driver + 4 + 2 * i, &entry.to_le_bytes());
        }
        view.guest(device + 2, &(if d.one_in(4) { d.next() as u16 } else { 0 }).to_le_bytes());
        for _ in 0..d.below(24) {
            let at = BASE + 0x2000 + d.below(2 * HALF - 0x2000 - 32);
            if d.one_in(2) {
                let table = Self::descriptor(d, 8, packed);
                view.guest(at, &table);
            } else {
                let mut header = [0u8; 12];
                header[..8].copy_from_slice(&d.next().to_le_bytes());
                header[0] &= 3;
                header[1] = [0, 1, 4, 5, 0x81, 3, 0xff][d.below(7) as usize];
                view.guest(at, &header);
            }
        }
    }

    fn queue(&mut self, d: &mut Dice, size: u64, packed: bool, mergeable: bool) -> Option<Queue> {
        let find = |a: u64| self.memory.by_guest(a).unwrap().find(a, 1).unwrap();
        let driver = BASE + 16 * SIZE_MAX;
        let place = Place { index: d.below(size + 1) as u16, wrap: d.one_in(2) };
        let start = if d.one_in(4) { d.next() as u16 } else { 0 };
        let base = if packed { Base::Packed { available: place, used: place } } else { Base::Split { available: start, used: start } };
        let log = d.one_in(8).then(|| self.log.clone());
        let spec = RingSpec {
            size: size as u16,
            desc: find(BASE),
            driver: find(driver),
            device: find(driver + 0x400),
            event_index: d.one_in(2),
            indirect: !d.one_in(4),
            base,
            log: log.clone().map(|log| (log, d.next())),
        };
        let inflight = d.one_in(8).then(|| self.record(d, packed)).flatten();
        let inflight = inflight.as_ref();
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

    fn record(&self, d: &mut Dice, packed: bool) -> Option<InflightMemory> {
        for _ in 0..d.below(40) {
            self.record_view.put(d.below(RECORD), &[d.next() as u8]);
        }
        let len = len_of_queue(SIZE_MAX as u16, packed);
        InflightMemory::new(&self.record, 0, len, 1, SIZE_MAX as u16, packed).ok()
    }

    fn translations(&self, d: &mut Dice) -> Iotlb {
        let mut t = Iotlb::default();
        for _ in 0..d.below(12) {
            let iova = Self::address(d);
            let len = 1 + d.below(0x4000);
            let Some(last) = iova.checked_add(len - 1) else { continue };
            let user = if d.one_in(4) { d.next() } else { iova };
            t.update(Translation { iova, last, user, read: !d.one_in(4), write: !d.one_in(4) });
        }
        t
    }

    fn frame(&mut self, d: &mut Dice) -> Option<Frame> {
        let len = if d.one_in(16) { d.below(FRAME_MAX as u64) } else { 14 + d.below(1600) } as usize;
        let mut f = self.pool.copy_in(&vec![7; len.max(14)])?;
        if d.one_in(4) {
            f.meta = Meta { needs_csum: true, csum_start: d.next() as u16, csum_offset: 6, gso: Gso::Tcp4, gso_size: 9, ..Meta::default() };
        }
        Some(f)
    }

    /// One life of an enemy.
    fn run(&mut self, d: &mut Dice) {
        let packed = d.one_in(2);
        let size = if packed { 1 + d.below(SIZE_MAX) } else { 1 << d.below(7) };
        let mergeable = d.one_in(2);
        Self::scribble(self.view, d, size, packed);
        let Some(mut q) = self.queue(d, size, packed, mergeable) else { return };
        let mut stats = PortStats::default();
        for _ in 0..1 + d.below(4) {
            let failed = if d.one_in(2) { self.receive(&mut q, &mut stats) } else { self.send(&mut q, d) };
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
        let mut out = Vec::new();
        let result = q.receive(&mut self.pool, &mut out, 64, stats);
        for f in out {
            let (len, m) = (f.len(), f.meta);
            assert!((14..=FRAME_MAX).contains(&len), "a frame of {len} bytes");
            assert!(!m.needs_csum || usize::from(m.csum_start) + usize::from(m.csum_offset) + 2 <= len, "{m:?} in {len}");
            assert!(m.gso == Gso::None || m.gso_size > 0);
            self.pool.free(f);
        }
        result.is_err()
    }

    fn send(&mut self, q: &mut Queue, d: &mut Dice) -> bool {
        let n = 1 + d.below(6);
        let mut failed = q.prepare(n as usize).is_err();
        for _ in 0..n {
            let Some(f) = self.frame(d) else { break };
            if !failed {
                failed = q.put(&f).is_err();
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
                let at = BASE + if d.one_in(2) { d.below(0x1000) } else { d.below(2 * HALF) };
                view.guest(at, &[d.next() as u8]);
            }
        });
        let seed = number("HOSTILE_SEED", 1);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (0..runs).for_each(|i| arena.run(&mut Dice(seed + i)))));
        stop.store(true, Ordering::Relaxed);
        assert!(result.is_ok());
    });
    assert!(arena.view.gaps_are_whole());
}

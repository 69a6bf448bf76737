//! What an enemy writes: rings, tables and headers, honest, half right and made up.
//!
//! Invariant: everything comes from the dice; all of it lies in the guest's memory.
//! Deliberately does not know: what is done with it.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::vhost::ring::event::Place;
use crate::vhost::ring::Base;

pub(super) const BASE: u64 = 0x10_0000;
pub(super) const HALF: u64 = 0x8000;
pub(super) const GAP: u64 = 0x1000;
/// Gap, region, gap, region, gap.
pub(super) const FILE: u64 = 3 * GAP + 2 * HALF;
pub(super) const CANARY: u8 = 0xa5;
pub(super) const SIZE_MAX: u64 = 64;

/// Where in the guest's memory its parts of the ring lie, the device's, indirect tables and buffers.
pub(super) const DRIVER: u64 = 16 * SIZE_MAX;
pub(super) const DEVICE: u64 = DRIVER + 0x400;
pub(super) const TABLES: u64 = 0x1800;
pub(super) const BUFFERS: u64 = 0x2000;
/// Descriptors of a table; twice as many find room.
pub(super) const TABLE: u64 = 24;

pub(super) struct Dice(pub(super) u64);

/// What one enemy is like.
pub(super) struct Life {
    pub(super) packed: bool,
    pub(super) size: u64,
    pub(super) mergeable: bool,
    /// Its buffers are to be written to.
    pub(super) guest_receives: bool,
    /// One in so many things that it writes is a lie: an honest guest is followed furthest.
    lie: u64,
    /// Where a split ring goes on.
    pub(super) start: u16,
    /// Where a packed one does.
    pub(super) place: Place,
    /// So many places of a packed ring are available.
    available: u64,
}

impl Life {
    pub(super) fn draw(d: &mut Dice) -> Life {
        let packed = d.one_in(2);
        let size = if packed { 1 + d.below(SIZE_MAX) } else { 1 << d.below(7) };
        Life {
            packed,
            size,
            mergeable: d.one_in(2),
            guest_receives: d.one_in(2),
            lie: [2, 8, 64, 512][d.below(4) as usize],
            start: if d.one_in(2) { d.next() as u16 } else { 0 },
            place: Place { index: (d.below(size) + u64::from(d.one_in(16))) as u16, wrap: d.one_in(2) },
            available: d.below(size + 1),
        }
    }

    pub(super) fn lies(&self, d: &mut Dice) -> bool {
        d.one_in(self.lie)
    }

    /// The mark of a packed ring's `n`th descriptor.
    pub(super) fn mark(&self, d: &mut Dice, n: u64) -> u16 {
        const AVAILABLE: u16 = 1 << 7;
        const USED: u16 = 1 << 15;
        if self.lies(d) {
            return [AVAILABLE, USED, AVAILABLE | USED, 0][d.below(4) as usize];
        }
        let from = u64::from(self.place.index);
        let (wrap, way) = if n >= from { (self.place.wrap, n - from) } else { (!self.place.wrap, n + self.size - from) };
        match (way < self.available, wrap) {
            (true, true) => AVAILABLE,
            (true, false) => USED,
            (false, true) => 0,
            (false, false) => AVAILABLE | USED,
        }
    }
}

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        // The high half of a product: a division is what most of a life would be spent with.
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

pub(super) fn file(len: u64) -> OwnedFd {
    // SAFETY: the name ends in a zero byte; the descriptor is new.
    let fd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"enemy".as_ptr(), libc::MFD_CLOEXEC)) };
    // SAFETY: no memory is passed.
    assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), len as i64) }, 0);
    fd
}

/// The whole file as the enemy and the judge see it.
#[derive(Clone, Copy)]
pub(super) struct View(*mut u8);

// SAFETY: it is an address of a mapping that lives as long as the test.
unsafe impl Send for View {}

impl View {
    pub(super) fn new(fd: &OwnedFd, len: u64) -> View {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, never unmapped.
        let p = unsafe { libc::mmap(std::ptr::null_mut(), len as usize, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        assert_ne!(p, libc::MAP_FAILED);
        View(p.cast())
    }

    pub(super) fn put(&self, at: u64, bytes: &[u8]) {
        // SAFETY: callers stay inside of the file, which nobody holds a reference into.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.add(at as usize), bytes.len()) };
    }

    /// Guest addresses to places in the file; the regions lie in the other order there.
    pub(super) fn guest(&self, address: u64, bytes: &[u8]) {
        let offset = address - BASE;
        let in_first = HALF.saturating_sub(offset).min(bytes.len() as u64);
        let (first, second) = bytes.split_at(in_first as usize);
        if !first.is_empty() {
            self.put(2 * GAP + HALF + offset, first);
        }
        if !second.is_empty() {
            self.put(GAP + offset + in_first - HALF, second);
        }
    }

    pub(super) fn gaps_are_whole(&self) -> bool {
        let gaps = [0, GAP + HALF, 2 * GAP + 2 * HALF];
        // SAFETY: the gaps lie in the file.
        let gap = |at: u64| unsafe { std::slice::from_raw_parts(self.0.add(at as usize), GAP as usize) };
        gaps.iter().all(|at| gap(*at).iter().all(|b| *b == CANARY))
    }
}

/// An address that is often good and often just not.
pub(super) fn any_address(d: &mut Dice) -> u64 {
    match d.below(16) {
        0 => d.next(),
        1 => BASE + 2 * HALF - d.below(64),
        2 => BASE + HALF - d.below(64),
        3 => BASE.wrapping_sub(d.below(64)),
        4 => u64::MAX - d.below(4096),
        _ => buffer(d),
    }
}

/// An address with room behind it.
fn buffer(d: &mut Dice) -> u64 {
    BASE + BUFFERS + d.below(2 * HALF - BUFFERS - 0x200)
}

fn any_length(d: &mut Dice) -> u32 {
    match d.below(12) {
        0 => d.next() as u32,
        1 => u32::MAX - d.below(32) as u32,
        2 => 0,
        3 => 16 * d.below(40) as u32,
        4 => d.below(70_000) as u32,
        _ => d.below(300) as u32,
    }
}

/// A header that asks for something, often more than the frame has.
fn header(d: &mut Dice) -> [u8; 12] {
    let mut header = [0u8; 12];
    header[..8].copy_from_slice(&d.next().to_le_bytes());
    header[0] &= 3;
    header[1] = [0, 1, 4, 5, 0x81, 3, 0xff][d.below(7) as usize];
    if d.one_in(2) {
        (header[6], header[7], header[9]) = (14, 0, 0);
    }
    header
}

/// The `n`th of a table of `size` descriptors.
fn descriptor(view: View, d: &mut Dice, life: &Life, size: u64, n: u64, table: bool) -> [u8; 16] {
    let mut b = [0; 16];
    let indirect = !table && d.one_in(6);
    let length = match (indirect, d.below(8)) {
        (true, _) => 16 * (1 + d.below(TABLE)) as u32,
        (_, 0) => d.below(0x4000) as u32,
        _ => 12 + d.below(0x180) as u32,
    };
    let address = if indirect { BASE + TABLES + 16 * d.below(TABLE) } else { buffer(d) };
    let address = if life.lies(d) { any_address(d) } else { address };
    let length = if life.lies(d) { any_length(d) } else { length };
    if !life.guest_receives && !indirect && d.one_in(4) && (BASE + BUFFERS..BASE + 2 * HALF - 12).contains(&address) {
        view.guest(address, &header(d));
    }
    let direction = if life.guest_receives { 2 } else { 0 };
    let flags = match life.lies(d) {
        true => [d.next() as u16, 4, 2, 1, 3, 0, 5, 7][d.below(8) as usize],
        false if indirect => 4,
        false => direction | u16::from(d.one_in(4)),
    };
    let other = match life.lies(d) {
        true if d.one_in(2) => d.next() as u16,
        true => size as u16,
        false if life.packed => d.below(size) as u16,
        false => ((n + 1) % size) as u16,
    };
    b[..8].copy_from_slice(&address.to_le_bytes());
    b[8..12].copy_from_slice(&length.to_le_bytes());
    if life.packed {
        b[12..14].copy_from_slice(&other.to_le_bytes());
        b[14..16].copy_from_slice(&(flags | life.mark(d, n)).to_le_bytes());
    } else {
        b[12..14].copy_from_slice(&flags.to_le_bytes());
        b[14..16].copy_from_slice(&other.to_le_bytes());
    }
    b
}

/// Rings at the start of memory, tables behind them, then buffers.
pub(super) fn scribble(view: View, d: &mut Dice, life: &Life) {
    for i in 0..life.size {
        view.guest(BASE + 16 * i, &descriptor(view, d, life, life.size, i, false));
    }
    let count = d.below(2 * TABLE);
    for i in 0..count {
        view.guest(BASE + TABLES + 16 * i, &descriptor(view, d, life, TABLE, i, true));
    }
    if life.packed {
        // When it wants to be told: mostly at a place that there is.
        let place = if life.lies(d) { d.next() as u16 } else { d.below(life.size) as u16 | u16::from(d.one_in(2)) << 15 };
        view.guest(BASE + DRIVER, &place.to_le_bytes());
        return view.guest(BASE + DRIVER + 2, &(d.next() as u16).to_le_bytes());
    }
    view.guest(BASE + DRIVER, &(d.next() as u16 & 3).to_le_bytes());
    view.guest(BASE + DEVICE + 2, &life.start.to_le_bytes());
    make_available(view, d, life, life.start);
    for i in 0..life.size + 1 {
        let entry = if life.lies(d) { d.next() as u16 } else { d.below(life.size) as u16 };
        view.guest(BASE + DRIVER + 4 + 2 * i, &entry.to_le_bytes());
    }
}

/// Says how many chains of a split ring are available beyond `seen`.
fn make_available(view: View, d: &mut Dice, life: &Life, seen: u16) {
    let more = if life.lies(d) { d.next() as u16 } else { d.below(life.size + 1) as u16 };
    view.guest(BASE + DRIVER + 2, &seen.wrapping_add(more).to_le_bytes());
}

/// What the enemy does between two looks at its ring.
pub(super) fn go_on(view: View, d: &mut Dice, life: &Life, base: Base) {
    match base {
        Base::Split { used, .. } => make_available(view, d, life, used),
        Base::Packed { .. } => {
            for _ in 0..d.below(8) {
                let n = d.below(life.size);
                view.guest(BASE + 16 * n, &descriptor(view, d, life, life.size, n, false));
            }
        }
    }
}

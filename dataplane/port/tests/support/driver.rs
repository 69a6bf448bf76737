//! The guest's side of virtio rings: memory and drivers, for tests and for the hostile guest.
//!
//! Everything is real shared memory; two regions that are neighbours for the guest lie in the other
//! order in the file, so that a buffer across their border is in two places.
#![allow(dead_code)]

use std::collections::HashMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{fence, AtomicU16, AtomicU64, Ordering};

/// Where guest memory begins for the guest.
pub const BASE: u64 = 0x1_0000_0000;
/// Added to a guest address it is the front's.
pub const USER: u64 = 0x7000_0000_0000;
pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;
const AVAILABLE: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// Guest memory: two regions of half the size each.
pub struct Guest {
    pub fd: OwnedFd,
    map: *mut u8,
    pub len: u64,
    next: u64,
}

unsafe impl Send for Guest {}
unsafe impl Sync for Guest {}

impl Guest {
    pub fn new(len: u64) -> Guest {
        let fd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"guest".as_ptr(), libc::MFD_CLOEXEC)) };
        assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), len as i64) }, 0);
        let p = unsafe {
            libc::mmap(std::ptr::null_mut(), len as usize, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd.as_raw_fd(), 0)
        };
        assert_ne!(p, libc::MAP_FAILED);
        Guest { fd, map: p.cast(), len, next: BASE }
    }

    /// Guest address, length, offset in the file of both regions.
    pub fn regions(&self) -> [(u64, u64, u64); 2] {
        let half = self.len / 2;
        [(BASE, half, half), (BASE + half, half, 0)]
    }

    /// Border between the regions.
    pub fn border(&self) -> u64 {
        BASE + self.len / 2
    }

    pub fn at(&self, address: u64) -> *mut u8 {
        let offset = address.checked_sub(BASE).filter(|o| *o < self.len).expect("an address of the guest");
        let half = self.len / 2;
        let at = if offset < half { offset + half } else { offset - half };
        unsafe { self.map.add(at as usize) }
    }

    /// Takes memory that is never given back.
    pub fn take(&mut self, len: u64, align: u64) -> u64 {
        let at = self.next.next_multiple_of(align);
        // Nothing lies across the border unless asked for.
        let at = if at < self.border() && at + len > self.border() { self.border() } else { at };
        self.next = at + len;
        assert!(self.next <= BASE + self.len, "guest memory is full");
        at
    }

    pub fn rest(&self) -> u64 {
        BASE + self.len - self.next
    }

    pub fn write(&self, address: u64, bytes: &[u8]) {
        for (i, b) in bytes.iter().enumerate() {
            unsafe { self.at(address + i as u64).write_volatile(*b) };
        }
    }

    pub fn read(&self, address: u64, len: usize) -> Vec<u8> {
        (0..len).map(|i| unsafe { self.at(address + i as u64).read_volatile() }).collect()
    }

    pub fn put16(&self, address: u64, v: u16) {
        unsafe { AtomicU16::from_ptr(self.at(address).cast()) }.store(v, Ordering::Release);
    }

    pub fn get16(&self, address: u64) -> u16 {
        unsafe { AtomicU16::from_ptr(self.at(address).cast()) }.load(Ordering::Acquire)
    }

    pub fn put64(&self, address: u64, v: u64) {
        unsafe { AtomicU64::from_ptr(self.at(address).cast()) }.store(v, Ordering::Release);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        unsafe { libc::munmap(self.map.cast(), self.len as usize) };
    }
}

/// One buffer of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buf {
    pub address: u64,
    pub len: u32,
    pub write: bool,
}

/// How a ring is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub size: u16,
    pub packed: bool,
    pub event_index: bool,
    /// Where counting starts (split: all indices; packed: descriptor, on the second round if beyond the size).
    pub start: u16,
}

/// A driver of either layout.
pub struct Driver {
    pub shape: Shape,
    pub desc: u64,
    pub driver: u64,
    pub device: u64,
    free: Vec<u16>,
    /// Places or descriptors that a chain holds.
    chains: HashMap<u16, Vec<u16>>,
    free_places: u16,
    next: u16,
    next_wrap: bool,
    used: u16,
    used_wrap: bool,
    told: u16,
    /// Packed: head flags that are not shown yet.
    hidden: Vec<(u64, u16)>,
}

impl Driver {
    pub fn new(g: &mut Guest, shape: Shape) -> Driver {
        let size = u64::from(shape.size);
        let desc = g.take(16 * size, 16);
        let (driver, device) = if shape.packed { (g.take(4, 4), g.take(4, 4)) } else { (g.take(6 + 2 * size, 2), g.take(6 + 8 * size, 4)) };
        Driver::at(g, shape, desc, driver, device)
    }

    /// In memory that a driver had before; the rings begin anew.
    pub fn at(g: &Guest, shape: Shape, desc: u64, driver: u64, device: u64) -> Driver {
        let (next, wrap) = if shape.packed { (shape.start % shape.size, shape.start < shape.size) } else { (shape.start, true) };
        for i in 0..u64::from(shape.size) {
            g.write(desc + 16 * i, &[0; 16]);
            if shape.packed {
                // As the device left them in the round before.
                let behind = i < u64::from(next);
                let mark = if wrap == behind { AVAILABLE | USED } else { 0 };
                g.put16(desc + 16 * i + 14, mark);
            }
        }
        if shape.packed {
            g.put16(driver, next | u16::from(wrap) << 15);
            g.put16(driver + 2, 1);
            g.put16(device + 2, 0);
        } else {
            g.put16(driver, 1);
            g.put16(driver + 2, shape.start);
            g.put16(device, 0);
            g.put16(device + 2, shape.start);
        }
        Driver {
            shape,
            desc,
            driver,
            device,
            free: (0..shape.size).rev().collect(),
            chains: HashMap::new(),
            free_places: shape.size,
            next,
            next_wrap: wrap,
            used: next,
            used_wrap: wrap,
            told: shape.start,
            hidden: Vec::new(),
        }
    }

    /// What SET_VRING_BASE says at the start.
    pub fn base(&self) -> u32 {
        u32::from(self.next) | if self.shape.packed { u32::from(self.next_wrap) << 15 } else { 0 }
    }

    pub fn room(&self) -> u16 {
        if self.shape.packed { self.free_places } else { self.free.len() as u16 }
    }

    fn write_desc(&self, g: &Guest, at: u64, address: u64, len: u32, low: u16, high: u16) {
        g.write(at, &address.to_le_bytes());
        g.write(at + 8, &len.to_le_bytes());
        g.write(at + 12, &low.to_le_bytes());
        g.put16(at + 14, high);
    }

    fn write_table(&self, g: &Guest, bufs: &[Buf], table: u64) {
        for (i, b) in bufs.iter().enumerate() {
            let last = i + 1 == bufs.len();
            let w = if b.write { WRITE } else { 0 };
            let at = table + 16 * i as u64;
            if self.shape.packed {
                self.write_desc(g, at, b.address, b.len, 0, w);
            } else {
                let (flags, next) = if last { (w, 0) } else { (w | NEXT, i as u16 + 1) };
                self.write_desc(g, at, b.address, b.len, flags, next);
            }
        }
    }

    /// Adds a chain; it is not seen before `publish`. Its id, if there is room.
    pub fn add(&mut self, g: &Guest, bufs: &[Buf], table: Option<u64>) -> Option<u16> {
        let head = table.map(|at| {
            self.write_table(g, bufs, at);
            Buf { address: at, len: 16 * bufs.len() as u32, write: false }
        });
        let list: Vec<(Buf, u16)> = match head {
            Some(b) => vec![(b, INDIRECT)],
            None => bufs.iter().map(|b| (*b, if b.write { WRITE } else { 0 })).collect(),
        };
        if list.len() > usize::from(self.room()) {
            return None;
        }
        if self.shape.packed { Some(self.add_packed(g, &list)) } else { Some(self.add_split(g, &list)) }
    }

    fn add_split(&mut self, g: &Guest, list: &[(Buf, u16)]) -> u16 {
        let at = self.free.split_off(self.free.len() - list.len());
        for (i, ((b, flags), d)) in list.iter().zip(&at).enumerate() {
            let next = at.get(i + 1).copied();
            let flags = flags | if next.is_some() { NEXT } else { 0 };
            self.write_desc(g, self.desc + 16 * u64::from(*d), b.address, b.len, flags, next.unwrap_or(0));
        }
        let head = at[0];
        let slot = self.next & (self.shape.size - 1);
        g.put16(self.driver + 4 + 2 * u64::from(slot), head);
        self.next = self.next.wrapping_add(1);
        self.chains.insert(head, at);
        head
    }

    fn add_packed(&mut self, g: &Guest, list: &[(Buf, u16)]) -> u16 {
        let id = self.free.pop().expect("an id for every place");
        let count = list.len() as u16;
        for (i, (b, flags)) in list.iter().enumerate() {
            let mark = if self.next_wrap { AVAILABLE } else { USED };
            let more = if i + 1 < list.len() { NEXT } else { 0 };
            let at = self.desc + 16 * u64::from(self.next);
            g.write(at, &b.address.to_le_bytes());
            g.write(at + 8, &b.len.to_le_bytes());
            g.write(at + 12, &id.to_le_bytes());
            if i == 0 {
                self.hidden.push((at + 14, flags | more | mark));
            } else {
                g.put16(at + 14, flags | more | mark);
            }
            self.next += 1;
            if self.next == self.shape.size {
                (self.next, self.next_wrap) = (0, !self.next_wrap);
            }
        }
        self.free_places -= count;
        self.chains.insert(id, vec![0; usize::from(count)]);
        id
    }

    /// Shows the device what was added.
    pub fn publish(&mut self, g: &Guest) {
        if self.shape.packed {
            for (at, flags) in self.hidden.drain(..).rev() {
                g.put16(at, flags);
            }
        } else {
            g.put16(self.driver + 2, self.next);
        }
        fence(Ordering::SeqCst);
    }

    /// Does the device want a kick? (Split without event index and packed by flags.)
    pub fn wants_kick(&mut self, g: &Guest) -> bool {
        fence(Ordering::SeqCst);
        if self.shape.packed {
            return g.get16(self.device + 2) != 1;
        }
        if !self.shape.event_index {
            return g.get16(self.device) & 1 == 0;
        }
        let event = g.get16(self.device + 4 + 8 * u64::from(self.shape.size));
        let (old, new) = (std::mem::replace(&mut self.told, self.next), self.next);
        new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
    }

    /// The next chain that the device gave back: id and bytes written.
    pub fn pop(&mut self, g: &Guest) -> Option<(u16, u32)> {
        let (id, len) = if self.shape.packed { self.pop_packed(g)? } else { self.pop_split(g)? };
        let places = self.chains.remove(&id).unwrap_or_else(|| panic!("the device gave back {id}, which it does not have"));
        if self.shape.packed {
            let count = places.len() as u16;
            self.free_places += count;
            self.free.push(id);
            for _ in 0..count {
                self.used += 1;
                if self.used == self.shape.size {
                    (self.used, self.used_wrap) = (0, !self.used_wrap);
                }
            }
        } else {
            self.free.extend(places);
            self.used = self.used.wrapping_add(1);
        }
        Some((id, len))
    }

    fn pop_split(&self, g: &Guest) -> Option<(u16, u32)> {
        if g.get16(self.device + 2) == self.used {
            return None;
        }
        let at = self.device + 4 + 8 * u64::from(self.used & (self.shape.size - 1));
        let b = g.read(at, 8);
        Some((u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as u16, u32::from_le_bytes([b[4], b[5], b[6], b[7]])))
    }

    fn pop_packed(&self, g: &Guest) -> Option<(u16, u32)> {
        let at = self.desc + 16 * u64::from(self.used);
        let flags = g.get16(at + 14);
        let marks = (flags & AVAILABLE != 0, flags & USED != 0);
        if marks != (self.used_wrap, self.used_wrap) {
            return None;
        }
        let b = g.read(at + 8, 6);
        let len = if flags & WRITE != 0 { u32::from_le_bytes([b[0], b[1], b[2], b[3]]) } else { 0 };
        Some((u16::from_le_bytes([b[4], b[5]]), len))
    }

    /// Asks to be told of the next used chain.
    pub fn want_calls(&mut self, g: &Guest) {
        if self.shape.packed {
            g.put16(self.driver + 2, 0);
        } else {
            g.put16(self.driver, 0);
            g.put16(self.driver + 4 + 2 * u64::from(self.shape.size), self.used);
        }
        fence(Ordering::SeqCst);
    }

    pub fn outstanding(&self) -> usize {
        self.chains.len()
    }
}

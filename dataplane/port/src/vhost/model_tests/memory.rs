//! A ring's memory as the model checker knows it: each word a cell of its own, every load may be as old
//! as the memory model allows.
//!
//! Purpose: stands in for `ring::shared`. Words that real rings write by plain moves are relaxed cells
//! here, so a missing barrier shows as a stale value.
//! Deliberately does not know: rings.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};

pub(crate) use loom::sync::atomic::fence;

use crate::vhost::ring::shared::RawDesc;

thread_local! {
    // The checker runs all its threads as coroutines of one.
    static CELLS: RefCell<HashMap<usize, Arc<AtomicU64>>> = RefCell::default();
}

/// Makes cells, which must be there before threads are; their value is 0.
pub(crate) fn make(at: NonNull<u8>, offsets: impl IntoIterator<Item = usize>) {
    let address = at.as_ptr() as usize;
    CELLS.with_borrow_mut(|cells| {
        cells.extend(offsets.into_iter().map(|o| (address + o, Arc::new(AtomicU64::new(0)))));
    });
}

/// Forgets all cells: one run of the model has ended.
pub(crate) fn clear() {
    CELLS.with_borrow_mut(HashMap::clear);
}

fn cell(at: NonNull<u8>, offset: usize) -> Arc<AtomicU64> {
    let address = at.as_ptr() as usize + offset;
    CELLS.with_borrow(|cells| cells.get(&address).expect("a word of the ring").clone())
}

fn peek(at: NonNull<u8>, offset: usize) -> u64 {
    cell(at, offset).load(Ordering::Relaxed)
}

fn poke(at: NonNull<u8>, offset: usize, value: u64) {
    cell(at, offset).store(value, Ordering::Relaxed);
}

pub(crate) unsafe fn load(at: NonNull<u8>, order: Ordering) -> u16 {
    cell(at, 0).load(order) as u16
}

pub(crate) unsafe fn store(at: NonNull<u8>, value: u16, order: Ordering) {
    cell(at, 0).store(u64::from(value), order);
}

pub(crate) unsafe fn take_desc(at: NonNull<u8>) -> RawDesc {
    (peek(at, 0), peek(at, 8) as u32, peek(at, 12) as u16, peek(at, 14) as u16)
}

pub(crate) unsafe fn store_element(at: NonNull<u8>, id: u32, len: u32) {
    poke(at, 0, u64::from(id) | u64::from(len) << 32);
}

pub(crate) unsafe fn store_len_id(at: NonNull<u8>, len: u32, id: u16) {
    poke(at, 8, u64::from(len));
    poke(at, 12, u64::from(id));
}

/// The guest writes a descriptor but its last word.
pub(crate) fn lay(at: NonNull<u8>, address: u64, len: u32, third: u16) {
    poke(at, 0, address);
    poke(at, 8, u64::from(len));
    poke(at, 12, u64::from(third));
}

/// The guest reads an element of a used ring.
pub(crate) fn element(at: NonNull<u8>) -> (u16, u32) {
    let word = peek(at, 0);
    (word as u16, (word >> 32) as u32)
}

/// The guest reads length and number of a used descriptor.
pub(crate) fn len_id(at: NonNull<u8>) -> (u32, u16) {
    (peek(at, 8) as u32, peek(at, 12) as u16)
}

/// A word as it is before threads begin.
pub(crate) fn mark(at: NonNull<u8>, offset: usize, value: u16) {
    poke(at, offset, u64::from(value));
}

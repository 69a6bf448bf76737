//! Words that we share with a guest: the only way in which rings touch its memory.
//!
//! Purpose: one place for what is read and written of a ring, so that a checker of memory models can
//! stand in for the memory (`make model-vhost`).
//! Invariant: each word is read once by a call; nothing is cached or repeated.
//! Deliberately does not know: what the words mean.

pub(crate) use imp::{fence, load, store, store_element, store_len_id, take_desc};

/// What lies in 16 bytes of a descriptor: address, length, and two words.
pub(crate) type RawDesc = (u64, u32, u16, u16);

#[cfg(not(all(test, ring_model)))]
mod imp {
    use std::ptr::NonNull;
    pub(crate) use std::sync::atomic::fence;
    use std::sync::atomic::{AtomicU16, Ordering};

    use super::RawDesc;

    /// Reads the word at an address.
    ///
    /// # Safety
    /// Two bytes are mapped there, and the address is even.
    #[inline(always)]
    pub(crate) unsafe fn load(at: NonNull<u8>, order: Ordering) -> u16 {
        // SAFETY: the caller vouches for it.
        u16::from_le(unsafe { AtomicU16::from_ptr(at.as_ptr().cast()) }.load(order))
    }

    /// Writes the word at an address.
    ///
    /// # Safety
    /// As for [`load`].
    #[inline(always)]
    pub(crate) unsafe fn store(at: NonNull<u8>, value: u16, order: Ordering) {
        // SAFETY: the caller vouches for it.
        unsafe { AtomicU16::from_ptr(at.as_ptr().cast()) }.store(value.to_le(), order);
    }

    /// Reads a descriptor.
    ///
    /// # Safety
    /// 16 bytes are mapped there, of any alignment: guests need not align indirect tables.
    #[inline(always)]
    pub(crate) unsafe fn take_desc(at: NonNull<u8>) -> RawDesc {
        // SAFETY: the caller vouches for it. The guest may write at the same time: each half is read once.
        let (address, rest) = unsafe {
            let p = at.as_ptr().cast::<[u8; 8]>();
            (u64::from_le_bytes(p.read_volatile()), u64::from_le_bytes(p.add(1).read_volatile()))
        };
        (address, rest as u32, (rest >> 32) as u16, (rest >> 48) as u16)
    }

    /// Writes an element of a used ring: the chain's number and how many bytes were written.
    ///
    /// # Safety
    /// Eight bytes are mapped there.
    #[inline(always)]
    pub(crate) unsafe fn store_element(at: NonNull<u8>, id: u32, len: u32) {
        let element = u64::from(id) | u64::from(len) << 32;
        // SAFETY: the caller vouches for it.
        unsafe { at.cast::<u64>().write_unaligned(element.to_le()) };
    }

    /// Writes length and number into a packed descriptor, not its flags.
    ///
    /// # Safety
    /// `at` is a descriptor of a packed ring: aligned, 16 bytes mapped.
    #[inline(always)]
    pub(crate) unsafe fn store_len_id(at: NonNull<u8>, len: u32, id: u16) {
        // SAFETY: the caller vouches for it.
        unsafe {
            let p = at.as_ptr().add(8);
            p.cast::<u32>().write_volatile(len.to_le());
            p.add(4).cast::<u16>().write_volatile(id.to_le());
        }
    }
}

#[cfg(all(test, ring_model))]
mod imp {
    pub(crate) use crate::vhost::model_tests::memory::{fence, load, store, store_element, store_len_id, take_desc};
}

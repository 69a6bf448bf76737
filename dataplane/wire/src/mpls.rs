//! MPLS label stack entries.
//!
//! Purpose: reading and writing.
//! Invariant: fields are masked to their widths on writing.
//! Deliberately does not know: what is below the stack.

use crate::bytes::u32_at;

/// Bytes of an entry.
pub const LEN: usize = 4;
/// Bit of an entry: the bottom of the stack.
pub const BOTTOM: u32 = 0x100;

/// A label stack entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// Label; 20 bits.
    pub label: u32,
    /// Traffic class; 3 bits.
    pub class: u8,
    /// Is this the last entry?
    pub bottom: bool,
    /// Time to live.
    pub ttl: u8,
}

impl Entry {
    /// The entry at the front of `bytes`.
    pub fn read(bytes: &[u8]) -> Option<Entry> {
        u32_at(bytes, 0).map(Entry::from_u32)
    }

    /// The entry in these 32 bits.
    pub const fn from_u32(word: u32) -> Entry {
        Entry { label: word >> 12, class: (word >> 9) as u8 & 7, bottom: word & BOTTOM != 0, ttl: word as u8 }
    }

    /// The entry as 32 bits.
    pub const fn to_u32(&self) -> u32 {
        let bottom = if self.bottom { BOTTOM } else { 0 };
        (self.label << 12) | ((self.class & 7) as u32) << 9 | bottom | self.ttl as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_back() {
        let entry = Entry { label: 0xabcde, class: 5, bottom: true, ttl: 64 };
        assert_eq!(Entry::read(&entry.to_u32().to_be_bytes()), Some(entry));
        assert_eq!(entry.to_u32(), 0xabcd_eb40);
        assert_eq!(Entry::read(&[0; 3]), None);
    }
}

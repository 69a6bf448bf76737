//! The service instance tag of provider backbone bridges (IEEE 802.1ah, 9.7).
//!
//! Purpose: the fields of the tag that rules look at.
//! Invariant: writing fields leaves priority, drop eligibility and reserved bits alone.
//! Deliberately does not know: the customer's frame behind the tag.

use crate::bytes::u32_at;

/// Bytes of the tag without its Ethernet type.
pub const LEN: usize = 4;
/// Most that a service instance id can be.
pub const ISID_MAX: u32 = 0xff_ffff;

/// "Use customer addresses".
const UCA: u32 = 1 << 27;

/// The fields of a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tag {
    /// Service instance id, 24 bits.
    pub isid: u32,
    /// Use customer addresses.
    pub uca: bool,
}

impl Tag {
    /// The tag at the front of `bytes`.
    pub fn read(bytes: &[u8]) -> Option<Tag> {
        let tag = u32_at(bytes, 0)?;
        Some(Tag { isid: tag & ISID_MAX, uca: tag & UCA != 0 })
    }

    /// Writes the fields over a tag that is there.
    pub fn write(self, bytes: &mut [u8]) {
        let Some(old) = u32_at(bytes, 0) else { return };
        let new = old & !(ISID_MAX | UCA) | self.isid & ISID_MAX | if self.uca { UCA } else { 0 };
        if let Some(to) = bytes.get_mut(..LEN) {
            to.copy_from_slice(&new.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_between_the_others() {
        let mut bytes = [0xf7, 0, 0, 1];
        assert_eq!(Tag::read(&bytes), Some(Tag { isid: 1, uca: false }));
        Tag { isid: 0xabcdef, uca: true }.write(&mut bytes);
        assert_eq!(bytes, [0xff, 0xab, 0xcd, 0xef]);
        assert_eq!(Tag::read(&bytes[..3]), None);
    }
}

//! The VLAN tag (802.1Q and 802.1ad).
//!
//! Purpose: field offsets, reading and writing.
//! Invariant: a tag begins with its protocol; the type of what follows is not part of it.
//! Deliberately does not know: how many tags a frame has, or where they go.

use crate::bytes::u32_at;

/// Bytes of a tag: its protocol and its control information.
pub const LEN: usize = 4;
/// Offset of the outer tag in a frame.
pub const OFFSET: usize = 12;
/// Offset of the outer tag's control information in a frame.
pub const TCI: usize = 14;
/// Bits of the VLAN id in the control information.
pub const VID_MASK: u16 = 0x0fff;
/// Drop eligible bit in the control information (where a flow key has "a tag is present").
pub const DEI: u16 = 0x1000;
/// Bits below the priority in the control information.
pub const PCP_SHIFT: u32 = 13;

/// A VLAN tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tag {
    /// Protocol: 0x8100 or 0x88a8.
    pub tpid: u16,
    /// Priority, drop eligible bit and VLAN id.
    pub tci: u16,
}

impl Tag {
    /// An 802.1Q tag; bits that do not fit are dropped.
    pub const fn new(vid: u16, pcp: u8) -> Tag {
        Tag { tpid: crate::ethernet::VLAN, tci: (pcp as u16) << PCP_SHIFT | vid & VID_MASK }
    }

    /// The VLAN id.
    pub const fn vid(&self) -> u16 {
        self.tci & VID_MASK
    }

    /// The priority.
    pub const fn pcp(&self) -> u8 {
        (self.tci >> PCP_SHIFT) as u8
    }

    /// The outer tag of a frame.
    pub fn read(frame: &[u8]) -> Option<Tag> {
        let both = u32_at(frame, OFFSET)?;
        let tag = Tag { tpid: (both >> 16) as u16, tci: both as u16 };
        crate::is_vlan(tag.tpid).then_some(tag)
    }

    /// The tag as it goes onto the wire, in front of the type.
    pub const fn to_bytes(&self) -> [u8; LEN] {
        let [t0, t1] = self.tpid.to_be_bytes();
        let [c0, c1] = self.tci.to_be_bytes();
        [t0, t1, c0, c1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_reads_back_from_its_place_in_a_frame() {
        let tag = Tag::new(4095, 5);
        let frame = [&[0u8; 12][..], &tag.to_bytes(), &[8, 0]].concat();
        assert_eq!(Tag::read(&frame), Some(tag));
        assert_eq!((tag.vid(), tag.pcp()), (4095, 5));
        assert_eq!(Tag::read(&[8; 18]), None);
    }
}

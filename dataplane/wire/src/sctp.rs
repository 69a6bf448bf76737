//! The common header of SCTP.
//!
//! Purpose: field offsets, reading and writing, and the checksum of a packet.
//! Invariant: the checksum is stored with its low byte first, as RFC 9260 wants it.
//! Deliberately does not know: chunks.

use crate::bytes::{array_at, put, u16_at, u32_at};
use crate::checksum::crc32c;

/// Bytes of the common header.
pub const LEN: usize = 12;
/// Offset of the source port.
pub const SRC: usize = 0;
/// Offset of the destination port.
pub const DST: usize = 2;
/// Offset of the verification tag.
pub const TAG: usize = 4;
/// Offset of the checksum.
pub const CHECKSUM: usize = 8;

/// An SCTP common header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Verification tag.
    pub tag: u32,
    /// CRC32c of the packet.
    pub checksum: u32,
}

impl Header {
    /// The header at the front of `bytes`.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        Some(Header {
            src: u16_at(bytes, SRC)?,
            dst: u16_at(bytes, DST)?,
            tag: u32_at(bytes, TAG)?,
            checksum: u32::from_le_bytes(*array_at(bytes, CHECKSUM)?),
        })
    }

    /// The header as it goes onto the wire.
    pub const fn to_bytes(&self) -> [u8; LEN] {
        let [s0, s1] = self.src.to_be_bytes();
        let [d0, d1] = self.dst.to_be_bytes();
        let [t0, t1, t2, t3] = self.tag.to_be_bytes();
        let [c0, c1, c2, c3] = self.checksum.to_le_bytes();
        [s0, s1, d0, d1, t0, t1, t2, t3, c0, c1, c2, c3]
    }
}

/// Writes the right checksum into a whole SCTP packet; false when it is too short.
#[must_use]
pub fn set_checksum(packet: &mut [u8]) -> bool {
    if !put(packet, CHECKSUM, &[0; 4]) {
        return false;
    }
    let crc = crc32c(packet);
    put(packet, CHECKSUM, &crc.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_with_the_checksum_of_its_packet() {
        let header = Header { src: 1, dst: 2, tag: 0xdead_beef, checksum: 0 };
        let mut packet = [&header.to_bytes()[..], b"chunk"].concat();
        let expected = crc32c(&packet);
        assert!(set_checksum(&mut packet));
        assert_eq!(Header::read(&packet), Some(Header { checksum: expected, ..header }));
        assert!(!set_checksum(&mut packet[..11]));
    }
}

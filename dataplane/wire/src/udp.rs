//! The UDP header.
//!
//! Purpose: field offsets, reading and writing.
//! Invariant: `read` of `to_bytes` gives the same value.
//! Deliberately does not know: the pseudo header (see `checksum`).

/// Bytes of the header.
pub const LEN: usize = 8;
/// Offset of the source port.
pub const SRC: usize = 0;
/// Offset of the destination port.
pub const DST: usize = 2;
/// Offset of the datagram's length.
pub const LENGTH: usize = 4;
/// Offset of the checksum.
pub const CHECKSUM: usize = 6;

/// A UDP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Bytes of header and payload.
    pub len: u16,
    /// Checksum; 0 = none.
    pub checksum: u16,
}

impl Header {
    /// The header at the front of `bytes`.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let &[s0, s1, d0, d1, l0, l1, c0, c1] = bytes.first_chunk::<LEN>()?;
        let be = |a, b| u16::from_be_bytes([a, b]);
        Some(Header { src: be(s0, s1), dst: be(d0, d1), len: be(l0, l1), checksum: be(c0, c1) })
    }

    /// The header as it goes onto the wire.
    pub const fn to_bytes(&self) -> [u8; LEN] {
        let [s0, s1] = self.src.to_be_bytes();
        let [d0, d1] = self.dst.to_be_bytes();
        let [l0, l1] = self.len.to_be_bytes();
        let [c0, c1] = self.checksum.to_be_bytes();
        [s0, s1, d0, d1, l0, l1, c0, c1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back() {
        let header = Header { src: 1, dst: 0xfffe, len: 8, checksum: 0xabcd };
        assert_eq!(Header::read(&header.to_bytes()), Some(header));
        assert_eq!(Header::read(&header.to_bytes()[..7]), None);
    }
}

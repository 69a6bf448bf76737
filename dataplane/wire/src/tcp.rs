//! The TCP header.
//!
//! Purpose: field offsets, flag bits, reading and writing.
//! Invariant: `read` of `to_bytes` gives the same value; a header whose length field lies is `None`.
//! Deliberately does not know: options beyond their length, and the pseudo header (see `checksum`).

use crate::bytes::{u16_at, u32_at};

/// Bytes of the header without options.
pub const LEN: usize = 20;
/// Offset of the source port.
pub const SRC: usize = 0;
/// Offset of the destination port.
pub const DST: usize = 2;
/// Offset of the sequence number.
pub const SEQ: usize = 4;
/// Offset of the acknowledgement number.
pub const ACK_NUMBER: usize = 8;
/// Offset of the header's length (4 bits) and the flags (12 bits).
pub const FLAGS: usize = 12;
/// Offset of the window.
pub const WINDOW: usize = 14;
/// Offset of the checksum.
pub const CHECKSUM: usize = 16;
/// Offset of the urgent pointer.
pub const URGENT: usize = 18;

/// Flag: no more bytes from the sender.
pub const FIN: u16 = 0x001;
/// Flag: synchronise sequence numbers.
pub const SYN: u16 = 0x002;
/// Flag: reset.
pub const RST: u16 = 0x004;
/// Flag: push.
pub const PSH: u16 = 0x008;
/// Flag: the acknowledgement number counts.
pub const ACK: u16 = 0x010;
/// Flag: the urgent pointer counts.
pub const URG: u16 = 0x020;

/// A TCP header without options.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags; 12 bits.
    pub flags: u16,
    /// Window.
    pub window: u16,
    /// Checksum.
    pub checksum: u16,
    /// Urgent pointer.
    pub urgent: u16,
}

impl Header {
    /// The header at the front of `bytes`; options are not read but must be there.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        bytes.get(..header_len(bytes)?)?;
        Some(Header {
            src: u16_at(bytes, SRC)?,
            dst: u16_at(bytes, DST)?,
            seq: u32_at(bytes, SEQ)?,
            ack: u32_at(bytes, ACK_NUMBER)?,
            flags: u16_at(bytes, FLAGS)? & 0xfff,
            window: u16_at(bytes, WINDOW)?,
            checksum: u16_at(bytes, CHECKSUM)?,
            urgent: u16_at(bytes, URGENT)?,
        })
    }

    /// The header as it goes onto the wire.
    pub const fn to_bytes(&self) -> [u8; LEN] {
        let [s0, s1] = self.src.to_be_bytes();
        let [d0, d1] = self.dst.to_be_bytes();
        let [q0, q1, q2, q3] = self.seq.to_be_bytes();
        let [a0, a1, a2, a3] = self.ack.to_be_bytes();
        let [f0, f1] = (0x5000 | self.flags & 0xfff).to_be_bytes();
        let [w0, w1] = self.window.to_be_bytes();
        let [c0, c1] = self.checksum.to_be_bytes();
        let [u0, u1] = self.urgent.to_be_bytes();
        [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, f0, f1, w0, w1, c0, c1, u0, u1]
    }
}

/// Bytes of the header at the front of `bytes`, options included.
pub fn header_len(bytes: &[u8]) -> Option<usize> {
    let len = usize::from(u16_at(bytes, FLAGS)? >> 12) * 4;
    (len >= LEN).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_one_that_lies_about_its_length_does_not() {
        let header = Header { src: 1, dst: 2, seq: 3, ack: 4, flags: SYN | ACK, window: 5, checksum: 6, urgent: 7 };
        let mut bytes = header.to_bytes();
        assert_eq!(Header::read(&bytes), Some(header));
        for lie in [0x00, 0x40, 0x60, 0xf0] {
            bytes[12] = lie;
            assert_eq!(Header::read(&bytes), None);
        }
    }
}

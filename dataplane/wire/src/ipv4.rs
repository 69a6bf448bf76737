//! The IPv4 header.
//!
//! Purpose: field offsets, reading, and writing with its checksum.
//! Invariant: what `to_bytes` writes has a right checksum.
//! Deliberately does not know: options, beyond their length.

use std::net::Ipv4Addr;

use crate::bytes::{array_at, put_u16};
use crate::checksum;

/// Bytes of the header without options.
pub const LEN: usize = 20;
/// Offset of the type of service: DSCP and ECN.
pub const TOS: usize = 1;
/// Offset of the datagram's length.
pub const TOTAL_LEN: usize = 2;
/// Offset of the identification.
pub const ID: usize = 4;
/// Offset of the flags and the fragment offset.
pub const FLAGS: usize = 6;
/// Offset of the time to live.
pub const TTL: usize = 8;
/// Offset of the protocol.
pub const PROTO: usize = 9;
/// Offset of the header checksum.
pub const CHECKSUM: usize = 10;
/// Offset of the source address.
pub const SRC: usize = 12;
/// Offset of the destination address.
pub const DST: usize = 16;

/// Flag: do not fragment.
pub const DF: u16 = 0x4000;
/// Flag: more fragments follow.
pub const MF: u16 = 0x2000;

/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of IGMP.
pub const IGMP: u8 = 2;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of SCTP.
pub const SCTP: u8 = 132;

/// An IPv4 header without options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// DSCP and ECN.
    pub tos: u8,
    /// Bytes of the datagram, header included.
    pub total_len: u16,
    /// Identification.
    pub id: u16,
    /// Flags and fragment offset (in units of 8 bytes).
    pub flags: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of what follows.
    pub proto: u8,
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
}

impl Header {
    /// The header at the front of `bytes`; options are not read.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let &[v, tos, l0, l1, i0, i1, f0, f1, ttl, proto, ..] = bytes.first_chunk::<LEN>()?;
        if v & 0xf < 5 {
            return None;
        }
        Some(Header {
            tos,
            total_len: u16::from_be_bytes([l0, l1]),
            id: u16::from_be_bytes([i0, i1]),
            flags: u16::from_be_bytes([f0, f1]),
            ttl,
            proto,
            src: Ipv4Addr::from(*array_at::<4>(bytes, SRC)?),
            dst: Ipv4Addr::from(*array_at::<4>(bytes, DST)?),
        })
    }

    /// The header as it goes onto the wire, with its checksum.
    pub fn to_bytes(&self) -> [u8; LEN] {
        let [l0, l1] = self.total_len.to_be_bytes();
        let [i0, i1] = self.id.to_be_bytes();
        let [f0, f1] = self.flags.to_be_bytes();
        let [s0, s1, s2, s3] = self.src.octets();
        let [d0, d1, d2, d3] = self.dst.octets();
        let (tos, ttl, proto) = (self.tos, self.ttl, self.proto);
        let mut out = [0x45, tos, l0, l1, i0, i1, f0, f1, ttl, proto, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3];
        let checksum = checksum::finish(checksum::sum(&out));
        let _ = put_u16(&mut out, CHECKSUM, checksum);
        out
    }

    /// Sum of the pseudo header for `len` bytes of transport header and payload.
    pub fn pseudo(&self, len: usize) -> u64 {
        checksum::pseudo4(self.src.into(), self.dst.into(), self.proto, len as u32)
    }
}

/// Bytes of the header at the front of `bytes`, options included.
#[inline]
pub fn header_len(bytes: &[u8]) -> Option<usize> {
    let len = usize::from(bytes.first()? & 0xf) * 4;
    (len >= LEN).then_some(len)
}

/// Is the checksum of the header at the front of `bytes` right?
pub fn checksum_is_valid(bytes: &[u8]) -> bool {
    header_len(bytes).and_then(|len| bytes.get(..len)).is_some_and(|h| checksum::is_valid(checksum::sum(h)))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn header() -> Header {
        Header {
            tos: 0x28,
            total_len: 84,
            id: 7,
            flags: DF,
            ttl: 64,
            proto: ICMP,
            src: Ipv4Addr::new(10, 0, 0, 1),
            dst: Ipv4Addr::new(10, 0, 0, 2),
        }
    }

    #[test]
    fn a_header_reads_back_with_a_right_checksum() {
        let mut bytes = header().to_bytes();
        assert_eq!(Header::read(&bytes), Some(header()));
        assert!(checksum_is_valid(&bytes));
        bytes[8] -= 1;
        assert!(!checksum_is_valid(&bytes));
        assert!(!checksum_is_valid(&bytes[..19]));
        bytes[0] = 0x44;
        assert_eq!(Header::read(&bytes), None);
    }
}

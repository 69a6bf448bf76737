//! The network service header (RFC 8300).
//!
//! Purpose: reading the fields that rules look at, writing them back, and making new headers.
//! Invariant: a header is read only if it is whole, of version 0, and as long as its metadata type wants;
//! writing fields leaves version, length and reserved bits alone.
//! Deliberately does not know: what is inside, what metadata mean.

use crate::bytes::{u16_at, u32_at, u8_at};

/// Bytes of the base header and the service path header.
pub const BASE_LEN: usize = 8;
/// Bytes of a header with metadata of type 1.
pub const TYPE1_LEN: usize = 24;
/// Most bytes of metadata of type 2 that a new header gets, as in Open vSwitch.
pub const METADATA_MAX: usize = 244;
/// Metadata type of four fixed context headers.
pub const TYPE1: u8 = 1;
/// Metadata type of context headers of any length.
pub const TYPE2: u8 = 2;

/// Values of the "next protocol" field.
pub mod next {
    /// IPv4.
    pub const IPV4: u8 = 1;
    /// IPv6.
    pub const IPV6: u8 = 2;
    /// Ethernet.
    pub const ETHERNET: u8 = 3;
    /// Another network service header.
    pub const NSH: u8 = 4;
}

const VERSION_SHIFT: u16 = 14;
const FLAGS_SHIFT: u16 = 12;
const FLAGS: u16 = 0x3;
const TTL_SHIFT: u16 = 6;
const TTL: u16 = 0x3f;
/// Length in words of four bytes.
const LENGTH: u16 = 0x3f;

/// The fields of a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// The two bits behind the version: "operations packet" and one without a meaning.
    pub flags: u8,
    /// Services that may still see the packet; 6 bits.
    pub ttl: u8,
    /// Metadata type, the whole byte.
    pub md_type: u8,
    /// Next protocol.
    pub next: u8,
    /// Service path, 24 bits, and service index, 8 bits.
    pub path: u32,
    /// Context headers of metadata type 1; 0 with any other type.
    pub context: [u32; 4],
}

impl Header {
    /// The header at the front of `bytes`, in a packet of `left` bytes from there on, and its length.
    pub fn read(bytes: &[u8], left: usize) -> Option<(Header, usize)> {
        let first = u16_at(bytes, 0)?;
        let len = usize::from(first & LENGTH) * 4;
        let (md_type, next, path) = (u8_at(bytes, 2)?, u8_at(bytes, 3)?, u32_at(bytes, 4)?);
        let (flags, ttl) = ((first >> FLAGS_SHIFT & FLAGS) as u8, (first >> TTL_SHIFT & TTL) as u8);
        let whole = first >> VERSION_SHIFT == 0 && len <= left && left >= BASE_LEN;
        let suits = match md_type {
            TYPE1 => len == TYPE1_LEN,
            TYPE2 => len >= BASE_LEN,
            _ => true,
        };
        if !whole || !suits {
            return None;
        }
        let mut context = [0; 4];
        if md_type == TYPE1 {
            for (i, c) in context.iter_mut().enumerate() {
                *c = u32_at(bytes, BASE_LEN + 4 * i)?;
            }
        }
        Some((Header { flags, ttl, md_type, next, path, context }, len))
    }

    /// Writes flags, TTL, path and context over a header that is there.
    pub fn write(&self, bytes: &mut [u8]) {
        let Some(first) = u16_at(bytes, 0) else { return };
        let own = (u16::from(self.flags) & FLAGS) << FLAGS_SHIFT | (u16::from(self.ttl) & TTL) << TTL_SHIFT;
        let first = first & !(FLAGS << FLAGS_SHIFT | TTL << TTL_SHIFT) | own;
        put(bytes, 0, &first.to_be_bytes());
        put(bytes, 4, &self.path.to_be_bytes());
        if self.md_type == TYPE1 {
            for (i, c) in self.context.iter().enumerate() {
                put(bytes, BASE_LEN + 4 * i, &c.to_be_bytes());
            }
        }
    }

    /// A new header; `metadata` (whole words) only where the type is 2.
    pub fn to_bytes(&self, metadata: &[u8]) -> Vec<u8> {
        let len = match self.md_type {
            TYPE1 => TYPE1_LEN,
            _ => BASE_LEN + metadata.len(),
        };
        let mut out = vec![0; len];
        put(&mut out, 0, &(len as u16 / 4 & LENGTH).to_be_bytes());
        put(&mut out, 2, &[self.md_type, self.next]);
        self.write(&mut out);
        if self.md_type != TYPE1 {
            put(&mut out, BASE_LEN, metadata);
        }
        out
    }
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(to) = bytes.get_mut(at..at + new.len()) {
        to.copy_from_slice(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { flags: 2, ttl: 63, md_type: TYPE1, next: next::ETHERNET, path: 0x0001_02ff, context: [1, 2, 3, 4] };

    #[test]
    fn a_header_reads_back() {
        let bytes = HEADER.to_bytes(&[]);
        assert_eq!(bytes.len(), TYPE1_LEN);
        assert_eq!(bytes[..8], [0x2f, 0xc6, 1, 3, 0, 1, 2, 0xff]);
        assert_eq!(Header::read(&bytes, 24), Some((HEADER, 24)));
        let long = Header { md_type: TYPE2, context: [0; 4], ..HEADER };
        let bytes = long.to_bytes(&[0, 0, 1, 4, 9, 9, 9, 9]);
        assert_eq!(Header::read(&bytes, 100), Some((long, 16)));
    }

    #[test]
    fn a_header_that_contradicts_itself_is_none() {
        let good = HEADER.to_bytes(&[]);
        let spoilt = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            Header::read(&bytes, bytes.len())
        };
        assert_eq!(spoilt(0, 0x6f), None, "version 1");
        assert_eq!(spoilt(1, 0xc7), None, "longer than the packet");
        assert_eq!(spoilt(1, 0xc5), None, "type 1 has 24 bytes");
        assert!((0..24).all(|n| Header::read(&good[..n], n).is_none()));
    }

    #[test]
    fn writing_fields_leaves_the_rest_alone() {
        let mut bytes = HEADER.to_bytes(&[]);
        Header { flags: 0xff, ttl: 0x41, ..HEADER }.write(&mut bytes);
        assert_eq!(bytes[..4], [0x30, 0x46, 1, 3], "six bits of TTL, two of flags, the length as it was");
    }
}

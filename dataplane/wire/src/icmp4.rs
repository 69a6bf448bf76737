//! The ICMP header.
//!
//! Purpose: field offsets, reading and writing, and the messages that tests and answers need.
//! Invariant: what `message` builds has a right checksum.
//! Deliberately does not know: what a message causes.

use crate::bytes::{array_at, put_u16, u16_at, u8_at};
use crate::checksum;

/// Bytes of the header.
pub const LEN: usize = 8;
/// Offset of the type.
pub const TYPE: usize = 0;
/// Offset of the code.
pub const CODE: usize = 1;
/// Offset of the checksum.
pub const CHECKSUM: usize = 2;
/// Offset of the four bytes whose meaning depends on the type.
pub const REST: usize = 4;

/// Type: echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Type: echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 11;

/// An ICMP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum.
    pub checksum: u16,
    /// Four bytes whose meaning depends on the type.
    pub rest: [u8; 4],
}

impl Header {
    /// The header at the front of `bytes`.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        Some(Header {
            kind: u8_at(bytes, TYPE)?,
            code: u8_at(bytes, CODE)?,
            checksum: u16_at(bytes, CHECKSUM)?,
            rest: *array_at(bytes, REST)?,
        })
    }
}

/// A whole message with its checksum.
pub fn message(kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, code, 0, 0];
    out.extend(rest);
    out.extend(payload);
    let checksum = checksum::finish(checksum::sum(&out));
    let _ = put_u16(&mut out, CHECKSUM, checksum);
    out
}

/// An echo request.
pub fn echo_request(id: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let ([i0, i1], [s0, s1]) = (id.to_be_bytes(), sequence.to_be_bytes());
    message(ECHO_REQUEST, 0, [i0, i1, s0, s1], payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_back_with_a_right_checksum() {
        let bytes = echo_request(7, 9, b"odd");
        assert!(checksum::is_valid(checksum::sum(&bytes)));
        let header = Header::read(&bytes).unwrap();
        assert_eq!((header.kind, header.code, header.rest), (ECHO_REQUEST, 0, [0, 7, 0, 9]));
        assert_eq!(Header::read(&bytes[..7]), None);
    }
}

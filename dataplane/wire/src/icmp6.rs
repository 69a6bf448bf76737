//! ICMPv6 and neighbour discovery (RFC 4443, RFC 4861).
//!
//! Purpose: field offsets, reading and writing of headers, solicitations and advertisements.
//! Invariant: what `message` builds has a right checksum for the addresses given.
//! Deliberately does not know: who answers.

use std::net::Ipv6Addr;

use crate::bytes::{array_at, put_u16, u16_at, u8_at};
use crate::checksum;
use crate::ethernet::Mac;
use crate::ipv6::ICMP6;

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
/// Offset of the target of a solicitation or advertisement.
pub const ND_TARGET: usize = 8;
/// Offset of the options of a solicitation or advertisement.
pub const ND_OPTIONS: usize = 24;

/// Type: echo request.
pub const ECHO_REQUEST: u8 = 128;
/// Type: echo reply.
pub const ECHO_REPLY: u8 = 129;
/// Type: neighbour solicitation.
pub const SOLICITATION: u8 = 135;
/// Type: neighbour advertisement.
pub const ADVERTISEMENT: u8 = 136;
/// Option: source link-layer address.
pub const SOURCE_ADDRESS: u8 = 1;
/// Option: target link-layer address.
pub const TARGET_ADDRESS: u8 = 2;

/// Advertisement flag: from a router.
pub const ROUTER: u32 = 0x8000_0000;
/// Advertisement flag: answers a solicitation.
pub const SOLICITED: u32 = 0x4000_0000;
/// Advertisement flag: replaces what the receiver knew.
pub const OVERRIDE: u32 = 0x2000_0000;

/// An ICMPv6 header.
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

/// A neighbour solicitation or advertisement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// [`SOLICITATION`] or [`ADVERTISEMENT`].
    pub kind: u8,
    /// The flags of an advertisement, and reserved bits.
    pub flags: u32,
    /// The address in question.
    pub target: Ipv6Addr,
    /// The link-layer address option: the source's in a solicitation, the target's in an advertisement.
    pub address: Option<Mac>,
}

impl Neighbour {
    /// The message at the front of `bytes`, which end where the datagram ends.
    pub fn read(bytes: &[u8]) -> Option<Neighbour> {
        let header = Header::read(bytes)?;
        if header.code != 0 || !matches!(header.kind, SOLICITATION | ADVERTISEMENT) {
            return None;
        }
        let wanted = option_of(header.kind);
        let options = Options { rest: bytes.get(ND_OPTIONS..).unwrap_or(&[]) };
        let address = options.filter(|(kind, _)| *kind == wanted).find_map(|(_, body)| body.first_chunk().copied());
        Some(Neighbour {
            kind: header.kind,
            flags: u32::from_be_bytes(header.rest),
            target: Ipv6Addr::from(*array_at::<16>(bytes, ND_TARGET)?),
            address,
        })
    }

    /// The message as it goes from `src` to `dst`.
    pub fn to_bytes(&self, src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
        let mut body = self.target.octets().to_vec();
        if let Some(address) = self.address {
            body.extend([option_of(self.kind), 1]);
            body.extend(address);
        }
        message(src, dst, self.kind, 0, self.flags.to_be_bytes(), &body)
    }
}

const fn option_of(kind: u8) -> u8 {
    if kind == SOLICITATION {
        SOURCE_ADDRESS
    } else {
        TARGET_ADDRESS
    }
}

/// Options of a neighbour discovery message: type, and what follows type and length.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let &[kind, units] = self.rest.first_chunk()?;
        let (option, rest) = self.rest.split_at_checked(usize::from(units) * 8)?;
        self.rest = rest;
        // A length of zero splits off nothing, and so has no body: the walk ends.
        Some((kind, option.get(2..)?))
    }
}

/// A whole message with its checksum.
pub fn message(src: Ipv6Addr, dst: Ipv6Addr, kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, code, 0, 0];
    out.extend(rest);
    out.extend(payload);
    let pseudo = checksum::pseudo6(src.into(), dst.into(), ICMP6, out.len() as u32);
    let checksum = checksum::finish(checksum::add(pseudo, checksum::sum(&out)));
    let _ = put_u16(&mut out, CHECKSUM, checksum);
    out
}

/// An echo request.
pub fn echo_request(src: Ipv6Addr, dst: Ipv6Addr, id: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let ([i0, i1], [s0, s1]) = (id.to_be_bytes(), sequence.to_be_bytes());
    message(src, dst, ECHO_REQUEST, 0, [i0, i1, s0, s1], payload)
}

/// The multicast group that a solicitation for `target` goes to.
pub fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let low = u128::from(target) & 0xff_ffff;
    Ipv6Addr::from(0xff02_0000_0000_0000_0000_0001_ff00_0000 | low)
}

/// The Ethernet address of an IPv6 multicast group.
pub fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solicitation_reads_back_with_a_right_checksum() {
        let (src, target): (Ipv6Addr, Ipv6Addr) = ("fe80::1".parse().unwrap(), "fe80::ab:cdef".parse().unwrap());
        let dst = solicited_node(target);
        assert_eq!(dst, "ff02::1:ffab:cdef".parse::<Ipv6Addr>().unwrap());
        assert_eq!(group_mac(dst), [0x33, 0x33, 0xff, 0xab, 0xcd, 0xef]);
        let message = Neighbour { kind: SOLICITATION, flags: 0, target, address: Some([2, 0, 0, 0, 0, 1]) };
        let bytes = message.to_bytes(src, dst);
        let pseudo = checksum::pseudo6(src.into(), dst.into(), ICMP6, bytes.len() as u32);
        assert!(checksum::is_valid(checksum::add(pseudo, checksum::sum(&bytes))));
        assert_eq!(Neighbour::read(&bytes), Some(message));
        assert_eq!(Neighbour::read(&bytes[..24]).unwrap().address, None);
        assert_eq!(Neighbour::read(&bytes[..23]), None);
    }

    #[test]
    fn an_option_of_no_length_ends_the_walk() {
        let bytes = [&[SOLICITATION, 0][..], &[0; 22], &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(Neighbour::read(&bytes).unwrap().address, None);
    }
}

//! Outer addresses of both families, so that what is written for one serves the other at its own width.

use std::net::IpAddr;

use sluice_wire::bytes::{u32_or_zero, u64_or_zero};

use super::ETHERNET;

/// An outer IP address as a number in host order.
pub trait Address: Copy + Eq + Default + std::fmt::Debug {
    /// Bytes of the IP header without options or extension headers.
    const HEADER: usize;
    /// Bytes of Ethernet, IP, UDP and VXLAN headers.
    const OUTER_LEN: usize = ETHERNET + Self::HEADER + super::UDP_VXLAN;

    /// Source and destination in an IP header, zero where it is cut.
    fn both(header: &[u8]) -> (Self, Self);
    /// Bytes of the IP packet, by its header, if that is a plain UDP packet's in an untagged frame.
    fn plain_udp(frame: &[u8]) -> Option<usize>;
    /// Bits that tell addresses apart.
    fn mixed(self) -> u64;
    /// The address by itself.
    fn ip(self) -> IpAddr;
}

impl Address for u32 {
    const HEADER: usize = 20;

    #[inline(always)]
    fn both(header: &[u8]) -> (u32, u32) {
        (u32_or_zero(header, 12), u32_or_zero(header, 16))
    }

    #[inline(always)]
    fn plain_udp(frame: &[u8]) -> Option<usize> {
        let b = frame.first_chunk::<{ ETHERNET + 20 }>()?;
        // version 4, header length 4 | ... | flags and fragment offset: not a fragment
        let first = u64_or_zero(b, ETHERNET);
        let fits = u16::from_be_bytes([b[12], b[13]]) == 0x0800
            && first & 0xff00_0000_0000_3fff == 0x4500_0000_0000_0000
            && b[ETHERNET + 9] == super::PROTO_UDP;
        fits.then_some((first >> 32) as usize & 0xffff)
    }

    #[inline(always)]
    fn mixed(self) -> u64 {
        u64::from(self)
    }

    fn ip(self) -> IpAddr {
        IpAddr::V4(self.into())
    }
}

impl Address for u128 {
    const HEADER: usize = 40;

    #[inline(always)]
    fn both(header: &[u8]) -> (u128, u128) {
        let half = |at| u128::from(u64_or_zero(header, at));
        (half(8) << 64 | half(16), half(24) << 64 | half(32))
    }

    #[inline(always)]
    fn plain_udp(frame: &[u8]) -> Option<usize> {
        let b = frame.first_chunk::<{ ETHERNET + 40 }>()?;
        // version 6 | ... | payload length | next header | hop limit
        let first = u64_or_zero(b, ETHERNET);
        let fits = u16::from_be_bytes([b[12], b[13]]) == 0x86dd
            && first & 0xf000_0000_0000_ff00 == 0x6000_0000_0000_0000 | u64::from(super::PROTO_UDP) << 8;
        fits.then_some(40 + ((first >> 16) as usize & 0xffff))
    }

    #[inline(always)]
    fn mixed(self) -> u64 {
        (self ^ self >> 64) as u64
    }

    fn ip(self) -> IpAddr {
        IpAddr::V6(self.into())
    }
}

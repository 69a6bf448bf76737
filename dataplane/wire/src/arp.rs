//! ARP for IPv4 over Ethernet.
//!
//! Purpose: field offsets, reading and writing.
//! Invariant: only the Ethernet and IPv4 form is read; all others are `None`.
//! Deliberately does not know: who answers.

use std::net::Ipv4Addr;

use crate::bytes::array_at;
use crate::ethernet::Mac;

/// Bytes of the packet behind the Ethernet header.
pub const LEN: usize = 28;
/// Offset of the operation.
pub const OP: usize = 6;
/// Offset of the sender's hardware address.
pub const SHA: usize = 8;
/// Offset of the sender's protocol address.
pub const SPA: usize = 14;
/// Offset of the target's hardware address.
pub const THA: usize = 18;
/// Offset of the target's protocol address.
pub const TPA: usize = 24;
/// Operation: who has?
pub const REQUEST: u16 = 1;
/// Operation: is at.
pub const REPLY: u16 = 2;

const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// An ARP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Operation.
    pub op: u16,
    /// Sender's hardware address.
    pub sha: Mac,
    /// Sender's protocol address.
    pub spa: Ipv4Addr,
    /// Target's hardware address.
    pub tha: Mac,
    /// Target's protocol address.
    pub tpa: Ipv4Addr,
}

impl Packet {
    /// The packet at the front of `bytes` (behind the Ethernet header).
    pub fn read(bytes: &[u8]) -> Option<Packet> {
        if *bytes.first_chunk()? != ETHERNET_IPV4 {
            return None;
        }
        Some(Packet {
            op: u16::from_be_bytes(*array_at(bytes, OP)?),
            sha: *array_at(bytes, SHA)?,
            spa: Ipv4Addr::from(*array_at::<4>(bytes, SPA)?),
            tha: *array_at(bytes, THA)?,
            tpa: Ipv4Addr::from(*array_at::<4>(bytes, TPA)?),
        })
    }

    /// The packet as it goes onto the wire.
    pub fn to_bytes(&self) -> [u8; LEN] {
        let [h0, h1, h2, h3, h4, h5] = ETHERNET_IPV4;
        let [o0, o1] = self.op.to_be_bytes();
        let [s0, s1, s2, s3, s4, s5] = self.sha;
        let [p0, p1, p2, p3] = self.spa.octets();
        let [t0, t1, t2, t3, t4, t5] = self.tha;
        let [q0, q1, q2, q3] = self.tpa.octets();
        [
            h0, h1, h2, h3, h4, h5, o0, o1, s0, s1, s2, s3, s4, s5, p0, p1, p2, p3, t0, t1, t2, t3, t4, t5, q0, q1, q2,
            q3,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_reads_back_and_one_of_another_medium_does_not() {
        let packet = Packet {
            op: REQUEST,
            sha: [2, 0, 0, 0, 0, 1],
            spa: Ipv4Addr::new(10, 0, 0, 1),
            tha: [0; 6],
            tpa: Ipv4Addr::new(10, 0, 0, 2),
        };
        let mut bytes = packet.to_bytes();
        assert_eq!(Packet::read(&bytes), Some(packet));
        assert_eq!(Packet::read(&bytes[..27]), None);
        bytes[1] = 6;
        assert_eq!(Packet::read(&bytes), None);
    }
}

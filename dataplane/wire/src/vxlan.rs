//! The VXLAN header (RFC 7348), with the group policy bits of draft-smith-vxlan-group-policy.
//!
//! Purpose: field offsets, reading and writing, and the source port that spreads flows over links.
//! Invariant: a header is read only if it says that its network identifier counts.
//! Deliberately does not know: outer headers (see `build`), tunnels.

/// Bytes of the header.
pub const LEN: usize = 8;
/// Port that IANA assigned.
pub const PORT: u16 = 4789;
/// Bytes of outer headers over IPv4 without a VLAN tag.
pub const OUTER4_LEN: usize = crate::ethernet::LEN + crate::ipv4::LEN + crate::udp::LEN + LEN;
/// Bytes of outer headers over IPv6 without a VLAN tag.
pub const OUTER6_LEN: usize = crate::ethernet::LEN + crate::ipv6::LEN + crate::udp::LEN + LEN;
/// Flag of the first byte: the network identifier counts.
pub const FLAG_VNI: u8 = 0x08;
/// Flag of the first byte: the group policy id counts.
pub const FLAG_GROUP: u8 = 0x80;
/// Largest network identifier.
pub const VNI_MAX: u32 = 0xff_ffff;

/// Source ports lie from here on.
const PORT_MIN: u32 = 32_768;
/// Source ports lie below this.
const PORT_END: u32 = 61_000;

/// A VXLAN header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Network identifier; 24 bits.
    pub vni: u32,
    /// Group policy: flag bits and id, where present.
    pub group: Option<(u8, u16)>,
}

impl Header {
    /// The header at the front of a UDP payload. Reserved bits are ignored, as RFC 7348 wants it.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let &[flags, policy, g0, g1, v0, v1, v2, _] = bytes.first_chunk::<LEN>()?;
        if flags & FLAG_VNI == 0 {
            return None;
        }
        let group = (flags & FLAG_GROUP != 0).then(|| (policy, u16::from_be_bytes([g0, g1])));
        Some(Header { vni: u32::from_be_bytes([0, v0, v1, v2]), group })
    }

    /// The header as it goes onto the wire.
    #[inline]
    pub const fn to_bytes(&self) -> [u8; LEN] {
        let [_, v0, v1, v2] = self.vni.to_be_bytes();
        match self.group {
            None => [FLAG_VNI, 0, 0, 0, v0, v1, v2, 0],
            Some((policy, id)) => {
                let [g0, g1] = id.to_be_bytes();
                [FLAG_VNI | FLAG_GROUP, policy, g0, g1, v0, v1, v2, 0]
            }
        }
    }
}

/// The outer source port for an inner flow's hash: outside the range that hosts open themselves on most systems.
#[inline]
pub const fn source_port(hash: u32) -> u16 {
    let span = (PORT_END - PORT_MIN) as u64;
    (PORT_MIN as u64 + ((hash as u64 * span) >> 32)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_one_without_its_flag_does_not() {
        for group in [None, Some((0x40, 0x1234))] {
            let header = Header { vni: VNI_MAX - 1, group };
            assert_eq!(Header::read(&header.to_bytes()), Some(header));
        }
        assert_eq!(Header::read(&[0, 0, 0, 0, 0, 0, 1, 0]), None);
        assert_eq!(Header::read(&[8, 0, 0, 0, 0, 0, 1]), None);
    }

    #[test]
    fn source_ports_span_their_range() {
        assert_eq!(source_port(0), 32_768);
        assert_eq!(source_port(u32::MAX), 60_999);
    }
}

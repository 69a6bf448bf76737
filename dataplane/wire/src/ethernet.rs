//! The Ethernet header.
//!
//! Purpose: field offsets, the types in use, reading and writing.
//! Invariant: `read` of `to_bytes` gives the same value.
//! Deliberately does not know: tags and what else may stand in front of the type.

/// Bytes of the header.
pub const LEN: usize = 14;
/// Offset of the destination address.
pub const DST: usize = 0;
/// Offset of the source address.
pub const SRC: usize = 6;
/// Offset of the type, or of the first tag.
pub const TYPE: usize = 12;

/// IPv4.
pub const IPV4: u16 = 0x0800;
/// ARP.
pub const ARP: u16 = 0x0806;
/// Reverse ARP.
pub const RARP: u16 = 0x8035;
/// IPv6.
pub const IPV6: u16 = 0x86dd;
/// VLAN tag (802.1Q).
pub const VLAN: u16 = 0x8100;
/// Service VLAN tag (802.1ad).
pub const SERVICE_VLAN: u16 = 0x88a8;
/// MPLS unicast.
pub const MPLS: u16 = 0x8847;
/// MPLS multicast.
pub const MPLS_MULTICAST: u16 = 0x8848;
/// Provider backbone service instance tag (802.1ah).
pub const SERVICE_INSTANCE: u16 = 0x88e7;
/// Network service header (RFC 8300).
pub const NSH: u16 = 0x894f;

/// A hardware address.
pub type Mac = [u8; 6];

/// The address of all stations.
pub const BROADCAST: Mac = [0xff; 6];

/// Is this a group address (broadcast included)?
#[inline]
pub const fn is_multicast(mac: &Mac) -> bool {
    let &[first, ..] = mac;
    first & 1 != 0
}

/// Is this one of the addresses 01:80:c2:00:00:00 to 0f that bridges keep to themselves?
#[inline]
pub const fn is_reserved(mac: &Mac) -> bool {
    matches!(mac, [0x01, 0x80, 0xc2, 0, 0, 0..=0x0f])
}

/// An Ethernet header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Destination.
    pub dst: Mac,
    /// Source.
    pub src: Mac,
    /// Type of what follows.
    pub eth_type: u16,
}

impl Header {
    /// The header at the front of a frame.
    pub fn read(frame: &[u8]) -> Option<Header> {
        let &[a, b, c, d, e, f, g, h, i, j, k, l, t0, t1] = frame.first_chunk::<LEN>()?;
        let eth_type = u16::from_be_bytes([t0, t1]);
        Some(Header { dst: [a, b, c, d, e, f], src: [g, h, i, j, k, l], eth_type })
    }

    /// The header as it goes onto the wire.
    pub const fn to_bytes(&self) -> [u8; LEN] {
        let [a, b, c, d, e, f] = self.dst;
        let [g, h, i, j, k, l] = self.src;
        let [t0, t1] = self.eth_type.to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, t0, t1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_a_runt_has_none() {
        let header = Header { dst: BROADCAST, src: [2, 0, 0, 0, 0, 1], eth_type: ARP };
        let bytes = header.to_bytes();
        assert_eq!(Header::read(&bytes), Some(header));
        assert_eq!(Header::read(&bytes[..13]), None);
        assert!(is_multicast(&header.dst) && !is_multicast(&header.src));
        assert!(is_reserved(&[1, 0x80, 0xc2, 0, 0, 0x0e]) && !is_reserved(&[1, 0x80, 0xc2, 0, 0, 0x10]));
    }
}

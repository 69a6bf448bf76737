//! What outer headers take from the packet inside.

use sluice_flow::verdict::OuterTos;
use sluice_wire::bytes::{array_at, u32_at, u64_or_zero};
use sluice_wire::{Headers, Net, PackedHeaders, Transport};

/// First of the source ports that spread flows over the underlay (RFC 7348 section 5).
const FIRST_SOURCE_PORT: u16 = 0xc000;
const SOURCE_PORTS: u32 = 0x4000;
const ECN: u8 = 0x03;

/// What outer headers take from the packet inside.
#[derive(Clone, Copy)]
pub(super) struct Inner {
    /// UDP source port: by flow.
    pub port: u16,
    /// DSCP and ECN, where it is an IP packet.
    pub tos: Option<u8>,
    /// TTL or hop limit, where it is an IP packet.
    pub ttl: Option<u8>,
}

impl Inner {
    pub fn of(head: &[u8], h: &Headers) -> Inner {
        let (tos, ttl) = inner_tos_ttl(head, h);
        Inner { port: source_port(head, h), tos, ttl }
    }

    /// The same from packed headers, for what most packets are.
    #[inline(always)]
    pub fn of_packed(head: &[u8], h: PackedHeaders) -> Inner {
        let plain = h.is_plain_tcp().and_then(|_| Some((array_at::<20>(head, h.l3())?, u32_at(head, h.l4())?)));
        let Some((ip, ports)) = plain else { return Inner::of(head, &h.unpack()) };
        Inner { port: port_of(folded(u64_or_zero(ip, 12)), ports, ip[9]), tos: Some(ip[1]), ttl: Some(ip[8]) }
    }

    /// The outer DSCP and ECN (RFC 6040, normal mode: the inner ECN is copied).
    #[inline(always)]
    pub fn outer_tos(&self, tos: OuterTos) -> u8 {
        let ecn = self.tos.unwrap_or(0) & ECN;
        match tos {
            OuterTos::Set(v) => (v & !ECN) | ecn,
            OuterTos::Inherit => (self.tos.unwrap_or(0) & !ECN) | ecn,
        }
    }
}

fn inner_tos_ttl(head: &[u8], h: &Headers) -> (Option<u8>, Option<u8>) {
    let at = |i: usize| head.get(h.l3 as usize + i).copied();
    match h.net {
        Net::Ipv4 => (at(1), at(8)),
        Net::Ipv6 | Net::Ipv6Broken => (at(0).zip(at(1)).map(|(a, b)| a << 4 | b >> 4), at(7)),
        _ => (None, None),
    }
}

/// A port that is the same for all packets of an inner flow and spread over flows.
fn source_port(head: &[u8], h: &Headers) -> u16 {
    let word = |at: usize| head.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
    let l3 = h.l3 as usize;
    let ports = if h.transport == Transport::Opaque { 0 } else { word(h.l4 as usize) };
    let addresses = match h.net {
        Net::Ipv4 => head.get(l3 + 12..).map_or(0, |b| folded(u64_or_zero(b, 0))),
        Net::Ipv6 | Net::Ipv6Broken => (0..8).fold(0, |a: u32, i| a.rotate_left(5) ^ word(l3 + 8 + 4 * i)),
        _ => word(0) ^ word(4).rotate_left(11) ^ word(8).rotate_left(22),
    };
    port_of(addresses, ports, h.proto)
}

/// Both addresses of IPv4 in one word.
#[inline(always)]
fn folded(both: u64) -> u32 {
    (both >> 32) as u32 ^ (both as u32).rotate_left(16)
}

#[inline(always)]
fn port_of(addresses: u32, ports: u32, proto: u8) -> u16 {
    let mixed = (u64::from(addresses) << 32 | u64::from(ports ^ u32::from(proto))).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    FIRST_SOURCE_PORT + ((mixed >> 40) as u32 % SOURCE_PORTS) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_fixtures::samples::samples;

    #[test]
    fn packed_or_not_headers_give_the_same_outer_ones() {
        for sample in samples() {
            let h = sluice_wire::parse(&sample.frame);
            let (a, b) = (Inner::of(&sample.frame, &h), Inner::of_packed(&sample.frame, h.into()));
            assert_eq!((a.port, a.tos, a.ttl), (b.port, b.tos, b.ttl), "{}", sample.name);
        }
    }
}

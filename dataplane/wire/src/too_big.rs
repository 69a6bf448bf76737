//! The answer to a packet that is too big for its way (RFC 792 and RFC 1191 for IPv4, RFC 4443 §3.2 for IPv6).
//!
//! Purpose: a sender that does path MTU discovery learns how big its packets may be.
//! Invariant: nothing is answered that must not be (RFC 1122 §3.2.2, RFC 4443 §2.4): errors, later fragments, packets
//! that may be fragmented, packets from or to groups.
//! Deliberately does not know: why there is no more room, how often answers may be given.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::build;
use crate::bytes::{array_at, u8_at};
use crate::{ethernet, icmp4, icmp6, ipv4, ipv6, Headers, Net, Transport};

/// Bytes of an IPv4 packet that an error quotes: all that fits into 576 bytes (RFC 1812 §4.3.2.3).
const QUOTED4: usize = 576 - ipv4::LEN - icmp4::LEN;
/// The same for IPv6: all that fits into the least MTU.
const QUOTED6: usize = LEAST6 as usize - ipv6::LEN - icmp6::LEN;
/// The least MTU of IPv6; a smaller one is not told.
const LEAST6: u16 = 1280;
/// The least MTU of IPv4 (RFC 791).
const LEAST4: u16 = 68;
const HOPS: u8 = 64;
const FRAGMENTATION_NEEDED: u8 = 4;
const PACKET_TOO_BIG: u8 = 2;

/// The frame to send back to where `frame` came from, as if its destination had written it: a packet may have
/// `mtu` bytes at most. `None` where such a frame is dropped in silence.
pub fn answer(frame: &[u8], h: &Headers, mtu: u16) -> Option<Vec<u8>> {
    let [dst, src] = [ethernet::DST, ethernet::SRC].map(|at| array_at::<6>(frame, at).copied());
    let (dst, src) = (dst?, src?);
    if h.mpls != 0 || h.frag & 2 != 0 || is_group(&src) || is_group(&dst) {
        return None;
    }
    let packet = frame.get(usize::from(h.l3)..(h.end as usize).min(frame.len()))?;
    let (eth_type, error) = match h.net {
        Net::Ipv4 => (ethernet::IPV4, error4(packet, frame, h, mtu.max(LEAST4))?),
        Net::Ipv6 => (ethernet::IPV6, error6(packet, frame, h, mtu.max(LEAST6))?),
        _ => return None,
    };
    Some(build::pad(build::frame(src, dst, &[], eth_type, &error)))
}

fn is_group(mac: &[u8; 6]) -> bool {
    mac[0] & 1 != 0
}

fn error4(packet: &[u8], frame: &[u8], h: &Headers, mtu: u16) -> Option<Vec<u8>> {
    let header = ipv4::Header::read(packet)?;
    let unicast = |a: Ipv4Addr| !a.is_multicast() && !a.is_broadcast() && !a.is_unspecified() && !a.is_loopback();
    let is_error = h.transport == Transport::Icmp4 && !is_query4(u8_at(frame, usize::from(h.l4))?);
    if header.flags & ipv4::DF == 0 || is_error || !unicast(header.src) || !unicast(header.dst) {
        return None;
    }
    let [high, low] = mtu.to_be_bytes();
    let quoted = packet.get(..packet.len().min(QUOTED4))?;
    let message = icmp4::message(icmp4::UNREACHABLE, FRAGMENTATION_NEEDED, [0, 0, high, low], quoted);
    let header = ipv4::Header { tos: 0xc0, total_len: 0, id: 0, flags: 0, ttl: HOPS, proto: ipv4::ICMP, src: header.dst, dst: header.src };
    Some(build::ipv4(header, &message))
}

/// Echo, timestamp, address mask, router discovery: all that is no error.
fn is_query4(kind: u8) -> bool {
    !matches!(kind, icmp4::UNREACHABLE | 4 | 5 | icmp4::TIME_EXCEEDED | 12)
}

fn error6(packet: &[u8], frame: &[u8], h: &Headers, mtu: u16) -> Option<Vec<u8>> {
    let header = ipv6::Header::read(packet)?;
    let unicast = |a: Ipv6Addr| !a.is_multicast() && !a.is_unspecified() && !a.is_loopback();
    // Types below 128 are errors.
    let is_error = h.transport == Transport::Icmp6 && u8_at(frame, usize::from(h.l4))? < 128;
    if is_error || !unicast(header.src) || !unicast(header.dst) {
        return None;
    }
    let quoted = packet.get(..packet.len().min(QUOTED6))?;
    let message = icmp6::message(header.dst, header.src, PACKET_TOO_BIG, 0, u32::from(mtu).to_be_bytes(), quoted);
    let header = ipv6::Header {
        traffic_class: 0, label: 0, payload_len: 0, next: ipv6::ICMP6, hop_limit: HOPS, src: header.dst, dst: header.src,
    };
    Some(build::ipv6(header, &message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{checksum, parse, tcp};

    const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const B: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn header4(flags: u16, proto: u8) -> ipv4::Header {
        let [src, dst] = [1, 2].map(|n| Ipv4Addr::new(10, 0, 0, n));
        ipv4::Header { tos: 0, total_len: 0, id: 7, flags, ttl: 9, proto, src, dst }
    }

    fn header6() -> ipv6::Header {
        let [src, dst] = [1, 2].map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n));
        ipv6::Header { traffic_class: 0, label: 3, payload_len: 0, next: 0, hop_limit: 9, src, dst }
    }

    fn big4(flags: u16) -> Vec<u8> {
        build::frame(B, A, &[], ethernet::IPV4, &build::udp4(header4(flags, ipv4::UDP), 1, 2, &[0; 1500]))
    }

    fn answered(frame: &[u8], mtu: u16) -> Option<Vec<u8>> {
        answer(frame, &parse(frame), mtu)
    }

    #[test]
    fn an_ipv4_packet_that_may_not_be_fragmented_is_answered_with_what_fits_and_its_own_beginning() {
        let sent = big4(ipv4::DF);
        let told = answered(&sent, 1450).expect("an answer");
        assert_eq!((told[..6].to_vec(), told[6..12].to_vec()), (A.to_vec(), B.to_vec()));
        let h = parse(&told);
        let header = ipv4::Header::read(&told[14..]).unwrap();
        assert_eq!((header.src, header.dst, h.transport), (header4(0, 0).dst, header4(0, 0).src, Transport::Icmp4));
        assert!(ipv4::checksum_is_valid(&told[14..34]) && checksum::is_valid(checksum::sum(&told[34..])));
        assert_eq!(told[34..36], [3, 4]);
        assert_eq!(told[40..42], 1450u16.to_be_bytes());
        assert_eq!(told[42..], sent[14..14 + QUOTED4]);
    }

    #[test]
    fn an_ipv6_packet_is_answered_and_never_below_the_least_mtu() {
        let packet = build::tcp6(header6(), tcp::Header::default(), &[0; 1500]);
        let sent = build::frame(B, A, &[], ethernet::IPV6, &packet);
        for (mtu, said) in [(1430, 1430u32), (900, 1280)] {
            let told = answered(&sent, mtu).expect("an answer");
            assert_eq!(told.len(), 14 + 1280);
            let header = ipv6::Header::read(&told[14..]).unwrap();
            assert_eq!((header.src, header.dst), (header6().dst, header6().src));
            let sum = checksum::add(header.pseudo(ipv6::ICMP6, told.len() - 54), checksum::sum(&told[54..]));
            assert!(checksum::is_valid(sum));
            assert_eq!((told[54], told[58..62].to_vec()), (2, said.to_be_bytes().to_vec()));
        }
    }

    #[test]
    fn what_must_not_be_answered_is_not() {
        assert_eq!(answered(&big4(0), 1450), None, "it may be fragmented");
        let mut to_group = big4(ipv4::DF);
        to_group[0] |= 1;
        assert_eq!(answered(&to_group, 1450), None);
        let error = icmp4::message(icmp4::TIME_EXCEEDED, 0, [0; 4], &[0; 1500]);
        let frame = build::frame(B, A, &[], ethernet::IPV4, &build::ipv4(header4(ipv4::DF, ipv4::ICMP), &error));
        assert_eq!(answered(&frame, 1450), None, "an error about an error");
        let echo = build::frame(B, A, &[], ethernet::IPV4, &build::ipv4(header4(ipv4::DF, ipv4::ICMP), &icmp4::echo_request(1, 1, &[0; 1500])));
        assert!(answered(&echo, 1450).is_some());
        let arp = build::frame(B, A, &[], ethernet::ARP, &[0; 1500]);
        assert_eq!(answered(&arp, 1450), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let sent = big4(ipv4::DF);
        for len in 0..sent.len() {
            let _ = answered(&sent[..len], 1450);
            let _ = answer(&sent[..len], &parse(&sent), 1450);
        }
    }
}

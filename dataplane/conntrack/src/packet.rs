//! What the tracker needs to know of a packet: its tuple, and what its transport header says.
//!
//! Invariant: no panic on any bytes; a packet whose checksums or lengths are wrong has no view (it is
//! invalid to the tracker), as in Open vSwitch.
//! Deliberately does not know: connections; fragments (they are put together before, see `fragments`).

use sluice_wire::bytes::{u16_at, u16_or_zero, u32_at, u32_or_zero, u64_at, u64_or_zero, u8_at};
use sluice_wire::ipv6::{is_extension, AUTHENTICATION, FRAGMENT};
use sluice_wire::{checksum, Headers, Net, PackedHeaders, Transport};

use crate::tcp::Segment;
use crate::tuple::{opposite, Tuple, ICMP, ICMP6, TCP, UDP};

const ICMP_HEADER: usize = 8;
/// Bytes of a transport header that an ICMP error must quote.
const QUOTED: usize = 8;
const TCP_HEADER: usize = 20;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// IPv6 extension headers that are stepped over inside an ICMP error.
const EXTENSIONS_MAX: usize = 16;

/// What the transport header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transported {
    /// TCP.
    Tcp(Segment),
    /// An ICMP query or answer of this type.
    Icmp(u8),
    /// Anything else.
    Other,
}

/// A packet as the tracker sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Its tuple (of an ICMP error: the quoted packet's, in the direction of the error); zone 0.
    pub tuple: Tuple,
    /// It is an ICMP error about the packet with the reverse of that tuple.
    pub related: bool,
    /// What the transport header says.
    pub transported: Transported,
}

/// Reads a packet; `None` when it is not whole and sane IP.
///
/// `sum` gives the one's complement sum of the frame's bytes `from..to`; with `trust` no checksum is verified.
#[inline]
pub fn read(head: &[u8], h: &Headers, trust: bool, sum: impl Fn(usize, usize) -> u16) -> Option<Seen> {
    let (l3, l4, end) = (usize::from(h.l3), usize::from(h.l4), h.end as usize);
    if h.frag != 0 || l4 == 0 || end < l4 {
        return None;
    }
    let mut tuple = match h.net {
        Net::Ipv4 => addresses4(head, l3)?,
        Net::Ipv6 => addresses6(head, l3)?,
        _ => return None,
    };
    tuple.proto = h.proto;
    if h.net == Net::Ipv4 && !trust && sum(l3, l4) != 0xffff {
        return None;
    }
    let pseudo = |len: usize| pseudo_sum(&tuple, len as u32);
    let whole = || checksum::fold(pseudo(end - l4) + u64::from(sum(l4, end))) == 0xffff;
    let (transported, related) = match (h.transport, tuple.proto) {
        (Transport::Tcp, _) => {
            if !trust && !whole() {
                return None;
            }
            tuple.ports = ports(head, l4)?;
            (Transported::Tcp(segment(head.get(l4..)?, end - l4, usize::from(h.payload).saturating_sub(l4))?), false)
        }
        (Transport::Udp, _) => {
            let len = usize::from(u16_at(head, l4 + 4)?);
            let unused = u16_at(head, l4 + 6)? == 0 && !tuple.v6;
            if len < 8 || len > end - l4 || !(trust || unused || whole()) {
                return None;
            }
            tuple.ports = ports(head, l4)?;
            (Transported::Other, false)
        }
        (Transport::Icmp4, ICMP) if !tuple.v6 => {
            if !trust && sum(l4, end) != 0xffff {
                return None;
            }
            icmp(head, l4, end, &mut tuple)?
        }
        (Transport::Icmp6, ICMP6) if tuple.v6 => {
            if !trust && !whole() {
                return None;
            }
            icmp(head, l4, end, &mut tuple)?
        }
        // A header that does not fit its packet.
        (_, TCP | UDP) => return None,
        (_, ICMP) if !tuple.v6 => return None,
        (_, ICMP6) if tuple.v6 => return None,
        _ => (Transported::Other, false),
    };
    Some(Seen { tuple, related, transported })
}

/// As [`read`], of a packet whose tuple is known from its flow key: of one that `head` holds whole, and that is TCP
/// or UDP over IPv4 and no fragment. `None` for one that is not whole and sane, `Some(None)` for any other packet.
#[inline(always)]
pub fn read_again(head: &[u8], h: PackedHeaders, trust: bool) -> Option<Option<Transported>> {
    let Some(is_tcp) = h.is_plain_tcp() else { return Some(None) };
    let Some((header, datagram)) = head.get(h.l3()..h.end()).and_then(|b| b.split_at_checked(h.l4().wrapping_sub(h.l3()))) else {
        return Some(None);
    };
    let (Some(fixed), Some(first)) = (header.first_chunk::<IPV4_HEADER>(), datagram.first_chunk::<8>()) else { return Some(None) };
    if !is_tcp {
        let len = usize::from(u16_or_zero(first, 4));
        if len < 8 || len > datagram.len() {
            return None;
        }
    }
    if !trust {
        // In the processor's byte order: what is all ones is so in any.
        let addresses = native64(fixed, 12);
        let options = checksum::native_sum(header.get(IPV4_HEADER..).unwrap_or(&[]));
        let rest = u64::from(u32_at(fixed, 8)?.to_be());
        let sum = checksum::add(checksum::add(native64(fixed, 0), addresses), checksum::add(rest, options));
        let proto_and_len = u64::from(u16::from(fixed[9]).to_be()) + u64::from((datagram.len() as u16).to_be());
        let unused = !is_tcp && u16_or_zero(first, 6) == 0;
        let whole = || checksum::add(checksum::add(addresses, proto_and_len), checksum::native_sum(datagram));
        if !checksum::is_valid(sum) || !(unused || checksum::is_valid(whole())) {
            return None;
        }
    }
    Some(Some(match is_tcp {
        false => Transported::Other,
        true => Transported::Tcp(segment(datagram, datagram.len(), h.payload().saturating_sub(h.l4()))?),
    }))
}

/// As [`read`], of a packet as [`read_again`] takes it; `None` for any other.
#[inline(always)]
pub fn read_plain(head: &[u8], h: PackedHeaders, trust: bool) -> Option<Option<Seen>> {
    let transported = match read_again(head, h, trust) {
        None => return Some(None),
        Some(said) => said?,
    };
    let proto = if matches!(transported, Transported::Tcp(_)) { TCP } else { UDP };
    let tuple = addresses4(head, h.l3()).zip(ports(head, h.l4())).map(|(t, ports)| Tuple { ports, proto, ..t });
    Some(tuple.map(|tuple| Seen { tuple, related: false, transported }))
}

#[inline(always)]
fn native64(bytes: &[u8; IPV4_HEADER], at: usize) -> u64 {
    u64_or_zero(bytes, at).to_be()
}

fn addresses4(head: &[u8], l3: usize) -> Option<Tuple> {
    Some(Tuple { addresses: [u64_at(head, l3 + 12)?, 0, 0, 0], ..Tuple::default() })
}

fn addresses6(head: &[u8], l3: usize) -> Option<Tuple> {
    let word = |i: usize| u64_at(head, l3 + 8 + 8 * i);
    Some(Tuple { addresses: [word(0)?, word(1)?, word(2)?, word(3)?], v6: true, ..Tuple::default() })
}

fn pseudo_sum(t: &Tuple, len: u32) -> u64 {
    let words = t.addresses.iter().map(|w| (w >> 32) + (w & 0xffff_ffff)).sum::<u64>();
    words + u64::from(t.proto) + u64::from(len)
}

/// Both ports; port 0 is not one.
fn ports(head: &[u8], l4: usize) -> Option<u32> {
    let both = u32_at(head, l4)?;
    (both >> 16 != 0 && both & 0xffff != 0).then_some(both)
}

/// A TCP header of so many bytes, its options as far as they matter, and the length of the payload behind it.
#[inline(always)]
fn segment(bytes: &[u8], len: usize, header: usize) -> Option<Segment> {
    let b = bytes.first_chunk::<TCP_HEADER>()?;
    let flags = u16_or_zero(b, 12) & 0xfff;
    let scale = match flags & crate::tcp::flag::SYN {
        0 => None,
        _ => window_scale(bytes.get(TCP_HEADER..header).unwrap_or(&[])),
    };
    Some(Segment {
        seq: u32_or_zero(b, 4),
        ack: u32_or_zero(b, 8),
        flags,
        window: u16_or_zero(b, 14),
        len: len.saturating_sub(header) as u32,
        scale,
    })
}

/// The window scale among TCP options.
fn window_scale(mut options: &[u8]) -> Option<u8> {
    let mut found = None;
    while let [kind, rest @ ..] = options {
        match kind {
            0 => break,
            1 => options = rest,
            _ => {
                let len = usize::from(*rest.first()?).max(2);
                if *kind == 3 && len >= 3 {
                    found = options.get(2).copied().or(found);
                }
                options = options.get(len..)?;
            }
        }
    }
    found
}

/// A query or its answer fills in identifier and type; an error takes over the tuple that it quotes.
fn icmp(head: &[u8], l4: usize, end: usize, tuple: &mut Tuple) -> Option<(Transported, bool)> {
    let (kind, code) = (u8_at(head, l4)?, u8_at(head, l4 + 1)?);
    if let Some(ports) = query(head, l4, tuple.v6) {
        tuple.ports = ports;
        return Some((Transported::Icmp(kind), false));
    }
    let is_error = match tuple.v6 {
        false => matches!(kind, 3 | 4 | 5 | 11 | 12),
        true => matches!(kind, 1..=4),
    };
    let _ = code;
    if !is_error {
        return None;
    }
    let quoted = quoted(head, l4 + ICMP_HEADER, end.min(head.len()), tuple.v6)?;
    if quoted.src() != tuple.dst() {
        return None;
    }
    *tuple = quoted.reversed();
    Some((Transported::Other, true))
}

/// Identifier and type of a query or answer.
fn query(head: &[u8], l4: usize, v6: bool) -> Option<u32> {
    let (kind, code) = (u8_at(head, l4)?, u8_at(head, l4 + 1)?);
    let known = opposite(kind, v6) != kind;
    (known && code == 0).then_some(())?;
    Some(u32::from(u16_at(head, l4 + 4)?) << 16 | u32::from(kind))
}

/// The tuple of a packet quoted at `at`.
fn quoted(head: &[u8], at: usize, end: usize, v6: bool) -> Option<Tuple> {
    let head = head.get(..end)?;
    let (mut tuple, l4) = if v6 { quoted6(head, at)? } else { quoted4(head, at)? };
    // An ICMPv6 error has room for the whole header, and must use it.
    let needed = if v6 && tuple.proto == TCP { TCP_HEADER } else { QUOTED };
    let has_l4 = end >= l4 + needed;
    match tuple.proto {
        TCP | UDP => tuple.ports = ports(head, l4).filter(|_| has_l4)?,
        _ if tuple.is_icmp() => tuple.ports = query(head, l4, v6).filter(|_| has_l4)?,
        _ => {}
    }
    Some(tuple)
}

fn quoted4(head: &[u8], at: usize) -> Option<(Tuple, usize)> {
    let header = usize::from(u8_at(head, at)? & 15) * 4;
    if header < IPV4_HEADER || at + header > head.len() || u16_at(head, at + 6)? & 0x3fff != 0 {
        return None;
    }
    let mut tuple = addresses4(head, at)?;
    tuple.proto = u8_at(head, at + 9)?;
    Some((tuple, at + header))
}

fn quoted6(head: &[u8], at: usize) -> Option<(Tuple, usize)> {
    let mut tuple = addresses6(head, at)?;
    tuple.proto = u8_at(head, at + 6)?;
    let mut l4 = at + IPV6_HEADER;
    for _ in 0..EXTENSIONS_MAX {
        if !is_extension(tuple.proto) {
            return Some((tuple, l4));
        }
        let (next, len) = (u8_at(head, l4)?, usize::from(u8_at(head, l4 + 1)?));
        l4 += match tuple.proto {
            FRAGMENT if u16_at(head, l4 + 2)? & 0xfff9 != 0 => return None,
            FRAGMENT => 8,
            AUTHENTICATION => (len + 2) * 4,
            _ => (len + 1) * 8,
        };
        tuple.proto = next;
    }
    None
}

//! Frame bytes to flow key.
//!
//! Purpose: fills the words of a [`Key`] that come from the frame's own headers. [`extract`] does all
//! of them; [`extract_narrow`] parses and fills words `0..NARROW_WORDS` in one go and takes a short
//! cut for the frames that most traffic is made of.
//! Invariant: both agree on every frame; a field that the frame does not have is zero.
//! Deliberately does not know: ports, tunnels, connection state (the other words of the key).

mod narrow;

pub use narrow::{extract_narrow, extract_narrow_packed, extract_narrow_part};

use sluice_wire::bytes::{array_at, u16_or_zero, u32_at, u32_or_zero, u48_at, u64_or_zero, u8_at};
use sluice_wire::{ipv6, nsh, pbb, Headers, Net, Transport};

use crate::key::{slot, Key, PacketKey, NARROW_WORDS, PACKET_WORDS, SERVICE_WORDS, VLAN_PRESENT};

const ETH_LEN: usize = 14;
const IPV4_LEN: usize = 20;
/// The bits of a word below an Ethernet address.
const LOW_16: u64 = 0xffff;

/// Words `0..NARROW_WORDS` of a key.
pub type NarrowWords = [u64; NARROW_WORDS];

/// Fills every word of `key` that comes from the frame; leaves the others as they are.
///
/// The stage shares a word with header fields and becomes 0: set it afterwards.
/// `headers` must be what [`sluice_wire::parse`] found in `head`; otherwise fields read as absent or
/// as other bytes of the frame.
pub fn extract(head: &[u8], headers: &Headers, key: &mut Key) {
    extract_part(head, head.len(), headers, key);
}

/// As [`extract`], of a frame of `frame_len` bytes of which `head` is the beginning.
pub fn extract_part(head: &[u8], frame_len: usize, headers: &Headers, key: &mut Key) {
    let narrow = narrow_words(head, headers, frame_len);
    key.words[..NARROW_WORDS].copy_from_slice(&narrow);
    extract_wide(head, frame_len, headers, key);
}

/// Fills what [`extract`] fills, save words `0..NARROW_WORDS`.
pub fn extract_wide(head: &[u8], frame_len: usize, headers: &Headers, key: &mut Key) {
    let wide = wide_words(head, frame_len, headers);
    key.words[NARROW_WORDS..PACKET_WORDS].copy_from_slice(&wide.words[NARROW_WORDS..]);
    key.words[SERVICE_WORDS].fill(0);
    let tpid = if headers.vlan { u16_or_zero(head, 12) } else { 0 };
    key.set(slot::VLAN_TPID, u64::from(tpid));
    service_words(head, headers, key);
}

/// Fills the fields of a service header, where the frame has one; what was there stays otherwise.
pub fn service_words(head: &[u8], headers: &Headers, key: &mut Key) {
    match headers.net {
        Net::Nsh => nsh_words(head, usize::from(headers.l3), key),
        Net::Pbb => pbb_words(head, usize::from(headers.l3), key),
        _ => {}
    }
}

/// Words `NARROW_WORDS..PACKET_WORDS` of a key; those before them are 0.
pub fn wide_words(head: &[u8], frame_len: usize, headers: &Headers) -> PacketKey {
    let mut key = PacketKey::ZERO;
    if headers.mpls != 0 {
        mpls_words(head, usize::from(headers.mpls), &mut key);
        let (under, _) = under_labels(head, headers, frame_len);
        network_words(head, &under, &mut key);
    } else {
        network_words(head, headers, &mut key);
    }
    key
}

fn network_words(head: &[u8], headers: &Headers, key: &mut PacketKey) {
    match headers.net {
        Net::Ipv6 | Net::Ipv6Broken => ipv6_words(head, usize::from(headers.l3), key),
        Net::Arp => arp_words(head, usize::from(headers.l3), key),
        Net::Ipv4 | Net::Nsh | Net::Pbb | Net::Opaque => {}
    }
    if headers.net == Net::Ipv6 {
        extension_words(head, headers, key);
    }
    if headers.transport == Transport::Icmp6 && headers.net == Net::Ipv6 {
        neighbour_words(head, headers, key);
    }
}

/// Words `0..NARROW_WORDS` of the key of a frame with these headers.
fn narrow_words(head: &[u8], headers: &Headers, frame_len: usize) -> NarrowWords {
    let mut words = link_words(head, headers);
    if headers.mpls != 0 {
        let (under, kind) = under_labels(head, headers, frame_len);
        narrow_network_words(head, &under, &mut words);
        words[3] |= kind << slot::UNDER_LABELS.shift;
        // dec_mpls_ttl asks for the label's own.
        words[3] &= !(1 << slot::TTL_EXPIRING.shift);
        return words;
    }
    narrow_network_words(head, headers, &mut words);
    words
}

/// Headers of the packet under the labels, and what it is (see [`slot::UNDER_LABELS`]).
fn under_labels(head: &[u8], headers: &Headers, frame_len: usize) -> (Headers, u64) {
    let l3 = usize::from(headers.l3);
    // Nothing says what it is; addresses of Ethernet for IPv4 begin as no IP packet does.
    let (eth_type, kind) = match u8_at(head, l3).map(|b| b >> 4) {
        Some(4) => (0x0800, slot::UNDER_IPV4),
        Some(6) => (0x86dd, slot::UNDER_IPV6),
        Some(0) => (0x0806, slot::UNDER_ARP),
        _ => return (Headers::default(), 0),
    };
    let under = sluice_wire::parse_network(head, frame_len, l3, eth_type);
    match under.is_ip() || under.net == Net::Arp {
        true => (under, kind),
        false => (Headers::default(), 0),
    }
}

fn narrow_network_words(head: &[u8], headers: &Headers, words: &mut NarrowWords) {
    let l3 = usize::from(headers.l3);
    let ip = match headers.net {
        Net::Ipv4 => array_at::<IPV4_LEN>(head, l3).map(|b| {
            words[2] = u64_or_zero(b, 12);
            let [_, tos, _, _, _, _, _, _, ttl, ..] = *b;
            (tos, ttl)
        }),
        Net::Ipv6 => array_at::<8>(head, l3).map(|b| {
            words[4] = flow_label(b);
            let [v0, v1, _, _, _, _, _, hops] = *b;
            (v0 << 4 | v1 >> 4, hops)
        }),
        Net::Arp => {
            let opcode = u16_or_zero(head, l3 + 6);
            words[2] = u64::from(u32_or_zero(head, l3 + 14)) << 32 | u64::from(u32_or_zero(head, l3 + 24));
            words[3] = if opcode <= 0xff { u64::from(opcode) << 56 } else { 0 };
            None
        }
        Net::Ipv6Broken | Net::Nsh | Net::Pbb | Net::Opaque => {
            // An IP packet without a sound header has a TTL of 0.
            words[3] |= u64::from(matches!(headers.eth_type, 0x0800 | 0x86dd)) << slot::TTL_EXPIRING.shift;
            None
        }
    };
    if let Some((tos, ttl)) = ip {
        words[3] = u64::from(headers.proto) << 56 | u64::from(tos) << 48 | ttl_bits(ttl);
        words[3] |= u64::from(headers.frag) << slot::NW_FRAG.shift;
        transport_words(head, headers, words);
    }
}

fn link_words(head: &[u8], headers: &Headers) -> NarrowWords {
    let mut words = [0; NARROW_WORDS];
    if let Some(b) = head.first_chunk::<ETH_LEN>() {
        words[0] = (u64_or_zero(b, 0) & !LOW_16) | u64::from(headers.eth_type);
        words[1] = u64_or_zero(b, 6) & !LOW_16;
    }
    if headers.vlan {
        words[1] |= u64::from(u16_or_zero(head, 14)) | VLAN_PRESENT;
    }
    words
}

#[inline(always)]
fn ttl_bits(ttl: u8) -> u64 {
    u64::from(ttl) << slot::NW_TTL.shift | u64::from(ttl <= 1) << slot::TTL_EXPIRING.shift
}

#[inline(always)]
fn flow_label(b: &[u8; 8]) -> u64 {
    u64_or_zero(b, 0) >> 32 & 0xf_ffff
}

/// ICMP type and code as two 16-bit ports.
#[inline(always)]
fn type_and_code(both: u16) -> u64 {
    u64::from(both >> 8) << 16 | u64::from(both & 0xff)
}

fn transport_words(head: &[u8], headers: &Headers, words: &mut NarrowWords) {
    let l4 = usize::from(headers.l4);
    match headers.transport {
        Transport::Opaque => {}
        Transport::Tcp => {
            words[3] |= u64::from(u32_or_zero(head, l4));
            words[4] |= u64::from(u16_or_zero(head, l4 + 12) & 0xfff) << slot::TCP_FLAGS.shift;
        }
        Transport::Udp | Transport::Sctp => words[3] |= u64::from(u32_or_zero(head, l4)),
        Transport::Icmp4 | Transport::Icmp6 | Transport::Igmp => words[3] |= type_and_code(u16_or_zero(head, l4)),
    }
}

fn mpls_words(head: &[u8], mut at: usize, key: &mut PacketKey) {
    for place in [slot::MPLS_LSE0, slot::MPLS_LSE1, slot::MPLS_LSE2] {
        let Some(entry) = u32_at(head, at) else { return };
        key.set(place, u64::from(entry));
        if entry & 0x100 != 0 {
            return;
        }
        at += 4;
    }
}

fn ipv6_words(head: &[u8], l3: usize, key: &mut PacketKey) {
    for (i, word) in key.words[5..9].iter_mut().enumerate() {
        *word = u64_or_zero(head, l3 + 8 + 8 * i);
    }
}

/// The extension headers of a sound IPv6 packet.
fn extension_words(head: &[u8], headers: &Headers, key: &mut PacketKey) {
    let l3 = usize::from(headers.l3);
    let Some(next) = u8_at(head, l3 + ipv6::NEXT).filter(|n| ipv6::present(*n, &[]) != 0) else { return };
    let end = (headers.end as usize).min(head.len());
    let payload = head.get(l3 + ipv6::LEN..end).unwrap_or(&[]);
    key.set(slot::IPV6_EXTHDR, u64::from(ipv6::present(next, payload)));
}

fn arp_words(head: &[u8], l3: usize, key: &mut PacketKey) {
    key.set(slot::ARP_SHA, u48_at(head, l3 + 8).unwrap_or(0));
    key.set(slot::ARP_THA, u48_at(head, l3 + 18).unwrap_or(0));
}

fn nsh_words(head: &[u8], l3: usize, key: &mut Key) {
    let bytes = head.get(l3..).unwrap_or(&[]);
    // Parsing judged the header's length by the whole frame.
    if let Some((header, _)) = nsh::Header::read(bytes, usize::MAX) {
        set_nsh(key, &header);
    }
}

/// Writes the fields of a network service header into a key.
pub fn set_nsh(key: &mut Key, header: &nsh::Header) {
    key.set(slot::NSH_FLAGS, u64::from(header.flags));
    key.set(slot::NSH_TTL, u64::from(header.ttl));
    key.set(slot::NSH_MDTYPE, u64::from(header.md_type));
    key.set(slot::NSH_NP, u64::from(header.next));
    key.set(slot::NSH_SPI, u64::from(header.path >> 8));
    key.set(slot::NSH_SI, u64::from(header.path & 0xff));
    for (n, value) in (1..).zip(header.context) {
        key.set(slot::nsh_c(n), u64::from(value));
    }
}

/// The fields of a network service header in a key.
pub fn nsh_of(key: &Key) -> nsh::Header {
    let context = [1, 2, 3, 4].map(|n| key.get(slot::nsh_c(n)) as u32);
    nsh::Header {
        flags: key.get(slot::NSH_FLAGS) as u8,
        ttl: key.get(slot::NSH_TTL) as u8,
        md_type: key.get(slot::NSH_MDTYPE) as u8,
        next: key.get(slot::NSH_NP) as u8,
        path: (key.get(slot::NSH_SPI) << 8 | key.get(slot::NSH_SI)) as u32,
        context,
    }
}

fn pbb_words(head: &[u8], l3: usize, key: &mut Key) {
    if let Some(tag) = pbb::Tag::read(head.get(l3..).unwrap_or(&[])) {
        key.set(slot::PBB_ISID, u64::from(tag.isid));
        key.set(slot::PBB_UCA, u64::from(tag.uca));
    }
}

/// Neighbour solicitations and advertisements: target, flags and link-layer addresses.
fn neighbour_words(head: &[u8], headers: &Headers, key: &mut PacketKey) {
    let l4 = usize::from(headers.l4);
    if !matches!(array_at(head, l4), Some([135 | 136, 0])) {
        return;
    }
    key.set(slot::ND_RESERVED, u64::from(u32_or_zero(head, l4 + 4)));
    let end = (headers.end as usize).min(head.len());
    let Some(body) = head.get(l4 + 8..end).filter(|b| b.len() >= 16) else { return };
    key.words[11] = u64_or_zero(body, 0);
    key.words[12] = u64_or_zero(body, 8);
    if neighbour_options(body.get(16..).unwrap_or(&[]), key).is_none() {
        // The same option twice: no address of the message is to be trusted.
        for place in [slot::ARP_SHA, slot::ARP_THA, slot::ND_TARGET] {
            key.set_wide(place, 0);
        }
    }
}

/// Source and target link-layer addresses; `None` when one of them is given twice.
fn neighbour_options(mut options: &[u8], key: &mut PacketKey) -> Option<()> {
    while let Some(b) = options.first_chunk::<8>() {
        let [kind, units, ..] = *b;
        let len = usize::from(units) * 8;
        if len == 0 || len > options.len() {
            return Some(());
        }
        let place = match kind {
            1 => Some(slot::ARP_SHA),
            2 => Some(slot::ARP_THA),
            _ => None,
        };
        if let (Some(place), 8) = (place, len) {
            if key.get(place) != 0 {
                return None;
            }
            key.set(place, u64_or_zero(b, 0) & 0xffff_ffff_ffff);
            if key.get(slot::ND_OPTIONS_TYPE) == 0 {
                key.set(slot::ND_OPTIONS_TYPE, u64::from(kind));
            }
        }
        options = options.get(len..).unwrap_or(&[]);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ethernet, IPv4 10.0.0.1 -> 10.0.0.2, TCP 1000 -> 80 SYN, unpadded.
    fn tcp_frame() -> Vec<u8> {
        let mut f = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        f.extend([0x45, 0x10, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        f.extend([3, 232, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]);
        f
    }

    fn key_of(frame: &[u8]) -> Key {
        let mut key = Key::ZERO;
        extract(frame, &sluice_wire::parse(frame), &mut key);
        key
    }

    #[test]
    fn a_tcp_segment_yields_each_of_its_fields() {
        let key = key_of(&tcp_frame());
        assert_eq!(key.get(slot::ETH_DST), 0x0200_0000_0002);
        assert_eq!(key.get(slot::ETH_SRC), 0x0200_0000_0001);
        assert_eq!(key.get(slot::ETH_TYPE), 0x0800);
        assert_eq!(key.get(slot::NW_SRC), 0x0a00_0001);
        assert_eq!(key.get(slot::NW_DST), 0x0a00_0002);
        assert_eq!(key.get(slot::NW_PROTO), 6);
        assert_eq!(key.get(slot::NW_TOS), 0x10);
        assert_eq!(key.get(slot::NW_TTL), 64);
        assert_eq!(key.get(slot::TTL_EXPIRING), 0);
        assert_eq!(key.get(slot::TP_SRC), 1000);
        assert_eq!(key.get(slot::TP_DST), 80);
        assert_eq!(key.get(slot::TCP_FLAGS), 2);
    }

    #[test]
    fn a_ttl_of_one_or_none_is_expiring() {
        for (ttl, expiring) in [(0, 1), (1, 1), (2, 0), (255, 0)] {
            let mut frame = tcp_frame();
            frame[22] = ttl;
            assert_eq!(key_of(&frame).get(slot::TTL_EXPIRING), expiring);
            assert_eq!(extract_narrow(&frame).0[3], key_of(&frame).words[3]);
        }
    }

    #[test]
    fn the_short_cut_and_the_long_way_agree_at_every_length() {
        let mut tagged = tcp_frame();
        tagged.splice(12..12, [0x81, 0, 0xe0, 42]);
        for frame in [tcp_frame(), tagged] {
            for len in 0..=frame.len() {
                let (words, headers) = extract_narrow(&frame[..len]);
                assert_eq!(headers, sluice_wire::parse(&frame[..len]));
                assert_eq!(words, key_of(&frame[..len]).words[..NARROW_WORDS]);
            }
        }
    }

    #[test]
    fn a_chained_frame_is_judged_by_its_whole_length() {
        let frame = tcp_frame();
        let (cut, _) = extract_narrow(&frame[..40]);
        assert_eq!(cut[2], 0, "a datagram longer than its frame is opaque");
        let (words, headers) = extract_narrow_part(&frame[..40], frame.len());
        assert_eq!(words[2], 0x0a00_0001_0a00_0002);
        assert_eq!(headers.transport, Transport::Opaque, "the header is not in the first segment");
    }

    #[test]
    fn the_first_option_and_the_flags_of_a_neighbour_message_are_kept_even_when_its_addresses_are_not() {
        let all = sluice_fixtures::samples();
        let key = |name: &str| key_of(&all.iter().find(|s| s.name == name).expect(name).frame);
        let told = key("neighbour advertisement with both addresses");
        assert_eq!((told.get(slot::ND_OPTIONS_TYPE), told.get(slot::ND_RESERVED)), (2, 0x6000_0000));
        assert_eq!((told.get(slot::ARP_THA), told.get(slot::ARP_SHA)), (0x0200_0000_0002, 0x0200_0000_0009));
        let twice = key("neighbour solicitation with one address twice");
        assert_eq!((twice.get(slot::ND_OPTIONS_TYPE), twice.get_wide(slot::ND_TARGET)), (1, 0));
        assert_eq!(twice.get(slot::ARP_SHA), 0);
        let nonce = key("neighbour solicitation with a nonce");
        assert_eq!(nonce.get(slot::ND_OPTIONS_TYPE), 1);
    }
}

//! Malformed frames: every sample cut at every byte, and every length, count and checksum made to lie.
//!
//! Purpose: what a hostile or broken sender can put into each header.
//! Invariant: derived from the samples alone, so the set is the same on every machine.
//! Deliberately does not know: what the switch makes of them.

use sluice_wire::bytes::put;
use sluice_wire::{icmp6, ipv4, ipv6, parse, tcp, udp, Headers, Net, Transport};

use crate::samples::{samples, Sample};

/// Truncated and lying frames together.
pub fn malformed() -> Vec<Sample> {
    let mut all = truncated();
    all.extend(lying());
    all.extend(shapeless());
    all
}

/// Every sample at every length from nothing to one byte less than all of it.
pub fn truncated() -> Vec<Sample> {
    let cut = |s: &Sample, len: usize| Sample {
        name: format!("{}, first {len} bytes", s.name),
        frame: s.frame.get(..len).unwrap_or_default().to_vec(),
    };
    samples().iter().flat_map(|s| (0..s.frame.len()).map(|len| cut(s, len)).collect::<Vec<_>>()).collect()
}

/// Every sample with each of its length fields and checksums set to each wrong value of note.
pub fn lying() -> Vec<Sample> {
    samples().iter().flat_map(lies_about).collect()
}

/// Frames that are no frames: empty, too short for an address, all zeros, all ones.
pub fn shapeless() -> Vec<Sample> {
    let lens = [0, 1, 5, 6, 11, 12, 13, 14, 15, 17, 18, 59, 60, 1514, 9014, 65_535];
    let fill = |byte: u8, len: usize| Sample { name: format!("{len} bytes {byte:#04x}"), frame: vec![byte; len] };
    lens.iter().flat_map(|len| [0x00, 0x08, 0x81, 0x88, 0xff].map(|byte| fill(byte, *len))).collect()
}

/// One lie: what about, where in the frame, which bytes.
type Lie = (&'static str, usize, Vec<u8>);

fn lies_about(sample: &Sample) -> Vec<Sample> {
    let h = parse(&sample.frame);
    let mut lies = link_lies(&h);
    match h.net {
        Net::Ipv4 => lies.extend(ipv4_lies(&h)),
        Net::Ipv6 | Net::Ipv6Broken => lies.extend(ipv6_lies(&h)),
        Net::Arp => lies.extend(arp_lies(&h)),
        Net::Nsh => lies.extend(nsh_lies(&h)),
        Net::Pbb | Net::Opaque => {}
    }
    lies.extend(transport_lies(&h));
    lies.iter().filter_map(|lie| told(sample, lie)).collect()
}

fn told(sample: &Sample, (what, at, bytes): &Lie) -> Option<Sample> {
    let mut frame = sample.frame.clone();
    let fits = put(&mut frame, *at, bytes);
    fits.then(|| Sample { name: format!("{}, {what} {bytes:02x?}", sample.name), frame })
}

fn words(values: &[u16]) -> Vec<Vec<u8>> {
    values.iter().map(|v| v.to_be_bytes().to_vec()).collect()
}

fn each(what: &'static str, at: usize, values: Vec<Vec<u8>>) -> Vec<Lie> {
    values.into_iter().map(|v| (what, at, v)).collect()
}

fn link_lies(h: &Headers) -> Vec<Lie> {
    let types = [0, 1, 46, 1500, 1501, 0x05ff, 0x0600, 0x0800, 0x0806, 0x86dd, 0x8100, 0x8847, 0x88a8, 0x894f, 0xffff];
    let at = if h.vlan { 16 } else { 12 };
    each("type", at, words(&types))
}

fn ipv4_lies(h: &Headers) -> Vec<Lie> {
    let at = usize::from(h.l3);
    let len = (h.end as usize).saturating_sub(at) as u16;
    let mut lies = each("version and header length", at, (0..16).map(|ihl| vec![0x40 | ihl]).collect());
    lies.extend(each("version and header length", at, vec![vec![0x05], vec![0x65], vec![0xf5]]));
    let lens = [0, 19, 20, 21, 27, 28, len.wrapping_sub(1), len + 1, len + 8, 0x7fff, 0xffff];
    lies.extend(each("total length", at + ipv4::TOTAL_LEN, words(&lens)));
    let flags = [0x8000, 0x2000, 0x3fff, 0x1fff, 0x0001, 0x4001, 0xffff];
    lies.extend(each("fragment bits", at + ipv4::FLAGS, words(&flags)));
    lies.extend(each("TTL", at + ipv4::TTL, vec![vec![0], vec![1]]));
    lies.extend(each("protocol", at + ipv4::PROTO, [0, 1, 2, 6, 17, 41, 58, 132, 255].map(|p| vec![p]).to_vec()));
    lies.extend(each("header checksum", at + ipv4::CHECKSUM, words(&[0, 0xffff, 0xdead])));
    lies
}

fn ipv6_lies(h: &Headers) -> Vec<Lie> {
    let at = usize::from(h.l3);
    let len = (h.end as usize).saturating_sub(at + ipv6::LEN) as u16;
    let mut lies = each("version", at, vec![vec![0x00], vec![0x40], vec![0xff]]);
    let lens = [0, 1, 7, 8, len.wrapping_sub(1), len + 1, len + 8, 0xffff];
    lies.extend(each("payload length", at + ipv6::PAYLOAD_LEN, words(&lens)));
    let nexts = [0, 1, 6, 17, 43, 44, 50, 51, 58, 59, 60, 132, 135, 139, 140, 253, 255];
    lies.extend(each("next header", at + ipv6::NEXT, nexts.map(|n| vec![n]).to_vec()));
    lies.extend(each("hop limit", at + ipv6::HOP_LIMIT, vec![vec![0], vec![1]]));
    let behind = at + ipv6::LEN;
    if usize::from(h.l4) != behind {
        lies.extend(each("extension's next header", behind, nexts.map(|n| vec![n]).to_vec()));
        lies.extend(each("extension's length", behind + 1, [1, 2, 5, 255].map(|n| vec![n]).to_vec()));
        lies.extend(each("fragment bits", behind + 2, words(&[1, 2, 6, 7, 8, 0xfff8, 0xffff])));
    }
    lies
}

fn nsh_lies(h: &Headers) -> Vec<Lie> {
    let at = usize::from(h.l3);
    let mut lies = each("version, flags, TTL and length", at, words(&[0, 0x0fc1, 0x0fc2, 0x0fc5, 0x0fc7, 0x3ffc, 0x4fc6, 0xc006, 0x0fff]));
    lies.extend(each("metadata type", at + 2, [0, 1, 2, 3, 0x11, 0xff].map(|t| vec![t]).to_vec()));
    lies.extend(each("next protocol", at + 3, [0, 1, 2, 3, 4, 5, 255].map(|n| vec![n]).to_vec()));
    lies
}

fn arp_lies(h: &Headers) -> Vec<Lie> {
    let at = usize::from(h.l3);
    let mut lies = each("hardware type", at, words(&[0, 6, 0xffff]));
    lies.extend(each("protocol type", at + 2, words(&[0, 0x86dd])));
    lies.extend(each("address lengths", at + 4, words(&[0, 0x0404, 0x0606, 0xffff])));
    lies.extend(each("operation", at + 6, words(&[0, 3, 255, 256, 257, 0xffff])));
    lies
}

fn transport_lies(h: &Headers) -> Vec<Lie> {
    let at = usize::from(h.l4);
    let checksums = words(&[0, 0xffff, 0xdead]);
    match h.transport {
        Transport::Tcp => {
            let mut lies = each("data offset", at + tcp::FLAGS, (0..16).map(|n| vec![n << 4 | 0xf]).collect());
            lies.extend(each("flags", at + tcp::FLAGS, words(&[0x5000, 0x5fff, 0x5003, 0x503f])));
            lies.extend(each("checksum", at + tcp::CHECKSUM, checksums));
            lies
        }
        Transport::Udp => {
            let mut lies = each("length", at + udp::LENGTH, words(&[0, 7, 8, 9, 0x7fff, 0xffff]));
            lies.extend(each("checksum", at + udp::CHECKSUM, checksums));
            lies.extend(each("VXLAN flags", at + udp::LEN, vec![vec![0], vec![0xff]]));
            lies
        }
        Transport::Icmp6 => {
            let mut lies = each("type and code", at, words(&[0x8700, 0x8701, 0x8800, 0x88ff, 0x8000, 0xffff]));
            lies.extend(each("option length", at + icmp6::ND_OPTIONS + 1, [0, 2, 3, 255].map(|n| vec![n]).to_vec()));
            lies.extend(each("checksum", at + icmp6::CHECKSUM, checksums));
            lies
        }
        Transport::Icmp4 | Transport::Igmp => each("checksum", at + 2, checksums),
        Transport::Sctp => each("checksum", at + 8, checksums),
        Transport::Opaque => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_cut_at_every_byte() {
        let bytes: usize = samples().iter().map(|s| s.frame.len()).sum();
        assert_eq!(truncated().len(), bytes);
    }

    #[test]
    fn each_kind_of_lie_occurs() {
        let all = lying();
        for what in ["total length", "payload length", "extension's length", "data offset", "option length", "operation"] {
            assert!(all.iter().any(|s| s.name.contains(what)), "{what}");
        }
        println!("{} malformed frames", malformed().len());
    }

    #[test]
    fn none_of_them_makes_a_header_reader_panic() {
        for s in malformed() {
            let h = parse(&s.frame);
            let l3 = s.frame.get(usize::from(h.l3)..).unwrap_or(&[]);
            let l4 = s.frame.get(usize::from(h.l4)..).unwrap_or(&[]);
            let _ = (ipv4::Header::read(l3), ipv6::Header::read(l3), tcp::Header::read(l4), udp::Header::read(l4));
            let _ = (icmp6::Neighbour::read(l4), ipv4::checksum_is_valid(l3));
            let _ = ipv6::Extensions::new(h.proto, l4).count();
        }
    }
}

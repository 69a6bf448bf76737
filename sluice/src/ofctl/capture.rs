//! Captured packets, as far as OpenFlow streams are to be found in them.
//!
//! Invariant: total: bytes that are no capture give an error, packets that are cut short are passed over.
//! Deliberately does not know: OpenFlow.

use sluice_wire::{Net, Transport};

/// The packets of a classic capture file of Ethernet frames.
pub fn packets(bytes: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    let big = match bytes.get(..4) {
        Some([0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d]) => true,
        Some([0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1]) => false,
        _ => return Err("not a capture file (pcap)"),
    };
    let word = |at: usize| {
        let b: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) } as usize)
    };
    let mut all = Vec::new();
    let mut at = 24;
    while let Some(length) = word(at + 8) {
        let Some(packet) = bytes.get(at + 16..(at + 16).saturating_add(length)) else { break };
        all.push(packet);
        at += 16 + length;
    }
    Ok(all)
}

/// The ends of a TCP segment (addresses, then ports) and its payload, where one of its ports is wanted.
pub fn tcp<'a>(packet: &'a [u8], ports: &[u16]) -> Option<(Vec<u8>, &'a [u8])> {
    let h = sluice_wire::parse(packet);
    if h.transport != Transport::Tcp {
        return None;
    }
    let (l3, l4) = (usize::from(h.l3), usize::from(h.l4));
    let (addresses, end) = match h.net {
        Net::Ipv4 => (packet.get(l3 + 12..l3 + 20)?, l3 + usize::from(u16::from_be_bytes(packet.get(l3 + 2..l3 + 4)?.try_into().ok()?))),
        Net::Ipv6 => (packet.get(l3 + 8..l3 + 40)?, packet.len()),
        _ => return None,
    };
    let ends = packet.get(l4..l4 + 4)?;
    let port = |at: usize| Some(u16::from_be_bytes(ends.get(at..at + 2)?.try_into().ok()?));
    if !ports.contains(&port(0)?) && !ports.contains(&port(2)?) {
        return None;
    }
    let start = l4 + usize::from(packet.get(l4 + 12)? >> 4) * 4;
    Some(([addresses, ends].concat(), packet.get(start..end.min(packet.len()))?))
}

/// `1.2.3.4:5>6.7.8.9:10` for the ends of a segment.
pub fn title(ends: &[u8]) -> String {
    let (addresses, ports) = ends.split_at(ends.len().saturating_sub(4));
    let (src, dst) = addresses.split_at(addresses.len() / 2);
    let address = |b: &[u8]| match (<[u8; 4]>::try_from(b), <[u8; 16]>::try_from(b)) {
        (Ok(v4), _) => std::net::Ipv4Addr::from(v4).to_string(),
        (_, Ok(v6)) => format!("[{}]", std::net::Ipv6Addr::from(v6)),
        _ => String::new(),
    };
    let port = |at: usize| ports.get(at..at + 2).map_or(0, |p| u16::from_be_bytes([p[0], p[1]]));
    format!("{}:{}>{}:{}", address(src), port(0), address(dst), port(2))
}

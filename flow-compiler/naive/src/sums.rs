//! Checksums of IP packets, computed anew from all bytes.
//!
//! A first fragment does not hold all bytes that its transport checksum covers: there, and only
//! there, the sum is corrected by the difference of what changed.
//! Deliberately does not know: fields.

/// Where the checksums of a packet are and what they cover.
pub struct Span {
    /// Offset of the IP header.
    pub ip: usize,
    /// Version 6.
    pub v6: bool,
    /// Offset of the transport header.
    pub l4: usize,
    /// End of the datagram.
    pub end: usize,
    /// Protocol of the transport header.
    pub proto: u8,
    /// A fragment.
    pub fragment: bool,
    /// A fragment without a transport header.
    pub later: bool,
}

/// Puts all checksums right after a change from `before` to `after`.
pub fn refresh(before: &[u8], after: &mut [u8], s: &Span) {
    if before == after {
        return;
    }
    if !s.v6 {
        let zeroed = [&after[s.ip..s.ip + 10], &[0, 0], &after[s.ip + 12..s.l4]].concat();
        store(after, s.ip + 10, !sum(&zeroed));
    }
    if s.later {
        return;
    }
    if s.proto == 132 {
        return refresh_sctp(before, after, s);
    }
    let len = s.end - s.l4;
    let at = match s.proto {
        6 if len >= 20 => s.l4 + 16,
        17 if len >= 8 && after[s.l4 + 6..s.l4 + 8] != [0, 0] => s.l4 + 6,
        1 if !s.v6 && len >= 8 => s.l4 + 2,
        58 if s.v6 && len >= 8 => s.l4 + 2,
        _ => return,
    };
    let mut new = if s.fragment {
        let old = u16::from_be_bytes([before[at], before[at + 1]]);
        let (a, b) = (covered(before, s, at), covered(after, s, at));
        // RFC 1624: ~(~old + ~m + m')
        !add(add(!old, !sum(&a)), sum(&b))
    } else {
        !sum(&covered(after, s, at))
    };
    if s.proto == 17 && new == 0 {
        new = 0xffff;
    }
    store(after, at, new);
}

/// Pseudo header and transport bytes, with a checksum of zero.
fn covered(packet: &[u8], s: &Span, at: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let len = (s.end - s.l4) as u32;
    if s.v6 {
        all.extend(&packet[s.ip + 8..s.ip + 40]);
    } else if s.proto != 1 {
        all.extend(&packet[s.ip + 12..s.ip + 20]);
    }
    if s.v6 || s.proto != 1 {
        all.extend([0, s.proto]);
        all.extend(len.to_be_bytes());
    }
    all.extend(&packet[s.l4..at]);
    all.extend([0, 0]);
    all.extend(&packet[at + 2..s.end]);
    all
}

/// SCTP: a checksum that was wrong stays as wrong as it was.
fn refresh_sctp(before: &[u8], after: &mut [u8], s: &Span) {
    if s.end - s.l4 < 12 || before[s.l4..s.end] == after[s.l4..s.end] {
        return;
    }
    let of = |packet: &[u8]| crc32c(&[&packet[s.l4..s.l4 + 8], &[0; 4], &packet[s.l4 + 12..s.end]].concat());
    let stored = u32::from_le_bytes([before[s.l4 + 8], before[s.l4 + 9], before[s.l4 + 10], before[s.l4 + 11]]);
    let new = stored ^ of(before) ^ of(after);
    after[s.l4 + 8..s.l4 + 12].copy_from_slice(&new.to_le_bytes());
}

fn store(packet: &mut [u8], at: usize, value: u16) {
    packet[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// One's complement sum.
pub fn sum(bytes: &[u8]) -> u16 {
    bytes.chunks(2).fold(0, |s, c| add(s, u16::from_be_bytes([c[0], c.get(1).copied().unwrap_or(0)])))
}

fn add(a: u16, b: u16) -> u16 {
    let (s, carry) = a.overflowing_add(b);
    s + u16::from(carry)
}

/// CRC-32C, bit by bit.
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |c, _| if c & 1 != 0 { (c >> 1) ^ 0x82f6_3b78 } else { c >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}

//! The header that Linux puts in front of frames that carry offloads (`virtio_net_hdr`).
//!
//! Invariant: [`decode`] of what [`encode`] wrote gives the record back, as far as it matters.
//! Deliberately does not know: descriptors.

use sluice_frame::{Frame, Gso, Meta};

/// Bytes of the header.
pub(crate) const LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const ECN: u8 = 0x80;

/// Reads a header in the byte order of this machine; `None` for a kind of frame not known here.
pub(crate) fn decode(h: &[u8; LEN]) -> Option<Meta> {
    let [flags, kind, hl, hh, sl, sh, cl, ch, ol, oh] = *h;
    let gso = match kind & !ECN {
        0 => Gso::None,
        1 => Gso::Tcp4,
        3 => Gso::Udp,
        4 => Gso::Tcp6,
        5 => Gso::UdpL4,
        _ => return None,
    };
    Some(Meta {
        needs_csum: flags & NEEDS_CSUM != 0,
        csum_valid: flags & DATA_VALID != 0,
        csum_start: u16::from_ne_bytes([cl, ch]),
        csum_offset: u16::from_ne_bytes([ol, oh]),
        gso,
        gso_ecn: kind & ECN != 0,
        gso_size: u16::from_ne_bytes([sl, sh]),
        hdr_len: u16::from_ne_bytes([hl, hh]),
    })
}

/// Writes the header for a frame in the byte order of this machine.
#[inline]
pub(crate) fn encode(frame: &Frame) -> [u8; LEN] {
    let m = &frame.meta;
    let mut h = [0; LEN];
    if m.needs_csum {
        h[0] = NEEDS_CSUM;
        h[6..8].copy_from_slice(&m.csum_start.to_ne_bytes());
        h[8..10].copy_from_slice(&m.csum_offset.to_ne_bytes());
    } else if m.csum_valid {
        h[0] = DATA_VALID;
    }
    if m.gso != Gso::None {
        h[1] = m.gso as u8 | if m.gso_ecn { ECN } else { 0 };
        h[2..4].copy_from_slice(&header_length(frame).to_ne_bytes());
        h[4..6].copy_from_slice(&m.gso_size.to_ne_bytes());
    }
    h
}

/// Bytes of headers, from the frame itself: headers may have been added since it was received.
fn header_length(frame: &Frame) -> u16 {
    let m = &frame.meta;
    if !m.needs_csum {
        return m.hdr_len;
    }
    let transport = match m.gso {
        Gso::Tcp4 | Gso::Tcp6 => {
            frame.head().get(usize::from(m.csum_start) + 12).map_or(20, |b| u16::from(b >> 4) * 4)
        }
        _ => 8,
    };
    m.csum_start.saturating_add(transport)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_frame::Pool;

    #[test]
    fn a_record_survives_the_header() {
        let mut pool = Pool::new(1024, 1).unwrap();
        let mut f = pool.alloc().unwrap();
        let mut bytes = [0; 100];
        bytes[34 + 12] = 0x80;
        assert!(f.fill(&bytes));
        for gso in [Gso::None, Gso::Tcp4, Gso::Tcp6, Gso::UdpL4, Gso::Udp] {
            f.meta = Meta {
                needs_csum: true,
                csum_start: 34,
                csum_offset: 16,
                gso,
                gso_ecn: gso == Gso::Tcp4,
                gso_size: if gso == Gso::None { 0 } else { 1448 },
                ..Meta::default()
            };
            f.meta.hdr_len = match gso {
                Gso::None => 0,
                Gso::Tcp4 | Gso::Tcp6 => 66,
                _ => 42,
            };
            assert_eq!(decode(&encode(&f)), Some(f.meta));
        }
        pool.free(f);
    }

    #[test]
    fn an_unknown_kind_is_no_record() {
        assert_eq!(decode(&[0, 9, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}

//! Cutting a large TCP or UDP frame into frames that fit a wire.

use sluice_frame::{Frame, Gso, Meta, Pool};

use super::checksum::{add, fill, fold, get16, put16};
use super::tunnel::Outer;
use crate::SendDrop;

const ETHERNET: usize = 14;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const FIN_AND_PSH: u8 = 0x09;
const CWR: u8 = 0x80;
/// VLAN tags and IPv6 extension headers that are walked before giving up.
const DEPTH: usize = 8;
/// Pieces that one frame may be cut into: 64 KiB at the smallest segment size that hosts use.
const PIECES_MAX: usize = 1024;

/// Where the headers of a frame that is to be cut lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    v6: bool,
    l3: usize,
    l4: usize,
    protocol: u8,
    /// Bytes of all headers.
    headers: usize,
    /// What is in front of the inner frame, in a tunnel.
    outer: Option<Outer>,
}

/// Appends the pieces of `frame` to `out`; on error some may be there already.
pub(crate) fn cut(pool: &mut Pool, frame: &Frame, partial: bool, out: &mut Vec<Frame>) -> Result<(), SendDrop> {
    let layout = Layout::plain(frame).or_else(|| Layout::inside_tunnel(frame)).ok_or(SendDrop::BadOffload)?;
    let size = usize::from(frame.meta.gso_size);
    let payload = frame.len() - layout.headers;
    if size == 0 || payload.div_ceil(size) > PIECES_MAX || layout.headers > pool.chunk_payload() {
        return Err(SendDrop::BadOffload);
    }
    let pseudo = layout.pseudo(frame).ok_or(SendDrop::BadOffload)?;
    let count = payload.div_ceil(size).max(1);
    for index in 0..count {
        let n = size.min(payload - index * size);
        // The bytes in front of the payload are overwritten by the headers.
        let mut piece =
            pool.copy_range(frame, index * size, layout.headers + n).ok_or(SendDrop::NoMemory)?;
        let place = Place { index, offset: (index * size) as u32, payload: n, last: index + 1 == count };
        let done = layout.write(frame, &mut piece, place, pseudo)
            && layout.outer.is_none_or(|outer| outer.write(&mut piece, index))
            && (partial || fill(&mut piece));
        out.push(piece);
        if !done {
            return Err(SendDrop::BadOffload);
        }
    }
    Ok(())
}

/// Which piece of its frame a piece is.
#[derive(Clone, Copy)]
struct Place {
    index: usize,
    offset: u32,
    payload: usize,
    last: bool,
}

impl Layout {
    /// The layout of a large frame that is in no tunnel.
    pub(super) fn plain(frame: &Frame) -> Option<Layout> {
        let bytes = frame.head();
        let (l3, ethertype) = network(bytes)?;
        let (v6, protocol, l4) = match ethertype {
            0x0800 => {
                let first = *bytes.get(l3)?;
                let fragment = get16(bytes, l3 + 6)? & 0x3fff;
                let header = usize::from(first & 0x0f) * 4;
                if first >> 4 != 4 || header < 20 || fragment != 0 {
                    return None;
                }
                (false, *bytes.get(l3 + 9)?, l3 + header)
            }
            0x86dd => {
                let (protocol, l4) = behind_extensions(bytes, l3)?;
                (true, protocol, l4)
            }
            _ => return None,
        };
        if frame.meta.needs_csum && usize::from(frame.meta.csum_start) != l4 {
            return None;
        }
        Layout::behind(frame, v6, l3, l4, protocol, None)
    }

    /// The layout with the transport header looked at, if it is of the kind that the record says.
    pub(super) fn behind(
        frame: &Frame,
        v6: bool,
        l3: usize,
        l4: usize,
        protocol: u8,
        outer: Option<Outer>,
    ) -> Option<Layout> {
        let bytes = frame.head();
        let transport = match (frame.meta.gso, protocol, v6) {
            (Gso::Tcp4, TCP, false) | (Gso::Tcp6, TCP, true) => {
                let header = usize::from(bytes.get(l4 + 12)? >> 4) * 4;
                (header >= 20).then_some(header)?
            }
            (Gso::UdpL4, UDP, _) => 8,
            _ => return None,
        };
        let headers = l4 + transport;
        (headers <= bytes.len()).then_some(Layout { v6, l3, l4, protocol, headers, outer })
    }

    fn checksum_offset(&self) -> usize {
        if self.protocol == TCP {
            16
        } else {
            6
        }
    }

    /// Sum of the pseudo header without the length.
    fn pseudo(&self, frame: &Frame) -> Option<u64> {
        let bytes = frame.head();
        if frame.meta.needs_csum {
            // What the sender put there knows about routing headers; take its length out again.
            let partial = get16(bytes, self.l4 + self.checksum_offset())?;
            let length = frame.len() - self.l4;
            return Some(u64::from(partial) + u64::from(!fold(length as u64)));
        }
        let addresses = if self.v6 { self.l3 + 8..self.l3 + 40 } else { self.l3 + 12..self.l3 + 20 };
        Some(add(u64::from(self.protocol), bytes.get(addresses)?, false))
    }

    /// Writes the headers of one piece: false when something does not fit.
    fn write(&self, frame: &Frame, piece: &mut Frame, place: Place, pseudo: u64) -> bool {
        let length = piece.len() - self.l4;
        piece.meta = Meta {
            needs_csum: true,
            csum_start: self.l4 as u16,
            csum_offset: self.checksum_offset() as u16,
            ..Meta::default()
        };
        let bytes = piece.head_mut();
        let (Some(to), Some(from)) = (bytes.get_mut(..self.headers), frame.head().get(..self.headers)) else {
            return false;
        };
        to.copy_from_slice(from);
        let partial = fold(pseudo + length as u64);
        self.write_network(bytes, length, place.index)
            && self.write_transport(bytes, place)
            && put16(bytes, self.l4 + self.checksum_offset(), partial)
    }

    fn write_network(&self, bytes: &mut [u8], length: usize, index: usize) -> bool {
        let l3 = self.l3;
        let total = length + self.l4 - l3;
        if self.v6 {
            return u16::try_from(total - 40).is_ok_and(|v| put16(bytes, l3 + 4, v));
        }
        let (Ok(total), Some(id)) = (u16::try_from(total), get16(bytes, l3 + 4)) else { return false };
        let mut done = put16(bytes, l3 + 2, total);
        done &= put16(bytes, l3 + 4, id.wrapping_add(index as u16));
        done &= put16(bytes, l3 + 10, 0);
        let sum = bytes.get(l3..self.l4).map(|header| !fold(add(0, header, false)));
        done && sum.is_some_and(|sum| put16(bytes, l3 + 10, sum))
    }

    fn write_transport(&self, bytes: &mut [u8], place: Place) -> bool {
        if self.protocol == UDP {
            return u16::try_from(place.payload + 8).is_ok_and(|v| put16(bytes, self.l4 + 4, v));
        }
        let Some(header) = bytes.get_mut(self.l4..self.l4 + 20) else { return false };
        if let [_, _, _, _, a, b, c, d, _, _, _, _, _, flags, ..] = header {
            let sequence = u32::from_be_bytes([*a, *b, *c, *d]).wrapping_add(place.offset);
            [*a, *b, *c, *d] = sequence.to_be_bytes();
            if !place.last {
                *flags &= !FIN_AND_PSH;
            }
            if place.index > 0 {
                *flags &= !CWR;
            }
        }
        true
    }
}

/// Offset of the network header and its EtherType, behind any VLAN tags.
pub(super) fn network(bytes: &[u8]) -> Option<(usize, u16)> {
    let mut at = ETHERNET;
    for _ in 0..DEPTH {
        match get16(bytes, at - 2)? {
            0x8100 | 0x88a8 | 0x9100 => at += 4,
            ethertype => return Some((at, ethertype)),
        }
    }
    None
}

/// Transport protocol of an IPv6 packet and where it starts; none for a fragment.
pub(super) fn behind_extensions(bytes: &[u8], l3: usize) -> Option<(u8, usize)> {
    let (mut next, mut at) = (*bytes.get(l3 + 6)?, l3 + 40);
    for _ in 0..DEPTH {
        match next {
            0 | 43 | 60 => {
                let length = (usize::from(*bytes.get(at + 1)?) + 1) * 8;
                next = *bytes.get(at)?;
                at += length;
            }
            protocol => return Some((protocol, at)),
        }
    }
    None
}

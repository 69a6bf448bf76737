//! Large frames that are inside of a tunnel already when they come in.
//!
//! Purpose: a device may hand over a VXLAN, Geneve, GRE or IP-in-IP packet whose inner TCP stream is
//! still to be cut. The record describes the inner segment only; nobody but us sees that there is an
//! outer header to be kept right as well.
//! Invariant: where the outer header is not understood the frame is refused, not cut wrongly.

use sluice_frame::{Frame, Gso, Meta};

use super::checksum::{add, fill, fold, get16, put16};
use super::segment::{behind_extensions, network, Layout, TCP, UDP};

const GRE: u8 = 47;
const IP_IN_IP: u8 = 4;
const IPV6_IN_IP: u8 = 41;
const GRE_CHECKSUM_OR_SEQUENCE: u8 = 0x90;

/// The headers in front of the inner frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outer {
    v6: bool,
    l3: usize,
    l4: usize,
    udp: bool,
    /// The UDP header carries a checksum, which covers the inner frame.
    checksum: bool,
}

/// Is this a large frame inside of a tunnel? Then it must be cut before anything else is done with it.
pub(crate) fn is_tunnelled(frame: &Frame) -> bool {
    frame.meta.gso != Gso::None && Layout::plain(frame).is_none() && Layout::inside_tunnel(frame).is_some()
}

impl Layout {
    /// The layout of a large frame behind outer headers.
    pub(super) fn inside_tunnel(frame: &Frame) -> Option<Layout> {
        let bytes = frame.head();
        if !frame.meta.needs_csum {
            return None;
        }
        let l4 = usize::from(frame.meta.csum_start);
        let protocol = if frame.meta.gso == Gso::UdpL4 { UDP } else { TCP };
        let (v6, l3) = match frame.meta.gso {
            Gso::Tcp4 => (false, inner_v4(bytes, l4, protocol)?),
            Gso::Tcp6 => (true, inner_v6(bytes, l4, protocol)?),
            Gso::UdpL4 => match inner_v4(bytes, l4, protocol) {
                Some(l3) => (false, l3),
                None => (true, inner_v6(bytes, l4, protocol)?),
            },
            Gso::None | Gso::Udp => return None,
        };
        let outer = Outer::find(bytes).filter(|o| o.l4 < l3)?;
        Layout::behind(frame, v6, l3, l4, protocol, Some(outer))
    }
}

/// The inner IPv4 header ends where the transport header starts.
fn inner_v4(bytes: &[u8], l4: usize, protocol: u8) -> Option<usize> {
    (5..=15u8).find_map(|words| {
        let l3 = l4.checked_sub(usize::from(words) * 4)?;
        let fits = *bytes.get(l3)? == 0x40 | words
            && *bytes.get(l3 + 9)? == protocol
            && get16(bytes, l3 + 6)? & 0x3fff == 0;
        fits.then_some(l3)
    })
}

fn inner_v6(bytes: &[u8], l4: usize, protocol: u8) -> Option<usize> {
    let l3 = l4.checked_sub(40)?;
    (*bytes.get(l3)? >> 4 == 6 && *bytes.get(l3 + 6)? == protocol).then_some(l3)
}

impl Outer {
    fn find(bytes: &[u8]) -> Option<Outer> {
        let (l3, ethertype) = network(bytes)?;
        let (v6, protocol, l4) = match ethertype {
            0x0800 => (false, *bytes.get(l3 + 9)?, l3 + usize::from(*bytes.get(l3)? & 0x0f) * 4),
            0x86dd => {
                let (protocol, l4) = behind_extensions(bytes, l3)?;
                (true, protocol, l4)
            }
            _ => return None,
        };
        let (udp, checksum) = match protocol {
            UDP => (true, get16(bytes, l4 + 6)? != 0),
            GRE if bytes.get(l4)? & GRE_CHECKSUM_OR_SEQUENCE == 0 => (false, false),
            IP_IN_IP | IPV6_IN_IP => (false, false),
            _ => return None,
        };
        Some(Outer { v6, l3, l4, udp, checksum })
    }

    /// Makes the outer headers fit a piece whose inner headers are done: false when they cannot.
    pub(super) fn write(&self, piece: &mut Frame, index: usize) -> bool {
        let length = piece.len();
        let inner = piece.meta;
        let bytes = piece.head_mut();
        let done = self.write_network(bytes, length, index)
            && (!self.udp || u16::try_from(length - self.l4).is_ok_and(|v| put16(bytes, self.l4 + 4, v)));
        if !done || !self.checksum {
            return done;
        }
        // The outer checksum covers the inner one, which therefore comes first.
        if !fill(piece) {
            return false;
        }
        let bytes = piece.head_mut();
        let addresses = if self.v6 { self.l3 + 8..self.l3 + 40 } else { self.l3 + 12..self.l3 + 20 };
        let Some(addresses) = bytes.get(addresses) else { return false };
        let pseudo = fold(add(u64::from(UDP) + (length - self.l4) as u64, addresses, false));
        if !put16(bytes, self.l4 + 6, pseudo) {
            return false;
        }
        piece.meta = Meta { needs_csum: true, csum_start: self.l4 as u16, csum_offset: 6, ..inner };
        fill(piece)
    }

    fn write_network(&self, bytes: &mut [u8], length: usize, index: usize) -> bool {
        let total = length - self.l3;
        if self.v6 {
            return u16::try_from(total - 40).is_ok_and(|v| put16(bytes, self.l3 + 4, v));
        }
        let (Ok(total), Some(id)) = (u16::try_from(total), get16(bytes, self.l3 + 4)) else { return false };
        let done = put16(bytes, self.l3 + 2, total)
            && put16(bytes, self.l3 + 4, id.wrapping_add(index as u16))
            && put16(bytes, self.l3 + 10, 0);
        let sum = bytes.get(self.l3..self.l4).map(|header| !fold(add(0, header, false)));
        done && sum.is_some_and(|sum| put16(bytes, self.l3 + 10, sum))
    }
}

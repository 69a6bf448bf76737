//! Recognising frames that came without the mark that work on them is undone.
//!
//! Purpose: a veth peer leaves checksums to the device; AF_XDP hands over the bytes alone. The frame
//! gives it away: its checksum field holds exactly the sum of the pseudo header.
//! Invariant: a frame with a right checksum that happens to hold that sum stays right, since filling
//! it gives the same value. Only for devices without a wire: there a frame damaged on the way could,
//! once in 65,536 times, be taken for an undone one.

use sluice_frame::{Frame, Gso};

use super::checksum::{add, fold, get16};
use super::segment::{behind_extensions, network};

const VXLAN_PORT: u16 = 4789;
const VXLAN_HEADER: usize = 8;

/// Marks a frame whose checksum is undone, and one that is longer than `mtu` as still to be cut.
/// Looks into VXLAN as well, where the inner checksum is the undone one.
pub fn restore(frame: &mut Frame, mtu: u32) {
    let bytes = frame.head();
    let Some(outer) = Transport::find(bytes, 0) else { return };
    let inner = outer.vxlan_payload(bytes).and_then(|at| Transport::find(bytes, at));
    let undone = match inner {
        Some(t) if t.is_undone(bytes, frame.len()) => t,
        _ if outer.is_undone(bytes, frame.len()) => outer,
        _ => return,
    };
    let too_long = frame.len().saturating_sub(undone.l3) > mtu as usize;
    let headers = undone.headers(bytes).unwrap_or(0);
    let meta = &mut frame.meta;
    meta.needs_csum = true;
    meta.csum_start = undone.l4 as u16;
    meta.csum_offset = undone.checksum_offset() as u16;
    // The sender's segment size is lost; any that fits the device cuts the same stream.
    if too_long && inner.is_none() && undone.protocol == 6 {
        meta.gso = if undone.v6 { Gso::Tcp6 } else { Gso::Tcp4 };
        meta.gso_size = (mtu as usize).saturating_sub(headers.saturating_sub(undone.l3)) as u16;
        meta.hdr_len = headers as u16;
    }
}

/// A TCP or UDP header in a frame.
#[derive(Clone, Copy)]
struct Transport {
    v6: bool,
    l3: usize,
    l4: usize,
    /// Where the datagram ends by its IP header.
    end: usize,
    protocol: u8,
}

impl Transport {
    fn find(bytes: &[u8], start: usize) -> Option<Transport> {
        let (l3, ethertype) = network(bytes.get(start..)?)?;
        let l3 = l3 + start;
        let (v6, protocol, l4, end) = match ethertype {
            0x0800 if get16(bytes, l3 + 6)? & 0x3fff == 0 => {
                let header = usize::from(*bytes.get(l3)? & 0x0f) * 4;
                (false, *bytes.get(l3 + 9)?, l3 + header, l3 + usize::from(get16(bytes, l3 + 2)?))
            }
            0x86dd => {
                let (protocol, l4) = behind_extensions(bytes, l3)?;
                (true, protocol, l4, l3 + 40 + usize::from(get16(bytes, l3 + 4)?))
            }
            _ => return None,
        };
        matches!(protocol, 6 | 17).then_some(Transport { v6, l3, l4, end, protocol })
    }

    fn checksum_offset(&self) -> usize {
        if self.protocol == 6 {
            16
        } else {
            6
        }
    }

    fn headers(&self, bytes: &[u8]) -> Option<usize> {
        let transport = if self.protocol == 6 { usize::from(*bytes.get(self.l4 + 12)? >> 4) * 4 } else { 8 };
        Some(self.l4 + transport)
    }

    /// Does the checksum field hold the sum of the pseudo header?
    fn is_undone(&self, bytes: &[u8], frame_len: usize) -> bool {
        // Padding behind the datagram would be summed as well: such a frame is left alone.
        if self.end != frame_len || self.end < self.l4 {
            return false;
        }
        let addresses = if self.v6 { self.l3 + 8..self.l3 + 40 } else { self.l3 + 12..self.l3 + 20 };
        let (Some(addresses), Some(field)) = (bytes.get(addresses), get16(bytes, self.l4 + self.checksum_offset()))
        else {
            return false;
        };
        let length = (self.end - self.l4) as u64;
        field != 0 && field == fold(add(u64::from(self.protocol) + length, addresses, false))
    }

    /// Where the frame inside of a VXLAN packet starts.
    fn vxlan_payload(&self, bytes: &[u8]) -> Option<usize> {
        let is_vxlan = self.protocol == 17
            && get16(bytes, self.l4 + 2)? == VXLAN_PORT
            && *bytes.get(self.l4 + 8)? & 0x08 != 0;
        is_vxlan.then_some(self.l4 + 8 + VXLAN_HEADER)
    }
}

//! Outer headers off.

use sluice_flow::DropReason;
use sluice_frame::Frame;
use sluice_wire::bytes::{u16_or_zero, u64_or_zero};
use sluice_wire::{Headers, Transport};

use super::{Address, ETHERNET, GBP_FLAG, UDP_VXLAN, VXLAN_FLAG_VNI};

/// The outer headers of a packet for one of the tunnels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outer<A> {
    /// Outer source address.
    pub src: A,
    /// Outer destination address.
    pub dst: A,
    /// UDP destination port.
    pub dst_port: u16,
    /// VNI.
    pub vni: u32,
    /// Group policy id and flags, zero without the extension.
    pub gbp: (u16, u8),
}

/// Takes the outer headers off, whose addresses are of this family. The frame is left as it was where they are not sane.
#[inline]
pub fn decap<A: Address>(frame: &mut Frame, outer: &Headers) -> Result<Outer<A>, DropReason> {
    if outer.transport != Transport::Udp {
        return Err(DropReason::TunnelInvalid);
    }
    let (seen, udp_len) = read_outer(frame.head(), outer.l3.into(), outer.l4.into()).ok_or(DropReason::TunnelInvalid)?;
    let (inner_at, end) = (usize::from(outer.l4) + UDP_VXLAN, usize::from(outer.l4) + udp_len);
    if udp_len < UDP_VXLAN || end > frame.len() {
        return Err(DropReason::TunnelInvalid);
    }
    // Link padding behind the datagram is not part of the inner frame.
    if end < frame.len() && !frame.truncate(end) {
        return Err(DropReason::TunnelInvalid);
    }
    if !frame.pull_front(inner_at) {
        return Err(DropReason::TunnelInvalid);
    }
    unshift_offload(frame, inner_at as u16);
    Ok(seen)
}

/// Outer headers as most packets have them: Ethernet without a tag, IP without options or extension headers.
#[derive(Clone, Copy, Debug)]
pub struct Wrapping<A> {
    /// What they say.
    pub outer: Outer<A>,
    /// End of the UDP datagram, bytes from the frame's start.
    end: usize,
}

/// Reads outer headers in their commonest form; `None` for any other frame, which may be a tunnel's all the same.
#[inline(always)]
pub fn outer<A: Address>(frame: &Frame) -> Option<Wrapping<A>> {
    let head = frame.head();
    if head.len() < A::OUTER_LEN {
        return None;
    }
    let udp = ETHERNET + A::HEADER;
    let length = A::plain_udp(head);
    let (outer, udp_len) = read_outer(head, ETHERNET, udp).filter(|_| length.is_some())?;
    let (total, end) = (ETHERNET + length?, udp + udp_len);
    let fits = total >= A::OUTER_LEN && frame.len().wrapping_sub(total) <= usize::from(u16::MAX);
    (fits && udp_len >= UDP_VXLAN && end <= frame.len()).then_some(Wrapping { outer, end })
}

/// Takes off what [`outer`] read; false where the frame cannot be cut.
#[inline(always)]
pub fn strip<A: Address>(frame: &mut Frame, w: &Wrapping<A>) -> bool {
    if w.end < frame.len() && !frame.truncate(w.end) || !frame.pull_front(A::OUTER_LEN) {
        return false;
    }
    unshift_offload(frame, A::OUTER_LEN as u16);
    true
}

/// What the outer headers say, and the length of the UDP datagram; `None` for what is not VXLAN.
#[inline(always)]
fn read_outer<A: Address>(head: &[u8], l3: usize, l4: usize) -> Option<(Outer<A>, usize)> {
    let ip = head.get(l3..)?.get(..A::HEADER)?;
    let udp = head.get(l4..)?.first_chunk::<UDP_VXLAN>()?;
    let vxlan = u64_or_zero(udp, 8);
    let flags = (vxlan >> 56) as u8;
    if flags & !GBP_FLAG != VXLAN_FLAG_VNI || vxlan as u8 != 0 {
        return None;
    }
    let gbp = if flags & GBP_FLAG != 0 { ((vxlan >> 32) as u16, (vxlan >> 48) as u8) } else { (0, 0) };
    let (src, dst) = A::both(ip);
    let outer = Outer { src, dst, dst_port: u16_or_zero(udp, 2), vni: vxlan as u32 >> 8, gbp };
    Some((outer, usize::from(u16_or_zero(udp, 4))))
}

/// Work left on the outer checksum is moot; work on the inner packet now lies nearer.
fn unshift_offload(frame: &mut Frame, removed: u16) {
    let meta = &mut frame.meta;
    match meta.csum_start.checked_sub(removed) {
        Some(start) if meta.needs_csum => meta.csum_start = start,
        _ => meta.needs_csum = false,
    }
    meta.hdr_len = meta.hdr_len.saturating_sub(removed);
}

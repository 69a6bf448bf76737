//! Headers with a whole packet under them, in a frame: put on and taken off.
//!
//! Purpose: Ethernet, network service headers (RFC 8300), MPLS labels in front of Ethernet, and the backbone
//! header of IEEE 802.1ah.
//! Invariant: a frame always begins with an Ethernet header: that of a packet that has none is blank (all
//! addresses 0) and says its type. Checksums that are left to be filled keep their place in the packet.
//! Deliberately does not know: why.

use sluice_flow::key::slot;
use sluice_flow::verdict::Cover;
use sluice_flow::{DropReason, Key};
use sluice_frame::{Frame, Pool};
use sluice_wire::{ethernet, nsh, pbb, Headers, Net};

use crate::apply::{moved, whole_copy};
use crate::labels;

/// Bytes of the Ethernet addresses.
const MACS: usize = 12;
/// Addresses, type and tag of a backbone header.
const BACKBONE: usize = ethernet::LEN + pbb::LEN;

type Done = Result<(), DropReason>;

/// Replaces the first `gone` bytes by others; where the chunk has no room, in a copy.
fn splice(pool: &mut Pool, frame: &mut Frame, gone: usize, new: &[u8]) -> Done {
    if gone > frame.head().len() || frame.headroom() + gone < new.len() {
        let copy = whole_copy(pool, frame).ok_or(DropReason::NoBuffer)?;
        pool.free(std::mem::replace(frame, copy));
    }
    if frame.headroom() + gone < new.len() {
        let bytes = frame.to_vec();
        let all = [new, bytes.get(gone..).unwrap_or(&[])].concat();
        let mut copy = pool.copy_in(&all).ok_or(DropReason::NoBuffer)?;
        (copy.meta, copy.queue) = (frame.meta, frame.queue);
        pool.free(std::mem::replace(frame, copy));
        return Ok(());
    }
    let placed = match new.len().checked_sub(gone) {
        Some(more) => frame.push_front(more),
        None => frame.pull_front(gone - new.len()),
    };
    match frame.head_mut().get_mut(..new.len()) {
        Some(front) if placed => front.copy_from_slice(new),
        _ => return Err(DropReason::NoHeadroom),
    }
    Ok(())
}

/// As [`splice`], and everything behind it counts from its new place.
fn replace_front(pool: &mut Pool, frame: &mut Frame, h: &mut Headers, gone: usize, new: &[u8]) -> Done {
    splice(pool, frame, gone, new)?;
    moved(frame, h, new.len() as i32 - gone as i32, 0);
    Ok(())
}

fn blank(eth_type: u16) -> [u8; ethernet::LEN] {
    let mut out = [0; ethernet::LEN];
    out[MACS..].copy_from_slice(&eth_type.to_be_bytes());
    out
}

/// The Ethernet header becomes a blank one.
pub fn drop_ethernet(pool: &mut Pool, frame: &mut Frame, h: &mut Headers) -> Done {
    let end = usize::from(h.l2_end());
    let Some(kind) = end.checked_sub(2).and_then(|at| frame.head().get(at..end)) else { return Err(DropReason::Runt) };
    let mut new = [0; ethernet::LEN];
    new[MACS..].copy_from_slice(kind);
    replace_front(pool, frame, h, end, &new)
}

/// Puts a network service header in front of the frame, or of what is behind its blank header.
pub fn push_nsh(pool: &mut Pool, frame: &mut Frame, h: &mut Headers, header: &[u8], bare: bool) -> Done {
    let gone = if bare { usize::from(h.l2_end()) } else { 0 };
    let new = [&blank(ethernet::NSH)[..], header].concat();
    replace_front(pool, frame, h, gone, &new)
}

/// Puts a label in front of the frame.
pub fn push_label(pool: &mut Pool, frame: &mut Frame, h: &mut Headers, eth_type: u16, entry: u32) -> Done {
    let mut new = [0; ethernet::LEN + labels::LEN];
    let (link, label) = new.split_at_mut(ethernet::LEN);
    link.copy_from_slice(&blank(eth_type));
    label.copy_from_slice(&entry.to_be_bytes());
    replace_front(pool, frame, h, 0, &new)
}

/// Puts a backbone header with the frame's own addresses in front of it.
pub fn push_pbb(pool: &mut Pool, frame: &mut Frame, h: &mut Headers, tag: u32) -> Done {
    let mut new = [0; BACKBONE];
    let Some(macs) = frame.head().get(..MACS) else { return Err(DropReason::Runt) };
    new[..MACS].copy_from_slice(macs);
    new[MACS..MACS + 2].copy_from_slice(&ethernet::SERVICE_INSTANCE.to_be_bytes());
    new[ethernet::LEN..].copy_from_slice(&tag.to_be_bytes());
    replace_front(pool, frame, h, 0, &new)
}

/// Takes the outermost of these headers off; what is under it is of this packet type.
pub fn uncover(pool: &mut Pool, frame: &mut Frame, h: &mut Headers, cover: Cover, packet_type: u64) -> Done {
    let gone = match cover {
        Cover::Nsh => usize::from(h.l3) + nsh_len(frame, h)?,
        Cover::Label if h.mpls != 0 => usize::from(h.mpls) + labels::LEN,
        Cover::Pbb if h.net == Net::Pbb => return uncover_backbone(pool, frame, h),
        Cover::Nothing => return Ok(()),
        Cover::Label | Cover::Pbb => return Err(DropReason::PacketType),
    };
    match packet_type {
        0 => replace_front(pool, frame, h, gone, &[]),
        t => replace_front(pool, frame, h, gone, &blank(t as u16)),
    }
}

fn nsh_len(frame: &Frame, h: &Headers) -> Result<usize, DropReason> {
    let at = usize::from(h.l3);
    let bytes = frame.head().get(at..).unwrap_or(&[]);
    match nsh::Header::read(bytes, frame.len().saturating_sub(at)) {
        Some((_, len)) if h.net == Net::Nsh => Ok(len),
        _ => Err(DropReason::PacketType),
    }
}

/// The customer's addresses take the place of the backbone's; a VLAN tag of the backbone stays.
fn uncover_backbone(pool: &mut Pool, frame: &mut Frame, h: &mut Headers) -> Done {
    let at = usize::from(h.l3);
    let head = frame.head();
    let (tag, macs) = (head.get(MACS..at - 2), head.get(at + pbb::LEN..at + pbb::LEN + MACS));
    let (Some(tag), Some(macs)) = (tag, macs) else { return Err(DropReason::Runt) };
    let new = [macs, tag].concat();
    replace_front(pool, frame, h, at + pbb::LEN + MACS, &new)
}

/// Writes bits of a service header's field.
pub fn write(frame: &mut Frame, h: &Headers, s: sluice_flow::Slot, value: u128, mask: u128) {
    let Some(bytes) = frame.head_mut().get_mut(usize::from(h.l3)..) else { return };
    let mut key = Key::ZERO;
    match h.net {
        Net::Nsh => {
            let Some((header, _)) = nsh::Header::read(bytes, usize::MAX) else { return };
            sluice_flow::extract::set_nsh(&mut key, &header);
            key.set_masked(s, value, mask);
            sluice_flow::extract::nsh_of(&key).write(bytes);
        }
        Net::Pbb => {
            let Some(tag) = pbb::Tag::read(bytes) else { return };
            key.set(slot::PBB_ISID, u64::from(tag.isid));
            key.set(slot::PBB_UCA, u64::from(tag.uca));
            key.set_masked(s, value, mask);
            pbb::Tag { isid: key.get(slot::PBB_ISID) as u32, uca: key.get(slot::PBB_UCA) != 0 }.write(bytes);
        }
        _ => {}
    }
}

/// A copy of a frame's bytes as a packet without Ethernet header.
pub fn bare_bytes(frame: &Frame) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    bytes.drain(..ethernet::LEN.min(bytes.len()));
    bytes
}

/// The frame of a packet without Ethernet header.
pub fn with_blank_ethernet(packet_type: u64, bytes: &[u8]) -> Vec<u8> {
    [&blank(packet_type as u16)[..], bytes].concat()
}

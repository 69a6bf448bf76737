//! MPLS labels in a frame: pushed, popped, and the TTL of what is under them.
//!
//! Invariant: a frame without labels is not popped; VLAN tags stay in front of all labels.
//! Deliberately does not know: why.

use sluice_flow::key::slot;
use sluice_flow::DropReason;
use sluice_frame::Frame;
use sluice_wire::{parse_network, Headers};

use crate::apply::{moved, tags};
use crate::rewrite;

/// Bytes of a label stack entry.
pub const LEN: usize = 4;

/// Pushes an entry behind the link layer.
pub fn push(frame: &mut Frame, h: &mut Headers, eth_type: u16, entry: u32) -> Result<(), DropReason> {
    let at = usize::from(h.l2_end());
    if at < 2 || !frame.push_front(LEN) {
        return Err(DropReason::NoHeadroom);
    }
    let head = frame.head_mut();
    if head.len() < at + LEN {
        return Err(DropReason::Runt);
    }
    head.copy_within(LEN..LEN + at, 0);
    if let Some(bytes) = head.get_mut(at - 2..at + LEN) {
        let (kind, label) = bytes.split_at_mut(2);
        kind.copy_from_slice(&eth_type.to_be_bytes());
        label.copy_from_slice(&entry.to_be_bytes());
    }
    moved(frame, h, LEN as i32, tags(h));
    Ok(())
}

/// Removes the outermost entry.
pub fn pop(frame: &mut Frame, h: &mut Headers, eth_type: u16) {
    let at = usize::from(h.mpls);
    let head = frame.head_mut();
    if at < 2 || head.len() < at + LEN {
        return;
    }
    if let Some(kind) = head.get_mut(at - 2..at) {
        kind.copy_from_slice(&eth_type.to_be_bytes());
    }
    head.copy_within(0..at, LEN);
    if frame.pull_front(LEN) {
        moved(frame, h, -(LEN as i32), tags(h));
    }
}

/// Writes TTL or hop limit of the packet under the labels.
pub fn set_ttl_under(frame: &mut Frame, h: &Headers, ttl: u8) {
    let l3 = usize::from(h.l3);
    let eth_type = match frame.head().get(l3).map(|b| b >> 4) {
        Some(4) => 0x0800,
        Some(6) => 0x86dd,
        _ => return,
    };
    let under = parse_network(frame.head(), frame.len(), l3, eth_type);
    rewrite::write(frame, &under, slot::NW_TTL, u128::from(ttl), 0xff);
}

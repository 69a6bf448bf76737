//! The outer UDP checksum.
//!
//! Invariant: it is right for the frame as it will be when what is left undone inside has been done.

use sluice_frame::{Frame, Gso};
use sluice_wire::bytes::u16_at;
use sluice_wire::checksum;

/// Fills the outer UDP checksum; `pseudo` is the sum of addresses and protocol. A frame that is still to be cut gets
/// none: whoever cuts it knows what its pieces are.
pub(super) fn fill_checksum(frame: &mut Frame, udp: usize, pseudo: u64) {
    if frame.meta.gso != Gso::None {
        return;
    }
    let sum = if frame.meta.needs_csum { sum_in_front(frame, udp) } else { Some(sum_of_all(frame, udp)) };
    let Some(sum) = sum else { return };
    let sum = checksum::add(checksum::add(sum, pseudo), (frame.len() - udp) as u64);
    if let Some(field) = frame.head_mut().get_mut(udp + 6..udp + 8) {
        field.copy_from_slice(&checksum::finish_udp(sum).to_be_bytes());
    }
}

/// Sum of a datagram whose inner checksum is undone. Once done, the sum over all that it covers is the complement
/// of what its field holds now (the sum of the inner pseudo header), so none of those bytes need be read.
fn sum_in_front(frame: &Frame, udp: usize) -> Option<u64> {
    let (start, offset) = (usize::from(frame.meta.csum_start), usize::from(frame.meta.csum_offset));
    let head = frame.head();
    let done = !u16_at(head, start + offset)?;
    let in_front = head.get(udp..start)?;
    // A sum that begins at an odd place has its bytes exchanged.
    let done = if in_front.len() % 2 == 1 { done.swap_bytes() } else { done };
    Some(checksum::add(checksum::sum(in_front), u64::from(done)))
}

fn sum_of_all(frame: &Frame, udp: usize) -> u64 {
    let (mut sum, mut odd) = (0, false);
    for (i, segment) in frame.segments().enumerate() {
        let bytes = if i == 0 { segment.get(udp..).unwrap_or(&[]) } else { segment };
        let part = checksum::fold(checksum::sum(bytes));
        sum += u64::from(if odd { part.swap_bytes() } else { part });
        odd ^= bytes.len() % 2 == 1;
    }
    sum
}

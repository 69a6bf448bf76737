//! Station: packets of connections whose payload announces others (FTP, TFTP) are read, and written anew where
//! they are translated: addresses and ports in the text, lengths, sequence numbers, checksums.
//!
//! Invariant: the frame stays what it was in all that a helper did not ask for.
//! Deliberately does not know: protocols' texts, connections.

use std::ops::Range;

use sluice_conntrack::helper::skew::Skew;
use sluice_conntrack::helper::{ftp, May};
use sluice_conntrack::tcp::flag;
use sluice_conntrack::{state, Known, Seen};
use sluice_frame::{Frame, Gso};
use sluice_wire::bytes::{put_u16, put_u32, u16_at, u32_at, u8_at};
use sluice_wire::{checksum, parse_part, Headers, Net, Transport};

use crate::apply::Route;

/// Room that a longer text may need: an IPv6 address and a port in place of the shortest ones.
const ROOM: usize = 64;
/// Bytes of a TCP header without options.
const TCP_HEADER: usize = 20;
const SACK: u8 = 5;

/// Lets a helper read a packet; says where its headers are then.
pub fn read(frame: &mut Frame, h: &Headers, at: Known, seen: &Seen, translated: bool, route: &mut Route<'_>) -> Headers {
    let from = usize::from(h.payload);
    let end = (h.end as usize).min(frame.head().len()).min(from + ftp::READ_MAX);
    let payload = frame.head().get(from..end).unwrap_or(&[]).to_vec();
    let whole = frame.is_linear() && frame.meta.gso == Gso::None && frame.tailroom() >= ROOM;
    let may = match (translated, whole) {
        (false, _) => May::Read,
        (true, false) => May::Renumber,
        (true, true) => May::Rewrite,
    };
    let heard = route.tracker.help(at, seen, &payload, may, route.now_ms);
    if heard.invalid {
        route.md.state |= state::INVALID;
    }
    if h.transport == Transport::Tcp {
        renumber(frame, h, heard.seq, &heard.acked);
    }
    match heard.replace {
        None => *h,
        Some((place, text)) => replace(frame, h, place, text.as_bytes()),
    }
}

/// Moves sequence number, acknowledgement and selective acknowledgements.
fn renumber(frame: &mut Frame, h: &Headers, seq: u32, acked: &Skew) {
    if seq == 0 && acked.is_none() {
        return;
    }
    let partial = frame.meta.needs_csum;
    let Some(header) = frame.head_mut().get_mut(usize::from(h.l4)..usize::from(h.payload)) else { return };
    let before = checksum::fold(checksum::sum(header));
    let sent = u32_at(header, 4).map(|n| n.wrapping_add(seq));
    let acks = u8_at(header, 13).is_some_and(|flags| u16::from(flags) & flag::ACK != 0);
    let ack = u32_at(header, 8).filter(|_| acks).map(|n| acked.undo(n));
    for (at, value) in [(4, sent), (8, ack)] {
        if let Some(value) = value {
            let _ = put_u32(header, at, value);
        }
    }
    selective(header, acked);
    let after = checksum::fold(checksum::sum(header));
    if let Some(old) = u16_at(header, 16).filter(|_| !partial) {
        let _ = put_u16(header, 16, checksum::incremental16(old, before, after));
    }
}

/// Edges in the option SACK (RFC 2018) are acknowledgements too.
fn selective(header: &mut [u8], acked: &Skew) {
    let mut at = TCP_HEADER;
    while let Some(kind) = u8_at(header, at).filter(|kind| *kind != 0) {
        let len = match (kind, u8_at(header, at + 1)) {
            (1, _) => 1,
            (_, Some(len)) if len >= 2 => usize::from(len),
            _ => return,
        };
        for edge in (at + 2..(at + len).saturating_sub(3)).step_by(4).filter(|_| kind == SACK) {
            if let Some(n) = u32_at(header, edge) {
                let _ = put_u32(header, edge, acked.undo(n));
            }
        }
        at += len;
    }
}

/// Puts a text in the place of another one, and every length and checksum right.
fn replace(frame: &mut Frame, h: &Headers, place: Range<usize>, text: &[u8]) -> Headers {
    let (l3, l4, end) = (usize::from(h.l3), usize::from(h.l4), h.end as usize);
    let from = usize::from(h.payload) + place.start;
    let tail = match frame.head().get(from + place.len()..end) {
        Some(tail) => tail.to_vec(),
        None => return *h,
    };
    let new_end = from + text.len() + tail.len();
    // Link padding goes; there is room, which was looked at before.
    if !frame.truncate(end.min(new_end)) || new_end > end && !frame.push_back(new_end - end) {
        return *h;
    }
    let partial = frame.meta.needs_csum;
    let head = frame.head_mut();
    for (at, bytes) in [(from, text), (from + text.len(), tail.as_slice())] {
        if let Some(to) = head.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }
    set_length(head, h, l3, new_end);
    match partial {
        // The field holds the sum of the pseudo header, which has the length in it.
        true => move_sum(head, l4 + 16, end - l4, new_end - l4),
        false => sum_anew(head, h, new_end),
    }
    parse_part(frame.head(), frame.len())
}

fn set_length(head: &mut [u8], h: &Headers, l3: usize, end: usize) {
    if h.net == Net::Ipv6 {
        let _ = put_u16(head, l3 + 4, (end - l3 - 40) as u16);
        return;
    }
    let Some(old) = u16_at(head, l3 + 2) else { return };
    let new = (end - l3) as u16;
    let _ = put_u16(head, l3 + 2, new);
    if let Some(sum) = u16_at(head, l3 + 10) {
        let _ = put_u16(head, l3 + 10, checksum::incremental16(sum, old, new));
    }
}

fn move_sum(head: &mut [u8], at: usize, before: usize, after: usize) {
    let Some(old) = u16_at(head, at) else { return };
    let _ = put_u16(head, at, checksum::fold(u64::from(old) + u64::from(!(before as u16)) + after as u64));
}

fn sum_anew(head: &mut [u8], h: &Headers, end: usize) {
    let (l3, l4) = (usize::from(h.l3), usize::from(h.l4));
    let addresses = if h.net == Net::Ipv6 { l3 + 8..l3 + 40 } else { l3 + 12..l3 + 20 };
    let _ = put_u16(head, l4 + 16, 0);
    let (Some(addresses), Some(segment)) = (head.get(addresses), head.get(l4..end)) else { return };
    let pseudo = checksum::sum(addresses) + u64::from(h.proto) + segment.len() as u64;
    let sum = !checksum::fold(checksum::add(pseudo, checksum::sum(segment)));
    let _ = put_u16(head, l4 + 16, sum);
}

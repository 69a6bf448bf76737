//! Station: is a packet of a known connection what it was when its flow's verdicts were joined?
//!
//! The flow's key names the tuple, the joined verdict the zone and the direction: what is left to be
//! read of the packet is whether it is whole, and what its TCP header says.
//! Invariant: says yes only of a packet of which the tracker would say what the verdict expects.
//! Deliberately does not know: which flow, which verdict.

use sluice_conntrack::state::REPLY;
use sluice_conntrack::{packet, Steadily, Tracker, Tuple};
use sluice_flow::key::{slot, Slot, NARROW_WORDS};
use sluice_flow::verdict::Expected;
use sluice_frame::{Frame, Gso};
use sluice_wire::{Headers, PackedHeaders};

use crate::joined::holds;
use crate::track;

/// The key's word of both addresses: as a tuple has them.
const ADDRESSES: usize = slot::NW_SRC.word as usize;
/// The key's word that has both ports in its lower half and the protocol at its top.
const PORTS: usize = slot::TP_SRC.word as usize;
const PROTO_SHIFT: u8 = slot::NW_PROTO.shift;

const fn is_at(s: Slot, word: usize, shift: u8) -> bool {
    s.word as usize == word && s.shift == shift
}
const _: () = assert!(is_at(slot::NW_SRC, ADDRESSES, 32) && is_at(slot::NW_DST, ADDRESSES, 0));
const _: () = assert!(is_at(slot::TP_SRC, PORTS, 16) && is_at(slot::TP_DST, PORTS, 0) && is_at(slot::NW_PROTO, PORTS, PROTO_SHIFT));

/// Does the tracker say of this packet what it said when the verdict was joined?
#[inline(always)]
pub fn still_holds(
    tracker: &Tracker,
    connection: u32,
    expected: &Expected,
    frame: &Frame,
    headers: PackedHeaders,
    key: &[u64; NARROW_WORDS],
    now_ms: u64,
) -> bool {
    let meta = &frame.meta;
    let trust = meta.needs_csum || meta.csum_valid || meta.gso != Gso::None;
    let judged = match packet::read_again(frame.head(), headers, trust) {
        None => return false,
        Some(Some(said)) => {
            let tuple = Tuple {
                addresses: [key[ADDRESSES], 0, 0, 0],
                ports: key[PORTS] as u32,
                zone: expected.zone,
                proto: (key[PORTS] >> PROTO_SHIFT) as u8,
                v6: false,
            };
            tracker.steady(connection, &tuple, expected.state & REPLY != 0, &said, now_ms)
        }
        Some(None) => read_whole(tracker, connection, expected, frame, &headers.unpack(), now_ms),
    };
    judged.is_some_and(|s| holds(expected, &s))
}

/// The same for packets that are not so plain: the tuple is read from the packet as well.
#[inline(never)]
fn read_whole(tracker: &Tracker, connection: u32, expected: &Expected, frame: &Frame, h: &Headers, now_ms: u64) -> Option<Steadily> {
    let seen = track::see(frame, h, false).filter(|seen| !seen.related)?;
    let tuple = Tuple { zone: expected.zone, ..seen.tuple };
    tracker.steady(connection, &tuple, expected.state & REPLY != 0, &seen.transported, now_ms)
}

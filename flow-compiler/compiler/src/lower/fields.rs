//! Where the bits of an OpenFlow field lie in the flow key.
//!
//! Invariant: pieces cover a sub-field from its lowest bit upwards, without gaps; a piece never
//! straddles two words of the key, unless it is a whole wide field.
//! Deliberately does not know: actions.

use std::sync::Arc;

use sluice_flow::action::Need;
use sluice_flow::key::slot;
use sluice_flow::options::{self, OptionMap};
use sluice_flow::{Key, Slot};
use sluice_openflow::field::Prereq;
use sluice_openflow::matching::Places;
use sluice_openflow::{Field, Match, PortNo, SubField};

/// What a packet must be before a field of it may be written or read by an action.
pub fn need_of(field: Field) -> Need {
    match field.info().prereq {
        Prereq::None | Prereq::Ct => Need::Nothing,
        Prereq::Ethernet => Need::Ethernet,
        Prereq::VlanVid => Need::Vlan,
        Prereq::Mpls => Need::Mpls,
        Prereq::Ipv4 => Need::Ipv4,
        Prereq::Ipv6 => Need::Ipv6,
        Prereq::Ip => Need::Ip,
        Prereq::Arp => Need::Arp,
        Prereq::Nsh => Need::Nsh,
        Prereq::Pbb => Need::Pbb,
        Prereq::Tcp => Need::Tcp,
        Prereq::Udp => Need::Udp,
        Prereq::Sctp => Need::Sctp,
        Prereq::Icmpv4 => Need::Icmp4,
        Prereq::Icmpv6 => Need::Icmp6,
        Prereq::Nd => Need::Nd,
        Prereq::NdSolicit => Need::NdSolicit,
        Prereq::NdAdvert => Need::NdAdvert,
    }
}

/// A run of bits of a sub-field that lies in one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Lowest bit, counted from the sub-field's lowest.
    pub offset: u16,
    /// Bits.
    pub width: u16,
}

/// Cuts `width` bits so that each piece lies in one place in all of these sub-fields.
///
/// `None` when one of them is not kept in the flow key, or is a tunnel option that `map` does not have.
pub fn pieces(parts: &[SubField], map: &OptionMap) -> Option<Vec<Piece>> {
    let width = parts.iter().map(|p| p.width).min()?;
    let slots: Vec<Option<Slot>> = parts.iter().map(|p| p.field.info().slot).collect();
    let whole_wide =
        |(p, s): (&SubField, &Option<Slot>)| s.is_some_and(|s| s.width > 64 && p.start == 0 && p.width == u16::from(s.width));
    let keep_wide = parts.iter().zip(&slots).all(whole_wide);
    let mut cuts = vec![0, width];
    for (part, slot) in parts.iter().zip(&slots) {
        let Some(slot) = slot else {
            cuts.extend(option_cuts(*part, map)?);
            continue;
        };
        if slot.width > 64 && !keep_wide {
            cuts.push(64u16.saturating_sub(part.start));
        }
        cuts.push(u16::from(slot.width).saturating_sub(part.start));
        cuts.push(absent_below(part.field).saturating_sub(part.start));
    }
    cuts.retain(|&c| c <= width);
    cuts.sort_unstable();
    cuts.dedup();
    Some(cuts.windows(2).map(|w| Piece { offset: w[0], width: w[1] - w[0] }).collect())
}

/// Where the pieces of a tunnel option end, counted from the sub-field's lowest bit.
fn option_cuts(part: SubField, map: &OptionMap) -> Option<Vec<u16>> {
    let n = part.field.option_number()?;
    map.get(n)?;
    let ends = map.pieces(n).into_iter().map(|p| p.lowest + u16::from(p.slot.width));
    Some(ends.map(|end| end.saturating_sub(part.start)).collect())
}

/// The bits `start..start + width` of a tunnel option, where they lie in one word.
fn option_bits(n: u8, start: u16, width: u16, map: &OptionMap) -> Option<Slot> {
    let holds = |p: &options::Piece| p.lowest <= start && start + width <= p.lowest + u16::from(p.slot.width);
    let piece = map.pieces(n).into_iter().find(holds)?;
    piece.slot.bits(u8::try_from(start - piece.lowest).ok()?, u8::try_from(width).ok()?)
}

/// The place of one piece of a sub-field; `None` where the field has no bits there.
pub fn place(part: SubField, piece: Piece, map: &OptionMap) -> Option<Slot> {
    let start = part.start.checked_add(piece.offset)?;
    if let Some(n) = part.field.option_number() {
        return option_bits(n, start, piece.width, map);
    }
    let slot = part.field.info().slot?;
    if start < absent_below(part.field) {
        return None;
    }
    slot.bits(u8::try_from(start).ok()?, u8::try_from(piece.width).ok()?)
}

/// `nw_tos` is written and read without its two ECN bits.
fn absent_below(field: Field) -> u16 {
    if field == Field::NW_TOS {
        2
    } else {
        0
    }
}

/// The one slot of a sub-field, where it has one.
pub fn single(part: SubField, map: &OptionMap) -> Option<Slot> {
    if let Some(n) = part.field.option_number() {
        return option_bits(n, part.start, part.width, map);
    }
    match part.field.info().slot?.bits(u8::try_from(part.start).ok()?, u8::try_from(part.width).ok()?) {
        Some(s) => Some(s),
        // `arp_op`: OpenFlow has more bits than a packet's field can usefully carry.
        None if part.start == 0 => part.field.info().slot.filter(|s| u16::from(s.width) < part.width),
        None => None,
    }
}

/// Value of a sub-field of a packet, right-aligned; bits that are not kept read as zero.
pub fn read(key: &Key, part: SubField, map: &OptionMap) -> u128 {
    let mut value = 0;
    for piece in pieces(&[part], map).unwrap_or_default() {
        if let Some(slot) = place(part, piece, map) {
            value |= key.get_wide(slot).checked_shl(u32::from(piece.offset)).unwrap_or(0);
        }
    }
    value
}

/// Adds to a match that a sub-field has this value.
pub fn write_match(matching: &mut Match, part: SubField, value: u128, map: &Arc<OptionMap>) {
    if let Some(n) = part.field.option_number() {
        matching.places = Places::Bridge(map.clone());
        matching.set_exact(slot::tun_option_present(n), 1);
    }
    if is_short_in_port(part) && part.width == 16 {
        return matching.set_exact(slot::IN_PORT, u128::from(PortNo::from_u16(value as u16).0));
    }
    for piece in pieces(&[part], map).unwrap_or_default() {
        if let Some(slot) = place(part, piece, map) {
            matching.set_exact(slot, (value >> piece.offset) & slot.ones());
        }
    }
    widen_narrow_fields(matching, part);
}

/// An ICMP type or code fills the whole port field: its upper bits are zero and matter.
fn widen_narrow_fields(matching: &mut Match, part: SubField) {
    let Some(slot) = part.field.info().slot else { return };
    if slot.width == 16 && part.field.info().n_bits == 8 && part.width == 8 {
        if let Some(upper) = slot.bits(8, 8) {
            matching.set_exact(upper, 0);
        }
    }
}

/// Is this one of the two names of the input port that has fewer bits than the port's number?
pub fn is_short_in_port(part: SubField) -> bool {
    part.field.info().slot == Some(slot::IN_PORT) && part.field.info().n_bits == 16
}

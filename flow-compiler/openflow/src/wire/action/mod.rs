//! Lists of actions as bytes.
//!
//! Purpose: split a list into actions, hand each to the spelling that its type names, and back.
//! Invariant: nesting is bounded, so that no message can exhaust the stack.
//! Deliberately does not know: instructions (see `instruction`), whether an action suits its rule's
//! match (the compiler checks that).

mod choose;
mod ct;
mod learn;
mod length;
mod nicira;
mod nicira_put;
mod set_field;
mod standard;
mod standard_put;
mod subfield;
mod verify;

use super::buf::{Put, Reader};
use crate::action::Action;
use crate::error::{OfpError, NICIRA, ONF};
use crate::matching::Match;
use crate::message::EncodeError;
use crate::version::Version;
use sluice_flow::key::slot;

pub(super) use verify::{order, verify, Order, Outer};

const BAD_LEN: OfpError = OfpError::OFPBAC_BAD_LEN;
const BAD_ARGUMENT: OfpError = OfpError::OFPBAC_BAD_ARGUMENT;
/// Type of experimenter actions.
const VENDOR: u16 = 0xffff;
/// Deepest nesting of `clone` and `ct`.
const MAX_DEPTH: usize = 32;

/// Reads a whole list of actions, without judging their order.
pub(super) fn decode(version: Version, bytes: &[u8]) -> Result<Vec<Action>, OfpError> {
    decode_nested(version, bytes, 0)
}

fn decode_nested(version: Version, bytes: &[u8], depth: usize) -> Result<Vec<Action>, OfpError> {
    if depth > MAX_DEPTH {
        return Err(OfpError::OFPBAC_TOO_MANY);
    }
    let mut list = Reader::new(bytes, BAD_LEN);
    let mut actions = Vec::new();
    while !list.is_empty() {
        actions.push(decode_one(version, &mut list, depth)?);
    }
    Ok(actions)
}

fn decode_one(version: Version, list: &mut Reader<'_>, depth: usize) -> Result<Action, OfpError> {
    let mut head = *list;
    let (kind, len) = (head.u16()?, head.u16()? as usize);
    let (vendor, subtype) = match kind {
        VENDOR => vendor_subtype(&mut head)?,
        kind => (0, kind),
    };
    if len % 8 != 0 || len < 8 {
        return Err(BAD_LEN);
    }
    let mut body = list.sub(len)?;
    let fixed = length::fixed(version, vendor, subtype);
    if fixed.is_some_and(|fixed| fixed != len) {
        return Err(BAD_LEN);
    }
    body.skip(if vendor == 0 { 4 } else { 10 })?;
    match vendor {
        0 => standard::decode(version, kind, &mut body),
        NICIRA => nicira::decode(version, subtype, body, depth),
        _ => subfield::decode_onf_copy(version, subtype, body),
    }
}

fn vendor_subtype(head: &mut Reader<'_>) -> Result<(u32, u16), OfpError> {
    let vendor = head.u32()?;
    if vendor != NICIRA && vendor != ONF {
        return Err(OfpError::OFPBAC_BAD_VENDOR);
    }
    Ok((vendor, head.u16()?))
}

/// What the encoding of an action may depend on: what the rule matches and what came before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    /// The version written.
    pub(super) version: Version,
    /// Is a VLAN tag certain at this point?
    has_vlan: bool,
    /// IP protocol that the rule matches, 0 for none.
    ip_proto: u8,
}

impl Around {
    pub(super) fn new(version: Version, m: &Match) -> Around {
        let has_vlan = m.value.get(slot::VLAN_PRESENT) == 1;
        Around { version, has_vlan, ip_proto: m.value.get(slot::NW_PROTO) as u8 }
    }

    /// For actions that no match precedes: buckets.
    pub(super) fn nothing(version: Version) -> Around {
        Around::new(version, &Match::ANY)
    }

    fn after(&mut self, a: &Action) {
        match a {
            Action::SetVlanVid { .. } | Action::SetVlanPcp { .. } | Action::PushVlan(_) => {
                self.has_vlan = true;
            }
            Action::StripVlan { .. } => self.has_vlan = false,
            _ => {}
        }
    }
}

/// Writes one action; where it only exists as an instruction, that instruction.
pub(super) fn encode_one(
    out: &mut Vec<u8>,
    a: &Action,
    around: &mut Around,
) -> Result<(), EncodeError> {
    let start = out.len();
    if !standard_put::encode(out, a, around)? {
        nicira_put::encode(out, a, around)?;
    }
    around.after(a);
    debug_assert_eq!((out.len() - start) % 8, 0, "{a:?}");
    Ok(())
}

/// Writes a list of actions.
pub(super) fn encode(
    out: &mut Vec<u8>,
    actions: &[Action],
    around: &mut Around,
) -> Result<(), EncodeError> {
    actions.iter().try_for_each(|a| encode_one(out, a, around))
}

/// Begins an action: type and a place for its length.
fn begin(out: &mut Vec<u8>, kind: u16) -> usize {
    let start = out.len();
    out.u16(kind);
    out.u16(0);
    start
}

/// Begins a Nicira action.
fn begin_nicira(out: &mut Vec<u8>, subtype: u16) -> usize {
    let start = begin(out, VENDOR);
    out.u32(NICIRA);
    out.u16(subtype);
    start
}

/// Pads an action and fills in its length.
fn end(out: &mut Vec<u8>, start: usize) -> Result<(), EncodeError> {
    out.pad8(start);
    out.patch_len(start, start + 2)
}

//! Instructions as bytes: one list of actions in, several instructions out, and back.
//!
//! Purpose: OpenFlow 1.1's instructions around the single list that the rest of Sluice uses. In 1.0
//! a rule has actions only.
//! Invariant: what is read comes in the order meter, apply, clear, write, metadata, goto.
//! Deliberately does not know: what an instruction does.

use super::action::{self, Around, Order, Outer};
use super::buf::{Put, Reader};
use crate::action::Action;
use crate::error::OfpError;
use crate::message::EncodeError;
use crate::version::Version;

const BAD_LEN: OfpError = OfpError::OFPBIC_BAD_LEN;

mod kind {
    pub const GOTO_TABLE: u16 = 1;
    pub const WRITE_METADATA: u16 = 2;
    pub const WRITE_ACTIONS: u16 = 3;
    pub const APPLY_ACTIONS: u16 = 4;
    pub const CLEAR_ACTIONS: u16 = 5;
    pub const METER: u16 = 6;
    pub const EXPERIMENTER: u16 = 0xffff;
}

/// Reads the actions (1.0) or instructions of a rule.
pub(super) fn decode(version: Version, bytes: &[u8]) -> Result<Vec<Action>, OfpError> {
    if version == Version::V10 {
        if bytes.len() % 8 != 0 {
            return Err(OfpError::OFPBRC_BAD_LEN);
        }
        let actions = action::decode(version, bytes)?;
        action::verify(&actions, version, Outer::Rule)?;
        return Ok(actions);
    }
    if bytes.len() % 8 != 0 {
        return Err(BAD_LEN);
    }
    let found = Found::read(version, bytes)?;
    let actions = found.merge(version)?;
    action::verify(&actions, version, Outer::Rule)?;
    Ok(actions)
}

/// The bodies of the instructions, by type.
#[derive(Default)]
struct Found<'a> {
    bodies: [Option<Reader<'a>>; 6],
}

impl<'a> Found<'a> {
    fn read(version: Version, bytes: &'a [u8]) -> Result<Found<'a>, OfpError> {
        let mut list = Reader::new(bytes, BAD_LEN);
        let mut found = Found::default();
        while !list.is_empty() {
            let mut head = list;
            let (kind, len) = (head.u16()?, head.u16()? as usize);
            if len % 8 != 0 || len < 8 {
                return Err(BAD_LEN);
            }
            let mut body = list.sub(len)?;
            body.skip(4)?;
            check(version, kind, len)?;
            let place = found
                .bodies
                .get_mut(kind.wrapping_sub(1) as usize)
                .ok_or(OfpError::OFPBIC_UNKNOWN_INST)?;
            if place.replace(body).is_some() {
                return Err(OfpError::OFPBIC_DUP_INST);
            }
        }
        Ok(found)
    }

    fn body(&self, kind: u16) -> Option<Reader<'a>> {
        self.bodies.get(kind.wrapping_sub(1) as usize).copied().flatten()
    }

    fn merge(&self, version: Version) -> Result<Vec<Action>, OfpError> {
        let mut all = Vec::new();
        if let Some(mut r) = self.body(kind::METER) {
            all.push(Action::Meter(r.u32()?));
        }
        if let Some(mut r) = self.body(kind::APPLY_ACTIONS) {
            r.skip(4)?;
            all.append(&mut action::decode(version, r.rest())?);
        }
        if self.body(kind::CLEAR_ACTIONS).is_some() {
            all.push(Action::ClearActions);
        }
        if let Some(mut r) = self.body(kind::WRITE_ACTIONS) {
            r.skip(4)?;
            let set = action::decode(version, r.rest())?;
            for_action_set(&set)?;
            all.push(Action::WriteActions(set));
        }
        if let Some(mut r) = self.body(kind::WRITE_METADATA) {
            r.skip(4)?;
            all.push(Action::WriteMetadata { value: r.u64()?, mask: r.u64()? });
        }
        if let Some(mut r) = self.body(kind::GOTO_TABLE) {
            all.push(Action::GotoTable(r.u8()?));
        }
        Ok(all)
    }
}

/// Is an instruction of this type known, and may it be this long?
fn check(version: Version, kind: u16, len: usize) -> Result<(), OfpError> {
    let fits = match kind {
        kind::GOTO_TABLE | kind::METER => len == 8,
        kind::WRITE_METADATA => len == 24,
        kind::CLEAR_ACTIONS | kind::WRITE_ACTIONS | kind::APPLY_ACTIONS => true,
        kind::EXPERIMENTER => return Err(OfpError::OFPBIC_BAD_EXPERIMENTER),
        _ => return Err(OfpError::OFPBIC_UNKNOWN_INST),
    };
    if !fits || (kind == kind::CLEAR_ACTIONS && len != 8) {
        return Err(BAD_LEN);
    }
    if kind == kind::METER && !matches!(version, Version::V13 | Version::V14) {
        return Err(OfpError::OFPBIC_UNKNOWN_INST);
    }
    Ok(())
}

/// Only some actions may be in an action set.
fn for_action_set(actions: &[Action]) -> Result<(), OfpError> {
    let refused = |a: &Action| {
        matches!(
            a,
            Action::Bundle(_)
                | Action::Controller(_)
                | Action::Enqueue { .. }
                | Action::Exit
                | Action::Learn(_)
                | Action::Note(_)
                | Action::Multipath(_)
                | Action::OutputReg { .. }
                | Action::OutputTrunc { .. }
                | Action::FinTimeout { .. }
                | Action::Sample(_)
                | Action::StackPush(_)
                | Action::StackPop(_)
                | Action::PopQueue
                | Action::Conjunction { .. }
                | Action::Clone(_)
                | Action::WriteMetadata { .. }
                | Action::Meter(_)
                | Action::CtClear
                | Action::CheckPktLarger { .. }
                | Action::DeleteField(_)
                | Action::DebugRecirc
                | Action::DebugSlow
        )
    };
    if actions.iter().any(refused) {
        return Err(OfpError::OFPBAC_BAD_TYPE);
    }
    Ok(())
}

/// Writes the actions (1.0) or instructions of a rule.
pub(super) fn encode(
    out: &mut Vec<u8>,
    actions: &[Action],
    mut around: Around,
) -> Result<(), EncodeError> {
    let version = around.version;
    if version == Version::V10 {
        return action::encode(out, actions, &mut around);
    }
    for run in actions.chunk_by(|a, b| applies(a, version) && applies(b, version)) {
        match run {
            [a] if !applies(a, version) => encode_one(out, a, around)?,
            _ => {
                let start = begin(out, kind::APPLY_ACTIONS);
                action::encode(out, run, &mut around)?;
                end_or_remove(out, start)?;
            }
        }
    }
    Ok(())
}

fn applies(a: &Action, version: Version) -> bool {
    action::order(a, version) == Order::Apply
}

fn begin(out: &mut Vec<u8>, kind: u16) -> usize {
    let start = out.len();
    out.u16(kind);
    out.u16(8);
    out.zeros(4);
    start
}

/// Fills in the length; an instruction without actions is not written at all.
fn end_or_remove(out: &mut Vec<u8>, start: usize) -> Result<(), EncodeError> {
    if out.len() == start + 8 {
        out.truncate(start);
        return Ok(());
    }
    out.patch_len(start, start + 2)
}

fn encode_one(out: &mut Vec<u8>, a: &Action, mut around: Around) -> Result<(), EncodeError> {
    match a {
        // A dump in an old version leaves out what that version cannot say.
        Action::Meter(_) if around.version < Version::V13 => {}
        Action::Meter(id) => {
            out.u16(kind::METER);
            out.u16(8);
            out.u32(*id);
        }
        Action::ClearActions => {
            begin(out, kind::CLEAR_ACTIONS);
        }
        Action::WriteActions(set) => {
            let start = begin(out, kind::WRITE_ACTIONS);
            action::encode(out, set, &mut around)?;
            end_or_remove(out, start)?;
        }
        Action::WriteMetadata { value, mask } => {
            let start = begin(out, kind::WRITE_METADATA);
            out.u64(*value);
            out.u64(*mask);
            out.patch_len(start, start + 2)?;
        }
        Action::GotoTable(table) => {
            out.u16(kind::GOTO_TABLE);
            out.u16(8);
            out.u8(*table);
            out.zeros(3);
        }
        _ => {}
    }
    Ok(())
}

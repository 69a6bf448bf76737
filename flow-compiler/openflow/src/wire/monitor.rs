//! Flow monitors: requests, what they tell, and ending them.
//!
//! Purpose: Nicira's form (1.0 to 1.2), ONF's (1.3) and the standard one (1.4 and later), both ways.
//! Deliberately does not know: which rules there are.

use super::action::{self, Around};
use super::buf::{Put, Reader};
use super::{instruction, matches, port};
use crate::action::PortNo;
use crate::error::OfpError;
use crate::matching::Match;
use crate::message::{
    monitor_flags as flag, EncodeError, FlowChange, FlowEvent, FlowMonitorRequest, FlowRemovedReason, FlowUpdate,
    MonitorCommand, ANY_GROUP,
};
use crate::version::Version;

const BAD_LEN: OfpError = OfpError::OFPBRC_BAD_LEN;
const ALL_TABLES: u8 = 0xff;

/// What Nicira numbers otherwise than 1.4: "own".
const NX_OWN: u16 = 1 << 5;
const NX_COMMON: u16 = flag::INITIAL | flag::ADD | flag::REMOVED | flag::MODIFY | flag::INSTRUCTIONS;
const WHEN: u16 = flag::ADD | flag::REMOVED | flag::MODIFY;

fn flags_from_nicira(bits: u16) -> Result<u16, OfpError> {
    if bits & WHEN == 0 || bits & !(NX_COMMON | NX_OWN) != 0 {
        return Err(OfpError::OFPMOFC_BAD_FLAGS);
    }
    Ok(bits & NX_COMMON | if bits & NX_OWN != 0 { flag::ONLY_OWN } else { 0 })
}

fn flags_to_nicira(bits: u16) -> u16 {
    bits & NX_COMMON | if bits & flag::ONLY_OWN != 0 { NX_OWN } else { 0 }
}

/// Reads one request of a list.
pub(super) fn decode_request(version: Version, r: &mut Reader<'_>) -> Result<FlowMonitorRequest, OfpError> {
    let mut fixed = Reader::new(r.take(16)?, BAD_LEN);
    match version {
        Version::V10 | Version::V11 | Version::V12 => decode_nicira(&mut fixed, r),
        Version::V13 => decode_onf(version, &mut fixed, r),
        _ => decode14(version, &mut fixed, r),
    }
}

fn added(id: u32, flags: u16, out_port: PortNo, table: u8) -> FlowMonitorRequest {
    FlowMonitorRequest {
        id,
        command: MonitorCommand::Add,
        flags,
        out_port,
        out_group: ANY_GROUP,
        table: Some(table).filter(|t| *t != ALL_TABLES),
        matching: Match::ANY,
    }
}

fn decode_nicira(fixed: &mut Reader<'_>, r: &mut Reader<'_>) -> Result<FlowMonitorRequest, OfpError> {
    let id = fixed.u32()?;
    let flags = flags_from_nicira(fixed.u16()?)?;
    let (out_port, len, table) = (PortNo::from_u16(fixed.u16()?), fixed.u16()?, fixed.u8()?);
    fixed.zeros(5, OfpError::NXBRC_MUST_BE_ZERO)?;
    let matching = matches::decode_nxm(r, len, false)?.0;
    Ok(FlowMonitorRequest { matching, ..added(id, flags, out_port, table) })
}

fn decode_onf(version: Version, fixed: &mut Reader<'_>, r: &mut Reader<'_>) -> Result<FlowMonitorRequest, OfpError> {
    let id = fixed.u32()?;
    let flags = flags_from_nicira(fixed.u16()?)?;
    fixed.skip(2)?;
    let mut rest = *fixed;
    rest.skip(5)?;
    rest.zeros(3, OfpError::NXBRC_MUST_BE_ZERO)?;
    let out_port = port::number(version, fixed)?;
    let table = fixed.u8()?;
    let matching = matches::decode11(r)?;
    Ok(FlowMonitorRequest { matching, ..added(id, flags, out_port, table) })
}

fn decode14(version: Version, fixed: &mut Reader<'_>, r: &mut Reader<'_>) -> Result<FlowMonitorRequest, OfpError> {
    let id = fixed.u32()?;
    let (mut out_port, out_group, flags) = (*fixed, { fixed.skip(4)?; fixed.u32()? }, fixed.u16()?);
    let (table, code) = (fixed.u8()?, fixed.u8()?);
    let command = match code {
        0 => MonitorCommand::Add,
        1 => MonitorCommand::Modify,
        2 => MonitorCommand::Delete,
        _ => return Err(OfpError::OFPMOFC_BAD_COMMAND),
    };
    if command == MonitorCommand::Delete {
        let matching = matches::decode11(r)?;
        return Ok(FlowMonitorRequest { command, matching, ..added(id, 0, PortNo::NONE, ALL_TABLES) });
    }
    if flags & WHEN == 0 || flags & !(NX_COMMON | flag::ONLY_OWN) != 0 {
        return Err(OfpError::OFPMOFC_BAD_FLAGS);
    }
    let request = added(id, flags, port::number(version, &mut out_port)?, table);
    Ok(FlowMonitorRequest { command, out_group, matching: matches::decode11(r)?, ..request })
}

/// Writes one request of a list.
pub(super) fn encode_request(out: &mut Vec<u8>, version: Version, q: &FlowMonitorRequest) -> Result<(), EncodeError> {
    let table = q.table.unwrap_or(ALL_TABLES);
    out.u32(q.id);
    match version {
        Version::V10 | Version::V11 | Version::V12 => {
            let mut fields = Vec::new();
            let len = matches::encode_nxm(&mut fields, &q.matching, 0, 0);
            out.u16(flags_to_nicira(q.flags));
            out.u16(q.out_port.0 as u16);
            out.u16(len);
            out.u8(table);
            out.zeros(5);
            out.put(&fields);
        }
        Version::V13 => {
            let mut fields = Vec::new();
            matches::encode_oxm(&mut fields, &q.matching, version);
            out.u16(flags_to_nicira(q.flags));
            out.u16(u16::try_from(fields.len()).map_err(|_| EncodeError::TooLong)?);
            out.u32(q.out_port.0);
            out.u8(table);
            out.zeros(3);
            out.put(&fields);
        }
        _ => {
            out.u32(q.out_port.0);
            out.u32(q.out_group);
            out.u16(q.flags);
            out.u8(table);
            out.u8(match q.command {
                MonitorCommand::Add => 0,
                MonitorCommand::Modify => 1,
                MonitorCommand::Delete => 2,
            });
            matches::encode_oxm(out, &q.matching, version);
        }
    }
    Ok(())
}

fn reason(code: u16) -> FlowRemovedReason {
    match code {
        0 => FlowRemovedReason::IdleTimeout,
        1 => FlowRemovedReason::HardTimeout,
        3 => FlowRemovedReason::GroupDelete,
        4 => FlowRemovedReason::MeterDelete,
        5 => FlowRemovedReason::Eviction,
        _ => FlowRemovedReason::Delete,
    }
}

fn reason_code(reason: FlowRemovedReason) -> u16 {
    match reason {
        FlowRemovedReason::IdleTimeout => 0,
        FlowRemovedReason::HardTimeout => 1,
        FlowRemovedReason::Delete => 2,
        FlowRemovedReason::GroupDelete => 3,
        FlowRemovedReason::MeterDelete => 4,
        FlowRemovedReason::Eviction => 5,
    }
}

/// Reads one part of what a monitor tells.
pub(super) fn decode_update(version: Version, list: &mut Reader<'_>) -> Result<FlowUpdate, OfpError> {
    let mut head = *list;
    let (len, event) = (head.u16()? as usize, head.u16()?);
    if len < 8 || len % 8 != 0 {
        return Err(BAD_LEN);
    }
    let mut r = list.sub(len)?;
    r.skip(4)?;
    let standard = version >= Version::V14;
    match (event, standard) {
        (3, false) | (4, true) => {
            let xid = r.u32()?;
            r.end(BAD_LEN)?;
            Ok(FlowUpdate::Abbreviated(xid))
        }
        (5, true) => Ok(FlowUpdate::Paused),
        (6, true) => Ok(FlowUpdate::Resumed),
        (0..=2, false) => decode_change_nicira(version, event, r),
        (0..=3, true) => decode_change14(version, event, r),
        _ => Err(OfpError::NXBRC_FM_BAD_EVENT),
    }
}

fn decode_change_nicira(version: Version, event: u16, mut r: Reader<'_>) -> Result<FlowUpdate, OfpError> {
    let (why, priority) = (r.u16()?, r.u16()?);
    let (idle_timeout, hard_timeout, len, table) = (r.u16()?, r.u16()?, r.u16()?, r.u8()?);
    r.skip(1)?;
    let cookie = r.u64()?;
    let event = match event {
        0 => FlowEvent::Added,
        1 => FlowEvent::Removed(reason(why)),
        _ => FlowEvent::Modified,
    };
    let (matching, actions) = if version == Version::V13 {
        (matches::decode11(&mut r)?, instruction::decode(version, r.rest())?)
    } else {
        (matches::decode_nxm(&mut r, len, false)?.0, action::decode(version, r.rest())?)
    };
    let change = FlowChange { event, table, priority, cookie, idle_timeout, hard_timeout, matching, actions };
    Ok(FlowUpdate::Change(Box::new(change)))
}

fn decode_change14(version: Version, event: u16, mut r: Reader<'_>) -> Result<FlowUpdate, OfpError> {
    let (table, why) = (r.u8()?, r.u8()?);
    let (idle_timeout, hard_timeout, priority) = (r.u16()?, r.u16()?, r.u16()?);
    r.skip(4)?;
    let cookie = r.u64()?;
    let event = match event {
        0 => FlowEvent::Initial,
        1 => FlowEvent::Added,
        2 => FlowEvent::Removed(reason(u16::from(why))),
        _ => FlowEvent::Modified,
    };
    let matching = matches::decode11(&mut r)?;
    let actions = instruction::decode(version, r.rest())?;
    let change = FlowChange { event, table, priority, cookie, idle_timeout, hard_timeout, matching, actions };
    Ok(FlowUpdate::Change(Box::new(change)))
}

/// Writes one part of what a monitor tells.
pub(super) fn encode_update(out: &mut Vec<u8>, version: Version, u: &FlowUpdate) -> Result<(), EncodeError> {
    let start = out.len();
    let standard = version >= Version::V14;
    out.u16(0);
    match u {
        FlowUpdate::Change(change) if standard => put_change14(out, version, change)?,
        FlowUpdate::Change(change) => put_change_nicira(out, version, change)?,
        FlowUpdate::Abbreviated(xid) => {
            out.u16(if standard { 4 } else { 3 });
            out.u32(*xid);
        }
        FlowUpdate::Paused | FlowUpdate::Resumed if !standard => {
            return Err(EncodeError::NotInVersion("pause in a list of flow updates"));
        }
        FlowUpdate::Paused => {
            out.u16(5);
            out.zeros(4);
        }
        FlowUpdate::Resumed => {
            out.u16(6);
            out.zeros(4);
        }
    }
    out.patch_len(start, start)
}

fn put_change_nicira(out: &mut Vec<u8>, version: Version, c: &FlowChange) -> Result<(), EncodeError> {
    let (event, why) = match c.event {
        FlowEvent::Initial | FlowEvent::Added => (0, 0),
        FlowEvent::Removed(reason) => (1, reason_code(reason)),
        FlowEvent::Modified => (2, 0),
    };
    let mut fields = Vec::new();
    let len = match version {
        Version::V13 => {
            matches::encode_oxm(&mut fields, &c.matching, version);
            u16::try_from(fields.len()).map_err(|_| EncodeError::TooLong)?
        }
        _ => matches::encode_nxm(&mut fields, &c.matching, 0, 0),
    };
    for word in [event, why, c.priority, c.idle_timeout, c.hard_timeout, len] {
        out.u16(word);
    }
    out.u8(c.table);
    out.zeros(1);
    out.u64(c.cookie);
    out.put(&fields);
    let mut around = Around::new(version, &c.matching);
    match version {
        Version::V13 => instruction::encode(out, &c.actions, around),
        _ => action::encode(out, &c.actions, &mut around),
    }
}

fn put_change14(out: &mut Vec<u8>, version: Version, c: &FlowChange) -> Result<(), EncodeError> {
    let (event, why) = match c.event {
        FlowEvent::Initial => (0, 0),
        FlowEvent::Added => (1, 0),
        FlowEvent::Removed(reason) => (2, reason_code(reason)),
        FlowEvent::Modified => (3, 0),
    };
    out.u16(event);
    out.u8(c.table);
    out.u8(why as u8);
    for word in [c.idle_timeout, c.hard_timeout, c.priority] {
        out.u16(word);
    }
    out.zeros(4);
    out.u64(c.cookie);
    matches::encode_oxm(out, &c.matching, version);
    instruction::encode(out, &c.actions, Around::new(version, &c.matching))
}

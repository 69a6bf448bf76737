//! Rules as the switch reports them: flow and aggregate requests, flow replies, flow-removed.
//!
//! Purpose: their bodies, both ways, in every version and in Nicira's form.
//! Deliberately does not know: how replies are split over messages (see `stats`).

use super::action::Around;
use super::buf::{Put, Reader};
use super::kinds::Kind;
use super::{flow_mod, header, instruction, matches, oxs, port};
use crate::action::{FlowFlags, PortNo};
use crate::error::OfpError;
use crate::matching::Match;
use crate::message::{
    EncodeError, FlowRemoved, FlowRemovedReason, FlowStats, FlowStatsRequest, ANY_GROUP,
};
use crate::version::{Protocol, Version};

const ALL_TABLES: u8 = 0xff;
const UNKNOWN: u64 = u64::MAX;

fn some_table(table: u8) -> Option<u8> {
    Some(table).filter(|t| *t != ALL_TABLES)
}

/// Reads a flow or aggregate request.
pub(super) fn decode_request(
    version: Version,
    nxm: bool,
    body: &[u8],
) -> Result<FlowStatsRequest, OfpError> {
    let mut r = Reader::request(body);
    if nxm {
        let (out_port, len, table) = (r.u16()?, r.u16()?, r.u8()?);
        r.skip(3)?;
        let (matching, cookies) = matches::decode_nxm(&mut r, len, true)?;
        r.end(OfpError::OFPBRC_BAD_LEN)?;
        let (cookie, cookie_mask) = cookies.unwrap_or((0, 0));
        return Ok(FlowStatsRequest {
            matching,
            table: some_table(table),
            out_port: PortNo::from_u16(out_port),
            out_group: ANY_GROUP,
            cookie,
            cookie_mask,
            nxm,
        });
    }
    if version == Version::V10 {
        let matching = matches::decode10(&mut r)?;
        let table = some_table(r.u8()?);
        r.skip(1)?;
        let out_port = PortNo::from_u16(r.u16()?);
        return Ok(FlowStatsRequest { matching, table, out_port, ..FlowStatsRequest::default() });
    }
    let table = some_table(r.u8()?);
    r.skip(3)?;
    let out_port = port::number(version, &mut r)?;
    let out_group = r.u32()?;
    r.skip(4)?;
    let (cookie, cookie_mask) = (r.u64()?, r.u64()?);
    let matching = matches::decode11(&mut r)?;
    Ok(FlowStatsRequest { matching, table, out_port, out_group, cookie, cookie_mask, nxm })
}

/// Writes a flow or aggregate request behind its headers.
pub(super) fn encode_request(out: &mut Vec<u8>, version: Version, q: &FlowStatsRequest) {
    let table = q.table.unwrap_or(ALL_TABLES);
    if version == Version::V10 && q.nxm {
        let mut fields = Vec::new();
        let len = matches::encode_nxm(&mut fields, &q.matching, q.cookie, q.cookie_mask);
        out.u16(q.out_port.0 as u16);
        out.u16(len);
        out.u8(table);
        out.zeros(3);
        out.put(&fields);
    } else if version == Version::V10 {
        matches::encode10(out, &q.matching);
        out.u8(table);
        out.zeros(1);
        out.u16(q.out_port.0 as u16);
    } else {
        out.u8(table);
        out.zeros(3);
        out.u32(q.out_port.0);
        out.u32(q.out_group);
        out.zeros(4);
        out.u64(q.cookie & q.cookie_mask);
        out.u64(q.cookie_mask);
        matches::encode11(out, &q.matching, version);
    }
}

fn counted(n: u64) -> Option<u64> {
    Some(n).filter(|n| *n != UNKNOWN)
}

/// A rule of which nothing is known yet.
pub(super) fn blank() -> FlowStats {
    FlowStats {
        table: 0,
        priority: 0,
        cookie: 0,
        matching: Match::ANY,
        duration_sec: 0,
        duration_nsec: 0,
        idle_timeout: 0,
        hard_timeout: 0,
        idle_age: None,
        hard_age: None,
        importance: 0,
        flags: FlowFlags::default(),
        packets: None,
        bytes: None,
        actions: Vec::new(),
    }
}

/// Bytes of a flow reply that a rule takes at least.
const LEAST: usize = 48;

/// Reads the rules of a flow reply. They are large, and there are very many: each is read where it stays.
pub(super) fn decode_all(version: Version, nxm: bool, body: &[u8]) -> Result<Vec<FlowStats>, OfpError> {
    let mut list = Reader::request(body);
    let mut all = Vec::with_capacity(body.len() / LEAST);
    while !list.is_empty() {
        let before = list.len();
        all.push(blank());
        if let Some(place) = all.last_mut() {
            decode_one(version, nxm, &mut list, place)?;
        }
        if list.len() == before {
            // A rule of no length would repeat for ever.
            return Err(OfpError::OFPBRC_BAD_LEN);
        }
    }
    Ok(all)
}

fn decode_one(version: Version, nxm: bool, list: &mut Reader<'_>, fs: &mut FlowStats) -> Result<(), OfpError> {
    let mut head = *list;
    let len = head.u16()? as usize;
    let mut r = list.sub(len)?;
    r.skip(2)?;
    match (nxm, version) {
        (true, _) => nicira(&mut r, fs)?,
        (_, Version::V10) => version10(&mut r, fs)?,
        (_, Version::V15) => version15(version, &mut r, fs)?,
        _ => version11(version, &mut r, fs)?,
    }
    fs.actions = instruction::decode(version, r.rest())?;
    Ok(())
}

fn version10(r: &mut Reader<'_>, fs: &mut FlowStats) -> Result<(), OfpError> {
    fs.table = r.u8()?;
    r.skip(1)?;
    matches::read10(r, &mut fs.matching)?;
    (fs.duration_sec, fs.duration_nsec) = (r.u32()?, r.u32()?);
    (fs.priority, fs.idle_timeout, fs.hard_timeout) = (r.u16()?, r.u16()?, r.u16()?);
    r.skip(6)?;
    fs.cookie = r.u64()?;
    (fs.packets, fs.bytes) = (counted(r.u64()?), counted(r.u64()?));
    Ok(())
}

fn nicira(r: &mut Reader<'_>, fs: &mut FlowStats) -> Result<(), OfpError> {
    fs.table = r.u8()?;
    r.skip(1)?;
    (fs.duration_sec, fs.duration_nsec) = (r.u32()?, r.u32()?);
    (fs.priority, fs.idle_timeout, fs.hard_timeout) = (r.u16()?, r.u16()?, r.u16()?);
    let len = r.u16()?;
    // Ages are sent plus one, so that 0 can stand for "not told".
    (fs.idle_age, fs.hard_age) = (r.u16()?.checked_sub(1), r.u16()?.checked_sub(1));
    fs.cookie = r.u64()?;
    (fs.packets, fs.bytes) = (counted(r.u64()?), counted(r.u64()?));
    matches::read_nxm(r, len, false, &mut fs.matching)?;
    Ok(())
}

fn version11(version: Version, r: &mut Reader<'_>, fs: &mut FlowStats) -> Result<(), OfpError> {
    fs.table = r.u8()?;
    r.skip(1)?;
    (fs.duration_sec, fs.duration_nsec) = (r.u32()?, r.u32()?);
    (fs.priority, fs.idle_timeout, fs.hard_timeout) = (r.u16()?, r.u16()?, r.u16()?);
    let (flags, importance) = (r.u16()?, r.u16()?);
    r.skip(2)?;
    fs.cookie = r.u64()?;
    (fs.packets, fs.bytes) = (counted(r.u64()?), counted(r.u64()?));
    matches::read11(r, &mut fs.matching)?;
    if version >= Version::V14 {
        fs.importance = importance;
    }
    if version >= Version::V13 {
        fs.flags = flow_mod::flags(version, flags)?;
    }
    Ok(())
}

fn version15(version: Version, r: &mut Reader<'_>, fs: &mut FlowStats) -> Result<(), OfpError> {
    r.skip(2)?;
    fs.table = r.u8()?;
    r.skip(1)?;
    (fs.priority, fs.idle_timeout, fs.hard_timeout) = (r.u16()?, r.u16()?, r.u16()?);
    let flags = r.u16()?;
    fs.importance = r.u16()?;
    fs.cookie = r.u64()?;
    matches::read11(r, &mut fs.matching)?;
    fs.flags = flow_mod::flags(version, flags)?;
    let stats = oxs::decode(r)?;
    (fs.duration_sec, fs.duration_nsec) = stats.duration;
    fs.idle_age = stats.idle_time.map(|t| t.min(0xffff) as u16);
    (fs.packets, fs.bytes) = (stats.packets, stats.bytes);
    Ok(())
}

/// Writes one rule of a flow reply.
pub(super) fn encode_one(
    out: &mut Vec<u8>,
    version: Version,
    nxm: bool,
    fs: &FlowStats,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(0);
    match (nxm, version) {
        (true, _) => put_nicira(out, fs),
        (_, Version::V10) => put10(out, fs),
        (_, Version::V15) => put15(out, version, fs),
        _ => put11(out, version, fs),
    }
    instruction::encode(out, &fs.actions, Around::new(version, &fs.matching))?;
    out.patch_len(start, start)
}

fn put_times(out: &mut Vec<u8>, fs: &FlowStats) {
    out.u16(fs.priority);
    out.u16(fs.idle_timeout);
    out.u16(fs.hard_timeout);
}

fn put10(out: &mut Vec<u8>, fs: &FlowStats) {
    out.u8(fs.table);
    out.zeros(1);
    matches::encode10(out, &fs.matching);
    out.u32(fs.duration_sec);
    out.u32(fs.duration_nsec);
    put_times(out, fs);
    out.zeros(6);
    out.u64(fs.cookie);
    out.u64(fs.packets.unwrap_or(0));
    out.u64(fs.bytes.unwrap_or(0));
}

fn put_nicira(out: &mut Vec<u8>, fs: &FlowStats) {
    let mut fields = Vec::new();
    let len = matches::encode_nxm(&mut fields, &fs.matching, 0, 0);
    let age = |age: Option<u16>| age.map_or(0, |a| a.saturating_add(1));
    out.u8(fs.table);
    out.zeros(1);
    out.u32(fs.duration_sec);
    out.u32(fs.duration_nsec);
    put_times(out, fs);
    out.u16(len);
    out.u16(age(fs.idle_age));
    out.u16(age(fs.hard_age));
    out.u64(fs.cookie);
    out.u64(fs.packets.unwrap_or(UNKNOWN));
    out.u64(fs.bytes.unwrap_or(UNKNOWN));
    out.put(&fields);
}

fn put11(out: &mut Vec<u8>, version: Version, fs: &FlowStats) {
    out.u8(fs.table);
    out.zeros(1);
    out.u32(fs.duration_sec);
    out.u32(fs.duration_nsec);
    put_times(out, fs);
    out.u16(if version >= Version::V13 { flow_mod::flag_bits(version, fs.flags) } else { 0 });
    out.u16(if version >= Version::V14 { fs.importance } else { 0 });
    out.zeros(2);
    out.u64(fs.cookie);
    out.u64(fs.packets.unwrap_or(0));
    out.u64(fs.bytes.unwrap_or(0));
    matches::encode_oxm(out, &fs.matching, version);
}

fn put15(out: &mut Vec<u8>, version: Version, fs: &FlowStats) {
    out.zeros(2);
    out.u8(fs.table);
    out.zeros(1);
    put_times(out, fs);
    out.u16(flow_mod::flag_bits(version, fs.flags));
    out.u16(fs.importance);
    out.u64(fs.cookie);
    matches::encode_oxm(out, &fs.matching, version);
    oxs::encode(
        out,
        &oxs::Stats {
            duration: (fs.duration_sec, fs.duration_nsec),
            idle_time: fs.idle_age.map(u32::from),
            flows: None,
            packets: fs.packets,
            bytes: fs.bytes,
        },
    );
}

fn reason(code: u8) -> Result<FlowRemovedReason, OfpError> {
    Ok(match code {
        0 => FlowRemovedReason::IdleTimeout,
        1 => FlowRemovedReason::HardTimeout,
        2 => FlowRemovedReason::Delete,
        3 => FlowRemovedReason::GroupDelete,
        4 => FlowRemovedReason::MeterDelete,
        5 => FlowRemovedReason::Eviction,
        _ => return Err(OfpError::NXBRC_BAD_REASON),
    })
}

/// The code of a reason, as near as the version can say it.
fn reason_code(version: Version, r: FlowRemovedReason) -> u8 {
    match r {
        FlowRemovedReason::IdleTimeout => 0,
        FlowRemovedReason::HardTimeout => 1,
        FlowRemovedReason::Delete => 2,
        FlowRemovedReason::GroupDelete => 3,
        FlowRemovedReason::MeterDelete if version >= Version::V14 => 4,
        FlowRemovedReason::Eviction if version >= Version::V14 => 5,
        _ => 2,
    }
}

/// Reads a flow-removed of any spelling.
pub(super) fn decode_removed(
    version: Version,
    kind: Kind,
    body: &[u8],
) -> Result<FlowRemoved, OfpError> {
    let mut r = Reader::request(body);
    if version == Version::V15 && kind == Kind::FlowRemoved {
        return removed15(&mut r);
    }
    let old = kind == Kind::FlowRemoved && version == Version::V10;
    let nicira = kind == Kind::NxtFlowRemoved;
    let mut matching = if old { matches::decode10(&mut r)? } else { Match::ANY };
    let (cookie, priority, reason) = (r.u64()?, r.u16()?, reason(r.u8()?)?);
    let table = r.u8()?;
    let (duration_sec, duration_nsec, idle_timeout) = (r.u32()?, r.u32()?, r.u16()?);
    // One field, three meanings: padding, length of the match, hard timeout.
    let word = r.u16()?;
    let (packets, bytes) = (counted(r.u64()?), counted(r.u64()?));
    if nicira {
        matching = matches::decode_nxm(&mut r, word, false)?.0;
        r.end(OfpError::OFPBRC_BAD_LEN)?;
    } else if !old {
        matching = matches::decode11(&mut r)?;
    }
    Ok(FlowRemoved {
        matching,
        cookie,
        priority,
        reason,
        table: match (old, nicira) {
            (true, _) => None,
            (_, true) => table.checked_sub(1),
            _ => Some(table),
        },
        duration_sec,
        duration_nsec,
        idle_timeout,
        hard_timeout: if version >= Version::V12 && !nicira { word } else { 0 },
        packets,
        bytes,
    })
}

fn removed15(r: &mut Reader<'_>) -> Result<FlowRemoved, OfpError> {
    let (table, reason, priority) = (r.u8()?, reason(r.u8()?)?, r.u16()?);
    let (idle_timeout, hard_timeout, cookie) = (r.u16()?, r.u16()?, r.u64()?);
    let matching = matches::decode11(r)?;
    let stats = oxs::decode(r)?;
    Ok(FlowRemoved {
        matching,
        cookie,
        priority,
        reason,
        table: Some(table),
        duration_sec: stats.duration.0,
        duration_nsec: stats.duration.1,
        idle_timeout,
        hard_timeout,
        packets: stats.packets,
        bytes: stats.bytes,
    })
}

/// Writes a flow-removed in the spelling that the protocol calls for.
pub(super) fn encode_removed(
    p: Protocol,
    xid: u32,
    f: &FlowRemoved,
) -> Result<Vec<u8>, EncodeError> {
    let version = p.version;
    let nicira = version == Version::V10 && p.nxm;
    let kind = if nicira { Kind::NxtFlowRemoved } else { Kind::FlowRemoved };
    let mut out = header::write(version, kind, xid, false, "flow-removed")?;
    if version == Version::V15 {
        put_removed15(&mut out, version, f);
        return header::finish(out);
    }
    let old = version == Version::V10 && !nicira;
    if old {
        matches::encode10(&mut out, &f.matching);
    }
    let mut fields = Vec::new();
    let len = if nicira { matches::encode_nxm(&mut fields, &f.matching, 0, 0) } else { 0 };
    out.u64(f.cookie);
    out.u16(f.priority);
    out.u8(reason_code(version, f.reason));
    out.u8(match (old, nicira) {
        (true, _) => 0,
        (_, true) => f.table.map_or(0, |t| t.saturating_add(1)),
        _ => f.table.unwrap_or(0),
    });
    out.u32(f.duration_sec);
    out.u32(f.duration_nsec);
    out.u16(f.idle_timeout);
    out.u16(if nicira {
        len
    } else if version >= Version::V12 {
        f.hard_timeout
    } else {
        0
    });
    let unknown = if nicira { UNKNOWN } else { 0 };
    out.u64(f.packets.unwrap_or(unknown));
    out.u64(f.bytes.unwrap_or(unknown));
    out.put(&fields);
    if version != Version::V10 {
        matches::encode11(&mut out, &f.matching, version);
    }
    header::finish(out)
}

fn put_removed15(out: &mut Vec<u8>, version: Version, f: &FlowRemoved) {
    out.u8(f.table.unwrap_or(0));
    out.u8(reason_code(version, f.reason));
    out.u16(f.priority);
    out.u16(f.idle_timeout);
    out.u16(f.hard_timeout);
    out.u64(f.cookie);
    matches::encode_oxm(out, &f.matching, version);
    let duration = (f.duration_sec, f.duration_nsec);
    let stats = oxs::Stats { duration, idle_time: None, flows: None, packets: f.packets, bytes: f.bytes };
    oxs::encode(out, &stats);
}

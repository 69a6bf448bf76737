//! Packet-in and packet-out.
//!
//! Purpose: every spelling of both, both ways. Deliberately does not know: what is in the packet.

use super::action::{self, Around, Outer};
use super::buf::{Put, Reader};
use super::kinds::Kind;
use super::oxm::Ids;
use super::{header, matches, nxm, port, prop};
use crate::action::{Action, PortNo};
use crate::error::OfpError;
use crate::matching::Match;
use crate::message::{EncodeError, PacketIn, PacketInFormat, PacketOut, NO_BUFFER};
use crate::version::Version;
use sluice_flow::key::slot;

/// Bytes between the match of a packet-in and its packet.
const PAD: usize = 2;

fn at_port(port: PortNo) -> Match {
    let mut m = Match::ANY;
    m.set_exact(slot::IN_PORT, port.0 as u128);
    m
}

fn empty(format: PacketInFormat) -> PacketIn {
    PacketIn {
        format,
        packet: Vec::new(),
        total_len: 0,
        buffer_id: NO_BUFFER,
        reason: 0,
        table: None,
        cookie: None,
        metadata: Match::ANY,
        userdata: Vec::new(),
        continuation: Vec::new(),
    }
}

/// Reads a packet-in of any spelling.
pub(super) fn decode_in(version: Version, kind: Kind, body: &[u8]) -> Result<PacketIn, OfpError> {
    let mut r = Reader::request(body);
    match kind {
        Kind::NxtPacketIn => decode_nicira(&mut r),
        Kind::NxtPacketIn2 => decode_nicira2(&mut r),
        _ => decode_standard(version, &mut r),
    }
}

fn decode_standard(version: Version, r: &mut Reader<'_>) -> Result<PacketIn, OfpError> {
    let mut p = empty(PacketInFormat::Standard);
    p.buffer_id = r.u32()?;
    match version {
        Version::V10 => {
            p.total_len = r.u16()? as u32;
            p.metadata = at_port(PortNo::from_u16(r.u16()?));
            p.reason = r.u8()?;
            r.skip(1)?;
        }
        Version::V11 => {
            p.metadata = at_port(port::number(version, r)?);
            r.skip(4)?;
            p.total_len = r.u16()? as u32;
            p.reason = r.u8()?;
            p.table = Some(r.u8()?);
        }
        _ => {
            p.total_len = r.u16()? as u32;
            p.reason = r.u8()?;
            p.table = Some(r.u8()?);
            if version >= Version::V13 {
                p.cookie = Some(r.u64()?);
            }
            p.metadata = decode_metadata(r)?;
            r.skip(PAD)?;
        }
    }
    p.packet = r.rest().to_vec();
    Ok(p)
}

/// A match whose unknown fields are passed over.
fn decode_metadata(r: &mut Reader<'_>) -> Result<Match, OfpError> {
    const BAD_LEN: OfpError = OfpError::OFPBMC_BAD_LEN;
    let (kind, len) = (r.u16()?, r.u16()? as usize);
    let body = len.checked_sub(4).filter(|body| *body <= r.len()).ok_or(BAD_LEN)?;
    if kind != 1 {
        return Err(OfpError::OFPBMC_BAD_TYPE);
    }
    let fields = r.take(body)?;
    r.skip(len.next_multiple_of(8) - len)?;
    Ok(nxm::decode(fields, false, false)?.0)
}

fn decode_nicira(r: &mut Reader<'_>) -> Result<PacketIn, OfpError> {
    let mut p = empty(PacketInFormat::Nicira);
    p.buffer_id = r.u32()?;
    p.total_len = r.u16()? as u32;
    p.reason = r.u8()?;
    p.table = Some(r.u8()?);
    p.cookie = Some(r.u64()?);
    let len = r.u16()? as usize;
    r.skip(6)?;
    p.metadata = nxm::decode(r.take(len)?, false, false)?.0;
    r.skip(len.next_multiple_of(8) - len + PAD)?;
    p.packet = r.rest().to_vec();
    Ok(p)
}

/// Property types of `NXT_PACKET_IN2`.
mod part {
    pub const PACKET: u16 = 0;
    pub const FULL_LEN: u16 = 1;
    pub const BUFFER_ID: u16 = 2;
    pub const TABLE_ID: u16 = 3;
    pub const COOKIE: u16 = 4;
    pub const REASON: u16 = 5;
    pub const METADATA: u16 = 6;
    pub const USERDATA: u16 = 7;
    pub const CONTINUATION: u16 = 8;
}

fn decode_nicira2(r: &mut Reader<'_>) -> Result<PacketIn, OfpError> {
    let mut p = empty(PacketInFormat::Nicira2);
    while !r.is_empty() {
        let (kind, mut v) = prop::pull(r)?;
        match kind {
            part::PACKET => p.packet = v.rest().to_vec(),
            part::FULL_LEN => p.total_len = v.u32()?,
            part::BUFFER_ID => p.buffer_id = v.u32()?,
            part::TABLE_ID => p.table = Some(v.u8()?),
            part::COOKIE => {
                v.skip(4)?;
                p.cookie = Some(v.u64()?);
            }
            part::REASON => p.reason = v.u8()?,
            part::METADATA => p.metadata = nxm::decode(v.rest(), false, false)?.0,
            part::USERDATA => p.userdata = v.rest().to_vec(),
            part::CONTINUATION => {
                v.skip(4)?;
                p.continuation = v.rest().to_vec();
            }
            _ => return Err(OfpError::OFPBPC_BAD_TYPE),
        }
    }
    if p.total_len == 0 {
        p.total_len = p.packet.len() as u32;
    }
    Ok(p)
}

/// Writes a packet-in in its format; a packet too long for a message is cut.
pub(super) fn encode_in(version: Version, xid: u32, p: &PacketIn) -> Result<Vec<u8>, EncodeError> {
    const MOST: usize = 0xffff - 1024;
    let packet = p.packet.get(..p.packet.len().min(MOST)).unwrap_or_default();
    let kind = match p.format {
        PacketInFormat::Standard => Kind::PacketIn,
        PacketInFormat::Nicira => Kind::NxtPacketIn,
        PacketInFormat::Nicira2 => Kind::NxtPacketIn2,
    };
    if matches!(p.format, PacketInFormat::Nicira2) {
        return encode_nicira2(version, kind, xid, p, packet);
    }
    let mut out = header::write(version, kind, xid, false, "packet-in")?;
    match p.format {
        PacketInFormat::Standard => put_standard(&mut out, version, p),
        _ => put_nicira(&mut out, p),
    }
    out.put(packet);
    header::finish(out)
}

/// Writes a request to go on with a paused packet.
pub(super) fn encode_resume(version: Version, xid: u32, p: &PacketIn) -> Result<Vec<u8>, EncodeError> {
    encode_nicira2(version, Kind::Resume, xid, p, &p.packet)
}

fn encode_nicira2(version: Version, kind: Kind, xid: u32, p: &PacketIn, packet: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut out = header::write(version, kind, xid, false, "packet-in")?;
    put_nicira2(&mut out, version, p, packet)?;
    header::finish(out)
}

fn in_port(m: &Match) -> PortNo {
    PortNo(m.value.get(slot::IN_PORT) as u32)
}

/// Reasons as old versions know them: what they do not know counts as an action or a miss.
fn reason_in(version: Version, reason: u8) -> u8 {
    match reason {
        3..=5 if version < Version::V14 => 1,
        6 | 7 => 0,
        r => r,
    }
}

fn put_standard(out: &mut Vec<u8>, version: Version, p: &PacketIn) {
    let total_len = p.total_len.min(0xffff) as u16;
    let reason = reason_in(version, p.reason);
    out.u32(p.buffer_id);
    match version {
        Version::V10 => {
            out.u16(total_len);
            out.u16(in_port(&p.metadata).0 as u16);
            out.u8(reason);
            out.zeros(1);
        }
        Version::V11 => {
            out.u32(in_port(&p.metadata).0);
            out.u32(in_port(&p.metadata).0);
            out.u16(total_len);
            out.u8(reason);
            out.u8(p.table.unwrap_or(0));
        }
        _ => {
            out.u16(total_len);
            out.u8(reason);
            out.u8(p.table.unwrap_or(0));
            if version >= Version::V13 {
                out.u64(p.cookie.unwrap_or(u64::MAX));
            }
            matches::encode11(out, &p.metadata, version);
            out.zeros(PAD);
        }
    }
}

fn put_nicira(out: &mut Vec<u8>, p: &PacketIn) {
    let mut fields = Vec::new();
    let len = matches::encode_nxm(&mut fields, &p.metadata, 0, 0);
    out.u32(p.buffer_id);
    out.u16(p.total_len.min(0xffff) as u16);
    out.u8(reason_in(Version::V10, p.reason));
    out.u8(p.table.unwrap_or(0));
    out.u64(p.cookie.unwrap_or(u64::MAX));
    out.u16(len);
    out.zeros(6);
    out.put(&fields);
    out.zeros(PAD);
}

fn put_nicira2(
    out: &mut Vec<u8>,
    version: Version,
    p: &PacketIn,
    packet: &[u8],
) -> Result<(), EncodeError> {
    prop::put(out, part::PACKET, |o| o.put(packet))?;
    if p.total_len as usize != packet.len() {
        prop::put(out, part::FULL_LEN, |o| o.u32(p.total_len))?;
    }
    if p.buffer_id != NO_BUFFER {
        prop::put(out, part::BUFFER_ID, |o| o.u32(p.buffer_id))?;
    }
    if let Some(table) = p.table {
        prop::put(out, part::TABLE_ID, |o| o.u8(table))?;
    }
    if let Some(cookie) = p.cookie {
        prop::put(out, part::COOKIE, |o| {
            o.zeros(4);
            o.u64(cookie);
        })?;
    }
    prop::put(out, part::REASON, |o| o.u8(reason_in(version, p.reason)))?;
    let ids = Ids::Oxm(version);
    prop::put(out, part::METADATA, |o| nxm::encode(o, &p.metadata, ids, 0, 0))?;
    if !p.continuation.is_empty() {
        prop::put(out, part::CONTINUATION, |o| {
            o.zeros(4);
            o.put(&p.continuation);
        })?;
    }
    if !p.userdata.is_empty() {
        prop::put(out, part::USERDATA, |o| o.put(&p.userdata))?;
    }
    Ok(())
}

/// Reads a packet-out.
pub(super) fn decode_out(version: Version, body: &[u8]) -> Result<PacketOut, OfpError> {
    let mut r = Reader::request(body);
    let buffer_id = r.u32()?;
    let (metadata, len) = match version {
        Version::V10 => (at_port(PortNo::from_u16(r.u16()?)), r.u16()?),
        Version::V15 => {
            let len = r.u16()?;
            r.skip(2)?;
            (decode_metadata(&mut r)?, len)
        }
        _ => {
            let m = at_port(port::number(version, &mut r)?);
            let len = r.u16()?;
            r.skip(6)?;
            (m, len)
        }
    };
    let port = in_port(&metadata);
    let special = [PortNo::LOCAL, PortNo::NONE, PortNo::CONTROLLER];
    let told = metadata.mask.get(slot::IN_PORT) != 0;
    if !told || (port.0 >= 0xff00 && !special.contains(&port)) {
        return Err(OfpError::OFPBRC_BAD_PORT);
    }
    if len % 8 != 0 {
        return Err(OfpError::OFPBRC_BAD_LEN);
    }
    let actions = action::decode(version, r.take(len as usize)?)?;
    action::verify(&actions, version, Outer::Actions)?;
    let packet = if buffer_id == NO_BUFFER { r.rest().to_vec() } else { Vec::new() };
    Ok(PacketOut { packet, buffer_id, metadata, actions })
}

/// Writes a packet-out.
pub(super) fn encode_out(
    version: Version,
    xid: u32,
    p: &PacketOut,
) -> Result<Vec<u8>, EncodeError> {
    let mut out = header::write(version, Kind::PacketOut, xid, false, "packet-out")?;
    let mut actions = Vec::new();
    put_actions(&mut actions, version, &p.actions)?;
    let len = u16::try_from(actions.len()).map_err(|_| EncodeError::TooLong)?;
    out.u32(p.buffer_id);
    if version == Version::V15 {
        out.u16(len);
        out.zeros(2);
        matches::encode11(&mut out, &p.metadata, version);
    } else {
        port::put_number(&mut out, version, in_port(&p.metadata));
        out.u16(len);
        if version != Version::V10 {
            out.zeros(6);
        }
    }
    out.put(&actions);
    if p.buffer_id == NO_BUFFER {
        out.put(&p.packet);
    }
    header::finish(out)
}

fn put_actions(out: &mut Vec<u8>, version: Version, list: &[Action]) -> Result<(), EncodeError> {
    action::encode(out, list, &mut Around::nothing(version))
}

//! Role status, table status, requests passed on, and the flushing of connections.
//!
//! Purpose: their bodies, both ways. Deliberately does not know: who is told.

use super::buf::{Put, Reader};
use super::kinds::Kind;
use super::{header, prop, table};
use crate::error::OfpError;
use crate::message::{CtFlush, CtTuple, EncodeError, RequestForward, Role, RoleReason, RoleStatus, TableStatus};
use crate::version::Version;

const VACANCY_DOWN: u8 = 3;
const VACANCY_UP: u8 = 4;

pub(super) fn decode_role(body: &[u8]) -> Result<RoleStatus, OfpError> {
    let mut r = Reader::request(body);
    let role = match r.u32()? {
        0 => Role::NoChange,
        1 => Role::Equal,
        2 => Role::Primary,
        3 => Role::Secondary,
        _ => return Err(OfpError::OFPRRFC_BAD_ROLE),
    };
    let reason = match r.u8()? {
        0 => RoleReason::PrimaryRequest,
        1 => RoleReason::Configuration,
        2 => RoleReason::Experimenter,
        n => RoleReason::Other(n),
    };
    r.skip(3)?;
    Ok(RoleStatus { role, reason, generation_id: r.u64()? })
}

pub(super) fn encode_role(out: &mut Vec<u8>, s: &RoleStatus) {
    out.u32(match s.role {
        Role::NoChange => 0,
        Role::Equal => 1,
        Role::Primary => 2,
        Role::Secondary => 3,
    });
    out.u8(match s.reason {
        RoleReason::PrimaryRequest => 0,
        RoleReason::Configuration => 1,
        RoleReason::Experimenter => 2,
        RoleReason::Other(n) => n,
    });
    out.zeros(3);
    out.u64(s.generation_id);
}

pub(super) fn decode_table(body: &[u8]) -> Result<TableStatus, OfpError> {
    let mut r = Reader::request(body);
    let vacancy_down = match r.u8()? {
        VACANCY_DOWN => true,
        VACANCY_UP => false,
        _ => return Err(OfpError::OFPBPC_BAD_VALUE),
    };
    r.skip(7)?;
    Ok(TableStatus { vacancy_down, desc: table::decode_desc(&mut r)? })
}

pub(super) fn encode_table(out: &mut Vec<u8>, s: &TableStatus) -> Result<(), EncodeError> {
    out.u8(if s.vacancy_down { VACANCY_DOWN } else { VACANCY_UP });
    out.zeros(7);
    table::encode_desc(out, &s.desc)
}

/// Reads a request that is passed on; it must be a change of groups or meters.
pub(super) fn decode_forward(version: Version, body: &[u8]) -> Result<RequestForward, OfpError> {
    let mut r = Reader::new(body, OfpError::OFPBFC_MSG_BAD_LEN);
    let inner_version = r.u8()?;
    r.skip(1)?;
    let len = usize::from(r.u16()?);
    let request = body.get(..len).filter(|m| m.len() >= 8).ok_or(OfpError::OFPBFC_MSG_BAD_LEN)?;
    if inner_version != version.wire() {
        return Err(OfpError::OFPBRC_BAD_VERSION);
    }
    match header::read(version, request).map(|a| a.spelling.kind) {
        Ok(Kind::GroupMod | Kind::MeterMod) => Ok(RequestForward { request: request.to_vec() }),
        Ok(_) => Err(OfpError::OFPBFC_MSG_UNSUP),
        Err(e) => Err(e),
    }
}

/// Property types of `NXT_CT_FLUSH`.
mod part {
    pub const ORIGINAL: u16 = 0;
    pub const REPLY: u16 = 1;
    pub const ZONE: u16 = 2;
    pub const SRC: u16 = 0;
    pub const DST: u16 = 1;
    pub const SRC_PORT: u16 = 2;
    pub const DST_PORT: u16 = 3;
    pub const ICMP_ID: u16 = 4;
    pub const ICMP_TYPE: u16 = 5;
    pub const ICMP_CODE: u16 = 6;
}

const BAD_LEN: OfpError = OfpError::OFPBPC_BAD_LEN;

pub(super) fn decode_ct_flush(body: &[u8]) -> Result<CtFlush, OfpError> {
    let mut r = Reader::request(body);
    let mut flush = CtFlush { protocol: r.u8()?, ..CtFlush::default() };
    r.zeros(7, OfpError::NXBRC_MUST_BE_ZERO)?;
    let mut family = None;
    while !r.is_empty() {
        let (kind, mut v) = prop::pull(&mut r)?;
        match kind {
            part::ORIGINAL => flush.original = tuple(v, &mut family)?,
            part::REPLY => flush.reply = tuple(v, &mut family)?,
            part::ZONE => {
                flush.zone = Some(v.u16()?);
                v.end(BAD_LEN)?;
            }
            _ => return Err(OfpError::OFPBPC_BAD_TYPE),
        }
    }
    Ok(flush)
}

fn tuple(mut nested: Reader<'_>, family: &mut Option<bool>) -> Result<CtTuple, OfpError> {
    // The inner properties begin at a multiple of eight.
    nested.skip(4)?;
    let mut t = CtTuple::default();
    while !nested.is_empty() {
        let (kind, mut v) = prop::pull(&mut nested)?;
        match kind {
            part::SRC => t.src = address(&mut v, family)?,
            part::DST => t.dst = address(&mut v, family)?,
            part::SRC_PORT => t.src_port = v.u16()?,
            part::DST_PORT => t.dst_port = v.u16()?,
            part::ICMP_ID => t.icmp_id = v.u16()?,
            part::ICMP_TYPE => t.icmp_type = v.u8()?,
            part::ICMP_CODE => t.icmp_code = v.u8()?,
            _ => return Err(OfpError::OFPBPC_BAD_TYPE),
        }
        v.end(BAD_LEN)?;
    }
    Ok(t)
}

/// All addresses must be of one family.
fn address(v: &mut Reader<'_>, family: &mut Option<bool>) -> Result<std::net::Ipv6Addr, OfpError> {
    let address = std::net::Ipv6Addr::from(v.array::<16>()?);
    if address.is_unspecified() {
        return Ok(address);
    }
    let mapped = address.to_ipv4_mapped().is_some();
    match family.replace(mapped) {
        Some(other) if other != mapped => Err(OfpError::OFPBPC_BAD_VALUE),
        _ => Ok(address),
    }
}

pub(super) fn encode_ct_flush(out: &mut Vec<u8>, f: &CtFlush) -> Result<(), EncodeError> {
    out.u8(f.protocol);
    out.zeros(7);
    for (kind, t) in [(part::ORIGINAL, &f.original), (part::REPLY, &f.reply)] {
        let mut nested = Vec::new();
        put_tuple(&mut nested, t, f.protocol)?;
        if !nested.is_empty() {
            prop::put(out, kind, |o| {
                o.zeros(4);
                o.put(&nested);
            })?;
        }
    }
    match f.zone {
        Some(zone) => prop::put(out, part::ZONE, |o| o.u16(zone)),
        None => Ok(()),
    }
}

fn put_tuple(out: &mut Vec<u8>, t: &CtTuple, protocol: u8) -> Result<(), EncodeError> {
    const ICMP: [u8; 2] = [1, 58];
    for (kind, address) in [(part::SRC, t.src), (part::DST, t.dst)] {
        if !address.is_unspecified() {
            prop::put(out, kind, |o| o.put(&address.octets()))?;
        }
    }
    if ICMP.contains(&protocol) {
        prop::put(out, part::ICMP_ID, |o| o.u16(t.icmp_id))?;
        prop::put(out, part::ICMP_TYPE, |o| o.u8(t.icmp_type))?;
        return prop::put(out, part::ICMP_CODE, |o| o.u8(t.icmp_code));
    }
    for (kind, port) in [(part::SRC_PORT, t.src_port), (part::DST_PORT, t.dst_port)] {
        if port != 0 {
            prop::put(out, kind, |o| o.u16(port))?;
        }
    }
    Ok(())
}

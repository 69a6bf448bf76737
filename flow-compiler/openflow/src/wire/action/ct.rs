//! `ct(...)` and `nat(...)`.
//!
//! Purpose: both, both ways. Deliberately does not know: what tracking does.

use super::super::buf::{Put, Reader};
use super::verify::{verify, Outer};
use super::{begin_nicira, decode_nested, encode as encode_list, end, subfield, Around, BAD_ARGUMENT};
use crate::action::{Action, Ct, CtZone, Nat};
use crate::error::OfpError;
use crate::field::SubField;
use crate::message::EncodeError;
use crate::version::Version;
use std::net::IpAddr;

const COMMIT: u16 = 1;
const FORCE: u16 = 2;
const NO_TABLE: u8 = 0xff;

/// Reads `ct`: all behind the subtype.
pub(super) fn decode(
    version: Version,
    mut r: Reader<'_>,
    depth: usize,
) -> Result<Action, OfpError> {
    let (flags, zone_src, zone) = (r.u16()?, r.u32()?, r.u16()?);
    let table = Some(r.u8()?).filter(|t| *t != NO_TABLE);
    r.skip(3)?;
    let alg = r.u16()?;
    let (commit, force) = (flags & COMMIT != 0, flags & FORCE != 0);
    if force && !commit {
        return Err(BAD_ARGUMENT);
    }
    let zone = decode_zone(zone_src, zone)?;
    let actions = decode_nested(version, r.rest(), depth + 1)?;
    verify(&actions, version, Outer::Ct)?;
    let plain_nat = |a: &Action| matches!(a, Action::Nat(n) if **n == Nat::default());
    if !commit && !actions.iter().all(plain_nat) {
        return Err(BAD_ARGUMENT);
    }
    Ok(Action::Ct(Box::new(Ct { commit, force, zone, table, alg, actions })))
}

fn decode_zone(src: u32, word: u16) -> Result<CtZone, OfpError> {
    if src == 0 {
        return Ok(CtZone::Number(word));
    }
    let (start, width) = subfield::start_and_width(word);
    let slice = SubField { field: subfield::field32(src)?, start, width };
    subfield::source(slice)?;
    if width != 16 {
        return Err(OfpError::OFPBAC_BAD_SET_LEN);
    }
    Ok(CtZone::Field(slice))
}

/// Writes `ct`.
pub(super) fn encode(out: &mut Vec<u8>, c: &Ct, around: &Around) -> Result<(), EncodeError> {
    let start = begin_nicira(out, 35);
    out.u16(if c.commit { COMMIT } else { 0 } | if c.force { FORCE } else { 0 });
    match c.zone {
        CtZone::Number(n) => {
            out.u32(0);
            out.u16(n);
        }
        CtZone::Field(s) => {
            out.u32(subfield::header32(s.field));
            out.u16(subfield::pack(s));
        }
    }
    out.u8(c.table.unwrap_or(NO_TABLE));
    out.zeros(3);
    out.u16(c.alg);
    encode_list(out, &c.actions, &mut around.clone())?;
    end(out, start)
}

/// Flags of `nat`.
mod flag {
    pub const SRC: u16 = 1;
    pub const DST: u16 = 2;
    pub const PERSISTENT: u16 = 4;
    pub const HASH: u16 = 8;
    pub const RANDOM: u16 = 16;
    pub const ALL: u16 = 31;
}

/// What follows the fixed part of `nat`, in this order.
mod part {
    pub const IPV4_MIN: u16 = 1;
    pub const IPV4_MAX: u16 = 2;
    pub const IPV6_MIN: u16 = 4;
    pub const IPV6_MAX: u16 = 8;
    pub const PORT_MIN: u16 = 16;
    pub const PORT_MAX: u16 = 32;
}

/// Reads `nat`: all behind the subtype.
pub(super) fn decode_nat(r: Reader<'_>) -> Result<Action, OfpError> {
    let mut r = Reader::new(r.rest(), BAD_ARGUMENT);
    r.skip(2)?;
    let (flags, parts) = (r.u16()?, r.u16()?);
    let has = |bit: u16| flags & bit != 0;
    if flags & !flag::ALL != 0
        || (has(flag::SRC) && has(flag::DST))
        || (has(flag::HASH) && has(flag::RANDOM))
    {
        return Err(BAD_ARGUMENT);
    }
    let addresses = nat_addresses(&mut r, parts)?;
    let ports = nat_ports(&mut r, parts)?;
    if ports.is_some() && addresses.is_none() {
        return Err(BAD_ARGUMENT);
    }
    Ok(Action::Nat(Box::new(Nat {
        src: has(flag::SRC),
        dst: has(flag::DST),
        persistent: has(flag::PERSISTENT),
        hash: has(flag::HASH),
        random: has(flag::RANDOM),
        addresses,
        ports,
    })))
}

type Addresses = Option<(IpAddr, Option<IpAddr>)>;

fn nat_addresses(r: &mut Reader<'_>, parts: u16) -> Result<Addresses, OfpError> {
    let v4 = parts & (part::IPV4_MIN | part::IPV4_MAX);
    let v6 = parts & (part::IPV6_MIN | part::IPV6_MAX);
    let ipv4 = |r: &mut Reader<'_>| r.array::<4>().map(IpAddr::from);
    let ipv6 = |r: &mut Reader<'_>| r.array::<16>().map(IpAddr::from);
    let (low, high) = match (v4, v6) {
        (0, 0) => return Ok(None),
        (part::IPV4_MIN, 0) => (ipv4(r)?, None),
        (3, 0) => (ipv4(r)?, Some(ipv4(r)?)),
        (0, part::IPV6_MIN) => (ipv6(r)?, None),
        (0, 12) => (ipv6(r)?, Some(ipv6(r)?)),
        _ => return Err(BAD_ARGUMENT),
    };
    if low.is_unspecified() || high.is_some_and(|h| h < low) {
        return Err(BAD_ARGUMENT);
    }
    Ok(Some((low, high)))
}

fn nat_ports(r: &mut Reader<'_>, parts: u16) -> Result<Option<(u16, Option<u16>)>, OfpError> {
    let (low, high) = match parts & (part::PORT_MIN | part::PORT_MAX) {
        0 => return Ok(None),
        part::PORT_MIN => (r.u16()?, None),
        part::PORT_MAX => return Err(BAD_ARGUMENT),
        _ => (r.u16()?, Some(r.u16()?)),
    };
    if low == 0 || high.is_some_and(|h| h < low) {
        return Err(BAD_ARGUMENT);
    }
    Ok(Some((low, high)))
}

/// Writes `nat`.
pub(super) fn put_nat(out: &mut Vec<u8>, n: &Nat) -> Result<(), EncodeError> {
    let set = [
        (n.src, flag::SRC),
        (n.dst, flag::DST),
        (n.persistent, flag::PERSISTENT),
        (n.hash, flag::HASH),
        (n.random, flag::RANDOM),
    ];
    let flags = set.iter().filter(|(on, _)| *on).fold(0, |all, (_, bit)| all | bit);
    let (mut parts, mut body) = (0, Vec::new());
    if let Some((low, high)) = n.addresses {
        let (min, max) = match low {
            IpAddr::V4(_) => (part::IPV4_MIN, part::IPV4_MAX),
            IpAddr::V6(_) => (part::IPV6_MIN, part::IPV6_MAX),
        };
        put_address(&mut body, low);
        parts |= min;
        if let Some(high) = high {
            put_address(&mut body, high);
            parts |= max;
        }
    }
    if let Some((low, high)) = n.ports.filter(|_| n.addresses.is_some()) {
        body.u16(low);
        parts |= part::PORT_MIN;
        if let Some(high) = high {
            body.u16(high);
            parts |= part::PORT_MAX;
        }
    }
    let start = begin_nicira(out, 36);
    out.zeros(2);
    out.u16(flags);
    out.u16(parts);
    out.put(&body);
    end(out, start)
}

fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(a) => out.put(&a.octets()),
        IpAddr::V6(a) => out.put(&a.octets()),
    }
}

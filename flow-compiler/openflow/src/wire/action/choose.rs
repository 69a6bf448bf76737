//! `multipath(...)` and `bundle(...)`.
//!
//! Purpose: both, both ways, with the checks that need no match.
//! Deliberately does not know: how a hash is made.

use super::super::buf::{Put, Reader};
use super::{begin_nicira, end, subfield, BAD_ARGUMENT, BAD_LEN};
use crate::action::{Action, Bundle, HashFields, Multipath, PortNo};
use crate::error::OfpError;
use crate::field::{Field, SubField};
use crate::message::EncodeError;

/// Most members of a bundle.
const MAX_MEMBERS: u16 = 2048;

fn hash_fields(code: u16) -> Result<HashFields, OfpError> {
    Ok(match code {
        0 => HashFields::EthSrc,
        1 => HashFields::SymmetricL4,
        2 => HashFields::SymmetricL3L4,
        3 => HashFields::SymmetricL3L4Udp,
        4 => HashFields::NwSrc,
        5 => HashFields::NwDst,
        6 => HashFields::SymmetricL3,
        _ => return Err(BAD_ARGUMENT),
    })
}

fn hash_code(fields: HashFields) -> u16 {
    match fields {
        HashFields::EthSrc => 0,
        HashFields::SymmetricL4 => 1,
        HashFields::SymmetricL3L4 => 2,
        HashFields::SymmetricL3L4Udp => 3,
        HashFields::NwSrc => 4,
        HashFields::NwDst => 5,
        HashFields::SymmetricL3 => 6,
    }
}

/// Reads `multipath`: all behind the subtype.
pub(super) fn decode_multipath(mut r: Reader<'_>) -> Result<Action, OfpError> {
    let (fields, basis) = (r.u16()?, r.u16()?);
    r.skip(2)?;
    let (algorithm, max_link, arg) = (r.u16()?, r.u16()?, r.u32()?);
    r.skip(2)?;
    let (start, width) = subfield::start_and_width(r.u16()?);
    let field = subfield::field32(r.u32()?)?;
    r.end(BAD_LEN)?;
    let fields = hash_fields(fields)?;
    let n_links = max_link as u32 + 1;
    if algorithm > 3 || u32::from(width) < n_links.next_power_of_two().ilog2() {
        return Err(BAD_ARGUMENT);
    }
    let dst = subfield::destination(SubField { field, start, width })?;
    Ok(Action::Multipath(Box::new(Multipath { fields, basis, algorithm, n_links, arg, dst })))
}

/// Writes `multipath`.
pub(super) fn put_multipath(out: &mut Vec<u8>, m: &Multipath) -> Result<(), EncodeError> {
    let start = begin_nicira(out, 10);
    out.u16(hash_code(m.fields));
    out.u16(m.basis);
    out.zeros(2);
    out.u16(m.algorithm);
    out.u16(m.n_links.saturating_sub(1) as u16);
    out.u32(m.arg);
    out.zeros(2);
    out.u16(subfield::pack(m.dst));
    out.u32(subfield::header32(m.dst.field));
    end(out, start)
}

/// Reads `bundle` or, with `load`, `bundle_load`: all behind the subtype.
pub(super) fn decode_bundle(mut r: Reader<'_>, load: bool) -> Result<Action, OfpError> {
    let (algorithm, fields, basis) = (r.u16()?, r.u16()?, r.u16()?);
    let (member_type, n_members) = (r.u32()?, r.u16()?);
    let (slice, dst) = (r.u16()?, r.u32()?);
    let zeros = r.zeros(4, BAD_ARGUMENT);
    let mut list = r.sub(n_members as usize * 2)?;
    zeros?;
    let fields = hash_fields(fields)?;
    let ports = subfield::header32(Field::IN_PORT);
    if n_members > MAX_MEMBERS || algorithm > 1 || member_type != ports {
        return Err(BAD_ARGUMENT);
    }
    let dst = if load {
        let (start, width) = subfield::start_and_width(slice);
        let dst = SubField { field: subfield::field32(dst)?, start, width };
        if width < 16 {
            return Err(BAD_ARGUMENT);
        }
        Some(subfield::destination(dst)?)
    } else if slice != 0 || dst != 0 {
        return Err(BAD_ARGUMENT);
    } else {
        None
    };
    let mut members = Vec::with_capacity(n_members as usize);
    while !list.is_empty() {
        members.push(member(PortNo::from_u16(list.u16()?))?);
    }
    Ok(Action::Bundle(Box::new(Bundle { fields, basis, algorithm, dst, members })))
}

/// A member is an ordinary port, the bridge's own, or none.
fn member(port: PortNo) -> Result<PortNo, OfpError> {
    match port {
        PortNo::NONE | PortNo::LOCAL => Ok(port),
        p if p < PortNo::MAX => Ok(p),
        _ => Err(OfpError::OFPBAC_BAD_OUT_PORT),
    }
}

/// Writes `bundle` or `bundle_load`.
pub(super) fn put_bundle(out: &mut Vec<u8>, b: &Bundle) -> Result<(), EncodeError> {
    let start = begin_nicira(out, if b.dst.is_some() { 13 } else { 12 });
    out.u16(b.algorithm);
    out.u16(hash_code(b.fields));
    out.u16(b.basis);
    out.u32(subfield::header32(Field::IN_PORT));
    out.u16(u16::try_from(b.members.len()).map_err(|_| EncodeError::TooLong)?);
    out.u16(b.dst.map_or(0, subfield::pack));
    out.u32(b.dst.map_or(0, |d| subfield::header32(d.field)));
    out.zeros(4);
    b.members.iter().for_each(|p| out.u16(p.0 as u16));
    end(out, start)
}

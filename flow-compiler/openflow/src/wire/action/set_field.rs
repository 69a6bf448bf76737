//! `set_field` and `load` in all their spellings.
//!
//! Purpose: OpenFlow's set-field, Nicira's reg_load and reg_load2, and the old actions of 1.0 and 1.1
//! that set one header field.
//! Invariant: a value has no bit outside its mask.
//! Deliberately does not know: prerequisites.

use super::super::buf::{Put, Reader};
use super::super::oxm::{self, Header, Ids};
use super::standard_put as std_put;
use super::{begin, begin_nicira, end, subfield, Around, BAD_LEN};
use crate::action::{Action, SetField, SetForm, WideValue};
use crate::error::OfpError;
use crate::field::{Field, SubField};
use crate::message::EncodeError;
use crate::version::Version;
use crate::wide::Wide;

const BAD_SET_ARGUMENT: OfpError = OfpError::OFPBAC_BAD_SET_ARGUMENT;
const SET_FIELD: u16 = 25;
const REG_LOAD: u16 = 7;
const REG_LOAD2: u16 = 33;

/// A field, its value, and its mask where one was given.
type Entry = (Field, WideValue, Option<WideValue>);

fn pull_entry(r: &mut Reader<'_>, may_mask: bool) -> Result<Entry, OfpError> {
    let mut r2 = Reader::new(r.rest(), OfpError::OFPBMC_BAD_LEN);
    let header = Header::read(&mut r2)?;
    let field = header.action_field()?;
    let mut payload = r2.sub(header.payload)?;
    let value = payload.take(header.width())?;
    let mask = header.has_mask.then(|| payload.rest());
    if mask.is_some_and(|m| value.iter().zip(m).any(|(v, m)| v & !m != 0)) {
        return Err(OfpError::OFPBMC_BAD_WILDCARDS);
    }
    if mask.is_some() && !may_mask {
        return Err(OfpError::OFPBAC_BAD_SET_MASK);
    }
    r.skip(r.len() - r2.len())?;
    r.zeros(r.len(), BAD_SET_ARGUMENT)?;
    Ok((field, of_bytes(field, value), mask.map(|m| of_bytes(field, m))))
}

/// Of a tunnel option all bytes count, zeros in front too: their number is the value's length.
fn of_bytes(field: Field, bytes: &[u8]) -> WideValue {
    match field.option_number() {
        Some(_) => WideValue::Large(bytes.to_vec()),
        None => WideValue::Small(oxm::value(bytes)),
    }
}

/// All ones as wide as the field on the wire.
fn wire_ones(field: Field) -> u128 {
    match field.n_bytes() as u32 * 8 {
        bits @ 0..=127 => (1 << bits) - 1,
        _ => u128::MAX,
    }
}

fn action((field, value, mask): Entry, form: SetForm) -> Action {
    let mask = match (mask, &value) {
        (Some(mask), WideValue::Large(_)) => mask,
        (None, WideValue::Large(_)) => WideValue::whole_option(),
        // A mask over every bit on the wire is the whole field, whatever bits the field leaves unused.
        (Some(mask), _) if mask != WideValue::Small(wire_ones(field)) => mask,
        _ => WideValue::Small(field.ones()),
    };
    Action::SetField(Box::new(SetField { field, value, mask, form }))
}

/// Reads the standard's set-field.
pub(super) fn decode(version: Version, mut r: Reader<'_>) -> Result<Action, OfpError> {
    let entry = pull_entry(&mut r, version >= Version::V15)?;
    let field = entry.0;
    if field == Field::IN_PORT_OXM || !field.info().writable {
        return Err(BAD_SET_ARGUMENT);
    }
    if let WideValue::Small(value) = entry.1 {
        const PRESENT: u128 = 0x1000;
        let no_tag = value & PRESENT == 0 || matches!(entry.2, Some(WideValue::Small(m)) if m & PRESENT == 0);
        if !oxm::is_valid(field, value) || (field == Field::VLAN_VID && no_tag) {
            return Err(BAD_SET_ARGUMENT);
        }
    }
    Ok(action(entry, SetForm::SetField))
}

/// Reads NXAST_REG_LOAD2.
pub(super) fn decode_load2(mut r: Reader<'_>) -> Result<Action, OfpError> {
    let entry = pull_entry(&mut r, true)?;
    if !entry.0.info().writable {
        return Err(BAD_SET_ARGUMENT);
    }
    Ok(action(entry, SetForm::Load2))
}

/// Reads NXAST_REG_LOAD.
pub(super) fn decode_load(mut r: Reader<'_>) -> Result<Action, OfpError> {
    let (start, width) = subfield::start_and_width(r.u16()?);
    let field = subfield::field32(r.u32()?)?;
    let value = r.u64()?;
    r.end(BAD_LEN)?;
    let dst = subfield::destination(SubField { field, start, width })?;
    if width < 64 && value >> width != 0 {
        return Err(super::BAD_ARGUMENT);
    }
    let ones = u64::MAX >> (64 - width.min(64));
    if field.option_number().is_some() {
        return Ok(Action::SetField(Box::new(SetField::load_option(dst, &Wide::from(u128::from(value))))));
    }
    let shifted = |v: u64| (v as u128).checked_shl(dst.start as u32).unwrap_or(0);
    Ok(Action::SetField(Box::new(SetField {
        field,
        value: WideValue::Small(shifted(value)),
        mask: WideValue::Small(shifted(ones)),
        form: SetForm::Load,
    })))
}

fn small(v: &WideValue) -> Option<u128> {
    match v {
        WideValue::Small(v) => Some(*v),
        WideValue::Large(_) => None,
    }
}

/// Does the action write all of its field?
fn is_whole(s: &SetField) -> bool {
    match &s.mask {
        WideValue::Small(m) => m & s.field.ones() == s.field.ones(),
        mask => *mask == WideValue::whole_option(),
    }
}

/// Writes the action as Open vSwitch spells it in this version.
pub(super) fn encode(out: &mut Vec<u8>, s: &SetField, around: &Around) -> Result<(), EncodeError> {
    let v = around.version;
    let whole = is_whole(s);
    if v >= Version::V15 || (v >= Version::V12 && whole && s.form == SetForm::SetField) {
        let start = begin(out, SET_FIELD);
        put_entry(out, s, Ids::Oxm(v), !whole);
        return end(out, start);
    }
    if v < Version::V12 && whole && s.form == SetForm::SetField {
        if let Some(value) = small(&s.value) {
            if put_legacy(out, s.field, value, around)? {
                return Ok(());
            }
        }
    }
    put_nicira(out, s)
}

fn put_entry(out: &mut Vec<u8>, s: &SetField, ids: Ids, masked: bool) {
    let n = match s.field.option_number() {
        None => s.field.n_bytes() as usize,
        // No more bytes than say something.
        Some(_) => {
            let of_mask = if masked { Wide::from(&s.mask).significant() } else { 0 };
            Wide::from(&s.value).significant().max(of_mask)
        }
    };
    if oxm::put_header_of(out, s.field, ids, masked, n as u16) {
        oxm::put_wide(out, &s.value, n);
        if masked {
            oxm::put_wide(out, &s.mask, n);
        }
    }
}

/// Writes a set-field of a whole field, whose version must have set-field.
pub(super) fn put_whole(
    out: &mut Vec<u8>,
    v: Version,
    field: Field,
    value: u128,
) -> Result<(), EncodeError> {
    let start = begin(out, SET_FIELD);
    oxm::put_header(out, field, Ids::Oxm(v), false);
    oxm::put_value(out, value, field.n_bytes() as usize);
    end(out, start)
}

/// Writes reg_load, once for each run of bits, or reg_load2 where that is not possible.
fn put_nicira(out: &mut Vec<u8>, s: &SetField) -> Result<(), EncodeError> {
    let values = (small(&s.value), small(&s.mask));
    let (Some(value), Some(mask)) = values else { return put_load2(out, s) };
    if s.form == SetForm::Load2 || subfield::header32(s.field) == 0 {
        return put_load2(out, s);
    }
    for run in runs(mask & s.field.ones(), s.field) {
        let ones = u128::MAX >> (128 - run.width.min(128));
        put_load(out, run, (value >> run.start & ones) as u64)?;
    }
    Ok(())
}

fn put_load2(out: &mut Vec<u8>, s: &SetField) -> Result<(), EncodeError> {
    let start = begin_nicira(out, REG_LOAD2);
    put_entry(out, s, Ids::Nxm, !is_whole(s));
    end(out, start)
}

pub(super) fn put_load(out: &mut Vec<u8>, dst: SubField, value: u64) -> Result<(), EncodeError> {
    let start = begin_nicira(out, REG_LOAD);
    out.u16(subfield::pack(dst));
    out.u32(subfield::header32(dst.field));
    out.u64(value);
    end(out, start)
}

/// The runs of one bits in a mask, lowest first, each of at most 64 bits.
fn runs(mask: u128, field: Field) -> impl Iterator<Item = SubField> {
    let end = field.info().n_bits.min(128);
    let mut at = 0u16;
    std::iter::from_fn(move || {
        let rest = mask.checked_shr(at as u32).unwrap_or(0);
        if rest == 0 {
            return None;
        }
        let start = at + rest.trailing_zeros() as u16;
        if start >= end {
            return None;
        }
        let ones = (mask >> start).trailing_ones() as u16;
        let width = ones.min(64).min(end - start);
        at = start + width;
        Some(SubField { field, start, width })
    })
}

/// Writes the action of 1.0 and 1.1 that sets this field; false if there is none.
fn put_legacy(
    out: &mut Vec<u8>,
    field: Field,
    value: u128,
    around: &Around,
) -> Result<bool, EncodeError> {
    let v = around.version;
    let dst = |f: Field| (field == f) as u16;
    match field {
        Field::VLAN_TCI => put_tci(out, value as u16, around)?,
        Field::VLAN_VID => std_put::put_vlan_vid(out, v, value as u16 & 0xfff)?,
        Field::VLAN_PCP => std_put::put_vlan_pcp(out, v, value as u8)?,
        Field::ETH_SRC | Field::ETH_DST => {
            let bytes = (value as u64).to_be_bytes();
            let mac = bytes.last_chunk::<6>().copied().unwrap_or_default();
            std_put::put_mac(out, v, field, &mac)?;
        }
        Field::IP_SRC | Field::IP_DST => std_put::put_ip(out, v, field, value as u32)?,
        Field::NW_TOS => std_put::put_tos(out, v, value as u8)?,
        Field::IP_DSCP => std_put::put_tos(out, v, (value << 2) as u8)?,
        Field::NW_ECN if v == Version::V11 => std_put::put(out, 8, &[value as u8, 0, 0, 0])?,
        Field::TCP_SRC | Field::UDP_SRC | Field::TCP_DST | Field::UDP_DST => {
            let [high, low] = (value as u16).to_be_bytes();
            let kind = 9 + dst(Field::TCP_DST) + dst(Field::UDP_DST);
            std_put::put(out, kind, &[high, low, 0, 0])?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn put_tci(out: &mut Vec<u8>, tci: u16, around: &Around) -> Result<(), EncodeError> {
    let v = around.version;
    if tci & 0x1000 == 0 {
        return std_put::put(out, if v == Version::V10 { 3 } else { 18 }, &[0; 4]);
    }
    if v != Version::V10 && !around.has_vlan {
        std_put::put(out, 17, &[0x81, 0x00, 0, 0])?;
    }
    std_put::put_vlan_vid(out, v, tci & 0xfff)?;
    std_put::put_vlan_pcp(out, v, (tci >> 13) as u8)
}

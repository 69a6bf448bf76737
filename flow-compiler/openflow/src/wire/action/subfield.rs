//! Slices of fields in actions, and the actions that are little else: move, push, pop, output.
//!
//! Purpose: `ofs_nbits` and headers with the checks that actions need.
//! Deliberately does not know: prerequisites.

use super::super::buf::{Put, Reader};
use super::super::oxm::{self, Header, Ids};
use super::{begin, begin_nicira, end, BAD_LEN};
use crate::action::Action;
use crate::error::OfpError;
use crate::field::{Field, SubField};
use crate::message::EncodeError;
use crate::version::Version;

/// `(start << 6) | (width - 1)`.
pub(super) fn start_and_width(word: u16) -> (u16, u16) {
    (word >> 6, (word & 0x3f) + 1)
}

/// The counterpart of [`start_and_width`].
pub(super) fn pack(s: SubField) -> u16 {
    s.start << 6 | (s.width.saturating_sub(1) & 0x3f)
}

/// A field by a header of exactly 32 bits; any mask bit is ignored.
pub(super) fn field32(word: u32) -> Result<Field, OfpError> {
    let bytes = word.to_be_bytes();
    let header = Header::read(&mut Reader::new(&bytes, OfpError::OFPBAC_BAD_SET_TYPE))
        .map_err(|_| OfpError::OFPBAC_BAD_SET_TYPE)?;
    header.field().ok_or(OfpError::OFPBAC_BAD_SET_TYPE)
}

/// The 32-bit header of a field; 0 for one that needs an experimenter's.
pub(super) fn header32(field: Field) -> u32 {
    let mut bytes = Vec::with_capacity(8);
    oxm::put_header(&mut bytes, field, Ids::Nxm, false);
    match bytes.try_into() {
        Ok(word) => u32::from_be_bytes(word),
        Err(_) => 0,
    }
}

/// A field by a header of 32 or 64 bits.
pub(super) fn pull_field(r: &mut Reader<'_>) -> Result<Field, OfpError> {
    let mut r2 = Reader::new(r.rest(), OfpError::OFPBMC_BAD_LEN);
    let header = Header::read(&mut r2)?;
    r.skip(r.len() - r2.len())?;
    let field = header.field().ok_or(OfpError::OFPBMC_BAD_FIELD)?;
    if header.has_mask {
        return Err(OfpError::OFPBMC_BAD_MASK);
    }
    Ok(field)
}

/// Is the slice inside its field?
pub(super) fn source(s: SubField) -> Result<SubField, OfpError> {
    let bits = s.field.info().n_bits;
    if s.width == 0 || s.start >= bits || s.start as u32 + s.width as u32 > bits as u32 {
        return Err(OfpError::OFPBAC_BAD_SET_LEN);
    }
    Ok(s)
}

/// Is the slice inside its field, and may the field be written?
pub(super) fn destination(s: SubField) -> Result<SubField, OfpError> {
    source(s)?;
    if !s.field.info().writable {
        return Err(OfpError::OFPBAC_BAD_SET_ARGUMENT);
    }
    Ok(s)
}

const MUST_BE_ZERO: OfpError = OfpError::NXBRC_MUST_BE_ZERO;

pub(super) fn decode_move(mut r: Reader<'_>) -> Result<Action, OfpError> {
    let (width, src, dst) = (r.u16()?, r.u16()?, r.u16()?);
    let src = SubField { field: pull_field(&mut r)?, start: src, width };
    let dst = SubField { field: pull_field(&mut r)?, start: dst, width };
    r.zeros(r.len(), MUST_BE_ZERO)?;
    Ok(Action::Move { src: source(src)?, dst: destination(dst)? })
}

/// The ONF's copy-field of OpenFlow 1.3.
pub(super) fn decode_onf_copy(
    version: Version,
    subtype: u16,
    mut r: Reader<'_>,
) -> Result<Action, OfpError> {
    const COPY_FIELD: u16 = 3200;
    if subtype != COPY_FIELD || version != Version::V13 {
        return Err(OfpError::OFPBAC_BAD_VENDOR_TYPE);
    }
    r.skip(2)?;
    let (width, src, dst) = (r.u16()?, r.u16()?, r.u16()?);
    r.skip(2)?;
    let src = SubField { field: pull_field(&mut r)?, start: src, width };
    let dst = SubField { field: pull_field(&mut r)?, start: dst, width };
    r.zeros(r.len(), MUST_BE_ZERO)?;
    Ok(Action::Move { src: source(src)?, dst: destination(dst)? })
}

pub(super) fn decode_copy15(mut r: Reader<'_>) -> Result<Action, OfpError> {
    let (width, src, dst) = (r.u16()?, r.u16()?, r.u16()?);
    r.skip(2)?;
    let src = SubField { field: pull_field(&mut r)?, start: src, width };
    let dst = SubField { field: pull_field(&mut r)?, start: dst, width };
    r.zeros(r.len(), MUST_BE_ZERO)?;
    Ok(Action::Move { src: source(src)?, dst: destination(dst)? })
}

pub(super) fn put_move(
    out: &mut Vec<u8>,
    version: Version,
    src: SubField,
    dst: SubField,
) -> Result<(), EncodeError> {
    const COPY_FIELD: u16 = 28;
    let modern = version >= Version::V15;
    let start = if modern { begin(out, COPY_FIELD) } else { begin_nicira(out, 6) };
    out.u16(dst.width);
    out.u16(src.start);
    out.u16(dst.start);
    if modern {
        out.zeros(2);
    }
    let ids = if modern { Ids::Oxm(version) } else { Ids::Nxm };
    oxm::put_header(out, src.field, ids, false);
    oxm::put_header(out, dst.field, ids, false);
    end(out, start)
}

pub(super) fn decode_stack(mut r: Reader<'_>) -> Result<SubField, OfpError> {
    let start = r.u16()?;
    let field = pull_field(&mut r)?;
    let width = r.u16()?;
    r.zeros(r.len(), MUST_BE_ZERO)?;
    Ok(SubField { field, start, width })
}

pub(super) fn put_stack(out: &mut Vec<u8>, subtype: u16, s: SubField) -> Result<(), EncodeError> {
    let at = begin_nicira(out, subtype);
    out.u16(s.start);
    oxm::put_header(out, s.field, Ids::Nxm, false);
    out.u16(s.width);
    to_24(out, at);
    end(out, at)
}

/// Pads an action to the 24 bytes that some always have.
pub(super) fn to_24(out: &mut Vec<u8>, start: usize) {
    out.zeros(24usize.saturating_sub(out.len() - start));
}

pub(super) fn decode_output_reg(mut r: Reader<'_>) -> Result<Action, OfpError> {
    let (start, width) = start_and_width(r.u16()?);
    let field = r.u32()?;
    let max_len = r.u16()?;
    r.zeros(6, OfpError::OFPBAC_BAD_ARGUMENT)?;
    r.end(BAD_LEN)?;
    let src = SubField { field: field32(field)?, start, width };
    Ok(Action::OutputReg { src: source(src)?, max_len })
}

pub(super) fn decode_output_reg2(mut r: Reader<'_>) -> Result<Action, OfpError> {
    let (start, width) = start_and_width(r.u16()?);
    let max_len = r.u16()?;
    let field = pull_field(&mut r)?;
    r.zeros(r.len(), MUST_BE_ZERO)?;
    Ok(Action::OutputReg { src: source(SubField { field, start, width })?, max_len })
}

pub(super) fn put_output_reg(
    out: &mut Vec<u8>,
    src: SubField,
    max_len: u16,
) -> Result<(), EncodeError> {
    let short = header32(src.field);
    if short != 0 {
        let at = begin_nicira(out, 15);
        out.u16(pack(src));
        out.u32(short);
        out.u16(max_len);
        out.zeros(6);
        return end(out, at);
    }
    let at = begin_nicira(out, 32);
    out.u16(pack(src));
    out.u16(max_len);
    oxm::put_header(out, src.field, Ids::Nxm, false);
    to_24(out, at);
    end(out, at)
}

pub(super) fn decode_check_pkt_larger(mut r: Reader<'_>) -> Result<Action, OfpError> {
    let (len, start) = (r.u16()?, r.u16()?);
    let field = pull_field(&mut r)?;
    r.zeros(r.len(), MUST_BE_ZERO)?;
    let dst = destination(SubField { field, start, width: 1 })?;
    Ok(Action::CheckPktLarger { len, dst })
}

pub(super) fn put_check_pkt_larger(
    out: &mut Vec<u8>,
    len: u16,
    dst: SubField,
) -> Result<(), EncodeError> {
    let at = begin_nicira(out, 49);
    out.u16(len);
    out.u16(dst.start);
    oxm::put_header(out, dst.field, Ids::Nxm, false);
    to_24(out, at);
    end(out, at)
}

//! `learn(...)`.
//!
//! Purpose: NXAST_LEARN and NXAST_LEARN2, both ways.
//! Deliberately does not know: what learning does.

use super::super::buf::{Put, Reader};
use super::super::oxm::{self, Ids};
use super::{begin_nicira, end, subfield, BAD_ARGUMENT, BAD_LEN};
use crate::action::{Action, Learn, LearnSource, LearnSpec};
use crate::error::OfpError;
use crate::field::SubField;
use crate::message::EncodeError;

const SEND_FLOW_REM: u16 = 1;
const DELETE_LEARNED: u16 = 2;
const WRITE_RESULT: u16 = 4;

/// Bits of a specification's header.
mod spec {
    pub const N_BITS: u16 = 0x3ff;
    pub const SRC_VALUE: u16 = 1 << 13;
    pub const DST: u16 = 3 << 11;
    pub const DST_MATCH: u16 = 0;
    pub const DST_LOAD: u16 = 1 << 11;
    pub const DST_OUTPUT: u16 = 2 << 11;
}

/// Reads `learn` or, with `second`, its later form: all behind the subtype.
pub(super) fn decode(mut r: Reader<'_>, second: bool) -> Result<Action, OfpError> {
    let (idle_timeout, hard_timeout, priority) = (r.u16()?, r.u16()?, r.u16()?);
    let (cookie, flags, table) = (r.u64()?, r.u16()?, r.u8()?);
    r.zeros(1, BAD_ARGUMENT)?;
    let (fin_idle_timeout, fin_hard_timeout) = (r.u16()?, r.u16()?);
    let known = SEND_FLOW_REM | DELETE_LEARNED | if second { WRITE_RESULT } else { 0 };
    if table == 0xff || flags & !known != 0 {
        return Err(BAD_ARGUMENT);
    }
    let mut learn = Learn {
        idle_timeout,
        hard_timeout,
        priority,
        cookie,
        table,
        send_flow_rem: flags & SEND_FLOW_REM != 0,
        delete_learned: flags & DELETE_LEARNED != 0,
        fin_idle_timeout,
        fin_hard_timeout,
        ..Learn::default()
    };
    if second {
        decode_second(&mut r, &mut learn, flags & WRITE_RESULT != 0)?;
    }
    while let Some(spec) = decode_spec(&mut r)? {
        learn.specs.push(spec);
    }
    r.zeros(r.len(), BAD_ARGUMENT)?;
    Ok(Action::Learn(Box::new(learn)))
}

fn decode_second(r: &mut Reader<'_>, learn: &mut Learn, result: bool) -> Result<(), OfpError> {
    learn.limit = r.u32()?;
    let start = r.u16()?;
    r.zeros(2, OfpError::NXBAC_MUST_BE_ZERO)?;
    if result {
        let field = subfield::pull_field(r)?;
        learn.result_dst = Some(subfield::destination(SubField { field, start, width: 1 })?);
    } else if start != 0 {
        return Err(BAD_ARGUMENT);
    }
    Ok(())
}

/// The next specification; `None` at the padding or the end.
fn decode_spec(r: &mut Reader<'_>) -> Result<Option<LearnSpec>, OfpError> {
    if r.len() < 2 {
        return Ok(None);
    }
    let mut r2 = Reader::new(r.rest(), BAD_LEN);
    let header = r2.u16()?;
    if header == 0 {
        return Ok(None);
    }
    let width = header & spec::N_BITS;
    let by_value = header & spec::SRC_VALUE != 0;
    let dst = header & spec::DST;
    if (dst == spec::DST_OUTPUT && by_value) || dst > spec::DST_OUTPUT || header >> 14 != 0 {
        return Err(BAD_ARGUMENT);
    }
    let src = if by_value { value(&mut r2, width)? } else { slice_source(&mut r2, width)? };
    let result = match (dst, src) {
        (spec::DST_MATCH, src) => LearnSpec::Match { src, dst: slice(&mut r2, width)? },
        (spec::DST_LOAD, src) => LearnSpec::Load { src, dst: slice(&mut r2, width)? },
        (_, LearnSource::Field(src)) => LearnSpec::Output(src),
        _ => return Err(BAD_ARGUMENT),
    };
    r.skip(r.len() - r2.len())?;
    Ok(Some(result))
}

fn slice(r: &mut Reader<'_>, width: u16) -> Result<SubField, OfpError> {
    let field = subfield::field32(r.u32()?)?;
    subfield::source(SubField { field, start: r.u16()?, width })
}

fn slice_source(r: &mut Reader<'_>, width: u16) -> Result<LearnSource, OfpError> {
    slice(r, width).map(LearnSource::Field)
}

/// A constant; those wider than 128 bits only exist for `tun_metadata`, which is refused anyway.
fn value(r: &mut Reader<'_>, n_bits: u16) -> Result<LearnSource, OfpError> {
    let bytes = r.take(n_bits.div_ceil(16) as usize * 2)?;
    if n_bits > 128 {
        return Err(BAD_ARGUMENT);
    }
    Ok(LearnSource::Value { n_bits, value: oxm::value(bytes) })
}

/// Writes `learn`, in its first form where that can say it.
pub(super) fn encode(out: &mut Vec<u8>, l: &Learn) -> Result<(), EncodeError> {
    let second = l.limit != 0 || l.result_dst.is_some();
    let start = begin_nicira(out, if second { 45 } else { 16 });
    let bit = |on: bool, bit: u16| if on { bit } else { 0 };
    out.u16(l.idle_timeout);
    out.u16(l.hard_timeout);
    out.u16(l.priority);
    out.u64(l.cookie);
    out.u16(
        bit(l.send_flow_rem, SEND_FLOW_REM)
            | bit(l.delete_learned, DELETE_LEARNED)
            | bit(l.result_dst.is_some(), WRITE_RESULT),
    );
    out.u8(l.table);
    out.zeros(1);
    out.u16(l.fin_idle_timeout);
    out.u16(l.fin_hard_timeout);
    if second {
        out.u32(l.limit);
        out.u16(l.result_dst.map_or(0, |d| d.start));
        out.zeros(2);
        if let Some(dst) = l.result_dst {
            oxm::put_header(out, dst.field, Ids::Nxm, false);
        }
    }
    l.specs.iter().for_each(|s| put_spec(out, s));
    end(out, start)
}

fn put_spec(out: &mut Vec<u8>, s: &LearnSpec) {
    match s {
        LearnSpec::Match { src, dst } => put_pair(out, src, *dst, spec::DST_MATCH),
        LearnSpec::Load { src, dst } => put_pair(out, src, *dst, spec::DST_LOAD),
        LearnSpec::Output(src) => {
            out.u16(src.width & spec::N_BITS | spec::DST_OUTPUT);
            put_slice(out, *src);
        }
    }
}

fn put_pair(out: &mut Vec<u8>, src: &LearnSource, dst: SubField, kind: u16) {
    let width = dst.width & spec::N_BITS;
    match src {
        LearnSource::Field(src) => {
            out.u16(width | kind);
            put_slice(out, *src);
        }
        LearnSource::Value { value, .. } => {
            out.u16(width | kind | spec::SRC_VALUE);
            oxm::put_value(out, *value, width.div_ceil(16) as usize * 2);
        }
    }
    put_slice(out, dst);
}

fn put_slice(out: &mut Vec<u8>, s: SubField) {
    out.u32(subfield::header32(s.field));
    out.u16(s.start);
}

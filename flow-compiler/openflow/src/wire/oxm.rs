//! NXM and OXM headers and values: a field's id, whether a mask follows, and its bytes.
//!
//! Purpose: one field at a time, both ways; `nxm` strings them into matches.
//! Invariant: a header leads to a field only with the length that the field has.
//! Deliberately does not know: prerequisites, matches, actions.

use super::buf::{Put, Reader};
use crate::action::WideValue;
use crate::error::OfpError;
use crate::field::{Field, OxmId};
use crate::version::Version;

/// Class of experimenter fields.
const EXPERIMENTER: u16 = 0xffff;
/// Id of the pseudo-field that carries a cookie in a Nicira match.
const COOKIE: OxmId = OxmId { class: 1, number: 30, experimenter: 0 };

/// Which ids a field is written with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Ids {
    /// Nicira's where there is one.
    Nxm,
    /// The standard's that this version knows.
    Oxm(Version),
}

impl Ids {
    fn minor(self) -> u8 {
        match self {
            Ids::Nxm => 0,
            Ids::Oxm(v) => v.wire() - 1,
        }
    }
}

/// What a header announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    id: OxmId,
    pub(crate) has_mask: bool,
    /// Bytes of value and mask that follow.
    pub(crate) payload: usize,
}

impl Header {
    /// Reads a header; the errors are those of a match.
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Header, OfpError> {
        let word = r.u32()?;
        let class = (word >> 16) as u16;
        let mut payload = (word & 0xff) as usize;
        let mut experimenter = 0;
        if class == EXPERIMENTER {
            experimenter = r.u32()?;
            payload = payload.checked_sub(4).ok_or(OfpError::OFPBMC_BAD_LEN)?;
        }
        let number = (word >> 9 & 0x7f) as u8;
        let id = OxmId { class, number, experimenter };
        Ok(Header { id, has_mask: word & 0x100 != 0, payload })
    }

    /// Bytes of the value alone.
    pub(crate) fn width(&self) -> usize {
        if self.has_mask {
            self.payload / 2
        } else {
            self.payload
        }
    }

    /// Is it the cookie of a Nicira match?
    pub(crate) fn is_cookie(&self) -> bool {
        self.id == COOKIE && self.width() == 8 && self.payload % 8 == 0
    }

    /// The field with this id, whatever the length.
    fn named(&self) -> Option<Field> {
        Field::by_oxm(self.id).or_else(|| later_name(self.id))
    }

    /// The field with this id and length.
    pub(crate) fn field(&self) -> Option<Field> {
        let odd = self.has_mask && self.payload % 2 != 0;
        let fits = |f: &Field| f.option_number().is_some() || self.width() == f.n_bytes() as usize;
        self.named().filter(fits).filter(|_| !odd)
    }

    /// The field that an action writes, with the errors of actions.
    pub(crate) fn action_field(&self) -> Result<Field, OfpError> {
        let field = self.named().ok_or(OfpError::OFPBAC_BAD_SET_TYPE)?;
        if field.option_number().is_some() {
            return Ok(field);
        }
        if self.payload == 0 {
            return Err(OfpError::OFPBAC_BAD_SET_TYPE);
        }
        if self.width() != field.n_bytes() as usize {
            return Err(OfpError::OFPBAC_BAD_SET_LEN);
        }
        Ok(field)
    }
}

/// Ids that OpenFlow 1.5 gave to fields that had an experimenter's before.
const LATER: [(u8, Field); 2] = [(42, Field::TCP_FLAGS), (43, Field::ACTSET_OUTPUT)];

fn later_name(id: OxmId) -> Option<Field> {
    LATER.into_iter().find(|(n, _)| id == standard(*n)).map(|(_, field)| field)
}

fn standard(number: u8) -> OxmId {
    OxmId { class: 0x8000, number, experimenter: 0 }
}

fn id_of(field: Field, ids: Ids) -> Option<OxmId> {
    let info = field.info();
    if ids >= Ids::Oxm(Version::V15) {
        if let Some((n, _)) = LATER.into_iter().find(|(_, f)| *f == field) {
            return Some(standard(n));
        }
    }
    let known = info.oxm.filter(|_| info.nxm.is_none() || ids.minor() >= info.oxm_since);
    known.or(info.nxm)
}

/// Writes the header of a field. False, and nothing, for a field that has no id.
pub(crate) fn put_header(out: &mut Vec<u8>, field: Field, ids: Ids, has_mask: bool) -> bool {
    put_header_of(out, field, ids, has_mask, field.n_bytes())
}

/// As [`put_header`], for a value of `bytes` bytes.
pub(crate) fn put_header_of(out: &mut Vec<u8>, field: Field, ids: Ids, has_mask: bool, bytes: u16) -> bool {
    let Some(id) = id_of(field, ids) else { return false };
    let value = u32::from(bytes) * (1 + has_mask as u32);
    let length = (value + if id.experimenter != 0 { 4 } else { 0 }).min(0xff);
    out.u32((id.class as u32) << 16 | (id.number as u32) << 9 | (has_mask as u32) << 8 | length);
    if id.experimenter != 0 {
        out.u32(id.experimenter);
    }
    true
}

/// Writes the header of the cookie pseudo-field.
pub(crate) fn put_cookie_header(out: &mut Vec<u8>, has_mask: bool) {
    let length = if has_mask { 16 } else { 8 };
    let number = (COOKIE.number as u32) << 9;
    out.u32((COOKIE.class as u32) << 16 | number | (has_mask as u32) << 8 | length);
}

/// Reads a value of up to 16 bytes, right-aligned.
pub(crate) fn value(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |v, b| v << 8 | *b as u128)
}

/// Writes the low `n` bytes of a value; zeros before them where `n` is more than 16.
pub(crate) fn put_value(out: &mut Vec<u8>, value: u128, n: usize) {
    let bytes = value.to_be_bytes();
    out.zeros(n.saturating_sub(bytes.len()));
    out.put(bytes.get(bytes.len().saturating_sub(n)..).unwrap_or_default());
}

/// Writes a value of any width as `n` bytes.
pub(crate) fn put_wide(out: &mut Vec<u8>, v: &WideValue, n: usize) {
    match v {
        WideValue::Small(v) => put_value(out, *v, n),
        WideValue::Large(bytes) => {
            let kept = bytes.get(bytes.len().saturating_sub(n)..).unwrap_or_default();
            out.zeros(n - kept.len());
            out.put(kept);
        }
    }
}

/// May a field have this value on the wire?
pub(crate) fn is_valid(field: Field, value: u128) -> bool {
    match field {
        Field::IN_PORT_OXM | Field::ACTSET_OUTPUT => !(0xff00..0xffff_ff00).contains(&value),
        Field::NW_TOS => value & 0x03 == 0,
        Field::ARP_OP => value <= 0xff,
        Field::CT_STATE => value <= 0xff,
        _ => value & !field.ones() == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_with_an_id_is_found_by_the_header_that_is_written() {
        let forms = [Ids::Nxm, Ids::Oxm(Version::V12), Ids::Oxm(Version::V13), Ids::Oxm(Version::V15)];
        for ids in forms {
            for field in Field::all() {
                for has_mask in [false, true] {
                    let mut out = Vec::new();
                    if !put_header(&mut out, field, ids, has_mask) {
                        continue;
                    }
                    let h = Header::read(&mut Reader::request(&out)).unwrap();
                    assert_eq!(h.field(), Some(field), "{ids:?}");
                    assert_eq!(h.has_mask, has_mask);
                }
            }
        }
    }

    #[test]
    fn tcp_flags_have_three_ids() {
        let id = |ids| {
            let mut out = Vec::new();
            put_header(&mut out, Field::TCP_FLAGS, ids, false);
            out
        };
        assert_eq!(id(Ids::Nxm), [0x00, 0x01, 0x44, 0x02]);
        let onf = [0xff, 0xff, 0x54, 0x06, 0x4f, 0x4e, 0x46, 0x00];
        assert_eq!(id(Ids::Oxm(Version::V13)), onf);
        assert_eq!(id(Ids::Oxm(Version::V15)), [0x80, 0x00, 0x54, 0x02]);
    }
}

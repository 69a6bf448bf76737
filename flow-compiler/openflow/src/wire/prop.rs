//! Properties: type, length, value, padding.
//!
//! Purpose: the one framing that OpenFlow 1.4 and many Nicira messages use for optional parts.
//! Deliberately does not know: what a property means.

use super::buf::{Put, Reader};
use crate::error::OfpError;
use crate::message::EncodeError;

/// Takes the next property with its padding; gives its type and its value.
pub(super) fn pull<'a>(r: &mut Reader<'a>) -> Result<(u16, Reader<'a>), OfpError> {
    const BAD_LEN: OfpError = OfpError::OFPBPC_BAD_LEN;
    let mut r2 = Reader::new(r.rest(), BAD_LEN);
    let (kind, len) = (r2.u16()?, r2.u16()? as usize);
    let value = r2.sub(len.checked_sub(4).ok_or(BAD_LEN)?)?;
    r2.skip(len.next_multiple_of(8) - len)?;
    r.skip(r.len() - r2.len())?;
    Ok((kind, value))
}

/// Writes a property whose value `put` appends.
pub(super) fn put(
    out: &mut Vec<u8>,
    kind: u16,
    put: impl FnOnce(&mut Vec<u8>),
) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(kind);
    out.u16(0);
    put(out);
    out.patch_len(start, start + 2)?;
    out.pad8(start);
    Ok(())
}

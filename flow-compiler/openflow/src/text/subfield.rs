//! Slices of fields: `NXM_NX_REG0[0..15]`, `reg0[3]`, `eth_src[]`.
//!
//! Purpose: read and print them. Invariant: a slice that was read lies inside its field.
//! Deliberately does not know: what is done with a slice.

use super::error::TextError;
use super::token::Token;
use crate::field::{Field, SubField};
use std::fmt::Write;

/// Reads a slice of a field that actions can name, and nothing behind it.
pub(super) fn parse(token: Token<'_>) -> Result<SubField, TextError> {
    let slice = parse_any(token)?;
    nameable(slice.field, token)?;
    Ok(slice)
}

/// Messages name fields by ids; what has none (`dl_vlan`) can only be matched.
pub(super) fn nameable(field: Field, token: Token<'_>) -> Result<(), TextError> {
    let i = field.info();
    if i.nxm.is_some() || i.oxm.is_some() {
        return Ok(());
    }
    Err(token.error(format!("{}: actions cannot use this field", i.name)))
}

/// Reads a slice of any field and nothing behind it.
pub(super) fn parse_any(token: Token<'_>) -> Result<SubField, TextError> {
    let (slice, rest) = parse_front(token)?;
    if rest.is_empty() {
        Ok(slice)
    } else {
        Err(rest.error("unexpected input following field syntax"))
    }
}

/// Reads a slice and returns what stands behind it.
pub(super) fn parse_front(token: Token<'_>) -> Result<(SubField, Token<'_>), TextError> {
    let text = token.text();
    let end = text.find(['[', '-']).unwrap_or(text.len());
    let (name, mut rest) = token.split_at(end);
    let field = Field::by_wire_name(name.text())
        .or_else(|| Field::by_name(name.text()))
        .ok_or_else(|| name.error(format!("{text}: unknown field `{}'", name.text())))?;
    let bits = i64::from(field.info().n_bits);
    let (mut start, mut last) = (0, bits - 1);
    if rest.text().starts_with('[') {
        let (inside, behind) = rest.skip(1).split_once("]").unwrap_or((rest, rest));
        let range = bit_range(inside.text(), bits).ok_or_else(|| {
            rest.error(format!(
                "{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]"
            ))
        })?;
        (start, last) = range;
        rest = behind;
    }
    let refuse = |message: String| Err(token.error(format!("{text}: {message}")));
    let width = format!("is not valid because field is only {bits} bits wide");
    if start > last {
        return refuse(format!("starting bit {start} is after ending bit {last}"));
    }
    if !(0..bits).contains(&start) {
        return refuse(format!("starting bit {start} {width}"));
    }
    if last >= bits {
        return refuse(format!("ending bit {last} {width}"));
    }
    let slice = SubField {
        field,
        start: start as u16,
        width: (last - start + 1) as u16,
    };
    Ok((slice, rest))
}

/// What stands between the brackets, as first and last bit.
fn bit_range(inside: &str, bits: i64) -> Option<(i64, i64)> {
    let number = |t: &str| t.trim_start().parse::<i32>().ok().map(i64::from);
    if inside.is_empty() {
        return Some((0, bits - 1));
    }
    match inside.split_once("..") {
        Some((first, last)) => Some((number(first)?, number(last)?)),
        None => number(inside).map(|bit| (bit, bit)),
    }
}

/// Prints a slice by the name that its field has on the wire.
pub(super) fn write(out: &mut String, slice: SubField) {
    out.push_str(slice.field.wire_name());
    let _ = if slice == slice.field.whole() {
        write!(out, "[]")
    } else if slice.width == 1 {
        write!(out, "[{}]", slice.start)
    } else {
        write!(
            out,
            "[{}..{}]",
            slice.start,
            slice.start + slice.width.saturating_sub(1)
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_read_and_printed() {
        let cases = [
            ("reg0", "NXM_NX_REG0[]"),
            ("NXM_NX_REG0[]", "NXM_NX_REG0[]"),
            ("NXM_NX_REG0[0..31]", "NXM_NX_REG0[]"),
            ("reg1[3]", "NXM_NX_REG1[3]"),
            ("reg1[4..7]", "NXM_NX_REG1[4..7]"),
            ("OXM_OF_ETH_SRC[]", "NXM_OF_ETH_SRC[]"),
            ("OXM_OF_IN_PORT[]", "OXM_OF_IN_PORT[]"),
            ("xreg0[0..3]", "OXM_OF_PKT_REG0[0..3]"),
            ("vlan_vid", "OXM_OF_VLAN_VID[]"),
            ("tun_metadata0[0..7]", "NXM_NX_TUN_METADATA0[0..7]"),
        ];
        for (text, printed) in cases {
            let mut out = String::new();
            match parse(Token::new(text)) {
                Ok(slice) => write(&mut out, slice),
                Err(e) => out.push_str(&e.message),
            }
            assert_eq!(out, printed, "{text}");
        }
    }

    #[test]
    fn slices_outside_their_field_are_refused() {
        let cases = [
            (
                "NXM_NX_REG9999[]",
                "NXM_NX_REG9999[]: unknown field `NXM_NX_REG9999'",
            ),
            (
                "reg0[",
                "reg0[: syntax error expecting [] or [<bit>] or [<start>..<end>]",
            ),
            (
                "reg0[a]",
                "reg0[a]: syntax error expecting [] or [<bit>] or [<start>..<end>]",
            ),
            (
                "reg0[5..3]",
                "reg0[5..3]: starting bit 5 is after ending bit 3",
            ),
            (
                "reg0[32]",
                "reg0[32]: starting bit 32 is not valid because field is only 32 bits wide",
            ),
            (
                "reg0[0..32]",
                "reg0[0..32]: ending bit 32 is not valid because field is only 32 bits wide",
            ),
            ("reg0[]x", "unexpected input following field syntax"),
        ];
        for (text, message) in cases {
            let error = parse(Token::new(text)).err().map(|e| e.message);
            assert_eq!(error.as_deref(), Some(message));
        }
    }
}

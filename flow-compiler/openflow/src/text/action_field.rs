//! Actions that move bits between fields, read from text.
//!
//! Purpose: `load`, `set_field`, `move`, `check_pkt_larger`, `delete_field`.
//! Invariant: a value fits the slice that it is written to.
//! Deliberately does not know: whether a packet has the field.

use super::action_parse::ActionText;
use super::error::TextError;
use super::names::Names;
use super::number::{self, scan_option, scan_wide};
use super::token::Token;
use super::{formats, subfield, value, value_print};
use crate::action::{Action, SetField, SetForm, WideValue};
use crate::field::{Field, SubField};
use crate::wide::Wide;

type Parsed = Result<Action, TextError>;

/// `VALUE->FIELD`
fn split_arrow(token: Token<'_>) -> Result<(Token<'_>, Token<'_>), TextError> {
    let text = token.text();
    let (value, target) = token
        .split_once("->")
        .ok_or_else(|| token.error(format!("{text}: missing `->'")))?;
    if target.is_empty() {
        return Err(token.error(format!("{text}: missing field name following `->'")));
    }
    Ok((value, target))
}

/// `VALUE->FIELD[A..B]`
pub(super) fn load(token: Token<'_>) -> Parsed {
    let text = token.text();
    let (number, target) = split_arrow(token)?;
    let dst = subfield::parse(target)?;
    if dst.field.option_number().is_some() {
        return load_option(text, number, dst);
    }
    let v = match scan_wide(number.text(), dst.field.n_bytes()) {
        Ok((v, taken)) if taken == number.text().len() => v,
        _ => return Err(number.error(format!("{text}: cannot parse integer value"))),
    };
    if !fits(v, dst) {
        let printed = print_value(dst.field, v);
        let width = dst.width;
        return Err(number.error(format!(
            "{text}: value {printed} does not fit into {width} bits"
        )));
    }
    let mask = width_ones(dst.width) << dst.start.min(127);
    Ok(Action::SetField(Box::new(SetField {
        field: dst.field,
        value: WideValue::Small(v << dst.start.min(127)),
        mask: WideValue::Small(mask),
        form: SetForm::Load,
    })))
}

/// As [`load`], of bits of a tunnel option.
fn load_option(text: &str, number: Token<'_>, dst: SubField) -> Parsed {
    let v = match scan_option(number.text()) {
        Ok((v, taken)) if taken == number.text().len() => v,
        _ => return Err(number.error(format!("{text}: cannot parse integer value"))),
    };
    if v.significant_bits() > dst.width {
        let (printed, width) = (v.hex(), dst.width);
        return Err(number.error(format!("{text}: value {printed} does not fit into {width} bits")));
    }
    Ok(Action::SetField(Box::new(SetField::load_option(dst, &v))))
}

/// As [`set_field`], of a tunnel option.
fn set_option(field: Field, value_text: Token<'_>, text: &mut ActionText<'_>) -> Parsed {
    let (value, mask) = value::parse_option(field, value_text)?;
    text.formats &= formats::Formats::of_match(field, u128::MAX, true);
    let bytes = |w: &Wide, n: usize| WideValue::Large(w.tail(n).to_vec());
    let value = value.and(&mask);
    let (value, mask) = if mask == Wide::ONES {
        (bytes(&value, value.significant()), WideValue::whole_option())
    } else {
        let n = value.significant().max(mask.significant());
        (bytes(&value, n), bytes(&mask, n))
    };
    Ok(Action::SetField(Box::new(SetField { field, value, mask, form: SetForm::SetField })))
}

/// Does the value fit the slice?
pub(super) fn fits(v: u128, slice: SubField) -> bool {
    v & !width_ones(slice.width) == 0
}

/// A value as the error about it shows it.
pub(super) fn print_value(field: Field, v: u128) -> String {
    let mut out = String::new();
    value_print::write(&mut out, field, v, u128::MAX, &Names::new());
    out
}

fn width_ones(width: u16) -> u128 {
    1u128
        .checked_shl(u32::from(width))
        .map_or(u128::MAX, |v| v - 1)
}

/// `VALUE[/MASK]->FIELD`
pub(super) fn set_field(token: Token<'_>, text: &mut ActionText<'_>) -> Parsed {
    let (value_text, target) = split_arrow(token)?;
    let name = target.text();
    let Some(field) = Field::by_name(name) else {
        return Err(target.error(format!("{name} is not a valid OXM field name")));
    };
    if !field.info().writable {
        return Err(target.error(format!("{name} is read-only")));
    }
    subfield::nameable(field, target)?;
    if field.option_number().is_some() {
        return set_option(field, value_text, text);
    }
    let (v, mask) = value::parse(field, value_text, text.names)?;
    if !field.accepts(v & mask) {
        return Err(value_text.error(format!(
            "{} is not a valid value for field {name}",
            value_text.text()
        )));
    }
    text.formats &= formats::Formats::of_match(field, u128::MAX, true);
    let mask = mask & field.ones();
    Ok(Action::SetField(Box::new(SetField {
        field,
        value: WideValue::Small(v & if field == Field::ARP_OP { 0xff } else { mask }),
        mask: WideValue::Small(mask),
        form: SetForm::SetField,
    })))
}

/// `SRC[A..B]->DST[C..D]`
pub(super) fn move_slice(token: Token<'_>) -> Parsed {
    let (src, dst) = move_slices(token)?;
    Ok(Action::Move { src, dst })
}

/// The two slices of a move; they are of one width.
pub(super) fn move_slices(token: Token<'_>) -> Result<(SubField, SubField), TextError> {
    let text = token.text();
    let (src, rest) = subfield::parse_front(token)?;
    subfield::nameable(src.field, token)?;
    if !rest.text().starts_with("->") {
        return Err(rest.error(format!("{text}: missing `->' following source")));
    }
    let dst = subfield::parse(rest.skip(2))?;
    if src.width != dst.width {
        return Err(token.error(format!(
            "{text}: source field is {} bits wide but destination is {} bits wide",
            src.width, dst.width
        )));
    }
    Ok((src, dst))
}

/// `N)->DST[BIT]`
pub(super) fn check_pkt_larger(token: Token<'_>) -> Parsed {
    let Some((length, target)) = token.split_once("->") else {
        return Err(token.error(format!("{}: missing `->'", token.text())));
    };
    let length = length.split_any(&[')']).0;
    let dst = subfield::parse(target)?;
    if dst.width != 1 {
        return Err(target.error("Only 1-bit destination field is allowed"));
    }
    Ok(Action::CheckPktLarger {
        len: number::u16(length, "check_pkt_larger")?,
        dst,
    })
}

/// `FIELD`
pub(super) fn delete_field(token: Token<'_>) -> Parsed {
    let name = token.text();
    Field::by_name(name)
        .map(Action::DeleteField)
        .ok_or_else(|| token.error(format!("unknown field `{name}'")))
}

//! `learn(...)`, read from text.
//!
//! Purpose: the rule that a packet teaches. Invariant: both sides of a part are of one width.
//! Deliberately does not know: whether packets have the fields.

use super::action_field::{fits, move_slices, print_value};
use super::error::TextError;
use super::names::Names;
use super::number::{self, scan_wide};
use super::token::Token;
use super::{subfield, value};
use crate::action::{Action, Learn, LearnSource, LearnSpec};
use crate::field::{Field, SubField};

/// What stands in `learn(...)`.
pub(super) fn learn(token: Token<'_>, names: &Names) -> Result<Action, TextError> {
    let mut learn = Learn {
        table: 1,
        priority: 0x8000,
        ..Learn::default()
    };
    for (key, v) in token.pairs() {
        match key.text() {
            "table" => learn.table = table(token, v, names)?,
            "priority" => learn.priority = number::u16(v, "priority")?,
            "idle_timeout" => learn.idle_timeout = number::u16(v, "idle_timeout")?,
            "hard_timeout" => learn.hard_timeout = number::u16(v, "hard_timeout")?,
            "fin_idle_timeout" => learn.fin_idle_timeout = number::u16(v, "fin_idle_timeout")?,
            "fin_hard_timeout" => learn.fin_hard_timeout = number::u16(v, "fin_hard_timeout")?,
            "cookie" => learn.cookie = number::u64(v)?,
            "send_flow_rem" => learn.send_flow_rem = true,
            "delete_learned" => learn.delete_learned = true,
            "limit" => learn.limit = number::u32(v)?,
            "result_dst" => learn.result_dst = Some(result(v)?),
            _ => learn.specs.push(spec(token, key, v, names)?),
        }
    }
    Ok(Action::Learn(Box::new(learn)))
}

fn table(whole: Token<'_>, v: Token<'_>, names: &Names) -> Result<u8, TextError> {
    match names.table(v.text()) {
        Some(255) => Err(v.error(format!(
            "{}: table id 255 not valid for `learn' action",
            whole.text()
        ))),
        Some(table) => Ok(table),
        None => Err(v.error(format!("unknown table \"{}\"", v.text()))),
    }
}

fn result(v: Token<'_>) -> Result<SubField, TextError> {
    let slice = subfield::parse(v)?;
    if slice.width != 1 {
        return Err(v.error("result_dst in 'learn' action must be a single bit"));
    }
    Ok(slice)
}

fn spec(
    whole: Token<'_>,
    key: Token<'_>,
    v: Token<'_>,
    names: &Names,
) -> Result<LearnSpec, TextError> {
    let name = key.text();
    if let Some(field) = Field::by_name(name) {
        return match_part(whole, key, v, field.whole(), names);
    }
    if let (true, Ok(slice)) = (name.contains('['), subfield::parse(key)) {
        return match_part(whole, key, v, slice, names);
    }
    match name {
        "load" => load_part(key, v),
        "output" => subfield::parse(v).map(LearnSpec::Output),
        _ => Err(key.error(format!("{}: unknown keyword {name}", whole.text()))),
    }
}

/// `DST`, `DST=SRC` or `DST=VALUE`.
fn match_part(
    whole: Token<'_>,
    key: Token<'_>,
    v: Token<'_>,
    dst: SubField,
    names: &Names,
) -> Result<LearnSpec, TextError> {
    let (orig, name) = (whole.text(), key.text());
    let has_id = dst.field.info().nxm.is_some()
        || dst.field.info().oxm.is_some_and(|id| id.experimenter == 0);
    if !has_id {
        return Err(key.error(format!(
            "{orig}: experimenter OXM field '{name}' not supported"
        )));
    }
    if v.is_empty() {
        return Ok(LearnSpec::Match {
            src: LearnSource::Field(dst),
            dst,
        });
    }
    let not_a_slice = match subfield::parse(v) {
        Ok(src) if src.width != dst.width => {
            return Err(v.error(format!(
                "{orig}: bit widths of {name} ({}) and {} ({}) differ",
                src.width,
                v.text(),
                dst.width
            )))
        }
        Ok(src) => {
            return Ok(LearnSpec::Match {
                src: LearnSource::Field(src),
                dst,
            })
        }
        Err(e) => e.message,
    };
    let value = immediate(whole, v, dst, names).map_err(|e| {
        v.error(format!(
            "{orig}: {name} value {} cannot be parsed as a subfield ({not_a_slice}) or an \
             immediate value ({})",
            v.text(),
            e.message
        ))
    })?;
    Ok(LearnSpec::Match {
        src: LearnSource::Value {
            n_bits: dst.width,
            value,
        },
        dst,
    })
}

fn immediate(
    whole: Token<'_>,
    v: Token<'_>,
    dst: SubField,
    names: &Names,
) -> Result<u128, TextError> {
    if dst == dst.field.whole() {
        return value::parse_exact(dst.field, v, names);
    }
    let orig = whole.text();
    match scan_wide(v.text(), dst.field.n_bytes()) {
        Ok((value, taken)) if taken == v.text().len() => fitting(v, orig, value, dst),
        _ => Err(v.error(format!("{orig}: cannot parse integer value"))),
    }
}

fn fitting(v: Token<'_>, orig: &str, value: u128, dst: SubField) -> Result<u128, TextError> {
    if fits(value, dst) {
        return Ok(value);
    }
    let (printed, width) = (print_value(dst.field, value), dst.width);
    Err(v.error(format!(
        "{orig}: value {printed} does not fit into {width} bits"
    )))
}

/// `VALUE->DST` or `SRC->DST`
fn load_part(key: Token<'_>, v: Token<'_>) -> Result<LearnSpec, TextError> {
    let (name, text) = (key.text(), v.text());
    let Some((source, target)) = v.split_once("->") else {
        return Err(v.error(format!("{name}: missing `->' in `{text}'")));
    };
    if source.is_empty() {
        return Err(v.error(format!("{name}: missing source before `->' in `{text}'")));
    }
    let value = match scan_wide(source.text(), 16) {
        Ok((value, taken)) if taken == source.text().len() => value,
        _ => {
            let (src, dst) = move_slices(v)?;
            return Ok(LearnSpec::Load {
                src: LearnSource::Field(src),
                dst,
            });
        }
    };
    let dst = subfield::parse(target)?;
    if !fits(value, dst) {
        let width = dst.width;
        return Err(source.error(format!("{text}: value does not fit into {width} bits")));
    }
    Ok(LearnSpec::Load {
        src: LearnSource::Value {
            n_bits: dst.width,
            value,
        },
        dst,
    })
}

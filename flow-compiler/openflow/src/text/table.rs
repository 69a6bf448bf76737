//! Settings of tables and mappings of tunnel options, read from text.

use super::error::TextError;
use super::names::Names;
use super::token::Token;
use crate::message::{TlvMap, Vacancy};
use crate::Version;

/// What `mod-table` sets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TableSetting {
    /// What happens without a match (1.1 and 1.2): 0 controller, 1 continue, 2 drop.
    Miss(u32),
    /// Rules make room for others (1.4 and later).
    Eviction(bool),
    /// Controllers hear when it fills (1.4 and later).
    Vacancy(Option<Vacancy>),
    /// A name (1.3 and later).
    Name(String),
}

impl TableSetting {
    /// Versions that can say it.
    pub fn versions(&self) -> &'static [Version] {
        match self {
            TableSetting::Miss(_) => &[Version::V11, Version::V12],
            TableSetting::Name(_) => &[Version::V13, Version::V14, Version::V15],
            _ => &[Version::V14, Version::V15],
        }
    }
}

/// Reads the table (`None` for all) and the setting of `mod-table`.
pub fn parse_table_mod(table: &str, setting: &str, names: &Names) -> Result<(Option<u8>, TableSetting), TextError> {
    let which = Token::new(table);
    let table = match table.eq_ignore_ascii_case("all") {
        true => None,
        false => Some(names.table(table).ok_or_else(|| which.error(format!("unknown table \"{table}\"")))?),
    };
    let what = match setting {
        "controller" => TableSetting::Miss(0),
        "continue" if table == Some(0xfe) => {
            return Err(Token::new(setting).error("last table's flow miss handling can not be continue"));
        }
        "continue" => TableSetting::Miss(1),
        "drop" => TableSetting::Miss(2),
        "evict" => TableSetting::Eviction(true),
        "noevict" => TableSetting::Eviction(false),
        "novacancy" => TableSetting::Vacancy(None),
        _ => match setting.split_once(':') {
            Some(("vacancy", range)) => TableSetting::Vacancy(Some(vacancy(Token::new(range))?)),
            Some(("name", name)) if table.is_some() => TableSetting::Name(name.to_string()),
            _ => return Err(Token::new(setting).error(format!("invalid table_mod setting {setting}"))),
        },
    };
    Ok((table, what))
}

fn vacancy(range: Token<'_>) -> Result<Vacancy, TextError> {
    let percent = |t: &str| t.parse::<u8>().ok().filter(|n| *n <= 100);
    let mut ends = range.text().split(',');
    let down = ends.next().filter(|t| !t.is_empty()).ok_or_else(|| range.error("Vacancy down value missing"))?;
    let up = ends.next();
    let down = percent(down).ok_or_else(|| range.error(format!("Invalid vacancy down value \"{down}\"")))?;
    let up = up.ok_or_else(|| range.error("Vacancy up value missing"))?;
    let up = percent(up).ok_or_else(|| range.error(format!("Invalid vacancy up value \"{up}\"")))?;
    if down > up {
        let what = "Invalid vacancy range, vacancy up should be greater than vacancy down (OFPBPC_BAD_VALUE)";
        return Err(range.error(what));
    }
    Ok(Vacancy { down, up, current: 0 })
}

/// Reads `{class=0xffff,type=1,len=4}->tun_metadata0,...`.
pub fn parse_tlv_maps(text: &str) -> Result<Vec<TlvMap>, TextError> {
    let whole = Token::new(text);
    let mut maps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let invalid = || whole.error("invalid tlv mapping");
        rest = rest.strip_prefix(',').unwrap_or(rest);
        let inner = rest.strip_prefix('{').ok_or_else(invalid)?;
        let (option, tail) = inner.split_once("}->tun_metadata").ok_or_else(invalid)?;
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (index, after) = tail.split_at(digits);
        let mut words = option.split(',');
        let mut word = |name: &str| words.next().and_then(|w| integer(w.strip_prefix(name)?));
        let (class, kind, len) = (word("class="), word("type="), word("len="));
        let (Some(class), Some(kind), Some(len), Ok(index)) = (class, kind, len, index.parse()) else { return Err(invalid()) };
        let (Ok(class), Ok(kind), Ok(len)) = (u16::try_from(class), u8::try_from(kind), u8::try_from(len)) else {
            return Err(invalid());
        };
        maps.push(TlvMap { class, kind, len, index });
        rest = after;
    }
    Ok(maps)
}

/// Decimal, or hexadecimal with `0x`.
fn integer(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

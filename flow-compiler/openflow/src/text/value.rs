//! Values of fields, read from text.
//!
//! Purpose: `10.0.0.0/8`, `0x10/0xff`, `+trk`, `LOCAL` as a value and a mask.
//! Invariant: the mask is one that the field may have.
//! Deliberately does not know: matches and actions.

use super::error::TextError;
use super::flags::FlagNames;
use super::names::Names;
use super::number::{scan_option, scan_wide, NumberError};
use super::token::Token;
use crate::field::{Field, Format};
use crate::wide::Wide;
use crate::PortNo;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A value and the mask under which it counts, right-aligned. An exact one has every bit of its mask
/// set that the field's bytes have.
pub(super) type Masked = (u128, u128);

/// Reads `VALUE` or `VALUE/MASK`.
pub(super) fn parse(field: Field, token: Token<'_>, names: &Names) -> Result<Masked, TextError> {
    let (value, mask) = match field.info().format {
        Format::Decimal | Format::Hex => integer(field, token)?,
        Format::Ethernet => ethernet(token)?,
        Format::Ipv4 => ipv4(token)?,
        Format::Ipv6 => ipv6(token)?,
        Format::Port => port(field, token, names)?,
        Format::Frag => fragment(token)?,
        Format::PacketType => packet_type(token)?,
        format @ (Format::CtState | Format::TcpFlags | Format::TunnelFlags) => {
            let names = FlagNames::of(format).ok_or_else(|| token.error("no such flags"))?;
            let (flags, mask) = names.parse(token)?;
            (
                u128::from(flags),
                if mask == u32::MAX {
                    u128::MAX
                } else {
                    u128::from(mask)
                },
            )
        }
    };
    let exact = mask & all_bytes(field) == all_bytes(field);
    if !field.info().maskable && !exact && mask != 0 {
        let text = token.text();
        return Err(token.error(format!(
            "{text}: invalid mask for field {}",
            field.info().name
        )));
    }
    Ok((value, mask))
}

/// Reads `VALUE` where no mask may stand.
pub(super) fn parse_exact(
    field: Field,
    token: Token<'_>,
    names: &Names,
) -> Result<u128, TextError> {
    let (value, mask) = parse(field, token, names)?;
    if mask & all_bytes(field) != all_bytes(field) {
        return Err(token.error(format!("{}: wildcards not allowed here", token.text())));
    }
    Ok(value)
}

/// All ones over the bytes that a value of the field takes.
pub(super) fn all_bytes(field: Field) -> u128 {
    match field.info().format {
        Format::CtState | Format::TcpFlags | Format::TunnelFlags | Format::Frag => field.ones(),
        _ => match field.n_bytes() {
            bytes @ 0..=15 => (1 << (bytes * 8)) - 1,
            _ => u128::MAX,
        },
    }
}

fn integer(field: Field, token: Token<'_>) -> Result<Masked, TextError> {
    let (text, bytes) = (token.text(), field.n_bytes());
    let name = field.info().name;
    let refuse = |error, part: &str| {
        token.error(match error {
            NumberError::Range => format!("{text}: {part} too large for {bytes}-byte field {name}"),
            NumberError::Syntax => format!("{text}: bad syntax for {name} {part}"),
        })
    };
    let (value, taken) = scan_wide(text, bytes).map_err(|e| refuse(e, "value"))?;
    let rest = text.get(taken..).unwrap_or("");
    if rest.is_empty() {
        return Ok((value, u128::MAX));
    }
    let mask_text = rest
        .strip_prefix('/')
        .ok_or_else(|| refuse(NumberError::Syntax, "value"))?;
    let (mask, taken) = scan_wide(mask_text, bytes).map_err(|e| refuse(e, "mask"))?;
    if taken != mask_text.len() {
        return Err(refuse(NumberError::Syntax, "mask"));
    }
    Ok((value, mask))
}

/// Reads `VALUE` or `VALUE/MASK` of a tunnel option.
pub(super) fn parse_option(field: Field, token: Token<'_>) -> Result<(Wide, Wide), TextError> {
    let (text, name) = (token.text(), field.info().name);
    let refuse = |error, part: &str| {
        token.error(match error {
            NumberError::Range => format!("{text}: {part} too large for {}-byte field {name}", field.n_bytes()),
            NumberError::Syntax => format!("{text}: bad syntax for {name} {part}"),
        })
    };
    let (value, taken) = scan_option(text).map_err(|e| refuse(e, "value"))?;
    let rest = text.get(taken..).unwrap_or("");
    if rest.is_empty() {
        return Ok((value, Wide::ONES));
    }
    let mask_text = rest.strip_prefix('/').ok_or_else(|| refuse(NumberError::Syntax, "value"))?;
    let (mask, taken) = scan_option(mask_text).map_err(|e| refuse(e, "mask"))?;
    if taken != mask_text.len() {
        return Err(refuse(NumberError::Syntax, "mask"));
    }
    Ok((value, mask))
}

fn ethernet(token: Token<'_>) -> Result<Masked, TextError> {
    let text = token.text();
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (mac(value), mac(mask)),
        None => (mac(text), Some(u128::MAX)),
    };
    value
        .zip(mask)
        .ok_or_else(|| token.error(format!("{text}: invalid Ethernet address")))
}

/// Six bytes in hexadecimal between colons.
pub(super) fn mac(text: &str) -> Option<u128> {
    let mut value = 0;
    let mut bytes = 0;
    for part in text.split(':') {
        let digits = part.len() <= 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
        if !digits || bytes == 6 {
            return None;
        }
        value = value << 8 | u128::from(u8::from_str_radix(part, 16).ok()?);
        bytes += 1;
    }
    (bytes == 6).then_some(value)
}

fn ipv4(token: Token<'_>) -> Result<Masked, TextError> {
    let text = token.text();
    let bad = || token.error(format!("{text}: invalid IP address"));
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    };
    let value = ipv4_address(address).ok_or_else(bad)?;
    let mask = match mask {
        None => u128::MAX,
        Some(mask) => match ipv4_address(mask) {
            Some(mask) => mask,
            None => prefix(mask, 32).map_err(|e| match e {
                NumberError::Syntax => bad(),
                NumberError::Range => token.error(format!(
                    "{text}: IPv4 network prefix bits not between 0 and 32, inclusive"
                )),
            })?,
        },
    };
    Ok((value, mask))
}

/// Four decimal bytes; unlike the standard library, zeros may stand in front.
pub(super) fn ipv4_address(text: &str) -> Option<u128> {
    let mut value = 0;
    let mut bytes = 0;
    for part in text.split('.') {
        let digits = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if !digits || bytes == 4 {
            return None;
        }
        value = value << 8 | u128::from(part.parse::<u8>().ok()?);
        bytes += 1;
    }
    (bytes == 4).then_some(value)
}

/// A prefix length as a mask of `bits` bits, or what is wrong with it: `Syntax` when it is no number,
/// `Range` when it is none that a prefix can have.
fn prefix(text: &str, bits: u32) -> Result<u128, NumberError> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(unsigned.len());
    let (digits, rest) = unsigned.split_at(end);
    if digits.is_empty() {
        return Err(NumberError::Syntax);
    }
    let length = digits
        .parse::<u32>()
        .ok()
        .filter(|n| *n <= bits && !text.starts_with('-'));
    let length = length.ok_or(NumberError::Range)?;
    if !rest.is_empty() {
        return Err(NumberError::Syntax);
    }
    let all = u128::MAX >> (128 - bits);
    Ok(all & all.checked_shl(bits - length).unwrap_or(0))
}

fn ipv6(token: Token<'_>) -> Result<Masked, TextError> {
    let text = token.text();
    let bad = || token.error(format!("{text}: invalid IPv6 address"));
    let address = |t: &str| t.parse::<Ipv6Addr>().ok().map(u128::from);
    let Some((value, mask)) = text.split_once('/') else {
        return address(text).map(|v| (v, u128::MAX)).ok_or_else(bad);
    };
    let value = address(value).ok_or_else(bad)?;
    let mask = match prefix(mask, 128) {
        Ok(mask) => mask,
        Err(NumberError::Range) => {
            return Err(token.error(format!(
                "{text}: IPv6 network prefix bits not between 0 and 128, inclusive"
            )))
        }
        Err(NumberError::Syntax) => match address(mask) {
            Some(mask) => mask,
            None if mask.starts_with(|c: char| c.is_ascii_digit()) => return Err(bad()),
            None => return Err(token.error(format!("{text}: Invalid IPv6 mask"))),
        },
    };
    Ok((value, mask))
}

/// One address for an action.
pub(super) fn one_ipv4(token: Token<'_>) -> Result<u32, TextError> {
    let address = token.text().parse::<Ipv4Addr>().ok().map(u32::from);
    address
        .or_else(|| ipv4_address(token.text()).map(|v| v as u32))
        .ok_or_else(|| token.error(format!("{}: could not convert to IP address", token.text())))
}

fn port(field: Field, token: Token<'_>, names: &Names) -> Result<Masked, TextError> {
    let text = token.text();
    let name = field.info().name;
    // `in_port` has 16 bits, as in OpenFlow 1.0.
    let number = |port: PortNo| match field {
        Field::IN_PORT => port.to_u16().map(u128::from),
        _ => Some(u128::from(port.0)),
    };
    names
        .port(text)
        .and_then(number)
        .map(|port| (port, u128::MAX))
        .ok_or_else(|| {
            token.error(match field {
                Field::IN_PORT => format!("{text}: invalid or unknown port for {name}"),
                _ => format!("{text}: port value out of range for {name}"),
            })
        })
}

fn fragment(token: Token<'_>) -> Result<Masked, TextError> {
    Ok(match token.text() {
        "no" => (0, 3),
        "first" => (1, 3),
        "later" => (3, 3),
        "yes" => (1, 1),
        "not_later" => (0, 2),
        text => {
            return Err(token.error(format!(
                "{text}: unknown fragment type (valid types are \"no\", \"yes\", \"first\", \
                 \"later\", \"not_later\""
            )))
        }
    })
}

/// `(NAMESPACE,TYPE)`
fn packet_type(token: Token<'_>) -> Result<Masked, TextError> {
    let bad =
        |at: &str, what: &str| token.error(format!("{at}: bad syntax for packet type {what}"));
    let text = token.text();
    let rest = text
        .strip_prefix('(')
        .ok_or_else(|| bad(text, "missing '('"))?;
    let (space, rest) = packet_number(rest).ok_or_else(|| bad(rest, "ns"))?;
    let rest = rest.strip_prefix(',').unwrap_or(rest);
    let (kind, end) = packet_number(rest).ok_or_else(|| bad(rest, "ns_type"))?;
    if !end.starts_with(')') {
        return Err(bad(rest, "missing ')'"));
    }
    Ok((space << 16 | kind, u128::MAX))
}

/// 16 bits and what follows them.
fn packet_number(text: &str) -> Option<(u128, &str)> {
    let (value, taken) = scan_wide(text, 2).ok()?;
    Some((value, text.get(taken..)?))
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;

//! `encap(...)` and `decap(...)`, both ways.
//!
//! Purpose: headers that are put on and taken off, with their properties.
//! Invariant: a property's value fits its one-byte length. Deliberately does not know: packets.

use super::super::error::TextError;
use super::super::number;
use super::super::token::Token;
use crate::action::{Action, Encap};
use std::fmt::Write;

type Parsed = Result<Action, TextError>;

const ETHERNET: u32 = 0;
const NSH: u32 = 0x0001_894f;
const MPLS: u32 = 0x0001_8847;
const MPLS_MULTICAST: u32 = 0x0001_8848;
/// Headers that can be put on.
const HEADERS: [(&str, u32); 4] = [
    ("ethernet", ETHERNET),
    ("nsh", NSH),
    ("mpls", MPLS),
    ("mpls_mc", MPLS_MULTICAST),
];
/// Class of the properties of a service header.
const CLASS_NSH: u16 = 4;
const MD_TYPE: u8 = 1;
const TLV: u8 = 2;

/// `ethernet`, `nsh(...)`, `mpls` or `mpls_mc`.
pub(in super::super) fn encap(token: Token<'_>) -> Parsed {
    let Some((key, v)) = token.pairs().next() else {
        return Err(token.error("Missing encap hdr: "));
    };
    let Some((_, kind)) = HEADERS.iter().find(|(name, _)| *name == key.text()) else {
        return Err(key.error(format!("Encap hdr not supported: {}", v.text())));
    };
    let mut properties = Vec::new();
    for (name, value) in v.pairs() {
        properties.push(match (*kind, name.text()) {
            (NSH, "md_type") => (CLASS_NSH, MD_TYPE, md_type(value)?),
            (NSH, "tlv") => (CLASS_NSH, TLV, tlv(value)?),
            (_, other) => return Err(name.error(format!("Invalid property: {other}"))),
        });
    }
    Ok(Action::Encap(Box::new(Encap {
        new_packet_type: *kind,
        hdr_size: 0,
        properties,
    })))
}

fn md_type(token: Token<'_>) -> Result<Vec<u8>, TextError> {
    match number::u8(token, "md_type")? {
        kind @ 1..=2 => Ok(vec![kind]),
        _ => Err(token.error("invalid md_type")),
    }
}

/// `0xCLASS,TYPE,0xHEX`: class, type, length, value.
fn tlv(token: Token<'_>) -> Result<Vec<u8>, TextError> {
    let bad = || token.error(format!("Invalid NSH TLV header: {}", token.text()));
    let mut words = token.words(&[',']);
    let (Some(class), Some(kind), Some(value), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad());
    };
    let class_digits = class.text().strip_prefix("0x").ok_or_else(bad)?;
    let class = u16::from_str_radix(class_digits, 16).map_err(|_| bad())?;
    let kind: u8 = kind.text().parse().map_err(|_| bad())?;
    let digits = value.text().strip_prefix("0x").ok_or_else(bad)?;
    let bytes: Option<Vec<u8>> = digits
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let bytes = bytes
        .filter(|b| !b.is_empty() && b.len() <= 252)
        .ok_or_else(bad)?;
    let [high, low] = class.to_be_bytes();
    let mut out = vec![high, low, kind, bytes.len() as u8];
    out.extend(bytes);
    Ok(out)
}

/// Nothing, or `packet_type(ns=N,type=T)`.
pub(in super::super) fn decap(token: Token<'_>) -> Parsed {
    let mut new_packet_type = None;
    for (key, v) in token.pairs() {
        if key.text() != "packet_type" {
            return Err(key.error(format!("Invalid decap argument: {}", key.text())));
        }
        new_packet_type = Some(packet_type(v)?);
    }
    Ok(Action::Decap { new_packet_type })
}

fn packet_type(token: Token<'_>) -> Result<u32, TextError> {
    let (mut space, mut kind) = (None, None);
    for (key, v) in token.pairs() {
        match key.text() {
            "ns" => space = Some(number::u16(v, "ns")?),
            "type" => kind = Some(number::u16(v, "type")?),
            other => return Err(key.error(format!("Invalid packet_type attribute {other}"))),
        }
    }
    let missing = |what: &str| token.error(format!("Missing packet_type attribute {what}"));
    let space = space.ok_or_else(|| missing("ns"))?;
    let kind = kind.ok_or_else(|| missing("type"))?;
    Ok(u32::from(space) << 16 | u32::from(kind))
}

/// Prints `encap(...)`.
pub(in super::super) fn write_encap(out: &mut String, encap: &Encap) {
    out.push_str("encap(");
    match HEADERS
        .iter()
        .find(|(_, kind)| *kind == encap.new_packet_type)
    {
        Some((name, _)) => out.push_str(name),
        None => {
            let kind = encap.new_packet_type;
            let _ = write!(out, "packet_type=({},0x{:x})", kind >> 16, kind & 0xffff);
        }
    }
    let mut between = '(';
    for (_, kind, value) in &encap.properties {
        out.push(between);
        between = ',';
        write_property(out, *kind, value);
    }
    if between == ',' {
        out.push(')');
    }
    out.push(')');
}

fn write_property(out: &mut String, kind: u8, value: &[u8]) {
    match (kind, value) {
        (MD_TYPE, [md_type, ..]) => {
            let _ = write!(out, "md_type={md_type}");
        }
        (TLV, [high, low, kind, length, bytes @ ..]) => {
            let class = u16::from_be_bytes([*high, *low]);
            let _ = write!(out, "tlv(0x{class:04x},{kind},0x");
            for byte in bytes.iter().take(usize::from(*length)) {
                let _ = write!(out, "{byte:02x}");
            }
            out.push(')');
        }
        _ => out.push_str("unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_a_number_of_sixteen_bits() {
        assert_eq!(
            tlv(Token::new("0x1000,10,0x1234")).ok(),
            Some(vec![0x10, 0, 10, 2, 0x12, 0x34])
        );
        assert!(tlv(Token::new("4096,10,0x1234")).is_err());
        assert!(tlv(Token::new("0x1000,10,é0")).is_err());
    }
}

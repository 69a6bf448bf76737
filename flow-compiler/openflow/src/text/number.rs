//! Numbers as C programs read them.
//!
//! Purpose: `10`, `0x1f`, `017`, `-1` exactly as `ovs-ofctl` understands them.
//! Invariant: what is accepted fits the width that was asked for.
//! Deliberately does not know: fields.

use super::error::TextError;
use super::token::Token;
use crate::wide::{Wide, WIDEST};

/// Why a number was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NumberError {
    /// No digits.
    Syntax,
    /// Too large for its place.
    Range,
}

/// Reads a number in base 8, 10 or 16 and returns it with the length that it took.
/// A minus sign wraps around, as `strtoull` does.
pub(super) fn scan_u64(text: &str) -> Result<(u64, usize), NumberError> {
    let trimmed = text.trim_start_matches([' ', '\t', '\r', '\n']);
    let (negative, digits) = match trimmed.as_bytes().first() {
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let hex = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let (base, digits) = match hex {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_hexdigit()) => (16, rest),
        _ if digits.starts_with('0') => (8, digits),
        _ => (10, digits),
    };
    let end = digits
        .find(|c: char| !c.is_digit(base))
        .unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if digits.is_empty() {
        return Err(NumberError::Syntax);
    }
    let value = u64::from_str_radix(digits, base).map_err(|_| NumberError::Range)?;
    let value = if negative {
        value.wrapping_neg()
    } else {
        value
    };
    Ok((value, text.len() - rest.len()))
}

/// Reads a number of `bytes` bytes, at most 16, for a field. Hexadecimal digits may have any number
/// of zeros in front and spaces between them.
pub(super) fn scan_wide(text: &str, bytes: u16) -> Result<(u128, usize), NumberError> {
    let bits = (bytes.min(16) as u32) * 8;
    let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) else {
        let (value, taken) = scan_u64(text)?;
        let too_large = bits < 64 && value >> bits != 0;
        return if too_large {
            Err(NumberError::Range)
        } else {
            Ok((value as u128, taken))
        };
    };
    let (mut value, mut taken) = (0u128, 2);
    for c in hex.chars() {
        match c.to_digit(16) {
            Some(digit) if value >> (bits - 4) == 0 => value = value << 4 | digit as u128,
            Some(_) => return Err(NumberError::Range),
            None if matches!(c, ' ' | '\t' | '\r' | '\n') => {}
            None => break,
        }
        taken += c.len_utf8();
    }
    Ok((value, taken))
}

/// Reads a number for a tunnel option: in hexadecimal of up to 124 bytes.
pub(super) fn scan_option(text: &str) -> Result<(Wide, usize), NumberError> {
    let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) else {
        return scan_u64(text).map(|(v, taken)| (Wide::from(u128::from(v)), taken));
    };
    let blank = |c: &char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let end = hex.find(|c: char| !c.is_ascii_hexdigit() && !blank(&c)).unwrap_or(hex.len());
    let digits: Vec<u8> = hex.chars().take(end).filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    let digits = &digits[digits.iter().position(|d| *d != 0).unwrap_or(digits.len())..];
    if digits.len() > 2 * WIDEST {
        return Err(NumberError::Range);
    }
    let bytes: Vec<u8> = digits.rchunks(2).rev().map(|pair| pair.iter().fold(0, |v, d| v << 4 | d)).collect();
    Ok((Wide::from_bytes(&bytes), 2 + end))
}

/// A whole token as a number below `limit`, or the error that names it `name`.
fn below(token: Token<'_>, name: &str, limit: u64) -> Result<u64, TextError> {
    match scan_i64(token.text()) {
        Some(value) if (0..limit as i64).contains(&value) => Ok(value as u64),
        _ => Err(token.error(format!("invalid {name} \"{}\"", token.text()))),
    }
}

fn scan_i64(text: &str) -> Option<i64> {
    match scan_u64(text) {
        Ok((value, taken)) if taken == text.len() => {
            let value = value as i64;
            i32::try_from(value).ok().map(i64::from)
        }
        _ => None,
    }
}

/// 8 bits.
pub(super) fn u8(token: Token<'_>, name: &str) -> Result<u8, TextError> {
    below(token, name, 0x100).map(|v| v as u8)
}

/// 16 bits.
pub(super) fn u16(token: Token<'_>, name: &str) -> Result<u16, TextError> {
    below(token, name, 0x1_0000).map(|v| v as u16)
}

/// 32 bits.
pub(super) fn u32(token: Token<'_>) -> Result<u32, TextError> {
    let value = u64(token)?;
    // `strtoul` works in 64 bits; what does not fit is cut, as in C.
    u32::try_from(value).or_else(|_| {
        if (value as i64) < 0 && value as i64 >= i64::from(i32::MIN) {
            Ok(value as u32)
        } else {
            Err(token.error(format!("value {} is too large for 32 bits", token.text())))
        }
    })
}

/// 64 bits.
pub(super) fn u64(token: Token<'_>) -> Result<u64, TextError> {
    let text = token.text();
    if text.is_empty() {
        return Err(token.error("missing required numeric argument"));
    }
    match scan_u64(text) {
        Ok((value, taken)) if taken == text.len() => Ok(value),
        _ => Err(token.error(format!("invalid numeric format {text}"))),
    }
}

/// Decimal digits at the start of a text, as C's `atoi` reads them; 0 without any.
pub(super) fn atoi(text: &str) -> i64 {
    let trimmed = text.trim_start_matches([' ', '\t', '\r', '\n']);
    let (sign, digits) = match trimmed.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let mut value = 0i64;
    for digit in digits.bytes().take_while(u8::is_ascii_digit) {
        value = value
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'));
    }
    sign * value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        type Answer = Result<(u64, usize), NumberError>;
        let cases: &[(&str, Answer)] = &[
            ("10", Ok((10, 2))),
            ("0x1F", Ok((31, 4))),
            ("017", Ok((15, 3))),
            ("0x", Ok((0, 1))),
            ("08", Ok((0, 1))),
            ("-1", Ok((u64::MAX, 2))),
            (" +5x", Ok((5, 3))),
            ("18446744073709551615", Ok((u64::MAX, 20))),
            ("18446744073709551616", Err(NumberError::Range)),
            ("", Err(NumberError::Syntax)),
            ("-", Err(NumberError::Syntax)),
            ("x", Err(NumberError::Syntax)),
        ];
        for (text, expected) in cases {
            assert_eq!(scan_u64(text), *expected, "{text:?}");
        }
    }

    #[test]
    fn wide_numbers_keep_to_their_width() {
        assert_eq!(scan_wide("0x0000000000ff/0xff", 1), Ok((0xff, 14)));
        assert_eq!(scan_wide("0x100", 1), Err(NumberError::Range));
        assert_eq!(scan_wide("256", 1), Err(NumberError::Range));
        assert_eq!(
            scan_wide("0x00112233445566778899aabbccddeeff", 16).map(|v| v.0 >> 120),
            Ok(0)
        );
        assert_eq!(
            scan_wide(&format!("0x{}", "f".repeat(33)), 16),
            Err(NumberError::Range)
        );
    }
}

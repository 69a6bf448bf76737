//! Sets of named bits: `+trk-new`, `syn|ack`, `0x3/0x7`.
//!
//! Purpose: read and print the flag fields. Invariant: what is read uses only bits that the field has.
//! Deliberately does not know: which field a set belongs to beyond its names.

use super::error::TextError;
use super::number::scan_u64;
use super::token::Token;
use crate::field::Format;
use std::fmt::Write;

/// The names of a field's bits.
pub(super) struct FlagNames {
    /// The word in errors.
    pub what: &'static str,
    /// Name of bit `n`.
    pub names: &'static [&'static str],
    /// Bits that exist.
    pub allowed: u32,
}

const CT_STATE: FlagNames = FlagNames {
    what: "ct_state",
    names: &["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"],
    allowed: 0xff,
};
const TCP_FLAGS: FlagNames = FlagNames {
    what: "TCP",
    names: &[
        "fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]",
    ],
    allowed: 0xfff,
};
const TUNNEL_FLAGS: FlagNames = FlagNames {
    what: "tunnel",
    names: &["oam"],
    allowed: 1,
};

impl FlagNames {
    /// The names of a format that has any.
    pub fn of(format: Format) -> Option<&'static FlagNames> {
        match format {
            Format::CtState => Some(&CT_STATE),
            Format::TcpFlags => Some(&TCP_FLAGS),
            Format::TunnelFlags => Some(&TUNNEL_FLAGS),
            _ => None,
        }
    }

    fn bit(&self, name: &str) -> Option<u32> {
        self.names.iter().position(|n| *n == name).map(|i| 1 << i)
    }

    /// Reads a set; without a sign or a mask every bit counts.
    pub fn parse(&self, token: Token<'_>) -> Result<(u32, u32), TextError> {
        let unknown = |at: &str| token.error(format!("{at}: unknown {} flag(s)", self.what));
        let text = token.text();
        if let Some((flags, mask)) = masked_number(text) {
            let fits = (flags | mask) & !u64::from(self.allowed) == 0;
            return if fits {
                Ok((flags as u32, mask as u32))
            } else {
                Err(unknown(text))
            };
        }
        if text.starts_with(['+', '-']) {
            return self.parse_signed(token);
        }
        let mut flags = 0;
        for part in text.split_terminator('|') {
            let bits = match scan_u64(part) {
                Ok((bits, n)) if n == part.len() && bits & !u64::from(self.allowed) == 0 => {
                    bits as u32
                }
                _ => self.bit(part).ok_or_else(|| unknown(text))?,
            };
            flags |= bits;
        }
        Ok((flags, u32::MAX))
    }

    /// `+bit-bit…`
    fn parse_signed(&self, token: Token<'_>) -> Result<(u32, u32), TextError> {
        let (mut flags, mut mask) = (0, 0);
        let mut rest = token.text();
        while !rest.is_empty() {
            let set = rest.starts_with('+');
            let name_on = rest.get(1..).unwrap_or("");
            let end = name_on.find(['+', '-']).unwrap_or(name_on.len());
            let (name, after) = name_on.split_at(end);
            let Some(bit) = self.bit(name) else {
                return Err(token.error(format!("{name_on}: unknown {} flag(s)", self.what)));
            };
            if mask & bit != 0 {
                let what = self.what;
                return Err(token.error(format!(
                    "{name_on}: Each {what} flag can be specified only once"
                )));
            }
            mask |= bit;
            flags |= if set { bit } else { 0 };
            rest = after;
        }
        Ok((flags, mask))
    }

    /// Prints a set under a mask; `full` is the mask under which every bit counts.
    pub fn write(&self, out: &mut String, flags: u32, mask: u32, full: u32) {
        if mask == full {
            return self.write_plain(out, flags);
        }
        if mask == 0 {
            out.push_str("0/0");
        }
        for i in (0..32).filter(|i| mask & (1 << i) != 0) {
            out.push(if flags & (1 << i) != 0 { '+' } else { '-' });
            out.push_str(self.names.get(i as usize).unwrap_or(&"[Unknown]"));
        }
    }

    fn write_plain(&self, out: &mut String, flags: u32) {
        if flags == 0 {
            out.push('0');
        }
        let mut between = "";
        let mut unknown = flags;
        for (i, name) in self
            .names
            .iter()
            .enumerate()
            .filter(|(i, _)| flags & (1 << i) != 0)
        {
            let _ = write!(out, "{between}{name}");
            between = "|";
            unknown &= !(1 << i);
        }
        if unknown != 0 {
            let _ = write!(out, "{between}0x{unknown:x}");
        }
    }
}

/// `VALUE/MASK`, both numbers.
fn masked_number(text: &str) -> Option<(u64, u64)> {
    let (value, taken) = scan_u64(text).ok()?;
    let mask = text.get(taken..)?.strip_prefix('/')?;
    let (mask_value, taken) = scan_u64(mask).ok()?;
    (taken == mask.len()).then_some((value, mask_value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_flags_are_read_and_printed() {
        let cases: &[(&FlagNames, &str, u32, u32, u32, &str)] = &[
            (&CT_STATE, "+trk+new", 0x21, 0x21, u32::MAX, "+new+trk"),
            (
                &CT_STATE,
                "+est-rel-rpl",
                0x02,
                0x0e,
                u32::MAX,
                "+est-rel-rpl",
            ),
            (&CT_STATE, "0x21/0x23", 0x21, 0x23, u32::MAX, "+new-est+trk"),
            (&CT_STATE, "est|trk", 0x22, u32::MAX, u32::MAX, "est|trk"),
            (&CT_STATE, "0", 0, u32::MAX, u32::MAX, "0"),
            (&TCP_FLAGS, "+syn-ack", 0x02, 0x12, 0xfff, "+syn-ack"),
            (&TCP_FLAGS, "0x800", 0x800, u32::MAX, u32::MAX, "[800]"),
            (&TUNNEL_FLAGS, "-oam", 0, 1, 0, "-oam"),
        ];
        for (names, text, flags, mask, full, printed) in cases {
            assert_eq!(
                names.parse(Token::new(text)).ok(),
                Some((*flags, *mask)),
                "{text}"
            );
            let mut out = String::new();
            names.write(&mut out, *flags, *mask, *full);
            assert_eq!(out, *printed);
        }
    }

    #[test]
    fn what_is_not_a_flag_is_refused() {
        let cases: &[(&FlagNames, &str, &str)] = &[
            (&CT_STATE, "+foo", "foo: unknown ct_state flag(s)"),
            (&CT_STATE, "foo", "foo: unknown ct_state flag(s)"),
            (
                &CT_STATE,
                "0x100/0x100",
                "0x100/0x100: unknown ct_state flag(s)",
            ),
            (
                &CT_STATE,
                "+new+new",
                "new: Each ct_state flag can be specified only once",
            ),
            (&TCP_FLAGS, "0x1000", "0x1000: unknown TCP flag(s)"),
            (&TUNNEL_FLAGS, "+df", "df: unknown tunnel flag(s)"),
        ];
        for (names, text, message) in cases {
            let error = names.parse(Token::new(text)).err().map(|e| e.message);
            assert_eq!(error.as_deref(), Some(*message), "{text}");
        }
    }
}

//! Matches, read from text.
//!
//! Purpose: `tcp,nw_src=10.0.0.0/8,tp_dst=80` as a [`Match`].
//! Invariant: what the flow key cannot hold is refused, never dropped.
//! Deliberately does not know: the words of a rule that are no match (`priority`, `table`, …).

use super::error::TextError;
use super::formats::Formats;
use super::names::Names;
use super::number::{scan_option, scan_wide};
use super::token::Token;
use super::{subfield, value, value_print};
use crate::field::{Field, SubField};
use crate::matching::{Match, OptionError};
use crate::wide::Wide;
use crate::PortNo;

/// The Ethernet type and, where not 0, the IP protocol that a word stands for.
fn shorthand(word: &str) -> Option<(u16, u8)> {
    Some(match word {
        "ip" | "ipv4" | "ip4" => (0x0800, 0),
        "arp" => (0x0806, 0),
        "icmp" => (0x0800, 1),
        "tcp" => (0x0800, 6),
        "udp" => (0x0800, 17),
        "sctp" => (0x0800, 132),
        "ipv6" | "ip6" => (0x86dd, 0),
        "icmp6" => (0x86dd, 58),
        "tcp6" => (0x86dd, 6),
        "udp6" => (0x86dd, 17),
        "sctp6" => (0x86dd, 132),
        "rarp" => (0x8035, 0),
        "mpls" => (0x8847, 0),
        "mplsm" => (0x8848, 0),
        "eth" => (0, 0),
        _ => return None,
    })
}

/// A match that grows, and the formats that can still carry it.
pub(super) struct MatchText<'a> {
    pub matching: Match,
    pub formats: Formats,
    pub names: &'a Names,
}

impl<'a> MatchText<'a> {
    pub fn new(names: &'a Names) -> MatchText<'a> {
        MatchText {
            matching: Match::ANY,
            formats: Formats::ANY,
            names,
        }
    }

    /// Takes in a condition; false when the key is no word of a match.
    pub fn take(&mut self, key: Token<'_>, value: Token<'_>) -> Result<bool, TextError> {
        let name = key.text();
        if self.take_shorthand(name) {
            return Ok(true);
        }
        if let Some(field) = Field::by_name(name) {
            return self.take_field(field, key, value).map(|()| true);
        }
        if name.contains('[') {
            return self.take_slice(key, value).map(|()| true);
        }
        Ok(false)
    }

    /// Formats that can carry all conditions together: only extensible ones look inside IPv6.
    pub fn interplay(&self) -> Formats {
        let inside = [
            Field::NW_PROTO,
            Field::NW_TOS,
            Field::NW_ECN,
            Field::TCP_SRC,
            Field::TCP_DST,
        ];
        let ipv6 = self.matching.field(Field::ETH_TYPE).0 == 0x86dd;
        if ipv6 && inside.iter().any(|f| self.matching.field(*f).1 != 0) {
            Formats::EXTENSIBLE
        } else {
            Formats::ANY
        }
    }

    fn take_shorthand(&mut self, name: &str) -> bool {
        let Some((eth_type, protocol)) = shorthand(name) else {
            return false;
        };
        if eth_type != 0 {
            self.matching
                .set_field(Field::ETH_TYPE, u128::from(eth_type), u128::MAX);
        }
        if protocol != 0 {
            self.matching
                .set_field(Field::NW_PROTO, u128::from(protocol), u128::MAX);
        }
        true
    }

    fn take_field(
        &mut self,
        field: Field,
        key: Token<'_>,
        text: Token<'_>,
    ) -> Result<(), TextError> {
        // A field alone asks for nothing of its value.
        let text = if text.is_empty() {
            Token::new("0/0")
        } else {
            text
        };
        if let Some(n) = field.option_number() {
            let (v, mask) = value::parse_option(field, text)?;
            return self.set_option(n, &v, &mask, key);
        }
        let (v, mask) = value::parse(field, text, self.names).map_err(|mut e| {
            if text.text() == "0/0" {
                e.column = key.error("").column;
            }
            e
        })?;
        self.set(field, v, mask, key)
    }

    /// `FIELD[A..B]=VALUE`
    fn take_slice(&mut self, key: Token<'_>, text: Token<'_>) -> Result<(), TextError> {
        let slice = subfield::parse_any(key)?;
        let field = slice.field;
        if let Some(n) = field.option_number() {
            return self.take_option_slice(n, slice, key, text);
        }
        let (v, taken) = scan_wide(text.text(), field.n_bytes()).unwrap_or((0, usize::MAX));
        if taken != text.text().len() {
            let message = format!(
                "{}: cannot parse integer value: {}",
                key.text(),
                text.text()
            );
            return Err(text.error(message));
        }
        let ones = if slice.width >= 128 {
            u128::MAX
        } else {
            (1 << slice.width) - 1
        };
        if v & !ones != 0 {
            let mut printed = String::new();
            value_print::write(&mut printed, field, v, u128::MAX, &Names::new());
            return Err(text.error(format!(
                "{}: value {printed} does not fit into {} bits",
                key.text(),
                slice.width
            )));
        }
        let (old, old_mask) = self.matching.field(field);
        let start = u32::from(slice.start);
        let mask = ones.checked_shl(start).unwrap_or(0);
        let v = v.checked_shl(start).unwrap_or(0);
        self.set(field, old & !mask | v, old_mask | mask, key)
    }

    fn take_option_slice(&mut self, n: u8, slice: SubField, key: Token<'_>, text: Token<'_>) -> Result<(), TextError> {
        let (v, taken) = scan_option(text.text()).unwrap_or((Wide::ZERO, usize::MAX));
        if taken != text.text().len() {
            return Err(text.error(format!("{}: cannot parse integer value: {}", key.text(), text.text())));
        }
        if v.significant_bits() > slice.width {
            let message = format!("{}: value {} does not fit into {} bits", key.text(), v.hex(), slice.width);
            return Err(text.error(message));
        }
        let mask = Wide::ones(slice.start, slice.width);
        self.set_option(n, &v.shifted(slice.start), &mask, key)
    }

    fn set_option(&mut self, n: u8, v: &Wide, mask: &Wide, key: Token<'_>) -> Result<(), TextError> {
        let field = Field::TUN_METADATA0.plus(n);
        self.formats &= Formats::of_match(field, 1, false);
        self.matching.set_option(n, v, mask).map_err(|e| {
            let name = field.info().name;
            key.error(match e {
                OptionError::Twice => format!("field {name} set multiple times"),
                OptionError::Unmapped => format!("field {name} is not mapped to a tunnel option"),
                OptionError::TooLong(used) => {
                    format!("field {name} exceeds maximum size for tunnel metadata (used {used}, max 256)")
                }
            })
        })
    }

    fn set(&mut self, field: Field, v: u128, mask: u128, key: Token<'_>) -> Result<(), TextError> {
        let all = value::all_bytes(field);
        self.formats &= Formats::of_match(field, mask & all, mask & all == all);
        // A match holds ports in their 32-bit form.
        let v = match field {
            Field::IN_PORT => u128::from(PortNo::from_u16(v as u16).0),
            _ => v,
        };
        if !self.matching.set_field(field, v, mask) && mask & all != 0 {
            let name = field.info().name;
            return Err(key.error(format!(
                "{name}: matching on this field is not supported yet"
            )));
        }
        Ok(())
    }
}

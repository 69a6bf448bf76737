//! Names of ports and tables, both ways, with the names that every switch has.
//!
//! Purpose: `LOCAL`, `p1`, `"tap-0"` and `acl` as numbers, and numbers as names.
//! Invariant: a name that two ports share stands for neither.
//! Deliberately does not know: where names come from.

use super::token::Token;
use crate::action::PortNo;
use std::collections::HashMap;
use std::fmt::Write;

/// The names of a switch's ports and tables; empty where only numbers are wanted.
#[derive(Clone, Default, Debug)]
pub struct Names {
    ports: Both<PortNo>,
    tables: Both<u8>,
}

/// Names and numbers; `None` marks what is ambiguous.
#[derive(Clone, Debug)]
struct Both<N> {
    by_name: HashMap<String, Option<N>>,
    by_number: HashMap<N, Option<String>>,
}

impl<N> Default for Both<N> {
    fn default() -> Self {
        Both {
            by_name: HashMap::new(),
            by_number: HashMap::new(),
        }
    }
}

impl<N: Copy + Eq + std::hash::Hash> Both<N> {
    fn add(&mut self, number: N, name: &str) {
        let same_name = self.by_name.entry(name.to_string()).or_insert(Some(number));
        if *same_name != Some(number) {
            *same_name = None;
        }
        let same_number = self
            .by_number
            .entry(number)
            .or_insert_with(|| Some(name.to_string()));
        if same_number.as_deref() != Some(name) {
            *same_number = None;
        }
    }

    fn name(&self, number: N) -> Option<&str> {
        let name = self.by_number.get(&number)?.as_deref()?;
        // A name that another one has too would be read back as neither.
        self.number(name).map(|_| name)
    }

    fn number(&self, name: &str) -> Option<N> {
        self.by_name.get(name).copied().flatten()
    }
}

/// Reserved ports that have names.
const RESERVED: [(PortNo, &str); 10] = [
    (PortNo::IN_PORT, "IN_PORT"),
    (PortNo::TABLE, "TABLE"),
    (PortNo::NORMAL, "NORMAL"),
    (PortNo::FLOOD, "FLOOD"),
    (PortNo::ALL, "ALL"),
    (PortNo::CONTROLLER, "CONTROLLER"),
    (PortNo::LOCAL, "LOCAL"),
    (PortNo(0xffff_ffff), "ANY"),
    (PortNo(0xffff_fff7), "UNSET"),
    (PortNo::NONE, "NONE"),
];

impl Names {
    /// No names: numbers only.
    pub fn new() -> Names {
        Names::default()
    }

    /// Learns the name of a port.
    pub fn add_port(&mut self, port: PortNo, name: &str) {
        self.ports.add(port, name);
    }

    /// Learns the name of a table.
    pub fn add_table(&mut self, table: u8, name: &str) {
        self.tables.add(table, name);
    }

    /// A port by number, reserved name, or name (which may be quoted).
    pub fn port(&self, text: &str) -> Option<PortNo> {
        if text.starts_with('-') {
            return None;
        }
        if let Some(number) = decimal(text) {
            return match number {
                0..=0xffff => Some(PortNo::from_u16(number as u16)),
                0xffff_ff00.. => Some(PortNo(number)),
                _ => None,
            };
        }
        let reserved = RESERVED
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text));
        if let Some((port, _)) = reserved {
            return Some(*port);
        }
        match text.strip_prefix('"') {
            Some(rest) => self.ports.number(&unescape(rest.strip_suffix('"')?)?),
            None => self.ports.number(text),
        }
    }

    /// A table by number or name; 255 stands for "every table".
    pub fn table(&self, text: &str) -> Option<u8> {
        if let Some(number) = decimal(text) {
            return u8::try_from(number).ok();
        }
        match text.strip_prefix('"') {
            Some(rest) => self.tables.number(&unescape(rest.strip_suffix('"')?)?),
            None => self.tables.number(text),
        }
    }

    pub(super) fn port_token(&self, token: Token<'_>) -> Option<PortNo> {
        self.port(token.text())
    }

    /// Prints a port: reserved name, known name, or number.
    pub fn write_port(&self, out: &mut String, port: PortNo) {
        // ANY and NONE are one number; what is printed is the former.
        if let Some((_, name)) = RESERVED.iter().find(|(p, _)| *p == port) {
            out.push_str(name);
        } else if let Some(name) = self.ports.name(port) {
            write_name(out, name);
        } else {
            let _ = write!(out, "{}", port.to_u16().map_or(port.0, u32::from));
        }
    }

    /// Has the table a name?
    pub fn has_table(&self, table: u8) -> bool {
        self.tables.name(table).is_some()
    }

    /// Prints a table: known name, or number.
    pub fn write_table(&self, out: &mut String, table: u8) {
        match self.tables.name(table) {
            Some(name) => write_name(out, name),
            None => {
                let _ = write!(out, "{table}");
            }
        }
    }
}

/// A number in base 10 and nothing else.
fn decimal(text: &str) -> Option<u32> {
    let digits = text.trim_start_matches([' ', '\t', '\r', '\n']);
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// A name as it is printed: quoted unless it is made of letters and digits.
fn write_name(out: &mut String, name: &str) {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain {
        out.push_str(name);
        return;
    }
    out.push('"');
    for c in name.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Undoes the escapes of a quoted name; `None` for one that is malformed.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let digits: String = chars.by_ref().take(4).collect();
                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
            }
            c @ ('"' | '\\' | '/') => c,
            _ => return None,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch() -> Names {
        let mut names = Names::new();
        names.add_port(PortNo(1), "p1");
        names.add_port(PortNo(2), "tap-a");
        names.add_port(PortNo(3), "twin");
        names.add_port(PortNo(4), "twin");
        names.add_table(4, "acl");
        names
    }

    #[test]
    fn ports_are_found_by_number_and_name() {
        let n = switch();
        let cases = [
            ("1", Some(PortNo(1))),
            ("p1", Some(PortNo(1))),
            ("\"tap-a\"", Some(PortNo(2))),
            ("tap-a", Some(PortNo(2))),
            ("in_port", Some(PortNo::IN_PORT)),
            ("LOCAL", Some(PortNo::LOCAL)),
            ("65534", Some(PortNo::LOCAL)),
            ("4294967294", Some(PortNo::LOCAL)),
            ("65536", None),
            ("-1", None),
            ("twin", None),
            ("0x1", None),
            ("\"tap-a", None),
            ("", None),
        ];
        for (text, port) in cases {
            assert_eq!(n.port(text), port, "{text}");
        }
    }

    #[test]
    fn ports_are_printed_by_name_where_one_is_known() {
        let cases = [
            (PortNo(1), "p1"),
            (PortNo(2), "\"tap-a\""),
            (PortNo(3), "3"),
            (PortNo::IN_PORT, "IN_PORT"),
            (PortNo::NONE, "ANY"),
            (PortNo(0xfeff), "65279"),
        ];
        for (port, text) in cases {
            let mut out = String::new();
            switch().write_port(&mut out, port);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn quoted_names_survive_both_ways() {
        for name in [
            "a b",
            "a_b",
            "_x",
            "a\"b",
            "a\\b",
            "tab\tnl\n",
            "é",
            "0p",
            "\u{1}",
        ] {
            let mut names = Names::new();
            names.add_port(PortNo(9), name);
            let mut out = String::new();
            names.write_port(&mut out, PortNo(9));
            assert_eq!(names.port(&out), Some(PortNo(9)), "{out}");
        }
    }

    #[test]
    fn tables_have_names_too() {
        let n = switch();
        assert_eq!(n.table("acl"), Some(4));
        assert_eq!(n.table("254"), Some(254));
        assert_eq!(n.table("256"), None);
        assert_eq!(n.table("nat"), None);
    }
}

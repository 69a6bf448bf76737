//! Values of columns.
//!
//! Purpose: OVSDB's JSON to values that compare, and back.
//! Invariant: sets are sorted and have no element twice, so that equal sets are equal values.
//! Deliberately does not know: types of columns, but for the atoms that the Open_vSwitch schema has
//! (which has no reals).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{json, Value};

/// A row's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub u128);

impl Uuid {
    /// Reads the usual form with four dashes.
    pub fn parse(text: &str) -> Option<Uuid> {
        let shape = text.len() == 36 && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        });
        if !shape {
            return None;
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        u128::from_str_radix(&digits, 16).ok().map(Uuid)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        let (a, b, c, d) = (n >> 96, n >> 80 & 0xffff, n >> 64 & 0xffff, n >> 48 & 0xffff);
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{:012x}", n & 0xffff_ffff_ffff)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A single value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// A number.
    Integer(i64),
    /// A truth value.
    Boolean(bool),
    /// Text.
    String(String),
    /// A row.
    Uuid(Uuid),
}

impl Atom {
    /// Reads an atom.
    pub fn read(value: &Value) -> Option<Atom> {
        match value {
            Value::Number(n) => n.as_i64().map(Atom::Integer),
            Value::Bool(b) => Some(Atom::Boolean(*b)),
            Value::String(s) => Some(Atom::String(s.clone())),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(word), Value::String(id)] if word == "uuid" => Uuid::parse(id).map(Atom::Uuid),
                _ => None,
            },
            Value::Null | Value::Object(_) => None,
        }
    }

    /// In the protocol's form.
    pub fn write(&self) -> Value {
        match self {
            Atom::Integer(n) => json!(n),
            Atom::Boolean(b) => json!(b),
            Atom::String(s) => json!(s),
            Atom::Uuid(id) => json!(["uuid", id.to_string()]),
        }
    }
}

impl From<&str> for Atom {
    fn from(text: &str) -> Atom {
        Atom::String(text.to_string())
    }
}

impl From<String> for Atom {
    fn from(text: String) -> Atom {
        Atom::String(text)
    }
}

impl From<i64> for Atom {
    fn from(n: i64) -> Atom {
        Atom::Integer(n)
    }
}

impl From<bool> for Atom {
    fn from(b: bool) -> Atom {
        Atom::Boolean(b)
    }
}

/// The value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// One value, none, or several.
    Set(BTreeSet<Atom>),
    /// Values by keys.
    Map(BTreeMap<Atom, Atom>),
}

impl Datum {
    /// No value.
    pub fn none() -> Datum {
        Datum::Set(BTreeSet::new())
    }

    /// One value.
    pub fn one(atom: impl Into<Atom>) -> Datum {
        Datum::Set(BTreeSet::from([atom.into()]))
    }

    /// One value or none.
    pub fn optional(atom: Option<impl Into<Atom>>) -> Datum {
        Datum::Set(atom.into_iter().map(Into::into).collect())
    }

    /// A map.
    pub fn map<K: Into<Atom>, V: Into<Atom>>(pairs: impl IntoIterator<Item = (K, V)>) -> Datum {
        Datum::Map(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// Reads a value.
    pub fn read(value: &Value) -> Option<Datum> {
        match value {
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(word), Value::Array(items)] if word == "set" => {
                    items.iter().map(Atom::read).collect::<Option<_>>().map(Datum::Set)
                }
                [Value::String(word), Value::Array(items)] if word == "map" => {
                    items.iter().map(pair_of).collect::<Option<_>>().map(Datum::Map)
                }
                _ => Atom::read(value).map(Datum::one),
            },
            _ => Atom::read(value).map(Datum::one),
        }
    }

    /// In the protocol's form.
    pub fn write(&self) -> Value {
        match self {
            Datum::Set(atoms) => match atoms.first() {
                Some(atom) if atoms.len() == 1 => atom.write(),
                _ => json!(["set", atoms.iter().map(Atom::write).collect::<Vec<_>>()]),
            },
            Datum::Map(map) => {
                json!(["map", map.iter().map(|(k, v)| json!([k.write(), v.write()])).collect::<Vec<_>>()])
            }
        }
    }

    /// Changes this value by a difference: what both have goes, what only one has stays; a key with
    /// another value gets that.
    pub fn differ(&mut self, difference: &Datum) {
        match (self, difference) {
            (Datum::Set(old), Datum::Set(changes)) => {
                for atom in changes {
                    if !old.remove(atom) {
                        old.insert(atom.clone());
                    }
                }
            }
            (Datum::Map(old), Datum::Map(changes)) => {
                for (key, value) in changes {
                    if old.get(key) == Some(value) {
                        old.remove(key);
                    } else {
                        old.insert(key.clone(), value.clone());
                    }
                }
            }
            // A column without a value says nothing of its kind.
            (old, changes) => *old = changes.clone(),
        }
    }
}

fn pair_of(value: &Value) -> Option<(Atom, Atom)> {
    match value.as_array()?.as_slice() {
        [key, value] => Some((Atom::read(key)?, Atom::read(value)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_as_it_was_read() {
        let text = "05a5182d-a0b8-490a-a2cf-28e7b98066b6";
        assert_eq!(Uuid::parse(text).map(|u| u.to_string()).as_deref(), Some(text));
        for wrong in ["", "05a5182d", "05a5182d-a0b8-490a-a2cf-28e7b98066bg", "05a5182da0b8-490a-a2cf-28e7b98066b66"] {
            assert_eq!(Uuid::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn values_come_back_as_they_went() {
        for text in [r#"5"#, r#""x""#, r#"true"#, r#"["set",[]]"#, r#"["set",[1,2]]"#, r#"["map",[["a","b"]]]"#, r#"["map",[]]"#] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(Datum::read(&value).map(|d| d.write()), Some(value), "{text}");
        }
        for text in ["null", "{}", "1.5", r#"["set"]"#, r#"["map",[["a"]]]"#, r#"["uuid","x"]"#] {
            assert_eq!(Datum::read(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
    }

    #[test]
    fn a_difference_takes_away_and_adds() {
        let mut set = Datum::Set(BTreeSet::from([1.into(), 2.into()]));
        set.differ(&Datum::Set(BTreeSet::from([2.into(), 3.into()])));
        assert_eq!(set, Datum::Set(BTreeSet::from([1.into(), 3.into()])));
        let mut map = Datum::map([("a", "1"), ("b", "2")]);
        map.differ(&Datum::map([("a", "1"), ("b", "3"), ("c", "4")]));
        assert_eq!(map, Datum::map([("b", "3"), ("c", "4")]));
    }
}

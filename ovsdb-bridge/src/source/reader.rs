//! Typed reading of a TOML table that remembers where everything stands.
//!
//! Purpose: every complaint has a line, a column and what was expected; an unknown word is a
//! complaint too, because a mistyped option that is ignored is worse than one that is refused.
//! Deliberately does not know: which words mean what.

use std::ops::Range;

use toml::de::{DeTable, DeValue};
use toml::Spanned;

use crate::error::{position, ConfigError};

/// The text and its name.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) file: &'a str,
}

impl Source<'_> {
    pub(crate) fn error(&self, at: usize, expected: &str, found: impl Into<String>) -> ConfigError {
        let (line, column) = position(self.text, at);
        ConfigError {
            file: self.file.to_string(),
            line,
            column,
            expected: expected.to_string(),
            found: found.into(),
        }
    }
}

/// A value with its place.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    source: Source<'a>,
    value: &'a Spanned<DeValue<'a>>,
}

/// A table with its place.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    source: Source<'a>,
    entries: &'a DeTable<'a>,
    span: Range<usize>,
}

impl<'a> Item<'a> {
    pub(crate) fn at(&self) -> usize {
        self.value.span().start
    }

    /// An error at this value.
    pub(crate) fn wrong(&self, expected: &str) -> ConfigError {
        self.source.error(self.at(), expected, describe(self.value.get_ref()))
    }

    pub(crate) fn text(&self, expected: &str) -> Result<&'a str, ConfigError> {
        self.value.get_ref().as_str().ok_or_else(|| self.wrong(expected))
    }

    pub(crate) fn flag(&self) -> Result<bool, ConfigError> {
        self.value.get_ref().as_bool().ok_or_else(|| self.wrong("true or false"))
    }

    /// A number between `low` and `high`.
    pub(crate) fn number(&self, low: u64, high: u64, what: &str) -> Result<u64, ConfigError> {
        let expected = || format!("{what} from {low} to {high}");
        let number = match self.value.get_ref() {
            DeValue::Integer(i) => u64::from_str_radix(i.as_str(), i.radix()).ok(),
            _ => None,
        };
        match number {
            Some(n) if n >= low && n <= high => Ok(n),
            _ => Err(self.wrong(&expected())),
        }
    }

    /// A number, as [`Item::number`], that fits 16 bits.
    pub(crate) fn number16(&self, low: u16, high: u16, what: &str) -> Result<u16, ConfigError> {
        let n = self.number(low.into(), high.into(), what)?;
        u16::try_from(n).map_err(|_| self.wrong(what))
    }

    /// What `read` makes of the text, or an error that names what was expected.
    pub(crate) fn parsed<T>(
        &self,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        read(self.text(expected)?).ok_or_else(|| self.wrong(expected))
    }

    pub(crate) fn list(&self, expected: &str) -> Result<Vec<Item<'a>>, ConfigError> {
        let array = self.value.get_ref().as_array().ok_or_else(|| self.wrong(expected))?;
        Ok(array.iter().map(|value| Item { source: self.source, value }).collect())
    }

    pub(crate) fn table(&self, expected: &str) -> Result<Table<'a>, ConfigError> {
        let entries = self.value.get_ref().as_table().ok_or_else(|| self.wrong(expected))?;
        Ok(Table { source: self.source, entries, span: self.value.span() })
    }
}

impl<'a> Table<'a> {
    pub(crate) fn new(source: Source<'a>, table: &'a Spanned<DeTable<'a>>) -> Table<'a> {
        Table { source, entries: table.get_ref(), span: table.span() }
    }

    /// Refuses every word that is not in `known`.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), ConfigError> {
        let unknown = self.entries.keys().find(|k| !known.contains(&k.get_ref().as_ref()));
        match unknown {
            None => Ok(()),
            Some(key) => {
                let expected = format!("one of {}", known.join(", "));
                Err(self.source.error(key.span().start, &expected, format!("\"{}\"", key.get_ref())))
            }
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Item<'a>> {
        let (_, value) = self.entries.iter().find(|(k, _)| k.get_ref().as_ref() == key)?;
        Some(Item { source: self.source, value })
    }

    pub(crate) fn need(&self, key: &str) -> Result<Item<'a>, ConfigError> {
        self.get(key).ok_or_else(|| self.missing(key))
    }

    /// The tables of `[[key]]`, none when there is none.
    pub(crate) fn tables(&self, key: &str) -> Result<Vec<Table<'a>>, ConfigError> {
        let Some(item) = self.get(key) else { return Ok(Vec::new()) };
        let expected = format!("tables written as [[{key}]]");
        item.list(&expected)?.iter().map(|i| i.table(&expected)).collect()
    }

    fn missing(&self, key: &str) -> ConfigError {
        let expected = format!("\"{key} = …\" in this table");
        self.source.error(self.span.start, &expected, "none")
    }
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(s) => format!("\"{s}\""),
        DeValue::Integer(i) => format!("the number {i}"),
        DeValue::Boolean(b) => b.to_string(),
        other => format!("a value of type {}", other.type_str()),
    }
}

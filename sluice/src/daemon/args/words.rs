//! Words of a command line, in the GNU manner.
//!
//! Purpose: `--long`, `--long=VALUE`, `--long VALUE`, `-s`, `-sVALUE`, `-s VALUE`, `--`.
//! Deliberately does not know: which options there are.

use std::path::Path;

/// Words and what is left of the current one.
pub(super) struct Words {
    rest: std::vec::IntoIter<String>,
    option: String,
    inline: Option<String>,
    only_operands: bool,
    /// The name by which the program was called.
    pub program: String,
}

impl Words {
    pub(super) fn new(words: impl IntoIterator<Item = String>) -> Words {
        let mut rest = words.into_iter().collect::<Vec<_>>().into_iter();
        let called = rest.next().unwrap_or_default();
        let name = Path::new(&called).file_name().map(|n| n.to_string_lossy().into_owned());
        Words { rest, option: String::new(), inline: None, only_operands: false, program: name.unwrap_or_default() }
    }

    /// The next option; `""` for a word that is none, whose text is then its value.
    pub(super) fn next_option(&mut self) -> Result<Option<String>, String> {
        let Some(word) = self.rest.next() else { return Ok(None) };
        if word == "--" && !self.only_operands {
            self.only_operands = true;
            return self.next_option();
        }
        let (option, inline) = match word.as_str() {
            _ if self.only_operands || !word.starts_with('-') || word == "-" => (String::new(), Some(word)),
            long if long.starts_with("--") => match long.split_once('=') {
                Some((option, value)) => (option.to_string(), Some(value.to_string())),
                None => (word, None),
            },
            short => {
                let mut letters = short.chars();
                let option: String = letters.by_ref().take(2).collect();
                let value = letters.as_str();
                (option, (!value.is_empty()).then(|| value.to_string()))
            }
        };
        self.option.clone_from(&option);
        self.inline = inline;
        Ok(Some(option))
    }

    /// The option's value, from the same or the next word.
    pub(super) fn value(&mut self) -> Result<String, String> {
        let value = self.inline.take().or_else(|| self.rest.next());
        value.ok_or_else(|| format!("option '{}' needs a value", self.option))
    }

    /// The option's value from the same word, or for `-s` without one from the next.
    pub(super) fn optional(&mut self) -> Option<String> {
        let short = !self.option.starts_with("--");
        let next_is_value = short && self.rest.as_slice().first().is_some_and(|w| is_log_spec(w));
        match self.inline.take() {
            None if next_is_value => self.rest.next(),
            value => value,
        }
    }

    /// The option has no value.
    pub(super) fn flag(&mut self) -> Result<bool, String> {
        match self.inline.take() {
            None => Ok(true),
            Some(value) => Err(format!("option '{}' takes no value, but got '{value}'", self.option)),
        }
    }
}

/// Whether a word after a lone `-v` belongs to it.
fn is_log_spec(word: &str) -> bool {
    let first = word.split(':').next().unwrap_or("");
    let known = super::super::log::Level::from_name(first).is_some() || super::super::log::Destination::from_name(first).is_some();
    known || first.eq_ignore_ascii_case("any") || first == "PATTERN"
}

//! What is wrong with a text, and where.
//!
//! Purpose: an error that names its token and column for people, and keeps the words that
//! `ovs-ofctl` uses for those who compare. Invariant: the column is inside the text or right behind
//! it. Deliberately does not know: files and line numbers (see [`super::parse_flow_file`]).

use std::fmt;

/// A text that could not be understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TextError {
    /// Where the token begins: the first character is 1.
    pub column: usize,
    /// The token, at most [`TextError::LONGEST_TOKEN`] characters of it.
    pub token: String,
    /// What is wrong, in the words of `ovs-ofctl`.
    pub message: String,
    /// What more is known, in the words that Open vSwitch logs.
    pub note: Option<String>,
}

impl TextError {
    /// A longer token is cut here for print.
    pub const LONGEST_TOKEN: usize = 60;

    /// The line that `ovs-ofctl` prints after its own name.
    pub fn ovs_text(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "column {}, at \"{}\": {}",
            self.column, self.token, self.message
        )?;
        match &self.note {
            Some(note) => write!(f, ": {note}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TextError {}

//! What is asked for and not done, by row.
//!
//! Purpose: whoever lists a bridge, port or interface reads there what of it has no effect; the log
//! has the same words.
//! Deliberately does not know: in which column it is written.

use std::collections::BTreeMap;

use super::Reader;

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A row of table Bridge.
    Bridge,
    /// A row of table Port.
    Port,
    /// A row of table Interface.
    Interface,
}

/// Feature and reason, by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    all: BTreeMap<(Subject, String), BTreeMap<String, String>>,
}

impl Refusals {
    /// What is refused of this row: feature and reason.
    pub fn of(&self, subject: Subject, name: &str) -> impl Iterator<Item = (&str, &str)> {
        let found = self.all.get(&(subject, name.to_string()));
        found.into_iter().flatten().map(|(feature, why)| (feature.as_str(), why.as_str()))
    }
}

impl Reader<'_> {
    /// Says in the log and in the row's status that a feature has no effect.
    pub(super) fn refuse(&mut self, subject: Subject, name: &str, feature: &str, why: impl Into<String>) {
        let why = why.into();
        self.complain(name, format!("{feature}: {why}"));
        let of_row = self.reading.refusals.all.entry((subject, name.to_string())).or_default();
        of_row.insert(feature.to_string(), why);
    }
}

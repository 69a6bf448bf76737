//! Files of rules.
//!
//! Purpose: one rule for each line, `#` begins a comment, empty lines do not count.
//! Invariant: an error names its line. Deliberately does not know: where a file comes from.

use super::error::TextError;
use super::flow_parse::parse_flow_line;
use super::formats::Formats;
use super::names::Names;
use crate::action::FlowMod;
use std::fmt;

/// A line that could not be understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileError {
    /// Its number; the first line is 1.
    pub line: usize,
    /// What is wrong with it.
    pub error: TextError,
}

impl FileError {
    /// The line that `ovs-ofctl` prints after its own name and the file's, `FILE:`.
    pub fn ovs_text(&self) -> String {
        format!("{}: {}", self.line, self.error.ovs_text())
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, {}", self.line, self.error)
    }
}

impl std::error::Error for FileError {}

/// The lines that count, with their numbers and without comments.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(i, line)| {
        let line = line.split('#').next().unwrap_or("");
        (!line.trim().is_empty()).then_some((i + 1, line))
    })
}

/// Reads every rule of a file. A line may begin with `add`, `modify`, `modify_strict`, `delete` or
/// `delete_strict`.
pub fn parse_flow_file(text: &str, names: &Names) -> Result<Vec<FlowMod>, FileError> {
    parse_flow_file_formats(text, names).map(|(flows, _)| flows)
}

/// Like [`parse_flow_file`]; tells also which flow formats can carry all of them.
pub fn parse_flow_file_formats(
    text: &str,
    names: &Names,
) -> Result<(Vec<FlowMod>, Formats), FileError> {
    let (mut flows, mut formats) = (Vec::new(), Formats::ANY);
    for (line, text) in lines(text) {
        let (flow, carried) =
            parse_flow_line(text, names).map_err(|error| FileError { line, error })?;
        formats &= carried;
        flows.push(flow);
    }
    Ok((flows, formats))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::FlowModCommand as C;

    #[test]
    fn files_mix_commands_comments_and_empty_lines() {
        let text = "# all of it\n\nadd priority=1,actions=1\n  priority=2 actions=2 # two\n\
                    modify ip,actions=drop\ndelete\ndelete_strict priority=7\n\t\n";
        let flows = parse_flow_file(text, &Names::new()).map_err(|e| e.to_string());
        let commands: Vec<C> = flows.into_iter().flatten().map(|f| f.command).collect();
        assert_eq!(
            commands,
            [C::Add, C::Add, C::Modify, C::Delete, C::DeleteStrict]
        );
    }

    #[test]
    fn errors_name_line_and_column() {
        let error = parse_flow_file("actions=1\n\nip,actions=foo\n", &Names::new()).err();
        let texts = error.map(|e| (e.to_string(), e.ovs_text()));
        let expected = (
            "line 3, column 12, at \"foo\": unknown action foo".to_string(),
            "3: unknown action foo".to_string(),
        );
        assert_eq!(texts, Some(expected));
    }
}

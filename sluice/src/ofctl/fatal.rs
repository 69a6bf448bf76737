//! Why a command fails.
//!
//! Purpose: one line on standard error and exit code 1, in the words that scripts already know.

/// A failure that ends the command.
#[derive(Debug)]
pub struct Fatal(pub String);

impl Fatal {
    /// `doing` failed because of what the system said.
    pub fn io(doing: impl std::fmt::Display, error: &std::io::Error) -> Fatal {
        Fatal(format!("{doing} ({})", reason(error)))
    }
}

impl<T: Into<String>> From<T> for Fatal {
    fn from(text: T) -> Fatal {
        Fatal(text.into())
    }
}

/// What the system calls an error, without its number.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((reason, _)) => reason.to_string(),
        None => match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "End of file".to_string(),
            _ => text,
        },
    }
}

//! Why a change of the rules was refused.
//!
//! Purpose: OpenFlow's error, and one sentence that says what and where.
//! Deliberately does not know: error numbers (each protocol version has its own), connections.

use sluice_openflow::OfpError;

/// A refused change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfError {
    /// The error of the protocol.
    pub code: OfpError,
    /// What was wrong, for a person.
    pub detail: String,
}

impl OfError {
    /// An error with its explanation.
    pub fn new(code: OfpError, detail: impl Into<String>) -> Self {
        OfError { code, detail: detail.into() }
    }
}

impl std::fmt::Display for OfError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for OfError {}

//! Why a port could not be opened or used.
//!
//! Purpose: one error that names the port, what was being done, and what to do about it.
//! Invariant: a port that reports [`PortError::is_gone`] hands in no frames until opened again.
//! Deliberately does not know: what the switch does about it.

use std::io;

/// What kind of trouble it is, where the caller has a choice to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The device vanished or went down for good: close the port and open it when it is back.
    Gone,
    /// The kernel or the device cannot do what was asked; another kind of port may.
    Unsupported,
    /// What was given (a file, a name, an option) is wrong.
    Input,
    /// The kernel refused for another reason.
    Io,
}

/// Why a port could not be opened or used.
#[derive(Debug)]
pub struct PortError {
    port: String,
    doing: String,
    why: String,
    trouble: Trouble,
    source: Option<io::Error>,
}

impl PortError {
    /// An error with a reason in words.
    pub fn new(trouble: Trouble, port: &str, doing: impl Into<String>, why: impl Into<String>) -> PortError {
        PortError { port: port.to_owned(), doing: doing.into(), why: why.into(), trouble, source: None }
    }

    /// An error that the kernel gave.
    pub fn io(port: &str, doing: impl Into<String>, source: io::Error) -> PortError {
        let trouble = match source.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO | libc::EBADFD) => Trouble::Gone,
            Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::ENOPROTOOPT) => {
                Trouble::Unsupported
            }
            _ => Trouble::Io,
        };
        PortError { port: port.to_owned(), doing: doing.into(), why: reason(&source), trouble, source: Some(source) }
    }

    /// The error that the last system call left.
    pub(crate) fn last_os(port: &str, doing: impl Into<String>) -> PortError {
        PortError::io(port, doing, io::Error::last_os_error())
    }

    /// Name of the port (device or file) it is about.
    pub fn port(&self) -> &str {
        &self.port
    }

    /// The reason alone, without the port's name.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// What kind of trouble it is.
    pub fn trouble(&self) -> Trouble {
        self.trouble
    }

    /// Has the device vanished?
    pub fn is_gone(&self) -> bool {
        self.trouble == Trouble::Gone
    }
}

fn reason(e: &io::Error) -> String {
    match e.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => format!("{e}; run as root or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF"),
        Some(libc::ENODEV) => format!("{e}; is there a device of this name in this network namespace?"),
        _ => e.to_string(),
    }
}

impl std::fmt::Display for PortError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "port {}: {}: {}", self.port, self.doing, self.why)
    }
}

impl std::error::Error for PortError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_port_what_was_done_and_why() {
        let e = PortError::io("p1", "open", io::Error::from_raw_os_error(libc::ENODEV));
        assert!(e.is_gone());
        let text = e.to_string();
        assert!(text.starts_with("port p1: open: No such device"), "{text}");
        assert!(text.contains("namespace"), "{text}");
    }
}

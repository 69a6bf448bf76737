//! Why the host's tables could not be read or changed.

use std::io;

/// A request that the kernel refused, or an answer that could not be read.
#[derive(Debug)]
pub struct NetlinkError {
    doing: String,
    source: io::Error,
}

impl NetlinkError {
    pub(super) fn new(doing: impl Into<String>, source: io::Error) -> NetlinkError {
        NetlinkError { doing: doing.into(), source }
    }

    /// The kernel's error number, if it gave one.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

impl std::fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "netlink: {}: {}", self.doing, self.source)?;
        match self.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => write!(f, "; run as root or with CAP_NET_ADMIN"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for NetlinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

//! Fork.
//!
//! Purpose: the one call that no safe library offers.
//! Invariant: only called while the process has a single thread.
//! Deliberately does not know: why.

#![allow(unsafe_code)]

use rustix::process::Pid;

/// The two sides of a fork.
pub(super) enum Side {
    /// The new process.
    Child,
    /// The old one, with the new one's pid.
    Parent(Pid),
}

/// Makes a second process. Fails when there are threads, whose locks the child would inherit.
pub(super) fn fork() -> Result<Side, String> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(format!("cannot become a daemon: there are {threads} threads already"));
    }
    // SAFETY: the process has one thread, so the child finds no lock taken and no half-made change.
    match unsafe { libc::fork() } {
        0 => Ok(Side::Child),
        pid => match Pid::from_raw(pid.max(0)) {
            Some(pid) => Ok(Side::Parent(pid)),
            None => Err(format!("cannot fork: {}", std::io::Error::last_os_error())),
        },
    }
}

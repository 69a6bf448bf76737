//! What an earlier daemon made and nobody wants any more.
//!
//! Purpose: taps survive a crash, so that addresses and routes do; those whose bridge or port was
//! removed while no daemon ran must not survive the next start.
//! Invariant: only taps that carry our mark are touched, and only those that no process holds.
//! Deliberately does not know: which daemon made them.

use std::path::Path;

use super::Control;
use crate::daemon::worker::alias_of;

/// The alias of devices that we made: our mark and the run directory, which tells daemons apart.
const MARK: &str = "sluice:";

/// The mark of a daemon.
pub(super) fn mark(rundir: &Path) -> String {
    format!("{MARK}{}", rundir.display())
}

impl Control {
    /// Removes taps of an earlier daemon that are not wanted.
    pub(super) fn remove_left_taps(&mut self) {
        let mark = mark(self.rundir.path());
        let links = self.host.tables().links();
        let taps: Vec<String> = links.filter(|l| l.kind.as_deref() == Some("tun")).map(|l| l.name.clone()).collect();
        for name in taps {
            let ours = std::fs::read_to_string(alias_of(&name)).is_ok_and(|alias| alias.trim_end() == mark);
            if !ours || self.switch.has_device(&name) {
                continue;
            }
            match sluice_port::tap::delete(&name) {
                Ok(()) => crate::log!(Info, &name, "removed: an earlier daemon left it and no bridge has it any more"),
                Err(e) => crate::log!(Warn, &name, "cannot be removed although no bridge has it any more: {e}"),
            }
        }
    }
}

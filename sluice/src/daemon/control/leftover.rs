//! What an earlier daemon made: taken over, or removed when nobody wants it any more.
//!
//! Purpose: taps survive a crash, so that addresses and routes do, also where they were moved into
//! another network namespace; those whose bridge or port was removed while no daemon ran must not
//! survive the next start.
//! Invariant: only taps that carry our mark are touched, and only those that no process holds.
//! Deliberately does not know: which daemon made them.

use std::collections::BTreeMap;
use std::path::Path;

use sluice_port::netlink::{Host, Link};
use sluice_port::{manners, tap, Device};

use super::Control;
use crate::daemon::netns;
use crate::daemon::worker::{alias_of, Elsewhere};

/// The alias of devices that we made: our mark and the run directory, which tells daemons apart; a
/// colon and the port's name follow, for it may have another one where it was moved to.
const MARK: &str = "sluice:";

/// The mark of a daemon.
pub(super) fn mark(rundir: &Path) -> String {
    format!("{MARK}{}", rundir.display())
}

/// Devices that an earlier daemon could not put back as they were.
pub(super) fn put_devices_back(rundir: &Path) {
    for name in manners::put_back_all(rundir) {
        crate::log!(Info, &name, "as it was before an earlier daemon took it, which did not live to put it back");
    }
}

/// The port whose device has this alias, if the daemon of this mark made it.
fn port_of<'a>(alias: &'a str, mark: &str) -> Option<&'a str> {
    alias.trim_end().strip_prefix(mark)?.strip_prefix(':')
}

/// Taps of the daemon of this mark in other network namespaces, by port.
pub(super) fn taps_elsewhere(mark: &str) -> BTreeMap<String, Elsewhere> {
    let (mut taps, mut closed) = (BTreeMap::new(), None);
    for namespace in netns::others() {
        match namespace.within(marked_links) {
            Ok(links) => taps.extend(links.into_iter().filter_map(|(alias, name)| {
                let port = port_of(&alias, mark)?.to_string();
                Some((port, Elsewhere { namespace: namespace.clone(), name }))
            })),
            Err(e) => closed = Some((namespace, e)),
        }
    }
    if let Some((namespace, e)) = closed {
        crate::log!(
            Info, "",
            "cannot look into {namespace} and perhaps others ({e}; CAP_SYS_ADMIN is needed): internal ports that an earlier \
             daemon made and somebody moved there are made anew here and must be moved again"
        );
    }
    taps
}

/// Taps with an alias in the namespace that we are in, and their names.
fn marked_links() -> Vec<(String, String)> {
    let Ok(host) = Host::open() else { return Vec::new() };
    let taps = host.tables().links().filter(|l| l.kind.as_deref() == Some("tun"));
    taps.filter_map(|l| Some((l.alias.clone()?, l.name.clone()))).collect()
}

impl Control {
    /// Removes taps of an earlier daemon that are not wanted.
    pub(super) fn remove_left_taps(&mut self) {
        let mark = mark(self.rundir.path());
        let links = self.host.tables().links();
        let is_tap = |l: &&Link| l.kind.as_deref() == Some("tun");
        let taps: Vec<String> = links.filter(is_tap).map(|l| l.name.clone()).collect();
        for name in taps {
            let alias = std::fs::read_to_string(alias_of(&name)).unwrap_or_default();
            let ours = alias.trim_end() == mark || port_of(&alias, &mark).is_some();
            if ours && !self.switch.has_device(&name) {
                tell(&name, tap::delete(&name).map_err(|e| e.to_string()));
            }
        }
        for (port, Elsewhere { namespace, name }) in self.switch.take_lost() {
            if self.switch.has_device(&port) {
                // It could not be taken over, which its port says.
                continue;
            }
            let removed = namespace.within(|| Device::open(&name).and_then(|_| tap::delete(&name)));
            tell(&port, removed.map_err(|e| e.to_string()).and_then(|r| r.map_err(|e| e.to_string())));
        }
    }
}

fn tell(name: &str, removed: Result<(), String>) {
    match removed {
        Ok(()) => crate::log!(Info, name, "removed: an earlier daemon left it and no bridge has it any more"),
        Err(e) => crate::log!(Warn, name, "cannot be removed although no bridge has it any more: {e}"),
    }
}

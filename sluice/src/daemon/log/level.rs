//! How important a line is, who wrote it, and where it goes.
//!
//! Purpose: the three dimensions of `vlog/set`: level, module, destination.
//! Invariant: the modules are one closed list, so that a misspelt one is refused.
//! Deliberately does not know: how a line is written.

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Nothing is written.
    Off,
    /// The daemon ends.
    Emergency,
    /// Something does not work.
    Error,
    /// Something is strange and may need a person.
    Warn,
    /// What a person running the daemon wants to know.
    Info,
    /// Everything.
    Debug,
}

impl Level {
    /// From least to most talkative.
    pub const ALL: [Level; 6] = [Level::Off, Level::Emergency, Level::Error, Level::Warn, Level::Info, Level::Debug];

    /// As it stands in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Off => "OFF",
            Level::Emergency => "EMER",
            Level::Error => "ERR",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Debug => "DBG",
        }
    }

    /// By its name in the log, in either case, or by its longer name.
    pub fn from_name(name: &str) -> Option<Level> {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "error" => Some(Level::Error),
            "debug" => Some(Level::Debug),
            _ => Level::ALL.into_iter().find(|l| l.name().eq_ignore_ascii_case(&name)),
        }
    }

    /// Its number for the system's log.
    pub const fn severity(self) -> u8 {
        match self {
            Level::Off | Level::Emergency => 1,
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug => 7,
        }
    }
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The system's log.
    Syslog,
    /// Standard error.
    Console,
    /// The log file.
    File,
}

impl Destination {
    /// Every destination, in the order in which they are listed.
    pub const ALL: [Destination; 3] = [Destination::Syslog, Destination::Console, Destination::File];

    /// By its name.
    pub fn from_name(name: &str) -> Option<Destination> {
        match name.to_ascii_lowercase().as_str() {
            "syslog" => Some(Destination::Syslog),
            "console" => Some(Destination::Console),
            "file" => Some(Destination::File),
            _ => None,
        }
    }
}

/// Modules by the folder of the source that writes: `(folder, name)`. The names are those that
/// operators know from Open vSwitch, where there is one for the same thing.
const MODULES: [(&str, &str); 12] = [
    ("ofserver", "vconn"),
    ("control", "bridge"),
    ("switch", "ofproto"),
    ("worker", "dpif"),
    ("unixctl", "unixctl"),
    ("log", "vlog"),
    ("detach", "daemon_unix"),
    ("rundir", "daemon"),
    ("database", "ovsdb_idl"),
    ("ovsdb", "reconnect"),
    ("trace", "ofproto_dpif_trace"),
    ("sluice", "vswitchd"),
];

/// Names of all modules, sorted.
pub fn modules() -> [&'static str; MODULES.len()] {
    let mut names = MODULES.map(|(_, name)| name);
    names.sort_unstable();
    names
}

/// Number of modules.
pub const MODULE_COUNT: usize = MODULES.len();

/// The place of a module among [`modules`]'s origins, by the path of the source that writes.
pub fn module_of(path: &str) -> usize {
    let folder = |f: &str| path.split("::").any(|part| part == f);
    MODULES.iter().position(|(f, _)| folder(f)).unwrap_or(MODULES.len() - 1)
}

/// The name of a module by its place.
pub fn module_name(place: usize) -> &'static str {
    MODULES.get(place).map_or("vswitchd", |(_, name)| name)
}

/// The place of a module by its name.
pub fn module_by_name(name: &str) -> Option<usize> {
    MODULES.iter().position(|(_, n)| n.eq_ignore_ascii_case(&name.replace('-', "_")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_a_module() {
        assert_eq!(module_name(module_of("sluice::daemon::ofserver::outgoing")), "vconn");
        assert_eq!(module_name(module_of("sluice::daemon::switch::ports")), "ofproto");
        assert_eq!(module_name(module_of("elsewhere")), "vswitchd");
        for name in modules() {
            assert_eq!(module_by_name(name).map(module_name), Some(name));
        }
    }
}

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

/// Modules of Open vSwitch's daemon that nothing here writes as. Scripts and units set their levels,
/// so they take one.
#[rustfmt::skip]
const SILENT: [&str; 119] = [
    "backtrace", "bfd", "bond", "bundle", "bundles", "cfm", "collectors", "command_line", "connmgr", "conntrack",
    "conntrack_tp", "coverage", "ct_dpif", "dns_resolve", "dpdk", "dpif_lookup_autovalidator", "dpif_lookup_generic",
    "dpif_mfex_extract_study", "dpif_netdev", "dpif_netdev_extract", "dpif_netdev_impl", "dpif_netdev_lookup",
    "dpif_netlink", "dpif_netlink_rtnl", "entropy", "fail_open", "fatal_signal", "flow", "hmap", "in_band", "ipf",
    "ipfix", "jsonrpc", "lacp", "lldp", "lldpd", "lldpd_structs", "lockfile", "memory", "meta_flow", "native_tnl",
    "netdev", "netdev_afxdp", "netdev_dpdk", "netdev_dummy", "netdev_linux", "netdev_offload", "netdev_offload_tc",
    "netdev_vport", "netflow", "netlink", "netlink_conntrack", "netlink_notifier", "netlink_socket", "nx_match",
    "odp_execute", "odp_execute_impl", "odp_util", "ofp_actions", "ofp_bundle", "ofp_connection", "ofp_errors",
    "ofp_flow", "ofp_group", "ofp_match", "ofp_meter", "ofp_monitor", "ofp_msgs", "ofp_packet", "ofp_port",
    "ofp_protocol", "ofp_queue", "ofp_table", "ofp_util", "ofproto_dpif", "ofproto_dpif_mirror",
    "ofproto_dpif_monitor", "ofproto_dpif_rid", "ofproto_dpif_upcall", "ofproto_dpif_xlate", "ofproto_xlate_cache",
    "ovs_lldp", "ovs_numa", "ovs_rcu", "ovs_replay", "ovs_router", "ovs_thread", "ovsdb_cs", "ovsdb_error", "ox_stat",
    "pcap", "pmd_perf", "poll_loop", "process", "rconn", "route_table", "rstp", "rstp_sm", "sflow", "sha1", "signals",
    "socket_util", "socket_util_unix", "stp", "stream", "stream_fd", "stream_replay", "stream_ssl", "stream_tcp",
    "stream_unix", "svec", "system_stats", "tc", "timeval", "tunnel", "userspace_tso", "util", "uuid", "vconn_stream",
];

/// Names of all modules, sorted.
pub fn modules() -> Vec<&'static str> {
    let mut names: Vec<_> = (0..MODULE_COUNT).map(module_name).collect();
    names.sort_unstable();
    names
}

/// Number of modules.
pub const MODULE_COUNT: usize = MODULES.len() + SILENT.len();

/// The place of the module of the daemon as a whole.
pub const DAEMON: usize = MODULES.len() - 1;

/// The place of a module among [`modules`]'s origins, by the path of the source that writes.
pub fn module_of(path: &str) -> usize {
    let folder = |f: &str| path.split("::").any(|part| part == f);
    MODULES.iter().position(|(f, _)| folder(f)).unwrap_or(DAEMON)
}

/// The name of a module by its place.
pub fn module_name(place: usize) -> &'static str {
    let silent = || place.checked_sub(MODULES.len()).and_then(|p| SILENT.get(p)).copied();
    MODULES.get(place).map(|(_, name)| *name).or_else(silent).unwrap_or("vswitchd")
}

/// The place of a module by its name.
pub fn module_by_name(name: &str) -> Option<usize> {
    let wanted = name.replace('-', "_");
    (0..MODULE_COUNT).find(|place| module_name(*place).eq_ignore_ascii_case(&wanted))
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

    #[test]
    fn modules_of_open_vswitch_take_a_level_although_nothing_here_writes_as_them() {
        for name in ["rconn", "netdev_linux", "netdev-dpdk", "ofproto_dpif_upcall", "dpif_netdev"] {
            assert!(module_by_name(name).is_some(), "{name}");
        }
        assert_eq!(module_by_name("no_such_module"), None);
        assert!(modules().windows(2).all(|w| w.first() < w.get(1)), "named once");
    }
}

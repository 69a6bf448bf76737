//! Settings that belong to no bridge.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Settings of the whole node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Milliseconds between two reports of statistics.
    pub statistics_interval_ms: u64,
    /// Managers of the database that bridges themselves may lie on the way to.
    pub managers: Vec<SocketAddr>,
}

impl Default for Node {
    fn default() -> Self {
        Node { statistics_interval_ms: 5000, managers: Vec::new() }
    }
}

/// Settings of a zone of connection tracking.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Zone {
    /// Seconds by the database's names (`tcp_established`, `udp_first`, ...).
    pub timeouts: BTreeMap<String, u32>,
}

//! What leaves first, and how fast.

use std::collections::BTreeMap;

/// Quality of service of a port.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Qos {
    /// Its kind by the database's name (`linux-htb`, `egress-policer`, ...).
    pub kind: String,
    /// Settings by the database's names.
    pub settings: BTreeMap<String, String>,
    /// Queues by number.
    pub queues: BTreeMap<u32, Queue>,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Queue {
    /// DSCP to set.
    pub dscp: Option<u8>,
    /// Settings by the database's names (`min-rate`, `max-rate`, `burst`, `priority`).
    pub settings: BTreeMap<String, String>,
}

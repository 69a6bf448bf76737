//! What leaves first, and how fast.

use std::collections::BTreeMap;

/// Quality of service of a port.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Qos {
    /// How packets leave.
    pub discipline: Discipline,
    /// DSCP that packets of a queue get, by the queue's number.
    pub dscp: BTreeMap<u32, u8>,
}

/// How packets leave. Bits and bytes are in a second, as the database has them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Discipline {
    /// As they come (`linux-noop`).
    #[default]
    Noop,
    /// Hierarchical token bucket (`linux-htb`).
    Htb {
        /// Bits; the link's speed where not given.
        max_rate: Option<u64>,
        /// By number.
        queues: BTreeMap<u32, Queue>,
    },
    /// What is above a rate is dropped (`egress-policer`).
    Policer {
        /// Bytes, Ethernet headers not counted.
        cir: u64,
        /// Bytes at once.
        cbs: u64,
    },
    /// What is above two rates is dropped (`trtcm-policer`, RFC 4115).
    TwoRate {
        /// For all.
        all: TwoRates,
        /// By number.
        queues: BTreeMap<u32, TwoRates>,
    },
}

impl Discipline {
    /// Every type, by the database's name.
    pub const TYPES: [&'static str; 4] = ["egress-policer", "linux-htb", "linux-noop", "trtcm-policer"];

    /// Its type.
    pub fn name(&self) -> &'static str {
        match self {
            Discipline::Noop => "linux-noop",
            Discipline::Htb { .. } => "linux-htb",
            Discipline::Policer { .. } => "egress-policer",
            Discipline::TwoRate { .. } => "trtcm-policer",
        }
    }
}

/// A queue of a hierarchy; what is not given follows from the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Queue {
    /// Bits that it has for itself.
    pub min_rate: Option<u64>,
    /// Bits at most.
    pub max_rate: Option<u64>,
    /// Bits at once.
    pub burst: Option<u64>,
    /// Who borrows first: the lowest.
    pub priority: u32,
}

/// Two rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TwoRates {
    /// Committed bytes.
    pub cir: u64,
    /// Of those at once.
    pub cbs: u64,
    /// Excess bytes.
    pub eir: u64,
    /// Of those at once.
    pub ebs: u64,
}

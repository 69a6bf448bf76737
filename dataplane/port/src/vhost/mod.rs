//! vhost-user ports: virtual machines (and containers) attached by shared memory.
//!
//! Purpose: the device side of virtio-net for a front (QEMU, DPDK's virtio-user) that speaks the
//! vhost-user protocol over a Unix socket; either side may be the one that listens.
//! Invariant: guest memory is hostile: nothing in it is read twice or believed; every index, address,
//! length and chain is bounded. A front or guest that breaks the rules loses its own port only, and
//! may come back. The worker never waits for the control protocol.
//! Deliberately does not know: bridges, rules, what a guest is.

mod bytes;
mod device;
mod dirty;
mod inflight;
mod link;
mod memory;
mod negotiator;
mod port;
mod prefetch;
mod protocol;
mod queue;
mod record;
mod ring;
mod socket;
mod space;
mod spread;
mod torn;
mod transfer;

#[cfg(test)]
#[path = "../../tests/support/driver.rs"]
mod driver;
#[cfg(test)]
mod hostile_tests;
#[cfg(all(test, ring_model))]
mod model_tests;
#[cfg(test)]
mod walk_tests;

use std::path::PathBuf;

pub use negotiator::{Event, Observer};
pub use port::VhostPort;
pub use ring::Broken;

/// Who listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The front listens; we connect, and connect again (`dpdkvhostuserclient`).
    Client,
    /// We listen (`dpdkvhostuser`).
    Server,
}

/// How a port is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VhostOptions {
    /// The socket.
    pub path: PathBuf,
    /// Who listens.
    pub mode: Mode,
    /// Longest frame towards the guest is this and the Ethernet header; none for no limit.
    pub mtu: Option<u16>,
    /// Offer the guest an IOMMU.
    pub iommu: bool,
}

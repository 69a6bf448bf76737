//! Ports and queues.

use crate::action::PortNo;

/// Bits of [`Port::config`].
pub mod port_config {
    /// Administratively down.
    pub const PORT_DOWN: u32 = 1 << 0;
    /// No spanning tree (1.0).
    pub const NO_STP: u32 = 1 << 1;
    /// Drop what comes in, but spanning tree.
    pub const NO_RECV: u32 = 1 << 2;
    /// Drop spanning tree that comes in (1.0).
    pub const NO_RECV_STP: u32 = 1 << 3;
    /// Not part of FLOOD (1.0).
    pub const NO_FLOOD: u32 = 1 << 4;
    /// Drop what would go out.
    pub const NO_FWD: u32 = 1 << 5;
    /// No packet-in for what comes in.
    pub const NO_PACKET_IN: u32 = 1 << 6;
    /// What OpenFlow 1.0 has.
    pub const ALL_10: u32 = 0x7f;
    /// What OpenFlow 1.1 and later have.
    pub const ALL_11: u32 = PORT_DOWN | NO_RECV | NO_FWD | NO_PACKET_IN;
}

/// Bits of [`Port::state`].
pub mod port_state {
    /// No physical link.
    pub const LINK_DOWN: u32 = 1 << 0;
    /// Blocked (1.1+).
    pub const BLOCKED: u32 = 1 << 1;
    /// Live for fast failover (1.1+).
    pub const LIVE: u32 = 1 << 2;
    /// Spanning tree state (1.0): 0 listen, 1 learn, 2 forward, 3 block, shifted by 8.
    pub const STP_MASK: u32 = 3 << 8;
}

/// Bits of the link features, as OpenFlow 1.1 numbers them.
#[allow(missing_docs)]
pub mod features {
    pub const MB10_HD: u32 = 1 << 0;
    pub const MB10_FD: u32 = 1 << 1;
    pub const MB100_HD: u32 = 1 << 2;
    pub const MB100_FD: u32 = 1 << 3;
    pub const GB1_HD: u32 = 1 << 4;
    pub const GB1_FD: u32 = 1 << 5;
    pub const GB10_FD: u32 = 1 << 6;
    pub const GB40_FD: u32 = 1 << 7;
    pub const GB100_FD: u32 = 1 << 8;
    pub const TB1_FD: u32 = 1 << 9;
    pub const OTHER: u32 = 1 << 10;
    pub const COPPER: u32 = 1 << 11;
    pub const FIBER: u32 = 1 << 12;
    pub const AUTONEG: u32 = 1 << 13;
    pub const PAUSE: u32 = 1 << 14;
    pub const PAUSE_ASYM: u32 = 1 << 15;
}

/// A port as it is described.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// Number.
    pub number: PortNo,
    /// MAC address.
    pub hw_addr: [u8; 6],
    /// Name; at most 15 bytes travel.
    pub name: String,
    /// Bits of [`port_config`].
    pub config: u32,
    /// Bits of [`port_state`].
    pub state: u32,
    /// Current link [`features`].
    pub current: u32,
    /// Advertised ones.
    pub advertised: u32,
    /// Supported ones.
    pub supported: u32,
    /// The other end's.
    pub peer: u32,
    /// Current speed in kbit/s (1.1+).
    pub current_speed: u32,
    /// Highest speed in kbit/s (1.1+).
    pub max_speed: u32,
}

/// Why a port status was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortReason {
    /// It came.
    Add,
    /// It went.
    Delete,
    /// It changed.
    Modify,
}

/// A port came, went or changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortStatus {
    /// Which.
    pub reason: PortReason,
    /// The port as it is (or was).
    pub port: Port,
}

/// A change of a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortMod {
    /// Which port.
    pub port: PortNo,
    /// Its MAC address, for verification.
    pub hw_addr: [u8; 6],
    /// Bits of [`port_config`] to set or clear.
    pub config: u32,
    /// Which bits to change.
    pub mask: u32,
    /// Link [`features`] to advertise, 0 to leave them.
    pub advertise: u32,
}

/// Counters of one port; `u64::MAX` for what is not counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct PortStats {
    pub port: PortNo,
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_frame_errors: u64,
    pub rx_over_errors: u64,
    pub rx_crc_errors: u64,
    pub collisions: u64,
    /// Whole seconds since it was added; `u32::MAX` where not told.
    pub duration_sec: u32,
    /// Nanoseconds beyond that.
    pub duration_nsec: u32,
}

/// Whose queues a queue request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueStatsRequest {
    /// Port; `PortNo::ALL` (1.0) or `PortNo::NONE` for all.
    pub port: PortNo,
    /// Queue; `0xffff_ffff` for all.
    pub queue: u32,
}

/// What a queue is promised and allowed, as a controller is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueConfig {
    /// Port.
    pub port: PortNo,
    /// Queue.
    pub queue: u32,
    /// In tenths of a percent of the link; above 1000: disabled; `u16::MAX`: not told.
    pub min_rate: u16,
    /// The same.
    pub max_rate: u16,
}

impl QueueConfig {
    /// Nothing is told of its rates.
    pub fn unlimited(port: PortNo, queue: u32) -> QueueConfig {
        QueueConfig { port, queue, min_rate: u16::MAX, max_rate: u16::MAX }
    }
}

/// Counters of one queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueStats {
    /// Port.
    pub port: PortNo,
    /// Queue.
    pub queue: u32,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets lost to overrun.
    pub tx_errors: u64,
    /// Whole seconds since it was added; `u32::MAX` where not told.
    pub duration_sec: u32,
    /// Nanoseconds beyond that.
    pub duration_nsec: u32,
}

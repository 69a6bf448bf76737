//! What a replay measured.

use sluice_flow::DropReason;

/// Use of one rule.
#[derive(Clone, Debug)]
pub struct RuleFigures {
    /// Bridge: 0 or 1.
    pub bridge: u16,
    /// Table.
    pub table: u8,
    /// Priority.
    pub priority: u16,
    /// Cookie.
    pub cookie: u64,
    /// Match, as `ovs-ofctl` prints it.
    pub matching: String,
    /// Actions, as `ovs-ofctl` prints them.
    pub actions: String,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Figures of one replay.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Frames that came in.
    pub packets_in: u64,
    /// Frames that left by a port.
    pub packets_out: u64,
    /// Copies made to send a frame more than once.
    pub copied: u64,
    /// Frames that went to the controllers and nowhere else.
    pub punted: u64,
    /// Frames that went nowhere.
    pub drops: Vec<(DropReason, u64)>,
    /// CPU time of the worker's thread, seconds.
    pub seconds_cpu: f64,
    /// Wall time, seconds.
    pub seconds_wall: f64,
    /// Frequency that cycles are counted by, Hz.
    pub hz: f64,
    /// Cache hits.
    pub hits: u64,
    /// Cache misses.
    pub misses: u64,
    /// Use by rule.
    pub rules: Vec<RuleFigures>,
    /// Does what came in equal what is accounted for?
    pub conserved: bool,
}

impl Figures {
    /// Millions of packets per second of CPU time.
    pub fn mpps_cpu(&self) -> f64 {
        ratio(self.packets_in as f64 / 1e6, self.seconds_cpu)
    }

    /// Millions of packets per second of wall time.
    pub fn mpps_wall(&self) -> f64 {
        ratio(self.packets_in as f64 / 1e6, self.seconds_wall)
    }

    /// Processor cycles per packet.
    pub fn cycles_per_packet(&self) -> f64 {
        ratio(self.seconds_cpu * self.hz, self.packets_in as f64)
    }
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 {
        a / b
    } else {
        0.0
    }
}

//! What a worker counts: frames by fate, and use by rule.
//!
//! Invariant: `received + injected + copied + taken == sent + punted + held + dropped + handed` whenever no
//! batch is under way.

use std::collections::HashMap;

use sluice_flow::action::OfPort;
use sluice_flow::{BridgeIdx, DropReason, PortIdx, RuleId};

use crate::egress::QueueCount;

/// Frames by fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Came in by a port.
    pub received: u64,
    /// Bytes of them.
    pub received_bytes: u64,
    /// Came from the control side (packet-out).
    pub injected: u64,
    /// Copies made to send a frame more than once.
    pub copied: u64,
    /// Became part of another frame: pieces of a packet that was put together.
    pub joined: u64,
    /// Left by a port.
    pub sent: u64,
    /// Went to the worker that serves their device.
    pub handed: u64,
    /// Came from other workers, for devices that are served here.
    pub taken: u64,
    /// Went to the controllers and nowhere else.
    pub punted: u64,
    /// Wait in the switch now: fragments to be tracked or put together.
    pub held_fragments: u64,
    /// Wait in the switch now: in queues of ports' QoS.
    pub held_queued: u64,
    /// Went nowhere, by reason.
    pub dropped: [u64; DropReason::COUNT],
    /// Flow cache: found and good.
    pub hits: u64,
    /// Flow cache: not found, or found and decided again.
    pub misses: u64,
    /// Flow cache: not found, but decided like another flow.
    pub alike: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            received: 0,
            received_bytes: 0,
            injected: 0,
            copied: 0,
            joined: 0,
            sent: 0,
            handed: 0,
            taken: 0,
            punted: 0,
            held_fragments: 0,
            held_queued: 0,
            dropped: [0; DropReason::COUNT],
            hits: 0,
            misses: 0,
            alike: 0,
        }
    }
}

impl Counters {
    /// Counts a drop.
    #[inline]
    pub fn drop(&mut self, reason: DropReason, frames: u64) {
        if let Some(n) = self.dropped.get_mut(reason as usize) {
            *n += frames;
        }
    }

    /// Frames dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Does what came in equal what went out, was punted or dropped?
    pub fn conserved(&self) -> bool {
        let came = self.received + self.injected + self.copied + self.taken;
        came == self.sent + self.punted + self.held() + self.dropped_total() + self.handed + self.joined
    }

    /// Adds what another worker counted.
    pub fn add(&mut self, other: &Counters) {
        let pairs = [
            (&mut self.received, other.received),
            (&mut self.received_bytes, other.received_bytes),
            (&mut self.injected, other.injected),
            (&mut self.copied, other.copied),
            (&mut self.joined, other.joined),
            (&mut self.sent, other.sent),
            (&mut self.handed, other.handed),
            (&mut self.taken, other.taken),
            (&mut self.punted, other.punted),
            (&mut self.held_fragments, other.held_fragments),
            (&mut self.held_queued, other.held_queued),
            (&mut self.hits, other.hits),
            (&mut self.misses, other.misses),
        ];
        pairs.into_iter().for_each(|(sum, n)| *sum += n);
        self.dropped.iter_mut().zip(other.dropped).for_each(|(sum, n)| *sum += n);
    }

    /// Wait in the switch now.
    pub fn held(&self) -> u64 {
        self.held_fragments + self.held_queued
    }
}

/// Frames of one device, as the worker saw them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// Frames received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes sent (as the switch saw them: a frame that the port cut counts once).
    pub tx_bytes: u64,
    /// Frames that the port could not send.
    pub tx_dropped: u64,
}

/// Use of a rule since the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleUse {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// When it was last used, milliseconds of the worker's time.
    pub last_ms: u64,
}

/// Look-ups in a table since the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableUse {
    /// Packets looked up.
    pub lookups: u64,
    /// Packets that matched a rule.
    pub matched: u64,
}

/// Use of a meter since the last report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterUse {
    /// Packets that met it.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets and bytes on which each band acted.
    pub bands: Vec<(u64, u64)>,
}

/// What a worker tells the control side. Rule, table and crossing counts are since the last report;
/// frame and port counters are totals.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Epoch of the program that the worker runs.
    pub epoch: u64,
    /// Frames by fate.
    pub counters: Counters,
    /// Devices.
    pub ports: HashMap<PortIdx, PortCounters>,
    /// Receive queues that are served apart from their devices, and are not counted there.
    pub intakes: HashMap<(PortIdx, u16), PortCounters>,
    /// Queues of devices' QoS: totals, by number.
    pub queues: HashMap<PortIdx, Vec<(u32, QueueCount)>>,
    /// Rules that were used.
    pub rules: HashMap<RuleId, RuleUse>,
    /// Tables that were looked up.
    pub tables: HashMap<(BridgeIdx, u8), TableUse>,
    /// Groups by serial, and the bucket used; `None` for all of them.
    pub groups: HashMap<(u32, Option<u16>), RuleUse>,
    /// Meters by serial.
    pub meters: HashMap<u32, MeterUse>,
    /// Patch and tunnel ports: received, then sent; packets and bytes.
    pub crossings: HashMap<(BridgeIdx, OfPort), [RuleUse; 2]>,
    /// What each bucket of a bond sent.
    pub bonds: HashMap<(BridgeIdx, OfPort, u8), RuleUse>,
    /// Packets that mirrors got copies of, by bridge and place.
    pub mirrors: HashMap<(BridgeIdx, u8), RuleUse>,
    /// Flows in the cache.
    pub flows: usize,
    /// Verdicts that they share.
    pub verdicts: usize,
}

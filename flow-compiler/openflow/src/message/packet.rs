//! Packets that travel between switch and controller.

use crate::action::{Action, PortNo};
use crate::matching::Match;

/// How a packet-in is spelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PacketInFormat {
    /// The version's own.
    Standard,
    /// `NXT_PACKET_IN`.
    Nicira,
    /// `NXT_PACKET_IN2`.
    Nicira2,
}

/// A packet for the controller.
#[derive(Clone, PartialEq, Debug)]
pub struct PacketIn {
    /// How it is spelled.
    pub format: PacketInFormat,
    /// The packet, perhaps cut short.
    pub packet: Vec<u8>,
    /// Length of the whole packet.
    pub total_len: u32,
    /// Buffer that holds the packet in the switch; `0xffff_ffff` for none.
    pub buffer_id: u32,
    /// Why: `OFPR_*`.
    pub reason: u8,
    /// Table of the rule that sent it, where told.
    pub table: Option<u8>,
    /// Cookie of that rule, where told.
    pub cookie: Option<u64>,
    /// Pipeline state: `in_port`, registers, metadata, tunnel.
    pub metadata: Match,
    /// `userdata` of the controller action.
    pub userdata: Vec<u8>,
    /// Opaque state to resume with; empty for none.
    pub continuation: Vec<u8>,
}

/// A packet from the controller.
#[derive(Clone, PartialEq, Debug)]
pub struct PacketOut {
    /// The packet, empty where `buffer_id` names one.
    pub packet: Vec<u8>,
    /// Buffer that holds the packet in the switch; `0xffff_ffff` for none.
    pub buffer_id: u32,
    /// Pipeline state to begin with: at least `in_port`.
    pub metadata: Match,
    /// What to do with it.
    pub actions: Vec<Action>,
}

impl PacketOut {
    /// The port that the packet is taken to have come in by.
    pub fn in_port(&self) -> PortNo {
        PortNo(self.metadata.value.get(sluice_flow::key::slot::IN_PORT) as u32)
    }
}

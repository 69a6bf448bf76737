//! What a connection hears unasked.
//!
//! Invariant: a connection that came to us hears nothing unless it asked by a "miss send length",
//! as `ovs-ofctl monitor` does; others hear what their role and masks allow.

use sluice_engine::Punted;
use sluice_flow::key::slot;
use sluice_openflow::message::{AsyncConfig, AsyncMasks, FlowRemoved, FlowRemovedReason, PacketIn, PacketInFormat, PortReason, PortStatus, Role, NO_BUFFER};
use sluice_openflow::{Match, Message, OfpError, Version};

use super::{Effect, Session};
use crate::daemon::ofserver::output::Output;

/// Packet-ins, port status and removed rules for those who are in charge; port status for others.
pub(super) fn default_wishes() -> AsyncConfig {
    let all = AsyncMasks { packet_in: 0x3b, port_status: 7, flow_removed: 0x3f, ..AsyncMasks::default() };
    let looking = AsyncMasks { port_status: 7, ..AsyncMasks::default() };
    AsyncConfig { primary: all, secondary: looking, nicira: false }
}

impl Session {
    pub(super) fn set_async(&mut self, config: AsyncConfig) -> Result<Effect, OfpError> {
        self.wants = config;
        Ok(Effect::None)
    }

    pub(super) fn set_flow_format(&mut self, nxm: bool) -> Result<Effect, OfpError> {
        self.protocol.nxm = nxm;
        Ok(Effect::None)
    }

    pub(super) fn set_table_id(&mut self, enabled: bool) -> Result<Effect, OfpError> {
        self.protocol.table_id = enabled;
        Ok(Effect::None)
    }

    pub(super) fn set_packet_in_format(&mut self, format: PacketInFormat) -> Result<Effect, OfpError> {
        self.packet_in_format = format;
        Ok(Effect::None)
    }

    pub(super) fn set_controller_id(&mut self, id: u16) -> Result<Effect, OfpError> {
        self.controller_id = id;
        Ok(Effect::None)
    }

    fn masks(&self) -> Option<&AsyncMasks> {
        if !self.greeting.is_over() || (self.is_service && self.miss_send_len == 0) {
            return None;
        }
        Some(if self.role == Role::Secondary { &self.wants.secondary } else { &self.wants.primary })
    }

    /// Tells of a rule that has gone.
    pub fn tell_flow_removed(&self, message: &FlowRemoved, output: &mut Output) {
        let bit = match message.reason {
            FlowRemovedReason::IdleTimeout => 0,
            FlowRemovedReason::HardTimeout => 1,
            FlowRemovedReason::Delete => 2,
            FlowRemovedReason::GroupDelete => 3,
            FlowRemovedReason::MeterDelete => 4,
            FlowRemovedReason::Eviction => 5,
        };
        if self.masks().is_some_and(|m| m.flow_removed & (1 << bit) != 0) {
            self.say_unasked(&Message::FlowRemoved(Box::new(message.clone())), output);
        }
    }

    /// Tells of a port that came, went or changed.
    pub fn tell_port_status(&self, message: &PortStatus, output: &mut Output) {
        let bit = match message.reason {
            PortReason::Add => 0,
            PortReason::Delete => 1,
            PortReason::Modify => 2,
        };
        if self.masks().is_some_and(|m| m.port_status & (1 << bit) != 0) {
            self.say_unasked(&Message::PortStatus(message.clone()), output);
        }
    }

    /// Tells of a packet; `cookie` is that of the rule which sent it.
    pub fn tell_packet(&self, punted: &Punted, cookie: Option<u64>, output: &mut Output) {
        // Old versions know no other reason for what an action sends.
        let reason = match punted.punt.reason {
            3..=5 if self.protocol.version < Version::V14 => 1,
            reason => reason,
        };
        let wanted = self.masks().is_some_and(|m| m.packet_in & 1u32.checked_shl(u32::from(reason)).unwrap_or(0) != 0);
        if !wanted || punted.punt.controller_id != self.controller_id {
            return;
        }
        let mut metadata = Match::ANY;
        metadata.set_exact(slot::IN_PORT, u128::from(punted.in_port));
        let message = PacketIn {
            format: self.packet_in_format,
            packet: punted.bytes.clone(),
            total_len: u32::try_from(punted.total_len).unwrap_or(u32::MAX),
            buffer_id: NO_BUFFER,
            reason,
            table: Some(punted.table),
            cookie,
            metadata,
            userdata: punted.punt.userdata.clone(),
            continuation: Vec::new(),
        };
        self.say_unasked(&Message::PacketIn(Box::new(message)), output);
    }

    fn say_unasked(&self, message: &Message, output: &mut Output) {
        if let Ok(bytes) = message.encode(self.protocol, 0) {
            output.push_unasked(&bytes);
        }
    }

    /// The version that was agreed on.
    pub fn version(&self) -> Option<Version> {
        self.greeting.is_over().then_some(self.protocol.version)
    }
}

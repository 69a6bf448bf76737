//! Messages that change something.
//!
//! Purpose: flow-mods, group-mods, meter-mods, port-mods, table-mods, mappings of tunnel options, packet-outs.

use std::sync::Arc;

use sluice_conntrack::choice::{Choice, Parts};
use sluice_flow::program::Miss;
use sluice_openflow::action::Place;
use sluice_flow::key::slot;
use sluice_openflow::message::{
    port_config, Continuation, CtFlush, CtTuple, GroupMod, MeterMod, PacketIn, PacketOut, PortMod, TableMod,
    TlvTableMod, NO_BUFFER,
};
use sluice_openflow::{FlowMod, Message, OfpError, PortNo, Version};

use super::{told, Effect, Session, Turn, Wait};
use crate::daemon::worker::Injection;

/// Whether a secondary controller may not send this.
pub(super) fn needs_authority(message: &Message) -> bool {
    matches!(
        message,
        Message::FlowMod(_)
            | Message::PortMod(_)
            | Message::TableMod(_)
            | Message::GroupMod(_)
            | Message::MeterMod(_)
            | Message::PacketOut(_)
            | Message::SetConfig(_)
            | Message::BundleControl(_)
            | Message::BundleAdd(_)
            | Message::TlvTableMod(_)
            | Message::CtFlushZone(_)
            | Message::CtFlush(_)
            | Message::Resume(_)
    )
}

/// Forgets the connections of a zone.
pub(super) fn flush_zone(zone: u16, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
    turn.switch.tracker().flush(|c| c.orig.zone == zone);
    Ok(Effect::None)
}

/// Forgets the connections that a message names.
pub(super) fn flush_connections(which: &CtFlush, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
    let proto = Some(which.protocol).filter(|p| *p != 0);
    let choice = Choice { zone: which.zone, orig: parts(&which.original, proto), reply: parts(&which.reply, proto) };
    turn.switch.tracker().flush_choice(&choice);
    Ok(Effect::None)
}

fn parts(t: &CtTuple, proto: Option<u8>) -> Parts {
    let address = |a: std::net::Ipv6Addr| (!a.is_unspecified()).then(|| a.to_canonical());
    let is_icmp = matches!(proto, Some(1 | 58));
    let port = |p: u16| (p != 0 && !is_icmp).then_some(p);
    Parts {
        src: address(t.src),
        dst: address(t.dst),
        proto,
        sport: port(t.src_port),
        dport: port(t.dst_port),
        ..Parts::default()
    }
}

impl Session {
    pub(super) fn flow_mod(&mut self, fm: &FlowMod, turn: &mut Turn<'_>) -> Result<(), OfpError> {
        turn.switch.flow_mod(self.bridge, fm, self.protocol.version, turn.now_ms).map_err(told)?;
        // No packet is ever kept, so no number of one is known.
        match fm.buffer_id {
            NO_BUFFER => Ok(()),
            _ => Err(OfpError::OFPBRC_BUFFER_UNKNOWN),
        }
    }

    pub(super) fn group_mod(&mut self, gm: &GroupMod, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        turn.switch.group_mod(self.bridge, gm, turn.now_ms).map_err(told)?;
        Ok(Effect::None)
    }

    pub(super) fn tlv_table_mod(&mut self, tm: &TlvTableMod, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        turn.switch.map_options(self.bridge, tm).map_err(told)?;
        Ok(Effect::None)
    }

    pub(super) fn meter_mod(&mut self, mm: &MeterMod, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        turn.switch.meter_mod(self.bridge, mm, turn.now_ms).map_err(told)?;
        Ok(Effect::None)
    }

    pub(super) fn check_port_mod(&self, pm: &PortMod, turn: &Turn<'_>) -> Result<(), OfpError> {
        let port = turn.switch.bridge(self.bridge).and_then(|b| b.ports.get(&pm.port));
        let port = port.ok_or(OfpError::OFPPMFC_BAD_PORT)?;
        if port.hw_addr != pm.hw_addr {
            return Err(OfpError::OFPPMFC_BAD_HW_ADDR);
        }
        Ok(())
    }

    pub(super) fn port_mod(&mut self, pm: &PortMod, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        self.check_port_mod(pm, turn)?;
        turn.switch.configure_port(self.bridge, pm.port, pm.config, pm.mask);
        if pm.mask & port_config::PORT_DOWN != 0 {
            let up = pm.config & port_config::PORT_DOWN == 0;
            turn.switch.set_port_up(self.bridge, pm.port, up).map_err(|why| {
                crate::log!(Warn, "openflow", "{why}");
                OfpError::OFPPMFC_EPERM
            })?;
        }
        Ok(Effect::None)
    }

    pub(super) fn table_mod(&mut self, tm: &TableMod, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        if tm.table.is_some_and(|t| t >= super::features::TABLES) {
            return Err(OfpError::OFPTMFC_BAD_TABLE);
        }
        if self.protocol.version >= Version::V14 {
            let tables = tm.table.map_or(0..=super::features::TABLES - 1, |t| t..=t);
            tables.for_each(|table| turn.switch.set_table(self.bridge, table, tm));
            return Ok(Effect::None);
        }
        if !matches!(self.protocol.version, Version::V11 | Version::V12) {
            return Ok(Effect::None);
        }
        let miss = match tm.config & 3 {
            0 => Miss::Controller,
            1 => Miss::Continue,
            2 => Miss::Drop,
            _ => return Err(OfpError::OFPTMFC_BAD_CONFIG),
        };
        turn.switch.set_miss(self.bridge, tm.table, miss);
        Ok(Effect::None)
    }

    pub(super) fn packet_out(&mut self, po: PacketOut, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        let injection = self.injection(po, turn)?;
        self.wait = self.end_of(Wait::Published(injection), turn);
        Ok(Effect::None)
    }

    /// What the worker has to do for a packet-out.
    pub(super) fn injection(&self, po: PacketOut, turn: &mut Turn<'_>) -> Result<Injection, OfpError> {
        if po.buffer_id != NO_BUFFER {
            return Err(OfpError::OFPBRC_BUFFER_UNKNOWN);
        }
        let in_port = po.in_port();
        let ordinary = in_port.0 < PortNo::MAX.0;
        let reserved = [PortNo::LOCAL, PortNo::NONE, PortNo::CONTROLLER];
        if !ordinary && !reserved.contains(&in_port) {
            return Err(OfpError::OFPBRC_BAD_PORT);
        }
        let version = self.protocol.version;
        let matching = sluice_openflow::Match::ANY;
        sluice_compiler::check::check_actions(&po.actions, &matching, None, Place::PacketOut, version).map_err(told)?;
        let known = |what| turn.switch.rules.knows(self.bridge, what);
        sluice_compiler::check::check_references(&po.actions, &known).map_err(told)?;
        let lowered = turn.switch.rules.lower_passing(self.bridge, &po.actions);
        Ok(Injection {
            bridge: self.bridge,
            in_port: in_port.0,
            actions: Arc::clone(&lowered.actions),
            packet: po.packet,
            pipeline: Some(Box::new(po.metadata.value)),
            resume: None,
        })
    }

    /// A paused packet goes on, as the controller gives it back.
    pub(super) fn resume(&mut self, packet_in: PacketIn, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        let continuation = Continuation::decode(self.protocol.version, &packet_in.continuation)?;
        if continuation.bridge != self.bridge_uuid {
            return Err(OfpError::NXR_STALE);
        }
        let frozen = continuation.token.and_then(|t| turn.switch.paused.find(t));
        let frozen = frozen.filter(|f| f.bridge == self.bridge).ok_or(OfpError::NXR_STALE)?;
        let injection = Injection {
            bridge: self.bridge,
            in_port: packet_in.metadata.value.get(slot::IN_PORT) as u32,
            actions: Arc::new([]),
            packet: packet_in.packet,
            pipeline: Some(Box::new(packet_in.metadata.value)),
            resume: Some(frozen),
        };
        self.wait = self.end_of(Wait::Published(injection), turn);
        Ok(Effect::None)
    }
}

//! What a connection hears unasked.
//!
//! Invariant: a connection that came to us hears nothing unless it asked by a "miss send length",
//! as `ovs-ofctl monitor` does; others hear what their role and masks allow.

use sluice_engine::Punted;
use sluice_flow::key::slot;
use sluice_flow::options::OptionMap;
use sluice_flow::{Key, Slot};
use sluice_openflow::message::{
    AsyncConfig, AsyncMasks, Continuation, FlowRemoved, FlowRemovedReason, PacketIn, PacketInFormat, PortReason,
    PortStatus, RequestForward, Role, RoleReason, RoleStatus, TableStatus, NO_BUFFER,
};
use sluice_openflow::wide::Wide;
use sluice_openflow::{Match, Message, OfpError, Version};

use super::{Effect, Session};
use crate::daemon::ofserver::output::Output;

/// Reasons of packet-ins: all of 1.4, and the two kinds of misses that are told apart within.
const REASONS: u32 = 0x3f;
const REASONS_10: u32 = 0x07;
const INVALID_TTL: u32 = 1 << 2;
const NO_MATCH: u32 = 1 << 0;
const EXPLICIT_MISS: u32 = 1 << 6;
const IMPLICIT_MISS: u32 = 1 << 7;
/// Vacancy of tables.
const TABLE_REASONS: u32 = 0x18;

/// Packet-ins, port status and removed rules for those who are in charge; port status for others.
pub(super) fn default_wishes(version: Version) -> AsyncConfig {
    let flow_removed = match version {
        Version::V14 | Version::V15 => 0x3f,
        Version::V13 => 0x0f,
        _ => 0x07,
    };
    let packet_in = REASONS & !INVALID_TTL | EXPLICIT_MISS | IMPLICIT_MISS;
    let all = AsyncMasks { packet_in, port_status: 7, flow_removed, ..AsyncMasks::default() };
    let looking = AsyncMasks { port_status: 7, ..AsyncMasks::default() };
    AsyncConfig { primary: all, secondary: looking, ..AsyncConfig::default() }
}

/// Reasons that a version may ask for, by kind of message, in the order of the masks.
fn allowed(version: Version) -> AsyncMasks {
    let new = version >= Version::V14;
    AsyncMasks {
        packet_in: if new { REASONS } else { REASONS_10 },
        port_status: 7,
        flow_removed: 0x3f,
        role_status: 7,
        table_status: TABLE_REASONS,
        request_forward: 3,
    }
}

/// Each mask with its number: twice the number is the property of the secondary role.
fn each<'a>(m: &'a mut AsyncMasks) -> [&'a mut u32; 6] {
    [
        &mut m.packet_in,
        &mut m.port_status,
        &mut m.flow_removed,
        &mut m.role_status,
        &mut m.table_status,
        &mut m.request_forward,
    ]
}

impl Session {
    /// Takes new masks. Those of 1.4 change what they name; older ones change everything.
    pub(super) fn set_async(&mut self, mut config: AsyncConfig) -> Result<Effect, OfpError> {
        let version = self.protocol.version;
        let by_parts = config.parts.is_some();
        let parts = config.parts.unwrap_or(u16::MAX);
        let mut wants = self.wants;
        let (mut allowed_primary, mut allowed_secondary) = (allowed(version), allowed(version));
        let halves = [
            (each(&mut config.secondary), each(&mut wants.secondary), each(&mut allowed_secondary), 0),
            (each(&mut config.primary), each(&mut wants.primary), each(&mut allowed_primary), 1),
        ];
        for (given, kept, allowed, odd) in halves {
            for (n, ((given, kept), allowed)) in given.into_iter().zip(kept).zip(allowed).enumerate() {
                if parts & 1 << (2 * n + odd) == 0 {
                    continue;
                }
                if by_parts && *given & !*allowed != 0 {
                    return Err(OfpError::OFPACFC_INVALID);
                }
                *kept = *given & *allowed | if n == 0 { misses(*given, version) } else { 0 };
            }
        }
        self.wants = wants;
        Ok(Effect::None)
    }

    /// The masks, as the version can tell of them.
    pub(super) fn told_wishes(&self) -> AsyncConfig {
        let mut wants = self.wants;
        for half in [&mut wants.primary, &mut wants.secondary] {
            half.packet_in &= allowed(self.protocol.version).packet_in;
        }
        AsyncConfig { parts: None, ..wants }
    }

    /// Packets whose TTL runs out are told too, or no more.
    pub(super) fn set_invalid_ttl(&mut self, wanted: bool) {
        let mask = &mut self.wants.primary.packet_in;
        *mask = *mask & !INVALID_TTL | if wanted { INVALID_TTL } else { 0 };
    }

    pub(super) fn hears_invalid_ttl(&self) -> bool {
        self.wants.primary.packet_in & INVALID_TTL != 0
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

    fn hears(&self, mask: impl Fn(&AsyncMasks) -> u32, reason: u8) -> bool {
        if !self.greeting.is_over() || self.is_muted || (self.is_service && self.miss_send_len == 0) {
            return false;
        }
        let masks = if self.role == Role::Secondary { &self.wants.secondary } else { &self.wants.primary };
        mask(masks) & 1u32.checked_shl(u32::from(reason)).unwrap_or(0) != 0
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
        if self.hears(|m| m.flow_removed, bit) {
            self.say_unasked(&Message::FlowRemoved(Box::new(message.clone())), output);
        }
    }

    /// Tells of a port that came, went or changed; `own` when this connection changed it, of which
    /// versions before 1.5 are not told.
    pub fn tell_port_status(&self, message: &PortStatus, own: bool, output: &mut Output) {
        let bit = match message.reason {
            PortReason::Add => 0,
            PortReason::Delete => 1,
            PortReason::Modify => 2,
        };
        if self.hears(|m| m.port_status, bit) && !(own && self.protocol.version < Version::V15) {
            self.say_unasked(&Message::PortStatus(message.clone()), output);
        }
    }

    /// Tells of a table that ran full, or has room again.
    pub fn tell_table_status(&self, message: &TableStatus, output: &mut Output) {
        let bit = if message.vacancy_down { 3 } else { 4 };
        if self.protocol.version >= Version::V14 && self.hears(|m| m.table_status, bit) {
            self.say_unasked(&Message::TableStatus(*message), output);
        }
    }

    /// Passes on another connection's change of groups or meters.
    pub fn tell_request(&self, message: &Message, xid: u32, output: &mut Output) {
        let bit = u8::from(matches!(message, Message::MeterMod(_)));
        if !self.hears(|m| m.request_forward, bit) {
            return;
        }
        if let Ok(request) = message.encode(self.protocol, xid) {
            self.say_unasked(&Message::RequestForward(RequestForward { request }), output);
        }
    }

    /// Tells that another connection is the primary one now.
    pub fn tell_demotion(&self, generation_id: Option<u64>, output: &mut Output) {
        let status = RoleStatus {
            role: Role::Secondary,
            reason: RoleReason::PrimaryRequest,
            generation_id: generation_id.unwrap_or(u64::MAX),
        };
        if self.protocol.version >= Version::V13 {
            self.say_unasked(&Message::RoleStatus(status), output);
        }
    }

    /// Whether it wants to hear of a packet.
    pub fn wants_packet(&self, punted: &Punted) -> bool {
        punted.punt.controller_id == self.controller_id && self.hears(|m| m.packet_in, punted.punt.reason)
    }

    /// A packet as this connection is told of it; `cookie` is that of the rule which sent it, `token`
    /// stands for what is still to be done.
    pub fn packet_in(&self, punted: &Punted, cookie: Option<u64>, token: Option<u64>, options: &OptionMap) -> Option<Vec<u8>> {
        let continuation = token.and_then(|token| {
            let frozen = &punted.punt.paused.as_ref()?.0;
            let stack = frozen.stack.iter().rev().map(|v| v.to_be_bytes().to_vec()).collect();
            let bridge = self.bridge_uuid;
            Continuation { bridge, stack, token: Some(token), ..Continuation::default() }.encode(self.protocol.version).ok()
        });
        let message = PacketIn {
            format: self.packet_in_format,
            packet: punted.bytes.clone(),
            total_len: u32::try_from(punted.total_len).unwrap_or(u32::MAX),
            buffer_id: NO_BUFFER,
            reason: punted.punt.reason,
            table: Some(punted.table),
            cookie: cookie.or(Some(u64::MAX)),
            metadata: metadata_of(punted, options),
            userdata: punted.punt.userdata.clone(),
            continuation: continuation.unwrap_or_default(),
        };
        Message::PacketIn(Box::new(message)).encode(self.protocol, 0).ok()
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

/// One who wants misses wants those that a rule makes; before 1.3 also those without any rule.
fn misses(mask: u32, version: Version) -> u32 {
    match (mask & NO_MATCH != 0, version < Version::V13) {
        (false, _) => 0,
        (true, true) => EXPLICIT_MISS | IMPLICIT_MISS,
        (true, false) => EXPLICIT_MISS,
    }
}

fn metadata_of(punted: &Punted, options: &OptionMap) -> Match {
    let mut m = pipeline_match(&punted.state, options);
    m.set_exact(slot::IN_PORT, u128::from(punted.in_port));
    m
}

/// Registers, metadata, tunnel and connection, as far as they say anything.
pub(super) fn pipeline_match(key: &Key, options: &OptionMap) -> Match {
    let mut m = Match::ANY;
    for n in OptionMap::present(key) {
        let value = options.read(key, n);
        // All mapped options together fit.
        let _ = m.place_option(n, value.len(), &Wide::from_bytes(&value), &Wide::ONES);
    }
    let mut told = |s: Slot| {
        let value = key.get_wide(s);
        if value != 0 {
            m.set_exact(s, value);
        }
    };
    let tunnel = [
        slot::TUN_ID,
        slot::TUN_SRC,
        slot::TUN_DST,
        slot::TUN_IPV6_SRC,
        slot::TUN_IPV6_DST,
        slot::TUN_GBP_ID,
        slot::TUN_GBP_FLAGS,
    ];
    tunnel.into_iter().for_each(&mut told);
    told(slot::METADATA);
    (0..16).map(slot::reg).for_each(&mut told);
    told(slot::PKT_MARK);
    [slot::CT_STATE, slot::CT_ZONE, slot::CT_MARK, slot::CT_LABEL].into_iter().for_each(&mut told);
    if key.get(slot::CT_STATE) != 0 {
        let tuple = [
            slot::CT_NW_PROTO,
            slot::CT_TP_SRC,
            slot::CT_TP_DST,
            slot::CT_NW_SRC,
            slot::CT_NW_DST,
            slot::CT_IPV6_SRC,
            slot::CT_IPV6_DST,
        ];
        tuple.into_iter().for_each(&mut told);
    }
    m
}

//! What one connection says and hears.
//!
//! Purpose: the state of one OpenFlow conversation: version, role, what it wants to hear unasked,
//! bundles, an answer that is still being given.
//! Invariant: requests are answered in order; while one waits (for workers, for counts, for the peer
//! to read) no later one is looked at.
//! Deliberately does not know: sockets.

mod asynchronous;
mod bundles;
mod changes;
mod dump;
mod features;
mod greeting;
mod referred;
mod monitors;
mod queues;
mod roles;
mod statistics;
mod table_features;
#[cfg(test)]
mod tests;

use sluice_compiler::OfError;
use sluice_flow::BridgeIdx;
use sluice_openflow::message::{
    AsyncConfig, ErrorMessage, PacketInFormat, Role, StatsReply, StatsRequest,
};
use sluice_openflow::wire::decode_flow_mod;
use sluice_openflow::{FlowMod, Match, Message, OfpError, Protocol, Version, VersionSet};

use super::output::Output;
use crate::daemon::switch::Switch;
use crate::daemon::worker::Injection;

pub use greeting::Greeting;

/// What a message does beyond its own connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None.
    None,
    /// This connection is the primary one of its bridge now; no other is.
    BecamePrimary,
    /// It watches other rules than before, or none.
    WatchingChanged,
    /// What it just changed is to be passed on to others.
    Forward,
    /// The conversation is over.
    Close,
}

/// What a conversation can use while it handles a message.
pub struct Turn<'a> {
    /// The switch.
    pub switch: &'a mut Switch,
    /// Where answers go.
    pub output: &'a mut Output,
    /// Now.
    pub now_ms: u64,
}

/// What a request waits for.
enum Wait {
    /// The worker runs this epoch; then the barrier is answered.
    Barrier { epoch: u64, xid: u32 },
    /// Every change is handed to the worker; then the packet goes after it.
    Published(Injection),
    /// Counts have come; then the request is answered.
    Report { ticket: u64, xid: u32, request: Box<StatsRequest> },
}

/// One conversation.
pub struct Session {
    /// The bridge it is about.
    pub bridge: BridgeIdx,
    greeting: Greeting,
    protocol: Protocol,
    /// Its role.
    pub role: Role,
    /// It came to us: hears nothing unasked unless it says so.
    is_service: bool,
    wants: AsyncConfig,
    miss_send_len: u16,
    packet_in_format: PacketInFormat,
    controller_id: u16,
    bundles: bundles::Bundles,
    dump: Option<dump::FlowDump>,
    wait: Option<Wait>,
    generation: Option<u64>,
    monitors: monitors::Monitors,
    /// Hears nothing unasked, whatever its masks say.
    is_muted: bool,
    /// Its masks are empty until it sets them.
    is_quiet_at_first: bool,
    /// The number of the bridge in continuations.
    bridge_uuid: u128,
    /// Changes of groups and meters that others may want to hear of.
    forward: Vec<(Message, u32)>,
    /// Number of the message that is being obeyed, for those who watch rules.
    acting_xid: u32,
    /// Where flow-mods are read to, one after the other.
    flow_mod: Option<Box<FlowMod>>,
}

impl Session {
    /// A conversation about a bridge that speaks these versions.
    pub fn new(bridge: BridgeIdx, versions: VersionSet, is_service: bool) -> Session {
        Session {
            bridge,
            greeting: Greeting::new(versions),
            protocol: Protocol::from(versions.newest().unwrap_or(Version::V10)),
            role: Role::Equal,
            is_service,
            wants: AsyncConfig::default(),
            miss_send_len: 0,
            packet_in_format: PacketInFormat::Standard,
            controller_id: 0,
            bundles: bundles::Bundles::default(),
            dump: None,
            wait: None,
            generation: None,
            monitors: monitors::Monitors::default(),
            is_muted: false,
            is_quiet_at_first: false,
            bridge_uuid: 0,
            forward: Vec::new(),
            acting_xid: 0,
            flow_mod: None,
        }
    }

    /// A conversation that hears nothing unasked.
    pub fn mute(&mut self) {
        self.is_muted = true;
    }

    /// Nothing is told unasked until the peer says what it wants to hear.
    pub fn hear_nothing_at_first(&mut self) {
        self.is_quiet_at_first = true;
    }

    /// The number that stands for its bridge in continuations.
    pub fn set_bridge_uuid(&mut self, uuid: u128) {
        self.bridge_uuid = uuid;
    }

    /// The messages that are to be passed on, once.
    pub fn take_forward(&mut self) -> Vec<(Message, u32)> {
        std::mem::take(&mut self.forward)
    }

    /// Number of the message that was obeyed last.
    pub fn acting_xid(&self) -> u32 {
        self.acting_xid
    }

    /// Says hello.
    pub fn greet(&mut self, output: &mut Output) {
        self.say(&Message::hello(self.greeting.versions()), 0, output);
    }

    /// Asks whether the peer is still there; one that has not even said hello cannot tell.
    pub fn probe(&self, output: &mut Output) {
        if self.greeting.is_over() {
            self.say(&Message::EchoRequest(Vec::new()), 0, output);
        }
    }

    /// Whether a request is still being answered.
    pub fn is_busy(&self) -> bool {
        self.wait.is_some() || self.dump.is_some()
    }

    /// Goes on with the request that is being answered; true while it is not done.
    pub fn go_on(&mut self, turn: &mut Turn<'_>) -> bool {
        if let Some(wait) = self.wait.take() {
            self.wait = self.end_of(wait, turn);
        }
        if let Some(dump) = self.dump.take() {
            self.dump = self.continue_dump(dump, turn);
        }
        self.is_busy()
    }

    /// What becomes of a wait: over, or still the same.
    fn end_of(&mut self, wait: Wait, turn: &mut Turn<'_>) -> Option<Wait> {
        match wait {
            Wait::Barrier { epoch, xid } => {
                turn.switch.publish();
                if !turn.switch.has_adopted(epoch) {
                    return Some(Wait::Barrier { epoch, xid });
                }
                self.reply(&Message::BarrierReply, xid, turn);
                None
            }
            Wait::Published(injection) => {
                turn.switch.publish();
                if !turn.switch.is_published() {
                    return Some(Wait::Published(injection));
                }
                turn.switch.inject(injection);
                None
            }
            Wait::Report { ticket, xid, request } => {
                if !turn.switch.has_reported(ticket) {
                    return Some(Wait::Report { ticket, xid, request });
                }
                self.answer_counted(*request, xid, turn);
                None
            }
        }
    }

    /// Takes in one message.
    pub fn handle(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> Effect {
        if !self.greeting.is_over() {
            return self.take_greeting(bytes, turn);
        }
        if let Some(error) = self.wrong_version(bytes) {
            turn.output.push(&error);
            return Effect::None;
        }
        if self.take_flow_mod(bytes, turn) {
            return Effect::None;
        }
        if sluice_openflow::wire::is_only_sent(self.protocol.version, bytes) {
            // What is in it does not matter; an error among them is at least told to the log.
            let told = Message::decode(self.protocol, bytes);
            if let Ok((_, Message::Error(error))) = &told {
                crate::log!(Info, "openflow", "peer reports {:?} {:?}", error.error, error.code);
            }
            let xid = bytes.get(4..8).and_then(|x| x.try_into().ok()).map_or(0, u32::from_be_bytes);
            self.refuse(OfpError::OFPBRC_BAD_TYPE, xid, bytes, turn);
            return Effect::None;
        }
        match Message::decode(self.protocol, bytes) {
            Ok((xid, message)) => self.obey(message, xid, bytes, turn),
            Err(e) => {
                self.refuse(e.error, e.xid, bytes, turn);
                Effect::None
            }
        }
    }

    /// Obeys a message if it is a flow-mod.
    fn take_flow_mod(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> bool {
        let mut fm = self.place_for_flow_mod();
        let decoded = decode_flow_mod(self.protocol, bytes, &mut fm);
        let is_one = decoded.is_some();
        let done = decoded.map(|d| d.map_err(|e| (e.xid, e.error)).and_then(|xid| self.obey_flow_mod(&mut fm, xid, turn)));
        self.flow_mod = Some(fm);
        if let Some(Err((xid, error))) = done {
            self.refuse(error, xid, bytes, turn);
        }
        is_one
    }

    /// The place that flow-mods are read to; to be given back.
    fn place_for_flow_mod(&mut self) -> Box<FlowMod> {
        self.flow_mod.take().unwrap_or_else(|| Box::new(FlowMod::around(Match::ANY)))
    }

    fn obey_flow_mod(&mut self, fm: &mut FlowMod, xid: u32, turn: &mut Turn<'_>) -> Result<(), (u32, OfpError)> {
        self.acting_xid = xid;
        if self.role == Role::Secondary {
            return Err((xid, OfpError::OFPBRC_IS_SECONDARY));
        }
        fm.bind(turn.switch.rules.options(self.bridge)).map_err(|error| (xid, error))?;
        self.flow_mod(fm, turn).map_err(|error| (xid, error))
    }

    fn obey(&mut self, mut message: Message, xid: u32, bytes: &[u8], turn: &mut Turn<'_>) -> Effect {
        self.acting_xid = xid;
        if let Err(error) = message.bind(turn.switch.rules.options(self.bridge)) {
            self.refuse(error, xid, bytes, turn);
            return Effect::None;
        }
        let forward = matches!(message, Message::GroupMod(_) | Message::MeterMod(_)).then(|| message.clone());
        if self.role == Role::Secondary && changes::needs_authority(&message) {
            self.refuse(OfpError::OFPBRC_IS_SECONDARY, xid, bytes, turn);
            return Effect::None;
        }
        let result = match message {
            Message::Hello(_) | Message::EchoReply(_) | Message::FlowAge => Ok(Effect::None),
            Message::Error(error) => {
                crate::log!(Info, "openflow", "peer reports {:?} {:?}", error.error, error.code);
                Ok(Effect::None)
            }
            Message::EchoRequest(payload) => self.answer(Message::EchoReply(payload), xid, turn),
            Message::BarrierRequest => self.barrier(xid, turn),
            Message::FeaturesRequest => self.answer(features::features(self.bridge, turn.switch), xid, turn),
            Message::GetConfigRequest => self.answer(self.config(turn), xid, turn),
            Message::SetConfig(config) => self.set_config(config, turn),
            Message::FlowMod(fm) => self.flow_mod(&fm, turn).map(|()| Effect::None),
            Message::PortMod(pm) => self.port_mod(&pm, turn),
            Message::TableMod(tm) => self.table_mod(&tm, turn),
            Message::GroupMod(gm) => self.group_mod(&gm, turn),
            Message::MeterMod(mm) => self.meter_mod(&mm, turn),
            Message::PacketOut(po) => self.packet_out(*po, turn),
            Message::RoleRequest(request) => self.role_request(request, xid, turn),
            Message::GetAsyncRequest => self.answer(Message::GetAsyncReply(self.told_wishes()), xid, turn),
            Message::SetAsync(config) => self.set_async(config),
            Message::SetFlowFormat { nxm } => self.set_flow_format(nxm),
            Message::FlowModTableId { enabled } => self.set_table_id(enabled),
            Message::SetPacketInFormat(format) => self.set_packet_in_format(format),
            Message::SetControllerId(id) => self.set_controller_id(id),
            Message::BundleControl(control) => self.bundle_control(control, xid, turn),
            Message::BundleAdd(add) => self.bundle_add(add, xid, turn),
            Message::StatsRequest(StatsRequest::FlowMonitor(requests)) => self.monitor(requests, xid, turn),
            Message::FlowMonitorCancel(id) => self.cancel_monitor(id),
            Message::Resume(packet_in) => self.resume(*packet_in, turn),
            Message::StatsRequest(request) => self.statistics(request, xid, turn),
            Message::QueueGetConfigRequest(port) => self.queue_config(port, xid, turn),
            Message::TlvTableRequest => self.answer(features::tlv_table(self.bridge, turn.switch), xid, turn),
            Message::TlvTableMod(tm) => self.tlv_table_mod(&tm, turn),
            Message::CtFlushZone(zone) => changes::flush_zone(zone, turn),
            Message::CtFlush(which) => changes::flush_connections(&which, turn),
            other => Err(other.refusal().unwrap_or(OfpError::OFPBRC_BAD_TYPE)),
        };
        if let (Ok(_), Some(message)) = (&result, forward) {
            self.forward.push((message, xid));
        }
        if !self.forward.is_empty() && result == Ok(Effect::None) {
            return Effect::Forward;
        }
        result.unwrap_or_else(|error| {
            self.refuse(error, xid, bytes, turn);
            Effect::None
        })
    }

    fn barrier(&mut self, xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        turn.switch.publish();
        let epoch = turn.switch.target_epoch();
        self.wait = self.end_of(Wait::Barrier { epoch, xid }, turn);
        Ok(Effect::None)
    }

    /// Gives an answer; for use as the last word of a request.
    fn answer(&mut self, message: Message, xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        self.reply(&message, xid, turn);
        Ok(Effect::None)
    }

    fn answer_stats(&mut self, reply: StatsReply, xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        self.answer(Message::StatsReply(reply), xid, turn)
    }

    fn reply(&self, message: &Message, xid: u32, turn: &mut Turn<'_>) {
        self.say(message, xid, turn.output);
    }

    fn say(&self, message: &Message, xid: u32, output: &mut Output) {
        match message.encode_all(self.protocol, xid) {
            Ok(parts) => parts.iter().for_each(|bytes| output.push(bytes)),
            Err(e) => crate::log!(Error, "openflow", "an answer cannot be given: {e}"),
        }
    }

    fn refuse(&self, error: OfpError, xid: u32, about: &[u8], turn: &mut Turn<'_>) {
        let message = Message::Error(ErrorMessage::refuse(self.protocol, error, about));
        self.reply(&message, xid, turn);
    }
}

/// The protocol's error for a refused change; the explanation goes to the log.
fn told(error: OfError) -> OfpError {
    crate::log!(Debug, "openflow", "refused: {error}");
    error.code
}

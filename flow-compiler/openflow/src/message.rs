//! The messages of the protocol, as values without a version.
//!
//! Purpose: one type for what any version says; `wire` knows how each version spells it.
//! Invariant: decoding never panics and never allocates more than the message's own length justifies.
//! Deliberately does not know: sockets, what a rule means, how values are printed.

use crate::action::{FlowMod, PortNo};
use crate::error::{ErrorCode, OfpError};
use crate::version::{Protocol, VersionSet};

mod conntrack;
mod continuation;
mod flow;
mod group;
mod monitor;
mod packet;
mod port;
mod stats;
mod status;
mod switch;

pub use conntrack::{CtFlush, CtTuple};
pub use continuation::Continuation;
pub use flow::{FlowRemoved, FlowRemovedReason, FlowStats, FlowStatsRequest};
pub use group::{
    Bucket, GroupCommand, GroupDesc, GroupFeatures, GroupMod, GroupStats, MeterBand, MeterBandKind,
    MeterCommand, MeterConfig, MeterFeatures, MeterMod, MeterStats,
};
pub use monitor::{monitor_flags, FlowChange, FlowEvent, FlowMonitorRequest, FlowUpdate, MonitorCommand};
pub use packet::{PacketIn, PacketInFormat, PacketOut};
pub use port::{
    features, port_config, port_state, Port, PortMod, PortReason, PortStats, PortStatus, QueueConfig, QueueStats,
    QueueStatsRequest,
};
pub use stats::{
    Aggregate, StatsReply, StatsRequest, SwitchDesc, TableDesc, TableMod, TableStats, Vacancy,
};
pub use status::{RequestForward, RoleReason, RoleStatus, TableStatus};
pub use switch::{
    capabilities, AsyncConfig, AsyncMasks, BundleAdd, BundleControl, BundleKind, Features, FragMode,
    Hello, Role, RoleRequest, SwitchConfig, TlvMap, TlvTable, TlvTableCommand, TlvTableMod,
};

/// No buffer: `buffer_id` of a message that carries the whole packet.
pub const NO_BUFFER: u32 = 0xffff_ffff;
/// Any group: `out_group` of a request that does not ask for one.
pub const ANY_GROUP: u32 = 0xffff_ffff;
/// A counter that the switch does not keep.
pub const UNKNOWN_COUNT: u64 = u64::MAX;

/// Requests that a switch answers with an error, by a part of their names, and why.
pub const UNSUPPORTED_MESSAGES: [(&str, &str); 1] =
    [("IPFIX", "answered with NXST_NOT_CONFIGURED: nothing is exported by IPFIX")];

/// An error message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorMessage {
    /// Its numbers, in the version of the message.
    pub code: ErrorCode,
    /// The error, where the numbers are known.
    pub error: Option<OfpError>,
    /// The message that was refused, or part of it.
    pub about: Vec<u8>,
}

impl ErrorMessage {
    /// The answer to a message that was refused; its bytes go back whole where they fit.
    pub fn refuse(protocol: impl Into<Protocol>, error: OfpError, message: &[u8]) -> ErrorMessage {
        const MOST: usize = 0xffff - 20;
        let version = protocol.into().version;
        let about = message.get(..message.len().min(MOST)).unwrap_or_default().to_vec();
        ErrorMessage { code: error.code_or_unencodable(version), error: Some(error), about }
    }
}

/// A message of any version. The large variant is the request for rules: there is one at a time.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Message {
    /// First message of both ends.
    Hello(Hello),
    /// Something was refused.
    Error(ErrorMessage),
    /// Are you there?
    EchoRequest(Vec<u8>),
    /// Yes, with the same bytes.
    EchoReply(Vec<u8>),
    /// What are you?
    FeaturesRequest,
    /// What the switch is.
    FeaturesReply(Features),
    /// What is your configuration?
    GetConfigRequest,
    /// The configuration.
    GetConfigReply(SwitchConfig),
    /// Change the configuration.
    SetConfig(SwitchConfig),
    /// A packet for the controller.
    PacketIn(Box<PacketIn>),
    /// A packet from the controller.
    PacketOut(Box<PacketOut>),
    /// A rule has gone.
    FlowRemoved(Box<FlowRemoved>),
    /// A port came, went or changed.
    PortStatus(PortStatus),
    /// A change of the rules.
    FlowMod(Box<FlowMod>),
    /// A change of a port.
    PortMod(PortMod),
    /// A change of a table's behaviour.
    TableMod(TableMod),
    /// A change of the groups.
    GroupMod(Box<GroupMod>),
    /// A change of the meters.
    MeterMod(MeterMod),
    /// Answer when everything before this is done.
    BarrierRequest,
    /// It is done.
    BarrierReply,
    /// Claim or ask for a role.
    RoleRequest(RoleRequest),
    /// The role as it is now.
    RoleReply(RoleRequest),
    /// What may you send unasked?
    GetAsyncRequest,
    /// What the switch may send unasked.
    GetAsyncReply(AsyncConfig),
    /// Choose what the switch may send unasked.
    SetAsync(AsyncConfig),
    /// `NXT_SET_FLOW_FORMAT`: true for NXM.
    SetFlowFormat {
        /// NXM, not the version's own match.
        nxm: bool,
    },
    /// `NXT_FLOW_MOD_TABLE_ID`.
    FlowModTableId {
        /// From now on the command of a flow-mod carries its table.
        enabled: bool,
    },
    /// `NXT_SET_PACKET_IN_FORMAT`.
    SetPacketInFormat(PacketInFormat),
    /// `NXT_FLOW_AGE`: has no effect on anything.
    FlowAge,
    /// `NXT_SET_CONTROLLER_ID`.
    SetControllerId(u16),
    /// Open, close, commit or discard a bundle, and the replies.
    BundleControl(BundleControl),
    /// Add a message to a bundle.
    BundleAdd(BundleAdd),
    /// Ask for statistics or descriptions.
    StatsRequest(StatsRequest),
    /// Statistics or descriptions.
    StatsReply(StatsReply),
    /// Which queues has a port? (1.0 to 1.3.)
    QueueGetConfigRequest(PortNo),
    /// The queues of a port.
    QueueGetConfigReply(PortNo, Vec<QueueConfig>),
    /// `NXT_TLV_TABLE_MOD`.
    TlvTableMod(TlvTableMod),
    /// `NXT_TLV_TABLE_REQUEST`.
    TlvTableRequest,
    /// `NXT_TLV_TABLE_REPLY`.
    TlvTableReply(TlvTable),
    /// `NXT_CT_FLUSH_ZONE`.
    CtFlushZone(u16),
    /// `NXT_CT_FLUSH`.
    CtFlush(Box<CtFlush>),
    /// `NXT_RESUME`: a packet-in's packet goes on where it was paused.
    Resume(Box<PacketIn>),
    /// A role changed without the connection's asking.
    RoleStatus(RoleStatus),
    /// A table ran full or has room again.
    TableStatus(TableStatus),
    /// Another controller's change, passed on.
    RequestForward(RequestForward),
    /// Ends a flow monitor (up to 1.3).
    FlowMonitorCancel(u32),
    /// A monitor tells only of removals from here on (up to 1.3).
    FlowMonitorPaused,
    /// A monitor has told all that was missed (up to 1.3).
    FlowMonitorResumed,
    /// A message that is known by name but whose body this crate does not read.
    ///
    /// A switch answers it with the error that [`Message::refusal`] gives.
    Unread {
        /// Its name as printed.
        name: &'static str,
        /// What follows the header, whole.
        body: Vec<u8>,
    },
}

impl Message {
    /// A hello that offers these versions.
    pub fn hello(versions: VersionSet) -> Message {
        Message::Hello(Hello { versions })
    }

    /// A flow-mod.
    pub fn flow_mod(flow_mod: FlowMod) -> Message {
        Message::FlowMod(Box::new(flow_mod))
    }

    /// The error a switch answers with when a controller sends it what only switches send, or what
    /// this crate does not read. `None`: a switch accepts messages of this type.
    pub fn refusal(&self) -> Option<OfpError> {
        match self {
            Message::FeaturesReply(_)
            | Message::GetConfigReply(_)
            | Message::PacketIn(_)
            | Message::FlowRemoved(_)
            | Message::PortStatus(_)
            | Message::BarrierReply
            | Message::RoleReply(_)
            | Message::GetAsyncReply(_)
            | Message::QueueGetConfigReply(..)
            | Message::TlvTableReply(_)
            | Message::RoleStatus(_)
            | Message::TableStatus(_)
            | Message::RequestForward(_)
            | Message::FlowMonitorPaused
            | Message::FlowMonitorResumed
            | Message::Unread { .. } => Some(OfpError::OFPBRC_BAD_TYPE),
            Message::StatsReply(_) | Message::StatsRequest(StatsRequest::Unread { .. }) => {
                Some(OfpError::OFPBRC_BAD_STAT)
            }
            _ => None,
        }
    }
}

/// Why bytes are not a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// The error to answer with.
    pub error: OfpError,
    /// Transaction id of the message, 0 where it is too short to have one.
    pub xid: u32,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "message xid={:#x} cannot be read: {}", self.xid, self.error)
    }
}

impl std::error::Error for DecodeError {}

/// Why a message cannot be sent in a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodeError {
    /// The version has no such message, field or action; the text names it.
    NotInVersion(&'static str),
    /// More than 65535 bytes.
    TooLong,
}

impl std::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EncodeError::NotInVersion(what) => {
                write!(f, "this OpenFlow version has no {what}; use a newer one (-O)")
            }
            EncodeError::TooLong => f.write_str(
                "the message would be longer than 65535 bytes; split its list over several",
            ),
        }
    }
}

impl std::error::Error for EncodeError {}

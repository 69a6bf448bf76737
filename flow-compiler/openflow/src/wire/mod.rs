//! Messages as bytes, in every version.
//!
//! Purpose: decode and encode [`Message`](crate::message::Message); cut streams into messages.
//! Invariant: decoders are total: any bytes give a message or the error that Open vSwitch would
//! give; what they allocate is bounded by the length of the message.
//! Deliberately does not know: sockets, connections, what a rule does.

mod action;
mod buf;
mod codec;
pub(crate) mod continuation;
mod flow_mod;
mod flow_stats;
pub mod framer;
mod group;
mod header;
mod instruction;
mod kinds;
mod matches;
mod meter;
mod monitor;
mod nxm;
mod oxm;
mod oxs;
mod packet;
mod parts;
mod port;
mod prop;
mod queue;
mod selection;
mod stats;
mod status;
mod switch;
mod table;

pub use codec::{decode_flow_mod, encode_flow_mod, put_bundle_add};
pub use framer::{Framer, FramingError};
pub use parts::FlowReplies;
pub use selection::SelectionMethod;

/// A message type of some versions, as the table of all types has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageType {
    /// Its name as printed.
    pub name: &'static str,
    /// The first version that has it.
    pub first: crate::Version,
    /// The last version that has it.
    pub last: crate::Version,
    /// It is an answer to a request for statistics.
    pub is_reply: bool,
}

/// Every message type that is known, each spelling for itself.
pub fn message_types() -> impl Iterator<Item = MessageType> {
    kinds::SPELLINGS.iter().filter_map(|s| {
        let version = |minor: u8| crate::Version::from_wire(minor + 1);
        let is_reply = matches!(s.space, header::Space::Reply | header::Space::VendorReply(_));
        Some(MessageType { name: s.name, first: version(s.first)?, last: version(s.last)?, is_reply })
    })
}

/// The shortest message of a type in a version, all zeros behind its headers.
pub fn blank_message(version: crate::Version, name: &str, xid: u32) -> Option<Vec<u8>> {
    let minor = version.wire() - 1;
    let spelling = kinds::SPELLINGS.iter().find(|s| s.name == name && s.first <= minor && minor <= s.last)?;
    let mut out = header::write(version, spelling.kind, xid, false, spelling.name).ok()?;
    out.resize(out.len() + spelling.length.least, 0);
    header::finish(out).ok()
}

/// Whether a whole message is of a type that only switches send.
pub fn is_only_sent(version: crate::Version, bytes: &[u8]) -> bool {
    use kinds::Kind as K;
    let Ok(announced) = header::read(version, bytes) else { return false };
    let sent = matches!(
        announced.spelling.kind,
        K::Error | K::FeaturesReply | K::GetConfigReply | K::PacketIn | K::NxtPacketIn | K::NxtPacketIn2
            | K::FlowRemoved | K::NxtFlowRemoved | K::PortStatus | K::BarrierReply | K::QueueGetConfigReply
            | K::RoleReply | K::NxtRoleReply | K::GetAsyncReply | K::TlvTableReply | K::RoleStatus
            | K::TableStatus | K::RequestForward | K::FlowMonitorPaused | K::FlowMonitorResumed
    );
    sent || announced.is_reply()
}

/// Whether a whole message is a part of statistics that others follow.
pub fn has_more(bytes: &[u8]) -> bool {
    let version = bytes.first().and_then(|v| crate::Version::from_wire(*v));
    version.and_then(|v| header::read_partial(v, bytes).ok()).is_some_and(|a| a.is_reply() && a.more)
}

/// What is wrong with the headers of a whole message, if anything.
pub(crate) fn header_error(version: crate::Version, bytes: &[u8]) -> Option<crate::OfpError> {
    header::read(version, bytes).err()
}

/// The flags of a statistics message, and whether it is one where "more" has a meaning.
pub(crate) fn stats_flags(version: crate::Version, bytes: &[u8]) -> (u16, bool) {
    match header::read_partial(version, bytes) {
        Ok(a) => (a.flags, a.is_reply() || version >= crate::Version::V13),
        Err(_) => (0, false),
    }
}

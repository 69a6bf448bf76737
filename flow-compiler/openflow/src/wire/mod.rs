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
mod port;
mod prop;
mod selection;
mod stats;
mod status;
mod switch;
mod table;

pub use framer::{Framer, FramingError};
pub use selection::SelectionMethod;

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

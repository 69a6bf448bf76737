//! Messages as bytes, in every version.
//!
//! Purpose: decode and encode [`Message`](crate::message::Message); cut streams into messages.
//! Invariant: decoders are total: any bytes give a message or the error that Open vSwitch would
//! give; what they allocate is bounded by the length of the message.
//! Deliberately does not know: sockets, connections, what a rule does.

#![allow(dead_code)]

mod buf;
pub mod framer;
mod header;
mod kinds;

pub use framer::{Framer, FramingError};

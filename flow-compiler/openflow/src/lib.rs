//! The OpenFlow language: fields, matches, actions and messages, as `ovs-ofctl` text and on the wire.
//!
//! Purpose: turn bytes and text into values and back, exactly as Open vSwitch does.
//! Invariant: decoders are total; they never panic and never allocate more than the input justifies.
//! Deliberately does not know: what an action does to a packet, sockets, files.

#![forbid(unsafe_code)]

pub mod action;
pub mod bind;
pub mod check;
pub mod error;
pub mod field;
pub mod matching;
pub mod message;
mod normalize;
pub mod packed;
pub mod print;
pub mod text;
pub mod version;
pub mod wide;
pub mod wire;

pub use action::{Action, FlowMod, FlowModCommand, PortNo};
pub use field::{Field, SubField};
pub use matching::Match;
pub use error::OfpError;
pub use message::Message;
pub use version::{Protocol, Version, VersionSet};

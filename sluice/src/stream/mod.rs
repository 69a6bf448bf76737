//! OpenFlow byte streams, as both ends see them.
//!
//! Purpose: cut a stream into messages and find the other end by its name.
//! Invariant: no more than one message beyond what was asked for is ever kept.
//! Deliberately does not know: what a message says.

pub mod framing;
pub mod target;

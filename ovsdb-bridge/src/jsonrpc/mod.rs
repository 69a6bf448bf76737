//! JSON-RPC 1.0 as OVSDB speaks it: one JSON object after another, nothing between them.
//!
//! Purpose: bytes to messages and back, in whatever pieces the bytes come.
//! Invariant: what waits for its end is bounded; a peer that sends nonsense gets an error, never a
//! panic.
//! Deliberately does not know: what methods mean, where bytes come from.

mod framing;
mod message;

pub use framing::{FrameError, Framer};
pub use message::{notification, reply, request, Message};

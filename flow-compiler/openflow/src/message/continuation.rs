//! Where a paused packet stands: opaque to a controller, which gives it back to resume.
//!
//! Purpose: the bytes behind `NXT_PACKET_IN2`'s continuation, both ways.
//! Invariant: decoding is total; what it allocates is bounded by the bytes.
//! Deliberately does not know: what is still to be done (the switch keeps that under a number).

use crate::action::Action;
use crate::error::OfpError;
use crate::message::EncodeError;
use crate::version::Version;
use crate::wire::continuation as wire;

/// What a continuation tells.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Continuation {
    /// Which bridge paused it.
    pub bridge: u128,
    /// The stack, top first.
    pub stack: Vec<Vec<u8>>,
    /// It has been through connection tracking.
    pub conntracked: bool,
    /// Actions still to be executed, where told.
    pub actions: Vec<Action>,
    /// The action set, where told.
    pub action_set: Vec<Action>,
    /// Sluice's own number for what it keeps of the packet.
    pub token: Option<u64>,
}

impl Continuation {
    /// Reads one; what is not known is passed over.
    pub fn decode(version: Version, bytes: &[u8]) -> Result<Continuation, OfpError> {
        wire::decode(version, bytes)
    }

    /// Writes it.
    pub fn encode(&self, version: Version) -> Result<Vec<u8>, EncodeError> {
        wire::encode(version, self)
    }
}

//! The first messages: agreeing on a version.
//!
//! Invariant: nothing but a hello is taken before both sides have agreed.

use sluice_openflow::message::ErrorMessage;
use sluice_openflow::{Message, OfpError, Protocol, Version, VersionSet};

use super::{Effect, Session, Turn};

/// How far the greeting got.
#[derive(Clone, Copy, Debug)]
pub struct Greeting {
    versions: VersionSet,
    over: bool,
}

impl Greeting {
    /// Nothing was said; these versions are offered.
    pub fn new(versions: VersionSet) -> Greeting {
        Greeting { versions, over: false }
    }

    /// What is offered.
    pub fn versions(&self) -> VersionSet {
        self.versions
    }

    /// Both sides have agreed.
    pub fn is_over(&self) -> bool {
        self.over
    }
}

impl Session {
    pub(super) fn take_greeting(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> Effect {
        const HELLO: u8 = 0;
        let (Some(&version), Some(&kind)) = (bytes.first(), bytes.get(1)) else { return Effect::Close };
        if kind != HELLO || version == 0 {
            crate::log!(Warn, "openflow", "a peer began with message type {kind} of version {version}, not with a hello");
            return Effect::Close;
        }
        // What follows the header of a hello from a version that we do not know cannot hurt.
        let readable = Version::from_wire(version).unwrap_or(Version::V15);
        let theirs = match Message::decode(readable, bytes) {
            Ok((_, Message::Hello(hello))) => hello.versions,
            _ => VersionSet::up_to(version),
        };
        match self.greeting.versions.negotiate(theirs) {
            Some(agreed) => {
                self.protocol = Protocol::from(agreed);
                self.greeting.over = true;
                if !self.is_quiet_at_first {
                    self.wants = super::asynchronous::default_wishes(agreed);
                }
                Effect::None
            }
            None => {
                let text = b"no OpenFlow version in common";
                let error = ErrorMessage::refuse(self.protocol, OfpError::OFPHFC_INCOMPATIBLE, text);
                self.reply(&Message::Error(error), 0, turn);
                Effect::Close
            }
        }
    }

    /// The error for a message of another version than the agreed one.
    pub(super) fn wrong_version(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let version = *bytes.first()?;
        if version == self.protocol.version.wire() {
            return None;
        }
        let xid = u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?);
        let protocol = Version::from_wire(version).map_or(self.protocol, Protocol::from);
        let error = ErrorMessage::refuse(protocol, OfpError::OFPBRC_BAD_VERSION, bytes);
        Message::Error(error).encode(protocol, xid).ok()
    }
}

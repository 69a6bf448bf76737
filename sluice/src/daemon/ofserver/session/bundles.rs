//! Bundles: several messages that take effect together or not at all.
//!
//! Invariant: a bundle that fails leaves nothing; its messages and its number are bounded.

use std::collections::BTreeMap;

use sluice_compiler::Mod;
use sluice_openflow::message::{BundleAdd, BundleControl, BundleKind, GroupMod, PortMod};
use sluice_openflow::{FlowMod, Message, OfpError};

use super::{told, Effect, Session, Turn};
use crate::daemon::worker::Injection;

/// Bundles that one connection may have open.
const BUNDLES: usize = 64;
/// Bytes of the messages in all bundles of one connection.
const BYTES: usize = 256 << 20;

#[derive(Default)]
pub(super) struct Bundles {
    open: BTreeMap<u32, Bundle>,
}

struct Bundle {
    flags: u16,
    closed: bool,
    bytes: usize,
    messages: Vec<Added>,
}

/// One message of a bundle, with its bytes for an error that names it.
struct Added {
    xid: u32,
    bytes: Vec<u8>,
    what: What,
}

enum What {
    Flow(Box<FlowMod>),
    Group(Box<GroupMod>),
    Port(PortMod),
    Packet(Injection),
}

/// A bundle that was refused because of one of its messages.
struct Refused {
    index: usize,
    error: OfpError,
}

impl Session {
    pub(super) fn bundle_control(&mut self, control: BundleControl, xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        let kind = match control.kind {
            BundleKind::OpenRequest => {
                self.open_bundle(control)?;
                BundleKind::OpenReply
            }
            BundleKind::CloseRequest => {
                self.close_bundle(control)?;
                BundleKind::CloseReply
            }
            BundleKind::CommitRequest => {
                self.commit_bundle(control, turn)?;
                BundleKind::CommitReply
            }
            BundleKind::DiscardRequest => {
                self.bundles.open.remove(&control.id).ok_or(OfpError::OFPBFC_BAD_ID)?;
                BundleKind::DiscardReply
            }
            _ => return Err(OfpError::OFPBFC_BAD_TYPE),
        };
        self.answer(Message::BundleControl(BundleControl { kind, ..control }), xid, turn)
    }

    fn open_bundle(&mut self, control: BundleControl) -> Result<(), OfpError> {
        if self.bundles.open.remove(&control.id).is_some() {
            return Err(OfpError::OFPBFC_BAD_ID);
        }
        self.bundle(control.id, control.flags).map(|_| ())
    }

    fn close_bundle(&mut self, control: BundleControl) -> Result<(), OfpError> {
        let Some(bundle) = self.bundles.open.get_mut(&control.id) else { return Err(OfpError::OFPBFC_BAD_ID) };
        let error = match (bundle.closed, bundle.flags == control.flags) {
            (true, _) => OfpError::OFPBFC_BUNDLE_CLOSED,
            (false, false) => OfpError::OFPBFC_BAD_FLAGS,
            (false, true) => {
                bundle.closed = true;
                return Ok(());
            }
        };
        self.bundles.open.remove(&control.id);
        Err(error)
    }

    fn commit_bundle(&mut self, control: BundleControl, turn: &mut Turn<'_>) -> Result<(), OfpError> {
        let bundle = self.bundles.open.remove(&control.id).ok_or(OfpError::OFPBFC_BAD_ID)?;
        if bundle.flags != control.flags {
            return Err(OfpError::OFPBFC_BAD_FLAGS);
        }
        let Err(refused) = self.carry_out(&bundle, turn) else {
            self.finish(bundle, turn);
            return Ok(());
        };
        if let Some(culprit) = bundle.messages.get(refused.index) {
            self.refuse(refused.error, culprit.xid, &culprit.bytes, turn);
        }
        Err(OfpError::OFPBFC_MSG_FAILED)
    }

    /// Checks everything and changes the rules, or changes nothing.
    fn carry_out(&self, bundle: &Bundle, turn: &mut Turn<'_>) -> Result<(), Refused> {
        let mut mods = Vec::new();
        let mut places = Vec::new();
        for (index, added) in bundle.messages.iter().enumerate() {
            match &added.what {
                What::Flow(fm) => {
                    mods.push(Mod::Flow(fm));
                    places.push(index);
                }
                What::Group(gm) => {
                    mods.push(Mod::Group(gm));
                    places.push(index);
                }
                What::Port(pm) => self.check_port_mod(pm, turn).map_err(|error| Refused { index, error })?,
                What::Packet(_) => {}
            }
        }
        let done = turn.switch.bundle(self.bridge, &mods, self.protocol.version, turn.now_ms);
        done.map_err(|e| Refused { index: places.get(e.index).copied().unwrap_or(0), error: told(e.error) })
    }

    /// What cannot fail any more: port settings and packets, after the rules.
    fn finish(&mut self, bundle: Bundle, turn: &mut Turn<'_>) {
        for added in bundle.messages {
            match added.what {
                What::Flow(_) | What::Group(_) => {}
                What::Port(pm) => {
                    let _ = self.port_mod(&pm, turn);
                }
                What::Packet(injection) => {
                    turn.switch.inject(injection);
                }
            }
        }
    }

    pub(super) fn bundle_add(&mut self, add: BundleAdd, outer_xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        let decoded = Message::decode(self.protocol, &add.message);
        let (xid, what) = match decoded {
            Ok((xid, message)) => (xid, self.bundled(message, turn)?),
            Err(e) => return Err(e.error),
        };
        if xid != outer_xid {
            return Err(OfpError::OFPBFC_MSG_BAD_XID);
        }
        let held: usize = self.bundles.open.values().map(|b| b.bytes).sum();
        let bundle = self.bundle(add.id, add.flags)?;
        let error = match (bundle.closed, bundle.flags == add.flags) {
            (true, _) => OfpError::OFPBFC_BUNDLE_CLOSED,
            (false, false) => OfpError::OFPBFC_BAD_FLAGS,
            (false, true) if held + add.message.len() > BYTES => OfpError::OFPBFC_MSG_TOO_MANY,
            (false, true) => {
                bundle.bytes += add.message.len();
                bundle.messages.push(Added { xid, bytes: add.message, what });
                return Ok(Effect::None);
            }
        };
        self.bundles.open.remove(&add.id);
        Err(error)
    }

    fn bundled(&self, message: Message, turn: &mut Turn<'_>) -> Result<What, OfpError> {
        match message {
            Message::FlowMod(fm) => Ok(What::Flow(fm)),
            Message::PortMod(pm) => Ok(What::Port(pm)),
            Message::PacketOut(po) => self.injection(*po, turn).map(What::Packet),
            Message::GroupMod(gm) => Ok(What::Group(gm)),
            _ => Err(OfpError::OFPBFC_MSG_UNSUP),
        }
    }

    /// The bundle of this number, made when there is none.
    fn bundle(&mut self, id: u32, flags: u16) -> Result<&mut Bundle, OfpError> {
        if !self.bundles.open.contains_key(&id) && self.bundles.open.len() >= BUNDLES {
            return Err(OfpError::OFPBFC_OUT_OF_BUNDLES);
        }
        let fresh = Bundle { flags, closed: false, bytes: 0, messages: Vec::new() };
        Ok(self.bundles.open.entry(id).or_insert(fresh))
    }
}

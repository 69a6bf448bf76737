//! Bundles: several messages that take effect together or not at all.
//!
//! Invariant: a bundle that fails leaves nothing; its messages and its number are bounded. What waits is
//! kept in little room: the bytes of all messages in one piece, rules packed.

use std::collections::BTreeMap;

use sluice_compiler::Mod;
use sluice_openflow::message::{BundleAdd, BundleControl, BundleKind, GroupMod, PortMod};
use sluice_openflow::packed::{PackedFlowMod, Packer};
use sluice_openflow::wire::decode_flow_mod;
use sluice_openflow::{Message, OfpError};

use super::{told, Effect, Session, Turn};
use crate::daemon::worker::Injection;

/// Bundles that one connection may have open.
const BUNDLES: usize = 64;
/// Bytes of the messages in all bundles of one connection.
const BYTES: usize = 256 << 20;

#[derive(Default)]
pub(super) struct Bundles {
    open: BTreeMap<u32, Bundle>,
    packer: Packer,
}

impl Bundles {
    fn take(&mut self, id: u32) -> Option<Bundle> {
        let taken = self.open.remove(&id);
        if self.open.is_empty() {
            self.packer = Packer::default();
        }
        taken
    }
}

#[derive(Default)]
struct Bundle {
    flags: u16,
    closed: bool,
    /// Every message, for an error that names one.
    bytes: Vec<u8>,
    messages: Vec<Added>,
}

impl Bundle {
    /// The bytes of a message.
    fn message(&self, added: &Added) -> &[u8] {
        self.bytes.get(added.at..added.at + added.length).unwrap_or_default()
    }
}

/// One message of a bundle.
struct Added {
    xid: u32,
    at: usize,
    length: usize,
    what: What,
}

enum What {
    Flow(PackedFlowMod),
    Group(Box<GroupMod>),
    Port(PortMod),
    Packet(Box<Injection>),
    /// It was carried out.
    Done,
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
                self.bundles.take(control.id).ok_or(OfpError::OFPBFC_BAD_ID)?;
                BundleKind::DiscardReply
            }
            _ => return Err(OfpError::OFPBFC_BAD_TYPE),
        };
        self.answer(Message::BundleControl(BundleControl { kind, ..control }), xid, turn)
    }

    fn open_bundle(&mut self, control: BundleControl) -> Result<(), OfpError> {
        if self.bundles.take(control.id).is_some() {
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
        self.bundles.take(control.id);
        Err(error)
    }

    fn commit_bundle(&mut self, control: BundleControl, turn: &mut Turn<'_>) -> Result<(), OfpError> {
        let mut bundle = self.bundles.take(control.id).ok_or(OfpError::OFPBFC_BAD_ID)?;
        if bundle.flags != control.flags {
            return Err(OfpError::OFPBFC_BAD_FLAGS);
        }
        let Err(refused) = self.carry_out(&mut bundle, turn) else {
            self.finish(bundle, turn);
            return Ok(());
        };
        if let Some(culprit) = bundle.messages.get(refused.index) {
            self.refuse(refused.error, culprit.xid, bundle.message(culprit), turn);
        }
        Err(OfpError::OFPBFC_MSG_FAILED)
    }

    /// Checks everything and changes the rules, or changes nothing.
    fn carry_out(&self, bundle: &mut Bundle, turn: &mut Turn<'_>) -> Result<(), Refused> {
        for (index, added) in bundle.messages.iter().enumerate() {
            if let What::Port(pm) = &added.what {
                self.check_port_mod(pm, turn).map_err(|error| Refused { index, error })?;
            }
        }
        let place = |of: usize, all: &[Added]| {
            let mods = all.iter().enumerate().filter(|(_, a)| matches!(a.what, What::Done | What::Flow(_) | What::Group(_)));
            mods.map(|(index, _)| index).nth(of).unwrap_or(0)
        };
        let mods = bundle.messages.iter_mut().filter_map(|added| match &mut added.what {
            What::Group(gm) => Some(Mod::Group(gm)),
            // It is taken as it is reached: a large bundle shrinks while the rules grow.
            flow @ What::Flow(_) => match std::mem::replace(flow, What::Done) {
                What::Flow(fm) => Some(Mod::Packed(fm)),
                _ => None,
            },
            _ => None,
        });
        let done = turn.switch.bundle(self.bridge, mods, self.protocol.version, turn.now_ms);
        done.map_err(|e| Refused { index: place(e.index, &bundle.messages), error: told(e.error) })
    }

    /// What cannot fail any more: port settings and packets, after the rules; and others hear of the groups.
    fn finish(&mut self, bundle: Bundle, turn: &mut Turn<'_>) {
        for added in bundle.messages {
            match added.what {
                What::Done | What::Flow(_) => {}
                What::Group(gm) => self.forward.push((Message::GroupMod(gm), added.xid)),
                What::Port(pm) => {
                    let _ = self.port_mod(&pm, turn);
                }
                What::Packet(injection) => {
                    turn.switch.inject(*injection);
                }
            }
        }
    }

    pub(super) fn bundle_add(&mut self, add: BundleAdd, outer_xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        let (xid, what) = match self.bundled_flow_mod(&add.message, turn) {
            Some(done) => done?,
            None => {
                let (xid, message) = Message::decode(self.protocol, &add.message).map_err(|e| e.error)?;
                (xid, self.bundled(message, turn)?)
            }
        };
        if xid != outer_xid {
            return Err(OfpError::OFPBFC_MSG_BAD_XID);
        }
        let held: usize = self.bundles.open.values().map(|b| b.bytes.len()).sum();
        let bundle = self.bundle(add.id, add.flags)?;
        let error = match (bundle.closed, bundle.flags == add.flags) {
            (true, _) => OfpError::OFPBFC_BUNDLE_CLOSED,
            (false, false) => OfpError::OFPBFC_BAD_FLAGS,
            (false, true) if held + add.message.len() > BYTES => OfpError::OFPBFC_MSG_TOO_MANY,
            (false, true) => {
                bundle.messages.push(Added { xid, at: bundle.bytes.len(), length: add.message.len(), what });
                bundle.bytes.extend_from_slice(&add.message);
                return Ok(Effect::None);
            }
        };
        self.bundles.take(add.id);
        Err(error)
    }

    /// Reads a message of a bundle if it is a flow-mod.
    fn bundled_flow_mod(&mut self, bytes: &[u8], turn: &Turn<'_>) -> Option<Result<(u32, What), OfpError>> {
        let mut fm = self.place_for_flow_mod();
        let decoded = decode_flow_mod(self.protocol, bytes, &mut fm);
        let done = decoded.map(|d| {
            let xid = d.map_err(|e| e.error)?;
            fm.bind(turn.switch.rules.options(self.bridge))?;
            Ok((xid, What::Flow(self.bundles.packer.pack(&mut fm))))
        });
        self.flow_mod = Some(fm);
        done
    }

    fn bundled(&self, mut message: Message, turn: &mut Turn<'_>) -> Result<What, OfpError> {
        message.bind(turn.switch.rules.options(self.bridge))?;
        match message {
            Message::PortMod(pm) => Ok(What::Port(pm)),
            Message::PacketOut(po) => self.injection(*po, turn).map(|i| What::Packet(Box::new(i))),
            Message::GroupMod(gm) => Ok(What::Group(gm)),
            _ => Err(OfpError::OFPBFC_MSG_UNSUP),
        }
    }

    /// The bundle of this number, made when there is none.
    fn bundle(&mut self, id: u32, flags: u16) -> Result<&mut Bundle, OfpError> {
        if !self.bundles.open.contains_key(&id) && self.bundles.open.len() >= BUNDLES {
            return Err(OfpError::OFPBFC_OUT_OF_BUNDLES);
        }
        let fresh = Bundle { flags, ..Bundle::default() };
        Ok(self.bundles.open.entry(id).or_insert(fresh))
    }
}

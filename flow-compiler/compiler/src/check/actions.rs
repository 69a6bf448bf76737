//! Do the actions fit the packets that the rule matches?
//!
//! Purpose: follow the list with what is known of a packet: the match, as changed by tags pushed and
//! popped on the way.
//! Deliberately does not know: where an action may stand (see `place`).

use sluice_flow::key::slot;
use sluice_openflow::action::{Bundle, Ct, CtZone, Nat, PortNo, SetField, SetForm, WideValue};
use sluice_openflow::{Action, Field, Match, OfpError, SubField};

use super::learn::check_learn;
use crate::error::OfError;

const IPV4: u64 = 0x0800;
const IPV6: u64 = 0x86dd;

/// What is known of a packet on the way through an action list.
pub(super) struct Walk {
    /// The match, as the actions so far changed it.
    known: Match,
    /// VLAN tags known to be there.
    tags: u32,
    /// Table of the rule, where there is one.
    table: Option<u8>,
    /// What OpenFlow 1.0 lets pass and later versions refuse.
    pub inconsistent: Option<String>,
}

impl Walk {
    pub fn new(matching: &Match, table: Option<u8>) -> Self {
        let tags = matching.value.get(slot::VLAN_PRESENT) as u32;
        Walk { known: *matching, tags, table, inconsistent: None }
    }

    pub fn list(&mut self, actions: &[Action]) -> Result<(), OfError> {
        actions.iter().try_for_each(|a| self.one(a))
    }

    fn one(&mut self, action: &Action) -> Result<(), OfError> {
        match action {
            Action::Output { port, .. } | Action::OutputTrunc { port, .. } => check_port(*port),
            Action::OutputReg { src, .. } | Action::StackPush(src) => check_source(*src, &self.known),
            Action::Enqueue { port, .. } => check_enqueue(*port),
            Action::SetVlanVid { push_vlan_if_needed, .. } | Action::SetVlanPcp { push_vlan_if_needed, .. } => {
                self.set_vlan(*push_vlan_if_needed)
            }
            Action::StripVlan { .. } => self.strip_vlan(),
            Action::PushVlan(tpid) => self.push_vlan(*tpid),
            Action::SetIpv4Src(_) | Action::SetIpv4Dst(_) => self.want(self.eth_type() == IPV4, "needs IPv4"),
            Action::SetIpDscp(_) | Action::SetIpEcn(_) | Action::SetIpTtl(_) | Action::DecTtl { .. } => {
                self.want(self.is_ip(), "needs IPv4 or IPv6")
            }
            Action::SetL4Src(_) | Action::SetL4Dst(_) => self.want(self.has_ports(), "needs TCP, UDP or SCTP"),
            Action::SetMplsLabel(_) | Action::SetMplsTc(_) | Action::SetMplsTtl(_) | Action::DecMplsTtl => {
                self.want(self.is_mpls(), "needs MPLS")
            }
            Action::PushMpls(eth_type) => {
                self.set_eth_type(*eth_type);
                Ok(())
            }
            Action::PopMpls(eth_type) => {
                self.want(self.is_mpls(), "needs MPLS")?;
                self.set_eth_type(*eth_type);
                Ok(())
            }
            Action::SetField(set) => self.set_field(set),
            Action::Move { src, dst } => {
                check_source(*src, &self.known)?;
                check_target(*dst, &self.known)
            }
            Action::StackPop(dst) | Action::CheckPktLarger { dst, .. } => check_target(*dst, &self.known),
            Action::Multipath(m) => check_target(m.dst, &self.known),
            Action::Bundle(b) => check_bundle(b, &self.known),
            Action::Learn(learn) => check_learn(learn, &self.known),
            Action::Resubmit { with_ct_orig: true, .. } if !Field::CT_NW_SRC.prereqs_met(&self.known) => {
                Err(lacks("resubmit with the original tuple needs a tracked connection in the match"))
            }
            Action::Clone(inner) => self.list(inner),
            Action::WriteActions(inner) => self.action_set(inner),
            Action::Ct(ct) => self.ct(ct),
            Action::Nat(nat) => self.nat(nat),
            Action::GotoTable(to) => match self.table {
                Some(from) if *to <= from => Err(OfError::new(
                    OfpError::OFPBIC_BAD_TABLE_ID,
                    format!("goto_table:{to} in table {from} does not lead to a later table"),
                )),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Actions that OpenFlow 1.0 skips on packets that do not fit.
    fn want(&mut self, fits: bool, what: &str) -> Result<(), OfError> {
        if !fits && self.inconsistent.is_none() {
            self.inconsistent = Some(what.to_string());
        }
        Ok(())
    }

    /// An action set runs later, on a packet of which less is known: consistency cannot be judged.
    fn action_set(&mut self, inner: &[Action]) -> Result<(), OfError> {
        let mut later = Walk { known: self.known, tags: self.tags, table: self.table, inconsistent: None };
        later.list(inner)
    }

    fn eth_type(&self) -> u64 {
        self.known.value.get(slot::ETH_TYPE)
    }

    fn is_ip(&self) -> bool {
        matches!(self.eth_type(), IPV4 | IPV6)
    }

    fn is_mpls(&self) -> bool {
        matches!(self.eth_type(), 0x8847 | 0x8848)
    }

    fn has_ports(&self) -> bool {
        let proto = self.known.value.get(slot::NW_PROTO);
        self.is_ip() && self.known.value.get(slot::NW_FRAG) & 2 == 0 && matches!(proto, 6 | 17 | 132)
    }

    fn set_eth_type(&mut self, eth_type: u16) {
        self.known.clear(slot::ETH_TYPE);
        self.known.set_exact(slot::ETH_TYPE, u128::from(eth_type));
        self.known.clear(slot::NW_PROTO);
    }

    fn mark_tag(&mut self, present: bool) {
        self.known.clear(slot::VLAN_TCI);
        self.known.set_exact(slot::VLAN_PRESENT, u128::from(present));
    }

    fn set_vlan(&mut self, push: bool) -> Result<(), OfError> {
        let has_tag = self.known.value.get(slot::VLAN_PRESENT) == 1;
        self.want(has_tag || push, "needs a VLAN tag")?;
        self.tags = self.tags.max(1);
        self.mark_tag(true);
        Ok(())
    }

    fn strip_vlan(&mut self) -> Result<(), OfError> {
        let has_tag = self.known.value.get(slot::VLAN_PRESENT) == 1;
        self.want(has_tag, "needs a VLAN tag")?;
        self.tags = self.tags.saturating_sub(1);
        self.mark_tag(self.tags > 0);
        Ok(())
    }

    fn push_vlan(&mut self, tpid: u16) -> Result<(), OfError> {
        if !matches!(tpid, 0x8100 | 0x88a8) {
            let what = format!("push_vlan:{tpid:#x}: only 0x8100 and 0x88a8 are VLAN tags");
            return Err(OfError::new(OfpError::OFPBAC_BAD_ARGUMENT, what));
        }
        if self.tags >= 2 {
            return Err(OfError::new(OfpError::OFPBAC_BAD_TAG, "more than two VLAN tags are not supported"));
        }
        self.tags += 1;
        self.mark_tag(true);
        Ok(())
    }

    fn set_field(&mut self, set: &SetField) -> Result<(), OfError> {
        let field = set.field;
        let name = field.info().name;
        if !field.info().writable {
            return Err(OfError::new(OfpError::OFPBAC_BAD_SET_ARGUMENT, format!("{name} is read-only")));
        }
        check_vlan_vid_value(set)?;
        let no_tag = field == Field::VLAN_VID && self.known.value.get(slot::VLAN_PRESENT) == 0;
        if !field.prereqs_met(&self.known) || no_tag {
            return Err(lacks(format!("set_field {name} lacks correct prerequisites")));
        }
        if let (Field::VLAN_TCI, WideValue::Small(value)) = (field, &set.value) {
            self.mark_tag(value & 0x1000 != 0);
        }
        Ok(())
    }

    fn ct(&mut self, ct: &Ct) -> Result<(), OfError> {
        if !self.is_ip() || (ct.force && !ct.commit) {
            return Err(lacks("ct needs IPv4 or IPv6 in the match, and force needs commit"));
        }
        if let CtZone::Field(zone) = &ct.zone {
            check_source(*zone, &self.known)?;
        }
        self.list(&ct.actions)
    }

    fn nat(&mut self, nat: &Nat) -> Result<(), OfError> {
        let family_ok = match nat.addresses.map(|a| a.0) {
            Some(std::net::IpAddr::V4(_)) => self.eth_type() == IPV4,
            Some(std::net::IpAddr::V6(_)) => self.eth_type() == IPV6,
            None => self.is_ip(),
        };
        if !family_ok {
            return Err(lacks("nat needs the addresses' own version of IP in the match"));
        }
        Ok(())
    }
}

/// A whole id needs the "a tag is present" bit, in the value and in the mask.
fn check_vlan_vid_value(set: &SetField) -> Result<(), OfError> {
    if set.field != Field::VLAN_VID || set.form != SetForm::SetField {
        return Ok(());
    }
    let (WideValue::Small(value), WideValue::Small(mask)) = (&set.value, &set.mask) else { return Ok(()) };
    // Masks of whole fields may or may not count the bit among the field's own.
    let whole = mask & 0xfff == 0xfff;
    if value & 0x1000 == 0 || (!whole && mask & 0x1000 == 0) {
        let what = "set_field of vlan_vid without the \"tag is present\" bit (0x1000)";
        return Err(OfError::new(OfpError::OFPBAC_BAD_SET_ARGUMENT, what));
    }
    Ok(())
}

fn check_bundle(bundle: &Bundle, known: &Match) -> Result<(), OfError> {
    for port in &bundle.members {
        if *port != PortNo::NONE {
            check_port(*port)?;
        }
    }
    bundle.dst.map_or(Ok(()), |dst| check_target(dst, known))
}

fn check_port(port: PortNo) -> Result<(), OfError> {
    let reserved = (PortNo::IN_PORT.0..=PortNo::LOCAL.0).contains(&port.0);
    if reserved || port.0 < 0xff00 {
        return Ok(());
    }
    Err(OfError::new(OfpError::OFPBAC_BAD_OUT_PORT, format!("there can be no port {:#x}", port.0)))
}

fn check_enqueue(port: PortNo) -> Result<(), OfError> {
    if port.0 < 0xff00 || port == PortNo::IN_PORT || port == PortNo::LOCAL {
        return Ok(());
    }
    Err(OfError::new(OfpError::OFPBAC_BAD_OUT_PORT, format!("port {:#x} has no queues", port.0)))
}

fn lacks(what: impl Into<String>) -> OfError {
    OfError::new(OfpError::OFPBAC_MATCH_INCONSISTENT, what)
}

/// May this be read from the packets of a match?
pub(super) fn check_source(part: SubField, known: &Match) -> Result<(), OfError> {
    let (start, info) = (u32::from(part.start), part.field.info());
    if part.width == 0 || start + u32::from(part.width) > u32::from(info.n_bits) {
        let what = format!("{}: bits {start}+{} do not fit in {} bits", info.name, part.width, info.n_bits);
        return Err(OfError::new(OfpError::OFPBAC_BAD_SET_LEN, what));
    }
    if !part.field.prereqs_met(known) {
        return Err(lacks(format!("{} field lacks correct prerequisites", info.name)));
    }
    Ok(())
}

/// May this be written on the packets of a match?
pub(super) fn check_target(part: SubField, known: &Match) -> Result<(), OfError> {
    check_source(part, known)?;
    if !part.field.info().writable {
        let what = format!("destination field {} is not writable", part.field.info().name);
        return Err(OfError::new(OfpError::OFPBAC_BAD_SET_ARGUMENT, what));
    }
    Ok(())
}

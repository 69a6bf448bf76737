//! Do a rule's actions suit its match?
//!
//! Purpose: what Open vSwitch checks before it takes a rule: ports that exist as numbers, fields
//! that the packet is sure to have, tables that lie ahead.
//! Invariant: a check never changes what it looks at; nesting is followed as far as the values nest.
//! Deliberately does not know: ports, groups and meters that a switch really has.

use crate::action::{Action, Ct, CtZone, Encap, Learn, LearnSource, LearnSpec, Nat, PortNo};
use crate::error::OfpError;
use crate::field::{connection_known, Field, Prereq, SubField};
use crate::matching::Match;
use crate::text::Formats;
use sluice_flow::key::slot;
use std::net::IpAddr;

/// Checks a list against the match and table of its rule (`None`: table not said). Returns the flow
/// formats that can carry the combination: OpenFlow 1.0 bears what later versions refuse as
/// inconsistent, such as `strip_vlan` where no tag is certain.
pub fn check_actions(
    actions: &[Action],
    matching: &Match,
    table: Option<u8>,
) -> Result<Formats, OfpError> {
    check_rule(actions, matching, table).map_err(|refusal| refusal.error)
}

/// Why a list does not suit its match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The error of the protocol.
    pub error: OfpError,
    /// Which action of the outermost list it is about.
    pub index: usize,
    /// The field that a `set_field` or `load` writes although a packet may not have it.
    pub unfounded: Option<Field>,
}

/// Like [`check_actions`]; tells more of what is wrong.
pub fn check_rule(
    actions: &[Action],
    matching: &Match,
    table: Option<u8>,
) -> Result<Formats, Refusal> {
    if let Some(formats) = check_outputs(actions) {
        return formats;
    }
    let tags = u8::from(matching.value.get(slot::VLAN_PRESENT) == 1);
    let state = State {
        seen: matching.clone(),
        tags,
    };
    let mut check = Check {
        state,
        table,
        formats: Formats::ANY,
        unfounded: None,
    };
    for (index, action) in actions.iter().enumerate() {
        let result = check.one(action);
        result.map_err(|error| Refusal {
            error,
            index,
            unfounded: check.unfounded,
        })?;
    }
    Ok(check.formats)
}

/// Most rules do nothing but send, whatever they match.
fn check_outputs(actions: &[Action]) -> Option<Result<Formats, Refusal>> {
    for (index, action) in actions.iter().enumerate() {
        let Action::Output { port, .. } = action else { return None };
        if let Err(error) = output_port(*port) {
            // What stands before it has no say in this.
            return Some(Err(Refusal { error, index, unfounded: None }));
        }
    }
    Some(Ok(Formats::ANY))
}

/// What is certain of a packet at some place of a list.
#[derive(Clone)]
struct State {
    seen: Match,
    tags: u8,
}

struct Check {
    state: State,
    table: Option<u8>,
    formats: Formats,
    unfounded: Option<Field>,
}

/// Ports that name application protocols in `ct(alg=)`.
const FTP: u16 = 21;
const TFTP: u16 = 69;

const INCONSISTENT: OfpError = OfpError::OFPBAC_MATCH_INCONSISTENT;

impl Check {
    fn list(&mut self, actions: &[Action]) -> Result<(), OfpError> {
        actions.iter().try_for_each(|action| self.one(action))
    }

    /// A list of which nothing remains certain behind it.
    fn nested(&mut self, actions: &[Action]) -> Result<(), OfpError> {
        let before = self.state.clone();
        let result = self.list(actions);
        self.state = before;
        result
    }

    fn met(&self, prereq: Prereq) -> bool {
        prereq.met(&self.state.seen)
    }

    /// What only OpenFlow 1.0 bears.
    fn expect(&mut self, condition: bool) -> Result<(), OfpError> {
        if !condition {
            self.formats &= Formats::ANY_10;
        }
        Ok(())
    }

    fn one(&mut self, action: &Action) -> Result<(), OfpError> {
        match action {
            Action::Output { port, .. } | Action::OutputTrunc { port, .. } => output_port(*port),
            Action::OutputReg { src, .. } | Action::StackPush(src) => self.source(*src),
            Action::Enqueue { port, .. } => enqueue_port(*port),
            Action::Bundle(b) => {
                if let Some(dst) = b.dst {
                    self.target(dst)?;
                }
                b.members
                    .iter()
                    .filter(|p| **p != PortNo::NONE)
                    .try_for_each(|p| output_port(*p))
            }
            Action::SetField(set) => self.set_field(set.field, &set.value),
            Action::Move { src, dst } => {
                self.source(*src)?;
                self.target(*dst)
            }
            Action::StackPop(dst) => self.target(*dst),
            Action::Multipath(m) => self.target(m.dst),
            Action::CheckPktLarger { dst, .. } => writable(dst.field),
            Action::Learn(learn) => self.learn(learn),
            Action::Ct(ct) => self.ct(ct),
            Action::Nat(nat) => self.nat(nat),
            Action::Clone(actions) => self.nested(actions),
            Action::WriteActions(actions) => {
                // Where an action set will run, nobody knows: formats are not judged by it.
                let before = self.formats;
                let result = self.nested(actions);
                self.formats = before;
                result
            }
            Action::Encap(encap) => self.encap(encap),
            Action::Decap { .. } => self.decap(),
            Action::DecNshTtl => self.expect(self.met(Prereq::Nsh)),
            Action::Resubmit {
                with_ct_orig: true, ..
            } => connection_known(&self.state.seen)
                .then_some(())
                .ok_or(INCONSISTENT),
            Action::DeleteField(field) => {
                field.option_number().map(|_| ()).ok_or(OfpError::OFPBAC_BAD_ARGUMENT)
            }
            Action::Meter(meter) => match meter {
                1..=0xffff_0000 => Ok(()),
                _ => Err(OfpError::OFPMMFC_INVALID_METER),
            },
            Action::GotoTable(next) if self.table.is_some_and(|table| *next <= table) => {
                Err(OfpError::OFPBIC_BAD_TABLE_ID)
            }
            _ => self.headers(action),
        }
    }

    /// Actions that write a header of a fixed kind.
    fn headers(&mut self, action: &Action) -> Result<(), OfpError> {
        match action {
            Action::SetVlanVid {
                push_vlan_if_needed,
                ..
            }
            | Action::SetVlanPcp {
                push_vlan_if_needed,
                ..
            } => {
                self.expect(self.state.tags > 0 || *push_vlan_if_needed)?;
                self.set_tags(self.state.tags.max(1));
                Ok(())
            }
            Action::StripVlan { .. } => {
                self.expect(self.state.tags > 0)?;
                self.set_tags(self.state.tags.saturating_sub(1));
                Ok(())
            }
            Action::PushVlan(_) if self.state.tags >= 2 => Err(OfpError::OFPBAC_BAD_TAG),
            Action::PushVlan(_) => {
                self.set_tags(self.state.tags + 1);
                Ok(())
            }
            Action::SetIpv4Src(_) | Action::SetIpv4Dst(_) => self.expect(self.met(Prereq::Ipv4)),
            Action::SetIpDscp(_)
            | Action::SetIpEcn(_)
            | Action::SetIpTtl(_)
            | Action::DecTtl { .. } => self.expect(self.met(Prereq::Ip)),
            Action::SetL4Src(_) | Action::SetL4Dst(_) => {
                let ports = [Prereq::Tcp, Prereq::Udp, Prereq::Sctp];
                self.expect(ports.into_iter().any(|p| self.met(p)))
            }
            Action::FinTimeout { .. } => self.expect(self.met(Prereq::Tcp)),
            Action::SetMplsLabel(_)
            | Action::SetMplsTc(_)
            | Action::SetMplsTtl(_)
            | Action::DecMplsTtl
            | Action::CopyTtlOut
            | Action::CopyTtlIn => self.expect(self.met(Prereq::Mpls)),
            Action::PushMpls(ethertype) => {
                self.expect(self.met(Prereq::Ethernet))?;
                self.set_eth_type(*ethertype);
                // What lies behind the label stack is no longer in sight.
                self.state.seen.clear(slot::NW_PROTO);
                Ok(())
            }
            Action::PushPbb => {
                self.expect(self.met(Prereq::Ethernet))?;
                self.set_tags(0);
                self.set_eth_type(0x88e7);
                self.state.seen.clear(slot::NW_PROTO);
                Ok(())
            }
            Action::PopPbb => {
                self.expect(self.met(Prereq::Pbb))?;
                // What comes out is found out anew.
                self.state.seen.clear(slot::ETH_TYPE);
                Ok(())
            }
            Action::PopMpls(ethertype) => {
                self.expect(self.met(Prereq::Mpls) && self.met(Prereq::Ethernet))?;
                self.set_eth_type(*ethertype);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn set_tags(&mut self, tags: u8) {
        self.state.tags = tags;
        self.state
            .seen
            .set_exact(slot::VLAN_PRESENT, u128::from(tags > 0));
    }

    fn set_eth_type(&mut self, ethertype: u16) {
        self.state.seen.clear(slot::PACKET_TYPE);
        self.state
            .seen
            .set_exact(slot::ETH_TYPE, u128::from(ethertype));
    }

    fn source(&self, src: SubField) -> Result<(), OfpError> {
        src.field
            .prereqs_met(&self.state.seen)
            .then_some(())
            .ok_or(INCONSISTENT)
    }

    fn target(&self, dst: SubField) -> Result<(), OfpError> {
        self.source(dst)?;
        writable(dst.field)
    }

    fn set_field(
        &mut self,
        field: Field,
        value: &crate::action::WideValue,
    ) -> Result<(), OfpError> {
        // `vlan_pcp` and `vlan_vid` write a tag that is there already.
        let untagged = matches!(field, Field::VLAN_PCP | Field::VLAN_VID) && self.state.tags == 0;
        if !field.prereqs_met(&self.state.seen) || untagged {
            self.unfounded = Some(field);
            return Err(INCONSISTENT);
        }
        writable(field)?;
        if let (Field::VLAN_TCI, crate::action::WideValue::Small(tci)) = (field, value) {
            let kept = self.state.tags.saturating_sub(1);
            self.set_tags(kept + u8::from(tci & 0x1000 != 0));
        }
        Ok(())
    }

    fn learn(&self, learn: &Learn) -> Result<(), OfpError> {
        // What the learned rule will be certain of.
        let mut learned = Match::ANY;
        for spec in &learn.specs {
            if let LearnSpec::Match {
                src: LearnSource::Field(src),
                ..
            }
            | LearnSpec::Load {
                src: LearnSource::Field(src),
                ..
            }
            | LearnSpec::Output(src) = spec
            {
                self.source(*src)?;
            }
            match spec {
                LearnSpec::Match { src, dst } => {
                    if !dst.field.prereqs_met(&learned) {
                        return Err(INCONSISTENT);
                    }
                    if let LearnSource::Value { value, .. } = src {
                        let (old, mask) = learned.field(dst.field);
                        let bits = ones(dst.width) << dst.start.min(127);
                        let value = old & !bits | (value << dst.start.min(127)) & bits;
                        learned.set_field(dst.field, value, mask | bits);
                    }
                }
                LearnSpec::Load { dst, .. } => {
                    if !dst.field.prereqs_met(&learned) {
                        return Err(INCONSISTENT);
                    }
                    writable(dst.field)?;
                }
                LearnSpec::Output(_) => {}
            }
        }
        Ok(())
    }

    fn ct(&mut self, ct: &Ct) -> Result<(), OfpError> {
        if !self.met(Prereq::Ip) {
            return Err(INCONSISTENT);
        }
        let suits = match ct.alg {
            FTP => self.met(Prereq::Tcp),
            TFTP => self.met(Prereq::Udp),
            _ => true,
        };
        if !suits {
            return Err(INCONSISTENT);
        }
        match ct.zone {
            // Open vSwitch looks at the nested actions only where the zone is a number.
            CtZone::Field(zone) => self.source(zone),
            CtZone::Number(_) => self.nested(&ct.actions),
        }
    }

    fn nat(&self, nat: &Nat) -> Result<(), OfpError> {
        let suits = match nat.addresses {
            None => self.met(Prereq::Ip),
            Some((IpAddr::V4(_), _)) => self.met(Prereq::Ipv4),
            Some((IpAddr::V6(_), _)) => self.met(Prereq::Ipv6),
        };
        suits.then_some(()).ok_or(INCONSISTENT)
    }

    fn encap(&mut self, encap: &Encap) -> Result<(), OfpError> {
        let kind = encap.new_packet_type;
        self.set_packet_type(kind);
        if kind >> 16 == 1 {
            self.state
                .seen
                .set_exact(slot::ETH_TYPE, u128::from(kind & 0xffff));
        }
        if !self.met(Prereq::Ip) {
            self.state.seen.clear(slot::NW_PROTO);
        }
        Ok(())
    }

    fn decap(&mut self) -> Result<(), OfpError> {
        if self.met(Prereq::Ethernet) {
            let eth_type = self.state.seen.value.get(slot::ETH_TYPE) as u32;
            self.set_packet_type(1 << 16 | eth_type);
            self.set_tags(0);
        } else {
            // From here on the kind of the packet is found out anew.
            const UNKNOWN: u32 = 0xfffe_0000;
            self.set_packet_type(UNKNOWN);
            self.state.seen.clear(slot::ETH_TYPE);
        }
        Ok(())
    }

    fn set_packet_type(&mut self, kind: u32) {
        self.state
            .seen
            .set_field(Field::PACKET_TYPE, u128::from(kind), u128::MAX);
    }
}

fn ones(width: u16) -> u128 {
    1u128
        .checked_shl(u32::from(width))
        .map_or(u128::MAX, |v| v - 1)
}

fn writable(field: Field) -> Result<(), OfpError> {
    field
        .info()
        .writable
        .then_some(())
        .ok_or(OfpError::OFPBAC_BAD_SET_ARGUMENT)
}

fn output_port(port: PortNo) -> Result<(), OfpError> {
    let reserved = PortNo::IN_PORT.0..=PortNo::LOCAL.0;
    if port.0 < 0xff00 || reserved.contains(&port.0) {
        Ok(())
    } else {
        Err(OfpError::OFPBAC_BAD_OUT_PORT)
    }
}

fn enqueue_port(port: PortNo) -> Result<(), OfpError> {
    if port.0 < 0xff00 || port == PortNo::IN_PORT || port == PortNo::LOCAL {
        Ok(())
    } else {
        Err(OfpError::OFPBAC_BAD_OUT_PORT)
    }
}

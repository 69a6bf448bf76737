//! Messages and the tunnel options of the bridge that they are for.
//!
//! Purpose: a message comes with options by number only; a bridge's mappings say how long each is and where it
//! lies. [`Message::bind`] refuses options that the bridge has no mapping for, and parts of options that are not
//! there, with the errors of Open vSwitch.
//! Invariant: rules and requests that were bound speak of mapped options only. Buckets of groups and packet-outs may
//! speak of others: that does nothing, as in Open vSwitch.
//! Deliberately does not know: who keeps the mappings.

use std::sync::Arc;

use sluice_flow::options::OptionMap;

use crate::action::{Action, CtZone, FlowMod, LearnSource, LearnSpec, SetField, WideValue};
use crate::error::OfpError;
use crate::field::{Field, SubField};
use crate::matching::{cut, Match};
use crate::message::{Message, StatsRequest};
use crate::wide::Wide;

type Done = Result<(), OfpError>;

impl Message {
    /// Puts the options that a message speaks of where a bridge has them.
    pub fn bind(&mut self, map: &Arc<OptionMap>) -> Done {
        match self {
            Message::FlowMod(fm) => fm.bind(map),
            Message::PacketOut(po) => {
                po.metadata.forget_options(|n| map.get(n).is_none());
                bind_match(&mut po.metadata, map)
            }
            Message::Resume(packet) => bind_match(&mut packet.metadata, map),
            Message::StatsRequest(StatsRequest::Flow(q) | StatsRequest::Aggregate(q)) => bind_match(&mut q.matching, map),
            Message::StatsRequest(StatsRequest::FlowMonitor(all)) => {
                all.iter_mut().try_for_each(|q| bind_match(&mut q.matching, map))
            }
            _ => Ok(()),
        }
    }
}

impl FlowMod {
    /// Puts the options that it speaks of where a bridge has them.
    pub fn bind(&mut self, map: &Arc<OptionMap>) -> Done {
        bind_match(&mut self.matching, map)?;
        bind_actions(&mut self.actions, map)
    }
}

fn bind_match(m: &mut Match, map: &Arc<OptionMap>) -> Done {
    if m.options().next().is_some() {
        *m = m.bound(map)?;
    }
    Ok(())
}

/// Binds a list of actions.
pub fn bind_actions(actions: &mut [Action], map: &OptionMap) -> Done {
    for action in actions {
        match action {
            Action::SetField(set) => bind_value(set, map)?,
            Action::Clone(inner) | Action::WriteActions(inner) => bind_actions(inner, map)?,
            Action::Ct(ct) => {
                if let CtZone::Field(part) = ct.zone {
                    check(part, map)?;
                }
                bind_actions(&mut ct.actions, map)?;
            }
            _ => parts(action).into_iter().try_for_each(|part| check(part, map))?,
        }
    }
    Ok(())
}

/// The tunnel options that actions read or write, one bit each.
pub fn options_in(actions: &[Action]) -> u64 {
    let bit = |f: Field| f.option_number().map_or(0, |n| 1u64 << n);
    actions.iter().fold(0, |all, action| {
        all | match action {
            Action::SetField(set) => bit(set.field),
            Action::DeleteField(field) => bit(*field),
            Action::Clone(inner) | Action::WriteActions(inner) => options_in(inner),
            Action::Ct(ct) => {
                let zone = if let CtZone::Field(part) = ct.zone { bit(part.field) } else { 0 };
                zone | options_in(&ct.actions)
            }
            _ => parts(action).into_iter().fold(0, |all, part| all | bit(part.field)),
        }
    })
}

/// Parts of fields that an action reads or writes, but for `set_field`, nested actions and zones.
fn parts(action: &Action) -> Vec<SubField> {
    match action {
        Action::Move { src, dst } => vec![*src, *dst],
        Action::OutputReg { src: part, .. } | Action::CheckPktLarger { dst: part, .. } => vec![*part],
        Action::StackPush(part) | Action::StackPop(part) => vec![*part],
        Action::DeleteField(field) => vec![SubField { field: *field, start: 0, width: 0 }],
        Action::Multipath(m) => vec![m.dst],
        Action::Bundle(b) => b.dst.into_iter().collect(),
        Action::Learn(learn) => learn.specs.iter().flat_map(learned_parts).chain(learn.result_dst).collect(),
        _ => Vec::new(),
    }
}

fn learned_parts(spec: &LearnSpec) -> Vec<SubField> {
    match spec {
        LearnSpec::Match { src: LearnSource::Field(src), dst } | LearnSpec::Load { src: LearnSource::Field(src), dst } => {
            vec![*src, *dst]
        }
        LearnSpec::Match { dst, .. } | LearnSpec::Load { dst, .. } => vec![*dst],
        LearnSpec::Output(src) => vec![*src],
    }
}

/// Bits of the option that a field stands for; `None` for other fields.
fn bits(field: Field, map: &OptionMap) -> Result<Option<u16>, OfpError> {
    let Some(n) = field.option_number() else { return Ok(None) };
    let mapped = map.get(n).ok_or(OfpError::NXFMFC_INVALID_TLV_FIELD)?;
    Ok(Some(u16::from(mapped.len) * 8))
}

fn check(part: SubField, map: &OptionMap) -> Done {
    match bits(part.field, map)? {
        Some(bits) if part.start + part.width > bits => Err(OfpError::OFPBAC_BAD_SET_LEN),
        _ => Ok(()),
    }
}

/// A written value gets the length of its option.
fn bind_value(set: &mut SetField, map: &OptionMap) -> Done {
    let Some(bits) = bits(set.field, map)? else { return Ok(()) };
    let len = usize::from(bits / 8);
    let (WideValue::Large(value), WideValue::Large(mask)) = (&set.value, &set.mask) else { return Ok(()) };
    let whole = set.mask == WideValue::whole_option();
    let load = set.form == crate::action::SetForm::Load;
    if load && !whole && Wide::from_bytes(mask).significant() > len {
        return Err(OfpError::OFPBAC_BAD_SET_LEN);
    }
    let fit = |bytes: &[u8]| if load { Wide::from_bytes(bytes) } else { cut(bytes, len) };
    let (value, bits) = (fit(value), if whole { Wide::ONES } else { fit(mask) });
    set.value = WideValue::Large(value.tail(len).to_vec());
    set.mask = if bits.covers(len) { WideValue::whole_option() } else { WideValue::Large(bits.tail(len).to_vec()) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{format_actions, parse_actions, Names};

    fn bound(text: &str) -> Result<String, OfpError> {
        let mut map = OptionMap::new();
        map.add(2, 1, 1, 4).unwrap();
        let mut actions = parse_actions(text, &Names::new()).unwrap();
        bind_actions(&mut actions, &map)?;
        Ok(format_actions(&actions, &Names::new()))
    }

    #[test]
    fn values_get_the_length_of_their_option() {
        let cases = [
            ("set_field:0x5/0xffffffff->tun_metadata2", "set_field:0x5->tun_metadata2"),
            ("set_field:0x5/0xff->tun_metadata2", "set_field:0x5/0xff->tun_metadata2"),
            ("set_field:0x123456789a->tun_metadata2", "set_field:0x12345678->tun_metadata2"),
            ("set_field:0->tun_metadata2", "set_field:0->tun_metadata2"),
        ];
        for (text, expected) in cases {
            assert_eq!(bound(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_mapped_or_not_there_is_refused() {
        for text in ["set_field:1->tun_metadata3", "move:tun_metadata3[0..3]->reg0[0..3]", "clone(push:tun_metadata0[0])"] {
            assert_eq!(bound(text), Err(OfpError::NXFMFC_INVALID_TLV_FIELD), "{text}");
        }
        for text in ["load:1->tun_metadata2[32]", "push:tun_metadata2[]", "move:tun_metadata2[1..32]->xreg0[0..31]"] {
            assert_eq!(bound(text), Err(OfpError::OFPBAC_BAD_SET_LEN), "{text}");
        }
    }
}

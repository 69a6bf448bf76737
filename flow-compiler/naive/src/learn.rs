//! The rule that a packet teaches.

use sluice_openflow::action::{FlowFlags, Learn, LearnSource, LearnSpec, PortNo, SetField, SetForm, WideValue};
use sluice_openflow::{Action, FlowMod, FlowModCommand, Match, SubField};

/// Builds the flow-mod; `read` gives the packet's fields.
pub(crate) fn learned(learn: &Learn, read: &dyn Fn(SubField) -> u128) -> FlowMod {
    let value_of = |src: &LearnSource| match src {
        LearnSource::Field(part) => read(*part),
        LearnSource::Value { value, .. } => *value,
    };
    let mut matching = Match::ANY;
    let mut actions = Vec::new();
    for spec in &learn.specs {
        match spec {
            LearnSpec::Match { src, dst } => {
                let (value, mask) = shifted(*dst, value_of(src));
                let (old, old_mask) = matching.field(dst.field);
                matching.set_field(dst.field, old | value, old_mask | mask);
            }
            LearnSpec::Load { src, dst } => {
                let (value, mask) = shifted(*dst, value_of(src));
                actions.push(Action::SetField(Box::new(SetField {
                    field: dst.field,
                    value: WideValue::Small(value),
                    mask: WideValue::Small(mask),
                    form: SetForm::Load,
                })));
            }
            LearnSpec::Output(src) => {
                if let Ok(port) = u16::try_from(read(*src)) {
                    let port = PortNo::from_u16(port);
                    let sends = [PortNo::IN_PORT, PortNo::FLOOD, PortNo::LOCAL, PortNo::ALL].contains(&port);
                    if port.0 < 0xff00 || sends {
                        actions.push(Action::Output { port, max_len: 0 });
                    }
                }
            }
        }
    }
    FlowMod {
        command: FlowModCommand::ModifyStrict,
        table: Some(learn.table),
        priority: learn.priority,
        matching,
        cookie: 0,
        cookie_mask: 0,
        new_cookie: Some(learn.cookie),
        idle_timeout: learn.idle_timeout,
        hard_timeout: learn.hard_timeout,
        importance: 0,
        buffer_id: u32::MAX,
        out_port: PortNo::NONE,
        out_group: u32::MAX,
        flags: FlowFlags::default(),
        actions,
    }
}

fn shifted(dst: SubField, value: u128) -> (u128, u128) {
    let ones = 1u128.checked_shl(u32::from(dst.width)).map_or(u128::MAX, |x| x - 1);
    ((value & ones) << dst.start, ones << dst.start)
}

//! Which actions may stand where, and in which order.
//!
//! Purpose: OpenFlow 1.1 splits a list into instructions; a list that no split can express is
//! refused. Invariant: the order is meter, actions, clear, write, metadata, goto, each at most once.
//! Deliberately does not know: matches.

use super::action_parse::Inside;
use crate::action::Action;
use crate::field::{Field, Prereq};

/// The instructions in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Instruction {
    Meter,
    Apply,
    Clear,
    Write,
    Metadata,
    Goto,
}

impl Instruction {
    fn of(action: &Action) -> Instruction {
        match action {
            Action::Meter(_) => Instruction::Meter,
            Action::ClearActions => Instruction::Clear,
            Action::WriteActions(_) => Instruction::Write,
            Action::WriteMetadata { .. } => Instruction::Metadata,
            Action::GotoTable(_) => Instruction::Goto,
            _ => Instruction::Apply,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Instruction::Meter => "meter",
            Instruction::Apply => "apply_actions",
            Instruction::Clear => "clear_actions",
            Instruction::Write => "write_actions",
            Instruction::Metadata => "write_metadata",
            Instruction::Goto => "goto_table",
        }
    }
}

/// Says which action is out of place, and why.
pub(super) fn verify(actions: &[Action], inside: Inside) -> Result<(), (usize, String)> {
    let mut last = None;
    for (i, action) in actions.iter().enumerate() {
        if matches!(action, Action::Conjunction { .. }) {
            return conjunctions_only(actions);
        }
        nested(action, inside).map_err(|message| (i, message))?;
        let next = Instruction::of(action);
        in_order(last, next).map_err(|message| (i, message))?;
        if inside != Inside::Rule && !matches!(next, Instruction::Apply | Instruction::Meter) {
            return Err((i, format!("{} instruction not allowed here", next.name())));
        }
        last = Some(next);
    }
    Ok(())
}

fn in_order(last: Option<Instruction>, next: Instruction) -> Result<(), String> {
    let Some(last) = last else { return Ok(()) };
    let (name, next_name) = (last.name(), next.name());
    if next < last {
        return Err(format!(
            "invalid instruction ordering: {next_name} must appear before {name}, for OpenFlow \
             1.1+ compatibility"
        ));
    }
    if next == last && last != Instruction::Apply {
        return Err(format!(
            "duplicate {name} instruction not allowed, for OpenFlow 1.1+ compatibility"
        ));
    }
    Ok(())
}

fn conjunctions_only(actions: &[Action]) -> Result<(), (usize, String)> {
    for (i, action) in actions.iter().enumerate() {
        if !matches!(action, Action::Conjunction { .. } | Action::Note(_)) {
            return Err((
                i,
                format!(
                    "\"conjunction\" actions may be used along with \"note\" but not any other \
                     kind of action (such as the \"{}\" action used here)",
                    name(action)
                ),
            ));
        }
    }
    Ok(())
}

fn nested(action: &Action, inside: Inside) -> Result<(), String> {
    let target = written_field(action);
    let of_connection = target.is_some_and(belongs_to_connection);
    if of_connection && inside != Inside::Ct {
        return Err("cannot set CT fields outside of ct action".to_string());
    }
    if let Action::Nat(_) = action {
        return match inside {
            Inside::Ct => Ok(()),
            _ => Err("Cannot have NAT action outside of \"ct\" action".to_string()),
        };
    }
    match (inside, target) {
        (Inside::Ct, None) => Err(format!(
            "ct action doesn't support nested action {}",
            name(action)
        )),
        (Inside::Ct, Some(field)) if !of_connection => Err(format!(
            "ct action doesn't support nested modification of {}",
            field.info().name
        )),
        (Inside::WriteActions | Inside::Clone, _) if matches!(action, Action::Meter(_)) => {
            let outer = if inside == Inside::Clone {
                "clone"
            } else {
                "write_actions"
            };
            Err(format!(
                "{outer} action doesn't support nested action meter"
            ))
        }
        _ => Ok(()),
    }
}

/// The field that an action writes, where it names one.
fn written_field(action: &Action) -> Option<Field> {
    match action {
        Action::SetField(set) => Some(set.field),
        Action::Move { dst, .. } | Action::StackPop(dst) => Some(dst.field),
        Action::Multipath(m) => Some(m.dst.field),
        Action::Bundle(b) => b.dst.map(|d| d.field),
        Action::CheckPktLarger { dst, .. } => Some(dst.field),
        _ => None,
    }
}

fn belongs_to_connection(field: Field) -> bool {
    field == Field::CT_MARK || field == Field::CT_LABEL || field.info().prereq == Prereq::Ct
}

/// The word that an action is known by in errors.
pub(super) fn name(action: &Action) -> &'static str {
    match action {
        Action::Output { .. } => "output",
        Action::OutputTrunc { .. } => "output_trunc",
        Action::OutputReg { .. } => "output_reg",
        Action::Controller(_) => "controller",
        Action::Enqueue { .. } => "enqueue",
        Action::SetQueue(_) => "set_queue",
        Action::PopQueue => "pop_queue",
        Action::Group(_) => "group",
        Action::SetVlanVid { .. } => "set_vlan_vid",
        Action::SetVlanPcp { .. } => "set_vlan_pcp",
        Action::StripVlan { .. } => "strip_vlan",
        Action::PushVlan(_) => "push_vlan",
        Action::SetEthSrc(_) => "mod_dl_src",
        Action::SetEthDst(_) => "mod_dl_dst",
        Action::SetIpv4Src(_) => "mod_nw_src",
        Action::SetIpv4Dst(_) => "mod_nw_dst",
        Action::SetIpDscp(_) => "mod_nw_tos",
        Action::SetIpEcn(_) => "mod_nw_ecn",
        Action::SetIpTtl(_) => "mod_nw_ttl",
        Action::SetL4Src(_) => "mod_tp_src",
        Action::SetL4Dst(_) => "mod_tp_dst",
        Action::SetField(_) => "set_field",
        Action::Move { .. } => "move",
        Action::StackPush(_) => "push",
        Action::StackPop(_) => "pop",
        Action::DecTtl { .. } => "dec_ttl",
        Action::SetMplsLabel(_) => "set_mpls_label",
        Action::SetMplsTc(_) => "set_mpls_tc",
        Action::SetMplsTtl(_) => "set_mpls_ttl",
        Action::DecMplsTtl => "dec_mpls_ttl",
        Action::CopyTtlOut => "copy_ttl_out",
        Action::CopyTtlIn => "copy_ttl_in",
        Action::PushMpls(_) => "push_mpls",
        Action::PopMpls(_) => "pop_mpls",
        Action::PushPbb => "push_pbb",
        Action::PopPbb => "pop_pbb",
        Action::SetTunnel { .. } => "set_tunnel",
        Action::Resubmit { .. } => "resubmit",
        Action::Learn(_) => "learn",
        Action::Conjunction { .. } => "conjunction",
        Action::Multipath(_) => "multipath",
        Action::Bundle(_) => "bundle",
        Action::Note(_) => "note",
        Action::Exit => "exit",
        Action::FinTimeout { .. } => "fin_timeout",
        Action::Sample(_) => "sample",
        Action::Ct(_) => "ct",
        Action::Nat(_) => "nat",
        Action::CtClear => "ct_clear",
        Action::Clone(_) => "clone",
        Action::Encap(_) => "encap",
        Action::Decap { .. } => "decap",
        Action::DecNshTtl => "dec_nsh_ttl",
        Action::CheckPktLarger { .. } => "check_pkt_larger",
        Action::DeleteField(_) => "delete_field",
        Action::DebugRecirc => "debug_recirc",
        Action::DebugSlow => "debug_slow",
        Action::Meter(_) => "meter",
        Action::ClearActions => "clear_actions",
        Action::WriteActions(_) => "write_actions",
        Action::WriteMetadata { .. } => "write_metadata",
        Action::GotoTable(_) => "goto_table",
    }
}

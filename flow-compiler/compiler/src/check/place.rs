//! Which actions may stand where: instructions in order, conjunctions alone, what an action set holds.
//!
//! Deliberately does not know: matches.

use sluice_openflow::action::Place;
use sluice_openflow::{Action, Field, OfpError};

use crate::error::OfError;

/// The list that an action stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outer {
    None,
    WriteActions,
    Ct,
    Clone,
}

/// Checks where each action stands.
pub fn check_places(actions: &[Action], place: Place) -> Result<(), OfError> {
    let conjunction = actions.iter().any(|a| matches!(a, Action::Conjunction { .. }));
    if conjunction {
        if place != Place::Rule {
            return Err(OfError::new(OfpError::NXBAC_BAD_CONJUNCTION, "conjunction outside of a rule"));
        }
        let stranger = actions.iter().any(|a| !matches!(a, Action::Conjunction { .. } | Action::Note(_)));
        if stranger {
            let what = "\"conjunction\" may stand beside \"note\", but not beside any other action";
            return Err(OfError::new(OfpError::NXBAC_BAD_CONJUNCTION, what));
        }
    }
    check_order(actions)?;
    nested(actions, Outer::None)
}

/// Rank of an instruction; `None` for plain actions, which are one instruction together.
fn rank(action: &Action) -> u8 {
    match action {
        Action::Meter(_) => 0,
        Action::ClearActions => 2,
        Action::WriteActions(_) => 3,
        Action::WriteMetadata { .. } => 4,
        Action::GotoTable(_) => 5,
        _ => 1,
    }
}

const NAMES: [&str; 6] =
    ["meter", "apply_actions", "clear_actions", "write_actions", "write_metadata", "goto_table"];

/// Instructions come in one order and, but for plain actions, once.
fn check_order(actions: &[Action]) -> Result<(), OfError> {
    let mut last = 0;
    let mut seen = [false; 6];
    for action in actions {
        let r = rank(action);
        let name = NAMES.get(usize::from(r)).copied().unwrap_or("");
        if r < last {
            let later = NAMES.get(usize::from(last)).copied().unwrap_or("");
            let what = format!(
                "invalid instruction ordering: {name} must appear before {later}, for OpenFlow 1.1+ compatibility"
            );
            return Err(OfError::new(OfpError::OFPBAC_UNSUPPORTED_ORDER, what));
        }
        if let Some(s) = seen.get_mut(usize::from(r)) {
            if *s && r != 1 {
                let what = format!("duplicate {name} instruction not allowed, for OpenFlow 1.1+ compatibility");
                return Err(OfError::new(OfpError::OFPBAC_UNSUPPORTED_ORDER, what));
            }
            *s = true;
        }
        last = r;
    }
    Ok(())
}

fn nested(actions: &[Action], outer: Outer) -> Result<(), OfError> {
    for action in actions {
        one(action, outer)?;
        match action {
            Action::WriteActions(inner) => nested(inner, Outer::WriteActions)?,
            Action::Clone(inner) => nested(inner, Outer::Clone)?,
            Action::Ct(ct) => nested(&ct.actions, Outer::Ct)?,
            _ => {}
        }
    }
    Ok(())
}

fn one(action: &Action, outer: Outer) -> Result<(), OfError> {
    let written = written_field(action);
    let is_ct_field = written.is_some_and(|f| f == Field::CT_MARK || f == Field::CT_LABEL);
    if is_ct_field && outer != Outer::Ct {
        return Err(OfError::new(OfpError::OFPBAC_BAD_SET_ARGUMENT, "cannot set CT fields outside of ct action"));
    }
    if matches!(action, Action::Nat(_)) && outer != Outer::Ct {
        return Err(OfError::new(OfpError::OFPBAC_BAD_SET_ARGUMENT, "Cannot have NAT action outside of \"ct\" action"));
    }
    match outer {
        Outer::Ct if !is_ct_field && !matches!(action, Action::Nat(_)) => Err(OfError::new(
            OfpError::OFPBAC_BAD_ARGUMENT,
            "ct action supports nat and writes of ct_mark and ct_label, nothing else",
        )),
        Outer::WriteActions if !in_action_set(action) => {
            Err(OfError::new(OfpError::OFPBAC_BAD_TYPE, "action may not be part of an action set"))
        }
        _ => Ok(()),
    }
}

fn written_field(action: &Action) -> Option<Field> {
    match action {
        Action::SetField(set) => Some(set.field),
        Action::Move { dst, .. } | Action::StackPop(dst) => Some(dst.field),
        _ => None,
    }
}

fn in_action_set(action: &Action) -> bool {
    matches!(
        action,
        Action::Output { .. }
            | Action::Group(_)
            | Action::Resubmit { .. }
            | Action::Ct(_)
            | Action::CtClear
            | Action::SetField(_)
            | Action::Move { .. }
            | Action::SetVlanVid { .. }
            | Action::SetVlanPcp { .. }
            | Action::StripVlan { .. }
            | Action::PushVlan(_)
            | Action::SetEthSrc(_)
            | Action::SetEthDst(_)
            | Action::SetIpv4Src(_)
            | Action::SetIpv4Dst(_)
            | Action::SetIpDscp(_)
            | Action::SetIpEcn(_)
            | Action::SetIpTtl(_)
            | Action::SetL4Src(_)
            | Action::SetL4Dst(_)
            | Action::SetMplsLabel(_)
            | Action::SetMplsTc(_)
            | Action::SetMplsTtl(_)
            | Action::DecTtl { .. }
            | Action::DecMplsTtl
            | Action::DecNshTtl
            | Action::PushMpls(_)
            | Action::PopMpls(_)
            | Action::SetTunnel { .. }
            | Action::SetQueue(_)
            | Action::Encap(_)
            | Action::Decap { .. }
    )
}

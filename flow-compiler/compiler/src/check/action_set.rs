//! Which actions an action set may hold.
//!
//! Deliberately does not know: matches; the order of instructions (decoding checks that).

use sluice_openflow::{Action, OfpError};

use crate::error::OfError;

/// Refuses what a `write_actions` may not hold.
pub(super) fn check_action_sets(actions: &[Action]) -> Result<(), OfError> {
    for action in actions {
        match action {
            Action::WriteActions(set) if !set.iter().all(in_action_set) => {
                let what = "write_actions holds an action that may not be part of an action set";
                return Err(OfError::new(OfpError::OFPBAC_BAD_TYPE, what));
            }
            Action::Clone(inner) => check_action_sets(inner)?,
            _ => {}
        }
    }
    Ok(())
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
            | Action::CopyTtlOut
            | Action::CopyTtlIn
            | Action::DecNshTtl
            | Action::PushMpls(_)
            | Action::PopMpls(_)
            | Action::SetTunnel { .. }
            | Action::SetQueue(_)
            | Action::Encap(_)
            | Action::Decap { .. }
    )
}

//! The action set: what is in it, and in which order it is executed.
//!
//! Deliberately does not know: what the actions do.

use sluice_openflow::Action;

/// The set's actions in the order of the specification; nothing when it sends the packet nowhere.
pub(super) fn ordered(set: &[Action]) -> Vec<Action> {
    let last = |wanted: fn(&Action) -> bool| set.iter().rfind(|a| wanted(a)).cloned();
    let all = |wanted: fn(&Action) -> bool| set.iter().filter(move |a| wanted(a)).cloned();
    let end = last(|a| matches!(a, Action::Group(_)))
        .or_else(|| last(|a| matches!(a, Action::Output { .. })))
        .or_else(|| last(|a| matches!(a, Action::Resubmit { .. })))
        .or_else(|| last(|a| matches!(a, Action::Ct(_))));
    let Some(end) = end else { return Vec::new() };
    let mut list = Vec::new();
    list.extend(last(|a| matches!(a, Action::StripVlan { .. })));
    list.extend(last(|a| matches!(a, Action::PopMpls(_))));
    list.extend(last(|a| matches!(a, Action::Decap { .. })));
    list.extend(last(|a| matches!(a, Action::Encap(_))));
    list.extend(last(|a| matches!(a, Action::PushMpls(_))));
    list.extend(last(|a| matches!(a, Action::PushVlan(_))));
    list.extend(last(|a| matches!(a, Action::DecTtl { .. })));
    list.extend(last(|a| matches!(a, Action::DecMplsTtl)));
    list.extend(last(|a| matches!(a, Action::DecNshTtl)));
    list.extend(all(writes));
    list.extend(last(|a| matches!(a, Action::SetQueue(_))));
    list.push(end);
    list
}

fn writes(a: &Action) -> bool {
    matches!(
        a,
        Action::Move { .. }
            | Action::SetField(_)
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
            | Action::SetTunnel { .. }
            | Action::SetVlanVid { .. }
            | Action::SetVlanPcp { .. }
    )
}

//! What an action list sends to, for `out_port=` and `out_group=` of requests.
//!
//! Deliberately does not know: where a packet would really go (NORMAL, registers, the action set).

use sluice_openflow::action::PortNo;
use sluice_openflow::Action;

/// Any group.
pub const GROUP_ANY: u32 = 0xffff_ffff;

/// Does any action name this port as an output? `NONE` stands for any rule at all.
pub fn outputs_to(actions: &[Action], port: PortNo) -> bool {
    port == PortNo::NONE || any(actions, &|a| match a {
        Action::Output { port: p, .. } | Action::Enqueue { port: p, .. } => *p == port,
        Action::Controller(_) => port == PortNo::CONTROLLER,
        _ => false,
    })
}

/// Does any action use this group? [`GROUP_ANY`] stands for any rule at all.
pub fn uses_group(actions: &[Action], group: u32) -> bool {
    group == GROUP_ANY || any(actions, &|a| matches!(a, Action::Group(g) if *g == group))
}

fn any(actions: &[Action], test: &dyn Fn(&Action) -> bool) -> bool {
    actions.iter().any(|a| {
        test(a)
            || match a {
                Action::WriteActions(inner) | Action::Clone(inner) => any(inner, test),
                Action::Ct(ct) => any(&ct.actions, test),
                _ => false,
            }
    })
}

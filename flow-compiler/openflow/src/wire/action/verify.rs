//! Which actions may stand where.
//!
//! Purpose: the order of instructions, what `ct(...)` may hold, what `conjunction` may stand beside.
//! Deliberately does not know: the rule's match.

use super::BAD_ARGUMENT;
use crate::action::Action;
use crate::error::OfpError;
use crate::field::Field;
use crate::version::Version;

/// The instruction an action belongs to, in the order that instructions must have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Order {
    Meter,
    Apply,
    Clear,
    Write,
    Metadata,
    Goto,
}

/// The instruction that an action belongs to in a version.
pub(crate) fn order(a: &Action, version: Version) -> Order {
    match a {
        Action::Meter(_) if version < Version::V15 => Order::Meter,
        Action::ClearActions => Order::Clear,
        Action::WriteActions(_) => Order::Write,
        Action::WriteMetadata { .. } => Order::Metadata,
        Action::GotoTable(_) => Order::Goto,
        _ => Order::Apply,
    }
}

/// What a list stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outer {
    /// A rule: everything is allowed.
    Rule,
    /// A plain list of actions: instructions are not, but meters may be.
    Actions,
    /// `clone(...)` and `write_actions(...)`.
    Clone,
    /// `ct(...)`.
    Ct,
}

/// May these actions stand in this place in this order?
pub(crate) fn verify(actions: &[Action], version: Version, outer: Outer) -> Result<(), OfpError> {
    let alone = |a: &Action| matches!(a, Action::Conjunction { .. } | Action::Note(_));
    let mut last = None;
    for a in actions {
        if matches!(a, Action::Conjunction { .. }) {
            let ok = actions.iter().all(alone);
            return if ok { Ok(()) } else { Err(OfpError::NXBAC_BAD_CONJUNCTION) };
        }
        nested(a, outer)?;
        let next = order(a, version);
        let fits = match last {
            None => true,
            Some(Order::Apply) => next >= Order::Apply,
            Some(last) => next > last,
        };
        if !fits {
            return Err(OfpError::OFPBAC_UNSUPPORTED_ORDER);
        }
        if !allowed(next, outer) {
            return Err(OfpError::OFPBIC_UNSUP_INST);
        }
        last = Some(next);
    }
    Ok(())
}

fn allowed(order: Order, outer: Outer) -> bool {
    match outer {
        Outer::Rule => true,
        Outer::Actions => matches!(order, Order::Apply | Order::Meter),
        Outer::Clone | Outer::Ct => order == Order::Apply,
    }
}

fn nested(a: &Action, outer: Outer) -> Result<(), OfpError> {
    let field = written(a);
    let of_connection = |f: Field| f == Field::CT_MARK || f == Field::CT_LABEL;
    if field.is_some_and(of_connection) && outer != Outer::Ct {
        return Err(OfpError::OFPBAC_BAD_SET_ARGUMENT);
    }
    if matches!(a, Action::Nat(_)) {
        return if outer == Outer::Ct { Ok(()) } else { Err(OfpError::OFPBAC_BAD_SET_ARGUMENT) };
    }
    let meter = matches!(a, Action::Meter(_)) && matches!(outer, Outer::Clone | Outer::Ct);
    if meter || (outer == Outer::Ct && !field.is_some_and(of_connection)) {
        return Err(BAD_ARGUMENT);
    }
    Ok(())
}

/// The field that an action writes where it names one.
fn written(a: &Action) -> Option<Field> {
    Some(match a {
        Action::SetField(s) => s.field,
        Action::Move { dst, .. } | Action::StackPop(dst) => dst.field,
        Action::CheckPktLarger { dst, .. } => dst.field,
        Action::Multipath(m) => m.dst.field,
        Action::Bundle(b) => b.dst?.field,
        Action::DeleteField(f) => *f,
        Action::SetVlanVid { .. } => Field::VLAN_VID,
        Action::SetEthSrc(_) => Field::ETH_SRC,
        Action::SetEthDst(_) => Field::ETH_DST,
        Action::SetIpv4Src(_) => Field::IP_SRC,
        Action::SetIpv4Dst(_) => Field::IP_DST,
        Action::SetTunnel { .. } => Field::TUN_ID,
        Action::WriteMetadata { .. } => Field::METADATA,
        _ => return None,
    })
}

//! The action set: executed once, at the end of the pipeline, in the order that OpenFlow 1.3 §5.10 gives.

use super::walk::Walk;
use crate::action::Action;

/// Where an action stands in the set's order. Of one-of-a-kind actions only the last counts.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Rank {
    CopyTtlIn,
    PopVlan,
    PopMpls,
    PopPbb,
    PushMpls,
    PushPbb,
    PushVlan,
    CopyTtlOut,
    DecTtl,
    DecMplsTtl,
    /// All of these count, in the order in which they were written.
    Set,
    SetQueue,
}

fn rank(action: &Action) -> Option<Rank> {
    Some(match action {
        Action::CopyTtlIn => Rank::CopyTtlIn,
        Action::CopyTtlOut => Rank::CopyTtlOut,
        Action::PopMpls(_) => Rank::PopMpls,
        Action::PushMpls(_) => Rank::PushMpls,
        Action::PopPbb => Rank::PopPbb,
        Action::PushPbb => Rank::PushPbb,
        Action::DecMplsTtl => Rank::DecMplsTtl,
        Action::PopVlan => Rank::PopVlan,
        Action::PushVlan(_) => Rank::PushVlan,
        Action::DecTtl(_) => Rank::DecTtl,
        Action::Set { .. } | Action::Move { .. } | Action::SetVlanVid { .. } | Action::SetVlanPcp { .. } => Rank::Set,
        Action::SetQueue(_) => Rank::SetQueue,
        _ => return None,
    })
}

/// The actions that end a set: the last of the highest kind counts.
fn final_rank(action: &Action) -> Option<u8> {
    Some(match action {
        Action::Refused(_) | Action::Group(_) => 3,
        Action::Output(_)
        | Action::OutputFrom(_)
        | Action::InPort
        | Action::Normal
        | Action::Flood
        | Action::All
        | Action::Punt(_)
        | Action::Enqueue { .. } => 2,
        Action::Resubmit { .. } | Action::ResubmitByConnection { .. } => 1,
        Action::Ct(_) => 0,
        _ => return None,
    })
}

/// The actions to execute, in order; empty when nothing in the set sends the packet anywhere.
pub(super) fn ordered(set: &[Action]) -> Vec<Action> {
    let last = |wanted: Rank| set.iter().rev().find(|a| rank(a) == Some(wanted)).cloned();
    let mut last_final: Option<(u8, &Action)> = None;
    for a in set {
        if let Some(r) = final_rank(a) {
            if last_final.is_none_or(|(best, _)| r >= best) {
                last_final = Some((r, a));
            }
        }
    }
    let Some((_, end)) = last_final else { return Vec::new() };
    let mut out = Vec::new();
    const FIRST: [Rank; 8] = [
        Rank::CopyTtlIn,
        Rank::PopVlan,
        Rank::PopMpls,
        Rank::PushMpls,
        Rank::PushVlan,
        Rank::CopyTtlOut,
        Rank::DecTtl,
        Rank::DecMplsTtl,
    ];
    out.extend(FIRST.into_iter().filter_map(last));
    out.extend(set.iter().filter(|a| rank(a) == Some(Rank::Set)).cloned());
    out.extend(last(Rank::SetQueue));
    out.push(end.clone());
    out
}

impl Walk<'_> {
    pub(super) fn run_action_set(&mut self) {
        let set = std::mem::take(&mut self.action_set);
        if !set.is_empty() && !self.exit {
            let outside = std::mem::replace(&mut self.in_action_set, true);
            self.execute(&ordered(&set).into());
            self.in_action_set = outside;
        }
    }
}

//! Is a flow-mod legal? The answers of Open vSwitch, error for error.
//!
//! Purpose: refuse before anything changes: bad ports and tables, fields that the match does not
//! make sure of, action sets that hold what they may not, groups and meters that do not exist.
//! OpenFlow 1.0 silently skips its own actions on packets that do not fit; later versions refuse
//! them.
//! Deliberately does not know: other rules (overlap, limits), encodings, the order of instructions
//! (whoever decodes a message or a text checks that).

mod action_set;

use sluice_openflow::action::Place;
use sluice_openflow::text::Formats;
use sluice_openflow::{Action, FlowMod, FlowModCommand, Match, OfpError, Version};

use crate::error::OfError;
use crate::rules::Reference;

/// Table that the switch keeps for itself.
const INTERNAL_TABLE: u8 = 254;

/// Checks a whole flow-mod, but for what depends on other rules.
/// `known` tells which groups and meters exist.
pub fn check_flow_mod(fm: &FlowMod, version: Version, known: &dyn Fn(Reference) -> bool) -> Result<(), OfError> {
    if fm.flags.emergency {
        return Err(OfError::new(OfpError::OFPFMFC_TABLE_FULL, "emergency flows are not supported"));
    }
    let deletes = matches!(fm.command, FlowModCommand::Delete | FlowModCommand::DeleteStrict);
    if !deletes {
        check_actions(&fm.actions, &fm.matching, fm.table, Place::Rule, version)?;
    }
    if fm.table == Some(INTERNAL_TABLE) {
        return Err(OfError::new(OfpError::OFPBRC_EPERM, "table 254 belongs to the switch itself"));
    }
    if !deletes {
        check_references(&fm.actions, known)?;
    }
    Ok(())
}

/// Checks an action list for a match. `table` is the table of the rule, where it has one.
///
/// This needs nothing but the list, so that a command line can do it before it sends anything; what
/// the switch holds (groups, meters) is left to [`check_references`].
pub fn check_actions(
    actions: &[Action],
    matching: &Match,
    table: Option<u8>,
    place: Place,
    version: Version,
) -> Result<(), OfError> {
    action_set::check_action_sets(actions)?;
    if place != Place::Rule && actions.iter().any(|a| matches!(a, Action::Conjunction { .. })) {
        return Err(OfError::new(OfpError::NXBAC_BAD_CONJUNCTION, "conjunction outside of a rule"));
    }
    let carried_by = sluice_openflow::check::check_actions(actions, matching, table)
        .map_err(|code| OfError::new(code, "the actions do not fit the match, the table or each other"))?;
    if carried_by.contains(Formats::of_version(version)) {
        return Ok(());
    }
    let what = format!("the match does not make sure of what the actions write, which {} demands", version.name());
    Err(OfError::new(OfpError::OFPBAC_MATCH_INCONSISTENT, what))
}

/// Checks that the groups and meters exist which an action list refers to.
pub fn check_references(actions: &[Action], known: &dyn Fn(Reference) -> bool) -> Result<(), OfError> {
    for action in actions {
        match action {
            Action::Group(id) if !known(Reference::Group(*id)) => {
                return Err(OfError::new(OfpError::OFPBAC_BAD_OUT_GROUP, format!("there is no group {id}")));
            }
            Action::Meter(id) if !known(Reference::Meter(*id)) => {
                return Err(OfError::new(OfpError::OFPMMFC_INVALID_METER, format!("there is no meter {id}")));
            }
            Action::WriteActions(inner) | Action::Clone(inner) => check_references(inner, known)?,
            Action::Ct(ct) => check_references(&ct.actions, known)?,
            _ => {}
        }
    }
    Ok(())
}

//! Is a flow-mod legal? The answers of Open vSwitch, error for error.
//!
//! Purpose: refuse before anything changes: bad ports and tables, fields that the match does not
//! make sure of, actions where they may not stand, groups and meters that do not exist.
//! OpenFlow 1.0 silently skips its own actions on packets that do not fit; later versions refuse
//! them. The extension actions are refused in every version.
//! Deliberately does not know: other rules (overlap, limits), encodings.

mod actions;
mod learn;
mod place;

use sluice_openflow::action::Place;
use sluice_openflow::{Action, FlowMod, FlowModCommand, Match, OfpError, Version};

use crate::error::OfError;
use actions::Walk;

/// Table that the switch keeps for itself.
const INTERNAL_TABLE: u8 = 254;

/// Checks a whole flow-mod, but for what depends on other rules.
pub fn check_flow_mod(fm: &FlowMod, version: Version) -> Result<(), OfError> {
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
        check_references(&fm.actions)?;
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
    place::check_places(actions, place)?;
    let mut walk = Walk::new(matching, table);
    walk.list(actions)?;
    match walk.inconsistent {
        Some(what) if version != Version::V10 => Err(OfError::new(OfpError::OFPBAC_MATCH_INCONSISTENT, what)),
        _ => Ok(()),
    }
}

/// Checks what an action list refers to. Groups and meters do not exist yet: every one is unknown.
pub fn check_references(actions: &[Action]) -> Result<(), OfError> {
    for action in actions {
        match action {
            Action::Group(id) => {
                return Err(OfError::new(OfpError::OFPBAC_BAD_OUT_GROUP, format!("there is no group {id}")));
            }
            Action::Meter(id) => {
                return Err(OfError::new(OfpError::OFPMMFC_INVALID_METER, format!("there is no meter {id}")));
            }
            Action::WriteActions(inner) | Action::Clone(inner) => check_references(inner)?,
            Action::Ct(ct) => check_references(&ct.actions)?,
            _ => {}
        }
    }
    Ok(())
}

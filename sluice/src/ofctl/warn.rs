//! What is strange about a rule that was given, and what is wrong with it.
//!
//! Purpose: conditions that mean nothing are dropped with a word; actions that do not suit their
//! match are refused before anything is sent.
//! Deliberately does not know: the switch.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sluice_openflow::check::check_actions;
use sluice_openflow::text::{format_match, Formats, Names};
use sluice_openflow::{Action, FlowMod, FlowModCommand};

use super::fatal::Fatal;
use super::run::Run;

/// The rule as it is to be sent, and the formats that can carry it.
pub fn checked(mut fm: FlowMod, usable: Formats, _run: &Run) -> Result<(FlowMod, Formats), Fatal> {
    let usable = usable & suits(&fm)?;
    let before = fm.matching;
    fm.matching = before.normalized();
    if fm.matching != before {
        let names = Names::new();
        say("ofp_match", "INFO", "normalization changed ofp_match, details:");
        say("ofp_match", "INFO", &format!(" pre: {}", format_match(&before, &names)));
        say("ofp_match", "INFO", &format!("post: {}", format_match(&fm.matching, &names)));
    }
    Ok((fm, usable))
}

fn suits(fm: &FlowMod) -> Result<Formats, Fatal> {
    if matches!(fm.command, FlowModCommand::Delete | FlowModCommand::DeleteStrict) {
        return Ok(Formats::ANY);
    }
    check_actions(&fm.actions, &fm.matching, fm.table).map_err(|e| {
        if let Some(field) = unfounded(fm) {
            say("ofp_actions", "WARN", &format!("set_field {field} lacks correct prerequisites"));
        }
        Fatal(format!("actions are invalid with specified match ({e})"))
    })
}

/// The first field that an action writes although the match does not make sure that it is there.
fn unfounded(fm: &FlowMod) -> Option<&'static str> {
    fm.actions.iter().find_map(|action| match action {
        Action::SetField(set) if !set.field.info().prereq.met(&fm.matching) => Some(set.field.info().name),
        _ => None,
    })
}

static LINE: AtomicU32 = AtomicU32::new(1);

/// A line of log on standard error, in the form that log readers know.
pub fn say(module: &str, level: &str, text: &str) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = crate::daemon::log::utc_seconds(since.as_secs());
    let line = LINE.fetch_add(1, Ordering::Relaxed);
    eprintln!("{time}|{line:05}|{module}|{level}|{text}");
}

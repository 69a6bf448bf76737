//! What is strange about a rule that was given, and what is wrong with it.
//!
//! Purpose: conditions that mean nothing are dropped with a word; a refusal is explained.
//! Deliberately does not know: the switch.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sluice_openflow::text::{format_match, parse_instructions, parse_match, Names};
use sluice_openflow::{Action, FlowMod};

/// The rule as it is to be sent.
pub fn normalized(mut fm: FlowMod) -> FlowMod {
    let before = fm.matching;
    fm.matching = before.normalized();
    if fm.matching != before {
        let names = Names::new();
        say("ofp_match", "INFO", "normalization changed ofp_match, details:");
        say("ofp_match", "INFO", &format!(" pre: {}", format_match(&before, &names)));
        say("ofp_match", "INFO", &format!("post: {}", format_match(&fm.matching, &names)));
    }
    fm
}

/// Says why a rule that was refused is wrong, where more is known than the error tells: an action
/// writes a field although the match does not make sure that packets have it.
pub fn explain(text: &str, names: &Names) {
    let Some((matching, actions)) = text.split_once("actions=") else { return };
    let words = matching.trim_end_matches([',', ' ']);
    let conditions: Vec<&str> = words.split(',').filter(|w| parse_match(w, names).is_ok()).collect();
    let (Ok(matching), Ok(actions)) = (parse_match(&conditions.join(","), names), parse_instructions(actions, names)) else { return };
    let unfounded = actions.iter().find_map(|action| match action {
        Action::SetField(set) if !set.field.info().prereq.met(&matching) => Some(set.field.info().name),
        _ => None,
    });
    if let Some(field) = unfounded {
        say("ofp_actions", "WARN", &format!("set_field {field} lacks correct prerequisites"));
    }
}

static LINE: AtomicU32 = AtomicU32::new(1);

/// A line of log on standard error, in the form that log readers know.
pub fn say(module: &str, level: &str, text: &str) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = crate::daemon::log::utc_seconds(since.as_secs());
    let line = LINE.fetch_add(1, Ordering::Relaxed);
    eprintln!("{time}|{line:05}|{module}|{level}|{text}");
}

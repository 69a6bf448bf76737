//! `ofproto/trace`: what becomes of a packet, and why, in Open vSwitch's words.
//!
//! Purpose: the text that people and tools know, made from the rules and ports of the control side.
//! Invariant: it explains and never feeds a cache; it changes nothing unless the packet was given as
//! bytes, and then only what such a packet teaches.
//! Deliberately does not know: workers; what they really did is told by counters.

mod act;
mod action_set;
mod commit;
mod conntrack;
mod cover;
mod groups;
mod lookup;
mod normal;
mod odp;
mod options;
mod packet;
pub(in crate::daemon) mod ports;
mod request;
mod run;
mod send;
mod spec;
mod tree;
mod tunnel;
mod walk;

use super::switch::Switch;

/// Answers `ofproto/trace`.
pub fn trace(switch: &mut Switch, words: &[&str], now_ms: u64) -> Result<String, String> {
    let request = request::parse(switch, words, false)?;
    Ok(run::run(switch, &request, None, now_ms))
}

/// Answers `ofproto/trace-packet-out`.
pub fn trace_packet_out(switch: &mut Switch, words: &[&str], now_ms: u64) -> Result<String, String> {
    let (actions, words) = words.split_last().ok_or("Syntax error")?;
    let names = sluice_openflow::text::Names::new();
    let actions = sluice_openflow::text::parse_actions(actions, &names).map_err(|e| e.ovs_text().to_string())?;
    let request = request::parse(switch, words, true)?;
    let known = |what| switch.rules.knows(request.bridge, what);
    sluice_compiler::check::check_references(&actions, &known).map_err(|e| format!("Bad actions: {e}"))?;
    Ok(run::run(switch, &request, Some(&actions), now_ms))
}

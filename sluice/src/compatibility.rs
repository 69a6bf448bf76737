//! What of OpenFlow works here, as a table made from the code.
//!
//! Purpose: `docs/compatibility.md`, which a test compares with what this module says and with what
//! the switch really does.
//! Invariant: nothing is said here that the code does not decide: rows come from the tables of
//! fields, message types and commands, verdicts on actions from lowering them.
//! Deliberately does not know: why something is refused, beyond the words of the code that refuses.

use std::fmt::Write;

use sluice_compiler::lower::lower;
use sluice_flow::action::Action as Instruction;
use sluice_openflow::message::UNSUPPORTED_MESSAGES;
use sluice_openflow::text::{parse_instructions, Names};
use sluice_openflow::wire::message_types;
use sluice_openflow::{Field, Version};

use crate::ofctl::subcommands;

/// One text for each action: its name, and words that use it.
pub const ACTIONS: [(&str, &str); 75] = [
    ("output", "output:1"),
    ("output (port, max_len)", "output(port=1,max_len=100)"),
    ("output (field)", "output:NXM_NX_REG0[0..15]"),
    ("in_port", "in_port"),
    ("normal", "normal"),
    ("flood", "flood"),
    ("all", "all"),
    ("local", "local"),
    ("drop", "drop"),
    ("controller", "controller(max_len=64,reason=action,id=3,userdata=01.02,meter_id=1)"),
    ("controller (pause)", "controller(pause)"),
    ("group", "group:1"),
    ("enqueue", "enqueue:1:2"),
    ("set_queue", "set_queue:1"),
    ("pop_queue", "pop_queue"),
    ("set_vlan_vid", "set_vlan_vid:5"),
    ("mod_vlan_vid", "mod_vlan_vid:5"),
    ("set_vlan_pcp", "set_vlan_pcp:5"),
    ("mod_vlan_pcp", "mod_vlan_pcp:5"),
    ("strip_vlan", "strip_vlan"),
    ("pop_vlan", "pop_vlan"),
    ("push_vlan", "push_vlan:0x8100"),
    ("mod_dl_src", "mod_dl_src:00:11:22:33:44:55"),
    ("mod_dl_dst", "mod_dl_dst:00:11:22:33:44:55"),
    ("mod_nw_src", "mod_nw_src:10.0.0.1"),
    ("mod_nw_dst", "mod_nw_dst:10.0.0.1"),
    ("mod_nw_tos", "mod_nw_tos:32"),
    ("mod_nw_ecn", "mod_nw_ecn:1"),
    ("mod_nw_ttl", "mod_nw_ttl:9"),
    ("mod_tp_src", "mod_tp_src:80"),
    ("mod_tp_dst", "mod_tp_dst:80"),
    ("set_field", "set_field:5->reg0"),
    ("set_field (MPLS)", "set_field:5->mpls_label"),
    ("set_field (NSH)", "set_field:5->nsh_ttl"),
    ("load", "load:5->NXM_NX_REG0[0..7]"),
    ("move", "move:NXM_NX_REG0[]->NXM_NX_REG1[]"),
    ("push", "push:NXM_NX_REG0[]"),
    ("pop", "pop:NXM_NX_REG0[]"),
    ("delete_field", "delete_field:tun_metadata0"),
    ("dec_ttl", "dec_ttl"),
    ("dec_ttl (controllers)", "dec_ttl(1,2)"),
    ("set_mpls_label", "set_mpls_label(5)"),
    ("set_mpls_tc", "set_mpls_tc(5)"),
    ("set_mpls_ttl", "set_mpls_ttl(5)"),
    ("dec_mpls_ttl", "dec_mpls_ttl"),
    ("push_mpls", "push_mpls:0x8847"),
    ("push_pbb", "push_pbb:0x88e7"),
    ("pop_pbb", "pop_pbb"),
    ("pop_mpls", "pop_mpls:0x0800"),
    ("set_tunnel", "set_tunnel:5"),
    ("set_tunnel64", "set_tunnel64:5"),
    ("resubmit", "resubmit(1,2)"),
    ("learn", "learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])"),
    ("conjunction", "conjunction(1,1/2)"),
    ("multipath", "multipath(symmetric_l4,0,hrw,4,0,NXM_NX_REG0[])"),
    ("bundle", "bundle(symmetric_l4,0,hrw,ofport,members:1,2)"),
    ("bundle_load", "bundle_load(symmetric_l4,0,hrw,ofport,NXM_NX_REG0[0..15],members:1,2)"),
    ("note", "note:01.02"),
    ("exit", "exit"),
    ("fin_timeout", "fin_timeout(idle_timeout=1)"),
    ("sample", "sample(probability=1,collector_set_id=1)"),
    ("ct", "ct(commit,zone=1,exec(set_field:1->ct_mark),table=2)"),
    ("ct (nat)", "ct(commit,nat(src=10.0.0.1-10.0.0.9:1-9))"),
    ("ct_clear", "ct_clear"),
    ("clone", "clone(output:1)"),
    ("encap", "encap(nsh(md_type=1))"),
    ("encap (ethernet)", "encap(ethernet)"),
    ("decap", "decap()"),
    ("dec_nsh_ttl", "dec_nsh_ttl"),
    ("check_pkt_larger", "check_pkt_larger(1500)->NXM_NX_REG0[0]"),
    ("debug_recirc", "debug_recirc"),
    ("meter", "meter:1"),
    ("clear_actions", "clear_actions"),
    ("write_actions", "write_actions(output:1)"),
    ("write_metadata, goto_table", "write_metadata:5,goto_table:3"),
];

/// What becomes of a packet that meets an action; `None`: the action is executed.
pub fn refusal_of(text: &str) -> Option<&'static str> {
    let Ok(actions) = parse_instructions(text, &Names::new()) else { return Some("its text is refused") };
    refused(&lower(&actions, &sluice_flow::options::OptionMap::new(), &mut 0).actions)
}

fn refused(instructions: &[Instruction]) -> Option<&'static str> {
    instructions.iter().find_map(|i| match i {
        Instruction::Refused(why) => Some(*why),
        Instruction::Clone(inner) | Instruction::WriteActions(inner) => refused(inner),
        _ => None,
    })
}

/// Whether a rule may match a field.
pub fn is_matched(field: Field) -> bool {
    field.info().slot.is_some() || field.option_number().is_some()
}

/// How a switch takes a message of this name.
pub fn taken(name: &str, is_reply: bool) -> &'static str {
    const SENT: [&str; 14] = [
        "FEATURES_REPLY", "GET_CONFIG_REPLY", "PACKET_IN", "FLOW_REMOVED", "PORT_STATUS", "BARRIER_REPLY", "ROLE_REPLY",
        "GET_ASYNC_REPLY", "QUEUE_GET_CONFIG_REPLY", "TLV_TABLE_REPLY", "ROLE_STATUS", "TABLE_STATUS", "REQUESTFORWARD",
        "FLOW_MONITOR_",
    ];
    let only_sent = SENT.iter().any(|s| name.contains(s)) && !name.contains("CANCEL") && !name.contains("request");
    match UNSUPPORTED_MESSAGES.iter().find(|(n, _)| name.contains(n)) {
        Some((_, why)) => why,
        None if name == "OFPT_ERROR" => "sent; from a controller to the log, and refused as Open vSwitch does",
        None if is_reply || only_sent => "sent",
        None => "taken",
    }
}

fn versions(first: Version, last: Version) -> String {
    let short = |v: Version| format!("1.{}", v.wire() - 1);
    if first == last { short(first) } else { format!("{} to {}", short(first), short(last)) }
}

/// The whole page.
pub fn document() -> String {
    let mut out = String::from(
        "# What of OpenFlow works\n\nMade from the code by `SLUICE_WRITE_DOCS=1 cargo test -p sluice --test compatibility`; a test compares the two.\n",
    );
    fields(&mut out);
    actions(&mut out);
    messages(&mut out);
    commands(&mut out);
    out
}

fn fields(out: &mut String) {
    out.push_str("\n## Fields\n\n| field | also | bits | mask | written by actions | matched |\n|---|---|---|---|---|---|\n");
    for field in Field::all() {
        let info = field.info();
        let yes = |b: bool| if b { "yes" } else { "no" };
        let matched = match (is_matched(field), field.option_number()) {
            (true, None) => "yes",
            (true, Some(_)) => "yes, once mapped",
            (false, _) => "refused: the flow key does not hold it",
        };
        let (name, alias, bits) = (info.name, info.alias, info.n_bits);
        let _ = writeln!(out, "| `{name}` | {alias} | {bits} | {} | {} | {matched} |", yes(info.maskable), yes(info.writable));
    }
}

fn actions(out: &mut String) {
    out.push_str("\n## Actions and instructions\n\n| action | for example | executed |\n|---|---|---|\n");
    for (name, text) in ACTIONS {
        let state = match refusal_of(text) {
            None => "yes".to_string(),
            Some(why) => format!("no: loads and shows; a packet that meets it drops as `action_refused` ({why})"),
        };
        let _ = writeln!(out, "| {name} | `{text}` | {state} |");
    }
}

fn messages(out: &mut String) {
    out.push_str("\n## Messages\n\n| message | versions | here |\n|---|---|---|\n");
    for m in message_types() {
        let _ = writeln!(out, "| `{}` | {} | {} |", m.name, versions(m.first, m.last), taken(m.name, m.is_reply));
    }
}

fn commands(out: &mut String) {
    out.push_str("\n## Commands of `sluice ofctl`\n\n| command | arguments | here |\n|---|---|---|\n");
    for (name, arguments, works) in subcommands() {
        let state = if works { "yes" } else { "refused: tests a library of Open vSwitch" };
        let _ = writeln!(out, "| {name} | {} | {state} |", arguments.replace('|', "\\|"));
    }
}

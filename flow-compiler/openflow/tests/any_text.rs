//! No text, however odd, makes the readers panic, and what is printed reads back as the same value.

use proptest::prelude::*;
use sluice_openflow::text::{
    format_actions, format_match, parse_actions, parse_flow, parse_flow_file, parse_flow_line,
    parse_instructions, parse_match, Names,
};
use sluice_openflow::{Field, FlowModCommand, Match};

/// Pieces of the language, so that random texts get past the first word.
const PIECES: &[&str] = &[
    "ip",
    "tcp",
    "arp",
    "table",
    "priority",
    "cookie",
    "actions",
    "output",
    "learn",
    "ct",
    "nat",
    "exec",
    "commit",
    "zone",
    "load",
    "set_field",
    "move",
    "clone",
    "write_actions",
    "conjunction",
    "resubmit",
    "reg0",
    "NXM_NX_REG0[]",
    "NXM_OF_ETH_SRC[0..3]",
    "in_port",
    "nw_src",
    "ipv6_src",
    "dl_vlan",
    "vlan_tci",
    "tp_dst",
    "ct_state",
    "tcp_flags",
    "nw_frag",
    "packet_type",
    "note",
    "bundle",
    "multipath",
    "controller",
    "userdata",
    "sample",
    "encap",
    "nsh",
    "tlv",
    "decap",
    "enqueue",
    "dec_ttl",
    "check_pkt_larger",
    "members",
    "->",
    "=",
    ":",
    ",",
    "(",
    ")",
    "[",
    "]",
    "..",
    "/",
    "-",
    "+",
    "|",
    "0x",
    "1",
    "65535",
    "4294967295",
    "18446744073709551616",
    "10.0.0.0",
    "::1",
    "ff:ff:ff:ff:ff:ff",
    "LOCAL",
    "drop",
    "goto_table",
    "é",
    "\"",
    "\\",
    " ",
    "\t",
    "#",
    "tun_metadata0",
    "xxreg0[64..127]",
    "ct_label",
    "mpls_label",
    "nd_target",
    "0/0",
    "*",
];

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        proptest::collection::vec(proptest::sample::select(PIECES), 0..24)
            .prop_map(|pieces| pieces.concat()),
    ]
}

/// A match in which a few random fields are asked for under random masks.
fn matches() -> impl Strategy<Value = Match> {
    let fields: Vec<Field> = Field::all()
        .filter(|f| f.info().slot.is_some() && f.info().maskable)
        .collect();
    let condition = (
        proptest::sample::select(fields),
        any::<u128>(),
        any::<u128>(),
    );
    proptest::collection::vec(condition, 0..5).prop_map(|conditions| {
        let mut m = Match::ANY;
        for (field, value, mask) in conditions {
            let mask = if mask & 1 == 0 { u128::MAX } else { mask };
            m.set_field(field, value, mask & field.ones());
        }
        m
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn readers_never_panic(text in texts()) {
        let names = Names::new();
        let _ = parse_flow_line(&text, &names);
        let _ = parse_flow(&format!("actions={text}"), FlowModCommand::Add, &names);
        let _ = parse_flow(&text, FlowModCommand::Delete, &names);
        let _ = parse_match(&text, &names);
        let _ = parse_actions(&text, &names);
        let _ = parse_flow_file(&text, &names);
    }

    #[test]
    fn errors_point_into_the_text(text in texts()) {
        if let Err(e) = parse_flow_line(&text, &Names::new()) {
            prop_assert!(e.column >= 1 && e.column <= text.chars().count() + 1);
            prop_assert!(!e.message.is_empty());
        }
    }

    #[test]
    fn lists_that_are_printed_read_back(text in texts()) {
        let names = Names::new();
        if let Ok(actions) = parse_instructions(&text, &names) {
            let printed = format_actions(&actions, &names);
            let again = parse_instructions(&printed, &names).map(|a| format_actions(&a, &names));
            prop_assert_eq!(again, Ok(printed));
        }
    }

    #[test]
    fn matches_that_are_read_print_as_they_are(text in texts()) {
        let names = Names::new();
        if let Ok(m) = parse_match(&text, &names) {
            let printed = format_match(&m, &names);
            let again = parse_match(&printed, &names).map(|m| format_match(&m, &names));
            prop_assert_eq!(again, Ok(printed));
        }
    }

    #[test]
    fn any_match_can_be_printed(m in matches()) {
        let _ = format_match(&m, &Names::new());
    }
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for (open, close) in [("clone(", ")"), ("ct(exec(", "))"), ("write_actions(", ")")] {
        let text = open.repeat(100_000) + &close.repeat(100_000);
        let error = parse_instructions(&text, &Names::new()).err();
        assert_eq!(
            error.map(|e| e.message).as_deref(),
            Some("Action nested too deeply")
        );
    }
}

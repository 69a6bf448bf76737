//! What `ovs-ofctl parse-flow` answered to a rule, taken or refused, is what this crate answers.
//!
//! Each line of the table is a rule, a tab, and the answer of Open vSwitch 3.1. Rules that encoding
//! changes are not in it.

use sluice_openflow::text::{format_flow_mod, parse_flow, Names};
use sluice_openflow::FlowModCommand;

#[test]
fn rules_get_the_answers_that_open_vswitch_gives() {
    let names = Names::new();
    let mut count = 0;
    for line in include_str!("said_by_open_vswitch.tsv").lines() {
        let (text, expected) = line.split_once('\t').expect("two columns");
        let answer = match parse_flow(text, FlowModCommand::Add, &names) {
            Ok(flow) => format_flow_mod(&flow, &names).replace(" table:255", ""),
            Err(error) => format!("error: {}", error.ovs_text()),
        };
        assert_eq!(answer, expected, "{text}");
        count += 1;
    }
    println!("{count} answers equal");
    assert!(count > 700);
}

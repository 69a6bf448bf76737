//! What is refused, and with which error: the answers that Open vSwitch gives to the same text.

use sluice_compiler::check::{check_actions, check_flow_mod};
use sluice_openflow::action::Place;
use sluice_openflow::text::{parse_flow_line, Names};
use sluice_openflow::{Action, FlowMod, Match, OfpError, PortNo, Version};

fn rule(text: &str) -> FlowMod {
    parse_flow_line(text, &Names::new()).unwrap().0
}

fn refused(text: &str, version: Version) -> Option<OfpError> {
    check_flow_mod(&rule(text), version, &|_| false).err().map(|e| e.code)
}

#[test]
fn groups_and_meters_do_not_exist() {
    assert_eq!(refused("actions=group:99", Version::V13), Some(OfpError::OFPBAC_BAD_OUT_GROUP));
    assert_eq!(refused("actions=write_actions(group:99)", Version::V13), Some(OfpError::OFPBAC_BAD_OUT_GROUP));
    assert_eq!(refused("actions=meter:99,1", Version::V13), Some(OfpError::OFPMMFC_INVALID_METER));
}

#[test]
fn table_254_is_not_for_rules_and_goto_only_leads_on() {
    assert_eq!(refused("table=254,actions=1", Version::V10), Some(OfpError::OFPBRC_EPERM));
    assert_eq!(refused("table=253,actions=1", Version::V10), None);
    let mut back = rule("table=3,actions=goto_table:4");
    back.table = Some(5);
    let e = check_flow_mod(&back, Version::V13, &|_| false).unwrap_err();
    assert_eq!(e.code, OfpError::OFPBIC_BAD_TABLE_ID);
}

#[test]
fn only_openflow_1_0_takes_its_own_actions_without_their_condition() {
    for text in ["actions=mod_nw_src:1.2.3.4", "actions=mod_tp_dst:80,1", "actions=strip_vlan"] {
        assert_eq!(refused(text, Version::V10), None, "{text}");
        assert_eq!(refused(text, Version::V13), Some(OfpError::OFPBAC_MATCH_INCONSISTENT), "{text}");
    }
    assert_eq!(refused("ip,actions=mod_nw_src:1.2.3.4", Version::V13), None);
}

#[test]
fn a_write_needs_its_condition_in_the_match() {
    let actions = rule("ip,actions=set_field:1.2.3.4->ip_dst").actions;
    let check = |m: &Match| check_actions(&actions, m, None, Place::Rule, Version::V13).err().map(|e| e.code);
    assert_eq!(check(&Match::ANY), Some(OfpError::OFPBAC_MATCH_INCONSISTENT));
    assert_eq!(check(&rule("ip,actions=").matching), None);
}

#[test]
fn ports_between_the_ordinary_and_the_reserved_ones_do_not_exist() {
    let to = |n| [Action::Output { port: PortNo(n), max_len: 0 }];
    let check = |n| check_actions(&to(n), &Match::ANY, None, Place::Rule, Version::V13).err().map(|e| e.code);
    assert_eq!(check(0xff00), Some(OfpError::OFPBAC_BAD_OUT_PORT));
    assert_eq!(check(0xffff_ffff), Some(OfpError::OFPBAC_BAD_OUT_PORT));
    assert_eq!(check(0xfeff), None);
    assert_eq!(check(0xffff_fffe), None);
}

#[test]
fn an_action_set_holds_only_what_can_be_ordered_and_a_packet_out_no_conjunction() {
    let check = |actions: &[Action], place| {
        check_actions(actions, &Match::ANY, Some(0), place, Version::V13).err().map(|e| e.code)
    };
    let set = |inner| [Action::WriteActions(vec![inner])];
    assert_eq!(check(&set(Action::Exit), Place::Rule), Some(OfpError::OFPBAC_BAD_TYPE));
    assert_eq!(check(&set(Action::CtClear), Place::Rule), None);
    let conjunction = [Action::Conjunction { id: 1, clause: 0, n_clauses: 2 }];
    assert_eq!(check(&conjunction, Place::Rule), None);
    assert_eq!(check(&conjunction, Place::PacketOut), Some(OfpError::NXBAC_BAD_CONJUNCTION));
}

//! The rule set keeps OpenFlow's promises.

use sluice_compiler::rules::{FlowStats, GROUP_ANY};
use sluice_compiler::{Filter, RemovedReason, RuleSet};
use sluice_flow::key::slot;
use sluice_flow::{Change, Key};
use sluice_openflow::action::{FlowFlags, Learn, LearnSource, LearnSpec, PortNo};
use sluice_openflow::{Action, Field, FlowMod, FlowModCommand, Match, OfpError, Version};

const V: Version = Version::V13;

fn fm(command: FlowModCommand, priority: u16, matching: Match, port: u32) -> FlowMod {
    FlowMod {
        command,
        table: Some(0),
        priority,
        matching,
        cookie: 0,
        cookie_mask: 0,
        new_cookie: Some(0),
        idle_timeout: 0,
        hard_timeout: 0,
        importance: 0,
        buffer_id: u32::MAX,
        out_port: PortNo::NONE,
        out_group: GROUP_ANY,
        flags: FlowFlags::default(),
        actions: vec![Action::Output { port: PortNo(port), max_len: 0 }],
    }
}

fn add(priority: u16, matching: Match, port: u32) -> FlowMod {
    fm(FlowModCommand::Add, priority, matching, port)
}

fn delete(matching: Match) -> FlowMod {
    FlowMod { table: None, ..fm(FlowModCommand::Delete, 0, matching, 1) }
}

fn ip() -> Match {
    let mut m = Match::ANY;
    m.set_exact(slot::ETH_TYPE, 0x0800);
    m
}

fn ip_src(addr: u32, len: u32) -> Match {
    let mut m = ip();
    m.set(slot::NW_SRC, u128::from(addr), u128::from(!0u32 << (32 - len)));
    m
}

fn show(rules: &RuleSet) -> Vec<String> {
    rules.dump(0, &Filter::default()).map(|f| line(&f)).collect()
}

fn line(f: &FlowStats) -> String {
    format!("t{} p{} c{:x} {:?}", f.table, f.priority(), f.cookie, f.actions)
}

fn priorities(rules: &RuleSet) -> Vec<u16> {
    rules.dump(0, &Filter::default()).map(|f| f.priority()).collect()
}

/// Rules whose masks differ, some in table 1.
fn sample() -> RuleSet {
    let mut rules = RuleSet::new();
    let mut arp = Match::ANY;
    arp.set_exact(slot::ETH_TYPE, 0x0806);
    let mods = [
        add(10, ip_src(0x0a00_0000, 8), 1),
        add(20, ip_src(0x0a01_0000, 16), 2),
        add(30, ip_src(0x0a01_0100, 24), 3),
        FlowMod { table: Some(1), new_cookie: Some(0x55), ..add(5, arp, 4) },
    ];
    rules.commit(0, &mods, V, 0).unwrap();
    rules
}

#[test]
fn a_dump_shows_the_mask_with_the_highest_priority_first_and_then_the_order_of_adding() {
    let mut rules = sample();
    assert_eq!(priorities(&rules), [30, 20, 10, 5]);
    rules.apply(0, &add(40, ip_src(0x0b00_0000, 8), 1), V, 0).unwrap();
    assert_eq!(priorities(&rules), [10, 40, 30, 20, 5]);
    // One that is replaced goes to the end of its mask.
    rules.apply(0, &add(10, ip_src(0x0a00_0000, 8), 4), V, 0).unwrap();
    assert_eq!(priorities(&rules), [40, 10, 30, 20, 5]);
}

#[test]
fn adding_the_same_match_and_priority_replaces_actions_cookie_and_timeouts() {
    let mut rules = RuleSet::new();
    let first = rules.apply(0, &add(5, ip(), 1), V, 100).unwrap();
    let Some(Change::Add { rule, .. }) = first.changes.first() else { panic!("{first:?}") };
    let id = rule.id;
    rules.fold(id, 3, 300, 150);
    let second = FlowMod { new_cookie: Some(2), hard_timeout: 9, ..add(5, ip(), 2) };
    let done = rules.apply(0, &second, V, 200).unwrap();
    assert!(matches!(done.changes[..], [Change::Replace { .. }]), "{done:?}");
    assert!(done.removed.is_empty());
    let f = rules.rule(id).unwrap();
    assert_eq!((f.cookie, f.hard_timeout, f.packets, f.bytes, f.created), (2, 9, 3, 300, 200));
}

#[test]
fn reset_counts_starts_over_under_a_new_id() {
    let mut rules = RuleSet::new();
    rules.apply(0, &add(5, ip(), 1), V, 0).unwrap();
    rules.fold(0, 3, 300, 0);
    let mut again = add(5, ip(), 1);
    again.flags.reset_counts = true;
    let done = rules.apply(0, &again, V, 0).unwrap();
    assert_eq!(done.removed.len(), 1);
    assert_eq!(done.removed[0].reason, RemovedReason::Replaced);
    let all: Vec<_> = rules.dump(0, &Filter::default()).collect();
    assert_eq!(all.len(), 1);
    assert_ne!(all[0].id, done.removed[0].flow.id);
    assert_eq!(all[0].packets, 0);
}

#[test]
fn an_id_is_used_again_only_after_release() {
    let mut rules = RuleSet::new();
    rules.apply(0, &add(5, ip(), 1), V, 0).unwrap();
    let gone = rules.apply(0, &delete(Match::ANY), V, 0).unwrap().removed[0].flow.id;
    rules.apply(0, &add(6, ip(), 1), V, 0).unwrap();
    let id_of = |r: &RuleSet| r.dump(0, &Filter::default()).map(|f| f.id).collect::<Vec<_>>();
    assert!(!id_of(&rules).contains(&gone));
    rules.release(gone);
    rules.release(gone);
    rules.apply(0, &add(7, ip(), 1), V, 0).unwrap();
    rules.apply(0, &add(8, ip(), 1), V, 0).unwrap();
    let mut ids = id_of(&rules);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert!(ids.contains(&gone));
}

#[test]
fn loose_delete_takes_what_the_match_contains_and_strict_only_the_same() {
    let mut rules = sample();
    let mut strict = fm(FlowModCommand::DeleteStrict, 21, ip_src(0x0a01_0000, 16), 1);
    assert!(rules.apply(0, &strict, V, 0).unwrap().removed.is_empty());
    strict.priority = 20;
    assert_eq!(rules.apply(0, &strict, V, 0).unwrap().removed.len(), 1);
    let gone = rules.apply(0, &delete(ip_src(0x0a01_0000, 16)), V, 0).unwrap();
    assert_eq!(gone.removed.len(), 1);
    assert_eq!(gone.removed[0].flow.priority(), 30);
    assert_eq!(priorities(&rules), [10, 5]);
}

#[test]
fn delete_can_be_limited_to_a_cookie_or_an_output_port() {
    let mut rules = sample();
    let by_cookie = FlowMod { cookie: 0x55, cookie_mask: u64::MAX, ..delete(Match::ANY) };
    assert_eq!(rules.apply(0, &by_cookie, V, 0).unwrap().removed.len(), 1);
    let by_port = FlowMod { out_port: PortNo(2), ..delete(Match::ANY) };
    assert_eq!(rules.apply(0, &by_port, V, 0).unwrap().removed.len(), 1);
    assert_eq!(priorities(&rules), [30, 10]);
}

#[test]
fn modify_keeps_counters_and_timeouts_and_adds_only_when_it_may() {
    let mut rules = sample();
    rules.fold(0, 7, 70, 0);
    let modify = FlowMod { table: None, ..fm(FlowModCommand::Modify, 1, ip(), 9) };
    let done = rules.apply(0, &modify, V, 50).unwrap();
    assert_eq!(done.changes.len(), 3);
    let f = rules.rule(0).unwrap();
    assert_eq!((f.packets, f.created, f.modified), (7, 0, 50));
    let mut udp = ip();
    udp.set_exact(slot::NW_PROTO, 17);
    let absent = FlowMod { new_cookie: None, ..fm(FlowModCommand::ModifyStrict, 1, udp, 9) };
    assert!(rules.apply(0, &absent, V, 0).unwrap().changes.is_empty());
    let adds = FlowMod { new_cookie: Some(1), ..absent };
    assert_eq!(rules.apply(0, &adds, V, 0).unwrap().changes.len(), 1);
}

#[test]
fn overlap_is_refused_when_asked_for_and_only_at_the_same_priority() {
    let mut rules = RuleSet::new();
    rules.apply(0, &add(5, ip_src(0x0a00_0000, 8), 1), V, 0).unwrap();
    let mut tcp = ip();
    tcp.set_exact(slot::NW_PROTO, 6);
    let mut m = add(5, tcp, 2);
    m.flags.check_overlap = true;
    assert_eq!(rules.apply(0, &m, V, 0).unwrap_err().code, OfpError::OFPFMFC_OVERLAP);
    m.priority = 6;
    rules.apply(0, &m, V, 0).unwrap();
    let mut arp = Match::ANY;
    arp.set_exact(slot::ETH_TYPE, 0x0806);
    let mut m = add(5, arp, 2);
    m.flags.check_overlap = true;
    rules.apply(0, &m, V, 0).unwrap();
}

#[test]
fn a_bundle_with_one_bad_flow_mod_changes_nothing_at_all() {
    let mut rules = sample();
    let before = show(&rules);
    let mut bad = add(2, Match::ANY, 1);
    bad.actions = vec![Action::Group(77)];
    let modify = FlowMod { table: None, ..fm(FlowModCommand::Modify, 1, ip(), 9) };
    let mods = [add(99, ip_src(0x0c00_0000, 8), 1), modify, delete(ip()), add(10, ip_src(0x0a00_0000, 8), 7), bad];
    let e = rules.commit(0, &mods, V, 0).unwrap_err();
    assert_eq!((e.index, e.error.code), (4, OfpError::OFPBAC_BAD_OUT_GROUP));
    assert_eq!(show(&rules), before);
    // And everything is still found: the same bundle without the bad one works.
    rules.commit(0, &mods[..4], V, 0).unwrap();
    assert_eq!(rules.len(), 2);
}

#[test]
fn hard_and_idle_timeouts_expire_what_is_old_or_unused() {
    let mut rules = RuleSet::new();
    let timed = |p, idle, hard| FlowMod { idle_timeout: idle, hard_timeout: hard, ..add(p, ip(), 1) };
    rules.commit(0, &[timed(9, 0, 1), timed(8, 1, 0), timed(7, 0, 0)], V, 1000).unwrap();
    assert!(rules.expire(2000).removed.is_empty());
    // The idle one was used meanwhile.
    let idle = rules.dump(0, &Filter::default()).find(|f| f.priority() == 8).unwrap().id;
    rules.fold(idle, 1, 60, 2500);
    let gone = rules.expire(2501);
    assert_eq!(gone.removed.len(), 1);
    assert_eq!(gone.removed[0].reason, RemovedReason::HardTimeout);
    assert!(rules.expire(3500).removed.is_empty());
    assert_eq!(rules.expire(3501).removed[0].reason, RemovedReason::IdleTimeout);
    assert_eq!(rules.next_deadline(), None);
    assert_eq!(priorities(&rules), [7]);
}

#[test]
fn table_254_is_the_switchs_own() {
    let mut rules = RuleSet::new();
    let m = FlowMod { table: Some(254), ..add(1, Match::ANY, 1) };
    assert_eq!(rules.apply(0, &m, V, 0).unwrap_err().code, OfpError::OFPBRC_EPERM);
}

fn learner() -> (RuleSet, std::sync::Arc<sluice_flow::action::Learn>) {
    let learn = Learn {
        table: 20,
        hard_timeout: 300,
        priority: 1,
        cookie: 7,
        delete_learned: true,
        limit: 2,
        specs: vec![
            LearnSpec::Match {
                src: LearnSource::Field(Field::ETH_SRC.whole()),
                dst: Field::ETH_DST.whole(),
            },
            LearnSpec::Load {
                src: LearnSource::Field(Field::TUN_ID.whole()),
                dst: Field::TUN_ID.whole(),
            },
            LearnSpec::Output(Field::IN_PORT.whole()),
        ],
        ..Learn::default()
    };
    let mut rules = RuleSet::new();
    let mut m = add(1, Match::ANY, 1);
    m.actions = vec![Action::Learn(Box::new(learn))];
    let done = rules.apply(0, &m, V, 0).unwrap();
    let Some(Change::Add { rule, .. }) = done.changes.first() else { panic!() };
    let Some(sluice_flow::action::Action::Learn(l)) = rule.actions.first() else { panic!() };
    (rules, l.clone())
}

fn packet(mac: u64) -> Key {
    let mut key = Key::ZERO;
    key.set(slot::ETH_SRC, mac);
    key.set(slot::TUN_ID, 0x6f3);
    key.set(slot::IN_PORT, 2);
    key
}

#[test]
fn a_packet_teaches_a_rule_within_the_limit_and_seeing_it_again_only_makes_it_younger() {
    let (mut rules, learn) = learner();
    assert_eq!(rules.learn(0, &learn, &packet(0xa1), 1000).changes.len(), 1);
    let of_table = Filter { table: Some(20), ..Filter::default() };
    let f = rules.dump(0, &of_table).next().unwrap();
    assert_eq!(f.matching().value.get(slot::ETH_DST), 0xa1);
    assert_eq!((f.cookie, f.hard_timeout, f.priority()), (7, 300, 1));
    assert_eq!(f.actions.len(), 2);
    assert_eq!(f.actions[1], Action::Output { port: PortNo(2), max_len: 0 });
    assert!(rules.learn(0, &learn, &packet(0xa1), 5000).changes.is_empty());
    assert_eq!(rules.rule(f.id).unwrap().modified, 5000);
    assert_eq!(rules.learn(0, &learn, &packet(0xa2), 5000).changes.len(), 1);
    assert!(rules.learn(0, &learn, &packet(0xa3), 5000).changes.is_empty(), "limit of 2");
}

#[test]
fn learned_rules_go_with_the_learning_rule_when_it_asks_for_that() {
    let (mut rules, learn) = learner();
    rules.learn(0, &learn, &packet(0xa1), 0);
    let first_table = FlowMod { table: Some(0), ..delete(Match::ANY) };
    let gone = rules.apply(0, &first_table, V, 0).unwrap();
    assert_eq!(gone.removed.len(), 2);
    assert!(rules.is_empty());
    assert!(rules.learn(0, &learn, &packet(0xa1), 0).changes.is_empty());
}

#[test]
fn a_hundred_thousand_rules_are_added_and_deleted_in_moments() {
    let mut rules = RuleSet::new();
    let start = std::time::Instant::now();
    for i in 0..100_000u32 {
        rules.apply(0, &add((i % 100) as u16, ip_src(i << 8, 24), 1), V, 0).unwrap();
    }
    let added = start.elapsed();
    assert_eq!(rules.len(), 100_000);
    let gone = rules.apply(0, &delete(Match::ANY), V, 0).unwrap();
    gone.removed.iter().for_each(|r| rules.release(r.flow.id));
    println!("100,000 adds: {added:?}; deleting all: {:?}", start.elapsed() - added);
    assert!(rules.is_empty());
}

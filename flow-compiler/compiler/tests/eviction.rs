//! Which rule makes room for another, and that choosing costs little however many there are.

use std::collections::HashMap;

use sluice_compiler::rules::GROUP_ANY;
use sluice_compiler::{Filter, Overflow, RemovedReason, RuleSet};
use sluice_flow::key::slot;
use sluice_openflow::action::{FlowFlags, PortNo};
use sluice_openflow::{Action, Field, FlowMod, FlowModCommand, Match, OfpError, Version};

const V: Version = Version::V14;

/// A rule for an address in a network, which groups are by.
fn rule(network: u32, host: u32, idle_timeout: u16, importance: u16) -> FlowMod {
    let mut matching = Match::ANY;
    matching.set_exact(slot::ETH_TYPE, 0x0800);
    matching.set_exact(slot::NW_SRC, u128::from(network));
    matching.set_exact(slot::NW_DST, u128::from(host));
    FlowMod {
        command: FlowModCommand::Add,
        table: Some(0),
        priority: 1,
        matching,
        cookie: 0,
        cookie_mask: 0,
        new_cookie: Some(0),
        idle_timeout,
        hard_timeout: 0,
        importance,
        buffer_id: u32::MAX,
        out_port: PortNo::NONE,
        out_group: GROUP_ANY,
        flags: FlowFlags::default(),
        actions: vec![Action::Output { port: PortNo(1), max_len: 0 }],
    }
}

fn full_table(limit: u32, groups: Vec<Field>) -> RuleSet {
    let mut rules = RuleSet::new();
    rules.set_overflow(0, 0, Overflow { limit: Some(limit), evicts: true, groups }, 0);
    rules
}

/// Numbers that are the same in every run.
fn numbers(mut seed: u64) -> impl FnMut(u32) -> u32 {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u32 % below
    }
}

#[test]
fn the_rule_that_goes_is_the_one_that_looking_at_all_would_find() {
    let mut random = numbers(3);
    for grouped in [false, true] {
        let groups = if grouped { vec![Field::IP_SRC] } else { Vec::new() };
        let mut rules = full_table(12, groups);
        for step in 0..3000u64 {
            let now = step * 100;
            let all: Vec<_> = rules.dump(0, &Filter::default()).collect();
            // Packets use rules, and a controller changes some.
            if let Some(used) = all.get(random(20) as usize) {
                rules.fold(used.id, 1, 60, now);
            }
            if let Some(changed) = all.get(random(100) as usize) {
                let value = changed.matching().value;
                let (network, host) = (value.get(slot::NW_SRC) as u32, value.get(slot::NW_DST) as u32);
                rules.apply(0, &rule(network, host, random(3) as u16 * 20, random(3) as u16), V, now).unwrap();
            }
            let all: Vec<_> = rules.dump(0, &Filter::default()).collect();
            let network = |f: &sluice_compiler::FlowStats| f.matching().value.get(slot::NW_SRC);
            let mut sizes: HashMap<u64, usize> = HashMap::new();
            all.iter().filter(|f| f.idle_timeout != 0).for_each(|f| *sizes.entry(network(f)).or_default() += 1);
            let rank = |f: &sluice_compiler::FlowStats| {
                let size = if grouped { sizes[&network(f)] } else { 0 };
                (std::cmp::Reverse(size), f.importance, f.used + u64::from(f.idle_timeout) * 1000)
            };
            let best = all.iter().filter(|f| f.idle_timeout != 0).map(rank).min();
            let added = rules.apply(0, &rule(random(4), 1000 + step as u32, random(4) as u16 * 10, random(3) as u16), V, now);
            match (added, best) {
                (Ok(applied), _) if applied.removed.is_empty() => assert!(all.len() < 12),
                (Ok(applied), Some(best)) => {
                    let gone = &applied.removed[0];
                    assert_eq!((gone.reason, applied.removed.len()), (RemovedReason::Eviction, 1));
                    assert_eq!(rank(&gone.flow), best, "step {step}");
                    rules.release(gone.flow.id);
                }
                (Err(e), None) => assert_eq!(e.code, OfpError::OFPFMFC_TABLE_FULL),
                other => panic!("step {step}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_hundred_thousand_rules_make_room_for_as_many_in_no_time() {
    // Looking at all of them each time would take hours.
    let mut rules = full_table(100_000, vec![Field::IP_SRC]);
    for host in 0..200_000 {
        let applied = rules.apply(0, &rule(host % 1000, host, 60 + (host % 7) as u16, 0), V, u64::from(host)).unwrap();
        for gone in applied.removed {
            rules.release(gone.flow.id);
        }
    }
    assert_eq!(rules.len(), 100_000);
}

#[test]
fn a_change_that_is_taken_back_leaves_the_choice_as_it_was() {
    let mut rules = full_table(2, Vec::new());
    rules.apply(0, &rule(1, 1, 10, 0), V, 0).unwrap();
    rules.apply(0, &rule(1, 2, 20, 0), V, 0).unwrap();
    let longer = rule(1, 1, 100, 0);
    let bad = FlowMod { actions: vec![Action::Group(77)], ..rule(1, 9, 5, 0) };
    assert!(rules.commit(0, &[longer, rule(1, 3, 50, 0), bad], V, 0).is_err());
    let applied = rules.apply(0, &rule(1, 4, 30, 0), V, 0).unwrap();
    assert_eq!(applied.removed[0].flow.matching(), rule(1, 1, 10, 0).matching);
}

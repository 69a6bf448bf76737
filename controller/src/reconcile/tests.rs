use super::*;
use crate::rules::build::{any, goto, output, pop_vlan, resubmit, set};
use proptest::prelude::*;
use sluice_openflow::action::{SetField, SetForm, WideValue};
use sluice_openflow::{Action, Field};

fn apply(set: &RuleSet, changes: &[Change]) -> RuleSet {
    let mut rules: Vec<Rule> = set.iter().cloned().collect();
    for change in changes {
        let key = change.rule().key();
        let there = rules.iter().position(|r| r.key() == key);
        match (change, there) {
            (Change::Delete(old), Some(i)) if rules[i].cookie == old.cookie => {
                rules.remove(i);
            }
            (Change::Modify(new), Some(i)) if rules[i].cookie == new.cookie => {
                rules[i].actions.clone_from(&new.actions);
            }
            (Change::Add(new), None) => rules.push(new.clone()),
            (Change::Add(new), Some(i)) => rules[i] = new.clone(),
            (change, _) => panic!("{change:?} touches what is not there"),
        }
    }
    rules.into_iter().collect()
}

fn same(a: &RuleSet, b: &RuleSet) -> bool {
    a.len() == b.len() && a.iter().all(|rule| b.get(&rule.key()) == Some(rule))
}

fn rule() -> impl Strategy<Value = Rule> {
    let actions = prop_oneof![
        Just(vec![]),
        (1u32..4).prop_map(|p| vec![output(p)]),
        (1u8..4).prop_map(|t| vec![goto(t)]),
        (1u8..4, 0u128..3).prop_map(|(t, v)| vec![set(Field::REG0, v), pop_vlan(), resubmit(t)]),
    ];
    (0u8..3, 0u16..3, 0u32..4, actions, 1u64..3).prop_map(|(table, priority, port, actions, cookie)| {
        let mut matching = sluice_openflow::Match::ANY;
        if port != 0 {
            matching.set_field(Field::IN_PORT_OXM, u128::from(port), u128::MAX);
        }
        Rule { table, priority, matching, actions, cookie }
    })
}

fn rules() -> impl Strategy<Value = RuleSet> {
    proptest::collection::vec(rule(), 0..30).prop_map(|rules| rules.into_iter().collect())
}

proptest! {
    #[test]
    fn applying_the_changes_gives_what_shall_be(actual in rules(), desired in rules()) {
        let changes = changes(&actual, &desired);
        prop_assert!(same(&apply(&actual, &changes), &desired));
    }

    #[test]
    fn no_rule_is_changed_that_is_already_right(actual in rules(), desired in rules()) {
        for change in changes(&actual, &desired) {
            let key = change.rule().key();
            prop_assert_ne!(actual.get(&key), desired.get(&key));
        }
        prop_assert!(changes(&desired, &desired).is_empty());
    }
}

#[test]
fn another_spelling_is_not_a_change() {
    let load = |field: Field, value, mask| {
        Action::SetField(Box::new(SetField {
            field,
            value: WideValue::Small(value),
            mask: WideValue::Small(mask),
            form: SetForm::Load,
        }))
    };
    for (ours, theirs) in [
        (vec![pop_vlan()], vec![Action::StripVlan { pop: false }]),
        (vec![set(Field::VLAN_VID, 0x1005)], vec![load(Field::VLAN_VID, 5, 0xfff)]),
        (vec![set(Field::TUN_ID, 7)], vec![Action::SetTunnel { id: 7, wide: false }]),
        (vec![output(3)], vec![Action::Output { port: PortNo(3), max_len: 0xffff }]),
    ] {
        assert_eq!(canonical(&ours), canonical(&theirs));
    }
    assert_ne!(canonical(&[set(Field::REG0, 1)]), canonical(&[load(Field::REG0, 1, 0xff)]));
}

#[test]
fn only_a_rule_with_the_cookie_that_was_seen_is_deleted() {
    let rule = Rule { table: 1, priority: 2, matching: any_match(), actions: vec![output(1)], cookie: 0xabc };
    let flow_mod = Change::Delete(rule).flow_mod();
    assert_eq!((flow_mod.cookie, flow_mod.cookie_mask), (0xabc, u64::MAX));
    assert_eq!(flow_mod.command, FlowModCommand::DeleteStrict);
    assert!(flow_mod.actions.is_empty());
}

fn any_match() -> sluice_openflow::Match {
    let mut set = RuleSet::default();
    set.add(0, 0, any(), vec![], crate::rules::cookie::Purpose::Base);
    set.iter().next().unwrap().matching.clone()
}

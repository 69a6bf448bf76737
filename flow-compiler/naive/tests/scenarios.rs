//! Made-up scenarios are legal, hit rules, and use everything.

use std::collections::BTreeMap;

use sluice_naive::generate::{census, scenario};
use sluice_naive::{NaiveSwitch, Subject};

#[test]
fn most_packets_hit_a_rule_other_than_a_table_miss_and_every_field_and_action_occurs() {
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    let (mut packets, mut hit, mut sent) = (0, 0, 0);
    for seed in 0..450 {
        let s = scenario(seed, 40, 40).unwrap();
        for (word, n) in census(&s.world) {
            *words.entry(word).or_insert(0) += n;
        }
        let mut naive = NaiveSwitch::default();
        naive.load(&s.world).unwrap();
        for (i, p) in s.packets.iter().enumerate() {
            let before = specific_hits(&mut naive);
            let out = naive.packet(p, i as u64).unwrap();
            packets += 1;
            hit += usize::from(specific_hits(&mut naive) > before);
            sent += usize::from(!out.is_empty());
        }
    }
    println!("{packets} packets, {hit} hit a specific rule, {sent} were sent somewhere");
    assert!(hit * 2 > packets, "{hit} of {packets}");
    assert!(sent * 3 > packets, "{sent} of {packets}");
    let listed = include_str!("words.txt").split_whitespace();
    let rare: Vec<_> = listed.filter(|w| words.get(*w).copied().unwrap_or(0) < 20).collect();
    assert!(rare.is_empty(), "fewer than 20 of {rare:?}");
}

fn specific_hits(naive: &mut NaiveSwitch) -> u64 {
    let rules = naive.bridges.iter().flat_map(|b| &b.rules.list);
    rules.filter(|r| r.priority > 1).map(|r| r.packets).sum()
}

#[test]
fn a_seed_always_gives_the_same_scenario() {
    let (a, b) = (scenario(7, 30, 10).unwrap(), scenario(7, 30, 10).unwrap());
    assert_eq!(a.world, b.world);
    assert_eq!(a.packets, b.packets);
}

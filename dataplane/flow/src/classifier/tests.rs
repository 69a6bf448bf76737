//! What a table answers, whatever structure it has.

use super::*;
use crate::key::Slot;
use crate::rule::{Conjunction, MaskedKey};

fn rule(id: RuleId, priority: u16, conditions: &[(Slot, u128, u128)]) -> Rule {
    let (mut value, mut mask) = (Key::ZERO, Key::ZERO);
    for &(s, v, m) in conditions {
        value.set_masked(s, v, m);
        mask.set_masked(s, m, m);
    }
    Rule { id, priority, matching: MaskedKey::new(&value, &mask), actions: Arc::new([]), conjunctions: Box::new([]) }
}

fn clause(id: RuleId, priority: u16, on: (Slot, u128), conj: u32, clause: u8, n_clauses: u8) -> Rule {
    let mut r = rule(id, priority, &[(on.0, on.1, on.0.ones())]);
    r.conjunctions = Box::new([Conjunction { id: conj, clause, n_clauses }]);
    r
}

fn found(c: &Classifier, key: &Key) -> Option<RuleId> {
    c.lookup(key, &mut Soft::default()).map(|r| r.id)
}

fn key(fields: &[(Slot, u64)]) -> Key {
    let mut k = Key::ZERO;
    for &(s, v) in fields {
        k.set(s, v);
    }
    k
}

#[test]
fn the_highest_priority_wins_whatever_its_mask() {
    let mut c = Classifier::default();
    c.insert(Arc::new(rule(1, 10, &[(slot::NW_DST, 0x0a000000, 0xff000000)])));
    c.insert(Arc::new(rule(2, 20, &[(slot::NW_DST, 0x0a010000, 0xffff0000)])));
    c.insert(Arc::new(rule(3, 5, &[])));
    assert_eq!(found(&c, &key(&[(slot::NW_DST, 0x0a010203)])), Some(2));
    assert_eq!(found(&c, &key(&[(slot::NW_DST, 0x0a020203)])), Some(1));
    assert_eq!(found(&c, &key(&[(slot::NW_DST, 0x0b020203)])), Some(3));
    c.remove(3);
    assert_eq!(found(&c, &key(&[(slot::NW_DST, 0x0b020203)])), None);
    c.remove(2);
    assert_eq!(found(&c, &key(&[(slot::NW_DST, 0x0a010203)])), Some(1));
    assert_eq!(c.groups(), 1);
}

#[test]
fn the_same_match_at_two_priorities_is_two_rules() {
    let mut c = Classifier::default();
    for (id, p) in [(1, 10), (2, 30), (3, 20)] {
        c.insert(Arc::new(rule(id, p, &[(slot::TP_DST, 80, 0xffff)])));
    }
    let k = key(&[(slot::TP_DST, 80)]);
    assert_eq!(found(&c, &k), Some(2));
    c.remove(2);
    assert_eq!(found(&c, &k), Some(3));
    c.remove(3);
    assert_eq!(found(&c, &k), Some(1));
}

#[test]
fn a_conjunction_needs_a_match_in_every_clause() {
    let mut c = Classifier::default();
    c.insert(Arc::new(rule(1, 10, &[(slot::CONJ_ID, 7, u32::MAX as u128)])));
    c.insert(Arc::new(clause(2, 10, (slot::NW_SRC, 1), 7, 0, 2)));
    c.insert(Arc::new(clause(3, 10, (slot::TP_DST, 80), 7, 1, 2)));
    c.insert(Arc::new(rule(4, 1, &[])));
    assert_eq!(found(&c, &key(&[(slot::NW_SRC, 1), (slot::TP_DST, 80)])), Some(1));
    assert_eq!(found(&c, &key(&[(slot::NW_SRC, 1), (slot::TP_DST, 81)])), Some(4));
    assert_eq!(found(&c, &key(&[(slot::NW_SRC, 2), (slot::TP_DST, 80)])), Some(4));
}

#[test]
fn an_incomplete_conjunction_gives_way_to_a_lower_rule_with_the_same_match() {
    let mut c = Classifier::default();
    c.insert(Arc::new(clause(2, 20, (slot::NW_SRC, 1), 7, 0, 2)));
    c.insert(Arc::new(rule(5, 15, &[(slot::NW_SRC, 1, slot::NW_SRC.ones())])));
    c.insert(Arc::new(rule(4, 1, &[])));
    assert_eq!(found(&c, &key(&[(slot::NW_SRC, 1)])), Some(5));
}

#[test]
fn a_hard_rule_above_the_clauses_wins() {
    let mut c = Classifier::default();
    c.insert(Arc::new(rule(1, 10, &[(slot::CONJ_ID, 7, u32::MAX as u128)])));
    c.insert(Arc::new(clause(2, 10, (slot::NW_SRC, 1), 7, 0, 2)));
    c.insert(Arc::new(clause(3, 10, (slot::TP_DST, 80), 7, 1, 2)));
    c.insert(Arc::new(rule(9, 11, &[(slot::TP_DST, 80, 0xffff)])));
    assert_eq!(found(&c, &key(&[(slot::NW_SRC, 1), (slot::TP_DST, 80)])), Some(9));
}

/// What matches, read from the rules one by one.
struct Linear(Vec<Arc<Rule>>);

impl Linear {
    fn best<'a>(rules: impl Iterator<Item = &'a Arc<Rule>>) -> Option<u16> {
        rules.map(|r| r.priority).max()
    }

    /// Priority of the answer, and whether it came by a conjunction.
    fn lookup(&self, key: &Key) -> Option<u16> {
        let matching = |k: &Key| self.0.iter().filter(|r| r.matching.matches(k)).cloned().collect::<Vec<_>>();
        let all = matching(key);
        let hard = Self::best(all.iter().filter(|r| r.conjunctions.is_empty()));
        let mut softs: Vec<u16> = all.iter().filter(|r| !r.conjunctions.is_empty()).map(|r| r.priority).collect();
        softs.sort_unstable_by(|a, b| b.cmp(a));
        softs.dedup();
        for p in softs.into_iter().filter(|p| hard.is_none_or(|h| *p > h)) {
            let at_p: Vec<_> = all.iter().filter(|r| r.priority == p).flat_map(|r| r.conjunctions.iter()).collect();
            let mut ids: Vec<u32> = at_p.iter().map(|c| c.id).collect();
            ids.sort_unstable();
            let complete = ids.into_iter().find(|id| {
                let of: Vec<_> = at_p.iter().filter(|c| c.id == *id).collect();
                (0..of[0].n_clauses).all(|n| of.iter().any(|c| c.clause == n))
            });
            if let Some(id) = complete {
                let mut again = *key;
                again.set(slot::CONJ_ID, u64::from(id));
                if let Some(found) = Self::best(matching(&again).iter().filter(|r| r.conjunctions.is_empty())) {
                    return Some(found);
                }
            }
        }
        hard
    }
}

/// Fields that a random rule may look at; few values, so that rules overlap.
const FIELDS: [Slot; 9] = [
    slot::IN_PORT,
    slot::ETH_DST,
    slot::NW_SRC,
    slot::NW_DST,
    slot::TP_DST,
    slot::IPV6_DST,
    slot::CT_LABEL,
    slot::METADATA,
    slot::reg(3),
];

fn random_key(r: &mut impl FnMut(u64) -> u64) -> Key {
    let mut key = Key::ZERO;
    for s in FIELDS {
        let high = u128::from(r(4)) << (s.width - 3);
        key.set_wide(s, high | u128::from(r(6)));
    }
    key
}

fn random_rule(id: RuleId, r: &mut impl FnMut(u64) -> u64) -> Rule {
    let value = random_key(r);
    let mut conditions = Vec::new();
    for s in FIELDS {
        if r(3) == 0 {
            // Exact, a prefix, or scattered bits.
            let mask = match r(4) {
                0 => s.ones() & !7,
                1 => s.ones() & !(s.ones() >> 2),
                2 => s.ones() & 5,
                _ => s.ones(),
            };
            conditions.push((s, value.get_wide(s), mask));
        }
    }
    let mut rule = rule(id, r(40) as u16, &conditions);
    match r(8) {
        0 => rule.conjunctions = Box::new([Conjunction { id: r(3) as u32, clause: r(2) as u8, n_clauses: 2 }]),
        1 => {
            conditions.push((slot::CONJ_ID, u128::from(r(3)), u128::from(u32::MAX)));
            rule = self::rule(id, rule.priority, &conditions);
        }
        _ => {}
    }
    rule
}

/// Whatever a key has in the bits that a look-up did not rest on, the same rule is found.
fn assert_rests_on_what_it_says(table: &Classifier, key: &Key, r: &mut impl FnMut(u64) -> u64) {
    let mut seen = Seen(Key::ZERO);
    let found = table.lookup_seen(key, &mut Soft::default(), &mut seen).map(|f| f.id);
    assert_eq!(found, table.lookup(key, &mut Soft::default()).map(|f| f.id), "who listens hears the same");
    for _ in 0..20 {
        let mut other = random_key(r);
        for ((o, k), s) in other.words.iter_mut().zip(&key.words).zip(&seen.0.words) {
            *o = *o & !s | k & s;
        }
        assert_eq!(table.lookup(&other, &mut Soft::default()).map(|f| f.id), found, "{key:?} and {other:?} agree in {seen:?}");
    }
}

#[test]
fn every_structure_answers_as_comparing_rule_by_rule_does() {
    for seed in 1..=12u64 {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut r = move |n: u64| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 33) % n
        };
        let size = [3, 12, 13, 60, 400, 2500][seed as usize % 6];
        let (mut table, mut linear) = (Classifier::default(), Linear(Vec::new()));
        let mut next = 1;
        for step in 0..size * 3 {
            // Grow first, then change as much as there is.
            if linear.0.len() < size && (step < size || r(2) == 0) {
                let rule = Arc::new(random_rule(next, &mut r));
                next += 1;
                table.insert(rule.clone());
                linear.0.push(rule);
            } else {
                let gone = linear.0.swap_remove(r(linear.0.len() as u64) as usize);
                assert_eq!(table.remove(gone.id).map(|r| r.id), Some(gone.id));
            }
            if step % (1 + size / 40) == 0 {
                let key = random_key(&mut r);
                let found = table.lookup(&key, &mut Soft::default());
                assert_eq!(found.map(|f| f.priority), linear.lookup(&key), "seed {seed}, step {step}, {:?}", table.shape());
                assert_rests_on_what_it_says(&table, &key, &mut r);
            }
        }
        assert_eq!(table.len(), linear.0.len());
        assert_eq!(table.rules().count(), table.len());
        let masks: std::collections::HashSet<_> = linear.0.iter().map(|r| r.matching.mask.clone()).collect();
        assert_eq!(table.masks().count(), masks.len());
        for rule in std::mem::take(&mut linear.0) {
            table.remove(rule.id);
        }
        assert_eq!((table.len(), table.groups(), table.masks().count()), (0, 0, 0));
    }
}

#[test]
fn a_few_rules_are_a_list_and_many_masks_share_few_tables() {
    let mut c = Classifier::default();
    for id in 1..=5 {
        c.insert(Arc::new(rule(id, id as u16, &[(slot::NW_SRC, u128::from(id), slot::NW_SRC.ones())])));
    }
    assert_eq!(c.shape().name(), "list");
    let mut id = 10;
    for src in 16..=32u32 {
        for dst in 8..=32u32 {
            for n in 0..8u32 {
                let prefix = |len: u32, n: u32| ((n.wrapping_mul(0x9e37_79b1) as u128), u128::from(u32::MAX << (32 - len)));
                let (s, d) = (prefix(src, id + n), prefix(dst, id * 7 + n));
                c.insert(Arc::new(rule(id, (id % 999) as u16, &[(slot::NW_SRC, s.0 & s.1, s.1), (slot::NW_DST, d.0 & d.1, d.1)])));
                id += 1;
            }
        }
    }
    let shape = c.shape();
    assert_eq!(shape.name(), "merged masks");
    assert!(shape.masks > 400 && shape.tables < 20 && shape.longest <= CHAIN_MAX, "{shape:?}");
}

#[test]
fn what_rules_look_at_is_always_within_what_the_table_says() {
    let mut x = 5u64;
    let mut r = move |n: u64| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 33) % n
    };
    let (mut table, mut here) = (Classifier::default(), Vec::new());
    for id in 0..600 {
        let rule = Arc::new(random_rule(id, &mut r));
        here.push(rule.clone());
        table.insert(rule);
        if r(3) > 0 && id > 100 {
            table.remove(here.swap_remove(r(here.len() as u64) as usize).id);
        }
        let union = here.iter().fold(Key::ZERO, |k, rule| k.or(&rule.matching.mask.to_key()));
        assert!(union.or(table.looks_at()) == *table.looks_at());
    }
    here.drain(..).for_each(|rule| drop(table.remove(rule.id)));
    assert!(*table.looks_at() == Key::ZERO);
}

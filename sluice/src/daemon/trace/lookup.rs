//! Looking up a table, and what of the packet Open vSwitch would have had to look at for it.
//!
//! Purpose: the rule, and the bits that the `Megaflow:` line shows: subtable by subtable in order of
//! priority, in stages (metadata, L2, L3, L4), with prefix tries and a trie over ports.
//! Invariant: the rule is the one that the program finds. The mask never decides anything here; it
//! only explains.
//! Deliberately does not know: actions.

use std::collections::BTreeMap;

use sluice_compiler::rules::Shown;
use sluice_compiler::RuleSet;
use sluice_flow::key::slot;
use sluice_flow::{BridgeIdx, Conjunction, Key, Slot};

/// Fields whose prefixes the tries of every table know, unless the table says otherwise.
pub(super) const PREFIX_FIELDS: [Slot; 2] = [slot::NW_DST, slot::NW_SRC];
/// Both ports of the transport header.
const PORTS: Slot = Slot::new(3, 0, 32);

/// A table prepared for one look-up, and for the second one of a conjunction.
struct Table<'a> {
    subtables: Vec<Subtable<'a>>,
    tries: Vec<Trie>,
}

struct Subtable<'a> {
    mask: Key,
    rules: Vec<Shown<'a>>,
    /// Bits by stage; only stages that add any, at least one.
    stages: Vec<Key>,
    priority: u16,
}

/// The prefixes of one field in a table.
struct Trie {
    field: Slot,
    prefixes: Vec<(u128, u32)>,
    /// Lengths of prefixes that the packet has, and how many of its bits tell so.
    found: (Vec<u32>, u32),
}

/// Looks up a packet; `wc` grows by what had to be looked at.
pub(super) fn look_up<'a>(rules: &'a RuleSet, bridge: BridgeIdx, table: u8, prefixes: &[Slot], key: &Key, wc: &mut Key) -> Option<Shown<'a>> {
    Table::new(rules, bridge, table, prefixes, key).find(key, wc, true)
}

impl<'a> Table<'a> {
    fn new(rules: &'a RuleSet, bridge: BridgeIdx, table: u8, prefixes: &[Slot], key: &Key) -> Table<'a> {
        let subtables: Vec<Subtable<'a>> = rules.subtables(bridge, table).into_iter().map(|(mask, rules)| Subtable::new(mask, rules)).collect();
        let tries = prefixes.iter().map(|field| Trie::new(*field, &subtables, key)).collect();
        Table { subtables, tries }
    }

    fn find(&self, key: &Key, wc: &mut Key, conjunctive: bool) -> Option<Shown<'a>> {
        let mut hard: Option<Shown<'a>> = None;
        // Rules of one match, highest priority first, of which the first is part of a conjunction.
        let mut soft: Vec<Vec<Shown<'a>>> = Vec::new();
        let above = |hard: &Option<Shown<'_>>, priority: u16| hard.as_ref().is_none_or(|h| priority > h.rule.priority);
        for subtable in &self.subtables {
            if !above(&hard, subtable.priority) {
                break;
            }
            let found = subtable.find(key, &self.tries, wc);
            let Some(first) = found.first().filter(|r| above(&hard, r.rule.priority)) else { continue };
            if first.rule.conjunctions.is_empty() {
                hard = Some(*first);
            } else if conjunctive {
                soft.push(found);
            }
        }
        while let Some(priority) = soft.iter().filter_map(|s| Some(s.first()?.rule.priority)).max() {
            if !above(&hard, priority) {
                break;
            }
            soft.retain(|s| s.first().is_some_and(|r| above(&hard, r.rule.priority)));
            let level = soft.iter().filter_map(|s| s.first()).filter(|r| r.rule.priority == priority);
            for id in satisfied(level.flat_map(|r| r.rule.conjunctions.iter())) {
                let mut with_id = *key;
                with_id.set(slot::CONJ_ID, u64::from(id));
                if let Some(rule) = self.find(&with_id, wc, false) {
                    return Some(rule);
                }
            }
            for list in soft.iter_mut().filter(|s| s.first().is_some_and(|r| r.rule.priority == priority)) {
                list.remove(0);
                // Below it there may be an ordinary rule of the same match.
                if let Some(next) = list.first().filter(|r| r.rule.conjunctions.is_empty()).copied() {
                    if above(&hard, next.rule.priority) {
                        hard = Some(next);
                    }
                    list.clear();
                }
            }
            soft.retain(|s| !s.is_empty());
        }
        hard
    }
}

/// Conjunctions all of whose clauses are there, in the order in which they are completed.
fn satisfied<'c>(parts: impl Iterator<Item = &'c Conjunction>) -> Vec<u32> {
    let mut clauses: BTreeMap<u32, u64> = BTreeMap::new();
    let mut complete = Vec::new();
    for part in parts {
        let seen = clauses.entry(part.id).or_default();
        *seen |= 1u64.checked_shl(u32::from(part.clause)).unwrap_or(0);
        if seen.count_ones() == u32::from(part.n_clauses) && !complete.contains(&part.id) {
            complete.push(part.id);
        }
    }
    complete
}

impl<'a> Subtable<'a> {
    fn new(mask: Key, rules: Vec<Shown<'a>>) -> Subtable<'a> {
        let mut stages: Vec<Key> = segments().iter().map(|s| mask.and(s)).filter(|s| !s.is_zero()).collect();
        if stages.is_empty() {
            stages.push(Key::ZERO);
        }
        let priority = rules.iter().map(|r| r.rule.priority).max().unwrap_or(0);
        Subtable { mask, rules, stages, priority }
    }

    /// Rules that the packet matches (they all have one match), highest priority first.
    fn find(&self, key: &Key, tries: &[Trie], wc: &mut Key) -> Vec<Shown<'a>> {
        let mut looked_at = Key::ZERO;
        let last = self.stages.len() - 1;
        for (i, stage) in self.stages.iter().enumerate() {
            if tries.iter().any(|t| t.excludes(&self.mask, stage, wc)) {
                *wc = wc.or(&looked_at);
                return Vec::new();
            }
            looked_at = looked_at.or(stage);
            if i < last && !self.rules.iter().any(|r| matches_under(r, key, &looked_at)) {
                *wc = wc.or(&looked_at);
                return Vec::new();
            }
        }
        let mut found: Vec<Shown<'a>> = self.rules.iter().filter(|r| r.rule.matching.matches(key)).copied().collect();
        found.sort_by_key(|r| std::cmp::Reverse(r.rule.priority));
        if found.is_empty() {
            looked_at = self.without_needless_ports(key, looked_at);
        }
        *wc = wc.or(&looked_at);
        found
    }

    /// Where ports decide that nothing matches, only as many of their bits as it takes.
    fn without_needless_ports(&self, key: &Key, mut looked_at: Key) -> Key {
        let ports = self.mask.get(PORTS);
        if ports == 0 {
            return looked_at;
        }
        let length = 32 - (ports as u32).trailing_zeros();
        let values: Vec<(u128, u32)> = self.rules.iter().map(|r| (u128::from(r.rule.matching.value_key().get(PORTS)), length)).collect();
        let (_, bits) = walk(&values, u128::from(key.get(PORTS) & ports), 32);
        let prefix = u64::from(u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0));
        looked_at.set(PORTS, ports & prefix);
        looked_at
    }
}

fn matches_under(rule: &Shown<'_>, key: &Key, mask: &Key) -> bool {
    let matching = &rule.rule.matching;
    matching.mask.words.iter().zip(matching.values.iter()).all(|((i, _), v)| {
        let i = usize::from(*i);
        match (key.words.get(i), mask.words.get(i)) {
            (Some(k), Some(m)) => (k ^ v) & m == 0,
            _ => true,
        }
    })
}

impl Trie {
    fn new(field: Slot, subtables: &[Subtable<'_>], key: &Key) -> Trie {
        let mut prefixes = Vec::new();
        for subtable in subtables {
            let length = prefix_length(&subtable.mask, field);
            if length > 0 {
                prefixes.extend(subtable.rules.iter().map(|r| (r.rule.matching.value_key().get_wide(field), length)));
            }
        }
        let found = walk(&prefixes, key.get_wide(field), u32::from(field.width));
        Trie { field, prefixes, found }
    }

    /// Whether the packet's prefixes rule a subtable out, when its stage with this field comes.
    fn excludes(&self, mask: &Key, stage: &Key, wc: &mut Key) -> bool {
        let length = prefix_length(mask, self.field);
        if length == 0 || stage.get_wide(self.field) == 0 || self.prefixes.is_empty() {
            return false;
        }
        let (lengths, bits) = &self.found;
        if lengths.contains(&length) {
            return false;
        }
        let width = u32::from(self.field.width);
        let prefix = self.field.ones() & !low_ones(width - (*bits).min(width));
        if *bits <= length {
            let old = wc.get_wide(self.field);
            wc.set_wide(self.field, old | prefix);
            return true;
        }
        wc.get_wide(self.field) & prefix == prefix
    }
}

fn low_ones(n: u32) -> u128 {
    1u128.checked_shl(n).map_or(u128::MAX, |x| x - 1)
}

/// Length of the prefix that a mask asks for in a field; 0 when it asks for none, or for other bits.
fn prefix_length(mask: &Key, field: Slot) -> u32 {
    let bits = mask.get_wide(field) << (128 - u32::from(field.width));
    let length = bits.leading_ones();
    if length + bits.trailing_zeros() >= 128 || bits == 0 { length } else { 0 }
}

/// Lengths of the prefixes that a value has, and how many of its bits tell so.
fn walk(prefixes: &[(u128, u32)], value: u128, width: u32) -> (Vec<u32>, u32) {
    let (mut lengths, mut deepest, mut differs) = (Vec::new(), 0, false);
    for (prefix, length) in prefixes {
        let different = (prefix ^ value) << (128 - width);
        let common = different.leading_zeros().min(*length);
        if common == *length && !lengths.contains(length) {
            lengths.push(*length);
        }
        if common > deepest {
            (deepest, differs) = (common, false);
        }
        differs |= common == deepest && common < *length;
    }
    (lengths, if differs { deepest + 1 } else { deepest })
}

/// Which bits of a packet belong to which stage.
fn segments() -> &'static [Key; 4] {
    static SEGMENTS: std::sync::OnceLock<[Key; 4]> = std::sync::OnceLock::new();
    SEGMENTS.get_or_init(|| {
        let l2 = [slot::ETH_DST, slot::ETH_SRC, slot::ETH_TYPE, slot::VLAN_TCI, slot::VLAN_TPID, slot::MPLS_LSE0, slot::MPLS_LSE1, slot::MPLS_LSE2];
        let l3 = [
            slot::NW_SRC, slot::NW_DST, slot::NW_PROTO, slot::NW_TOS, slot::NW_TTL, slot::TTL_EXPIRING, slot::NW_FRAG, slot::IPV6_SRC,
            slot::IPV6_DST, slot::IPV6_LABEL, slot::CT_NW_SRC, slot::CT_NW_DST, slot::CT_IPV6_SRC, slot::CT_IPV6_DST,
        ];
        let nsh = [slot::NSH_FLAGS, slot::NSH_MDTYPE, slot::NSH_NP, slot::NSH_TTL, slot::NSH_SPI, slot::NSH_SI];
        let l4 = [
            slot::TP_SRC, slot::TP_DST, slot::TCP_FLAGS, slot::ARP_SHA, slot::ARP_THA, slot::ND_TARGET, slot::ND_OPTIONS_TYPE,
            slot::ND_RESERVED, slot::CT_TP_SRC, slot::CT_TP_DST, slot::nsh_c(1), slot::nsh_c(2), slot::nsh_c(3), slot::nsh_c(4),
        ];
        let of = |places: &[Slot]| {
            let mut key = Key::ZERO;
            places.iter().for_each(|p| key.cover(*p));
            key
        };
        let (l2, l3, l4) = (of(&l2), of(&l3), of(&l4).or(&of(&nsh)));
        let headers = l2.or(&l3).or(&l4);
        let metadata = Key { words: std::array::from_fn(|i| !headers.words.get(i).copied().unwrap_or(0)) };
        [metadata, l2, l3, l4]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_tells_how_many_bits_it_took() {
        let ip = |a: u8, b: u8| u128::from(u32::from_be_bytes([a, b, 0, 0]));
        assert_eq!(walk(&[], ip(10, 0), 32), (vec![], 0));
        assert_eq!(walk(&[(ip(10, 0), 8)], ip(10, 0), 32), (vec![8], 8));
        assert_eq!(walk(&[(ip(10, 0), 8)], ip(11, 0), 32), (vec![], 8));
        assert_eq!(walk(&[(ip(10, 0), 8), (ip(10, 128), 9)], ip(10, 0), 32), (vec![8], 9));
    }

    #[test]
    fn every_bit_belongs_to_one_stage() {
        let s = segments();
        for i in 0..sluice_flow::WORDS {
            let bits: u32 = s.iter().map(|k| k.words[i].count_ones()).sum();
            assert_eq!(bits, 64, "word {i}");
        }
    }
}

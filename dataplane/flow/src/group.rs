//! Groups as the program holds them, and how a select group chooses.
//!
//! Purpose: buckets lowered like rules' actions; the choice is a function of the flow key alone, so
//! that a cached verdict may hold it.
//! Invariant: whatever the choice looks at is in [`Group::reads`], which is part of the key set.
//! Deliberately does not know: counters, messages, who lives (the walk asks ports and groups).

use std::sync::Arc;

use crate::action::{Action, Need, OfPort};
use crate::hash::Seeds;
use crate::key::{slot, Key, Slot};
use crate::murmur;
use crate::reads::{cover_need, reads_of, satisfies};
use crate::rule::SparseMask;

/// A group's number in OpenFlow.
pub type GroupId = u32;

/// What a group does with its buckets.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// All of them, each on a copy.
    All,
    /// One, by the flow.
    Select(Choice),
    /// Its only one.
    Indirect,
    /// The first that lives.
    FastFailover,
}

/// How a select group chooses.
#[derive(Clone, PartialEq, Debug)]
pub enum Choice {
    /// By any header, both directions of a connection alike; shares follow the weights.
    AnyHeader,
    /// By these fields, as Open vSwitch does with `selection_method=hash`.
    Fields {
        /// `selection_method_param`.
        parameter: u64,
        /// What is hashed, in this order.
        fields: Box<[HashField]>,
    },
}

/// One field of a choice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashField {
    /// Where it is.
    pub slot: Slot,
    /// Bytes of it in messages.
    pub bytes: u8,
    /// Which bits count.
    pub mask: u128,
    /// What the packet must be; else the field is left out.
    pub need: Need,
}

/// One bucket.
#[derive(Clone, PartialEq, Debug)]
pub struct Bucket {
    /// Its number.
    pub id: u32,
    /// Its share in a select group.
    pub weight: u16,
    /// Lives only with this port (or that group).
    pub watch_port: Option<OfPort>,
    /// Lives only with this group (or that port).
    pub watch_group: Option<GroupId>,
    /// An action set.
    pub actions: Arc<[Action]>,
}

/// A group.
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    /// Names this definition of the group in counters: another one with each change.
    pub serial: u32,
    /// What it does with its buckets.
    pub kind: Kind,
    /// In order.
    pub buckets: Box<[Bucket]>,
    /// What choice and buckets look at.
    pub reads: SparseMask,
}

impl Group {
    /// Makes one; finds out what it looks at.
    pub fn new(serial: u32, kind: Kind, buckets: Box<[Bucket]>) -> Group {
        let mut reads = buckets.iter().fold(Key::ZERO, |k, b| k.or(&reads_of(&b.actions)));
        if let Kind::Select(choice) = &kind {
            choice.add_reads(&mut reads);
        }
        Group { serial, kind, buckets, reads: SparseMask::new(&reads) }
    }
}

/// Pairs of fields that the two directions of a connection have the other way round.
const PAIRS: [(Slot, Slot); 5] = [
    (slot::ETH_SRC, slot::ETH_DST),
    (slot::NW_SRC, slot::NW_DST),
    (slot::IPV6_SRC, slot::IPV6_DST),
    (slot::TP_SRC, slot::TP_DST),
    (slot::ARP_SHA, slot::ARP_THA),
];

/// Fields that both directions have alike.
const SINGLES: [Slot; 5] = [slot::ETH_TYPE, slot::VLAN_TCI, slot::NW_PROTO, slot::MPLS_LSE0, slot::ND_TARGET];

impl Choice {
    fn add_reads(&self, key: &mut Key) {
        match self {
            Choice::AnyHeader => {
                for (a, b) in PAIRS {
                    key.cover(a);
                    key.cover(b);
                }
                SINGLES.into_iter().for_each(|s| key.cover(s));
                key.cover(slot::NW_FRAG);
            }
            Choice::Fields { fields, .. } => {
                for f in fields {
                    cover_need(key, f.need);
                    key.set_masked(f.slot, f.mask, f.mask);
                }
            }
        }
    }

    /// The bucket for a packet among those that live, by position.
    pub fn choose<'a>(&self, key: &Key, live: impl Iterator<Item = (usize, &'a Bucket)>) -> Option<usize> {
        match self {
            Choice::AnyHeader => by_share(any_header(key), live),
            Choice::Fields { parameter, fields } => by_score(of_fields(key, *parameter, fields), live),
        }
    }
}

/// A hash that both directions of a connection share.
fn any_header(key: &Key) -> u64 {
    let pieces = key.get(slot::NW_FRAG) != 0;
    let mut words = [0; 16];
    let mut out = words.iter_mut();
    let mut put = |v: u128| {
        for w in [v as u64, (v >> 64) as u64] {
            if let Some(o) = out.next() {
                *o = w;
            }
        }
    };
    for (a, b) in PAIRS {
        // The pieces of a packet stay together: only the first has ports.
        let hidden = pieces && a == slot::TP_SRC;
        put(if hidden { 0 } else { key.get_wide(a) ^ key.get_wide(b) });
    }
    let [eth, vlan, proto, label, target] = SINGLES.map(|s| key.get_wide(s));
    put(eth << 64 | vlan << 32 | proto);
    put(label << 64 | (target as u64 ^ (target >> 64) as u64) as u128);
    Seeds::FIXED.hash(&words)
}

/// Rendezvous hashing by weight: when a bucket dies only its own flows move.
fn by_share<'a>(hash: u64, live: impl Iterator<Item = (usize, &'a Bucket)>) -> Option<usize> {
    let cost = |b: &Bucket| {
        let h = Seeds::FIXED.hash(&[hash, u64::from(b.id)]);
        let uniform = ((h >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        -uniform.ln() / f64::from(b.weight)
    };
    let costs = live.filter(|(_, b)| b.weight != 0).map(|(i, b)| (cost(b), i));
    costs.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, i)| i)
}

/// The highest of hash times weight, of equals the last; a bucket without weight is never chosen.
fn by_score<'a>(basis: u32, live: impl Iterator<Item = (usize, &'a Bucket)>) -> Option<usize> {
    live.filter(|(_, b)| b.weight != 0).max_by_key(|(_, b)| score(basis, b)).map(|(i, _)| i)
}

/// A bucket's score for a packet, as traces show it.
pub fn score(basis: u32, bucket: &Bucket) -> u32 {
    (murmur::of_pair(bucket.id, basis) & 0xffff) * u32::from(bucket.weight)
}

/// Hash of the fields that a packet has.
pub fn of_fields(key: &Key, parameter: u64, fields: &[HashField]) -> u32 {
    let mut basis = murmur::of_u64(parameter);
    for f in fields.iter().filter(|f| satisfies(key, f.need)) {
        let value = (key.get_wide(f.slot) & f.mask).to_be_bytes();
        let start = value.len().saturating_sub(usize::from(f.bytes));
        basis = murmur::of_bytes(value.get(start..).unwrap_or(&[]), basis);
    }
    basis
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(weights: &[u16]) -> Vec<Bucket> {
        let bucket = |(i, w): (usize, &u16)| Bucket {
            id: i as u32,
            weight: *w,
            watch_port: None,
            watch_group: None,
            actions: Arc::new([]),
        };
        weights.iter().enumerate().map(bucket).collect()
    }

    fn shares(weights: &[u16], key_of: impl Fn(u64) -> Key) -> Vec<u32> {
        let all = buckets(weights);
        let mut hits = vec![0; all.len()];
        for i in 0..30_000 {
            let i = Choice::AnyHeader.choose(&key_of(i), all.iter().enumerate()).unwrap();
            hits[i] += 1;
        }
        hits
    }

    #[test]
    fn shares_follow_the_weights_whichever_header_differs() {
        for field in [slot::ETH_SRC, slot::NW_SRC, slot::IPV6_DST, slot::TP_SRC, slot::ARP_SHA] {
            let hits = shares(&[1, 2, 0], |i| {
                let mut k = Key::ZERO;
                k.set(field, i);
                k
            });
            assert!((9_500..10_500).contains(&hits[0]) && hits[2] == 0, "{field:?} {hits:?}");
        }
    }

    #[test]
    fn both_directions_choose_alike_and_the_dead_bucket_alone_loses_its_flows() {
        let all = buckets(&[1, 1, 1, 1]);
        for i in 0..1000u64 {
            let (mut to, mut fro) = (Key::ZERO, Key::ZERO);
            for (k, a, b) in [(&mut to, slot::NW_SRC, slot::NW_DST), (&mut fro, slot::NW_DST, slot::NW_SRC)] {
                k.set(a, i);
                k.set(b, 77);
            }
            let whole = Choice::AnyHeader.choose(&to, all.iter().enumerate());
            assert_eq!(whole, Choice::AnyHeader.choose(&fro, all.iter().enumerate()));
            let less = Choice::AnyHeader.choose(&to, all.iter().enumerate().filter(|(i, _)| *i != 2));
            assert!(whole == Some(2) || whole == less);
        }
    }

    #[test]
    fn fields_score_as_open_vswitch_scores_them() {
        let field = HashField { slot: slot::NW_SRC, bytes: 4, mask: u32::MAX as u128, need: Need::Ipv4 };
        let mut key = Key::ZERO;
        key.set(slot::ETH_TYPE, 0x0800);
        key.set(slot::NW_SRC, 0x0a00_0001);
        let basis = of_fields(&key, 0, std::slice::from_ref(&field));
        let all = buckets(&[100, 1]);
        assert_eq!([score(basis, &all[0]), score(basis, &all[1])], [4_110_500, 41_186]);
        let choice = Choice::Fields { parameter: 0, fields: Box::new([field]) };
        assert_eq!(choice.choose(&key, all.iter().enumerate()), Some(0));
    }
}

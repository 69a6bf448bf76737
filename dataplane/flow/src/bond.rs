//! Bonds: several ports that are one for NORMAL.
//!
//! Purpose: which member a packet leaves by, and whether one that came in by a member may enter.
//! Invariant: the choice depends on the packet's [`Bond::reads`] and on nothing else but these values,
//! which the control side replaces when links, partners or loads change.
//! Deliberately does not know: links, LACP's messages, time.

use std::sync::Arc;

use crate::action::OfPort;
use crate::key::{slot, Key};

/// Parts that the flows of a balanced bond are divided into, as in Open vSwitch.
pub const BUCKETS: usize = 256;

/// How the member is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Balance {
    /// All by the active member.
    ActiveBackup,
    /// By source address and VLAN.
    Source,
    /// By addresses, VLAN, protocol and ports. Needs LACP.
    Flow,
}

/// What LACP says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Partner {
    /// Nobody asks it.
    NotAsked,
    /// There is a partner, which knows of the bond.
    Agreed,
    /// None has answered.
    Missing,
}

/// A bond.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bond {
    /// How the member is chosen.
    pub balance: Balance,
    /// What LACP says.
    pub partner: Partner,
    /// Without a partner it works as active-backup.
    pub fallback: bool,
    /// Changes which flow falls into which bucket.
    pub basis: u32,
    /// The active member.
    pub active: Option<OfPort>,
    /// Members that may receive.
    pub receiving: Vec<OfPort>,
    /// The member of each bucket; empty where no member sends.
    pub buckets: Arc<[OfPort]>,
}

/// May a packet enter by a member?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Yes.
    Accept,
    /// No.
    Refuse,
    /// Not when its source is known to be on another port: then we sent it ourselves.
    RefuseIfMoved,
}

/// The way out of a bond.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// The member.
    pub port: OfPort,
    /// The bucket that it was found in, where loads are balanced.
    pub bucket: Option<u8>,
}

impl Bond {
    /// The balance that is in force; `None` when nothing may be sent.
    fn effective(&self) -> Option<Balance> {
        match self.partner {
            Partner::Missing => self.fallback.then_some(Balance::ActiveBackup),
            Partner::NotAsked if self.balance == Balance::Flow => None,
            Partner::NotAsked | Partner::Agreed => Some(self.balance),
        }
    }

    /// The member that a packet in this VLAN leaves by.
    pub fn exit(&self, key: &Key, vlan: u16) -> Option<Exit> {
        let bucket = match self.effective()? {
            Balance::ActiveBackup => return self.active.map(|port| Exit { port, bucket: None }),
            Balance::Source => source_bucket(key.get(slot::ETH_SRC), vlan, self.basis),
            Balance::Flow => flow_bucket(key, vlan, self.basis),
        };
        let port = *self.buckets.get(usize::from(bucket))?;
        Some(Exit { port, bucket: Some(bucket) })
    }

    /// May a packet to this address enter by a member?
    pub fn entry(&self, port: OfPort, dst: u64) -> Entry {
        if self.partner == Partner::Agreed {
            return if self.receiving.contains(&port) { Entry::Accept } else { Entry::Refuse };
        }
        let Some(balance) = self.effective() else { return Entry::Refuse };
        let active = self.active == Some(port);
        let multicast = dst >> 40 & 1 != 0;
        match balance {
            Balance::ActiveBackup | Balance::Flow if active => Entry::Accept,
            Balance::Source if active || !multicast => Entry::RefuseIfMoved,
            _ => Entry::Refuse,
        }
    }

    /// What of a packet the choice depends on.
    pub fn reads(&self, key: &mut Key) {
        for s in [slot::ETH_SRC, slot::ETH_DST, slot::VLAN_TCI, slot::ETH_TYPE] {
            key.cover(s);
        }
        if self.balance == Balance::Flow {
            for s in FLOW {
                key.cover(s);
            }
        }
    }
}

/// What of a flow's headers a bucket is computed from, beside its addresses on the link.
const FLOW: [crate::key::Slot; 8] = [
    slot::NW_SRC, slot::NW_DST, slot::NW_PROTO, slot::NW_FRAG, slot::TP_SRC, slot::TP_DST, slot::IPV6_SRC, slot::IPV6_DST,
];

/// The bucket of a source address and VLAN.
pub fn source_bucket(src: u64, vlan: u16, basis: u32) -> u8 {
    spread([src, u64::from(vlan)], basis)
}

/// The bucket of a flow. Fragments have no ports: all of a packet's fall into one bucket.
pub fn flow_bucket(key: &Key, vlan: u16, basis: u32) -> u8 {
    let fragment = key.get(slot::NW_FRAG) != 0;
    let ports = if fragment { 0 } else { key.get(slot::TP_SRC) << 16 | key.get(slot::TP_DST) };
    let (src, dst) = (key.get_wide(slot::IPV6_SRC), key.get_wide(slot::IPV6_DST));
    spread(
        [
            key.get(slot::ETH_SRC),
            key.get(slot::ETH_DST),
            u64::from(vlan) << 16 | key.get(slot::ETH_TYPE),
            key.get(slot::NW_SRC) << 32 | key.get(slot::NW_DST),
            key.get(slot::NW_PROTO) << 32 | ports,
            (src >> 64) as u64,
            src as u64,
            (dst >> 64) as u64,
            dst as u64,
        ],
        basis,
    )
}

/// Mixes words; every bit of them changes each bit of the bucket half of the time.
fn spread<const N: usize>(words: [u64; N], basis: u32) -> u8 {
    let start = u64::from(basis).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = words.iter().fold(start, |h, w| {
        let x = (h ^ w).wrapping_mul(0xff51_afd7_ed55_8ccd);
        (x ^ x >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
    });
    (mixed >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bond(balance: Balance, partner: Partner) -> Bond {
        let buckets = (0..BUCKETS).map(|i| 1 + i as u32 % 2).collect();
        Bond { balance, partner, fallback: false, basis: 0, active: Some(2), receiving: vec![1, 2], buckets }
    }

    #[test]
    fn sources_and_flows_spread_over_all_buckets() {
        let mut seen = std::collections::HashSet::new();
        let mut flows = std::collections::HashSet::new();
        for n in 0..4096u64 {
            seen.insert(source_bucket(0x0200_0000_0000 | n, 0, 0));
            let mut key = Key::ZERO;
            key.set(slot::TP_SRC, n);
            flows.insert(flow_bucket(&key, 0, 0));
        }
        assert_eq!((seen.len(), flows.len()), (BUCKETS, BUCKETS));
    }

    #[test]
    fn without_a_partner_a_bond_that_needs_one_sends_and_takes_nothing() {
        let key = Key::ZERO;
        for partner in [Partner::NotAsked, Partner::Missing] {
            let b = bond(Balance::Flow, partner);
            assert_eq!((b.exit(&key, 0), b.entry(2, 0)), (None, Entry::Refuse));
        }
        let agreed = bond(Balance::Flow, Partner::Agreed);
        assert!(agreed.exit(&key, 0).is_some_and(|e| e.bucket.is_some()));
        assert_eq!((agreed.entry(1, 1 << 40), agreed.entry(3, 0)), (Entry::Accept, Entry::Refuse));
        let fallback = Bond { fallback: true, ..bond(Balance::Flow, Partner::Missing) };
        assert_eq!(fallback.exit(&key, 0), Some(Exit { port: 2, bucket: None }));
        assert_eq!((fallback.entry(2, 0), fallback.entry(1, 0)), (Entry::Accept, Entry::Refuse));
    }

    #[test]
    fn broadcasts_enter_a_bond_balanced_by_source_only_once() {
        let b = bond(Balance::Source, Partner::NotAsked);
        let all = 0xffff_ffff_ffff;
        assert_eq!((b.entry(2, all), b.entry(1, all), b.entry(1, 2)), (Entry::RefuseIfMoved, Entry::Refuse, Entry::RefuseIfMoved));
    }
}

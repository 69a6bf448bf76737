//! MPLS labels: pushed, popped, their TTLs.
//!
//! Invariant: what is under the labels stays in the key (see `slot::UNDER_LABELS`); popping the last
//! label makes it visible where it is what the new Ethernet type says.

use std::sync::Arc;

use super::act::REASON_INVALID_TTL;
use super::walk::Walk;
use crate::action::{Need, Punt};
use crate::drop::DropReason;
use crate::key::{slot, Key, Slot};
use crate::reads::satisfies;
use crate::verdict::Op;

pub(super) const LABELS: [Slot; 3] = [slot::MPLS_LSE0, slot::MPLS_LSE1, slot::MPLS_LSE2];
pub(super) const BOTTOM: u64 = 0x100;
const TTL: u64 = 0xff;
pub(super) const DEFAULT_TTL: u64 = 64;
pub(super) const IPV6_NULL: u64 = 2;
/// Words of the key above the link layer, one bit each.
const NETWORK_WORDS: u64 = 0b111_1111_1111_1100;
const MPLS: u16 = 0x8847;
const IPV4: u64 = 0x0800;
pub(super) const IPV6: u64 = 0x86dd;
const ARP: u64 = 0x0806;

/// What `slot::UNDER_LABELS` says of a packet of this type.
fn under_of(eth_type: u64) -> Option<u64> {
    match eth_type {
        IPV4 => Some(slot::UNDER_IPV4),
        IPV6 => Some(slot::UNDER_IPV6),
        ARP => Some(slot::UNDER_ARP),
        _ => None,
    }
}

/// Has what is under the labels a TTL?
fn ip_is_under(key: &Key) -> bool {
    matches!(key.get(slot::UNDER_LABELS), slot::UNDER_IPV4 | slot::UNDER_IPV6)
}

pub(super) fn is_mpls(eth_type: u64) -> bool {
    matches!(eth_type, 0x8847 | 0x8848)
}

/// Labels in the key: up to the bottom one; without a bottom, those that say anything.
pub(super) fn labels(key: &Key) -> usize {
    if !is_mpls(key.get(slot::ETH_TYPE)) {
        return 0;
    }
    let bottom = LABELS.iter().position(|s| key.get(*s) & BOTTOM != 0);
    bottom.map_or_else(|| LABELS.iter().filter(|s| key.get(**s) != 0).count(), |i| i + 1)
}

/// The entry that a first label gets.
fn first_entry(key: &Key) -> u64 {
    let eth = key.get(slot::ETH_TYPE);
    let label = if eth == IPV6 { IPV6_NULL } else { 0 };
    let (tc, ttl) = match eth {
        IPV4 | IPV6 => (key.get(slot::NW_DSCP) & 7, key.get(slot::NW_TTL)),
        _ => (0, 0),
    };
    label << 12 | tc << 9 | BOTTOM | if ttl == 0 { DEFAULT_TTL } else { ttl }
}

impl Walk<'_> {
    pub(super) fn push_mpls(&mut self, eth_type: u16) {
        self.push_label(eth_type, first_entry(&self.view.key));
    }

    /// Pushes a copy of the outermost label, or this one as the first.
    pub(super) fn push_label(&mut self, eth_type: u16, first: u64) {
        let key = &mut self.view.key;
        let n = labels(key);
        if n >= LABELS.len() {
            return self.stop(DropReason::TooManyLabels);
        }
        let entry = if n == 0 { first } else { key.get(slot::MPLS_LSE0) & !BOTTOM };
        if n == 0 {
            let under = under_of(key.get(slot::ETH_TYPE));
            key.set(slot::UNDER_LABELS, under.unwrap_or(0));
            if let Some(hidden) = self.view.hidden.take() {
                key.show_network(&hidden);
            }
        }
        let moved = [key.get(slot::MPLS_LSE0), key.get(slot::MPLS_LSE1)];
        key.set(slot::MPLS_LSE1, moved[0]);
        key.set(slot::MPLS_LSE2, moved[1]);
        key.set(slot::MPLS_LSE0, entry);
        key.set(slot::ETH_TYPE, u64::from(eth_type));
        self.wrote_labels();
        self.view.written |= NETWORK_WORDS;
        self.pending.push(Op::PushMpls { eth_type, entry: entry as u32 });
    }

    pub(super) fn pop_mpls(&mut self, eth_type: u16) {
        let key = &mut self.view.key;
        let n = labels(key);
        if n == 0 {
            return;
        }
        if n == LABELS.len() && key.get(slot::MPLS_LSE2) & BOTTOM == 0 {
            return self.stop(DropReason::TooManyLabels);
        }
        if is_mpls(u64::from(eth_type)) {
            let rest = [key.get(slot::MPLS_LSE1), key.get(slot::MPLS_LSE2), 0];
            LABELS.iter().zip(rest).for_each(|(s, v)| key.set(*s, v));
            key.set(slot::ETH_TYPE, u64::from(eth_type));
        } else {
            // What is not MPLS has no labels: all of them go, as in Open vSwitch.
            let inner = LABELS.iter().take(n - 1).map(|_| Op::PopMpls { eth_type: MPLS });
            self.pending.extend(inner);
            self.leave_labels(eth_type);
        }
        self.wrote_labels();
        self.pending.push(Op::PopMpls { eth_type });
    }

    /// No label is left: what was under them is seen, where it is what the type says.
    fn leave_labels(&mut self, eth_type: u16) {
        let key = &mut self.view.key;
        LABELS.iter().for_each(|s| key.set(*s, 0));
        let under = key.get(slot::UNDER_LABELS);
        key.set(slot::ETH_TYPE, u64::from(eth_type));
        if under_of(u64::from(eth_type)) != Some(under) {
            self.view.hidden = (under != 0).then(|| Box::new(*key));
            key.hide_network();
        }
        key.set(slot::UNDER_LABELS, 0);
        let expiring = satisfies(key, Need::Ip) && key.get(slot::NW_TTL) <= 1;
        key.set(slot::TTL_EXPIRING, u64::from(expiring));
        self.view.decremented = false;
        // Everything above Ethernet is another packet's now.
        self.view.written |= NETWORK_WORDS;
    }

    fn wrote_labels(&mut self) {
        for s in [slot::ETH_TYPE, slot::MPLS_LSE0, slot::MPLS_LSE2, slot::UNDER_LABELS] {
            self.wrote(s);
        }
    }

    /// False when the packet goes no further.
    pub(super) fn dec_mpls_ttl(&mut self) -> bool {
        if !is_mpls(self.view.key.get(slot::ETH_TYPE)) {
            return false;
        }
        let ttl = self.view.key.get(slot::MPLS_TTL);
        if ttl > 1 {
            self.set(slot::MPLS_TTL, u128::from(ttl - 1), u128::from(TTL), Need::Mpls);
            return true;
        }
        self.punt(&Arc::new(Punt { max_len: u16::MAX, reason: REASON_INVALID_TTL, ..Punt::default() }));
        self.hint(DropReason::TtlExpired);
        false
    }

    /// Copies the TTL of the next header inwards to the outermost label.
    pub(super) fn copy_ttl_out(&mut self) {
        let key = &self.view.key;
        let ttl = match labels(key) {
            0 => return,
            1 if !ip_is_under(key) => return,
            1 => key.get(slot::NW_TTL),
            _ => key.get(slot::MPLS_LSE1) & TTL,
        };
        self.set(slot::MPLS_TTL, u128::from(ttl), u128::from(TTL), Need::Mpls);
    }

    /// Copies the TTL of the outermost label to the next header inwards.
    pub(super) fn copy_ttl_in(&mut self) {
        let key = &mut self.view.key;
        let ttl = key.get(slot::MPLS_TTL);
        match labels(key) {
            0 => {}
            1 if !ip_is_under(key) => {}
            1 => {
                key.set(slot::NW_TTL, ttl);
                self.wrote(slot::NW_TTL);
                self.pending.push(Op::SetTtlUnderLabels(ttl as u8));
            }
            _ => self.set(slot::MPLS_LSE1, u128::from(ttl), u128::from(TTL), Need::Mpls),
        }
    }
}

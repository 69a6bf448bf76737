//! What kind of packet it is: headers that cover another packet, put on and taken off.
//!
//! Purpose: `encap` and `decap` of Ethernet, network service headers (RFC 8300) and MPLS labels, and the
//! backbone tags of IEEE 802.1ah.
//! A packet without Ethernet header ("bare") has its type in `slot::PACKET_TYPE`: name space 1 in the upper
//! half, the Ethernet type in the lower one. Its frame has a blank Ethernet header, which no rule sees.
//! Invariant: of a packet that comes out from under a header nothing is presumed: it resumes with the fields
//! that its own bytes say.
//! Deliberately does not know: bytes of frames.

use std::sync::Arc;

use sluice_wire::nsh;

use super::act::REASON_INVALID_TTL;
use super::mpls::{is_mpls, labels, BOTTOM, DEFAULT_TTL, IPV6, IPV6_NULL, LABELS};
use super::walk::Walk;
use crate::action::{Need, NewNsh, Punt};
use crate::drop::DropReason;
use crate::extract::set_nsh;
use crate::key::{slot, Key, PACKET_WORDS, SERVICE_WORDS};
use crate::verdict::{Cover, Op};

/// Name space of Ethernet types, in a packet type.
const ETHERTYPES: u64 = 1 << 16;
const PT_IPV4: u64 = ETHERTYPES | 0x0800;
const PT_IPV6: u64 = ETHERTYPES | 0x86dd;
const PT_NSH: u64 = ETHERTYPES | NSH;
const NSH: u64 = 0x894f;
const PBB: u64 = 0x88e7;
/// What a label's payload is called that is a whole Ethernet frame.
const BRIDGED: u64 = 0x6558;
const MPLS: u16 = 0x8847;
/// TTL of a new network service header, and its service index.
const NSH_TTL: u8 = 63;
const NSH_PATH: u32 = 255;

impl Walk<'_> {
    /// Has the packet no Ethernet header?
    pub(super) fn is_bare(&self) -> bool {
        self.view.key.get(slot::PACKET_TYPE) != 0
    }

    /// The key as rules see it: of a bare packet they see no Ethernet header.
    pub(super) fn key_without_ethernet(&self) -> Key {
        let mut key = self.view.key;
        key.words[..2].fill(0);
        key
    }

    /// A packet that goes on may be bare: what its frame has in place of an Ethernet header is nobody's.
    pub(super) fn hide_blank_ethernet(&mut self) {
        if self.is_bare() {
            self.view.key.set(slot::ETH_SRC, 0);
            self.view.key.set(slot::ETH_DST, 0);
            self.wrote(slot::ETH_SRC);
            self.wrote(slot::ETH_DST);
        }
    }

    fn wrong_type(&mut self) {
        self.stop(DropReason::PacketType);
    }

    /// Nothing is known of the packet's headers any more.
    fn forget_headers(&mut self) {
        let key = &mut self.view.key;
        key.words[..PACKET_WORDS].fill(0);
        key.words[SERVICE_WORDS].fill(0);
        self.view.inner_vlans.clear();
        self.view.hidden = None;
        self.view.decremented = false;
        self.view.source_written = true;
        for word in (0..PACKET_WORDS).chain(SERVICE_WORDS) {
            self.view.written |= 1 << word;
        }
    }

    pub(super) fn encap_ethernet(&mut self) {
        let key = &mut self.view.key;
        if key.get(slot::PACKET_TYPE) >> 16 != 1 {
            return self.wrong_type();
        }
        // The frame has a blank header already.
        key.set(slot::PACKET_TYPE, 0);
    }

    pub(super) fn encap_nsh(&mut self, new: &NewNsh) {
        let next = match self.view.key.get(slot::PACKET_TYPE) {
            0 => nsh::next::ETHERNET,
            PT_IPV4 => nsh::next::IPV4,
            PT_IPV6 => nsh::next::IPV6,
            PT_NSH => nsh::next::NSH,
            _ => return self.wrong_type(),
        };
        let header =
            nsh::Header { md_type: new.md_type, next, ttl: NSH_TTL, path: NSH_PATH, ..nsh::Header::default() };
        let bytes = header.to_bytes(&new.metadata);
        let bare = self.is_bare();
        self.forget_headers();
        let key = &mut self.view.key;
        key.set(slot::PACKET_TYPE, PT_NSH);
        key.set(slot::ETH_TYPE, NSH);
        set_nsh(key, &header);
        self.pending.push(Op::PushNsh { header: bytes.into(), bare });
    }

    pub(super) fn encap_mpls(&mut self, eth_type: u16) {
        // Unlike a label that is pushed, this one takes nothing but its number from the packet, as in Open vSwitch.
        let label = if self.view.key.get(slot::ETH_TYPE) == IPV6 { IPV6_NULL } else { 0 };
        let entry = label << 12 | BOTTOM | DEFAULT_TTL;
        if self.is_bare() {
            self.push_label(eth_type, entry);
        } else {
            // The labels of a whole frame are inside from now on.
            self.forget_headers();
            self.view.key.set(slot::ETH_TYPE, u64::from(eth_type));
            self.view.key.set(slot::MPLS_LSE0, entry);
            self.pending.push(Op::PushLabelOnEthernet { eth_type, entry: entry as u32 });
        }
        self.view.key.set(slot::PACKET_TYPE, ETHERTYPES | u64::from(eth_type));
    }

    pub(super) fn decap(&mut self, under_label: u32) {
        let key = &self.view.key;
        match key.get(slot::PACKET_TYPE) {
            0 if key.get(slot::VLAN_PRESENT) != 0 => self.wrong_type(),
            0 => self.decap_ethernet(),
            PT_NSH => self.decap_nsh(),
            t if t >> 16 == 1 && is_mpls(t & 0xffff) => self.decap_label(u64::from(under_label) & 0xffff),
            _ => self.wrong_type(),
        }
    }

    fn decap_ethernet(&mut self) {
        let eth_type = self.view.key.get(slot::ETH_TYPE);
        self.view.key.set(slot::PACKET_TYPE, ETHERTYPES | eth_type);
        self.hide_blank_ethernet();
        self.pending.push(Op::DropEthernet);
    }

    fn decap_nsh(&mut self) {
        let under = match self.view.key.get(slot::NSH_NP) as u8 {
            nsh::next::ETHERNET => 0,
            nsh::next::IPV4 => PT_IPV4,
            nsh::next::IPV6 => PT_IPV6,
            nsh::next::NSH => PT_NSH,
            _ => return self.wrong_type(),
        };
        self.view.key.set(slot::PACKET_TYPE, under);
        self.uncover(Cover::Nsh);
    }

    /// One label goes; where what is under it has no labels, all of them go.
    fn decap_label(&mut self, eth_type: u64) {
        let key = &self.view.key;
        let n = labels(key);
        if n == 0 {
            return self.wrong_type();
        }
        if n == LABELS.len() && key.get(slot::MPLS_LSE2) & BOTTOM == 0 {
            return self.stop(DropReason::TooManyLabels);
        }
        if n > 1 && is_mpls(eth_type) {
            self.pop_mpls(eth_type as u16);
            return self.view.key.set(slot::PACKET_TYPE, ETHERTYPES | eth_type);
        }
        let others = LABELS.iter().take(n - 1).map(|_| Op::PopMpls { eth_type: MPLS });
        self.pending.extend(others);
        let under = match eth_type {
            0 | BRIDGED => 0,
            t => ETHERTYPES | t,
        };
        self.view.key.set(slot::PACKET_TYPE, under);
        self.uncover(Cover::Label);
    }

    /// False when the packet goes no further.
    pub(super) fn dec_nsh_ttl(&mut self) -> bool {
        if self.view.key.get(slot::ETH_TYPE) != NSH {
            return false;
        }
        let ttl = self.view.key.get(slot::NSH_TTL);
        if ttl > 1 {
            self.set(slot::NSH_TTL, u128::from(ttl - 1), slot::NSH_TTL.ones(), Need::Nsh);
            return true;
        }
        self.punt(&Arc::new(Punt { max_len: u16::MAX, reason: REASON_INVALID_TTL, ..Punt::default() }));
        self.hint(DropReason::TtlExpired);
        false
    }

    /// A new tag has the id of the one that it covers, if any, and the priority of the VLAN tag.
    pub(super) fn push_pbb(&mut self) {
        if self.is_bare() {
            return self.wrong_type();
        }
        let key = &self.view.key;
        let (dst, src) = (key.get(slot::ETH_DST), key.get(slot::ETH_SRC));
        let priority = key.get(slot::VLAN_PCP) * key.get(slot::VLAN_PRESENT);
        let isid = key.get(slot::PBB_ISID);
        self.forget_headers();
        let key = &mut self.view.key;
        key.set(slot::ETH_DST, dst);
        key.set(slot::ETH_SRC, src);
        key.set(slot::ETH_TYPE, PBB);
        key.set(slot::PBB_ISID, isid);
        self.pending.push(Op::PushPbb { tag: (priority << 29 | isid) as u32 });
    }

    pub(super) fn pop_pbb(&mut self) {
        if !self.is_bare() && self.view.key.get(slot::ETH_TYPE) == PBB {
            self.uncover(Cover::Pbb);
        }
    }
}

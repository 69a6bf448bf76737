//! Headers with a whole packet under them: put on, taken off, read and written.
//!
//! Purpose: `encap`, `decap` and the fields of network service headers (RFC 8300), on the bytes themselves.
//! A packet without Ethernet header keeps its type where an Ethernet header would have it.
//! Deliberately does not know: rules.

use sluice_flow::key::slot;
use sluice_flow::{Key, Slot};

use crate::frame::{be16, is_mpls, put, wide, Frame, BOTTOM};

const NSH: u16 = 0x894f;
const PT_NSH: u32 = 0x1_894f;
/// What a label's payload is called that is a whole Ethernet frame.
const BRIDGED: u16 = 0x6558;

/// How an `encap` or `decap` ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Covered {
    /// Done.
    Done,
    /// Done; the packet is one of which nothing was known.
    Uncovered,
    /// Not with a packet of this type: the packet is dropped.
    Wrong,
    /// Stock switches do this in a way of their own.
    Odd(&'static str),
}

impl Frame {
    /// A packet without Ethernet header.
    fn bare(eth_type: u16, payload: &[u8]) -> Frame {
        let bytes = [&[0; 12][..], &eth_type.to_be_bytes(), payload].concat();
        let mut frame = Frame::parse(&bytes).expect("it has a header's length");
        frame.packet_type = 1 << 16 | u32::from(eth_type);
        frame
    }

    /// What goes on the wire of an Ethernet frame; else everything behind the missing header.
    fn own_bytes(&self) -> Vec<u8> {
        let skip = if self.packet_type == 0 { 0 } else { 12 + self.net };
        self.bytes()[skip..].to_vec()
    }

    /// Length of the packet.
    pub fn own_len(&self) -> usize {
        self.own_bytes().len()
    }

    /// An Ethernet header for a packet that has none.
    pub fn encap_ethernet(&mut self) -> Covered {
        if self.packet_type >> 16 != 1 {
            return Covered::Wrong;
        }
        self.packet_type = 0;
        Covered::Done
    }

    /// A network service header; `metadata` where its type is 2.
    pub fn encap_nsh(&mut self, md_type: u8, metadata: &[u8]) -> Covered {
        let next = match self.packet_type {
            0 => 3,
            0x1_0800 => 1,
            0x1_86dd => 2,
            PT_NSH => 4,
            _ => return Covered::Wrong,
        };
        let context = if md_type == 1 { vec![0; 16] } else { metadata.to_vec() };
        let words = (8 + context.len()) / 4;
        let mut packet = (63u16 << 6 | words as u16).to_be_bytes().to_vec();
        packet.extend([md_type, next, 0, 0, 0, 255]);
        packet.extend(context);
        packet.extend(self.own_bytes());
        *self = Frame::bare(NSH, &packet);
        Covered::Done
    }

    /// A label in front of the packet, its Ethernet header included.
    pub fn encap_mpls(&mut self, eth_type: u16) -> Covered {
        // Stock switches take the TTL of no packet here, unlike where a label is pushed.
        let entry: u32 = if self.eth_type == 0x86dd { 0x2140 } else { 0x0140 };
        if self.packet_type != 0 {
            if !self.push_label(eth_type) {
                return Covered::Odd("too many labels");
            }
            if let [only] = self.labels.as_mut_slice() {
                *only = entry;
            }
            self.packet_type = 1 << 16 | u32::from(eth_type);
            return Covered::Done;
        }
        if is_mpls(self.eth_type) || !self.tags.is_empty() {
            return Covered::Odd("labels in front of a frame that has labels or tags");
        }
        let packet = [&entry.to_be_bytes()[..], &self.own_bytes()].concat();
        *self = Frame::bare(eth_type, &packet);
        Covered::Done
    }

    /// The outermost header goes.
    pub fn decap(&mut self, under_label: u32) -> Covered {
        match self.packet_type {
            0 if !self.tags.is_empty() => return Covered::Wrong,
            0 if self.eth_type == 0x05ff => return Covered::Odd("a frame with a length"),
            0 => {
                self.macs = [0; 12];
                self.rest.splice(..self.net, self.eth_type.to_be_bytes());
                self.net = 2;
                self.packet_type = 1 << 16 | u32::from(self.eth_type);
            }
            PT_NSH => return self.decap_nsh(),
            t if t >> 16 == 1 && is_mpls(t as u16) => return self.decap_label(under_label as u16),
            _ => return Covered::Wrong,
        }
        Covered::Done
    }

    fn decap_nsh(&mut self) -> Covered {
        let Some(len) = self.nsh_len() else { return Covered::Wrong };
        let inner = self.rest[self.net + len..].to_vec();
        let next = match self.rest[self.net + 3] {
            1 => Some(0x0800),
            2 => Some(0x86dd),
            3 => None,
            4 => Some(NSH),
            _ => return Covered::Wrong,
        };
        self.uncovered(next, &inner)
    }

    fn decap_label(&mut self, eth_type: u16) -> Covered {
        match self.labels.as_slice() {
            [one] if one & BOTTOM != 0 => {}
            [_, _, ..] if is_mpls(eth_type) => {
                if !self.pop_label(eth_type) {
                    return Covered::Odd("more labels than are looked at");
                }
                self.packet_type = 1 << 16 | u32::from(eth_type);
                return Covered::Done;
            }
            _ => return Covered::Odd("labels left under one that is not on top of labels"),
        }
        let inner = self.rest[self.net..].to_vec();
        self.uncovered(Some(eth_type).filter(|t| *t != 0 && *t != BRIDGED), &inner)
    }

    fn uncovered(&mut self, eth_type: Option<u16>, inner: &[u8]) -> Covered {
        let frame = match eth_type {
            Some(0x8100 | 0x88a8) => return Covered::Odd("a tag without a frame"),
            Some(t) => Some(Frame::bare(t, inner)),
            None => Frame::parse(inner),
        };
        let Some(frame) = frame else { return Covered::Odd("a frame shorter than its header") };
        if eth_type == Some(NSH) && frame.nsh_len().is_none() {
            return Covered::Odd("a service header that contradicts itself");
        }
        if matches!(eth_type, Some(0x0800 | 0x86dd)) && frame.ip().is_none() {
            return Covered::Odd("a packet that is no sound IP under a header that says so");
        }
        *self = frame;
        Covered::Uncovered
    }

    /// Length of the network service header, where it is sound.
    fn nsh_len(&self) -> Option<usize> {
        let header = self.rest.get(self.net..).filter(|h| self.eth_type == NSH && h.len() >= 8)?;
        let len = usize::from(header[1] & 0x3f) * 4;
        let suits = match header[2] {
            1 => len == 24,
            2 => len >= 8,
            _ => true,
        };
        (header[0] >> 6 == 0 && len <= header.len() && suits).then_some(len)
    }

    pub(crate) fn nsh_key(&self, key: &mut Key) {
        if self.nsh_len().is_none() {
            return;
        }
        let header = &self.rest[self.net..];
        let first = u64::from(be16(header, 0).unwrap_or(0));
        key.set(slot::NSH_FLAGS, first >> 12 & 3);
        key.set(slot::NSH_TTL, first >> 6 & 0x3f);
        key.set(slot::NSH_MDTYPE, u64::from(header[2]));
        key.set(slot::NSH_NP, u64::from(header[3]));
        key.set(slot::NSH_SPI, wide(&header[4..7]) as u64);
        key.set(slot::NSH_SI, u64::from(header[7]));
        for n in (1..=4).filter(|_| header[2] == 1) {
            let at = 4 + 4 * usize::from(n);
            key.set(slot::nsh_c(n), wide(&header[at..at + 4]) as u64);
        }
        for (place, value) in &self.absent {
            key.set_wide(*place, *value);
        }
    }

    pub(crate) fn write_nsh(&mut self, place: Slot, value: u128) {
        if self.nsh_len().is_none() {
            self.odd_service = true;
            return;
        }
        let at = self.net;
        let first = u128::from(be16(&self.rest, at).unwrap_or(0));
        let md1 = self.rest[at + 2] == 1;
        match place {
            slot::NSH_FLAGS => put(&mut self.rest, at, 2, first & !0x3000 | (value & 3) << 12),
            slot::NSH_TTL => put(&mut self.rest, at, 2, first & !0x0fc0 | (value & 0x3f) << 6),
            slot::NSH_SPI => put(&mut self.rest, at + 4, 3, value),
            slot::NSH_SI => put(&mut self.rest, at + 7, 1, value),
            _ => match (1..=4).find(|n| slot::nsh_c(*n) == place) {
                Some(n) if md1 => put(&mut self.rest, at + 4 + 4 * usize::from(n), 4, value),
                Some(_) => self.absent.push((place, value)),
                None => {}
            },
        }
    }

    /// A backbone's Ethernet header and service instance tag in front of the frame (IEEE 802.1ah).
    pub fn push_pbb(&mut self) -> Covered {
        if self.packet_type != 0 {
            return Covered::Wrong;
        }
        let isid = self.key().get(slot::PBB_ISID) as u32;
        let priority = self.tags.first().map_or(0, |t| u32::from(t.tci >> 13));
        let tag = (priority << 29 | isid).to_be_bytes();
        let bytes = [&self.macs[..], &[0x88, 0xe7], &tag, &self.bytes()].concat();
        *self = Frame::parse(&bytes).expect("it has a header's length");
        Covered::Done
    }

    /// Those go again; a VLAN tag of the backbone stays.
    pub fn pop_pbb(&mut self) -> Covered {
        if self.packet_type != 0 || self.eth_type != 0x88e7 {
            return Covered::Done;
        }
        let Some(inner) = self.rest.get(self.net + 4..).filter(|i| i.len() >= 12) else {
            return Covered::Odd("a backbone tag without a frame");
        };
        let whole = self.bytes();
        let tags = &whole[12..12 + 4 * self.tags.len()];
        let bytes = [&inner[..12], tags, &inner[12..]].concat();
        match Frame::parse(&bytes) {
            Some(frame) => *self = frame,
            None => return Covered::Odd("a frame shorter than its header"),
        }
        Covered::Uncovered
    }

    pub(crate) fn pbb_key(&self, key: &mut Key) {
        if let Some(tag) = self.rest.get(self.net..self.net + 4) {
            key.set(slot::PBB_UCA, u64::from(tag[0] >> 3 & 1));
            key.set(slot::PBB_ISID, wide(&tag[1..]) as u64);
        }
    }

    pub(crate) fn write_pbb(&mut self, place: Slot, value: u128) {
        let at = self.net;
        let Some(&first) = self.rest.get(at).filter(|_| self.rest.len() >= at + 4) else { return };
        match place {
            slot::PBB_ISID => put(&mut self.rest, at + 1, 3, value),
            slot::PBB_UCA => put(&mut self.rest, at, 1, u128::from(first & !8) | (value & 1) << 3),
            _ => {}
        }
    }
}

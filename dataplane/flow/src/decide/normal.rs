//! NORMAL: a learning switch with VLANs (IEEE 802.1Q).

use super::walk::Walk;
use crate::action::OfPort;
use crate::drop::DropReason;
use crate::key::slot;
use crate::program::{Bridge, Port};
use crate::verdict::{Effect, Op};
use crate::vlan::{Tag, Tags};

const MULTICAST_BIT: u64 = 1 << 40;
/// 01:80:c2:00:00:00 to 0f: addresses that a bridge must not forward (IEEE 802.1D table 7-10).
const RESERVED: u64 = 0x0180_c200_0000;
/// Discovery, spanning tree and ring protocols of vendors that Open vSwitch keeps back too.
const RESERVED_BY_VENDORS: [u64; 7] = [
    0x00e0_2b00_0000,
    0x00e0_2b00_0004,
    0x00e0_2b00_0006,
    0x0100_0c00_0000,
    0x0100_0ccc_cccc,
    0x0100_0ccc_cccd,
    0x0100_0ccd_cdcd,
];
/// The first of eight addresses of connectivity checks.
const RESERVED_CHECKS: u64 = 0x0100_0ccc_ccc0;

impl Walk<'_> {
    pub(super) fn normal(&mut self) {
        let Some(bridge) = self.bridge() else { return };
        let in_port = self.in_port();
        let Some(port) = bridge.ports.get(&in_port) else {
            return self.hint(DropReason::PortGone);
        };
        let Some(inside) = self.admit(bridge, port) else { return };
        let (vlan, dst) = (inside[0].vid, self.view.key.get(slot::ETH_DST));
        if is_reserved(dst) && !bridge.normal.forward_bpdu {
            return self.hint(DropReason::ReservedAddress);
        }
        if let Err(reason) = self.admit_by_bond(bridge, port, vlan) {
            return self.hint(reason);
        }
        let from = port.bond.unwrap_or(in_port);
        let learns = !bridge.normal.flood_vlans.has(vlan);
        if learns && !self.is_bare() {
            self.learn_source(bridge, vlan, from);
        }
        if self.snooped(bridge, inside, from) {
            return;
        }
        match self.known_port(bridge, vlan, dst).filter(|_| learns) {
            Some(out) if out == from => self.hint(DropReason::SamePort),
            Some(out) if bridge.ports.contains_key(&out) => self.send_in_vlan(bridge, out, inside),
            _ => self.flood_vlan(bridge, inside, from),
        }
    }

    /// The packet inside the bridge, if it may enter there.
    fn admit(&mut self, bridge: &Bridge, port: &Port) -> Option<Tags> {
        let came = self.tags();
        let refused = if self.has_half_a_tag() || !port.vlan.admits(came[0].vid) {
            DropReason::VlanNotAllowed
        } else if bridge.normal.is_mirror_output(self.in_port()) {
            DropReason::MirrorPort
        } else {
            return Some(port.vlan.entering(came));
        };
        self.hint(refused);
        None
    }

    /// The frame ends within its VLAN tag, or shows a second one where only one is looked at.
    fn has_half_a_tag(&self) -> bool {
        let key = &self.view.key;
        matches!(key.get(slot::ETH_TYPE), 0x8100 | 0x88a8) && key.get(slot::VLAN_PRESENT) == 0
    }

    /// The tags that are known of the packet.
    pub(super) fn tags(&self) -> Tags {
        let key = &self.view.key;
        if key.get(slot::VLAN_PRESENT) == 0 {
            return Tags::default();
        }
        let tag = |(tpid, tci): (u64, u64)| Tag::new(tpid as u16, tci as u16);
        let inner = self.view.inner_vlans.last().copied().map_or(Tag::default(), tag);
        [tag((key.get(slot::VLAN_TPID), key.get(slot::VLAN_TCI))), inner]
    }

    fn learn_source(&mut self, bridge: &Bridge, vlan: u16, port: OfPort) {
        let src = self.view.key.get(slot::ETH_SRC);
        if src & MULTICAST_BIT != 0 {
            return;
        }
        let how = self.sighting(bridge, port);
        bridge.fdb.learn_as(vlan, src, port, how, self.now_ms);
        self.deps.add(bridge.fdb.versions(), bridge.fdb.bucket(vlan, src));
        self.effect(match self.view.source_written {
            true => Effect::DecideAgain,
            false => Effect::Seen { bridge: self.view.bridge, vlan, port },
        });
    }

    fn known_port(&mut self, bridge: &Bridge, vlan: u16, dst: u64) -> Option<OfPort> {
        if dst & MULTICAST_BIT != 0 {
            return None;
        }
        self.deps.add(bridge.fdb.versions(), bridge.fdb.bucket(vlan, dst));
        bridge.fdb.lookup(vlan, dst, self.now_ms)
    }

    pub(super) fn flood_vlan(&mut self, bridge: &Bridge, inside: Tags, from: OfPort) {
        let unicast = self.view.key.get(slot::ETH_DST) & MULTICAST_BIT == 0;
        self.flood_limited(unicast, |w| w.flood_members(bridge, inside, from));
    }

    fn flood_members(&mut self, bridge: &Bridge, inside: Tags, from: OfPort) {
        for (&n, port) in &bridge.ports {
            // A bond is seen once, at the member that stands for all.
            let stands = port.bond.is_none_or(|b| b == n);
            if n != from && stands && !port.no_flood && port.vlan.carries(&inside) && !bridge.normal.is_mirror_output(n) {
                self.send_in_vlan(bridge, n, inside);
            }
        }
    }

    /// Sends with the tags that the port wants, and puts the packet's own tags back afterwards.
    pub(super) fn send_in_vlan(&mut self, bridge: &Bridge, out: OfPort, inside: Tags) {
        let Some(port) = bridge.ports.get(&out) else { return };
        let (tags, n) = port.vlan.leaving(inside, port.priority_tags, self.tags()[0]);
        let wanted = tags.get(..n).unwrap_or(&[]);
        let known = self.known_tags();
        let vlan = wanted.first().map_or(0, |t| t.vid);
        let Some(out) = self.member(bridge, port.bond, out, vlan) else {
            return self.hint(DropReason::BondDown);
        };
        if wanted == known.as_slice() {
            return self.compose(out, None);
        }
        self.branch(|w| {
            w.change_tags(&known, wanted);
            w.compose(out, None);
        });
    }

    /// The tags that are known of the packet, outer one first: two at most.
    fn known_tags(&self) -> Vec<Tag> {
        let present = usize::from(self.view.key.get(slot::VLAN_PRESENT) != 0);
        let n = if present == 0 { 0 } else { (1 + self.view.inner_vlans.len()).min(2) };
        self.tags().into_iter().take(n).collect()
    }

    /// Takes tags off and puts others on, leaving alone those that stay at the inner end.
    ///
    /// The type of a tag that the frame came with is not in the key set: such a tag is taken off or
    /// changed in place, whatever its type.
    fn change_tags(&mut self, known: &[Tag], wanted: &[Tag]) {
        let same = known.iter().rev().zip(wanted.iter().rev()).take_while(|(a, b)| a == b).count();
        let (off, on) = (known.len() - same, wanted.len() - same);
        if let (1, 1, Some(tag @ Tag { own: true, .. })) = (off, on, wanted.first()) {
            return self.retag(u64::from(tag.tci()));
        }
        (0..off).for_each(|_| self.pop_vlan());
        for tag in wanted.iter().take(on).rev() {
            self.push_vlan(tag.tpid, u64::from(tag.tci()));
        }
    }

    fn retag(&mut self, tci: u64) {
        self.view.key.set(slot::VLAN_TCI, tci);
        self.wrote(slot::VLAN_TCI);
        self.pending.push(Op::Set { slot: slot::VLAN_TCI, value: tci as u128, mask: 0xffff });
    }
}

/// Is this an address that bridges keep to themselves?
pub(super) fn is_reserved(dst: u64) -> bool {
    dst & !0xf == RESERVED || dst & !7 == RESERVED_CHECKS || RESERVED_BY_VENDORS.contains(&dst)
}

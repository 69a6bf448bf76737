//! NORMAL, traced.
//!
//! Purpose: which VLAN a packet is in, what is known of its destination, which ports it floods to.
//! Deliberately does not know: ageing.

use sluice_flow::key::slot;
use sluice_openflow::PortNo;
use sluice_ovsdb_bridge::{PriorityTags, VlanMode};

use super::packet::PRESENT;
use super::ports::{includes, is_floodable, tag, trunks, vlan_mode};
use super::tree::Kind;
use super::walk::{Effect, Walk};
use crate::daemon::switch::bridge::PortState;

const BROADCAST: u64 = 0xffff_ffff_ffff;
const MULTICAST_BIT: u64 = 1 << 40;
const RESERVED: u64 = 0x0180_c200_0000;

/// A VLAN tag while the packet is inside the bridge: type, id, priority bits.
#[derive(Clone, Copy, Default, PartialEq)]
struct Tag {
    tpid: u16,
    vid: u16,
    pcp: u16,
}

type Tags = [Tag; 2];

impl Walk<'_> {
    pub(super) fn normal(&mut self) {
        self.wc.mark_all(slot::ETH_SRC);
        self.wc.mark_all(slot::ETH_DST);
        self.wc.mark(slot::VLAN_TCI, 0x1fff);
        let in_port = self.packet.in_port();
        let Some(port) = self.port(in_port) else { return self.say(Kind::Warn, "no input bundle, dropping") };
        let came_with = self.came_with();
        if !self.is_allowed(port, came_with[0].vid) {
            return self.say(Kind::Warn, "disallowed VLAN VID for this input port, dropping");
        }
        let tags = inside(port, came_with);
        let vlan = tags[0].vid;
        let (src, dst) = (self.packet.get(slot::ETH_SRC), self.packet.get(slot::ETH_DST));
        let forwards_bpdu = self.bridge().is_some_and(|b| b.wanted.normal.forward_bpdu);
        if dst & !0xf == RESERVED && !forwards_bpdu {
            return self.say(Kind::Detail, "packet has reserved destination MAC, dropping");
        }
        self.look_at_gratuitous_arp(dst);
        if self.side_effects && src & MULTICAST_BIT == 0 {
            self.see(port, vlan, src);
        }
        match self.known(vlan, dst) {
            Some(out) if out == in_port || self.are_one(out, in_port) => self.say(Kind::Detail, "learned port is input port, dropping"),
            Some(out) if self.port(out).is_none() => self.say(Kind::Warn, "learned port is unknown, dropping"),
            Some(out) => {
                self.say(Kind::Detail, "forwarding to learned port");
                self.send_tagged(out, tags);
            }
            None => {
                self.say(Kind::Detail, "no learned MAC for destination, flooding");
                self.flood_vlan(in_port, tags);
            }
        }
    }

    /// The source of a real packet is learned.
    fn see(&mut self, port: &PortState, vlan: u16, src: u64) {
        let Some(bridge) = self.bridge().filter(|b| !b.wanted.normal.flood_vlans.contains(&vlan)) else { return };
        let index = self.bridge;
        let seen = |e: &Effect| match e {
            Effect::Seen { bridge, vlan: v, mac, port } if (*bridge, *v, *mac) == (index, vlan, src) => Some(*port),
            _ => None,
        };
        let now = self.effects.iter().rev().find_map(seen);
        let known = || bridge.fdb.entries().into_iter().find(|e| (e.vlan, e.mac) == (vlan, src)).map(|e| PortNo(e.port));
        if now.or_else(known) != Some(port.number) {
            let mac = super::commit::mac(src);
            self.say(Kind::Detail, format!("learned that {mac} is on port {} in VLAN {vlan}", port.name));
        }
        self.effects.push(Effect::Seen { bridge: index, vlan, mac: src, port: port.number });
    }

    fn came_with(&self) -> Tags {
        let mut tags = Tags::default();
        for (tag, (tpid, tci)) in tags.iter_mut().zip(self.packet.tags()) {
            *tag = Tag { tpid, vid: tci & 0xfff, pcp: tci & 0xe000 };
        }
        tags
    }

    fn known(&self, vlan: u16, dst: u64) -> Option<PortNo> {
        let bridge = self.bridge()?;
        // What this very packet has taught counts.
        let now = self.effects.iter().rev().find_map(|e| match e {
            Effect::Seen { bridge, vlan: v, mac, port } if (*bridge, *v, *mac) == (self.bridge, vlan, dst) => Some(*port),
            _ => None,
        });
        if now.is_some() {
            return now;
        }
        let floods = dst & MULTICAST_BIT != 0 || bridge.wanted.normal.flood_vlans.contains(&vlan);
        let entries = if floods { Vec::new() } else { bridge.fdb.entries() };
        entries.iter().find(|e| e.vlan == vlan && e.mac == dst).map(|e| PortNo(e.port))
    }

    /// Whether two ports are members of one bond.
    fn are_one(&self, a: PortNo, b: PortNo) -> bool {
        let name = |n| self.port(n).map(|p| p.name.clone()).unwrap_or_default();
        let (a, b) = (name(a), name(b));
        self.bridge().is_some_and(|bridge| bridge.wanted.bonds.iter().any(|bond| bond.members.contains(&a) && bond.members.contains(&b)))
    }

    fn is_allowed(&mut self, port: &PortState, vid: u16) -> bool {
        let name = &port.name;
        let text = match vlan_mode(port) {
            VlanMode::Access if vid != 0 => {
                format!("dropping VLAN {vid} tagged packet received on port {name} configured as VLAN {} access port", tag(port))
            }
            VlanMode::NativeTagged | VlanMode::NativeUntagged if vid == 0 => return true,
            VlanMode::Trunk | VlanMode::NativeTagged | VlanMode::NativeUntagged if !trunks(port, vid) => {
                format!("dropping VLAN {vid} packet received on port {name} not configured for trunking VLAN {vid}")
            }
            VlanMode::Dot1qTunnel if excludes(port, vid) => {
                format!("dropping VLAN {vid} packet received on dot1q-tunnel port {name} that excludes this VLAN")
            }
            _ => return true,
        };
        self.say(Kind::Error, text);
        false
    }

    /// Who announces its own address may have moved: more of the packet is looked at.
    fn look_at_gratuitous_arp(&mut self, dst: u64) {
        if self.packet.eth_type() != 0x0806 || dst != BROADCAST {
            return;
        }
        self.wc.mark_all(slot::NW_PROTO);
        match self.packet.protocol() {
            2 => {}
            1 => {
                self.wc.mark_all(slot::NW_SRC);
                self.wc.mark_all(slot::NW_DST);
            }
            _ => {}
        }
    }

    fn flood_vlan(&mut self, in_port: PortNo, tags: Tags) {
        let Some(bridge) = self.bridge() else { return };
        let vlan = tags[0].vid;
        let mut bonds = Vec::new();
        for port in bridge.ports.values() {
            if port.number == in_port || self.are_one(port.number, in_port) || !is_floodable(port) || !includes(port, vlan) {
                continue;
            }
            // One member of each bond.
            if let Some(bond) = bridge.wanted.bonds.iter().find(|b| b.members.contains(&port.name)) {
                if bonds.contains(&bond.name) {
                    continue;
                }
                bonds.push(bond.name.clone());
            }
            self.send_tagged(port.number, tags);
        }
    }

    fn send_tagged(&mut self, to: PortNo, tags: Tags) {
        let Some(port) = self.port(to) else { return };
        let priority_tags = port.wanted.as_ref().map_or(PriorityTags::Never, |w| w.switching.priority_tags);
        let mut out = outside(port, tags);
        if priority_tags != PriorityTags::Never {
            out[0].pcp = self.packet.tci() & 0xe000;
        }
        let saved = self.packet.tags();
        let mut put = Vec::new();
        for tag in out {
            let tci = tag.vid | tag.pcp & 0xe000;
            let empty_tag = priority_tags == PriorityTags::Always && tag.tpid != 0;
            if tci != 0 && (tag.vid != 0 || tag.pcp != 0) || empty_tag {
                put.push((if tag.tpid == 0 { 0x8100 } else { tag.tpid }, tci | PRESENT));
            }
        }
        self.packet.set_tags(&put);
        self.send(to, false);
        self.packet.set_tags(&saved);
    }
}

/// Customer VLANs that a dot1q-tunnel does not take.
fn excludes(port: &PortState, vid: u16) -> bool {
    port.wanted.as_ref().is_some_and(|w| !w.switching.cvlans.is_empty() && !w.switching.cvlans.contains(&vid))
}

/// The tags inside the bridge of a packet that came in by a port.
fn inside(port: &PortState, came: Tags) -> Tags {
    let own = |tpid: u16| Tag { tpid: if tpid == 0 { 0x8100 } else { tpid }, vid: tag(port), pcp: came[0].pcp };
    match vlan_mode(port) {
        VlanMode::Access => [own(came[0].tpid), Tag::default()],
        VlanMode::NativeTagged | VlanMode::NativeUntagged if came[0].vid == 0 => [own(came[0].tpid), came[1]],
        VlanMode::Dot1qTunnel => {
            let service = port.wanted.as_ref().map_or(0x88a8, |w| w.switching.qinq_ethtype);
            [Tag { tpid: service, vid: tag(port), pcp: 0 }, came[0]]
        }
        _ => came,
    }
}

/// The tags with which a packet leaves by a port.
fn outside(port: &PortState, tags: Tags) -> Tags {
    let popped = [tags[1], Tag::default()];
    match vlan_mode(port) {
        VlanMode::Access => Tags::default(),
        VlanMode::NativeUntagged if tags[0].vid == tag(port) => popped,
        VlanMode::Dot1qTunnel => popped,
        _ => tags,
    }
}

//! NORMAL: a learning switch with VLANs, and the mirrors that see what it sees.
//!
//! Deliberately does not know: tables, registers.

use sluice_flow::key::slot;

use crate::frame::Tag;
use crate::walk::Walk;
use crate::world::{MirrorSpec, PortSettings, PortSpec, PriorityTags, VlanMode};

/// Milliseconds until a learned address is forgotten.
pub(crate) const AGEING: u64 = 300_000;

/// What NORMAL knows of a tag: type (0 for "none yet"), id, priority bits.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Vlan {
    tpid: u16,
    vid: u16,
    pcp: u16,
}

/// The outer tag and the one behind it.
type Vlans = [Vlan; 2];

impl Walk<'_> {
    pub(crate) fn normal(&mut self) {
        let in_port = self.in_port();
        let Some(spec) = self.bridges[self.bridge].port(in_port).cloned() else { return };
        let key = self.frame.key();
        if matches!(key.get(slot::ETH_TYPE), 0x8100 | 0x88a8) && self.frame.tags.is_empty() {
            return;
        }
        if self.is_mirror_output(in_port) {
            return;
        }
        if self.frame.tags.len() > 2 {
            self.doubtful = Some("a third tag: Open vSwitch knows of two");
        }
        let came = self.vlans();
        if !admits(&spec.settings, came[0].vid) {
            return;
        }
        let vlans = entering(&spec.settings, came);
        let vlan = vlans[0].vid;
        let (src, dst) = (key.get(slot::ETH_SRC), key.get(slot::ETH_DST));
        if !self.bridges[self.bridge].forward_bpdu && reserved(dst) {
            return;
        }
        let (now, bridge) = (self.now, self.bridge);
        let learns = !self.bridges[bridge].flood_vlans.contains(&vlan);
        if src >> 40 & 1 == 0 && learns && self.frame.packet_type == 0 {
            self.bridges[bridge].fdb.insert((vlan, src), (in_port, now));
        }
        let known = self.bridges[bridge].fdb.get(&(vlan, dst)).filter(|(_, seen)| learns && now - seen < AGEING).map(|k| k.0);
        match known {
            Some(port) if port == in_port => {}
            Some(port) => {
                if let Some(to) = self.bridges[bridge].port(port).cloned() {
                    self.send_in_vlans(&to, vlans);
                }
            }
            None => self.flood_in_vlans(&spec, vlans),
        }
    }

    fn flood_in_vlans(&mut self, from: &PortSpec, vlans: Vlans) {
        self.flooded = true;
        for to in self.bridges[self.bridge].ports.clone() {
            if to.number != from.number && !to.settings.no_flood && carries(&to.settings, vlans) && !self.is_mirror_output(to.number) {
                self.send_in_vlans(&to, vlans);
            }
        }
    }

    fn vlans(&self) -> Vlans {
        let mut all = Vlans::default();
        for (v, t) in all.iter_mut().zip(&self.frame.tags) {
            *v = Vlan { tpid: t.tpid, vid: t.tci & 0xfff, pcp: t.tci & 0xe000 };
        }
        all
    }

    /// Sends with the tags that the port wants.
    fn send_in_vlans(&mut self, to: &PortSpec, vlans: Vlans) {
        let s = &to.settings;
        let mut vlans = leaving(s, vlans);
        if s.priority_tags != PriorityTags::Never {
            vlans[0].pcp = self.frame.tags.first().map_or(0, |t| t.tci & 0xe000);
        }
        let saved = self.frame.tags.clone();
        let mut tags: Vec<Tag> = saved.get(2..).unwrap_or(&[]).to_vec();
        let present = |v: &Vlan| (v.vid | v.pcp) != 0 || s.priority_tags == PriorityTags::Always && v.tpid != 0;
        let seen: Vec<Tag> = vlans
            .iter()
            .take_while(|v| present(v))
            .map(|v| Tag { tpid: if v.tpid == 0 { 0x8100 } else { v.tpid }, tci: v.vid | v.pcp | 0x1000 })
            .collect();
        if to.peer.is_some() && seen.is_empty() && (vlans[0].tpid == 0x88a8 || saved.first().is_some_and(|t| t.tpid != 0x8100)) {
            self.doubtful = Some("the type of a tag that was left out, on the way to another bridge");
        }
        if self.frame.packet_type != 0 && !seen.is_empty() {
            self.doubtful = Some("a tag in front of a packet without Ethernet header");
        }
        tags.splice(0..0, seen);
        self.frame.tags = tags;
        self.send(to.number, None);
        self.frame.tags = saved;
    }

    // --- mirrors ----------------------------------------------------------------------------------

    pub(crate) fn is_mirror_output(&self, port: u32) -> bool {
        self.bridges[self.bridge].mirrors.iter().any(|m| m.to_port == Some(port))
    }

    /// Copies of what comes in by a port.
    pub(crate) fn mirror_incoming(&mut self, port: u32) {
        self.mirror(port, false, |m| m.all || m.src.contains(&port));
    }

    /// Copies of what leaves by a port.
    pub(crate) fn mirror_leaving(&mut self, port: u32) {
        self.mirror(port, true, |m| m.all || m.dst.contains(&port));
    }

    fn mirror(&mut self, port: u32, leaves: bool, wanted: impl Fn(&MirrorSpec) -> bool) {
        let mirrors = self.bridges[self.bridge].mirrors.clone();
        if mirrors.is_empty() {
            return;
        }
        let Some(spec) = self.bridges[self.bridge].port(port).cloned() else { return };
        let came = self.vlans();
        if !admits(&spec.settings, came[0].vid) {
            return;
        }
        let vlans = entering(&spec.settings, came);
        for (i, m) in mirrors.iter().enumerate().filter(|(_, m)| wanted(m)) {
            if self.mirrored >> i & 1 != 0 || !m.vlans.is_empty() && !m.vlans.contains(&vlans[0].vid) {
                continue;
            }
            for (j, other) in mirrors.iter().enumerate() {
                let same = (other.to_port, other.to_vlan.filter(|_| other.to_port.is_none()))
                    == (m.to_port, m.to_vlan.filter(|_| m.to_port.is_none()));
                self.mirrored |= u64::from(same) << j;
            }
            if vlans[0].tpid == 0x88a8 && leaves {
                self.doubtful = Some("the type of the service tag of a copy of what leaves");
            }
            self.snaplen = m.snaplen.filter(|n| (14..65535).contains(n)).map(u32::from);
            self.send_to_mirror(m, vlans);
            self.snaplen = None;
        }
    }

    fn send_to_mirror(&mut self, m: &MirrorSpec, vlans: Vlans) {
        if let Some(port) = m.to_port {
            if let Some(to) = self.bridges[self.bridge].port(port).cloned() {
                self.send_in_vlans(&to, vlans);
            }
            return;
        }
        let Some(vlan) = m.to_vlan else { return };
        if vlan == vlans[0].vid || reserved(self.frame.key().get(slot::ETH_DST)) {
            return;
        }
        self.flooded = true;
        let moved = [Vlan { vid: vlan, ..vlans[0] }, vlans[1]];
        for to in self.bridges[self.bridge].ports.clone() {
            if carries(&to.settings, moved) && !self.is_mirror_output(to.number) {
                self.send_in_vlans(&to, moved);
            }
        }
    }
}

/// May a frame with this VLAN id enter by a port like that?
fn admits(s: &PortSettings, vid: u16) -> bool {
    match s.mode {
        VlanMode::Access => vid == 0,
        VlanMode::Trunk => trunks(s, vid),
        VlanMode::NativeTagged | VlanMode::NativeUntagged => vid == 0 || trunks(s, vid),
        VlanMode::Dot1qTunnel => s.cvlans.is_empty() || s.cvlans.contains(&vid),
    }
}

fn own(s: &PortSettings) -> u16 {
    s.tag.unwrap_or(0)
}

fn trunks(s: &PortSettings, vid: u16) -> bool {
    let listed = s.trunks.is_empty() || s.trunks.contains(&vid);
    match s.mode {
        VlanMode::NativeTagged | VlanMode::NativeUntagged if own(s) != 0 => (listed || vid == own(s)) && vid != 0,
        _ => listed,
    }
}

/// The tags that a frame has inside the switch.
fn entering(s: &PortSettings, came: Vlans) -> Vlans {
    let mut vlans = came;
    let tpid = if came[0].tpid == 0 { 0x8100 } else { came[0].tpid };
    match s.mode {
        VlanMode::Trunk => {}
        VlanMode::Access => vlans = [Vlan { tpid, vid: own(s), ..came[0] }, Vlan::default()],
        VlanMode::NativeTagged | VlanMode::NativeUntagged => {
            if vlans[0].vid == 0 {
                vlans[0] = Vlan { tpid, vid: own(s), ..came[0] };
            }
        }
        VlanMode::Dot1qTunnel => {
            let tpid = if s.service_8021q { 0x8100 } else { 0x88a8 };
            vlans = [Vlan { tpid, vid: own(s), pcp: 0 }, came[0]];
        }
    }
    vlans
}

/// The tags that a frame leaves with.
fn leaving(s: &PortSettings, vlans: Vlans) -> Vlans {
    match s.mode {
        VlanMode::Trunk | VlanMode::NativeTagged => vlans,
        VlanMode::NativeUntagged if vlans[0].vid == own(s) => [vlans[1], Vlan::default()],
        VlanMode::NativeUntagged => vlans,
        VlanMode::Access => Vlans::default(),
        VlanMode::Dot1qTunnel => [vlans[1], Vlan::default()],
    }
}

/// Does the port carry frames with these tags?
fn carries(s: &PortSettings, vlans: Vlans) -> bool {
    match s.mode {
        VlanMode::Access => vlans[0].vid == own(s) && vlans[1].vid == 0,
        VlanMode::Dot1qTunnel => vlans[0].vid == own(s) && (s.cvlans.is_empty() || s.cvlans.contains(&vlans[1].vid)),
        _ => trunks(s, vlans[0].vid),
    }
}

/// Addresses that bridges keep to themselves: IEEE's and those of some vendors.
fn reserved(dst: u64) -> bool {
    let of_vendors = [
        0x00e0_2b00_0000, 0x00e0_2b00_0004, 0x00e0_2b00_0006, 0x0100_0c00_0000, 0x0100_0ccc_cccc, 0x0100_0ccc_cccd,
        0x0100_0ccd_cdcd,
    ];
    dst & !0xf == 0x0180_c200_0000 || of_vendors.contains(&dst) || dst & !7 == 0x0100_0ccc_ccc0
}

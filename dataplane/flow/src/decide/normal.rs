//! NORMAL: a learning switch with VLANs (IEEE 802.1Q, access and trunk ports).

use super::walk::Walk;
use crate::action::OfPort;
use crate::drop::DropReason;
use crate::key::{slot, VLAN_PRESENT};
use crate::program::{Bridge, Port, VlanMode};
use crate::verdict::Effect;

const MULTICAST_BIT: u64 = 1 << 40;
/// 01:80:c2:00:00:00 to 0f: addresses that a bridge must not forward (IEEE 802.1D table 7-10).
const RESERVED: u64 = 0x0180_c200_0000;

impl Walk<'_> {
    pub(super) fn normal(&mut self) {
        let Some(bridge) = self.bridge() else { return };
        let in_port = self.in_port();
        let dst = self.view.key.get(slot::ETH_DST);
        if dst & !0xf == RESERVED {
            return self.hint(DropReason::ReservedAddress);
        }
        let Some(port) = bridge.ports.get(&in_port) else {
            return self.hint(DropReason::PortGone);
        };
        let Some(vlan) = input_vlan(port, self.view.key.get(slot::VLAN_TCI)) else {
            return self.hint(DropReason::VlanNotAllowed);
        };
        self.learn_source(bridge, vlan, in_port);
        match self.known_port(bridge, vlan, dst) {
            Some(out) if out == in_port => self.hint(DropReason::SamePort),
            Some(out) if bridge.ports.get(&out).is_some_and(|p| carries(p, vlan)) => self.send_in_vlan(bridge, out, vlan),
            _ => self.flood_vlan(bridge, vlan, in_port),
        }
    }

    fn learn_source(&mut self, bridge: &Bridge, vlan: u16, port: OfPort) {
        let src = self.view.key.get(slot::ETH_SRC);
        if src & MULTICAST_BIT != 0 {
            return;
        }
        bridge.fdb.learn(vlan, src, port, self.now_ms);
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

    fn flood_vlan(&mut self, bridge: &Bridge, vlan: u16, in_port: OfPort) {
        for (&n, port) in &bridge.ports {
            if n != in_port && !port.no_flood && carries(port, vlan) {
                self.send_in_vlan(bridge, n, vlan);
            }
        }
    }

    /// Sends with the tag that the port wants, and puts the packet's own tag back afterwards.
    fn send_in_vlan(&mut self, bridge: &Bridge, out: OfPort, vlan: u16) {
        let Some(port) = bridge.ports.get(&out) else { return };
        let tci = self.view.key.get(slot::VLAN_TCI);
        // An access port's device expects no tags at all.
        if matches!(port.vlan, VlanMode::Access(_)) && self.view.inner_vlans.iter().any(|(_, tci)| tci & 0xfff != 0) {
            return;
        }
        let wanted = match &port.vlan {
            VlanMode::Access(_) => 0,
            // A tag that would say nothing, neither an id nor a priority, is left out.
            VlanMode::Trunk(_) if vlan == 0 && tci & 0xe000 == 0 => 0,
            VlanMode::Trunk(_) => VLAN_PRESENT | (tci & 0xe000) | vlan as u64,
        };
        if tci == wanted {
            return self.compose(out, None);
        }
        self.branch(|w| {
            match (tci & VLAN_PRESENT != 0, wanted != 0) {
                (_, false) => w.pop_vlan(),
                (false, true) => w.push_vlan(0x8100, wanted),
                (true, true) => w.retag(wanted),
            }
            w.compose(out, None);
        });
    }

    fn retag(&mut self, tci: u64) {
        self.view.key.set(slot::VLAN_TCI, tci);
        self.wrote(slot::VLAN_TCI);
        self.pending.push(crate::verdict::Op::Set { slot: slot::VLAN_TCI, value: tci as u128, mask: 0xffff });
    }
}

/// VLAN that a frame with this tag belongs to on this port; `None` when it is not allowed there.
fn input_vlan(port: &Port, tci: u64) -> Option<u16> {
    let vid = (tci & 0xfff) as u16;
    match &port.vlan {
        VlanMode::Access(tag) => (vid == 0).then_some(*tag),
        VlanMode::Trunk(_) => carries(port, vid).then_some(vid),
    }
}

fn carries(port: &Port, vlan: u16) -> bool {
    match &port.vlan {
        VlanMode::Access(tag) => *tag == vlan,
        VlanMode::Trunk(None) => true,
        VlanMode::Trunk(Some(list)) => list.contains(&vlan),
    }
}

//! What NORMAL shall do, from the desired state to the program.
//!
//! Purpose: VLAN modes of ports, settings of a bridge, mirrors.
//! Invariant: a mirror or list that names a port which does not exist (yet) works without it.
//! Deliberately does not know: devices, rules.

use std::sync::Arc;

use sluice_flow::normal::{Mirror, MirrorTo, Normal, MIRRORS_MAX};
use sluice_flow::vlan::{PriorityTags, VlanMode, Vlans};
use sluice_flow::{BridgeIdx, Change};
use sluice_ovsdb_bridge as desired;

use super::bridge::{Bridge, PortState};
use super::Switch;

/// Shortest and longest copies that make sense.
const SNAPLEN: std::ops::Range<u16> = 14..65535;

/// How a port carries VLANs.
pub(super) fn vlan_mode(port: &PortState) -> VlanMode {
    let Some(wanted) = &port.wanted else { return VlanMode::Trunk(None) };
    let s = &wanted.switching;
    let tag = wanted.tag.unwrap_or(0);
    let implied = if wanted.tag.is_some() { desired::VlanMode::Access } else { desired::VlanMode::Trunk };
    match s.vlan_mode.unwrap_or(implied) {
        desired::VlanMode::Access => VlanMode::Access(tag),
        desired::VlanMode::Trunk => VlanMode::Trunk(list(&s.trunks)),
        desired::VlanMode::NativeTagged => VlanMode::native(tag, list(&s.trunks), true),
        desired::VlanMode::NativeUntagged => VlanMode::native(tag, list(&s.trunks), false),
        desired::VlanMode::Dot1qTunnel => {
            VlanMode::Dot1qTunnel { service: tag, customers: list(&s.cvlans), tpid: s.qinq_ethtype }
        }
    }
}

/// Which tags without an id a port sends.
pub(super) fn priority_tags(port: &PortState) -> PriorityTags {
    match port.wanted.as_ref().map(|w| w.switching.priority_tags) {
        None | Some(desired::PriorityTags::Never) => PriorityTags::Never,
        Some(desired::PriorityTags::IfNonzero) => PriorityTags::IfNonzero,
        Some(desired::PriorityTags::Always) => PriorityTags::Always,
    }
}

fn list(ids: &[u16]) -> Option<Vlans> {
    (!ids.is_empty()).then(|| ids.iter().copied().collect())
}

impl Switch {
    /// Says in the program what NORMAL, mirrors and bonds of a bridge do, if that is news.
    pub(super) fn refresh_normal(&mut self, index: BridgeIdx) {
        self.refresh_multicast(index);
        let Some(bridge) = self.bridges.get_mut(&index) else { return };
        let to = Arc::new(normal(bridge));
        if *to != *bridge.normal {
            bridge.normal = to.clone();
            self.publisher.submit([Change::SetNormal { bridge: index, to }]);
        }
    }
}

fn normal(bridge: &Bridge) -> Normal {
    let wanted = &bridge.wanted;
    Normal {
        forward_bpdu: wanted.normal.forward_bpdu,
        flood_vlans: wanted.normal.flood_vlans.iter().copied().collect(),
        mirrors: wanted.mirrors.iter().take(MIRRORS_MAX).map(|m| mirror(bridge, m)).collect(),
        bonds: Switch::program_bonds(bridge),
        lacp: Switch::speaks_lacp(bridge),
        multicast: super::multicast::settings(bridge),
    }
}

/// A mirror without a place for its copies keeps its own place, and copies to nowhere.
fn mirror(bridge: &Bridge, wanted: &desired::Mirror) -> Mirror {
    let numbers = |names: &[String]| names.iter().flat_map(|n| members(bridge, n)).collect();
    let port = wanted.output_port.as_ref().map(|name| members(bridge, name).first().copied());
    let to = match (port, wanted.output_vlan) {
        (Some(number), _) => MirrorTo::Port(number.unwrap_or(sluice_flow::action::NO_PORT)),
        (None, Some(vlan)) => MirrorTo::Vlan(vlan),
        (None, None) => MirrorTo::Port(sluice_flow::action::NO_PORT),
    };
    Mirror {
        all: wanted.select_all,
        src: numbers(&wanted.select_src),
        dst: numbers(&wanted.select_dst),
        vlans: list(&wanted.select_vlans),
        to,
        snaplen: wanted.snaplen.filter(|n| SNAPLEN.contains(n)),
    }
}

/// Numbers of the port, or of the members of the bond, of this name.
fn members(bridge: &Bridge, name: &str) -> Vec<u32> {
    let bond = bridge.wanted.bonds.iter().find(|b| b.name == name);
    let names: Vec<&str> = bond.map_or(vec![name], |b| b.members.iter().map(String::as_str).collect());
    let number = |name: &&str| bridge.port_by_name(name).map(|p| p.number.0);
    names.iter().filter_map(number).collect()
}

//! Ports as a trace sees them.
//!
//! Purpose: numbers and names in the datapath's manner, VLAN modes with their defaults.
//! Deliberately does not know: packets.

use sluice_flow::Slot;
use sluice_openflow::message::port_config;
use sluice_openflow::{Field, PortNo};
use sluice_ovsdb_bridge as desired;

use super::odp::PortNames;
use crate::daemon::switch::bridge::{Attachment, Bridge, PortState};
use crate::daemon::switch::Switch;

/// A port's number in the datapath; `None` for one that frames do not leave by.
pub(in crate::daemon) fn datapath_number(port: &PortState) -> Option<u32> {
    match port.attachment {
        Attachment::Device { device, open: true } => Some(u32::from(device) + 1),
        _ => None,
    }
}

/// Names of all ports of the datapath.
pub(in crate::daemon) fn datapath_names(switch: &Switch) -> PortNames {
    let ports = switch.bridges().flat_map(|b| b.ports.values());
    ports.filter_map(|p| Some((datapath_number(p)?, p.name.clone()))).collect()
}

/// How a port carries VLANs, with what follows where nothing is said.
pub(super) fn vlan_mode(port: &PortState) -> desired::VlanMode {
    let wanted = port.wanted.as_ref();
    let tagged = wanted.is_some_and(|w| w.tag.is_some());
    let said = wanted.and_then(|w| w.switching.vlan_mode);
    said.unwrap_or(if tagged { desired::VlanMode::Access } else { desired::VlanMode::Trunk })
}

/// The VLAN of an access, native or tunnel port.
pub(super) fn tag(port: &PortState) -> u16 {
    port.wanted.as_ref().and_then(|w| w.tag).unwrap_or(0)
}

/// Whether a trunk carries a VLAN.
pub(super) fn trunks(port: &PortState, vlan: u16) -> bool {
    let listed = port.wanted.as_ref().map(|w| &w.switching.trunks);
    let native = matches!(vlan_mode(port), desired::VlanMode::NativeTagged | desired::VlanMode::NativeUntagged);
    match listed {
        Some(list) if !list.is_empty() => list.contains(&vlan) || native && tag(port) == vlan,
        _ => true,
    }
}

/// Whether NORMAL sends frames of this VLAN to the port.
pub(super) fn includes(port: &PortState, vlan: u16) -> bool {
    match vlan_mode(port) {
        desired::VlanMode::Access | desired::VlanMode::Dot1qTunnel => tag(port) == vlan,
        _ => trunks(port, vlan),
    }
}

/// Whether floods leave by the port.
pub(super) fn is_floodable(port: &PortState) -> bool {
    port.config & port_config::NO_FLOOD == 0
}

/// The patch port that a patch port leads to.
pub(super) fn other_half<'a>(switch: &'a Switch, port: &PortState) -> Option<(&'a Bridge, PortNo)> {
    let Some(desired::PortKind::Patch { peer }) = port.wanted.as_ref().map(|w| &w.kind) else { return None };
    switch.bridges().find_map(|b| Some((b, b.port_by_name(peer)?.number)))
}

/// Whether a port is a patch port.
pub(super) fn is_patch(port: &PortState) -> bool {
    matches!(port.wanted.as_ref().map(|w| &w.kind), Some(desired::PortKind::Patch { .. }))
}

/// Fields whose prefixes a table has been told to know; `None` when nothing was said.
pub(super) fn prefixes_of(bridge: &Bridge, table: u8) -> Option<Vec<Slot>> {
    let named = bridge.wanted.tables.get(&table).map(|t| &t.prefixes).filter(|p| !p.is_empty())?;
    Some(named.iter().filter_map(|name| Field::by_name(name)?.info().slot).collect())
}

//! What the program says of a port.
//!
//! Purpose: from what a port is and shall be to its line in the program.
//! Deliberately does not know: devices that are opened and closed.

use std::sync::Arc;

use sluice_flow::program::{self, PortKind, Tunnel};
use sluice_flow::verdict::{OuterTos, OuterTtl};
use sluice_flow::{BridgeIdx, Change};
use sluice_openflow::message::port_config;
use sluice_openflow::PortNo;
use sluice_ovsdb_bridge as desired;

use super::bridge::{Attachment, PortState};
use super::{switching, Switch};

impl Switch {
    /// Says in the program what a port is.
    pub(super) fn submit_port(&mut self, index: BridgeIdx, number: PortNo) {
        let Some(to) = self.program_port(index, number) else { return };
        self.publisher.submit([Change::SetPort { bridge: index, port: number.0, to: Some(to) }]);
    }

    fn program_port(&self, index: BridgeIdx, number: PortNo) -> Option<program::Port> {
        let bridge = self.bridge(index)?;
        let port = bridge.ports.get(&number)?;
        let (bond, lacp) = Switch::bond_of(bridge, number.0);
        let has = |bit: u32| port.config & bit != 0;
        Some(program::Port {
            kind: self.program_kind(port),
            vlan: switching::vlan_mode(port),
            priority_tags: switching::priority_tags(port),
            protected: port.wanted.as_ref().is_some_and(|w| w.switching.protected),
            bond,
            lacp,
            no_flood: has(port_config::NO_FLOOD),
            storm_limited: port.wanted.as_ref().is_some_and(|w| w.policing.limits_floods()),
            no_receive: has(port_config::NO_RECV),
            no_forward: has(port_config::NO_FWD),
            live: port.link.up && port.link.carrier,
        })
    }

    fn program_kind(&self, port: &PortState) -> PortKind {
        match port.wanted.as_ref().map(|w| &w.kind) {
            Some(desired::PortKind::Patch { peer }) => self.patch_to(peer),
            Some(desired::PortKind::Vxlan(vxlan)) => PortKind::Tunnel(Arc::new(tunnel(vxlan))),
            _ => match port.attachment {
                Attachment::Device { device, open: true } => PortKind::Device(device),
                _ => PortKind::Absent,
            },
        }
    }

    fn patch_to(&self, peer: &str) -> PortKind {
        let other = self.bridges.values().find_map(|b| Some((b.index, b.port_by_name(peer)?.number)));
        other.map_or(PortKind::Absent, |(bridge, port)| PortKind::Patch { bridge, port: port.0 })
    }

    /// Either half of a patch may have come or gone.
    pub(super) fn refresh_patches(&mut self) {
        let is_patch = |p: &&PortState| matches!(p.wanted.as_ref().map(|w| &w.kind), Some(desired::PortKind::Patch { .. }));
        let all = self.bridges.values().flat_map(|b| b.ports.values().filter(is_patch).map(|p| (b.index, p.number)));
        for (index, number) in all.collect::<Vec<_>>() {
            self.submit_port(index, number);
        }
    }
}

fn tunnel(vxlan: &desired::Vxlan) -> Tunnel {
    let fixed = |address: desired::Address| match address {
        desired::Address::Fixed(address) => Some(address),
        desired::Address::Flow => None,
    };
    let fixed_key = |key: desired::Key| match key {
        desired::Key::Fixed(key) => Some(key),
        desired::Key::Flow => None,
    };
    Tunnel {
        key: fixed_key(vxlan.key),
        out_key: fixed_key(vxlan.out_key.unwrap_or(vxlan.key)),
        remote: fixed(vxlan.remote_ip),
        local: vxlan.local_ip.and_then(fixed),
        dst_port: vxlan.dst_port,
        tos: match vxlan.tos {
            desired::Tos::Fixed(tos) => OuterTos::Set(tos),
            desired::Tos::Inherit => OuterTos::Inherit,
        },
        ttl: match vxlan.ttl {
            desired::Ttl::Fixed(ttl) => OuterTtl::Set(ttl),
            desired::Ttl::Inherit => OuterTtl::Inherit,
        },
        df: vxlan.df,
        csum: vxlan.csum,
        gbp: vxlan.gbp,
        mark: vxlan.egress_pkt_mark,
    }
}

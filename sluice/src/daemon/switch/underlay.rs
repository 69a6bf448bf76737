//! Devices of the host that carry tunnels.
//!
//! Purpose: take from them only what is ours, and tell the program the way out.
//! Invariant: the device stays the host's; a missing one is tried again.
//! Deliberately does not know: netlink.

use std::net::IpAddr;
use std::sync::Arc;

use sluice_flow::program::Ingress;
use sluice_flow::underlay::{Exit, Underlay};
use sluice_flow::{Change, PortIdx};
use sluice_ovsdb_bridge as desired;

use super::devices::Owner;
use super::Switch;
use crate::daemon::host::is_global;
use crate::daemon::worker::{DeviceKind, DeviceSpec, OnlyOurs, Opened};

const RETRY_MS: u64 = 1000;

/// A device that carries tunnels.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    wanted: desired::Underlay,
    device: PortIdx,
    /// Where pieces of packets for tunnels come in: nothing but a copy of the host's will do for those.
    pieces: PortIdx,
    /// What it was opened to take.
    taking: Option<OnlyOurs>,
    retry_ms: Option<u64>,
    complained: bool,
}

impl Switch {
    /// Takes our tunnels' packets from a device from now on.
    pub fn add_underlay(&mut self, wanted: desired::Underlay) {
        let Some(device) = self.devices.claim(Owner::Underlay(wanted.device.clone())) else { return };
        let Some(pieces) = self.devices.claim(Owner::Underlay(wanted.device.clone())) else {
            return self.devices.free(device);
        };
        let ingress = |device| Change::SetIngress { device, to: Some(Ingress::Underlay) };
        self.publisher.submit([ingress(device), ingress(pieces)]);
        self.carriers.push(Carrier { wanted, device, pieces, taking: None, retry_ms: None, complained: false });
        self.refresh_carriers();
    }

    /// Leaves a device to the host alone.
    pub fn remove_underlay(&mut self, name: &str) {
        let Some(at) = self.carriers.iter().position(|c| c.wanted.device == name) else { return };
        let carrier = self.carriers.remove(at);
        for device in [carrier.device, carrier.pieces] {
            self.publisher.submit([Change::SetIngress { device, to: None }]);
            if let Some(team) = &mut self.team {
                team.close(device, false);
            }
            self.devices.free(device);
        }
    }

    /// What is to be taken: packets for the tunnels' own addresses, all addresses of the host where
    /// a tunnel has none.
    pub(super) fn refresh_carriers(&mut self) {
        let Some(wanted) = self.only_ours() else { return };
        for carrier in &mut self.carriers {
            if carrier.taking.as_ref() == Some(&wanted) {
                continue;
            }
            let replaced = carrier.taking.replace(wanted.clone()).is_some();
            let (device, pieces) = (carrier.device, carrier.pieces);
            let Some(team) = &mut self.team else { continue };
            if replaced {
                team.close(device, false);
            }
            // Whether it was open or not: the other one may have failed alone.
            team.close(pieces, false);
            team.open(device, spec_of(&carrier.wanted, &wanted));
            let taken = desired::Underlay { io: desired::Io::Packet, ..carrier.wanted.clone() };
            team.open(pieces, spec_of(&taken, &OnlyOurs { pieces: true, ..wanted.clone() }));
        }
    }

    fn only_ours(&self) -> Option<OnlyOurs> {
        let ports = self.bridges.values().flat_map(|b| b.ports.values());
        let tunnels: Vec<&desired::Vxlan> = ports
            .filter_map(|p| match p.wanted.as_ref().map(|w| &w.kind) {
                Some(desired::PortKind::Vxlan(vxlan)) => Some(vxlan),
                _ => None,
            })
            .collect();
        let udp_port = tunnels.first()?.dst_port;
        let mut local: Vec<IpAddr> = tunnels.iter().filter_map(|t| t.own_address()).collect();
        let open = tunnels.iter().filter(|t| t.own_address().is_none());
        for tunnel in open {
            let may_be = |a: &&IpAddr| is_global(a) && tunnel.may_run_over(a.is_ipv6());
            local.extend(self.host_addresses.iter().filter(may_be));
        }
        local.sort_unstable();
        local.dedup();
        (!local.is_empty()).then_some(OnlyOurs { local, udp_port, pieces: false })
    }

    pub(super) fn underlay_opened(&mut self, device: PortIdx, facts: Opened) {
        if let Some(carrier) = self.carriers.iter_mut().find(|c| c.device == device) {
            carrier.complained = false;
            carrier.retry_ms = None;
            crate::log!(Info, &carrier.wanted.device, "carries tunnels by {}", facts.how);
        }
    }

    pub(super) fn underlay_failed(&mut self, device: PortIdx, why: &str, now_ms: u64) {
        if let Some(carrier) = self.carriers.iter().find(|c| c.pieces == device) {
            // It is opened again with the device itself.
            return crate::log!(Warn, &carrier.wanted.device, "fragments of tunnel packets are not seen: {why}");
        }
        let Some(carrier) = self.carriers.iter_mut().find(|c| c.device == device) else { return };
        carrier.taking = None;
        carrier.retry_ms = Some(now_ms + RETRY_MS);
        if !std::mem::replace(&mut carrier.complained, true) {
            crate::log!(Warn, &carrier.wanted.device, "cannot carry tunnels: {why}; trying again every second");
        }
    }

    pub(super) fn retry_underlays(&mut self, now_ms: u64) {
        let mut any = false;
        for carrier in &mut self.carriers {
            if carrier.retry_ms.is_some_and(|at| at <= now_ms) {
                carrier.retry_ms = None;
                any = true;
            }
        }
        if any {
            self.refresh_carriers();
        }
    }

    pub(super) fn next_underlay_retry(&self) -> Option<u64> {
        self.carriers.iter().filter_map(|c| c.retry_ms).min()
    }

    /// Names of the devices that carry tunnels.
    pub fn carrier_names(&self) -> impl Iterator<Item = &str> {
        self.carriers.iter().map(|c| c.wanted.device.as_str())
    }

    /// How tunnel packets leave by a device of this name, if they can.
    pub fn exit_of(&self, name: &str) -> Option<Exit> {
        if let Some(carrier) = self.carriers.iter().find(|c| c.wanted.device == name) {
            return Some(Exit::Port(carrier.device));
        }
        self.bridge_by_name(name).map(|b| Exit::Bridge(b.index))
    }

    /// Routes and neighbours have changed.
    pub fn set_underlay(&mut self, mut underlay: Underlay) {
        self.overrides.apply(&mut underlay);
        self.host_addresses = underlay.devices.iter().flat_map(|d| d.addresses.iter().copied()).collect();
        self.device_names = underlay.devices.iter().map(|d| d.name.clone()).collect();
        if *self.underlay != underlay {
            self.underlay = Arc::new(underlay);
            self.publisher.submit([Change::SetUnderlay(self.underlay.clone())]);
        }
        self.refresh_carriers();
    }

    /// Addresses and UDP ports of our tunnels on devices that stay the host's.
    pub fn tunnel_ends(&self) -> Vec<(IpAddr, u16)> {
        if self.carriers.is_empty() {
            return Vec::new();
        }
        let ours = self.only_ours();
        ours.map_or(Vec::new(), |o| o.local.iter().map(|a| (*a, o.udp_port)).collect())
    }

    /// Name of an underlay device, by its place in the program.
    pub fn underlay_device(&self, place: usize) -> Option<&str> {
        self.device_names.get(place).map(String::as_str)
    }
}

fn spec_of(wanted: &desired::Underlay, only_ours: &OnlyOurs) -> DeviceSpec {
    let kind = DeviceKind::Existing { io: wanted.io, queues: None, only_ours: Some(only_ours.clone()) };
    DeviceSpec { name: wanted.device.clone(), kind, mac: None, mtu: None, mark: None, elsewhere: None }
}

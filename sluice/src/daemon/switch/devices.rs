//! Devices behind ports: opened, lost, tried again.
//!
//! Purpose: each port's place among the worker's devices, and what becomes of it there.
//! Invariant: a port whose device is missing stays with its number and rules; it is tried again
//! until the device is back. A place is given out again only after it was closed.
//! Deliberately does not know: sockets of devices (the worker opens them).

use std::collections::BTreeMap;

use sluice_flow::program::Ingress;
use sluice_flow::{BridgeIdx, Change, PortIdx};
use sluice_openflow::message::PortReason;
use sluice_openflow::PortNo;
use sluice_ovsdb_bridge as desired;

use super::bridge::{Attachment, Bridge, PortState};
use super::link::LinkFacts;
use super::Switch;
use crate::daemon::worker::{Affinity, DeviceKind, DeviceSpec, FrontEvent, Opened};

/// How long to wait before a device is tried again.
const RETRY_MS: u64 = 1000;

/// What a worker's device is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A port of a bridge.
    Port(BridgeIdx, PortNo),
    /// It carries tunnels.
    Underlay(String),
}

/// Places of devices.
#[derive(Default)]
pub(super) struct Devices {
    owners: BTreeMap<PortIdx, Owner>,
}

impl Devices {
    pub(super) fn claim(&mut self, owner: Owner) -> Option<PortIdx> {
        let place = (0..PortIdx::MAX).find(|place| !self.owners.contains_key(place))?;
        self.owners.insert(place, owner);
        Some(place)
    }

    pub(super) fn free(&mut self, place: PortIdx) {
        self.owners.remove(&place);
    }

    pub(super) fn owner(&self, place: PortIdx) -> Option<&Owner> {
        self.owners.get(&place)
    }

    pub(super) fn place_of(&self, owner: &Owner) -> Option<PortIdx> {
        self.owners.iter().find(|(_, o)| *o == owner).map(|(place, _)| *place)
    }
}

impl Switch {
    pub(super) fn open_port(&mut self, index: BridgeIdx, number: PortNo) {
        let Some(mut spec) = self.bridge(index).and_then(|b| Some(spec_of(b, b.ports.get(&number)?))) else { return };
        spec.mark = self.mark.as_ref().map(|mark| format!("{mark}:{}", spec.name));
        spec.elsewhere = self.lost.get(&spec.name).cloned();
        let owner = Owner::Port(index, number);
        let place = self.devices.place_of(&owner).or_else(|| self.devices.claim(owner));
        let Some(device) = place else { return };
        if let Some(port) = self.port_mut(index, number) {
            port.attachment = Attachment::Device { device, open: false };
            port.retry_ms = None;
            port.opening = true;
        }
        if let Some(team) = &mut self.team {
            team.open(device, spec);
        }
    }

    pub(super) fn close_device(&mut self, device: PortIdx, delete: bool) {
        if let Some(team) = &mut self.team {
            team.close(device, delete);
        }
        self.devices.free(device);
        self.reports.forget_device(device);
    }

    pub(super) fn device_opened(&mut self, device: PortIdx, facts: Opened) {
        self.reports.forget_intakes(device);
        let Some(Owner::Port(index, number)) = self.devices.owner(device).cloned() else {
            return self.underlay_opened(device, facts);
        };
        let Some(port) = self.port_mut(index, number) else { return };
        port.attachment = Attachment::Device { device, open: true };
        if facts.elsewhere {
            port.link = LinkFacts::VIRTUAL;
        }
        port.complained = false;
        port.opening = false;
        port.error = None;
        crate::log!(Info, &port.name, "opened as port {} by {}", number.0 & 0xffff, facts.how);
        if let Some(mac) = facts.mac {
            port.hw_addr = mac;
        }
        port.driver = facts.driver;
        port.shape = Default::default();
        let name = port.name.clone();
        self.lost.remove(&name);
        self.publisher.submit([Change::SetIngress { device, to: Some(Ingress::Bridge { bridge: index, port: number.0 }) }]);
        self.submit_port(index, number);
        self.refresh_address(index);
        self.police(index, number);
        self.shape(index, number);
        self.seat(index, number);
        self.run_bonds(self.now_of_last_report());
    }

    /// What the front of a vhost-user port did.
    pub(super) fn front_did(&mut self, device: PortIdx, name: &str, event: &FrontEvent) {
        let Some(Owner::Port(index, number)) = self.devices.owner(device).cloned() else { return };
        let Some(port) = self.port_mut(index, number).filter(|p| p.name == name) else { return };
        let link = match event {
            FrontEvent::Up { features } => {
                crate::log!(Info, name, "the guest's queues are ready, features {features:#x}");
                LinkFacts::VIRTUAL
            }
            FrontEvent::Pairs(pairs) => {
                crate::log!(Info, name, "the guest uses {pairs} pairs of queues");
                return self.team.iter_mut().for_each(|t| t.split(device));
            }
            FrontEvent::Down => LinkFacts::default(),
            FrontEvent::Connected => return crate::log!(Info, name, "the guest's front is connected"),
            FrontEvent::Disconnected(why) => return crate::log!(Info, name, "the guest's front has gone: {why}"),
            FrontEvent::Refused(why) => return crate::log!(Warn, name, "the guest's front asked for what cannot be: {why}"),
            FrontEvent::Broken(why) => {
                return crate::log!(Warn, name, "the guest broke the rules of virtio and was disconnected: {why}");
            }
        };
        if port.link != link {
            port.link = link;
            self.notify_port(index, number, PortReason::Modify);
        }
    }

    pub(super) fn device_failed(&mut self, device: PortIdx, why: &str, now_ms: u64) {
        let Some(Owner::Port(index, number)) = self.devices.owner(device).cloned() else {
            return self.underlay_failed(device, why, now_ms);
        };
        let Some(port) = self.port_mut(index, number) else { return };
        port.attachment = Attachment::Device { device, open: false };
        port.retry_ms = Some(now_ms + RETRY_MS);
        port.opening = false;
        port.error = Some(why.to_string());
        if !std::mem::replace(&mut port.complained, true) {
            crate::log!(Warn, &port.name, "cannot open: {why}; its rules stay, trying again every second");
        }
    }

    pub(super) fn device_trouble(&mut self, device: PortIdx, gone: bool, why: &str, now_ms: u64) {
        let owner = self.devices.owner(device).cloned();
        let name = match &owner {
            Some(Owner::Port(index, number)) => self.port_mut(*index, *number).map(|p| p.name.clone()),
            Some(Owner::Underlay(name)) => Some(name.clone()),
            None => None,
        };
        let name = name.unwrap_or_default();
        if !gone {
            crate::log!(Warn, &name, "{why}");
            return;
        }
        crate::log!(Warn, &name, "vanished ({why}); its rules stay, it comes back when the device does");
        let Some(Owner::Port(index, number)) = owner else {
            return self.underlay_failed(device, why, now_ms);
        };
        if let Some(port) = self.port_mut(index, number) {
            port.attachment = Attachment::Device { device, open: false };
            port.retry_ms = Some(now_ms + RETRY_MS);
            port.error = Some(why.to_string());
            port.link = LinkFacts::default();
            port.complained = true;
        }
        self.submit_port(index, number);
        self.notify_port(index, number, PortReason::Modify);
    }

    /// Tries to open devices whose time has come.
    pub fn retry_ports(&mut self, now_ms: u64) {
        let due = |p: &&PortState| p.retry_ms.is_some_and(|at| at <= now_ms);
        let all = self.bridges.values().flat_map(|b| b.ports.values().filter(due).map(|p| (b.index, p.number)));
        for (index, number) in all.collect::<Vec<_>>() {
            self.open_port(index, number);
        }
        self.retry_underlays(now_ms);
    }

    /// Devices that exist again are tried at once.
    pub fn hurry(&mut self, exists: impl Fn(&str) -> bool, now_ms: u64) {
        for port in self.bridges.values_mut().flat_map(|b| b.ports.values_mut()) {
            let back = port.device_name().is_some_and(&exists);
            if back && port.retry_ms.is_some() {
                port.retry_ms = Some(now_ms);
            }
        }
    }

    /// Tells where a port is wished to be served.
    pub(super) fn seat(&mut self, index: BridgeIdx, number: PortNo) {
        let Some(device) = self.device_of(index, number) else { return };
        let wanted = self.bridge(index).and_then(|b| b.ports.get(&number)?.wanted.as_ref());
        let affinity = wanted.map(|w| Affinity { cpu: w.cpu, queues: w.queue_cpus.clone() }).unwrap_or_default();
        if let Some(team) = &mut self.team {
            team.set_affinity(device, affinity);
        }
    }

    /// The device of a port, if it is open.
    pub fn device_of(&self, bridge: BridgeIdx, port: PortNo) -> Option<PortIdx> {
        match self.bridge(bridge)?.ports.get(&port)?.attachment {
            Attachment::Device { device, open: true } => Some(device),
            _ => None,
        }
    }

    /// Name of the port, or of the host's device, at a place.
    pub fn device_name(&self, place: PortIdx) -> Option<&str> {
        match self.devices.owner(place)? {
            Owner::Port(bridge, port) => Some(&self.bridge(*bridge)?.ports.get(port)?.name),
            Owner::Underlay(name) => Some(name),
        }
    }

    /// Whether some port has this device.
    pub fn has_device(&self, name: &str) -> bool {
        self.bridges.values().any(|b| b.ports.values().any(|p| p.device_name() == Some(name)))
    }

    /// Whether a device is being opened and may still turn out well or badly.
    pub fn is_opening(&self) -> bool {
        self.team.is_some() && self.bridges.values().any(|b| b.ports.values().any(|p| p.opening))
    }

    /// When devices have to be tried again, if any.
    pub fn next_retry(&self) -> Option<u64> {
        let ports = self.bridges.values().flat_map(|b| b.ports.values().filter_map(|p| p.retry_ms));
        ports.chain(self.next_underlay_retry()).min()
    }
}

fn spec_of(bridge: &Bridge, port: &PortState) -> DeviceSpec {
    let kind = match port.wanted.as_ref().map(|w| &w.kind) {
        _ if port.number == PortNo::LOCAL => DeviceKind::Tap { mac: Some(bridge.hw_addr) },
        Some(desired::PortKind::VhostUser(vhost)) => DeviceKind::Vhost(vhost.clone()),
        Some(desired::PortKind::System { io, queues, .. }) => DeviceKind::Existing { io: *io, queues: *queues, only_ours: None },
        None | Some(_) => DeviceKind::Tap { mac: Some(port.hw_addr) },
    };
    let mac = port.wanted.as_ref().and_then(|w| w.mac).filter(|_| port.number != PortNo::LOCAL);
    let wished = port.wanted.as_ref().map_or(bridge.wanted.mtu, |w| w.mtu);
    let usual = u16::try_from(bridge.mtu).ok().filter(|mtu| *mtu != 1500 && port.is_internal());
    let mtu = wished.or(usual);
    DeviceSpec { name: port.device_name().unwrap_or(&port.name).to_string(), kind, mac, mtu, mark: None, elsewhere: None }
}

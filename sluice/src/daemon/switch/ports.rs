//! Ports: opened, closed, tried again, and what the program says of them.
//!
//! Purpose: each port's place among the worker's devices, and its line in the program.
//! Invariant: a port whose device is missing stays with its number and rules; it is tried again
//! until the device is back. A place is given out again only after it was closed.
//! Deliberately does not know: sockets of devices (the worker opens them).

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_engine::police::Rates;
use sluice_flow::program::{self, Ingress, PortKind, Tunnel};
use sluice_flow::verdict::{OuterTos, OuterTtl};
use sluice_flow::{BridgeIdx, Change, PortIdx};
use sluice_openflow::message::{port_config, Port as Described, PortReason};
use sluice_openflow::PortNo;
use sluice_ovsdb_bridge as desired;

use super::bridge::{datapath_id_of, mac_of, mac_of_device, Attachment, Bridge, Count, PortState};
use super::link::LinkFacts;
use super::{switching, Command, Switch};
use crate::daemon::worker::{DeviceKind, DeviceSpec, FrontEvent, Opened};

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

/// Settings of a device that can change while it is open.
pub(super) struct Settings<'a> {
    pub name: &'a str,
    pub mac: Option<[u8; 6]>,
    pub mtu: Option<u16>,
}

impl Settings<'_> {
    /// Makes them so; what the device refuses is logged.
    pub fn apply(&self) {
        let done = sluice_port::Device::open(self.name).and_then(|device| {
            self.mac.filter(|mac| device.mac().ok() != Some(*mac)).map_or(Ok(()), |mac| device.set_mac(mac))?;
            self.mtu.map_or(Ok(()), |mtu| device.set_mtu(u32::from(mtu)))
        });
        if let Err(e) = done {
            crate::log!(Warn, self.name, "{e}");
        }
    }
}

/// A port as OpenFlow describes it.
pub(super) fn describe(port: &PortState) -> Described {
    Described {
        number: port.number,
        hw_addr: port.hw_addr,
        name: port.name.clone(),
        config: port.config_bits(),
        state: port.state_bits(),
        current: port.link.current,
        advertised: 0,
        supported: 0,
        peer: 0,
        current_speed: port.link.speed_kbps,
        max_speed: 0,
    }
}

impl Switch {
    /// A bridge's ports as OpenFlow describes them, by number.
    pub fn describe_ports(&self, index: BridgeIdx) -> Vec<Described> {
        self.bridge(index).map_or(Vec::new(), |b| b.ports.values().map(describe).collect())
    }

    pub(super) fn add_local(&mut self, index: BridgeIdx, now_ms: u64) {
        let Some(bridge) = self.bridge(index) else { return };
        let (name, mac) = (bridge.name.clone(), bridge.hw_addr);
        let wanted = bridge.wanted.local.as_deref().cloned();
        self.insert_port(index, PortNo::LOCAL, name, wanted, mac, now_ms);
    }

    /// Takes LOCAL's own settings anew.
    pub(super) fn change_local(&mut self, index: BridgeIdx) {
        let Some(bridge) = self.bridges.get_mut(&index) else { return };
        let wanted = bridge.wanted.local.as_deref().cloned();
        match bridge.ports.get_mut(&PortNo::LOCAL) {
            Some(port) if port.wanted != wanted => port.wanted = wanted,
            _ => return,
        }
        self.submit_port(index, PortNo::LOCAL);
    }

    /// LOCAL's address follows the wish and the devices of its bridge.
    pub(super) fn refresh_address(&mut self, index: BridgeIdx) {
        let Some(bridge) = self.bridges.get_mut(&index) else { return };
        let mac = bridge.choose_address();
        bridge.datapath_id = bridge.wanted.datapath_id.unwrap_or_else(|| datapath_id_of(mac));
        if mac == bridge.hw_addr {
            return;
        }
        bridge.hw_addr = mac;
        let name = bridge.name.clone();
        let Some(local) = bridge.ports.get_mut(&PortNo::LOCAL) else { return };
        local.hw_addr = mac;
        if matches!(local.attachment, Attachment::Device { open: true, .. }) {
            Settings { name: &name, mac: Some(mac), mtu: None }.apply();
        }
        self.notify_port(index, PortNo::LOCAL, PortReason::Modify);
    }

    /// Adds a port; `None` when the bridge has no number left.
    pub fn add_port(&mut self, index: BridgeIdx, wanted: desired::Port, now_ms: u64) -> Option<PortNo> {
        let number = self.bridges.get_mut(&index)?.number_for(wanted.ofport_request.or(wanted.ofport_kept))?;
        let (name, mac) = (wanted.name.clone(), wanted.mac.unwrap_or_else(|| self.own_mac(&wanted.name)));
        self.insert_port(index, number, name, Some(wanted), mac, now_ms);
        self.refresh_patches();
        self.refresh_bonds(index, now_ms);
        self.refresh_normal(index);
        Some(number)
    }

    fn insert_port(&mut self, index: BridgeIdx, number: PortNo, name: String, wanted: Option<desired::Port>, mac: [u8; 6], now_ms: u64) {
        let Some(bridge) = self.bridges.get_mut(&index) else { return };
        let port = PortState {
            number,
            name,
            wanted,
            hw_addr: mac,
            config: 0,
            link: LinkFacts::default(),
            attachment: Attachment::None,
            since_ms: now_ms,
            crossed: [Count::default(); 2],
            retry_ms: None,
            complained: false,
            opening: false,
            error: None,
            driver: Default::default(),
            link_resets: 0,
        };
        let virtual_port = !port.is_opened();
        let link = if virtual_port { LinkFacts::VIRTUAL } else { LinkFacts::default() };
        bridge.ports.insert(number, PortState { link, ..port });
        if !virtual_port {
            self.open_port(index, number);
        }
        self.submit_port(index, number);
        self.notify_port(index, number, PortReason::Add);
    }

    /// Removes a port and closes its device.
    pub fn remove_port(&mut self, index: BridgeIdx, number: PortNo) {
        self.notify_port(index, number, PortReason::Delete);
        let Some(port) = self.bridges.get_mut(&index).and_then(|b| b.ports.remove(&number)) else { return };
        if let Some(bridge) = self.bridge(index) {
            bridge.fdb.flush(Some(number.0));
            bridge.mdb.iter().for_each(|m| m.flush(Some(number.0)));
        }
        let mut changes = vec![Change::SetPort { bridge: index, port: number.0, to: None }];
        if let Attachment::Device { device, .. } = port.attachment {
            changes.push(Change::SetIngress { device, to: None });
            self.close_device(device, true);
        }
        self.publisher.submit(changes);
        self.refresh_patches();
        let now_ms = self.now_of_last_report();
        self.refresh_bonds(index, now_ms);
        self.refresh_normal(index);
        self.refresh_address(index);
    }

    /// Changes settings of a port that stays open.
    pub fn change_port(&mut self, index: BridgeIdx, wanted: desired::Port) {
        let Some(port) = self.port_named_mut(index, &wanted.name) else { return };
        let number = port.number;
        if let Some(name) = port.device_name() {
            Settings { name, mac: wanted.mac, mtu: wanted.mtu }.apply();
        }
        port.hw_addr = wanted.mac.unwrap_or(port.hw_addr);
        port.wanted = Some(wanted);
        self.police(index, number);
        self.submit_port(index, number);
        self.refresh_patches();
        self.refresh_normal(index);
        self.notify_port(index, number, PortReason::Modify);
    }

    fn port_named_mut(&mut self, index: BridgeIdx, name: &str) -> Option<&mut PortState> {
        self.bridges.get_mut(&index)?.ports.values_mut().find(|p| p.name == name)
    }

    pub(super) fn port_mut(&mut self, index: BridgeIdx, number: PortNo) -> Option<&mut PortState> {
        self.bridges.get_mut(&index)?.ports.get_mut(&number)
    }

    /// Sets configuration bits of a port, but PORT_DOWN, which belongs to the device.
    pub fn configure_port(&mut self, index: BridgeIdx, number: PortNo, bits: u32, mask: u32) {
        let settable = port_config::NO_RECV | port_config::NO_FWD | port_config::NO_FLOOD | port_config::NO_PACKET_IN;
        let mask = mask & settable;
        let Some(port) = self.port_mut(index, number) else { return };
        let new = port.config & !mask | bits & mask;
        if new != port.config {
            port.config = new;
            self.submit_port(index, number);
            self.notify_port(index, number, PortReason::Modify);
        }
    }

    /// Brings the device of a port up or down.
    pub fn set_port_up(&mut self, index: BridgeIdx, number: PortNo, up: bool) -> Result<(), String> {
        let port = self.bridge(index).and_then(|b| b.ports.get(&number));
        let Some(name) = port.and_then(PortState::device_name) else { return Ok(()) };
        let device = sluice_port::Device::open(name).map_err(|e| e.to_string())?;
        device.set_up(up).map_err(|e| e.to_string())
    }

    fn open_port(&mut self, index: BridgeIdx, number: PortNo) {
        let Some(mut spec) = self.bridge(index).and_then(|b| Some(spec_of(b, b.ports.get(&number)?))) else { return };
        spec.mark = self.mark.clone();
        let owner = Owner::Port(index, number);
        let place = self.devices.place_of(&owner).or_else(|| self.devices.claim(owner));
        let Some(device) = place else { return };
        if let Some(port) = self.port_mut(index, number) {
            port.attachment = Attachment::Device { device, open: false };
            port.retry_ms = None;
            port.opening = true;
        }
        if let Some(worker) = &mut self.worker {
            worker.tell(Command::Open { device, spec });
        }
    }

    fn close_device(&mut self, device: PortIdx, delete: bool) {
        if let Some(worker) = &mut self.worker {
            worker.tell(Command::Close { device, delete });
        }
        self.devices.free(device);
        self.reports.forget_device(device);
    }

    pub(super) fn device_opened(&mut self, device: PortIdx, facts: Opened) {
        let Some(Owner::Port(index, number)) = self.devices.owner(device).cloned() else {
            return self.underlay_opened(device, facts);
        };
        let Some(port) = self.port_mut(index, number) else { return };
        port.attachment = Attachment::Device { device, open: true };
        port.complained = false;
        port.opening = false;
        port.error = None;
        crate::log!(Info, &port.name, "opened as port {} by {}", number.0 & 0xffff, facts.how);
        if let Some(mac) = facts.mac {
            port.hw_addr = mac;
        }
        port.driver = facts.driver;
        self.publisher.submit([Change::SetIngress { device, to: Some(Ingress::Bridge { bridge: index, port: number.0 }) }]);
        self.submit_port(index, number);
        self.refresh_address(index);
        self.police(index, number);
        self.run_bonds(self.now_of_last_report());
    }

    /// Tells the worker how much a device may hand in.
    fn police(&mut self, index: BridgeIdx, number: PortNo) {
        let Some(port) = self.bridge(index).and_then(|b| b.ports.get(&number)) else { return };
        let Attachment::Device { device, open: true } = port.attachment else { return };
        let p = port.wanted.as_ref().map(|w| w.policing).unwrap_or_default();
        let rates = Rates { kbps: p.rate_kbps, burst_kbits: p.burst_kbits, kpps: p.rate_kpps, burst_kpackets: p.burst_kpackets };
        if let Some(worker) = &mut self.worker {
            worker.tell(Command::Police { device, rates });
        }
    }

    /// The address of a device that is to be made: the one that it has, if it is there already.
    pub(super) fn own_mac(&self, name: &str) -> [u8; 6] {
        mac_of_device(name).unwrap_or_else(|| mac_of(name, &self.seeds))
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

    /// Whether some port has this device.
    pub fn has_device(&self, name: &str) -> bool {
        self.bridges.values().any(|b| b.ports.values().any(|p| p.device_name() == Some(name)))
    }

    /// Whether a device is being opened and may still turn out well or badly.
    pub fn is_opening(&self) -> bool {
        self.worker.is_some() && self.bridges.values().any(|b| b.ports.values().any(|p| p.opening))
    }

    /// When devices have to be tried again, if any.
    pub fn next_retry(&self) -> Option<u64> {
        let ports = self.bridges.values().flat_map(|b| b.ports.values().filter_map(|p| p.retry_ms));
        ports.chain(self.next_underlay_retry()).min()
    }

    /// Takes in what the host says of devices now.
    ///
    /// `facts` says `None` of a device that nothing is new of, `Some(None)` of one that is not there.
    pub fn refresh_links(&mut self, mut facts: impl FnMut(&str) -> Option<Option<LinkFacts>>) {
        let mut changed = Vec::new();
        for bridge in self.bridges.values_mut() {
            for port in bridge.ports.values_mut() {
                let Some(device) = port.device_name() else { continue };
                // A tap that works although the device is out of sight is in another namespace.
                let elsewhere = port.is_tap() && port.link != LinkFacts::default() && matches!(port.attachment, Attachment::Device { open: true, .. });
                let Some(seen) = facts(device) else { continue };
                let now = seen.unwrap_or(if elsewhere { LinkFacts::VIRTUAL } else { LinkFacts::default() });
                if now != port.link {
                    port.link_resets += u32::from(now.carrier != port.link.carrier);
                    port.link = now;
                    changed.push((bridge.index, port.number));
                }
            }
        }
        for (index, number) in changed {
            self.submit_port(index, number);
            self.notify_port(index, number, PortReason::Modify);
        }
    }

    /// Internal ports without a wish have the smallest MTU of their bridge's devices, as Open vSwitch
    /// gives it to them; 1500 where there is none.
    pub fn refresh_mtus(&mut self) {
        for bridge in self.bridges.values_mut() {
            let of_device = |p: &PortState| match p.wanted.as_ref().map(|w| &w.kind) {
                Some(desired::PortKind::System { .. }) if p.link.mtu > 0 => Some(p.link.mtu),
                _ => None,
            };
            let least = bridge.ports.values().filter_map(of_device).min().unwrap_or(1500);
            if least == bridge.mtu {
                continue;
            }
            bridge.mtu = least;
            let wish = bridge.wanted.mtu;
            for port in bridge.ports.values().filter(|p| p.is_internal() && p.link.mtu > 0 && p.link.mtu != least) {
                let wished = port.wanted.as_ref().and_then(|w| w.mtu).or(wish.filter(|_| port.number == PortNo::LOCAL));
                if wished.is_none() {
                    Settings { name: &port.name, mac: None, mtu: u16::try_from(least).ok() }.apply();
                }
            }
        }
    }

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
    fn refresh_patches(&mut self) {
        let is_patch = |p: &&PortState| matches!(p.wanted.as_ref().map(|w| &w.kind), Some(desired::PortKind::Patch { .. }));
        let all = self.bridges.values().flat_map(|b| b.ports.values().filter(is_patch).map(|p| (b.index, p.number)));
        for (index, number) in all.collect::<Vec<_>>() {
            self.submit_port(index, number);
        }
    }
}

fn spec_of(bridge: &Bridge, port: &PortState) -> DeviceSpec {
    let kind = match port.wanted.as_ref().map(|w| &w.kind) {
        _ if port.number == PortNo::LOCAL => DeviceKind::Tap { mac: Some(bridge.hw_addr) },
        Some(desired::PortKind::VhostUser(vhost)) => DeviceKind::Vhost(vhost.clone()),
        Some(desired::PortKind::System { io, .. }) => DeviceKind::Existing { io: *io, only_ours: None },
        None | Some(_) => DeviceKind::Tap { mac: Some(port.hw_addr) },
    };
    let mac = port.wanted.as_ref().and_then(|w| w.mac).filter(|_| port.number != PortNo::LOCAL);
    let wished = port.wanted.as_ref().map_or(bridge.wanted.mtu, |w| w.mtu);
    let usual = u16::try_from(bridge.mtu).ok().filter(|mtu| *mtu != 1500 && port.is_internal());
    let mtu = wished.or(usual);
    DeviceSpec { name: port.device_name().unwrap_or(&port.name).to_string(), kind, mac, mtu, mark: None }
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
    }
}

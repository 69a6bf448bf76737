//! Ports: added, changed, removed.
//!
//! Purpose: each port has a number, settings and what the host says of its link.
//! Invariant: a port keeps its number as long as it is there; its bridge's LOCAL comes and goes with it.
//! Deliberately does not know: how devices are opened (`devices`), what the program says (`lines`).


use sluice_engine::police::Rates;
use sluice_engine::storm::FloodRates;
use sluice_flow::{BridgeIdx, Change};
use sluice_openflow::message::{port_config, Port as Described, PortReason};
use sluice_openflow::PortNo;
use sluice_ovsdb_bridge as desired;

use super::bridge::{datapath_id_of, mac_of, mac_of_device, Attachment, Count, PortState};
use super::link::LinkFacts;
use super::{Command, Switch};

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
        self.shape(index, PortNo::LOCAL);
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

    /// Adds a port; `None` when the bridge has no number left. A port that has the number wished for
    /// without a wish of its own makes room and gets another one, as with Open vSwitch.
    pub fn add_port(&mut self, index: BridgeIdx, wanted: desired::Port, now_ms: u64) -> Option<PortNo> {
        let guest = wanted.ofport_request.and_then(|wish| self.bridge(index)?.guest_at(wish));
        let guest = guest.and_then(|port| Some((port.number, port.wanted.clone()?)));
        if let Some((number, _)) = &guest {
            self.remove_port(index, *number);
        }
        let number = self.add_numbered(index, wanted, now_ms);
        if let Some((_, moved)) = guest {
            self.add_numbered(index, desired::Port { ofport_kept: None, ..moved }, now_ms);
        }
        number
    }

    fn add_numbered(&mut self, index: BridgeIdx, wanted: desired::Port, now_ms: u64) -> Option<PortNo> {
        let number = self.bridges.get_mut(&index)?.number_for([wanted.ofport_request, wanted.ofport_kept])?;
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
            shape: Default::default(),
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
        self.shape(index, number);
        self.seat(index, number);
        self.submit_port(index, number);
        self.refresh_patches();
        self.refresh_normal(index);
        self.refresh_mtus();
        self.refresh_address(index);
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

    /// Tells the worker how much a device may hand in.
    pub(super) fn police(&mut self, index: BridgeIdx, number: PortNo) {
        let Some(port) = self.bridge(index).and_then(|b| b.ports.get(&number)) else { return };
        let Attachment::Device { device, open: true } = port.attachment else { return };
        let p = port.wanted.as_ref().map(|w| w.policing).unwrap_or_default();
        let rates = Rates { kbps: p.rate_kbps, burst_kbits: p.burst_kbits, kpps: p.rate_kpps, burst_kpackets: p.burst_kpackets };
        let floods = FloodRates { broadcast: p.flood_broadcast_pps, unknown_unicast: p.flood_unicast_pps };
        if let Some(team) = &mut self.team {
            team.tell(device, Command::Police { device, rates, floods });
        }
    }

    /// The address of a device that is to be made: the one that it has, if it is there already.
    pub(super) fn own_mac(&self, name: &str) -> [u8; 6] {
        mac_of_device(name).unwrap_or_else(|| mac_of(name, &self.seeds))
    }

    /// Takes in what the host says of devices now.
    ///
    /// `facts` says `None` of a device that nothing is new of, `Some(None)` of one that is not there.
    pub fn refresh_links(&mut self, mut facts: impl FnMut(&str) -> Option<Option<LinkFacts>>) {
        self.team.iter_mut().for_each(super::Team::look_again);
        let mut changed = Vec::new();
        for bridge in self.bridges.values_mut() {
            for port in bridge.ports.values_mut() {
                let Some(device) = port.device_name() else { continue };
                // A tap that works although the device is out of sight is in another namespace.
                let elsewhere = port.is_tap() && port.link != LinkFacts::default() && matches!(port.attachment, Attachment::Device { open: true, .. });
                let Some(seen) = facts(device) else { continue };
                let now = seen.unwrap_or(if elsewhere { LinkFacts::VIRTUAL } else { LinkFacts::default() });
                if now != port.link {
                    let known = port.link != LinkFacts::default();
                    port.link_resets += u32::from(known && now.carrier != port.link.carrier);
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

    /// Internal ports without a wish have the smallest MTU of their bridge's other ports, as Open vSwitch
    /// gives it to them; 1500 where there is none. Internal ports with a wish count as others do. Who
    /// sets a smaller one by hand keeps it until that changes.
    pub fn refresh_mtus(&mut self) {
        for bridge in self.bridges.values_mut() {
            let least = bridge.ports.values().filter(|p| bridge.decides_mtu(p)).map(|p| p.link.mtu).filter(|m| *m > 0).min();
            let before = std::mem::replace(&mut bridge.mtu, least.unwrap_or(1500));
            let mtu = bridge.mtu;
            let wrong = |p: &PortState| p.link.mtu > mtu || mtu != before && p.link.mtu > 0 && p.link.mtu != mtu;
            for port in bridge.ports.values().filter(|p| !bridge.decides_mtu(p) && wrong(p)) {
                Settings { name: &port.name, mac: None, mtu: u16::try_from(mtu).ok() }.apply();
            }
        }
    }
}

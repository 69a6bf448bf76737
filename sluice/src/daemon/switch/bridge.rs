//! One bridge, as the control side knows it.
//!
//! Purpose: identity, settings and ports; its rules live in the rule set of all bridges.
//! Deliberately does not know: connections, workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_flow::fdb::Fdb;
use sluice_flow::hash::Seeds;
use sluice_flow::mdb::Mdb;
use sluice_flow::normal::Normal;
use sluice_flow::program::Miss;
use sluice_flow::{BridgeIdx, PortIdx};
use sluice_openflow::message::{port_config, port_state, SwitchConfig};
use sluice_openflow::{PortNo, VersionSet};
use sluice_ovsdb_bridge as desired;

use super::link::LinkFacts;
use super::tables::TableSettings;

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Count {
    /// Adds more.
    pub fn add(&mut self, packets: u64, bytes: u64) {
        self.packets = self.packets.saturating_add(packets);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What a port has behind it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A device of the worker that is open or being opened.
    Device {
        /// Its place.
        device: PortIdx,
        /// It works.
        open: bool,
    },
    /// Nothing that frames go through by themselves: patch and tunnel ports, and devices that are
    /// missing.
    None,
}

/// A port.
#[derive(Clone, Debug)]
pub struct PortState {
    /// OpenFlow number.
    pub number: PortNo,
    /// Name.
    pub name: String,
    /// What it shall be; `None` for a LOCAL without settings of its own.
    pub wanted: Option<desired::Port>,
    /// MAC address.
    pub hw_addr: [u8; 6],
    /// Bits that port-mods set, without PORT_DOWN, which the device itself has.
    pub config: u32,
    /// What the host says of the device.
    pub link: LinkFacts,
    /// What is behind it.
    pub attachment: Attachment,
    /// When it was added.
    pub since_ms: u64,
    /// What patch and tunnel ports received and sent.
    pub crossed: [Count; 2],
    /// When to try again to open the device.
    pub retry_ms: Option<u64>,
    /// The trouble was told already.
    pub complained: bool,
    /// The worker was asked to open the device and has not answered yet.
    pub opening: bool,
    /// Why the device is not open, if it is not.
    pub error: Option<String>,
    /// The device's driver, its version and its firmware's.
    pub driver: [String; 3],
    /// How often the carrier came or went.
    pub link_resets: u32,
    /// How frames leave by it.
    pub shape: super::qos::Shape,
}

impl PortState {
    /// All configuration bits.
    pub fn config_bits(&self) -> u32 {
        self.config | if self.link.up { 0 } else { port_config::PORT_DOWN }
    }

    /// State bits.
    pub fn state_bits(&self) -> u32 {
        if self.link.up && self.link.carrier {
            port_state::LIVE
        } else {
            port_state::LINK_DOWN
        }
    }

    /// Whether a worker opens something for it.
    pub fn is_opened(&self) -> bool {
        self.device_name().is_some() || self.vhost().is_some()
    }

    /// The vhost-user socket behind it.
    pub fn vhost(&self) -> Option<&desired::VhostUser> {
        match self.wanted.as_ref().map(|w| &w.kind) {
            Some(desired::PortKind::VhostUser(vhost)) => Some(vhost),
            _ => None,
        }
    }

    /// Whether a tap of ours is behind it.
    pub fn is_tap(&self) -> bool {
        matches!(self.wanted.as_ref().map(|w| &w.kind), None | Some(desired::PortKind::Internal | desired::PortKind::Tap))
    }

    /// Whether the host's own stack is behind it.
    pub fn is_internal(&self) -> bool {
        matches!(self.wanted.as_ref().map(|w| &w.kind), None | Some(desired::PortKind::Internal))
    }

    /// Name of the device of the host behind it.
    pub fn device_name(&self) -> Option<&str> {
        match self.wanted.as_ref().map(|w| &w.kind) {
            None | Some(desired::PortKind::Internal | desired::PortKind::Tap) => Some(&self.name),
            Some(desired::PortKind::System { device, .. }) => Some(device),
            Some(desired::PortKind::Patch { .. } | desired::PortKind::Vxlan(_) | desired::PortKind::VhostUser(_)) => None,
        }
    }
}

/// A bridge.
pub struct Bridge {
    /// Its place in the program.
    pub index: BridgeIdx,
    /// Name.
    pub name: String,
    /// What it shall be, without ports.
    pub wanted: desired::Bridge,
    /// Datapath id.
    pub datapath_id: u64,
    /// MAC address of LOCAL.
    pub hw_addr: [u8; 6],
    /// Its address where nothing gives it another one.
    pub own_address: [u8; 6],
    /// Versions that it speaks.
    pub versions: VersionSet,
    /// Fragments and packet-ins.
    pub config: SwitchConfig,
    /// The newest claim to a controller's role.
    pub generation: Option<u64>,
    /// Ports by number.
    pub ports: BTreeMap<PortNo, PortState>,
    /// It goes on by itself, for its controllers are gone.
    pub fails_open: bool,
    /// The switch's own rules in it, as text.
    pub own_rules: String,
    /// Tables whose limits the configuration sets.
    pub limited: Vec<u8>,
    /// What controllers set of tables.
    pub table_settings: BTreeMap<u8, TableSettings>,
    /// What controllers set for packets that no rule of a table matches.
    pub misses: BTreeMap<u8, Miss>,
    /// Learned addresses.
    pub fdb: Arc<Fdb>,
    /// What the program says of NORMAL, mirrors and bonds.
    pub normal: Arc<Normal>,
    /// Who wants which multicast group, where that is followed.
    pub mdb: Option<Arc<Mdb>>,
    /// Bonds.
    pub(super) bonds: super::bonds::Bonds,
    /// MTU of internal ports without a wish.
    pub mtu: u32,
    /// The last number that was given to a port without a wish.
    pub last_number: u16,
    /// What mirrors copied, by place.
    pub mirrored: Vec<Count>,
}

impl Bridge {
    /// The port of this name.
    pub fn port_by_name(&self, name: &str) -> Option<&PortState> {
        self.ports.values().find(|p| p.name == name)
    }

    /// The number that a new port gets: the first of those wished for that is free, else the next free
    /// one after the last that was given so, because rules may still mean a port that went.
    pub fn number_for(&mut self, wishes: [Option<u16>; 2]) -> Option<PortNo> {
        let free = |n: &u16| !self.ports.contains_key(&PortNo(u32::from(*n)));
        if let Some(number) = wishes.into_iter().flatten().find(free) {
            return Some(PortNo(u32::from(number)));
        }
        let number = (self.last_number + 1..0xff00).chain(1..=self.last_number).find(free)?;
        self.last_number = number;
        Some(PortNo(u32::from(number)))
    }

    /// Whether internal ports follow the MTU of this one: it is somebody else's, or was wished for.
    pub fn decides_mtu(&self, port: &PortState) -> bool {
        let wished = || port.wanted.as_ref().and_then(|w| w.mtu).or(self.wanted.mtu.filter(|_| port.number == PortNo::LOCAL));
        !port.is_internal() || wished().is_some()
    }

    /// Who has this number without having asked for it.
    pub fn guest_at(&self, wish: u16) -> Option<&PortState> {
        let port = self.ports.get(&PortNo(u32::from(wish)))?;
        let asked = port.wanted.as_ref().is_none_or(|w| w.ofport_request == Some(wish));
        (!asked).then_some(port)
    }

    /// The address of LOCAL: what is wished for, else the lowest global address of its ports, else what
    /// belongs to the bridge itself.
    pub fn choose_address(&self) -> [u8; 6] {
        let global = |mac: &[u8; 6]| mac[0] & 3 == 0 && *mac != [0; 6];
        let of_ports = || self.ports.values().filter_map(representative).filter(global).min();
        let own = || self.wanted.default_hwaddr.unwrap_or(self.own_address);
        self.wanted.hwaddr.or_else(of_ports).unwrap_or_else(own)
    }
}

/// The address that stands for a port in the choice of its bridge's: one that was set for that, else
/// that of an open device of the host.
fn representative(port: &PortState) -> Option<[u8; 6]> {
    let wanted = port.wanted.as_ref()?;
    let device = matches!(wanted.kind, desired::PortKind::System { .. }) && matches!(port.attachment, Attachment::Device { open: true, .. });
    wanted.stands_for.or(Some(port.hw_addr).filter(|_| device))
}

/// A MAC address for a device that has none yet: locally administered, unicast. Two nodes do not share
/// one, because they do not share seeds.
pub fn mac_of(name: &str, seeds: &Seeds) -> [u8; 6] {
    // FNV-1a: names of one node rarely share one.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let [_, _, a, b, c, d, e, f] = seeds.hash(&[hash]).to_be_bytes();
    [a & 0xfc | 2, b, c, d, e, f]
}

/// The address of the device of this name, if it is there already: a tap that was left keeps its own.
pub fn mac_of_device(name: &str) -> Option<[u8; 6]> {
    sluice_port::Device::open(name).and_then(|d| d.mac()).ok().filter(|m| m[0] & 1 == 0 && *m != [0; 6])
}

/// The datapath id that belongs to a MAC address.
pub fn datapath_id_of(mac: [u8; 6]) -> u64 {
    mac.iter().fold(0, |id, b| id << 8 | u64::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_always_the_same_unicast_address() {
        let mac = mac_of("br-int", &Seeds::FIXED);
        assert_eq!(mac, mac_of("br-int", &Seeds::FIXED));
        assert_ne!(mac, mac_of("br-tun", &Seeds::FIXED));
        assert_ne!(mac, mac_of("br-int", &Seeds::from_entropy(7)));
        assert_eq!(mac[0] & 3, 2);
        assert_eq!(datapath_id_of([0, 0, 0, 0, 1, 2]), 0x102);
    }
}

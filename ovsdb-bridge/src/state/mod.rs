//! What a node shall look like.
//!
//! Purpose: the one type that every source produces and the daemon makes true.
//! Invariant: a state that a source returned is consistent: names are unique, patch ports are
//! paired, wished port numbers do not collide.
//! Deliberately does not know: what is open now, or what could not be opened.

mod connection;
mod node;
mod qos;
mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;

pub use connection::{Controller, ControllerTarget, Tls};
pub use sluice_openflow::Version;
pub use node::{Node, Zone};
pub use qos::{Discipline, Qos, Queue, TwoRates};
pub use table::{FlowTable, Overflow};

use crate::switching::{Bond, LacpPort, Mirror, Normal, Policing, Switching};

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DesiredState {
    /// How packets are worked on.
    pub workers: Workers,
    /// Devices of the host that carry tunnels.
    pub underlays: Vec<Underlay>,
    /// Bridges, in the order in which they were given.
    pub bridges: Vec<Bridge>,
    /// Keys and certificates for `ssl:` connections.
    pub tls: Option<Tls>,
    /// What holds for connections tracked in a zone.
    pub zones: BTreeMap<u16, Zone>,
    /// Settings of the whole node.
    pub node: Node,
}

/// Worker threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    /// How many.
    pub count: u16,
    /// Where they are pinned, one CPU each; empty for no pinning.
    pub cpus: Vec<u16>,
    /// Most entries of each worker's flow cache, which grows with the flows.
    pub cache_entries: u32,
}

impl Default for Workers {
    fn default() -> Self {
        Workers { count: 1, cpus: Vec::new(), cache_entries: 1 << 22 }
    }
}

/// A device of the host that carries tunnel packets. The host keeps the device: only frames of our
/// tunnels are taken from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underlay {
    /// Name of the device.
    pub device: String,
    /// How frames are taken and sent.
    pub io: Io,
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Name, also of its LOCAL device.
    pub name: String,
    /// Datapath id; `None` derives it from the MAC address.
    pub datapath_id: Option<u64>,
    /// MAC address; `None` derives one from the name.
    pub hwaddr: Option<[u8; 6]>,
    /// What holds without a controller.
    pub fail_mode: FailMode,
    /// OpenFlow versions that it speaks; empty for all.
    pub protocols: Vec<Version>,
    /// Controllers to connect to and addresses to listen on.
    pub controllers: Vec<Controller>,
    /// Most MAC addresses that NORMAL learns.
    pub mac_table_size: u32,
    /// Seconds after which a learned MAC address is forgotten.
    pub mac_ageing: u32,
    /// MTU of the LOCAL device.
    pub mtu: Option<u16>,
    /// The MAC address where neither `hwaddr` nor a device gives one.
    pub default_hwaddr: Option<[u8; 6]>,
    /// Leaves the controllers' own traffic to rules.
    pub disable_in_band: bool,
    /// The queue for the controllers' own traffic.
    pub in_band_queue: Option<u32>,
    /// What controllers are told that this datapath is.
    pub description: Option<String>,
    /// Settings of OpenFlow tables.
    pub tables: BTreeMap<u8, FlowTable>,
    /// VLANs, policing and wished address of LOCAL, where they are given.
    pub local: Option<Box<Port>>,
    /// What NORMAL does on the whole bridge.
    pub normal: Normal,
    /// Ports, without LOCAL.
    pub ports: Vec<Port>,
    /// Bonds of some of the ports.
    pub bonds: Vec<Bond>,
    /// Copies of packets for someone who watches.
    pub mirrors: Vec<Mirror>,
}

impl Bridge {
    /// A bridge with Open vSwitch's defaults and no ports.
    pub fn new(name: impl Into<String>) -> Bridge {
        Bridge {
            name: name.into(),
            datapath_id: None,
            hwaddr: None,
            fail_mode: FailMode::Standalone,
            protocols: Vec::new(),
            controllers: Vec::new(),
            mac_table_size: 8192,
            mac_ageing: 300,
            mtu: None,
            default_hwaddr: None,
            disable_in_band: false,
            in_band_queue: None,
            description: None,
            tables: BTreeMap::new(),
            local: None,
            normal: Normal::default(),
            ports: Vec::new(),
            bonds: Vec::new(),
            mirrors: Vec::new(),
        }
    }
}

/// What a bridge does without a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FailMode {
    /// Behaves like a learning switch while no controller is configured.
    #[default]
    Standalone,
    /// Does only what rules say.
    Secure,
}

/// A port of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name, unique on the node.
    pub name: String,
    /// What is behind it.
    pub kind: PortKind,
    /// Wished OpenFlow number, 1 to 65279.
    pub ofport_request: Option<u16>,
    /// The number that it had before, where none is wished for. Decides nothing but the number.
    pub ofport_kept: Option<u16>,
    /// Access, native or service VLAN for NORMAL.
    pub tag: Option<u16>,
    /// VLANs and the like, for NORMAL. Every member of a bond has the bond's.
    pub switching: Switching,
    /// MTU to set on the device.
    pub mtu: Option<u16>,
    /// MAC address to set on the device.
    pub mac: Option<[u8; 6]>,
    /// MAC address that stands for this port where the bridge takes its own from one of its ports.
    pub stands_for: Option<[u8; 6]>,
    /// What the device may hand in.
    pub policing: Policing,
    /// What leaves first.
    pub qos: Option<Qos>,
    /// CPU of the worker that is to serve it, if there is one on that CPU; else the switch places it.
    pub cpu: Option<u16>,
    /// CPUs that its receive queues are to be served on: number and CPU.
    pub queue_cpus: Vec<(u16, u16)>,
    /// How it takes part in LACP, as a member of a bond.
    pub lacp: LacpPort,
    /// Why this port cannot be as it is wished: it is not opened, and this is told as its error.
    pub refused: Option<String>,
}

impl Port {
    /// A trunk port without wishes.
    pub fn new(name: impl Into<String>, kind: PortKind) -> Port {
        Port {
            name: name.into(),
            kind,
            ofport_request: None,
            ofport_kept: None,
            tag: None,
            switching: Switching::default(),
            mtu: None,
            mac: None,
            stands_for: None,
            policing: Policing::default(),
            qos: None,
            cpu: None,
            queue_cpus: Vec::new(),
            lacp: LacpPort::default(),
            refused: None,
        }
    }
}

/// Most receive queues that a device can be wished to have.
pub const QUEUES_MAX: u16 = 256;

/// What is behind a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// A device that exists on the host.
    System {
        /// Name of the device.
        device: String,
        /// How frames enter and leave.
        io: Io,
        /// Receive queues that the device is to have, where it is served by AF_XDP.
        queues: Option<u16>,
    },
    /// A tap device that the switch makes, with the host's own stack behind it.
    Internal,
    /// A tap device that exists, or is made where it is missing.
    Tap,
    /// The other half is the patch port of this name.
    Patch {
        /// Name of the other half.
        peer: String,
    },
    /// A VXLAN tunnel.
    Vxlan(Vxlan),
    /// A virtual machine behind a vhost-user socket.
    VhostUser(VhostUser),
}

/// A vhost-user socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostUser {
    /// Who listens: we do (`dpdkvhostuser`), or the machine's VMM does (`dpdkvhostuserclient`).
    pub server: bool,
    /// The socket; `None` for one with the port's name in the run directory.
    pub path: Option<String>,
    /// Offer the guest an IOMMU.
    pub iommu: bool,
}

/// How frames of a device are received and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Io {
    /// AF_XDP where the device can serve, else a packet socket.
    #[default]
    Auto,
    /// AF_XDP.
    Afxdp,
    /// Packet socket.
    Packet,
}

/// A tunnel end's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// Always this one.
    Fixed(IpAddr),
    /// What the rule wrote into `tun_dst` or `tun_src`, `tun_ipv6_dst` or `tun_ipv6_src`.
    Flow,
}

/// A tunnel's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Always this VNI.
    Fixed(u32),
    /// What the rule wrote into `tun_id`.
    Flow,
}

/// The outer DSCP and ECN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tos {
    /// Always this one.
    Fixed(u8),
    /// The inner packet's.
    Inherit,
}

/// The outer TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// Always this one.
    Fixed(u8),
    /// The inner packet's.
    Inherit,
}

/// Options of a VXLAN port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// The peer.
    pub remote_ip: Address,
    /// Our own address; `None` takes what routing gives.
    pub local_ip: Option<Address>,
    /// The VNI: of packets that arrive, and of those that leave where `out_key` is `None`.
    pub key: Key,
    /// The VNI of packets that leave, where it is another one.
    pub out_key: Option<Key>,
    /// UDP port.
    pub dst_port: u16,
    /// Sets "don't fragment" on the outer packet.
    pub df: bool,
    /// Outer TOS.
    pub tos: Tos,
    /// Outer TTL.
    pub ttl: Ttl,
    /// Computes the outer UDP checksum; `None` does so over IPv6 only, where hosts drop packets without.
    pub csum: Option<bool>,
    /// Carries a group policy id (`exts=gbp`).
    pub gbp: bool,
    /// Mark by which the host looks up the route of packets that leave.
    pub egress_pkt_mark: u32,
}

impl Vxlan {
    /// A tunnel with the defaults of Open vSwitch.
    pub const fn new(remote_ip: Address) -> Vxlan {
        Vxlan {
            remote_ip,
            local_ip: None,
            key: Key::Fixed(0),
            out_key: None,
            dst_port: 4789,
            df: true,
            tos: Tos::Fixed(0),
            ttl: Ttl::Fixed(64),
            csum: None,
            gbp: false,
            egress_pkt_mark: 0,
        }
    }

    /// Our own address when it is fixed.
    pub fn own_address(&self) -> Option<IpAddr> {
        match self.local_ip {
            Some(Address::Fixed(address)) => Some(address),
            _ => None,
        }
    }

    /// Do both ends say of which family they are, or does what they say leave it open?
    pub fn may_run_over(&self, ipv6: bool) -> bool {
        let fixed = [self.local_ip.unwrap_or(Address::Flow), self.remote_ip].into_iter().find_map(|a| match a {
            Address::Fixed(address) => Some(address),
            Address::Flow => None,
        });
        fixed.is_none_or(|a| a.is_ipv6() == ipv6)
    }
}

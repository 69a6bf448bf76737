//! What a cloud consists of, as far as a node's rules depend on it.
//!
//! Purpose: the one type that every source produces: networks, hosts, ports, security groups.
//! Invariant: a [`Cloud`] that a source returned is consistent: names are unique, every name that
//! is referred to exists.
//! Deliberately does not know: files, which node asks, OpenFlow.

pub mod address;
pub mod read;
mod scalar;

pub use address::{Mac, Prefix};

use std::net::{IpAddr, Ipv4Addr};

/// All that a source knows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cloud {
    /// Networks.
    pub networks: Vec<Network>,
    /// Hosts.
    pub hosts: Vec<Host>,
    /// Ports.
    pub ports: Vec<Port>,
    /// Security groups.
    pub security_groups: Vec<SecurityGroup>,
}

/// A virtual Ethernet segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Network {
    /// Name.
    pub name: String,
    /// VXLAN network identifier.
    pub vni: u32,
    /// Subnets; informative.
    pub cidrs: Vec<Prefix>,
    /// Largest packet of a port; informative.
    pub mtu: Option<u16>,
}

/// A node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// Name.
    pub name: String,
    /// Address that its tunnels end on.
    pub tunnel_ip: Ipv4Addr,
}

/// A port of a machine on a network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Network that it is on.
    pub network: String,
    /// Hardware address.
    pub mac: Mac,
    /// Addresses that are its own.
    pub addresses: Vec<IpAddr>,
    /// Host that it is on.
    pub host: String,
    /// How the switch of that host calls it.
    pub place: Place,
    /// False: neither anti-spoofing nor security groups hold for it.
    pub port_security: bool,
    /// Names of its security groups.
    pub security_groups: Vec<String>,
    /// Addresses that it may use beside its own.
    pub allowed_address_pairs: Vec<AddressPair>,
}

/// How a switch calls a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// By the name of the device.
    Device(String),
    /// By OpenFlow port number.
    Number(u32),
}

/// Addresses that a port may use beside its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddressPair {
    /// Protocol addresses.
    pub prefix: Prefix,
    /// Hardware address, where it is not the port's own.
    pub mac: Option<Mac>,
}

/// A named set of permissions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecurityGroup {
    /// Name.
    pub name: String,
    /// What is allowed; all else is not.
    pub rules: Vec<GroupRule>,
    /// What is allowed to open a connection allows all of it, answers and errors about it too.
    pub stateful: bool,
}

/// Direction as a machine sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Direction {
    /// To the machine.
    Ingress,
    /// From the machine.
    Egress,
}

/// Version of IP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum EtherType {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl EtherType {
    /// The version that an address belongs to.
    pub fn of(ip: IpAddr) -> EtherType {
        match ip {
            IpAddr::V4(_) => EtherType::V4,
            IpAddr::V6(_) => EtherType::V6,
        }
    }
}

/// One permission. What is not given is not restricted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupRule {
    /// Direction.
    pub direction: Direction,
    /// IP version.
    pub ethertype: EtherType,
    /// What the packet carries.
    pub service: Service,
    /// Who is at the other end.
    pub remote: Remote,
}

/// What a packet carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// Anything.
    Any,
    /// An IP protocol.
    Protocol(u8),
    /// TCP, UDP or SCTP to a range of destination ports, both ends included.
    Ports {
        /// IP protocol.
        protocol: u8,
        /// Lowest port.
        low: u16,
        /// Highest port.
        high: u16,
    },
    /// ICMP or ICMPv6 of a type and, where given, a code. The protocol follows the IP version.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: Option<u8>,
    },
}

/// Who is at the other end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remote {
    /// Anybody.
    Any,
    /// Addresses.
    Prefix(Prefix),
    /// The addresses of the ports of a security group.
    Group(String),
}

/// IP protocol numbers that rules treat specially.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

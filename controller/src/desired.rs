//! What one node has to do, from all that a source knows.
//!
//! Purpose: the pure step from a [`Cloud`] to the networks of one host: who is here, who is
//! elsewhere, who may be answered for.
//! Invariant: depends on its arguments only; the order of what it returns follows the cloud's.
//! Deliberately does not know: tables, port numbers, OpenFlow.

use crate::model::{Cloud, Direction, EtherType, Mac, Place, Port, Prefix, Remote, SecurityGroup, Service};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

/// What a node has to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DesiredState {
    /// Networks that have a port here.
    pub networks: Vec<LocalNetwork>,
    /// Addresses of the groups that rules name as the other end.
    pub groups: Vec<GroupMembers>,
    /// Networks of this node that no VLAN is left for.
    pub without_vlan: Vec<String>,
}

/// A network that has a port on this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalNetwork {
    /// Name.
    pub name: String,
    /// VXLAN network identifier.
    pub vni: u32,
    /// VLAN that stands for it inside this node.
    pub vlan: u16,
    /// Ports of this node.
    pub ports: Vec<LocalPort>,
    /// Other hosts of the network.
    pub peers: Vec<PeerHost>,
    /// Hardware addresses that several ports claim, with the local ones among them (as indices of `ports`).
    pub shared_macs: BTreeMap<Mac, Vec<usize>>,
    /// IPv4 addresses of this node's ports that nobody else claims.
    pub own_addresses: BTreeSet<Ipv4Addr>,
}

/// A port of this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalPort {
    /// Name.
    pub name: String,
    /// How the switch calls it.
    pub place: Place,
    /// Hardware addresses that are this port's alone.
    pub macs: Vec<Mac>,
    /// What it may send as; `None` for a port without port security.
    pub claims: Option<Vec<Claim>>,
    /// What its security groups allow.
    pub permissions: Vec<Permission>,
    /// A group of its has state: connections are tracked.
    pub stateful: bool,
}

/// A right to send as somebody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Claim {
    /// Hardware address.
    pub mac: Mac,
    /// Protocol addresses.
    pub prefix: Prefix,
}

/// A rule of a security group, without repetition among the groups of a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permission {
    /// Direction.
    pub direction: Direction,
    /// IP version.
    pub ethertype: EtherType,
    /// What the packet carries.
    pub service: Service,
    /// Who is at the other end.
    pub remote: Remote,
}

/// Another host of a network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerHost {
    /// Name.
    pub name: String,
    /// Tunnel end.
    pub tunnel_ip: Ipv4Addr,
    /// Who is there.
    pub stations: Vec<Station>,
}

/// A port of another host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Station {
    /// Hardware address that is this port's alone.
    pub mac: Mac,
    /// IPv4 addresses that nobody else claims: those that may be answered for.
    pub answers: Vec<Ipv4Addr>,
}

/// The addresses of a group's members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMembers {
    /// Name of the group.
    pub name: String,
    /// Number that stands for it as the source of packets to, or destination of packets from, a port.
    pub ids: HashMap<(Direction, EtherType), u32>,
    /// Addresses, without repetition.
    pub prefixes: BTreeSet<Prefix>,
}

/// The host is not in the cloud.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("host '{host}' is not among the source's hosts ({known}); check --host")]
pub struct UnknownHost {
    /// Name that was asked for.
    pub host: String,
    /// Names that there are.
    pub known: String,
}

/// What `host` has to do.
pub fn desired_state(cloud: &Cloud, host: &str) -> Result<DesiredState, UnknownHost> {
    if !cloud.hosts.iter().any(|h| h.name == host) {
        let known = cloud.hosts.iter().take(20).map(|h| h.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(UnknownHost { host: host.to_owned(), known });
    }
    let here: BTreeSet<&str> = cloud.ports.iter().filter(|p| p.host == host).map(|p| p.network.as_str()).collect();
    let vlans = vlans(cloud, &here);
    let (mut networks, mut without_vlan) = (Vec::new(), Vec::new());
    for network in cloud.networks.iter().filter(|n| here.contains(n.name.as_str())) {
        let Some(&vlan) = vlans.get(&network.vni) else {
            without_vlan.push(network.name.clone());
            continue;
        };
        let ports: Vec<&Port> = cloud.ports.iter().filter(|p| p.network == network.name).collect();
        let ownership = Ownership::of(&ports);
        let here: Vec<&Port> = ports.iter().copied().filter(|p| p.host == host).collect();
        networks.push(LocalNetwork {
            name: network.name.clone(),
            vni: network.vni,
            vlan,
            ports: here.iter().map(|p| local_port(cloud, p, &ownership)).collect(),
            peers: peers(cloud, host, &ports, &ownership),
            shared_macs: ownership.shared_macs(&here),
            own_addresses: here.iter().flat_map(|p| ownership.answers(p)).collect(),
        });
    }
    let groups = groups(cloud, &networks);
    Ok(DesiredState { networks, groups, without_vlan })
}

/// A VLAN for each network of the host: the VNI's own number where it is free, else the next one.
///
/// A network keeps its VLAN when others come and go, save for the rare neighbours that collide.
fn vlans(cloud: &Cloud, here: &BTreeSet<&str>) -> BTreeMap<u32, u16> {
    const USABLE: u32 = 4094;
    let vnis: BTreeSet<u32> =
        cloud.networks.iter().filter(|n| here.contains(n.name.as_str())).map(|n| n.vni).collect();
    let mut taken = BTreeSet::new();
    let mut vlans = BTreeMap::new();
    for vni in vnis {
        let first = vni.wrapping_sub(1) % USABLE;
        let free = (0..USABLE).map(|i| ((first + i) % USABLE + 1) as u16).find(|v| !taken.contains(v));
        if let Some(vlan) = free {
            taken.insert(vlan);
            vlans.insert(vni, vlan);
        }
    }
    vlans
}

/// Who claims which address of a network.
struct Ownership {
    macs: HashMap<Mac, usize>,
    hosts: HashMap<IpAddr, BTreeSet<usize>>,
    ranges: Vec<(Prefix, usize)>,
    index: HashMap<String, usize>,
}

impl Ownership {
    fn of(ports: &[&Port]) -> Ownership {
        let mut o =
            Ownership { macs: HashMap::new(), hosts: HashMap::new(), ranges: Vec::new(), index: HashMap::new() };
        for (i, port) in ports.iter().enumerate() {
            o.index.insert(port.name.clone(), i);
            for mac in macs(port) {
                *o.macs.entry(mac).or_default() += 1;
            }
            for claim in claims(port) {
                if claim.prefix.is_host() {
                    o.hosts.entry(claim.prefix.address()).or_default().insert(i);
                } else {
                    o.ranges.push((claim.prefix, i));
                }
            }
        }
        o
    }

    fn is_shared(&self, mac: &Mac) -> bool {
        self.macs.get(mac).is_some_and(|&n| n > 1)
    }

    fn claimed_by_others(&self, address: IpAddr, port: &Port) -> bool {
        let me = self.index.get(&port.name).copied();
        let by_name = self.hosts.get(&address).is_some_and(|owners| owners.iter().any(|&o| Some(o) != me));
        by_name || self.ranges.iter().any(|(prefix, o)| Some(*o) != me && prefix.contains(address))
    }

    /// The addresses of a port that only it can have.
    fn answers(&self, port: &Port) -> Vec<Ipv4Addr> {
        let v4 = port.addresses.iter().filter_map(|a| match a {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        });
        v4.filter(|a| !self.claimed_by_others(IpAddr::V4(*a), port)).collect()
    }

    fn shared_macs(&self, here: &[&Port]) -> BTreeMap<Mac, Vec<usize>> {
        let mut shared: BTreeMap<Mac, Vec<usize>> = BTreeMap::new();
        for (i, port) in here.iter().enumerate() {
            for mac in macs(port).into_iter().filter(|m| self.is_shared(m)) {
                shared.entry(mac).or_default().push(i);
            }
        }
        shared
    }
}

/// Every hardware address of a port, its own first.
fn macs(port: &Port) -> Vec<Mac> {
    let mut macs = vec![port.mac];
    for mac in port.allowed_address_pairs.iter().filter_map(|p| p.mac) {
        if !macs.contains(&mac) {
            macs.push(mac);
        }
    }
    macs
}

/// All that a port may send as, without the link-local addresses that follow from its MACs.
fn claims(port: &Port) -> Vec<Claim> {
    let own = port.addresses.iter().map(|a| Claim { mac: port.mac, prefix: Prefix::host(*a) });
    let pairs =
        port.allowed_address_pairs.iter().map(|p| Claim { mac: p.mac.unwrap_or(port.mac), prefix: p.prefix });
    let mut claims: Vec<Claim> = Vec::new();
    for claim in own.chain(pairs) {
        if !claims.contains(&claim) {
            claims.push(claim);
        }
    }
    claims
}

fn local_port(cloud: &Cloud, port: &Port, ownership: &Ownership) -> LocalPort {
    let macs: Vec<Mac> = macs(port);
    let mut all = claims(port);
    for &mac in &macs {
        let link_local = Claim { mac, prefix: Prefix::host(IpAddr::V6(mac.link_local())) };
        if !all.contains(&link_local) {
            all.push(link_local);
        }
    }
    LocalPort {
        name: port.name.clone(),
        place: port.place.clone(),
        macs: macs.into_iter().filter(|m| !ownership.is_shared(m)).collect(),
        claims: port.port_security.then_some(all),
        permissions: permissions(cloud, port),
        stateful: port.port_security && groups_of(cloud, port).any(|g| g.stateful),
    }
}

fn groups_of<'a>(cloud: &'a Cloud, port: &'a Port) -> impl Iterator<Item = &'a SecurityGroup> {
    cloud.security_groups.iter().filter(|g| port.security_groups.contains(&g.name))
}

fn permissions(cloud: &Cloud, port: &Port) -> Vec<Permission> {
    let mut permissions = Vec::new();
    for group in groups_of(cloud, port) {
        for rule in &group.rules {
            let permission = Permission {
                direction: rule.direction,
                ethertype: rule.ethertype,
                service: rule.service,
                remote: rule.remote.clone(),
            };
            if !permissions.contains(&permission) {
                permissions.push(permission);
            }
        }
    }
    permissions
}

fn peers(cloud: &Cloud, host: &str, ports: &[&Port], ownership: &Ownership) -> Vec<PeerHost> {
    let mut peers = Vec::new();
    for other in cloud.hosts.iter().filter(|h| h.name != host) {
        let there: Vec<&Port> = ports.iter().copied().filter(|p| p.host == other.name).collect();
        if there.is_empty() {
            continue;
        }
        peers.push(PeerHost {
            name: other.name.clone(),
            tunnel_ip: other.tunnel_ip,
            stations: there.iter().flat_map(|p| stations(p, ownership)).collect(),
        });
    }
    peers
}

fn stations(port: &Port, ownership: &Ownership) -> Vec<Station> {
    let mut stations = Vec::new();
    for mac in macs(port).into_iter().filter(|m| !ownership.is_shared(m)) {
        let answers = if mac == port.mac { ownership.answers(port) } else { Vec::new() };
        stations.push(Station { mac, answers });
    }
    stations
}

/// The groups that permissions of this node name, each with its members everywhere.
fn groups(cloud: &Cloud, networks: &[LocalNetwork]) -> Vec<GroupMembers> {
    let mut used: BTreeMap<&str, BTreeSet<(Direction, EtherType)>> = BTreeMap::new();
    let local = networks.iter().flat_map(|n| &n.ports).filter(|p| p.claims.is_some());
    for permission in local.flat_map(|p| &p.permissions) {
        if let Remote::Group(name) = &permission.remote {
            used.entry(name).or_default().insert((permission.direction, permission.ethertype));
        }
    }
    let mut taken = BTreeSet::from([0]);
    let mut groups = Vec::new();
    for (name, kinds) in used {
        let members = cloud.ports.iter().filter(|p| p.security_groups.iter().any(|g| g == name));
        let prefixes = members.flat_map(claims).map(|c| c.prefix).collect();
        let ids = kinds.into_iter().map(|kind| (kind, number(name, kind, &mut taken))).collect();
        groups.push(GroupMembers { name: name.to_owned(), ids, prefixes });
    }
    groups
}

/// A number that depends on the name alone, save where two names collide: other groups come and
/// go without renumbering this one.
fn number(name: &str, kind: (Direction, EtherType), taken: &mut BTreeSet<u32>) -> u32 {
    let (direction, ethertype) = kind;
    let seed = [direction as u8, ethertype as u8];
    let hash = seed.iter().chain(name.as_bytes()).fold(0x811c_9dc5u32, |h, &b| {
        // FNV-1a: spreads names well enough and is the same on every machine.
        (h ^ u32::from(b)).wrapping_mul(0x0100_0193)
    });
    let mut id = hash;
    while !taken.insert(id) {
        id = id.wrapping_add(1);
    }
    id
}

#[cfg(test)]
#[path = "desired_tests.rs"]
mod tests;

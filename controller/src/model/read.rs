//! A cloud file's tree as a [`Cloud`].
//!
//! Purpose: check every value and every reference, and say where a mistake is.
//! Invariant: what is returned satisfies the invariant of [`Cloud`].
//! Deliberately does not know: where the text came from, what rules follow from it.

use super::scalar::{self, list, unexpected, Fields};
use super::*;
use crate::yaml::{self, Mistake, Node, Position};
use std::collections::{HashMap, HashSet};

/// Reads the text of a cloud file.
pub fn cloud(text: &str) -> Result<Cloud, Mistake> {
    let root = yaml::parse(text)?;
    let mut names = Names::default();
    let mut cloud = Cloud::default();
    if root.is_null() {
        return Ok(cloud);
    }
    let mut fields = Fields::of(&root, "cloud")?;
    for node in list(fields.optional("networks"))? {
        cloud.networks.push(network(node, &mut names)?);
    }
    for node in list(fields.optional("hosts"))? {
        cloud.hosts.push(host(node, &mut names)?);
    }
    let ports = list(fields.optional("ports"))?;
    let groups = list(fields.optional("security_groups"))?;
    fields.finish()?;
    // Groups refer to each other, so all their names come first.
    for node in groups {
        names.group(node)?;
    }
    for node in groups {
        cloud.security_groups.push(group(node, &names)?);
    }
    for node in ports {
        cloud.ports.push(port(node, &mut names)?);
    }
    Ok(cloud)
}

/// What was named so far.
#[derive(Default)]
struct Names {
    networks: HashMap<String, Position>,
    vnis: HashMap<u64, Position>,
    hosts: HashMap<String, Position>,
    tunnels: HashMap<Ipv4Addr, Position>,
    ports: HashMap<String, Position>,
    groups: HashMap<String, Position>,
    macs: HashSet<(String, Mac)>,
    places: HashSet<(String, String)>,
}

fn unique<K: std::hash::Hash + Eq + std::fmt::Display>(
    seen: &mut HashMap<K, Position>,
    key: K,
    what: &str,
    at: Position,
) -> Result<(), Mistake> {
    if let Some(first) = seen.get(&key) {
        return Err(Mistake::new(at, format!("{what} '{key}' is given twice; first on line {}", first.line)));
    }
    seen.insert(key, at);
    Ok(())
}

fn known(seen: &HashMap<String, Position>, node: &Node, what: &str) -> Result<String, Mistake> {
    let name = scalar::name(node)?;
    if !seen.contains_key(&name) {
        return Err(unexpected(node, &format!("the name of a {what} of this file")));
    }
    Ok(name)
}

impl Names {
    fn group(&mut self, node: &Node) -> Result<(), Mistake> {
        let name = Fields::of(node, "security group")?.required("name")?;
        unique(&mut self.groups, scalar::name(name)?, "security group", name.at)
    }
}

fn network(node: &Node, names: &mut Names) -> Result<Network, Mistake> {
    let mut fields = Fields::of(node, "network")?;
    let name = fields.required("name")?;
    let vni = fields.required("vni")?;
    let number = scalar::number(vni, 1, 0xff_ffff)?;
    let cidr = fields.optional("cidr");
    let cidrs = match cidr.map(|n| (n, &n.value)) {
        None => Vec::new(),
        Some((_, yaml::Value::List(items))) => items.iter().map(scalar::prefix).collect::<Result<_, _>>()?,
        Some((one, _)) => vec![scalar::prefix(one)?],
    };
    let mtu = fields.optional("mtu").map(|n| scalar::number(n, 68, 65535)).transpose()?;
    fields.finish()?;
    let text = scalar::name(name)?;
    unique(&mut names.networks, text.clone(), "network", name.at)?;
    unique(&mut names.vnis, number, "vni", vni.at)?;
    Ok(Network { name: text, vni: number as u32, cidrs, mtu: mtu.map(|m| m as u16) })
}

fn host(node: &Node, names: &mut Names) -> Result<Host, Mistake> {
    let mut fields = Fields::of(node, "host")?;
    let name = fields.required("name")?;
    let tunnel = fields.required("tunnel_ip")?;
    let tunnel_ip = scalar::ipv4(tunnel)?;
    fields.finish()?;
    let text = scalar::name(name)?;
    unique(&mut names.hosts, text.clone(), "host", name.at)?;
    unique(&mut names.tunnels, tunnel_ip, "tunnel_ip", tunnel.at)?;
    Ok(Host { name: text, tunnel_ip })
}

fn port(node: &Node, names: &mut Names) -> Result<Port, Mistake> {
    let mut fields = Fields::of(node, "port")?;
    let name_node = fields.required("name")?;
    let name = scalar::name(name_node)?;
    let network = known(&names.networks, fields.required("network")?, "network")?;
    let mac_node = fields.required("mac")?;
    let mac = scalar::mac(mac_node)?;
    let host = known(&names.hosts, fields.required("host")?, "host")?;
    let addresses = list(fields.optional("addresses"))?.iter().map(scalar::address).collect::<Result<_, _>>()?;
    let device = fields.optional("device");
    let place = place(&name, device, fields.optional("ofport"))?;
    let port_security = fields.optional("port_security").map(scalar::boolean).transpose()?.unwrap_or(true);
    let security_groups = list(fields.optional("security_groups"))?
        .iter()
        .map(|n| known(&names.groups, n, "security group"))
        .collect::<Result<_, _>>()?;
    let allowed_address_pairs =
        list(fields.optional("allowed_address_pairs"))?.iter().map(pair).collect::<Result<_, _>>()?;
    fields.finish()?;
    unique(&mut names.ports, name.clone(), "port", name_node.at)?;
    if !names.macs.insert((network.clone(), mac)) {
        return Err(Mistake::new(mac_node.at, format!("{mac} is given twice on network '{network}'")));
    }
    let spelling = match &place {
        Place::Device(device) => device.clone(),
        Place::Number(number) => format!("OpenFlow port {number}"),
    };
    if !names.places.insert((host.clone(), spelling.clone())) {
        let at = device.unwrap_or(name_node).at;
        return Err(Mistake::new(at, format!("{spelling} of host '{host}' has two ports")));
    }
    Ok(Port { name, network, mac, addresses, host, place, port_security, security_groups, allowed_address_pairs })
}

fn place(name: &str, device: Option<&Node>, number: Option<&Node>) -> Result<Place, Mistake> {
    match (device, number) {
        (Some(_), Some(number)) => Err(Mistake::new(number.at, "expected 'device' or 'ofport', found both")),
        (Some(device), None) => Ok(Place::Device(scalar::name(device)?)),
        (None, Some(number)) => Ok(Place::Number(scalar::number(number, 1, 0xffff_feff)? as u32)),
        (None, None) => Ok(Place::Device(name.to_owned())),
    }
}

fn pair(node: &Node) -> Result<AddressPair, Mistake> {
    let mut fields = Fields::of(node, "address pair")?;
    let prefix = scalar::prefix(fields.required("address")?)?;
    let mac = fields.optional("mac").map(scalar::mac).transpose()?;
    fields.finish()?;
    Ok(AddressPair { prefix, mac })
}

fn group(node: &Node, names: &Names) -> Result<SecurityGroup, Mistake> {
    let mut fields = Fields::of(node, "security group")?;
    let name = scalar::name(fields.required("name")?)?;
    let rules = list(fields.optional("rules"))?.iter().map(|n| rule(n, names)).collect::<Result<_, _>>()?;
    let stateful = fields.optional("stateful").map(scalar::boolean).transpose()?.unwrap_or(false);
    fields.finish()?;
    Ok(SecurityGroup { name, rules, stateful })
}

fn rule(node: &Node, names: &Names) -> Result<GroupRule, Mistake> {
    let mut fields = Fields::of(node, "security group rule")?;
    let direction = scalar::word(
        fields.required("direction")?,
        &[("ingress", Direction::Ingress), ("egress", Direction::Egress)],
    )?;
    let ethertype = match fields.optional("ethertype") {
        Some(n) => scalar::word(n, &[("IPv4", EtherType::V4), ("IPv6", EtherType::V6)])?,
        None => EtherType::V4,
    };
    let service = service(&mut fields, ethertype)?;
    let remote = remote(&mut fields, ethertype, names)?;
    fields.finish()?;
    Ok(GroupRule { direction, ethertype, service, remote })
}

fn service(fields: &mut Fields<'_>, ethertype: EtherType) -> Result<Service, Mistake> {
    let given = fields.optional("protocol");
    let protocol = given.map(|n| protocol(n, ethertype)).transpose()?.flatten();
    let (range, kind, code) =
        (fields.optional("port_range"), fields.optional("icmp_type"), fields.optional("icmp_code"));
    let icmp = protocol == Some(icmp_of(ethertype));
    if let Some(node) = kind.or(code).filter(|_| !icmp) {
        return Err(Mistake::new(node.at, "icmp_type and icmp_code need 'protocol: icmp'"));
    }
    if let (None, Some(node)) = (kind, code) {
        return Err(Mistake::new(node.at, "icmp_code needs icmp_type"));
    }
    if let Some(node) = range {
        let (low, high) = scalar::port_range(node)?;
        return match protocol {
            Some(protocol @ (protocol::TCP | protocol::UDP | protocol::SCTP)) => {
                Ok(Service::Ports { protocol, low, high })
            }
            _ => Err(Mistake::new(node.at, "port_range needs 'protocol: tcp', udp or sctp")),
        };
    }
    let byte = |n: &Node| scalar::number(n, 0, 255).map(|v| v as u8);
    Ok(match (protocol, kind) {
        (_, Some(kind)) => Service::Icmp { kind: byte(kind)?, code: code.map(byte).transpose()? },
        (Some(protocol), None) => Service::Protocol(protocol),
        (None, None) => Service::Any,
    })
}

fn icmp_of(ethertype: EtherType) -> u8 {
    match ethertype {
        EtherType::V4 => protocol::ICMP,
        EtherType::V6 => protocol::ICMPV6,
    }
}

/// `None` for "any".
fn protocol(node: &Node, ethertype: EtherType) -> Result<Option<u8>, Mistake> {
    const EXPECTED: &str = "tcp, udp, sctp, icmp, icmpv6, any or a protocol number (1-255)";
    let icmp = icmp_of(ethertype);
    let text = scalar::text(node, EXPECTED)?;
    Ok(Some(match text.to_ascii_lowercase().as_str() {
        "any" => return Ok(None),
        "tcp" => protocol::TCP,
        "udp" => protocol::UDP,
        "sctp" => protocol::SCTP,
        "icmp" => icmp,
        "icmpv6" | "ipv6-icmp" if ethertype == EtherType::V6 => icmp,
        "icmpv6" | "ipv6-icmp" => return Err(Mistake::new(node.at, "icmpv6 needs 'ethertype: IPv6'")),
        _ => text.parse().ok().filter(|&n| n != 0).ok_or_else(|| unexpected(node, EXPECTED))?,
    }))
}

fn remote(fields: &mut Fields<'_>, ethertype: EtherType, names: &Names) -> Result<Remote, Mistake> {
    let (prefix, group) = (fields.optional("remote_ip_prefix"), fields.optional("remote_group"));
    match (prefix, group) {
        (Some(_), Some(group)) => {
            Err(Mistake::new(group.at, "expected 'remote_ip_prefix' or 'remote_group', found both"))
        }
        (None, None) => Ok(Remote::Any),
        (None, Some(group)) => Ok(Remote::Group(known(&names.groups, group, "security group")?)),
        (Some(node), None) => {
            let prefix = scalar::prefix(node)?;
            if prefix.ethertype() != ethertype {
                return Err(unexpected(node, "a prefix of the rule's ethertype (IPv4 unless given)"));
            }
            Ok(if prefix.length() == 0 { Remote::Any } else { Remote::Prefix(prefix) })
        }
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;

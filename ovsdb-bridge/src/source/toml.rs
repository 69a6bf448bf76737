//! The configuration file.
//!
//! Purpose: `parse_toml` turns the text of one small file into a [`DesiredState`].
//! Invariant: an error leaves nothing half read; unknown words are errors.
//! Deliberately does not know: files. The caller reads the text and says what it is called.

use std::collections::HashMap;

use super::addresses;
use super::switching;
use super::reader::{Item, Source, Table};
use crate::error::ConfigError;
use crate::state::{
    Address, Bridge, Controller, DesiredState, FailMode, Io, Key, Port, PortKind, Tos, Ttl, Underlay, Version,
    VhostUser, Vxlan, Workers, QUEUES_MAX,
};

/// Highest OpenFlow port number that can be wished for.
const MAX_OFPORT: u16 = 0xfeff;
/// Longest name of a Linux device.
const MAX_NAME: usize = 15;
/// Most worker threads.
const MAX_WORKERS: u64 = 64;

/// Reads a configuration; `file` is what errors call it.
pub fn parse_toml(text: &str, file: &str) -> Result<DesiredState, ConfigError> {
    let source = Source { text, file };
    let root = toml::de::DeTable::parse(text).map_err(|e| {
        let at = e.span().map_or(0, |s| s.start);
        source.error(at, "TOML", e.message().replace('\n', " "))
    })?;
    let root = Table::new(source, &root);
    root.only(&["workers", "underlay", "bridge"])?;
    let state = DesiredState {
        workers: workers(&root)?,
        underlays: root.tables("underlay")?.iter().map(underlay).collect::<Result<_, _>>()?,
        bridges: root.tables("bridge")?.iter().map(bridge).collect::<Result<_, _>>()?,
        ..DesiredState::default()
    };
    consistent(&root, &state)?;
    Ok(state)
}

fn workers(root: &Table<'_>) -> Result<Workers, ConfigError> {
    let mut workers = Workers::default();
    let Some(item) = root.get("workers") else { return Ok(workers) };
    let table = item.table("a table written as [workers]")?;
    table.only(&["count", "cpus", "cache_entries"])?;
    if let Some(cpus) = table.get("cpus") {
        let list = cpus.list("a list of CPU numbers")?;
        workers.cpus = list
            .iter()
            .map(|c| c.number16(0, 4095, "a CPU number"))
            .collect::<Result<_, _>>()?;
        workers.count = u16::try_from(workers.cpus.len().max(1)).unwrap_or(1);
    }
    if let Some(count) = table.get("count") {
        let n = count.number(1, MAX_WORKERS, "a number of workers")?;
        if !workers.cpus.is_empty() && n != workers.cpus.len() as u64 {
            return Err(count.wrong("as many workers as cpus"));
        }
        workers.count = n as u16;
    }
    if let Some(entries) = table.get("cache_entries") {
        workers.cache_entries = entries.number(1 << 10, 1 << 26, "a number of entries")? as u32;
    }
    Ok(workers)
}

fn underlay(table: &Table<'_>) -> Result<Underlay, ConfigError> {
    table.only(&["device", "io"])?;
    Ok(Underlay { device: name(&table.need("device")?)?, io: io(table)? })
}

fn bridge(table: &Table<'_>) -> Result<Bridge, ConfigError> {
    let own = [
        "name", "datapath_id", "hwaddr", "fail_mode", "protocols", "controllers",
        "mac_table_size", "mac_ageing", "mtu", "port",
    ];
    let words: Vec<&str> = own.into_iter().chain(switching::BRIDGE_WORDS).collect();
    table.only(&words)?;
    let mut bridge = Bridge::new(name(&table.need("name")?)?);
    if let Some(item) = table.get("datapath_id") {
        let id = item.parsed("16 hexadecimal digits, not all zero", addresses::datapath_id)?;
        bridge.datapath_id = Some(id);
    }
    if let Some(item) = table.get("hwaddr") {
        bridge.hwaddr = Some(unicast(&item)?);
    }
    if let Some(item) = table.get("fail_mode") {
        bridge.fail_mode = item.parsed("\"standalone\" or \"secure\"", |t| match t {
            "standalone" => Some(FailMode::Standalone),
            "secure" => Some(FailMode::Secure),
            _ => None,
        })?;
    }
    if let Some(item) = table.get("mac_table_size") {
        bridge.mac_table_size = item.number(10, 1_000_000, "a number of addresses")? as u32;
    }
    if let Some(item) = table.get("mac_ageing") {
        bridge.mac_ageing = item.number(15, 3600, "seconds")? as u32;
    }
    bridge.mtu = mtu(table)?;
    bridge.protocols = protocols(table)?;
    bridge.controllers = controllers(table)?;
    bridge.normal = switching::of_bridge(table)?;
    bridge.bonds = switching::bonds(table)?;
    bridge.mirrors = switching::mirrors(table)?;
    bridge.ports = table.tables("port")?.iter().map(port).collect::<Result<_, _>>()?;
    Ok(bridge)
}

fn unicast(item: &Item<'_>) -> Result<[u8; 6], ConfigError> {
    item.parsed("a unicast MAC address like 02:00:00:00:00:01", |text| {
        addresses::unicast(text)
    })
}

fn protocols(table: &Table<'_>) -> Result<Vec<Version>, ConfigError> {
    let expected = "a list of OpenFlow10 to OpenFlow15";
    let Some(item) = table.get("protocols") else { return Ok(Vec::new()) };
    item.list(expected)?.iter().map(|v| v.parsed("OpenFlow10 to OpenFlow15", Version::by_name)).collect()
}

fn controllers(table: &Table<'_>) -> Result<Vec<Controller>, ConfigError> {
    let expected = "tcp:HOST[:PORT], ssl:HOST[:PORT], unix:PATH, ptcp:[PORT][:HOST], pssl:[PORT][:HOST] or punix:PATH, HOST being an IP address";
    let Some(item) = table.get("controllers") else { return Ok(Vec::new()) };
    item.list("a list of connections")?.iter().map(|c| c.parsed(expected, addresses::controller).map(Controller::new)).collect()
}

fn port(table: &Table<'_>) -> Result<Port, ConfigError> {
    let port_name = name(&table.need("name")?)?;
    let kind = port_kind(table, &port_name)?;
    let ofport_request = table
        .get("ofport_request")
        .map(|i| i.number16(1, MAX_OFPORT, "an OpenFlow port number"))
        .transpose()?;
    let tag = table.get("tag").map(|i| i.number16(0, 4095, "a VLAN id")).transpose()?;
    Ok(Port {
        ofport_request,
        tag,
        mtu: mtu(table)?,
        switching: switching::of_port(table)?,
        policing: switching::policing(table)?,
        cpu: table.get("cpu").map(|i| i.number16(0, u16::MAX, "a CPU")).transpose()?,
        ..Port::new(port_name, kind)
    })
}

/// Words that every port has.
const PORT_WORDS: [&str; 6] = ["name", "kind", "ofport_request", "tag", "mtu", "cpu"];

fn port_kind(table: &Table<'_>, port_name: &str) -> Result<PortKind, ConfigError> {
    let expected = "\"system\", \"internal\", \"patch\", \"vxlan\", \"dpdkvhostuser\" or \"dpdkvhostuserclient\"";
    let kind = match table.get("kind") {
        None => "system",
        Some(item) => item.parsed(expected, |t| {
            ["system", "internal", "patch", "vxlan", "dpdkvhostuser", "dpdkvhostuserclient"].into_iter().find(|k| *k == t)
        })?,
    };
    let allow = |more: &[&str]| {
        let words: Vec<&str> = PORT_WORDS.iter().chain(&switching::PORT_WORDS).chain(more).copied().collect();
        table.only(&words)
    };
    match kind {
        "internal" => {
            allow(&[])?;
            Ok(PortKind::Internal)
        }
        "patch" => {
            allow(&["peer"])?;
            Ok(PortKind::Patch { peer: name(&table.need("peer")?)? })
        }
        "vxlan" => {
            allow(&["remote_ip", "local_ip", "key", "dst_port", "df", "tos", "ttl", "csum"])?;
            Ok(PortKind::Vxlan(vxlan(table)?))
        }
        "dpdkvhostuser" => {
            allow(&["iommu"])?;
            Ok(PortKind::VhostUser(VhostUser { server: true, path: None, iommu: flag(table, "iommu")? }))
        }
        "dpdkvhostuserclient" => {
            allow(&["vhost_server_path", "iommu"])?;
            let path = table.need("vhost_server_path")?.parsed("the path of a socket, 1 to 107 bytes", socket_path)?;
            Ok(PortKind::VhostUser(VhostUser { server: false, path: Some(path), iommu: flag(table, "iommu")? }))
        }
        _ => {
            allow(&["device", "io", "n_rxq"])?;
            let device = table.get("device").map(|d| name(&d)).transpose()?;
            let queues = table.get("n_rxq").map(|i| i.number16(1, QUEUES_MAX, "a number of receive queues")).transpose()?;
            Ok(PortKind::System { device: device.unwrap_or_else(|| port_name.to_string()), io: io(table)?, queues })
        }
    }
}

fn flag(table: &Table<'_>, word: &str) -> Result<bool, ConfigError> {
    table.get(word).map_or(Ok(false), |item| item.flag())
}

fn socket_path(text: &str) -> Option<String> {
    ((1..=107).contains(&text.len()) && !text.contains('\0')).then(|| text.to_string())
}

fn vxlan(table: &Table<'_>) -> Result<Vxlan, ConfigError> {
    let mut vxlan = Vxlan::new(address(&table.need("remote_ip")?)?);
    if let Some(item) = table.get("local_ip") {
        let local = address(&item)?;
        if let (Address::Fixed(own), Address::Fixed(remote)) = (local, vxlan.remote_ip) {
            if own.is_ipv6() != remote.is_ipv6() {
                return Err(item.wrong("an address of remote_ip's family"));
            }
        }
        vxlan.local_ip = Some(local);
    }
    if let Some(item) = table.get("key") {
        vxlan.key = match item.text("") {
            Ok("flow") => Key::Flow,
            _ => Key::Fixed(item.number(0, 0xff_ffff, "\"flow\" or a VNI")? as u32),
        };
    }
    if let Some(item) = table.get("dst_port") {
        vxlan.dst_port = item.number16(1, u16::MAX, "a UDP port")?;
    }
    if let Some(item) = table.get("tos") {
        vxlan.tos = match item.text("") {
            Ok("inherit") => Tos::Inherit,
            _ => Tos::Fixed(item.number16(0, 255, "\"inherit\" or a TOS")? as u8),
        };
    }
    if let Some(item) = table.get("ttl") {
        vxlan.ttl = match item.text("") {
            Ok("inherit") => Ttl::Inherit,
            _ => Ttl::Fixed(item.number16(1, 255, "\"inherit\" or a TTL")? as u8),
        };
    }
    if let Some(item) = table.get("df") {
        vxlan.df = item.flag()?;
    }
    if let Some(item) = table.get("csum") {
        vxlan.csum = Some(item.flag()?);
    }
    Ok(vxlan)
}

fn address(item: &Item<'_>) -> Result<Address, ConfigError> {
    item.parsed("\"flow\" or an IP address", |text| match text {
        "flow" => Some(Address::Flow),
        _ => text.parse().ok().map(Address::Fixed),
    })
}

fn io(table: &Table<'_>) -> Result<Io, ConfigError> {
    let Some(item) = table.get("io") else { return Ok(Io::Auto) };
    item.parsed("\"auto\", \"afxdp\" or \"packet\"", |t| match t {
        "auto" => Some(Io::Auto),
        "afxdp" => Some(Io::Afxdp),
        "packet" => Some(Io::Packet),
        _ => None,
    })
}

fn mtu(table: &Table<'_>) -> Result<Option<u16>, ConfigError> {
    table.get("mtu").map(|i| i.number16(68, 65535, "an MTU")).transpose()
}

fn name(item: &Item<'_>) -> Result<String, ConfigError> {
    item.parsed("a name of 1 to 15 characters without blanks, slash or colon", |text| {
        let fits = !text.is_empty() && text.len() <= MAX_NAME && text != "." && text != "..";
        let plain = text.chars().all(|c| c.is_ascii_graphic() && c != '/' && c != ':');
        (fits && plain).then(|| text.to_string())
    })
}

/// What no single table can see: names and numbers that collide, patches without a pair.
fn consistent(root: &Table<'_>, state: &DesiredState) -> Result<(), ConfigError> {
    let mut names: HashMap<&str, ()> = HashMap::new();
    let tables = root.tables("bridge")?;
    for (bridge, table) in state.bridges.iter().zip(&tables) {
        fresh(&mut names, &bridge.name, table)?;
    }
    for (bridge, table) in state.bridges.iter().zip(&tables) {
        let mut numbers: HashMap<u16, ()> = HashMap::new();
        for (port, table) in bridge.ports.iter().zip(&table.tables("port")?) {
            fresh(&mut names, &port.name, table)?;
            paired(state, port, table)?;
            let Some(number) = port.ofport_request else { continue };
            if numbers.insert(number, ()).is_some() {
                return Err(table.need("ofport_request")?.wrong("a number that no other port of the bridge has"));
            }
        }
    }
    Ok(())
}

fn fresh<'a>(names: &mut HashMap<&'a str, ()>, name: &'a str, table: &Table<'_>) -> Result<(), ConfigError> {
    match names.insert(name, ()) {
        None => Ok(()),
        Some(()) => Err(table.need("name")?.wrong("a name that no other bridge or port has")),
    }
}

fn paired(state: &DesiredState, port: &Port, table: &Table<'_>) -> Result<(), ConfigError> {
    let PortKind::Patch { peer } = &port.kind else { return Ok(()) };
    let back = state.bridges.iter().flat_map(|b| &b.ports).find(|p| p.name == *peer);
    match back.map(|p| &p.kind) {
        Some(PortKind::Patch { peer }) if *peer == port.name && back != Some(port) => Ok(()),
        _ => Err(table.need("peer")?.wrong("a patch port that names this one as its peer")),
    }
}

//! Rows of table Interface.

use std::collections::{HashMap, HashSet};

use super::origins::Interface;
use super::tunnel::{unknown_options, vxlan};
use super::{is_device_name, Reader, Subject};
use crate::database::{Row, Uuid};
use crate::source::addresses;
use crate::state::{Bridge, Io, Port, PortKind, VhostUser, QUEUES_MAX};
use crate::switching::{LacpPort, Policing};

/// Highest OpenFlow port number that a port can have.
const MAX_OFPORT: i64 = 0xfeff;

/// Types that Open vSwitch has and we do not.
const NOT_HERE: [&str; 13] = [
    "geneve", "gre", "ip6gre", "erspan", "ip6erspan", "stt", "lisp", "gtpu", "bareudp", "srv6", "dpdk", "dpdkr",
    "dummy",
];

/// Types that we have, for `iface_types`.
pub const TYPES: [&str; 9] = [
    "afxdp", "afxdp-nonpmd", "dpdkvhostuser", "dpdkvhostuserclient", "internal", "patch", "system", "tap", "vxlan",
];

impl Reader<'_> {
    pub(super) fn interface(&mut self, bridge: &Bridge, id: Uuid, row: &Row) -> Port {
        let name = row.text("name").to_string();
        let (kind, refused) = match kind(&name, bridge, row) {
            Ok(kind) => (kind, None),
            Err(why) => (PortKind::Internal, Some(why)),
        };
        if let Some(why) = &refused {
            self.complain(&name, format!("could not be added: {why}"));
        }
        if matches!(kind, PortKind::Vxlan(_)) {
            for option in unknown_options(row) {
                self.complain(&name, format!("options:{option} is not known for a vxlan port; it is ignored"));
            }
        }
        for column in ["bfd", "lldp"] {
            if row.entry(column, "enable") == Some("true") {
                self.refuse(Subject::Interface, &name, column, format!("not supported: column {column} has no effect"));
            }
        }
        if row.integer("cfm_mpid").is_some() {
            self.refuse(Subject::Interface, &name, "cfm", "not supported: column cfm_mpid has no effect");
        }
        let origin = Interface { row: id, bridge: bridge.name.clone(), refused: refused.clone() };
        self.reading.origins.interfaces.insert(name.clone(), origin);
        let number = |column: &str| row.integer(column).filter(|n| (1..=MAX_OFPORT).contains(n)).map(|n| n as u16);
        Port {
            ofport_request: number("ofport_request"),
            ofport_kept: number("ofport"),
            mtu: row.integer("mtu_request").and_then(|n| u16::try_from(n).ok()).filter(|n| *n >= 68),
            mac: self.address(&name, row),
            policing: self.policing(&name, row),
            queue_cpus: self.queue_cpus(&name, row),
            lacp: lacp(row),
            refused,
            ..Port::new(name, kind)
        }
    }

    /// What its device may hand in, and how much of that is flooded.
    fn policing(&mut self, name: &str, row: &Row) -> Policing {
        let number = |column: &str| row.integer(column).map_or(0, |n| u32::try_from(n.max(0)).unwrap_or(u32::MAX));
        Policing {
            rate_kbps: number("ingress_policing_rate"),
            burst_kbits: number("ingress_policing_burst"),
            rate_kpps: number("ingress_policing_kpkts_rate"),
            burst_kpackets: number("ingress_policing_kpkts_burst"),
            flood_broadcast_pps: self.flood_rate(name, row, "storm-broadcast-rate"),
            flood_unicast_pps: self.flood_rate(name, row, "storm-unknown-unicast-rate"),
        }
    }

    fn flood_rate(&mut self, name: &str, row: &Row, key: &str) -> u32 {
        let Some(text) = row.entry("other_config", key) else { return 0 };
        text.parse().unwrap_or_else(|_| {
            self.complain(name, format!("other_config:{key} \"{text}\" is no number of packets per second (0 to {}); it is ignored", u32::MAX));
            0
        })
    }

    /// The address of an internal port; those of other devices belong to the host, as with Open vSwitch.
    fn address(&mut self, name: &str, row: &Row) -> Option<[u8; 6]> {
        let text = row.optional_text("mac").filter(|_| row.text("type") == "internal")?;
        let mac = addresses::unicast(text);
        if mac.is_none() {
            self.complain(name, format!("mac \"{text}\" is not a unicast MAC address; it is ignored"));
        }
        mac
    }

    /// On which CPU each receive queue is to be served.
    fn queue_cpus(&mut self, name: &str, row: &Row) -> Vec<(u16, u16)> {
        let Some(text) = row.entry("other_config", "pmd-rxq-affinity") else { return Vec::new() };
        let pair = |pair: &str| {
            let (queue, cpu) = pair.trim().split_once(':')?;
            Some((queue.trim().parse::<u16>().ok()?, cpu.trim().parse::<u16>().ok()?))
        };
        let pairs: Option<Vec<(u16, u16)>> = text.split(',').map(pair).collect();
        pairs.unwrap_or_else(|| {
            self.complain(name, format!("other_config:pmd-rxq-affinity=\"{text}\" is not a list of QUEUE:CPU; it is ignored"));
            Vec::new()
        })
    }

    /// What no single row can see: two ports of one name, patches without a pair.
    pub(super) fn pair_patches(&mut self) {
        let bridges = &mut self.reading.state.bridges;
        let mut seen: HashSet<String> = bridges.iter().map(|b| b.name.clone()).collect();
        let mut twice = Vec::new();
        let mut peers: HashMap<String, String> = HashMap::new();
        for bridge in bridges {
            bridge.ports.retain(|port| {
                let fresh = seen.insert(port.name.clone());
                match &port.kind {
                    _ if !fresh => twice.push(port.name.clone()),
                    PortKind::Patch { peer } => drop(peers.insert(port.name.clone(), peer.clone())),
                    _ => {}
                }
                fresh
            });
        }
        for (name, peer) in peers.iter().filter(|(name, peer)| peers.get(*peer) != Some(name)) {
            self.reading.unpaired.insert(name.clone(), format!("No usable peer '{peer}' exists in 'netdev' datapath."));
        }
        for name in twice {
            self.complain(&name, "is the name of a bridge or port already; this one is not made");
        }
    }
}

fn kind(name: &str, bridge: &Bridge, row: &Row) -> Result<PortKind, String> {
    let option = |key: &str| row.entry("options", key);
    let device = |kind: PortKind| match is_device_name(name) {
        true => Ok(kind),
        false => Err(format!("\"{name}\" is no name for a device: 1 to 15 bytes without blanks, slashes, colons and percent signs")),
    };
    if name.is_empty() {
        return Err("an interface has no name".to_string());
    }
    // As in Open vSwitch: what is no number from 1 on is no wish.
    let queues = option("n_rxq").and_then(|n| n.parse().ok()).filter(|n| (1..=QUEUES_MAX).contains(n));
    let system = |io: Io| device(PortKind::System { device: name.to_string(), io, queues });
    match row.text("type") {
        "internal" => device(PortKind::Internal),
        _ if name == bridge.name => device(PortKind::Internal),
        "" | "system" => system(Io::Auto),
        "afxdp" | "afxdp-nonpmd" => system(Io::Afxdp),
        "tap" => device(PortKind::Tap),
        "patch" => match option("peer") {
            Some(peer) if peer == name => Err("a patch port cannot be its own peer".to_string()),
            Some(peer) if !peer.is_empty() => Ok(PortKind::Patch { peer: peer.to_string() }),
            _ => Err("a patch port needs options:peer".to_string()),
        },
        "dpdkvhostuser" => vhost_user(name, None, option("vhost-iommu-support")),
        "dpdkvhostuserclient" => match option("vhost-server-path") {
            Some(path) => vhost_user(name, Some(path), option("vhost-iommu-support")),
            None => Err("a dpdkvhostuserclient port needs options:vhost-server-path".to_string()),
        },
        "vxlan" => vxlan(row).map(PortKind::Vxlan),
        known if NOT_HERE.contains(&known) => Err(format!("interface type \"{known}\" is not supported here (those that are: {})", TYPES.join(", "))),
        unknown => Err(format!("unknown interface type \"{unknown}\" (known are: {})", TYPES.join(", "))),
    }
}

/// A machine's socket; `path` is given where the machine's side listens.
fn vhost_user(name: &str, path: Option<&str>, iommu: Option<&str>) -> Result<PortKind, String> {
    let file = path.unwrap_or(name);
    if file.is_empty() || file.len() > 107 || path.is_none() && file.contains('/') {
        return Err(format!("\"{file}\" is no name for a socket: 1 to 107 bytes"));
    }
    let path = path.map(str::to_string);
    Ok(PortKind::VhostUser(VhostUser { server: path.is_none(), path, iommu: iommu == Some("true") }))
}

fn lacp(row: &Row) -> LacpPort {
    let number = |key: &str| row.entry("other_config", key).and_then(|t| t.parse().ok()).filter(|n| *n > 0);
    LacpPort { id: number("lacp-port-id"), priority: number("lacp-port-priority"), key: number("lacp-aggregation-key") }
}

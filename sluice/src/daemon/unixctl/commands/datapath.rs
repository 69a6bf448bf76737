//! Commands about the datapath, in the form that Open vSwitch's has.
//!
//! Invariant: numbers of ports are those that traces show.

use std::collections::BTreeMap;
use std::fmt::Write;

use sluice_openflow::PortNo;
use sluice_ovsdb_bridge::{Address, Key, PortKind, Tos, Ttl, Vxlan};

use super::{Console, Reply};
use crate::daemon::switch::bridge::{Bridge, PortState};
use crate::daemon::switch::DeviceCount;
use crate::daemon::trace::ports::datapath_number;

/// The one datapath.
const NAME: &str = "netdev@ovs-netdev";

pub(super) fn show_bridges(console: &mut Console<'_>, _: &[&str]) -> Reply {
    let counters = console.switch.counters();
    let mut out = format!("{NAME}: hit:{} missed:{}\n", counters.hits, counters.misses);
    let mut bridges: Vec<&Bridge> = console.switch.bridges().collect();
    bridges.sort_by(|a, b| a.name.cmp(&b.name));
    for bridge in bridges {
        let _ = writeln!(out, "  {}:", bridge.name);
        let mut ports: Vec<&PortState> = bridge.ports.values().collect();
        ports.sort_by(|a, b| a.name.cmp(&b.name));
        for port in ports {
            let number = if port.number == PortNo::LOCAL { 65534 } else { port.number.0 };
            let datapath = number_of(port).map_or("none".to_string(), |n| n.to_string());
            let (kind, details) = describe(port);
            let details = if details.is_empty() { String::new() } else { format!(": {details}") };
            let _ = writeln!(out, "    {} {number}/{datapath}: ({kind}{details})", port.name);
        }
    }
    Reply::Text(out)
}

/// A port's number in the datapath; a tunnel has that of its UDP port.
fn number_of(port: &PortState) -> Option<u32> {
    match port.wanted.as_ref().map(|w| &w.kind) {
        Some(PortKind::Vxlan(vxlan)) => Some(u32::from(vxlan.dst_port)),
        _ => datapath_number(port),
    }
}

fn describe(port: &PortState) -> (&'static str, String) {
    match port.wanted.as_ref().map(|w| &w.kind) {
        Some(PortKind::System { .. }) => ("system", String::new()),
        Some(PortKind::Patch { peer }) => ("patch", format!("peer={peer}")),
        Some(PortKind::Vxlan(vxlan)) => ("vxlan", tunnel_options(vxlan)),
        _ => ("tap", String::new()),
    }
}

fn tunnel_options(v: &Vxlan) -> String {
    let address = |a: &Address| match a {
        Address::Fixed(a) => a.to_string(),
        Address::Flow => "flow".to_string(),
    };
    let key = |k: &Key| match k {
        Key::Fixed(k) => k.to_string(),
        _ => "flow".to_string(),
    };
    let mut options = BTreeMap::new();
    match &v.out_key {
        None if v.key != Key::Fixed(0) => _ = options.insert("key", key(&v.key)),
        None => {}
        Some(out) => {
            options.insert("in_key", key(&v.key));
            options.insert("out_key", key(out));
        }
    }
    options.insert("remote_ip", address(&v.remote_ip));
    if let Some(local) = &v.local_ip {
        options.insert("local_ip", address(local));
    }
    if v.dst_port != 4789 {
        options.insert("dst_port", v.dst_port.to_string());
    }
    match v.tos {
        Tos::Inherit => _ = options.insert("tos", "inherit".to_string()),
        Tos::Fixed(0) => {}
        Tos::Fixed(tos) => _ = options.insert("tos", format!("0x{tos:x}")),
    }
    match v.ttl {
        Ttl::Inherit => _ = options.insert("ttl", "inherit".to_string()),
        Ttl::Fixed(64) => {}
        Ttl::Fixed(ttl) => _ = options.insert("ttl", ttl.to_string()),
    }
    if let Some(csum) = v.csum {
        options.insert("csum", csum.to_string());
    }
    if !v.df {
        options.insert("df_default", "false".to_string());
    }
    if v.egress_pkt_mark != 0 {
        options.insert("egress_pkt_mark", v.egress_pkt_mark.to_string());
    }
    options.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn show_datapath(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let statistics = words.iter().any(|w| matches!(*w, "-s" | "--statistics"));
    if let Err(e) = names_us(words) {
        return Reply::Error(e);
    }
    let switch = &console.switch;
    let counters = switch.counters();
    let (flows, _) = switch.cached();
    let mut out = format!("{NAME}:\n  lookups: hit:{} missed:{} lost:0\n  flows: {flows}\n", counters.hits, counters.misses);
    let mut ports: BTreeMap<u32, (String, &'static str, DeviceCount)> = BTreeMap::new();
    ports.insert(0, ("ovs-netdev".to_string(), " (tap)", DeviceCount::default()));
    for port in switch.bridges().flat_map(|b| b.ports.values()) {
        let (kind, _) = describe(port);
        let Some(number) = number_of(port) else { continue };
        let count = number.checked_sub(1).and_then(|d| u16::try_from(d).ok()).map(|d| switch.device_count(d)).unwrap_or_default();
        match kind {
            "vxlan" => ports.insert(number, (format!("vxlan_sys_{number}"), " (vxlan: packet_type=ptap)", DeviceCount::default())),
            "tap" => ports.insert(number, (port.name.clone(), " (tap)", count)),
            _ => ports.insert(number, (port.name.clone(), "", count)),
        };
    }
    for (number, (name, kind, count)) in ports {
        let _ = writeln!(out, "  port {number}: {name}{kind}");
        if statistics {
            let (rx, tx) = (amount(count.rx_bytes), amount(count.tx_bytes));
            let _ = writeln!(out, "    RX packets:{} errors:0 dropped:0 overruns:0 frame:0", count.rx_packets);
            let _ = writeln!(out, "    TX packets:{} errors:0 dropped:{} aborted:0 carrier:0", count.tx_packets, count.tx_dropped);
            let _ = writeln!(out, "    collisions:0\n    RX bytes:{rx}  TX bytes:{tx}");
        }
    }
    Reply::Text(out)
}

/// `139146 (135.9 KiB)`.
fn amount(bytes: u64) -> String {
    let units = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{bytes} ({:.1} {unit})", bytes as f64 / *size as f64),
        None => bytes.to_string(),
    }
}

/// An error unless the datapath that is named, if any, is ours.
pub(super) fn names_us(words: &[&str]) -> Result<(), String> {
    let known = [NAME, "ovs-netdev", "netdev", "system@ovs-system", "ovs-system"];
    match words.iter().find(|w| !w.starts_with('-') && !w.contains('=') && !known.contains(w)) {
        Some(word) => Err(format!("opening datapath {word} failed (No such file or directory)")),
        None => Ok(()),
    }
}

pub(super) fn list_bridges(console: &mut Console<'_>, _: &[&str]) -> Reply {
    let mut names: Vec<&str> = console.switch.bridges().map(|b| b.name.as_str()).collect();
    names.sort_unstable();
    Reply::Text(names.iter().map(|n| format!("netdev@{n}\n")).collect())
}

pub(super) fn list_datapaths(_: &mut Console<'_>, _: &[&str]) -> Reply {
    Reply::Text(format!("{NAME}\n"))
}

/// What rules can be made of, in the names that Open vSwitch's datapaths use for it.
const FEATURES: [(&str, &str); 26] = [
    ("Masked set action", "Yes"),
    ("Tunnel push pop", "Yes"),
    ("Ufid", "Yes"),
    ("Truncate action", "Yes"),
    ("Clone action", "Yes"),
    ("Sample nesting", "10"),
    ("Conntrack eventmask", "Yes"),
    ("Conntrack clear", "Yes"),
    ("Max dp_hash algorithm", "1"),
    ("Check pkt length action", "Yes"),
    ("Conntrack timeout policy", "Yes"),
    ("Explicit Drop action", "Yes"),
    ("Optimized Balance TCP mode", "Yes"),
    ("Conntrack all-zero IP SNAT", "Yes"),
    ("MPLS Label add", "Yes"),
    ("Max VLAN headers", "1"),
    ("Max MPLS depth", "3"),
    ("Recirc", "Yes"),
    ("CT state", "Yes"),
    ("CT zone", "Yes"),
    ("CT mark", "Yes"),
    ("CT label", "Yes"),
    ("CT state NAT", "Yes"),
    ("CT orig tuple", "Yes"),
    ("CT orig tuple for IPv6", "Yes"),
    ("IPv6 ND Extension", "Yes"),
];

pub(super) fn features(console: &mut Console<'_>, words: &[&str]) -> Reply {
    match words.first().and_then(|name| console.switch.bridge_by_name(name)) {
        Some(_) => Reply::Text(FEATURES.iter().map(|(what, value)| format!("{what}: {value}\n")).collect()),
        None => Reply::Error("no such bridge".to_string()),
    }
}

pub(super) fn set_features(console: &mut Console<'_>, words: &[&str]) -> Reply {
    match words {
        [name] if console.switch.bridge_by_name(name).is_some() => features(console, words),
        [name, ..] if console.switch.bridge_by_name(name).is_some() => {
            Reply::Error("the features of this datapath do not depend on a kernel and cannot be changed".to_string())
        }
        _ => Reply::Error("no such bridge".to_string()),
    }
}

pub(super) fn tunnels(console: &mut Console<'_>, _: &[&str]) -> Reply {
    let mut out = String::new();
    for port in console.switch.bridges().flat_map(|b| b.ports.values()) {
        let Some(PortKind::Vxlan(v)) = port.wanted.as_ref().map(|w| &w.kind) else { continue };
        let address = |a: &Address| match a {
            Address::Fixed(a) => a.to_string(),
            Address::Flow => "flow".to_string(),
        };
        let key = match v.key {
            Key::Fixed(key) => format!("0x{key:x}"),
            _ => "flow".to_string(),
        };
        let local = v.local_ip.as_ref().map_or("::".to_string(), address);
        let ttl = match v.ttl {
            Ttl::Fixed(ttl) => ttl.to_string(),
            Ttl::Inherit => "inherit".to_string(),
        };
        let tos = match v.tos {
            Tos::Inherit => ", tos=inherit".to_string(),
            Tos::Fixed(0) => String::new(),
            Tos::Fixed(tos) => format!(", tos=0x{tos:x}"),
        };
        let number = v.dst_port;
        let _ = writeln!(
            out,
            "port {number}: {} (vxlan: {local}->{}, key={key}, legacy_l2, dp port={number}, ttl={ttl}{tos}{}{})",
            port.name,
            address(&v.remote_ip),
            if v.df { "" } else { ", df=false" },
            if v.csum == Some(true) { ", csum=true" } else { "" },
        );
    }
    Reply::Text(out)
}

//! What the switch found out, in the database's columns.
//!
//! Purpose: Interface, Port, Bridge, Mirror and the root as `ovs-vsctl` and agents read them.
//! Invariant: what is not known is left empty, never invented.
//! Deliberately does not know: what was written before (the writer's part).

use std::collections::{HashMap, HashSet};

use sluice_openflow::message::Role;
use sluice_ovsdb_bridge::database::{Datum, Schema, Uuid};
use sluice_ovsdb_bridge::source::ovsdb::TYPES;
use sluice_ovsdb_bridge::{Address, Origins, PortKind, Refusals, Subject, Vxlan};
use sluice_port::netlink::{Link, LinkCounters};

use super::follow::{text, Follower};
use super::Control;
use crate::daemon::args::OVS_VERSION;
use crate::daemon::ofserver::ControllerStatus;
use crate::daemon::switch::bridge::{Attachment, Bridge, PortState};

/// What our datapath can do, by the names that OVN and others look for.
const CAPABILITIES: [(&str, &str); 27] = [
    ("add_mpls", "true"),
    ("check_pkt_len", "true"),
    ("clone", "true"),
    ("ct_clear", "true"),
    ("ct_eventmask", "true"),
    ("ct_flush", "true"),
    ("ct_label", "true"),
    ("ct_mark", "true"),
    ("ct_orig_tuple", "true"),
    ("ct_orig_tuple6", "true"),
    ("ct_state", "true"),
    ("ct_state_nat", "true"),
    ("ct_timeout", "true"),
    ("ct_zero_snat", "true"),
    ("ct_zone", "true"),
    ("explicit_drop_action", "true"),
    ("lb_output_action", "true"),
    ("masked_set_action", "true"),
    ("max_hash_alg", "1"),
    ("max_mpls_depth", "3"),
    ("max_vlan_headers", "1"),
    ("nd_ext", "true"),
    ("recirc", "true"),
    ("sample_nesting", "true"),
    ("tnl_push_pop", "true"),
    ("trunc", "true"),
    ("ufid", "true"),
];

/// Columns and their values.
type Columns = Vec<(&'static str, Datum)>;

impl Control {
    /// Asks the worker for counts when it is time, and writes them when they are there.
    pub(super) fn ask_for_statistics(&mut self, follower: &mut Follower, now_ms: u64) {
        match follower.statistics {
            None if follower.confirmed.is_some() && now_ms >= follower.statistics_ms => {
                follower.statistics = Some(self.switch.request_report());
                follower.statistics_ms = now_ms + self.state.node.statistics_interval_ms;
            }
            Some(ticket) if self.switch.has_reported(ticket) => {
                match self.host.link_counters() {
                    Ok(counters) => follower.counters = counters,
                    Err(e) => crate::log!(Debug, "", "{e}"),
                }
                follower.statistics = None;
                follower.stale = true;
            }
            _ => {}
        }
    }

    /// Connections that came or went are told at once.
    pub(super) fn look_at_controllers(&mut self, follower: &mut Follower, now_ms: u64) {
        let all = self.controllers(&follower.reading.origins, now_ms);
        let now: Vec<_> = all.iter().map(|(id, s)| (*id, s.is_connected, s.role, s.state)).collect();
        if now != follower.controllers {
            follower.controllers = now;
            follower.stale = true;
        }
    }

    /// Rows of controllers and how their connections are.
    fn controllers(&self, origins: &Origins, now_ms: u64) -> Vec<(Uuid, ControllerStatus)> {
        let mut all = Vec::new();
        if origins.controllers.is_empty() {
            return all;
        }
        for bridge in self.switch.bridges() {
            for status in self.server.controller_status(bridge.index, now_ms) {
                let row = origins.controllers.iter().find(|(b, t, _)| *b == bridge.name && t.as_ref() == Some(&status.target));
                all.extend(row.map(|(_, _, id)| (*id, status)));
            }
        }
        all
    }

    /// Wants every column that we keep to say what is.
    pub(super) fn describe_all(&mut self, follower: &mut Follower, schema: &Schema, now_ms: u64) {
        let controllers = self.controllers(&follower.reading.origins, now_ms);
        let links: HashMap<&str, &Link> = self.host.tables().links().map(|l| (l.name.as_str(), l)).collect();
        let Follower { writer, reading, confirmed, counters, .. } = follower;
        let mut ports: HashMap<&str, &PortState> = HashMap::new();
        for bridge in self.switch.bridges() {
            ports.extend(bridge.ports.values().map(|p| (p.name.as_str(), p)));
            if let Some(id) = reading.origins.bridges.get(&bridge.name) {
                writer.want(schema, "Bridge", *id, bridge_columns(bridge, &reading.refusals));
            }
            for (place, mirror) in bridge.wanted.mirrors.iter().enumerate() {
                let row = reading.origins.mirrors.get(&(bridge.name.clone(), mirror.name.clone()));
                let count = bridge.mirrored.get(place).copied().unwrap_or_default();
                let numbers = Datum::map([("tx_bytes", number(count.bytes)), ("tx_packets", number(count.packets))]);
                row.into_iter().for_each(|id| writer.want(schema, "Mirror", *id, [("statistics", numbers.clone())]));
            }
            for bond in &bridge.wanted.bonds {
                let active = self.switch.bond_active_member(&bond.name).map(mac_text);
                let row = reading.origins.ports.get(&bond.name);
                row.into_iter().for_each(|id| writer.want(schema, "Port", *id, [("bond_active_slave", text(active.as_deref()))]));
            }
        }
        let bonds = self.switch.bridges().flat_map(|b| &b.wanted.bonds);
        let bonded: HashSet<&str> = bonds.flat_map(|b| &b.members).map(String::as_str).collect();
        for (name, id) in &reading.origins.ports {
            writer.want(schema, "Port", *id, [("status", Datum::map(reading.refusals.of(Subject::Port, name)))]);
        }
        for (name, origin) in &reading.origins.interfaces {
            let refused: Vec<_> = reading.refusals.of(Subject::Interface, name).collect();
            let columns = match (&origin.refused, ports.get(name.as_str())) {
                (None, Some(port)) => self.interface(port, &links, counters, reading.unpaired.get(name), bonded.contains(name.as_str()), &refused),
                (Some(why), _) => nothing(why),
                (None, None) => nothing("it was not made; see the log"),
            };
            writer.want(schema, "Interface", origin.row, columns);
        }
        for (id, status) in controllers {
            writer.want(schema, "Controller", id, controller_columns(&status));
        }
        for (kind, id) in &reading.origins.datapaths {
            if ["netdev", "system"].contains(&kind.as_str()) {
                writer.want(schema, "Datapath", *id, [("capabilities", Datum::map(CAPABILITIES))]);
            }
        }
        if let Some(root) = reading.origins.root {
            let version = reading.version.is_none().then_some(OVS_VERSION);
            writer.want(schema, "Open_vSwitch", root, root_columns(*confirmed, version));
        }
    }

    fn interface(&self, port: &PortState, links: &HashMap<&str, &Link>, counters: &HashMap<u32, LinkCounters>, unpaired: Option<&String>, bonded: bool, refused: &[(&str, &str)]) -> Columns {
        let link = port.device_name().and_then(|name| links.get(name));
        let missing = port.error.as_deref().filter(|_| !matches!(port.attachment, Attachment::Device { open: true, .. }));
        if let Some(why) = missing {
            return nothing(why);
        }
        let virtual_port = port.device_name().is_none();
        let up = |yes: bool| Datum::one(if yes { "up" } else { "down" });
        // A tap that is open and out of sight is in another namespace.
        let known = virtual_port || link.is_some() || port.is_tap();
        let optional = |n: Option<i64>| Datum::optional(n);
        let speed = i64::from(port.link.speed_kbps) * 1000;
        let mut columns = vec![
            ("ofport", Datum::one(i64::from(port.number.0 & 0xffff))),
            ("error", text(unpaired.map(String::as_str))),
            ("mac_in_use", Datum::one(mac_text(link.map_or(port.hw_addr, |l| l.mac)))),
            ("ifindex", optional(if virtual_port { Some(0) } else { link.map(|l| i64::from(l.index)) })),
            ("mtu", optional(link.map(|l| i64::from(l.mtu)))),
            ("admin_state", if known { up(port.link.up) } else { Datum::none() }),
            ("link_state", if known { up(port.link.carrier) } else { Datum::none() }),
            ("link_resets", Datum::one(i64::from(port.link_resets))),
            ("link_speed", optional((speed > 0).then_some(speed))),
            ("duplex", text((speed > 0).then_some("full"))),
        ];
        let counted = link.and_then(|l| counters.get(&l.index));
        columns.push(("statistics", self.interface_statistics(port, counted)));
        columns.push(("status", Datum::map(self.interface_status(port).into_iter().chain(refused.iter().copied()))));
        columns.push(("lacp_current", Datum::optional(bonded.then(|| self.switch.lacp_current(&port.name)).flatten())));
        columns
    }

    /// What crossed the switch by our own count; what else the device met by the kernel's. A tap's
    /// kernel side looks at it from the other end.
    fn interface_statistics(&self, port: &PortState, counted: Option<&LinkCounters>) -> Datum {
        let (count, dropped) = match port.attachment {
            Attachment::Device { device, .. } => {
                let c = self.switch.device_count(device);
                ([c.rx_packets, c.rx_bytes, c.tx_packets, c.tx_bytes], c.tx_dropped)
            }
            Attachment::None => ([port.crossed[0].packets, port.crossed[0].bytes, port.crossed[1].packets, port.crossed[1].bytes], 0),
        };
        let [rx_packets, rx_bytes, tx_packets, tx_bytes] = count;
        let mut pairs = vec![("rx_packets", rx_packets), ("rx_bytes", rx_bytes), ("tx_packets", tx_packets), ("tx_bytes", tx_bytes)];
        if let Some(c) = counted {
            let of_host = port.is_tap();
            let swap = |a: u64, b: u64| if of_host { (b, a) } else { (a, b) };
            let (rx_errors, tx_errors) = swap(c.rx_errors, c.tx_errors);
            let (rx_dropped, tx_dropped) = swap(c.rx_dropped, c.tx_dropped);
            pairs.extend([
                ("rx_errors", rx_errors),
                ("tx_errors", tx_errors),
                ("rx_dropped", rx_dropped),
                ("tx_dropped", tx_dropped.saturating_add(dropped)),
                ("collisions", c.collisions),
                ("rx_multicast_packets", c.multicast),
                ("rx_over_err", c.rx_over_errors),
                ("rx_crc_err", c.rx_crc_errors),
                ("rx_frame_err", c.rx_frame_errors),
                ("rx_missed_errors", c.rx_missed_errors),
            ]);
        }
        Datum::map(pairs.into_iter().map(|(name, n)| (name, number(n))))
    }

    /// By which device a tunnel leaves, as far as that does not depend on the packet.
    fn tunnel_status(&self, vxlan: &Vxlan) -> Vec<(&str, &str)> {
        let host = self.host.tables();
        let link = match vxlan.remote_ip {
            Address::Fixed(remote) => host.route_to(remote).and_then(|hop| host.link(hop.link)),
            Address::Flow => None,
        };
        let pairs = link.into_iter().flat_map(|l| {
            let carrier = if l.running { "up" } else { "down" };
            [("tunnel_egress_iface", l.name.as_str()), ("tunnel_egress_iface_carrier", carrier)]
        });
        pairs.collect()
    }

    fn interface_status<'a>(&'a self, port: &'a PortState) -> Vec<(&'a str, &'a str)> {
        match port.wanted.as_ref().map(|w| &w.kind) {
            None | Some(PortKind::Internal | PortKind::Tap | PortKind::System { .. }) => {
                let known = port.driver.iter().any(|text| !text.is_empty());
                let names = ["driver_name", "driver_version", "firmware_version"];
                names.into_iter().zip(port.driver.iter().map(String::as_str)).filter(|_| known).collect()
            }
            Some(PortKind::Vxlan(vxlan)) => self.tunnel_status(vxlan),
            Some(_) => Vec::new(),
        }
    }
}

fn bridge_columns(bridge: &Bridge, refusals: &Refusals) -> Columns {
    vec![
        ("datapath_id", Datum::one(format!("{:016x}", bridge.datapath_id))),
        ("datapath_version", Datum::one("<built-in>")),
        ("status", Datum::map(refusals.of(Subject::Bridge, &bridge.name))),
    ]
}

fn controller_columns(status: &ControllerStatus) -> Columns {
    let role = match status.role {
        Role::Primary => "master",
        Role::Secondary => "slave",
        Role::Equal | Role::NoChange => "other",
    };
    let mut pairs = vec![("state", status.state.to_string())];
    pairs.extend(status.last_error.iter().map(|e| ("last_error", e.clone())));
    pairs.extend(status.sec_since_connect.map(|s| ("sec_since_connect", s.to_string())));
    pairs.extend(status.sec_since_disconnect.map(|s| ("sec_since_disconnect", s.to_string())));
    vec![
        ("is_connected", Datum::one(status.is_connected)),
        ("role", text(status.is_connected.then_some(role))),
        ("status", Datum::map(pairs)),
    ]
}

/// A counter as the database has it.
fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn root_columns(confirmed: Option<i64>, version: Option<&str>) -> Columns {
    let set = |items: &[&str]| Datum::Set(items.iter().map(|i| (*i).into()).collect());
    let mut columns = vec![
        ("datapath_types", set(&["netdev", "system"])),
        ("iface_types", set(&TYPES)),
        ("dpdk_initialized", Datum::one(false)),
        ("dpdk_version", Datum::one("none")),
    ];
    if let Some(number) = confirmed {
        columns.push(("cur_cfg", Datum::one(number)));
    }
    columns.extend(version.map(|version| ("ovs_version", Datum::one(version))));
    columns
}

/// A port that is not there, and why.
fn nothing(why: &str) -> Columns {
    let empty = ["lacp_current", "mac_in_use", "ifindex", "mtu", "admin_state", "link_state", "link_resets", "link_speed", "duplex"];
    let mut columns = vec![("ofport", Datum::one(-1)), ("error", Datum::one(why))];
    columns.extend(empty.map(|column| (column, Datum::none())));
    columns.extend(["statistics", "status"].map(|column| (column, Datum::map::<&str, &str>([]))));
    columns
}

fn mac_text(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

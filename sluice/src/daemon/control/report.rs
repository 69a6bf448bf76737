//! What the switch found out, in the database's columns.
//!
//! Purpose: Interface, Port, Bridge, Mirror and the root as `ovs-vsctl` and agents read them.
//! Invariant: what is not known is left empty, never invented.
//! Deliberately does not know: what was written before (the writer's part).

use std::collections::HashMap;

use sluice_ovsdb_bridge::database::{Datum, Schema};
use sluice_ovsdb_bridge::source::ovsdb::TYPES;
use sluice_ovsdb_bridge::PortKind;
use sluice_port::netlink::Link;

use super::follow::{text, Follower};
use super::Control;
use crate::daemon::switch::bridge::{Attachment, PortState};

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
                follower.statistics = None;
                follower.stale = true;
            }
            _ => {}
        }
    }

    /// Wants every column that we keep to say what is.
    pub(super) fn describe_all(&mut self, follower: &mut Follower, schema: &Schema) {
        let links: HashMap<&str, &Link> = self.host.tables().links().map(|l| (l.name.as_str(), l)).collect();
        let Follower { writer, reading, confirmed, .. } = follower;
        let mut ports: HashMap<&str, &PortState> = HashMap::new();
        for bridge in self.switch.bridges() {
            ports.extend(bridge.ports.values().map(|p| (p.name.as_str(), p)));
            if let Some(id) = reading.origins.bridges.get(&bridge.name) {
                let columns = [
                    ("datapath_id", Datum::one(format!("{:016x}", bridge.datapath_id))),
                    ("datapath_version", Datum::one("<built-in>")),
                ];
                writer.want(schema, "Bridge", *id, columns);
            }
        }
        for (name, origin) in &reading.origins.interfaces {
            let columns = match (&origin.refused, ports.get(name.as_str())) {
                (None, Some(port)) => self.interface(port, &links, reading.unpaired.get(name)),
                (Some(why), _) => nothing(why),
                (None, None) => nothing("it was not made; see the log"),
            };
            writer.want(schema, "Interface", origin.row, columns);
        }
        if let Some(root) = reading.origins.root {
            writer.want(schema, "Open_vSwitch", root, root_columns(*confirmed));
        }
    }

    fn interface(&self, port: &PortState, links: &HashMap<&str, &Link>, unpaired: Option<&String>) -> Columns {
        let link = port.device_name().and_then(|name| links.get(name));
        let missing = port.error.as_deref().filter(|_| !matches!(port.attachment, Attachment::Device { open: true, .. }));
        if let Some(why) = missing {
            return nothing(why);
        }
        let virtual_port = port.device_name().is_none();
        let up = |yes: bool| Datum::one(if yes { "up" } else { "down" });
        let known = virtual_port || link.is_some();
        let number = |n: Option<i64>| Datum::optional(n);
        let speed = i64::from(port.link.speed_kbps) * 1000;
        let mut columns = vec![
            ("ofport", Datum::one(i64::from(port.number.0 & 0xffff))),
            ("error", text(unpaired.map(String::as_str))),
            ("mac_in_use", Datum::one(mac_text(link.map_or(port.hw_addr, |l| l.mac)))),
            ("ifindex", number(if virtual_port { Some(0) } else { link.map(|l| i64::from(l.index)) })),
            ("mtu", number(link.map(|l| i64::from(l.mtu)))),
            ("admin_state", if known { up(port.link.up) } else { Datum::none() }),
            ("link_state", if known { up(port.link.carrier) } else { Datum::none() }),
            ("link_resets", Datum::one(i64::from(port.link_resets))),
            ("link_speed", number((speed > 0).then_some(speed))),
            ("duplex", text((speed > 0).then_some("full"))),
        ];
        columns.push(("statistics", self.interface_statistics(port)));
        columns.push(("status", self.interface_status(port)));
        columns
    }

    fn interface_statistics(&self, port: &PortState) -> Datum {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let count = match port.attachment {
            Attachment::Device { device, .. } => {
                let c = self.switch.device_count(device);
                [c.rx_packets, c.rx_bytes, c.tx_packets, c.tx_bytes]
            }
            Attachment::None => [port.crossed[0].packets, port.crossed[0].bytes, port.crossed[1].packets, port.crossed[1].bytes],
        };
        let [rx_packets, rx_bytes, tx_packets, tx_bytes] = count.map(number);
        Datum::map([("rx_packets", rx_packets), ("rx_bytes", rx_bytes), ("tx_packets", tx_packets), ("tx_bytes", tx_bytes)])
    }

    fn interface_status(&self, port: &PortState) -> Datum {
        match port.wanted.as_ref().map(|w| &w.kind) {
            None | Some(PortKind::Internal | PortKind::Tap | PortKind::System { .. }) => {
                let known = port.driver.iter().any(|text| !text.is_empty());
                let names = ["driver_name", "driver_version", "firmware_version"];
                Datum::map(names.into_iter().zip(port.driver.iter().map(String::as_str)).filter(|_| known))
            }
            Some(_) => Datum::map::<&str, &str>([]),
        }
    }
}

fn root_columns(confirmed: Option<i64>) -> Columns {
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
    columns
}

/// A port that is not there, and why.
fn nothing(why: &str) -> Columns {
    let empty = ["mac_in_use", "ifindex", "mtu", "admin_state", "link_state", "link_resets", "link_speed", "duplex"];
    let mut columns = vec![("ofport", Datum::one(-1)), ("error", Datum::one(why))];
    columns.extend(empty.map(|column| (column, Datum::none())));
    columns.extend(["statistics", "status"].map(|column| (column, Datum::map::<&str, &str>([]))));
    columns
}

fn mac_text(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

//! Rows of tables Bridge, Flow_Table and Mirror.

use std::collections::BTreeMap;

use super::{is_device_name, is_true, vlans, Reader, Subject};
use crate::database::{Atom, Row, Uuid};
use crate::source::addresses;
use crate::state::{Bridge, FailMode, FlowTable, Overflow, Version};
use crate::switching::{McastSnooping, Mirror, Normal};

/// Datapath types that mean this switch.
const OURS: [&str; 3] = ["", "netdev", "system"];

impl Reader<'_> {
    pub(super) fn bridge(&mut self, id: Uuid, row: &Row) {
        let name = row.text("name").to_string();
        let datapath = row.text("datapath_type");
        if !is_device_name(&name) {
            return self.complain(&name, "is no name for a bridge: 1 to 15 bytes without blanks, slashes, colons and percent signs; the bridge is ignored");
        }
        self.reading.origins.bridges.insert(name.clone(), id);
        if !OURS.contains(&datapath) {
            return self.complain(&name, format!("datapath_type \"{datapath}\" is not known (system and netdev are); the bridge is ignored"));
        }
        self.refuse_features(&name, row);
        let mut bridge = Bridge::new(name.clone());
        bridge.datapath_id = self.other(row, &name, "datapath-id", addresses::datapath_id, "16 hexadecimal digits, not all zero");
        bridge.hwaddr = self.other(row, &name, "hwaddr", addresses::unicast, "a unicast MAC address");
        bridge.default_hwaddr = Some(default_address(id));
        bridge.fail_mode = if row.text("fail_mode") == "secure" { FailMode::Secure } else { FailMode::Standalone };
        bridge.protocols = row.texts("protocols").filter_map(Version::by_name).collect();
        bridge.controllers = self.controllers(&name, row);
        bridge.mac_table_size = self.number(row, &name, "mac-table-size", 1, u64::from(u32::MAX)).map_or(8192, |n| n.clamp(10, 1_000_000) as u32);
        bridge.mac_ageing = self.number(row, &name, "mac-aging-time", 1, u64::from(u32::MAX)).map_or(300, |n| n.clamp(15, 3600) as u32);
        bridge.disable_in_band = is_true(row, "other_config", "disable-in-band");
        bridge.in_band_queue = row.entry("other_config", "in-band-queue").and_then(|text| text.parse().ok());
        bridge.description = row.entry("other_config", "dp-desc").map(str::to_string);
        bridge.tables = self.flow_tables(row);
        bridge.normal = self.normal(&name, row);
        for (port, row) in self.referred("Port", row, "ports") {
            self.port(&mut bridge, port, row);
        }
        bridge.mirrors = self.mirrors(&name, row);
        self.reading.state.bridges.push(bridge);
    }

    fn refuse_features(&mut self, name: &str, row: &Row) {
        for (column, feature) in [("stp_enable", "stp"), ("rstp_enable", "rstp")] {
            if row.flag(column).unwrap_or(false) {
                self.refuse(Subject::Bridge, name, feature, format!("not supported: {column} has no effect, every port forwards"));
            }
        }
        for column in ["netflow", "sflow", "ipfix", "auto_attach"] {
            if row.references(column).next().is_some() {
                self.refuse(Subject::Bridge, name, column, format!("not supported: column {column} has no effect"));
            }
        }
    }

    fn other<T>(&mut self, row: &Row, subject: &str, key: &str, read: impl Fn(&str) -> Option<T>, expected: &str) -> Option<T> {
        let text = row.entry("other_config", key)?;
        let value = read(text);
        if value.is_none() {
            self.complain(subject, format!("other_config:{key}={text} is not {expected}; it is ignored"));
        }
        value
    }

    fn flow_tables(&self, row: &Row) -> BTreeMap<u8, FlowTable> {
        let table = |(number, id): (&Atom, &Atom)| match (number, id) {
            (Atom::Integer(n), Atom::Uuid(id)) => Some((u8::try_from(*n).ok()?, flow_table(self.tables.row("Flow_Table", *id)?))),
            _ => None,
        };
        row.pairs("flow_tables").filter_map(table).collect()
    }

    fn normal(&mut self, name: &str, row: &Row) -> Normal {
        let mut normal = Normal { flood_vlans: vlans(row, "flood_vlans"), ..Normal::default() };
        normal.forward_bpdu = is_true(row, "other_config", "forward-bpdu");
        if row.flag("mcast_snooping_enable").unwrap_or(false) {
            let mut snooping = McastSnooping::default();
            if let Some(n) = self.number(row, name, "mcast-snooping-table-size", 1, 1_000_000) {
                snooping.table_size = n as u32;
            }
            if let Some(n) = self.number(row, name, "mcast-snooping-aging-time", 1, 3600) {
                snooping.ageing = n as u32;
            }
            snooping.flood_unregistered = !is_true(row, "other_config", "mcast-snooping-disable-flood-unregistered");
            normal.mcast_snooping = Some(snooping);
        }
        normal
    }

    fn mirrors(&mut self, bridge: &str, row: &Row) -> Vec<Mirror> {
        let rows = self.referred("Mirror", row, "mirrors");
        rows.into_iter().filter_map(|(id, row)| self.mirror(bridge, id, row)).collect()
    }

    fn mirror(&mut self, bridge: &str, id: Uuid, row: &Row) -> Option<Mirror> {
        let name = row.text("name").to_string();
        self.reading.origins.mirrors.insert((bridge.to_string(), name.clone()), id);
        let port_names = |column: &str| -> Vec<String> {
            let mut names: Vec<String> =
                row.references(column).filter_map(|id| Some(self.tables.row("Port", id)?.text("name").to_string())).collect();
            names.sort();
            names
        };
        let mirror = Mirror {
            select_all: row.flag("select_all").unwrap_or(false),
            select_src: port_names("select_src_port"),
            select_dst: port_names("select_dst_port"),
            select_vlans: vlans(row, "select_vlan"),
            output_port: port_names("output_port").into_iter().next(),
            output_vlan: row.integer("output_vlan").and_then(|n| u16::try_from(n).ok()),
            snaplen: row.integer("snaplen").and_then(|n| u16::try_from(n).ok()),
            name,
        };
        if mirror.output_port.is_none() && mirror.output_vlan.is_none() {
            self.complain(bridge, format!("mirror \"{}\" has neither output_port nor output_vlan; it is ignored", mirror.name));
            return None;
        }
        Some(mirror)
    }
}

fn flow_table(row: &Row) -> FlowTable {
    let overflow = if row.text("overflow_policy") == "evict" { Overflow::Evict } else { Overflow::Refuse };
    FlowTable {
        name: row.optional_text("name").map(str::to_string),
        flow_limit: row.integer("flow_limit").map(|n| u32::try_from(n.max(0)).unwrap_or(u32::MAX)),
        overflow,
        groups: row.texts("groups").map(str::to_string).collect(),
        prefixes: row.texts("prefixes").map(str::to_string).collect(),
    }
}

/// A bridge's address for want of a better one: it belongs to the row, so it survives restarts.
fn default_address(id: Uuid) -> [u8; 6] {
    let [a, b, c, d, e, f, ..] = id.0.to_be_bytes();
    [a & 0xfc | 2, b, c, d, e, f]
}

//! What we want to know of the database, and what the server's schema has of it.
//!
//! Purpose: ask only for columns that exist, so that older and newer schemas work; refuse a database
//! that lacks what no switch can do without.
//! Deliberately does not know: what columns mean.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{json, Map, Value};

/// The database's name.
pub const DATABASE: &str = "Open_vSwitch";

/// Tables and columns that we follow.
const WANTED: [(&str, &[&str]); 14] = [
    ("Open_vSwitch", &["bridges", "ssl", "other_config", "next_cfg", "cur_cfg", "ovs_version", "datapaths", "manager_options"]),
    ("Manager", &["target", "connection_mode"]),
    (
        "Bridge",
        &[
            "name", "datapath_type", "stp_enable", "rstp_enable", "mcast_snooping_enable", "ports", "mirrors",
            "netflow", "sflow", "ipfix", "controller", "protocols", "fail_mode", "other_config", "flood_vlans",
            "flow_tables", "auto_attach",
        ],
    ),
    (
        "Port",
        &[
            "name", "interfaces", "trunks", "cvlans", "tag", "vlan_mode", "qos", "mac", "bond_mode", "lacp",
            "bond_updelay", "bond_downdelay", "protected", "fake_bridge", "other_config",
        ],
    ),
    (
        "Interface",
        &[
            "name", "type", "options", "ingress_policing_rate", "ingress_policing_burst",
            "ingress_policing_kpkts_rate", "ingress_policing_kpkts_burst", "mac", "ofport", "ofport_request",
            "bfd", "cfm_mpid", "lldp", "mtu_request", "other_config",
        ],
    ),
    ("Flow_Table", &["name", "flow_limit", "overflow_policy", "groups", "prefixes"]),
    ("QoS", &["type", "queues", "other_config"]),
    ("Queue", &["dscp", "other_config"]),
    (
        "Mirror",
        &[
            "name", "select_all", "select_src_port", "select_dst_port", "select_vlan", "output_port",
            "output_vlan", "snaplen",
        ],
    ),
    (
        "Controller",
        &[
            "type", "target", "max_backoff", "inactivity_probe", "connection_mode", "enable_async_messages",
            "controller_queue_size", "controller_rate_limit", "controller_burst_limit",
        ],
    ),
    ("Datapath", &["datapath_version", "ct_zones"]),
    ("CT_Zone", &["timeout_policy"]),
    ("CT_Timeout_Policy", &["timeouts"]),
    ("SSL", &["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"]),
];

/// What no switch can do without.
const NEEDED: [(&str, &[&str]); 4] = [
    ("Open_vSwitch", &["bridges", "next_cfg", "cur_cfg"]),
    ("Bridge", &["name", "ports"]),
    ("Port", &["name", "interfaces"]),
    ("Interface", &["name", "type", "options", "ofport"]),
];

/// The part of the server's schema that matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Every column, and whether it can hold several values.
    tables: BTreeMap<String, BTreeMap<String, bool>>,
    /// Its version.
    pub version: String,
}

impl Schema {
    /// Reads the answer to `get_schema`.
    pub fn read(value: &Value) -> Result<Schema, String> {
        let name = value.get("name").and_then(Value::as_str).unwrap_or("");
        if name != DATABASE {
            return Err(format!("the schema is that of \"{name}\", not of {DATABASE}"));
        }
        let tables = value.get("tables").and_then(Value::as_object).ok_or("the schema has no tables")?;
        let version = value.get("version").and_then(Value::as_str).unwrap_or("").to_string();
        let tables = tables.iter().map(|(name, table)| (name.clone(), columns(table))).collect();
        let schema = Schema { tables, version };
        for (table, columns) in NEEDED {
            for column in columns {
                if !schema.has(table, column) {
                    return Err(format!(
                        "the schema (version \"{}\") has no column \"{column}\" in table \"{table}\"; convert the database to Open vSwitch's schema",
                        schema.version
                    ));
                }
            }
        }
        Ok(schema)
    }

    /// Whether there is this column.
    pub fn has(&self, table: &str, column: &str) -> bool {
        self.tables.get(table).is_some_and(|t| t.contains_key(column))
    }

    /// Whether this column can hold several values.
    pub fn has_many(&self, table: &str, column: &str) -> bool {
        self.tables.get(table).and_then(|t| t.get(column)).copied().unwrap_or(false)
    }

    /// What to follow, for the `monitor` family of methods. `listed` wraps each table's wish in a
    /// list, as the newer ones want it.
    pub fn wishes(&self, listed: bool) -> Value {
        let mut wishes = Map::new();
        for (table, columns) in WANTED {
            let columns: BTreeSet<&str> = columns.iter().copied().filter(|c| self.has(table, c)).collect();
            if columns.is_empty() {
                continue;
            }
            let wish = json!({ "columns": columns });
            wishes.insert(table.to_string(), if listed { json!([wish]) } else { wish });
        }
        Value::Object(wishes)
    }
}

fn columns(table: &Value) -> BTreeMap<String, bool> {
    let columns = table.get("columns").and_then(Value::as_object);
    let many = |column: &Value| match column.get("type").and_then(|t| t.get("max")) {
        None => false,
        Some(Value::Number(n)) => n.as_u64().is_none_or(|n| n > 1),
        Some(_) => true,
    };
    columns.into_iter().flatten().map(|(name, column)| (name.clone(), many(column))).collect()
}

//! Rows of an Open_vSwitch database to a desired state.
//!
//! Purpose: `read_rows` gives the same [`DesiredState`] that a file would, and says which row each
//! bridge, port, controller and mirror came from.
//! Invariant: a row that makes no sense costs itself, not its neighbours: it is refused with a reason
//! that goes into its error column and the log. Order does not depend on rows' names (uuids).
//! Deliberately does not know: devices, what is open.

mod bridge;
mod controller;
mod interface;
mod origins;
mod port;
mod qos;
mod refusals;
mod tunnel;

use std::collections::BTreeMap;

pub use interface::TYPES;
pub use origins::Origins;
pub use refusals::{Refusals, Subject};

use crate::database::{Atom, Row, Tables, Uuid};
use crate::source::addresses::manager;
use crate::state::{DesiredState, Node, Tls, Workers, Zone};

/// Most workers.
const WORKERS_MAX: usize = 64;
/// Highest number of a VLAN.
const LAST_VLAN: i64 = 4095;

/// What the rows say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The desired state.
    pub state: DesiredState,
    /// Which row is what.
    pub origins: Origins,
    /// The number of the configuration, to be confirmed when it is in force.
    pub number: i64,
    /// The version that somebody else wrote into the database.
    pub version: Option<String>,
    /// Errors of ports that are there all the same: patches without a pair.
    pub unpaired: BTreeMap<String, String>,
    /// What is refused of rows that are there all the same, for their status.
    pub refusals: Refusals,
    /// What is refused or ignored, subject first.
    pub complaints: Vec<(String, String)>,
}

/// Why the rows say nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoConfiguration {
    /// Nobody has set the database up.
    #[error("the database has no row in table Open_vSwitch; run \"ovs-vsctl init\"")]
    Uninitialized,
    /// There must be one.
    #[error("the database has {0} rows in table Open_vSwitch, not one")]
    Ambiguous(usize),
}

/// Reads the rows.
pub fn read_rows(tables: &Tables) -> Result<Reading, NoConfiguration> {
    let mut roots = tables.rows("Open_vSwitch");
    let (id, root) = roots.next().ok_or(NoConfiguration::Uninitialized)?;
    let more = roots.count();
    if more > 0 {
        return Err(NoConfiguration::Ambiguous(more + 1));
    }
    let mut reader = Reader { tables, reading: Reading::default() };
    reader.reading.origins.root = Some(id);
    reader.reading.number = root.integer("next_cfg").unwrap_or(0);
    reader.reading.version = root.optional_text("ovs_version").map(str::to_string);
    reader.root(root);
    Ok(reader.reading)
}

/// Reads rows and remembers what is wrong with them.
struct Reader<'a> {
    tables: &'a Tables,
    reading: Reading,
}

impl<'a> Reader<'a> {
    fn complain(&mut self, subject: &str, what: impl Into<String>) {
        self.reading.complaints.push((subject.to_string(), what.into()));
    }

    /// The rows that a column refers to, by name.
    fn referred(&self, table: &str, row: &Row, column: &str) -> Vec<(Uuid, &'a Row)> {
        let mut rows: Vec<_> =
            row.references(column).filter_map(|id| Some((id, self.tables.row(table, id)?))).collect();
        rows.sort_by(|(a, x), (b, y)| (x.text("name"), a).cmp(&(y.text("name"), b)));
        rows
    }

    fn root(&mut self, root: &Row) {
        self.reading.state.node = self.node(root);
        self.reading.state.workers = self.workers(root);
        self.reading.state.tls = self.tls(root);
        self.reading.state.zones = self.zones(root);
        let bridges = self.referred("Bridge", root, "bridges");
        for (id, row) in &bridges {
            self.bridge(*id, row);
        }
        self.pair_patches();
    }

    /// One worker for each bit of the mask; one that runs anywhere without a mask.
    fn workers(&mut self, root: &Row) -> Workers {
        let Some(text) = root.entry("other_config", "pmd-cpu-mask") else { return Workers::default() };
        let digits = text.trim().trim_start_matches("0x").trim_start_matches("0X");
        let nibbles: Option<Vec<u32>> = digits.chars().rev().map(|c| c.to_digit(16)).collect();
        let cpus = |nibbles: Vec<u32>| -> Vec<u16> {
            let bits = nibbles.iter().enumerate().flat_map(|(i, n)| (0..4).filter(move |b| n >> b & 1 == 1).map(move |b| 4 * i + b));
            bits.filter_map(|cpu| u16::try_from(cpu).ok()).collect()
        };
        match nibbles.map(cpus) {
            Some(cpus) if !cpus.is_empty() && cpus.len() <= WORKERS_MAX => {
                Workers { count: cpus.len() as u16, cpus, ..Workers::default() }
            }
            _ => {
                let what = format!("other_config:pmd-cpu-mask={text} is not a hexadecimal mask of 1 to {WORKERS_MAX} CPUs; one worker runs anywhere");
                self.complain("Open_vSwitch", what);
                Workers::default()
            }
        }
    }

    fn node(&mut self, root: &Row) -> Node {
        let mut node = Node::default();
        if let Some(n) = self.number(root, "Open_vSwitch", "stats-update-interval", 5000, u64::from(u32::MAX)) {
            node.statistics_interval_ms = n;
        }
        let managers = self.referred("Manager", root, "manager_options").into_iter().map(|(_, row)| row);
        let in_band = managers.filter(|row| row.text("connection_mode") != "out-of-band");
        node.managers = in_band.filter_map(|row| manager(row.text("target"))).collect();
        for key in ["hw-offload", "userspace-tso-enable", "dpdk-init", "tc-policy", "vlan-limit"] {
            let value = root.entry("other_config", key).unwrap_or("false");
            if value != "false" && value != "0" {
                self.complain("Open_vSwitch", format!("other_config:{key}={value} has no effect here"));
            }
        }
        node
    }

    /// A number of a row's `other_config`; one that is none, or out of bounds, is told.
    fn number(&mut self, row: &Row, subject: &str, key: &str, low: u64, high: u64) -> Option<u64> {
        let text = row.entry("other_config", key)?;
        match text.trim().parse() {
            Ok(n) if (low..=high).contains(&n) => Some(n),
            _ => {
                self.complain(subject, format!("other_config:{key}={text} is not a number from {low} to {high}; the default is used"));
                None
            }
        }
    }

    fn tls(&self, root: &Row) -> Option<Tls> {
        let row = root.references("ssl").find_map(|id| self.tables.row("SSL", id))?;
        Some(Tls {
            private_key: row.text("private_key").to_string(),
            certificate: row.text("certificate").to_string(),
            ca_certificate: row.text("ca_cert").to_string(),
            bootstrap_ca: row.flag("bootstrap_ca_cert").unwrap_or(false),
        })
    }

    fn zones(&mut self, root: &Row) -> BTreeMap<u16, Zone> {
        let mut zones = BTreeMap::new();
        for (kind, datapath) in root.pairs("datapaths") {
            let (Atom::String(kind), Atom::Uuid(id)) = (kind, datapath) else { continue };
            self.reading.origins.datapaths.push((kind.clone(), *id));
            let Some(datapath) = self.tables.row("Datapath", *id) else { continue };
            for (zone, row) in datapath.pairs("ct_zones") {
                let (Atom::Integer(zone), Atom::Uuid(row)) = (zone, row) else { continue };
                let (Ok(zone), Some(row)) = (u16::try_from(*zone), self.tables.row("CT_Zone", *row)) else { continue };
                zones.insert(zone, Zone { timeouts: self.timeouts(row) });
            }
        }
        zones
    }

    fn timeouts(&self, zone: &Row) -> BTreeMap<String, u32> {
        let policy = zone.references("timeout_policy").find_map(|id| self.tables.row("CT_Timeout_Policy", id));
        let pairs = policy.into_iter().flat_map(|p| p.pairs("timeouts"));
        let timeout = |(name, seconds): (&Atom, &Atom)| match (name, seconds) {
            (Atom::String(name), Atom::Integer(n)) => Some((name.clone(), u32::try_from(*n).ok()?)),
            _ => None,
        };
        pairs.filter_map(timeout).collect()
    }
}

/// VLANs of a column, in order.
fn vlans(row: &Row, column: &str) -> Vec<u16> {
    row.integers(column).filter(|n| (0..=LAST_VLAN).contains(n)).map(|n| n as u16).collect()
}

/// Whether a device can have this name. The kernel takes `%` for a wish to number the device.
fn is_device_name(name: &str) -> bool {
    let length = (1..=15).contains(&name.len());
    length && name != "." && name != ".." && !name.bytes().any(|b| matches!(b, b'/' | b':' | b'%' | 0) || b.is_ascii_whitespace())
}

fn is_true(row: &Row, column: &str, key: &str) -> bool {
    row.entry(column, key).is_some_and(|v| v == "true")
}

//! Requests and replies that may come in several parts.

use super::{
    FlowMonitorRequest, FlowStats, FlowStatsRequest, FlowUpdate, GroupDesc, GroupFeatures, GroupStats,
    MeterConfig, MeterFeatures, MeterStats, Port, PortStats, QueueConfig, QueueStats, QueueStatsRequest,
};
use crate::action::PortNo;

/// What is asked for.
#[derive(Clone, PartialEq, Debug)]
pub enum StatsRequest {
    /// Who made the switch.
    Desc,
    /// Rules.
    Flow(FlowStatsRequest),
    /// Sums over rules.
    Aggregate(FlowStatsRequest),
    /// Tables.
    Table,
    /// Counters of a port; `PortNo::NONE` for all.
    Port(PortNo),
    /// Counters of queues.
    Queue(QueueStatsRequest),
    /// Descriptions of ports; `PortNo::NONE` for all (one port: 1.5).
    PortDesc(PortNo),
    /// Counters of a group; `0xffff_fffc` for all.
    Group(u32),
    /// Descriptions of groups; `0xffff_fffc` for all (one group: 1.5).
    GroupDesc(u32),
    /// What groups the switch can have.
    GroupFeatures,
    /// Counters of a meter; `0xffff_ffff` for all.
    Meter(u32),
    /// Configuration of a meter; `0xffff_ffff` for all.
    MeterConfig(u32),
    /// What meters the switch can have.
    MeterFeatures,
    /// What the tables can do; with a body, a wish to change it (kept raw).
    TableFeatures(Vec<u8>),
    /// Configuration of the tables (1.4+).
    TableDesc,
    /// Queues of a port (1.4+).
    QueueDesc(QueueStatsRequest),
    /// Tell me of changes of the rules.
    FlowMonitor(Vec<FlowMonitorRequest>),
    /// What was sampled of a bridge.
    IpfixBridge,
    /// What `sample` actions sampled.
    IpfixFlow,
    /// Known by name, not read by this crate.
    Unread {
        /// Its name as printed.
        name: &'static str,
        /// What follows the headers.
        body: Vec<u8>,
    },
}

/// What is answered.
#[derive(Clone, PartialEq, Debug)]
pub enum StatsReply {
    /// Who made the switch.
    Desc(SwitchDesc),
    /// Rules.
    Flow {
        /// OpenFlow 1.0: the `NXST` form.
        nxm: bool,
        /// More parts follow.
        more: bool,
        /// The rules.
        flows: Vec<FlowStats>,
    },
    /// Sums over rules.
    Aggregate {
        /// OpenFlow 1.0: the `NXST` form.
        nxm: bool,
        /// The sums.
        sums: Aggregate,
    },
    /// Tables.
    Table {
        /// More parts follow.
        more: bool,
        /// The tables.
        tables: Vec<TableStats>,
    },
    /// Counters of ports.
    Port {
        /// More parts follow.
        more: bool,
        /// The ports.
        ports: Vec<PortStats>,
    },
    /// Counters of queues.
    Queue {
        /// More parts follow.
        more: bool,
        /// The queues.
        queues: Vec<QueueStats>,
    },
    /// Descriptions of ports.
    PortDesc {
        /// More parts follow.
        more: bool,
        /// The ports.
        ports: Vec<Port>,
    },
    /// Counters of groups.
    Group {
        /// More parts follow.
        more: bool,
        /// The groups.
        groups: Vec<GroupStats>,
    },
    /// Descriptions of groups.
    GroupDesc {
        /// More parts follow.
        more: bool,
        /// The groups.
        groups: Vec<GroupDesc>,
    },
    /// What groups the switch can have.
    GroupFeatures(GroupFeatures),
    /// Counters of meters.
    Meter {
        /// More parts follow.
        more: bool,
        /// The meters.
        meters: Vec<MeterStats>,
    },
    /// Configuration of meters.
    MeterConfig {
        /// More parts follow.
        more: bool,
        /// The meters.
        meters: Vec<MeterConfig>,
    },
    /// What meters the switch can have.
    MeterFeatures(MeterFeatures),
    /// What the tables can do, raw.
    TableFeatures {
        /// More parts follow.
        more: bool,
        /// The properties of all tables.
        body: Vec<u8>,
    },
    /// Configuration of the tables.
    TableDesc {
        /// More parts follow.
        more: bool,
        /// The tables.
        tables: Vec<TableDesc>,
    },
    /// Queues of a port (1.4+).
    QueueDesc {
        /// More parts follow.
        more: bool,
        /// The queues.
        queues: Vec<QueueConfig>,
    },
    /// Changes of the rules.
    FlowMonitor {
        /// More parts follow.
        more: bool,
        /// The changes.
        updates: Vec<FlowUpdate>,
    },
    /// Known by name, not read by this crate.
    Unread {
        /// Its name as printed.
        name: &'static str,
        /// More parts follow.
        more: bool,
        /// What follows the headers.
        body: Vec<u8>,
    },
}

impl StatsReply {
    /// Do more parts with the same transaction id follow?
    pub fn more(&self) -> bool {
        match self {
            StatsReply::Flow { more, .. }
            | StatsReply::Table { more, .. }
            | StatsReply::Port { more, .. }
            | StatsReply::Queue { more, .. }
            | StatsReply::PortDesc { more, .. }
            | StatsReply::Group { more, .. }
            | StatsReply::GroupDesc { more, .. }
            | StatsReply::Meter { more, .. }
            | StatsReply::MeterConfig { more, .. }
            | StatsReply::TableFeatures { more, .. }
            | StatsReply::TableDesc { more, .. }
            | StatsReply::QueueDesc { more, .. }
            | StatsReply::FlowMonitor { more, .. }
            | StatsReply::Unread { more, .. } => *more,
            _ => false,
        }
    }
}

/// Who made the switch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SwitchDesc {
    /// Manufacturer.
    pub manufacturer: String,
    /// Hardware.
    pub hardware: String,
    /// Software.
    pub software: String,
    /// Serial number.
    pub serial: String,
    /// This datapath, for people.
    pub datapath: String,
}

/// Sums over rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Aggregate {
    /// Packets; `u64::MAX` where not counted.
    pub packets: u64,
    /// Bytes; `u64::MAX` where not counted.
    pub bytes: u64,
    /// Rules.
    pub flows: u32,
}

/// One table in a table reply. What a version does not carry is zero or empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TableStats {
    /// Table.
    pub table: u8,
    /// Name (up to 1.2).
    pub name: String,
    /// Most rules (up to 1.2).
    pub max_entries: u32,
    /// Rules.
    pub active: u32,
    /// Packets looked up.
    pub lookups: u64,
    /// Packets that hit a rule.
    pub matched: u64,
    /// Table configuration (1.1 and 1.2).
    pub config: u32,
    /// What the table can do, as the version puts it (up to 1.2); empty for "everything".
    pub abilities: Vec<u8>,
}

/// Vacancy thresholds of a table (1.4+), percent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vacancy {
    /// Tell when below.
    pub down: u8,
    /// Tell when above.
    pub up: u8,
    /// Now.
    pub current: u8,
}

/// Configuration of one table (1.4+).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TableDesc {
    /// Table.
    pub table: u8,
    /// Bits: 4 eviction, 8 vacancy events.
    pub config: u32,
    /// Eviction flags, where told.
    pub eviction: Option<u32>,
    /// Vacancy thresholds, where told.
    pub vacancy: Option<Vacancy>,
}

/// A change of a table's behaviour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableMod {
    /// Table, `None` for all.
    pub table: Option<u8>,
    /// Bits: 1.1 and 1.2: what happens on a miss (0 controller, 1 continue, 2 drop); 1.4+: 4
    /// eviction, 8 vacancy events.
    pub config: u32,
    /// Eviction flags, where given (1.4+).
    pub eviction: Option<u32>,
    /// Vacancy thresholds, where given (1.4+).
    pub vacancy: Option<Vacancy>,
}

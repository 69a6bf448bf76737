//! Questions about counts and descriptions.
//!
//! Purpose: what the workers count is asked of them first, so that an answer is as of the question.
//! Invariant: what does not fit a message is told in parts (encoding sees to it).

use std::collections::BTreeMap;

use sluice_flow::program::Miss;
use sluice_openflow::message::{
    Aggregate, FlowStatsRequest, PortStats, StatsReply,
    StatsRequest, TableDesc, TableStats, UNKNOWN_COUNT,
};
use sluice_openflow::{Message, OfpError, PortNo, Version};

use super::features::{description, TABLES};
use super::{dump, table_features, Effect, Session, Turn, Wait};
use crate::daemon::switch::bridge::{Attachment, PortState};
use crate::daemon::switch::Switch;

/// Rules that a table is said to hold at most; there is no limit.
const MAX_ENTRIES: u32 = 1_000_000;

impl Session {
    pub(super) fn statistics(&mut self, request: StatsRequest, xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        match request {
            StatsRequest::Meter(id) if turn.switch.rules.meter_configs(self.bridge, id).is_none() => {
                Err(OfpError::OFPMMFC_UNKNOWN_METER)
            }
            StatsRequest::Flow(_)
            | StatsRequest::Aggregate(_)
            | StatsRequest::Table
            | StatsRequest::Port(_)
            | StatsRequest::Group(_)
            | StatsRequest::Meter(_) => {
                let (ticket, request) = (turn.switch.request_report(), Box::new(request));
                self.wait = self.end_of(Wait::Report { ticket, xid, request }, turn);
                Ok(Effect::None)
            }
            StatsRequest::Desc => {
                let name = turn.switch.bridge(self.bridge).map_or("None", |b| &b.name);
                let reply = StatsReply::Desc(description(name));
                self.answer_stats(reply, xid, turn)
            }
            StatsRequest::PortDesc(port) => self.describe_ports(port, xid, turn),
            StatsRequest::Queue(request) => self.queues(request, xid, turn),
            StatsRequest::QueueDesc(request) => {
                let queues = self.queue_configs(request, turn)?;
                self.answer_stats(StatsReply::QueueDesc { more: false, queues }, xid, turn)
            }
            StatsRequest::TableDesc => self.describe_tables(xid, turn),
            StatsRequest::TableFeatures(wish) if wish.is_empty() => self.table_features(xid, turn),
            StatsRequest::TableFeatures(_) => Err(OfpError::OFPTFFC_EPERM),
            StatsRequest::GroupDesc(_)
            | StatsRequest::GroupFeatures
            | StatsRequest::MeterConfig(_)
            | StatsRequest::MeterFeatures => self.describe_referred(&request, xid, turn),
            StatsRequest::IpfixBridge | StatsRequest::IpfixFlow => Err(OfpError::NXST_NOT_CONFIGURED),
            _ => Err(OfpError::OFPBRC_BAD_STAT),
        }
    }

    /// Answers with the counts that have come.
    pub(super) fn answer_counted(&mut self, request: StatsRequest, xid: u32, turn: &mut Turn<'_>) {
        match request {
            StatsRequest::Flow(request) => self.start_dump(&request, xid, turn),
            StatsRequest::Aggregate(request) => self.aggregate(&request, xid, turn),
            StatsRequest::Table => self.tables(xid, turn),
            StatsRequest::Port(port) => self.port_counts(port, xid, turn),
            StatsRequest::Group(id) => self.group_counts(id, xid, turn),
            StatsRequest::Meter(id) => self.meter_counts(id, xid, turn),
            _ => {}
        }
    }

    fn aggregate(&mut self, request: &FlowStatsRequest, xid: u32, turn: &mut Turn<'_>) {
        let sums = turn.switch.rules.aggregate(self.bridge, &dump::filter(request));
        let sums = Aggregate { packets: sums.packets, bytes: sums.bytes, flows: sums.flows };
        self.reply(&Message::StatsReply(StatsReply::Aggregate { nxm: request.nxm, sums }), xid, turn);
    }

    fn tables(&mut self, xid: u32, turn: &mut Turn<'_>) {
        let rules = &turn.switch.rules;
        let names = self.table_names(turn);
        let misses = turn.switch.bridge(self.bridge).map(|b| &b.misses);
        let all: Vec<TableStats> = (0..TABLES)
            .map(|table| {
                let stats = rules.table_stats(self.bridge, table);
                TableStats {
                    table,
                    name: names.get(&table).cloned().unwrap_or_default(),
                    max_entries: MAX_ENTRIES,
                    active: stats.active,
                    lookups: stats.lookups,
                    matched: stats.matched,
                    config: miss_config(misses.and_then(|m| m.get(&table))),
                    abilities: Vec::new(),
                }
            })
            .collect();
        self.reply(&Message::StatsReply(StatsReply::Table { more: false, tables: all }), xid, turn);
    }

    fn port_counts(&mut self, port: PortNo, xid: u32, turn: &mut Turn<'_>) {
        let wanted = |p: &&PortState| port == PortNo::NONE || p.number == port;
        let bridge = turn.switch.bridge(self.bridge);
        let ports = bridge.into_iter().flat_map(|b| b.ports.values()).filter(wanted);
        let all: Vec<PortStats> = ports.map(|p| port_stats(p, turn.switch, turn.now_ms)).collect();
        self.reply(&Message::StatsReply(StatsReply::Port { more: false, ports: all }), xid, turn);
    }

    fn describe_ports(&mut self, port: PortNo, xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        let mut all = turn.switch.describe_ports(self.bridge);
        if port != PortNo::NONE && self.protocol.version == Version::V15 {
            all.retain(|p| p.number == port);
        }
        self.answer_stats(StatsReply::PortDesc { more: false, ports: all }, xid, turn)
    }

    fn describe_tables(&mut self, xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        let all: Vec<TableDesc> = (0..TABLES).map(|table| turn.switch.describe_table(self.bridge, table)).collect();
        self.answer_stats(StatsReply::TableDesc { more: false, tables: all }, xid, turn)
    }

    fn table_features(&mut self, xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        let parts = table_features::parts(self.protocol.version, TABLES, &self.table_names(turn));
        let last = parts.len().saturating_sub(1);
        for (i, body) in parts.into_iter().enumerate() {
            let reply = StatsReply::TableFeatures { more: i < last, body };
            self.reply(&Message::StatsReply(reply), xid, turn);
        }
        Ok(Effect::None)
    }

    /// Names that tables were given.
    fn table_names(&self, turn: &Turn<'_>) -> BTreeMap<u8, String> {
        let wanted = turn.switch.bridge(self.bridge).into_iter().flat_map(|b| &b.wanted.tables);
        wanted.filter_map(|(table, t)| Some((*table, t.name.clone()?))).collect()
    }
}

/// What 1.1 and 1.2 show of a table's misses. Drop is 3 where the specification has 2 and continue is
/// 2 where it has 1, as in Open vSwitch, which shows its own numbers.
fn miss_config(miss: Option<&Miss>) -> u32 {
    match miss {
        None => 0,
        Some(Miss::Controller) => 1,
        Some(Miss::Continue) => 2,
        Some(Miss::Drop) => 3,
    }
}

fn port_stats(port: &PortState, switch: &Switch, now_ms: u64) -> PortStats {
    let age = now_ms.saturating_sub(port.since_ms);
    let mut stats = PortStats {
        port: port.number,
        rx_packets: port.crossed[0].packets,
        tx_packets: port.crossed[1].packets,
        rx_bytes: port.crossed[0].bytes,
        tx_bytes: port.crossed[1].bytes,
        rx_dropped: 0,
        tx_dropped: 0,
        rx_errors: 0,
        tx_errors: 0,
        rx_frame_errors: 0,
        rx_over_errors: 0,
        rx_crc_errors: 0,
        collisions: 0,
        duration_sec: u32::try_from(age / 1000).unwrap_or(u32::MAX),
        duration_nsec: (age % 1000) as u32 * 1_000_000,
    };
    if let Attachment::Device { device, .. } = port.attachment {
        let count = switch.device_count(device);
        stats.rx_packets += count.rx_packets;
        stats.rx_bytes += count.rx_bytes;
        stats.tx_packets += count.tx_packets;
        stats.tx_bytes += count.tx_bytes;
        stats.tx_dropped += count.tx_dropped;
    } else if port.device_name().is_none() {
        // Nothing is queued at patch and tunnel ports, so nothing is counted as lost there.
        let fields = [&mut stats.rx_dropped, &mut stats.tx_dropped, &mut stats.rx_errors, &mut stats.tx_errors];
        fields.into_iter().for_each(|f| *f = UNKNOWN_COUNT);
        let fields = [&mut stats.rx_frame_errors, &mut stats.rx_over_errors, &mut stats.rx_crc_errors, &mut stats.collisions];
        fields.into_iter().for_each(|f| *f = UNKNOWN_COUNT);
    }
    stats
}

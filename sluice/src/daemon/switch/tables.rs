//! Settings of tables: limits, who makes room, and who hears when one fills.
//!
//! Invariant: controllers hear of each threshold once per crossing.
//! Deliberately does not know: messages' encodings.

use sluice_compiler::Overflow;
use sluice_flow::BridgeIdx;
use sluice_openflow::message::{TableDesc, TableMod, TableStatus, Vacancy};
use sluice_openflow::Field;
use sluice_ovsdb_bridge as desired;

use super::{Notice, Switch};

const EVICTION: u32 = 4;
const VACANCY: u32 = 8;
/// By importance, by lifetime, and otherwise.
const EVICTS_BY: u32 = 7;

/// What controllers set of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSettings {
    /// Rules go for new ones.
    evicts: bool,
    /// Thresholds in percent.
    vacancy: Option<Vacancy>,
    /// What controllers hear of next is that the table fills.
    fills_next: bool,
}

impl Switch {
    /// Takes the configuration's limits of a bridge's tables.
    pub(super) fn refresh_limits(&mut self, index: BridgeIdx, now_ms: u64) {
        let Some(bridge) = self.bridge(index) else { return };
        let wanted = bridge.wanted.tables.clone();
        let all: Vec<u8> = bridge.limited.iter().copied().chain(wanted.keys().copied()).collect();
        for table in all {
            let overflow = wanted.get(&table).map_or(Overflow::default(), |t| Overflow {
                limit: t.flow_limit,
                evicts: t.overflow == desired::Overflow::Evict,
                groups: t.groups.iter().filter_map(|name| Field::by_name(name.split('[').next().unwrap_or(name))).collect(),
            });
            let applied = self.rules.set_overflow(index, table, overflow, now_ms);
            self.take_applied(applied);
        }
        if let Some(bridge) = self.bridge_mut(index) {
            bridge.limited = wanted.keys().copied().collect();
        }
    }

    /// Takes what a controller sets (OpenFlow 1.4 and later).
    pub fn set_table(&mut self, index: BridgeIdx, table: u8, change: &TableMod) {
        let evicts = change.config & EVICTION != 0;
        self.rules.set_eviction(index, table, evicts);
        let now = self.vacancy_of(index, table);
        let Some(bridge) = self.bridge_mut(index) else { return };
        let vacancy = (change.config & VACANCY != 0).then(|| change.vacancy.unwrap_or_default());
        let fills_next = vacancy.is_some_and(|v| now >= v.up);
        bridge.table_settings.insert(table, TableSettings { evicts, vacancy, fills_next });
        bridge.table_settings.retain(|_, t| *t != TableSettings::default());
        self.vacancy_watched = self.bridges.values().any(|b| b.table_settings.values().any(|t| t.vacancy.is_some()));
    }

    /// A table as it is described.
    pub fn describe_table(&self, index: BridgeIdx, table: u8) -> TableDesc {
        let settings = self.bridge(index).and_then(|b| b.table_settings.get(&table)).copied().unwrap_or_default();
        let config = if settings.evicts { EVICTION } else { 0 } | if settings.vacancy.is_some() { VACANCY } else { 0 };
        let current = self.vacancy_of(index, table);
        TableDesc { table, config, eviction: Some(EVICTS_BY), vacancy: settings.vacancy.map(|v| Vacancy { current, ..v }) }
    }

    /// How much room a table has, in percent.
    fn vacancy_of(&self, index: BridgeIdx, table: u8) -> u8 {
        let most = u64::from(self.rules.limit(index, table).unwrap_or(u32::MAX));
        let held = u64::from(self.rules.table_stats(index, table).active);
        if most == 0 {
            return 0;
        }
        // Rounded down, as Open vSwitch does, but an empty table is all vacant.
        (most.saturating_sub(held) as f64 * 100.0 / most as f64) as u8
    }

    /// Tells of tables that crossed a threshold.
    pub(super) fn watch_vacancy(&mut self) {
        if !self.vacancy_watched {
            return;
        }
        let watched: Vec<(BridgeIdx, u8)> = self
            .bridges
            .values()
            .flat_map(|b| b.table_settings.iter().filter(|(_, t)| t.vacancy.is_some()).map(|(n, _)| (b.index, *n)))
            .collect();
        for (index, table) in watched {
            let now = self.vacancy_of(index, table);
            let settings = self.bridge_mut(index).and_then(|b| b.table_settings.get_mut(&table));
            let Some((settings, range)) = settings.and_then(|t| t.vacancy.map(|v| (t, v))) else { continue };
            let vacancy_down = match settings.fills_next {
                true if now < range.down => true,
                false if now > range.up => false,
                _ => continue,
            };
            settings.fills_next = !vacancy_down;
            let desc = self.describe_table(index, table);
            self.notify(Notice::TableStatus(index, TableStatus { vacancy_down, desc }));
        }
    }
}

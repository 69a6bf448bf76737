//! What workers count, coming home.
//!
//! Purpose: ask for a report, fold it into rules, groups, meters, tables and ports.
//! Invariant: rule, table and crossing counts are differences and folded once; device and frame
//! counts are totals and replaced.
//! Deliberately does not know: who wants to see them.

use std::collections::HashMap;

use sluice_engine::egress::QueueCount;
use sluice_engine::worker::flows::CachedFlows;
use sluice_engine::{Counters, PortCounters, Report};
use sluice_flow::PortIdx;
use sluice_openflow::PortNo;

use sluice_flow::DropReason;

use super::bridge::Count;
use super::rates::{Rate, Rates};
use super::{Command, Switch};
use crate::daemon::worker::Time;

/// Frames of one device.
pub type DeviceCount = PortCounters;

/// Reports asked for, and the totals of the last one.
#[derive(Default)]
pub(super) struct Reports {
    asked: u64,
    answered: u64,
    counters: Counters,
    devices: HashMap<PortIdx, PortCounters>,
    queues: HashMap<PortIdx, Vec<(u32, QueueCount)>>,
    folded_ms: u64,
    time: Time,
    cached: (usize, usize),
    flows: Vec<CachedFlows>,
    rates: Rates,
}

impl Reports {
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn flows(&self) -> &[CachedFlows] {
        &self.flows
    }

    pub(super) fn take_flows(&mut self, ticket: u64, flows: Vec<CachedFlows>) {
        self.flows = flows;
        self.answered = self.answered.max(ticket);
    }

    pub(super) fn cached(&self) -> (usize, usize) {
        self.cached
    }

    pub(super) fn device(&self, device: PortIdx) -> DeviceCount {
        self.devices.get(&device).copied().unwrap_or_default()
    }

    /// What queues of a device have done, by number.
    pub(super) fn queues(&self, device: PortIdx) -> &[(u32, QueueCount)] {
        self.queues.get(&device).map_or(&[], Vec::as_slice)
    }

    pub(super) fn forget_device(&mut self, device: PortIdx) {
        self.queues.remove(&device);
        self.devices.remove(&device);
    }
}

impl Switch {
    /// Asks the worker what it counted. The ticket tells when the answer has come.
    pub fn request_report(&mut self) -> u64 {
        self.reports.asked += 1;
        let ticket = self.reports.asked;
        match &mut self.worker {
            Some(worker) => worker.tell(Command::Report { ticket }),
            None => self.reports.answered = ticket,
        }
        ticket
    }

    /// Asks the worker what it has cached. The ticket tells when the answer has come.
    pub fn request_flows(&mut self) -> u64 {
        self.reports.asked += 1;
        let ticket = self.reports.asked;
        match &mut self.worker {
            Some(worker) => worker.tell(Command::Flows { ticket }),
            None => self.reports.answered = ticket,
        }
        ticket
    }

    /// Whether a report that was asked for has come.
    pub fn has_reported(&self, ticket: u64) -> bool {
        self.reports.answered >= ticket
    }

    /// Whether a report is under way.
    pub fn awaits_report(&self) -> bool {
        self.reports.asked > self.reports.answered
    }

    /// What packets met, by name, as of the last report. The places of names never change.
    pub fn named_counters(&self) -> Vec<(String, u64)> {
        let c = &self.reports.counters;
        let mut all: Vec<(String, u64)> = [
            ("received", c.received),
            ("received_bytes", c.received_bytes),
            ("injected", c.injected),
            ("copied", c.copied),
            ("sent", c.sent),
            ("punted", c.punted),
            ("cache_hit", c.hits),
            ("cache_miss", c.misses),
        ]
        .map(|(name, n)| (name.to_string(), n))
        .into();
        let drops = DropReason::ALL.iter().zip(c.dropped.iter());
        all.extend(drops.map(|(reason, n)| (format!("drop_{}", reason.name()), *n)));
        let connections = self.tracker().stats.named();
        all.extend(connections.into_iter().map(|(name, n)| (format!("ct_{name}"), n)));
        all
    }

    /// Remembers the counters of now for their rates, and asks for new ones.
    pub fn sample_counters(&mut self) {
        let totals = self.named_counters().into_iter().map(|(_, n)| n).collect();
        self.reports.rates.sample(totals);
        self.request_report();
    }

    /// How fast the counter at this place of [`Switch::named_counters`] grows.
    pub fn rate(&self, place: usize) -> Rate {
        self.reports.rates.of(place)
    }

    /// How the worker spent its time, as of the last report.
    pub fn worker_time(&self) -> Time {
        self.reports.time
    }

    pub(super) fn now_of_last_report(&self) -> u64 {
        self.reports.folded_ms
    }

    /// Says what time it is, for durations of rules that go.
    pub fn set_time(&mut self, now_ms: u64) {
        self.reports.folded_ms = now_ms;
    }

    pub(super) fn take_report(&mut self, ticket: u64, report: &Report, time: Time) {
        self.reports.time = time;
        for (&id, used) in &report.rules {
            self.rules.fold(id, used.packets, used.bytes, used.last_ms);
            if !self.retiring.is_empty() {
                self.retiring.fold(id, used.packets, used.bytes);
            }
        }
        for (&(bridge, table), used) in &report.tables {
            self.rules.fold_table(bridge, table, used.lookups, used.matched);
        }
        for (&(serial, bucket), used) in &report.groups {
            self.rules.fold_group(serial, bucket, used.packets, used.bytes);
        }
        for (&serial, used) in &report.meters {
            self.rules.fold_meter(serial, used.packets, used.bytes, &used.bands);
        }
        for (&(bridge, port), [received, sent]) in &report.crossings {
            let port = self.bridges.get_mut(&bridge).and_then(|b| b.ports.get_mut(&PortNo(port)));
            if let Some(port) = port {
                port.crossed[0].add(received.packets, received.bytes);
                port.crossed[1].add(sent.packets, sent.bytes);
            }
        }
        for (&(bridge, bond, bucket), used) in &report.bonds {
            self.count_bucket(bridge, bond, bucket, used.bytes);
        }
        for (&(bridge, place), used) in &report.mirrors {
            let Some(bridge) = self.bridges.get_mut(&bridge) else { continue };
            let place = usize::from(place);
            if bridge.mirrored.len() <= place {
                bridge.mirrored.resize(place + 1, Count::default());
            }
            if let Some(count) = bridge.mirrored.get_mut(place) {
                count.add(used.packets, used.bytes);
            }
        }
        self.reports.counters = report.counters.clone();
        self.reports.cached = (report.flows, report.verdicts);
        self.reports.devices.extend(report.ports.iter().map(|(d, c)| (*d, *c)));
        self.reports.queues.clone_from(&report.queues);
        self.reports.answered = self.reports.answered.max(ticket);
        self.bury(ticket, self.reports.folded_ms);
    }
}

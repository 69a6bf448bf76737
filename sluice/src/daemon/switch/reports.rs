//! What workers count, coming home.
//!
//! Purpose: ask for a report, fold it into rules, groups, meters, tables and ports.
//! Invariant: rule, table and crossing counts are differences and folded once; device and frame
//! counts are totals and replaced.
//! Deliberately does not know: who wants to see them.

use std::collections::{BTreeMap, HashMap};

use sluice_engine::egress::QueueCount;
use sluice_engine::worker::flows::CachedFlows;
use sluice_engine::{Counters, PortCounters, Report};
use sluice_flow::PortIdx;
use sluice_openflow::PortNo;

use sluice_flow::DropReason;

use super::bridge::Count;
use super::rates::{Rate, Rates};
use super::{Command, Switch};
use crate::daemon::worker::{Team, Time, Unit};

/// Frames of one device.
pub type DeviceCount = PortCounters;

/// The totals of one worker's last report.
#[derive(Default)]
pub struct WorkerReport {
    /// Frames by fate.
    pub counters: Counters,
    /// How it spent its time.
    pub time: Time,
    cached: (usize, usize),
    flows: Vec<CachedFlows>,
}

/// Reports asked for, and the totals of the last ones.
#[derive(Default)]
pub(super) struct Reports {
    /// The last ticket given out where there are no workers, and the last one that all have answered.
    asked: u64,
    answered: u64,
    workers: BTreeMap<usize, WorkerReport>,
    /// Of workers that have ended.
    past: Counters,
    /// Of all.
    counters: Counters,
    devices: HashMap<PortIdx, PortCounters>,
    /// Of queues that are served apart from their devices.
    intakes: BTreeMap<Unit, PortCounters>,
    queues: HashMap<PortIdx, Vec<(u32, QueueCount)>>,
    folded_ms: u64,
    rates: Rates,
}

impl Reports {
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn flows(&self) -> impl Iterator<Item = &CachedFlows> {
        self.workers.values().flat_map(|w| &w.flows)
    }

    pub(super) fn take_flows(&mut self, worker: usize, flows: Vec<CachedFlows>) {
        self.workers.entry(worker).or_default().flows = flows;
    }

    pub(super) fn cached(&self) -> (usize, usize) {
        self.workers.values().fold((0, 0), |sum, w| (sum.0 + w.cached.0, sum.1 + w.cached.1))
    }

    /// A worker has ended: what it counted stays.
    pub(super) fn forget_worker(&mut self, worker: usize) {
        if let Some(last) = self.workers.remove(&worker) {
            self.past.add(&last.counters);
        }
        self.sum_up();
    }

    fn sum_up(&mut self) {
        self.counters = self.past.clone();
        self.workers.values().for_each(|w| self.counters.add(&w.counters));
    }

    pub(super) fn device(&self, device: PortIdx) -> DeviceCount {
        let own = self.devices.get(&device).copied().unwrap_or_default();
        let intakes = self.intakes.range((device, 0)..=(device, u16::MAX)).map(|(_, c)| c);
        intakes.fold(own, |sum, c| PortCounters { rx_packets: sum.rx_packets + c.rx_packets, rx_bytes: sum.rx_bytes + c.rx_bytes, ..sum })
    }

    /// What queues of a device have done, by number.
    pub(super) fn queues(&self, device: PortIdx) -> &[(u32, QueueCount)] {
        self.queues.get(&device).map_or(&[], Vec::as_slice)
    }

    pub(super) fn forget_device(&mut self, device: PortIdx) {
        self.queues.remove(&device);
        self.devices.remove(&device);
        self.forget_intakes(device);
    }

    /// A device was opened anew: its queues count from the start.
    pub(super) fn forget_intakes(&mut self, device: PortIdx) {
        self.intakes.retain(|(d, _), _| *d != device);
    }
}

impl Switch {
    /// Asks the worker what it counted. The ticket tells when the answer has come.
    pub fn request_report(&mut self) -> u64 {
        self.ask(|ticket| Command::Report { ticket })
    }

    fn ask(&mut self, question: impl Fn(u64) -> Command) -> u64 {
        let ticket = match &mut self.team {
            Some(team) => team.ask(question),
            None => self.reports.asked + 1,
        };
        self.reports.asked = ticket;
        if self.team.is_none() {
            self.reports.answered = ticket;
        }
        ticket
    }

    /// Asks the worker what it has cached. The ticket tells when the answer has come.
    pub fn request_flows(&mut self) -> u64 {
        self.ask(|ticket| Command::Flows { ticket })
    }

    /// Looks how far workers have answered, and does what had to wait for that.
    pub(super) fn note_answers(&mut self) {
        let Some(team) = &self.team else { return };
        let answered = team.answered().min(self.reports.asked);
        if answered > self.reports.answered {
            self.reports.answered = answered;
            self.bury(answered, self.reports.folded_ms);
        }
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
            ("handed", c.handed),
            ("taken", c.taken),
            ("cache_hit", c.hits),
            ("cache_miss", c.misses),
            ("cache_alike", c.alike),
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

    /// What each worker counted and how it spent its time, as of its last report.
    pub fn worker_reports(&self) -> impl Iterator<Item = (usize, &WorkerReport)> {
        self.reports.workers.iter().map(|(n, r)| (*n, r))
    }

    /// Places all devices anew, by what they were measured to ask for.
    pub fn spread(&mut self) {
        self.team.iter_mut().for_each(Team::plan_moves);
    }

    /// Moves a device to another worker where that evens out what they have to do.
    pub fn balance(&mut self) {
        if self.team.as_mut().is_some_and(Team::balance) {
            crate::log!(Info, "sluiced", "a device moves to a worker that has less to do");
        }
    }

    pub(super) fn now_of_last_report(&self) -> u64 {
        self.reports.folded_ms
    }

    /// Says what time it is, for durations of rules that go.
    pub fn set_time(&mut self, now_ms: u64) {
        self.reports.folded_ms = now_ms;
    }

    pub(super) fn take_report(&mut self, worker: usize, report: &Report, time: Time) {
        if let Some(team) = &mut self.team {
            let devices = report.ports.iter().map(|(d, c)| ((*d, 0), c.rx_packets));
            let intakes = report.intakes.iter().map(|(unit, c)| (*unit, c.rx_packets));
            team.measure(worker, time, devices.chain(intakes));
            let counted = report.intakes.iter().filter(|(unit, _)| team.serves_intake(worker, **unit));
            self.reports.intakes.extend(counted.map(|(unit, c)| (*unit, *c)));
        }
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
        let of = self.reports.workers.entry(worker).or_default();
        of.counters.clone_from(&report.counters);
        of.time = time;
        of.cached = (report.flows, report.verdicts);
        self.reports.sum_up();
        self.reports.devices.extend(report.ports.iter().map(|(d, c)| (*d, *c)));
        self.reports.queues.retain(|d, _| !report.ports.contains_key(d));
        self.reports.queues.extend(report.queues.iter().map(|(d, q)| (*d, q.clone())));
    }
}

//! The switch as the control thread holds it: bridges, rules, programs and what workers count.
//!
//! Purpose: every change of rules or ports becomes a change of the program; every count comes home
//! to its rule, table or port.
//! Invariant: a rule's id is free again only after every worker has left the program that had it and
//! its last counts were folded.
//! Deliberately does not know: connections and their messages.

pub mod bridge;
pub mod link;
mod multicast;
mod news;
mod paused;
mod bonds;
mod devices;
mod lines;
pub mod own;
mod ports;
pub mod qos;
mod rates;
mod reports;
mod retire;
mod rules;
mod tables;
mod switching;
pub mod overrides;
mod underlay;
mod zones;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use sluice_compiler::RuleSet;
use sluice_conntrack::Tracker;
use sluice_engine::Counters;
use sluice_flow::fdb::{Fdb, Versions};
use sluice_flow::hash::Seeds;
use sluice_flow::program::Miss;
use sluice_flow::{BridgeIdx, Change, Event, PortIdx, Program};
use sluice_openflow::message::{FlowRemoved, PortReason, PortStatus, TableStatus};
use sluice_openflow::{PortNo, VersionSet};
use sluice_ovsdb_bridge as desired;

use super::publisher::Publisher;
use super::worker::{Command, Elsewhere, Injection, News, Team};
use bridge::Bridge;

pub use news::RuleChange;
pub use rates::SAMPLE_SECONDS;
pub use reports::{DeviceCount, WorkerReport};

/// Something that connections must hear of.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A rule has gone.
    FlowRemoved(BridgeIdx, Box<FlowRemoved>),
    /// A port came, went or changed, perhaps by a connection of this number.
    PortStatus(BridgeIdx, PortStatus, Option<usize>),
    /// A table ran full, or has room again.
    TableStatus(BridgeIdx, TableStatus),
    /// A packet for the controllers.
    Punted(Box<sluice_engine::Punted>),
}

/// Notices that wait; more are dropped, which is logged.
const NOTICES: usize = 4096;

/// The switch.
pub struct Switch {
    /// Rules of all bridges.
    pub rules: RuleSet,
    bridges: BTreeMap<BridgeIdx, Bridge>,
    publisher: Publisher,
    team: Option<Team>,
    /// Epoch that all workers run.
    adopted: u64,
    versions: Arc<Versions>,
    tracker: Arc<Tracker>,
    seeds: Seeds,
    /// What devices that are made are marked with.
    mark: Option<String>,
    /// Taps of an earlier daemon that were moved away, by port.
    lost: BTreeMap<String, Elsewhere>,
    /// Timeout policies of zones.
    zones: BTreeMap<u16, u8>,
    next_bridge: BridgeIdx,
    devices: devices::Devices,
    reports: reports::Reports,
    retiring: retire::Retiring,
    notices: VecDeque<Notice>,
    /// Some found no room since the queue was last empty.
    notices_lost: bool,
    /// What deciding asked for and was not seen to yet.
    wishes: Vec<Event>,
    /// Devices of the host that carry tunnels.
    carriers: Vec<underlay::Carrier>,
    /// Addresses of devices that tunnels can use.
    host_addresses: Vec<IpAddr>,
    /// What the program has of the host's routes and neighbours.
    underlay: Arc<sluice_flow::underlay::Underlay>,
    /// Managers of the database that may have to be reached through a bridge.
    managers: Vec<std::net::SocketAddr>,
    /// Names of the program's underlay devices.
    device_names: Vec<String>,
    /// Routes and neighbours that a person set.
    pub overrides: overrides::Overrides,
    /// Packets that controllers may give back.
    pub paused: paused::PausedPackets,
    /// Somebody wants to hear of changes of the rules.
    watched: bool,
    rule_changes: Vec<RuleChange>,
    /// The connection whose message is being obeyed.
    acting: Option<usize>,
    /// Some table's room is watched.
    vacancy_watched: bool,
    /// More messages of a peer are at hand.
    is_reading: bool,
}

impl Switch {
    /// A switch without bridges. Without a worker every program counts as adopted at once, which is
    /// what tests of the control side want.
    pub fn new(seeds: Seeds) -> Switch {
        Switch {
            rules: RuleSet::new(),
            bridges: BTreeMap::new(),
            publisher: Publisher::default(),
            team: None,
            adopted: 0,
            versions: Versions::new(seeds),
            tracker: Arc::new(Tracker::new(sluice_conntrack::Settings { seed: seeds.hash(&[1]), ..Default::default() })),
            seeds,
            next_bridge: 0,
            devices: devices::Devices::default(),
            reports: reports::Reports::default(),
            retiring: retire::Retiring::default(),
            notices: VecDeque::new(),
            notices_lost: false,
            wishes: Vec::new(),
            carriers: Vec::new(),
            host_addresses: Vec::new(),
            underlay: Arc::default(),
            zones: BTreeMap::new(),
            mark: None,
            managers: Vec::new(),
            lost: BTreeMap::new(),
            device_names: Vec::new(),
            overrides: overrides::Overrides::default(),
            paused: paused::PausedPackets::default(),
            watched: false,
            rule_changes: Vec::new(),
            acting: None,
            vacancy_watched: false,
            is_reading: false,
        }
    }

    /// Connections, which workers share.
    pub fn tracker(&self) -> &Arc<Tracker> {
        &self.tracker
    }

    /// Versions of learned addresses, which workers share.
    pub fn versions(&self) -> Arc<Versions> {
        self.versions.clone()
    }

    /// Devices that are made are marked with this from now on.
    pub fn set_mark(&mut self, mark: String) {
        self.mark = Some(mark);
    }

    /// Taps of an earlier daemon that are in other namespaces, by port.
    pub fn set_lost(&mut self, lost: BTreeMap<String, Elsewhere>) {
        self.lost = lost;
    }

    /// Those of them that no port has taken over.
    pub fn take_lost(&mut self) -> BTreeMap<String, Elsewhere> {
        std::mem::take(&mut self.lost)
    }

    /// From now on these workers run the programs.
    pub fn employ(&mut self, team: Team) {
        self.team = Some(team);
    }

    /// Ends the workers.
    pub fn dismiss(&mut self) {
        if let Some(mut team) = self.team.take() {
            team.stop();
        }
    }

    /// Whether a worker has ended by itself, which none ever should.
    pub fn has_lost_a_worker(&self) -> bool {
        self.team.as_ref().is_some_and(Team::has_died)
    }

    /// The workers.
    pub fn team(&self) -> Option<&Team> {
        self.team.as_ref()
    }

    /// From now on there are workers on these CPUs, and no others; `None` is not pinned.
    pub fn resize_team(&mut self, cpus: &[Option<u16>]) {
        let Some(team) = &mut self.team else { return };
        if let Err(e) = team.resize(cpus, self.publisher.current()) {
            crate::log!(Error, "sluiced", "cannot start a worker: {e}; going on with those that there are");
        }
    }

    /// A bridge.
    pub fn bridge(&self, index: BridgeIdx) -> Option<&Bridge> {
        self.bridges.get(&index)
    }

    /// A bridge, to change what connections may set.
    pub fn bridge_mut(&mut self, index: BridgeIdx) -> Option<&mut Bridge> {
        self.bridges.get_mut(&index)
    }

    /// The bridge of this name.
    pub fn bridge_by_name(&self, name: &str) -> Option<&Bridge> {
        self.bridges.values().find(|b| b.name == name)
    }

    /// All bridges.
    pub fn bridges(&self) -> impl Iterator<Item = &Bridge> {
        self.bridges.values()
    }

    /// Adds a bridge with its LOCAL port.
    pub fn add_bridge(&mut self, wanted: desired::Bridge, now_ms: u64) -> BridgeIdx {
        let index = self.next_bridge;
        self.next_bridge = self.next_bridge.wrapping_add(1);
        let hw_addr = wanted.hwaddr.or(wanted.default_hwaddr).unwrap_or_else(|| self.own_mac(&wanted.name));
        let (size, ageing) = (wanted.mac_table_size as usize, u64::from(wanted.mac_ageing));
        let fdb = Arc::new(Fdb::new(size, ageing, u64::from(index), self.versions.clone()));
        let bridge = Bridge {
            index,
            name: wanted.name.clone(),
            datapath_id: wanted.datapath_id.unwrap_or_else(|| bridge::datapath_id_of(hw_addr)),
            hw_addr,
            own_address: hw_addr,
            versions: versions_of(&wanted),
            config: Default::default(),
            generation: None,
            fails_open: false,
            own_rules: String::new(),
            limited: Vec::new(),
            table_settings: BTreeMap::new(),
            misses: BTreeMap::new(),
            ports: BTreeMap::new(),
            fdb: fdb.clone(),
            normal: Arc::default(),
            mdb: None,
            bonds: bonds::Bonds::default(),
            mirrored: Vec::new(),
            last_number: 0,
            mtu: 1500,
            wanted,
        };
        self.bridges.insert(index, bridge);
        self.publisher.submit([Change::AddBridge { bridge: index, fdb }]);
        self.add_local(index, now_ms);
        self.refresh_bonds(index, now_ms);
        self.refresh_normal(index);
        self.refresh_limits(index, now_ms);
        if self.bridge(index).is_some_and(|b| rules::is_on_its_own(&b.wanted)) {
            self.set_default_rule(index, true, now_ms);
        }
        index
    }

    /// Changes settings of a bridge; its rules and ports stay.
    pub fn change_bridge(&mut self, wanted: desired::Bridge, now_ms: u64) {
        let Some(bridge) = self.bridges.values_mut().find(|b| b.name == wanted.name) else { return };
        bridge.versions = versions_of(&wanted);
        ports::Settings { name: &wanted.name, mac: None, mtu: wanted.mtu }.apply();
        bridge.fdb.configure(wanted.mac_table_size as usize, u64::from(wanted.mac_ageing));
        let (was, is) = (rules::is_on_its_own(&bridge.wanted), rules::is_on_its_own(&wanted));
        let index = bridge.index;
        bridge.wanted = wanted;
        self.refresh_bonds(index, now_ms);
        self.refresh_address(index);
        self.change_local(index);
        self.refresh_mtus();
        self.refresh_normal(index);
        self.refresh_limits(index, now_ms);
        if was != is {
            self.set_default_rule(index, is, now_ms);
        }
    }

    /// Removes a bridge with its rules and ports.
    pub fn remove_bridge(&mut self, index: BridgeIdx, now_ms: u64) {
        let ports: Vec<PortNo> = self.bridges.get(&index).map_or(Vec::new(), |b| b.ports.keys().copied().collect());
        for port in ports {
            self.remove_port(index, port);
        }
        let all = [
            self.rules.clear(index, now_ms),
            self.rules.set_own(index, &[], now_ms),
            self.rules.clear_groups(index, now_ms),
            self.rules.delete_meters(index, sluice_compiler::rules::METER_ALL, now_ms),
        ];
        all.into_iter().for_each(|applied| self.take_applied(applied));
        self.bridges.remove(&index);
        self.publisher.submit([Change::RemoveBridge { bridge: index }]);
    }

    /// Makes what was submitted a program and hands it to the worker, if that has let go of the one
    /// before.
    pub fn publish(&mut self) {
        if let Some(program) = self.publisher.publish() {
            match &mut self.team {
                Some(team) => team.adopt(&program),
                None => self.adopted = program.epoch(),
            }
        }
        self.note_adopted();
        self.settle();
    }

    fn note_adopted(&mut self) {
        if let Some(team) = &self.team {
            self.adopted = self.adopted.max(team.adopted().min(self.publisher.current().epoch()));
        }
    }

    /// As [`Switch::publish`], but while a peer's messages are being read, what it sends in one go is handed over
    /// together: each hand-over may have to wait until the worker lets go of the one before.
    pub fn publish_at_leisure(&mut self) {
        let now_ms = self.now_of_last_report();
        if self.is_reading && !self.publisher.is_due(now_ms) {
            return self.settle();
        }
        self.publish();
    }

    /// Says whether a peer's messages are being read and more are at hand.
    pub fn set_reading(&mut self, is_reading: bool) {
        self.is_reading = is_reading;
    }

    /// The program that workers run, or are about to.
    pub fn program(&self) -> &Arc<Program> {
        self.publisher.current()
    }

    /// What happens to packets that no rule of a table matches.
    pub fn miss_of(&self, bridge: BridgeIdx, table: u8) -> Miss {
        let found = self.program().bridge(bridge).and_then(|b| b.tables.get(usize::from(table)));
        found.map_or(Miss::Drop, |t| t.miss)
    }

    /// The epoch that has everything which was changed so far.
    pub fn target_epoch(&self) -> u64 {
        self.publisher.target_epoch()
    }

    /// Whether everything that was changed so far is handed to the worker.
    pub fn is_published(&self) -> bool {
        !self.publisher.is_waiting()
    }

    /// Whether the worker runs this epoch or a later one.
    pub fn has_adopted(&self, epoch: u64) -> bool {
        self.adopted >= epoch
    }

    /// Takes in what the worker tells; true when something came.
    pub fn take_news(&mut self, now_ms: u64) -> bool {
        let mut any = false;
        while let Some((worker, news)) = self.team.as_mut().and_then(Team::next_news) {
            any = true;
            self.take_one(worker, news, now_ms);
        }
        if any {
            self.note_answers();
        }
        any
    }

    fn take_one(&mut self, worker: usize, news: News, now_ms: u64) {
        match news {
            News::Adopted(_) => {
                self.note_adopted();
                self.settle();
            }
            News::Report { report, time, .. } => self.take_report(worker, &report, time),
            News::Flows { flows, .. } => self.reports.take_flows(worker, flows),
            News::Events(events) => self.wishes.extend(events),
            News::Protocols(all) => self.take_protocols(all, now_ms),
            News::Punts(punts) => {
                for punted in punts {
                    self.notify(Notice::Punted(Box::new(punted)));
                }
            }
            News::Opened { device, facts } => self.device_opened(device, facts),
            News::NotOpened { device, why } => self.device_failed(device, &why, now_ms),
            News::Trouble { device, gone, why } => self.device_trouble(device, gone, &why, now_ms),
            News::Front { device, name, event } => self.front_did(device, &name, &event),
            News::Stopped => self.reports.forget_worker(worker),
            // The team keeps these for itself.
            News::Settled { .. } | News::GivenUp { .. } | News::Split { .. } | News::IntakeGiven { .. } => {}
        }
    }

    /// What deciding asked for since the last time.
    pub fn take_wishes(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.wishes)
    }

    /// Says whose message is being obeyed.
    pub fn act_for(&mut self, connection: Option<usize>) {
        self.acting = connection;
    }

    /// The next thing that connections must hear of.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.notices_lost &= !self.notices.is_empty();
        self.notices.pop_front()
    }

    fn notify(&mut self, notice: Notice) {
        if self.notices.len() < NOTICES {
            self.notices.push_back(notice);
        } else if !std::mem::replace(&mut self.notices_lost, true) {
            crate::log!(Warn, "openflow", "more than {NOTICES} messages wait for controllers; further ones are dropped");
        }
    }

    fn notify_port(&mut self, index: BridgeIdx, number: PortNo, reason: PortReason) {
        let described = self.bridge(index).and_then(|b| b.ports.get(&number)).map(ports::describe);
        if let Some(port) = described {
            self.notify(Notice::PortStatus(index, PortStatus { reason, port }, self.acting));
        }
    }

    /// Executes actions on a controller's packet; false when too many wait.
    pub fn inject(&mut self, injection: Injection) -> bool {
        self.publish();
        let from = self.device_of(injection.bridge, PortNo(injection.in_port));
        self.team.as_mut().is_none_or(|t| t.inject(from, injection))
    }

    /// Wakes the workers that controllers' packets wait for; to be called before the control thread waits.
    pub fn call_workers(&mut self) {
        self.team.iter_mut().for_each(Team::call);
    }

    /// Frames by fate, as of the last report.
    pub fn counters(&self) -> &Counters {
        self.reports.counters()
    }

    /// What workers have cached, as of the last time that they were asked.
    pub fn cached_flows(&self) -> impl Iterator<Item = &sluice_engine::worker::flows::CachedFlows> {
        self.reports.flows()
    }

    /// Cached flows and verdicts, as of the last report.
    pub fn cached(&self) -> (usize, usize) {
        self.reports.cached()
    }

    /// Frames of a device, as of the last report.
    pub fn device_count(&self, device: PortIdx) -> DeviceCount {
        self.reports.device(device)
    }
}

fn versions_of(wanted: &desired::Bridge) -> VersionSet {
    let set: VersionSet = wanted.protocols.iter().copied().collect();
    if set == VersionSet::NONE {
        VersionSet::ALL
    } else {
        set
    }
}

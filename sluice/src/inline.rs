//! A whole switch in one thread: rules, program and one worker, with nothing in between.
//!
//! Purpose: replay, tests and benchmarks. The same rule set, compiler and worker as in the daemon;
//! changes take effect at once, and time is whatever the caller says.
//! Invariant: the worker's program always equals the rules.
//! Deliberately does not know: sockets, threads, OpenFlow's wire form.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use sluice_compiler::{Applied, BundleError, Filter, FlowStats, OfError, RuleSet};
use sluice_engine::{Punted, Report, Settings, Worker};
use sluice_flow::action::OfPort;
use sluice_flow::fdb::{Fdb, Versions, DEFAULT_AGEING_S, DEFAULT_LIMIT};
use sluice_flow::hash::Seeds;
use sluice_flow::program::{Ingress, Port, PortKind};
use sluice_flow::underlay::Underlay;
use sluice_flow::{BridgeIdx, Change, Event, PortIdx};
use sluice_frame::{Pool, PoolError};
use sluice_openflow::message::{GroupMod, MeterMod, TlvTableMod};
use sluice_openflow::version::Version;
use sluice_openflow::FlowMod;
use sluice_port::Port as Device;

/// A whole switch in one thread.
pub struct Inline {
    rules: RuleSet,
    worker: Worker,
    versions: Arc<Versions>,
    fdbs: BTreeMap<BridgeIdx, Arc<Fdb>>,
    devices: PortIdx,
    now_ms: u64,
    /// Next hops that tunnels wanted and no one knows.
    pub unresolved: Vec<(usize, IpAddr)>,
    totals: Report,
}

impl Inline {
    /// A switch without bridges. `chunk` bytes per frame segment, `chunks` of them, up to `flows` cached.
    pub fn new(chunk: usize, chunks: usize, flows: usize) -> Result<Inline, PoolError> {
        let versions = Versions::new(Seeds::FIXED);
        let settings = Settings { flows, seeds: Seeds::FIXED, versions: versions.clone() };
        Ok(Inline {
            rules: RuleSet::new(),
            worker: Worker::new(Pool::new(chunk, chunks)?, settings),
            versions,
            fdbs: BTreeMap::new(),
            devices: 0,
            now_ms: 0,
            unresolved: Vec::new(),
            totals: Report::default(),
        })
    }

    /// Adds a bridge.
    pub fn add_bridge(&mut self, bridge: BridgeIdx) {
        let fdb = Arc::new(Fdb::new(DEFAULT_LIMIT, DEFAULT_AGEING_S, u64::from(bridge), self.versions.clone()));
        self.fdbs.insert(bridge, fdb.clone());
        self.change(&[Change::AddBridge { bridge, fdb }]);
    }

    /// The bridge's learned addresses.
    pub fn fdb(&self, bridge: BridgeIdx) -> Option<&Arc<Fdb>> {
        self.fdbs.get(&bridge)
    }

    /// Adds a port with a device behind it.
    pub fn add_device(&mut self, bridge: BridgeIdx, port: OfPort, device: Box<dyn Device>) -> PortIdx {
        let idx = self.add_underlay_device(device);
        self.change(&[
            Change::SetPort { bridge, port, to: Some(Port::device(idx)) },
            Change::SetIngress { device: idx, to: Some(Ingress::Bridge { bridge, port }) },
        ]);
        idx
    }

    /// Adds a device that belongs to no bridge yet.
    pub fn add_underlay_device(&mut self, device: Box<dyn Device>) -> PortIdx {
        let idx = self.devices;
        self.devices += 1;
        self.worker.add_port(idx, device);
        idx
    }

    /// Puts another device at a device's place.
    pub fn replace_device(&mut self, idx: PortIdx, device: Box<dyn Device>) {
        self.worker.add_port(idx, device);
    }

    /// Adds a port that is not a device: patch or tunnel.
    pub fn add_port(&mut self, bridge: BridgeIdx, port: OfPort, kind: PortKind) {
        let to = Some(Port { kind, ..Port::device(0) });
        self.change(&[Change::SetPort { bridge, port, to }]);
    }

    /// Sets routes and neighbours.
    pub fn set_underlay(&mut self, underlay: Underlay) {
        self.change(&[Change::SetUnderlay(Arc::new(underlay))]);
    }

    /// Changes the program; in force at once.
    pub fn change(&mut self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut program = self.worker.release_program();
        Arc::make_mut(&mut program).apply(changes);
        self.worker.adopt(program);
    }

    /// Applies flow-mods, all or none.
    pub fn flow_mods(&mut self, bridge: BridgeIdx, mods: &[FlowMod], version: Version) -> Result<(), BundleError> {
        let applied = self.rules.commit(bridge, mods, version, self.now_ms)?;
        self.enact(applied);
        Ok(())
    }

    /// Applies one flow-mod.
    pub fn flow_mod(&mut self, bridge: BridgeIdx, m: &FlowMod, version: Version) -> Result<(), OfError> {
        let applied = self.rules.apply(bridge, m, version, self.now_ms)?;
        self.enact(applied);
        Ok(())
    }

    /// Applies one group-mod.
    pub fn group_mod(&mut self, bridge: BridgeIdx, m: &GroupMod) -> Result<(), OfError> {
        let applied = self.rules.apply_group(bridge, m, self.now_ms)?;
        self.enact(applied);
        Ok(())
    }

    /// Maps tunnel options to `tun_metadata` fields, or no longer.
    pub fn map_options(&mut self, bridge: BridgeIdx, m: &TlvTableMod) -> Result<(), OfError> {
        let changes = self.rules.map_options(bridge, m)?;
        self.change(&changes);
        Ok(())
    }

    /// Applies one meter-mod.
    pub fn meter_mod(&mut self, bridge: BridgeIdx, m: &MeterMod) -> Result<(), OfError> {
        let applied = self.rules.apply_meter(bridge, m, self.now_ms)?;
        self.enact(applied);
        Ok(())
    }

    /// The rule set, to ask for counts (as of the last [`Inline::fold`]).
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    fn enact(&mut self, applied: Applied) {
        self.change(&applied.changes);
        if applied.removed.is_empty() {
            return;
        }
        self.fold();
        for gone in applied.removed {
            self.rules.release(gone.flow.id);
        }
    }

    /// One batch from each device, then what the batch asked of the rules. Returns the frames received.
    pub fn turn(&mut self, now_ms: u64) -> usize {
        self.now_ms = now_ms;
        let work = self.worker.turn(now_ms);
        if self.worker.has_news() {
            self.answer();
        }
        work
    }

    /// Learns what the worker saw; a tunnel's unknown next hop is noted.
    fn answer(&mut self) {
        for event in self.worker.take_events() {
            match event {
                Event::Learned { bridge, learn, key } => {
                    let applied = self.rules.learn(bridge, &learn, &key, self.now_ms);
                    self.enact(applied);
                }
                Event::ShortenTimeouts { rule, idle, hard } => self.rules.shorten_timeouts(rule, idle, hard),
                Event::Resolve { device, address } if !self.unresolved.contains(&(device, address)) => {
                    self.unresolved.push((device, address));
                }
                Event::Resolve { .. } => {}
            }
        }
    }

    /// Removes rules whose time is over.
    pub fn expire(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.fold();
        let applied = self.rules.expire(now_ms);
        self.enact(applied);
    }

    /// Copies of packets for the controllers since the last time.
    pub fn take_punts(&mut self) -> Vec<Punted> {
        self.worker.take_punts()
    }

    /// Brings the worker's counts into the rules; totals of ports and frames.
    pub fn fold(&mut self) -> &Report {
        let report = self.worker.report();
        for (id, used) in &report.rules {
            self.rules.fold(*id, used.packets, used.bytes, used.last_ms);
        }
        for ((bridge, table), used) in &report.tables {
            self.rules.fold_table(*bridge, *table, used.lookups, used.matched);
        }
        for ((serial, bucket), used) in &report.groups {
            self.rules.fold_group(*serial, *bucket, used.packets, used.bytes);
        }
        for (serial, used) in &report.meters {
            self.rules.fold_meter(*serial, used.packets, used.bytes, &used.bands);
        }
        self.totals = report;
        &self.totals
    }

    /// The rules of a bridge with their counts (as of the last [`Inline::fold`]).
    pub fn dump(&self, bridge: BridgeIdx) -> Vec<FlowStats> {
        self.rules.dump(bridge, &Filter::default()).collect()
    }

    /// The worker.
    pub fn worker(&mut self) -> &mut Worker {
        &mut self.worker
    }
}

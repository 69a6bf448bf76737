//! From the configuration file to bridges, ports and connections.
//!
//! Purpose: carry out the steps from one desired state to the next.
//! Invariant: a file that cannot be used changes nothing; a step that fails is logged and the rest
//! goes on, because half a switch is better than none.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::Arc;

use sluice_engine::Settings;
use sluice_flow::fdb::Versions;
use sluice_flow::hash::Seeds;
use sluice_flow::BridgeIdx;
use sluice_ovsdb_bridge::{diff, parse_toml, Bridge, DesiredState, Port, PortKind, VhostUser, Step, Workers};

use super::Control;
use crate::daemon::args::Source;
use crate::daemon::host::Touched;
use crate::stream::target::{management_socket, snoop_socket};

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<DesiredState, String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| format!("{name}: cannot read: {e}"))?;
    parse_toml(&text, &name).map_err(|e| e.to_string())
}

/// What this version cannot do.
pub(super) fn check(state: &DesiredState) -> Result<(), String> {
    let mut ports: Vec<u16> = state.bridges.iter().flat_map(|b| &b.ports).filter_map(tunnel_port).collect();
    ports.dedup();
    if let (Some(underlay), [first, other, ..]) = (state.underlays.first(), &ports[..]) {
        return Err(format!(
            "tunnels use UDP ports {first} and {other}, but a device that stays the host's ({}) can carry one; give all the same dst_port",
            underlay.device
        ));
    }
    Ok(())
}

fn tunnel_port(port: &sluice_ovsdb_bridge::Port) -> Option<u16> {
    match &port.kind {
        PortKind::Vxlan(vxlan) => Some(vxlan.dst_port),
        _ => None,
    }
}

/// Seeds that nobody can guess.
pub(super) fn random_seeds() -> Seeds {
    Seeds::from_entropy(random())
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// How the worker is made.
pub(super) fn worker_settings(workers: &Workers, seeds: Seeds, versions: Arc<Versions>) -> Settings {
    Settings { flows: workers.cache_entries as usize, seeds, versions }
}

/// Where workers sit: one seat each, with the CPU that it is pinned to. CPUs that are not there are left out.
pub(super) fn seats(workers: &Workers) -> Vec<Option<u16>> {
    if workers.cpus.is_empty() {
        return vec![None; usize::from(workers.count.max(1))];
    }
    let there = |cpu: &u16| std::path::Path::new(&format!("/sys/devices/system/cpu/cpu{cpu}")).exists();
    let (present, absent): (Vec<u16>, Vec<u16>) = workers.cpus.iter().copied().partition(there);
    if !absent.is_empty() {
        crate::log!(Warn, "sluiced", "no worker is started on CPUs {absent:?}, which this host does not have");
    }
    match present.is_empty() {
        true => vec![None],
        false => present.into_iter().map(Some).collect(),
    }
}

impl Control {
    /// Makes the first state. A bridge that nobody could reach is an error here.
    pub(super) fn configure_first(&mut self, state: DesiredState) -> Result<(), String> {
        let now_ms = self.clock.now_ms();
        let steps = diff(&self.state, &state);
        self.state = state;
        for step in steps {
            self.carry_out(step, now_ms)?;
        }
        self.take_host(Touched::ALL, now_ms);
        Ok(())
    }

    /// Reads the file again and carries out what differs.
    pub(super) fn reload(&mut self, now_ms: u64) {
        let Source::File(file) = &self.args.source else { return };
        let state = match read(file).and_then(|s| check(&s).map(|()| s)) {
            Ok(state) => state,
            Err(e) => return crate::log!(Error, "sluiced", "configuration not taken: {e}"),
        };
        let steps = diff(&self.state, &state);
        crate::log!(Info, "sluiced", "configuration read again: {} steps", steps.len());
        self.state = state;
        for step in steps {
            if let Err(e) = self.carry_out(step, now_ms) {
                crate::log!(Error, "sluiced", "{e}");
            }
        }
        self.take_host(Touched::ALL, now_ms);
    }

    pub(super) fn carry_out(&mut self, step: Step, now_ms: u64) -> Result<(), String> {
        match step {
            Step::RemovePort { bridge, name } => {
                let place = self.switch.bridge_by_name(&bridge).and_then(|b| Some((b.index, b.port_by_name(&name)?.number)));
                if let Some((bridge, port)) = place {
                    self.switch.remove_port(bridge, port);
                }
            }
            Step::RemoveBridge { name } => {
                if let Some(index) = self.switch.bridge_by_name(&name).map(|b| b.index) {
                    self.server.forget_bridge(self.poll.registry(), index);
                    self.switch.remove_bridge(index, now_ms);
                }
            }
            Step::RemoveUnderlay { device } => self.switch.remove_underlay(&device),
            Step::SetWorkers(workers) => self.switch.resize_team(&seats(&workers)),
            Step::SetTls(tls) => self.set_keys(tls),
            // The rest is read where it is needed, at the next report.
            Step::SetNode(node) => self.switch.set_managers(node.managers),
            Step::SetZones(zones) => self.switch.set_zones(&zones),
            Step::AddUnderlay(underlay) => self.switch.add_underlay(underlay),
            Step::AddBridge(bridge) => self.add_bridge(bridge, now_ms)?,
            Step::ChangeBridge(bridge) => self.change_bridge(bridge, now_ms)?,
            Step::AddPort { port, .. } if port.refused.is_some() => {}
            Step::AddPort { bridge, port } => {
                let name = port.name.clone();
                let port = self.with_socket(port);
                let index = self.switch.bridge_by_name(&bridge).map(|b| b.index);
                let added = index.and_then(|i| self.switch.add_port(i, port, now_ms));
                added.ok_or_else(|| format!("port {name}: bridge {bridge} has no OpenFlow number left"))?;
            }
            Step::ChangePort { bridge, port } => {
                if let Some(index) = self.switch.bridge_by_name(&bridge).map(|b| b.index) {
                    self.switch.change_port(index, port);
                }
            }
        }
        Ok(())
    }

    /// A vhost-user port that listens does so in the run directory, unless told otherwise.
    fn with_socket(&self, mut port: Port) -> Port {
        if let PortKind::VhostUser(VhostUser { server: true, path: path @ None, .. }) = &mut port.kind {
            *path = Some(self.rundir.path().join(&port.name).display().to_string());
        }
        port
    }

    fn add_bridge(&mut self, bridge: Bridge, now_ms: u64) -> Result<(), String> {
        let index = self.switch.add_bridge(bridge.clone(), now_ms);
        self.open_doors(index, &bridge, now_ms)
    }

    fn change_bridge(&mut self, bridge: Bridge, now_ms: u64) -> Result<(), String> {
        let Some(old) = self.switch.bridge_by_name(&bridge.name) else { return Ok(()) };
        let index = old.index;
        let same_controllers = old.wanted.controllers == bridge.controllers;
        let same_protocols = old.wanted.protocols == bridge.protocols;
        self.switch.change_bridge(bridge.clone(), now_ms);
        if same_protocols {
            let versions = self.switch.bridge(index).map(|b| b.versions).filter(|_| !same_controllers);
            return versions.map_or(Ok(()), |v| self.server.set_controllers(self.poll.registry(), &bridge.controllers, index, v, now_ms));
        }
        self.server.forget_bridge(self.poll.registry(), index);
        self.open_doors(index, &bridge, now_ms)
    }

    /// Listens and connects for a bridge.
    fn open_doors(&mut self, index: BridgeIdx, bridge: &Bridge, now_ms: u64) -> Result<(), String> {
        let Some(versions) = self.switch.bridge(index).map(|b| b.versions) else { return Ok(()) };
        let path = management_socket(self.rundir.path(), &bridge.name);
        let registry = self.poll.registry();
        self.server.listen_unix(registry, path, index, versions)?;
        self.server.listen_unix(registry, snoop_socket(self.rundir.path(), &bridge.name), index, versions)?;
        for controller in &bridge.controllers {
            self.server.add_controller(registry, controller, index, versions, now_ms)?;
        }
        Ok(())
    }
}

//! The steps from one state to the next.
//!
//! Purpose: touch only what differs; a port that stays is never closed.
//! Invariant: applying the steps to `old` gives `new`. What goes, goes before what comes, so that
//! names and numbers are free again.
//! Deliberately does not know: how a step is carried out, or whether it can be.

use std::collections::{BTreeMap, HashMap};

use crate::state::{Bridge, DesiredState, Node, Port, Tls, Underlay, Workers, Zone};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Closes a port.
    RemovePort {
        /// Its bridge.
        bridge: String,
        /// Its name.
        name: String,
    },
    /// Removes a bridge with its rules, after its ports.
    RemoveBridge {
        /// Its name.
        name: String,
    },
    /// Gives a device back to the host alone.
    RemoveUnderlay {
        /// The device.
        device: String,
    },
    /// Changes the worker threads.
    SetWorkers(Workers),
    /// Changes settings of the whole node.
    SetNode(Node),
    /// Changes keys and certificates.
    SetTls(Option<Tls>),
    /// Changes what holds in zones of connection tracking: all of them.
    SetZones(BTreeMap<u16, Zone>),
    /// Takes our tunnels' frames from a device.
    AddUnderlay(Underlay),
    /// Makes a bridge; `ports` is empty, they follow as steps.
    AddBridge(Bridge),
    /// Changes settings of a bridge that stays, with its rules; `ports` is empty.
    ChangeBridge(Bridge),
    /// Opens a port.
    AddPort {
        /// Its bridge.
        bridge: String,
        /// What it shall be.
        port: Port,
    },
    /// Changes settings of a port that stays open (tag, MTU, tunnel options).
    ChangePort {
        /// Its bridge.
        bridge: String,
        /// What it shall be.
        port: Port,
    },
}

/// What has to be done to come from `old` to `new`.
pub fn diff(old: &DesiredState, new: &DesiredState) -> Vec<Step> {
    let mut steps = Vec::new();
    removals(old, new, &mut steps);
    if old.workers != new.workers {
        steps.push(Step::SetWorkers(new.workers.clone()));
    }
    if old.node != new.node {
        steps.push(Step::SetNode(new.node.clone()));
    }
    if old.tls != new.tls {
        steps.push(Step::SetTls(new.tls.clone()));
    }
    if old.zones != new.zones {
        steps.push(Step::SetZones(new.zones.clone()));
    }
    for underlay in &new.underlays {
        if !old.underlays.contains(underlay) {
            steps.push(Step::AddUnderlay(underlay.clone()));
        }
    }
    for bridge in &new.bridges {
        bridge_steps(old.bridges.iter().find(|b| b.name == bridge.name), bridge, &mut steps);
    }
    steps
}

fn removals(old: &DesiredState, new: &DesiredState, steps: &mut Vec<Step>) {
    let mut bridges = Vec::new();
    for bridge in &old.bridges {
        let now = new.bridges.iter().find(|b| b.name == bridge.name);
        let ports = by_name(now);
        for port in &bridge.ports {
            if !ports.get(port.name.as_str()).is_some_and(|p| survives(port, p)) {
                steps.push(Step::RemovePort { bridge: bridge.name.clone(), name: port.name.clone() });
            }
        }
        if now.is_none() {
            bridges.push(Step::RemoveBridge { name: bridge.name.clone() });
        }
    }
    steps.append(&mut bridges);
    for underlay in &old.underlays {
        if !new.underlays.contains(underlay) {
            steps.push(Step::RemoveUnderlay { device: underlay.device.clone() });
        }
    }
}

fn by_name(bridge: Option<&Bridge>) -> HashMap<&str, &Port> {
    bridge.into_iter().flat_map(|b| &b.ports).map(|p| (p.name.as_str(), p)).collect()
}

/// Whether `old` can become `new` without being closed.
fn survives(old: &Port, new: &Port) -> bool {
    use crate::state::PortKind::{Internal, Patch, System, Tap, VhostUser, Vxlan};
    let same_kind = match (&old.kind, &new.kind) {
        (System { .. }, System { .. }) | (VhostUser(_), VhostUser(_)) => old.kind == new.kind,
        (Internal, Internal) | (Tap, Tap) | (Patch { .. }, Patch { .. }) | (Vxlan(_), Vxlan(_)) => true,
        _ => false,
    };
    same_kind && old.refused == new.refused && old.ofport_request == new.ofport_request
}

fn bridge_steps(old: Option<&Bridge>, new: &Bridge, steps: &mut Vec<Step>) {
    match old {
        None => steps.push(Step::AddBridge(without_ports(new))),
        Some(old) if without_ports(old) != without_ports(new) => {
            steps.push(Step::ChangeBridge(without_ports(new)));
        }
        Some(_) => {}
    }
    let ports = by_name(old);
    let mut added = Vec::new();
    for port in &new.ports {
        let before = ports.get(port.name.as_str()).filter(|p| survives(p, port));
        let bridge = new.name.clone();
        match before {
            None => added.push(Step::AddPort { bridge, port: port.clone() }),
            Some(before) if !same(before, port) => steps.push(Step::ChangePort { bridge, port: port.clone() }),
            Some(_) => {}
        }
    }
    // Wished and remembered numbers first, so that nobody else gets them.
    added.sort_by_key(|step| match step {
        Step::AddPort { port, .. } => (port.ofport_request.is_none(), port.ofport_kept.is_none()),
        _ => (true, true),
    });
    steps.append(&mut added);
}

/// Whether two ports are the same but for the number that they had before.
fn same(a: &Port, b: &Port) -> bool {
    a == b || *a == Port { ofport_kept: a.ofport_kept, ..b.clone() }
}

fn without_ports(bridge: &Bridge) -> Bridge {
    Bridge { ports: Vec::new(), ..bridge.clone() }
}

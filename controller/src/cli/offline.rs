//! What can be told without a switch.
//!
//! Purpose: the rules that a node would get, and the way of a packet through them.
//! Deliberately does not know: connections.

use super::arguments::Arguments;
use crate::desired::{desired_state, DesiredState};
use crate::explain;
use crate::model::{Cloud, Place};
use crate::rules::{node_rules, tunnel_port_name, SwitchPorts, INTEGRATION, TO_INTEGRATION, TO_TUNNEL, TUNNEL};
use crate::source;
use crate::text;
use std::fmt::Write;

fn cloud(arguments: &Arguments) -> Result<Cloud, String> {
    let mut source = source::open(&arguments.source).map_err(|e| e.to_string())?;
    match source.poll() {
        Ok(Some(observation)) => Ok(observation.cloud),
        Ok(None) => Err(format!("{} is empty", arguments.source)),
        Err(error) => Err(error.to_string()),
    }
}

/// Port numbers for a switch that is not there: those given, then the lowest free ones in order.
fn assumed_ports(state: &DesiredState, given: &[(String, String, u32)]) -> SwitchPorts {
    let mut ports = SwitchPorts::default();
    for (bridge, name, number) in given {
        let numbers = if bridge == TUNNEL { &mut ports.tunnel } else { &mut ports.integration };
        numbers.insert(name.clone(), *number);
    }
    let number = |numbers: &mut crate::rules::PortNumbers, name: String| {
        if numbers.contains_key(&name) {
            return;
        }
        let free = (1..).find(|n| !numbers.values().any(|used| used == n));
        numbers.extend(free.map(|free| (name, free)));
    };
    number(&mut ports.integration, TO_TUNNEL.to_owned());
    number(&mut ports.tunnel, TO_INTEGRATION.to_owned());
    for network in &state.networks {
        for port in &network.ports {
            if let Place::Device(device) = &port.place {
                number(&mut ports.integration, device.clone());
            }
        }
        for peer in &network.peers {
            number(&mut ports.tunnel, tunnel_port_name(peer.tunnel_ip));
        }
    }
    ports
}

/// `sluice-controller plan`.
pub fn plan(arguments: &Arguments) -> Result<String, String> {
    let cloud = cloud(arguments)?;
    let state = desired_state(&cloud, &arguments.host).map_err(|e| e.to_string())?;
    let ports = assumed_ports(&state, &arguments.ports);
    let rules = node_rules(&state, &ports);
    let mut out = String::new();
    let all = [(INTEGRATION, &rules.integration, &ports.integration), (TUNNEL, &rules.tunnel, &ports.tunnel)];
    for (bridge, rules, numbers) in all {
        if arguments.bridge.as_deref().is_some_and(|wanted| wanted != bridge) {
            continue;
        }
        let mut listed: Vec<_> = numbers.iter().collect();
        listed.sort_by_key(|(_, number)| **number);
        let listed: Vec<String> = listed.iter().map(|(name, number)| format!("{name}={number}")).collect();
        let _ = writeln!(out, "# {bridge}: {} rules; ports {}", rules.len(), listed.join(", "));
        for rule in rules.iter() {
            let _ = writeln!(out, "{}", text::rule(rule));
        }
    }
    Ok(out)
}

/// `sluice-controller path`.
pub fn path(arguments: &Arguments) -> Result<String, String> {
    let cloud = cloud(arguments)?;
    let mut steps = String::new();
    let question = explain::Question {
        from: &arguments.from,
        to: &arguments.to,
        protocol: &arguments.protocol,
        tp_dst: arguments.tp_dst,
    };
    let ports_of = |state: &DesiredState| assumed_ports(state, &arguments.ports);
    for line in explain::path(&cloud, &question, ports_of)? {
        let _ = writeln!(steps, "{line}");
    }
    Ok(steps)
}

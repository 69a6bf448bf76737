//! The rules of a node, from what it has to do.
//!
//! Purpose: the pure step from a [`DesiredState`] and the switch's port numbers to one rule set per
//! bridge, in the tables that Neutron uses.
//! Invariant: the same arguments give the same rules in the same order; every rule carries a cookie
//! of [`cookie`].
//! Deliberately does not know: what the switch has now, how rules get there.

pub mod build;
pub mod cookie;
mod filter;
mod integration;
mod range;
mod spoof;
mod state;
mod tunnel;

pub use build::{Rule, RuleKey, RuleSet};

use crate::desired::{DesiredState, LocalPort};
use crate::model::Place;
use std::collections::BTreeMap;

/// The bridge that machines are attached to.
pub const INTEGRATION: &str = "br-int";
/// The bridge that tunnels end on.
pub const TUNNEL: &str = "br-tun";
/// Port of `br-int` that leads to `br-tun`.
pub const TO_TUNNEL: &str = "patch-tun";
/// Port of `br-tun` that leads to `br-int`.
pub const TO_INTEGRATION: &str = "patch-int";
/// Port of `br-tun` that reaches any peer (`remote_ip=flow`); used where a peer has none of its own.
pub const FLOW_TUNNEL: &str = "vxlan-flow";

/// Port numbers of a bridge by name.
pub type PortNumbers = BTreeMap<String, u32>;

/// Port numbers of the node's bridges.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SwitchPorts {
    /// Of `br-int`.
    pub integration: PortNumbers,
    /// Of `br-tun`.
    pub tunnel: PortNumbers,
}

/// The rules of both bridges, and what could not be done.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NodeRules {
    /// Of `br-int`.
    pub integration: RuleSet,
    /// Of `br-tun`.
    pub tunnel: RuleSet,
    /// What is missing on the switch, one line each.
    pub missing: Vec<String>,
}

/// All rules of a node.
///
/// What has no port number yet is left out and named in [`NodeRules::missing`]: its rules follow
/// when its port appears.
pub fn node_rules(state: &DesiredState, ports: &SwitchPorts) -> NodeRules {
    let no_vlan = |name: &String| format!("network '{name}' is not served: this node has more than 4094 networks");
    let mut missing: Vec<String> = state.without_vlan.iter().map(no_vlan).collect();
    let integration = integration::rules(state, &ports.integration, &mut missing);
    let tunnel = tunnel::rules(state, &ports.tunnel, &mut missing);
    NodeRules { integration, tunnel, missing }
}

/// Name of the tunnel port to a peer, as Neutron forms it.
pub fn tunnel_port_name(peer: std::net::Ipv4Addr) -> String {
    format!("vxlan-{:08x}", u32::from(peer))
}

/// The number of a local port on `br-int`.
fn number_of(port: &LocalPort, numbers: &PortNumbers) -> Option<u32> {
    match &port.place {
        Place::Number(number) => Some(*number),
        Place::Device(device) => numbers.get(device).copied(),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

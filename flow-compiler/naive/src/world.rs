//! What a test sets up, and what it compares.
//!
//! Purpose: the same description drives the naive interpreter, the engine and a stock switch.

use sluice_openflow::FlowMod;

/// A port of a bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortSpec {
    /// OpenFlow port number.
    pub number: u32,
    /// Access VLAN for NORMAL; `None` for a trunk of all VLANs.
    pub access: Option<u16>,
    /// The other end, bridge and port, when it is a patch port.
    pub peer: Option<(usize, u32)>,
}

/// A bridge with its rules.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BridgeSpec {
    /// Ports, the bridge's own device not counted.
    pub ports: Vec<PortSpec>,
    /// Rules in `ovs-ofctl` syntax, for switches that are driven by text.
    pub text: Vec<String>,
    /// The same rules.
    pub rules: Vec<FlowMod>,
}

/// Some bridges.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct World {
    /// By index; patch ports name them so.
    pub bridges: Vec<BridgeSpec>,
}

/// A frame that comes in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Input {
    /// Bridge.
    pub bridge: usize,
    /// Port.
    pub port: u32,
    /// The frame.
    pub bytes: Vec<u8>,
}

/// A frame that goes out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Output {
    /// Bridge.
    pub bridge: usize,
    /// Port: never a patch port.
    pub port: u32,
    /// The frame.
    pub bytes: Vec<u8>,
}

/// A switch under test.
pub trait Subject {
    /// What it is called in a report.
    fn name(&self) -> String;
    /// Starts over with these bridges and rules, at time 0.
    fn load(&mut self, world: &World) -> Result<(), String>;
    /// Switches one frame, including what it teaches. Frames on one port come in their order; the
    /// order between ports does not matter.
    fn packet(&mut self, input: &Input, now: u64) -> Result<Vec<Output>, String>;
    /// Packets per rule so far, as `bridge, table, priority, match and actions in text`, learned
    /// rules included; `None` where the switch cannot say.
    fn hits(&mut self) -> Result<Option<Vec<RuleHits>>, String> {
        Ok(None)
    }
}

/// Packets that a rule saw.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RuleHits {
    /// Bridge.
    pub bridge: usize,
    /// Table.
    pub table: u8,
    /// Priority.
    pub priority: u16,
    /// What sets it apart from others of its table and priority: match words, or text.
    pub matching: String,
    /// Packets.
    pub packets: u64,
}

/// Sorts outputs by port, keeping the order on each.
pub fn by_port(mut outputs: Vec<Output>) -> Vec<Output> {
    outputs.sort_by_key(|o| (o.bridge, o.port));
    outputs
}

//! What a test sets up, and what it compares.
//!
//! Purpose: the same description drives the naive interpreter, the engine and a stock switch.

use std::sync::Arc;

use sluice_flow::options::OptionMap;
use sluice_openflow::message::{GroupMod, TlvMap, TlvTableCommand, TlvTableMod};
use sluice_openflow::FlowMod;

/// The tunnel options that every bridge maps, as `ovs-ofctl` is told: in one word of the key, in two, in many.
pub const OPTIONS: [(u16, TlvMap); 3] = [
    (0, TlvMap { class: 0x102, kind: 0x80, len: 4, index: 0 }),
    (1, TlvMap { class: 0xffff, kind: 1, len: 8, index: 1 }),
    (5, TlvMap { class: 0x103, kind: 2, len: 24, index: 5 }),
];

/// The change that makes a bridge map them.
pub fn options_mod() -> TlvTableMod {
    TlvTableMod { command: TlvTableCommand::Add, maps: OPTIONS.map(|o| o.1).to_vec() }
}

/// Where they lie.
pub fn options() -> Arc<OptionMap> {
    let mut map = OptionMap::new();
    for (n, m) in OPTIONS {
        let added = map.add(n as u8, m.class, m.kind, m.len);
        debug_assert!(added.is_ok(), "the mappings fit");
    }
    Arc::new(map)
}

/// How NORMAL treats the VLANs of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub enum VlanMode {
    #[default]
    Trunk,
    Access,
    NativeTagged,
    NativeUntagged,
    Dot1qTunnel,
}

/// When a tag without an id is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub enum PriorityTags {
    #[default]
    Never,
    IfNonzero,
    Always,
}

/// Settings of a port, for NORMAL.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PortSettings {
    /// How VLANs are treated.
    pub mode: VlanMode,
    /// Access, native or service VLAN; `None` where it was not configured.
    pub tag: Option<u16>,
    /// VLANs of a trunk; empty for all.
    pub trunks: Vec<u16>,
    /// Customer VLANs of a tunnel; empty for all.
    pub cvlans: Vec<u16>,
    /// Service tags are 802.1Q tags.
    pub service_8021q: bool,
    /// Tags without an id.
    pub priority_tags: PriorityTags,
    /// Talks to unprotected ports only.
    pub protected: bool,
    /// Refuses floods.
    pub no_flood: bool,
}

impl PortSettings {
    /// Of an access port.
    pub fn access(tag: u16) -> Self {
        PortSettings { mode: VlanMode::Access, tag: Some(tag), ..PortSettings::default() }
    }
}

/// A port of a bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortSpec {
    /// OpenFlow port number.
    pub number: u32,
    /// Settings for NORMAL.
    pub settings: PortSettings,
    /// The other end, bridge and port, when it is a patch port.
    pub peer: Option<(usize, u32)>,
}

/// Copies of packets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MirrorSpec {
    /// Of every packet.
    pub all: bool,
    /// Of those that came in by these ports.
    pub src: Vec<u32>,
    /// Of those that leave by these ports.
    pub dst: Vec<u32>,
    /// In these VLANs; empty for all.
    pub vlans: Vec<u16>,
    /// Where copies go to: a port, else a VLAN.
    pub to_port: Option<u32>,
    /// Where copies go to.
    pub to_vlan: Option<u16>,
    /// Most bytes of a copy.
    pub snaplen: Option<u16>,
}

/// A bridge with its rules.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BridgeSpec {
    /// Ports, the bridge's own device not counted.
    pub ports: Vec<PortSpec>,
    /// VLANs in which nothing is learned.
    pub flood_vlans: Vec<u16>,
    /// Reserved addresses are forwarded.
    pub forward_bpdu: bool,
    /// Mirrors.
    pub mirrors: Vec<MirrorSpec>,
    /// Groups in `ovs-ofctl` syntax (OpenFlow 1.5), and as changes.
    pub groups: Vec<(String, GroupMod)>,
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

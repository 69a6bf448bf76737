//! The node's desired state: bridges, ports and tunnels, from a TOML file or an Open_vSwitch database.
//!
//! Purpose: one [`DesiredState`] whatever its source, and the steps from one state to the next.
//! Invariant: pure. Text comes in, values go out; nothing here opens a file or a device.
//! Deliberately does not know: how a port is opened, what OpenFlow rules a bridge holds.

#![forbid(unsafe_code)]

pub mod database;
pub mod difference;
pub mod error;
pub mod jsonrpc;
pub mod source;
pub mod state;
pub mod switching;

pub use difference::{diff, Step};
pub use error::ConfigError;
pub use source::ovsdb::{read_rows, NoConfiguration, Origins, Reading, Refusals, Subject};
pub use source::toml::parse_toml;
pub use state::{
    Address, Bridge, Controller, ControllerTarget, DesiredState, Discipline, FailMode, FlowTable, Io, Key, Node,
    Overflow, Port, PortKind, Qos, Queue, Tls, Tos, Ttl, TwoRates, Underlay, Version, VhostUser, Vxlan, Workers, Zone,
};
pub use switching::{
    Bond, BondMode, Lacp, LacpPort, McastSnooping, Mirror, Normal, Policing, PriorityTags, Switching, VlanMode,
};

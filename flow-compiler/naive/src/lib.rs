//! A naive interpreter of OpenFlow rules: the oracle that the engine is tested against.
//!
//! Purpose: for tests only. It matches by looking at every rule, executes actions one by one on the
//! bytes of the packet, and computes checksums anew; it shares no code with lowering, programs,
//! deciding or the engine. What it answers is itself compared with a stock Open vSwitch.
//! Deliberately does not know: speed.

#![forbid(unsafe_code)]

pub mod compare;
mod cover;
pub mod frame;
pub mod generate;
mod learn;
mod normal;
mod pass;
pub mod rules;
pub mod spread;
mod sums;
pub mod switch;
mod walk;
pub mod world;

pub use switch::NaiveSwitch;
pub use world::{by_port, BridgeSpec, Input, MirrorSpec, Output, PortSettings, PortSpec, PriorityTags, RuleHits, Subject, VlanMode, World};

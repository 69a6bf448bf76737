//! From OpenFlow rules to a program for the dataplane.
//!
//! Purpose: keep every bridge's rules with OpenFlow's semantics, and say as [`sluice_flow::Change`]s
//! what each flow-mod means for the program.
//! Invariant: pure. Time comes in as milliseconds; nothing here reads a clock, a socket or a file.
//! Deliberately does not know: message encodings, `ovs-ofctl` text, packets.

#![forbid(unsafe_code)]

pub mod check;
pub mod error;
pub mod learn;
pub mod lower;
pub mod rules;

pub use error::OfError;
pub use rules::{
    outputs_to, uses_group, Applied, BundleError, Filter, FlowStats, Mod, Overflow, Reference, Removed, RemovedReason, RuleNews, RuleSet,
};

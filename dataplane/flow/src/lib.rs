//! Flow keys, masks, the exact flow cache, compiled programs and verdicts.
//!
//! Purpose: everything a worker needs to know *what to do* with a frame.
//! Invariant: pure state. Time, frames and rule changes come in as values.
//! Deliberately does not know: OpenFlow's wire form or text, sockets, files, clocks.

#![deny(unsafe_code)]

pub mod action;
pub mod bond;
pub mod cache;
pub mod classifier;
pub mod ct;
pub mod decide;
pub mod drop;
pub mod extract;
pub mod fdb;
pub mod group;
pub mod hash;
pub mod meter;
pub mod murmur;
pub mod mdb;
pub mod normal;
pub mod options;
pub mod program;
pub mod reads;
pub mod referred;
pub mod rule;
pub mod underlay;
pub mod verdict;
pub mod vlan;
pub mod jenkins;
pub mod key;
pub mod spread;

pub use decide::{Decider, Decision, Event};
pub use drop::DropReason;
pub use program::{Change, Program};
pub use verdict::{BridgeIdx, Op, PortIdx, Verdict};
pub use rule::{Conjunction, MaskedKey, Rule, RuleId, SparseMask};
pub use key::{Key, Slot, WORDS};

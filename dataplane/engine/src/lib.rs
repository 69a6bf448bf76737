//! The worker loop and its stations.
//!
//! The path of a batch: [`receive`](worker::Worker::turn) -> [`parse`] -> [`classify`] ->
//! (miss: [`decide`]) -> [`apply`] -> [`encap`] -> send.
//!
//! Purpose: move frames. A worker is a state machine: batches, messages and *time* come in as values,
//! frames and counters go out.
//! Invariant: every frame that came in is sent, punted or dropped for a reason, and counted.
//! Deliberately does not know: sockets, files, clocks, OpenFlow, how rules came to be.

#![forbid(unsafe_code)]

pub mod alike;
mod apply;
pub mod born;
pub mod classify;
pub mod count;
pub mod decide;
pub mod door;
pub mod egress;
pub mod encap;
pub mod exchange;
pub mod fair;
pub mod labels;
pub mod fragments;
mod helper;
pub mod joined;
pub mod meter;
mod parse;
mod pieces;
pub mod police;
pub mod storm;
pub mod quiet;
mod resolved;
pub mod rewrite;
mod service;
mod steady;
pub mod store;
mod too_big;
pub mod track;
pub mod translate;
pub mod view;
pub mod worker;
pub mod writes;

pub use count::{Counters, MeterUse, PortCounters, Report, RuleUse};
pub use worker::control::Work;
pub use worker::{Punted, Received, Settings, Worker};

/// Frames that go through the stations together.
pub const BATCH: usize = 64;

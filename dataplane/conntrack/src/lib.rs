//! Connection tracking and NAT.
//!
//! Purpose: one table of connections for all workers; it says how a packet fits its connection, and
//! what translation does to it.
//! Invariant: no tuple belongs to two live connections; a translated connection holds both of its
//! tuples or neither; there are never more connections than the limit.
//! Deliberately does not know: rules, ports as devices, frames' memory, the clock (time comes in).

#![forbid(unsafe_code)]

pub mod choice;
pub mod conn;
pub mod dump;
pub mod fragments;
pub mod helper;
pub mod packet;
pub mod reassembly;
pub mod tcp;
pub mod timeouts;
pub mod tuple;
pub mod zones;

mod birth;
mod births;
mod grace;
mod index;
mod keep;
mod nat;
mod near;
mod opening;
mod owners;
mod population;
mod record;
mod stats;
mod steady;
mod track;
mod wheel;

pub use births::Birth;
pub use grace::WORKERS_MAX;
pub use conn::{Alg, Conn, NatKind};
pub use keep::{Settings, Tracker};
pub use nat::{NatSpec, Rewrite};
pub use packet::Seen;
pub use stats::Stats;
pub use steady::Steadily;
pub use track::{state, Known, Metadata, Request};
pub use tuple::Tuple;

//! What the host knows of its network: links, addresses, routes and neighbours, followed as they change.
//!
//! Purpose: the underlay next hop of a tunnel comes from the host's own tables, and a device that
//! vanishes or returns is noticed.
//! Invariant: [`Tables`] is plain state that only [`Change`]s alter; after an overrun of the
//! kernel's queue everything is read anew.
//! Deliberately does not know: policy routing (only the main table counts), who asks.

mod change;
mod counters;
mod error;
mod host;
mod message;
mod prefix;
mod read;
mod tables;
mod xdp;

pub use counters::LinkCounters;
pub use error::NetlinkError;
pub use host::Host;
pub use prefix::Prefix;
pub use tables::{Address, Change, Link, Neighbour, NextHop, Route, RouteKind, Tables};
pub use xdp::xdp_program;

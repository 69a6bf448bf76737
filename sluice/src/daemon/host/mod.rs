//! The host's devices, addresses, routes and neighbours, followed as they change.
//!
//! Purpose: what the kernel tells by netlink becomes the underlay that tunnels need, and tells when
//! a device comes or goes.
//! Invariant: a message that cannot be read changes nothing; lost messages lead to a new full read.
//! Deliberately does not know: bridges, rules.

pub mod message;
pub mod socket;
pub mod tables;

pub use message::{Address, Link, Neighbour, Route, Update};
pub use socket::HostSocket;
pub use tables::{HostTables, Touched};

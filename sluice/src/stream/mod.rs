//! OpenFlow byte streams, as both ends see them.
//!
//! Purpose: find the other end by its name.
//! Deliberately does not know: what a message says.

pub mod keys;
pub mod socket;
pub mod target;
pub mod tls;

//! Packet headers: where they are, what is in them, and how to write them.
//!
//! Purpose: one module per header with its field offsets, a value type that reads and writes it, and
//! [`parse`], which finds the headers of a whole frame in one pass.
//! Invariant: no I/O, no unsafe, and no panic on any bytes: what is not there reads as absent.
//! Deliberately does not know: flow keys, ports, rules, or who owns the bytes.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod arp;
pub mod build;
pub mod bytes;
pub mod checksum;
pub mod ethernet;
pub mod icmp4;
pub mod icmp6;
pub mod ipv4;
pub mod ipv6;
pub mod lacp;
pub mod membership;
pub mod mpls;
pub mod nsh;
mod packed;
mod parse;
pub mod pbb;
pub mod sctp;
pub mod tcp;
pub mod too_big;
pub mod udp;
pub mod vlan;
pub mod vxlan;

pub use packed::PackedHeaders;
pub use parse::{is_mpls, is_vlan, parse, parse_network, parse_part, parse_tagged, Headers, Net, Transport, ETH_TYPE_NONE};

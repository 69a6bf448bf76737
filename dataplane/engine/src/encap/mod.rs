//! Station: outer headers on and off (VXLAN over UDP, RFC 7348, over IPv4 and IPv6).
//!
//! Invariant: a frame that cannot carry outer headers is left as it was and the reason is given.
//! Deliberately does not know: which tunnel a packet is for.

mod address;
mod inner;
mod off;
mod on;
mod udp;

pub use address::Address;
pub use off::{decap, outer, strip, Outer, Wrapping};
pub use on::{encap, encap_packed, Template};

const ETHERNET: usize = 14;
const UDP_VXLAN: usize = 16;
const VXLAN_FLAG_VNI: u8 = 0x08;
const GBP_FLAG: u8 = 0x80;
const PROTO_UDP: u8 = 17;

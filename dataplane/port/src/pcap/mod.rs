//! Capture files: reading pcap and pcapng, writing pcap, and a port that replays from memory.
//!
//! Invariant: any bytes give a list of packets and a reason for the end, never a panic; a file that
//! does not hold Ethernet is refused by the name of its link type.
//! Deliberately does not know: what is in the packets.

mod classic;
mod linktype;
mod ng;
mod port;
mod read;
mod write;

pub use linktype::{link_type_name, LINKTYPE_ETHERNET};
pub use port::{Captured, Output, PcapPort, Repeat};
pub use read::{Capture, End, Packet, PcapError, Packets};
pub use write::{PcapWriter, SNAPLEN};

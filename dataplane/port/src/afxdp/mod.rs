//! AF_XDP: frames of a device straight into and out of a worker's own frame memory.
//!
//! Purpose: the fastest way into a Linux device that leaves it a Linux device. The XDP program that
//! chooses the frames is assembled here and held by a link, so it goes away with the process however
//! the process ends.
//! Invariant: a chunk that the kernel holds is recorded as lent in the queue that lent it, and comes
//! back exactly once.
//!
//! What AF_XDP cannot carry: whatever the kernel keeps beside a frame. A veth peer with its offloads
//! on hands over frames whose checksum holds only the pseudo header, with no mark that says so. A
//! port on such a device can be told to recognise and mark them ([`XdpOptions::restore_offloads`]);
//! where that is not wanted, a packet socket serves the device ([`open_best`] decides). A VLAN tag
//! that the device has taken out of the frame is lost to AF_XDP altogether: switch the device's VLAN
//! receive offload off where tagged frames matter.
//! Deliberately does not know: tunnels, beyond the address and port by which the program chooses.

mod best;
mod bpf;
mod checksum;
mod intake;
mod port;
mod program;
mod queue;
mod ring;
mod umem;

pub use best::{open_best, Best};
pub(crate) use bpf::{drop_on_ingress, load_for_ingress};
pub use port::{Attach, AfXdpPort, XdpOptions};
pub use program::Take;
pub use umem::Umem;

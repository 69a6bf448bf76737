//! Where frames enter and leave the switch.
//!
//! Purpose: one trait, [`Port`], over everything that carries Ethernet frames: capture files, tap
//! devices, packet sockets, AF_XDP sockets, vhost-user sockets, and wrappers around any of them.
//! Invariant: a frame handed in belongs to the pool it was received with; a frame given to `send` is
//! always taken and accounted for, sent or dropped by a reason.
//! Deliberately does not know: headers beyond what checksums and segmentation need, rules, workers.

pub mod afxdp;
pub mod capture;
mod count;
mod device;
mod error;
pub mod fault;
mod filter;
mod landing;
pub mod manners;
pub mod netlink;
pub mod offload;
pub mod packet;
pub mod pcap;
pub mod shield;
mod sys;
pub mod tap;
mod ticks;
pub mod vhost;
mod vnet;

pub use count::{Offloads, PortStats, SendDrop, SendOutcome};
pub use device::Device;
pub use error::{PortError, Trouble};
pub use ticks::ticks;

use std::os::fd::RawFd;

use sluice_frame::{Frame, Pool};

/// A place where frames enter and leave.
pub trait Port: Send {
    /// Name of the port.
    fn name(&self) -> &str;

    /// Appends up to `max` frames to `out` and returns how many. Never blocks.
    ///
    /// An error that [`PortError::is_gone`] means that the device has vanished; after any other
    /// error the port may be used on. Frames that were appended before an error stay in `out`.
    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError>;

    /// Takes every frame out of `frames`, in order; what cannot be sent is freed and counted by reason.
    ///
    /// Work that the port's peer does not accept undone (see [`Port::offloads`]) is done here.
    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome;

    /// Descriptor to sleep on, if any: readable (level triggered) while frames wait.
    fn poll_fd(&self) -> Option<RawFd>;

    /// Prepares to sleep on [`Port::poll_fd`]: false when frames wait already. A port whose peer tells
    /// of new frames only when asked to asks here, and stops with the next [`Port::receive`].
    fn arm(&mut self) -> bool {
        true
    }

    /// Counters since the port was opened.
    fn stats(&self) -> PortStats;

    /// What the peer of this port accepts undone.
    fn offloads(&self) -> Offloads;

    /// Has this port nothing more to hand in, ever (a capture file read to its end)?
    fn is_finished(&self) -> bool {
        false
    }

    /// Takes receive queues out of the port, to be served apart from it and by other threads: each receives
    /// only, and has its number beside it. All are to be closed before or soon after the port. One queue
    /// stays in the port, as does everything that is sent.
    fn intakes(&mut self) -> Vec<(u16, Box<dyn Port>)> {
        Vec::new()
    }

    /// The device's MTU or state may have changed: look again.
    fn device_changed(&mut self) {}

    /// Closes the port and brings home the frames that the kernel holds for it.
    ///
    /// A port that is merely dropped releases its device too, but what the kernel held of `pool`
    /// stays out.
    fn close(self: Box<Self>, pool: &mut Pool) {
        let _ = pool;
    }
}

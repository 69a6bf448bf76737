//! Keeps the host's own stack from the frames of a device that belongs to the switch.
//!
//! Purpose: a packet socket gets a copy; without this the host would answer ARP for its other devices'
//! addresses, and forward, what the switch forwards too.
//! Invariant: the shield is gone with its owner, also when that is killed.
//! Deliberately does not know: packet sockets. They see a frame before it is dropped here.

use std::io;
use std::os::fd::OwnedFd;

use crate::afxdp::{drop_on_ingress, load_for_ingress};

/// As long as it lives, the host's stack sees nothing that the device receives.
#[derive(Debug)]
pub struct Shield {
    _link: OwnedFd,
}

impl Shield {
    /// Puts it up on a device, by index. Kernels before 6.6 cannot.
    pub fn raise(device: u32) -> io::Result<Shield> {
        let program = load_for_ingress()?;
        Ok(Shield { _link: drop_on_ingress(&program, device)? })
    }
}

//! UDP sockets on our tunnels' addresses.
//!
//! Purpose: the host's own stack sees tunnel packets too where a device stays the host's; without a
//! socket it would answer them with "port unreachable".
//! Invariant: nothing is read from them; their buffers are as small as the kernel allows.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};

/// The sockets.
#[derive(Default)]
pub(super) struct Guard {
    sockets: BTreeMap<(IpAddr, u16), Option<UdpSocket>>,
}

impl Guard {
    /// Holds a socket on each of these, and on no other.
    pub fn keep(&mut self, wanted: Vec<(IpAddr, u16)>) {
        self.sockets.retain(|end, _| wanted.contains(end));
        for end in wanted {
            let place = self.sockets.entry(end).or_insert(None);
            if place.is_some() {
                continue;
            }
            match UdpSocket::bind(end) {
                Ok(socket) => *place = Some(socket),
                // The address may not be there yet; the next change of the host tries again.
                Err(e) => crate::log!(Debug, "tunnels", "cannot keep {}:{} from the host: {e}", end.0, end.1),
            }
        }
    }
}

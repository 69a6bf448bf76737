//! The answers to a source's packets: the same packets with both ends exchanged.
//!
//! Invariant: checksums stay right (exchanging words does not change their sum).
//! Deliberately does not know: connections.

use std::os::fd::RawFd;

use sluice_frame::{Frame, Pool};
use sluice_port::{Offloads, Port, PortError, PortStats, SendOutcome};

const IPV4: usize = 14;
const UDP: usize = IPV4 + 20;

/// Exchanges the ends of an Ethernet frame that carries UDP over IPv4 without options.
pub fn exchange(frame: &mut [u8]) {
    let Some(b) = frame.first_chunk_mut::<{ UDP + 8 }>() else { return };
    let pairs = [(0, 6, 6), (IPV4 + 12, IPV4 + 16, 4), (UDP, UDP + 2, 2)];
    for (a, z, len) in pairs {
        for i in 0..len {
            b.swap(a + i, z + i);
        }
    }
}

/// A source that answers what another source would send.
pub struct Answers(pub Box<dyn Port>);

impl Port for Answers {
    fn name(&self) -> &str {
        "answers"
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        let before = out.len();
        let got = self.0.receive(pool, out, max)?;
        out.iter_mut().skip(before).for_each(|f| exchange(f.head_mut()));
        Ok(got)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        self.0.send(pool, frames)
    }

    fn poll_fd(&self) -> Option<RawFd> {
        None
    }

    fn stats(&self) -> PortStats {
        self.0.stats()
    }

    fn offloads(&self) -> Offloads {
        self.0.offloads()
    }
}

//! One source at a time: what two ports need before their flows are known.
//!
//! A port whose packets begin flows waits while others have packets. So that two ports get warm in as many
//! packets as they have flows, each is heard alone for a while.
//! Deliberately does not know: what a port sends.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;

use sluice_frame::{Frame, Pool};
use sluice_port::{Offloads, Port, PortError, PortStats, SendOutcome};

/// Whoever may speak, by number; nobody's number stands for all.
#[derive(Clone, Debug)]
pub struct Speaker(Arc<AtomicUsize>);

const ALL: usize = usize::MAX;

impl Default for Speaker {
    fn default() -> Self {
        Speaker(Arc::new(AtomicUsize::new(ALL)))
    }
}

impl Speaker {
    /// Only this one.
    pub fn only(&self, number: usize) {
        self.0.store(number, Relaxed);
    }

    /// All of them.
    pub fn all(&self) {
        self.0.store(ALL, Relaxed);
    }
}

/// A port that is silent while another one speaks alone.
pub struct Alone {
    /// The port itself.
    pub port: Box<dyn Port>,
    /// Its number.
    pub number: usize,
    /// Who may speak.
    pub speaker: Speaker,
}

impl Port for Alone {
    fn name(&self) -> &str {
        self.port.name()
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        let speaks = self.speaker.0.load(Relaxed);
        if speaks != ALL && speaks != self.number {
            return Ok(0);
        }
        self.port.receive(pool, out, max)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        self.port.send(pool, frames)
    }

    fn poll_fd(&self) -> Option<RawFd> {
        None
    }

    fn stats(&self) -> PortStats {
        self.port.stats()
    }

    fn offloads(&self) -> Offloads {
        self.port.offloads()
    }
}

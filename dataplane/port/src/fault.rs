//! A wrapper that loses, doubles and swaps frames by a seed, to prove that the switch bears it.
//!
//! Invariant: the same seed and the same batches give the same faults; every frame that is lost here
//! is counted as dropped here.
//! Deliberately does not know: what is in the frames.

use std::os::fd::RawFd;

use sluice_frame::{Frame, Pool};

use crate::{Offloads, Port, PortError, PortStats, SendDrop, SendOutcome};

/// How often each fault happens, in frames per thousand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rates {
    /// Frames that are lost.
    pub drop: u32,
    /// Frames that come twice.
    pub duplicate: u32,
    /// Frames that change places with the one before them in their batch.
    pub reorder: u32,
}

/// What goes wrong, in either direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Where the sequence of faults starts.
    pub seed: u64,
    /// On frames that come in.
    pub receive: Rates,
    /// On frames that go out.
    pub send: Rates,
}

/// Frames and bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    packets: u64,
    bytes: u64,
}

impl Count {
    fn add(&mut self, frame: &Frame) {
        self.packets += 1;
        self.bytes += frame.len() as u64;
    }
}

/// A port with faults.
pub struct FaultPort {
    inner: Box<dyn Port>,
    faults: Faults,
    state: u64,
    lost_in: Count,
    doubled_in: Count,
    lost_out: u64,
    batch: Vec<Frame>,
}

impl FaultPort {
    /// Wraps a port.
    pub fn new(inner: Box<dyn Port>, faults: Faults) -> FaultPort {
        let state = faults.seed;
        let (lost_in, doubled_in) = (Count::default(), Count::default());
        FaultPort { inner, faults, state, lost_in, doubled_in, lost_out: 0, batch: Vec::new() }
    }
}

/// Throws a die: true in `rate` of a thousand cases (SplitMix64).
fn happens(state: &mut u64, rate: u32) -> bool {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % 1000 < u64::from(rate)
}

impl Port for FaultPort {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        let first = out.len();
        let rates = self.faults.receive;
        let result = self.inner.receive(pool, &mut self.batch, max);
        let mut room = max.saturating_sub(self.batch.len());
        for frame in self.batch.drain(..) {
            if happens(&mut self.state, rates.drop) {
                self.lost_in.add(&frame);
                pool.free(frame);
                room += 1;
                continue;
            }
            if room > 0 && happens(&mut self.state, rates.duplicate) {
                if let Some(copy) = pool.replicate(&frame) {
                    self.doubled_in.add(&copy);
                    out.push(copy);
                    room -= 1;
                }
            }
            out.push(frame);
            let last = out.len() - 1;
            if last > first && happens(&mut self.state, rates.reorder) {
                out.swap(last - 1, last);
            }
        }
        result.map(|_| out.len() - first)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        let rates = self.faults.send;
        let mut outcome = SendOutcome::default();
        let mut again = Vec::new();
        for frame in frames.drain(..) {
            if happens(&mut self.state, rates.drop) {
                pool.free(frame);
                self.lost_out += 1;
                outcome.add_drop(SendDrop::Injected);
                continue;
            }
            if happens(&mut self.state, rates.duplicate) {
                again.extend(pool.replicate(&frame));
            }
            self.batch.push(frame);
            let last = self.batch.len() - 1;
            if last > 0 && happens(&mut self.state, rates.reorder) {
                self.batch.swap(last - 1, last);
            }
        }
        outcome.merge(&self.inner.send(pool, &mut self.batch));
        if !again.is_empty() {
            // Nobody gave these to be sent, so nobody is told what became of them.
            self.inner.send(pool, &mut again);
        }
        outcome
    }

    fn poll_fd(&self) -> Option<RawFd> {
        self.inner.poll_fd()
    }

    fn stats(&self) -> PortStats {
        let s = self.inner.stats();
        PortStats {
            rx_packets: s.rx_packets + self.doubled_in.packets - self.lost_in.packets,
            rx_bytes: s.rx_bytes + self.doubled_in.bytes - self.lost_in.bytes,
            rx_dropped: s.rx_dropped + self.lost_in.packets,
            tx_dropped: s.tx_dropped + self.lost_out,
            ..s
        }
    }

    fn offloads(&self) -> Offloads {
        self.inner.offloads()
    }

    fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }

    fn arm(&mut self) -> bool {
        self.inner.arm()
    }

    fn device_changed(&mut self) {
        self.inner.device_changed();
    }

    fn close(self: Box<Self>, pool: &mut Pool) {
        self.inner.close(pool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcap::{Captured, Output, PcapPort, Repeat};

    fn run(faults: Faults) -> (Vec<Vec<u8>>, Vec<Vec<u8>>, SendOutcome, PortStats) {
        let mut pool = Pool::new(1024, 256).unwrap();
        let captured = Captured::default();
        let mut inner = PcapPort::new("p", Repeat::Times(1), Output::Memory(captured.clone()));
        for i in 0..1000u32 {
            inner.push(&i.to_be_bytes().repeat(15));
        }
        let mut port = FaultPort::new(Box::new(inner), faults);
        let (mut received, mut total, mut batch) = (Vec::new(), SendOutcome::default(), Vec::new());
        while !port.is_finished() {
            let n = port.receive(&mut pool, &mut batch, 32).unwrap();
            assert!(n == batch.len() && n <= 32);
            received.extend(batch.iter().map(Frame::to_vec));
            let outcome = port.send(&mut pool, &mut batch);
            assert_eq!(outcome.sent + outcome.dropped_total(), n as u32);
            total.merge(&outcome);
        }
        assert_eq!(pool.outstanding(), 0);
        (received, captured.take(), total, port.stats())
    }

    #[test]
    fn without_faults_nothing_changes() {
        let (received, sent, total, _) = run(Faults::default());
        assert_eq!((received.len(), total.sent, total.sent_bytes), (1000, 1000, 60_000));
        assert_eq!(received, sent);
    }

    #[test]
    fn faults_happen_at_their_rate_repeat_by_seed_and_are_counted() {
        let rates = Rates { drop: 100, duplicate: 100, reorder: 100 };
        let faults = Faults { seed: 7, receive: rates, send: rates };
        let (received, sent, total, stats) = run(faults);
        assert!((850..1150).contains(&received.len()), "{}", received.len());
        assert!(total.dropped_for(SendDrop::Injected) > 50);
        assert_eq!(stats.rx_packets, received.len() as u64);
        assert_eq!(stats.tx_packets, sent.len() as u64);
        assert_eq!(stats.tx_dropped, u64::from(total.dropped_total()));
        assert!(received.windows(2).any(|w| w[0] > w[1]), "nothing changed places");
        assert!(received.windows(2).any(|w| w[0] == w[1]), "nothing came twice");
        assert_eq!(run(faults).1, sent);
        assert_ne!(run(Faults { seed: 8, ..faults }).1, sent);
    }
}

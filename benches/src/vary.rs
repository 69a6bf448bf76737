//! A source of more flows than a capture could hold in the processor's caches.
//!
//! Purpose: one frame in memory, whose source address and ports are written anew into each copy.
//! Invariant: all flows come once before any comes again, in a scattered order; checksums stay right.
//! Deliberately does not know: what the switch does with them.

use std::os::fd::RawFd;

use sluice_frame::{Frame, Pool};
use sluice_port::{Offloads, Port, PortError, PortStats, SendOutcome};
use sluice_wire::checksum;

const IPV4: usize = 14;
const UDP: usize = IPV4 + 20;
/// Destination ports, as the generator of captures has them.
const SERVICES: [u16; 8] = [53, 80, 443, 8080, 5432, 4000, 22, 123];

/// The source.
#[derive(Debug)]
pub struct Vary {
    template: Vec<u8>,
    /// Where the headers that change begin: 0, or behind the outer headers.
    inner: usize,
    flows: u32,
    /// Of a generator with a period of the next power of two.
    at: u32,
    ip_sum: u64,
    udp_sum: u64,
    stats: PortStats,
}

impl Vary {
    /// Varies an Ethernet frame that carries UDP over IPv4 at `inner`; `None` when it is too short.
    pub fn new(template: Vec<u8>, inner: usize, flows: u32) -> Option<Vary> {
        let mut template = template;
        let bytes = template.get_mut(inner..).filter(|b| b.len() >= UDP + 8)?;
        let ip_old = u16::from_be_bytes([bytes[IPV4 + 10], bytes[IPV4 + 11]]);
        let udp_old = u16::from_be_bytes([bytes[UDP + 6], bytes[UDP + 7]]);
        let mut ip_sum = u64::from(!ip_old);
        let mut udp_sum = u64::from(!udp_old);
        for at in [IPV4 + 12, IPV4 + 14, UDP, UDP + 2] {
            let word = u64::from(!u16::from_be_bytes([bytes[at], bytes[at + 1]]));
            udp_sum += word;
            ip_sum += if at < UDP { word } else { 0 };
        }
        Some(Vary { template, inner, flows: flows.max(1), at: 0, ip_sum, udp_sum, stats: PortStats::default() })
    }

    /// The next flow's number.
    #[inline]
    fn next(&mut self) -> u32 {
        let mask = self.flows.next_power_of_two() - 1;
        loop {
            // Full period for any power of two: odd increment, multiplier 1 modulo 4.
            self.at = self.at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) & mask;
            if self.at < self.flows {
                return self.at;
            }
        }
    }

    #[inline]
    fn write(&self, bytes: &mut [u8], flow: u32) {
        let Some(b) = bytes.get_mut(self.inner..).and_then(|b| b.first_chunk_mut::<{ UDP + 8 }>()) else { return };
        let source = 0x0a00_0000 | flow;
        let mixed = flow.wrapping_mul(0x9e37_79b1);
        let from = 1024 + (mixed >> 17) as u16;
        let to = SERVICES[(mixed & 7) as usize];
        let addresses = u64::from(source >> 16) + u64::from(source & 0xffff);
        let ports = u64::from(from) + u64::from(to);
        b[IPV4 + 12..IPV4 + 16].copy_from_slice(&source.to_be_bytes());
        b[UDP..UDP + 2].copy_from_slice(&from.to_be_bytes());
        b[UDP + 2..UDP + 4].copy_from_slice(&to.to_be_bytes());
        b[IPV4 + 10..IPV4 + 12].copy_from_slice(&checksum::finish(self.ip_sum + addresses).to_be_bytes());
        b[UDP + 6..UDP + 8].copy_from_slice(&checksum::finish_udp(self.udp_sum + addresses + ports).to_be_bytes());
    }
}

impl Port for Vary {
    fn name(&self) -> &str {
        "vary"
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        for n in 0..max {
            let Some(mut frame) = pool.copy_in(&self.template) else { return Ok(n) };
            let flow = self.next();
            self.write(frame.head_mut(), flow);
            self.stats.rx_packets += 1;
            self.stats.rx_bytes += frame.len() as u64;
            out.push(frame);
        }
        Ok(max)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        let sent = frames.len() as u32;
        frames.drain(..).for_each(|f| pool.free(f));
        SendOutcome { sent, ..SendOutcome::default() }
    }

    fn poll_fd(&self) -> Option<RawFd> {
        None
    }

    fn stats(&self) -> PortStats {
        self.stats
    }

    fn offloads(&self) -> Offloads {
        Offloads::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic;
    use std::collections::HashSet;

    #[test]
    fn every_flow_comes_once_with_right_checksums_before_any_comes_again() {
        for vni in [None, Some(traffic::VNI)] {
            let (spec, inner) = match vni {
                None => (traffic::flows(60), 0),
                Some(v) => (traffic::flows(60).vxlan(v), 50),
            };
            let mut source = Vary::new(spec.frame(0), inner, 1000).unwrap();
            let mut pool = Pool::new(2048, 64).unwrap();
            let (mut seen, mut got) = (HashSet::new(), Vec::new());
            for _ in 0..100 {
                assert_eq!(source.receive(&mut pool, &mut got, 10).unwrap(), 10);
                for f in got.drain(..) {
                    let b = f.head()[inner..].to_vec();
                    pool.free(f);
                    assert!(checksum::is_valid(checksum::sum(&b[IPV4..UDP])));
                    let pseudo = checksum::sum(&b[IPV4 + 12..UDP]) + 17 + u64::from(b[UDP + 4]) * 256 + u64::from(b[UDP + 5]);
                    assert!(checksum::is_valid(pseudo + checksum::sum(&b[UDP..])));
                    assert!(seen.insert(b));
                }
            }
        }
    }
}

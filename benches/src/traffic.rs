//! The frames of the benchmarks, the same for every switch.
//!
//! Invariant: every frame has right checksums and 60 bytes (64 on the wire) unless said otherwise; flow `i` is
//! the same whatever the number of flows.
//! Deliberately does not know: rules.

use std::net::Ipv4Addr;

use sluice_fixtures::{FlowSpec, Random};

/// Address of the sender in `rules/neutron.flows`.
pub const SENDER: [u8; 6] = [0xfa, 0x16, 0x3e, 0, 0, 1];
/// Address of the receiver there.
pub const RECEIVER: [u8; 6] = [0xfa, 0x16, 0x3e, 0, 0, 2];
/// VNI in `rules/encap.flows` and `rules/decap.flows`.
pub const VNI: u32 = 100;
/// Frames of a capture with fewer flows than this: flows then repeat.
const FRAMES_MIN: u64 = 256;
const SEED: u64 = 20;

/// UDP from [`SENDER`] to one receiver; source address, ports by flow.
pub fn flows(len: usize) -> FlowSpec {
    FlowSpec::new(SEED).len(len).macs(SENDER, RECEIVER).to4(Ipv4Addr::new(10, 1, 0, 6))
}

/// One frame of each flow in a seeded random order, flows repeated up to a useful length.
pub fn frames(spec: &FlowSpec, count: u64) -> Vec<Vec<u8>> {
    let count = count.max(1);
    let rounds = FRAMES_MIN.div_ceil(count);
    let mut order: Vec<u64> = (0..count * rounds).map(|i| i % count).collect();
    let mut random = Random::new(SEED);
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i + 1));
    }
    order.into_iter().map(|i| spec.frame(i)).collect()
}

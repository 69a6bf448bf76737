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

/// UDP of any source and destination, Ethernet addresses of each flow its own.
pub fn hosts(len: usize) -> FlowSpec {
    FlowSpec::new(SEED).len(len)
}

/// Lengths without the checksum of Ethernet, as often as they stand here: the usual mix of 7 : 4 : 1.
pub const MIX: [usize; 12] = [60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 590, 60];

/// As [`frames`], flow `i` with a length of [`MIX`].
pub fn mixed_frames(count: u64) -> Vec<Vec<u8>> {
    order(count).into_iter().map(|i| flows(MIX[i as usize % MIX.len()]).frame(i)).collect()
}

/// As [`frames`], each flow with a length drawn from these, as far as Ethernet carries it (60 to 1514 bytes).
pub fn frames_as_long_as(lengths: &[usize], count: u64) -> Vec<Vec<u8>> {
    let mut random = Random::new(SEED);
    let mut drawn = || lengths.get(random.below(lengths.len())).copied().unwrap_or(60).clamp(60, 1514);
    let of_flows: Vec<usize> = (0..count).map(|_| drawn()).collect();
    let len = |i: u64| of_flows.get(i as usize).copied().unwrap_or(60);
    order(count).into_iter().map(|i| flows(len(i)).frame(i)).collect()
}

/// The Neutron tables with a security group that allows the sources of the first `count` flows one by one,
/// and the same ports as without: a conjunction, as the agent writes it.
pub fn remote_group(neutron: &str, count: u64) -> String {
    let rest = neutron.lines().filter(|l| !l.starts_with("table=82,priority=76,udp"));
    let mut rules: Vec<String> = rest.map(str::to_owned).collect();
    let clause = "table=82,priority=76,udp,reg5=2";
    for i in 0..count {
        let frame = flows(60).frame(i);
        let source = frame.get(26..30).map_or([0; 4], |b| [b[0], b[1], b[2], b[3]]);
        rules.push(format!("{clause},nw_src={},actions=conjunction(5,1/2)", Ipv4Addr::from(source)));
    }
    for ports in ["0x1000/0xf000", "0/0xf000"] {
        rules.push(format!("{clause},tp_dst={ports},actions=conjunction(5,2/2)"));
    }
    rules.push("table=82,priority=76,conj_id=5,udp,reg5=2,actions=resubmit(,94)".into());
    rules.join("\n") + "\n"
}

/// One frame of each flow in a seeded random order, flows repeated up to a useful length.
pub fn frames(spec: &FlowSpec, count: u64) -> Vec<Vec<u8>> {
    order(count).into_iter().map(|i| spec.frame(i)).collect()
}

fn order(count: u64) -> Vec<u64> {
    let count = count.max(1);
    let rounds = FRAMES_MIN.div_ceil(count);
    let mut order: Vec<u64> = (0..count * rounds).map(|i| i % count).collect();
    let mut random = Random::new(SEED);
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i + 1));
    }
    order
}

//! The packet path allocates nothing once its flows are known.
//!
//! The promise: 0 allocations per packet on hits, for every cell of the comparison.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sluice_benches::cell::{build, Shape};
use sluice_benches::traffic;
use sluice_port::pcap::{Output, PcapPort, Repeat};

const FLOWS: u64 = 2000;
const PACKETS: u64 = 200_000;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread asks of it.
struct Counting;

fn count() {
    // A thread that is ending has no counter any more.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

// SAFETY: every call goes on to the system's allocator unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(p, layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(p, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Allocations during [`PACKETS`] packets of known flows.
fn allocations_on_hits(shape: Shape, rules: &str) -> u64 {
    let spec = match shape {
        Shape::Decap => traffic::flows(60).vxlan(traffic::VNI),
        _ => traffic::flows(60),
    };
    let mut source = PcapPort::new("source", Repeat::Forever, Output::Discard);
    traffic::frames(&spec, FLOWS).iter().for_each(|f| source.push(f));
    let mut switch = build(shape, rules, Box::new(source)).expect("the rules of the comparison are right");
    let until = |switch: &mut sluice::inline::Inline, packets: u64| {
        while switch.worker().counters().received < packets {
            let now_ms = switch.worker().counters().received / 1000;
            switch.turn(now_ms);
        }
    };
    until(&mut switch, 4 * FLOWS + 20_000);
    let (misses, sent, before) = (switch.worker().counters().misses, switch.worker().counters().sent, allocations());
    until(&mut switch, 4 * FLOWS + 20_000 + PACKETS);
    let after = allocations();
    let counters = switch.worker().counters();
    assert_eq!(counters.misses, misses, "the flows were known");
    assert!(counters.sent >= sent + PACKETS - 64 && counters.conserved(), "packets were forwarded");
    after - before
}

#[test]
fn packets_of_known_flows_allocate_nothing() {
    let cells = [
        ("L2", Shape::Plain, include_str!("../rules/l2.flows")),
        ("Neutron tables", Shape::Plain, include_str!("../rules/neutron.flows")),
        ("VXLAN encap", Shape::Encap, include_str!("../rules/encap.flows")),
        ("VXLAN decap", Shape::Decap, include_str!("../rules/decap.flows")),
    ];
    for (name, shape, rules) in cells {
        let n = allocations_on_hits(shape, rules);
        println!("{name}: {n} allocations in {PACKETS} packets");
        assert_eq!(n, 0, "{name}");
    }
}

#[test]
fn the_counter_counts() {
    let before = allocations();
    let kept = std::hint::black_box(vec![1u8; 100]);
    assert_eq!(allocations() - before, 1);
    drop(kept);
}

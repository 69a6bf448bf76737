//! No port allocates while frames pass, once it has seen its first batches.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use sluice_frame::{Frame, Gso, Meta, Pool};
use sluice_port::afxdp::{AfXdpPort, Umem, XdpOptions};
use sluice_port::packet::PacketPort;
use sluice_port::pcap::{Output, PcapPort, Repeat};
use sluice_port::tap::{TapOptions, TapPort};
use sluice_port::Port;
use support::{ethernet, Namespace};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: passes every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(p, layout) }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(p, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread during the later rounds of `round`.
fn after_warming(mut round: impl FnMut()) -> u64 {
    (0..20).for_each(|_| round());
    let before = ALLOCATIONS.with(Cell::get);
    (0..200).for_each(|_| round());
    ALLOCATIONS.with(Cell::get) - before
}

/// A batch of frames of several kinds, among them a large one that software has to cut.
fn fill_batch(pool: &mut Pool, frames: &[Vec<u8>], batch: &mut Vec<Frame>) {
    for (i, bytes) in frames.iter().enumerate() {
        let mut f = pool.copy_in(bytes).expect("memory");
        if i == 0 {
            f.meta =
                Meta { needs_csum: true, csum_start: 34, csum_offset: 16, gso: Gso::Tcp4, gso_size: 1000, ..f.meta };
        }
        batch.push(f);
    }
}

fn frames() -> Vec<Vec<u8>> {
    let mut tcp = vec![0x45, 0, 0x13, 0x88, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    tcp.extend([0; 12]);
    tcp.extend([0x50, 0x10, 0, 0, 0, 0, 0, 0]);
    tcp.resize(5000, 1);
    let mut all = vec![ethernet(0x0800, &tcp)];
    all.extend((0..31).map(|i| ethernet(0x88b5, &vec![i as u8; 46 + i * 40])));
    all
}

fn drain(port: &mut dyn Port, pool: &mut Pool, batch: &mut Vec<Frame>) {
    while port.receive(pool, batch, 64).unwrap() > 0 {
        batch.drain(..).for_each(|f| pool.free(f));
    }
}

fn both_ways(a: &mut dyn Port, b: &mut dyn Port, pool: &mut Pool) -> u64 {
    let frames = frames();
    let mut batch = Vec::with_capacity(256);
    after_warming(|| {
        fill_batch(pool, &frames, &mut batch);
        a.send(pool, &mut batch);
        drain(a, pool, &mut batch);
        drain(b, pool, &mut batch);
    })
}

#[test]
fn a_replay_port_allocates_nothing_per_frame() {
    let mut pool = Pool::new(4096, 512).unwrap();
    let mut port = PcapPort::new("p", Repeat::Forever, Output::Discard);
    frames().iter().for_each(|f| port.push(f));
    let mut batch = Vec::with_capacity(64);
    let n = after_warming(|| {
        port.receive(&mut pool, &mut batch, 32).unwrap();
        if let Some(f) = batch.iter_mut().find(|f| f.len() == 5014) {
            f.meta =
                Meta { needs_csum: true, csum_start: 34, csum_offset: 16, gso: Gso::Tcp4, gso_size: 1000, ..f.meta };
        }
        port.send(&mut pool, &mut batch);
    });
    assert_eq!((n, pool.outstanding()), (0, 0));
}

#[test]
fn kernel_ports_allocate_nothing_per_frame() {
    let (Some(a), Some(s)) = (Namespace::new("no allocation"), Namespace::new("no allocation")) else { return };
    a.veth("a0", &s, "a1");
    let mut pool = Pool::new(4096, 8192).unwrap();
    let umem: Arc<Umem> = Umem::new(&pool);
    let mut peer = a.inside(|| PacketPort::open("a0").unwrap());
    {
        let mut packet = s.inside(|| PacketPort::open("a1").unwrap());
        assert_eq!(both_ways(&mut packet, &mut peer, &mut pool), 0, "packet socket");
        assert!(peer.stats().rx_packets > 5000);
    }
    let mut xdp = s.inside(|| AfXdpPort::open("a1", &mut pool, &umem, &XdpOptions::default()).unwrap());
    assert_eq!(both_ways(&mut xdp, &mut peer, &mut pool), 0, "AF_XDP, sending");
    assert_eq!(both_ways(&mut peer, &mut xdp, &mut pool), 0, "AF_XDP, receiving");
    assert!(xdp.stats().rx_packets > 5000);
    Box::new(xdp).close(&mut pool);
    let mut tap = s.inside(|| TapPort::open("t0", TapOptions { up: true, ..TapOptions::default() }).unwrap());
    assert_eq!(both_ways(&mut tap, &mut peer, &mut pool), 0, "tap");
    assert_eq!((pool.outstanding(), pool.lent()), (0, 0));
}

//! Tap devices and packet sockets against the kernel, in namespaces of the test's own.

mod support;

use std::time::{Duration, Instant};

use sluice_frame::{Frame, Gso, Pool};
use sluice_port::afxdp::Take;
use sluice_port::packet::PacketPort;
use sluice_port::tap::{self, TapOptions, TapPort};
use sluice_port::{offload, Offloads, Port, SendDrop};
use support::tcp::transfer;
use support::{ethernet, receive_until, send, wait, wire, Namespace};

const MAC: [u8; 6] = [0x02, 0, 0, 0, 0x77, 1];

fn open_tap(ns: &Namespace, name: &str, mac: [u8; 6]) -> TapPort {
    ns.inside(|| TapPort::open(name, TapOptions { mac: Some(mac), mtu: Some(1400), up: true, persistent: false }).unwrap())
}

/// Answers ARP requests and echo requests, as a machine at the other end would.
fn answer(bytes: &mut [u8], mac: [u8; 6]) -> bool {
    let sender: [u8; 6] = bytes[6..12].try_into().unwrap();
    match bytes {
        _ if bytes[12..14] == [8, 6] && bytes[20..22] == [0, 1] => {
            let (spa, tpa): ([u8; 4], [u8; 4]) = (bytes[28..32].try_into().unwrap(), bytes[38..42].try_into().unwrap());
            bytes[21] = 2;
            bytes[22..28].copy_from_slice(&mac);
            bytes[28..32].copy_from_slice(&tpa);
            bytes[32..38].copy_from_slice(&sender);
            bytes[38..42].copy_from_slice(&spa);
        }
        _ if bytes[12..14] == [8, 0] && bytes[23] == 1 && bytes[34] == 8 => {
            let (src, dst): ([u8; 4], [u8; 4]) = (bytes[26..30].try_into().unwrap(), bytes[30..34].try_into().unwrap());
            bytes[26..30].copy_from_slice(&dst);
            bytes[30..34].copy_from_slice(&src);
            bytes[34] = 0;
            let sum = u32::from(u16::from_be_bytes([bytes[36], bytes[37]])) + 0x0800;
            let sum = ((sum & 0xffff) + (sum >> 16)) as u16;
            bytes[36..38].copy_from_slice(&sum.to_be_bytes());
        }
        _ => return false,
    }
    bytes[..6].copy_from_slice(&sender);
    bytes[6..12].copy_from_slice(&mac);
    true
}

#[test]
fn the_kernel_pings_through_a_tap() {
    let Some(ns) = Namespace::new("tap ping") else { return };
    let mut tap = open_tap(&ns, "t0", MAC);
    assert_eq!(tap.device().mac().unwrap(), MAC);
    assert_eq!(tap.device().mtu().unwrap(), 1400);
    ns.ip("addr add 10.77.0.1/24 dev t0");
    let mut pool = Pool::new(2048, 256).unwrap();
    let mut ping = ns.command("ping").args(["-c", "3", "-i", "0.05", "-W", "5", "10.77.0.2"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    let mut batch: Vec<Frame> = Vec::new();
    let status = loop {
        if let Some(status) = ping.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            let _ = ping.kill();
        }
        wait(&[&tap]);
        tap.receive(&mut pool, &mut batch, 32).unwrap();
        let mut replies = Vec::new();
        for mut f in batch.drain(..) {
            // The kernel's echo request has its checksum in it: ICMP has no offload.
            if f.head().len() >= 42 && answer(f.head_mut(), [2, 0, 0, 0, 0x77, 2]) {
                replies.push(f);
            } else {
                pool.free(f);
            }
        }
        let n = replies.len() as u32;
        assert_eq!(tap.send(&mut pool, &mut replies).sent, n);
    };
    assert!(status.success(), "ping failed");
    assert!(tap.stats().rx_packets >= 4 && tap.stats().tx_packets >= 4);
    assert_eq!(pool.outstanding(), 0);
}

/// Opens a tap that was closed a moment ago: a child that another test starts has a copy of its file until it
/// becomes another program.
fn open_again(name: &str, options: TapOptions) -> TapPort {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match TapPort::open(name, options) {
            Err(e) if e.to_string().contains("another process") && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other.unwrap(),
        }
    }
}

#[test]
fn a_persistent_tap_outlives_its_port_and_is_removed_on_request() {
    let Some(ns) = Namespace::new("persistent tap") else { return };
    let options = TapOptions { persistent: true, up: true, ..TapOptions::default() };
    ns.inside(|| drop(TapPort::open("keep0", options).unwrap()));
    ns.ip("addr add 10.78.0.1/24 dev keep0");
    ns.inside(|| drop(open_again("keep0", options)));
    assert!(ns.ip("addr show dev keep0").contains("10.78.0.1/24"));
    ns.inside(|| {
        let held = open_again("keep0", options);
        let e = TapPort::open("keep0", options).unwrap_err();
        assert!(e.to_string().contains("another process"), "{e}");
        drop(held);
        tap::delete("keep0").unwrap();
        assert!(tap::delete("keep0").unwrap_err().is_gone());
    });
    assert!(!ns.ip("link show").contains("keep0"));
}

#[test]
fn a_tap_that_vanishes_says_so() {
    let Some(ns) = Namespace::new("vanishing tap") else { return };
    let mut tap = open_tap(&ns, "gone0", MAC);
    let mut pool = Pool::new(2048, 256).unwrap();
    ns.ip("link set gone0 down");
    let outcome = send(&mut tap, &mut pool, &[&ethernet(0x88b5, &[0; 50])]);
    assert_eq!(outcome.dropped_for(SendDrop::Down), 1);
    ns.ip("link del gone0");
    assert!(tap.receive(&mut pool, &mut Vec::new(), 1).unwrap_err().is_gone());
    assert_eq!(send(&mut tap, &mut pool, &[&ethernet(0x88b5, &[0; 50])]).dropped_for(SendDrop::Down), 1);
    assert_eq!(pool.outstanding(), 0);
}

#[test]
fn tcp_crosses_two_taps_uncut() {
    let (Some(a), Some(b)) = (Namespace::new("tap tcp"), Namespace::new("tap tcp")) else { return };
    let (mut ta, mut tb) = (open_tap(&a, "ta", MAC), open_tap(&b, "tb", [2, 0, 0, 0, 0x77, 2]));
    a.ip("addr add 10.79.0.1/24 dev ta");
    b.ip("addr add 10.79.0.2/24 dev tb");
    let mut pool = Pool::new(2048, 2048).unwrap();
    let mut longest = 0;
    transfer(&a, &b, "10.79.0.2", |done| longest = wire(&mut ta, &mut tb, &mut pool, |_, _| (), done));
    println!("longest frame between taps: {longest} bytes");
    assert!(longest > 20_000, "longest {longest}");
    assert_eq!(pool.outstanding(), 0);
}

#[test]
fn the_kernel_accepts_frames_that_were_cut_and_summed_in_software() {
    for v6 in [false, true] {
        let (Some(a), Some(b)) = (Namespace::new("software offload"), Namespace::new("software offload")) else { return };
        let (mut ta, mut tb) = (open_tap(&a, "ta", MAC), open_tap(&b, "tb", [2, 0, 0, 0, 0x77, 2]));
        let (net, len) = if v6 { ("fd00:79::", "64 nodad") } else { ("10.79.0.", "24") };
        a.ip(&format!("addr add {net}1/{len} dev ta"));
        b.ip(&format!("addr add {net}2/{len} dev tb"));
        let mut pool = Pool::new(2048, 4096).unwrap();
        let mut cut = 0;
        let mut pieces = Vec::new();
        let in_software = |pool: &mut Pool, batch: &mut Vec<Frame>| {
            for f in batch.drain(..) {
                cut += usize::from(f.meta.gso != Gso::None);
                offload::complete(pool, f, Offloads::NONE, &mut pieces).unwrap();
            }
            assert!(pieces.iter().all(|p| p.len() <= 1414 && !p.meta.needs_csum));
            // The kernel must verify what was computed here.
            pieces.iter_mut().for_each(|p| p.meta.csum_valid = false);
            std::mem::swap(batch, &mut pieces);
        };
        let run = |done: &(dyn Fn() -> bool + Sync)| {
            wire(&mut ta, &mut tb, &mut pool, in_software, done);
        };
        transfer(&a, &b, &format!("{net}2"), run);
        println!("frames cut in software: {cut}");
        assert!(cut > 50);
        assert_eq!(pool.outstanding(), 0);
    }
}

#[test]
fn tcp_crosses_two_packet_sockets_in_frames_of_up_to_64_kib() {
    let (Some(a), Some(s), Some(b)) = (Namespace::new("packet"), Namespace::new("packet"), Namespace::new("packet")) else {
        return;
    };
    a.veth("a0", &s, "a1");
    b.veth("b0", &s, "b1");
    a.ip("addr add 10.80.0.1/24 dev a0");
    b.ip("addr add 10.80.0.2/24 dev b0");
    let (mut pa, mut pb) = s.inside(|| (PacketPort::open("a1").unwrap(), PacketPort::open("b1").unwrap()));
    let mut pool = Pool::new(2048, 2048).unwrap();
    let mut longest = 0;
    transfer(&a, &b, "10.80.0.2", |done| longest = wire(&mut pa, &mut pb, &mut pool, |_, _| (), done));
    println!("longest frame between packet sockets: {longest} bytes");
    assert!(longest > 20_000, "longest {longest}");
    assert_eq!(pool.outstanding(), 0);
}

#[test]
fn a_vlan_tag_that_the_kernel_keeps_aside_is_restored() {
    let (Some(a), Some(s)) = (Namespace::new("vlan tag"), Namespace::new("vlan tag")) else { return };
    a.veth("a0", &s, "a1");
    let mut sender = a.inside(|| PacketPort::open("a0").unwrap());
    let mut receiver = s.inside(|| PacketPort::open("a1").unwrap());
    let mut pool = Pool::new(2048, 256).unwrap();
    let one = ethernet(0x8100, &[&[0x60, 0x07, 0x88, 0xb5][..], &[1; 60]].concat());
    let two = ethernet(0x88a8, &[&[0x00, 0x09, 0x81, 0x00, 0x00, 0x0a, 0x88, 0xb5][..], &[2; 60]].concat());
    let none = ethernet(0x88b5, &[3; 60]);
    assert_eq!(send(&mut sender, &mut pool, &[&one, &two, &none]).sent, 3);
    for want in [&one, &two, &none] {
        let f = receive_until(&mut receiver, &mut pool, |b| b.last() == want.last());
        assert_eq!(&f.to_vec(), want);
        pool.free(f);
    }
    // What the switch sends does not come back to it.
    assert_eq!(sender.receive(&mut pool, &mut Vec::new(), 8).unwrap(), 0);
    assert_eq!(pool.outstanding(), 0);
}

#[test]
fn a_packet_socket_says_what_it_cannot_send_and_when_its_device_is_gone() {
    let (Some(a), Some(s)) = (Namespace::new("packet drops"), Namespace::new("packet drops")) else { return };
    a.veth("a0", &s, "a1");
    let mut port = s.inside(|| PacketPort::open("a1").unwrap());
    let mut pool = Pool::new(2048, 256).unwrap();
    assert_eq!(send(&mut port, &mut pool, &[&ethernet(0x88b5, &[0; 3000])]).dropped_for(SendDrop::TooLong), 1);
    s.ip("link set a1 down");
    assert_eq!(send(&mut port, &mut pool, &[&ethernet(0x88b5, &[0; 50])]).dropped_for(SendDrop::Down), 1);
    s.ip("link del a1");
    let deadline = Instant::now() + Duration::from_secs(10);
    let gone = loop {
        assert!(Instant::now() < deadline, "never told that the device is gone");
        wait(&[&port]);
        if let Err(e) = port.receive(&mut pool, &mut Vec::new(), 8) {
            break e;
        }
    };
    assert!(gone.is_gone(), "{gone}");
    assert_eq!(port.stats().tx_dropped, 2);
    assert_eq!(pool.outstanding(), 0);
}

#[test]
fn the_kernels_own_vxlan_crosses_packet_sockets_though_its_frames_are_large() {
    for (v6, checksum) in [(false, "noudpcsum"), (false, "udpcsum"), (true, "noudp6zerocsumtx"), (true, "udp6zerocsumtx")] {
        let test = "vxlan over packet sockets";
        let (Some(a), Some(s), Some(b)) = (Namespace::new(test), Namespace::new(test), Namespace::new(test)) else { return };
        a.veth("a0", &s, "a1");
        b.veth("b0", &s, "b1");
        let (net, len) = if v6 { ("fd82::", "64 nodad") } else { ("10.82.0.", "24") };
        for (ns, device, me, peer) in [(&a, "a0", 1, 2), (&b, "b0", 2, 1)] {
            ns.run(&format!("sysctl -qw net.ipv6.conf.{device}.disable_ipv6=0"));
            ns.ip(&format!("addr add {net}{me}/{len} dev {device}"));
            let zero = if v6 { " udp6zerocsumrx" } else { "" };
            ns.ip(&format!(
                "link add vx type vxlan id 123 remote {net}{peer} local {net}{me} dstport 4789 dev {device} {checksum}{zero}"
            ));
            ns.ip("link set vx up");
            ns.ip(&format!("addr add 10.83.0.{me}/24 dev vx"));
        }
        let mut pool = Pool::new(4096, 4096).unwrap();
        let (mut pa, mut pb) = s.inside(|| (PacketPort::open("a1").unwrap(), PacketPort::open("b1").unwrap()));
        let mut longest = 0;
        transfer(&a, &b, "10.83.0.2", |done| longest = wire(&mut pa, &mut pb, &mut pool, |_, _| (), done));
        println!("{checksum}: longest frame {longest}, {:?}", pa.stats());
        assert!(longest <= 1514, "a large tunnel frame was handed in uncut");
        assert_eq!(pa.stats().rx_dropped, 0);
        assert_eq!(pool.outstanding(), 0);
    }
}

#[test]
fn a_packet_socket_for_tunnels_sees_tunnel_packets_to_our_addresses_only() {
    let (Some(a), Some(s)) = (Namespace::new("packet filter"), Namespace::new("packet filter")) else { return };
    a.veth("a0", &s, "a1");
    a.ip("addr add 10.85.0.1/24 dev a0");
    a.run("sysctl -qw net.ipv6.conf.a0.disable_ipv6=0");
    s.run("sysctl -qw net.ipv6.conf.a1.disable_ipv6=0");
    a.ip("addr add fd00:85::1/64 dev a0 nodad");
    for last in 2..=9 {
        s.ip(&format!("addr add 10.85.0.{last}/24 dev a1"));
        s.ip(&format!("addr add fd00:85::{last}/64 dev a1 nodad"));
    }
    let take = |last: std::ops::RangeInclusive<u8>| Take::Tunnel {
        local: last.flat_map(|l| [[10, 85, 0, l].into(), [0xfd00, 0x85, 0, 0, 0, 0, 0, u16::from(l)].into()]).collect(),
        udp_port: 4789,
    };
    let mut port = s.inside(|| PacketPort::open_for("a1", &take(2..=8)).unwrap());
    let socket = a.inside(|| std::net::UdpSocket::bind("10.85.0.1:5555").unwrap());
    let socket6 = a.inside(|| std::net::UdpSocket::bind("[fd00:85::1]:5555").unwrap());
    let mut pool = Pool::new(2048, 256).unwrap();
    let mut expect = |port: &mut PacketPort, last: u8| {
        // Neither the ARP for it, nor another port, nor another address, nor a fragment is seen.
        for (to, text) in [("10.85.0.2:4790", &b"other port"[..]), ("10.85.0.9:4789", b"other address"), ("10.85.0.2:4789", &[7; 3000])] {
            socket.send_to(text, to).unwrap();
        }
        socket.send_to(b"ours", format!("10.85.0.{last}:4789")).unwrap();
        let f = receive_until(port, &mut pool, |_| true);
        assert!(f.to_vec().ends_with(b"ours"), "{:x?}", f.to_vec());
        pool.free(f);
        for (to, text) in [("[fd00:85::2]:4790", &b"other port"[..]), ("[fd00:85::9]:4789", b"other address"), ("[fd00:85::2]:4789", &[7; 3000])] {
            socket6.send_to(text, to).unwrap();
        }
        socket6.send_to(b"ours6", format!("[fd00:85::{last}]:4789")).unwrap();
        let f = receive_until(port, &mut pool, |_| true);
        assert!(f.to_vec().ends_with(b"ours6"), "{:x?}", f.to_vec());
        pool.free(f);
    };
    for last in [2, 3, 8] {
        expect(&mut port, last);
    }
    port.retake(&take(5..=5)).unwrap();
    expect(&mut port, 5);
}

#[test]
fn a_packet_socket_for_fragments_sees_those_to_our_addresses_only() {
    let (Some(a), Some(s)) = (Namespace::new("packet fragments"), Namespace::new("packet fragments")) else { return };
    a.veth("a0", &s, "a1");
    for (ns, device, last) in [(&a, "a0", 1), (&s, "a1", 2), (&s, "a1", 9)] {
        ns.run(&format!("sysctl -qw net.ipv6.conf.{device}.disable_ipv6=0"));
        ns.ip(&format!("addr add 10.86.0.{last}/24 dev {device}"));
        ns.ip(&format!("addr add fd00:86::{last}/64 dev {device} nodad"));
    }
    let local = vec![[10, 86, 0, 2].into(), [0xfd00, 0x86, 0, 0, 0, 0, 0, 2].into()];
    let mut port = s.inside(|| PacketPort::open_for("a1", &Take::Fragments { local }).unwrap());
    let mut pool = Pool::new(2048, 256).unwrap();
    for (own, near, far) in [("10.86.0.1:0", "10.86.0.2:4789", "10.86.0.9:4789"), ("[fd00:86::1]:0", "[fd00:86::2]:4789", "[fd00:86::9]:4789")] {
        let socket = a.inside(|| std::net::UdpSocket::bind(own).unwrap());
        socket.send_to(b"whole", near).unwrap();
        socket.send_to(&[9; 2000], far).unwrap();
        socket.send_to(&[7; 2000], near).unwrap();
        for _ in 0..2 {
            let f = receive_until(&mut port, &mut pool, |_| true);
            assert!(f.to_vec().ends_with(&[7; 100]), "{:x?}", f.to_vec());
            pool.free(f);
        }
    }
}

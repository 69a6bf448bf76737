//! AF_XDP on veth devices, in namespaces of the test's own.

mod support;

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_frame::Pool;
use sluice_port::afxdp::{open_best, AfXdpPort, Attach, Take, Umem, XdpOptions};
use sluice_port::packet::PacketPort;
use sluice_port::Port;
use support::tcp::transfer;
use support::{ethernet, receive_until, send, wait, wire, Namespace};

/// Two namespaces joined by a veth pair; the switch is in the second.
struct Rig {
    host: Namespace,
    switch: Namespace,
    pool: Pool,
    umem: Arc<Umem>,
}

impl Rig {
    fn new(test: &str) -> Option<Rig> {
        let (host, switch) = (Namespace::new(test)?, Namespace::new(test)?);
        host.veth("a0", &switch, "a1");
        let pool = Pool::new(4096, 8192).unwrap();
        let umem = Umem::new(&pool);
        Some(Rig { host, switch, pool, umem })
    }

    fn open(&mut self, device: &str, options: &XdpOptions) -> AfXdpPort {
        let Rig { switch, pool, umem, .. } = self;
        // A child that another test is just making holds the sockets of a port that was closed until it runs its own program.
        let mut tries = 0..100;
        let port = loop {
            match switch.inside(|| AfXdpPort::open(device, pool, umem, options)) {
                Ok(port) => break port,
                Err(e) if e.to_string().contains("busy") && tries.next().is_some() => std::thread::sleep(Duration::from_millis(10)),
                Err(e) => panic!("{e}"),
            }
        };
        println!("{device}: {}", port.description());
        port
    }

    fn close(&mut self, ports: Vec<AfXdpPort>) {
        for port in ports {
            Box::new(port).close(&mut self.pool);
        }
        assert_eq!((self.pool.outstanding(), self.pool.lent()), (0, 0), "a chunk did not come home");
    }
}

fn numbered(n: u32, len: usize) -> Vec<u8> {
    let mut payload = vec![n as u8; len.max(4)];
    payload[..4].copy_from_slice(&n.to_be_bytes());
    ethernet(0x88b5, &payload)
}

/// Moves frames one way and compares each.
fn carries(from: &mut dyn Port, to: &mut dyn Port, pool: &mut Pool, lengths: &[usize]) {
    for round in 0..40u32 {
        let frames: Vec<_> = lengths.iter().zip(round * 100..).map(|(len, n)| numbered(n, *len)).collect();
        let refs: Vec<_> = frames.iter().map(Vec::as_slice).collect();
        assert_eq!(send(from, pool, &refs).sent as usize, frames.len());
        for want in &frames {
            let f = receive_until(to, pool, |b| b[12..14] == [0x88, 0xb5]);
            assert_eq!(&f.to_vec(), want, "round {round}");
            assert!(f.headroom() >= sluice_frame::HEADROOM);
            pool.free(f);
        }
    }
}

#[test]
fn frames_cross_in_both_directions_in_both_modes() {
    for attach in [Attach::Native, Attach::Generic] {
        let Some(mut rig) = Rig::new("afxdp modes") else { return };
        let mut port = rig.open("a1", &XdpOptions { attach, ..XdpOptions::default() });
        let mut peer = rig.host.inside(|| PacketPort::open("a0").unwrap());
        let lengths = [46, 60, 100, 500, 1000, 1500];
        carries(&mut peer, &mut port, &mut rig.pool, &lengths);
        carries(&mut port, &mut peer, &mut rig.pool, &lengths);
        assert_eq!((port.stats().rx_packets, port.stats().tx_packets), (240, 240));
        rig.close(vec![port]);
        assert!(!rig.switch.ip("-details link show a1").contains("xdp"));
    }
}

#[test]
fn jumbo_frames_cross_in_several_buffers() {
    let Some(mut rig) = Rig::new("afxdp jumbo") else { return };
    rig.host.ip("link set a0 mtu 9000");
    rig.switch.ip("link set a1 mtu 9000");
    let mut port = rig.open("a1", &XdpOptions::default());
    assert!(port.description().contains("multi-buffer"), "{}", port.description());
    let mut peer = rig.host.inside(|| PacketPort::open("a0").unwrap());
    let lengths = [60, 4000, 5000, 8000, 9000];
    carries(&mut peer, &mut port, &mut rig.pool, &lengths);
    carries(&mut port, &mut peer, &mut rig.pool, &lengths);
    assert_eq!(send(&mut port, &mut rig.pool, &[&numbered(1, 9100)]).dropped_total(), 1);
    rig.close(vec![port]);
}

#[test]
fn a_checksum_offload_that_was_switched_off_is_on_again_afterwards() {
    let Some(mut rig) = Rig::new("afxdp checksum") else { return };
    let on = |rig: &Rig| rig.switch.run("ethtool -k a1").contains("tx-checksumming: on");
    assert!(on(&rig));
    let options = XdpOptions { switch_off_checksum: true, ..XdpOptions::default() };
    let port = rig.open("a1", &options);
    assert!(!on(&rig));
    rig.close(vec![port]);
    assert!(on(&rig));
    let port = rig.open("a1", &options);
    drop(port);
    assert!(on(&rig));
}

#[test]
fn every_queue_of_a_device_is_served() {
    let Some(mut rig) = Rig::new("afxdp queues") else { return };
    rig.switch.ip("link add q0 numrxqueues 4 numtxqueues 4 type veth peer name q1 numrxqueues 4 numtxqueues 4");
    for device in ["q0", "q1"] {
        rig.switch.run(&format!("ethtool -L {device} rx 4 tx 4"));
        rig.switch.ip(&format!("link set {device} up"));
    }
    let mut port = rig.open("q1", &XdpOptions { ring: 512, ..XdpOptions::default() });
    assert!(port.description().contains("4 queues"), "{}", port.description());
    let mut peer = rig.switch.inside(|| PacketPort::open("q0").unwrap());
    // The kernel chooses the queue by the flow: many flows meet all of them.
    let flows = 200u32;
    for n in 0..flows {
        let mut packet = vec![0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend([(n >> 8) as u8 | 0x40, n as u8, 0, 9, 0, 26, 0, 0]);
        packet.resize(46, n as u8);
        assert_eq!(send(&mut peer, &mut rig.pool, &[&ethernet(0x0800, &packet)]).sent, 1);
    }
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < flows as usize {
        let f = receive_until(&mut port, &mut rig.pool, |b| b[12..14] == [8, 0]);
        seen.insert(f.to_vec());
        rig.pool.free(f);
    }
    assert_eq!(send(&mut port, &mut rig.pool, &[&numbered(5, 100)]).sent, 1);
    let f = receive_until(&mut peer, &mut rig.pool, |b| *b == numbered(5, 100));
    rig.pool.free(f);
    rig.close(vec![port]);
}

#[test]
fn two_devices_share_one_memory_and_tcp_crosses_them() {
    let Some(mut rig) = Rig::new("afxdp tcp") else { return };
    let Some(other) = Namespace::new("afxdp tcp") else { return };
    other.veth("b0", &rig.switch, "b1");
    rig.host.ip("addr add 10.81.0.1/24 dev a0");
    other.ip("addr add 10.81.0.2/24 dev b0");
    let options = XdpOptions { attach: Attach::Native, ..XdpOptions::default() };
    let (mut a, mut b) = (rig.open("a1", &options), rig.open("b1", &options));
    let pool = &mut rig.pool;
    let run = |done: &(dyn Fn() -> bool + Sync)| {
        let longest = wire(&mut a, &mut b, pool, |_, _| (), done);
        println!("longest frame: {longest} bytes");
    };
    transfer(&rig.host, &other, "10.81.0.2", run);
    assert!(a.stats().rx_packets > 1000);
    rig.close(vec![a, b]);
}

#[test]
fn the_kernels_own_vxlan_with_its_offloads_crosses_tunnel_ports() {
    let Some(mut rig) = Rig::new("afxdp vxlan") else { return };
    let Some(other) = Namespace::new("afxdp vxlan") else { return };
    other.veth("b0", &rig.switch, "b1");
    let macs = |ns: &Namespace, device| ns.inside(|| sluice_port::Device::open(device).unwrap().mac().unwrap());
    let text = |m: [u8; 6]| m.map(|b| format!("{b:02x}")).join(":");
    let (mac_a, mac_b) = (text(macs(&rig.host, "a0")), text(macs(&other, "b0")));
    for (ns, device, me, peer, mac) in [(&rig.host, "a0", 1, 2, &mac_b), (&other, "b0", 2, 1, &mac_a)] {
        ns.ip(&format!("addr add 10.82.0.{me}/24 dev {device}"));
        ns.ip(&format!("neigh add 10.82.0.{peer} lladdr {mac} dev {device} nud permanent"));
        ns.ip(&format!("link add vx type vxlan id 123 remote 10.82.0.{peer} local 10.82.0.{me} dstport 4789 dev {device}"));
        ns.ip("link set vx up");
        ns.ip(&format!("addr add 10.83.0.{me}/24 dev vx"));
    }
    let local = [Ipv4Addr::new(10, 82, 0, 1), Ipv4Addr::new(10, 82, 0, 2)].map(IpAddr::V4).to_vec();
    let options = XdpOptions { take: Take::Tunnel { local, udp_port: 4789 }, ..XdpOptions::default() };
    let (mut a, mut b) = (rig.open("a1", &options), rig.open("b1", &options));
    let (pool, mut undone) = (&mut rig.pool, 0);
    let run = |done: &(dyn Fn() -> bool + Sync)| {
        wire(&mut a, &mut b, pool, |_, batch| undone += batch.iter().filter(|f| f.meta.needs_csum).count(), done);
    };
    transfer(&rig.host, &other, "10.83.0.2", run);
    println!("{undone} frames had an undone checksum inside of VXLAN");
    assert!(undone > 0);
    rig.close(vec![a, b]);
}

#[test]
fn a_tunnel_port_takes_what_is_ours_and_leaves_the_host_the_rest() {
    let Some(mut rig) = Rig::new("afxdp only ours") else { return };
    rig.host.ip("addr add 10.84.0.1/24 dev a0");
    rig.switch.ip("addr add 10.84.0.2/24 dev a1");
    rig.host.run("sysctl -qw net.ipv6.conf.a0.disable_ipv6=0");
    rig.switch.run("sysctl -qw net.ipv6.conf.a1.disable_ipv6=0");
    rig.host.ip("addr add fd00:84::1/64 dev a0 nodad");
    rig.switch.ip("addr add fd00:84::2/64 dev a1 nodad");
    for attach in [Attach::Native, Attach::Generic] {
        let take = |last: u8| Take::Tunnel {
            local: vec![[10, 84, 0, last].into(), [0xfd00, 0x84, 0, 0, 0, 0, 0, u16::from(last)].into()],
            udp_port: 4789,
        };
        let mut port = rig.open("a1", &XdpOptions { take: take(2), attach, ..XdpOptions::default() });
        rig.host.run("ping -c 2 -i 0.05 -W 5 10.84.0.2");
        let socket = rig.host.inside(|| std::net::UdpSocket::bind("10.84.0.1:5555").unwrap());
        let kernel = rig.switch.inside(|| std::net::UdpSocket::bind("0.0.0.0:4789").unwrap());
        kernel.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.send_to(b"for the switch", "10.84.0.2:4789").unwrap();
        let f = receive_until(&mut port, &mut rig.pool, |b| b.ends_with(b"for the switch"));
        rig.pool.free(f);
        assert_eq!(port.stats().rx_packets, 1, "only one frame was ours");
        let socket6 = rig.host.inside(|| std::net::UdpSocket::bind("[fd00:84::1]:5555").unwrap());
        socket6.send_to(b"no tunnel's", "[fd00:84::2]:4790").unwrap();
        socket6.send_to(b"over IPv6", "[fd00:84::2]:4789").unwrap();
        let f = receive_until(&mut port, &mut rig.pool, |b| b.ends_with(b"over IPv6"));
        rig.pool.free(f);
        assert_eq!(port.stats().rx_packets, 2, "neighbours are the host's to find");
        // When another address becomes ours, this one is the host's again.
        port.retake(&take(9)).unwrap();
        socket.send_to(b"for the host", "10.84.0.2:4789").unwrap();
        let mut buffer = [0; 64];
        let (n, _) = kernel.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..n], b"for the host");
        rig.close(vec![port]);
    }
}

#[test]
fn the_best_port_for_a_device_is_chosen_with_a_reason() {
    let Some(mut rig) = Rig::new("afxdp best") else { return };
    let Rig { switch, pool, umem, .. } = &mut rig;
    let everything = switch.inside(|| open_best("a1", pool, umem, &XdpOptions::default()).unwrap());
    println!("{}", everything.reason);
    assert!(!everything.is_afxdp && everything.reason.contains("veth"));
    everything.port.close(pool);
    let take = Take::Tunnel { local: vec![[10, 0, 0, 1].into()], udp_port: 4789 };
    let tunnel = switch.inside(|| open_best("a1", pool, umem, &XdpOptions { take: take.clone(), ..XdpOptions::default() }).unwrap());
    println!("{}", tunnel.reason);
    assert!(tunnel.is_afxdp && tunnel.reason.contains("zero-copy refused"));
    let second = switch.inside(|| open_best("a1", pool, umem, &XdpOptions { take, ..XdpOptions::default() }).unwrap());
    println!("{}", second.reason);
    assert!(!second.is_afxdp && second.reason.contains("another XDP program"));
    // The id that the host's own tools show: "prog/xdp id 7".
    let shown = switch.ip("-details link show a1");
    let id = shown.split("prog/xdp").nth(1).and_then(|t| t.split_whitespace().nth(1)).expect("an id");
    assert!(second.reason.contains(&format!("attached, id {id} (")), "{} of {shown}", second.reason);
    tunnel.port.close(pool);
    second.port.close(pool);
    assert_eq!((pool.outstanding(), pool.lent()), (0, 0));
    let missing = switch.inside(|| open_best("nothing", pool, umem, &XdpOptions::default()).err().unwrap());
    assert!(missing.is_gone(), "{missing}");
}

#[test]
fn a_device_that_vanishes_is_reported_and_its_memory_comes_home() {
    let Some(mut rig) = Rig::new("afxdp vanish") else { return };
    let mut port = rig.open("a1", &XdpOptions::default());
    rig.switch.ip("link del a1");
    let deadline = Instant::now() + Duration::from_secs(10);
    let gone = loop {
        assert!(Instant::now() < deadline, "never told that the device is gone");
        wait(&[&port]);
        if let Err(e) = port.receive(&mut rig.pool, &mut Vec::new(), 8) {
            break e;
        }
    };
    assert!(gone.is_gone(), "{gone}");
    send(&mut port, &mut rig.pool, &[&numbered(1, 60)]);
    assert_eq!(send(&mut port, &mut rig.pool, &[&numbered(1, 60)]).dropped_total(), 1);
    rig.close(vec![port]);
}

const CHILD: &str = "SLUICE_TEST_XDP_CHILD";

/// Not a test of its own: the process that the next test kills.
#[test]
fn child_that_holds_a_program() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut pool = Pool::new(4096, 4096).unwrap();
    let umem = Umem::new(&pool);
    let _port = AfXdpPort::open("a1", &mut pool, &umem, &XdpOptions::default()).unwrap();
    println!("attached");
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn the_program_is_gone_when_its_process_is_killed() {
    let Some(rig) = Rig::new("afxdp kill") else { return };
    let exe = std::env::current_exe().unwrap();
    let mut child = Command::new("ip")
        .args(["netns", "exec", &rig.switch.name])
        .arg(exe)
        .args(["--exact", "child_that_holds_a_program", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|l| l.contains("attached")), "the child attached nothing");
    let attached = || rig.switch.ip("-details link show a1").contains("prog/xdp");
    assert!(attached());
    // `ip netns exec` replaces itself with the program, so this is SIGKILL to the holder.
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while attached() {
        assert!(Instant::now() < deadline, "the program outlived its process by 10 s");
        std::thread::yield_now();
    }
}

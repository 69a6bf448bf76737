//! VXLAN with the Linux kernel at the other end.

use super::support::{can_make_namespaces, wait_for, Daemon, Place};
use super::ofctl;
use sluice_wire::{build, ipv4};

/// An underlay: the kernel's address and ours, the tunnel's, and how big frames inside may be.
struct Under {
    kernel: &'static str,
    own: &'static str,
    /// Bits of their network.
    length: u8,
    /// The fields that name the ends of a tunnel.
    fields: [&'static str; 2],
    /// Largest packet of a machine, bytes.
    mtu: u32,
}

const OVER_IPV4: Under = Under { kernel: "192.0.2.2", own: "192.0.2.1", length: 24, fields: ["tun_src", "tun_dst"], mtu: 1450 };
const OVER_IPV6: Under =
    Under { kernel: "2001:db8::2", own: "2001:db8::1", length: 64, fields: ["tun_ipv6_src", "tun_ipv6_dst"], mtu: 1430 };

/// A machine on port `vm1` with 10.9.0.1, and a kernel with a vxlan device, VNI 123 and 10.9.0.2 at
/// the other end of `u0`.
struct Peers {
    place: Place,
    machine: String,
    kernel: String,
}

impl Peers {
    fn new(under: &Under) -> Peers {
        let place = Place::new();
        let (machine, kernel) = (format!("{}m", place.netns), format!("{}k", place.netns));
        let peers = Peers { place, machine, kernel };
        let (m, k) = (&peers.machine, &peers.kernel);
        let (Under { kernel, own, length, mtu, .. }, nodad) = (under, under.nodad());
        peers.place.host(&format!("ip netns add {m} && ip netns add {k}"));
        peers.place.sh(&format!(
            "ip link add vm1 type veth peer name eth0 netns {m} && ip link set vm1 up && \
             ip link add u0 type veth peer name eth0 netns {k} && ip link set u0 up"
        ));
        peers.place.host(&format!(
            "ip -n {m} link set eth0 mtu {mtu} up && ip -n {m} addr add 10.9.0.1/24 dev eth0 && \
             ip -n {k} addr add {kernel}/{length} dev eth0 {nodad} && ip -n {k} link set eth0 up && \
             ip -n {k} link add vx0 type vxlan id 123 local {kernel} remote {own} dstport 4789 && \
             ip -n {k} addr add 10.9.0.2/24 dev vx0 && ip -n {k} link set vx0 up"
        ));
        peers
    }

    fn ping(&self, options: &str) -> bool {
        let command = format!("ip netns exec {} ping -c 1 -W 1 {options} 10.9.0.2", self.machine);
        self.place.try_sh(&command).status.success()
    }

    /// The kernel's way to us takes packets of 1300 bytes only, and it does not know when it makes inner ones: it
    /// fragments outer ones.
    fn narrow(&self, under: &Under) {
        let k = &self.kernel;
        self.place.host(&format!(
            "ip -n {k} route add {} dev eth0 mtu lock 1300 && ip -n {k} link set vx0 mtu {mtu} && \
             ip -n {k} route change 10.9.0.0/24 dev vx0 mtu lock {mtu}",
            under.own,
            mtu = under.mtu
        ));
    }

    /// Outer packets that the kernel has fragmented.
    fn fragmented(&self) -> u64 {
        let counts = self.place.sh(&format!("ip netns exec {} nstat -asz IpFragOKs Ip6FragOKs", self.kernel));
        counts.lines().filter_map(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
    }

    /// Large packets from the kernel arrive although they come in pieces.
    fn hears_fragments(&self, under: &Under) {
        self.narrow(under);
        let before = self.fragmented();
        if under.own.contains(':') {
            self.hears_a_fragmented_datagram(under);
        } else {
            let large = format!("-s {}", under.mtu - 28);
            wait_for("a reply that came in pieces", || self.ping(&large));
            self.transfer();
        }
        assert!(self.fragmented() > before, "the kernel fragmented nothing");
    }

    /// The kernel's tunnel does not fragment over IPv6, but it does so with what any program sends.
    fn hears_a_fragmented_datagram(&self, under: &Under) {
        let [src, dst] = [2, 1].map(|n| std::net::Ipv4Addr::new(10, 9, 0, n));
        let header = ipv4::Header { tos: 0, total_len: 0, id: 1, flags: 0, ttl: 64, proto: ipv4::UDP, src, dst };
        let inner = build::frame([0xff; 6], [2; 6], &[], 0x0800, &build::udp4(header, 1000, 7777, &[1; 1340]));
        let datagram = [&[8, 0, 0, 0, 0, 0, 123, 0][..], &inner].concat();
        let hex: String = datagram.iter().map(|b| format!("{b:02x}")).collect();
        ofctl(&self.place, "add-flow br-int 'priority=40000,in_port=2,udp,actions=output:1'");
        let program = format!(
            "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); \
             s.sendto(bytes.fromhex(\"{hex}\"), (\"{}\", 4789))",
            under.own
        );
        wait_for("a datagram that came in pieces", || {
            self.place.host(&format!("ip netns exec {} python3 -c '{program}'", self.kernel));
            let rules = ofctl(&self.place, "dump-flows br-int udp,in_port=2");
            rules.contains("priority=40000") && !rules.contains("n_packets=0")
        });
    }

    /// TCP in both directions, with all that the machine's device leaves undone: large segments, checksums.
    fn transfer(&self) {
        let (m, k) = (&self.machine, &self.kernel);
        for direction in ["", "-R"] {
            // It serves one client and ends.
            self.place.host(&format!("ip netns exec {k} iperf3 -s -1 -D"));
            let command = format!("ip netns exec {m} iperf3 -c 10.9.0.2 -n 20M {direction}");
            wait_for("a transfer through the tunnel", || self.place.try_sh(&command).status.success());
        }
    }
}

impl Under {
    /// Addresses of IPv6 would first be asked for on the link.
    fn nodad(&self) -> &'static str {
        if self.own.contains(':') { "nodad" } else { "" }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for name in [&self.machine, &self.kernel] {
            let _ = std::process::Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

fn flow_tunnel(under: &Under) -> String {
    FLOW_TUNNEL.replace("192.0.2.1", under.own)
}

const FLOW_TUNNEL: &str = "\
[[bridge]]
name = \"br-int\"
fail_mode = \"secure\"
[[bridge.port]]
name = \"vm1\"
ofport_request = 1
[[bridge.port]]
name = \"vx\"
kind = \"vxlan\"
remote_ip = \"flow\"
local_ip = \"192.0.2.1\"
key = \"flow\"
ofport_request = 2
";

fn add_rules(place: &Place, under: &Under) {
    let Under { kernel, own, fields: [src, dst], .. } = under;
    ofctl(place, &format!("add-flow br-int 'in_port=1,actions=set_field:123->tun_id,set_field:{kernel}->{dst},output:2'"));
    ofctl(place, &format!("add-flow br-int 'in_port=2,tun_id=123,{src}={kernel},{dst}={own},actions=output:1'"));
}

fn crossed(place: &Place) -> bool {
    let counts = ofctl(place, "dump-ports br-int vx");
    !counts.contains("rx pkts=0") && !counts.contains("tx pkts=0")
}

#[test]
fn a_tunnel_over_a_device_that_stays_the_hosts_reaches_the_kernel() {
    if can_make_namespaces("VXLAN over a host's device") {
        over_a_device_of_the_host(&OVER_IPV4);
    }
}

#[test]
fn a_tunnel_over_ipv6_and_a_device_that_stays_the_hosts_reaches_the_kernel() {
    if can_make_namespaces("VXLAN over IPv6 and a host's device") {
        over_a_device_of_the_host(&OVER_IPV6);
    }
}

fn over_a_device_of_the_host(under: &Under) {
    let peers = Peers::new(under);
    let place = &peers.place;
    place.sh(&format!("ip addr add {}/{} dev u0 {}", under.own, under.length, under.nodad()));
    let config = place.write("node.toml", &format!("{}[[underlay]]\ndevice = \"u0\"\n", flow_tunnel(under)));
    let daemon = Daemon::start(place, &config, "br-int");
    add_rules(place, under);
    wait_for("a reply through the tunnel", || peers.ping(""));
    assert!(peers.ping(&format!("-s {} -M do", under.mtu - 28)), "a packet as large as fits");
    assert!(crossed(place));
    peers.transfer();
    // A machine that thinks that more fits is told, and knows from then on.
    place.host(&format!("ip -n {} link set eth0 mtu 1500", peers.machine));
    assert!(!peers.ping("-s 1472 -M do"), "too big for the tunnel");
    let route = place.sh(&format!("ip -n {} route get 10.9.0.2", peers.machine));
    assert!(route.contains(&format!("mtu {}", under.mtu)), "{route}");
    wait_for("packets that their sender cuts by that", || peers.ping("-s 4000"));
    assert!(place.try_sh(&format!("ping -c 1 -W 1 {}", under.kernel)).status.success(), "the host still has its device");
    place.host(&format!("ip -n {} link set eth0 mtu {}", peers.machine, under.mtu));
    peers.hears_fragments(under);
    assert_eq!(daemon.stop(), Some(0));
    assert!(!place.sh("ip -d link show u0").contains("xdp"));
}

#[test]
fn a_tunnel_over_a_bridge_of_our_own_reaches_the_kernel() {
    if can_make_namespaces("VXLAN over LOCAL") {
        over_a_bridge(&OVER_IPV4);
    }
}

#[test]
fn a_tunnel_over_ipv6_and_a_bridge_of_our_own_reaches_the_kernel() {
    if can_make_namespaces("VXLAN over IPv6 and LOCAL") {
        over_a_bridge(&OVER_IPV6);
    }
}

fn over_a_bridge(under: &Under) {
    let peers = Peers::new(under);
    let place = &peers.place;
    let phy = "[[bridge]]\nname = \"br-phy\"\n[[bridge.port]]\nname = \"u0\"\n";
    let config = place.write("node.toml", &format!("{}{phy}", flow_tunnel(under)));
    let daemon = Daemon::start(place, &config, "br-phy");
    wait_for("LOCAL", || daemon.log().contains("br-phy: opened"));
    let (own, length, nodad) = (under.own, under.length, under.nodad());
    place.sh(&format!("ip addr add {own}/{length} dev br-phy {nodad} && ip link set br-phy up"));
    add_rules(place, under);
    wait_for("a reply through the tunnel", || peers.ping(""));
    assert!(peers.ping(&format!("-s {} -M do", under.mtu - 28)), "a packet as large as fits");
    assert!(crossed(place));
    peers.hears_fragments(under);
}

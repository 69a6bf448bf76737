//! `type=vxlan options:remote_ip=… options:key=123` between two hosts whose cable is a port of another bridge.

use super::node::{can_run, Node};
use super::support::wait_for;

/// The underlay's addresses, all but the last number, and how `ip` is told one.
#[derive(Clone, Copy)]
struct Net {
    addresses: &'static str,
    rest: &'static str,
}

const IPV4: Net = Net { addresses: "172.31.1.", rest: "/24" };
/// Nobody waits for an address to be found unique.
const IPV6: Net = Net { addresses: "fd31::", rest: "/64 nodad" };

impl Net {
    fn host(self, n: u8) -> String {
        format!("{}{n}", self.addresses)
    }
}

/// The cable becomes a port of `br-phy`, which carries the host's address.
fn physical(node: &Node, net: Net, n: u8) {
    node.sh("ovs-vsctl add-br br-phy -- set bridge br-phy datapath_type=netdev -- add-port br-phy eth1");
    node.sh(&format!("ip addr add {}{} dev br-phy && ip link set br-phy up", net.host(n), net.rest));
}

/// The overlay: `br0` with an address of its own, and the tunnel.
fn overlay(node: &Node, address: &str, peer: &str) {
    node.sh(&format!("ovs-vsctl add-port br0 vx0 -- set interface vx0 type=vxlan options:remote_ip={peer} options:key=123"));
    node.sh(&format!("ip addr add {address}/24 dev br0 && ip link set br0 mtu 1450 up"));
}

fn joined(net: Net, a: &Node, b: &Node) {
    a.cable(b, "eth1");
    for (node, n, peer) in [(a, 1, 2), (b, 2, 1)] {
        physical(node, net, n);
        overlay(node, &format!("10.0.0.{n}"), &net.host(peer));
    }
    wait_for("the underlay", || a.pings(&net.host(2)));
    wait_for("a ping over the tunnel", || a.pings("10.0.0.2"));
    assert!(b.pings("10.0.0.1"), "and the other way");
    let ports = a.sh("ovs-ofctl dump-ports br0 vx0");
    assert!(!ports.contains("rx pkts=0") && !ports.contains("tx pkts=0"), "{ports}");
    a.sh("ovs-vsctl set interface vx0 options:key=124");
    assert!(!a.pings("10.0.0.2"), "another key is another network");
    a.sh("ovs-vsctl set interface vx0 options:key=123");
    wait_for("a ping with the right key again", || a.pings("10.0.0.2"));
}

#[test]
fn vxlan_between_two_of_ours() {
    if can_run("vxlan, ours and ours") {
        joined(IPV4, &Node::ours(), &Node::ours());
    }
}

#[test]
fn vxlan_between_ours_and_a_stock_switch() {
    if can_run("vxlan, ours and stock") {
        joined(IPV4, &Node::ours(), &Node::stock());
    }
}

#[test]
fn vxlan_over_ipv6_between_ours_and_a_stock_switch_is_told_of_alike() {
    if !can_run("vxlan over IPv6, ours and stock") {
        return;
    }
    let (ours, stock) = (Node::ours(), Node::stock());
    joined(IPV6, &ours, &stock);
    assert_eq!(told(&ours, 2), told(&stock, 1), "ours is on the left");
}

/// What a node says of its way to the peer, without what differs from one node to another.
fn told(node: &Node, peer: u8) -> String {
    let peer = IPV6.host(peer);
    let way = node.appctl(&format!("ovs/route/lookup {peer}"));
    let neighbours = node.appctl("tnl/neigh/show");
    let known = neighbours.lines().find(|l| l.starts_with(&peer)).unwrap_or("nobody").to_string();
    let trace = node.appctl("ofproto/trace br0 in_port=LOCAL,arp,dl_src=02:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff");
    let tunneling = trace.lines().find(|l| l.contains("tunneling to")).unwrap_or("not");
    // Ports of the datapath have numbers in one and names in the other.
    let (_, header) = trace.split_once(",header(").unwrap_or(("", &trace));
    let (header, _) = header.split_once(",out_port(").unwrap_or((header, ""));
    let all = format!("{way}{known}\n{tunneling}\n{header}");
    let ends = ["fd31::1", "fd31::2"].iter().fold(all, |text, end| text.replace(end, "END"));
    hide_hardware_addresses(&ends)
}

fn hide_hardware_addresses(text: &str) -> String {
    let is_mac = |w: &str| w.len() == 17 && w.bytes().enumerate().all(|(i, b)| if i % 3 == 2 { b == b':' } else { b.is_ascii_hexdigit() });
    text.split_inclusive([' ', ',', '(', ')', '=', '\n'])
        .map(|word| {
            let bare = word.trim_end_matches([' ', ',', '(', ')', '=', '\n']);
            if is_mac(bare) { word.replace(bare, "MAC") } else { word.to_string() }
        })
        .collect()
}

#[test]
fn vxlan_between_ours_and_the_kernel() {
    if !can_run("vxlan, ours and the kernel") {
        return;
    }
    let (a, b) = (Node::ours(), Node::bare());
    a.cable(&b, "eth1");
    if !b.place.try_sh("ip link add vx0 type vxlan id 123 dstport 4789 remote 172.31.1.1 local 172.31.1.2 dev eth1").status.success() {
        println!("vxlan, ours and the kernel: SKIPPED, this kernel has no vxlan devices");
        return;
    }
    b.sh("ip addr add 172.31.1.2/24 dev eth1 && ip addr add 10.0.0.2/24 dev vx0 && ip link set vx0 up");
    physical(&a, IPV4, 1);
    overlay(&a, "10.0.0.1", "172.31.1.2");
    wait_for("a ping over the tunnel", || a.pings("10.0.0.2"));
    assert!(b.pings("10.0.0.1"), "and the other way");
}

/// Packets that rules of `br-phy` saw leave with the tunnel's mark.
fn marked(a: Node, b: Node) -> String {
    a.cable(&b, "eth1");
    for (node, n, peer) in [(&a, 1, 2), (&b, 2, 1)] {
        physical(node, IPV4, n);
        overlay(node, &format!("10.0.0.{n}"), &format!("172.31.1.{peer}"));
    }
    wait_for("a ping over the tunnel", || a.pings("10.0.0.2"));
    a.sh("ovs-ofctl add-flow br-phy priority=9,udp,pkt_mark=0x7,actions=NORMAL");
    a.appctl("ovs/route/add 172.31.1.0/24 br-phy pkt_mark=7");
    a.sh("ovs-vsctl set interface vx0 options:egress_pkt_mark=7");
    let seen = || !a.sh("ovs-ofctl dump-flows br-phy pkt_mark=0x7").contains("n_packets=0");
    wait_for("a marked packet", || a.pings("10.0.0.2") && seen());
    let routes = a.appctl("ovs/route/show");
    let found = a.appctl("ovs/route/lookup 172.31.1.9 pkt_mark=7");
    a.appctl("ovs/route/del 172.31.1.0/24 pkt_mark=7");
    routes.lines().find(|l| l.starts_with("User")).unwrap_or_default().to_string() + &found
}

#[test]
fn the_bridge_that_carries_a_tunnel_sees_its_mark_as_in_a_stock_switch() {
    if can_run("egress_pkt_mark") {
        assert_eq!(marked(Node::ours(), Node::ours()), marked(Node::stock(), Node::ours()));
    }
}

//! `type=vxlan options:remote_ip=… options:key=123` between two hosts whose cable is a port of another bridge.

use super::node::{can_run, Node};
use super::support::wait_for;

/// The cable becomes a port of `br-phy`, which carries the host's address.
fn physical(node: &Node, address: &str) {
    node.sh("ovs-vsctl add-br br-phy -- set bridge br-phy datapath_type=netdev -- add-port br-phy eth1");
    node.sh(&format!("ip addr add {address}/24 dev br-phy && ip link set br-phy up"));
}

/// The overlay: `br0` with an address of its own, and the tunnel.
fn overlay(node: &Node, address: &str, peer: &str) {
    node.sh(&format!("ovs-vsctl add-port br0 vx0 -- set interface vx0 type=vxlan options:remote_ip={peer} options:key=123"));
    node.sh(&format!("ip addr add {address}/24 dev br0 && ip link set br0 mtu 1450 up"));
}

fn joined(a: Node, b: Node) {
    a.cable(&b, "eth1");
    for (node, n, peer) in [(&a, 1, 2), (&b, 2, 1)] {
        physical(node, &format!("172.31.1.{n}"));
        overlay(node, &format!("10.0.0.{n}"), &format!("172.31.1.{peer}"));
    }
    wait_for("the underlay", || a.pings("172.31.1.2"));
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
        joined(Node::ours(), Node::ours());
    }
}

#[test]
fn vxlan_between_ours_and_a_stock_switch() {
    if can_run("vxlan, ours and stock") {
        joined(Node::ours(), Node::stock());
    }
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
    physical(&a, "172.31.1.1");
    overlay(&a, "10.0.0.1", "172.31.1.2");
    wait_for("a ping over the tunnel", || a.pings("10.0.0.2"));
    assert!(b.pings("10.0.0.1"), "and the other way");
}

/// Packets that rules of `br-phy` saw leave with the tunnel's mark.
fn marked(a: Node, b: Node) -> String {
    a.cable(&b, "eth1");
    for (node, n, peer) in [(&a, 1, 2), (&b, 2, 1)] {
        physical(node, &format!("172.31.1.{n}"));
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

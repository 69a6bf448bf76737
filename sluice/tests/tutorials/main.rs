//! The tutorials that people know Open vSwitch by, word by word, with Debian's own tools and a real
//! database, on our switch.

mod bonds;
mod in_band;
mod limits;
mod node;
mod queues;
mod rules;
#[path = "../support/mod.rs"]
mod support;
mod tunnels;
mod vlans;
mod watching;

use node::{can_run, Node};
use support::wait_for;

#[test]
fn two_bridges_joined_by_patch_ports_and_internal_ports_moved_into_namespaces() {
    if !can_run("patch ports") {
        return;
    }
    let mut node = Node::ours();
    node.sh("ovs-vsctl add-br br1");
    node.sh("ovs-vsctl add-port br0 patch0 -- set interface patch0 type=patch options:peer=patch1");
    node.sh("ovs-vsctl add-port br1 patch1 -- set interface patch1 type=patch options:peer=patch0");
    node.sh("ovs-vsctl add-port br0 vnet0 -- set interface vnet0 type=internal");
    node.sh("ovs-vsctl add-port br1 vnet1 -- set interface vnet1 type=internal");
    let a = node.machine("vnet0", "10.0.0.1/24");
    let _b = node.machine("vnet1", "10.0.0.2/24");
    wait_for("a ping over the patch", || a.pings("10.0.0.2"));
    let ports = node.sh("ovs-ofctl dump-ports br0 patch0");
    assert!(!ports.contains("rx pkts=0") && !ports.contains("tx pkts=0"), "{ports}");
    let shown = node.sh("ovs-vsctl show");
    for line in ["Bridge br0", "Bridge br1", "Port patch0", "type: patch", "options: {peer=patch1}", "type: internal"] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    assert!(!shown.contains("error"), "{shown}");
    node.sh("ovs-vsctl del-port patch1");
    assert!(!a.pings("10.0.0.2"));
    node.sh("ovs-vsctl add-port br1 patch1 -- set interface patch1 type=patch options:peer=patch0");
    wait_for("a ping over the new patch", || a.pings("10.0.0.2"));
}

#[test]
fn a_bridge_takes_over_the_address_of_the_device_that_it_is_put_on() {
    if !can_run("address on the bridge") {
        return;
    }
    let (node, other) = (Node::ours(), Node::bare());
    node.cable(&other, "eth0");
    node.sh("ip addr add 192.0.2.1/24 dev eth0");
    other.sh("ip addr add 192.0.2.2/24 dev eth0");
    wait_for("a ping without a bridge", || node.pings("192.0.2.2"));
    node.sh("ovs-vsctl add-br br-ex -- add-port br-ex eth0");
    node.sh("ip addr del 192.0.2.1/24 dev eth0 && ip addr add 192.0.2.1/24 dev br-ex && ip link set br-ex up");
    wait_for("a ping over the bridge", || node.pings("192.0.2.2"));
    wait_for("the other way", || other.pings("192.0.2.1"));
    node.sh("ovs-ofctl add-flow br-ex priority=10,icmp,actions=drop");
    assert!(!other.pings("192.0.2.1"), "nothing reaches the host past the bridge");
}

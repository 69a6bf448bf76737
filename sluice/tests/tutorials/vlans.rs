//! Access and trunk ports: who hears whom.

use super::node::{can_run, Node};
use super::support::wait_for;

#[test]
fn access_ports_hear_their_own_vlan_and_trunks_carry_both() {
    if !can_run("VLANs") {
        return;
    }
    let mut node = Node::ours();
    for (n, tag) in [(1, 9), (2, 9), (3, 10)] {
        node.sh(&format!("ovs-vsctl add-port br0 vnet{n} tag={tag} -- set interface vnet{n} type=internal"));
    }
    node.sh("ovs-vsctl add-port br0 trunk -- set interface trunk type=internal");
    let a = node.machine("vnet1", "10.0.0.1/24");
    let _b = node.machine("vnet2", "10.0.0.2/24");
    let _c = node.machine("vnet3", "10.0.0.3/24");
    wait_for("a ping in VLAN 9", || a.pings("10.0.0.2"));
    assert!(!a.pings("10.0.0.3"), "VLAN 10 is another network");
    node.sh("ovs-vsctl set port vnet3 tag=9");
    wait_for("a ping after the move", || a.pings("10.0.0.3"));
    node.sh("ip link set trunk up && ip link add link trunk name trunk.9 type vlan id 9");
    node.sh("ip addr add 10.0.0.9/24 dev trunk.9 && ip link set trunk.9 up");
    wait_for("a ping over the trunk", || a.pings("10.0.0.9"));
    node.sh("ovs-vsctl set port trunk trunks=10,20");
    assert!(!a.pings("10.0.0.9"), "VLAN 9 is not trunked any more");
    node.sh("ovs-vsctl set port trunk trunks=[] vlan_mode=native-untagged tag=9");
    node.sh("ip link del trunk.9 && ip addr add 10.0.0.9/24 dev trunk");
    wait_for("a ping in the native VLAN", || a.pings("10.0.0.9"));
}

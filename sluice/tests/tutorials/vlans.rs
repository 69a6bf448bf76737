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
    node.sh("ovs-vsctl add-br br1 -- add-port br1 vnet9 tag=9 -- set interface vnet9 type=internal");
    node.sh("ovs-vsctl add-port br0 trunk -- set interface trunk type=patch options:peer=far");
    node.sh("ovs-vsctl add-port br1 far -- set interface far type=patch options:peer=trunk");
    let a = node.machine("vnet1", "10.0.0.1/24");
    let _b = node.machine("vnet2", "10.0.0.2/24");
    let _c = node.machine("vnet3", "10.0.0.3/24");
    let _d = node.machine("vnet9", "10.0.0.9/24");
    wait_for("a ping in VLAN 9", || a.pings("10.0.0.2"));
    assert!(!a.pings("10.0.0.3"), "VLAN 10 is another network");
    node.sh("ovs-vsctl set port vnet3 tag=9");
    wait_for("a ping after the move", || a.pings("10.0.0.3"));
    wait_for("a ping over the trunk", || a.pings("10.0.0.9"));
    node.sh("ovs-vsctl set port trunk trunks=10,20");
    assert!(!a.pings("10.0.0.9"), "VLAN 9 is not trunked any more");
    node.sh("ovs-vsctl set port trunk trunks=[] vlan_mode=native-untagged tag=9");
    assert!(!a.pings("10.0.0.9"), "what comes without a tag is not VLAN 9 at the far end");
    node.sh("ovs-vsctl set port far tag=9");
    wait_for("a ping without a tag between the bridges", || a.pings("10.0.0.9"));
}

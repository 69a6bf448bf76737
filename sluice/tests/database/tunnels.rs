//! Tunnels as a tutorial makes them: nobody names the device that carries them.

use crate::node::{Guest, Node};
use crate::support::{can_make_namespaces, wait_for};

#[test]
fn a_vxlan_port_finds_its_way_out_and_talks_to_the_kernels_vxlan() {
    if !can_make_namespaces("vxlan") {
        return;
    }
    let node = Node::start();
    let far = Guest(format!("{}far", node.place.netns));
    let ours = &node.place.netns;
    node.place.host(&format!(
        "ip netns add {far} && ip -n {ours} link add u0 type veth peer name u1 netns {far} && \
         ip -n {ours} addr add 192.0.2.1/24 dev u0 && ip -n {ours} link set u0 up && \
         ip -n {far} addr add 192.0.2.2/24 dev u1 && ip -n {far} link set u1 up && ip -n {far} link set lo up && \
         ip -n {far} link add vx type vxlan id 123 remote 192.0.2.1 dstport 4789 dev u1 && \
         ip -n {far} addr add 10.9.0.2/24 dev vx && ip -n {far} link set vx up",
        far = far.0
    ));
    node.vsctl("add-br br0 -- add-port br0 vm0 -- set interface vm0 type=internal");
    node.vsctl("add-port br0 vx0 -- set interface vx0 type=vxlan options:remote_ip=192.0.2.2 options:key=123");
    let near = node.guest("vm0", "10.9.0.1/24");
    wait_for("a ping through the tunnel", || node.pings(&near.0, "10.9.0.2", 1) == 1);
    assert_eq!(node.pings(&near.0, "10.9.0.2", 10), 10);
    wait_for("its status", || node.column("interface vx0 status").contains("tunnel_egress_iface=u0"));
    // Another key is another network.
    node.vsctl("set interface vx0 options:key=124");
    assert_eq!(node.pings(&near.0, "10.9.0.2", 2), 0);
    node.vsctl("set interface vx0 options:in_key=123 options:out_key=123");
    wait_for("the tunnel again", || node.pings(&near.0, "10.9.0.2", 1) == 1);
    // The host's device goes back to the host.
    node.vsctl("del-port br0 vx0");
    wait_for("the device to be free", || !node.place.sh("ip -d link show u0").contains("xdp"));
    assert!(node.place.sh("ping -n -c 1 -W 2 192.0.2.2").contains("1 received"));
}

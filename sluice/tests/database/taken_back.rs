//! Settings that change while the switch runs, and go again.

use crate::node::Node;
use crate::support::{can_make_namespaces, wait_for};

impl Node {
    fn mtu(&self, device: &str) -> String {
        self.place.sh(&format!("cat /sys/class/net/{device}/mtu")).trim().to_string()
    }

    fn mac(&self, device: &str) -> String {
        self.place.sh(&format!("cat /sys/class/net/{device}/address")).trim().to_string()
    }
}

#[test]
fn an_internal_port_has_its_bridges_mtu_again_when_its_wish_goes() {
    if !can_make_namespaces("MTUs") {
        return;
    }
    let node = Node::start();
    node.place.veth("ea", "eb");
    node.vsctl("add-br br0 -- add-port br0 ea -- add-port br0 in0 -- set interface in0 type=internal");
    node.vsctl("set interface in0 mtu_request=1400");
    wait_for("the wish", || node.mtu("in0") == "1400");
    // As with Open vSwitch, what was wished for one counts for those without a wish.
    wait_for("the others", || node.mtu("br0") == "1400");
    node.vsctl("clear interface in0 mtu_request");
    wait_for("the bridge's MTU", || (node.mtu("in0") + &node.mtu("br0")) == "15001500");
    node.vsctl("set interface br0 mtu_request=1300");
    wait_for("the bridge's own wish", || (node.mtu("in0") + &node.mtu("br0")) == "13001300");
    node.vsctl("clear interface br0 mtu_request");
    wait_for("1500 again", || (node.mtu("in0") + &node.mtu("br0")) == "15001500");
    // Somebody wants less on one device.
    node.place.sh("ip link set in0 mtu 1234 && ip link set eb down");
    wait_for("the other end", || node.column("interface ea link_state") == "down");
    assert_eq!(node.mtu("in0"), "1234");
    node.place.sh("ip link set ea mtu 1450");
    wait_for("the smallest of the devices", || (node.mtu("in0") + &node.mtu("br0")) == "14501450");
}

#[test]
fn addresses_of_the_hosts_devices_are_the_hosts() {
    if !can_make_namespaces("addresses") {
        return;
    }
    let node = Node::start();
    node.place.veth("ea", "eb");
    let own = node.mac("ea");
    node.vsctl("add-br br0 -- add-port br0 ea -- add-port br0 in0 -- set interface in0 type=internal");
    node.vsctl("set interface ea mac='\"02:00:00:00:00:ea\"' -- set interface in0 mac='\"02:00:00:00:00:ab\"'");
    wait_for("the internal port's address", || node.mac("in0") == "02:00:00:00:00:ab");
    assert_eq!(node.mac("ea"), own);
    // A port's own column says only which address stands for it when the bridge chooses.
    let bridges = node.mac("br0");
    node.vsctl("set port ea mac='\"00:16:00:00:00:01\"'");
    wait_for("the bridge's choice", || node.mac("br0") == "00:16:00:00:00:01");
    assert_eq!(node.mac("ea"), own);
    node.vsctl("clear port ea mac");
    wait_for("the bridge's own", || node.mac("br0") == bridges);
}

#[test]
fn a_wished_number_is_given_although_a_port_without_a_wish_has_it() {
    if !can_make_namespaces("wished numbers") {
        return;
    }
    let node = Node::start();
    let number = |port: &str| node.column(&format!("interface {port} ofport"));
    node.vsctl("add-br br0");
    for port in ["a0", "b0"] {
        node.vsctl(&format!("add-port br0 {port} -- set interface {port} type=internal"));
    }
    assert_eq!(number("a0") + &number("b0"), "12");
    node.vsctl("add-port br0 c0 -- set interface c0 type=internal ofport_request=1");
    assert_eq!(number("c0") + &number("b0"), "12");
    wait_for("another number", || !["1", "2", "-1"].contains(&number("a0").as_str()));
    // Two that wish for the same: the first has it, the other keeps what it has.
    node.vsctl("set interface b0 ofport_request=1");
    assert_eq!(number("c0") + &number("b0"), "12");
    node.ofctl("add-flow br0 in_port=a0,actions=output:c0");
}

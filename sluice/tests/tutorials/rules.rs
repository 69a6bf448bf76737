//! Rules that drop and rewrite, and what `ovs-vsctl` says of controllers and managers.

use super::node::{can_run, Node};
use super::support::wait_for;

#[test]
fn drop_rules_cut_what_they_say_and_higher_priorities_win() {
    if !can_run("drop rules") {
        return;
    }
    let mut node = Node::ours();
    for n in 1..=2 {
        node.sh(&format!("ovs-vsctl add-port br0 vnet{n} -- set interface vnet{n} type=internal ofport_request={n}"));
    }
    let a = node.machine("vnet1", "10.0.0.1/24");
    let _b = node.machine("vnet2", "10.0.0.2/24");
    wait_for("a ping", || a.pings("10.0.0.2"));
    node.sh("ovs-ofctl add-flow br0 priority=10,icmp,nw_src=10.0.0.1,actions=drop");
    assert!(!a.pings("10.0.0.2"));
    let dump = node.sh("ovs-ofctl dump-flows br0");
    let rule = dump.lines().find(|l| l.contains("actions=drop")).expect("the rule");
    assert!(rule.contains("n_packets=1,"), "{rule}");
    node.sh("ovs-ofctl add-flow br0 priority=20,icmp,nw_src=10.0.0.1,actions=NORMAL");
    assert!(a.pings("10.0.0.2"), "the higher priority wins");
    node.sh("ovs-ofctl del-flows br0 icmp");
    assert!(a.pings("10.0.0.2"));
    node.sh("ovs-ofctl del-flows br0");
    assert!(!a.pings("10.0.0.2"), "without rules nothing passes");
}

#[test]
fn a_rewritten_source_address_is_what_the_other_side_sees() {
    if !can_run("mod_nw_src") {
        return;
    }
    let mut node = Node::ours();
    for n in 1..=2 {
        node.sh(&format!("ovs-vsctl add-port br0 vnet{n} -- set interface vnet{n} type=internal ofport_request={n}"));
    }
    let a = node.machine("vnet1", "10.0.0.1/24");
    let b = node.machine("vnet2", "10.0.0.2/24");
    assert!(b.run("ip addr add 10.0.0.200/32 dev lo").1);
    node.sh("ovs-ofctl add-flow br0 priority=100,in_port=1,icmp,actions=mod_nw_src:10.0.0.9,NORMAL");
    node.sh("ovs-ofctl add-flow br0 priority=100,in_port=2,icmp,nw_dst=10.0.0.9,actions=mod_nw_dst:10.0.0.1,NORMAL");
    // The address that is pretended answers no ARP: the machine is told where it is.
    let mac = a.run("cat /sys/class/net/vnet1/address").0;
    assert!(b.run(&format!("ip neigh replace 10.0.0.9 lladdr {} dev vnet2", mac.trim())).1);
    wait_for("a ping with another address", || a.pings("10.0.0.2"));
    let dump = node.sh("ovs-ofctl dump-flows br0");
    let counted = dump.lines().filter(|l| l.contains("mod_nw_") && !l.contains("n_packets=0,")).count();
    assert_eq!(counted, 2, "{dump}");
}

#[test]
fn controllers_and_managers_are_set_shown_and_reached() {
    if !can_run("set-controller") {
        return;
    }
    let node = Node::ours();
    node.sh("ovs-vsctl set-controller br0 ptcp:16633:127.0.0.1");
    node.sh("ovs-vsctl set-manager ptcp:16640:127.0.0.1");
    wait_for("a controller's way in", || node.place.try_sh("ovs-ofctl --timeout=2 show tcp:127.0.0.1:16633").status.success());
    wait_for("a manager's way in", || node.place.try_sh("ovs-vsctl --timeout=2 --db=tcp:127.0.0.1:16640 show").status.success());
    let shown = node.sh("ovs-vsctl show");
    assert!(shown.contains("Controller \"ptcp:16633:127.0.0.1\"") && shown.contains("Manager \"ptcp:16640:127.0.0.1\""), "{shown}");
    node.sh("ovs-vsctl del-controller br0 -- del-manager");
    assert!(!node.sh("ovs-vsctl show").contains("ptcp"));
}

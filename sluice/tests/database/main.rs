//! The daemon as a compute node runs it: a real `ovsdb-server`, the stock `ovs-vsctl` and `ovs-ofctl`,
//! the steps of old tutorials.

mod faults;
mod model;
mod monitoring;
mod names;
mod node;
mod process;
mod queues;
mod reports;
#[path = "../support/mod.rs"]
mod support;
mod taken_back;
mod thousand;
mod tunnels;
mod workers;

use node::Node;
use support::{can_make_namespaces, wait_for};

#[test]
fn a_port_has_its_number_when_ovs_vsctl_returns_and_a_missing_device_its_error() {
    if !can_make_namespaces("ovs-vsctl") {
        return;
    }
    let node = Node::start();
    node.place.veth("ea", "eb");
    node.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
    assert_eq!(node.column("interface br0 ofport"), "65534");
    node.vsctl("add-port br0 ea");
    assert_eq!((node.column("interface ea ofport").as_str(), node.column("interface ea error").as_str()), ("1", "[]"));
    let failed = node.try_vsctl("add-port br0 gone0");
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(said.contains("Error detected while setting up 'gone0': could not open network device gone0 (No such device)"), "{said}");
    assert_eq!(node.column("interface gone0 ofport"), "-1");
    node.place.veth("gone0", "gone1");
    wait_for("the device that came late", || node.column("interface gone0 ofport") == "2");
    assert_eq!(node.column("interface gone0 error"), "[]");
    let show = node.vsctl("show");
    assert!(show.contains("Interface gone0") && !show.contains("error"), "{show}");
    node.vsctl("del-port br0 ea -- del-port br0 gone0");
    node.vsctl("del-br br0");
    assert!(!node.place.try_sh("ip link show br0").status.success(), "the bridge's device goes with it");
}

#[test]
fn the_tutorial_of_two_bridges_and_a_port_in_a_namespace_works_word_by_word() {
    if !can_make_namespaces("tutorial") {
        return;
    }
    let node = Node::start();
    for line in [
        "add-br br0", "add-br br1",
        "add-port br0 patch0 -- set interface patch0 type=patch options:peer=patch1",
        "add-port br1 patch1 -- set interface patch1 type=patch options:peer=patch0",
        "add-port br0 vm0 -- set interface vm0 type=internal",
        "add-port br1 vm1 -- set interface vm1 type=internal",
    ] {
        node.vsctl(line);
    }
    assert_eq!(node.column("interface patch0 error"), "[]");
    let (a, _b) = (node.guest("vm0", "10.9.0.1/24"), node.guest("vm1", "10.9.0.2/24"));
    wait_for("a ping through both bridges", || node.pings(&a.0, "10.9.0.2", 1) == 1);
    assert_eq!(node.pings(&a.0, "10.9.0.2", 20), 20);
    node.ofctl("add-flow br1 priority=100,icmp,actions=drop");
    assert_eq!(node.pings(&a.0, "10.9.0.2", 2), 0);
    node.ofctl("del-flows br1 icmp");
    assert_eq!(node.pings(&a.0, "10.9.0.2", 5), 5);
    // The port in the other namespace can be removed, and is gone there too.
    node.vsctl("del-port br0 vm0");
    let left = || std::process::Command::new("ip").args(["-n", &a.0, "link", "show", "vm0"]).output().expect("ip");
    wait_for("vm0 to go", || !left().status.success());
}

#[test]
fn what_is_refused_says_so() {
    if !can_make_namespaces("refusals") {
        return;
    }
    let node = Node::start();
    node.vsctl("add-br br0");
    for (port, kind, why) in [
        ("g0", "type=geneve options:remote_ip=1.2.3.4", "not supported"),
        ("u0", "type=nonsense", "unknown interface type"),
        ("v0", "type=vxlan", "needs options:remote_ip"),
        ("v1", "type=vxlan options:remote_ip=x", "neither"),
        ("v2", "type=vxlan options:remote_ip=1.2.3.4 options:key=16777216", "from 0 to 16777215"),
        ("p0", "type=patch", "needs options:peer"),
        ("p1", "type=patch options:peer=p1", "its own peer"),
    ] {
        let said = node.try_vsctl(&format!("add-port br0 {port} -- set interface {port} {kind}"));
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains(why), "{port}: {said}");
        assert_eq!(node.column(&format!("interface {port} ofport")), "-1");
    }
    node.vsctl("set bridge br0 stp_enable=true");
    assert!(node.log().contains("stp: not supported"), "{}", node.log());
    node.vsctl("--may-exist add-br br0");
}

#[test]
fn numbers_and_ports_survive_a_restart() {
    if !can_make_namespaces("restart") {
        return;
    }
    let mut node = Node::start();
    node.vsctl("add-br br0");
    for port in ["a0", "b0", "c0"] {
        node.vsctl(&format!("add-port br0 {port} -- set interface {port} type=internal"));
    }
    node.vsctl("set interface c0 ofport_request=77");
    node.vsctl("del-port br0 a0");
    assert_eq!((node.column("interface b0 ofport").as_str(), node.column("interface c0 ofport").as_str()), ("2", "77"));
    let before = node.column("bridge br0 datapath_id");
    if let Some(switch) = node.switch.take() {
        switch.kill();
    }
    node.start_switch();
    assert_eq!((node.column("interface b0 ofport").as_str(), node.column("interface c0 ofport").as_str()), ("2", "77"));
    assert_eq!(node.column("bridge br0 datapath_id"), before);
    node.vsctl("add-port br0 d0 -- set interface d0 type=internal");
    assert_ne!(node.column("interface d0 ofport"), "2");
}

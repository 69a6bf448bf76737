//! Databases that go away, stand still, come back empty or with another schema: packets flow all the
//! while, and the log says what is wrong.

use crate::node::{Guest, Node};
use crate::support::{can_make_namespaces, wait_for};

/// A switch between two guests that reach each other.
fn pair() -> (Node, Guest, Guest) {
    let node = Node::start();
    node.vsctl("add-br br0");
    for port in ["vm0", "vm1"] {
        node.vsctl(&format!("add-port br0 {port} -- set interface {port} type=internal"));
    }
    let (a, b) = (node.guest("vm0", "10.9.0.1/24"), node.guest("vm1", "10.9.0.2/24"));
    wait_for("the first ping", || node.pings(&a.0, "10.9.0.2", 1) == 1);
    (node, a, b)
}

fn all_arrive(node: &Node, from: &Guest) {
    assert_eq!(node.pings(&from.0, "10.9.0.2", 10), 10, "{}", node.log());
}

#[test]
fn a_database_that_is_gone_and_comes_back_costs_no_packet() {
    if !can_make_namespaces("database gone") {
        return;
    }
    let (mut node, a, _b) = pair();
    if let Some(server) = node.server.take() {
        server.kill();
    }
    wait_for("the log to say so", || node.log().contains("the switch goes on as it is"));
    all_arrive(&node, &a);
    node.start_server();
    node.vsctl("add-port br0 late -- set interface late type=internal");
    assert_eq!(node.column("interface late ofport"), "3");
    all_arrive(&node, &a);
    assert!(node.log().contains("connected again"), "{}", node.log());
}

#[test]
fn a_database_that_stands_still_costs_no_packet() {
    if !can_make_namespaces("database slow") {
        return;
    }
    let (node, a, _b) = pair();
    let Some(server) = &node.server else { return };
    server.signal("STOP");
    all_arrive(&node, &a);
    node.ofctl("add-flow br0 priority=7,icmp,actions=normal");
    all_arrive(&node, &a);
    server.signal("CONT");
    node.vsctl("add-port br0 late -- set interface late type=internal");
    all_arrive(&node, &a);
}

#[test]
fn an_uninitialized_database_changes_nothing_and_an_empty_one_is_an_order() {
    if !can_make_namespaces("database emptied") {
        return;
    }
    let (mut node, a, _b) = pair();
    if let Some(server) = node.server.take() {
        server.kill();
    }
    node.create_database("/usr/share/openvswitch/vswitch.ovsschema");
    node.start_server();
    wait_for("the log to say so", || node.log().contains("no row in table Open_vSwitch"));
    all_arrive(&node, &a);
    // From here on an administrator says that there are no bridges.
    node.vsctl("--no-wait init");
    wait_for("the bridge to go", || !node.place.try_sh("ip link show br0").status.success());
}

#[test]
fn a_schema_without_what_a_switch_needs_is_named_and_changes_nothing() {
    if !can_make_namespaces("wrong schema") {
        return;
    }
    let (mut node, a, _b) = pair();
    let text = std::fs::read_to_string("/usr/share/openvswitch/vswitch.ovsschema").expect("the schema");
    let mut schema: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let columns = schema["tables"]["Interface"]["columns"].as_object_mut().expect("columns");
    columns.remove("ofport");
    let wrong = node.place.write("wrong.ovsschema", &schema.to_string());
    if let Some(server) = node.server.take() {
        server.kill();
    }
    node.create_database(&wrong.display().to_string());
    node.start_server();
    wait_for("the log to say so", || node.log().contains("has no column \"ofport\" in table \"Interface\""));
    all_arrive(&node, &a);
}

#[test]
fn a_killed_switch_leaves_taps_that_the_next_takes_over_or_removes() {
    if !can_make_namespaces("kill -9") {
        return;
    }
    let mut node = Node::start();
    node.vsctl("add-br br0");
    for port in ["keep0", "drop0"] {
        node.vsctl(&format!("add-port br0 {port} -- set interface {port} type=internal"));
    }
    node.place.sh("ip addr add 10.9.0.9/24 dev keep0 && ip link set keep0 up && ip route add 10.77.0.0/16 via 10.9.0.1");
    if let Some(switch) = node.switch.take() {
        switch.kill();
    }
    node.vsctl("--no-wait del-port br0 drop0");
    node.start_switch();
    wait_for("the unwanted tap to go", || !node.place.try_sh("ip link show drop0").status.success());
    let routes = node.place.sh("ip route");
    assert!(routes.contains("10.77.0.0/16 via 10.9.0.1 dev keep0"), "{routes}");
    assert_eq!(node.column("interface keep0 error"), "[]");
}

#[test]
fn a_killed_switch_finds_its_ports_again_in_the_namespaces_that_they_were_moved_to() {
    if !can_make_namespaces("kill -9 with ports elsewhere") {
        return;
    }
    let mut node = Node::start();
    node.vsctl("add-br br0");
    let guest = |n: u32| {
        node.vsctl(&format!("add-port br0 int{n} -- set interface int{n} type=internal"));
        node.guest(&format!("int{n}"), &format!("10.9.0.{n}/24"))
    };
    let guests: Vec<Guest> = (1..=3).map(guest).collect();
    let namespaces: Vec<&str> = guests.iter().map(|g| g.0.as_str()).collect();
    // One has another name there, as containers give it.
    node.place.host(&format!("ip -n {0} link set int2 down && ip -n {0} link set int2 name eth0 && ip -n {0} link set eth0 up", namespaces[1]));
    let pings = |from: &str, to: u32| {
        let ping = std::process::Command::new("ip").args(["netns", "exec", from, "ping", "-c1", "-W1", &format!("10.9.0.{to}")]).output();
        ping.is_ok_and(|o| o.status.success())
    };
    wait_for("a ping before", || pings(namespaces[0], 2) && pings(namespaces[0], 3));
    if let Some(switch) = node.switch.take() {
        switch.kill();
    }
    node.vsctl("--no-wait del-port br0 int3");
    node.start_switch();
    wait_for("a ping after", || pings(namespaces[0], 2) && pings(namespaces[1], 1));
    assert_eq!(node.column("interface int2 error"), "[]");
    assert_eq!(node.column("interface int2 link_state"), "up");
    let left = || std::process::Command::new("ip").args(["-n", namespaces[2], "link", "show", "int3"]).output().is_ok_and(|o| o.status.success());
    wait_for("the port that nobody wants to go", || !left());
    assert!(!node.place.try_sh("ip link show int1").status.success(), "no second device is made");
}

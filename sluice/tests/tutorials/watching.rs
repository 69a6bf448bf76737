//! Mirrors, and the tool that makes them.

use std::process::Command;

use super::node::{can_run, Node};
use super::support::wait_for;

#[test]
fn a_mirror_copies_what_a_port_hears_and_says_and_counts_it() {
    if !can_run("mirrors") {
        return;
    }
    let mut node = Node::ours();
    for name in ["vnet1", "vnet2", "watch"] {
        node.sh(&format!("ovs-vsctl add-port br0 {name} -- set interface {name} type=internal"));
    }
    let a = node.machine("vnet1", "10.0.0.1/24");
    let _b = node.machine("vnet2", "10.0.0.2/24");
    node.sh("ip link set watch up");
    node.sh(
        "ovs-vsctl -- --id=@p get port vnet1 -- --id=@w get port watch \
         -- --id=@m create mirror name=m0 select_src_port=@p select_dst_port=@p output_port=@w -- set bridge br0 mirrors=@m",
    );
    let received = || node.sh("cat /sys/class/net/watch/statistics/rx_packets").trim().parse::<u64>().unwrap_or(0);
    wait_for("a ping", || a.pings("10.0.0.2"));
    let before = received();
    assert!(a.run("ping -c 5 -i 0.1 10.0.0.2").1);
    wait_for("ten copies", || received() >= before + 10);
    node.sh("ovs-ofctl add-flow br0 priority=10,actions=drop");
    let before = received();
    assert!(!a.pings("10.0.0.2"));
    wait_for("a copy of what was dropped", || received() > before);
    node.sh("ovs-vsctl clear bridge br0 mirrors");
    let before = received();
    assert!(!a.pings("10.0.0.2"));
    assert_eq!(received(), before);
}

#[test]
fn ovs_tcpdump_shows_what_a_port_hears() {
    let tool = Command::new("ovs-tcpdump").arg("--version").output().is_ok_and(|o| o.status.success());
    if !tool {
        println!("ovs-tcpdump: SKIPPED, it is not installed (apt-get install openvswitch-common python3-openvswitch tcpdump)");
        return;
    }
    if !can_run("ovs-tcpdump") {
        return;
    }
    let mut node = Node::ours();
    for name in ["vnet1", "vnet2"] {
        node.sh(&format!("ovs-vsctl add-port br0 {name} -- set interface {name} type=internal"));
    }
    let a = node.machine("vnet1", "10.0.0.1/24");
    let _b = node.machine("vnet2", "10.0.0.2/24");
    wait_for("a ping", || a.pings("10.0.0.2"));
    let socket = node.place.rundir().join("db.sock");
    let out = node.place.directory.join("seen");
    let command = format!("exec timeout 30 ovs-tcpdump --db-sock unix:{} -i vnet1 -c 4 -n icmp > {} 2>&1", socket.display(), out.display());
    let mut watching = node.place.in_namespace("sh").args(["-c", &command]).spawn().expect("ovs-tcpdump");
    wait_for("the tool to end with four packets", || {
        let _ = a.run("ping -c 2 -i 0.2 -W 1 10.0.0.2");
        watching.try_wait().is_ok_and(|s| s.is_some())
    });
    let seen = std::fs::read_to_string(&out).unwrap_or_default();
    assert!(seen.contains("10.0.0.1 > 10.0.0.2: ICMP echo request") && seen.contains("ICMP echo reply"), "{seen}");
    let shown = node.sh("ovs-vsctl show");
    assert!(!shown.contains("mivnet1"), "the tool's port is gone with it\n{shown}");
}

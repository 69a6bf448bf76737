//! The same commands about tunnel options to a stock Open vSwitch and to ours, with the stock command line: mappings that
//! come and go, rules on options, what is refused and how. The same answers come back.

#[path = "../corpus/canon.rs"]
mod canon;
#[path = "../database/node.rs"]
#[allow(dead_code)] // a part of it is enough here
mod node;
#[path = "../support/mod.rs"]
#[allow(dead_code)]
mod support;

use std::process::Command;

use node::Node;
use support::{can_make_namespaces, wait_for};

/// Each line works on what the ones before it left.
const COMMANDS: &str = include_str!("commands.txt");

/// What a switch answers to all commands.
fn answers(program: &str) -> Vec<String> {
    let mut node = Node::without_switch();
    node.spawn_switch(program);
    node.vsctl(
        "--timeout=30 add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure \
         protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15",
    );
    let socket = node.file("br0.mgmt");
    wait_for("br0", || socket.exists());
    let answer = |line: &str| {
        let line = line.replace(" br0", &format!(" unix:{}", socket.display()));
        let output = node.place.in_namespace("bash").args(["-c", &format!("exec 2>&1; {line}")]).output().expect("bash");
        let text = String::from_utf8_lossy(&output.stdout).replace(&format!("{}/", node.place.rundir().display()), "");
        canon::canon(&text)
    };
    COMMANDS.lines().map(|line| format!("$ {line}\n{}", answer(line))).collect()
}

#[test]
fn tunnel_options_are_mapped_used_and_refused_as_in_a_stock_switch() {
    let test = "tunnel options beside Open vSwitch";
    if !can_make_namespaces(test) {
        return;
    }
    if !Command::new("ovs-vswitchd").arg("--version").output().is_ok_and(|o| o.status.success()) {
        return println!("{test}: SKIPPED, ovs-vswitchd is not installed (apt install openvswitch-switch)");
    }
    let (stock, ours) = (answers("ovs-vswitchd"), answers(env!("CARGO_BIN_EXE_sluiced")));
    for (expected, got) in stock.iter().zip(&ours) {
        assert_eq!(got, expected, "ours is on the left");
    }
    assert_eq!(stock.len(), ours.len());
}

//! Every command about connections answers as the stock switch does, errors included.

use std::os::unix::net::UnixStream;

use crate::node::Node;
use crate::support::{can_make_namespaces, wait_for};

/// One line each; the answers depend on those before.
const COMMANDS: &str = include_str!("commands.txt");

fn start(program: &str) -> Node {
    let mut node = Node::without_switch();
    node.vsctl("--no-wait add-br br0 -- set bridge br0 datapath_type=netdev");
    node.spawn_switch(program);
    wait_for("the control socket", || UnixStream::connect(node.file("switch.ctl")).is_ok());
    wait_for("the bridge", || UnixStream::connect(node.file("br0.mgmt")).is_ok());
    node
}

/// All answers, in order.
fn answers(node: &Node) -> Vec<String> {
    let control = node.file("switch.ctl").display().to_string();
    let each = |command: &str| format!("ovs-appctl -t {control} {command} 2>&1; echo \"status $?\"; echo ENDS\n");
    let script: String = COMMANDS.lines().map(each).collect();
    let output = node.place.try_sh(&script);
    let text = String::from_utf8_lossy(&output.stdout).replace(&control, "SWITCH");
    text.split("ENDS\n").map(|answer| answer.trim_end().to_string()).collect()
}

#[test]
fn commands_about_connections_answer_as_the_stock_switch_does() {
    if !can_make_namespaces("commands about connections") {
        return;
    }
    let (ours, theirs) = (answers(&start(env!("CARGO_BIN_EXE_sluiced"))), answers(&start("ovs-vswitchd")));
    assert_eq!(ours.len(), theirs.len());
    for ((command, ours), theirs) in COMMANDS.lines().zip(ours).zip(theirs) {
        assert_eq!(ours, theirs, "{command}");
    }
}

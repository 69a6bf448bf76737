//! A thousand ports in one transaction, beside Open vSwitch in the same run.
//!
//! `make thousand` runs it.

use std::time::{Duration, Instant};

use crate::node::Node;
use crate::support::can_make_namespaces;

const PORTS: usize = 1000;

fn time(node: &Node) -> Duration {
    let mut words = String::from("--timeout=120 add-br br0 -- set bridge br0 datapath_type=netdev");
    for i in 0..PORTS {
        words.push_str(&format!(" -- add-port br0 t{i} -- set interface t{i} type=internal"));
    }
    let start = Instant::now();
    let output = node.try_vsctl(&words);
    let took = start.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let numbers = node.vsctl("--bare --columns=ofport list interface");
    assert_eq!(numbers.lines().filter(|l| l.parse::<i64>().is_ok_and(|n| n > 0)).count(), PORTS + 1);
    took
}

#[test]
#[ignore = "takes a minute; make thousand runs it"]
fn a_thousand_ports_come_up_in_five_seconds() {
    if !can_make_namespaces("a thousand ports") {
        return;
    }
    let ours = time(&Node::start());
    let mut stock = Node::without_switch();
    stock.spawn_switch("ovs-vswitchd");
    let theirs = time(&stock);
    println!("{PORTS} ports in one transaction: sluiced {ours:.2?}, ovs-vswitchd {theirs:.2?}");
    assert!(ours < Duration::from_secs(5), "{ours:?}");
}

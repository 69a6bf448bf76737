//! Bonds over two cables, with one pulled under ping.

use super::node::{can_run, Node, Pinging};
use super::support::wait_for;

const CABLES: [&str; 2] = ["eth1", "eth2"];

fn addresses(a: &Node, b: &Node) {
    for (node, n) in [(a, 1), (b, 2)] {
        node.sh(&format!("ip addr add 10.0.0.{n}/24 dev br0 && ip link set br0 up"));
    }
}

fn bond(node: &Node, settings: &str) {
    node.sh(&format!("ovs-vsctl add-bond br0 bond0 eth1 eth2 -- set port bond0 {settings}"));
}

/// Each cable is pulled and put back while a ping goes on.
fn pulled(a: &Node, b: &Node) {
    wait_for("a ping over the bond", || a.pings("10.0.0.2"));
    let pinging = Pinging::start(a, "10.0.0.2", 60);
    for cable in CABLES {
        a.sh(&format!("ip link set {cable} down"));
        wait_for("a ping over the other cable", || a.pings("10.0.0.2"));
        a.sh(&format!("ip link set {cable} up"));
        wait_for("a ping over both", || a.pings("10.0.0.2") && b.pings("10.0.0.1"));
    }
    let answers = pinging.answers();
    println!("{answers} of 60 pings were answered");
    assert!(answers >= 40, "{answers} of 60");
}

#[test]
fn an_active_backup_bond_survives_either_cable() {
    if !can_run("active-backup") {
        return;
    }
    let (a, b) = (Node::ours(), Node::ours());
    CABLES.iter().for_each(|c| a.cable(&b, c));
    for node in [&a, &b] {
        bond(node, "bond_mode=active-backup");
    }
    addresses(&a, &b);
    pulled(&a, &b);
}

/// The other end knows nothing of the bond: it floods what it gets by one cable out of the other.
#[test]
fn a_bond_balanced_by_source_makes_no_loop_and_survives_either_cable() {
    if !can_run("balance-slb") {
        return;
    }
    let (a, b) = (Node::ours(), Node::stock());
    CABLES.iter().for_each(|c| a.cable(&b, c));
    bond(&a, "bond_mode=balance-slb");
    b.sh("ovs-vsctl add-port br0 eth1 -- add-port br0 eth2");
    addresses(&a, &b);
    pulled(&a, &b);
    let received = || {
        let ports = b.sh("ovs-ofctl dump-ports br0 eth1") + &b.sh("ovs-ofctl dump-ports br0 eth2");
        ports.split("rx pkts=").skip(1).filter_map(|t| t.split(',').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let before = received();
    assert!(a.place.try_sh("ping -b -c 10 -i 0.1 -W 1 10.0.0.255 || true").status.success());
    let more = received() - before;
    assert!(more < 100, "ten broadcasts became {more} frames");
}

#[test]
fn lacp_with_a_stock_switch_negotiates_and_survives_either_cable() {
    if !can_run("LACP") {
        return;
    }
    let (a, b) = (Node::ours(), Node::stock());
    CABLES.iter().for_each(|c| a.cable(&b, c));
    for node in [&a, &b] {
        bond(node, "bond_mode=balance-tcp lacp=active other_config:lacp-time=fast");
    }
    addresses(&a, &b);
    for node in [&a, &b] {
        wait_for("LACP to agree", || node.appctl("lacp/show bond0").matches("may_enable: true").count() == 2);
        wait_for("both members", || node.appctl("bond/show bond0").matches(": enabled").count() == 2);
    }
    pulled(&a, &b);
}

#[test]
fn lacp_with_the_kernels_bonding_driver() {
    if !can_run("LACP with the kernel") {
        return;
    }
    let (a, b) = (Node::ours(), Node::bare());
    CABLES.iter().for_each(|c| a.cable(&b, c));
    if !b.place.try_sh("ip link add bond0 type bond mode 802.3ad miimon 50 lacp_rate fast").status.success() {
        println!("LACP with the kernel: SKIPPED, this kernel has no bonding driver");
        return;
    }
    CABLES.iter().for_each(|c| {
        b.sh(&format!("ip link set {c} down && ip link set {c} master bond0 && ip link set {c} up"));
    });
    b.sh("ip addr add 10.0.0.2/24 dev bond0 && ip link set bond0 up");
    bond(&a, "bond_mode=balance-tcp lacp=active other_config:lacp-time=fast");
    a.sh("ip addr add 10.0.0.1/24 dev br0 && ip link set br0 up");
    wait_for("LACP to agree", || a.appctl("lacp/show bond0").matches("may_enable: true").count() == 2);
    pulled(&a, &b);
}

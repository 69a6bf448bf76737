//! What a port may hand in, and multicast that goes only where it is wanted.

use super::node::{can_run, Node};
use super::support::wait_for;

#[test]
fn ingress_policing_lets_in_its_rate_and_is_lifted_again() {
    if !can_run("ingress policing") {
        return;
    }
    let mut node = Node::ours();
    for n in 1..=2 {
        node.sh(&format!("ovs-vsctl add-port br0 vnet{n} -- set interface vnet{n} type=internal"));
    }
    let a = node.machine("vnet1", "10.0.0.1/24");
    let _b = node.machine("vnet2", "10.0.0.2/24");
    wait_for("a ping", || a.pings("10.0.0.2"));
    let received = |options: &str| {
        let (text, _) = a.run(&format!("ping -q -f -c 400 -s 1000 -w 3 {options} 10.0.0.2"));
        let n = text.split(" received").next().and_then(|t| t.rsplit(' ').next()).and_then(|n| n.parse::<u32>().ok());
        n.unwrap_or(0)
    };
    assert!(received("") > 300);
    // 80 packets of 1042 bytes at once, and next to nothing afterwards.
    node.sh("ovs-vsctl set interface vnet1 ingress_policing_rate=10 ingress_policing_burst=668");
    wait_for("the limit", || (20..150).contains(&received("-l 400")));
    node.sh("ovs-vsctl set interface vnet1 ingress_policing_rate=0");
    wait_for("no limit", || received("") > 300);
}

#[test]
fn a_storm_limit_cuts_what_is_flooded_and_nothing_else() {
    if !can_run("storm limits") {
        return;
    }
    let mut node = Node::ours();
    for n in 1..=2 {
        node.sh(&format!("ovs-vsctl add-port br0 vnet{n} -- set interface vnet{n} type=internal"));
    }
    let a = node.machine("vnet1", "10.0.0.1/24");
    let _b = node.machine("vnet2", "10.0.0.2/24");
    wait_for("a ping", || a.pings("10.0.0.2"));
    let cut = || node.appctl("coverage/read-counter drop_storm_limited").trim().parse::<u64>().expect("a number");
    a.run("ping -b -q -f -c 200 -w 2 10.0.0.255");
    assert_eq!(cut(), 0, "no limit yet");
    node.sh("ovs-vsctl set interface vnet1 other_config:storm-broadcast-rate=20");
    wait_for("the limit", || {
        a.run("ping -b -q -f -c 200 -w 2 10.0.0.255");
        cut() >= 100
    });
    wait_for("a ping beside it", || a.pings("10.0.0.2"));
    node.sh("ovs-vsctl remove interface vnet1 other_config storm-broadcast-rate");
    wait_for("no limit", || {
        let before = cut();
        a.run("ping -b -q -f -c 200 -w 2 10.0.0.255");
        cut() == before
    });
}

/// A program that joins a group and stays until it is ended.
const JOIN: &str = "import socket,struct,time
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP,socket.IP_ADD_MEMBERSHIP,struct.pack('4s4s',socket.inet_aton('239.1.2.3'),socket.inet_aton('10.0.0.2')))
time.sleep(60)
";

#[test]
fn multicast_goes_to_those_who_joined() {
    if !can_run("multicast snooping") {
        return;
    }
    let mut node = Node::ours();
    node.sh("ovs-vsctl set bridge br0 mcast_snooping_enable=true other_config:mcast-snooping-disable-flood-unregistered=true");
    for n in 1..=3 {
        node.sh(&format!("ovs-vsctl add-port br0 vnet{n} -- set interface vnet{n} type=internal ofport_request={n}"));
    }
    let a = node.machine("vnet1", "10.0.0.1/24");
    let b = node.machine("vnet2", "10.0.0.2/24");
    let c = node.machine("vnet3", "10.0.0.3/24");
    wait_for("a ping", || a.pings("10.0.0.2") && a.pings("10.0.0.3"));
    let joiner = node.place.directory.join("join.py");
    std::fs::write(&joiner, JOIN).expect("a scratch file");
    let mut member = std::process::Command::new("ip")
        .args(["netns", "exec", &b.netns, "python3"])
        .arg(&joiner)
        .spawn()
        .expect("python3");
    wait_for("the group to be known", || node.appctl("mdb/show br0").contains("239.1.2.3"));
    let shown = node.appctl("mdb/show br0");
    let multicast = |n: u32| {
        let ports = node.sh(&format!("ovs-ofctl dump-ports br0 {n}"));
        ports.split("tx pkts=").nth(1).and_then(|t| t.split(',').next()).and_then(|t| t.parse::<u64>().ok()).unwrap_or(0)
    };
    let send = "python3 -c \"import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);\
        s.setsockopt(0,32,socket.inet_aton('10.0.0.1'));[s.sendto(b'x',('239.1.2.3',9)) for _ in range(50)]\"";
    let before = (multicast(2), multicast(3));
    assert!(a.run(send).1);
    wait_for("the member to get it", || multicast(2) >= before.0 + 50);
    assert!(multicast(3) < before.1 + 25, "another machine does not get it");
    let _ = member.kill();
    let _ = member.wait();
    assert!(shown.contains("    2     0  239.1.2.3"), "{shown}");
    wait_for("the group to be forgotten", || !node.appctl("mdb/show br0").contains("239.1.2.3"));
    drop(c);
}

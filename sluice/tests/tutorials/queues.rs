//! Queues: what a QoS record promises is kept, and the tools show it as they do of a stock switch.

use std::collections::BTreeSet;

use super::node::{can_run, Node};
use super::support::wait_for;

/// A device with two queues; one of them for a rule.
const QOS: &str = "ovs-vsctl add-port br0 eth1 -- set interface eth1 ofport_request=1 -- set port eth1 qos=@q -- \
    --id=@q create qos type=linux-htb other_config:max-rate=10000000 queues:1=@one queues:7=@seven -- \
    --id=@one create queue other_config:min-rate=1000000 other_config:max-rate=2000000 other_config:priority=3 -- \
    --id=@seven create queue dscp=46 other_config:min-rate=4000000 other_config:burst=80000";

/// Lines without counters, in no order: maps have none.
fn settings(text: &str) -> BTreeSet<String> {
    text.lines().filter(|l| !l.trim_start().starts_with("tx_")).map(str::to_string).collect()
}

fn show(node: &Node) -> Vec<BTreeSet<String>> {
    let shown = node.appctl("qos/show eth1");
    let config = ["OpenFlow10", "OpenFlow13", "OpenFlow14"].map(|v| node.sh(&format!("ovs-ofctl -O {v} queue-get-config br0 1")));
    let wrong = node.sh("ovs-ofctl queue-stats br0 1 3 2>&1 | sed 's/(xid[^)]*)//; s/xid=[^ ]*//'; true");
    let blocks = shown.split("\n\n").map(settings);
    blocks.chain(config.iter().map(|c| c.lines().skip(1).map(str::to_string).collect())).chain([settings(&wrong)]).collect()
}

#[test]
fn queues_are_shown_as_a_stock_switch_shows_them() {
    if !can_run("queues beside a stock switch") {
        return;
    }
    let node = |mut node: Node| {
        node.sh("ip link add eth1 type veth peer name wire1 && ip link set eth1 up && ip link set wire1 up");
        node.sh(QOS);
        node.machine("wire1", "10.0.0.1/24");
        node
    };
    let ours = node(Node::ours());
    assert!(ours.appctl("qos/show-types eth1").contains("QoS type: linux-htb"));
    if !ours.place.try_sh("tc qdisc add dev lo root htb").status.success() {
        println!("queues beside a stock switch: SKIPPED, this kernel has no HTB to compare with");
        return;
    }
    let stock = node(Node::stock());
    assert_eq!(show(&ours), show(&stock));
}

/// Bytes that a queue of port 2 sent, and packets that it lost.
fn counted(node: &Node, queue: u32) -> (u64, u64) {
    let text = node.sh(&format!("ovs-ofctl queue-stats br0 2 {queue}"));
    let number = |name: &str| text.split(name).nth(1).and_then(|t| t.split([',', '\n']).next()).and_then(|n| n.trim().parse().ok()).unwrap_or(0);
    (number("bytes="), number("errors="))
}

#[test]
fn a_rule_chooses_the_queue_and_the_queue_holds_its_rate() {
    if !can_run("queues") {
        return;
    }
    let mut node = Node::ours();
    for n in 1..=2 {
        node.sh(&format!("ovs-vsctl add-port br0 vnet{n} -- set interface vnet{n} type=internal ofport_request={n}"));
    }
    let a = node.machine("vnet1", "10.0.0.1/24");
    let b = node.machine("vnet2", "10.0.0.2/24");
    wait_for("a ping", || a.pings("10.0.0.2"));
    node.sh("ovs-vsctl set port vnet2 qos=@q -- --id=@q create qos type=linux-htb other_config:max-rate=100000000 queues:1=@one -- \
        --id=@one create queue dscp=46 other_config:max-rate=800000");
    node.sh("ovs-ofctl add-flow br0 priority=9,udp,in_port=1,actions=enqueue:2:1");
    let flood = "python3 -c \"import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
        for i in range(200): s.sendto(b'x'*1000,('10.0.0.2',9))\"";
    let heard = "timeout 20 python3 -c \"import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.setsockopt(0,13,1);\
        s.bind(('',9));m=s.recvmsg(2000,200);print(m[1][0][2][0])\"";
    let (netns, script) = (b.netns.clone(), heard.to_string());
    let listener = std::thread::spawn(move || std::process::Command::new("ip").args(["netns", "exec", &netns, "sh", "-c", &script]).output());
    wait_for("a listener", || b.run("cat /proc/net/udp").0.contains(":0009 "));
    let started = std::time::Instant::now();
    assert!(a.run(flood).1);
    // 200 packets of 1042 bytes at 100,000 bytes a second, however fast they come.
    let (bytes, _) = counted(&node, 1);
    let most = 100_000.0 * started.elapsed().as_secs_f64() + 5_000.0;
    assert!((bytes as f64) < most, "{bytes} bytes, {most} at most");
    wait_for("all of them", || counted(&node, 1) == (208_400, 0));
    assert!(started.elapsed().as_secs_f64() > 1.9, "{:?}", started.elapsed());
    let tos = listener.join().expect("a listener").expect("ip");
    assert_eq!(String::from_utf8_lossy(&tos.stdout).trim(), "184", "the queue's DSCP");
    assert!(a.pings("10.0.0.2"), "other packets have another queue");
    assert_eq!(counted(&node, 0).1, 0);
    // A policer drops instead, and says so.
    node.sh("ovs-vsctl --all destroy qos -- set port vnet2 qos=@q -- --id=@q create qos type=egress-policer other_config:cir=10000 other_config:cbs=5000");
    a.run("ping -q -f -c 200 -s 1000 -w 2 10.0.0.2");
    assert!(node.appctl("coverage/show").contains("egress_policed"), "{}", node.appctl("coverage/show"));
    node.sh("ovs-vsctl clear port vnet2 qos");
    assert_eq!(node.appctl("qos/show vnet2"), "QoS not configured on vnet2\n");
}

#[test]
fn what_is_not_done_is_said_in_the_rows_that_ask_for_it() {
    if !can_run("refused features") {
        return;
    }
    let node = Node::ours();
    node.sh("ovs-vsctl add-port br0 vnet1 -- set interface vnet1 type=internal bfd:enable=true lldp:enable=true cfm_mpid=5 -- \
        set port vnet1 qos=@q -- --id=@q create qos type=linux-sfq -- set bridge br0 stp_enable=true rstp_enable=true -- \
        -- --id=@n create netflow targets=\\\"127.0.0.1:1\\\" -- set bridge br0 netflow=@n");
    let keys = |table: &str, column: &str| node.sh(&format!("ovs-vsctl get {table} {column}"));
    wait_for("the bridge's status", || ["stp=", "rstp=", "netflow="].iter().all(|k| keys("bridge", "br0 status").contains(k)));
    wait_for("the port's status", || keys("port", "vnet1 status").contains("linux-sfq"));
    wait_for("the interface's status", || ["bfd=", "lldp=", "cfm="].iter().all(|k| keys("interface", "vnet1 status").contains(k)));
    assert_eq!(keys("interface", "vnet1 error").trim(), "[]", "it works all the same");
    node.sh("ovs-vsctl set interface vnet1 bfd:enable=false lldp:enable=false -- clear interface vnet1 cfm_mpid -- clear port vnet1 qos");
    wait_for("nothing to say", || !keys("interface", "vnet1 status").contains("bfd") && keys("port", "vnet1 status").trim() == "{}");
}

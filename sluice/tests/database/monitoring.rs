//! What monitoring reads.

use crate::node::Node;
use crate::support::{can_make_namespaces, wait_for};

impl Node {
    fn appctl(&self, words: &str) -> String {
        self.place.sh(&format!("ovs-appctl -t {} {words}", self.file("switch.ctl").display()))
    }
}

#[test]
fn an_exporter_that_reads_counters_and_rates_of_open_vswitch_reads_ours() {
    if !can_make_namespaces("counters") {
        return;
    }
    let node = Node::start();
    node.vsctl("add-br br0 -- add-port br0 in0 -- set interface in0 type=internal");
    let guest = node.guest("in0", "10.9.0.1/24");
    node.place.sh("ip addr add 10.9.0.2/24 dev br0 && ip link set br0 up");
    wait_for("a ping", || node.pings(&guest.0, "10.9.0.2", 1) == 1);
    node.pings(&guest.0, "10.9.0.2", 50);
    let text = node.appctl("coverage/show");
    let head = "Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash=";
    assert!(text.starts_with(head), "{text}");
    // name, three rates, "total:", the total
    let received = || {
        let text = node.appctl("coverage/show");
        let line = text.lines().find(|l| l.starts_with("received ")).unwrap_or("").to_string();
        let words: Vec<&str> = line.split_whitespace().collect();
        let rates = words.iter().filter_map(|w| w.strip_suffix("/sec")?.parse::<f64>().ok()).collect::<Vec<_>>();
        assert!(rates.len() == 3 && words.get(4) == Some(&"total:"), "{line}");
        (rates, words.get(5).and_then(|w| w.parse::<u64>().ok()).expect("a total"))
    };
    assert!(received().1 >= 50);
    wait_for("a rate", || received().0[1] > 0.5 && received().0[2] > 0.005);
    let text = node.appctl("dpif-netdev/pmd-stats-show");
    for key in ["packets received", "emc hits", "megaflow hits", "miss with success upcall", "miss with failed upcall", "idle cycles", "processing cycles"] {
        assert!(text.lines().any(|l| l.trim().starts_with(&format!("{key}: "))), "{key}: {text}");
    }
    assert_eq!(node.appctl("dpif-netdev/pmd-stats-show -pmd 7"), "");
    assert!(node.appctl("dpif-netdev/pmd-rxq-show").starts_with("Displaying last 60 seconds pmd usage %\npmd thread numa_id 0 core_id 0:\n"));
}

#[test]
fn a_tunnels_line_says_each_of_its_settings() {
    if !can_make_namespaces("tunnel lines") {
        return;
    }
    let node = Node::start();
    node.vsctl("add-br br0 -- add-port br0 vx0 -- set interface vx0 type=vxlan options:remote_ip=10.0.0.9 options:local_ip=10.0.0.1 options:key=7 options:tos=inherit options:ttl=5 options:csum=true options:df_default=false options:egress_pkt_mark=3");
    let line = node.appctl("ofproto/list-tunnels");
    assert!(line.contains("vx0 (vxlan: 10.0.0.1->10.0.0.9, key=0x7, legacy_l2, dp port=4789, ttl=5, tos=inherit, df=false, csum=true)"), "{line}");
    let shown = node.appctl("dpif/show");
    assert!(shown.contains("(vxlan: csum=true, df_default=false, egress_pkt_mark=3, key=7, local_ip=10.0.0.1, remote_ip=10.0.0.9, tos=inherit, ttl=5)"), "{shown}");
}

#[test]
fn cached_flows_are_filtered_by_what_an_operator_knows_of_them() {
    if !can_make_namespaces("dpctl/dump-flows filter=") {
        return;
    }
    let node = Node::start();
    node.vsctl("add-br br0 -- add-port br0 vm0 -- set interface vm0 type=internal -- add-port br0 vm1 -- set interface vm1 type=internal");
    node.ofctl("add-flow br0 table=0,priority=5,ip,nw_dst=10.7.0.0/24,actions=normal");
    let (near, far) = (node.guest("vm0", "10.7.0.1/24"), node.guest("vm1", "10.7.0.2/24"));
    wait_for("a ping", || node.pings(&near.0, "10.7.0.2", 1) == 1);
    drop(far);
    let socket = node.file("switch.ctl");
    let dump = |filter: &str| node.appctl(&format!("dpctl/dump-flows --names {filter}"));
    let flows = |filter: &str| dump(filter).lines().filter(|l| l.contains("in_port(")).map(str::to_string).collect::<Vec<_>>();
    let all = flows("");
    let pings = flows("filter=icmp,in_port=vm0");
    assert!(!pings.is_empty() && pings.len() < all.len(), "{pings:?} of {all:?}");
    assert!(pings.iter().all(|l| l.contains("in_port(vm0)") && !l.contains("eth_type(0x0806)")), "{pings:?}");
    assert!(flows("filter=ip,nw_dst=192.0.2.1").is_empty(), "{:?}", flows("filter=ip,nw_dst=192.0.2.1"));
    assert!(node.place.try_sh(&format!("ovs-appctl -t {} dpctl/dump-flows filter=nonsense=1", socket.display())).status.code() != Some(0));
}

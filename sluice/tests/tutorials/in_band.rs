//! Controllers and managers that are reached through the bridge itself.

use super::node::{can_run, Node};
use super::support::wait_for;

const LISTEN: &str = "import socket,sys
s=socket.socket(); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); s.settimeout(30); s.bind(('10.77.0.9',6653)); s.listen()
c,_=s.accept(); c.settimeout(30); open(sys.argv[1],'wb').write(c.recv(8))
import time; time.sleep(30)";

/// A bridge without rules that has the host's address, and a controller behind one of its ports.
fn node_with_a_controller_behind_it(mut node: Node) -> Node {
    node.sh("ip link add ctl0 type veth peer name p0 && ip link set p0 up && sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
    let machine = node.machine("ctl0", "10.77.0.9/24");
    machine.run("ip link set ctl0 address 02:00:00:00:00:09 && ethtool -K ctl0 tx off");
    node.sh("ovs-vsctl --timeout=10 set-fail-mode br0 secure -- set bridge br0 other_config:hwaddr=02:00:00:00:00:02 -- add-port br0 p0");
    node.sh("ip addr add 10.77.0.2/24 dev br0 && ip link set br0 up");
    let heard = node.place.rundir().join("heard");
    std::fs::create_dir_all(node.place.rundir()).expect("a directory");
    let script = node.place.rundir().join("listen.py");
    std::fs::write(&script, LISTEN).expect("a script");
    machine.run(&format!("nohup timeout 40 python3 {} {} >/dev/null 2>&1 &", script.display(), heard.display()));
    node.sh("ovs-vsctl --timeout=10 set-controller br0 tcp:10.77.0.9:6653 -- set-manager tcp:10.88.0.8");
    wait_for("the controller to hear from the switch", || std::fs::read(&heard).is_ok_and(|bytes| bytes.len() == 8));
    node
}

/// The hidden rules of a bridge without what counts and without Open vSwitch's internal table.
fn hidden_rules(node: &Node) -> Vec<String> {
    let text = node.appctl("bridge/dump-flows br0");
    let own = text.lines().filter(|l| !l.starts_with("table_id=254"));
    let mut rules: Vec<String> = own.filter_map(|l| Some(l[l.find("priority=")?..].to_string())).collect();
    rules.sort();
    rules
}

#[test]
fn a_controller_behind_the_bridge_is_reached_whatever_its_rules_say() {
    if !can_run("in-band control") {
        return;
    }
    let stock = node_with_a_controller_behind_it(Node::stock());
    let mut expected = Vec::new();
    // It looks up the way to the controller once a second.
    wait_for("the stock rules", || {
        expected = hidden_rules(&stock);
        expected.len() == 13
    });
    let ours = node_with_a_controller_behind_it(Node::ours());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while hidden_rules(&ours) != expected && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(hidden_rules(&ours), expected);
    assert!(!ours.sh("ovs-ofctl dump-flows br0").contains("priority=18"));
    ours.sh("ovs-ofctl del-flows br0");
    assert_eq!(hidden_rules(&ours), expected);
    ours.sh("ovs-vsctl --timeout=10 set bridge br0 other_config:in-band-queue=5");
    wait_for("the queue", || hidden_rules(&ours).iter().all(|r| r.ends_with("actions=set_queue:5,NORMAL")));
    ours.sh("ovs-vsctl --timeout=10 set bridge br0 other_config:disable-in-band=true");
    wait_for("no hidden rules", || hidden_rules(&ours).is_empty());
}

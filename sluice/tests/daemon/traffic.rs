//! Real packets through the daemon.

use super::support::{can_make_namespaces, wait_for, Daemon, Place};
use super::{ofctl, TWO_PORTS};

/// Two ports whose other ends are machines with addresses 10.0.0.1 and 10.0.0.2.
pub struct Machines {
    pub place: Place,
    names: [String; 2],
}

impl Machines {
    pub fn new() -> Machines {
        let place = Place::new();
        let names = [format!("{}a", place.netns), format!("{}b", place.netns)];
        names.iter().for_each(|name| place.host(&format!("ip netns add {name}")));
        let machines = Machines { place, names };
        machines.plug(1);
        machines.plug(2);
        machines
    }

    /// Joins machine `n` (1 or 2) to the device `p1` or `p2`, which this makes.
    pub fn plug(&self, n: usize) {
        let (place, name) = (&self.place, &self.names[n - 1]);
        place.sh(&format!("ip link add p{n} type veth peer name eth0 netns {name} && ip link set p{n} up"));
        place.host(&format!(
            "ip -n {name} link set eth0 address 02:00:00:00:00:0{n} && ip -n {name} addr add 10.0.0.{n}/24 dev eth0 && ip -n {name} link set eth0 up"
        ));
    }

    /// Pings a millisecond apart, to be started.
    pub fn flood(&self, count: u32) -> std::process::Command {
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", &self.names[0], "ping", "-q", "-i", "0.001", "-c", &count.to_string(), "10.0.0.2"]);
        command
    }

    pub fn ping(&self, options: &str) -> bool {
        let command = format!("ip netns exec {} ping -c 1 -W 1 {options} 10.0.0.2", self.names[0]);
        self.place.try_sh(&command).status.success()
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = std::process::Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

fn packets(place: &Place, rule: &str) -> u64 {
    let text = ofctl(place, "dump-flows br0");
    let line = text.lines().find(|l| l.contains(rule)).unwrap_or_else(|| panic!("{rule} is not in {text}"));
    let count = line.split("n_packets=").nth(1).and_then(|t| t.split(',').next());
    count.and_then(|c| c.parse().ok()).expect("a count")
}

#[test]
fn machines_reach_each_other_by_rules_which_count() {
    if !can_make_namespaces("rules") {
        return;
    }
    let machines = Machines::new();
    let place = &machines.place;
    let config = place.write("node.toml", TWO_PORTS);
    let _daemon = Daemon::start(place, &config, "br0");
    assert!(!machines.ping(""), "secure means that nothing passes without a rule");
    ofctl(place, "add-flow br0 in_port=p1,actions=p2");
    ofctl(place, "add-flow br0 in_port=p2,actions=p1");
    wait_for("a reply", || machines.ping(""));
    let before = packets(place, "in_port=1 ");
    assert!(machines.ping("-s 1400"));
    assert!(packets(place, "in_port=1 ") > before);
    ofctl(place, "add-flow br0 priority=50000,icmp,icmp_type=0,actions=drop");
    assert!(!machines.ping(""), "the new rule holds as soon as it was acknowledged");
    assert!(packets(place, "icmp_type=0") >= 1);
    ofctl(place, "--strict del-flows br0 priority=50000,icmp,icmp_type=0");
    assert!(machines.ping(""));
}

#[test]
fn a_bridge_without_a_controller_is_a_learning_switch() {
    if !can_make_namespaces("learning switch") {
        return;
    }
    let machines = Machines::new();
    let place = &machines.place;
    let config = place.write("node.toml", &TWO_PORTS.replace("fail_mode = \"secure\"\n", ""));
    let _daemon = Daemon::start(place, &config, "br0");
    assert!(ofctl(place, "--no-stats dump-flows br0").contains(" priority=0 actions=NORMAL"));
    wait_for("a reply", || machines.ping(""));
    place.sh("ip addr add 10.0.0.3/24 dev br0 && ip link set br0 up");
    wait_for("a reply by LOCAL", || place.try_sh("ping -c 1 -W 1 10.0.0.2").status.success());
}

#[test]
fn a_packet_teaches_a_rule() {
    if !can_make_namespaces("learn") {
        return;
    }
    let machines = Machines::new();
    let place = &machines.place;
    let config = place.write("node.toml", TWO_PORTS);
    let _daemon = Daemon::start(place, &config, "br0");
    ofctl(
        place,
        "add-flow br0 'actions=learn(table=1,hard_timeout=60,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),resubmit(,1)'",
    );
    ofctl(place, "add-flow br0 table=1,priority=0,actions=flood");
    wait_for("a reply", || machines.ping(""));
    wait_for("what was learned", || {
        let rules = ofctl(place, "--no-stats dump-flows br0 table=1");
        rules.contains("hard_timeout=60, dl_dst=02:00:00:00:00:01 actions=output:1")
            && rules.contains("hard_timeout=60, dl_dst=02:00:00:00:00:02 actions=output:2")
    });
}

#[test]
fn patch_ports_join_two_bridges() {
    if !can_make_namespaces("patch ports") {
        return;
    }
    let machines = Machines::new();
    let place = &machines.place;
    let config = place.write(
        "node.toml",
        "[[bridge]]\nname = \"br0\"\n[[bridge.port]]\nname = \"p1\"\n[[bridge.port]]\nname = \"x\"\nkind = \"patch\"\npeer = \"y\"\n\
         [[bridge]]\nname = \"br1\"\n[[bridge.port]]\nname = \"p2\"\n[[bridge.port]]\nname = \"y\"\nkind = \"patch\"\npeer = \"x\"\n",
    );
    let _daemon = Daemon::start(place, &config, "br1");
    wait_for("a reply", || machines.ping(""));
    assert!(!ofctl(place, "dump-ports br0 x").contains("rx pkts=0"), "a patch port counts");
}

#[test]
fn a_packet_out_goes_where_its_actions_say() {
    if !can_make_namespaces("packet-out") {
        return;
    }
    let machines = Machines::new();
    let place = &machines.place;
    let config = place.write("node.toml", TWO_PORTS);
    let daemon = Daemon::start(place, &config, "br0");
    wait_for("p2", || daemon.log().contains("p2: opened"));
    let packet = "ffffffffffff02000000000908060001080006040001020000000009 0a000009 000000000000 0a000002".replace(' ', "");
    let sent = |place: &Place| {
        let text = ofctl(place, "dump-ports br0 p2");
        text.split("tx pkts=").nth(1).and_then(|t| t.split(',').next()).and_then(|t| t.parse::<u64>().ok()).expect("a count")
    };
    let before = sent(place);
    ofctl(place, &format!("packet-out br0 'in_port=1 packet={packet} actions=2'"));
    wait_for("the packet", || sent(place) > before);
    ofctl(place, "add-flow br0 arp,actions=p2");
    ofctl(place, &format!("packet-out br0 'in_port=1 packet={packet} actions=table'"));
    wait_for("the rule to count", || packets(place, "arp") >= 1);
}

#[test]
fn af_xdp_serves_where_it_is_asked_for_and_is_gone_even_after_a_kill() {
    if !can_make_namespaces("AF_XDP") {
        return;
    }
    let machines = Machines::new();
    let place = &machines.place;
    let text = TWO_PORTS.replace("ofport_request", "io = \"afxdp\"\nofport_request");
    let config = place.write("node.toml", &text);
    let daemon = Daemon::start(place, &config, "br0");
    ofctl(place, "add-flow br0 actions=normal");
    wait_for("a reply", || machines.ping(""));
    assert!(machines.ping("-s 1400"));
    assert!(place.sh("ip -d link show p1").contains("xdp"), "it is AF_XDP that serves");
    drop(daemon); // killed
    wait_for("the program to go", || !place.sh("ip -d link show p1").contains("xdp"));
}

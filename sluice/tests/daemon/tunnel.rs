//! VXLAN with the Linux kernel at the other end.

use super::support::{can_make_namespaces, wait_for, Daemon, Place};
use super::ofctl;

/// A machine on port `vm1` with 10.9.0.1, and a kernel with a vxlan device, VNI 123 and 10.9.0.2 at
/// the other end of `u0`.
struct Peers {
    place: Place,
    machine: String,
    kernel: String,
}

impl Peers {
    fn new() -> Peers {
        let place = Place::new();
        let (machine, kernel) = (format!("{}m", place.netns), format!("{}k", place.netns));
        let peers = Peers { place, machine, kernel };
        let (m, k) = (&peers.machine, &peers.kernel);
        peers.place.host(&format!("ip netns add {m} && ip netns add {k}"));
        peers.place.sh(&format!(
            "ip link add vm1 type veth peer name eth0 netns {m} && ip link set vm1 up && \
             ip link add u0 type veth peer name eth0 netns {k} && ip link set u0 up"
        ));
        peers.place.host(&format!(
            "ip -n {m} link set eth0 mtu 1450 up && ip -n {m} addr add 10.9.0.1/24 dev eth0 && \
             ip -n {k} addr add 192.0.2.2/24 dev eth0 && ip -n {k} link set eth0 up && \
             ip -n {k} link add vx0 type vxlan id 123 local 192.0.2.2 remote 192.0.2.1 dstport 4789 && \
             ip -n {k} addr add 10.9.0.2/24 dev vx0 && ip -n {k} link set vx0 up"
        ));
        peers
    }

    fn ping(&self, options: &str) -> bool {
        let command = format!("ip netns exec {} ping -c 1 -W 1 {options} 10.9.0.2", self.machine);
        self.place.try_sh(&command).status.success()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for name in [&self.machine, &self.kernel] {
            let _ = std::process::Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

const FLOW_TUNNEL: &str = "\
[[bridge]]
name = \"br-int\"
fail_mode = \"secure\"
[[bridge.port]]
name = \"vm1\"
ofport_request = 1
[[bridge.port]]
name = \"vx\"
kind = \"vxlan\"
remote_ip = \"flow\"
local_ip = \"192.0.2.1\"
key = \"flow\"
ofport_request = 2
";

fn add_rules(place: &Place) {
    ofctl(place, "add-flow br-int 'in_port=1,actions=set_field:123->tun_id,set_field:192.0.2.2->tun_dst,output:2'");
    ofctl(place, "add-flow br-int 'in_port=2,tun_id=123,tun_src=192.0.2.2,tun_dst=192.0.2.1,actions=output:1'");
}

fn crossed(place: &Place) -> bool {
    let counts = ofctl(place, "dump-ports br-int vx");
    !counts.contains("rx pkts=0") && !counts.contains("tx pkts=0")
}

#[test]
fn a_tunnel_over_a_device_that_stays_the_hosts_reaches_the_kernel() {
    if !can_make_namespaces("VXLAN over a host's device") {
        return;
    }
    let peers = Peers::new();
    let place = &peers.place;
    place.sh("ip addr add 192.0.2.1/24 dev u0");
    let config = place.write("node.toml", &format!("{FLOW_TUNNEL}[[underlay]]\ndevice = \"u0\"\n"));
    let daemon = Daemon::start(place, &config, "br-int");
    add_rules(place);
    wait_for("a reply through the tunnel", || peers.ping(""));
    assert!(peers.ping("-s 1422 -M do"), "a packet as large as fits");
    assert!(crossed(place));
    // A machine that thinks that more fits is told, and knows from then on.
    place.host(&format!("ip -n {} link set eth0 mtu 1500", peers.machine));
    assert!(!peers.ping("-s 1472 -M do"), "too big for the tunnel");
    let route = place.sh(&format!("ip -n {} route get 10.9.0.2", peers.machine));
    assert!(route.contains("mtu 1450"), "{route}");
    wait_for("packets that their sender cuts by that", || peers.ping("-s 4000"));
    assert!(place.try_sh("ping -c 1 -W 1 192.0.2.2").status.success(), "the host still has its device");
    assert_eq!(daemon.stop(), Some(0));
    assert!(!place.sh("ip -d link show u0").contains("xdp"));
}

#[test]
fn a_tunnel_over_a_bridge_of_our_own_reaches_the_kernel() {
    if !can_make_namespaces("VXLAN over LOCAL") {
        return;
    }
    let peers = Peers::new();
    let place = &peers.place;
    let under = "[[bridge]]\nname = \"br-phy\"\n[[bridge.port]]\nname = \"u0\"\n";
    let config = place.write("node.toml", &format!("{FLOW_TUNNEL}{under}"));
    let daemon = Daemon::start(place, &config, "br-phy");
    wait_for("LOCAL", || daemon.log().contains("br-phy: opened"));
    place.sh("ip addr add 192.0.2.1/24 dev br-phy && ip link set br-phy up");
    add_rules(place);
    wait_for("a reply through the tunnel", || peers.ping(""));
    assert!(peers.ping("-s 1422 -M do"), "a packet as large as fits");
    assert!(crossed(place));
}

//! A device's receive queues at several workers: placed, moved under traffic, gone and back; and the device as
//! it was when the switch lets go of it.

use std::process::Stdio;

use crate::node::Node;
use crate::support::{can_make_namespaces, wait_for};

/// 16 flows from `eb` to `fb`, numbered: how many arrived, and how many behind a later one of their flow.
const TRAFFIC: &str = r#"
import socket, struct, sys, time
FLOWS, ROUNDS = 16, int(sys.argv[1])
a = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
a.bind(("eb", 0))
b = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
b.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
b.bind(("fb", 0))
b.setblocking(False)
ethernet = bytes([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0])
ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 46, 0, 0, 64, 17, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
expected, got, late = [0] * FLOWS, 0, 0
def drain():
    global got, late
    while True:
        try: f = b.recv(2048)
        except BlockingIOError: return
        if f[6:12] != ethernet[6:12]: continue
        flow, n = struct.unpack(">H", f[34:36])[0] - 4000, struct.unpack(">I", f[42:46])[0]
        got += 1
        if n < expected[flow]: late += 1
        expected[flow] = n + 1
for n in range(ROUNDS):
    for flow in range(FLOWS):
        a.send(ethernet + ip + struct.pack(">HHHHI", 4000 + flow, 9, 26, 0, n) + bytes(14))
    drain()
    time.sleep(0.001)
end = time.time() + 5
while got < FLOWS * ROUNDS and time.time() < end:
    drain()
    time.sleep(0.01)
print(f"sent {FLOWS * ROUNDS} received {got} late {late}")
"#;

const MANY: &str = "numrxqueues 4 numtxqueues 4";

impl Node {
    /// A pair whose near end has one receive queue in use and may have four. It has its name last: until then
    /// no switch takes it.
    fn wide_veth(&self, near: &str, far: &str) {
        self.place.sh(&format!(
            "ip link add new0 {MANY} type veth peer name {far} {MANY} && ethtool -L new0 rx 1 tx 1 && ethtool -L {far} rx 1 tx 2; \
             for i in new0 {far}; do sysctl -qw net.ipv6.conf.$i.disable_ipv6=1; done; \
             ip link set new0 name {near} && ip link set {near} up && ip link set {far} up"
        ));
    }

    /// The CPUs of the workers that have the queues of `ea`, in order; more for one that is nowhere or twice.
    fn seats(&self) -> Vec<(u16, u16)> {
        let socket = self.file("switch.ctl");
        let text = self.place.sh(&format!("ovs-appctl -t {} dpif-netdev/pmd-rxq-show", socket.display()));
        let mut all = Vec::new();
        for worker in text.split("pmd thread").skip(1) {
            let Some(cpu) = worker.split("core_id ").nth(1).and_then(|t| t.split(':').next()?.parse().ok()) else { continue };
            for line in worker.lines().filter(|l| l.contains("port: ea ")) {
                let queue = line.split("queue-id:").nth(1).and_then(|t| t.split_whitespace().next()?.parse().ok());
                all.push((queue.expect("a queue's number"), cpu));
            }
        }
        all.sort_unstable();
        all
    }

    fn received_by_workers(&self) -> Vec<u64> {
        let socket = self.file("switch.ctl");
        let text = self.place.sh(&format!("ovs-appctl -t {} dpif-netdev/pmd-stats-show", socket.display()));
        text.lines().filter_map(|l| l.trim().strip_prefix("packets received: ")?.parse().ok()).collect()
    }

    fn receive_queues(&self) -> String {
        let text = self.place.sh("ethtool -l ea");
        let now = text.split("Current hardware settings:").nth(1).unwrap_or_default();
        now.lines().find_map(|l| l.strip_prefix("RX:")).unwrap_or_default().trim().to_string()
    }

    fn takes_tags(&self) -> bool {
        self.place.sh("ethtool -k ea").contains("rx-vlan-offload: on")
    }

    /// Starts the traffic.
    fn traffic(&self, rounds: u32) -> std::process::Child {
        let script = self.place.write("traffic.py", TRAFFIC);
        let mut python = self.place.in_namespace("python3");
        python.arg(script).arg(rounds.to_string()).stdout(Stdio::piped());
        python.spawn().expect("python3")
    }

    fn wish(&self, affinity: &str) {
        self.vsctl(&format!("set interface ea other_config:pmd-rxq-affinity=\"{affinity}\""));
    }

    fn counted(&self, command: &str, line: &str, word: &str) -> u64 {
        let text = self.ofctl(command);
        let at = text.find(line).unwrap_or_else(|| panic!("{line} is not in {text}"));
        let number = text[at..].split(word).nth(1).map(|t| t.chars().take_while(char::is_ascii_digit).collect::<String>());
        number.and_then(|n| n.parse().ok()).expect("a count")
    }
}

fn arrived(traffic: std::process::Child) -> String {
    let told = traffic.wait_with_output().expect("the traffic ends");
    String::from_utf8_lossy(&told.stdout).trim().to_string()
}

#[test]
fn queues_of_one_device_are_served_by_two_workers_and_no_flow_loses_its_order() {
    if !can_make_namespaces("receive queues") {
        return;
    }
    if !std::path::Path::new("/sys/devices/system/cpu/cpu1").exists() {
        return println!("receive queues: SKIPPED, it needs two CPUs");
    }
    let mut node = Node::start();
    node.wide_veth("ea", "eb");
    node.place.veth("fa", "fb");
    node.vsctl("set Open_vSwitch . other_config:pmd-cpu-mask=3 -- add-br br0");
    node.vsctl(
        "add-port br0 ea -- set interface ea type=afxdp ofport_request=1 options:n_rxq=2 other_config:pmd-rxq-affinity=\"0:0,1:1\" \
         -- add-port br0 fa -- set interface fa type=afxdp ofport_request=2",
    );
    node.ofctl("del-flows br0");
    node.ofctl("add-flow br0 in_port=1,actions=output:2");
    let apart = [(0, 0), (1, 1)];
    wait_for("each queue at its worker", || node.seats() == apart);
    assert_eq!((node.receive_queues().as_str(), node.takes_tags()), ("2", false));

    let traffic = node.traffic(1500);
    for (wish, seats) in [("0:1,1:0", [(0, 1), (1, 0)]), ("0:0,1:0", [(0, 0), (1, 0)]), ("0:1,1:1", [(0, 1), (1, 1)]), ("0:0,1:1", apart)] {
        node.wish(wish);
        wait_for("the wish", || node.seats() == seats);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // Queues go where workers are.
    for (mask, cpus) in [("1", vec![0]), ("3", vec![0, 1])] {
        node.vsctl(&format!("set Open_vSwitch . other_config:pmd-cpu-mask={mask}"));
        wait_for("queues on these CPUs", || {
            let seats = node.seats();
            seats.len() == 2 && cpus.iter().all(|cpu| seats.iter().any(|(_, c)| c == cpu))
        });
    }
    assert_eq!(arrived(traffic), "sent 24000 received 24000 late 0");
    wait_for("the rule's count", || node.counted("dump-flows br0", "table=0", "n_packets=") == 24000);
    wait_for("the device's count", || node.counted("dump-ports br0 1", "port ", "rx pkts=") == 24000);

    // What it may hand in is counted in one place.
    node.vsctl("set interface ea ingress_policing_rate=1000000");
    wait_for("both queues at one worker", || matches!(node.seats()[..], [(0, a), (1, b)] if a == b));
    assert_eq!(arrived(node.traffic(50)), "sent 800 received 800 late 0");
    node.vsctl("set interface ea ingress_policing_rate=0");
    wait_for("each queue at its worker", || node.seats() == apart);

    // The device goes and comes back.
    node.place.sh("ip link del ea");
    node.wide_veth("ea", "eb");
    wait_for("the queues of the device that came back", || node.receive_queues() == "2" && node.seats() == apart);
    let before = node.received_by_workers();
    assert_eq!(arrived(node.traffic(200)), "sent 3200 received 3200 late 0");
    let each = node.received_by_workers().iter().zip(before).map(|(now, then)| now - then).collect::<Vec<_>>();
    assert!(each.len() == 2 && each.iter().sum::<u64>() >= 3200 && each.iter().all(|n| *n > 200), "{each:?}");
    assert!(!node.log().contains("|ERR|"), "{}", node.log());

    // It is as it was when the switch ends.
    let mut switch = node.switch.take().expect("a switch");
    switch.signal("TERM");
    switch.0.wait().expect("sluiced ends");
    drop(switch);
    assert_eq!((node.receive_queues().as_str(), node.takes_tags()), ("1", true));
    // And when it was killed, as soon as the next one starts, also where nobody wants the device any more.
    node.start_switch();
    wait_for("each queue at its worker", || node.seats() == apart);
    node.switch.take().expect("a switch").kill();
    assert_eq!(node.receive_queues(), "2");
    node.vsctl("--no-wait del-port br0 ea");
    node.start_switch();
    wait_for("the device as it was", || node.receive_queues() == "1" && node.takes_tags());
}

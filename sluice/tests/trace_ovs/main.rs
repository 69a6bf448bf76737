//! The same made-up rules and packets in two switches, a stock Open vSwitch and ours: `ofproto/trace`
//! says the same of every packet.
//!
//! `SLUICE_PAIRS=20000` makes the long form of it.

#[path = "../database/node.rs"]
#[allow(dead_code)] // a part of it is enough here
mod node;
#[path = "../support/mod.rs"]
mod support;
#[path = "../corpus/canon.rs"]
mod canon;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use node::Node;
use sluice_naive::generate::{scenario, topology};
use sluice_naive::world::OPTIONS;
use sluice_naive::{Input, World};
use support::{can_make_namespaces, wait_for};

const RULES: usize = 40;
const PACKETS: usize = 50;

fn pairs() -> usize {
    std::env::var("SLUICE_PAIRS").ok().and_then(|n| n.parse().ok()).unwrap_or(400)
}

fn first_seed() -> u64 {
    std::env::var("SLUICE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// A switch with its database and the ports of the made-up worlds.
struct Subject {
    node: Node,
    control: UnixStream,
}

impl Subject {
    fn start(program: &str) -> Subject {
        let mut node = Node::without_switch();
        let mut words = Vec::new();
        for (b, bridge) in topology().bridges.iter().enumerate() {
            words.push(format!("add-br br{b} -- set bridge br{b} datapath_type=netdev fail_mode=secure other_config:disable-in-band=true"));
            for port in &bridge.ports {
                let name = port_name(b, port.number);
                words.push(format!("add-port br{b} {name} -- set interface {name} ofport_request={}", port.number));
                match port.peer {
                    Some((bridge, number)) => {
                        words.push(format!("set interface {name} type=patch options:peer={}", port_name(bridge, number)));
                    }
                    None => node.place.veth(&name, &format!("q{name}")),
                }
                if let Some(tag) = port.settings.tag {
                    words.push(format!("set port {name} tag={tag}"));
                }
            }
        }
        node.spawn_switch(program);
        node.vsctl(&format!("--timeout=30 {}", words.join(" -- ")));
        let socket = node.file("switch.ctl");
        wait_for("the control socket", || UnixStream::connect(&socket).is_ok());
        let control = UnixStream::connect(&socket).expect("the control socket");
        control.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        let subject = Subject { node, control };
        let maps: Vec<String> = OPTIONS
            .iter()
            .map(|(n, m)| format!("{{class={},type={},len={}}}->tun_metadata{n}", m.class, m.kind, m.len))
            .collect();
        for b in 0..topology().bridges.len() {
            let target = subject.node.file(&format!("br{b}.mgmt"));
            subject.feed(&format!("ovs-ofctl add-tlv-map unix:{} '{}'", target.display(), maps.join(",")), "");
        }
        subject
    }

    fn load(&self, world: &World) {
        for (b, bridge) in world.bridges.iter().enumerate() {
            let versions = "ovs-ofctl -O OpenFlow10,OpenFlow13,OpenFlow15";
            let target = format!("unix:{}", self.node.file(&format!("br{b}.mgmt")).display());
            // Rules first: 3.1 stops when a group goes that a rule names twice.
            self.feed(&format!("{versions} del-flows {target} && {versions} del-groups {target}"), "");
            let groups: Vec<&str> = bridge.groups.iter().map(|(line, _)| line.as_str()).collect();
            if !groups.is_empty() {
                self.feed(&format!("ovs-ofctl -O OpenFlow15 add-groups {target} -"), &groups.join("\n"));
            }
            self.feed(&format!("{versions} add-flows {target} -"), &bridge.text.join("\n"));
        }
        let _ = self.node.place.try_sh(&format!("ovs-appctl -t {} fdb/flush", self.node.file("switch.ctl").display()));
    }

    fn feed(&self, script: &str, text: &str) {
        let mut command = self.node.place.in_namespace("sh");
        let command = command.args(["-c", script]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("ovs-ofctl");
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("ovs-ofctl");
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn trace(&mut self, input: &Input) -> String {
        let flow = format!("in_port={}", port_name(input.bridge, input.port));
        let packet: String = input.bytes.iter().map(|b| format!("{b:02x}")).collect();
        let bridge = format!("br{}", input.bridge);
        let request = serde_json::json!({ "id": 0, "method": "ofproto/trace", "params": ["--names", bridge, flow, packet] });
        self.control.write_all(request.to_string().as_bytes()).expect("written");
        let mut answer = Vec::new();
        let mut bytes = [0; 65536];
        loop {
            let n = self.control.read(&mut bytes).expect("an answer");
            assert!(n > 0, "the switch has gone");
            answer.extend_from_slice(&bytes[..n]);
            if let Ok(value) = serde_json::from_slice::<serde_json::Value>(&answer) {
                let text = value["result"].as_str().or(value["error"].as_str()).unwrap_or_default();
                return canon::canon(&text.replace("b0_", "p").replace("b1_", "p"));
            }
        }
    }
}

fn port_name(bridge: usize, port: u32) -> String {
    format!("b{bridge}_{port}")
}

/// A flood's ports have no order: where there is one, the list of outputs is left out.
fn without_order(text: String) -> String {
    let floods = ["flooding\n", " FLOOD\n", " ALL\n"].iter().any(|word| text.contains(word));
    let keep = |line: &&str| !(floods && line.starts_with("Datapath actions: "));
    // Behind a patch port Open vSwitch shows a rule of its own making for "no match"; we say it.
    let text = text.replace("reg0=0x2, priority 0\n", "No match.\n");
    text.lines().filter(keep).collect::<Vec<_>>().join("\n")
}

#[test]
fn traces_say_what_a_stock_switch_says() {
    let test = "traces beside Open vSwitch";
    if !can_make_namespaces(test) {
        return;
    }
    if !Command::new("ovs-vswitchd").arg("--version").output().is_ok_and(|o| o.status.success()) {
        return println!("{test}: SKIPPED, ovs-vswitchd is not installed (apt install openvswitch-switch)");
    }
    let mut stock = Subject::start("ovs-vswitchd");
    let mut ours = Subject::start(env!("CARGO_BIN_EXE_sluiced"));
    let (mut compared, mut taught, mut wrong) = (0, 0, 0);
    for seed in first_seed()..first_seed() + pairs().div_ceil(PACKETS) as u64 {
        let s = scenario(seed, RULES, PACKETS).expect("a scenario");
        stock.load(&s.world);
        ours.load(&s.world);
        for (i, packet) in s.packets.iter().enumerate() {
            let (expected, got) = (stock.trace(packet), ours.trace(packet));
            // Ours is there from the next packet on; a stock switch's meets the same packet further on.
            if expected.contains(" -> table=") {
                taught += 1;
                continue;
            }
            let (expected, got) = (without_order(expected), without_order(got));
            compared += 1;
            if expected != got {
                wrong += 1;
                println!("seed {seed} packet {i} on br{}:{}\n--- Open vSwitch\n{expected}\n--- ours\n{got}", packet.bridge, packet.port);
                break;
            }
        }
        if wrong >= 5 {
            break;
        }
    }
    println!("{test}: {compared} compared, {taught} that teach a rule left out, {wrong} differ");
    assert_eq!(wrong, 0);
}

//! Connection tracking does what a stock Open vSwitch's userspace tracker does: the same packets leave by
//! the same ports with the same state, mark, label and addresses, and the tables of connections are
//! the same in the end.
//!
//! `SLUICE_ROUNDS=200` makes the long form of it, `SLUICE_SEED=n` starts elsewhere.

#[path = "../engine/mod.rs"]
mod engine;
#[path = "../ovs/mod.rs"]
mod ovs;
mod packets;
mod talk;

use engine::Engine;
use ovs::Ovs;
use sluice_naive::compare::show;
use sluice_naive::generate::topology;
use sluice_naive::{by_port, Input, Output, Subject, World};
use sluice_openflow::text::{parse_flow_line, Names};

/// Shows what the tracker said in the addresses of the frame, and sends it on to the other side.
const SHOW: &str = "move:NXM_NX_CT_STATE[]->NXM_OF_ETH_SRC[0..31],move:NXM_NX_CT_ZONE[]->NXM_OF_ETH_SRC[32..47],\
move:NXM_NX_CT_MARK[]->NXM_OF_ETH_DST[0..31],move:NXM_NX_CT_LABEL[0..15]->NXM_OF_ETH_DST[32..47]";

/// A bridge's rules; the other bridge has none.
fn world(lines: &[String]) -> World {
    let mut world = topology();
    let names = Names::new();
    let rules = lines.iter().map(|l| parse_flow_line(l, &names).unwrap_or_else(|e| panic!("{l}: {e:?}")).0).collect();
    world.bridges[0].rules = rules;
    world.bridges[0].text = lines.to_vec();
    world
}

struct Pair {
    ovs: Ovs,
    engine: Engine,
    start: std::time::Instant,
}

impl Pair {
    fn start(tag: &str) -> Option<Pair> {
        if !Ovs::installed() {
            println!("{tag}: SKIPPED, no stock Open vSwitch here (apt-get install openvswitch-switch)");
            return None;
        }
        let ovs = Ovs::start(tag).unwrap();
        Some(Pair { ovs, engine: Engine::default(), start: std::time::Instant::now() })
    }

    fn load(&mut self, lines: &[String]) {
        let world = world(lines);
        self.ovs.load(&world).unwrap();
        self.ovs.appctl("dpctl/flush-conntrack", &[]).unwrap();
        self.engine.load(&world).unwrap();
    }

    /// What both did with a frame: (ours, theirs).
    fn send(&mut self, port: u32, bytes: &[u8]) -> (Vec<Output>, Vec<Output>) {
        let input = Input { bridge: 0, port, bytes: bytes.to_vec() };
        let now = self.start.elapsed().as_millis() as u64;
        let theirs = by_port(self.ovs.packet(&input, now).unwrap());
        (by_port(self.engine.packet(&input, now).unwrap()), theirs)
    }

    fn dumps(&mut self) -> (Vec<String>, Vec<String>) {
        let now = self.start.elapsed().as_millis() as u64;
        let sorted = |text: String| {
            let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
            lines.sort();
            lines
        };
        let theirs = self.ovs.appctl("dpctl/dump-conntrack", &["-m"]).unwrap();
        (sorted(self.engine.dump_connections(now)), sorted(theirs))
    }

    /// Sends frames and compares after each; gives the first difference.
    fn compare(&mut self, frames: &[talk::Sent]) -> Result<(), String> {
        for (i, s) in frames.iter().enumerate() {
            let (ours, theirs) = self.send(s.port, &s.bytes);
            if ours != theirs {
                let story: Vec<&str> = frames[..=i].iter().map(|s| s.what.as_str()).collect();
                return Err(format!("frame {i} {}: ours {}\n theirs {}\n{}", s.what, show(&ours), show(&theirs), story.join("\n")));
            }
        }
        let (ours, theirs) = self.dumps();
        if ours == theirs {
            return Ok(());
        }
        let (more, less): (Vec<_>, Vec<_>) =
            (ours.iter().filter(|l| !theirs.contains(l)).collect(), theirs.iter().filter(|l| !ours.contains(l)).collect());
        let story: Vec<&str> = frames.iter().map(|s| s.what.as_str()).collect();
        Err(format!("connections: ours {more:#?}\n theirs {less:#?}\n{}", story.join("\n")))
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Random talks under the same rules; every round another seed.
fn rounds(tag: &str, rules: &[String], rounds: u64, steps: usize, family: talk::Family) {
    let Some(mut pair) = Pair::start(tag) else { return };
    let (rounds, first) = (number("SLUICE_ROUNDS", rounds), number("SLUICE_SEED", 1));
    let mut failures = Vec::new();
    for seed in first..first + rounds {
        pair.load(rules);
        if let Err(e) = pair.compare(&talk::random(seed, steps, family)) {
            println!("{tag} seed {seed}: {e}");
            failures.push(seed);
        }
        if failures.len() >= 3 {
            break;
        }
    }
    println!("{tag}: {rounds} rounds of {steps} frames");
    assert!(failures.is_empty(), "{tag}: seeds {failures:?}");
}

fn lines(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for line in text.replace("SHOW", SHOW).lines().map(str::trim).filter(|l| !l.is_empty()) {
        for family in ["ip", "ipv6"] {
            if family == "ip" || line.contains("FAMILY") {
                all.push(line.replace("FAMILY", family));
            }
        }
    }
    all
}

/// Commits what comes from port 1, shows all.
fn firewall() -> Vec<String> {
    lines(
        "table=0,priority=10,FAMILY,actions=ct(table=1,zone=5)
         table=1,priority=10,FAMILY,ct_state=+trk+new,in_port=1,actions=ct(commit,zone=5,exec(set_field:0x7->ct_mark,set_field:0x1234->ct_label)),resubmit(,2)
         table=1,priority=1,actions=resubmit(,2)
         table=2,priority=10,in_port=1,actions=SHOW,output:2
         table=2,priority=10,in_port=2,actions=SHOW,output:1",
    )
}

#[test]
fn a_stateful_firewall_judges_every_packet_alike() {
    rounds("ct-fw", &firewall(), 12, 120, talk::Family::V4);
}

#[test]
fn a_stateful_firewall_judges_ipv6_alike() {
    rounds("ct-fw6", &firewall(), 6, 120, talk::Family::V6);
}

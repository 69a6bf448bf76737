//! The rule table of a real Neutron agent with a hundred ports and its security groups: connections through
//! it are forwarded, denied and tracked as a stock Open vSwitch does.

#[path = "engine/mod.rs"]
mod engine;
#[path = "ovs/mod.rs"]
mod ovs;
#[path = "conntrack/packets.rs"]
mod packets;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;

use engine::Engine;
use ovs::Ovs;
use packets::Tcp;
use sluice_naive::compare::{counts, show};
use sluice_naive::generate::random::Random;
use sluice_naive::{by_port, BridgeSpec, Input, PortSettings, PortSpec, Subject, World};
use sluice_openflow::text::{parse_flow_line, Names};

const TABLE: &str = "neutron/corpus-zed-100ports-br-int.flows.zst";
const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;

fn lines() -> Option<Vec<String>> {
    let shared = std::env::var_os("SLUICE_SHARED").map_or(PathBuf::from("../../../shared"), PathBuf::from);
    let out = Command::new("zstd").arg("-dqc").arg(shared.join(TABLE)).output().ok()?;
    let text = String::from_utf8(out.stdout).ok().filter(|t| !t.is_empty())?;
    Some(text.lines().filter(|l| !l.is_empty()).map(|l| l.replacen(" actions=", ",actions=", 1)).collect())
}

/// A virtual machine's port, as the rules against spoofing tell it.
#[derive(Clone, Debug)]
struct Machine {
    port: u32,
    mac: [u8; 6],
    ip: Ipv4Addr,
}

fn machines(lines: &[String]) -> Vec<Machine> {
    let value = |l: &str, name: &str| Some(l.split([',', ' ']).find_map(|w| w.strip_prefix(name))?.to_string());
    let machine = |l: &String| {
        let mac: Vec<u8> = value(l, "dl_src=")?.split(':').filter_map(|b| u8::from_str_radix(b, 16).ok()).collect();
        Some(Machine { port: value(l, "in_port=")?.parse().ok()?, mac: mac.try_into().ok()?, ip: value(l, "nw_src=")?.parse().ok()? })
    };
    lines.iter().filter(|l| l.contains("table=71,") && l.contains("priority=65,ip,")).filter_map(machine).collect()
}

fn world(lines: &[String]) -> World {
    let mut last = 1;
    for l in lines {
        for word in l.split([',', ' ', '=']) {
            if let Some(n) = word.strip_prefix("output:").and_then(|n| n.parse::<u32>().ok()) {
                last = last.max(n);
            }
        }
    }
    let ports = (1..=last).map(|number| PortSpec { number, settings: PortSettings::default(), peer: None }).collect();
    let names = Names::new();
    let rules = lines.iter().map(|l| parse_flow_line(l, &names).unwrap_or_else(|e| panic!("{l}: {e:?}")).0).collect();
    let bridge = BridgeSpec { ports, text: lines.to_vec(), rules, ..BridgeSpec::default() };
    World { bridges: vec![bridge, BridgeSpec { ports: vec![PortSpec { number: 1, settings: PortSettings::default(), peer: None }], ..BridgeSpec::default() }] }
}

fn frame(from: &Machine, to: &Machine, proto: u8, l4: &[u8]) -> Input {
    let mut bytes = packets::frame(&packets::ip(from.ip.into(), to.ip.into(), proto, 0x4000, l4));
    bytes[..6].copy_from_slice(&to.mac);
    bytes[6..12].copy_from_slice(&from.mac);
    Input { bridge: 0, port: from.port, bytes }
}

/// A connection from one machine to another: what both ends say, whether they hear it or not.
fn conversation(r: &mut Random, machines: &[Machine], n: u16) -> Vec<Input> {
    let (a, b) = (r.pick(machines), r.pick(machines));
    let (src, dst): (IpAddr, IpAddr) = (a.ip.into(), b.ip.into());
    let (sport, dport) = (20_000 + n, r.pick(&[22u16, 80, 443, 53, 3306, 8080, 5000, 1, 65_000]));
    match r.below(10) {
        0..=5 => {
            let seg = |from: &Machine, to: &Machine, ports, flags, seq, ack, payload| {
                let t = Tcp { ports, seq, ack, flags, window: 1000, scale: None, payload };
                frame(from, to, 6, &packets::tcp(from.ip.into(), to.ip.into(), &t))
            };
            let (there, back) = ((sport, dport), (dport, sport));
            vec![
                seg(&a, &b, there, SYN, 100, 0, 0),
                seg(&b, &a, back, SYN | ACK, 500, 101, 0),
                seg(&a, &b, there, ACK, 101, 501, 0),
                seg(&a, &b, there, ACK, 101, 501, 20),
                seg(&b, &a, back, ACK, 501, 121, 30),
                seg(&a, &b, there, ACK, 121, 531, 20),
                seg(&b, &a, back, ACK, 9_000_000, 141, 30),
                seg(&a, &b, there, FIN | ACK, 141, 531, 0),
            ]
        }
        6..=7 => {
            let there = packets::udp(src, dst, (sport, dport), 30);
            let back = packets::udp(dst, src, (dport, sport), 30);
            vec![frame(&a, &b, 17, &there), frame(&b, &a, 17, &back), frame(&a, &b, 17, &there), frame(&b, &a, 17, &back)]
        }
        _ => {
            let ask = packets::icmp(src, dst, 8, n, 30);
            let answer = packets::icmp(dst, src, 0, n, 30);
            vec![frame(&a, &b, 1, &ask), frame(&b, &a, 1, &answer), frame(&a, &b, 1, &ask)]
        }
    }
}

#[test]
fn connections_through_neutrons_tables_are_forwarded_and_denied_alike() {
    let test = "Neutron's tables";
    let Some(lines) = lines().filter(|_| Ovs::installed()) else {
        return println!("{test}: SKIPPED, no stock Open vSwitch or no table at $SLUICE_SHARED or ../shared (needs zstd)");
    };
    let world = world(&lines);
    let mut ovs = Ovs::start_on("neutron", &world).unwrap();
    ovs.load(&world).unwrap();
    let mut engine = Engine::default();
    engine.load(&world).unwrap();
    let machines = machines(&lines);
    let mut r = Random::new(std::env::var("SLUICE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(3));
    let conversations = std::env::var("SLUICE_ROUNDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    let (mut sent, mut delivered) = (0, 0);
    let start = std::time::Instant::now();
    for n in 0..conversations {
        for input in conversation(&mut r, &machines, n) {
            let now = start.elapsed().as_millis() as u64;
            let theirs = by_port(ovs.packet(&input, now).unwrap());
            let ours = by_port(engine.packet(&input, now).unwrap());
            sent += 1;
            delivered += usize::from(!ours.is_empty());
            let (mut a, mut b) = (ours.clone(), theirs.clone());
            a.sort();
            b.sort();
            assert_eq!(a, b, "conversation {n} from port {}: ours {}\n theirs {}", input.port, show(&ours), show(&theirs));
        }
    }
    let (ours, theirs) = (counts(engine.hits().unwrap()), counts(ovs.hits().unwrap()));
    let differing: Vec<_> = ours.iter().filter(|(k, v)| theirs.get(*k) != Some(v)).map(|(k, _)| k).collect();
    assert!(differing.is_empty(), "rules that count otherwise, by bridge, table and priority: {differing:?}");
    let lines_of = |text: String| {
        let mut all: Vec<String> = text.lines().map(str::to_string).collect();
        all.sort();
        all
    };
    let now = start.elapsed().as_millis() as u64;
    assert_eq!(lines_of(engine.dump_connections(now)), lines_of(ovs.appctl("dpctl/dump-conntrack", &["-m"]).unwrap()));
    println!("{test}: {} rules, {sent} packets, {delivered} delivered", lines.len());
    assert!(delivered * 10 > sent && delivered < sent, "some are allowed and some denied");
}

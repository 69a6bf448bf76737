//! What victims keep while a neighbour attacks: packets of theirs per second of CPU time, beside the same
//! with a neighbour that sends plain established traffic at that rate.
//!
//! `attack` prints a table and, as the last line, JSON. `attack captures DIR` writes the frames of each attack for other switches.
//! Victims send 10,000 flows by port 1; the attacker has port 3; each port is asked for as many frames.

use std::path::Path;

use serde_json::json;
use sluice::inline::Inline;
use sluice_benches::attack::{Attack, Frames, Source};
use sluice_benches::clock::cpu_ns;
use sluice_benches::traffic;
use sluice_flow::extract::extract;
use sluice_flow::hash::Seeds;
use sluice_flow::Key;
use sluice_openflow::text::{parse_flow_file, Names};
use sluice_openflow::version::Version;
use sluice_port::pcap::{Output, PcapPort, Repeat};

const FLOWS: usize = 1 << 20;
const VICTIM_FLOWS: u64 = 10_000;
const WARM_UP_NS: u64 = 300_000_000;
const WINDOW_NS: u64 = 400_000_000;
const ROUNDS: usize = 3;
/// Least part that victims must keep.
const KEPT: f64 = 0.8;
/// Frames of an attack in a capture.
const CAPTURED: usize = 100_000;
/// Bits of the hash in which colliding flows agree, and how many of them are sent.
const COLLIDING: (u64, usize) = (0xfff, 256);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => all(),
        ["captures", dir] => captures(Path::new(dir)),
        _ => Err("usage: attack [captures DIR]".into()),
    };
    if let Err(e) = done {
        eprintln!("attack: {e}");
        std::process::exit(1);
    }
}

/// Rules under which the attacker may send as the victims may.
fn rules(attack: Attack) -> String {
    match attack {
        Attack::MacFlood => "actions=NORMAL\n".into(),
        Attack::Ttl => "ip,in_port=1,actions=dec_ttl,output:2\nip,in_port=3,actions=dec_ttl,output:2\n".into(),
        _ => {
            let own = include_str!("../../rules/neutron.flows");
            let of_attacker = own.lines().filter(|l| l.contains("in_port=1") || l.contains("reg5=1") || l.contains(":00:00:01"));
            let of_attacker = of_attacker.map(|l| {
                l.replace("in_port=1", "in_port=3").replace("reg5=1", "reg5=3").replace(":00:00:01", ":00:00:03").replace("load:1->", "load:3->")
            });
            own.lines().map(str::to_string).chain(of_attacker).map(|l| l + "\n").collect()
        }
    }
}

fn switch(rules_of: Attack, attack: Attack) -> Result<Inline, String> {
    let mods = parse_flow_file(&rules(rules_of), &Names::new()).map_err(|e| e.to_string())?;
    let mut switch = Inline::new(4096, 2048, FLOWS).map_err(|e| e.to_string())?;
    switch.add_bridge(0);
    let mut victims = PcapPort::new("victims", Repeat::Forever, Output::Discard);
    traffic::frames(&traffic::flows(60), VICTIM_FLOWS).iter().for_each(|f| victims.push(f));
    switch.add_device(0, 1, Box::new(victims));
    // The receiver sends once, so that its address is known.
    let mut receiver = PcapPort::new("sink", Repeat::Times(1), Output::Discard);
    let mut hello = traffic::flows(60).frame(0);
    hello[..6].copy_from_slice(&traffic::SENDER);
    hello[6..12].copy_from_slice(&traffic::RECEIVER);
    receiver.push(&hello);
    switch.add_device(0, 2, Box::new(receiver));
    switch.add_device(0, 3, Box::new(Source::new(Frames::new(attack, colliding()))));
    switch.flow_mods(0, &mods, Version::V14).map_err(|e| format!("rule {}: {}", e.index + 1, e.error))?;
    Ok(switch)
}

/// Flows of the attacker that agree in the low bits of the hash of their key, whatever the cache compares beside.
fn colliding() -> Vec<[u8; 60]> {
    let mut frames = Frames::new(Attack::Explosion, Vec::new());
    let mut out = Vec::new();
    for _ in 0..COLLIDING.1 as u64 * (COLLIDING.0 + 1) * 2 {
        let frame = frames.next_frame();
        let mut key = Key::ZERO;
        extract(&frame, &sluice_wire::parse(&frame), &mut key);
        let mut words = [0; 5];
        words.copy_from_slice(&key.words[..5]);
        if Seeds::FIXED.hash5(&words) & COLLIDING.0 == 0 {
            out.push(frame);
        }
        if out.len() == COLLIDING.1 {
            break;
        }
    }
    out
}

/// Packets of the victims per microsecond of CPU time.
struct Subject {
    switch: Inline,
    turns: u64,
}

impl Subject {
    fn new(rules_of: Attack, attack: Attack) -> Result<Subject, String> {
        let mut subject = Subject { switch: switch(rules_of, attack)?, turns: 0 };
        subject.window(WARM_UP_NS);
        Ok(subject)
    }

    fn victims(&mut self) -> u64 {
        self.switch.worker().port(0).map_or(0, |p| p.stats().rx_packets)
    }

    fn window(&mut self, ns: u64) -> f64 {
        let (before, start) = (self.victims(), cpu_ns());
        loop {
            for _ in 0..50 {
                self.turns += 1;
                self.switch.turn(self.turns / 100);
            }
            let used = cpu_ns() - start;
            if used >= ns {
                return (self.victims() - before) as f64 * 1000.0 / used as f64;
            }
        }
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

fn all() -> Result<(), String> {
    println!("| attack | victims beside plain traffic, Mpps | beside the attack, Mpps | kept |\n|---|---:|---:|---:|");
    let mut rows = Vec::new();
    let mut lost = Vec::new();
    for attack in Attack::ALL.into_iter().skip(1) {
        let (mut plain, mut attacked) = (Subject::new(attack, Attack::Plain)?, Subject::new(attack, attack)?);
        let (mut before, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            before.push(plain.window(WINDOW_NS));
            beside.push(attacked.window(WINDOW_NS));
        }
        let (before, beside) = (median(before), median(beside));
        let kept = beside / before.max(1e-9);
        println!("| {} | {before:.2} | {beside:.2} | {:.0} % |", attack.name(), kept * 100.0);
        rows.push(json!({"attack": attack.name(), "plain": before, "attacked": beside, "kept": kept}));
        if kept < KEPT {
            lost.push(attack.name());
        }
    }
    println!("{}", json!(rows));
    match lost.is_empty() {
        true => Ok(()),
        false => Err(format!("victims keep less than {:.0} % beside: {}", KEPT * 100.0, lost.join(", "))),
    }
}

fn captures(dir: &Path) -> Result<(), String> {
    std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    for attack in Attack::ALL {
        let mut frames = Frames::new(attack, colliding());
        let all: Vec<[u8; 60]> = (0..CAPTURED).map(|_| frames.next_frame()).collect();
        let name = attack.name().replace(' ', "-");
        let write = |ext: &str, bytes: Vec<u8>| {
            let path = dir.join(format!("{name}.{ext}"));
            std::fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))
        };
        write("pcap", sluice_fixtures::write_pcap(&all))?;
        write("flows", rules(attack).into_bytes())?;
    }
    Ok(())
}

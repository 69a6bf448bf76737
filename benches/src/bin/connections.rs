//! What new connections cost, and what established ones keep while another port floods.
//!
//! `connections new` opens connections without end through the stateful Neutron tables and prints how many per second
//! of CPU time. `connections flood` fills the table with another port's SYNs and prints what 10,000 established
//! connections keep, beside the same port sending established traffic. `count=PACKETS` as a last word of `new`
//! runs that many packets and ends: for counting instructions. `connections write RULES CAPTURE COUNT` writes rules and
//! SYNs for other switches. The last line is JSON.

use std::os::fd::RawFd;

use serde_json::json;
use sluice::inline::Inline;
use sluice_benches::answers::exchange;
use sluice_benches::attack::{write_checksums, Attack, Frames, Source};
use sluice_benches::clock::cpu_ns;
use sluice_benches::traffic;
use sluice_fixtures::write_pcap;
use sluice_frame::{Frame, Pool};
use sluice_openflow::text::{parse_flow_file, Names};
use sluice_openflow::version::Version;
use sluice_port::{Offloads, Port, PortError, PortStats, SendOutcome};

const FLOWS: usize = 1 << 20;
const VICTIMS: u64 = 10_000;
/// Connections that the table may hold while it is flooded.
const TABLE: usize = 100_000;
/// The same while connections are opened without end: it is full, and each one ends another.
const TABLE_NEW: usize = 1_000_000;
const WARM_UP_NS: u64 = 500_000_000;
const WINDOW_NS: u64 = 500_000_000;
const ROUNDS: usize = 5;
/// Connections that are opened into an empty table: as many as the other switch is measured with.
const BIRTHS: u64 = 120_000;
/// SYNs that are repeated from memory: more than are opened between two emptyings of the table.
const RECORDED: usize = 200_000;
const KEPT: f64 = 0.8;
/// Turns that one millisecond of the switch's own time stands for.
const TURNS_PER_MS: u64 = 100;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["new"] => new(),
        ["new", count] => count.strip_prefix("count=").and_then(|n| n.parse().ok()).ok_or("count=PACKETS".into()).and_then(count_only),
        ["flood"] => flood(),
        ["write", rules, capture, count] => write(rules, capture, count),
        _ => Err("usage: connections new [count=PACKETS] | flood | write RULES CAPTURE COUNT".into()),
    };
    if let Err(e) = done {
        eprintln!("connections: {e}");
        std::process::exit(1);
    }
}

/// The stateful tables, with the attacker at port 3 and TCP allowed to the second guest.
fn rules() -> String {
    let own = include_str!("../../rules/neutron-ct.flows");
    let of_third = own.lines().filter(|l| l.contains("in_port=1") || l.contains("reg5=1") || l.contains(":00:00:01")).map(|l| {
        l.replace("in_port=1", "in_port=3").replace("reg5=1", "reg5=3").replace(":00:00:01", ":00:00:03").replace("load:1->", "load:3->").replace("output:1", "output:3")
    });
    let tcp = own.lines().filter(|l| l.contains("table=82") && l.contains("udp")).map(|l| l.replace("udp", "tcp"));
    own.lines().map(str::to_string).chain(of_third).chain(tcp).map(|l| l + "\n").collect()
}

/// A port that sends the same frames round and round.
struct Cycle {
    frames: Vec<Vec<u8>>,
    at: usize,
    /// Checksums were verified by the device.
    verified: bool,
    stats: PortStats,
}

impl Cycle {
    fn new(frames: Vec<Vec<u8>>, verified: bool) -> Box<Cycle> {
        Box::new(Cycle { frames, at: 0, verified, stats: PortStats::default() })
    }
}

impl Port for Cycle {
    fn name(&self) -> &str {
        "cycle"
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        for n in 0..max {
            let Some(bytes) = self.frames.get(self.at) else { return Ok(n) };
            let Some(mut frame) = pool.copy_in(bytes) else { return Ok(n) };
            frame.meta.csum_valid = self.verified;
            out.push(frame);
            self.at = (self.at + 1) % self.frames.len();
            self.stats.rx_packets += 1;
        }
        Ok(max)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        let sent = frames.len() as u32;
        frames.drain(..).for_each(|f| pool.free(f));
        SendOutcome { sent, ..SendOutcome::default() }
    }

    fn poll_fd(&self) -> Option<RawFd> {
        None
    }

    fn stats(&self) -> PortStats {
        self.stats
    }

    fn offloads(&self) -> Offloads {
        Offloads::NONE
    }
}

/// Frames of the victims, as from the port of this number.
fn talks(port: u8, count: u64) -> Vec<Vec<u8>> {
    // One who is silent: frames of no flow would be those of one.
    if count == 0 {
        return Vec::new();
    }
    let mut frames: Vec<Vec<u8>> = traffic::frames(&traffic::flows(60), count).iter().map(|f| f.to_vec()).collect();
    for f in frames.iter_mut().filter(|_| port != 1) {
        (f[11], f[27]) = (port, f[27] | 0x40);
    }
    frames
}

fn answered(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut all = frames.to_vec();
    all.iter_mut().for_each(|f| exchange(f));
    all
}

/// What comes in by port 3.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Third {
    /// Established traffic as the victims'.
    Talks,
    /// SYNs out of memory, as other switches get them, until none of them is new.
    Recorded,
    /// SYNs without end.
    Alone,
    /// The same, their checksums verified by the device as the victims' are.
    BesideVictims,
}

/// SYNs, each of a connection of its own, with right checksums.
fn recorded(count: usize) -> Vec<[u8; 60]> {
    let mut source = Frames::new(Attack::ConnectionFlood, Vec::new());
    let mut next = || {
        let mut frame = source.next_frame();
        write_checksums(&mut frame);
        frame
    };
    (0..count).map(|_| next()).collect()
}

/// Victims at ports 1 and 2, and one more at port 3.
fn switch(third: Third, limit: usize, victims: u64) -> Result<Inline, String> {
    let mods = parse_flow_file(&rules(), &Names::new()).map_err(|e| e.to_string())?;
    let mut switch = Inline::new(4096, 2048, FLOWS).map_err(|e| e.to_string())?;
    switch.add_bridge(0);
    let (own, neighbours) = (talks(1, victims), talks(3, if third == Third::Talks { victims } else { 0 }));
    let both: Vec<Vec<u8>> = own.iter().chain(&neighbours).cloned().collect();
    switch.add_device(0, 1, Cycle::new(own, true));
    switch.add_device(0, 2, Cycle::new(answered(&both), true));
    let syns = || Source::new(Frames::new(Attack::ConnectionFlood, Vec::new()));
    let third: Box<dyn Port> = match third {
        Third::Talks => Cycle::new(neighbours, true),
        Third::Recorded => Cycle::new(recorded(RECORDED).iter().map(|f| f.to_vec()).collect(), false),
        Third::Alone => Box::new(syns().right()),
        Third::BesideVictims => Box::new(syns().trusted()),
    };
    switch.add_device(0, 3, third);
    switch.flow_mods(0, &mods, Version::V14).map_err(|e| format!("rule {}: {}", e.index + 1, e.error))?;
    if !switch.worker().tracker().set_limit(limit) {
        return Err("the table cannot hold so many".into());
    }
    Ok(switch)
}

struct Subject {
    switch: Inline,
    turns: u64,
}

impl Subject {
    fn turn(&mut self, turns: u64) {
        for _ in 0..turns {
            self.turns += 1;
            self.switch.turn(self.turns / TURNS_PER_MS);
        }
    }

    /// Runs for so much CPU time: what `count` grew by, per second of it.
    fn window(&mut self, ns: u64, count: impl Fn(&mut Inline) -> u64) -> f64 {
        let (before, start) = (count(&mut self.switch), cpu_ns());
        loop {
            self.turn(50);
            let used = cpu_ns() - start;
            if used >= ns {
                return (count(&mut self.switch) - before) as f64 * 1e9 / used as f64;
            }
        }
    }
}

fn victims(s: &mut Inline) -> u64 {
    s.worker().port(0).map_or(0, |p| p.stats().rx_packets)
}

fn opened(s: &mut Inline) -> u64 {
    s.worker().tracker().stats.named().iter().find(|(name, _)| *name == "opened").map_or(0, |(_, n)| *n)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

/// So many connections into an empty table: per second.
fn births(s: &mut Subject) -> f64 {
    s.switch.worker().tracker().flush(|_| true);
    s.turn(10);
    let (before, start) = (opened(&mut s.switch), cpu_ns());
    while opened(&mut s.switch) - before < BIRTHS {
        s.turn(50);
    }
    (opened(&mut s.switch) - before) as f64 * 1e9 / (cpu_ns() - start) as f64
}

/// Every SYN opens a connection; when the table is full each takes the place of the port's oldest.
fn new() -> Result<(), String> {
    let mut s = Subject { switch: switch(Third::Recorded, TABLE_NEW, 0)?, turns: 0 };
    let fresh = median((0..ROUNDS).map(|_| births(&mut s)).collect());
    let mut s = Subject { switch: switch(Third::Alone, TABLE_NEW, 0)?, turns: 0 };
    while s.switch.worker().tracker().len() < TABLE_NEW / 8 * 7 {
        s.turn(1000);
    }
    let full = median((0..ROUNDS).map(|_| s.window(WINDOW_NS, opened)).collect());
    let stats = s.switch.worker().tracker().stats.named();
    println!("new connections per second of CPU time: {:.0} k into an empty table, {:.0} k into a full one", fresh / 1e3, full / 1e3);
    println!("bytes per connection: {}", s.switch.worker().tracker().bytes() / s.switch.worker().tracker().len().max(1));
    println!("{}", json!({"empty": fresh, "full": full, "counters": stats.iter().map(|(n, v)| (n.to_string(), *v)).collect::<std::collections::BTreeMap<_, _>>()}));
    Ok(())
}

fn write(rules_file: &str, capture: &str, count: &str) -> Result<(), String> {
    let count: usize = count.parse().map_err(|_| format!("'{count}' is no number of frames"))?;
    std::fs::write(rules_file, rules()).map_err(|e| format!("{rules_file}: {e}"))?;
    std::fs::write(capture, write_pcap(&recorded(count))).map_err(|e| format!("{capture}: {e}"))
}

fn count_only(packets: u64) -> Result<(), String> {
    let mut s = Subject { switch: switch(Third::Recorded, TABLE_NEW, 0)?, turns: 0 };
    while s.switch.worker().counters().received < packets {
        s.turn(1);
    }
    println!("{}", json!({"packets": s.switch.worker().counters().received, "opened": opened(&mut s.switch)}));
    Ok(())
}

fn flood() -> Result<(), String> {
    let subject = |third| -> Result<Subject, String> {
        let mut s = Subject { switch: switch(third, TABLE, VICTIMS)?, turns: 0 };
        s.window(WARM_UP_NS, victims);
        Ok(s)
    };
    let (mut plain, mut flooded) = (subject(Third::Talks)?, subject(Third::BesideVictims)?);
    // The flood goes on until the table is as full as its port may make it.
    while flooded.switch.worker().tracker().stats.named().iter().all(|(name, n)| !matches!(*name, "evicted" | "refused_share") || *n == 0) {
        flooded.turn(1000);
    }
    let (mut before, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        before.push(plain.window(WINDOW_NS, victims));
        beside.push(flooded.window(WINDOW_NS, victims));
    }
    let (before, beside) = (median(before), median(beside));
    let kept = beside / before.max(1e-9);
    let table = flooded.switch.worker().tracker().len();
    println!("established traffic beside established traffic: {:.2} Mpps; beside SYNs into a full table ({table} of {TABLE}): {:.2} Mpps; kept {:.0} %", before / 1e6, beside / 1e6, kept * 100.0);
    println!("{}", json!({"plain": before, "flooded": beside, "kept": kept, "connections": table}));
    if kept < KEPT {
        return Err(format!("established traffic keeps less than {:.0} %", KEPT * 100.0));
    }
    Ok(())
}

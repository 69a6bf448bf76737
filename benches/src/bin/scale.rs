//! Two workers of one switch beside two switches of one worker each.
//!
//! `scale RULES FLOWS [crossing] [SECONDS]` measures in turn: two processes with a worker each, and one
//! process with two workers that share program, memory, connections and meters; each worker is pinned
//! to a CPU of its own. Prints packets per second of wall time, both together, and the ratio. With
//! `crossing`, frames that one of the two workers receives leave by a device of the other.
//! `scale one RULES FLOWS CPU SECONDS` is one of those processes.
//! `scale marked RULES FLOWS` lets both workers take turns in marked sections, for `benches/shared_lines.py` to trace.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use sluice::inline::Inline;
use sluice_benches::traffic;
use sluice_benches::vary::Vary;
use sluice_engine::exchange::{link, Owners};
use sluice_engine::meter::SharedMeters;
use sluice_engine::{Settings, Worker};
use sluice_flow::fdb::Versions;
use sluice_flow::hash::Seeds;
use sluice_openflow::text::{parse_flow_file, Names};
use sluice_openflow::version::Version;
use sluice_port::pcap::{Output, PcapPort, Repeat};
use sluice_port::Port;

const CHUNK: usize = 4096;
const CHUNKS: usize = 4096;
const FLOWS: usize = 1 << 22;
/// Measured in turn so many times.
const ROUNDS: usize = 5;
/// Turns between two looks at the clock.
const STRIDE: usize = 200;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["marked", rules, flows] => marked(rules, flows),
        ["one", rules, flows, cpu, seconds] => one(rules, flows, cpu, seconds),
        [rules, flows] => both(rules, flows, false, "1"),
        [rules, flows, "crossing"] => both(rules, flows, true, "1"),
        [rules, flows, seconds] => both(rules, flows, false, seconds),
        [rules, flows, "crossing", seconds] => both(rules, flows, true, seconds),
        _ => Err("usage: scale RULES FLOWS [crossing] [SECONDS]".to_string()),
    };
    if let Err(e) = done {
        eprintln!("scale: {e}");
        std::process::exit(1);
    }
}

fn source(flows: &str) -> Result<Box<dyn Port>, String> {
    let flows: u32 = flows.parse().map_err(|_| format!("'{flows}' is no number of flows"))?;
    Ok(Box::new(Vary::new(traffic::flows(60).frame(0), 0, flows).ok_or("the frame to vary is too short")?))
}

fn sink() -> Box<dyn Port> {
    Box::new(PcapPort::new("sink", Repeat::Times(0), Output::Discard))
}

/// A switch with a source, a sink and these rules on each of its bridges.
fn switch(rules: &str, flows: &str, bridges: u16) -> Result<Inline, String> {
    let text = std::fs::read_to_string(rules).map_err(|e| format!("{rules}: {e}"))?;
    let mods = parse_flow_file(&text, &Names::new()).map_err(|e| e.to_string())?;
    let mut switch = Inline::new(CHUNK, CHUNKS * usize::from(bridges), FLOWS).map_err(|e| e.to_string())?;
    for bridge in 0..bridges {
        switch.add_bridge(bridge);
        switch.add_device(bridge, 1, source(flows)?);
        switch.add_device(bridge, 2, sink());
        switch.flow_mods(bridge, &mods, Version::V14).map_err(|e| e.error.to_string())?;
    }
    Ok(switch)
}

fn pin(cpu: usize) -> Result<(), String> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).map_err(|e| format!("cannot pin to CPU {cpu}: {e}"))
}

/// Turns until told otherwise; packets that left, or were handed over.
fn run(worker: &mut Worker, stop: &AtomicBool) -> u64 {
    let before = worker.counters().received;
    while !stop.load(Relaxed) {
        for _ in 0..STRIDE {
            worker.turn(1000);
        }
    }
    worker.counters().received - before
}

fn warm_up(worker: &mut Worker, flows: &str) {
    let flows: u64 = flows.parse().unwrap_or(1);
    let end = worker.counters().received + 4 * flows + 200_000;
    while worker.counters().received < end {
        worker.turn(1000);
    }
}

/// One worker for some seconds from when it is told to begin.
fn one(rules: &str, flows: &str, cpu: &str, seconds: &str) -> Result<(), String> {
    pin(cpu.parse().map_err(|_| "no CPU")?)?;
    let mut switch = switch(rules, flows, 1)?;
    warm_up(switch.worker(), flows);
    println!("ready");
    let mut go = [0];
    std::io::stdin().read_exact(&mut go).map_err(|e| e.to_string())?;
    let seconds: f64 = seconds.parse().map_err(|_| "no time")?;
    let (start, before) = (Instant::now(), switch.worker().counters().received);
    while start.elapsed().as_secs_f64() < seconds {
        (0..STRIDE).for_each(|_| _ = switch.worker().turn(1000));
    }
    println!("{}", (switch.worker().counters().received - before) as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

fn spawn(rules: &str, flows: &str, cpu: usize, seconds: &str) -> Result<Child, String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let words = ["one", rules, flows, &cpu.to_string(), seconds];
    Command::new(me).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())
}

/// Two processes; packets per second of both together.
fn apart(rules: &str, flows: &str, seconds: &str) -> Result<f64, String> {
    let mut children = [spawn(rules, flows, 0, seconds)?, spawn(rules, flows, 1, seconds)?];
    for child in &mut children {
        let mut ready = [0; 6];
        child.stdout.as_mut().ok_or("no output")?.read_exact(&mut ready).map_err(|e| e.to_string())?;
    }
    for child in &mut children {
        // The pipe closes with this, which is what the child waits for.
        use std::io::Write;
        child.stdin.take().ok_or("no input")?.write_all(b"g").map_err(|e| e.to_string())?;
    }
    let mut sum = 0.0;
    for child in children {
        let out = child.wait_with_output().map_err(|e| e.to_string())?;
        sum += String::from_utf8_lossy(&out.stdout).trim().parse::<f64>().map_err(|_| "a process gave no figure")?;
    }
    Ok(sum)
}

/// Two workers of one switch.
struct Pair {
    switch: Inline,
    second: Worker,
}

impl Pair {
    fn new(rules: &str, flows: &str, crossing: bool) -> Result<Pair, String> {
        let mut switch = switch(rules, flows, 2)?;
        let settings = Settings { flows: FLOWS, seeds: Seeds::FIXED, versions: Versions::new(Seeds::FIXED) };
        let (owners, meters) = (Owners::default(), SharedMeters::default());
        let first = switch.worker();
        let mut second = Worker::new(first.pool_mut().sibling(), settings);
        let place = first.tracker().register();
        second.set_tracker(first.tracker().clone(), place);
        first.enrol(owners.clone(), meters.clone());
        second.enrol(owners.clone(), meters);
        let (mine, theirs) = link();
        first.meet(1, mine);
        second.meet(0, theirs);
        let program = first.release_program();
        first.take_program_back(program.clone());
        second.adopt(program);
        // Devices of the first bridge are 0 (source) and 1 (sink), of the second one 2 and 3.
        let moved = if crossing { [2, 1] } else { [2, 3] };
        for device in 0..4 {
            owners.set(device, Some(usize::from(moved.contains(&device))));
        }
        for device in moved {
            let moving = first.give_up(device).ok_or("a device is missing")?;
            second.take_over(device, moving);
        }
        Ok(Pair { switch, second })
    }

    fn measure(&mut self, seconds: &str) -> Result<f64, String> {
        let seconds: f64 = seconds.parse().map_err(|_| "no time")?;
        let (stop, start) = (AtomicBool::new(false), Barrier::new(3));
        let (first, second) = (self.switch.worker(), &mut self.second);
        std::thread::scope(|scope| {
            let work = |worker, cpu| {
                let (stop, start) = (&stop, &start);
                scope.spawn(move || {
                    let pinned = pin(cpu);
                    start.wait();
                    pinned.map(|()| run(worker, stop))
                })
            };
            let threads = [work(first, 0), work(second, 1)];
            start.wait();
            let begin = Instant::now();
            std::thread::sleep(std::time::Duration::from_secs_f64(seconds));
            stop.store(true, Relaxed);
            let took = begin.elapsed().as_secs_f64();
            let mut sum = 0;
            for thread in threads {
                sum += thread.join().map_err(|_| "a worker panicked")??;
            }
            Ok(sum as f64 / took)
        })
    }

    /// Nothing was lost on the way from one worker to the other but what a full ring refused.
    fn told(&mut self) -> String {
        let (a, b) = (self.switch.worker().counters().clone(), self.second.counters());
        format!("handed over {}, dropped {} of {}", a.handed + b.handed, a.dropped_total() + b.dropped_total(), a.received + b.received)
    }
}

/// Stores here tell who traces memory which worker is at work: 1 or 2, or 0 for neither.
#[repr(align(64))]
struct Mark(AtomicU64);
static MARK: Mark = Mark(AtomicU64::new(0));
/// Sections of each worker, and turns in each.
const SECTIONS: usize = 4;
const TURNS: usize = 50;

/// Each worker on a thread of its own, one at a time.
fn marked(rules: &str, flows: &str) -> Result<(), String> {
    let mut pair = Pair::new(rules, flows, false)?;
    for worker in [pair.switch.worker(), &mut pair.second] {
        (0..10 * TURNS).for_each(|_| _ = worker.turn(1000));
    }
    println!("mark {:x}", std::ptr::from_ref(&MARK).addr());
    // Whoever is not at work sleeps in there.
    let next = Barrier::new(2);
    std::thread::scope(|scope| {
        for (number, worker) in [(1, pair.switch.worker()), (2, &mut pair.second)] {
            let next = &next;
            scope.spawn(move || {
                for section in 0..2 * SECTIONS as u64 {
                    next.wait();
                    if section % 2 + 1 != number {
                        continue;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                    MARK.0.store(number, SeqCst);
                    (0..TURNS).for_each(|_| _ = worker.turn(1000));
                    MARK.0.store(0, SeqCst);
                }
            });
        }
    });
    println!("{}", pair.told());
    Ok(())
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

fn both(rules: &str, flows: &str, crossing: bool, seconds: &str) -> Result<(), String> {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Err("this takes two CPUs".to_string());
    }
    let mut pair = Pair::new(rules, flows, crossing)?;
    if !crossing {
        warm_up(pair.switch.worker(), flows);
        warm_up(&mut pair.second, flows);
    }
    pair.measure(seconds)?;
    let (mut apart_all, mut together_all, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (a, t) = (apart(rules, flows, seconds)?, pair.measure(seconds)?);
        ratios.push(t / a);
        apart_all.push(a);
        together_all.push(t);
    }
    let (a, t, ratio) = (median(apart_all) / 1e6, median(together_all) / 1e6, median(ratios));
    println!("{rules}, {flows} flows: two processes {a:.1} Mpps, two workers {t:.1} Mpps, ratio {ratio:.2} ({})", pair.told());
    Ok(())
}

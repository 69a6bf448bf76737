//! One cell of the comparison, measured in windows that another program asks for.
//!
//! `cell SHAPE RULES SOURCE` warms up and prints `ready`. Each line `SECONDS` on standard input is answered
//! with one line of JSON; end of input ends it. SOURCE is `FILE.pcap`, or `vary=N` for N flows out of
//! memory. `RULES` of `-` measures the source alone. Instead of lines, `count=PACKETS` as a fourth word
//! runs that many packets and ends: for counting instructions. `idle=PORTS` as a fifth adds ports without traffic.

use std::io::BufRead;
use std::path::Path;

use serde_json::json;
use sluice::inline::Inline;
use sluice_benches::alone::{self, Speaker};
use sluice_benches::answers::Answers;
use sluice_benches::cell::{add_idle, build, build_stateful, Shape};
use sluice_benches::clock::cpu_ns;
use sluice_benches::traffic;
use sluice_benches::vary::Vary;
use sluice_frame::{Frame, Pool};
use sluice_port::pcap::{Output, PcapPort, Repeat};
use sluice_port::Port;
use sluice_wire::vxlan;

/// Turns between two looks at the clock.
const STRIDE: usize = 200;
const BATCH: usize = 64;
/// Packets that one millisecond of the switch's own time stands for.
const PACKETS_PER_MS: u64 = 10_000;
/// Most rounds of warming up.
const ROUNDS_MAX: usize = 20;
/// Warm when fewer than one packet in so many was not in the cache.
const WARM: u64 = 10_000;
/// Every window begins with this much that is not counted: the other switch had the caches before.
const SETTLE_NS: u64 = 150_000_000;

fn main() {
    if let Err(e) = run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        eprintln!("cell: {e}");
        std::process::exit(1);
    }
}

fn run(words: &[String]) -> Result<(), String> {
    let (shape, rules, source, count) = match words {
        [shape, rules, source] => (shape, rules, source, None),
        [shape, rules, source, count, ..] => (shape, rules, source, count.strip_prefix("count=").and_then(|n| n.parse().ok())),
        _ => return Err("usage: cell plain|encap|decap|encap6|decap6|both|stateful RULES|- FILE.pcap|vary=FLOWS [count=PACKETS [idle=PORTS]]".into()),
    };
    let shape = Shape::named(shape).ok_or_else(|| format!("'{shape}' is not plain, encap, decap, encap6, decap6, both or stateful"))?;
    let (source, flows) = open(shape, source)?;
    let speaker = Speaker::default();
    let mut subject = match rules.as_str() {
        "-" => Subject::Source(Alone::new(source)?),
        path => {
            let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
            let mut switch = match shape {
                Shape::Stateful => {
                    let answers = Box::new(Answers(open(shape, &words[2])?.0));
                    let in_turn = |port, number| Box::new(alone::Alone { port, number, speaker: speaker.clone() });
                    build_stateful(&text, in_turn(source, 0), in_turn(answers, 1))?
                }
                _ => build(shape, &text, source)?,
            };
            if let Some(idle) = words.get(4) {
                let ports = idle.strip_prefix("idle=").and_then(|n| n.parse().ok());
                add_idle(&mut switch, ports.ok_or_else(|| format!("'{idle}': expected idle=PORTS"))?);
            }
            Subject::Switch(Box::new(switch), 0)
        }
    };
    if let Some(packets) = count {
        subject.packets(packets);
        return subject.checked();
    }
    subject.warm_up(flows, (shape == Shape::Stateful).then_some(&speaker))?;
    if shape == Shape::Stateful {
        subject.forgive();
    }
    serve(&mut subject)
}

fn open(shape: Shape, source: &str) -> Result<(Box<dyn Port>, u64), String> {
    if let Some(flows) = source.strip_prefix("vary=") {
        let flows: u32 = flows.parse().map_err(|_| format!("'{source}': expected vary=FLOWS"))?;
        let (spec, inner) = match shape.is_tunnelled() {
            true => (traffic::flows(60).vxlan(traffic::VNI), vxlan::OUTER4_LEN),
            false => (traffic::flows(60), 0),
        };
        let vary = Vary::new(spec.frame(0), inner, flows).ok_or("the frame to vary is too short")?;
        return Ok((Box::new(vary), flows.into()));
    }
    let port = PcapPort::open("source", Path::new(source), Repeat::Forever, Output::Discard).map_err(|e| e.to_string())?;
    let frames = port.frames() as u64;
    Ok((Box::new(port), frames))
}

fn serve(subject: &mut Subject) -> Result<(), String> {
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| e.to_string())?;
        let seconds: f64 = line.trim().parse().map_err(|_| format!("'{line}': expected seconds"))?;
        subject.window(SETTLE_NS);
        let before = subject.hits_and_misses();
        let (packets, ns) = subject.window((seconds * 1e9) as u64);
        let after = subject.hits_and_misses();
        subject.checked()?;
        println!("{}", json!({"packets": packets, "cpu_ns": ns, "hits": after.0 - before.0, "misses": after.1 - before.1}));
    }
    Ok(())
}

/// What is measured.
enum Subject {
    /// With what was lost before connections were open.
    Switch(Box<Inline>, u64),
    Source(Alone),
}

impl Subject {
    fn received(&mut self) -> u64 {
        match self {
            Subject::Switch(s, _) => s.worker().counters().received,
            Subject::Source(s) => s.received,
        }
    }

    fn turns(&mut self, turns: usize) {
        match self {
            Subject::Switch(s, _) => {
                let now_ms = s.worker().counters().received / PACKETS_PER_MS;
                (0..turns).for_each(|_| {
                    s.turn(now_ms);
                });
            }
            Subject::Source(s) => (0..turns).for_each(|_| s.turn()),
        }
    }

    fn packets(&mut self, packets: u64) {
        let end = self.received() + packets;
        while self.received() < end {
            self.turns(1);
        }
    }

    /// Goes on until every flow is known and none moves to a larger cache any more; two sources are heard one after the other.
    fn warm_up(&mut self, flows: u64, speaker: Option<&Speaker>) -> Result<(), String> {
        let stretch = flows + 100_000;
        for _ in 0..ROUNDS_MAX {
            let before = self.unknown();
            for number in 0..2 {
                speaker.into_iter().for_each(|s| s.only(number));
                self.packets(stretch);
            }
            let is_growing = match self {
                Subject::Switch(s, _) => s.worker().is_growing(),
                Subject::Source(_) => false,
            };
            if (self.unknown() - before) * WARM <= stretch && !is_growing {
                speaker.into_iter().for_each(Speaker::all);
                self.packets(stretch);
                return Ok(());
            }
        }
        Err("packets of known flows go on missing the cache: there is nothing steady to measure".into())
    }

    fn window(&mut self, ns: u64) -> (u64, u64) {
        let (packets, start) = (self.received(), cpu_ns());
        loop {
            self.turns(STRIDE);
            let used = cpu_ns() - start;
            if used >= ns {
                return (self.received() - packets, used);
            }
        }
    }

    /// Packets of flows that were not in the cache, whether they were decided or like others.
    fn unknown(&mut self) -> u64 {
        match self {
            Subject::Switch(s, _) => s.worker().counters().misses + s.worker().counters().alike,
            Subject::Source(_) => 0,
        }
    }

    fn hits_and_misses(&mut self) -> (u64, u64) {
        match self {
            Subject::Switch(s, _) => (s.worker().counters().hits, s.worker().counters().misses),
            Subject::Source(_) => (0, 0),
        }
    }

    /// Answers that came before their questions were dropped, rightly.
    fn forgive(&mut self) {
        if let Subject::Switch(s, lost) = self {
            let c = s.worker().counters();
            *lost = c.received - c.sent;
        }
    }

    /// A figure counts only when every packet was sent.
    fn checked(&mut self) -> Result<(), String> {
        let Subject::Switch(s, lost) = self else { return Ok(()) };
        let c = s.worker().counters();
        match c.conserved() && c.sent + *lost == c.received {
            true => Ok(()),
            false => Err(format!("{} packets came in, {} were sent: the rules do not forward", c.received, c.sent)),
        }
    }
}

/// A source without a switch: what making the frames costs.
struct Alone {
    source: Box<dyn Port>,
    pool: Pool,
    frames: Vec<Frame>,
    received: u64,
}

impl Alone {
    fn new(source: Box<dyn Port>) -> Result<Alone, String> {
        let pool = Pool::new(4096, 2048).map_err(|e| e.to_string())?;
        Ok(Alone { source, pool, frames: Vec::with_capacity(BATCH), received: 0 })
    }

    fn turn(&mut self) {
        self.received += self.source.receive(&mut self.pool, &mut self.frames, BATCH).unwrap_or(0) as u64;
        self.frames.drain(..).for_each(|f| self.pool.free(f));
    }
}

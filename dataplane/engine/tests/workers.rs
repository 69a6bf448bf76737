//! Several workers, whose turns come in any order, and devices and their receive queues that move between
//! them all the while: every frame arrives once, those of a queue in order.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};

use sluice_engine::exchange::{link, Owners};
use sluice_engine::meter::SharedMeters;
use sluice_engine::{Counters, Settings, Worker};
use sluice_flow::action::{Action, OfPort};
use sluice_flow::fdb::{Fdb, Versions};
use sluice_flow::hash::Seeds;
use sluice_flow::key::slot;
use sluice_flow::program::{Ingress, Port as ProgramPort};
use sluice_flow::{Change, Key, MaskedKey, PortIdx, Program, Rule};
use sluice_frame::{Frame, Pool};
use sluice_port::{Offloads, Port, PortError, PortStats, SendOutcome};

const DEVICES: u16 = 5;
const WORKERS: usize = 3;
const BUFFERS: usize = 1 << 14;
const QUEUES: usize = 3;

/// A line with two ends in memory.
#[derive(Clone, Default)]
struct Line {
    incoming: [Arc<Mutex<VecDeque<Vec<u8>>>>; QUEUES],
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    /// The queue that is received by.
    own: usize,
}

impl Port for Line {
    fn name(&self) -> &str {
        "line"
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        let mut incoming = self.incoming[self.own].lock().unwrap();
        let n = incoming.len().min(max);
        for bytes in incoming.drain(..n) {
            let mut frame = pool.alloc().expect("a buffer");
            assert!(frame.fill(&bytes));
            out.push(frame);
        }
        Ok(n)
    }

    fn intakes(&mut self) -> Vec<(u16, Box<dyn Port>)> {
        let intake = |own| (own as u16, Box::new(Line { own, ..self.clone() }) as Box<dyn Port>);
        (1..QUEUES).map(intake).collect()
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        assert_eq!(self.own, 0, "sent by a receive queue");
        let mut outcome = SendOutcome::default();
        for frame in frames.drain(..) {
            self.sent.lock().unwrap().push(frame.to_vec());
            pool.free(frame);
            outcome.sent += 1;
        }
        outcome
    }

    fn poll_fd(&self) -> Option<RawFd> {
        None
    }

    fn stats(&self) -> PortStats {
        PortStats::default()
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

struct Floor {
    workers: Vec<Worker>,
    owners: Owners,
    lines: Vec<Line>,
    pool: Pool,
    dice: Dice,
    handed_in: [[u32; QUEUES]; DEVICES as usize],
    /// Who serves which receive queue beside the first.
    intakes: BTreeMap<(PortIdx, u16), usize>,
}

/// Each device's frames go to the next two devices.
fn program(versions: &Arc<Versions>) -> Arc<Program> {
    let mut program = Program::new();
    let fdb = Arc::new(Fdb::new(100, 300, 0, versions.clone()));
    program.apply(&[Change::AddBridge { bridge: 0, fdb }]);
    for device in 0..DEVICES {
        let port = u32::from(device) + 1;
        let (mut value, mut mask) = (Key::ZERO, Key::ZERO);
        value.set(slot::IN_PORT, u64::from(port));
        mask.cover(slot::IN_PORT);
        let to = |by: u16| Action::Output(OfPort::from((device + by) % DEVICES + 1));
        let rule = Rule {
            id: port,
            priority: 1,
            matching: MaskedKey::new(&value, &mask),
            actions: vec![to(1), to(2)].into(),
            conjunctions: Box::new([]),
        };
        program.apply(&[
            Change::SetPort { bridge: 0, port, to: Some(ProgramPort::device(device)) },
            Change::SetIngress { device, to: Some(Ingress::Bridge { bridge: 0, port }) },
            Change::Add { bridge: 0, table: 0, rule: Arc::new(rule) },
        ]);
    }
    Arc::new(program)
}

impl Floor {
    fn new(seed: u64) -> Floor {
        let pool = Pool::new(1024, BUFFERS).unwrap();
        let versions = Versions::new(Seeds::FIXED);
        let (owners, meters) = (Owners::default(), SharedMeters::default());
        let settings = Settings { flows: 1 << 10, seeds: Seeds::FIXED, versions: versions.clone() };
        let mut workers: Vec<Worker> = (0..WORKERS).map(|_| Worker::new(pool.sibling(), settings.clone())).collect();
        let program = program(&versions);
        for worker in &mut workers {
            worker.enrol(owners.clone(), meters.clone());
            worker.adopt(program.clone());
        }
        for a in 0..WORKERS {
            for b in a + 1..WORKERS {
                let (first, second) = link();
                workers[a].meet(b, first);
                workers[b].meet(a, second);
            }
        }
        let lines: Vec<Line> = (0..DEVICES).map(|_| Line::default()).collect();
        let (mut dice, mut intakes) = (Dice(seed), BTreeMap::new());
        for (device, line) in lines.iter().enumerate() {
            let owner = dice.below(WORKERS);
            owners.set(device as PortIdx, Some(owner));
            workers[owner].add_port(device as PortIdx, Box::new(line.clone()));
            for intake in workers[owner].split(device as PortIdx) {
                let to = dice.below(WORKERS);
                intakes.insert(intake.place(), to);
                workers[to].add_intake(intake);
            }
        }
        Floor { workers, owners, lines, pool, dice, handed_in: [[0; QUEUES]; DEVICES as usize], intakes }
    }

    /// Frames arrive, and some workers have turns.
    fn bustle(&mut self) {
        for _ in 0..self.dice.below(8) {
            let device = self.dice.below(DEVICES as usize);
            for _ in 0..self.dice.below(20) {
                let queue = self.dice.below(QUEUES);
                let number = self.handed_in[device][queue];
                self.handed_in[device][queue] += 1;
                let mut frame = vec![0u8; 64];
                frame[0..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
                frame[6..12].copy_from_slice(&[2, 0, 0, 0, queue as u8, device as u8]);
                frame[12..14].copy_from_slice(&[0x88, 0xb5]);
                frame[14..18].copy_from_slice(&number.to_be_bytes());
                self.lines[device].incoming[queue].lock().unwrap().push_back(frame);
            }
            let worker = self.dice.below(WORKERS);
            self.workers[worker].turn(1000);
        }
    }

    /// Every worker answers, in any order and while others work.
    fn settle(&mut self) {
        let first = self.dice.below(WORKERS);
        for i in 0..WORKERS {
            self.bustle();
            let worker = &mut self.workers[(first + i) % WORKERS];
            worker.take_all_crossings();
            // What it was in the middle of ends with its turn.
            worker.turn(1000);
        }
    }

    /// A device moves, step by step, as the control side moves it.
    fn move_one(&mut self) {
        let (device, to) = (self.dice.below(DEVICES as usize) as PortIdx, self.dice.below(WORKERS));
        let from = self.owners.get(device).unwrap();
        if from == to {
            return;
        }
        self.workers[to].expect(device);
        self.settle();
        self.owners.set(device, Some(to));
        self.settle();
        let moving = self.workers[from].give_up(device).expect("it was there");
        self.settle();
        self.workers[to].take_over(device, moving);
    }

    /// A receive queue moves, as the control side moves it.
    fn move_queue(&mut self) {
        let unit = (self.dice.below(DEVICES as usize) as PortIdx, 1 + self.dice.below(QUEUES - 1) as u16);
        let from = self.intakes[&unit];
        let intake = self.workers[from].give_intake(unit).expect("it was there");
        self.settle();
        let to = self.dice.below(WORKERS);
        self.workers[to].add_intake(intake);
        self.intakes.insert(unit, to);
    }

    fn rest(&mut self) {
        while (0..WORKERS).map(|w| self.workers[w].turn(1000)).sum::<usize>() > 0 {}
    }

    fn sum(&self) -> Counters {
        let mut sum = Counters::default();
        self.workers.iter().for_each(|w| sum.add(w.counters()));
        sum
    }
}

#[test]
fn every_frame_arrives_once_and_in_order_whoever_serves_its_devices() {
    for seed in 0..20 {
        let mut floor = Floor::new(seed);
        for _ in 0..60 {
            floor.bustle();
            floor.move_one();
            floor.move_queue();
        }
        floor.rest();
        let sum = floor.sum();
        assert!(sum.conserved() && sum.handed == sum.taken, "seed {seed}: {sum:?}");
        assert_eq!(sum.dropped_total(), 0, "seed {seed}: {sum:?}");
        assert!(sum.handed > 1000, "seed {seed}: frames crossed: {}", sum.handed);
        for (device, line) in floor.lines.iter().enumerate() {
            let sent = line.sent.lock().unwrap();
            for by in [1, 2] {
                let source = (device + DEVICES as usize - by) % DEVICES as usize;
                for queue in 0..QUEUES {
                    let from_there = sent.iter().filter(|f| (usize::from(f[11]), usize::from(f[10])) == (source, queue));
                    let numbers: Vec<u32> = from_there.map(|f| u32::from_be_bytes(f[14..18].try_into().unwrap())).collect();
                    let all: Vec<u32> = (0..floor.handed_in[source][queue]).collect();
                    assert_eq!(numbers, all, "seed {seed}: from queue {queue} of device {source} to device {device}");
                }
            }
        }
        let mut received = [0; DEVICES as usize];
        for report in floor.workers.iter_mut().map(Worker::report) {
            report.ports.iter().for_each(|(d, c)| received[usize::from(*d)] += c.rx_packets);
            report.intakes.iter().for_each(|((d, _), c)| received[usize::from(*d)] += c.rx_packets);
        }
        let handed_in = floor.handed_in.map(|queues| queues.iter().map(|n| u64::from(*n)).sum::<u64>());
        assert_eq!(received, handed_in, "seed {seed}: what devices and their queues counted");
        drop(floor.workers);
        assert_eq!(floor.pool.available(), BUFFERS, "seed {seed}: buffers that never came home");
    }
}

#[test]
fn a_worker_that_ends_sends_what_it_was_handed() {
    let mut floor = Floor::new(7);
    floor.bustle();
    for device in 0..DEVICES {
        let from = floor.owners.get(device).unwrap();
        if from != 2 {
            continue;
        }
        floor.workers[0].expect(device);
        floor.owners.set(device, Some(0));
        floor.settle();
        let moving = floor.workers[2].give_up(device).unwrap();
        floor.settle();
        floor.workers[0].take_over(device, moving);
    }
    let queues: Vec<_> = floor.intakes.iter().filter(|(_, w)| **w == 2).map(|(unit, _)| *unit).collect();
    for unit in queues {
        let intake = floor.workers[2].give_intake(unit).unwrap();
        floor.settle();
        floor.workers[0].add_intake(intake);
    }
    floor.rest();
    let mut last = floor.workers.pop().unwrap();
    last.finish();
    let counted = last.counters().clone();
    drop(last);
    floor.workers.iter_mut().for_each(|w| w.part(2));
    let mut sum = counted;
    floor.workers.iter().for_each(|w| sum.add(w.counters()));
    assert!(sum.conserved() && sum.handed == sum.taken && sum.dropped_total() == 0, "{sum:?}");
}

//! All workers of the switch, as the control side has them.
//!
//! Purpose: start and end workers, say which of them serves a device, carry requests to the right one
//! and gather answers of all.
//! Invariant: what is asked of everybody is answered once everybody has; a device that is moved loses
//! no frame and keeps their order (see `placement`).
//! Deliberately does not know: OpenFlow, rules, what devices are for.

mod intakes;
mod moves;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::Arc;

use mio::Waker;
use sluice_conntrack::Tracker;
use sluice_engine::exchange::{link, Owners, WORKERS_MAX};
use sluice_engine::meter::SharedMeters;
use sluice_engine::police::Rates;
use sluice_engine::Settings;
use sluice_flow::{PortIdx, Program};
use sluice_frame::Pool;
use sluice_port::afxdp::Umem;

use super::bells::Bells;
use super::placement::{best_move, least_loaded, Load, Loads, Unit};
use super::{Command, DeviceSpec, Fronts, Injection, News, Time, Worker, RING};
use crate::daemon::clock::Clock;
use intakes::Intakes;
use moves::{Held, Move};

/// Bytes of one buffer, headroom included.
const CHUNK: usize = 2048;

/// What workers are made of.
pub struct Kit {
    /// Sizes and seeds.
    pub settings: Settings,
    /// Connections, which they share.
    pub tracker: Arc<Tracker>,
    /// Buffers of all of them together.
    pub buffers: usize,
    /// Directory for what devices were like before they were opened.
    pub records: Arc<Path>,
    /// Time.
    pub clock: Clock,
    /// Woken by their news.
    pub control: Arc<Waker>,
}

/// What all workers share.
pub(super) struct Commons {
    pub settings: Settings,
    pub tracker: Arc<Tracker>,
    pub clock: Clock,
    pub control: Arc<Waker>,
    pub umem: Arc<Umem>,
    pub records: Arc<Path>,
    pub fronts: Fronts,
    pub owners: Owners,
    pub meters: SharedMeters,
    pub bells: Bells,
}

/// One of them.
struct Member {
    worker: Worker,
    /// CPU that it is pinned to.
    cpu: Option<u16>,
    /// Epoch that it runs.
    adopted: u64,
    /// The last ticket that it answered.
    answered: u64,
    /// It is to end once it serves no device.
    leaving: bool,
    stopped: bool,
    before: Measured,
}

/// Totals at the last time that loads were looked at.
#[derive(Clone, Debug, Default)]
struct Measured {
    time: Time,
    received: BTreeMap<Unit, u64>,
    at: u64,
}

/// On which CPUs a device is to be served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// All of it.
    pub cpu: Option<u16>,
    /// Its queues: number and CPU.
    pub queues: Vec<(u16, u16)>,
}

impl Affinity {
    fn of(&self, queue: u16) -> Option<u16> {
        self.queues.iter().find(|(q, _)| *q == queue).map(|(_, cpu)| *cpu).or(self.cpu)
    }
}

/// The workers.
pub struct Team {
    commons: Commons,
    /// Memory that they share.
    pool: Pool,
    /// What fronts do, from threads of their own; they wait where this is full.
    fronts: Receiver<News>,
    members: Vec<Option<Member>>,
    /// Where the tracker knows them by.
    places: Vec<Option<usize>>,
    moves: VecDeque<(PortIdx, usize)>,
    moving: Option<Move>,
    held: VecDeque<Held>,
    /// Devices that are open, or about to be, by the number of their opening.
    opened: BTreeMap<PortIdx, u64>,
    openings: u64,
    /// Queues that are served apart from their devices.
    intakes: Intakes,
    /// Devices that may not hand in all that they could.
    limited: BTreeSet<PortIdx>,
    /// CPUs that devices are to be served on.
    affinity: BTreeMap<PortIdx, Affinity>,
    loads: Loads,
    asked: u64,
}

impl Team {
    /// Starts workers on these CPUs; `None` is not pinned.
    pub fn start(kit: Kit, cpus: &[Option<u16>]) -> io::Result<Team> {
        let pool = Pool::new(CHUNK, kit.buffers).map_err(|e| io::Error::other(e.to_string()))?;
        let Kit { settings, tracker, clock, control, records, .. } = kit;
        let (tell, fronts) = std::sync::mpsc::sync_channel(RING);
        let commons = Commons {
            fronts: Fronts { news: tell, control: control.clone() },
            umem: Umem::new(&pool),
            records,
            settings,
            tracker,
            clock,
            control,
            owners: Owners::default(),
            meters: SharedMeters::default(),
            bells: Bells::default(),
        };
        let mut team = Team {
            commons,
            pool,
            fronts,
            members: Vec::new(),
            places: Vec::new(),
            moves: VecDeque::new(),
            moving: None,
            held: VecDeque::new(),
            opened: BTreeMap::new(),
            openings: 0,
            intakes: Intakes::default(),
            limited: BTreeSet::new(),
            affinity: BTreeMap::new(),
            loads: Loads::new(),
            asked: 0,
        };
        for cpu in cpus {
            team.hire(*cpu, None)?;
        }
        Ok(team)
    }

    fn living(&self) -> impl Iterator<Item = (usize, &Member)> {
        self.members.iter().enumerate().filter_map(|(n, m)| Some((n, m.as_ref()?)))
    }

    fn get(&mut self, number: usize) -> Option<&mut Member> {
        self.members.get_mut(number)?.as_mut()
    }

    /// Workers that may get devices.
    fn staying(&self) -> Vec<usize> {
        self.living().filter(|(_, m)| !m.leaving).map(|(n, _)| n).collect()
    }

    fn hire(&mut self, cpu: Option<u16>, program: Option<&Arc<Program>>) -> io::Result<()> {
        let number = self.members.iter().position(Option::is_none).unwrap_or(self.members.len());
        if number >= WORKERS_MAX {
            return Err(io::Error::other(format!("there can be {WORKERS_MAX} workers")));
        }
        if self.members.len() <= number {
            self.members.push(None);
            self.places.push(self.commons.tracker.register());
        }
        let place = self.places.get(number).copied().flatten();
        let mut worker = Worker::start(&self.commons, number, self.pool.sibling(), place, cpu)?;
        for (other, member) in self.members.iter_mut().enumerate().filter_map(|(n, m)| Some((n, m.as_mut()?))) {
            let (mine, theirs) = link();
            worker.tell(Command::Meet { other, link: Box::new(mine) });
            member.worker.tell(Command::Meet { other: number, link: Box::new(theirs) });
        }
        let mut adopted = 0;
        if let Some(program) = program {
            // It gets no device before it runs this.
            worker.tell(Command::Adopt(program.clone()));
            adopted = program.epoch();
        }
        let member =
            Member { worker, cpu, adopted, answered: self.asked, leaving: false, stopped: false, before: Measured::default() };
        if let Some(place) = self.members.get_mut(number) {
            *place = Some(member);
        }
        Ok(())
    }

    /// From now on there are workers on these CPUs and no others. Those that are to end do so when their
    /// devices have moved.
    pub fn resize(&mut self, cpus: &[Option<u16>], program: &Arc<Program>) -> io::Result<()> {
        let mut wanted = cpus.to_vec();
        for member in self.members.iter_mut().flatten() {
            let kept = wanted.iter().position(|c| *c == member.cpu);
            member.leaving = kept.is_none();
            if let Some(at) = kept {
                wanted.remove(at);
            }
        }
        let hired = wanted.into_iter().try_for_each(|cpu| self.hire(cpu, Some(program)));
        let wished: Vec<PortIdx> = self.affinity.keys().copied().collect();
        wished.into_iter().for_each(|device| self.follow_wishes(device));
        self.plan_moves();
        hired
    }

    fn dismiss_idle(&mut self) {
        if self.moving.is_some() || !self.moves.is_empty() {
            return;
        }
        let busy: Vec<usize> = self.loads.keys().filter_map(|(d, _)| self.commons.owners.get(*d)).collect();
        let intakes = &self.intakes;
        for (number, member) in self.members.iter_mut().enumerate() {
            let Some(member) = member.as_mut().filter(|m| m.leaving && !m.stopped && !busy.contains(&number) && !intakes.occupy(number)) else { continue };
            member.stopped = true;
            // Its last counts come before its end.
            member.worker.tell(Command::Report { ticket: self.asked });
            member.worker.tell(Command::Stop);
        }
    }

    /// Hands a program to all; what [`Team::adopted`] says may change at once.
    pub fn adopt(&mut self, program: &Arc<Program>) {
        for member in self.members.iter_mut().flatten().filter(|m| !m.stopped) {
            if member.worker.adopt(program.clone()) {
                member.adopted = program.epoch();
            }
        }
    }

    /// The epoch that all of them run, or a later one.
    pub fn adopted(&self) -> u64 {
        self.living().filter(|(_, m)| !m.stopped).map(|(_, m)| m.adopted).min().unwrap_or(u64::MAX)
    }

    /// Asks all of them; the ticket tells when all have answered.
    pub fn ask(&mut self, question: impl Fn(u64) -> Command) -> u64 {
        self.asked += 1;
        for member in self.members.iter_mut().flatten().filter(|m| !m.stopped) {
            member.worker.tell(question(self.asked));
        }
        self.asked
    }

    /// The last ticket that all have answered.
    pub fn answered(&self) -> u64 {
        self.living().filter(|(_, m)| !m.stopped).map(|(_, m)| m.answered).min().unwrap_or(u64::MAX)
    }

    /// Opens a device at a worker with little to do.
    pub fn open(&mut self, device: PortIdx, spec: DeviceSpec) {
        if self.is_moving(device) {
            return self.held.push_back(Held::Open(spec));
        }
        self.drop_intakes(device);
        let owner = self.commons.owners.get(device);
        let owner = owner.or_else(|| self.wished((device, 0))).or_else(|| least_loaded(&self.loads, &self.staying())).unwrap_or(0);
        self.loads.insert((device, 0), Load { worker: owner, ..Load::default() });
        self.commons.owners.set(device, Some(owner));
        self.openings += 1;
        self.opened.insert(device, self.openings);
        self.tell(device, Command::Open { device, serial: self.openings, spec });
    }

    /// Closes a device.
    pub fn close(&mut self, device: PortIdx, delete: bool) {
        if self.is_moving(device) {
            return self.held.push_back(Held::Close { delete });
        }
        self.moves.retain(|(d, _)| *d != device);
        self.drop_intakes(device);
        self.tell(device, Command::Close { device, delete });
        self.affinity.remove(&device);
        self.limited.remove(&device);
        self.opened.remove(&device);
        self.commons.owners.set(device, None);
        self.loads.remove(&(device, 0));
        self.dismiss_idle();
    }

    /// Tells the worker that serves a device.
    pub fn tell(&mut self, device: PortIdx, command: Command) {
        if self.is_moving(device) {
            return self.held.push_back(Held::Other(command));
        }
        if let Command::Police { rates, floods, .. } = &command {
            let limited = *rates != Rates::default() || !floods.is_unlimited();
            let changed = if limited { self.limited.insert(device) } else { self.limited.remove(&device) };
            if changed {
                self.follow_wishes(device);
            }
        }
        let owner = self.commons.owners.get(device).unwrap_or(0);
        if let Some(member) = self.get(owner) {
            member.worker.tell(command);
        }
    }

    /// Hands over a controller's packet, to the worker that serves the port which it is said to have come
    /// in by; false when too many wait already.
    pub fn inject(&mut self, from: Option<PortIdx>, injection: Injection) -> bool {
        let owner = from.and_then(|d| self.commons.owners.get(d)).or_else(|| self.staying().first().copied());
        owner.and_then(|n| self.get(n)).is_none_or(|m| m.worker.inject(injection))
    }

    /// Ports look again at their devices.
    pub fn look_again(&mut self) {
        for number in 0..self.members.len() {
            self.get(number).into_iter().for_each(|m| m.worker.tell(Command::LookAgain));
        }
    }

    /// Wakes those that something waits for.
    pub fn call(&mut self) {
        for number in 0..self.members.len() {
            self.get(number).into_iter().for_each(|m| m.worker.call());
        }
    }

    /// The next news, if any, and whose; what fronts do is nobody's.
    pub fn next_news(&mut self) -> Option<(usize, News)> {
        for number in 0..self.members.len() {
            while let Some(news) = self.get(number).and_then(|m| m.worker.next_news()) {
                if let Some(news) = self.look_at(number, news) {
                    return Some((number, news));
                }
            }
        }
        self.fronts.try_recv().ok().map(|news| (0, news))
    }

    /// Sees to what is the team's own business; gives back the rest.
    fn look_at(&mut self, number: usize, news: News) -> Option<News> {
        match &news {
            News::Report { ticket, .. } | News::Flows { ticket, .. } | News::Settled { ticket } => {
                let ticket = *ticket;
                self.get(number).into_iter().for_each(|m| m.answered = m.answered.max(ticket));
                self.advance();
                self.seat_intakes();
            }
            News::Adopted(epoch) => {
                let epoch = *epoch;
                self.get(number).into_iter().for_each(|m| m.adopted = m.adopted.max(epoch));
            }
            News::Stopped => self.bury(number),
            News::Trouble { device, gone: true, .. } => {
                self.drop_intakes(*device);
                return Some(news);
            }
            News::GivenUp { .. } | News::Split { .. } | News::IntakeGiven { .. } => {}
            _ => return Some(news),
        }
        match news {
            News::GivenUp { device, parcel } => {
                self.given_up(device, parcel);
                None
            }
            News::Split { serial, intakes } => {
                self.take_in(number, serial, intakes);
                None
            }
            News::IntakeGiven { unit, serial, intake } => {
                self.intake_given(number, unit, serial, intake);
                None
            }
            News::Settled { .. } => None,
            news => Some(news),
        }
    }

    /// A worker has ended as it was told to.
    fn bury(&mut self, number: usize) {
        let told = self.get(number).is_some_and(|m| m.stopped);
        if !told {
            return;
        }
        if let Some(mut member) = self.members.get_mut(number).and_then(Option::take) {
            member.worker.stop();
        }
        for member in self.members.iter_mut().flatten() {
            member.worker.tell(Command::Part { other: number });
        }
        self.advance();
        self.seat_intakes();
    }

    /// Takes in how a worker spent its time and what its devices received.
    pub fn measure(&mut self, number: usize, time: Time, received: impl Iterator<Item = (Unit, u64)>) {
        let now = sluice_port::ticks();
        let Some(Some(member)) = self.members.get_mut(number) else { return };
        let before = &member.before;
        let passed = now.saturating_sub(before.at);
        let share = time.busy.saturating_sub(before.time.busy) as f64 / passed.max(1) as f64;
        let received: BTreeMap<Unit, u64> = received.collect();
        let new = |unit: &Unit, n: u64| n.saturating_sub(before.received.get(unit).copied().unwrap_or(0)) as f64;
        let all: f64 = received.iter().map(|(u, n)| new(u, *n)).sum();
        for (unit, n) in &received {
            if let Some(load) = self.loads.get_mut(unit).filter(|l| l.worker == number) {
                load.share = if all > 0.0 { share.min(1.0) * new(unit, *n) / all } else { 0.0 };
            }
        }
        member.before = Measured { time, received, at: now };
    }

    /// Moves a device where that evens out what workers have to do; true when one moves.
    pub fn balance(&mut self) -> bool {
        if self.is_busy_moving() || self.living().count() < 2 {
            return false;
        }
        self.mark_fixed();
        let Some((unit, to)) = best_move(&self.loads, &self.staying()) else { return false };
        self.plan_move(unit, to);
        true
    }

    /// Workers by number, with the CPU that they are pinned to.
    pub fn workers(&self) -> impl Iterator<Item = (usize, Option<u16>)> + '_ {
        self.living().map(|(n, m)| (n, m.cpu))
    }

    /// Devices and queues that a worker serves, with their share of its time where that was measured.
    pub fn units_of(&self, worker: usize) -> impl Iterator<Item = (Unit, Option<f64>)> + '_ {
        let measured = self.living().any(|(n, m)| n == worker && m.before.at != 0);
        self.loads.iter().filter(move |(_, l)| l.worker == worker).map(move |(u, l)| (*u, measured.then_some(l.share)))
    }

    /// Is a device under way from one worker to another?
    pub fn is_busy_moving(&self) -> bool {
        self.moving.is_some() || !self.moves.is_empty() || self.intakes.are_moving()
    }

    /// Whether a thread has ended although nobody told it to.
    pub fn has_died(&self) -> bool {
        self.living().any(|(_, m)| !m.stopped && m.worker.has_died())
    }

    /// Ends all of them and waits for that.
    pub fn stop(&mut self) {
        self.members.iter_mut().flatten().for_each(|m| m.worker.stop());
    }
}

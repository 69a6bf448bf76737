//! The worker's own loop: commands, a turn, news, sleep.
//!
//! Purpose: run to completion while there is work; sleep on the devices' descriptors without it.
//! Invariant: between two turns every command is carried out; news that a full ring does not take
//! are kept and come first the next time.
//! Deliberately does not know: what packets or commands are for.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use sluice_engine::worker::intakes::Intake;
use sluice_engine::{Work, Worker};
use sluice_flow::PortIdx;
use sluice_frame::Pool;
use sluice_port::afxdp::Umem;

use super::bells::Bells;
use super::berth::Berth;
use super::team::Commons;
use super::{open, promptness};
use super::{Command, Fronts, News, Parcel, Time, Unit, RING};
use crate::daemon::clock::Clock;

/// Turns without work before the worker sleeps. At about a microsecond each they bridge the gaps
/// inside a burst; an idle worker spends nothing after them.
const IDLE_TURNS: u32 = 64;
/// News that the control thread has not taken yet, beyond which packets and wishes stay in the worker,
/// which bounds them and counts what it drops.
const PENDING: usize = 4;
/// How long packets may wait while devices are opened and closed.
const PATIENCE_MS: u64 = 5;
const WAKE: Token = Token(usize::MAX);
/// What one worker has for itself.
pub struct Seat {
    pub number: usize,
    pub pool: Pool,
    /// Where the tracker knows it by.
    pub place: Option<usize>,
    pub cpu: Option<u16>,
    pub inbox: rtrb::Consumer<Command>,
    pub outbox: rtrb::Producer<News>,
    pub berth: Berth,
}

/// Starts the thread.
pub fn spawn(commons: &Commons, seat: Seat) -> io::Result<(JoinHandle<()>, Arc<Waker>)> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
    let Seat { number, pool, place, cpu, inbox, outbox, berth } = seat;
    let mut worker = Worker::new(pool, commons.settings.clone());
    worker.set_tracker(commons.tracker.clone(), place);
    worker.enrol(commons.owners.clone(), commons.meters.clone());
    commons.bells.hang(number, Some(waker.clone()));
    let mut body = Body {
        worker,
        number,
        bells: commons.bells.clone(),
        umem: commons.umem.clone(),
        records: commons.records.clone(),
        poll,
        clock: commons.clock,
        inbox,
        outbox,
        kept: VecDeque::new(),
        control: commons.control.clone(),
        fronts: commons.fronts.clone(),
        descriptors: HashMap::new(),
        origins: HashMap::new(),
        told: false,
        time: Time::default(),
        berth,
    };
    let thread = std::thread::Builder::new().name(format!("worker{number}")).spawn(move || {
        if let Some(cpu) = cpu {
            open::pin(cpu);
        }
        promptness::come_first();
        body.run();
    })?;
    Ok((thread, waker))
}

/// What opening made.
pub(super) type Origin = Option<sluice_port::tap::TapKeeper>;

struct Body {
    worker: Worker,
    number: usize,
    bells: Bells,
    umem: Arc<Umem>,
    records: Arc<Path>,
    poll: Poll,
    clock: Clock,
    inbox: rtrb::Consumer<Command>,
    outbox: rtrb::Producer<News>,
    kept: VecDeque<News>,
    control: Arc<Waker>,
    fronts: Fronts,
    descriptors: HashMap<Unit, RawFd>,
    /// What opening made, to be removed with the port.
    origins: HashMap<PortIdx, Origin>,
    /// The control side was given something that it was not woken for yet.
    told: bool,
    time: Time,
    /// Where the program lies while we sleep.
    berth: Berth,
}

impl Body {
    fn run(&mut self) {
        let mut events = Events::with_capacity(64);
        let mut idle = 0;
        let mut turn_ms = 0;
        let mut since = sluice_port::ticks();
        loop {
            while let Ok(command) = self.inbox.pop() {
                // The kernel takes its time for devices: packets get their turn in between.
                let slow = matches!(command, Command::Open { .. } | Command::Close { .. });
                if !self.obey(command) {
                    return self.end();
                }
                if slow && self.clock.now_ms() >= turn_ms + PATIENCE_MS {
                    idle = 0;
                    break;
                }
            }
            turn_ms = self.clock.now_ms();
            let work = self.worker.turn(turn_ms);
            self.bells.ring(self.worker.take_called());
            self.tell();
            let now = sluice_port::ticks();
            let spent = now.wrapping_sub(since);
            since = now;
            if work == 0 {
                self.time.idle += spent;
                idle += 1;
            } else {
                self.time.busy += spent;
                idle = 0;
            }
            if idle > IDLE_TURNS {
                // Woken for a command, with nothing to receive, it sleeps again at once: the control thread
                // wants its processor, and rules change more easily while it sleeps.
                idle = match self.sleep(&mut events) {
                    Ok(true) => IDLE_TURNS,
                    Ok(false) => 0,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
                    Err(_) => return self.end(),
                };
                since = sluice_port::ticks();
            }
        }
    }

    /// Sleeps until a device, another worker or the control side wakes us; false when frames wait already.
    fn sleep(&mut self, events: &mut Events) -> io::Result<bool> {
        self.bells.falls_asleep(self.number);
        let woken = match self.worker.arm() {
            true => {
                let timeout = self.patience();
                self.berth.leave(self.worker.release_program());
                let woken = self.poll.poll(events, timeout);
                if let Some(program) = self.berth.take() {
                    self.worker.take_program_back(program);
                }
                woken.map(|()| true)
            }
            false => Ok(false),
        };
        self.bells.is_awake(self.number);
        woken
    }

    /// How long it may sleep: frames that wait in queues have their time; news that found no room are
    /// offered again soon.
    fn patience(&self) -> Option<Duration> {
        let ms = match (self.worker.needs_time(), self.kept.is_empty()) {
            (true, _) => 1,
            (false, false) => 5,
            (false, true) => return None,
        };
        Some(Duration::from_millis(ms))
    }

    /// Carries out a command; false at the end.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Adopt(program) => {
                let epoch = program.epoch();
                // One that came while we slept may be newer than one that was sent before.
                if epoch > self.worker.epoch() {
                    self.worker.adopt(program);
                }
                self.give(News::Adopted(epoch));
            }
            Command::Open { device, serial, spec } => self.open(device, serial, spec),
            Command::Close { device, delete } => self.close(device, delete),
            Command::Inject(i) => {
                let work = match &i.resume {
                    Some(frozen) => Work::Resume(frozen),
                    None => Work::Execute { bridge: i.bridge, actions: &i.actions },
                };
                self.worker.inject_with(&work, &i.pipeline(), &i.packet, self.clock.now_ms());
            }
            Command::Police { device, rates, floods } => {
                self.worker.police(device, rates);
                self.worker.limit_floods(device, floods);
            }
            Command::Shape { device, plan } => self.worker.shape(device, &plan),
            Command::Transmit { device, frame } => self.worker.transmit(device, &frame),
            Command::Meet { other, link } => self.worker.meet(other, *link),
            Command::Part { other } => self.worker.part(other),
            Command::Expect { device } => self.worker.expect(device),
            Command::Settle { ticket } => {
                self.worker.take_all_crossings();
                self.give(News::Settled { ticket });
            }
            Command::GiveUp { device } => self.give_up(device),
            Command::TakeOver { device, parcel } => self.take_over(device, parcel),
            Command::Split { device, serial } => self.split(device, serial),
            Command::ServeIntake(intake) => self.serve_intake(*intake),
            Command::GiveIntake { unit, serial } => {
                let intake = self.give_intake(unit).map(Box::new);
                self.give(News::IntakeGiven { unit, serial, intake });
            }
            Command::CloseIntake { unit } => {
                if let Some(intake) = self.give_intake(unit) {
                    self.worker.discard_intake(intake);
                }
            }
            Command::DiscardIntake(intake) => self.worker.discard_intake(*intake),
            Command::LookAgain => self.worker.look_again(),
            Command::Flows { ticket } => {
                let flows = self.worker.cached_flows();
                self.give(News::Flows { ticket, flows });
            }
            Command::Report { ticket } => {
                let report = Box::new(self.worker.report());
                self.give(News::Report { ticket, report, time: self.time });
            }
            Command::Stop => return false,
        }
        true
    }

    fn open(&mut self, device: PortIdx, serial: u64, spec: super::DeviceSpec) {
        let observer = self.fronts.observer(device, &spec.name);
        let means = open::Means { pool: self.worker.pool_mut(), umem: &self.umem, records: &self.records };
        match open::open(&spec, means, observer) {
            Ok((port, facts, origin)) => {
                if let Some(descriptor) = port.poll_fd() {
                    self.watch((device, 0), descriptor);
                }
                self.worker.add_port(device, port);
                self.origins.insert(device, origin);
                self.give(News::Opened { device, facts });
                self.split(device, serial);
            }
            Err(why) if why.is_gone() => {
                let why = format!("could not open network device {} (No such device)", spec.name);
                self.give(News::NotOpened { device, why });
            }
            Err(why) => self.give(News::NotOpened { device, why: why.to_string() }),
        }
    }

    fn give_up(&mut self, device: PortIdx) {
        self.ignore((device, 0));
        let origin = self.origins.remove(&device).flatten();
        let parcel = self.worker.give_up(device).map(|moving| Box::new(Parcel { moving, origin }));
        self.give(News::GivenUp { device, parcel });
    }

    fn take_over(&mut self, device: PortIdx, parcel: Option<Box<Parcel>>) {
        let Some(parcel) = parcel else { return self.worker.expect_no_more() };
        let Parcel { moving, origin } = *parcel;
        self.worker.take_over(device, moving);
        if let Some(descriptor) = self.worker.port(device).and_then(|p| p.poll_fd()) {
            self.watch((device, 0), descriptor);
        }
        self.origins.insert(device, origin);
    }

    fn split(&mut self, device: PortIdx, serial: u64) {
        let intakes = self.worker.split(device);
        if !intakes.is_empty() {
            self.give(News::Split { serial, intakes });
        }
    }

    fn serve_intake(&mut self, intake: Intake) {
        let unit = intake.place();
        if let Some(descriptor) = intake.port().poll_fd() {
            self.watch(unit, descriptor);
        }
        self.worker.add_intake(intake);
    }

    fn give_intake(&mut self, unit: Unit) -> Option<Intake> {
        self.ignore(unit);
        self.worker.give_intake(unit)
    }

    fn ignore(&mut self, unit: Unit) {
        if let Some(descriptor) = self.descriptors.remove(&unit) {
            let _ = self.poll.registry().deregister(&mut SourceFd(&descriptor));
        }
    }

    fn watch(&mut self, unit: Unit, descriptor: RawFd) {
        // Which it was is not asked: whatever wakes, all are looked at.
        let token = Token(usize::from(unit.0));
        let readable = Interest::READABLE;
        if self.poll.registry().register(&mut SourceFd(&descriptor), token, readable).is_ok() {
            self.descriptors.insert(unit, descriptor);
        }
    }

    fn close(&mut self, device: PortIdx, delete: bool) {
        self.ignore((device, 0));
        self.worker.remove_port(device);
        let origin = self.origins.remove(&device).flatten().filter(|_| delete);
        if let Some(Err(e)) = origin.map(sluice_port::tap::TapKeeper::delete) {
            crate::log!(Warn, "", "{e}");
        }
    }

    /// Hands on what the worker has to say.
    fn tell(&mut self) {
        if self.kept.is_empty() && self.worker.has_news() && self.outbox.slots() + PENDING >= RING {
            for (device, error) in self.worker.take_trouble() {
                let gone = error.is_gone();
                if gone {
                    self.close(device, false);
                }
                self.give(News::Trouble { device, gone, why: error.to_string() });
            }
            let events = self.worker.take_events();
            if !events.is_empty() {
                self.give(News::Events(events));
            }
            let protocols = self.worker.take_protocols();
            if !protocols.is_empty() {
                self.give(News::Protocols(protocols));
            }
            let punts = self.worker.take_punts();
            if !punts.is_empty() {
                self.give(News::Punts(punts));
            }
        }
        while let Some(news) = self.kept.pop_front() {
            if let Err(rtrb::PushError::Full(news)) = self.outbox.push(news) {
                self.kept.push_front(news);
                break;
            }
            self.told = true;
        }
        if std::mem::take(&mut self.told) {
            let _ = self.control.wake();
        }
    }

    fn give(&mut self, news: News) {
        self.kept.push_back(news);
        self.told = true;
    }

    fn end(&mut self) {
        let devices: Vec<PortIdx> = self.origins.keys().copied().collect();
        for device in devices {
            self.close(device, false);
        }
        let intakes: Vec<Unit> = self.worker.intakes().map(|(i, _)| i.place()).collect();
        intakes.into_iter().for_each(|unit| self.worker.close_intake(unit));
        self.worker.finish();
        self.give(News::Stopped);
        self.tell();
    }
}

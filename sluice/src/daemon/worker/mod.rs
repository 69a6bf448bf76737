//! Worker threads and how the control thread talks to them.
//!
//! Purpose: commands go in by one bounded ring, news come back by another; both sides wake the other.
//! Invariant: the control thread never waits for the worker. What a full ring does not take stays in
//! a queue of the sender that is bounded by what was asked for.
//! Deliberately does not know: OpenFlow, rules.

mod bells;
mod berth;
mod open;
mod placement;
mod promptness;
mod team;
mod thread;

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::SyncSender;
use std::sync::Arc;
use std::thread::JoinHandle;

use mio::Waker;
use sluice_engine::exchange::Link;
use sluice_engine::worker::crossing::Moving;
use sluice_engine::worker::flows::CachedFlows;
use sluice_engine::worker::intakes::Intake;
use sluice_engine::{Punted, Received, Report};
use sluice_flow::action::{Action, OfPort};
use sluice_flow::decide::Frozen;
use sluice_flow::key::{slot, Key};
use sluice_flow::{BridgeIdx, Event, PortIdx, Program};
use sluice_frame::Pool;
use sluice_port::vhost::Observer;

pub use open::{alias_of, DeviceKind, DeviceSpec, Elsewhere, OnlyOurs, Opened};
pub use sluice_port::vhost::Event as FrontEvent;
pub use placement::Unit;
pub use team::{Affinity, Kit, Team};

/// Commands or news that a ring holds.
const RING: usize = 1024;
/// Packets of controllers that may wait for the worker; more are dropped and counted.
const INJECTIONS: usize = 512;

/// How a worker spent its time, in ticks of its CPU. Sleep is in neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// In turns that found frames.
    pub busy: u64,
    /// In turns that found none.
    pub idle: u64,
}

/// What the worker is told.
pub enum Command {
    /// Run this program from the next batch on.
    Adopt(Arc<Program>),
    /// Open a device.
    Open {
        /// Its place.
        device: PortIdx,
        /// Comes back with its receive queues.
        serial: u64,
        /// What it is.
        spec: DeviceSpec,
    },
    /// Close a device.
    Close {
        /// Its place.
        device: PortIdx,
        /// Remove what opening it made.
        delete: bool,
    },
    /// Execute actions on a controller's packet.
    Inject(Box<Injection>),
    /// Let in no more than this from a device.
    Police {
        /// The device.
        device: PortIdx,
        /// How much.
        rates: sluice_engine::police::Rates,
        /// How much of it is flooded.
        floods: sluice_engine::storm::FloodRates,
    },
    /// Let out by a device in this order and no faster than this.
    Shape {
        /// The device.
        device: PortIdx,
        /// How.
        plan: Box<sluice_engine::egress::Plan>,
    },
    /// Send a frame by a device, past the tables.
    Transmit {
        /// The device.
        device: PortIdx,
        /// The frame.
        frame: Vec<u8>,
    },
    /// Exchange frames with another worker.
    Meet {
        /// The other one.
        other: usize,
        /// How.
        link: Box<Link>,
    },
    /// Another worker has ended.
    Part {
        /// That one.
        other: usize,
    },
    /// Keep frames for a device that is about to come.
    Expect {
        /// The device.
        device: PortIdx,
    },
    /// Send all that others have handed over, and say so.
    Settle {
        /// Comes back with the answer.
        ticket: u64,
    },
    /// Give up a device that another worker is going to serve.
    GiveUp {
        /// The device.
        device: PortIdx,
    },
    /// Serve a device that another worker gave up; `None` where it had none.
    TakeOver {
        /// The device.
        device: PortIdx,
        /// All that belongs to it.
        parcel: Option<Box<Parcel>>,
    },
    /// Take receive queues that may be served by others out of a device.
    Split {
        /// The device.
        device: PortIdx,
        /// As given when it was opened; comes back with them.
        serial: u64,
    },
    /// Serve a receive queue of a device.
    ServeIntake(Box<Intake>),
    /// Give up a receive queue that another worker is going to serve.
    GiveIntake {
        /// The device and the queue's number.
        unit: Unit,
        /// Comes back with the answer.
        serial: u64,
    },
    /// Close a receive queue that is served here.
    CloseIntake {
        /// The device and the queue's number.
        unit: Unit,
    },
    /// Close a receive queue that nobody serves.
    DiscardIntake(Box<Intake>),
    /// Look again at devices: the host's have changed.
    LookAgain,
    /// Say what is cached.
    Flows {
        /// Comes back with the answer.
        ticket: u64,
    },
    /// Say what was counted.
    Report {
        /// Comes back with the answer.
        ticket: u64,
    },
    /// End.
    Stop,
}

/// A controller's packet.
pub struct Injection {
    /// Bridge.
    pub bridge: BridgeIdx,
    /// Port that it is taken to have come in by.
    pub in_port: OfPort,
    /// What to do.
    pub actions: Arc<[Action]>,
    /// The packet.
    pub packet: Vec<u8>,
    /// Its fields beside the headers, where a controller gave more than the port.
    pub pipeline: Option<Box<Key>>,
    /// It goes on where it was paused, and the actions do not count.
    pub resume: Option<Arc<Frozen>>,
}

impl Injection {
    /// The fields that are in no header.
    pub fn pipeline(&self) -> Key {
        let mut key = self.pipeline.as_deref().copied().unwrap_or(Key::ZERO);
        key.set(slot::IN_PORT, u64::from(self.in_port));
        key
    }
}

/// A device between two workers, and what its opening made.
pub struct Parcel {
    moving: Moving,
    origin: thread::Origin,
}

/// What the worker tells.
pub enum News {
    /// It runs the program of this epoch.
    Adopted(u64),
    /// What was counted.
    Report {
        /// As given.
        ticket: u64,
        /// The counts.
        report: Box<Report>,
        /// How long the worker was busy and idle until then.
        time: Time,
    },
    /// What is cached.
    Flows {
        /// As given.
        ticket: u64,
        /// The flows.
        flows: Vec<CachedFlows>,
    },
    /// Deciding asks for something.
    Events(Vec<Event>),
    /// Messages of the switch's own protocols.
    Protocols(Vec<Received>),
    /// Packets for the controllers.
    Punts(Vec<Punted>),
    /// A device works.
    Opened {
        /// Its place.
        device: PortIdx,
        /// What was found out on opening.
        facts: Opened,
    },
    /// A device cannot be opened.
    NotOpened {
        /// Its place.
        device: PortIdx,
        /// Why.
        why: String,
    },
    /// A device reported trouble.
    Trouble {
        /// Its place.
        device: PortIdx,
        /// It has vanished.
        gone: bool,
        /// What it said.
        why: String,
    },
    /// The front of a vhost-user device did something.
    Front {
        /// Its place.
        device: PortIdx,
        /// Name of the port that had the place then.
        name: Arc<str>,
        /// What it did.
        event: FrontEvent,
    },
    /// All that others had handed over is sent.
    Settled {
        /// As given.
        ticket: u64,
    },
    /// A device is given up.
    GivenUp {
        /// Its place.
        device: PortIdx,
        /// All that belongs to it, if it was here.
        parcel: Option<Box<Parcel>>,
    },
    /// A device has receive queues that may be served by others.
    Split {
        /// As given when it was opened.
        serial: u64,
        /// All queues but the first.
        intakes: Vec<Intake>,
    },
    /// A receive queue is given up.
    IntakeGiven {
        /// The device and the queue's number.
        unit: Unit,
        /// As given.
        serial: u64,
        /// The queue, if it was here.
        intake: Option<Box<Intake>>,
    },
    /// The thread ends.
    Stopped,
}

/// Where fronts of vhost-user devices are heard, whichever worker serves them.
#[derive(Clone)]
pub(super) struct Fronts {
    news: SyncSender<News>,
    control: Arc<Waker>,
}

impl Fronts {
    /// Who hears the front of this device.
    fn observer(&self, device: PortIdx, name: &str) -> Observer {
        let (fronts, name) = (self.clone(), Arc::<str>::from(name));
        Box::new(move |event| {
            // Nobody listens any more when the daemon stops.
            let _ = fronts.news.send(News::Front { device, name: name.clone(), event });
            let _ = fronts.control.wake();
        })
    }
}

/// The control side's end.
pub struct Worker {
    commands: rtrb::Producer<Command>,
    news: rtrb::Consumer<News>,
    waiting: VecDeque<Command>,
    injections: usize,
    /// Something was handed over that the worker was not woken for yet.
    owes_a_call: bool,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
    berth: berth::Berth,
}

impl Worker {
    /// Starts the thread of this number, pinned to `cpu` where given.
    fn start(commons: &team::Commons, number: usize, pool: Pool, place: Option<usize>, cpu: Option<u16>) -> io::Result<Worker> {
        let (commands, inbox) = rtrb::RingBuffer::new(RING);
        let (outbox, news) = rtrb::RingBuffer::new(RING);
        let berth = berth::Berth::default();
        let seat = thread::Seat { number, pool, place, cpu, inbox, outbox, berth: berth.clone() };
        let (thread, waker) = thread::spawn(commons, seat)?;
        Ok(Worker { berth, commands, news, waiting: VecDeque::new(), injections: 0, owes_a_call: false, waker, thread: Some(thread) })
    }

    /// Hands over a program: true when the worker will look at no frame before it has it, else the
    /// worker tells when it has.
    pub fn adopt(&mut self, program: Arc<Program>) -> bool {
        match self.berth.replace(program) {
            Ok(()) => true,
            Err(program) => {
                self.tell(Command::Adopt(program));
                false
            }
        }
    }

    /// Tells the worker.
    pub fn tell(&mut self, command: Command) {
        self.waiting.push_back(command);
        self.push();
        self.call();
    }

    /// Wakes the thread if something waits for it.
    pub fn call(&mut self) {
        if std::mem::take(&mut self.owes_a_call) {
            let _ = self.waker.wake();
        }
    }

    /// Hands over a controller's packet; false when too many wait already. Controllers send them by the hundred: the
    /// worker is woken once for all, by [`Worker::call`].
    pub fn inject(&mut self, injection: Injection) -> bool {
        if self.waiting.iter().filter(|c| matches!(c, Command::Inject(_))).count() >= INJECTIONS {
            self.injections += 1;
            return false;
        }
        self.waiting.push_back(Command::Inject(Box::new(injection)));
        self.push();
        true
    }

    /// The next news, if any.
    pub fn next_news(&mut self) -> Option<News> {
        self.push();
        self.call();
        self.news.pop().ok()
    }

    /// Ends the thread and waits for it.
    pub fn stop(&mut self) {
        self.tell(Command::Stop);
        while let Some(thread) = &self.thread {
            if thread.is_finished() {
                break;
            }
            self.push();
            self.call();
            while self.news.pop().is_ok() {}
            std::thread::yield_now();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Whether the thread has ended although nobody told it to.
    pub fn has_died(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    fn push(&mut self) {
        while let Some(command) = self.waiting.pop_front() {
            match self.commands.push(command) {
                Ok(()) => self.owes_a_call = true,
                Err(rtrb::PushError::Full(command)) => {
                    self.waiting.push_front(command);
                    break;
                }
            }
        }
    }
}

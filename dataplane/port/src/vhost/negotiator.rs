//! The thread that speaks with a port's front.
//!
//! Purpose: connect (again and again) or listen; carry out messages; call queues home and send them
//! out.
//! Invariant: it may wait for the front, the worker never waits for it. When the port is closed it
//! ends by itself and unmaps what it mapped.
//! Deliberately does not know: frames.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use super::device::{Answer, Closed, Device};
use super::link::{FromWorker, NegotiatorEnd, ToWorker};
use super::protocol::{extension, has_answer, parse, Refusal, Request, IOTLB_MISS, NEED_REPLY, REPLY};
use super::socket::{self, wait, Message, Ready};
use super::{Mode, VhostOptions};
use crate::PortError;

/// First and longest wait before connecting again.
const RETRY: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_millis(500);
/// Wait after a guest broke the rules: it may do so again at once.
const PENALTY: Duration = Duration::from_secs(1);
/// Stack of the thread.
const STACK: usize = 256 * 1024;

/// Something that people want to know of a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A front is there.
    Connected,
    /// Frames may pass.
    Up {
        /// Features that were negotiated.
        features: u64,
    },
    /// The guest uses so many pairs of rings, more or fewer than before: see [`crate::Port::intakes`].
    Pairs(usize),
    /// Frames may not pass for now.
    Down,
    /// Something was not obeyed, and why.
    Refused(String),
    /// The guest broke the rules and lost its session.
    Broken(String),
    /// The front has gone.
    Disconnected(String),
}

/// Who is told; called from the port's own thread.
pub type Observer = Box<dyn Fn(Event) + Send>;

/// Starts the thread.
pub(crate) fn start(name: &str, options: &VhostOptions, end: NegotiatorEnd, observer: Observer) -> Result<(), PortError> {
    let listener = match options.mode {
        Mode::Client => None,
        Mode::Server => {
            let doing = format!("listen at {}", options.path.display());
            Some(socket::listen(&options.path).map_err(|e| PortError::io(name, doing, e))?)
        }
    };
    let device = Device::new(end, options.iommu);
    let mut negotiator = Negotiator { device, listener, path: options.path.clone(), observer, up: false, pairs: 1, broken: None };
    let thread = std::thread::Builder::new().name(format!("vhost-{name}")).stack_size(STACK);
    let started = thread.spawn(move || {
        // Ends when the port is closed.
        while negotiator.meet().is_ok() {}
    });
    started.map(drop).map_err(|e| PortError::io(name, "start a thread", e))
}

struct Negotiator {
    device: Device,
    listener: Option<OwnedFd>,
    path: std::path::PathBuf,
    observer: Observer,
    /// What was told last.
    up: bool,
    pairs: usize,
    /// How the guest broke the rules while its queues were called home.
    broken: Option<String>,
}

/// Why a conversation ends.
enum Ending {
    Closed,
    /// The front has gone, or must go.
    Front(String),
    /// The guest broke the rules.
    Broken(String),
}

impl From<Closed> for Ending {
    fn from(_: Closed) -> Ending {
        Ending::Closed
    }
}

impl From<io::Error> for Ending {
    fn from(e: io::Error) -> Ending {
        Ending::Front(e.to_string())
    }
}

impl Negotiator {
    /// One front from its coming to its going.
    fn meet(&mut self) -> Result<(), Closed> {
        let front = self.find()?;
        (self.observer)(Event::Connected);
        let Err(ending) = self.converse(&front);
        drop(front);
        // The queues come home before their memory goes.
        let home = self.call_home();
        self.device.forget();
        self.broken = None;
        let pause = match ending {
            Ending::Closed => return Err(Closed),
            Ending::Front(why) => {
                self.tell_state();
                (self.observer)(Event::Disconnected(why));
                Duration::ZERO
            }
            Ending::Broken(why) => {
                self.tell_state();
                (self.observer)(Event::Broken(why));
                PENALTY
            }
        };
        home?;
        self.sleep(pause)
    }

    fn sleep(&mut self, how_long: Duration) -> Result<(), Closed> {
        if how_long.is_zero() {
            return Ok(());
        }
        // A notice ends the sleep early, which does no harm.
        let _ = wait(None, &self.device.end().shared.notice, Some(how_long));
        self.check()
    }

    fn check(&mut self) -> Result<(), Closed> {
        if self.device.end().shared.is_closing() { Err(Closed) } else { Ok(()) }
    }

    /// Waits for a front.
    fn find(&mut self) -> Result<OwnedFd, Closed> {
        let mut pause = RETRY;
        loop {
            self.check()?;
            let found = match &self.listener {
                None => socket::connect(&self.path),
                Some(listener) => {
                    let notice = &self.device.end().shared.notice;
                    match wait(Some(listener.as_raw_fd()), notice, None) {
                        Ok(Ready::Socket) => socket::accept(listener),
                        _ => continue,
                    }
                }
            };
            if let Ok(front) = found {
                return Ok(front);
            }
            self.sleep(pause)?;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Answers messages until something ends it.
    fn converse(&mut self, front: &OwnedFd) -> Result<std::convert::Infallible, Ending> {
        loop {
            let ready = wait(Some(front.as_raw_fd()), &self.device.end().shared.notice, None)?;
            self.check()?;
            self.listen_to_worker()?;
            if ready == Ready::Socket {
                let shared = self.device.end().shared.clone();
                let message = socket::receive(front, &shared.notice, &|| shared.is_closing())?;
                self.serve(front, message.ok_or(Closed)?)?;
            }
            if let Some(why) = self.broken.take() {
                return Err(Ending::Broken(why));
            }
            self.ask_for_translations();
            self.tell_state();
        }
    }

    /// Takes in what workers said.
    fn listen_to_worker(&mut self) -> Result<(), Ending> {
        let mut said = Vec::new();
        self.device.ends().for_each(|end| said.extend(std::iter::from_fn(|| end.inbox.pop().ok())));
        let (mut apart, mut ending) = (Vec::new(), Ok(()));
        for message in said {
            match message {
                FromWorker::Stopped(session) => self.device.take_home(session),
                FromWorker::Broken(session, ring, broken) => {
                    self.device.take_home(Some(session));
                    self.device.signal_error(ring);
                    ending = Err(Ending::Broken(format!("ring {ring}: {broken}")));
                }
                FromWorker::Miss { address, write } => self.device.misses.push((address, write)),
                FromWorker::Apart(ends) => apart.extend(ends),
            }
        }
        if !apart.is_empty() {
            self.call_home()?;
            apart.into_iter().for_each(|(pair, end)| self.device.set_apart(pair, end));
            self.device.resume();
        }
        ending
    }

    /// Waits until all queues have been given back.
    fn call_home(&mut self) -> Result<(), Closed> {
        if !self.device.is_running() {
            return Ok(());
        }
        let mut apart = Vec::new();
        for at in 0..self.device.ends().count() {
            apart.extend(self.call_home_from(at)?);
        }
        self.device.is_home();
        self.device.forget_closed();
        apart.into_iter().for_each(|(pair, end)| self.device.set_apart(pair, end));
        Ok(())
    }

    /// The same of one of those who have queues; what it said that has to wait.
    fn call_home_from(&mut self, at: usize) -> Result<Vec<(usize, NegotiatorEnd)>, Closed> {
        let mut apart = Vec::new();
        while !self.device.ends().nth(at).is_some_and(|end| end.tell(ToWorker::Stop)) {
            self.check()?;
            if self.has_closed(at) {
                break;
            }
            std::thread::yield_now();
        }
        // The answer comes even where the worker gave the queues back by itself meanwhile.
        loop {
            // Asked first: what it said before it closed its end is heard.
            let closed = self.has_closed(at);
            let said = self.device.ends().nth(at).and_then(|end| end.inbox.pop().ok());
            match said {
                Some(FromWorker::Stopped(session)) => {
                    self.device.take_home(session);
                    return Ok(apart);
                }
                Some(FromWorker::Broken(session, ring, broken)) => {
                    self.device.take_home(Some(session));
                    self.device.signal_error(ring);
                    self.broken = Some(format!("ring {ring}: {broken}"));
                }
                Some(FromWorker::Miss { address, write }) => self.device.misses.push((address, write)),
                Some(FromWorker::Apart(ends)) => apart.extend(ends),
                None if closed => return Ok(apart),
                None => {
                    self.check()?;
                    let _ = wait(None, &self.device.end().shared.notice, None);
                }
            }
        }
    }

    fn has_closed(&mut self, at: usize) -> bool {
        self.device.ends().nth(at).is_none_or(|end| end.shared.is_closing())
    }

    fn serve(&mut self, front: &OwnedFd, message: Message) -> Result<(), Ending> {
        let Message { request: number, flags, body, fds } = message;
        let wants_ack = flags & NEED_REPLY != 0 && self.device.can(extension::REPLY_ACK) && !has_answer(number);
        let result = match parse(number, &body) {
            Ok(request) => self.carry_out(request, fds)?,
            Err(refusal) => Err(refusal),
        };
        let reply = |body: &[u8], fd: Option<&OwnedFd>| socket::send(front, number, REPLY, body, fd);
        match result {
            Ok(Answer::None) if wants_ack => reply(&0u64.to_ne_bytes(), None)?,
            Ok(Answer::None) => {}
            Ok(Answer::Number(n)) => reply(&n.to_ne_bytes(), None)?,
            Ok(Answer::Bytes(bytes)) => reply(&bytes, None)?,
            Ok(Answer::Memory(bytes, fd)) => reply(&bytes, Some(&fd))?,
            Ok(Answer::Empty) => reply(&[], None)?,
            Err(Refusal(why)) if wants_ack => {
                (self.observer)(Event::Refused(why));
                reply(&1u64.to_ne_bytes(), None)?;
            }
            Err(Refusal(why)) => {
                // The front would take silence for consent.
                return Err(Ending::Front(format!("message {number} refused: {why}")));
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, request: Request, fds: Vec<OwnedFd>) -> Result<Result<Answer, Refusal>, Ending> {
        if Device::disturbs(&request) {
            self.call_home()?;
            if self.broken.is_some() {
                return Ok(Err(Refusal::new("the guest broke the rules")));
            }
        }
        let result = self.device.obey(request, fds);
        self.device.resume();
        if let Some(why) = self.device.complaint.take() {
            (self.observer)(Event::Refused(why));
        }
        Ok(result)
    }

    /// Asks the front for translations that queues stopped for.
    fn ask_for_translations(&mut self) {
        for (address, write) in std::mem::take(&mut self.device.misses) {
            let Some(channel) = &self.device.channel else { continue };
            let mut body = [0; 32];
            for (to, word) in body.chunks_exact_mut(8).zip([address, 0, 0]) {
                to.copy_from_slice(&word.to_ne_bytes());
            }
            body[24] = if write { 2 } else { 1 };
            body[25] = IOTLB_MISS;
            // A front that does not listen is asked again when the queue stops the next time.
            let _ = socket::send(channel, 1, 0, &body, None);
        }
    }

    fn tell_state(&mut self) {
        let up = self.device.is_running();
        if up != self.up {
            self.up = up;
            (self.observer)(if up { Event::Up { features: self.device.features() } } else { Event::Down });
        }
        let pairs = self.device.pairs();
        if pairs > 0 && pairs != self.pairs {
            self.pairs = pairs;
            (self.observer)(Event::Pairs(pairs));
        }
    }
}

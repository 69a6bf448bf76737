//! Between the thread that negotiates and the worker that moves frames.
//!
//! Purpose: ready queues go to the worker and come back between two batches, by bounded rings.
//! Invariant: queues are with the worker or with the negotiator, never with both; memory is unmapped
//! only by the negotiator, after the queues came home.
//! Deliberately does not know: messages of the control protocol, how frames are moved.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::memory::Memory;
use super::queue::{signal, Queue};
use super::record::Undone;
use super::ring::Broken;
use crate::sys::check;

/// Messages that either ring holds: a session each way, and notices.
const MESSAGES: usize = 8;

/// Queues that are ready, with what keeps their memory.
#[derive(Debug)]
pub(crate) struct Session {
    /// Rings that the guest sends by.
    pub from_guest: Vec<Queue>,
    /// Rings that the guest receives by.
    pub to_guest: Vec<Queue>,
    /// How many pairs of rings the guest uses, wherever their queues are.
    pub pairs: usize,
    /// What the guest takes undone.
    pub takes: Undone,
    /// Keeps the memory that the queues point into.
    pub memory: Arc<Memory>,
}

/// To the worker.
#[derive(Debug)]
pub(crate) enum ToWorker {
    /// These queues are yours.
    Start(Box<Session>),
    /// Give them back.
    Stop,
    /// Hand in an announcement of this address, as if the guest had sent it.
    Announce([u8; 6]),
}

/// From the worker.
#[derive(Debug)]
pub(crate) enum FromWorker {
    /// Here they are, if there were any.
    Stopped(Option<Box<Session>>),
    /// The guest broke the rules in this ring.
    Broken(Box<Session>, usize, Broken),
    /// A translation is needed.
    Miss {
        address: u64,
        write: bool,
    },
    /// The queues that the guest sends by, of these pairs, are to be had by others from now on.
    Apart(Vec<(usize, NegotiatorEnd)>),
}

/// An event descriptor of our own.
pub(crate) fn event() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the descriptor is new and ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What both ends share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The worker sleeps on this: kicks of the guest, and `wake`. Nobody ever reads the descriptors in
    /// it: each event counts once.
    pub epoll: OwnedFd,
    wake: OwnedFd,
    /// The negotiator sleeps on this, one for all workers that have queues of its guest.
    pub notice: Arc<OwnedFd>,
    closing: AtomicBool,
}

impl Shared {
    /// Lets the worker wake up for kicks of this descriptor.
    pub(crate) fn watch(&self, fd: RawFd) -> io::Result<()> {
        let mut e = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 0 };
        // SAFETY: `e` outlives the call.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut e) }).map(drop)
    }

    /// Forgets a descriptor.
    pub(crate) fn unwatch(&self, fd: RawFd) {
        // SAFETY: no memory is passed.
        unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
    }

    /// Takes all events that came.
    pub(crate) fn drain(&self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 32];
        loop {
            // SAFETY: room for 32 events is passed.
            let n = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 32, 0) };
            if n < 32 {
                return;
            }
        }
    }

    /// This end is closed: the negotiator shall end with the port's own one, and count no more on another one.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        signal(&self.notice);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }
}

/// The worker's end.
#[derive(Debug)]
pub(crate) struct WorkerEnd {
    pub inbox: rtrb::Consumer<ToWorker>,
    outbox: rtrb::Producer<FromWorker>,
    pub shared: Arc<Shared>,
}

impl WorkerEnd {
    /// Hands something to the negotiator; false when it has not taken in enough yet.
    pub(crate) fn tell(&mut self, m: FromWorker) -> bool {
        // Sessions always find room: there is one, and notices leave some.
        if matches!(m, FromWorker::Miss { .. }) && self.outbox.slots() <= MESSAGES / 2 {
            return false;
        }
        let told = self.outbox.push(m).is_ok();
        signal(&self.shared.notice);
        told
    }
}

/// The negotiator's end.
#[derive(Debug)]
pub(crate) struct NegotiatorEnd {
    outbox: rtrb::Producer<ToWorker>,
    pub inbox: rtrb::Consumer<FromWorker>,
    pub shared: Arc<Shared>,
}

impl NegotiatorEnd {
    /// Hands something to the worker; false when the worker has too much to take in.
    pub(crate) fn tell(&mut self, m: ToWorker) -> bool {
        let told = self.outbox.push(m).is_ok();
        signal(&self.shared.wake);
        told
    }
}

/// Both ends; `notice` is that of the port's own end, where this is another one.
pub(crate) fn pair(notice: Option<Arc<OwnedFd>>) -> io::Result<(WorkerEnd, NegotiatorEnd)> {
    // SAFETY: no memory is passed.
    let epoll = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: the descriptor is new and ours alone.
    let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
    let notice = notice.map_or_else(|| event().map(Arc::new), Ok)?;
    let shared = Arc::new(Shared { epoll, wake: event()?, notice, closing: AtomicBool::new(false) });
    shared.watch(shared.wake.as_raw_fd())?;
    let (to_worker, worker_in) = rtrb::RingBuffer::new(MESSAGES);
    let (from_worker, negotiator_in) = rtrb::RingBuffer::new(MESSAGES);
    let worker = WorkerEnd { inbox: worker_in, outbox: from_worker, shared: shared.clone() };
    Ok((worker, NegotiatorEnd { outbox: to_worker, inbox: negotiator_in, shared }))
}

//! A vhost-user port as its worker sees it.
//!
//! Invariant: without a session nothing comes in and everything that goes out is dropped as "down"; a
//! guest that breaks the rules loses its session and nothing else.
//! Deliberately does not know: the control protocol.

use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;

use sluice_frame::{Frame, Pool};

use super::link::{pair, FromWorker, Session, ToWorker, WorkerEnd};
use super::negotiator::{self, Observer};
use super::record::fits;
use super::ring::{Broken, Stop, BATCH};
use super::spread::spread;
use super::torn;
use super::{Mode, VhostOptions};
use crate::{offload, Offloads, Port, PortError, PortStats, SendDrop, SendOutcome};

/// Ethernet header, one VLAN tag.
const FRAMING: usize = 18;

/// The port.
pub struct VhostPort {
    name: String,
    /// Socket to be removed at the end, where it is ours.
    socket: Option<PathBuf>,
    end: WorkerEnd,
    session: Option<Box<Session>>,
    /// The guest was asked to kick.
    armed: bool,
    /// A translation was asked for and has not come.
    missing: bool,
    announce: Option<[u8; 6]>,
    /// Mappings that were lost until the last look, of all guests.
    torn: usize,
    /// Queue to be asked first.
    next: usize,
    /// Pairs of rings that the guest uses, as far as was seen.
    pairs: usize,
    /// Pairs beside the first whose queues from the guest are to be had apart.
    apart: usize,
    longest: usize,
    pieces: Vec<Frame>,
    ready: Vec<Frame>,
    stats: PortStats,
}

impl VhostPort {
    /// Starts to listen or to connect. `observer` is called from another thread.
    pub fn open(name: &str, options: &VhostOptions, observer: Observer) -> Result<VhostPort, PortError> {
        let (end, negotiator_end) = pair(None).map_err(|e| PortError::io(name, "make event descriptors", e))?;
        let socket = matches!(options.mode, Mode::Server).then(|| options.path.clone());
        negotiator::start(name, options, negotiator_end, observer)?;
        let longest = options.mtu.map_or(usize::MAX, |mtu| usize::from(mtu) + FRAMING);
        let mut port = VhostPort::at(name, end);
        (port.socket, port.longest, port.ready) = (socket, longest, Vec::with_capacity(2 * BATCH));
        Ok(port)
    }

    /// Whoever has this end.
    fn at(name: &str, end: WorkerEnd) -> VhostPort {
        VhostPort {
            name: name.to_owned(),
            socket: None,
            end,
            session: None,
            armed: false,
            missing: false,
            announce: None,
            torn: torn::count(),
            next: 0,
            pairs: 0,
            apart: 0,
            longest: usize::MAX,
            pieces: Vec::new(),
            ready: Vec::new(),
            stats: PortStats::default(),
        }
    }


    /// What the negotiator said since the last time.
    #[cold]
    fn obey(&mut self) {
        while let Ok(message) = self.end.inbox.pop() {
            match message {
                ToWorker::Start(session) => {
                    self.pairs = session.pairs;
                    self.session = Some(session);
                    (self.missing, self.next, self.armed) = (false, 0, false);
                }
                ToWorker::Stop => {
                    let session = self.session.take();
                    self.end.tell(FromWorker::Stopped(session));
                }
                ToWorker::Announce(mac) => self.announce = Some(mac),
            }
        }
    }

    #[cold]
    fn stop(&mut self, queue: usize, stop: Stop) {
        match stop {
            Stop::Broken(broken) => {
                if let Some(session) = self.session.take() {
                    self.end.tell(FromWorker::Broken(session, queue, broken));
                }
            }
            Stop::Miss { address, write } => {
                self.missing = self.missing || self.end.tell(FromWorker::Miss { address, write });
            }
        }
    }

    /// Some guest's memory was lost: was it this one's?
    #[cold]
    fn look_at_memory(&mut self) {
        self.torn = torn::count();
        if self.session.as_ref().is_some_and(|s| s.memory.is_torn()) {
            self.stop(0, Broken::TornMemory.into());
        }
    }

    #[cold]
    fn disarm(&mut self) {
        self.armed = false;
        self.end.shared.drain();
        if let Some(session) = &mut self.session {
            session.from_guest.iter_mut().for_each(|q| q.disarm());
        }
    }

    #[cold]
    fn hand_in_announcement(&mut self, pool: &mut Pool, out: &mut Vec<Frame>) -> usize {
        let Some(mac) = self.announce.take() else { return 0 };
        let Some(frame) = pool.copy_in(&announcement(mac)) else { return 0 };
        self.stats.count_rx(frame.len());
        out.push(frame);
        1
    }

    /// Makes frames ready that the guest does not take as they are.
    fn complete(&mut self, pool: &mut Pool, frame: Frame, takes: Offloads) -> Result<(), SendDrop> {
        offload::complete(pool, frame, takes, &mut self.pieces)
    }

    /// Sends through one queue; what does not go is freed.
    #[inline]
    fn send_by(&mut self, at: usize, pool: &mut Pool, frames: &mut Vec<Frame>, outcome: &mut SendOutcome) {
        let Some(session) = &mut self.session else { return };
        let takes = session.takes;
        let Some(queue) = session.to_guest.get_mut(at) else { return };
        let mut result = queue.prepare(frames.len());
        // Once the ring is full, the rest of the batch need not ask again.
        let mut full = false;
        for frame in frames.drain(..) {
            let bytes = frame.len();
            let sent = match &result {
                Ok(()) if full => Err(SendDrop::QueueFull),
                Ok(()) if fits(&frame.meta, &takes) => match queue.put(&frame) {
                    Ok(sent) => sent,
                    Err(stop) => {
                        result = Err(stop);
                        Err(SendDrop::Down)
                    }
                },
                Ok(()) => Err(SendDrop::BadOffload),
                Err(_) => Err(SendDrop::Down),
            };
            pool.free(frame);
            full |= sent == Err(SendDrop::QueueFull);
            match sent {
                Ok(()) => self.stats.count_tx(bytes, outcome),
                Err(reason) => self.stats.count_drop(reason, outcome),
            }
        }
        queue.finish();
        if let Err(stop) = result {
            let index = queue.index;
            self.stop(index, stop);
        }
    }

    /// Frames that the guest cannot take as they are, one by one: a cut one counts as one.
    #[cold]
    fn send_slowly(&mut self, at: usize, pool: &mut Pool, frames: &mut Vec<Frame>, outcome: &mut SendOutcome) {
        let takes = self.session.as_ref().map(|s| s.takes).unwrap_or_default();
        let plain = Offloads { tso4: false, tso6: false, ..takes.offloads };
        let mut one = std::mem::take(&mut self.ready);
        for frame in frames.drain(..) {
            let (bytes, ecn) = (frame.len(), frame.meta.gso_ecn);
            let accepts = if ecn && !takes.ecn { plain } else { takes.offloads };
            let before = self.stats;
            let mut own = SendOutcome::default();
            match self.complete(pool, frame, accepts) {
                Ok(()) => {
                    one.append(&mut self.pieces);
                    while !one.is_empty() {
                        let rest = one.split_off(one.len().min(BATCH));
                        self.send_by(at, pool, &mut one, &mut own);
                        one.drain(..).for_each(|f| pool.free(f));
                        one = rest;
                    }
                }
                Err(reason) => own.add_drop(reason),
            }
            self.stats = before;
            let failed = SendDrop::ALL.into_iter().find(|r| own.dropped_for(*r) > 0);
            match failed {
                None if own.sent > 0 => self.stats.count_tx(bytes, outcome),
                None => self.stats.count_drop(SendDrop::Down, outcome),
                Some(reason) => self.stats.count_drop(reason, outcome),
            }
        }
        self.ready = one;
    }

    fn refuse_all(&mut self, reason: SendDrop, pool: &mut Pool, frames: &mut Vec<Frame>, outcome: &mut SendOutcome) {
        for frame in frames.drain(..) {
            pool.free(frame);
            self.stats.count_drop(reason, outcome);
        }
    }

    fn refuse_long(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>, outcome: &mut SendOutcome) {
        let longest = self.longest;
        let is_long = |f: &Frame| f.len() > longest && f.meta.gso == sluice_frame::Gso::None;
        if !frames.iter().any(is_long) {
            return;
        }
        for frame in std::mem::take(frames) {
            if is_long(&frame) {
                pool.free(frame);
                self.stats.count_drop(SendDrop::TooLong, outcome);
            } else {
                frames.push(frame);
            }
        }
    }

    /// Sends runs of frames that one queue gets.
    fn send_spread(&mut self, queues: usize, pool: &mut Pool, frames: &mut Vec<Frame>, outcome: &mut SendOutcome) {
        let all = std::mem::take(frames);
        let mut run = std::mem::take(&mut self.ready);
        let mut at = 0;
        for frame in all {
            let to = spread(frame.head(), queues);
            if to != at && !run.is_empty() {
                self.send_run(at, pool, &mut run, outcome);
            }
            at = to;
            run.push(frame);
        }
        self.send_run(at, pool, &mut run, outcome);
        self.ready = run;
    }

    #[inline]
    fn send_run(&mut self, at: usize, pool: &mut Pool, frames: &mut Vec<Frame>, outcome: &mut SendOutcome) {
        let Some(session) = &self.session else { return self.refuse_all(SendDrop::Down, pool, frames, outcome) };
        let takes = session.takes;
        if frames.iter().all(|f| fits(&f.meta, &takes)) {
            self.send_by(at, pool, frames, outcome);
            return self.refuse_all(SendDrop::Down, pool, frames, outcome);
        }
        // Order matters more than speed here: one by one.
        let mut all = std::mem::take(frames);
        for frame in all.drain(..) {
            frames.push(frame);
            match frames.first() {
                Some(f) if fits(&f.meta, &takes) => self.send_by(at, pool, frames, outcome),
                _ => self.send_slowly(at, pool, frames, outcome),
            }
            self.refuse_all(SendDrop::Down, pool, frames, outcome);
        }
        *frames = all;
    }
}

/// The announcement that switches learn a moved guest's place from: a reverse ARP request.
fn announcement(mac: [u8; 6]) -> [u8; 60] {
    let mut f = [0; 60];
    let parts: [(usize, &[u8]); 6] = [
        (0, &[0xff; 6]),
        (6, &mac),
        // EtherType RARP; Ethernet, IPv4, request reverse.
        (12, &[0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3]),
        (22, &mac),
        (32, &mac),
        (38, &[0; 4]),
    ];
    for (at, bytes) in parts {
        if let Some(to) = f.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }
    f
}

impl Port for VhostPort {
    fn name(&self) -> &str {
        &self.name
    }

    #[inline]
    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        if !self.end.inbox.is_empty() {
            self.obey();
        }
        if self.armed {
            self.disarm();
        }
        if self.torn != torn::count() {
            self.look_at_memory();
        }
        let mut n = if self.announce.is_some() { self.hand_in_announcement(pool, out) } else { 0 };
        let Some(session) = &mut self.session else { return Ok(n) };
        let queues = session.from_guest.len();
        let mut trouble = None;
        for i in 0..queues {
            let at = (self.next + i) % queues;
            let Some(queue) = session.from_guest.get_mut(at) else { break };
            let before = out.len();
            if let Err(stop) = queue.receive(pool, out, max.saturating_sub(n), &mut self.stats) {
                trouble = Some((queue.index, stop));
            }
            n += out.len() - before;
            if n >= max || trouble.is_some() {
                self.next = at + 1;
                break;
            }
        }
        if let Some((queue, stop)) = trouble {
            self.stop(queue, stop);
        }
        Ok(n)
    }

    #[inline]
    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        let mut outcome = SendOutcome::default();
        let queues = self.session.as_ref().map_or(0, |s| s.to_guest.len());
        if self.longest != usize::MAX {
            self.refuse_long(pool, frames, &mut outcome);
        }
        match queues {
            0 => self.refuse_all(SendDrop::Down, pool, frames, &mut outcome),
            1 => self.send_run(0, pool, frames, &mut outcome),
            _ => self.send_spread(queues, pool, frames, &mut outcome),
        }
        outcome
    }

    fn intakes(&mut self) -> Vec<(u16, Box<dyn Port>)> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for number in self.apart + 1..self.pairs {
            let Ok((end, other)) = pair(Some(self.end.shared.notice.clone())) else { break };
            ours.push((number as u16, Box::new(VhostPort::at(&self.name, end)) as Box<dyn Port>));
            theirs.push((number, other));
        }
        if ours.is_empty() || !self.end.tell(FromWorker::Apart(theirs)) {
            return Vec::new();
        }
        self.apart += ours.len();
        ours
    }

    fn arm(&mut self) -> bool {
        self.armed = true;
        let quiet = self.end.inbox.is_empty() && self.announce.is_none();
        let Some(session) = &mut self.session else { return quiet };
        // Every queue is asked, or one that is never asked would never be silenced either.
        session.from_guest.iter_mut().fold(quiet, |quiet, q| q.arm() && quiet)
    }

    fn poll_fd(&self) -> Option<RawFd> {
        Some(self.end.shared.epoll.as_raw_fd())
    }

    fn stats(&self) -> PortStats {
        self.stats
    }

    fn offloads(&self) -> Offloads {
        self.session.as_ref().map_or(Offloads::NONE, |s| s.takes.offloads)
    }

    fn close(mut self: Box<Self>, _pool: &mut Pool) {
        // The session goes home to be unmapped there; so does everything when the port is only dropped.
        let session = self.session.take();
        self.end.tell(FromWorker::Stopped(session));
    }
}

impl Drop for VhostPort {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            let _ = std::fs::remove_file(socket);
        }
        self.end.shared.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_a_reverse_arp_request() {
        let f = announcement([2, 0, 0, 0, 0, 9]);
        assert_eq!(f[..12], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9]);
        assert_eq!(f[12..22], [0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3]);
        assert_eq!((&f[22..28], &f[32..38]), (&[2, 0, 0, 0, 0, 9][..], &[2, 0, 0, 0, 0, 9][..]));
    }
}

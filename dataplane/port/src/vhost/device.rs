//! The device that a front configures: features, memory, rings.
//!
//! Purpose: carry out one message after the other; make ready rings into queues for the worker.
//! Invariant: nothing that queues depend on changes while the worker has them: they are called home
//! first and go out again afterwards.
//! Deliberately does not know: sockets, threads.

mod ready;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use super::dirty::DirtyLog;
use super::inflight::{len_of_queue, InflightMemory};
use super::link::{NegotiatorEnd, Session, ToWorker};
use super::memory::{Memory, RegionSpec, REGIONS_MAX};
use super::protocol::{
    extension, feature, InflightSpec, IotlbMessage, Refusal, Request, RingAddresses, IOTLB_INVALIDATE, IOTLB_UPDATE, PAIRS_MAX,
    RINGS_MAX,
};
use super::record::Undone;
use super::ring::{Base, RING_MAX};
use super::space::{Iotlb, Translation};
use crate::sys::check;
use crate::Offloads;
use ready::Unready;

/// Where everything begins in a packed ring: index 0, wrap bit set.
const PACKED_START: u32 = 0x8000;

/// What the front said of a ring.
#[derive(Debug, Default)]
struct RingState {
    size: u16,
    at: Option<RingAddresses>,
    base: u32,
    /// The front said how it kicks: it may be used.
    started: bool,
    kick: Option<Arc<OwnedFd>>,
    call: Option<Arc<OwnedFd>>,
    error: Option<Arc<OwnedFd>>,
    enabled: bool,
}

/// What a front is told.
#[derive(Debug)]
pub(crate) enum Answer {
    None,
    Number(u64),
    Bytes(Vec<u8>),
    Memory(Vec<u8>, OwnedFd),
    Empty,
}

/// The device.
#[derive(Debug)]
pub(crate) struct Device {
    end: NegotiatorEnd,
    /// Those who have the queue from the guest of a pair, beside the port's own end.
    apart: BTreeMap<usize, NegotiatorEnd>,
    offered: u64,
    features: u64,
    extensions: u64,
    memory: Arc<Memory>,
    rings: Vec<RingState>,
    log: Option<Arc<DirtyLog>>,
    inflight: Option<InflightMemory>,
    iotlb: Iotlb,
    status: u8,
    /// Workers have the queues.
    running: bool,
    /// Pairs of rings that they have.
    pairs: usize,
    /// Socket for our own requests.
    pub channel: Option<OwnedFd>,
    /// Translations that the front must be asked for.
    pub misses: Vec<(u64, bool)>,
    /// What is wrong with the rings, to be told once.
    pub complaint: Option<String>,
}

/// The port is closed.
#[derive(Debug)]
pub(crate) struct Closed;

impl Device {
    pub(crate) fn new(end: NegotiatorEnd, iommu: bool) -> Device {
        let offered = feature::OFFERED | if iommu { 1 << feature::IOMMU } else { 0 };
        let mut device = Device {
            end,
            apart: BTreeMap::new(),
            offered,
            features: 0,
            extensions: 0,
            memory: Arc::default(),
            rings: Vec::new(),
            log: None,
            inflight: None,
            iotlb: Iotlb::default(),
            status: 0,
            running: false,
            pairs: 0,
            channel: None,
            misses: Vec::new(),
            complaint: None,
        };
        device.rings.resize_with(RINGS_MAX, RingState::default);
        device
    }

    pub(crate) fn end(&mut self) -> &mut NegotiatorEnd {
        &mut self.end
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    /// How many pairs of rings are in use.
    pub(crate) fn pairs(&self) -> usize {
        self.pairs
    }

    /// Another one is to have the queue from the guest of a pair; the worker does not have queues now.
    pub(crate) fn set_apart(&mut self, pair: usize, end: NegotiatorEnd) {
        self.apart.insert(pair, end);
    }

    /// All who have queues, the port's own end first.
    pub(crate) fn ends(&mut self) -> impl Iterator<Item = &mut NegotiatorEnd> {
        std::iter::once(&mut self.end).chain(self.apart.values_mut())
    }

    /// Forgets those who have closed their ends.
    pub(crate) fn forget_closed(&mut self) {
        self.apart.retain(|_, end| !end.shared.is_closing());
    }

    pub(crate) fn features(&self) -> u64 {
        self.features
    }

    pub(crate) fn can(&self, extension: u64) -> bool {
        self.extensions & extension != 0
    }

    fn has(&self, bit: u32) -> bool {
        self.features & 1 << bit != 0
    }

    /// Forgets everything that the front said. The worker must have given the queues back.
    pub(crate) fn forget(&mut self) {
        (self.features, self.extensions, self.status) = (0, 0, 0);
        self.memory = Arc::default();
        self.rings.iter_mut().for_each(|r| *r = RingState::default());
        (self.log, self.inflight, self.channel, self.complaint) = (None, None, None, None);
        self.iotlb = Iotlb::default();
        self.misses.clear();
    }

    /// Tells whoever watches the ring that it is broken.
    pub(crate) fn signal_error(&self, ring: usize) {
        if let Some(error) = self.rings.get(ring).and_then(|r| r.error.as_ref()) {
            super::queue::signal(error);
        }
    }

    /// Takes queues back that the worker had.
    pub(crate) fn take_home(&mut self, session: Option<Box<Session>>) {
        let Some(session) = session else { return };
        for queue in session.from_guest.iter().chain(&session.to_guest) {
            let Some(ring) = self.rings.get_mut(queue.index) else { continue };
            ring.base = match queue.base() {
                Base::Split { available, .. } => u32::from(available),
                Base::Packed { available, used } => u32::from(available.word()) | u32::from(used.word()) << 16,
            };
            if let Some(kick) = &ring.kick {
                let end = self.apart.get(&(queue.index / 2)).unwrap_or(&self.end);
                end.shared.unwatch(kick.as_raw_fd());
            }
        }
    }

    /// All queues are home.
    pub(crate) fn is_home(&mut self) {
        (self.running, self.pairs) = (false, 0);
    }

    /// Does this message change anything that queues depend on?
    pub(crate) fn disturbs(request: &Request) -> bool {
        !matches!(
            request,
            Request::GetFeatures
                | Request::GetProtocolFeatures
                | Request::GetQueueCount
                | Request::GetMemorySlots
                | Request::GetStatus
                | Request::SetOwner
                | Request::SendRarp(_)
                | Request::SetMtu(_)
                | Request::SetRingError { .. }
                | Request::SetBackendChannel
                | Request::SetLogFd
                | Request::SetStatus(1..)
        )
    }

    /// Carries out a message. The worker does not have the queues if the message [`Device::disturbs`].
    pub(crate) fn obey(&mut self, request: Request, fds: Vec<OwnedFd>) -> Result<Answer, Refusal> {
        let mut fds = fds.into_iter();
        match request {
            Request::GetFeatures => return Ok(Answer::Number(self.offered)),
            Request::GetProtocolFeatures => return Ok(Answer::Number(extension::OFFERED)),
            Request::GetQueueCount => return Ok(Answer::Number(PAIRS_MAX as u64)),
            Request::GetMemorySlots => return Ok(Answer::Number(REGIONS_MAX as u64)),
            Request::GetStatus => return Ok(Answer::Number(u64::from(self.status))),
            Request::SetFeatures(features) => self.set_features(features)?,
            Request::SetProtocolFeatures(e) if e & !extension::OFFERED != 0 => {
                return Err(Refusal::new(format!("protocol features {:#x} were not offered", e & !extension::OFFERED)));
            }
            Request::SetProtocolFeatures(e) => self.extensions = e,
            Request::SetOwner => {}
            Request::ResetOwner | Request::ResetDevice => self.reset_rings(),
            Request::SetStatus(status) => self.set_status(status),
            Request::SetMemTable(table) => self.set_memory(&table, fds)?,
            Request::AddRegion(region) => self.add_region(region, fds.next())?,
            Request::RemoveRegion(region) => self.remove_region(region)?,
            Request::SetLogBase { len, offset } => return self.set_log(len, offset, fds.next()),
            Request::SetLogFd | Request::SetMtu(_) => {}
            Request::SetBackendChannel => self.channel = fds.next(),
            Request::SendRarp(mac) => {
                // An announcement that finds no room is as lost as one on a wire.
                self.end.tell(ToWorker::Announce(mac));
            }
            Request::Iotlb(m) => self.translate(m)?,
            Request::GetInflight(spec) => return self.make_inflight(spec),
            Request::SetInflight(spec) => self.set_inflight(spec, fds.next())?,
            Request::GetRingBase { ring } => return Ok(self.stop_ring(ring)),
            other => self.set_ring(other, fds.next())?,
        }
        Ok(Answer::None)
    }

    fn set_features(&mut self, features: u64) -> Result<(), Refusal> {
        if features & !self.offered != 0 {
            return Err(Refusal::new(format!("features {:#x} were not offered", features & !self.offered)));
        }
        let packed = 1 << feature::PACKED;
        if features & packed != self.features & packed && self.rings.iter().all(|r| !r.started) {
            let base = if features & packed != 0 { PACKED_START } else { 0 };
            self.rings.iter_mut().for_each(|r| r.base = base);
        }
        self.features = features;
        Ok(())
    }

    fn set_status(&mut self, status: u64) {
        self.status = status as u8;
        if self.status == 0 {
            // Fronts ask where rings stopped after they reset the device: that is kept.
            self.rings.iter_mut().for_each(|r| r.started = false);
        }
    }

    fn reset_rings(&mut self) {
        let packed = self.has(feature::PACKED);
        for ring in &mut self.rings {
            let call = ring.call.take();
            *ring = RingState { call, base: if packed { PACKED_START } else { 0 }, ..RingState::default() };
        }
    }

    fn set_memory(&mut self, table: &[RegionSpec], mut fds: impl Iterator<Item = OwnedFd>) -> Result<(), Refusal> {
        let mut memory = Memory::default();
        for region in table {
            let fd = fds.next().ok_or_else(|| Refusal::new("a memory region came without a descriptor"))?;
            memory.add(*region, &fd).map_err(|e| cannot_map(region, &e))?;
        }
        self.memory = Arc::new(memory);
        Ok(())
    }

    fn add_region(&mut self, region: RegionSpec, fd: Option<OwnedFd>) -> Result<(), Refusal> {
        let fd = fd.ok_or_else(|| Refusal::new("a memory region came without a descriptor"))?;
        Arc::make_mut(&mut self.memory).add(region, &fd).map_err(|e| cannot_map(&region, &e))
    }

    fn remove_region(&mut self, region: RegionSpec) -> Result<(), Refusal> {
        if Arc::make_mut(&mut self.memory).remove(region) {
            return Ok(());
        }
        Err(Refusal::new(format!("there is no memory region at {:#x}", region.guest)))
    }

    fn set_log(&mut self, len: u64, offset: u64, fd: Option<OwnedFd>) -> Result<Answer, Refusal> {
        let fd = fd.ok_or_else(|| Refusal::new("the dirty log came without a descriptor"))?;
        let log = DirtyLog::new(&fd, offset, len).map_err(|e| Refusal::new(format!("cannot map the dirty log: {e}")))?;
        self.log = Some(Arc::new(log));
        Ok(Answer::Empty)
    }

    fn translate(&mut self, m: IotlbMessage) -> Result<(), Refusal> {
        let last = m.iova.checked_add(m.size.saturating_sub(1)).filter(|_| m.size > 0);
        let last = last.ok_or_else(|| Refusal::new("a translation is empty or wraps around"))?;
        match m.kind {
            IOTLB_UPDATE => {
                let (read, write) = (m.permissions & 1 != 0, m.permissions & 2 != 0);
                self.iotlb.update(Translation { iova: m.iova, last, user: m.user, read, write });
            }
            IOTLB_INVALIDATE => self.iotlb.invalidate(m.iova, last),
            other => return Err(Refusal::new(format!("a translation message of kind {other} is not known"))),
        }
        Ok(())
    }

    fn make_inflight(&mut self, spec: InflightSpec) -> Result<Answer, Refusal> {
        let packed = self.has(feature::PACKED);
        let fits = usize::from(spec.queues) <= RINGS_MAX && (1..=RING_MAX).contains(&spec.size) && spec.queues > 0;
        if !fits {
            return Err(Refusal::new(format!("no in-flight record for {} rings of {}", spec.queues, spec.size)));
        }
        let len = u64::from(spec.queues) * len_of_queue(spec.size, packed);
        let fd = memory_file(len).map_err(|e| Refusal::new(format!("cannot make the in-flight record: {e}")))?;
        let mut body = len.to_ne_bytes().to_vec();
        body.extend_from_slice(&0u64.to_ne_bytes());
        body.extend_from_slice(&spec.queues.to_ne_bytes());
        body.extend_from_slice(&spec.size.to_ne_bytes());
        // The front's structure ends in padding.
        body.extend_from_slice(&[0; 4]);
        Ok(Answer::Memory(body, fd))
    }

    fn set_inflight(&mut self, spec: InflightSpec, fd: Option<OwnedFd>) -> Result<(), Refusal> {
        let fd = fd.ok_or_else(|| Refusal::new("the in-flight record came without a descriptor"))?;
        let packed = self.has(feature::PACKED);
        let memory = InflightMemory::new(&fd, spec.offset, spec.len, spec.queues, spec.size, packed);
        self.inflight = Some(memory.map_err(|e| Refusal::new(format!("cannot map the in-flight record: {e}")))?);
        Ok(())
    }

    fn stop_ring(&mut self, ring: usize) -> Answer {
        let Some(r) = self.rings.get_mut(ring) else { return Answer::Empty };
        (r.started, r.kick, r.call) = (false, None, None);
        let mut body = (ring as u32).to_ne_bytes().to_vec();
        body.extend_from_slice(&r.base.to_ne_bytes());
        Answer::Bytes(body)
    }

    fn ring_mut(&mut self, ring: usize) -> Result<&mut RingState, Refusal> {
        self.rings.get_mut(ring).ok_or_else(|| Refusal::new("there is no such ring"))
    }

    fn set_ring(&mut self, request: Request, fd: Option<OwnedFd>) -> Result<(), Refusal> {
        let protocol = self.has(feature::PROTOCOL);
        let missing = || Refusal::new("a ring's event came without a descriptor");
        match request {
            Request::SetRingSize { ring, size } => {
                let size = u16::try_from(size).ok().filter(|s| (1..=RING_MAX).contains(s));
                self.ring_mut(ring)?.size = size.ok_or_else(|| Refusal::new("a ring has 1 to 32768 entries"))?;
            }
            Request::SetRingAddresses { ring, at } => self.ring_mut(ring)?.at = Some(at),
            Request::SetRingBase { ring, base } => self.ring_mut(ring)?.base = base,
            Request::SetRingEnabled { ring, on } => self.ring_mut(ring)?.enabled = on,
            Request::SetRingKick { ring, descriptor } => {
                let r = self.ring_mut(ring)?;
                r.kick = if descriptor { Some(Arc::new(fd.ok_or_else(missing)?)) } else { None };
                r.started = true;
                // Without the extensions there is no message for it.
                r.enabled |= !protocol;
            }
            Request::SetRingCall { ring, descriptor } => {
                let call = if descriptor { Some(fd.ok_or_else(missing)?) } else { None };
                self.ring_mut(ring)?.call = call.map(never_blocking).map(Arc::new);
            }
            Request::SetRingError { ring, descriptor } => {
                let error = if descriptor { Some(fd.ok_or_else(missing)?) } else { None };
                self.ring_mut(ring)?.error = error.map(never_blocking).map(Arc::new);
            }
            _ => return Err(Refusal::new("the message is not supported")),
        }
        Ok(())
    }

    /// Hands all rings that are ready to the worker.
    pub(crate) fn resume(&mut self) {
        if self.running || self.memory.is_empty() {
            return;
        }
        self.forget_closed();
        let (mut from_guest, mut to_guest) = (Vec::new(), Vec::new());
        for index in 0..self.rings.len() {
            match self.make_queue(index) {
                Ok(queue) if index % 2 == 1 => from_guest.push(queue),
                Ok(queue) => to_guest.push(queue),
                Err(Unready::Incomplete) => {}
                Err(Unready::Miss(address, write)) => self.misses.push((address, write)),
                Err(Unready::Bad(why)) => self.complaint = Some(format!("ring {index}: {why}")),
            }
        }
        if from_guest.is_empty() && to_guest.is_empty() {
            return;
        }
        let takes = self.undone([feature::GUEST_CSUM, feature::GUEST_TSO4, feature::GUEST_TSO6, feature::GUEST_USO4, feature::GUEST_ECN]);
        let pairs = from_guest.iter().map(|q| q.index / 2 + 1).max().unwrap_or(0);
        let Device { end, apart, rings, complaint, memory, .. } = self;
        let mut own = Vec::new();
        for queue in from_guest {
            let other = apart.get_mut(&(queue.index / 2)).filter(|e| !e.shared.is_closing());
            let to = other.as_ref().map_or(&end.shared, |e| &e.shared);
            if let Some(kick) = rings.get(queue.index).and_then(|r| r.kick.as_ref()) {
                if let Err(e) = to.watch(kick.as_raw_fd()) {
                    *complaint = Some(format!("ring {}: cannot wait for kicks: {e}", queue.index));
                }
            }
            match other {
                Some(other) => {
                    let session = Session { from_guest: vec![queue], to_guest: Vec::new(), pairs, takes, memory: memory.clone() };
                    other.tell(ToWorker::Start(Box::new(session)));
                }
                None => own.push(queue),
            }
        }
        let session = Session { from_guest: own, to_guest, pairs, takes, memory: memory.clone() };
        self.end.tell(ToWorker::Start(Box::new(session)));
        (self.running, self.pairs) = (true, pairs);
    }

    /// What one side may leave undone, by its feature bits.
    fn undone(&self, [csum, tso4, tso6, udp, ecn]: [u32; 5]) -> Undone {
        let checksum = self.has(csum);
        let gso = |bit: u32| checksum && self.has(bit);
        let udp = gso(udp) && (udp != feature::GUEST_USO4 || gso(feature::GUEST_USO6));
        Undone { offloads: Offloads { checksum, tso4: gso(tso4), tso6: gso(tso6), udp }, ecn: gso(ecn) }
    }
}

fn cannot_map(region: &RegionSpec, e: &io::Error) -> Refusal {
    Refusal::new(format!("cannot map {:#x} bytes of guest memory at {:#x}: {e}", region.len, region.guest))
}

/// A descriptor that a write to it never waits for.
fn never_blocking(fd: OwnedFd) -> OwnedFd {
    // SAFETY: no memory is passed. Where it fails, the descriptor is none that is written to.
    unsafe {
        let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
        if flags >= 0 && flags & libc::O_NONBLOCK == 0 {
            libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
        }
    }
    fd
}

/// A file in memory that nobody can shorten.
fn memory_file(len: u64) -> io::Result<OwnedFd> {
    // SAFETY: the name ends in a zero byte.
    let fd = check(unsafe { libc::memfd_create(c"vhost-inflight".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) })?;
    // SAFETY: the descriptor is new and ours alone.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let len = libc::off_t::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::ftruncate(fd.as_raw_fd(), len) })?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SHRINK | libc::F_SEAL_GROW) })?;
    Ok(fd)
}

//! A port on a device by AF_XDP sockets, one per receive queue.
//!
//! Invariant: the program is attached as long as the port lives, and no longer.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;

use sluice_frame::{Frame, Pool};

use super::checksum::ChecksumOff;
use super::intake::Intake;
use super::queue::{Mode, Queue};
use super::{bpf, program, Take, Umem};
use crate::device::Device;
use crate::manners::Manners;
use crate::sys::check;
use crate::{offload, Offloads, Port, PortError, PortStats, SendDrop, SendOutcome, Trouble};

/// Where the program is to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Attach {
    /// In the driver where it can, else in the generic path.
    #[default]
    Best,
    /// In the driver.
    Native,
    /// In the kernel's generic receive path, which every device has.
    Generic,
}

/// How a device is to be served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct XdpOptions {
    /// Which frames are taken.
    pub take: Take,
    /// Where the program runs.
    pub attach: Attach,
    /// Try zero-copy before copy mode.
    pub zero_copy: bool,
    /// Entries of each ring, a power of two.
    pub ring: u32,
    /// Receive queues that the device is to have while it is open; as many as it has if absent.
    pub queues: Option<u32>,
    /// Directory for records of what devices were like, from which the next process puts back what this one
    /// did not live to ([`crate::manners`]).
    pub records: Option<PathBuf>,
    /// Recognise and mark received frames with undone checksums or segmentation. For devices whose
    /// other end is in this machine (veth); `None` decides by the driver.
    pub restore_offloads: Option<bool>,
    /// Have the host itself not leave checksums to this device while the port is open.
    pub switch_off_checksum: bool,
}

impl Default for XdpOptions {
    fn default() -> Self {
        XdpOptions {
            take: Take::Everything,
            attach: Attach::Best,
            zero_copy: true,
            ring: 1024,
            queues: None,
            records: None,
            restore_offloads: None,
            switch_off_checksum: false,
        }
    }
}

/// The port.
#[derive(Debug)]
pub struct AfXdpPort {
    /// First, so that it is closed first: no frame is redirected into a closing socket.
    link: bpf::Link,
    map: OwnedFd,
    fragments: bool,
    queues: Vec<Queue>,
    /// Wakes for any queue, where there are several.
    epoll: Option<OwnedFd>,
    device: Arc<Device>,
    umem: Arc<Umem>,
    /// Longest frame that the device carries.
    longest: usize,
    mtu: u32,
    restore: bool,
    /// Held for what its end does.
    _checksum: Option<ChecksumOff>,
    /// The device is as before once the last of its sockets is closed.
    manners: Arc<Manners>,
    next_queue: usize,
    empty_in_a_row: u32,
    down: bool,
    pieces: Vec<Frame>,
    stats: PortStats,
    description: String,
}

/// Room for two VLAN tags beside the MTU.
const FRAMING: u32 = 14 + 8;
/// After so many empty calls the device is asked whether it still exists.
const ASK_AFTER: u32 = 32;

impl AfXdpPort {
    /// Opens a device of the calling thread's network namespace for frames of `pool`.
    pub fn open(name: &str, pool: &mut Pool, umem: &Arc<Umem>, options: &XdpOptions) -> Result<AfXdpPort, PortError> {
        check_input(name, pool, umem, options)?;
        let whole = options.take == Take::Everything;
        let (manners, mut refusals) = Manners::on(name, whole, options.queues, options.records.as_deref())?;
        let device = Device::open(name)?;
        let count = device.receive_queues().unwrap_or(1).clamp(1, 256);
        let map = bpf::socket_map(count).map_err(|e| PortError::io(name, "create socket map", e))?;
        let attached = attach(&device, &map, options)?;
        let mut opened = Vec::new();
        let mut mode = Mode { zero_copy: options.zero_copy, multi_buffer: attached.fragments };
        for queue in 0..count {
            let q = open_queue(&device, pool, umem, queue, options.ring, &mut mode, &mut refusals);
            let entered = q.and_then(|mut q| {
                q.refill(pool);
                let result = bpf::enter_socket(&map, queue, q.socket());
                opened.push(q);
                result.map_err(|e| PortError::io(name, format!("enter socket of queue {queue}"), e))
            });
            if let Err(e) = entered {
                drop(attached);
                opened.into_iter().for_each(|q| q.close(pool));
                return Err(e);
            }
        }
        match Parts::find(&device, &opened, options, manners) {
            Ok(parts) => Ok(AfXdpPort::assemble(device, map, attached, opened, umem, parts, describe_mode(mode, &refusals))),
            Err(e) => {
                drop(attached);
                opened.into_iter().for_each(|q| q.close(pool));
                Err(e)
            }
        }
    }

    fn assemble(
        device: Device,
        map: OwnedFd,
        attached: Attached,
        queues: Vec<Queue>,
        umem: &Arc<Umem>,
        parts: Parts,
        mode: String,
    ) -> AfXdpPort {
        let description = describe(&attached, &queues, &mode);
        AfXdpPort {
            link: attached.link,
            map,
            fragments: attached.fragments,
            queues,
            epoll: parts.epoll,
            device: Arc::new(device),
            umem: Arc::clone(umem),
            longest: (parts.mtu + FRAMING) as usize,
            mtu: parts.mtu,
            restore: parts.restore,
            _checksum: parts.checksum,
            manners: parts.manners,
            next_queue: 0,
            empty_in_a_row: 0,
            down: false,
            pieces: Vec::new(),
            stats: PortStats::default(),
            description,
        }
    }

    /// The device, to be asked and configured.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How the device is served, in words, with the reasons for what it is not.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Changes which frames are taken, without a gap.
    pub fn retake(&mut self, take: &Take) -> Result<(), PortError> {
        let name = self.device.name();
        check_take(name, take)?;
        let code = program::assemble(take, self.map.as_raw_fd());
        let program = bpf::load(&code, self.fragments).map_err(|e| PortError::io(name, "load XDP program", e))?;
        bpf::replace(&self.link, &program).map_err(|e| PortError::io(name, "replace XDP program", e))
    }

    /// Is there still a device? Asked now and then, since AF_XDP does not tell.
    fn still_there(&mut self) -> Result<(), PortError> {
        self.empty_in_a_row += 1;
        if self.empty_in_a_row % ASK_AFTER != 0 || self.device.exists() {
            return Ok(());
        }
        Err(PortError::io(self.device.name(), "receive", std::io::Error::from_raw_os_error(libc::ENODEV)))
    }

    fn put(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        let AfXdpPort { queues, pieces, stats, longest, down, .. } = self;
        let Some(queue) = queues.first_mut() else { return SendOutcome::default() };
        queue.reap(pool);
        offload::send_each(pool, frames, Offloads::NONE, pieces, stats, |pool, frame| {
            let wrong = match frame.len() {
                _ if *down => SendDrop::Down,
                n if n > *longest => SendDrop::TooLong,
                0..14 => SendDrop::Refused,
                _ => return queue.put(pool, frame),
            };
            pool.free(frame);
            Err(wrong)
        })
    }
}

fn check_input(name: &str, pool: &Pool, umem: &Umem, options: &XdpOptions) -> Result<(), PortError> {
    let wrong = |why: String| Err(PortError::new(Trouble::Input, name, "open by AF_XDP", why));
    if !umem.is_of(pool) {
        return wrong("the frame memory is not that of the pool".into());
    }
    // SAFETY: no memory is passed.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(0) as usize;
    if !(2048..=page).contains(&umem.chunk_size()) {
        return wrong(format!("chunks of {} bytes; AF_XDP wants 2048 to {page}", umem.chunk_size()));
    }
    if !options.ring.is_power_of_two() || !(64..=32_768).contains(&options.ring) {
        return wrong(format!("rings of {} entries; expected a power of two from 64 to 32768", options.ring));
    }
    check_take(name, &options.take)
}

fn check_take(name: &str, take: &Take) -> Result<(), PortError> {
    match take {
        Take::Tunnel { local, .. } if local.is_empty() || local.len() > Take::ADDRESSES_MAX => {
            let why = format!("{} local addresses; expected 1 to {}", local.len(), Take::ADDRESSES_MAX);
            Err(PortError::new(Trouble::Input, name, "open by AF_XDP", why))
        }
        Take::Fragments { .. } => {
            let why = "fragments are the host's as well; use a packet socket";
            Err(PortError::new(Trouble::Input, name, "open by AF_XDP", why))
        }
        _ => Ok(()),
    }
}

/// An attached program.
#[derive(Debug)]
struct Attached {
    link: bpf::Link,
    native: bool,
    fragments: bool,
    refusals: Vec<String>,
}

/// Attaches the program in the best way that the device allows.
fn attach(device: &Device, map: &OwnedFd, options: &XdpOptions) -> Result<Attached, PortError> {
    let code = program::assemble(&options.take, map.as_raw_fd());
    let mut refusals = Vec::new();
    let mut last = None;
    for (native, fragments) in [(true, true), (true, false), (false, true), (false, false)] {
        let wanted = match options.attach {
            Attach::Best => true,
            Attach::Native => native,
            Attach::Generic => !native,
        };
        if !wanted {
            continue;
        }
        let mode = if native { bpf::NATIVE } else { bpf::GENERIC };
        let linked = bpf::load(&code, fragments).and_then(|program| bpf::link(&program, device.index(), mode));
        match linked {
            Ok(link) => return Ok(Attached { link, native, fragments, refusals }),
            Err(e) if matches!(e.raw_os_error(), Some(libc::EBUSY | libc::EEXIST)) => {
                let id = crate::netlink::xdp_program(device.index()).ok().flatten();
                let which = id.map_or(String::new(), |id| format!(", id {id}"));
                let why = format!("{e}; another XDP program is attached{which} (see: ip -details link show {})", device.name());
                return Err(PortError::new(Trouble::Unsupported, device.name(), "attach XDP program", why));
            }
            Err(e) => {
                let place = if native { "native" } else { "generic" };
                refusals.push(format!("{place}{} refused: {e}", if fragments { " multi-buffer" } else { "" }));
                last = Some(e);
            }
        }
    }
    let e = last.unwrap_or_else(|| std::io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    Err(PortError::io(device.name(), "attach XDP program", e))
}

/// Opens one queue in the best mode left; `mode` goes down with every refusal.
fn open_queue(
    device: &Device,
    pool: &Pool,
    umem: &Umem,
    queue: u32,
    ring: u32,
    mode: &mut Mode,
    refusals: &mut Vec<String>,
) -> Result<Queue, PortError> {
    loop {
        let e = match Queue::open(umem, pool, device.index(), queue, ring, *mode) {
            Ok(q) => return Ok(q),
            Err(e) => e,
        };
        if mode.zero_copy {
            refusals.push(format!("zero-copy refused: {e}"));
            mode.zero_copy = false;
        } else if mode.multi_buffer {
            refusals.push(format!("multi-buffer refused: {e}"));
            mode.multi_buffer = false;
        } else {
            return Err(PortError::io(device.name(), format!("bind AF_XDP socket to queue {queue}"), e));
        }
    }
}

/// What a port needs to know of its device and queues beside them.
struct Parts {
    epoll: Option<OwnedFd>,
    mtu: u32,
    restore: bool,
    checksum: Option<ChecksumOff>,
    manners: Arc<Manners>,
}

impl Parts {
    fn find(device: &Device, queues: &[Queue], options: &XdpOptions, manners: Manners) -> Result<Parts, PortError> {
        let epoll = wake_for_all(device.name(), queues)?;
        let mtu = device.mtu()?;
        let restore = options.restore_offloads.unwrap_or_else(|| device.driver().as_deref() == Some("veth"));
        let checksum = if options.switch_off_checksum { ChecksumOff::on(device.name())? } else { None };
        Ok(Parts { epoll, mtu, restore, checksum, manners: Arc::new(manners) })
    }
}

/// The mode of the sockets, and why not a better one.
fn describe_mode(mode: Mode, refusals: &[String]) -> String {
    let copy = if mode.zero_copy { "zero-copy" } else { "copy mode" };
    let buffers = if mode.multi_buffer { "multi-buffer" } else { "single buffer" };
    if refusals.is_empty() {
        return format!("{copy}, {buffers}");
    }
    format!("{copy}, {buffers} ({})", refusals.join("; "))
}

fn describe(attached: &Attached, queues: &[Queue], mode: &str) -> String {
    let place = if attached.native { "native" } else { "generic" };
    let count = if queues.len() == 1 { "1 queue".to_owned() } else { format!("{} queues", queues.len()) };
    let memory = if queues.iter().any(Queue::shares_memory) { "shared" } else { "own" };
    let mut text = format!("AF_XDP, {place} program, {count}, {memory} memory, {mode}");
    for refusal in &attached.refusals {
        text.push_str("; ");
        text.push_str(refusal);
    }
    text
}

/// A descriptor that is readable when any of several queues is.
fn wake_for_all(name: &str, queues: &[Queue]) -> Result<Option<OwnedFd>, PortError> {
    if queues.len() < 2 {
        return Ok(None);
    }
    let fail = |e| PortError::io(name, "watch queues", e);
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map_err(fail)?;
    // SAFETY: the descriptor is new and ours alone.
    let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
    for q in queues {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: the event outlives the call.
        let added = unsafe { libc::epoll_ctl(fd, libc::EPOLL_CTL_ADD, q.socket().as_raw_fd(), &mut event) };
        check(added).map_err(fail)?;
    }
    Ok(Some(epoll))
}

/// Receives by one queue, which it keeps supplied with memory; `restore` is the device's MTU where undone
/// work of frames is to be recognised.
pub(super) fn receive_by(queue: &mut Queue, pool: &mut Pool, out: &mut Vec<Frame>, max: usize, stats: &mut PortStats, restore: Option<u32>) {
    let first = out.len();
    queue.reap(pool);
    let (_, wrong) = queue.receive(pool, out, max);
    queue.refill(pool);
    stats.rx_errors += wrong;
    for frame in out.iter_mut().skip(first) {
        stats.count_rx(frame.len());
        if let Some(mtu) = restore {
            offload::restore(frame, mtu);
        }
    }
}

/// Adds what the kernel counted of a queue.
pub(super) fn add_stats(mut all: PortStats, queue: &Queue) -> PortStats {
    let s = queue.stats();
    all.rx_dropped += s.receive_dropped + s.receive_ring_full;
    all.rx_over_err += s.receive_ring_full;
    all.rx_errors += s.receive_invalid;
    all.tx_errors += s.transmit_invalid;
    all
}

impl Port for AfXdpPort {
    fn name(&self) -> &str {
        self.device.name()
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        if !self.umem.is_of(pool) {
            return Err(PortError::new(Trouble::Input, self.device.name(), "receive", "called with another pool"));
        }
        let first = out.len();
        for _ in 0..self.queues.len() {
            let got = out.len() - first;
            let at = self.next_queue % self.queues.len();
            self.next_queue = at + 1;
            let Some(queue) = self.queues.get_mut(at) else { break };
            receive_by(queue, pool, out, max - got, &mut self.stats, self.restore.then_some(self.mtu));
        }
        match out.len() - first {
            0 => self.still_there().map(|()| 0),
            n => {
                self.empty_in_a_row = 0;
                Ok(n)
            }
        }
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        if self.down {
            // What was left in the ring may go now; else the device is still down.
            self.down = self.queues.first_mut().is_none_or(|q| q.flush(pool).is_err());
        }
        let outcome = self.put(pool, frames);
        if let Some(queue) = self.queues.first_mut() {
            self.down |= queue.flush(pool).is_err();
        }
        outcome
    }

    fn poll_fd(&self) -> Option<RawFd> {
        match &self.epoll {
            Some(epoll) => Some(epoll.as_raw_fd()),
            None => self.queues.first().map(|q| q.socket().as_raw_fd()),
        }
    }

    fn stats(&self) -> PortStats {
        self.queues.iter().fold(self.stats, add_stats)
    }

    fn offloads(&self) -> Offloads {
        Offloads::NONE
    }

    fn intakes(&mut self) -> Vec<(u16, Box<dyn Port>)> {
        let apart: Vec<Queue> = self.queues.drain(1.min(self.queues.len())..).collect();
        for queue in &apart {
            if let Some(epoll) = &self.epoll {
                // SAFETY: no memory is passed. One that stays watched only wakes the wrong worker.
                unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, queue.socket().as_raw_fd(), std::ptr::null_mut()) };
            }
        }
        let mtu = self.restore.then_some(self.mtu);
        let intake = |(n, queue)| {
            let intake = Intake::new(self.device.clone(), queue, self.umem.clone(), mtu, self.manners.clone());
            (n as u16 + 1, Box::new(intake) as Box<dyn Port>)
        };
        apart.into_iter().enumerate().map(intake).collect()
    }

    fn device_changed(&mut self) {
        // It may be gone: the next call that finds nothing asks.
        self.empty_in_a_row = ASK_AFTER - 1;
        if let Ok(mtu) = self.device.mtu() {
            self.mtu = mtu;
            self.longest = (mtu + FRAMING) as usize;
        }
    }

    fn close(self: Box<Self>, pool: &mut Pool) {
        let AfXdpPort { link, map, queues, manners, .. } = *self;
        drop(link);
        drop(map);
        queues.into_iter().for_each(|q| q.close(pool));
        drop(manners);
    }
}

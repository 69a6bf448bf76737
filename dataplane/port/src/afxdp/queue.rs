//! One AF_XDP socket: one receive queue of a device with its four rings.
//!
//! Invariant: `lent` has a mark for exactly the chunks that the kernel holds for this socket.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use sluice_frame::{Frame, Pool};

use super::ring::{AllOffsets, Consumer, Producer};
use super::umem::{Source, Umem};
use crate::sys::{bind, get_option, retry, set_option, socket};
use crate::SendDrop;

/// Segments of one frame that the kernel takes.
const SEGMENTS_MAX: usize = 16;
/// Option of newer kernels: frames that one wake-up may send.
const XDP_MAX_TX_BUDGET: libc::c_int = 9;
/// A queue whose last socket has just been closed is busy for a moment.
const BUSY_RETRIES: u32 = 25;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// How a socket is to be bound, or was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mode {
    pub(super) zero_copy: bool,
    pub(super) multi_buffer: bool,
}

impl Mode {
    fn flags(self) -> u16 {
        libc::XDP_USE_NEED_WAKEUP
            | if self.zero_copy { libc::XDP_ZEROCOPY } else { libc::XDP_COPY }
            | if self.multi_buffer { libc::XDP_USE_SG } else { 0 }
    }
}

/// One bit per chunk of a pool.
#[derive(Debug)]
struct Marks {
    bits: Vec<u64>,
    chunk_size: u64,
}

impl Marks {
    fn set(&mut self, address: u64) {
        let chunk = address / self.chunk_size;
        if let Some(word) = self.bits.get_mut((chunk / 64) as usize) {
            *word |= 1 << (chunk % 64);
        }
    }

    /// Clears a mark: false when there was none.
    fn clear(&mut self, address: u64) -> bool {
        let chunk = address / self.chunk_size;
        let bit = 1 << (chunk % 64);
        match self.bits.get_mut((chunk / 64) as usize) {
            Some(word) if *word & bit != 0 => {
                *word &= !bit;
                true
            }
            _ => false,
        }
    }
}

/// `xdp_statistics`.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub(super) struct QueueStats {
    pub(super) receive_dropped: u64,
    pub(super) receive_invalid: u64,
    pub(super) transmit_invalid: u64,
    pub(super) receive_ring_full: u64,
    pub(super) fill_ring_empty: u64,
    pub(super) transmit_ring_empty: u64,
}

/// One bound socket.
#[derive(Debug)]
pub(super) struct Queue {
    fill: Producer<u64>,
    completion: Consumer<u64>,
    receive: Consumer<libc::xdp_desc>,
    transmit: Producer<libc::xdp_desc>,
    lent: Marks,
    /// First segments of a frame whose last one has not been seen yet.
    unfinished: Option<Frame>,
    parts: Vec<(u64, u32)>,
    multi_buffer: bool,
    shares_memory: bool,
    socket: Arc<OwnedFd>,
}

impl Queue {
    /// Opens and binds a socket in exactly this mode.
    pub(super) fn open(umem: &Umem, pool: &Pool, device: u32, queue: u32, ring: u32, mode: Mode) -> io::Result<Queue> {
        let mut tries = 0;
        loop {
            // Memory that another socket registered is shared where the kernel allows it.
            let shared = umem.sharable(mode.flags()).map(|owner| Source::of(&owner));
            let first = Queue::open_once(umem, pool, device, queue, ring, mode, shared.unwrap_or(Source::Own));
            let result = match first {
                Err(e) if shared.is_some() && e.raw_os_error() != Some(libc::EBUSY) => {
                    Queue::open_once(umem, pool, device, queue, ring, mode, Source::Own)
                }
                other => other,
            };
            match result {
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) && tries < BUSY_RETRIES => {
                    tries += 1;
                    std::thread::sleep(BUSY_PAUSE);
                }
                other => return other,
            }
        }
    }

    fn open_once(
        umem: &Umem,
        pool: &Pool,
        device: u32,
        queue: u32,
        ring: u32,
        mode: Mode,
        source: Source,
    ) -> io::Result<Queue> {
        let fd = socket(libc::AF_XDP, libc::SOCK_RAW, 0)?;
        if source == Source::Own {
            umem.register(&fd)?;
        }
        for option in
            [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING]
        {
            set_option(&fd, libc::SOL_XDP, option, &ring)?;
        }
        let at: AllOffsets = get_option(&fd, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS)?;
        let fill = Producer::map(&fd, libc::XDP_UMEM_PGOFF_FILL_RING as i64, at.fill, ring)?;
        let completion = Consumer::map(&fd, libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64, at.completion, ring)?;
        let receive = Consumer::map(&fd, libc::XDP_PGOFF_RX_RING, at.receive, ring)?;
        let transmit = Producer::map(&fd, libc::XDP_PGOFF_TX_RING, at.transmit, ring)?;
        let (flags, owner) = match source {
            Source::Own => (mode.flags(), 0),
            Source::Shared(owner) => (libc::XDP_SHARED_UMEM, owner),
        };
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: flags,
            sxdp_ifindex: device,
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: owner,
        };
        bind(&fd, &address)?;
        // Older kernels send at most 32 frames for one wake-up, whatever is asked.
        let _ = set_option(&fd, libc::SOL_XDP, XDP_MAX_TX_BUDGET, &ring);
        let socket = Arc::new(fd);
        if source == Source::Own {
            umem.remember(&socket, mode.flags());
        }
        let chunk_size = umem.chunk_size() as u64;
        let lent = Marks { bits: vec![0; pool.capacity().div_ceil(64)], chunk_size };
        let parts = Vec::with_capacity(SEGMENTS_MAX);
        let multi_buffer = mode.multi_buffer;
        let shares_memory = source != Source::Own;
        let unfinished = None;
        Ok(Queue { fill, completion, receive, transmit, lent, unfinished, parts, multi_buffer, shares_memory, socket })
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Does it use memory that another socket registered?
    pub(super) fn shares_memory(&self) -> bool {
        self.shares_memory
    }

    pub(super) fn stats(&self) -> QueueStats {
        get_option(&self.socket, libc::SOL_XDP, libc::XDP_STATISTICS).unwrap_or_default()
    }

    /// Appends up to `max` frames to `out`; returns how many, and how many descriptors were not ours.
    pub(super) fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> (usize, u64) {
        let (mut n, mut wrong) = (0, 0);
        while n < max {
            let Some(d) = self.receive.read() else { break };
            if !self.lent.clear(d.addr) {
                wrong += 1;
                continue;
            }
            // SAFETY: the mark says that the chunk was lent and not taken back; the kernel has
            // published `len` bytes at `addr`.
            let segment = unsafe { pool.adopt(d.addr, d.len as usize) };
            match &mut self.unfinished {
                None => self.unfinished = Some(segment),
                Some(frame) => frame.append(segment),
            }
            if d.options & libc::XDP_PKT_CONTD == 0 {
                out.extend(self.unfinished.take());
                n += 1;
            }
        }
        self.receive.release();
        (n, wrong)
    }

    /// Lends chunks to the kernel for frames to come, but leaves the pool a reserve.
    pub(super) fn refill(&mut self, pool: &mut Pool) {
        let reserve = pool.capacity() / 8;
        let spare = pool.available().saturating_sub(reserve) as u32;
        let n = self.fill.free(u32::MAX).min(spare);
        for _ in 0..n {
            let Some(address) = pool.lend() else { break };
            self.lent.set(address);
            self.fill.write(address);
        }
        self.fill.publish();
        if self.fill.needs_wakeup() {
            let fd = self.socket.as_raw_fd();
            // SAFETY: no memory is passed. A failure shows when frames stay away.
            unsafe { libc::recvfrom(fd, std::ptr::null_mut(), 0, libc::MSG_DONTWAIT, std::ptr::null_mut(), std::ptr::null_mut()) };
        }
    }

    /// Takes back the chunks of frames that have left.
    pub(super) fn reap(&mut self, pool: &mut Pool) {
        while let Some(address) = self.completion.read() {
            if self.lent.clear(address) {
                // SAFETY: the mark says that the chunk was surrendered and not taken back.
                unsafe { pool.reclaim(address) };
            }
        }
        self.completion.release();
    }

    /// Writes a frame into the transmit ring.
    pub(super) fn put(&mut self, pool: &mut Pool, frame: Frame) -> Result<(), SendDrop> {
        let frame = self.shape(pool, frame)?;
        let segments = frame.segment_count() as u32;
        if self.transmit.free(segments) < segments {
            self.reap(pool);
            if self.transmit.free(segments) < segments {
                pool.free(frame);
                return Err(SendDrop::QueueFull);
            }
        }
        self.parts.clear();
        if let Err(frame) = pool.surrender_chain(frame, &mut self.parts) {
            pool.free(frame);
            return Err(SendDrop::Refused);
        }
        let mut left = self.parts.len();
        for &(addr, len) in &self.parts {
            left -= 1;
            self.lent.set(addr);
            let options = if left > 0 { libc::XDP_PKT_CONTD } else { 0 };
            self.transmit.write(libc::xdp_desc { addr, len, options });
        }
        Ok(())
    }

    /// Brings a frame into a form that the socket takes: few enough segments, none of them empty.
    fn shape(&self, pool: &mut Pool, frame: Frame) -> Result<Frame, SendDrop> {
        let most = if self.multi_buffer { SEGMENTS_MAX } else { 1 };
        let fits = frame.is_linear() || (frame.segment_count() <= most && frame.segments().all(|s| !s.is_empty()));
        if fits {
            return Ok(frame);
        }
        let copy = if frame.len().div_ceil(pool.chunk_payload()) > most {
            Err(SendDrop::TooLong)
        } else {
            pool.copy_range(&frame, 0, frame.len()).ok_or(SendDrop::NoMemory)
        };
        pool.free(frame);
        copy
    }

    /// Shows the kernel what was put, and wakes it where it sleeps.
    pub(super) fn flush(&mut self, pool: &mut Pool) -> io::Result<()> {
        self.transmit.publish();
        // Each wake-up sends at least one batch of the kernel's; the bound is for a device that
        // takes nothing.
        let mut tries = 16;
        let mut waiting = self.transmit.waiting();
        while waiting > 0 && tries > 0 && self.transmit.needs_wakeup() {
            let fd = self.socket.as_raw_fd();
            // SAFETY: no memory is passed.
            let woken = retry(|| unsafe {
                libc::sendto(fd, std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
            });
            match woken.map_err(|e| e.raw_os_error()) {
                Ok(_) | Err(Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS)) => {}
                Err(_) => return Err(io::Error::last_os_error()),
            }
            self.reap(pool);
            let now = self.transmit.waiting();
            if now >= waiting {
                tries -= 1;
            }
            waiting = now;
        }
        Ok(())
    }

    /// Closes the socket and brings home every chunk that the kernel held for it.
    pub(super) fn close(mut self, pool: &mut Pool) {
        if let Some(frame) = self.unfinished.take() {
            pool.free(frame);
        }
        let Queue { lent, socket, fill, completion, receive, transmit, .. } = self;
        drop((fill, completion, receive, transmit));
        drop(socket);
        for (at, word) in lent.bits.iter().enumerate() {
            for bit in (0..64).filter(|bit| word & (1 << bit) != 0) {
                // SAFETY: the mark says that the chunk is out; with the socket closed the kernel
                // neither writes to it nor reads it any more.
                unsafe { pool.reclaim((at as u64 * 64 + bit) * lent.chunk_size) };
            }
        }
    }
}

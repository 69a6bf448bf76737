//! Frames out of and into a guest's buffers.
//!
//! Purpose: what a guest sends becomes frames of the pool; frames go into the buffers that the guest
//! laid out, several for one frame where it negotiated that.
//! Invariant: a frame is copied out of guest memory before anything of it is judged; bytes are only
//! written to buffers that the guest marked for it. A chain is given back when it is done with, never
//! twice.
//! Deliberately does not know: how rings are laid out, who tells the guest.

use std::ptr::NonNull;
use std::sync::Arc;

use sluice_frame::{Frame, Gso, Meta, Pool, FRAME_MAX};

use super::bytes::{from_guest, to_guest, Cursor};
use super::dirty::DirtyLog;
use super::prefetch;
use super::record::{judge, Undone, LONG};
use super::ring::{Batch, Broken, Chain, Desc, Ring, Stop, BATCH, CHAIN_MAX, WRITE};
use super::space::{Space, Span};
use crate::{vnet, PortStats, SendDrop};

/// An Ethernet header.
const FRAME_MIN: usize = 14;
/// Pieces of memory that one frame's buffers may lie in.
const SPANS_MAX: usize = 2 * CHAIN_MAX;

/// What moving frames needs beside a ring.
#[derive(Debug)]
pub(crate) struct Transfer {
    space: Space,
    batch: Batch,
    /// Next chain of the batch to be written to.
    at: usize,
    spans: Vec<Span>,
    parts: Vec<Part>,
    pieces: Vec<Frame>,
    /// Bytes of the header in front of every frame.
    header: usize,
    mergeable: bool,
    /// What this guest may send undone.
    may: Undone,
    /// What is said of checksums is understood by this guest.
    says_checksum: bool,
    log: Option<Arc<DirtyLog>>,
}

// SAFETY: the spans are only followed while the session's memory is held.
unsafe impl Send for Transfer {}

/// One chain of those that a frame goes to.
#[derive(Clone, Copy, Debug)]
struct Part {
    chain: usize,
    room: usize,
}

/// What became of a chain that the guest sent.
enum Taken {
    Frame(Frame),
    /// It held no frame that may be sent.
    Bad,
    /// No frame memory left: the chain stays.
    NoMemory,
}

impl Transfer {
    pub(crate) fn new(space: Space, header: usize, mergeable: bool, may: Undone, says_checksum: bool, log: Option<Arc<DirtyLog>>) -> Transfer {
        Transfer {
            space,
            batch: Batch::new(),
            at: 0,
            spans: Vec::with_capacity(SPANS_MAX),
            parts: Vec::with_capacity(BATCH),
            pieces: Vec::with_capacity(FRAME_MAX / 512),
            header,
            mergeable,
            may,
            says_checksum,
            log,
        }
    }

    /// Takes up to `max` frames that the guest sent.
    #[inline]
    pub(crate) fn receive<R: Ring>(
        &mut self,
        ring: &mut R,
        pool: &mut Pool,
        out: &mut Vec<Frame>,
        max: usize,
        stats: &mut PortStats,
    ) -> Result<usize, Stop> {
        ring.fetch(&mut self.space, &mut self.batch, max.min(BATCH))?;
        if self.batch.chains.is_empty() {
            return Ok(0);
        }
        let (mut n, mut result) = (0, Ok(()));
        for i in 0..self.batch.chains.len() {
            let Some(&chain) = self.batch.chains.get(i) else { break };
            self.look_ahead(i + 1);
            match self.take(&chain, pool) {
                Ok(Taken::Frame(frame)) => {
                    stats.count_rx(frame.len());
                    out.push(frame);
                    n += 1;
                }
                Ok(Taken::Bad) => stats.rx_errors += 1,
                Ok(Taken::NoMemory) => break,
                Err(stop) => {
                    result = Err(stop);
                    break;
                }
            }
            ring.complete(&chain, 0);
        }
        ring.publish();
        result.map(|()| n)
    }

    /// Asks for the rest of a long frame while the one in front of it is copied.
    #[inline(always)]
    fn look_ahead(&self, chain: usize) {
        let Some(chain) = self.batch.chains.get(chain) else { return };
        if let (&[d], Some(host)) = (self.batch.of(chain), chain.host) {
            prefetch::rest(host, d.len as usize, false);
        }
    }

    #[inline(always)]
    fn take(&mut self, chain: &Chain, pool: &mut Pool) -> Result<Taken, Stop> {
        if let (&[d], Some(host)) = (self.batch.of(chain), chain.host) {
            let len = (d.len as usize).wrapping_sub(self.header);
            if d.flags & WRITE == 0 && len >= FRAME_MIN && len <= pool.chunk_payload() {
                return Ok(self.take_one(host, len, pool));
            }
        }
        self.take_many(chain, pool)
    }

    /// The usual frame: header and bytes in one piece that fits a chunk.
    #[inline(always)]
    fn take_one(&mut self, host: NonNull<u8>, len: usize, pool: &mut Pool) -> Taken {
        let mut header = [0; vnet::LEN];
        // SAFETY: the descriptor's bytes were found in one piece, and are the header's and `len` more.
        let from = unsafe {
            header.copy_from_slice(&host.cast::<[u8; vnet::LEN]>().read_volatile());
            host.add(self.header)
        };
        let meta = if header[0] == 0 && header[1] == 0 { Some(Meta::default()) } else { self.record(&header, len) };
        let Some(meta) = meta else { return Taken::Bad };
        let Some(mut frame) = pool.alloc() else { return Taken::NoMemory };
        if !frame.push_back(len) {
            pool.free(frame);
            return Taken::Bad;
        }
        // SAFETY: as above.
        unsafe { from_guest(from, frame.head_mut()) };
        frame.meta = meta;
        Taken::Frame(frame)
    }

    fn record(&self, header: &[u8; vnet::LEN], len: usize) -> Option<Meta> {
        vnet::decode(header).and_then(|meta| judge(meta, len, &self.may))
    }

    /// A frame in several pieces.
    #[inline(never)]
    fn take_many(&mut self, chain: &Chain, pool: &mut Pool) -> Result<Taken, Stop> {
        self.spans.clear();
        let total = gather(&mut self.space, self.batch.of(chain), false, &mut self.spans)?;
        let Some(len) = total.checked_sub(self.header).filter(|n| (FRAME_MIN..=FRAME_MAX).contains(n)) else {
            return Ok(Taken::Bad);
        };
        let mut cursor = Cursor::new(&self.spans);
        let mut header = [0; LONG];
        if let Some(header) = header.get_mut(..self.header) {
            cursor.read(header);
        }
        let Some(meta) = header.first_chunk().and_then(|h| self.record(h, len)) else { return Ok(Taken::Bad) };
        let mut left = len;
        while left > 0 {
            let Some(mut piece) = pool.alloc() else {
                self.pieces.drain(..).for_each(|p| pool.free(p));
                return Ok(Taken::NoMemory);
            };
            let n = left.min(piece.tailroom()).min(pool.chunk_payload());
            let _fits = piece.push_back(n);
            cursor.read(piece.head_mut());
            left -= n;
            self.pieces.push(piece);
        }
        // From the end, so that every append meets a frame of one segment.
        let mut tail: Option<Frame> = None;
        while let Some(mut piece) = self.pieces.pop() {
            if let Some(t) = tail {
                piece.append(t);
            }
            tail = Some(piece);
        }
        let Some(mut frame) = tail else { return Ok(Taken::Bad) };
        frame.meta = meta;
        Ok(Taken::Frame(frame))
    }

    /// Looks at up to `want` buffers of the guest, so that their memory is on its way.
    #[inline]
    pub(crate) fn prepare<R: Ring>(&mut self, ring: &mut R, want: usize) -> Result<(), Stop> {
        self.at = 0;
        ring.fetch(&mut self.space, &mut self.batch, want.min(BATCH))
    }

    /// Forgets what [`Transfer::prepare`] saw: the ring may be used by others in between.
    pub(crate) fn finish(&mut self) {
        self.at = self.batch.chains.len();
    }

    /// Writes a frame into the guest's next buffers.
    #[inline]
    pub(crate) fn put<R: Ring>(&mut self, ring: &mut R, frame: &Frame) -> Result<Result<(), SendDrop>, Stop> {
        if self.at >= self.batch.chains.len() {
            ring.publish();
            self.prepare(ring, BATCH)?;
        }
        let Some(&chain) = self.batch.chains.get(self.at) else { return Ok(Err(SendDrop::QueueFull)) };
        if let (&[d], Some(host), true) = (self.batch.of(&chain), chain.host, frame.is_linear()) {
            let total = self.header + frame.head().len();
            if d.flags & WRITE != 0 && d.len as usize >= total && self.log.is_none() {
                self.at += 1;
                // The next frame is likely to be as long as this one.
                if let Some(next) = self.batch.chains.get(self.at).and_then(|c| c.host) {
                    prefetch::rest(next, total, true);
                }
                self.put_one(host, frame);
                ring.complete(&chain, total as u32);
                return Ok(Ok(()));
            }
        }
        self.put_many(ring, frame)
    }

    /// The usual frame: one buffer that takes all of it.
    #[inline(always)]
    fn put_one(&self, host: NonNull<u8>, frame: &Frame) {
        let header = header_of(frame, 1, self.says_checksum);
        // SAFETY: the buffer was found in one piece, and takes the header and the frame.
        unsafe {
            if self.header == LONG {
                host.cast::<[u8; LONG]>().write_unaligned(header);
            } else {
                to_guest(host, header.get(..self.header).unwrap_or(&[]));
            }
            to_guest(host.add(self.header), frame.head());
        }
    }

    /// Buffers in several pieces, or several of them.
    #[inline(never)]
    fn put_many<R: Ring>(&mut self, ring: &mut R, frame: &Frame) -> Result<Result<(), SendDrop>, Stop> {
        let total = self.header + frame.len();
        let mut room = self.collect(total)?;
        if room < total && self.mergeable {
            // More may have been available than was prepared for.
            ring.publish();
            self.prepare(ring, BATCH)?;
            room = self.collect(total)?;
        }
        if room < total {
            let more = self.mergeable && self.parts.len() < BATCH;
            return Ok(Err(if more { SendDrop::QueueFull } else { SendDrop::TooLong }));
        }
        self.scatter(ring, frame, total);
        Ok(Ok(()))
    }

    /// Finds the buffers for `total` bytes, and how many fit.
    fn collect(&mut self, total: usize) -> Result<usize, Stop> {
        self.spans.clear();
        self.parts.clear();
        let mut room = 0;
        for chain in self.at..self.batch.chains.len() {
            let Some(c) = self.batch.chains.get(chain) else { break };
            let n = gather(&mut self.space, self.batch.of(c), true, &mut self.spans)?;
            if n < self.header {
                return Err(Broken::SmallBuffer.into());
            }
            self.parts.push(Part { chain, room: n });
            room += n;
            if room >= total || !self.mergeable {
                break;
            }
        }
        Ok(room)
    }

    fn scatter<R: Ring>(&mut self, ring: &mut R, frame: &Frame, total: usize) {
        let header = header_of(frame, self.parts.len() as u16, self.says_checksum);
        let mut cursor = Cursor::new(&self.spans);
        let log = self.log.as_deref();
        let written = |span: Span| {
            if let Some(log) = log {
                log.mark(span.guest, u64::from(span.len));
            }
        };
        cursor.write(header.get(..self.header).unwrap_or(&[]), written);
        for segment in frame.segments() {
            cursor.write(segment, written);
        }
        let mut left = total;
        for part in &self.parts {
            let n = left.min(part.room);
            left -= n;
            if let Some(chain) = self.batch.chains.get(part.chain) {
                ring.complete(chain, n as u32);
            }
        }
        self.at += self.parts.len();
    }
}

/// The header of a frame that takes this many buffers.
#[inline(always)]
fn header_of(frame: &Frame, buffers: u16, says_checksum: bool) -> [u8; LONG] {
    let mut header = [0; LONG];
    let m = &frame.meta;
    if m.needs_csum || (m.csum_valid && says_checksum) || m.gso != Gso::None {
        if let Some(h) = header.first_chunk_mut::<{ vnet::LEN }>() {
            *h = vnet::encode(frame);
        }
    }
    [header[10], header[11]] = buffers.to_le_bytes();
    header
}

/// Appends where a chain's bytes are, and returns how many they are.
fn gather(space: &mut Space, descs: &[Desc], write: bool, spans: &mut Vec<Span>) -> Result<usize, Stop> {
    let mut total = 0;
    for d in descs {
        if (d.flags & WRITE != 0) != write {
            return Err(Broken::WrongDirection.into());
        }
        let (mut address, mut left) = (d.address, d.len);
        while left > 0 {
            if spans.len() >= SPANS_MAX {
                return Err(Broken::LongChain.into());
            }
            let span = space.find(address, left, write)?;
            spans.push(span);
            address = address.wrapping_add(u64::from(span.len));
            left -= span.len;
        }
        total += d.len as usize;
    }
    Ok(total)
}

//! Frames, and the pools that own their memory.
//!
//! Purpose: one owner for every frame from receive to send, in memory that an AF_XDP socket can use
//! as its UMEM. A frame is a chain of segments with one [`Meta`] record; stations touch the first
//! segment, which holds at least the first 256 bytes of the frame (or all of it).
//! Invariant: a chunk belongs to exactly one of: a pool's free list, one [`Frame`], the kernel.
//! Deliberately does not know: headers, ports, what is in the bytes.

mod copy;
mod pool;
pub mod prefetch;
mod words;

pub use pool::{Pool, PoolError, Region};
pub use words::{SharedWords, Words};

use std::ptr::NonNull;

/// Bytes free in front of a received frame: room for VXLAN over IPv6 with a VLAN tag, and more.
pub const HEADROOM: usize = 192;
/// Bytes of a frame that every receive path puts into the first segment (where the frame has them).
pub const FIRST_SEGMENT_MIN: usize = 256;
/// Longest frame that any port may hand in, in bytes (a 64 KiB GSO packet with its headers).
pub const FRAME_MAX: usize = 65_535 + 64;

const NO_NEXT: u32 = u32::MAX;

/// How a frame's payload is to be cut, if at all (the values of `virtio_net_hdr.gso_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Gso {
    /// An ordinary frame.
    #[default]
    None = 0,
    /// TCP over IPv4.
    Tcp4 = 1,
    /// UDP over either, cut by IP fragmentation (legacy).
    Udp = 3,
    /// TCP over IPv6.
    Tcp6 = 4,
    /// UDP over either, cut into datagrams.
    UdpL4 = 5,
}

/// What is known of a frame beside its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Meta {
    /// The checksum at `csum_start + csum_offset` holds only the pseudo header: fill it before a
    /// receiver without that knowledge sees the frame.
    pub needs_csum: bool,
    /// The receiver of the frame need not verify its checksums.
    pub csum_valid: bool,
    /// Offset from the start of the frame at which the checksum starts, bytes.
    pub csum_start: u16,
    /// Offset of the checksum field from `csum_start`, bytes.
    pub csum_offset: u16,
    /// How to cut the frame.
    pub gso: Gso,
    /// ECN is in use in a TCP GSO frame.
    pub gso_ecn: bool,
    /// Payload bytes per cut frame.
    pub gso_size: u16,
    /// Bytes of headers in front of the payload that is cut, 0 if unknown.
    pub hdr_len: u16,
}

/// What a pool knows of one chunk: where its memory is, and what of it a frame uses. Kept apart from
/// the chunk, in an array of its own: neither the kernel nor a guest can reach it, and neighbours do
/// not fight for the same sets of the cache as equally aligned chunks do.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Descriptor {
    chunk: NonNull<u8>,
    index: u32,
    /// Chunk size.
    size: u32,
    region: u32,
    /// Offset of the first byte in the chunk.
    head: u32,
    /// Bytes in this segment.
    len: u32,
    /// Chunk that holds the next segment.
    next: u32,
    /// Bytes in all later segments (of a frame's first one).
    rest: u32,
    known: Known,
}

/// What a frame gives to whoever holds it, beside its bytes: `frame.meta`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// What is known of the frame beside its bytes.
    pub meta: Meta,
    /// Queue that it takes at the port that it leaves by; 0 for none in particular.
    pub queue: u32,
}

/// One frame: the only owner of its chunks.
///
/// A handle of one word. Give it back with [`Pool::free`]. A frame that is merely dropped keeps its
/// chunks from the pool for good (never unsound, counted by [`Pool::outstanding`]).
#[derive(Debug)]
#[must_use = "a frame that is dropped never returns to its pool"]
#[repr(transparent)]
pub struct Frame {
    descriptor: NonNull<Descriptor>,
}

// SAFETY: a frame is the only owner of its descriptors and chunks, which live as long as the process
// can hold one (a pool gives up memory only when all its frames are back), and has no thread affinity.
unsafe impl Send for Frame {}

impl std::ops::Deref for Frame {
    type Target = Known;
    #[inline(always)]
    fn deref(&self) -> &Known {
        &self.at().known
    }
}

impl std::ops::DerefMut for Frame {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Known {
        &mut self.at_mut().known
    }
}

impl Frame {
    #[inline(always)]
    fn at(&self) -> &Descriptor {
        // SAFETY: the descriptor outlives the frame, and the frame is its only owner.
        unsafe { self.descriptor.as_ref() }
    }

    #[inline(always)]
    fn at_mut(&mut self) -> &mut Descriptor {
        // SAFETY: as for `at`; `&mut self` makes the borrow exclusive.
        unsafe { self.descriptor.as_mut() }
    }
}

impl Frame {
    /// Bytes of the first segment.
    #[inline]
    pub fn head(&self) -> &[u8] {
        // SAFETY: `head + len <= size` holds by construction and after every method, the chunk is
        // `size` bytes of mapped memory, and `self` is its only owner.
        unsafe { std::slice::from_raw_parts(self.at().chunk.as_ptr().add(self.at().head as usize), self.at().len as usize) }
    }

    /// Bytes of the first segment, to write.
    #[inline]
    pub fn head_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `head`; `&mut self` makes the borrow exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.at().chunk.as_ptr().add(self.at().head as usize), self.at().len as usize) }
    }

    /// Bytes in all segments.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.at().len as usize + self.at().rest as usize
    }

    /// Is the whole frame in the first segment?
    #[inline]
    pub fn is_linear(&self) -> bool {
        self.at().next == NO_NEXT
    }

    /// Bytes free in front of the frame.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.at().head as usize
    }

    /// Bytes free behind the first segment.
    #[inline]
    pub fn tailroom(&self) -> usize {
        (self.at().size - self.at().head - self.at().len) as usize
    }

    /// Makes the frame `n` bytes longer in front and returns it to be written: false when there is no room.
    #[inline]
    #[must_use]
    pub fn push_front(&mut self, n: usize) -> bool {
        if n > self.headroom() {
            return false;
        }
        self.at_mut().head -= n as u32;
        self.at_mut().len += n as u32;
        true
    }

    /// Removes `n` bytes from the front: false (and no change) when the first segment is shorter.
    #[inline]
    #[must_use]
    pub fn pull_front(&mut self, n: usize) -> bool {
        if n > self.at().len as usize {
            return false;
        }
        self.at_mut().head += n as u32;
        self.at_mut().len -= n as u32;
        true
    }

    /// Makes the first segment `n` bytes longer at its end: false when there is no room or more segments follow.
    #[inline]
    #[must_use]
    pub fn push_back(&mut self, n: usize) -> bool {
        if n > self.tailroom() || !self.is_linear() {
            return false;
        }
        self.at_mut().len += n as u32;
        true
    }

    /// Cuts a frame to `len` bytes where it is longer. Only for a linear frame: false otherwise.
    #[must_use]
    pub fn truncate(&mut self, len: usize) -> bool {
        if !self.is_linear() {
            return false;
        }
        let len = self.at().len.min(len as u32);
        self.at_mut().len = len;
        true
    }

    /// Replaces the bytes of a linear frame; false when they do not fit behind the headroom.
    #[inline]
    #[must_use]
    pub fn fill(&mut self, bytes: &[u8]) -> bool {
        if !self.is_linear() || bytes.len() + self.at().head as usize > self.at().size as usize {
            return false;
        }
        self.at_mut().len = bytes.len() as u32;
        copy::copy_bytes(self.head_mut(), bytes);
        true
    }

    /// Number of segments.
    pub fn segment_count(&self) -> usize {
        self.segments().count()
    }

    /// Every segment in order.
    pub fn segments(&self) -> Segments<'_> {
        Segments { frame: self, next: None }
    }

    /// Copies all bytes out; for tests and slow paths.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        for s in self.segments() {
            out.extend_from_slice(s);
        }
        out
    }

    /// Appends another frame's segments at the end (its `meta` is dropped).
    ///
    /// Both come from one pool: a tail of another pool is leaked, not mixed in.
    pub fn append(&mut self, tail: Frame) {
        debug_assert_eq!(self.at().region, tail.at().region, "segments of one frame come from one region");
        if self.at().region != tail.at().region {
            return;
        }
        let (added, index) = (tail.len() as u32, tail.at().index);
        let mut last = self.descriptor;
        // SAFETY: every descriptor on the way belongs to this frame.
        unsafe {
            while last.as_ref().next != NO_NEXT {
                last = self.sibling(last.as_ref().next);
            }
            last.as_mut().next = index;
        }
        self.at_mut().rest += added;
    }

    /// Descriptor of another chunk of the same pool.
    fn sibling(&self, index: u32) -> NonNull<Descriptor> {
        // SAFETY: descriptors of one pool lie in one array, and both indices are in it.
        unsafe { self.descriptor.offset(index as isize - self.at().index as isize) }
    }
}

/// Iterator over the segments of a frame.
pub struct Segments<'a> {
    frame: &'a Frame,
    next: Option<u32>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self.next {
            None => {
                self.next = Some(self.frame.at().next);
                Some(self.frame.head())
            }
            Some(NO_NEXT) => None,
            Some(at) => {
                // SAFETY: `at` is a chunk of this frame, so its descriptor and memory are this frame's,
                // and head and len were a valid frame's when it was appended.
                let bytes = unsafe {
                    let d = self.frame.sibling(at).as_ref();
                    self.next = Some(d.next);
                    std::slice::from_raw_parts(d.chunk.as_ptr().add(d.head as usize), d.len as usize)
                };
                Some(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headroom_is_given_and_taken_back() {
        let mut pool = Pool::new(4096, 4).unwrap();
        let mut f = pool.alloc().unwrap();
        assert!(f.fill(b"payload"));
        assert!(f.push_front(50));
        assert_eq!(f.len(), 57);
        assert!(f.pull_front(50));
        assert_eq!(f.head(), b"payload");
        assert!(!f.push_front(HEADROOM + 1));
        assert!(!f.pull_front(8));
        pool.free(f);
        assert_eq!(pool.outstanding(), 0);
    }

    #[test]
    fn a_chain_reads_back_in_order_and_returns_every_chunk() {
        let mut pool = Pool::new(4096, 4).unwrap();
        let mut f = pool.alloc().unwrap();
        assert!(f.fill(b"one"));
        for part in [b"two", b"six"] {
            let mut g = pool.alloc().unwrap();
            assert!(g.fill(part));
            f.append(g);
        }
        assert_eq!(f.len(), 9);
        assert!(!f.is_linear());
        assert_eq!(f.to_vec(), b"onetwosix");
        pool.free(f);
        assert_eq!(pool.outstanding(), 0);
        assert_eq!(pool.available(), 4);
    }

    #[test]
    fn an_empty_pool_says_so() {
        let mut pool = Pool::new(2048, 1).unwrap();
        let f = pool.alloc().unwrap();
        assert!(pool.alloc().is_none());
        pool.free(f);
        let f = pool.alloc().unwrap();
        pool.free(f);
    }

    #[test]
    fn the_kernel_borrows_a_chunk_by_its_address() {
        let mut pool = Pool::new(4096, 2).unwrap();
        let addr = pool.lend().unwrap();
        assert_eq!(addr % 4096, HEADROOM as u64);
        // SAFETY: `addr` was lent by this pool just now and nobody else holds it.
        let f = unsafe { pool.adopt(addr, 64) };
        assert_eq!(f.len(), 64);
        assert_eq!(f.headroom(), HEADROOM);
        pool.free(f);
        assert_eq!(pool.outstanding(), 0);
    }
}

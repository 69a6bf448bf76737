//! A pool's memory as the kernel knows it (UMEM), shared by all sockets of a worker.
//!
//! Invariant: every socket registers or shares the same region, so that a chunk received on one
//! device can be sent by another without a copy.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, Weak};

use sluice_frame::{Pool, Region};

use crate::sys::set_option;

/// How a socket came to its memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// It registered the memory itself.
    Own,
    /// It uses what the socket with this descriptor registered.
    Shared(u32),
}

/// The memory of one pool, to open AF_XDP ports with.
#[derive(Debug)]
pub struct Umem {
    start: usize,
    length: usize,
    chunk_size: usize,
    /// Sockets that registered the memory, with what else their mode was.
    owners: Mutex<Vec<(Weak<OwnedFd>, u16)>>,
}

impl Umem {
    /// Describes a pool's memory. Nothing is registered before the first port opens.
    pub fn new(pool: &Pool) -> Arc<Umem> {
        let Region { start, len, chunk_size } = pool.region();
        Arc::new(Umem { start: start.as_ptr() as usize, length: len, chunk_size, owners: Mutex::new(Vec::new()) })
    }

    /// Is this the memory of that pool?
    pub fn is_of(&self, pool: &Pool) -> bool {
        let r = pool.region();
        (r.start.as_ptr() as usize, r.len, r.chunk_size) == (self.start, self.length, self.chunk_size)
    }

    pub(super) fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    /// Registers the memory with a socket.
    pub(super) fn register(&self, socket: &OwnedFd) -> io::Result<()> {
        let r = libc::xdp_umem_reg {
            addr: self.start as u64,
            len: self.length as u64,
            chunk_size: self.chunk_size as u32,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        set_option(socket, libc::SOL_XDP, libc::XDP_UMEM_REG, &r)
    }

    /// A bound socket of the same bind flags whose memory can be shared.
    pub(super) fn sharable(&self, flags: u16) -> Option<Arc<OwnedFd>> {
        let owners = self.owners.lock().unwrap_or_else(|e| e.into_inner());
        owners.iter().filter(|(_, f)| *f == flags).find_map(|(fd, _)| fd.upgrade())
    }

    /// Remembers a bound socket that registered the memory.
    pub(super) fn remember(&self, socket: &Arc<OwnedFd>, flags: u16) {
        let mut owners = self.owners.lock().unwrap_or_else(|e| e.into_inner());
        owners.retain(|(fd, _)| fd.strong_count() > 0);
        owners.push((Arc::downgrade(socket), flags));
    }
}

impl Source {
    pub(super) fn of(owner: &OwnedFd) -> Source {
        Source::Shared(owner.as_raw_fd() as u32)
    }
}

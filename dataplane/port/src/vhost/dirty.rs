//! The log of guest pages that we wrote, for live migration.
//!
//! Purpose: whoever moves the guest copies these pages again.
//! Invariant: a page is marked after it was written and before the guest can know of it; marks never
//! leave the log.
//! Deliberately does not know: why a page was written.

use std::io;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use super::memory::{size_of_file, Mapping};

/// Bytes of a page in the log.
const PAGE: u64 = 4096;
/// Largest log: enough for 64 TiB of guest.
const LOG_MAX: u64 = 2 << 30;

/// A shared bitmap.
#[derive(Debug)]
pub struct DirtyLog {
    _mapping: Mapping,
    bits: NonNull<u8>,
    len: u64,
}

// SAFETY: the bitmap is only touched by atomic operations.
unsafe impl Send for DirtyLog {}
// SAFETY: as above.
unsafe impl Sync for DirtyLog {}

impl DirtyLog {
    /// Maps `len` bytes of a log from `offset` on.
    pub fn new(fd: &OwnedFd, offset: u64, len: u64) -> io::Result<DirtyLog> {
        if len > LOG_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the dirty log is too long"));
        }
        let mapping = Mapping::new(fd, offset, len)?;
        let bits = mapping.at(offset, size_of_file(fd)?.1);
        Ok(DirtyLog { _mapping: mapping, bits, len })
    }

    /// Marks the pages of `len` bytes at a guest address.
    #[cold]
    pub fn mark(&self, guest: u64, len: u64) {
        let Some(last) = len.checked_sub(1).and_then(|n| guest.checked_add(n)) else { return };
        // What was written must be seen by whoever takes the mark.
        for page in guest / PAGE..=last / PAGE {
            if page / 8 >= self.len {
                return;
            }
            // SAFETY: the byte lies in the log, which is mapped as long as `self` lives.
            let byte = unsafe { AtomicU8::from_ptr(self.bits.as_ptr().add((page / 8) as usize)) };
            byte.fetch_or(1 << (page % 8), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::{AsRawFd, FromRawFd};

    #[test]
    fn exactly_the_pages_of_a_range_are_marked() {
        // SAFETY: the name ends in a zero byte; the descriptor is new.
        let fd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"log".as_ptr(), libc::MFD_CLOEXEC)) };
        // SAFETY: no memory is passed.
        assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), 4) }, 0);
        let log = DirtyLog::new(&fd, 0, 4).unwrap();
        log.mark(4095, 2);
        log.mark(9 * 4096, 4096);
        log.mark(31 * 4096, 1 << 40);
        log.mark(32 * 4096, 1);
        log.mark(u64::MAX, 2);
        log.mark(5 * 4096, 0);
        let mut bytes = Vec::new();
        std::fs::File::from(fd).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [0b11, 0b10, 0, 0x80]);
    }
}

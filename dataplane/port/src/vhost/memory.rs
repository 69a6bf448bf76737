//! The guest's memory: regions of files that its VMM shares with us.
//!
//! Purpose: map a region, find the bytes behind a guest or VMM address.
//! Invariant: what a look-up returns lies wholly in memory that stays mapped as long as the
//! [`Memory`] it came from; addresses and lengths never wrap.
//! Deliberately does not know: rings. What is in the memory may change at any time: whoever reads it
//! copies first and judges the copy.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use super::torn::Guarded;

/// Regions that a front may share.
pub const REGIONS_MAX: usize = 64;

/// A mapping of a file, gone when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    /// Gone before the mapping is; there in every mapping that was made.
    guard: Option<Guarded>,
}

// SAFETY: a mapping is an address range of the process without thread affinity.
unsafe impl Send for Mapping {}
// SAFETY: as above; what lies in it is only reached through raw pointers.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of a file from `offset` on, shared. The file must be that long.
    pub(crate) fn new(fd: &OwnedFd, offset: u64, len: u64) -> io::Result<Mapping> {
        let (size, block) = size_of_file(fd)?;
        let end = offset.checked_add(len).filter(|end| *end <= size);
        let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
        if len == 0 || end.is_none() {
            return Err(wrong("the file is shorter than the region"));
        }
        // Huge pages are mapped and unmapped whole.
        let page = block.max(4096);
        let from = offset - offset % page;
        let span = (offset - from).checked_add(len).and_then(|n| n.checked_next_multiple_of(page));
        let (Some(span), Ok(from)) = (span.and_then(|n| usize::try_from(n).ok()), libc::off_t::try_from(from)) else {
            return Err(wrong("the region is too long"));
        };
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let p = unsafe {
            libc::mmap(std::ptr::null_mut(), span, libc::PROT_READ | libc::PROT_WRITE, flags, fd.as_raw_fd(), from)
        };
        match NonNull::new(p.cast::<u8>()) {
            Some(base) if p != libc::MAP_FAILED => {
                let mut mapping = Mapping { base, len: span, guard: None };
                mapping.guard = Some(Guarded::new(base, span)?);
                Ok(mapping)
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Did the file become shorter than what is mapped, and was that noticed?
    pub(crate) fn is_torn(&self) -> bool {
        self.guard.as_ref().is_some_and(Guarded::is_torn)
    }

    /// First byte of what was asked for, which began at `offset` of the file.
    pub(crate) fn at(&self, offset: u64, block: u64) -> NonNull<u8> {
        let skip = (offset % block.max(4096)) as usize;
        // SAFETY: the mapping begins at most one page or block in front of `offset`.
        unsafe { self.base.add(skip) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.guard = None;
        // SAFETY: the range was mapped by `new` and is unmapped once.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Length of a file and its unit of mapping.
pub(crate) fn size_of_file(fd: &OwnedFd) -> io::Result<(u64, u64)> {
    // SAFETY: all zero is a valid `stat`.
    let mut s: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `s` outlives the call.
    crate::sys::check(unsafe { libc::fstat(fd.as_raw_fd(), &mut s) })?;
    Ok((s.st_size as u64, s.st_blksize as u64))
}

/// What a front says of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionSpec {
    /// Address in the guest.
    pub guest: u64,
    /// Bytes.
    pub len: u64,
    /// Address in the VMM.
    pub user: u64,
    /// Where in the file it begins.
    pub offset: u64,
}

/// One region.
#[derive(Clone, Debug)]
struct Region {
    spec: RegionSpec,
    host: NonNull<u8>,
    /// Keeps the memory.
    mapping: Arc<Mapping>,
}

// SAFETY: the pointer is into `mapping`, which may be used from any thread.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// A stretch of addresses that lies in one piece in our memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// First address, in whatever addresses were asked for.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Where the first byte is.
    pub host: NonNull<u8>,
    /// Guest physical address of the first byte.
    pub guest: u64,
}

// SAFETY: a window is only followed while the memory it was found in is held.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

/// All regions of a guest.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    regions: Vec<Region>,
}

impl Memory {
    /// Adds a region of a file.
    pub fn add(&mut self, spec: RegionSpec, fd: &OwnedFd) -> io::Result<()> {
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        if self.regions.len() >= REGIONS_MAX {
            return Err(wrong(format!("more than {REGIONS_MAX} memory regions")));
        }
        let (Some(guest_end), Some(_)) = (spec.guest.checked_add(spec.len), spec.user.checked_add(spec.len)) else {
            return Err(wrong(format!("memory region at {:#x} wraps around", spec.guest)));
        };
        let meets = |r: &Region| spec.guest < r.spec.guest + r.spec.len && r.spec.guest < guest_end;
        if self.regions.iter().any(meets) {
            return Err(wrong(format!("memory regions overlap at {:#x}", spec.guest)));
        }
        let mapping = Arc::new(Mapping::new(fd, spec.offset, spec.len)?);
        let host = mapping.at(spec.offset, size_of_file(fd)?.1);
        self.regions.push(Region { spec, host, mapping });
        Ok(())
    }

    /// Takes a region away; false when there is none like it.
    pub fn remove(&mut self, spec: RegionSpec) -> bool {
        let same = |r: &Region| (r.spec.guest, r.spec.len, r.spec.user) == (spec.guest, spec.len, spec.user);
        let Some(at) = self.regions.iter().position(same) else { return false };
        self.regions.remove(at);
        true
    }

    /// Was any of it lost?
    pub(crate) fn is_torn(&self) -> bool {
        self.regions.iter().any(|r| r.mapping.is_torn())
    }

    /// Is there no region?
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// The region around a guest address.
    pub(crate) fn by_guest(&self, address: u64) -> Option<Window> {
        let r = self.regions.iter().find(|r| address.wrapping_sub(r.spec.guest) < r.spec.len)?;
        Some(Window { start: r.spec.guest, len: r.spec.len, host: r.host, guest: r.spec.guest })
    }

    /// The region around an address of the VMM.
    pub(crate) fn by_user(&self, address: u64) -> Option<Window> {
        let r = self.regions.iter().find(|r| address.wrapping_sub(r.spec.user) < r.spec.len)?;
        Some(Window { start: r.spec.user, len: r.spec.len, host: r.host, guest: r.spec.guest })
    }
}

impl Window {
    /// Where `len` bytes at an address are, if they all lie in the window.
    #[inline(always)]
    pub(crate) fn find(&self, address: u64, len: u64) -> Option<NonNull<u8>> {
        let offset = address.wrapping_sub(self.start);
        if offset >= self.len || self.len - offset < len {
            return None;
        }
        // SAFETY: `offset` is less than the length of the window, all of which is mapped.
        Some(unsafe { self.host.add(offset as usize) })
    }

    /// The part from an address on.
    pub(crate) fn from(&self, address: u64) -> Option<Window> {
        let offset = address.wrapping_sub(self.start);
        let host = self.find(address, 0)?;
        Some(Window { start: address, len: self.len - offset, host, guest: self.guest + offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::FromRawFd;

    fn file(len: u64) -> OwnedFd {
        // SAFETY: the name ends in a zero byte; the descriptor is new.
        let fd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"t".as_ptr(), libc::MFD_CLOEXEC)) };
        // SAFETY: no memory is passed.
        assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), len as i64) }, 0);
        fd
    }

    fn spec(guest: u64, len: u64, offset: u64) -> RegionSpec {
        RegionSpec { guest, len, user: guest | 1 << 40, offset }
    }

    #[test]
    fn addresses_are_found_only_where_all_bytes_are() {
        let fd = file(0x4000);
        let mut m = Memory::default();
        m.add(spec(0x1000, 0x2000, 0x1800), &fd).unwrap();
        let w = m.by_guest(0x1000).unwrap();
        assert!(w.find(0x1000, 0x2000).is_some());
        assert!(w.find(0x1000, 0x2001).is_none());
        assert!(w.find(0x2fff, 1).is_some());
        assert!(w.find(0x2fff, 2).is_none());
        assert!(w.find(0x0fff, 1).is_none());
        assert!(w.find(u64::MAX, 2).is_none());
        assert!(m.by_guest(0x3000).is_none());
        let u = m.by_user(0x1010 | 1 << 40).unwrap();
        assert_eq!(u.find(0x1010 | 1 << 40, 4), w.find(0x1010, 4));
        assert_eq!(u.from(0x1010 | 1 << 40).unwrap().guest, 0x1010);
    }

    #[test]
    fn regions_that_lie_are_refused() {
        let fd = file(0x4000);
        let mut m = Memory::default();
        assert!(m.add(spec(0, 0x4001, 0), &fd).is_err(), "longer than the file");
        assert!(m.add(spec(0, 0x2000, 0x3000), &fd).is_err(), "ends behind the file");
        assert!(m.add(spec(0, 0, 0), &fd).is_err(), "empty");
        assert!(m.add(spec(0, 16, u64::MAX - 8), &fd).is_err(), "offset wraps");
        assert!(m.add(spec(u64::MAX - 8, 0x1000, 0), &fd).is_err(), "address wraps");
        m.add(spec(0x1000, 0x1000, 0), &fd).unwrap();
        assert!(m.add(spec(0x1fff, 0x1000, 0), &fd).is_err(), "overlap");
        m.add(spec(0x2000, 0x1000, 0), &fd).unwrap();
        assert!(m.remove(spec(0x1000, 0x1000, 0)));
        assert!(!m.remove(spec(0x1000, 0x1000, 0)));
        assert_eq!(m.regions.len(), 1);
    }
}

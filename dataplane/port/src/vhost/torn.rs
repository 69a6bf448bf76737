//! Guest memory that vanishes: a file that is shortened while it is mapped.
//!
//! Purpose: touching a page behind the end of a mapped file raises SIGBUS, which would end the process and
//! with it every other guest's port. Here the mapping is replaced by empty memory and marked instead.
//! Invariant: an access to a mapping that is registered never ends the process; one to anything else does
//! what it would have done without us.
//! Deliberately does not know: what is mapped, who is to be punished ([`super::port`] asks).

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::OnceLock;

/// Mappings that may be there at once, of all guests.
const PLACES: usize = 4096;

/// One mapping; nobody's where `base` is 0.
struct Place {
    base: AtomicUsize,
    len: AtomicUsize,
    torn: AtomicBool,
}

/// In `base` while the rest is being written: no mapping begins there.
const CLAIMED: usize = 1;

static MAPPINGS: [Place; PLACES] =
    [const { Place { base: AtomicUsize::new(0), len: AtomicUsize::new(0), torn: AtomicBool::new(false) } }; PLACES];
/// How many mappings were ever torn.
static TORN: AtomicUsize = AtomicUsize::new(0);
/// What was done about the signal before; an error where nothing can be done.
static BEFORE: OnceLock<Result<libc::sigaction, i32>> = OnceLock::new();

/// Changes when a mapping was torn since the last time.
#[inline]
pub(crate) fn count() -> usize {
    TORN.load(Ordering::Relaxed)
}

/// A mapping whose loss is survived.
#[derive(Debug)]
pub(crate) struct Guarded(usize);

impl Guarded {
    /// Guards the whole mapping at `base`: it must begin and end at pages, and be gone only after this is.
    pub(crate) fn new(base: NonNull<u8>, len: usize) -> io::Result<Guarded> {
        if let Err(code) = BEFORE.get_or_init(install) {
            return Err(io::Error::from_raw_os_error(*code));
        }
        let free = |p: &Place| p.base.compare_exchange(0, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let Some(at) = MAPPINGS.iter().position(free) else {
            return Err(io::Error::other(format!("guests have {PLACES} pieces of memory mapped already")));
        };
        let place = &MAPPINGS[at];
        place.torn.store(false, Ordering::Relaxed);
        place.len.store(len, Ordering::Relaxed);
        place.base.store(base.as_ptr() as usize, Ordering::Release);
        Ok(Guarded(at))
    }

    /// Was the memory lost?
    pub(crate) fn is_torn(&self) -> bool {
        MAPPINGS[self.0].torn.load(Ordering::Acquire)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        MAPPINGS[self.0].base.store(0, Ordering::Release);
    }
}

fn install() -> Result<libc::sigaction, i32> {
    // SAFETY: all zero is a valid `sigaction`.
    let (mut ours, mut before): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
    ours.sa_sigaction = on_bus_error as *const () as usize;
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    // SAFETY: both live through the call; the handler does only what a handler may.
    match unsafe { libc::sigaction(libc::SIGBUS, &ours, &mut before) } {
        0 => Ok(before),
        _ => Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL)),
    }
}

/// Runs in the thread that touched the page, which tries again afterwards.
extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a whole `siginfo_t`; the error number is the thread's own.
    let (address, errno) = unsafe { ((*info).si_addr() as usize, libc::__errno_location()) };
    // SAFETY: as above.
    let saved = unsafe { *errno };
    if !mend(address) {
        pass_on(signal, info, context);
    }
    // SAFETY: as above.
    unsafe { *errno = saved };
}

/// Puts empty memory in place of the mapping around an address; false when there is none of ours.
fn mend(address: usize) -> bool {
    for place in &MAPPINGS {
        let base = place.base.load(Ordering::Acquire);
        let len = place.len.load(Ordering::Relaxed);
        if base <= CLAIMED || address.wrapping_sub(base) >= len || place.base.load(Ordering::Acquire) != base {
            continue;
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // SAFETY: the range is a mapping of ours, which stays mapped while it is registered.
        let p = unsafe { libc::mmap(base as *mut libc::c_void, len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if p == libc::MAP_FAILED {
            return false;
        }
        place.torn.store(true, Ordering::Release);
        TORN.fetch_add(1, Ordering::Release);
        return true;
    }
    false
}

/// Does what would have been done without us.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if let Some(Ok(before)) = BEFORE.get() {
        let handler = before.sa_sigaction;
        if handler != libc::SIG_DFL && handler != libc::SIG_IGN && before.sa_flags & libc::SA_SIGINFO != 0 {
            // SAFETY: with this flag it is a function of these three arguments.
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = unsafe { std::mem::transmute(handler) };
            return handler(signal, info, context);
        }
    }
    // The access is tried again and ends the process as it should.
    // SAFETY: no memory is passed.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

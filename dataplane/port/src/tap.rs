//! Tap devices: the switch's own ports into the host (internal and LOCAL ports) and to machines.
//!
//! Purpose: frames go to and come from the kernel's network stack with their offloads, uncut.
//! Invariant: a persistent device keeps its addresses and routes when the process dies; nothing but
//! [`delete`] removes it.
//! Deliberately does not know: bridges, who uses the device.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use sluice_frame::{Frame, Pool};

use crate::device::{request, Device};
use crate::landing::{gather, Landing};
use crate::sys::{check, open_nonblocking, retry};
use crate::{offload, vnet, Offloads, Port, PortError, PortStats, SendDrop, SendOutcome};

const TUN_F_CSUM: libc::c_uint = 0x01;
const TUN_F_TSO4: libc::c_uint = 0x02;
const TUN_F_TSO6: libc::c_uint = 0x04;
const TUN_F_TSO_ECN: libc::c_uint = 0x08;
const TUN_F_USO: libc::c_uint = 0x20 | 0x40;
/// An Ethernet header.
const FRAME_MIN: usize = 14;

/// How a tap device is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TapOptions {
    /// Keep the device, its addresses and its routes when the process ends.
    pub persistent: bool,
    /// Ethernet address; the kernel's choice if absent.
    pub mac: Option<[u8; 6]>,
    /// MTU; the kernel's choice if absent.
    pub mtu: Option<u32>,
    /// Bring it up.
    pub up: bool,
}

/// The port.
#[derive(Debug)]
pub struct TapPort {
    device: Device,
    fd: OwnedFd,
    offloads: Offloads,
    landing: Landing,
    vectors: Vectors,
    pieces: Vec<Frame>,
    stats: PortStats,
}

/// Room for vectors; they are rewritten before every use.
#[derive(Debug, Default)]
pub(crate) struct Vectors(pub(crate) Vec<libc::iovec>);

// SAFETY: the pointers are only followed in the call for which they were written.
unsafe impl Send for Vectors {}

impl TapPort {
    /// Creates the device, or attaches to it where it exists already.
    pub fn open(name: &str, options: TapOptions) -> Result<TapPort, PortError> {
        let fd = attach(name)?;
        let offloads = set_offloads(name, &fd)?;
        if options.persistent {
            set_persistent(name, &fd, true)?;
        }
        let device = Device::open(name)?;
        if let Some(mac) = options.mac {
            device.set_mac(mac)?;
        }
        if let Some(mtu) = options.mtu {
            device.set_mtu(mtu)?;
        }
        if options.up {
            device.set_up(true)?;
        }
        Ok(TapPort {
            device,
            fd,
            offloads,
            landing: Landing::default(),
            vectors: Vectors::default(),
            pieces: Vec::new(),
            stats: PortStats::default(),
        })
    }

    /// The device, to be asked and configured.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What can remove the device later, wherever it was moved to by then.
    pub fn keeper(&self) -> Option<TapKeeper> {
        let fd = self.fd.try_clone().ok()?;
        Some(TapKeeper { name: self.device.name().to_owned(), fd })
    }

    /// Closes the port and removes the device.
    pub fn delete(self) -> Result<(), PortError> {
        set_persistent(self.device.name(), &self.fd, false)
    }

    /// Reads one frame; `Ok(None)` when none waits.
    fn read(&mut self) -> Result<Option<Frame>, PortError> {
        loop {
            let mut header = [0; vnet::LEN];
            let fd = self.fd.as_raw_fd();
            let vectors = self.landing.vectors(&mut header);
            let count = vectors.len() as libc::c_int;
            // SAFETY: the vectors describe `header` and chunks that `landing` owns.
            let n = match retry(|| unsafe { libc::readv(fd, vectors.as_ptr(), count) }) {
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
                // A frame whose offloads the header cannot say: it is gone, the next may be good.
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                    self.stats.rx_errors += 1;
                    continue;
                }
                Err(e) => return Err(PortError::io(self.device.name(), "read", e)),
            };
            let len = n.saturating_sub(vnet::LEN);
            let Some(meta) = vnet::decode(&header).filter(|_| len >= FRAME_MIN) else {
                self.stats.rx_errors += 1;
                continue;
            };
            let Some(mut frame) = self.landing.take(len) else {
                self.stats.rx_errors += 1;
                continue;
            };
            frame.meta = meta;
            return Ok(Some(frame));
        }
    }
}

/// A second hold on a tap device. It works in whatever network namespace the device is.
#[derive(Debug)]
pub struct TapKeeper {
    name: String,
    fd: OwnedFd,
}

impl TapKeeper {
    /// Removes the device as soon as nobody holds it any more.
    pub fn delete(self) -> Result<(), PortError> {
        set_persistent(&self.name, &self.fd, false)
    }
}

fn attach(name: &str) -> Result<OwnedFd, PortError> {
    let mut r = request(name)?;
    let fd = open_nonblocking(c"/dev/net/tun").map_err(|e| PortError::io(name, "open /dev/net/tun", e))?;
    r.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: `r` is a whole ifreq and outlives the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF as _, std::ptr::from_mut(&mut r)) }).map_err(|e| {
        match e.raw_os_error() {
            Some(libc::EBUSY) => {
                let why = format!("{e}; another process (or another kind of device) has this name");
                PortError::new(crate::Trouble::Io, name, "create tap device", why)
            }
            _ => PortError::io(name, "create tap device", e),
        }
    })?;
    Ok(fd)
}

/// Tells the kernel what may be left undone in frames that it gives us; it takes as much from us.
fn set_offloads(name: &str, fd: &OwnedFd) -> Result<Offloads, PortError> {
    let tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    for (flags, offloads) in [(tcp | TUN_F_USO, Offloads::ALL), (tcp, Offloads { udp: false, ..Offloads::ALL })] {
        // SAFETY: the argument is a number.
        if unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD as _, libc::c_ulong::from(flags)) } == 0 {
            return Ok(offloads);
        }
    }
    Err(PortError::last_os(name, "set offloads of tap device"))
}

fn set_persistent(name: &str, fd: &OwnedFd, on: bool) -> Result<(), PortError> {
    // SAFETY: the argument is a number.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETPERSIST as _, libc::c_ulong::from(on)) })
        .map(drop)
        .map_err(|e| PortError::io(name, if on { "keep tap device" } else { "remove tap device" }, e))
}

/// Removes a persistent tap device that no process has open.
pub fn delete(name: &str) -> Result<(), PortError> {
    Device::open(name)?;
    set_persistent(name, &attach(name)?, false)
}

/// Why the kernel did not take a frame.
pub(crate) fn send_drop(e: &std::io::Error) -> SendDrop {
    match e.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOBUFS) => SendDrop::QueueFull,
        Some(libc::EMSGSIZE | libc::E2BIG) => SendDrop::TooLong,
        Some(libc::ENOMEM) => SendDrop::NoMemory,
        Some(libc::EIO | libc::ENETDOWN | libc::ENXIO | libc::ENODEV | libc::EBADFD) => SendDrop::Down,
        _ => SendDrop::Refused,
    }
}

impl Port for TapPort {
    fn name(&self) -> &str {
        self.device.name()
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        let mut n = 0;
        let mut result = Ok(());
        while n < max && self.landing.prepare(pool) {
            match self.read() {
                Ok(Some(frame)) => {
                    self.stats.count_rx(frame.len());
                    out.push(frame);
                    n += 1;
                }
                Ok(None) => break,
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
        }
        self.landing.release(pool);
        // What was read before an error is handed in; a lasting error comes again.
        if n > 0 {
            return Ok(n);
        }
        result.map(|()| 0)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        let TapPort { fd, vectors, pieces, stats, offloads, .. } = self;
        offload::send_each(pool, frames, *offloads, pieces, stats, |pool, frame| {
            let header = vnet::encode(&frame);
            gather(&mut vectors.0, &header, &frame);
            let (p, count) = (vectors.0.as_ptr(), vectors.0.len() as libc::c_int);
            // SAFETY: the vectors describe `header` and the segments of `frame`, both alive here.
            let result = retry(|| unsafe { libc::writev(fd.as_raw_fd(), p, count) });
            pool.free(frame);
            result.map(drop).map_err(|e| send_drop(&e))
        })
    }

    fn poll_fd(&self) -> Option<RawFd> {
        Some(self.fd.as_raw_fd())
    }

    fn stats(&self) -> PortStats {
        self.stats
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }
}

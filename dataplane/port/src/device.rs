//! A network device of the host: its number, address, MTU, state and offloads.
//!
//! Invariant: all requests go to the network namespace in which the device was opened, whichever
//! namespace the calling thread is in later.
//! Deliberately does not know: frames.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::sys::{check, socket};
use crate::{PortError, Trouble};

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GTXCSUM: u32 = 0x16;
const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// A network device, opened by name.
#[derive(Debug)]
pub struct Device {
    name: String,
    index: u32,
    control: OwnedFd,
}

/// An `ifreq` with the name filled in and the rest zero.
pub(crate) fn request(name: &str) -> Result<libc::ifreq, PortError> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() >= libc::IFNAMSIZ || bytes.iter().any(|b| matches!(b, 0 | b'/' | b' ')) {
        let why = format!("a device name has 1 to {} bytes without blanks and slashes", libc::IFNAMSIZ - 1);
        return Err(PortError::new(Trouble::Input, name, "open device", why));
    }
    // SAFETY: ifreq is plain old data; zero is a value of it.
    let mut r: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in r.ifr_name.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(r)
}

impl Device {
    /// Finds a device of the calling thread's network namespace.
    pub fn open(name: &str) -> Result<Device, PortError> {
        let fail = |e| PortError::io(name, "open device", e);
        let control = socket(libc::AF_INET, libc::SOCK_DGRAM, 0).map_err(fail)?;
        let mut device = Device { name: name.to_owned(), index: 0, control };
        let r = device.ioctl(libc::SIOCGIFINDEX as libc::c_ulong, request(name)?).map_err(fail)?;
        // SAFETY: the kernel filled in the number.
        device.index = unsafe { r.ifr_ifru.ifru_ifindex } as u32;
        Ok(device)
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number (`ifindex`).
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Is it still there, as the device it was?
    pub fn exists(&self) -> bool {
        self.get(libc::SIOCGIFINDEX as libc::c_ulong)
            // SAFETY: the kernel filled in the number.
            .is_ok_and(|r| unsafe { r.ifr_ifru.ifru_ifindex } as u32 == self.index)
    }

    /// Ethernet address.
    pub fn mac(&self) -> Result<[u8; 6], PortError> {
        let r = self.get(libc::SIOCGIFHWADDR as libc::c_ulong).map_err(|e| self.fail("read address", e))?;
        // SAFETY: the kernel filled in the address.
        let a = unsafe { r.ifr_ifru.ifru_hwaddr };
        let mut mac = [0; 6];
        for (to, from) in mac.iter_mut().zip(a.sa_data) {
            *to = from as u8;
        }
        Ok(mac)
    }

    /// Sets the Ethernet address.
    pub fn set_mac(&self, mac: [u8; 6]) -> Result<(), PortError> {
        let mut r = request(&self.name)?;
        let mut data = [0; 14];
        for (to, from) in data.iter_mut().zip(mac) {
            *to = from as libc::c_char;
        }
        r.ifr_ifru.ifru_hwaddr = libc::sockaddr { sa_family: libc::ARPHRD_ETHER, sa_data: data };
        self.ioctl(libc::SIOCSIFHWADDR as libc::c_ulong, r).map(drop).map_err(|e| self.fail("set address", e))
    }

    /// Longest payload of a frame, bytes.
    pub fn mtu(&self) -> Result<u32, PortError> {
        let r = self.get(libc::SIOCGIFMTU as libc::c_ulong).map_err(|e| self.fail("read MTU", e))?;
        // SAFETY: the kernel filled in the MTU.
        Ok(unsafe { r.ifr_ifru.ifru_mtu } as u32)
    }

    /// Sets the MTU.
    pub fn set_mtu(&self, mtu: u32) -> Result<(), PortError> {
        let mut r = request(&self.name)?;
        r.ifr_ifru.ifru_mtu = i32::try_from(mtu).unwrap_or(i32::MAX);
        self.ioctl(libc::SIOCSIFMTU as libc::c_ulong, r)
            .map(drop)
            .map_err(|e| self.fail(&format!("set MTU to {mtu}"), e))
    }

    /// Is it administratively up?
    pub fn is_up(&self) -> Result<bool, PortError> {
        self.flags().map(|f| f & libc::IFF_UP != 0)
    }

    /// Has it a carrier?
    pub fn is_running(&self) -> Result<bool, PortError> {
        self.flags().map(|f| f & libc::IFF_RUNNING != 0)
    }

    /// Brings it up or down.
    pub fn set_up(&self, up: bool) -> Result<(), PortError> {
        let before = self.flags()?;
        let after = if up { before | libc::IFF_UP } else { before & !libc::IFF_UP };
        if before == after {
            return Ok(());
        }
        let mut r = request(&self.name)?;
        r.ifr_ifru.ifru_flags = after as libc::c_short;
        let doing = if up { "bring up" } else { "bring down" };
        self.ioctl(libc::SIOCSIFFLAGS as libc::c_ulong, r).map(drop).map_err(|e| self.fail(doing, e))
    }

    fn flags(&self) -> Result<libc::c_int, PortError> {
        let r = self.get(libc::SIOCGIFFLAGS as libc::c_ulong).map_err(|e| self.fail("read flags", e))?;
        // SAFETY: the kernel filled in the flags.
        Ok(libc::c_int::from(unsafe { r.ifr_ifru.ifru_flags }) & 0xffff)
    }

    /// Name of the driver, where the device tells.
    pub fn driver(&self) -> Option<String> {
        let mut info = [0u8; 196];
        self.ethtool(ETHTOOL_GDRVINFO, &mut info).ok()?;
        let name = info.get(4..36)?;
        let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
        name.get(..end).and_then(|n| std::str::from_utf8(n).ok()).filter(|n| !n.is_empty()).map(str::to_owned)
    }

    /// Name of the driver, its version and its firmware's, where the device tells; empty where it has
    /// none.
    pub fn driver_facts(&self) -> Option<[String; 3]> {
        let mut info = [0u8; 196];
        self.ethtool(ETHTOOL_GDRVINFO, &mut info).ok()?;
        let text = |at: usize| {
            let field = info.get(at..at + 32).unwrap_or(&[]);
            let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
            String::from_utf8_lossy(field.get(..end).unwrap_or(&[])).into_owned()
        };
        Some([text(4), text(36), text(68)])
    }

    /// Receive queues in use, where the device tells.
    pub fn receive_queues(&self) -> Option<u32> {
        // max_rx, max_tx, max_other, max_combined, then the same four as in use now.
        let mut channels = [0u8; 36];
        self.ethtool(ETHTOOL_GCHANNELS, &mut channels).ok()?;
        let word = |at: usize| channels.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        Some((word(20)?).saturating_add(word(32)?)).filter(|n| *n > 0)
    }

    /// Does the host leave transmit checksums to this device?
    pub fn transmit_checksum(&self) -> Option<bool> {
        let mut value = [0u8; 8];
        self.ethtool(ETHTOOL_GTXCSUM, &mut value).ok()?;
        value.get(4..8).map(|v| v != [0; 4])
    }

    /// Has the host leave transmit checksums (and with them segmentation) to this device, or not.
    pub fn set_transmit_checksum(&self, on: bool) -> Result<(), PortError> {
        let mut value = [0u8; 8];
        value[4..8].copy_from_slice(&u32::from(on).to_ne_bytes());
        self.ethtool(ETHTOOL_STXCSUM, &mut value).map_err(|e| self.fail("set transmit checksum offload", e))
    }

    /// One ethtool request: `value` is the command's struct, whose first word is the command.
    pub(crate) fn ethtool(&self, command: u32, value: &mut [u8]) -> io::Result<()> {
        value[..4].copy_from_slice(&command.to_ne_bytes());
        let mut r = request(&self.name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        r.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
        self.ioctl(SIOCETHTOOL, r).map(drop)
    }

    fn get(&self, what: libc::c_ulong) -> io::Result<libc::ifreq> {
        let r = request(&self.name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        self.ioctl(what, r)
    }

    fn ioctl(&self, what: libc::c_ulong, mut r: libc::ifreq) -> io::Result<libc::ifreq> {
        // SAFETY: `r` is a whole ifreq and outlives the call; where it points to a buffer, the
        // buffer is as large as the command's struct and outlives the call as well.
        check(unsafe { libc::ioctl(self.control.as_raw_fd(), what as _, std::ptr::from_mut(&mut r)) })?;
        Ok(r)
    }

    fn fail(&self, doing: &str, e: io::Error) -> PortError {
        PortError::io(&self.name, doing, e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_device_can_have_is_refused_before_the_kernel_is_asked() {
        for name in ["", "a-name-that-is-too-long", "a/b", "a b", "a\0b"] {
            let e = Device::open(name).unwrap_err();
            assert_eq!(e.trouble(), Trouble::Input, "{name:?}");
        }
    }

    #[test]
    fn the_loopback_device_is_described() {
        let lo = Device::open("lo").unwrap();
        assert_eq!(lo.mac().unwrap(), [0; 6]);
        assert!(lo.mtu().unwrap() >= 1500);
        assert!(lo.exists());
    }

    #[test]
    fn a_device_that_is_not_there_is_gone() {
        let e = Device::open("sluice-none").unwrap_err();
        assert!(e.is_gone(), "{e}");
    }
}

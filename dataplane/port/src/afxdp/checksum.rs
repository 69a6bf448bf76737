//! A device whose checksums the host fills itself while a port is open.
//!
//! Invariant: it is as before when this goes.
//! Deliberately does not know: frames.

use crate::device::Device;
use crate::PortError;

/// A device whose transmit checksum offload is off, and will be on again when this goes.
#[derive(Debug)]
pub(super) struct ChecksumOff(Device);

impl ChecksumOff {
    /// Switches it off where it is on.
    pub(super) fn on(name: &str) -> Result<Option<ChecksumOff>, PortError> {
        let device = Device::open(name)?;
        if device.transmit_checksum() != Some(true) {
            return Ok(None);
        }
        device.set_transmit_checksum(false)?;
        Ok(Some(ChecksumOff(device)))
    }
}

impl Drop for ChecksumOff {
    fn drop(&mut self) {
        // The device may be gone; then there is nothing to put back.
        let _ = self.0.set_transmit_checksum(true);
    }
}

//! What the host says of a device, in OpenFlow's terms.
//!
//! Purpose: up, carrier, speed.
//! Deliberately does not know: how it was asked.

use sluice_openflow::message::features;

/// What is known of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LinkFacts {
    /// Administratively up.
    pub up: bool,
    /// Has a carrier.
    pub carrier: bool,
    /// Current link features.
    pub current: u32,
    /// Speed in kbit/s, 0 when not known.
    pub speed_kbps: u32,
    /// MTU, 0 when not known.
    pub mtu: u32,
}

impl LinkFacts {
    /// Of a port without a device (patch, tunnel): always there.
    pub const VIRTUAL: LinkFacts = LinkFacts { up: true, carrier: true, current: 0, speed_kbps: 0, mtu: 0 };

    /// With this speed in Mbit/s, as devices report it.
    pub fn with_speed(up: bool, carrier: bool, mbps: Option<u32>) -> LinkFacts {
        let current = match mbps {
            Some(10) => features::MB10_FD | features::COPPER,
            Some(100) => features::MB100_FD | features::COPPER,
            Some(1000) => features::GB1_FD | features::COPPER,
            Some(10_000) => features::GB10_FD | features::COPPER,
            Some(40_000) => features::GB40_FD | features::COPPER,
            Some(100_000) => features::GB100_FD | features::COPPER,
            Some(1_000_000) => features::TB1_FD | features::COPPER,
            Some(_) => features::OTHER | features::COPPER,
            None => 0,
        };
        LinkFacts { up, carrier, current, speed_kbps: mbps.unwrap_or(0).saturating_mul(1000), mtu: 0 }
    }
}

/// What is told of a device that does not tell its speed: a virtual one is as fast as the machine.
const VIRTUAL_MBPS: u32 = 10_000;

/// Speed of a device in Mbit/s, as the kernel shows it in its file tree.
pub fn speed_of(device: &str) -> u32 {
    let text = std::fs::read_to_string(format!("/sys/class/net/{device}/speed"));
    let speed = text.ok().and_then(|t| t.trim().parse().ok());
    speed.filter(|s| *s > 0 && *s < u32::MAX).unwrap_or(VIRTUAL_MBPS)
}

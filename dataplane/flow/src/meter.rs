//! Meters as the program holds them.
//!
//! Purpose: rates and what happens above them. The buckets that fill and drain belong to the workers.
//! Deliberately does not know: counters, time, messages.

/// A meter's number in OpenFlow.
pub type MeterId = u32;
/// Packets that are sent to the controllers.
pub const CONTROLLER: MeterId = 0xffff_fffe;
/// Packets that the switch itself looks at (there is no such path here: it is kept and shown only).
pub const SLOWPATH: MeterId = 0xffff_fffd;

/// What a band does to a packet above its rate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Exceeded {
    /// Drops it.
    Drop,
    /// Raises the drop precedence of an assured-forwarding DSCP (RFC 2597) by so much, at most to 3.
    Remark(u8),
}

/// One band.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Band {
    /// Kilobits or packets per second.
    pub rate: u32,
    /// Most that may come at once: kilobits or packets.
    pub burst: u32,
    /// What it does.
    pub exceeded: Exceeded,
}

/// A meter.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Meter {
    /// Names this definition of the meter in counters: another one with each change.
    pub serial: u32,
    /// Where its buckets are in each worker; dense over the whole switch.
    pub place: u32,
    /// Counts packets, not bits.
    pub by_packets: bool,
    /// The one of the highest rate that is exceeded acts.
    pub bands: Box<[Band]>,
}

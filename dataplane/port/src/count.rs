//! What a port counts, and what it says about a batch it was given to send.
//!
//! Invariant: for every call of `send`, `sent` plus all of `dropped` is the number of frames given.
//! A large frame that the port cuts counts once there, as the frame it was.
//! Deliberately does not know: rules, or why the frame was sent here.

/// Why a frame that was given to a port did not leave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum SendDrop {
    /// The device's transmit queue is full.
    QueueFull = 0,
    /// The frame is longer than the port carries.
    TooLong = 1,
    /// The port is down or its device is gone.
    Down = 2,
    /// The frame asks for segmentation or a checksum that its headers do not allow.
    BadOffload = 3,
    /// No frame memory left to build what would have to be sent.
    NoMemory = 4,
    /// The kernel refused the frame.
    Refused = 5,
    /// A fault wrapper was told to drop it.
    Injected = 6,
}

impl SendDrop {
    /// Number of reasons.
    pub const COUNT: usize = 7;

    /// Every reason, in the order of [`SendOutcome::dropped`].
    pub const ALL: [SendDrop; SendDrop::COUNT] = [
        SendDrop::QueueFull,
        SendDrop::TooLong,
        SendDrop::Down,
        SendDrop::BadOffload,
        SendDrop::NoMemory,
        SendDrop::Refused,
        SendDrop::Injected,
    ];

    /// Stable name, as shown to people and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            SendDrop::QueueFull => "tx_queue_full",
            SendDrop::TooLong => "tx_too_long",
            SendDrop::Down => "tx_port_down",
            SendDrop::BadOffload => "tx_bad_offload",
            SendDrop::NoMemory => "tx_no_memory",
            SendDrop::Refused => "tx_refused",
            SendDrop::Injected => "tx_injected",
        }
    }
}

/// What became of a batch that was given to [`crate::Port::send`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SendOutcome {
    /// Frames that left.
    pub sent: u32,
    /// Bytes of the frames that left.
    pub sent_bytes: u64,
    /// Frames that did not, by [`SendDrop`].
    pub dropped: [u32; SendDrop::COUNT],
}

impl SendOutcome {
    /// Counts one frame that left.
    #[inline]
    pub fn add_sent(&mut self, bytes: usize) {
        self.sent += 1;
        self.sent_bytes += bytes as u64;
    }

    /// Counts one frame that did not.
    #[inline]
    pub fn add_drop(&mut self, reason: SendDrop) {
        self.dropped[reason as usize] += 1;
    }

    /// Frames that did not leave, for all reasons.
    pub fn dropped_total(&self) -> u32 {
        self.dropped.iter().sum()
    }

    /// Frames that did not leave for one reason.
    pub fn dropped_for(&self, reason: SendDrop) -> u32 {
        self.dropped[reason as usize]
    }

    /// Adds another outcome.
    pub fn merge(&mut self, other: &SendOutcome) {
        self.sent += other.sent;
        self.sent_bytes += other.sent_bytes;
        for (mine, theirs) in self.dropped.iter_mut().zip(other.dropped) {
            *mine += theirs;
        }
    }
}

/// Counters of a port since it was opened, in the words of OpenFlow's port statistics.
///
/// Packets and bytes are those of whole frames as the switch saw them: a large frame that is cut on
/// its way out counts once. Drops and errors on receive never became frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortStats {
    /// Frames handed in.
    pub rx_packets: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes handed in.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames lost before the switch saw them: no memory, queue overrun.
    pub rx_dropped: u64,
    /// Frames that were given to send and did not leave, for any reason.
    pub tx_dropped: u64,
    /// Frames refused on receive for what they are (shorter than an Ethernet header, too long).
    pub rx_errors: u64,
    /// Frames that the kernel refused to send.
    pub tx_errors: u64,
    /// Frames lost because the queue in front of the port overran (a part of `rx_dropped`).
    pub rx_over_err: u64,
}

impl PortStats {
    #[inline]
    pub(crate) fn count_rx(&mut self, bytes: usize) {
        self.rx_packets += 1;
        self.rx_bytes += bytes as u64;
    }

    #[inline]
    pub(crate) fn count_tx(&mut self, bytes: usize, outcome: &mut SendOutcome) {
        self.tx_packets += 1;
        self.tx_bytes += bytes as u64;
        outcome.add_sent(bytes);
    }

    #[inline]
    pub(crate) fn count_drop(&mut self, reason: SendDrop, outcome: &mut SendOutcome) {
        self.tx_dropped += 1;
        if reason == SendDrop::Refused {
            self.tx_errors += 1;
        }
        outcome.add_drop(reason);
    }
}

/// What the peer of a port accepts undone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offloads {
    /// A checksum that holds the pseudo header only.
    pub checksum: bool,
    /// A TCP over IPv4 frame that is still to be cut.
    pub tso4: bool,
    /// A TCP over IPv6 frame that is still to be cut.
    pub tso6: bool,
    /// A UDP frame that is still to be cut into datagrams.
    pub udp: bool,
}

impl Offloads {
    /// Everything accepted.
    pub const ALL: Offloads = Offloads { checksum: true, tso4: true, tso6: true, udp: true };
    /// Nothing accepted: every frame must leave complete.
    pub const NONE: Offloads = Offloads { checksum: false, tso4: false, tso6: false, udp: false };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place_and_name() {
        let mut out = SendOutcome::default();
        for (i, r) in SendDrop::ALL.into_iter().enumerate() {
            assert_eq!(r as usize, i);
            out.add_drop(r);
        }
        assert_eq!(out.dropped_total() as usize, SendDrop::COUNT);
        let names: std::collections::BTreeSet<_> = SendDrop::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), SendDrop::COUNT);
    }

    #[test]
    fn bytes_of_a_frame_that_did_not_leave_do_not_count() {
        let (mut stats, mut out) = (PortStats::default(), SendOutcome::default());
        stats.count_tx(60, &mut out);
        stats.count_drop(SendDrop::Down, &mut out);
        let mut all = SendOutcome::default();
        all.merge(&out);
        assert_eq!((stats.tx_bytes, all.sent_bytes, all.sent, all.dropped_total()), (60, 60, 1, 1));
    }
}

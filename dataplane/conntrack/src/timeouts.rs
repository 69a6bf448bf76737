//! How long a silent connection is kept, by protocol and state; policies that override it.
//!
//! Invariant: a timeout is at least one second and short of what 32 bits of milliseconds can tell apart.
//! Deliberately does not know: zones (who maps them to policies), the clock.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Longest timeout, seconds: 40 days.
pub const MAX_S: u32 = 40 * 86_400;
/// Policies at once, the default one included.
pub const POLICIES: usize = 256;

/// How far workers' clocks may lie apart, milliseconds: a packet may seem to come before the last one.
const CLOCKS_APART_MS: u32 = 60_000;

/// Was a connection, last renewed then, silent for that long? Times are the low 32 bits of milliseconds.
#[inline(always)]
pub(crate) fn is_over(now_ms: u32, last_ms: u32, timeout_ms: u32) -> bool {
    now_ms.wrapping_sub(last_ms).wrapping_add(CLOCKS_APART_MS) >= timeout_ms + CLOCKS_APART_MS
}

/// Milliseconds of silence.
pub(crate) fn idle(now_ms: u32, last_ms: u32) -> u32 {
    now_ms.wrapping_sub(last_ms).wrapping_add(CLOCKS_APART_MS).saturating_sub(CLOCKS_APART_MS)
}

/// What a connection waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Class {
    #[default]
    TcpFirst = 0,
    TcpOpening,
    TcpEstablished,
    TcpClosing,
    TcpFinWait,
    TcpClosed,
    OtherFirst,
    OtherMultiple,
    OtherBoth,
    IcmpFirst,
    IcmpReply,
}

/// Number of classes.
pub const CLASSES: usize = 11;
const DEFAULT_S: [u32; CLASSES] = [30, 30, 86_400, 900, 45, 30, 60, 60, 30, 60, 30];

impl Class {
    const ALL: [Class; CLASSES] = [
        Class::TcpFirst,
        Class::TcpOpening,
        Class::TcpEstablished,
        Class::TcpClosing,
        Class::TcpFinWait,
        Class::TcpClosed,
        Class::OtherFirst,
        Class::OtherMultiple,
        Class::OtherBoth,
        Class::IcmpFirst,
        Class::IcmpReply,
    ];

    pub(crate) fn from_bits(bits: u64) -> Class {
        Class::ALL.get((bits & 15) as usize).copied().unwrap_or_default()
    }

    /// Has no answer come yet?
    pub fn is_half_open(self) -> bool {
        matches!(self, Class::TcpFirst | Class::TcpOpening | Class::OtherFirst | Class::OtherMultiple | Class::IcmpFirst)
    }
}

/// Timeouts of one policy in seconds, by the names that the database uses. What is not given is the default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    seconds: [Option<u32>; CLASSES],
}

impl Policy {
    /// Sets one timeout by its name in `CT_Timeout_Policy`; false for a name that is not known.
    ///
    /// Names of states that userspace trackers do not tell apart are known and have no effect, as in Open vSwitch.
    pub fn set(&mut self, name: &str, seconds: u32) -> bool {
        let class = match name {
            "tcp_syn_sent" => Class::TcpFirst,
            "tcp_syn_recv" => Class::TcpOpening,
            "tcp_established" => Class::TcpEstablished,
            "tcp_fin_wait" => Class::TcpClosing,
            "tcp_time_wait" => Class::TcpFinWait,
            "tcp_close" => Class::TcpClosed,
            "udp_first" => Class::OtherFirst,
            "udp_single" => Class::OtherMultiple,
            "udp_multiple" => Class::OtherBoth,
            "icmp_first" => Class::IcmpFirst,
            "icmp_reply" => Class::IcmpReply,
            "tcp_close_wait" | "tcp_last_ack" | "tcp_syn_sent2" | "tcp_retransmit" | "tcp_unack" => return true,
            _ => return false,
        };
        if let Some(place) = self.seconds.get_mut(class as usize) {
            *place = Some(seconds);
        }
        true
    }
}

/// The timeouts of all policies, readable by every worker while the control side changes them.
#[derive(Debug)]
pub struct Timeouts {
    ms: Box<[[AtomicU32; CLASSES]]>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let all = Timeouts { ms: (0..POLICIES).map(|_| Default::default()).collect() };
        for p in 0..POLICIES as u16 {
            all.set(p as u8, &Policy::default());
        }
        all
    }
}

impl Timeouts {
    /// Sets a policy. Connections that have it follow at once.
    pub fn set(&self, policy: u8, to: &Policy) {
        let Some(row) = self.ms.get(usize::from(policy)) else { return };
        for ((place, wanted), default) in row.iter().zip(to.seconds).zip(DEFAULT_S) {
            place.store(wanted.unwrap_or(default).clamp(1, MAX_S) * 1000, Relaxed);
        }
    }

    /// Milliseconds for a class under a policy.
    #[inline]
    pub fn ms(&self, policy: u8, class: Class) -> u32 {
        let row = self.ms.get(usize::from(policy));
        row.and_then(|r| r.get(class as usize)).map_or(30_000, |t| t.load(Relaxed))
    }
}

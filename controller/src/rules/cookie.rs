//! Who a rule belongs to.
//!
//! Purpose: mark the controller's own rules, and say what kind of thing each exists for.
//! Invariant: rules that the switch learns by itself carry another mark, so that they are nobody's
//! to remove but the switch's.

/// Which bits of a cookie tell the owner.
pub const OWNER_MASK: u64 = 0xffff_ffff_0000_0000;
/// The controller's mark.
pub const OWNER: u64 = 0x736c_7563_0000_0000;
/// The mark of what the controller's rules learn from traffic.
pub const LEARNED: u64 = 0x736c_7564_0000_0000;

/// What a rule exists for: the low bits of its cookie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The skeleton of the tables.
    Base = 1,
    /// A network.
    Network = 2,
    /// A local port: where its packets go.
    Port = 3,
    /// A local port: whom it may send as.
    AntiSpoofing = 4,
    /// A security-group rule.
    SecurityGroup = 5,
    /// A station on another host.
    Peer = 6,
    /// An answer given for a station on another host.
    Answer = 7,
}

impl Purpose {
    /// The cookie of rules of this purpose.
    pub const fn cookie(self) -> u64 {
        OWNER | self as u64
    }

    /// The purpose of a rule of ours, in words.
    pub fn describe(cookie: u64) -> Option<&'static str> {
        if cookie & OWNER_MASK == LEARNED {
            return Some("learned");
        }
        if cookie & OWNER_MASK != OWNER {
            return None;
        }
        Some(match cookie & !OWNER_MASK {
            1 => "base",
            2 => "network",
            3 => "port",
            4 => "anti-spoofing",
            5 => "security group",
            6 => "peer",
            7 => "answer",
            _ => return None,
        })
    }
}

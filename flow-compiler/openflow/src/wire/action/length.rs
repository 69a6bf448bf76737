//! How long actions are whose length is fixed.
//!
//! Purpose: refuse a wrong length before anything in the action is looked at.
//! Deliberately does not know: what is in them.

use crate::error::NICIRA;
use crate::version::Version;

/// Length of an action with its header, where there is just one; `None` for those that vary and for
/// those that nobody knows.
pub(super) fn fixed(version: Version, vendor: u32, kind: u16) -> Option<usize> {
    match vendor {
        0 if version == Version::V10 => standard_10(kind),
        0 => standard_11(kind),
        NICIRA => nicira(kind),
        _ => None,
    }
}

fn standard_10(kind: u16) -> Option<usize> {
    match kind {
        4 | 5 | 11 => Some(16),
        0..=10 => Some(8),
        _ => None,
    }
}

fn standard_11(kind: u16) -> Option<usize> {
    match kind {
        0 | 3 | 4 => Some(16),
        1..=10 | 13..=24 | 29 => Some(8),
        _ => None,
    }
}

fn nicira(subtype: u16) -> Option<usize> {
    match subtype {
        1 | 2 | 4 | 5 | 14 | 17..=20 | 23..=26 | 30 | 31 | 34 | 39 | 40 | 43 | 44 => Some(16),
        48 | 254 | 255 => Some(16),
        7 | 9 | 15 | 27 | 28 | 29 | 32 | 49 | 50 => Some(24),
        10 | 22 | 38 | 41 => Some(32),
        _ => None,
    }
}

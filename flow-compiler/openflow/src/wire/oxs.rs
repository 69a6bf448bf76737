//! OpenFlow 1.5's counters: a string of fields, like a match.
//!
//! Purpose: duration, idle time, rules, packets and bytes, both ways.
//! Deliberately does not know: whose counters they are.

use super::buf::{Put, Reader};
use crate::error::OfpError;

/// Class of the standard's counters.
const CLASS: u16 = 0x8002;

mod field {
    pub const DURATION: u8 = 0;
    pub const IDLE_TIME: u8 = 1;
    pub const FLOW_COUNT: u8 = 3;
    pub const PACKET_COUNT: u8 = 4;
    pub const BYTE_COUNT: u8 = 5;
}

/// What is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Stats {
    /// Seconds and nanoseconds.
    pub(super) duration: (u32, u32),
    pub(super) idle_time: Option<u32>,
    pub(super) flows: Option<u32>,
    pub(super) packets: Option<u64>,
    pub(super) bytes: Option<u64>,
}

/// Reads counters and their padding.
pub(super) fn decode(r: &mut Reader<'_>) -> Result<Stats, OfpError> {
    r.skip(2)?;
    let len = r.u16()? as usize;
    let mut fields = r.sub(len.checked_sub(4).ok_or(OfpError::OFPBRC_BAD_LEN)?)?;
    r.skip(len.next_multiple_of(8) - len)?;
    let mut s = Stats::default();
    while !fields.is_empty() {
        let (class, name, len) = (fields.u16()?, fields.u8()? >> 1, fields.u8()?);
        let mut v = fields.sub(len as usize)?;
        match (class, name) {
            (CLASS, field::DURATION) => s.duration = (v.u32()?, v.u32()?),
            (CLASS, field::IDLE_TIME) => s.idle_time = Some(v.u32()?),
            (CLASS, field::FLOW_COUNT) => s.flows = Some(v.u32()?),
            (CLASS, field::PACKET_COUNT) => s.packets = Some(v.u64()?),
            (CLASS, field::BYTE_COUNT) => s.bytes = Some(v.u64()?),
            _ => {}
        }
    }
    Ok(s)
}

/// Writes what is known, and padding.
pub(super) fn encode(out: &mut Vec<u8>, s: &Stats) {
    let start = out.len();
    let mut fields = Vec::new();
    let mut header = |name: u8, len: u8, value: u64| {
        fields.u16(CLASS);
        fields.u8(name << 1);
        fields.u8(len);
        if len == 4 {
            fields.u32(value as u32);
        } else {
            fields.u64(value);
        }
    };
    if s.flows.is_none() {
        let (sec, nsec) = s.duration;
        header(field::DURATION, 8, (sec as u64) << 32 | nsec as u64);
    }
    if let Some(t) = s.idle_time {
        header(field::IDLE_TIME, 8, (t as u64) << 32);
    }
    if let Some(n) = s.packets {
        header(field::PACKET_COUNT, 8, n);
    }
    if let Some(n) = s.bytes {
        header(field::BYTE_COUNT, 8, n);
    }
    if let Some(n) = s.flows {
        header(field::FLOW_COUNT, 4, n as u64);
    }
    out.u16(0);
    out.u16((fields.len() + 4) as u16);
    out.put(&fields);
    out.pad8(start);
}

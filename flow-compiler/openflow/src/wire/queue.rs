//! What queues a port has.
//!
//! Purpose: the bodies of queue configuration (OpenFlow 1.0-1.3 §7.3.6 and A.3.6) and queue
//! description (1.4+), both ways.
//! Deliberately does not know: counters.

use super::buf::{Put, Reader};
use super::port;
use crate::action::PortNo;
use crate::error::OfpError;
use crate::message::QueueConfig;
use crate::version::Version;

const MIN_RATE: u16 = 1;
const MAX_RATE: u16 = 2;
/// A property of a rate is so long, before 1.4 and since.
const RATE_OLD: usize = 16;
const RATE_NEW: usize = 8;

/// Reads the body of a queue configuration.
pub(super) fn decode_reply(v: Version, r: &mut Reader<'_>) -> Result<(PortNo, Vec<QueueConfig>), OfpError> {
    let of = port::number(v, r)?;
    r.skip(if v == Version::V10 { 6 } else { 4 })?;
    let mut queues = Vec::new();
    while !r.is_empty() {
        queues.push(decode_old(v, of, r)?);
    }
    Ok((of, queues))
}

fn decode_old(v: Version, of: PortNo, r: &mut Reader<'_>) -> Result<QueueConfig, OfpError> {
    let before = r.len();
    let mut config = QueueConfig::unlimited(of, r.u32()?);
    if v >= Version::V12 {
        r.skip(4)?;
    }
    let len = usize::from(r.u16()?);
    r.skip(if v >= Version::V12 { 6 } else { 2 })?;
    let rest = len.checked_sub(before - r.len()).filter(|_| len % 8 == 0).ok_or(OfpError::OFPBRC_BAD_LEN)?;
    let mut properties = r.sub(rest)?;
    while !properties.is_empty() {
        let (kind, len) = (properties.u16()?, usize::from(properties.u16()?));
        let body = len.checked_sub(4).filter(|_| len % 8 == 0).ok_or(OfpError::OFPBRC_BAD_LEN)?;
        let mut body = properties.sub(body)?;
        if let Some(rate) = rate_of(&mut config, kind) {
            if len != RATE_OLD {
                return Err(OfpError::OFPBRC_BAD_LEN);
            }
            body.skip(4)?;
            *rate = body.u16()?;
        }
    }
    Ok(config)
}

fn rate_of(config: &mut QueueConfig, kind: u16) -> Option<&mut u16> {
    match kind {
        MIN_RATE => Some(&mut config.min_rate),
        MAX_RATE => Some(&mut config.max_rate),
        _ => None,
    }
}

/// Writes the body of a queue configuration.
pub(super) fn encode_reply(out: &mut Vec<u8>, v: Version, of: PortNo, queues: &[QueueConfig]) {
    port::put_number(out, v, of);
    out.zeros(if v == Version::V10 { 6 } else { 4 });
    for q in queues {
        let start = out.len();
        out.u32(q.queue);
        if v >= Version::V12 {
            port::put_number(out, v, q.port);
        }
        let at = out.len();
        out.zeros(if v >= Version::V12 { 8 } else { 4 });
        for (kind, rate) in rates(q) {
            out.u16(kind);
            out.u16(RATE_OLD as u16);
            out.zeros(4);
            out.u16(rate);
            out.zeros(6);
        }
        put_len(out, start, at);
    }
}

/// Reads one queue's description (1.4+).
pub(super) fn decode_desc(v: Version, r: &mut Reader<'_>) -> Result<QueueConfig, OfpError> {
    let before = r.len();
    let of = port::number(v, r)?;
    let mut config = QueueConfig::unlimited(of, r.u32()?);
    let len = usize::from(r.u16()?);
    r.skip(6)?;
    let rest = len.checked_sub(before - r.len()).ok_or(OfpError::OFPBRC_BAD_LEN)?;
    let mut properties = r.sub(rest)?;
    while properties.len() >= 4 {
        let (kind, len) = (properties.u16()?, usize::from(properties.u16()?));
        let body = len.checked_sub(4).ok_or(OfpError::OFPBPC_BAD_LEN)?;
        let mut body = properties.sub(body.next_multiple_of(4).min(properties.len()).max(body))?;
        if let Some(rate) = rate_of(&mut config, kind) {
            if len != RATE_NEW {
                return Err(OfpError::OFPBPC_BAD_LEN);
            }
            *rate = body.u16()?;
        }
    }
    Ok(config)
}

/// Writes one queue's description (1.4+).
pub(super) fn encode_desc(out: &mut Vec<u8>, v: Version, q: &QueueConfig) {
    let start = out.len();
    port::put_number(out, v, q.port);
    out.u32(q.queue);
    let at = out.len();
    out.zeros(8);
    for (kind, rate) in rates(q) {
        out.u16(kind);
        out.u16(RATE_NEW as u16);
        out.u16(rate);
        out.zeros(2);
    }
    put_len(out, start, at);
}

fn rates(q: &QueueConfig) -> impl Iterator<Item = (u16, u16)> {
    [(MIN_RATE, q.min_rate), (MAX_RATE, q.max_rate)].into_iter().filter(|(_, rate)| *rate != u16::MAX)
}

fn put_len(out: &mut [u8], start: usize, at: usize) {
    let len = (out.len() - start) as u16;
    if let Some(place) = out.get_mut(at..at + 2) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

//! Ports: descriptions, status, modifications, counters; and queues' counters.
//!
//! Purpose: their bodies, both ways. Deliberately does not know: devices.

use super::buf::{Put, Reader};
use super::prop;
use crate::action::PortNo;
use crate::error::OfpError;
use crate::message::{
    features, port_config, port_state, EncodeError, Port, PortMod, PortReason, PortStats, PortStatus,
    QueueStats, QueueStatsRequest, UNKNOWN_COUNT,
};
use crate::version::Version;

const NAME: usize = 16;
/// Type of the property that tells of Ethernet.
const ETHERNET: u16 = 0;
/// A duration that is not known.
const UNKNOWN_DURATION: u32 = u32::MAX;

/// A port number as the version writes it, with the checks of a request.
pub(super) fn number(version: Version, r: &mut Reader<'_>) -> Result<PortNo, OfpError> {
    if version == Version::V10 {
        return r.u16().map(PortNo::from_u16);
    }
    let port = r.u32()?;
    if (0xff00..0xffff_ff00).contains(&port) {
        return Err(OfpError::OFPBAC_BAD_OUT_PORT);
    }
    Ok(PortNo(port))
}

/// Writes a port number in 16 or 32 bits.
pub(super) fn put_number(out: &mut Vec<u8>, version: Version, port: PortNo) {
    match version {
        Version::V10 => out.u16(port.0 as u16),
        _ => out.u32(port.0),
    }
}

/// Features as 1.0 numbers them: the media bits sit four lower, and there is nothing above 10 Gb.
fn features_from_10(bits: u32) -> u32 {
    (bits & 0x7f) | (bits & 0xf80) << 4
}

fn features_to_10(bits: u32) -> u32 {
    (bits & 0x7f) | (bits >> 4 & 0xf80)
}

/// Speed in kbit/s of the fastest of these features.
fn speed_of(bits: u32) -> u32 {
    const STEPS: [(u32, u32); 7] = [
        (features::TB1_FD, 1_000_000_000),
        (features::GB100_FD, 100_000_000),
        (features::GB40_FD, 40_000_000),
        (features::GB10_FD, 10_000_000),
        (features::GB1_FD | features::GB1_HD, 1_000_000),
        (features::MB100_FD | features::MB100_HD, 100_000),
        (features::MB10_FD | features::MB10_HD, 10_000),
    ];
    STEPS.into_iter().find(|(bit, _)| bits & bit != 0).map_or(0, |(_, speed)| speed)
}

fn state_mask(version: Version) -> u32 {
    match version {
        Version::V10 => port_state::LINK_DOWN | port_state::STP_MASK,
        _ => port_state::LINK_DOWN | port_state::BLOCKED | port_state::LIVE,
    }
}

fn config_mask(version: Version) -> u32 {
    match version {
        Version::V10 => port_config::ALL_10,
        _ => port_config::ALL_11,
    }
}

/// Reads one port.
pub(super) fn decode(version: Version, r: &mut Reader<'_>) -> Result<Port, OfpError> {
    match version {
        Version::V10 => decode10(r),
        Version::V11 | Version::V12 | Version::V13 => decode11(version, r),
        _ => decode14(version, r),
    }
}

fn bare(version: Version, number: PortNo, r: &mut Reader<'_>) -> Result<Port, OfpError> {
    let hw_addr = r.array()?;
    if version != Version::V10 {
        r.skip(2)?;
    }
    let name = r.string(NAME)?;
    let config = r.u32()? & config_mask(version);
    let state = r.u32()? & state_mask(version);
    Ok(Port {
        number,
        hw_addr,
        name,
        config,
        state,
        current: 0,
        advertised: 0,
        supported: 0,
        peer: 0,
        current_speed: 0,
        max_speed: 0,
    })
}

fn decode10(r: &mut Reader<'_>) -> Result<Port, OfpError> {
    let number = PortNo::from_u16(r.u16()?);
    let mut p = bare(Version::V10, number, r)?;
    p.current = features_from_10(r.u32()?);
    p.advertised = features_from_10(r.u32()?);
    p.supported = features_from_10(r.u32()?);
    p.peer = features_from_10(r.u32()?);
    p.current_speed = speed_of(p.current);
    p.max_speed = speed_of(p.supported);
    Ok(p)
}

fn read_features(p: &mut Port, r: &mut Reader<'_>) -> Result<(), OfpError> {
    p.current = r.u32()? & 0xffff;
    p.advertised = r.u32()? & 0xffff;
    p.supported = r.u32()? & 0xffff;
    p.peer = r.u32()? & 0xffff;
    p.current_speed = r.u32()?;
    p.max_speed = r.u32()?;
    Ok(())
}

fn decode11(version: Version, r: &mut Reader<'_>) -> Result<Port, OfpError> {
    let number = number(version, r)?;
    r.skip(4)?;
    let mut p = bare(version, number, r)?;
    read_features(&mut p, r)?;
    Ok(p)
}

fn decode14(version: Version, r: &mut Reader<'_>) -> Result<Port, OfpError> {
    const HEAD: usize = 6;
    let number = number(version, r)?;
    let len = r.u16()? as usize;
    let mut r = r.sub(len.checked_sub(HEAD).ok_or(OfpError::OFPBRC_BAD_LEN)?)?;
    r.skip(2)?;
    let mut p = bare(version, number, &mut r)?;
    while !r.is_empty() {
        let (kind, mut value) = prop::pull(&mut r)?;
        if kind == ETHERNET {
            value.skip(4)?;
            read_features(&mut p, &mut value)?;
        }
    }
    Ok(p)
}

/// Writes one port.
pub(super) fn encode(out: &mut Vec<u8>, version: Version, p: &Port) {
    let start = out.len();
    put_number(out, version, p.number);
    match version {
        Version::V10 => {}
        Version::V11 | Version::V12 | Version::V13 => out.zeros(4),
        _ => {
            out.u16(72);
            out.zeros(2);
        }
    }
    out.put(&p.hw_addr);
    if version != Version::V10 {
        out.zeros(2);
    }
    out.string(&p.name, NAME);
    out.u32(p.config & config_mask(version));
    out.u32(p.state & state_mask(version));
    let all = [p.current, p.advertised, p.supported, p.peer];
    if version == Version::V10 {
        all.iter().for_each(|f| out.u32(features_to_10(*f)));
        return;
    }
    if version >= Version::V14 {
        out.u16(ETHERNET);
        out.u16(32);
        out.zeros(4);
    }
    all.iter().for_each(|f| out.u32(*f));
    out.u32(p.current_speed);
    out.u32(p.max_speed);
    debug_assert!((out.len() - start) % 8 == 0);
}

pub(super) fn decode_status(version: Version, body: &[u8]) -> Result<PortStatus, OfpError> {
    let mut r = Reader::request(body);
    let reason = match r.u8()? {
        0 => PortReason::Add,
        1 => PortReason::Delete,
        2 => PortReason::Modify,
        _ => return Err(OfpError::NXBRC_BAD_REASON),
    };
    r.skip(7)?;
    Ok(PortStatus { reason, port: decode(version, &mut r)? })
}

pub(super) fn encode_status(out: &mut Vec<u8>, version: Version, s: &PortStatus) {
    out.u8(match s.reason {
        PortReason::Add => 0,
        PortReason::Delete => 1,
        PortReason::Modify => 2,
    });
    out.zeros(7);
    encode(out, version, &s.port);
}

pub(super) fn decode_mod(version: Version, body: &[u8]) -> Result<PortMod, OfpError> {
    let mut r = Reader::request(body);
    let port = number(version, &mut r)?;
    if version != Version::V10 {
        r.skip(4)?;
    }
    let hw_addr = r.array()?;
    if version != Version::V10 {
        r.skip(2)?;
    }
    let (config, mask) = (r.u32()?, r.u32()?);
    let mut advertise = 0;
    match version {
        Version::V10 => advertise = features_from_10(r.u32()?),
        Version::V11 | Version::V12 | Version::V13 => advertise = r.u32()? & 0xffff,
        _ => {
            while !r.is_empty() {
                let (kind, mut value) = prop::pull(&mut r)?;
                if kind != ETHERNET {
                    return Err(OfpError::OFPBPC_BAD_TYPE);
                }
                advertise = value.u32()? & 0xffff;
            }
        }
    }
    let mask = mask & config_mask(version);
    Ok(PortMod { port, hw_addr, config: config & mask, mask, advertise })
}

pub(super) fn encode_mod(
    out: &mut Vec<u8>,
    version: Version,
    m: &PortMod,
) -> Result<(), EncodeError> {
    put_number(out, version, m.port);
    if version != Version::V10 {
        out.zeros(4);
    }
    out.put(&m.hw_addr);
    if version != Version::V10 {
        out.zeros(2);
    }
    out.u32(m.config & config_mask(version));
    out.u32(m.mask & config_mask(version));
    match version {
        Version::V10 => out.u32(features_to_10(m.advertise)),
        Version::V11 | Version::V12 | Version::V13 => out.u32(m.advertise),
        _ if m.advertise != 0 => return prop::put(out, ETHERNET, |o| o.u32(m.advertise)),
        _ => return Ok(()),
    }
    out.zeros(4);
    Ok(())
}

/// Reads the counters of one port.
pub(super) fn decode_stats(version: Version, r: &mut Reader<'_>) -> Result<PortStats, OfpError> {
    if version >= Version::V14 {
        return decode_stats14(version, r);
    }
    let port = number(version, r)?;
    r.skip(if version == Version::V10 { 6 } else { 4 })?;
    let mut s = basic_stats(port, r)?;
    errors_detail(&mut s, r)?;
    if version == Version::V13 {
        (s.duration_sec, s.duration_nsec) = (r.u32()?, r.u32()?);
    }
    Ok(s)
}

fn basic_stats(port: PortNo, r: &mut Reader<'_>) -> Result<PortStats, OfpError> {
    Ok(PortStats {
        port,
        rx_packets: r.u64()?,
        tx_packets: r.u64()?,
        rx_bytes: r.u64()?,
        tx_bytes: r.u64()?,
        rx_dropped: r.u64()?,
        tx_dropped: r.u64()?,
        rx_errors: r.u64()?,
        tx_errors: r.u64()?,
        rx_frame_errors: UNKNOWN_COUNT,
        rx_over_errors: UNKNOWN_COUNT,
        rx_crc_errors: UNKNOWN_COUNT,
        collisions: UNKNOWN_COUNT,
        duration_sec: UNKNOWN_DURATION,
        duration_nsec: UNKNOWN_DURATION,
    })
}

fn errors_detail(s: &mut PortStats, r: &mut Reader<'_>) -> Result<(), OfpError> {
    s.rx_frame_errors = r.u64()?;
    s.rx_over_errors = r.u64()?;
    s.rx_crc_errors = r.u64()?;
    s.collisions = r.u64()?;
    Ok(())
}

fn decode_stats14(version: Version, r: &mut Reader<'_>) -> Result<PortStats, OfpError> {
    let len = r.u16()? as usize;
    let mut r = r.sub(len.checked_sub(2).ok_or(OfpError::OFPBRC_BAD_LEN)?)?;
    r.skip(2)?;
    let port = number(version, &mut r)?;
    let (sec, nsec) = (r.u32()?, r.u32()?);
    let mut s = basic_stats(port, &mut r)?;
    (s.duration_sec, s.duration_nsec) = (sec, nsec);
    while !r.is_empty() {
        let (kind, mut value) = prop::pull(&mut r)?;
        if kind == ETHERNET {
            value.skip(4)?;
            errors_detail(&mut s, &mut value)?;
        }
    }
    Ok(s)
}

/// Writes the counters of one port.
pub(super) fn encode_stats(out: &mut Vec<u8>, version: Version, s: &PortStats) {
    let basic = [
        s.rx_packets,
        s.tx_packets,
        s.rx_bytes,
        s.tx_bytes,
        s.rx_dropped,
        s.tx_dropped,
        s.rx_errors,
        s.tx_errors,
    ];
    let detail = [s.rx_frame_errors, s.rx_over_errors, s.rx_crc_errors, s.collisions];
    if version >= Version::V14 {
        out.u16(80 + 40);
        out.zeros(2);
        out.u32(s.port.0);
        out.u32(s.duration_sec);
        out.u32(s.duration_nsec);
        basic.iter().for_each(|v| out.u64(*v));
        out.u16(ETHERNET);
        out.u16(40);
        out.zeros(4);
        detail.iter().for_each(|v| out.u64(*v));
        return;
    }
    put_number(out, version, s.port);
    out.zeros(if version == Version::V10 { 6 } else { 4 });
    basic.iter().chain(&detail).for_each(|v| out.u64(*v));
    if version == Version::V13 {
        out.u32(s.duration_sec);
        out.u32(s.duration_nsec);
    }
}

pub(super) fn decode_queue_request(
    version: Version,
    body: &[u8],
) -> Result<QueueStatsRequest, OfpError> {
    let mut r = Reader::request(body);
    let mut port = number(version, &mut r)?;
    if version == Version::V10 {
        r.skip(2)?;
        // 1.0 asks for all ports by another number than later versions.
        if port == PortNo::ALL {
            port = PortNo::NONE;
        }
    }
    Ok(QueueStatsRequest { port, queue: r.u32()? })
}

pub(super) fn encode_queue_request(out: &mut Vec<u8>, version: Version, q: &QueueStatsRequest) {
    let all = version == Version::V10 && q.port == PortNo::NONE;
    put_number(out, version, if all { PortNo::ALL } else { q.port });
    if version == Version::V10 {
        out.zeros(2);
    }
    out.u32(q.queue);
}

/// Reads the counters of one queue.
pub(super) fn decode_queue(version: Version, r: &mut Reader<'_>) -> Result<QueueStats, OfpError> {
    let mut r2 = *r;
    if version >= Version::V14 {
        let len = r2.u16()? as usize;
        r2 = r.sub(len)?;
        r2.skip(8)?;
    }
    let port = number(version, &mut r2)?;
    if version == Version::V10 {
        r2.skip(2)?;
    }
    let mut q = QueueStats {
        port,
        queue: r2.u32()?,
        tx_bytes: r2.u64()?,
        tx_packets: r2.u64()?,
        tx_errors: r2.u64()?,
        duration_sec: UNKNOWN_DURATION,
        duration_nsec: UNKNOWN_DURATION,
    };
    if version >= Version::V13 {
        (q.duration_sec, q.duration_nsec) = (r2.u32()?, r2.u32()?);
    }
    if version < Version::V14 {
        *r = r2;
    }
    Ok(q)
}

/// Writes the counters of one queue.
pub(super) fn encode_queue(out: &mut Vec<u8>, version: Version, q: &QueueStats) {
    if version >= Version::V14 {
        out.u16(48);
        out.zeros(6);
    }
    put_number(out, version, q.port);
    if version == Version::V10 {
        out.zeros(2);
    }
    out.u32(q.queue);
    out.u64(q.tx_bytes);
    out.u64(q.tx_packets);
    out.u64(q.tx_errors);
    if version >= Version::V13 {
        out.u32(q.duration_sec);
        out.u32(q.duration_nsec);
    }
}

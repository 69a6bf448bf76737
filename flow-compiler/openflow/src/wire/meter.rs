//! Meters.
//!
//! Purpose: modifications, configuration and counters, both ways.
//! Deliberately does not know: which meters exist.

use super::buf::{Put, Reader};
use crate::error::OfpError;
use crate::message::{
    MeterBand, MeterBandKind, MeterCommand, MeterConfig, MeterFeatures, MeterMod, MeterStats,
};

mod flag {
    pub const KBPS: u16 = 1;
    pub const PKTPS: u16 = 2;
}

const DROP: u16 = 1;
const DSCP_REMARK: u16 = 2;

/// Reads a meter-mod.
pub(super) fn decode_mod(body: &[u8]) -> Result<MeterMod, OfpError> {
    let mut r = Reader::request(body);
    let (code, flags, id) = (r.u16()?, r.u16()?, r.u32()?);
    let command = match code {
        0 => MeterCommand::Add,
        1 => MeterCommand::Modify,
        2 => MeterCommand::Delete,
        _ => return Err(OfpError::OFPMMFC_BAD_COMMAND),
    };
    let mut config = MeterConfig { id, flags, bands: Vec::new() };
    if command == MeterCommand::Delete {
        // Nothing but the id matters.
        config.flags = 0;
        return Ok(MeterMod { command, config });
    }
    let both = flag::KBPS | flag::PKTPS;
    if flags & both == both {
        return Err(OfpError::OFPMMFC_BAD_FLAGS);
    }
    config.bands = decode_bands(&mut r)?;
    Ok(MeterMod { command, config })
}

fn decode_bands(r: &mut Reader<'_>) -> Result<Vec<MeterBand>, OfpError> {
    let mut bands = Vec::new();
    while !r.is_empty() {
        let (kind, len) = (r.u16()?, r.u16()? as usize);
        let mut b = r.sub(len.checked_sub(4).ok_or(OfpError::OFPBRC_BAD_LEN)?)?;
        let (rate, burst_size) = (b.u32()?, b.u32()?);
        let kind = match kind {
            DROP => MeterBandKind::Drop,
            DSCP_REMARK => MeterBandKind::DscpRemark(b.u8()?),
            _ => return Err(OfpError::OFPMMFC_BAD_BAND),
        };
        bands.push(MeterBand { kind, rate, burst_size });
    }
    Ok(bands)
}

fn put_bands(out: &mut Vec<u8>, c: &MeterConfig) {
    for b in &c.bands {
        out.u16(match b.kind {
            MeterBandKind::Drop => DROP,
            MeterBandKind::DscpRemark(_) => DSCP_REMARK,
        });
        out.u16(16);
        out.u32(b.rate);
        out.u32(b.burst_size);
        match b.kind {
            MeterBandKind::Drop => out.u8(0),
            MeterBandKind::DscpRemark(level) => out.u8(level),
        }
        out.zeros(3);
    }
}

/// Writes a meter-mod behind its header.
pub(super) fn encode_mod(out: &mut Vec<u8>, m: &MeterMod) {
    out.u16(match m.command {
        MeterCommand::Add => 0,
        MeterCommand::Modify => 1,
        MeterCommand::Delete => 2,
    });
    out.u16(m.config.flags);
    out.u32(m.config.id);
    put_bands(out, &m.config);
}

/// Reads one meter of a configuration.
pub(super) fn decode_config(list: &mut Reader<'_>) -> Result<MeterConfig, OfpError> {
    let (len, flags, id) = (list.u16()? as usize, list.u16()?, list.u32()?);
    let mut r = list.sub(len.checked_sub(8).ok_or(OfpError::OFPBRC_BAD_LEN)?)?;
    Ok(MeterConfig { id, flags, bands: decode_bands(&mut r)? })
}

/// Writes one meter of a configuration.
pub(super) fn encode_config(out: &mut Vec<u8>, c: &MeterConfig) {
    out.u16((8 + 16 * c.bands.len()) as u16);
    out.u16(c.flags);
    out.u32(c.id);
    put_bands(out, c);
}

/// Reads the counters of one meter.
pub(super) fn decode_stats(list: &mut Reader<'_>) -> Result<MeterStats, OfpError> {
    let (id, len) = (list.u32()?, list.u16()? as usize);
    let mut r = list.sub(len.checked_sub(6).ok_or(OfpError::OFPBRC_BAD_LEN)?)?;
    r.skip(6)?;
    let mut m = MeterStats {
        id,
        flow_count: r.u32()?,
        packets: r.u64()?,
        bytes: r.u64()?,
        duration_sec: r.u32()?,
        duration_nsec: r.u32()?,
        bands: Vec::with_capacity(r.len() / 16),
    };
    while !r.is_empty() {
        m.bands.push((r.u64()?, r.u64()?));
    }
    Ok(m)
}

/// Writes the counters of one meter.
pub(super) fn encode_stats(out: &mut Vec<u8>, m: &MeterStats) {
    out.u32(m.id);
    out.u16((40 + 16 * m.bands.len()) as u16);
    out.zeros(6);
    out.u32(m.flow_count);
    out.u64(m.packets);
    out.u64(m.bytes);
    out.u32(m.duration_sec);
    out.u32(m.duration_nsec);
    for (packets, bytes) in &m.bands {
        out.u64(*packets);
        out.u64(*bytes);
    }
}

pub(super) fn decode_features(body: &[u8]) -> Result<MeterFeatures, OfpError> {
    let mut r = Reader::request(body);
    Ok(MeterFeatures {
        max_meters: r.u32()?,
        band_types: r.u32()?,
        capabilities: r.u32()?,
        max_bands: r.u8()?,
        max_color: r.u8()?,
    })
}

pub(super) fn encode_features(out: &mut Vec<u8>, f: &MeterFeatures) {
    out.u32(f.max_meters);
    out.u32(f.band_types);
    out.u32(f.capabilities);
    out.u8(f.max_bands);
    out.u8(f.max_color);
    out.zeros(2);
}

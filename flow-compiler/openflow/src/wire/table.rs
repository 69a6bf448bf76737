//! Tables: counters, modifications, descriptions.
//!
//! Purpose: their bodies, both ways. What 1.1 and 1.2 say of a table's abilities is the same for
//! every table of a switch that can do everything everywhere.
//! Deliberately does not know: rules.

use super::buf::{Put, Reader};
use super::prop;
use crate::error::OfpError;
use crate::message::{EncodeError, TableDesc, TableMod, TableStats, Vacancy};
use crate::version::Version;

const ALL_TABLES: u8 = 0xff;
const NAME: usize = 32;
/// Every field of `ofp10_match` may be wildcarded.
const WILDCARDS_10: u32 = (1 << 22) - 1;

/// Bytes that tell of a table's abilities between its name and its configuration.
const fn abilities_len(version: Version) -> usize {
    match version {
        Version::V11 => 20,
        Version::V12 => 60,
        _ => 0,
    }
}

/// Reads one table of a table reply.
pub(super) fn decode(version: Version, r: &mut Reader<'_>) -> Result<TableStats, OfpError> {
    let mut t = TableStats { table: r.u8()?, ..TableStats::default() };
    r.skip(match version {
        Version::V11 | Version::V12 => 7,
        _ => 3,
    })?;
    if version >= Version::V13 {
        (t.active, t.lookups, t.matched) = (r.u32()?, r.u64()?, r.u64()?);
        return Ok(t);
    }
    t.name = r.string(NAME)?;
    if version == Version::V10 {
        t.abilities = r.take(4)?.to_vec();
    } else {
        t.abilities = r.take(abilities_len(version))?.to_vec();
        t.config = r.u32()?;
    }
    (t.max_entries, t.active) = (r.u32()?, r.u32()?);
    (t.lookups, t.matched) = (r.u64()?, r.u64()?);
    Ok(t)
}

/// Writes one table of a table reply.
pub(super) fn encode(out: &mut Vec<u8>, version: Version, t: &TableStats) {
    out.u8(t.table);
    match version {
        Version::V11 | Version::V12 => out.zeros(7),
        _ => out.zeros(3),
    }
    if version <= Version::V12 {
        out.string(&t.name, NAME);
        put_abilities(out, version, t);
        out.u32(t.max_entries);
    }
    out.u32(t.active);
    out.u64(t.lookups);
    out.u64(t.matched);
}

fn put_abilities(out: &mut Vec<u8>, version: Version, t: &TableStats) {
    let len = if version == Version::V10 { 4 } else { abilities_len(version) };
    if t.abilities.len() == len {
        out.put(&t.abilities);
    } else {
        match version {
            Version::V10 => out.u32(WILDCARDS_10),
            Version::V11 => put_abilities11(out),
            _ => put_abilities12(out),
        }
    }
    if version != Version::V10 {
        out.u32(t.config);
    }
}

/// Instructions 1 to 5.
const INSTRUCTIONS: u32 = 0x3e;

fn put_abilities11(out: &mut Vec<u8>) {
    /// Every field of `ofp11_match`.
    const FIELDS: u32 = 0xfbff;
    const ACTIONS: u32 = 0x01ff_e7ff;
    out.u32(FIELDS);
    out.u32(FIELDS);
    out.u32(INSTRUCTIONS);
    out.u32(ACTIONS);
    out.u32(ACTIONS);
}

fn put_abilities12(out: &mut Vec<u8>) {
    /// OXM fields that can be matched.
    const MATCH: u64 = 0x101f_ffff_fffd;
    /// OXM fields that can be set.
    const SET: u64 = 0xf_ffff_fbdd;
    const ACTIONS: u32 = 0x03ff_8001;
    out.u64(MATCH);
    out.u64(MATCH);
    out.u32(ACTIONS);
    out.u32(ACTIONS);
    out.u64(SET);
    out.u64(SET);
    out.u64(u64::MAX);
    out.u64(u64::MAX);
    out.u32(INSTRUCTIONS);
}

mod part {
    pub const EVICTION: u16 = 2;
    pub const VACANCY: u16 = 3;
}

type Parts = (Option<u32>, Option<Vacancy>);

fn decode_parts(r: &mut Reader<'_>) -> Result<Parts, OfpError> {
    let mut parts = (None, None);
    while !r.is_empty() {
        let (kind, mut v) = prop::pull(r)?;
        match kind {
            part::EVICTION => {
                parts.0 = Some(v.u32()?);
                v.end(OfpError::OFPBPC_BAD_LEN)?;
            }
            part::VACANCY => {
                let (down, up, current) = (v.u8()?, v.u8()?, v.u8()?);
                v.skip(1)?;
                v.end(OfpError::OFPBPC_BAD_LEN)?;
                parts.1 = Some(Vacancy { down, up, current });
            }
            _ => return Err(OfpError::OFPBRC_BAD_TYPE),
        }
    }
    Ok(parts)
}

fn put_parts(out: &mut Vec<u8>, parts: Parts) -> Result<(), EncodeError> {
    if let Some(flags) = parts.0 {
        prop::put(out, part::EVICTION, |o| o.u32(flags))?;
    }
    if let Some(v) = parts.1 {
        prop::put(out, part::VACANCY, |o| o.put(&[v.down, v.up, v.current, 0]))?;
    }
    Ok(())
}

/// Reads a table-mod.
pub(super) fn decode_mod(body: &[u8]) -> Result<TableMod, OfpError> {
    let mut r = Reader::request(body);
    let table = Some(r.u8()?).filter(|t| *t != ALL_TABLES);
    r.skip(3)?;
    let config = r.u32()?;
    let (eviction, vacancy) = decode_parts(&mut r)?;
    if vacancy.is_some_and(|v| v.down > v.up || v.current != 0) {
        return Err(OfpError::OFPBPC_BAD_VALUE);
    }
    Ok(TableMod { table, config, eviction, vacancy })
}

/// Writes a table-mod behind its header.
pub(super) fn encode_mod(
    out: &mut Vec<u8>,
    version: Version,
    m: &TableMod,
) -> Result<(), EncodeError> {
    out.u8(m.table.unwrap_or(ALL_TABLES));
    out.zeros(3);
    out.u32(m.config);
    if version >= Version::V14 {
        put_parts(out, (m.eviction, m.vacancy))?;
    }
    Ok(())
}

/// Reads one table of a description.
pub(super) fn decode_desc(list: &mut Reader<'_>) -> Result<TableDesc, OfpError> {
    let len = list.u16()? as usize;
    let mut r = list.sub(len.checked_sub(2).ok_or(OfpError::OFPBRC_BAD_LEN)?)?;
    let table = r.u8()?;
    r.skip(1)?;
    let config = r.u32()?;
    let (eviction, vacancy) = decode_parts(&mut r)?;
    Ok(TableDesc { table, config, eviction, vacancy })
}

/// Writes one table of a description.
pub(super) fn encode_desc(out: &mut Vec<u8>, t: &TableDesc) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(0);
    out.u8(t.table);
    out.zeros(1);
    out.u32(t.config);
    put_parts(out, (t.eviction, t.vacancy))?;
    out.patch_len(start, start)
}

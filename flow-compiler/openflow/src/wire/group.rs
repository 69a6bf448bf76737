//! Groups and meters.
//!
//! Purpose: modifications, descriptions and counters, both ways, with the checks that need no switch.
//! Deliberately does not know: which groups exist.

use super::action::{self, Around, Outer};
use super::buf::{Put, Reader};
use super::header;
use super::kinds::Kind;
use super::port::put_number;
use crate::action::PortNo;
use crate::error::OfpError;
use crate::message::{
    Bucket, EncodeError, GroupCommand, GroupDesc, GroupFeatures, GroupMod, GroupStats, ANY_GROUP,
};
use crate::version::Version;

const BAD_BUCKET: OfpError = OfpError::OFPGMFC_BAD_BUCKET;
const BUCKET_MAX: u32 = 0xffff_ff00;
const BUCKET_FIRST: u32 = 0xffff_fffd;
const BUCKET_LAST: u32 = 0xffff_fffe;
const BUCKET_ALL: u32 = 0xffff_ffff;

/// Types of a group.
mod kind {
    pub const SELECT: u8 = 1;
    pub const INDIRECT: u8 = 2;
    pub const FAST_FAILOVER: u8 = 3;
}

fn command(code: u16, modern: bool) -> Result<GroupCommand, OfpError> {
    Ok(match code {
        0 => GroupCommand::Add,
        1 => GroupCommand::Modify,
        2 => GroupCommand::Delete,
        3 if modern => GroupCommand::InsertBucket,
        5 if modern => GroupCommand::RemoveBucket,
        0x8000 => GroupCommand::AddOrModify,
        _ => return Err(OfpError::OFPGMFC_BAD_COMMAND),
    })
}

fn command_code(c: GroupCommand) -> u16 {
    match c {
        GroupCommand::Add => 0,
        GroupCommand::Modify => 1,
        GroupCommand::Delete => 2,
        GroupCommand::InsertBucket => 3,
        GroupCommand::RemoveBucket => 5,
        GroupCommand::AddOrModify => 0x8000,
    }
}

/// Does the version put groups in 1.5's form? (1.0 borrows it.)
fn modern(version: Version) -> bool {
    matches!(version, Version::V10 | Version::V15)
}

/// Reads a group-mod.
pub(super) fn decode_mod(version: Version, body: &[u8]) -> Result<GroupMod, OfpError> {
    let mut r = Reader::request(body);
    let (code, kind) = (r.u16()?, r.u8()?);
    r.skip(1)?;
    let id = r.u32()?;
    let mut gm = GroupMod {
        command: GroupCommand::Add,
        kind,
        id,
        command_bucket_id: BUCKET_ALL,
        buckets: Vec::new(),
        properties: Vec::new(),
    };
    if modern(version) {
        let len = r.u16()? as usize;
        r.skip(2)?;
        gm.command_bucket_id = r.u32()?;
        check_bucket_id(code, gm.command_bucket_id)?;
        gm.buckets = decode_buckets15(version, kind, &mut r.sub(len)?)?;
        gm.properties = decode_properties(&mut r)?;
    } else {
        gm.buckets = decode_buckets11(version, &mut r)?;
        if version >= Version::V13 && code == 2 && !gm.buckets.is_empty() {
            return Err(OfpError::OFPGMFC_INVALID_GROUP);
        }
    }
    check_kind(&gm, code)?;
    gm.command = command(code, modern(version))?;
    check_buckets(&gm)?;
    Ok(gm)
}

fn check_bucket_id(code: u16, id: u32) -> Result<(), OfpError> {
    let one = id <= BUCKET_MAX || id == BUCKET_FIRST || id == BUCKET_LAST;
    let fits = match code {
        3 => one,
        5 => one || id == BUCKET_ALL,
        _ => id == BUCKET_ALL,
    };
    if fits {
        Ok(())
    } else {
        Err(BAD_BUCKET)
    }
}

fn check_kind(gm: &GroupMod, code: u16) -> Result<(), OfpError> {
    if gm.kind > kind::FAST_FAILOVER {
        return Err(OfpError::OFPGMFC_BAD_TYPE);
    }
    if gm.kind == kind::INDIRECT && code != 2 && gm.buckets.len() != 1 {
        return Err(OfpError::OFPGMFC_INVALID_GROUP);
    }
    Ok(())
}

fn check_buckets(gm: &GroupMod) -> Result<(), OfpError> {
    if gm.command == GroupCommand::RemoveBucket && !gm.buckets.is_empty() {
        return Err(BAD_BUCKET);
    }
    let inserts = gm.command == GroupCommand::InsertBucket;
    for b in &gm.buckets {
        let watches = b.watch_port != PortNo::NONE || b.watch_group != ANY_GROUP;
        if b.weight != 0 && gm.kind != kind::SELECT && !inserts {
            return Err(OfpError::OFPGMFC_INVALID_GROUP);
        }
        match gm.kind {
            kind::SELECT => {}
            kind::FAST_FAILOVER if !watches => return Err(OfpError::OFPGMFC_INVALID_GROUP),
            kind::FAST_FAILOVER => {}
            _ if watches => return Err(OfpError::OFPGMFC_WATCH_UNSUPPORTED),
            _ => {}
        }
    }
    Ok(())
}

fn bucket_actions(version: Version, bytes: &[u8]) -> Result<Vec<crate::action::Action>, OfpError> {
    if bytes.len() % 8 != 0 {
        return Err(OfpError::OFPBRC_BAD_LEN);
    }
    let actions = action::decode(version, bytes)?;
    action::verify(&actions, version, Outer::Actions)?;
    Ok(actions)
}

fn watch_port(port: u32) -> Result<PortNo, OfpError> {
    if (0xff00..0xffff_ff00).contains(&port) {
        return Err(OfpError::OFPGMFC_BAD_WATCH);
    }
    Ok(PortNo(port))
}

fn decode_buckets11(version: Version, r: &mut Reader<'_>) -> Result<Vec<Bucket>, OfpError> {
    let mut list = Reader::new(r.rest(), BAD_BUCKET);
    let mut buckets = Vec::new();
    while !list.is_empty() {
        let mut head = list;
        let len = head.u16()? as usize;
        let mut b = list.sub(len)?;
        b.skip(2)?;
        let weight = b.u16()?;
        let (port, watch_group) = (b.u32()?, b.u32()?);
        b.skip(4)?;
        buckets.push(Bucket {
            weight,
            actions: bucket_actions(version, b.rest())?,
            watch_port: watch_port(port)?,
            watch_group,
            id: buckets.len() as u32,
        });
    }
    Ok(buckets)
}

/// Properties of a bucket in 1.5.
mod part {
    pub const WEIGHT: u16 = 0;
    pub const WATCH_PORT: u16 = 1;
    pub const WATCH_GROUP: u16 = 2;
}

fn decode_buckets15(
    version: Version,
    group: u8,
    list: &mut Reader<'_>,
) -> Result<Vec<Bucket>, OfpError> {
    let mut list = Reader::new(list.rest(), BAD_BUCKET);
    let mut buckets: Vec<Bucket> = Vec::new();
    while !list.is_empty() {
        let mut head = list;
        let len = head.u16()? as usize;
        let mut b = list.sub(len)?;
        b.skip(2)?;
        let (actions_len, id) = (b.u16()? as usize, b.u32()?);
        if id > BUCKET_MAX {
            return Err(BAD_BUCKET);
        }
        let actions = bucket_actions(version, b.take(actions_len)?)?;
        let weight = if group == kind::SELECT { 1 } else { 0 };
        let (watch_port, watch_group) = (PortNo::NONE, ANY_GROUP);
        let mut bucket = Bucket { weight, watch_port, watch_group, id, actions };
        while !b.is_empty() {
            bucket_property(&mut b, &mut bucket)?;
        }
        if buckets.iter().any(|other| other.id == id) {
            return Err(OfpError::OFPGMFC_BUCKET_EXISTS);
        }
        buckets.push(bucket);
    }
    Ok(buckets)
}

fn bucket_property(r: &mut Reader<'_>, bucket: &mut Bucket) -> Result<(), OfpError> {
    let (kind, mut v) = super::prop::pull(r)?;
    match kind {
        part::WEIGHT => bucket.weight = v.u16()?,
        part::WATCH_PORT => bucket.watch_port = watch_port(v.u32()?)?,
        part::WATCH_GROUP => bucket.watch_group = v.u32()?,
        _ => return Err(OfpError::OFPBPC_BAD_TYPE),
    }
    Ok(())
}

type Properties = Vec<(u16, Vec<u8>)>;

fn decode_properties(r: &mut Reader<'_>) -> Result<Properties, OfpError> {
    let mut all = Vec::new();
    while !r.is_empty() {
        let (kind, v) = super::prop::pull(r)?;
        if kind != 0xffff {
            return Err(OfpError::OFPBPC_BAD_TYPE);
        }
        all.push((kind, v.rest().to_vec()));
    }
    Ok(all)
}

fn put_properties(out: &mut Vec<u8>, all: &Properties) -> Result<(), EncodeError> {
    all.iter().try_for_each(|(kind, v)| super::prop::put(out, *kind, |o| o.put(v)))
}

fn put_buckets(
    out: &mut Vec<u8>,
    version: Version,
    group: u8,
    buckets: &[Bucket],
) -> Result<(), EncodeError> {
    for b in buckets {
        let start = out.len();
        out.u16(0);
        if modern(version) {
            out.u16(0);
            out.u32(b.id);
            action::encode(out, &b.actions, &mut Around::nothing(version))?;
            let len = out.len() - start - 8;
            let place = out.get_mut(start + 2..start + 4).ok_or(EncodeError::TooLong)?;
            place.copy_from_slice(&u16::try_from(len).map_err(|_| EncodeError::TooLong)?.to_be_bytes());
            put_bucket_properties(out, group, b)?;
        } else {
            out.u16(b.weight);
            put_number(out, version, b.watch_port);
            out.u32(b.watch_group);
            out.zeros(4);
            action::encode(out, &b.actions, &mut Around::nothing(version))?;
        }
        out.patch_len(start, start)?;
    }
    Ok(())
}

fn put_bucket_properties(out: &mut Vec<u8>, group: u8, b: &Bucket) -> Result<(), EncodeError> {
    use super::prop::put;
    if b.weight != 0 || group == kind::SELECT {
        put(out, part::WEIGHT, |o| {
            o.u16(b.weight);
            o.zeros(2);
        })?;
    }
    if b.watch_port != PortNo::NONE {
        put(out, part::WATCH_PORT, |o| o.u32(b.watch_port.0))?;
    }
    if b.watch_group != ANY_GROUP {
        put(out, part::WATCH_GROUP, |o| o.u32(b.watch_group))?;
    }
    Ok(())
}

/// Writes a group-mod.
pub(super) fn encode_mod(version: Version, xid: u32, gm: &GroupMod) -> Result<Vec<u8>, EncodeError> {
    use GroupCommand::{InsertBucket, RemoveBucket};
    if !modern(version) && matches!(gm.command, InsertBucket | RemoveBucket) {
        return Err(EncodeError::NotInVersion("change of single buckets"));
    }
    let mut out = header::write(version, Kind::GroupMod, xid, false, "group-mod")?;
    out.u16(command_code(gm.command));
    out.u8(gm.kind);
    out.zeros(1);
    out.u32(gm.id);
    let mut buckets = Vec::new();
    put_buckets(&mut buckets, version, gm.kind, &gm.buckets)?;
    if modern(version) {
        out.u16(u16::try_from(buckets.len()).map_err(|_| EncodeError::TooLong)?);
        out.zeros(2);
        out.u32(gm.command_bucket_id);
    }
    out.put(&buckets);
    if modern(version) {
        put_properties(&mut out, &gm.properties)?;
    }
    header::finish(out)
}

/// Reads one group of a description.
pub(super) fn decode_desc(version: Version, list: &mut Reader<'_>) -> Result<GroupDesc, OfpError> {
    let mut head = *list;
    let len = head.u16()? as usize;
    let mut r = list.sub(len)?;
    r.skip(2)?;
    let kind = r.u8()?;
    r.skip(1)?;
    let id = r.u32()?;
    let mut g = GroupDesc { id, kind, buckets: Vec::new(), properties: Vec::new() };
    if modern(version) {
        let len = r.u16()? as usize;
        r.skip(6)?;
        g.buckets = decode_buckets15(version, kind, &mut r.sub(len)?)?;
        g.properties = decode_properties(&mut r)?;
    } else {
        g.buckets = decode_buckets11(version, &mut r)?;
    }
    Ok(g)
}

/// Writes one group of a description.
pub(super) fn encode_desc(
    out: &mut Vec<u8>,
    version: Version,
    g: &GroupDesc,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(0);
    out.u8(g.kind);
    out.zeros(1);
    out.u32(g.id);
    let mut buckets = Vec::new();
    put_buckets(&mut buckets, version, g.kind, &g.buckets)?;
    if modern(version) {
        out.u16(u16::try_from(buckets.len()).map_err(|_| EncodeError::TooLong)?);
        out.zeros(6);
    }
    out.put(&buckets);
    if modern(version) {
        put_properties(out, &g.properties)?;
    }
    out.patch_len(start, start)
}

/// Do the counters of a group tell how long it has lived?
fn has_duration(version: Version) -> bool {
    version >= Version::V13
}

/// Reads the counters of one group.
pub(super) fn decode_stats(version: Version, list: &mut Reader<'_>) -> Result<GroupStats, OfpError> {
    let mut head = *list;
    let len = head.u16()? as usize;
    let mut r = list.sub(len)?;
    r.skip(4)?;
    let (id, ref_count) = (r.u32()?, r.u32()?);
    r.skip(4)?;
    let (packets, bytes) = (r.u64()?, r.u64()?);
    let (duration_sec, duration_nsec) =
        if has_duration(version) { (r.u32()?, r.u32()?) } else { (u32::MAX, u32::MAX) };
    let mut buckets = Vec::with_capacity(r.len() / 16);
    while !r.is_empty() {
        buckets.push((r.u64()?, r.u64()?));
    }
    Ok(GroupStats { id, ref_count, packets, bytes, duration_sec, duration_nsec, buckets })
}

/// Writes the counters of one group.
pub(super) fn encode_stats(
    out: &mut Vec<u8>,
    version: Version,
    g: &GroupStats,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(0);
    out.zeros(2);
    out.u32(g.id);
    out.u32(g.ref_count);
    out.zeros(4);
    out.u64(g.packets);
    out.u64(g.bytes);
    if has_duration(version) {
        out.u32(g.duration_sec);
        out.u32(g.duration_nsec);
    }
    for (packets, bytes) in &g.buckets {
        out.u64(*packets);
        out.u64(*bytes);
    }
    out.patch_len(start, start)
}

pub(super) fn decode_features(body: &[u8]) -> Result<GroupFeatures, OfpError> {
    let mut r = Reader::request(body);
    let mut f = GroupFeatures { types: r.u32()?, capabilities: r.u32()?, ..Default::default() };
    for v in f.max_groups.iter_mut().chain(&mut f.actions) {
        *v = r.u32()?;
    }
    Ok(f)
}

pub(super) fn encode_features(out: &mut Vec<u8>, f: &GroupFeatures) {
    out.u32(f.types);
    out.u32(f.capabilities);
    f.max_groups.iter().chain(&f.actions).for_each(|v| out.u32(*v));
}

//! The small messages: hello, errors, features, configuration, roles, asynchronous masks, bundles.
//!
//! Purpose: their bodies, both ways. Deliberately does not know: flow-mods, packets, statistics.

use super::buf::{Put, Reader};
use super::header;
use super::kinds::Kind;
use super::{port, prop};
use crate::error::{ErrorCode, OfpError};
use crate::message::{
    capabilities, AsyncConfig, AsyncMasks, BundleAdd, BundleControl, BundleKind, EncodeError,
    ErrorMessage, Features, FragMode, Hello, Role, RoleRequest, SwitchConfig, TlvMap, TlvTable,
    TlvTableCommand, TlvTableMod,
};
use crate::version::{Version, VersionSet};
use crate::wide::WIDEST;
use sluice_flow::key::TUN_OPTIONS;

const VERSION_BITMAP: u16 = 1;

/// Reads a hello; without a bitmap the sender speaks everything up to the header's version.
pub(super) fn decode_hello(header_version: u8, body: &[u8]) -> Hello {
    let mut r = Reader::request(body);
    while let Ok((kind, mut value)) = hello_element(&mut r) {
        if kind == VERSION_BITMAP {
            if let Ok(bits) = value.u32() {
                return Hello { versions: VersionSet(bits) };
            }
        }
    }
    Hello { versions: VersionSet::up_to(header_version) }
}

fn hello_element<'a>(r: &mut Reader<'a>) -> Result<(u16, Reader<'a>), OfpError> {
    let (kind, len) = (r.u16()?, r.u16()? as usize);
    let value = r.sub(len.checked_sub(4).ok_or(OfpError::OFPBRC_BAD_LEN)?)?;
    let pad = len.next_multiple_of(8) - len;
    r.skip(pad.min(r.len()))?;
    Ok((kind, value))
}

/// Writes a hello with the newest version in its header; with a bitmap where there is a gap or 1.3
/// and later is spoken.
pub(super) fn encode_hello(xid: u32, h: &Hello) -> Result<Vec<u8>, EncodeError> {
    let newest = h.versions.newest().ok_or(EncodeError::NotInVersion("version to offer"))?;
    let mut out = header::write(newest, Kind::Hello, xid, false, "hello")?;
    if h.versions != VersionSet::up_to(newest.wire()) {
        out.u16(VERSION_BITMAP);
        out.u16(8);
        out.u32(h.versions.0);
    }
    header::finish(out)
}

/// Type of experimenter errors in 1.2 and later.
const EXPERIMENTER_ERROR: u16 = 0xffff;
/// Type of Nicira's errors in 1.0 and 1.1.
const NICIRA_ERROR: u16 = 0xb0c2;

pub(super) fn decode_error(version: Version, body: &[u8]) -> Result<ErrorMessage, OfpError> {
    let mut r = Reader::request(body);
    let (kind, number) = (r.u16()?, r.u16()?);
    let mut code = ErrorCode { vendor: 0, kind, code: number };
    if kind == NICIRA_ERROR && number == 0 && version <= Version::V11 {
        code = ErrorCode { vendor: r.u32()?, kind: r.u16()?, code: r.u16()? };
    } else if kind == EXPERIMENTER_ERROR && version >= Version::V12 {
        code = ErrorCode { vendor: r.u32()?, kind: 0, code: number };
    }
    let error = OfpError::from_code(version, code);
    Ok(ErrorMessage { code, error, about: r.rest().to_vec() })
}

pub(super) fn encode_error(out: &mut Vec<u8>, version: Version, e: &ErrorMessage) {
    match e.code.vendor {
        0 => {
            out.u16(e.code.kind);
            out.u16(e.code.code);
        }
        vendor if version <= Version::V11 => {
            out.u16(NICIRA_ERROR);
            out.u16(0);
            out.u32(vendor);
            out.u16(e.code.kind);
            out.u16(e.code.code);
        }
        vendor => {
            out.u16(EXPERIMENTER_ERROR);
            out.u16(e.code.code);
            out.u32(vendor);
        }
    }
    out.put(&e.about);
}

/// Bit 3 of the capabilities: spanning tree in 1.0, group statistics later.
const SHARED_CAPABILITY: u32 = 1 << 3;

fn capability_bits(version: Version) -> u32 {
    use capabilities as c;
    let common = c::FLOW_STATS | c::TABLE_STATS | c::PORT_STATS | c::IP_REASM | c::QUEUE_STATS;
    common
        | match version {
            Version::V10 | Version::V11 => c::ARP_MATCH_IP,
            Version::V12 | Version::V13 => c::PORT_BLOCKED,
            _ => c::PORT_BLOCKED | c::BUNDLES | c::FLOW_MONITORING,
        }
}

pub(super) fn decode_features(version: Version, body: &[u8]) -> Result<Features, OfpError> {
    let mut r = Reader::request(body);
    let (datapath_id, n_buffers) = (r.u64()?, r.u32()?);
    let (n_tables, auxiliary_id) = (r.u8()?, r.u8()?);
    r.skip(2)?;
    let (raw, actions) = (r.u32()?, r.u32()?);
    let mut capabilities = raw & capability_bits(version);
    if raw & SHARED_CAPABILITY != 0 {
        capabilities |= match version {
            Version::V10 => capabilities::STP,
            _ => capabilities::GROUP_STATS,
        };
    }
    let mut ports = Vec::new();
    while !r.is_empty() && version <= Version::V12 {
        ports.push(port::decode(version, &mut r)?);
    }
    Ok(Features {
        datapath_id,
        n_buffers,
        n_tables,
        auxiliary_id: if version >= Version::V13 { auxiliary_id } else { 0 },
        capabilities,
        actions: if version == Version::V10 { actions } else { 0 },
        ports,
    })
}

pub(super) fn encode_features(out: &mut Vec<u8>, version: Version, f: &Features) {
    let shared = match version {
        Version::V10 => capabilities::STP,
        _ => capabilities::GROUP_STATS,
    };
    let mut bits = f.capabilities & capability_bits(version);
    if f.capabilities & shared != 0 {
        bits |= SHARED_CAPABILITY;
    }
    out.u64(f.datapath_id);
    out.u32(f.n_buffers);
    out.u8(f.n_tables);
    out.u8(if version >= Version::V13 { f.auxiliary_id } else { 0 });
    out.zeros(2);
    out.u32(bits);
    out.u32(if version == Version::V10 { f.actions } else { 0 });
    if version <= Version::V12 {
        f.ports.iter().for_each(|p| port::encode(out, version, p));
    }
}

const INVALID_TTL_TO_CONTROLLER: u16 = 1 << 2;

/// 1.0 has the flag by extension, 1.3 and later say it otherwise.
fn has_ttl_flag(version: Version) -> bool {
    version < Version::V13
}

pub(super) fn decode_config(version: Version, body: &[u8]) -> Result<SwitchConfig, OfpError> {
    let mut r = Reader::request(body);
    let (flags, miss_send_len) = (r.u16()?, r.u16()?);
    let frags = match flags & 3 {
        0 => FragMode::Normal,
        1 => FragMode::Drop,
        2 => FragMode::Reassemble,
        _ => FragMode::NxMatch,
    };
    let invalid_ttl_to_controller = has_ttl_flag(version) && flags & INVALID_TTL_TO_CONTROLLER != 0;
    Ok(SwitchConfig { frags, invalid_ttl_to_controller, miss_send_len })
}

/// The flags of a set-config that no version defines.
pub(super) fn check_config(version: Version, body: &[u8]) -> Result<(), OfpError> {
    let known = if has_ttl_flag(version) { 3 | INVALID_TTL_TO_CONTROLLER } else { 3 };
    if Reader::request(body).u16()? & !known != 0 {
        return Err(OfpError::OFPSCFC_BAD_FLAGS);
    }
    Ok(())
}

pub(super) fn encode_config(out: &mut Vec<u8>, version: Version, c: &SwitchConfig) {
    let frags = match c.frags {
        FragMode::Normal => 0,
        FragMode::Drop => 1,
        FragMode::Reassemble => 2,
        FragMode::NxMatch => 3,
    };
    let ttl = c.invalid_ttl_to_controller && has_ttl_flag(version);
    out.u16(frags | if ttl { INVALID_TTL_TO_CONTROLLER } else { 0 });
    out.u16(c.miss_send_len);
}

pub(super) fn decode_role(body: &[u8], reply: bool) -> Result<RoleRequest, OfpError> {
    let mut r = Reader::request(body);
    let role = match r.u32()? {
        0 => Role::NoChange,
        1 => Role::Equal,
        2 => Role::Primary,
        3 => Role::Secondary,
        _ => return Err(OfpError::OFPRRFC_BAD_ROLE),
    };
    r.skip(4)?;
    let id = r.u64()?;
    // A reply has all ones for "none yet"; a request that only asks has none.
    let known = if reply { id != u64::MAX } else { role != Role::NoChange };
    Ok(RoleRequest { role, generation_id: known.then_some(id), nicira: false })
}

pub(super) fn decode_nicira_role(body: &[u8]) -> Result<RoleRequest, OfpError> {
    let role = match Reader::request(body).u32()? {
        0 => Role::Equal,
        1 => Role::Primary,
        2 => Role::Secondary,
        _ => return Err(OfpError::OFPRRFC_BAD_ROLE),
    };
    Ok(RoleRequest { role, generation_id: None, nicira: true })
}

pub(super) fn encode_role(out: &mut Vec<u8>, m: &RoleRequest) {
    out.u32(match m.role {
        Role::NoChange => 0,
        Role::Equal => 1,
        Role::Primary => 2,
        Role::Secondary => 3,
    });
    out.zeros(4);
    out.u64(m.generation_id.unwrap_or(u64::MAX));
}

pub(super) fn encode_nicira_role(out: &mut Vec<u8>, m: &RoleRequest) {
    out.u32(match m.role {
        Role::NoChange | Role::Equal => 0,
        Role::Primary => 1,
        Role::Secondary => 2,
    });
}

/// The fixed form of 1.3 and Nicira.
pub(super) fn decode_async(body: &[u8], nicira: bool) -> Result<AsyncConfig, OfpError> {
    let mut r = Reader::request(body);
    let mut c = AsyncConfig { nicira, ..AsyncConfig::default() };
    (c.primary.packet_in, c.secondary.packet_in) = (r.u32()?, r.u32()?);
    (c.primary.port_status, c.secondary.port_status) = (r.u32()?, r.u32()?);
    (c.primary.flow_removed, c.secondary.flow_removed) = (r.u32()?, r.u32()?);
    Ok(c)
}

pub(super) fn encode_async(out: &mut Vec<u8>, c: &AsyncConfig) {
    let pairs = [
        (c.primary.packet_in, c.secondary.packet_in),
        (c.primary.port_status, c.secondary.port_status),
        (c.primary.flow_removed, c.secondary.flow_removed),
    ];
    for (primary, secondary) in pairs {
        out.u32(primary);
        out.u32(secondary);
    }
}

/// The mask that a property of 1.4 is about; odd types are for primary and equal.
fn mask_of(m: &mut AsyncMasks, kind: u16) -> Option<&mut u32> {
    match kind / 2 {
        0 => Some(&mut m.packet_in),
        1 => Some(&mut m.port_status),
        2 => Some(&mut m.flow_removed),
        3 => Some(&mut m.role_status),
        4 => Some(&mut m.table_status),
        5 => Some(&mut m.request_forward),
        _ => None,
    }
}

/// One bit for each property.
const ALL_PARTS: u16 = 0xfff;

/// The properties of 1.4.
pub(super) fn decode_async14(body: &[u8]) -> Result<AsyncConfig, OfpError> {
    let mut r = Reader::request(body);
    let mut c = AsyncConfig::default();
    let mut parts = 0;
    while !r.is_empty() {
        let (kind, mut value) = prop::pull(&mut r)?;
        parts |= 1u16.checked_shl(u32::from(kind)).unwrap_or(0);
        let half = if kind % 2 == 1 { &mut c.primary } else { &mut c.secondary };
        let place = mask_of(half, kind).ok_or(OfpError::OFPACFC_UNSUPPORTED)?;
        *place = value.u32()?;
        value.end(OfpError::OFPBPC_BAD_LEN)?;
    }
    c.parts = Some(parts).filter(|p| *p != ALL_PARTS);
    Ok(c)
}

pub(super) fn encode_async14(out: &mut Vec<u8>, c: &AsyncConfig) -> Result<(), EncodeError> {
    let mut c = *c;
    let parts = c.parts.unwrap_or(ALL_PARTS);
    for kind in (0..12).filter(|k| parts & 1 << k != 0) {
        let half = if kind % 2 == 1 { &mut c.primary } else { &mut c.secondary };
        if let Some(mask) = mask_of(half, kind) {
            prop::put(out, kind, |o| o.u32(*mask))?;
        }
    }
    Ok(())
}

pub(super) fn decode_bundle_control(body: &[u8]) -> Result<BundleControl, OfpError> {
    let mut r = Reader::request(body);
    let (id, code, flags) = (r.u32()?, r.u16()?, r.u16()?);
    let kind = match code {
        0 => BundleKind::OpenRequest,
        1 => BundleKind::OpenReply,
        2 => BundleKind::CloseRequest,
        3 => BundleKind::CloseReply,
        4 => BundleKind::CommitRequest,
        5 => BundleKind::CommitReply,
        6 => BundleKind::DiscardRequest,
        7 => BundleKind::DiscardReply,
        _ => return Err(OfpError::OFPBFC_BAD_TYPE),
    };
    Ok(BundleControl { id, kind, flags })
}

pub(super) fn encode_bundle_control(out: &mut Vec<u8>, m: &BundleControl) {
    out.u32(m.id);
    out.u16(match m.kind {
        BundleKind::OpenRequest => 0,
        BundleKind::OpenReply => 1,
        BundleKind::CloseRequest => 2,
        BundleKind::CloseReply => 3,
        BundleKind::CommitRequest => 4,
        BundleKind::CommitReply => 5,
        BundleKind::DiscardRequest => 6,
        BundleKind::DiscardReply => 7,
    });
    out.u16(m.flags);
}

/// Reads a bundle addition; the inner message is only cut out.
pub(super) fn decode_bundle_add(
    version: Version,
    xid: u32,
    body: &[u8],
) -> Result<BundleAdd, OfpError> {
    let mut r = Reader::request(body);
    let id = r.u32()?;
    r.skip(2)?;
    let flags = r.u16()?;
    let mut inner = Reader::new(r.rest(), OfpError::OFPBFC_MSG_BAD_LEN);
    let inner_version = inner.u8()?;
    inner.skip(1)?;
    let (len, inner_xid) = (inner.u16()? as usize, inner.u32()?);
    if inner_version != version.wire() {
        return Err(OfpError::OFPBFC_BAD_VERSION);
    }
    // What follows the message, up to the padding, belongs to properties that nobody defined.
    let message = match r.rest().get(..len) {
        Some(m) if len >= 8 => m,
        _ => return Err(OfpError::OFPBFC_MSG_BAD_LEN),
    };
    if inner_xid != xid {
        return Err(OfpError::OFPBFC_MSG_BAD_XID);
    }
    if !may_be_bundled(version, message) {
        return Err(OfpError::OFPBFC_MSG_UNSUP);
    }
    Ok(BundleAdd { id, flags, message: message.to_vec() })
}

/// Flow-mods, group-mods, port-mods and packet-outs may be in a bundle.
fn may_be_bundled(version: Version, message: &[u8]) -> bool {
    let kind = header::read(version, message).map(|a| a.spelling.kind);
    matches!(
        kind,
        Ok(Kind::FlowMod | Kind::NxtFlowMod | Kind::GroupMod | Kind::PortMod | Kind::PacketOut)
    )
}

pub(super) fn encode_bundle_add(out: &mut Vec<u8>, m: &BundleAdd) {
    put_bundle_add(out, m.id, m.flags, &m.message);
}

/// Writes the body of an addition to a bundle.
pub(super) fn put_bundle_add(out: &mut Vec<u8>, id: u32, flags: u16, message: &[u8]) {
    out.u32(id);
    out.zeros(2);
    out.u16(flags);
    out.put(message);
}

fn decode_tlv_maps(r: &mut Reader<'_>, fields: u16) -> Result<Vec<TlvMap>, OfpError> {
    let mut maps = Vec::with_capacity(r.len() / 8);
    while !r.is_empty() {
        let map = TlvMap { class: r.u16()?, kind: r.u8()?, len: r.u8()?, index: r.u16()? };
        r.skip(2)?;
        if map.len % 4 != 0 || usize::from(map.len) > WIDEST {
            return Err(OfpError::NXTTMFC_BAD_OPT_LEN);
        }
        if map.index >= fields {
            return Err(OfpError::NXTTMFC_BAD_FIELD_IDX);
        }
        maps.push(map);
    }
    Ok(maps)
}

fn put_tlv_maps(out: &mut Vec<u8>, maps: &[TlvMap]) {
    for m in maps {
        out.u16(m.class);
        out.u8(m.kind);
        out.u8(m.len);
        out.u16(m.index);
        out.zeros(2);
    }
}

pub(super) fn decode_tlv_mod(body: &[u8]) -> Result<TlvTableMod, OfpError> {
    let mut r = Reader::request(body);
    let command = match r.u16()? {
        0 => TlvTableCommand::Add,
        1 => TlvTableCommand::Delete,
        2 => TlvTableCommand::Clear,
        _ => return Err(OfpError::NXTTMFC_BAD_COMMAND),
    };
    r.skip(6)?;
    Ok(TlvTableMod { command, maps: decode_tlv_maps(&mut r, u16::from(TUN_OPTIONS))? })
}

pub(super) fn encode_tlv_mod(out: &mut Vec<u8>, m: &TlvTableMod) {
    out.u16(match m.command {
        TlvTableCommand::Add => 0,
        TlvTableCommand::Delete => 1,
        TlvTableCommand::Clear => 2,
    });
    out.zeros(6);
    put_tlv_maps(out, &m.maps);
}

pub(super) fn decode_tlv_table(body: &[u8]) -> Result<TlvTable, OfpError> {
    let mut r = Reader::request(body);
    let (max_option_space, max_fields) = (r.u32()?, r.u16()?);
    r.skip(10)?;
    Ok(TlvTable { max_option_space, max_fields, maps: decode_tlv_maps(&mut r, max_fields)? })
}

pub(super) fn encode_tlv_table(out: &mut Vec<u8>, t: &TlvTable) {
    out.u32(t.max_option_space);
    out.u16(t.max_fields);
    out.zeros(10);
    put_tlv_maps(out, &t.maps);
}

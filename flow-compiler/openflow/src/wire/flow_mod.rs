//! Flow-mods: OpenFlow 1.0's, Nicira's and 1.1's and later.
//!
//! Purpose: both ways, with what each version cannot say filled in.
//! Deliberately does not know: tables, whether the actions suit the match.

use super::action::Around;
use super::buf::{Put, Reader};
use super::{header, instruction, matches};
use super::kinds::Kind;
use crate::action::{FlowFlags, FlowMod, FlowModCommand, PortNo};
use crate::error::OfpError;
use crate::field::Prereq;
use crate::matching::{Match, Places};
use crate::message::{EncodeError, ANY_GROUP};
use crate::version::{Protocol, Version};
use sluice_flow::key::slot;

const ALL_TABLES: u8 = 0xff;
/// A cookie that stands for "leave it" in 1.0.
const KEEP_COOKIE: u64 = u64::MAX;

impl<M> FlowMod<M> {
    /// An addition to no table in particular, without actions.
    pub fn around(matching: M) -> FlowMod<M> {
        FlowMod {
            command: FlowModCommand::Add,
            table: None,
            priority: 0,
            matching,
            cookie: 0,
            cookie_mask: 0,
            new_cookie: None,
            idle_timeout: 0,
            hard_timeout: 0,
            importance: 0,
            buffer_id: 0,
            out_port: PortNo::NONE,
            out_group: ANY_GROUP,
            flags: FlowFlags::default(),
            actions: Vec::new(),
        }
    }
}

impl FlowMod {
    /// Makes it what [`FlowMod::around`] a match of every packet gives, where it lies.
    pub(crate) fn clear(&mut self) {
        let Match { value, mask, places } = &mut self.matching;
        value.words.fill(0);
        mask.words.fill(0);
        *places = Places::None;
        self.take_rest(&mut FlowMod::around(()));
    }
}

impl<M> FlowMod<M> {
    /// Takes all but the match from another.
    pub(crate) fn take_rest<N>(&mut self, from: &mut FlowMod<N>) {
        self.command = from.command;
        self.table = from.table;
        self.priority = from.priority;
        (self.cookie, self.cookie_mask, self.new_cookie) = (from.cookie, from.cookie_mask, from.new_cookie);
        (self.idle_timeout, self.hard_timeout) = (from.idle_timeout, from.hard_timeout);
        self.importance = from.importance;
        self.buffer_id = from.buffer_id;
        (self.out_port, self.out_group) = (from.out_port, from.out_group);
        self.flags = from.flags;
        self.actions = std::mem::take(&mut from.actions);
    }
}

pub(super) fn command(code: u16) -> Result<FlowModCommand, OfpError> {
    Ok(match code {
        0 => FlowModCommand::Add,
        1 => FlowModCommand::Modify,
        2 => FlowModCommand::ModifyStrict,
        3 => FlowModCommand::Delete,
        4 => FlowModCommand::DeleteStrict,
        _ => return Err(OfpError::OFPFMFC_BAD_COMMAND),
    })
}

fn command_code(c: FlowModCommand) -> u8 {
    match c {
        FlowModCommand::Add => 0,
        FlowModCommand::Modify => 1,
        FlowModCommand::ModifyStrict => 2,
        FlowModCommand::Delete => 3,
        FlowModCommand::DeleteStrict => 4,
    }
}

fn deletes(c: FlowModCommand) -> bool {
    matches!(c, FlowModCommand::Delete | FlowModCommand::DeleteStrict)
}

fn modifies(c: FlowModCommand) -> bool {
    matches!(c, FlowModCommand::Modify | FlowModCommand::ModifyStrict)
}

/// Reads flags; those that the version does not know are refused.
pub(super) fn flags(version: Version, raw: u16) -> Result<FlowFlags, OfpError> {
    let known = match version {
        Version::V10 => 0x07,
        Version::V11 => 0x03,
        Version::V12 => 0x07,
        _ => 0x1f,
    };
    if raw & !known != 0 {
        return Err(OfpError::OFPFMFC_BAD_FLAGS);
    }
    Ok(FlowFlags {
        send_flow_rem: raw & 1 != 0,
        check_overlap: raw & 2 != 0,
        emergency: raw & 4 != 0 && version == Version::V10,
        reset_counts: raw & 4 != 0 && version != Version::V10,
        no_packet_counts: raw & 8 != 0,
        no_byte_counts: raw & 16 != 0,
    })
}

/// Writes flags; those that the version does not know are left out.
pub(super) fn flag_bits(version: Version, f: FlowFlags) -> u16 {
    let bit = |on: bool, since: Version, bit: u16| if on && version >= since { bit } else { 0 };
    bit(f.send_flow_rem, Version::V10, 1)
        | bit(f.check_overlap, Version::V10, 2)
        | bit(f.reset_counts, Version::V12, 4)
        | bit(f.no_packet_counts, Version::V13, 8)
        | bit(f.no_byte_counts, Version::V13, 16)
}

/// Reads a flow-mod of any spelling.
pub(super) fn decode(p: Protocol, kind: Kind, body: &[u8]) -> Result<FlowMod, OfpError> {
    let mut fm = FlowMod::around(Match::ANY);
    read(p, kind, body, &mut fm)?;
    Ok(fm)
}

/// As [`decode`], into a value that is at hand; what it said before does not matter. It is large, and
/// there are very many: none is moved on its way.
pub(super) fn read(p: Protocol, kind: Kind, body: &[u8], fm: &mut FlowMod) -> Result<(), OfpError> {
    let mut r = Reader::request(body);
    fm.clear();
    let raw_flags = match (kind, p.version) {
        (Kind::NxtFlowMod, _) => nicira(p, &mut r, fm)?,
        (_, Version::V10) => version10(p, &mut r, fm)?,
        (_, version) => version11(version, &mut r, fm)?,
    };
    addresses_fit(&fm.matching)?;
    fm.actions = instruction::decode(p.version, r.rest())?;
    fm.flags = flags(p.version, raw_flags)?;
    if p.version <= Version::V11 && fm.command == FlowModCommand::Add {
        fm.flags.reset_counts = true;
    }
    if fm.flags.emergency {
        let timed = fm.idle_timeout != 0 || fm.hard_timeout != 0;
        return Err(if timed {
            OfpError::OFPFMFC_BAD_EMERG_TIMEOUT
        } else {
            OfpError::OFPFMFC_TABLE_FULL
        });
    }
    Ok(())
}

/// The addresses of the original direction need the rule's own IP version.
fn addresses_fit(m: &Match) -> Result<(), OfpError> {
    let says = |s| m.mask.get_wide(s) != 0;
    let v4 = says(slot::CT_NW_SRC) || says(slot::CT_NW_DST);
    let v6 = says(slot::CT_IPV6_SRC) || says(slot::CT_IPV6_DST);
    if (v4 && !Prereq::Ipv4.met(m)) || (v6 && !Prereq::Ipv6.met(m)) {
        return Err(OfpError::OFPBAC_MATCH_INCONSISTENT);
    }
    Ok(())
}

/// What 1.0 and Nicira's form have in common.
fn old(p: Protocol, code: u16, cookie: u64, fm: &mut FlowMod) -> Result<(), OfpError> {
    let (table, code) = if p.table_id {
        (Some((code >> 8) as u8).filter(|t| *t != ALL_TABLES), code & 0xff)
    } else {
        (None, code)
    };
    fm.command = command(code)?;
    fm.table = table;
    fm.new_cookie = Some(cookie).filter(|c| *c != KEEP_COOKIE);
    Ok(())
}

fn version10(p: Protocol, r: &mut Reader<'_>, fm: &mut FlowMod) -> Result<u16, OfpError> {
    const ALL_WILDCARDS: u32 = (1 << 22) - 1;
    let wildcards = Reader::request(r.rest()).u32()?;
    matches::read10(r, &mut fm.matching)?;
    fm.matching.normalize();
    let (cookie, code) = (r.u64()?, r.u16()?);
    old(p, code, cookie, fm)?;
    fm.idle_timeout = r.u16()?;
    fm.hard_timeout = r.u16()?;
    fm.priority = r.u16()?;
    if wildcards & ALL_WILDCARDS == 0 {
        // A rule without wildcards always comes first.
        fm.priority = u16::MAX;
    }
    fm.buffer_id = r.u32()?;
    fm.out_port = PortNo::from_u16(r.u16()?);
    r.u16()
}

fn nicira(p: Protocol, r: &mut Reader<'_>, fm: &mut FlowMod) -> Result<u16, OfpError> {
    let (cookie, code, idle, hard) = (r.u64()?, r.u16()?, r.u16()?, r.u16()?);
    let (priority, buffer_id) = (r.u16()?, r.u32()?);
    let (out_port, flags, match_len) = (r.u16()?, r.u16()?, r.u16()?);
    r.skip(6)?;
    let cookies = matches::read_nxm(r, match_len, true, &mut fm.matching)?;
    if code & 0xff == 0 && cookies.is_some_and(|(_, mask)| mask != 0) {
        return Err(OfpError::NXBRC_NXM_INVALID);
    }
    old(p, code, cookie, fm)?;
    (fm.cookie, fm.cookie_mask) = cookies.unwrap_or((0, 0));
    fm.idle_timeout = idle;
    fm.hard_timeout = hard;
    fm.priority = priority;
    fm.buffer_id = buffer_id;
    fm.out_port = PortNo::from_u16(out_port);
    Ok(flags)
}

fn version11(version: Version, r: &mut Reader<'_>, fm: &mut FlowMod) -> Result<u16, OfpError> {
    let (cookie, cookie_mask) = (r.u64()?, r.u64()?);
    let (table, code) = (r.u8()?, r.u8()?);
    (fm.idle_timeout, fm.hard_timeout, fm.priority) = (r.u16()?, r.u16()?, r.u16()?);
    let (buffer_id, out_port, out_group) = (r.u32()?, r.u32()?, r.u32()?);
    let (flags, importance) = (r.u16()?, r.u16()?);
    matches::read11(r, &mut fm.matching)?;
    // Deletes may name all tables, from 1.2 on; an unknown command is told apart afterwards.
    let all_allowed = version != Version::V11 && (3..=4).contains(&code);
    if table == ALL_TABLES && !all_allowed {
        return Err(OfpError::OFPFMFC_BAD_TABLE_ID);
    }
    if (0xff00..0xffff_ff00).contains(&out_port) {
        return Err(OfpError::OFPBAC_BAD_OUT_PORT);
    }
    fm.command = command(code as u16)?;
    let adds = fm.command == FlowModCommand::Add;
    // 1.1 alone adds with a modify that finds nothing.
    let sets = adds || (version == Version::V11 && modifies(fm.command) && cookie_mask == 0);
    (fm.cookie, fm.cookie_mask, fm.new_cookie) =
        if sets { (0, 0, Some(cookie)) } else { (cookie, cookie_mask, None) };
    fm.table = Some(table).filter(|t| *t != ALL_TABLES);
    fm.importance = if adds && version >= Version::V14 { importance } else { 0 };
    fm.buffer_id = buffer_id;
    fm.out_port = PortNo(out_port);
    fm.out_group = if deletes(fm.command) { out_group } else { ANY_GROUP };
    Ok(flags)
}

/// Writes a flow-mod in the spelling that the protocol calls for.
pub(super) fn encode(p: Protocol, xid: u32, fm: &FlowMod) -> Result<Vec<u8>, EncodeError> {
    let old = p.version == Version::V10;
    let kind = if old && p.nxm { Kind::NxtFlowMod } else { Kind::FlowMod };
    let mut out = header::write(p.version, kind, xid, false, "flow-mod")?;
    match (old, p.nxm) {
        (true, true) => put_nicira(&mut out, p, fm)?,
        (true, false) => put10(&mut out, p, fm),
        _ => put11(&mut out, p.version, fm),
    }
    instruction::encode(&mut out, &fm.actions, Around::new(p.version, &fm.matching))?;
    header::finish(out)
}

fn old_command(p: Protocol, fm: &FlowMod) -> u16 {
    let code = command_code(fm.command) as u16;
    if p.table_id {
        (fm.table.unwrap_or(ALL_TABLES) as u16) << 8 | code
    } else {
        code
    }
}

fn put10(out: &mut Vec<u8>, p: Protocol, fm: &FlowMod) {
    matches::encode10(out, &fm.matching);
    out.u64(fm.new_cookie.unwrap_or(KEEP_COOKIE));
    out.u16(old_command(p, fm));
    out.u16(fm.idle_timeout);
    out.u16(fm.hard_timeout);
    out.u16(fm.priority);
    out.u32(fm.buffer_id);
    out.u16(fm.out_port.0 as u16);
    out.u16(flag_bits(p.version, fm.flags));
}

fn put_nicira(out: &mut Vec<u8>, p: Protocol, fm: &FlowMod) -> Result<(), EncodeError> {
    out.u64(fm.new_cookie.unwrap_or(KEEP_COOKIE));
    out.u16(old_command(p, fm));
    out.u16(fm.idle_timeout);
    out.u16(fm.hard_timeout);
    out.u16(fm.priority);
    out.u32(fm.buffer_id);
    out.u16(fm.out_port.0 as u16);
    out.u16(flag_bits(p.version, fm.flags));
    let mut fields = Vec::new();
    let len = matches::encode_nxm(&mut fields, &fm.matching, fm.cookie, fm.cookie_mask);
    out.u16(len);
    out.zeros(6);
    out.put(&fields);
    Ok(())
}

fn put11(out: &mut Vec<u8>, version: Version, fm: &FlowMod) {
    let adds = fm.command == FlowModCommand::Add;
    let sets = adds
        || (version == Version::V11 && modifies(fm.command) && fm.cookie_mask == 0);
    out.u64(if sets { fm.new_cookie.unwrap_or(KEEP_COOKIE) } else { fm.cookie & fm.cookie_mask });
    out.u64(fm.cookie_mask);
    let all_allowed = version != Version::V11 && deletes(fm.command);
    out.u8(fm.table.unwrap_or(if all_allowed { ALL_TABLES } else { 0 }));
    out.u8(command_code(fm.command));
    out.u16(fm.idle_timeout);
    out.u16(fm.hard_timeout);
    out.u16(fm.priority);
    out.u32(fm.buffer_id);
    out.u32(fm.out_port.0);
    out.u32(fm.out_group);
    out.u16(flag_bits(version, fm.flags));
    out.u16(if adds && version >= Version::V14 { fm.importance } else { 0 });
    matches::encode11(out, &fm.matching, version);
}

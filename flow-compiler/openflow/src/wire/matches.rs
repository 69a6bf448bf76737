//! Matches where they stand in messages: the fixed structures of 1.0 and 1.1, and framed NXM/OXM.
//!
//! Purpose: `ofp10_match`, `ofp11_match`, and the headers and padding around strings of fields.
//! Invariant: reading consumes the padding too.
//! Deliberately does not know: what the message is.

use super::buf::{Put, Reader};
use super::nxm::{self, CookieMatch};
use super::oxm::Ids;
use crate::action::PortNo;
use crate::error::OfpError;
use crate::field::Prereq;
use crate::matching::Match;
use crate::version::Version;
use sluice_flow::key::slot;
use sluice_flow::Slot;

/// Wildcard bits of `ofp10_match`.
mod w10 {
    pub const IN_PORT: u32 = 1 << 0;
    pub const DL_VLAN: u32 = 1 << 1;
    pub const DL_SRC: u32 = 1 << 2;
    pub const DL_DST: u32 = 1 << 3;
    pub const DL_TYPE: u32 = 1 << 4;
    pub const NW_PROTO: u32 = 1 << 5;
    pub const TP_SRC: u32 = 1 << 6;
    pub const TP_DST: u32 = 1 << 7;
    pub const NW_SRC_SHIFT: u32 = 8;
    pub const NW_DST_SHIFT: u32 = 14;
    pub const DL_VLAN_PCP: u32 = 1 << 20;
    pub const NW_TOS: u32 = 1 << 21;
}

/// Wildcard bits of `ofp11_match`.
mod w11 {
    pub const IN_PORT: u32 = 1 << 0;
    pub const DL_VLAN: u32 = 1 << 1;
    pub const DL_VLAN_PCP: u32 = 1 << 2;
    pub const DL_TYPE: u32 = 1 << 3;
    pub const NW_TOS: u32 = 1 << 4;
    pub const NW_PROTO: u32 = 1 << 5;
    pub const TP_SRC: u32 = 1 << 6;
    pub const TP_DST: u32 = 1 << 7;
    pub const MPLS_LABEL: u32 = 1 << 8;
    pub const MPLS_TC: u32 = 1 << 9;
}

/// `dl_vlan` that stands for "no tag" in 1.0 and 1.1.
const VLAN_NONE: u16 = 0xffff;
/// `dl_vlan` that stands for "any tag" in 1.1.
const VLAN_ANY: u16 = 0xfffe;
/// Type and length of `ofp11_match`.
const STANDARD: (u16, u16) = (0, 88);
/// Type of an OXM match.
const OXM: u16 = 1;

/// Reads a whole `ofp10_match`.
pub(super) fn decode10(r: &mut Reader<'_>) -> Result<Match, OfpError> {
    let mut m = Match::ANY;
    read10(r, &mut m)?;
    Ok(m)
}

/// As [`decode10`], into a match that asks for nothing yet.
pub(super) fn read10(r: &mut Reader<'_>, m: &mut Match) -> Result<(), OfpError> {
    let w = r.u32()?;
    let mut add = |wild: u32, place: Slot, value: u128| {
        if w & wild == 0 {
            m.set_exact(place, value);
        }
    };
    add(w10::IN_PORT, slot::IN_PORT, PortNo::from_u16(r.u16()?).0 as u128);
    add(w10::DL_SRC, slot::ETH_SRC, mac(r.array()?));
    add(w10::DL_DST, slot::ETH_DST, mac(r.array()?));
    let (vlan, pcp) = (r.u16()?, r.u8()?);
    r.skip(1)?;
    add(w10::DL_TYPE, slot::ETH_TYPE, r.u16()? as u128);
    add(w10::NW_TOS, slot::NW_DSCP, r.u8()? as u128 >> 2);
    add(w10::NW_PROTO, slot::NW_PROTO, r.u8()? as u128);
    r.skip(2)?;
    let (src, dst) = (r.u32()?, r.u32()?);
    add(w10::TP_SRC, slot::TP_SRC, r.u16()? as u128);
    add(w10::TP_DST, slot::TP_DST, r.u16()? as u128);
    m.set(slot::NW_SRC, src as u128, prefix_mask(w >> w10::NW_SRC_SHIFT));
    m.set(slot::NW_DST, dst as u128, prefix_mask(w >> w10::NW_DST_SHIFT));
    vlan10(m, w, vlan, pcp);
    Ok(())
}

fn vlan10(m: &mut Match, w: u32, vlan: u16, pcp: u8) {
    if w & w10::DL_VLAN == 0 && vlan == VLAN_NONE {
        m.set_exact(slot::VLAN_TCI, 0);
        return;
    }
    if w & w10::DL_VLAN == 0 {
        m.set_exact(slot::VLAN_VID, vlan as u128);
        m.set_exact(slot::VLAN_PRESENT, 1);
    }
    if w & w10::DL_VLAN_PCP == 0 {
        m.set_exact(slot::VLAN_PCP, pcp as u128);
        m.set_exact(slot::VLAN_PRESENT, 1);
    }
}

/// Mask of a prefix with this many (in six bits) wildcarded low bits.
fn prefix_mask(wild_bits: u32) -> u128 {
    let n = wild_bits & 0x3f;
    if n >= 32 {
        0
    } else {
        (u32::MAX << n) as u128
    }
}

fn mac(bytes: [u8; 6]) -> u128 {
    bytes.iter().fold(0, |v, b| v << 8 | *b as u128)
}

/// Writes an `ofp10_match`; what it cannot say is left out.
pub(super) fn encode10(out: &mut Vec<u8>, m: &Match) {
    let value = |s: Slot| m.value.get(s);
    let mut w = 0;
    let mut wild = |bit: u32, s: Slot| {
        if m.mask.get(s) == 0 {
            w |= bit;
        }
    };
    wild(w10::IN_PORT, slot::IN_PORT);
    wild(w10::DL_SRC, slot::ETH_SRC);
    wild(w10::DL_DST, slot::ETH_DST);
    wild(w10::DL_TYPE, slot::ETH_TYPE);
    wild(w10::NW_TOS, slot::NW_DSCP);
    wild(w10::NW_PROTO, slot::NW_PROTO);
    wild(w10::TP_SRC, slot::TP_SRC);
    wild(w10::TP_DST, slot::TP_DST);
    w |= wild_bits(m, slot::NW_SRC) << w10::NW_SRC_SHIFT;
    w |= wild_bits(m, slot::NW_DST) << w10::NW_DST_SHIFT;
    let vlan = Vlan::of(m);
    if vlan.id.is_none() {
        w |= w10::DL_VLAN;
    }
    if vlan.pcp.is_none() && !vlan.none {
        w |= w10::DL_VLAN_PCP;
    }
    out.u32(w);
    out.u16(value(slot::IN_PORT) as u16);
    put_mac(out, value(slot::ETH_SRC));
    put_mac(out, value(slot::ETH_DST));
    out.u16(vlan.id.unwrap_or(0));
    out.u8(vlan.pcp.unwrap_or(0));
    out.u8(0);
    out.u16(value(slot::ETH_TYPE) as u16);
    out.u8((value(slot::NW_DSCP) << 2) as u8);
    out.u8(value(slot::NW_PROTO) as u8);
    out.u16(0);
    out.u32(value(slot::NW_SRC) as u32);
    out.u32(value(slot::NW_DST) as u32);
    out.u16(value(slot::TP_SRC) as u16);
    out.u16(value(slot::TP_DST) as u16);
}

fn wild_bits(m: &Match, s: Slot) -> u32 {
    (m.mask.get(s) as u32).trailing_zeros()
}

fn put_mac(out: &mut Vec<u8>, mac: u64) {
    out.put(mac.to_be_bytes().last_chunk::<6>().unwrap_or(&[0; 6]));
}

/// A VLAN condition as the fixed structures put it.
struct Vlan {
    /// Is "no tag" asked for?
    none: bool,
    id: Option<u16>,
    pcp: Option<u8>,
    /// Is anything asked for?
    any: bool,
}

impl Vlan {
    fn of(m: &Match) -> Vlan {
        let mask = m.mask.get(slot::VLAN_TCI);
        let present = m.value.get(slot::VLAN_PRESENT) == 1;
        if mask == 0 {
            return Vlan { none: false, id: None, pcp: None, any: false };
        }
        if m.mask.get(slot::VLAN_PRESENT) == 1 && !present {
            return Vlan { none: true, id: Some(VLAN_NONE), pcp: None, any: true };
        }
        let id = (mask & 0x0fff != 0).then(|| m.value.get(slot::VLAN_VID) as u16);
        let pcp = (mask & 0xe000 != 0).then(|| m.value.get(slot::VLAN_PCP) as u8);
        Vlan { none: false, id, pcp, any: true }
    }
}

/// Reads a match of 1.1 or later, with its padding.
pub(super) fn decode11(r: &mut Reader<'_>) -> Result<Match, OfpError> {
    let mut m = Match::ANY;
    read11(r, &mut m)?;
    Ok(m)
}

/// As [`decode11`], into a match that asks for nothing yet.
pub(super) fn read11(r: &mut Reader<'_>, m: &mut Match) -> Result<(), OfpError> {
    const BAD_LEN: OfpError = OfpError::OFPBMC_BAD_LEN;
    let mut r2 = Reader::new(r.rest(), BAD_LEN);
    let (kind, length) = (r2.u16()?, r2.u16()?);
    if kind != STANDARD.0 && kind != OXM {
        return Err(OfpError::OFPBMC_BAD_TYPE);
    }
    let body = length.checked_sub(4).ok_or(BAD_LEN)? as usize;
    match kind {
        k if k == STANDARD.0 => {
            if length != STANDARD.1 {
                return Err(BAD_LEN);
            }
            standard11(&mut r2.sub(body)?, m)?;
        }
        OXM => {
            let fields = r2.take(body)?;
            r2.skip((length as usize).next_multiple_of(8) - length as usize)?;
            nxm::read(fields, false, true, m)?;
        }
        _ => return Err(OfpError::OFPBMC_BAD_TYPE),
    }
    r.skip(r.len() - r2.len())?;
    Ok(())
}

fn standard11(r: &mut Reader<'_>, m: &mut Match) -> Result<(), OfpError> {
    const BAD_VALUE: OfpError = OfpError::OFPBMC_BAD_VALUE;
    let (in_port, w) = (r.u32()?, r.u32()?);
    if w & w11::IN_PORT == 0 {
        if (0xff00..0xffff_ff00).contains(&in_port) {
            return Err(BAD_VALUE);
        }
        m.set_exact(slot::IN_PORT, in_port as u128);
    }
    for place in [slot::ETH_SRC, slot::ETH_DST] {
        let (value, wild) = (mac(r.array()?), mac(r.array()?));
        m.set(place, value, !wild);
    }
    let (vlan, pcp) = (r.u16()?, r.u8()?);
    r.skip(1)?;
    vlan11(m, w, vlan, pcp)?;
    let (eth_type, tos, proto) = (r.u16()?, r.u8()?, r.u8()?);
    if w & w11::DL_TYPE == 0 {
        m.set_exact(slot::ETH_TYPE, eth_type as u128);
    }
    let ip = Prereq::Ipv4.met(m);
    if ip && w & w11::NW_TOS == 0 {
        if tos & 3 != 0 {
            return Err(BAD_VALUE);
        }
        m.set_exact(slot::NW_DSCP, tos as u128 >> 2);
    }
    let addressed = ip || Prereq::Arp.met(m);
    if addressed && w & w11::NW_PROTO == 0 {
        m.set_exact(slot::NW_PROTO, proto as u128);
    }
    for place in [slot::NW_SRC, slot::NW_DST] {
        let (value, wild) = (r.u32()?, r.u32()?);
        if addressed {
            m.set(place, value as u128, !wild as u128);
        }
    }
    ports11(m, w, r.u16()?, r.u16()?)?;
    let (label, tc) = (r.u32()?, r.u8()?);
    r.skip(3)?;
    if Prereq::Mpls.met(m) {
        if w & w11::MPLS_LABEL == 0 {
            m.set_exact(slot::MPLS_LABEL, label as u128);
        }
        if w & w11::MPLS_TC == 0 {
            m.set_exact(slot::MPLS_TC, tc as u128);
        }
    }
    let (metadata, wild) = (r.u64()?, r.u64()?);
    m.set(slot::METADATA, metadata as u128, !wild as u128);
    Ok(())
}

fn vlan11(m: &mut Match, w: u32, vlan: u16, pcp: u8) -> Result<(), OfpError> {
    if w & w11::DL_VLAN != 0 {
        return Ok(());
    }
    match vlan {
        VLAN_NONE => {
            m.set_exact(slot::VLAN_TCI, 0);
            return Ok(());
        }
        VLAN_ANY => m.set_exact(slot::VLAN_PRESENT, 1),
        id if id < 4096 => m.set_exact(slot::VLAN_VID_PRESENT, 0x1000 | id as u128),
        _ => return Err(OfpError::OFPBMC_BAD_VALUE),
    }
    if w & w11::DL_VLAN_PCP == 0 {
        if pcp > 7 {
            return Err(OfpError::OFPBMC_BAD_VALUE);
        }
        m.set_exact(slot::VLAN_PCP, pcp as u128);
    }
    Ok(())
}

fn ports11(m: &mut Match, w: u32, src: u16, dst: u16) -> Result<(), OfpError> {
    if !Prereq::Ipv4.met(m) {
        return Ok(());
    }
    let proto = m.value.get(slot::NW_PROTO);
    if !matches!(proto, 1 | 6 | 17 | 132) {
        return Ok(());
    }
    for (wild, place, value) in [(w11::TP_SRC, slot::TP_SRC, src), (w11::TP_DST, slot::TP_DST, dst)] {
        if w & wild == 0 {
            if proto == 1 && value > 0xff {
                return Err(OfpError::OFPBMC_BAD_FIELD);
            }
            m.set_exact(place, value as u128);
        }
    }
    Ok(())
}

/// Writes a match of 1.1 or later, with its padding.
pub(super) fn encode11(out: &mut Vec<u8>, m: &Match, version: Version) {
    match version {
        Version::V11 => encode_standard11(out, m),
        _ => encode_oxm(out, m, version),
    }
}

/// Writes an OXM match, with its padding; flow replies have one in 1.1 too.
pub(super) fn encode_oxm(out: &mut Vec<u8>, m: &Match, version: Version) {
    let start = out.len();
    let mut fields = Vec::new();
    nxm::encode(&mut fields, m, Ids::Oxm(version), 0, 0);
    out.u16(OXM);
    out.u16((fields.len() + 4) as u16);
    out.put(&fields);
    out.pad8(start);
}

fn encode_standard11(out: &mut Vec<u8>, m: &Match) {
    let value = |s: Slot| m.value.get(s);
    let wild = |bit: u32, s: Slot| if m.mask.get(s) == 0 { bit } else { 0 };
    let vlan = Vlan::of(m);
    let mut w = wild(w11::IN_PORT, slot::IN_PORT)
        | wild(w11::DL_TYPE, slot::ETH_TYPE)
        | wild(w11::NW_TOS, slot::NW_DSCP)
        | wild(w11::NW_PROTO, slot::NW_PROTO)
        | wild(w11::TP_SRC, slot::TP_SRC)
        | wild(w11::TP_DST, slot::TP_DST)
        | wild(w11::MPLS_LABEL, slot::MPLS_LABEL)
        | wild(w11::MPLS_TC, slot::MPLS_TC);
    if !vlan.any {
        w |= w11::DL_VLAN;
    }
    if vlan.pcp.is_none() {
        w |= w11::DL_VLAN_PCP;
    }
    let no_id = if vlan.any { VLAN_ANY } else { 0 };
    out.u16(STANDARD.0);
    out.u16(STANDARD.1);
    out.u32(value(slot::IN_PORT) as u32);
    out.u32(w);
    for s in [slot::ETH_SRC, slot::ETH_DST] {
        put_mac(out, value(s));
        put_mac(out, !m.mask.get(s));
    }
    out.u16(vlan.id.unwrap_or(no_id));
    out.u8(vlan.pcp.unwrap_or(0));
    out.u8(0);
    out.u16(value(slot::ETH_TYPE) as u16);
    out.u8((value(slot::NW_DSCP) << 2) as u8);
    out.u8(value(slot::NW_PROTO) as u8);
    for s in [slot::NW_SRC, slot::NW_DST] {
        out.u32(value(s) as u32);
        out.u32(!m.mask.get(s) as u32);
    }
    out.u16(value(slot::TP_SRC) as u16);
    out.u16(value(slot::TP_DST) as u16);
    out.u32(value(slot::MPLS_LABEL) as u32);
    out.u8(value(slot::MPLS_TC) as u8);
    out.zeros(3);
    out.u64(value(slot::METADATA));
    out.u64(!m.mask.get(slot::METADATA));
}

/// Reads a Nicira match of `len` bytes and its padding.
pub(super) fn decode_nxm(
    r: &mut Reader<'_>,
    len: u16,
    cookie: bool,
) -> Result<(Match, CookieMatch), OfpError> {
    let mut m = Match::ANY;
    let cookies = read_nxm(r, len, cookie, &mut m)?;
    Ok((m, cookies))
}

/// As [`decode_nxm`], into a match that asks for nothing yet.
pub(super) fn read_nxm(r: &mut Reader<'_>, len: u16, cookie: bool, m: &mut Match) -> Result<CookieMatch, OfpError> {
    let len = len as usize;
    let mut r2 = Reader::new(r.rest(), OfpError::OFPBMC_BAD_LEN);
    let fields = r2.take(len)?;
    r2.skip(len.next_multiple_of(8) - len)?;
    r.skip(r.len() - r2.len())?;
    nxm::read(fields, cookie, true, m)
}

/// Writes a Nicira match and its padding; returns the length without padding.
pub(super) fn encode_nxm(out: &mut Vec<u8>, m: &Match, cookie: u64, cookie_mask: u64) -> u16 {
    let start = out.len();
    nxm::encode(out, m, Ids::Nxm, cookie, cookie_mask);
    let len = out.len() - start;
    out.pad8(start);
    len as u16
}

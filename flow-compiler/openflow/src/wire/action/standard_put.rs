//! The standard's own actions, written.
//!
//! Purpose: for each version the standard spelling of an action where it has one.
//! Invariant: it writes the whole action or nothing.
//! Deliberately does not know: Nicira's spellings (see `nicira_put`).

use super::super::buf::Put;
use super::set_field::{self, put_whole};
use super::{begin, end, subfield, Around};
use crate::action::{Action, PortNo};
use crate::field::Field;
use crate::message::EncodeError;
use crate::version::Version;

/// Writes the action if the version has it; false, and nothing, if it has not.
pub(super) fn encode(
    out: &mut Vec<u8>,
    a: &Action,
    around: &mut Around,
) -> Result<bool, EncodeError> {
    let v = around.version;
    match a {
        Action::Output { port, max_len } => put_output(out, v, *port, *max_len)?,
        Action::Enqueue { port, queue } if v == Version::V10 => put_enqueue(out, *port, *queue)?,
        Action::SetVlanVid { vid, push_vlan_if_needed } => {
            push_if(out, around, *push_vlan_if_needed)?;
            put_vlan_vid(out, v, *vid)?;
        }
        Action::SetVlanPcp { pcp, push_vlan_if_needed } => {
            push_if(out, around, *push_vlan_if_needed)?;
            put_vlan_pcp(out, v, *pcp)?;
        }
        Action::StripVlan { .. } => put(out, if v == Version::V10 { 3 } else { 18 }, &[0; 4])?,
        // Setting an id or priority pushes a tag in 1.0; on its own there is no way to say it.
        Action::PushVlan(_) if v == Version::V10 => {}
        Action::PushVlan(t) => put(out, 17, &low16(*t))?,
        Action::SetEthSrc(mac) => put_mac(out, v, Field::ETH_SRC, mac)?,
        Action::SetEthDst(mac) => put_mac(out, v, Field::ETH_DST, mac)?,
        Action::SetIpv4Src(ip) => put_ip(out, v, Field::IP_SRC, *ip)?,
        Action::SetIpv4Dst(ip) => put_ip(out, v, Field::IP_DST, *ip)?,
        Action::SetIpDscp(tos) => put_tos(out, v, *tos)?,
        Action::SetL4Src(port) => put_l4(out, around, *port, Side::Src)?,
        Action::SetL4Dst(port) => put_l4(out, around, *port, Side::Dst)?,
        Action::SetField(s) => set_field::encode(out, s, around)?,
        Action::Move { src, dst } => subfield::put_move(out, v, *src, *dst)?,
        _ if v == Version::V10 => return Ok(false),
        _ => return encode11(out, a, around),
    }
    Ok(true)
}

/// What 1.1 and later have, and 1.0 has not.
fn encode11(out: &mut Vec<u8>, a: &Action, around: &mut Around) -> Result<bool, EncodeError> {
    let v = around.version;
    let set_field = v >= Version::V12;
    match a {
        Action::SetIpEcn(ecn) if set_field => put_whole(out, v, Field::NW_ECN, *ecn as u128)?,
        Action::SetIpEcn(ecn) => put(out, 8, &[*ecn, 0, 0, 0])?,
        Action::SetMplsLabel(l) if set_field => put_whole(out, v, Field::MPLS_LABEL, *l as u128)?,
        Action::SetMplsLabel(l) => put(out, 13, &l.to_be_bytes())?,
        Action::SetMplsTc(tc) if set_field => put_whole(out, v, Field::MPLS_TC, *tc as u128)?,
        Action::SetMplsTc(tc) => put(out, 14, &[*tc, 0, 0, 0])?,
        Action::SetMplsTtl(ttl) => put(out, 15, &[*ttl, 0, 0, 0])?,
        Action::DecMplsTtl => put(out, 16, &[0; 4])?,
        Action::CopyTtlOut => put(out, 11, &[0; 4])?,
        Action::CopyTtlIn => put(out, 12, &[0; 4])?,
        Action::PushMpls(t) => put(out, 19, &low16(*t))?,
        Action::PopMpls(t) => put(out, 20, &low16(*t))?,
        Action::PushPbb if v >= Version::V13 => put(out, 26, &low16(0x88e7))?,
        Action::PopPbb if v >= Version::V13 => put(out, 27, &[0; 4])?,
        Action::SetQueue(q) => put(out, 21, &q.to_be_bytes())?,
        Action::Group(id) => put(out, 22, &id.to_be_bytes())?,
        Action::SetIpTtl(ttl) => put(out, 23, &[*ttl, 0, 0, 0])?,
        Action::DecTtl { controllers, with_ids } if !with_ids && controllers == &[0] => {
            put(out, 24, &[0; 4])?
        }
        Action::SetTunnel { id, .. } if set_field => put_whole(out, v, Field::TUN_ID, *id as u128)?,
        Action::Enqueue { port, queue } => {
            put(out, 21, &queue.to_be_bytes())?;
            put_output(out, v, *port, 0xffff)?;
            super::nicira_put::encode(out, &Action::PopQueue, around)?;
        }
        Action::Meter(id) if v == Version::V15 => put(out, 29, &id.to_be_bytes())?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Writes an action with this body.
pub(super) fn put(out: &mut Vec<u8>, kind: u16, body: &[u8]) -> Result<(), EncodeError> {
    let start = begin(out, kind);
    out.put(body);
    end(out, start)
}

fn low16(v: u16) -> [u8; 4] {
    let [high, low] = v.to_be_bytes();
    [high, low, 0, 0]
}

fn put_output(out: &mut Vec<u8>, v: Version, port: PortNo, max_len: u16) -> Result<(), EncodeError> {
    let start = begin(out, 0);
    if v == Version::V10 {
        out.u16(port.0 as u16);
        out.u16(max_len);
    } else {
        out.u32(port.0);
        out.u16(max_len);
        out.zeros(6);
    }
    end(out, start)
}

fn put_enqueue(out: &mut Vec<u8>, port: PortNo, queue: u32) -> Result<(), EncodeError> {
    let start = begin(out, 11);
    out.u16(port.0 as u16);
    out.zeros(6);
    out.u32(queue);
    end(out, start)
}

/// Pushes a tag where the action may have to and none is certain.
fn push_if(out: &mut Vec<u8>, around: &Around, needed: bool) -> Result<(), EncodeError> {
    if needed && !around.has_vlan && around.version != Version::V10 {
        put(out, 17, &low16(0x8100))?;
    }
    Ok(())
}

pub(super) fn put_vlan_vid(out: &mut Vec<u8>, v: Version, vid: u16) -> Result<(), EncodeError> {
    if v >= Version::V12 {
        return put_whole(out, v, Field::VLAN_VID, (vid | 0x1000) as u128);
    }
    put(out, 1, &low16(vid))
}

pub(super) fn put_vlan_pcp(out: &mut Vec<u8>, v: Version, pcp: u8) -> Result<(), EncodeError> {
    if v >= Version::V12 {
        return put_whole(out, v, Field::VLAN_PCP, pcp as u128);
    }
    put(out, 2, &[pcp, 0, 0, 0])
}

pub(super) fn put_mac(
    out: &mut Vec<u8>,
    v: Version,
    field: Field,
    mac: &[u8; 6],
) -> Result<(), EncodeError> {
    if v >= Version::V12 {
        let value = mac.iter().fold(0, |v, b| v << 8 | *b as u128);
        return put_whole(out, v, field, value);
    }
    let first = if v == Version::V10 { 4 } else { 3 };
    let start = begin(out, first + (field == Field::ETH_DST) as u16);
    out.put(mac);
    out.zeros(6);
    end(out, start)
}

pub(super) fn put_ip(
    out: &mut Vec<u8>,
    v: Version,
    field: Field,
    ip: u32,
) -> Result<(), EncodeError> {
    if v >= Version::V12 {
        return put_whole(out, v, field, ip as u128);
    }
    let first = if v == Version::V10 { 6 } else { 5 };
    put(out, first + (field == Field::IP_DST) as u16, &ip.to_be_bytes())
}

pub(super) fn put_tos(out: &mut Vec<u8>, v: Version, tos: u8) -> Result<(), EncodeError> {
    if v >= Version::V12 {
        return put_whole(out, v, Field::IP_DSCP, (tos >> 2) as u128);
    }
    put(out, if v == Version::V10 { 8 } else { 7 }, &[tos, 0, 0, 0])
}

/// Which port of the transport header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Src,
    Dst,
}

fn put_l4(out: &mut Vec<u8>, around: &Around, port: u16, side: Side) -> Result<(), EncodeError> {
    let dst = (side == Side::Dst) as u8;
    let field = match around.ip_proto {
        6 => Some(Field::TCP_SRC.plus(dst)),
        17 => Some(Field::UDP_SRC.plus(dst)),
        132 => Some(Field::SCTP_SRC.plus(dst)),
        _ => None,
    };
    match field {
        Some(f) if around.version >= Version::V12 => {
            put_whole(out, around.version, f, port as u128)
        }
        _ => put(out, 9 + dst as u16, &low16(port)),
    }
}

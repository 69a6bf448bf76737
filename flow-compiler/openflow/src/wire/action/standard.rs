//! The standard's own actions, read.
//!
//! Purpose: types 0 to 29 of every version.
//! Deliberately does not know: experimenter actions, the encoding (see `standard_put`).

use super::super::buf::Reader;
use super::{set_field, subfield, BAD_ARGUMENT, BAD_LEN};
use crate::action::{Action, PortNo};
use crate::error::OfpError;
use crate::version::Version;

const BAD_TYPE: OfpError = OfpError::OFPBAC_BAD_TYPE;

/// Reads the body of an action of this type: all behind type and length.
pub(super) fn decode(version: Version, kind: u16, r: &mut Reader<'_>) -> Result<Action, OfpError> {
    match kind {
        25 if version >= Version::V12 => return set_field::decode(version, *r),
        28 if version >= Version::V15 => return subfield::decode_copy15(*r),
        _ => {}
    }
    let action = match version {
        Version::V10 => decode10(kind, r)?,
        _ => decode11(version, kind, r)?,
    };
    r.end(BAD_LEN)?;
    Ok(action)
}

fn decode10(kind: u16, r: &mut Reader<'_>) -> Result<Action, OfpError> {
    Ok(match kind {
        0 => {
            let (port, max_len) = (PortNo::from_u16(r.u16()?), r.u16()?);
            Action::Output { port: output_port(port)?, max_len }
        }
        1 => vlan_vid(padded16(r)?, true)?,
        2 => vlan_pcp(padded8(r)?, true)?,
        3 => plain(r, Action::StripVlan { pop: false })?,
        4 => Action::SetEthSrc(mac(r)?),
        5 => Action::SetEthDst(mac(r)?),
        6 => Action::SetIpv4Src(r.u32()?),
        7 => Action::SetIpv4Dst(r.u32()?),
        8 => dscp(padded8(r)?)?,
        9 => Action::SetL4Src(padded16(r)?),
        10 => Action::SetL4Dst(padded16(r)?),
        11 => enqueue(r)?,
        _ => return Err(BAD_TYPE),
    })
}

fn decode11(version: Version, kind: u16, r: &mut Reader<'_>) -> Result<Action, OfpError> {
    Ok(match kind {
        0 => {
            let (port, max_len) = (port11(r.u32()?)?, r.u16()?);
            r.skip(6)?;
            Action::Output { port: output_port(port)?, max_len }
        }
        1 => vlan_vid(padded16(r)?, false)?,
        2 => vlan_pcp(padded8(r)?, false)?,
        3 => Action::SetEthSrc(mac(r)?),
        4 => Action::SetEthDst(mac(r)?),
        5 => Action::SetIpv4Src(r.u32()?),
        6 => Action::SetIpv4Dst(r.u32()?),
        7 => dscp(padded8(r)?)?,
        8 => ecn(padded8(r)?)?,
        9 => Action::SetL4Src(padded16(r)?),
        10 => Action::SetL4Dst(padded16(r)?),
        11 => plain(r, Action::CopyTtlOut)?,
        12 => plain(r, Action::CopyTtlIn)?,
        13 => Action::SetMplsLabel(r.u32()?),
        14 => Action::SetMplsTc(padded8(r)?),
        15 => Action::SetMplsTtl(padded8(r)?),
        16 => plain(r, Action::DecMplsTtl)?,
        17 => push_vlan(padded16(r)?)?,
        18 => plain(r, Action::StripVlan { pop: true })?,
        19 => push_mpls(padded16(r)?)?,
        20 => Action::PopMpls(padded16(r)?),
        26 if version >= Version::V13 => push_pbb(padded16(r)?)?,
        27 if version >= Version::V13 => plain(r, Action::PopPbb)?,
        21 => Action::SetQueue(r.u32()?),
        22 => Action::Group(r.u32()?),
        23 => Action::SetIpTtl(padded8(r)?),
        24 => plain(r, Action::DecTtl { controllers: vec![0], with_ids: false })?,
        29 if version == Version::V15 => Action::Meter(r.u32()?),
        _ => return Err(BAD_TYPE),
    })
}

fn padded8(r: &mut Reader<'_>) -> Result<u8, OfpError> {
    let v = r.u8()?;
    r.skip(3)?;
    Ok(v)
}

fn padded16(r: &mut Reader<'_>) -> Result<u16, OfpError> {
    let v = r.u16()?;
    r.skip(2)?;
    Ok(v)
}

fn plain(r: &mut Reader<'_>, a: Action) -> Result<Action, OfpError> {
    r.skip(4)?;
    Ok(a)
}

fn mac(r: &mut Reader<'_>) -> Result<[u8; 6], OfpError> {
    let mac = r.array()?;
    r.skip(6)?;
    Ok(mac)
}

fn vlan_vid(vid: u16, push_vlan_if_needed: bool) -> Result<Action, OfpError> {
    if vid > 0xfff {
        return Err(BAD_ARGUMENT);
    }
    Ok(Action::SetVlanVid { vid, push_vlan_if_needed })
}

fn vlan_pcp(pcp: u8, push_vlan_if_needed: bool) -> Result<Action, OfpError> {
    if pcp > 7 {
        return Err(BAD_ARGUMENT);
    }
    Ok(Action::SetVlanPcp { pcp, push_vlan_if_needed })
}

fn dscp(tos: u8) -> Result<Action, OfpError> {
    if tos & 3 != 0 {
        return Err(BAD_ARGUMENT);
    }
    Ok(Action::SetIpDscp(tos))
}

fn ecn(ecn: u8) -> Result<Action, OfpError> {
    if ecn > 3 {
        return Err(BAD_ARGUMENT);
    }
    Ok(Action::SetIpEcn(ecn))
}

fn push_vlan(eth_type: u16) -> Result<Action, OfpError> {
    if !matches!(eth_type, 0x8100 | 0x88a8) {
        return Err(BAD_ARGUMENT);
    }
    Ok(Action::PushVlan(eth_type))
}

fn push_pbb(eth_type: u16) -> Result<Action, OfpError> {
    if eth_type != 0x88e7 {
        return Err(BAD_ARGUMENT);
    }
    Ok(Action::PushPbb)
}

/// Shared with the Nicira form.
pub(super) fn push_mpls(eth_type: u16) -> Result<Action, OfpError> {
    if !matches!(eth_type, 0x8847 | 0x8848) {
        return Err(BAD_ARGUMENT);
    }
    Ok(Action::PushMpls(eth_type))
}

fn enqueue(r: &mut Reader<'_>) -> Result<Action, OfpError> {
    let port = PortNo::from_u16(r.u16()?);
    r.skip(6)?;
    let queue = r.u32()?;
    if port >= PortNo::MAX && port != PortNo::IN_PORT && port != PortNo::LOCAL {
        return Err(OfpError::OFPBAC_BAD_OUT_PORT);
    }
    Ok(Action::Enqueue { port, queue })
}

/// A port number of 1.1 or later: only those that 1.0 could say, or a reserved one.
pub(crate) fn port11(port: u32) -> Result<PortNo, OfpError> {
    if (0xff00..0xffff_ff00).contains(&port) {
        return Err(OfpError::OFPBAC_BAD_OUT_PORT);
    }
    Ok(PortNo(port))
}

/// May an output go there?
fn output_port(port: PortNo) -> Result<PortNo, OfpError> {
    match port {
        PortNo::NONE => Err(OfpError::OFPBAC_BAD_OUT_PORT),
        p if p < PortNo::MAX || p >= PortNo::IN_PORT => Ok(p),
        _ => Err(OfpError::OFPBAC_BAD_OUT_PORT),
    }
}

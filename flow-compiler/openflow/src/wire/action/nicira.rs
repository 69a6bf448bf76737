//! Nicira's actions, read.
//!
//! Purpose: dispatch by subtype; the small ones are here, the large ones in files of their own.
//! Deliberately does not know: the encoding (see `nicira_put`).

use super::super::buf::Reader;
use super::verify::{verify, Outer};
use super::{choose, ct, decode_nested, learn, set_field, standard, subfield, BAD_ARGUMENT, BAD_LEN};
use crate::action::{
    Action, Controller, Encap, PortNo, Sample, SampleDirection, CONTROLLER_WHOLE_PACKET,
};
use crate::error::OfpError;
use crate::version::Version;

const MUST_BE_ZERO: OfpError = OfpError::NXBRC_MUST_BE_ZERO;

/// Reads the body of an action of this subtype: all behind the subtype.
pub(super) fn decode(
    version: Version,
    subtype: u16,
    mut r: Reader<'_>,
    depth: usize,
) -> Result<Action, OfpError> {
    match subtype {
        6 if version < Version::V15 => subfield::decode_move(r),
        7 if version < Version::V15 => set_field::decode_load(r),
        33 if version < Version::V15 => set_field::decode_load2(r),
        8 => Ok(Action::Note(r.rest().to_vec())),
        10 => choose::decode_multipath(r),
        12 => choose::decode_bundle(r, false),
        13 => choose::decode_bundle(r, true),
        15 => subfield::decode_output_reg(r),
        16 => learn::decode(r, false),
        45 => learn::decode(r, true),
        21 => decode_dec_ttl_ids(r),
        27 => Ok(Action::StackPush(subfield::source(subfield::decode_stack(r)?)?)),
        28 => Ok(Action::StackPop(subfield::destination(subfield::decode_stack(r)?)?)),
        32 => subfield::decode_output_reg2(r),
        35 => ct::decode(version, r, depth),
        36 => ct::decode_nat(r),
        37 => decode_controller2(r),
        42 => decode_clone(version, r, depth),
        46 if version >= Version::V13 => decode_encap(r),
        47 if version >= Version::V13 => decode_decap(r),
        49 => subfield::decode_check_pkt_larger(r),
        50 => {
            let field = subfield::pull_field(&mut r)?;
            Ok(Action::DeleteField(field))
        }
        _ => {
            let action = decode_fixed(version, subtype, &mut r)?;
            r.end(BAD_LEN)?;
            Ok(action)
        }
    }
}

/// The ones of a fixed length.
fn decode_fixed(version: Version, subtype: u16, r: &mut Reader<'_>) -> Result<Action, OfpError> {
    let old = version == Version::V10;
    Ok(match subtype {
        1 => {
            let in_port = resubmit_port(r.u16()?);
            r.skip(4)?;
            Action::Resubmit { in_port, table: None, with_ct_orig: false }
        }
        2 => {
            r.skip(2)?;
            Action::SetTunnel { id: r.u32()? as u64, wide: false }
        }
        4 if old => {
            r.skip(2)?;
            Action::SetQueue(r.u32()?)
        }
        5 => plain(r, Action::PopQueue)?,
        9 => {
            r.skip(6)?;
            Action::SetTunnel { id: r.u64()?, wide: true }
        }
        14 => resubmit(r, false)?,
        44 => resubmit(r, true)?,
        17 => plain(r, Action::Exit)?,
        18 if old => plain(r, Action::DecTtl { controllers: vec![0], with_ids: false })?,
        19 => {
            let (idle, hard) = (r.u16()?, r.u16()?);
            r.skip(2)?;
            Action::FinTimeout { idle, hard }
        }
        20 => decode_controller(r)?,
        22 => {
            r.zeros(6, MUST_BE_ZERO)?;
            Action::WriteMetadata { value: r.u64()?, mask: r.u64()? }
        }
        29 => decode_sample(r)?,
        38 | 41 => decode_sample2(r, subtype == 41)?,
        34 => decode_conjunction(r)?,
        39 => decode_output_trunc(r)?,
        43 => plain(r, Action::CtClear)?,
        48 if version >= Version::V13 => plain(r, Action::DecNshTtl)?,
        254 => plain(r, Action::DebugSlow)?,
        255 => plain(r, Action::DebugRecirc)?,
        _ if old => decode_old(subtype, r)?,
        _ => return Err(OfpError::OFPBAC_BAD_VENDOR_TYPE),
    })
}

/// What 1.0 borrows from later versions.
fn decode_old(subtype: u16, r: &mut Reader<'_>) -> Result<Action, OfpError> {
    let byte = |r: &mut Reader<'_>| -> Result<u8, OfpError> {
        let v = r.u8()?;
        r.skip(5)?;
        Ok(v)
    };
    let word = |r: &mut Reader<'_>| -> Result<u16, OfpError> {
        let v = r.u16()?;
        r.skip(4)?;
        Ok(v)
    };
    Ok(match subtype {
        23 => standard::push_mpls(word(r)?)?,
        24 => Action::PopMpls(word(r)?),
        25 => Action::SetMplsTtl(byte(r)?),
        26 => plain(r, Action::DecMplsTtl)?,
        30 => {
            r.skip(2)?;
            Action::SetMplsLabel(r.u32()?)
        }
        31 => Action::SetMplsTc(byte(r)?),
        40 => {
            r.skip(2)?;
            Action::Group(r.u32()?)
        }
        _ => return Err(OfpError::OFPBAC_BAD_VENDOR_TYPE),
    })
}

fn plain(r: &mut Reader<'_>, a: Action) -> Result<Action, OfpError> {
    r.skip(6)?;
    Ok(a)
}

fn resubmit_port(port: u16) -> Option<PortNo> {
    Some(PortNo::from_u16(port)).filter(|p| *p != PortNo::IN_PORT)
}

fn resubmit(r: &mut Reader<'_>, with_ct_orig: bool) -> Result<Action, OfpError> {
    let in_port = resubmit_port(r.u16()?);
    let table = Some(r.u8()?).filter(|t| *t != 0xff);
    r.zeros(3, BAD_ARGUMENT)?;
    Ok(Action::Resubmit { in_port, table, with_ct_orig })
}

fn decode_dec_ttl_ids(mut r: Reader<'_>) -> Result<Action, OfpError> {
    let n = r.u16()?;
    r.zeros(4, MUST_BE_ZERO)?;
    let mut ids = r.sub(n as usize * 2)?;
    let mut controllers = Vec::with_capacity(n as usize);
    while !ids.is_empty() {
        controllers.push(ids.u16()?);
    }
    Ok(Action::DecTtl { controllers, with_ids: true })
}

fn decode_controller(r: &mut Reader<'_>) -> Result<Action, OfpError> {
    let (max_len, id, reason) = (r.u16()?, r.u16()?, r.u8()?);
    r.skip(1)?;
    Ok(Action::Controller(Box::new(Controller {
        max_len,
        reason,
        id,
        userdata: Vec::new(),
        pause: false,
        meter_id: None,
    })))
}

/// `OFPR_ACTION`, the reason where none is given.
const REASON_ACTION: u8 = 1;

fn decode_controller2(mut r: Reader<'_>) -> Result<Action, OfpError> {
    r.zeros(6, MUST_BE_ZERO)?;
    let mut c = Controller {
        max_len: CONTROLLER_WHOLE_PACKET,
        reason: REASON_ACTION,
        id: 0,
        userdata: Vec::new(),
        pause: false,
        meter_id: None,
    };
    while !r.is_empty() {
        let (kind, mut p) = super::super::prop::pull(&mut r)?;
        match kind {
            // Short numbers may fill the property up to eight bytes.
            0 | 1 => {
                let value = p.u16()?;
                p.skip(p.len())?;
                if kind == 0 {
                    c.max_len = value;
                } else {
                    c.id = value;
                }
            }
            2 => {
                c.reason = p.u8()?;
                p.skip(p.len())?;
            }
            3 => c.userdata = p.take(p.len())?.to_vec(),
            4 => c.pause = p.skip(p.len()).is_ok(),
            5 => c.meter_id = Some(p.u32()?),
            _ => return Err(OfpError::OFPBPC_BAD_TYPE),
        }
        p.end(OfpError::OFPBPC_BAD_LEN)?;
    }
    Ok(Action::Controller(Box::new(c)))
}

fn decode_clone(version: Version, mut r: Reader<'_>, depth: usize) -> Result<Action, OfpError> {
    r.skip(6)?;
    let actions = decode_nested(version, r.rest(), depth + 1)?;
    verify(&actions, version, Outer::Clone)?;
    Ok(Action::Clone(actions))
}

fn decode_sample(r: &mut Reader<'_>) -> Result<Action, OfpError> {
    let sample = Sample {
        probability: r.u16()?,
        collector_set_id: r.u32()?,
        obs_domain_id: r.u32()?,
        obs_point_id: r.u32()?,
        sampling_port: None,
        direction: SampleDirection::Default,
    };
    checked_sample(sample)
}

fn decode_sample2(r: &mut Reader<'_>, directed: bool) -> Result<Action, OfpError> {
    let mut sample = Sample {
        probability: r.u16()?,
        collector_set_id: r.u32()?,
        obs_domain_id: r.u32()?,
        obs_point_id: r.u32()?,
        sampling_port: Some(PortNo::from_u16(r.u16()?)).filter(|p| *p != PortNo::NONE),
        direction: SampleDirection::Default,
    };
    let direction = r.u8()?;
    if directed {
        r.zeros(5, MUST_BE_ZERO)?;
        sample.direction = match direction {
            0 => SampleDirection::Default,
            1 => SampleDirection::Ingress,
            2 => SampleDirection::Egress,
            _ => return Err(BAD_ARGUMENT),
        };
    } else {
        r.skip(5)?;
    }
    checked_sample(sample)
}

fn checked_sample(sample: Sample) -> Result<Action, OfpError> {
    if sample.probability == 0 {
        return Err(BAD_ARGUMENT);
    }
    Ok(Action::Sample(Box::new(sample)))
}

fn decode_conjunction(r: &mut Reader<'_>) -> Result<Action, OfpError> {
    let (clause, n_clauses, id) = (r.u8()?, r.u8()?, r.u32()?);
    if !(2..=64).contains(&n_clauses) || clause >= n_clauses {
        return Err(OfpError::NXBAC_BAD_CONJUNCTION);
    }
    Ok(Action::Conjunction { id, clause, n_clauses })
}

fn decode_output_trunc(r: &mut Reader<'_>) -> Result<Action, OfpError> {
    const SHORTEST: u32 = 14;
    let (port, max_len) = (PortNo::from_u16(r.u16()?), r.u32()?);
    if max_len < SHORTEST {
        return Err(BAD_ARGUMENT);
    }
    Ok(Action::OutputTrunc { port, max_len })
}

fn decode_encap(mut r: Reader<'_>) -> Result<Action, OfpError> {
    const KNOWN: [u32; 4] = [0, 0x0001_894f, 0x0001_8847, 0x0001_8848];
    let (hdr_size, new_packet_type) = (r.u16()?, r.u32()?);
    if !KNOWN.contains(&new_packet_type) {
        return Err(OfpError::NXBAC_BAD_HEADER_TYPE);
    }
    let mut properties = Vec::new();
    while !r.is_empty() {
        properties.push(encap_property(&mut r)?);
    }
    Ok(Action::Encap(Box::new(Encap { new_packet_type, hdr_size, properties })))
}

/// Class, type and value of a property; its length counts the four bytes of its header.
fn encap_property(r: &mut Reader<'_>) -> Result<(u16, u8, Vec<u8>), OfpError> {
    const BAD: OfpError = OfpError::NXBAC_BAD_ED_PROP;
    const NSH: u16 = 4;
    let mut r2 = Reader::new(r.rest(), BAD);
    let (class, kind, len) = (r2.u16()?, r2.u8()?, r2.u8()? as usize);
    if class != NSH || !matches!(kind, 1 | 2) {
        return Err(OfpError::NXBAC_UNKNOWN_ED_PROP);
    }
    let value = r2.take(len.checked_sub(4).ok_or(BAD)?)?.to_vec();
    let fits = match (kind, value.as_slice()) {
        (1, [md_type]) => matches!(md_type, 1 | 2),
        (2, [_, _, _, tlv_len, data @ ..]) => *tlv_len as usize == data.len(),
        _ => false,
    };
    if !fits {
        return Err(BAD);
    }
    r2.skip(len.next_multiple_of(8) - len)?;
    r.skip(r.len() - r2.len())?;
    Ok((class, kind, value))
}

fn decode_decap(mut r: Reader<'_>) -> Result<Action, OfpError> {
    const USE_NEXT: u32 = 0x0000_fffe;
    r.skip(2)?;
    let new_packet_type = Some(r.u32()?).filter(|t| *t != USE_NEXT);
    r.end(OfpError::NXBAC_UNKNOWN_ED_PROP)?;
    Ok(Action::Decap { new_packet_type })
}

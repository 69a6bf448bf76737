//! Nicira's actions, written.
//!
//! Purpose: what the standard of a version cannot say. Instructions inside a plain list of actions
//! come here too, and are written as 1.0 has them or not at all.
//! Deliberately does not know: the decoding (see `nicira`).

use super::super::buf::Put;
use super::super::oxm::{self, Ids};
use super::super::prop;
use super::{begin_nicira, choose, ct, encode as encode_list, end, learn, set_field, subfield, Around};
use crate::action::{Action, Controller, Encap, PortNo, Sample, SampleDirection};
use crate::field::Field;
use crate::message::EncodeError;
use crate::version::Version;

/// Writes the action.
pub(super) fn encode(out: &mut Vec<u8>, a: &Action, around: &mut Around) -> Result<(), EncodeError> {
    let v = around.version;
    match a {
        Action::OutputReg { src, max_len } => subfield::put_output_reg(out, *src, *max_len),
        Action::OutputTrunc { port, max_len } => fixed(out, 39, |o| {
            o.u16(port.0 as u16);
            o.u32(*max_len);
        }),
        Action::Controller(c) => put_controller(out, c),
        Action::SetQueue(q) => word(out, 4, *q),
        Action::PopQueue => fixed(out, 5, |_| {}),
        Action::Group(id) => word(out, 40, *id),
        Action::SetIpEcn(ecn) => set_field::put_load(out, Field::NW_ECN.whole(), *ecn as u64),
        Action::SetIpTtl(ttl) => set_field::put_load(out, Field::NW_TTL.whole(), *ttl as u64),
        Action::SetMplsLabel(l) => word(out, 30, *l),
        Action::SetMplsTc(tc) => fixed(out, 31, |o| o.u8(*tc)),
        Action::SetMplsTtl(ttl) => fixed(out, 25, |o| o.u8(*ttl)),
        Action::DecMplsTtl => fixed(out, 26, |_| {}),
        Action::PushMpls(t) => fixed(out, 23, |o| o.u16(*t)),
        Action::PopMpls(t) => fixed(out, 24, |o| o.u16(*t)),
        Action::StackPush(s) => subfield::put_stack(out, 27, *s),
        Action::StackPop(s) => subfield::put_stack(out, 28, *s),
        Action::DecTtl { controllers, with_ids } => put_dec_ttl(out, controllers, *with_ids),
        Action::SetTunnel { id, wide } => put_set_tunnel(out, *id, *wide),
        Action::Resubmit { in_port, table, with_ct_orig } => {
            put_resubmit(out, *in_port, *table, *with_ct_orig)
        }
        Action::Learn(l) => learn::encode(out, l),
        Action::Conjunction { id, clause, n_clauses } => fixed(out, 34, |o| {
            o.u8(*clause);
            o.u8(*n_clauses);
            o.u32(*id);
        }),
        Action::Multipath(m) => choose::put_multipath(out, m),
        Action::Bundle(b) => choose::put_bundle(out, b),
        Action::Note(bytes) => fixed(out, 8, |o| o.put(bytes)),
        Action::Exit => fixed(out, 17, |_| {}),
        Action::FinTimeout { idle, hard } => fixed(out, 19, |o| {
            o.u16(*idle);
            o.u16(*hard);
        }),
        Action::Sample(s) => put_sample(out, s),
        Action::Ct(c) => ct::encode(out, c, around),
        Action::Nat(n) => ct::put_nat(out, n),
        Action::CtClear => fixed(out, 43, |_| {}),
        Action::Clone(actions) => put_clone(out, actions, around),
        Action::Encap(e) => put_encap(out, e),
        Action::Decap { new_packet_type } => fixed(out, 47, |o| {
            o.zeros(2);
            o.u32(new_packet_type.unwrap_or(0xfffe));
        }),
        Action::DecNshTtl => fixed(out, 48, |_| {}),
        Action::CheckPktLarger { len, dst } => subfield::put_check_pkt_larger(out, *len, *dst),
        Action::DeleteField(f) => put_delete_field(out, *f),
        Action::DebugSlow => fixed(out, 254, |_| {}),
        Action::DebugRecirc => fixed(out, 255, |_| {}),
        Action::WriteMetadata { value, mask } if v == Version::V10 => fixed(out, 22, |o| {
            o.zeros(6);
            o.u64(*value);
            o.u64(*mask);
        }),
        Action::GotoTable(t) if v == Version::V10 => put_resubmit(out, None, Some(*t), false),
        Action::CopyTtlOut | Action::CopyTtlIn => Err(EncodeError::NotInVersion("copy_ttl_out and copy_ttl_in")),
        // A meter, clear_actions or write_actions has no place in 1.0, as a plain list has none for
        // instructions.
        _ => Ok(()),
    }
}

/// A Nicira action with this body, padded.
fn fixed(
    out: &mut Vec<u8>,
    subtype: u16,
    body: impl FnOnce(&mut Vec<u8>),
) -> Result<(), EncodeError> {
    let start = begin_nicira(out, subtype);
    body(out);
    end(out, start)
}

fn word(out: &mut Vec<u8>, subtype: u16, v: u32) -> Result<(), EncodeError> {
    fixed(out, subtype, |o| {
        o.zeros(2);
        o.u32(v);
    })
}

fn put_controller(out: &mut Vec<u8>, c: &Controller) -> Result<(), EncodeError> {
    if c.userdata.is_empty() && !c.pause && c.meter_id.is_none() {
        return fixed(out, 20, |o| {
            o.u16(c.max_len);
            o.u16(c.id);
            o.u8(c.reason);
        });
    }
    let start = begin_nicira(out, 37);
    out.zeros(6);
    if c.max_len != 0xffff {
        prop::put(out, 0, |o| padded_u16(o, c.max_len))?;
    }
    if c.id != 0 {
        prop::put(out, 1, |o| padded_u16(o, c.id))?;
    }
    if c.reason != 1 {
        prop::put(out, 2, |o| o.u8(c.reason))?;
    }
    if !c.userdata.is_empty() {
        prop::put(out, 3, |o| o.put(&c.userdata))?;
    }
    if c.pause {
        prop::put(out, 4, |_| {})?;
    }
    if let Some(id) = c.meter_id {
        prop::put(out, 5, |o| o.u32(id))?;
    }
    end(out, start)
}

/// A short number that fills its property's eight bytes.
fn padded_u16(out: &mut Vec<u8>, value: u16) {
    out.u16(value);
    out.zeros(2);
}

fn put_dec_ttl(out: &mut Vec<u8>, ids: &[u16], with_ids: bool) -> Result<(), EncodeError> {
    if !with_ids && ids == [0] {
        return fixed(out, 18, |_| {});
    }
    let n = u16::try_from(ids.len()).map_err(|_| EncodeError::TooLong)?;
    fixed(out, 21, |o| {
        o.u16(n);
        o.zeros(4);
        ids.iter().for_each(|id| o.u16(*id));
    })
}

fn put_set_tunnel(out: &mut Vec<u8>, id: u64, wide: bool) -> Result<(), EncodeError> {
    match u32::try_from(id) {
        Ok(id) if !wide => word(out, 2, id),
        _ => fixed(out, 9, |o| {
            o.zeros(6);
            o.u64(id);
        }),
    }
}

fn put_resubmit(
    out: &mut Vec<u8>,
    in_port: Option<PortNo>,
    table: Option<u8>,
    with_ct_orig: bool,
) -> Result<(), EncodeError> {
    fixed(out, if with_ct_orig { 44 } else { 14 }, |o| {
        o.u16(in_port.unwrap_or(PortNo::IN_PORT).0 as u16);
        o.u8(table.unwrap_or(0xff));
    })
}

fn put_sample(out: &mut Vec<u8>, s: &Sample) -> Result<(), EncodeError> {
    let direction = match s.direction {
        SampleDirection::Default => 0,
        SampleDirection::Ingress => 1,
        SampleDirection::Egress => 2,
    };
    let subtype = match (direction, s.sampling_port) {
        (0, None) => 29,
        (0, Some(_)) => 38,
        _ => 41,
    };
    fixed(out, subtype, |o| {
        o.u16(s.probability);
        o.u32(s.collector_set_id);
        o.u32(s.obs_domain_id);
        o.u32(s.obs_point_id);
        if subtype != 29 {
            o.u16(s.sampling_port.unwrap_or(PortNo::NONE).0 as u16);
            o.u8(direction);
            o.zeros(5);
        }
    })
}

fn put_clone(out: &mut Vec<u8>, actions: &[Action], around: &Around) -> Result<(), EncodeError> {
    let start = begin_nicira(out, 42);
    out.zeros(6);
    encode_list(out, actions, &mut around.clone())?;
    end(out, start)
}

fn put_encap(out: &mut Vec<u8>, e: &Encap) -> Result<(), EncodeError> {
    let start = begin_nicira(out, 46);
    out.u16(e.hdr_size);
    out.u32(e.new_packet_type);
    for (class, kind, value) in &e.properties {
        let at = out.len();
        out.u16(*class);
        out.u8(*kind);
        out.u8(u8::try_from(value.len() + 4).map_err(|_| EncodeError::TooLong)?);
        out.put(value);
        out.pad8(at);
    }
    end(out, start)
}

fn put_delete_field(out: &mut Vec<u8>, field: Field) -> Result<(), EncodeError> {
    let start = begin_nicira(out, 50);
    oxm::put_header(out, field, Ids::Nxm, false);
    subfield::to_24(out, start);
    end(out, start)
}

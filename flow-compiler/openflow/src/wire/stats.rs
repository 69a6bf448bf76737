//! Statistics (multipart) requests and replies.
//!
//! Purpose: choose the body by type, and split long replies over several messages.
//! Invariant: every part of a split reply but the last says that more follow, and no item is split.
//! Deliberately does not know: the bodies of items (see `flow_stats`, `port`, `table`, `group`,
//! `meter`).

use super::buf::{Put, Reader};
use super::header::{self, Announced};
use super::kinds::Kind;
use super::parts::{self, Parts};
use super::{flow_stats, group, meter, monitor, oxs, port, queue, table};
use crate::action::PortNo;
use crate::error::OfpError;
use crate::message::{
    Aggregate, EncodeError, QueueStatsRequest, StatsReply, StatsRequest, SwitchDesc,
};
use crate::version::Version;

const ALL_GROUPS: u32 = 0xffff_fffc;

/// Reads a request.
pub(super) fn decode_request(a: &Announced<'_>) -> Result<StatsRequest, OfpError> {
    let v = a.version;
    let mut r = Reader::request(a.body);
    Ok(match a.spelling.kind {
        Kind::DescRequest => StatsRequest::Desc,
        Kind::FlowRequest => StatsRequest::Flow(flow_stats::decode_request(v, false, a.body)?),
        Kind::NxstFlowRequest => StatsRequest::Flow(flow_stats::decode_request(v, true, a.body)?),
        Kind::AggregateRequest => {
            StatsRequest::Aggregate(flow_stats::decode_request(v, false, a.body)?)
        }
        Kind::NxstAggregateRequest => {
            StatsRequest::Aggregate(flow_stats::decode_request(v, true, a.body)?)
        }
        Kind::TableRequest => StatsRequest::Table,
        Kind::PortRequest => StatsRequest::Port(port::number(v, &mut r)?),
        Kind::QueueRequest => StatsRequest::Queue(port::decode_queue_request(v, a.body)?),
        Kind::PortDescRequest if v == Version::V15 => {
            StatsRequest::PortDesc(port::number(v, &mut r)?)
        }
        Kind::PortDescRequest => StatsRequest::PortDesc(PortNo::NONE),
        Kind::GroupRequest => StatsRequest::Group(r.u32()?),
        Kind::GroupDescRequest if r.is_empty() => StatsRequest::GroupDesc(ALL_GROUPS),
        Kind::GroupDescRequest => StatsRequest::GroupDesc(r.u32()?),
        Kind::GroupFeaturesRequest => StatsRequest::GroupFeatures,
        Kind::MeterRequest => StatsRequest::Meter(r.u32()?),
        Kind::MeterConfigRequest => StatsRequest::MeterConfig(r.u32()?),
        Kind::MeterFeaturesRequest => StatsRequest::MeterFeatures,
        Kind::TableFeaturesRequest => StatsRequest::TableFeatures(a.body.to_vec()),
        Kind::TableDescRequest => StatsRequest::TableDesc,
        Kind::QueueDescRequest => {
            let (port, queue) = (port::number(v, &mut r)?, r.u32()?);
            StatsRequest::QueueDesc(QueueStatsRequest { port, queue })
        }
        Kind::FlowMonitorRequest => {
            StatsRequest::FlowMonitor(items(a.body, |r| monitor::decode_request(v, r))?)
        }
        Kind::IpfixBridgeRequest => StatsRequest::IpfixBridge,
        Kind::IpfixFlowRequest => StatsRequest::IpfixFlow,
        _ => StatsRequest::Unread { name: a.spelling.name, body: a.body.to_vec() },
    })
}

/// The type of a request, and its name for people.
fn request_kind(q: &StatsRequest) -> (Kind, &'static str) {
    match q {
        StatsRequest::Desc => (Kind::DescRequest, "description request"),
        StatsRequest::Flow(q) if q.nxm => (Kind::NxstFlowRequest, "Nicira flow request"),
        StatsRequest::Flow(_) => (Kind::FlowRequest, "flow request"),
        StatsRequest::Aggregate(q) if q.nxm => {
            (Kind::NxstAggregateRequest, "Nicira aggregate request")
        }
        StatsRequest::Aggregate(_) => (Kind::AggregateRequest, "aggregate request"),
        StatsRequest::Table => (Kind::TableRequest, "table request"),
        StatsRequest::Port(_) => (Kind::PortRequest, "port request"),
        StatsRequest::Queue(_) => (Kind::QueueRequest, "queue request"),
        StatsRequest::PortDesc(_) => (Kind::PortDescRequest, "port description request"),
        StatsRequest::Group(_) => (Kind::GroupRequest, "group request"),
        StatsRequest::GroupDesc(_) => (Kind::GroupDescRequest, "group description request"),
        StatsRequest::GroupFeatures => (Kind::GroupFeaturesRequest, "group features request"),
        StatsRequest::Meter(_) => (Kind::MeterRequest, "meter request"),
        StatsRequest::MeterConfig(_) => (Kind::MeterConfigRequest, "meter configuration request"),
        StatsRequest::MeterFeatures => (Kind::MeterFeaturesRequest, "meter features request"),
        StatsRequest::TableFeatures(_) => (Kind::TableFeaturesRequest, "table features request"),
        StatsRequest::TableDesc => (Kind::TableDescRequest, "table description request"),
        StatsRequest::QueueDesc(_) => (Kind::QueueDescRequest, "queue description request"),
        StatsRequest::FlowMonitor(_) => (Kind::FlowMonitorRequest, "flow monitor request"),
        StatsRequest::IpfixBridge => (Kind::IpfixBridgeRequest, "IPFIX request"),
        StatsRequest::IpfixFlow => (Kind::IpfixFlowRequest, "IPFIX request"),
        StatsRequest::Unread { name, .. } => (Kind::UnreadRequest, name),
    }
}

/// Writes a request.
pub(super) fn encode_request(
    v: Version,
    xid: u32,
    q: &StatsRequest,
) -> Result<Vec<u8>, EncodeError> {
    let (kind, what) = request_kind(q);
    if kind == Kind::UnreadRequest {
        return Err(EncodeError::NotInVersion(what));
    }
    let mut out = header::write(v, kind, xid, false, what)?;
    match q {
        StatsRequest::Flow(q) | StatsRequest::Aggregate(q) => {
            flow_stats::encode_request(&mut out, v, q);
        }
        StatsRequest::Port(p) => {
            port::put_number(&mut out, v, *p);
            out.zeros(if v == Version::V10 { 6 } else { 4 });
        }
        StatsRequest::Queue(q) => port::encode_queue_request(&mut out, v, q),
        StatsRequest::PortDesc(p) if v == Version::V15 => put_u32_padded(&mut out, p.0),
        StatsRequest::GroupDesc(id) if matches!(v, Version::V10 | Version::V15) => {
            put_u32_padded(&mut out, *id);
        }
        StatsRequest::Group(id) | StatsRequest::Meter(id) | StatsRequest::MeterConfig(id) => {
            put_u32_padded(&mut out, *id);
        }
        StatsRequest::TableFeatures(body) => out.put(body),
        StatsRequest::FlowMonitor(all) => {
            all.iter().try_for_each(|q| monitor::encode_request(&mut out, v, q))?;
        }
        StatsRequest::QueueDesc(q) => {
            out.u32(q.port.0);
            out.u32(q.queue);
        }
        _ => {}
    }
    header::finish(out)
}

fn put_u32_padded(out: &mut Vec<u8>, v: u32) {
    out.u32(v);
    out.zeros(4);
}

/// Reads items until the end of a body.
fn items<T>(
    body: &[u8],
    mut one: impl FnMut(&mut Reader<'_>) -> Result<T, OfpError>,
) -> Result<Vec<T>, OfpError> {
    let mut r = Reader::request(body);
    let mut all = Vec::new();
    while !r.is_empty() {
        let before = r.len();
        all.push(one(&mut r)?);
        if r.len() == before {
            // An item of no length would repeat for ever.
            return Err(OfpError::OFPBRC_BAD_LEN);
        }
    }
    Ok(all)
}

/// Reads a reply.
pub(super) fn decode_reply(a: &Announced<'_>) -> Result<StatsReply, OfpError> {
    let (v, more, body) = (a.version, a.more, a.body);
    Ok(match a.spelling.kind {
        Kind::DescReply => StatsReply::Desc(decode_desc(body)?),
        kind @ (Kind::FlowReply | Kind::NxstFlowReply) => {
            let nxm = kind == Kind::NxstFlowReply;
            let flows = flow_stats::decode_all(v, nxm, body)?;
            StatsReply::Flow { nxm, more, flows }
        }
        kind @ (Kind::AggregateReply | Kind::NxstAggregateReply) => StatsReply::Aggregate {
            nxm: kind == Kind::NxstAggregateReply,
            sums: decode_aggregate(v, body)?,
        },
        Kind::TableReply => StatsReply::Table { more, tables: items(body, |r| table::decode(v, r))? },
        Kind::PortReply => StatsReply::Port { more, ports: items(body, |r| port::decode_stats(v, r))? },
        Kind::QueueReply => {
            StatsReply::Queue { more, queues: items(body, |r| port::decode_queue(v, r))? }
        }
        Kind::PortDescReply => StatsReply::PortDesc { more, ports: items(body, |r| port::decode(v, r))? },
        Kind::GroupReply => StatsReply::Group { more, groups: items(body, |r| group::decode_stats(v, r))? },
        Kind::GroupDescReply => {
            StatsReply::GroupDesc { more, groups: items(body, |r| group::decode_desc(v, r))? }
        }
        Kind::GroupFeaturesReply => StatsReply::GroupFeatures(group::decode_features(body)?),
        Kind::MeterReply => StatsReply::Meter { more, meters: items(body, meter::decode_stats)? },
        Kind::MeterConfigReply => {
            StatsReply::MeterConfig { more, meters: items(body, meter::decode_config)? }
        }
        Kind::MeterFeaturesReply => StatsReply::MeterFeatures(meter::decode_features(body)?),
        Kind::TableFeaturesReply => StatsReply::TableFeatures { more, body: body.to_vec() },
        Kind::TableDescReply => StatsReply::TableDesc { more, tables: items(body, table::decode_desc)? },
        Kind::FlowMonitorReply => {
            StatsReply::FlowMonitor { more, updates: items(body, |r| monitor::decode_update(v, r))? }
        }
        Kind::QueueDescReply => {
            StatsReply::QueueDesc { more, queues: items(body, |r| queue::decode_desc(v, r))? }
        }
        _ => StatsReply::Unread { name: a.spelling.name, more, body: body.to_vec() },
    })
}

const DESC: usize = 256;
const SERIAL: usize = 32;

fn decode_desc(body: &[u8]) -> Result<SwitchDesc, OfpError> {
    let mut r = Reader::request(body);
    Ok(SwitchDesc {
        manufacturer: r.string(DESC)?,
        hardware: r.string(DESC)?,
        software: r.string(DESC)?,
        serial: r.string(SERIAL)?,
        datapath: r.string(DESC)?,
    })
}

fn put_desc(out: &mut Vec<u8>, d: &SwitchDesc) {
    out.string(&d.manufacturer, DESC);
    out.string(&d.hardware, DESC);
    out.string(&d.software, DESC);
    out.string(&d.serial, SERIAL);
    out.string(&d.datapath, DESC);
}

fn decode_aggregate(v: Version, body: &[u8]) -> Result<Aggregate, OfpError> {
    let mut r = Reader::request(body);
    if v == Version::V15 {
        let s = oxs::decode(&mut r)?;
        let unknown = u64::MAX;
        return Ok(Aggregate {
            packets: s.packets.unwrap_or(unknown),
            bytes: s.bytes.unwrap_or(unknown),
            flows: s.flows.unwrap_or(0),
        });
    }
    Ok(Aggregate { packets: r.u64()?, bytes: r.u64()?, flows: r.u32()? })
}

fn put_aggregate(out: &mut Vec<u8>, v: Version, a: &Aggregate) {
    if v == Version::V15 {
        let (packets, bytes) = (Some(a.packets), Some(a.bytes));
        let s = oxs::Stats { flows: Some(a.flows), packets, bytes, ..oxs::Stats::default() };
        return oxs::encode(out, &s);
    }
    out.u64(a.packets);
    out.u64(a.bytes);
    out.u32(a.flows);
    out.zeros(4);
}

/// Writes a reply as one or more messages.
pub(super) fn encode_reply(
    v: Version,
    xid: u32,
    reply: &StatsReply,
) -> Result<Vec<Vec<u8>>, EncodeError> {
    let (kind, what) = reply_kind(reply);
    if kind == Kind::UnreadReply {
        return Err(EncodeError::NotInVersion(what));
    }
    let mut parts = Parts::new(v, kind, xid, what)?;
    match reply {
        StatsReply::Desc(d) => put_desc(&mut parts.open, d),
        StatsReply::Aggregate { sums, .. } => put_aggregate(&mut parts.open, v, sums),
        StatsReply::GroupFeatures(f) => group::encode_features(&mut parts.open, f),
        StatsReply::MeterFeatures(f) => meter::encode_features(&mut parts.open, f),
        StatsReply::TableFeatures { body, .. } => parts.open.put(body),
        StatsReply::QueueDesc { queues, .. } => {
            parts = parts.add_all(queues, |o, q| {
                queue::encode_desc(o, v, q);
                Ok(())
            })?;
        }
        StatsReply::Flow { nxm, flows, .. } => {
            parts = parts.add_all(flows, |o, f| flow_stats::encode_one(o, v, *nxm, f))?;
        }
        StatsReply::Table { tables, .. } => {
            parts = parts.add_all(tables, |o, t| {
                table::encode(o, v, t);
                Ok(())
            })?;
        }
        StatsReply::Port { ports, .. } => {
            parts = parts.add_all(ports, |o, p| {
                port::encode_stats(o, v, p);
                Ok(())
            })?;
        }
        StatsReply::Queue { queues, .. } => {
            parts = parts.add_all(queues, |o, q| {
                port::encode_queue(o, v, q);
                Ok(())
            })?;
        }
        StatsReply::PortDesc { ports, .. } => {
            parts = parts.add_all(ports, |o, p| {
                port::encode(o, v, p);
                Ok(())
            })?;
        }
        StatsReply::Group { groups, .. } => {
            parts = parts.add_all(groups, |o, g| group::encode_stats(o, v, g))?;
        }
        StatsReply::GroupDesc { groups, .. } => {
            parts = parts.add_all(groups, |o, g| group::encode_desc(o, v, g))?;
        }
        StatsReply::Meter { meters, .. } => {
            parts = parts.add_all(meters, |o, m| {
                meter::encode_stats(o, m);
                Ok(())
            })?;
        }
        StatsReply::MeterConfig { meters, .. } => {
            parts = parts.add_all(meters, |o, m| {
                meter::encode_config(o, m);
                Ok(())
            })?;
        }
        StatsReply::TableDesc { tables, .. } => {
            parts = parts.add_all(tables, table::encode_desc)?;
        }
        StatsReply::FlowMonitor { updates, .. } => {
            parts = parts.add_all(updates, |o, u| monitor::encode_update(o, v, u))?;
        }
        StatsReply::Unread { .. } => {}
    }
    parts.finish(reply.more())
}

/// The type of a reply, and its name for people.
fn reply_kind(reply: &StatsReply) -> (Kind, &'static str) {
    match reply {
        StatsReply::Desc(_) => (Kind::DescReply, "description reply"),
        StatsReply::Flow { nxm, .. } => parts::flow_reply(*nxm),
        StatsReply::Aggregate { nxm: true, .. } => {
            (Kind::NxstAggregateReply, "Nicira aggregate reply")
        }
        StatsReply::Aggregate { .. } => (Kind::AggregateReply, "aggregate reply"),
        StatsReply::Table { .. } => (Kind::TableReply, "table reply"),
        StatsReply::Port { .. } => (Kind::PortReply, "port reply"),
        StatsReply::Queue { .. } => (Kind::QueueReply, "queue reply"),
        StatsReply::PortDesc { .. } => (Kind::PortDescReply, "port description reply"),
        StatsReply::Group { .. } => (Kind::GroupReply, "group reply"),
        StatsReply::GroupDesc { .. } => (Kind::GroupDescReply, "group description reply"),
        StatsReply::GroupFeatures(_) => (Kind::GroupFeaturesReply, "group features reply"),
        StatsReply::Meter { .. } => (Kind::MeterReply, "meter reply"),
        StatsReply::MeterConfig { .. } => (Kind::MeterConfigReply, "meter configuration reply"),
        StatsReply::MeterFeatures(_) => (Kind::MeterFeaturesReply, "meter features reply"),
        StatsReply::TableFeatures { .. } => (Kind::TableFeaturesReply, "table features reply"),
        StatsReply::TableDesc { .. } => (Kind::TableDescReply, "table description reply"),
        StatsReply::FlowMonitor { .. } => (Kind::FlowMonitorReply, "flow monitor reply"),
        StatsReply::QueueDesc { .. } => (Kind::QueueDescReply, "queue description reply"),
        StatsReply::Unread { name, .. } => (Kind::UnreadReply, name),
    }
}

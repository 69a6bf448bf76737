//! Whole messages: the two functions that everything else here serves.
//!
//! Purpose: [`Message::decode`] and [`Message::encode`].
//! Deliberately does not know: connections.

use super::buf::{Put, Reader};
use super::header::{self, Announced};
use super::kinds::Kind;
use super::{flow_mod, flow_stats, group, meter, packet, port, queue, stats, status, switch, table};
use crate::action::FlowMod;
use crate::error::OfpError;
use crate::message::{DecodeError, EncodeError, Message, PacketInFormat, StatsReply};
use crate::version::{Protocol, Version};

const HELLO: u8 = 0;
const ERROR: u8 = 1;

impl Message {
    /// Reads one whole message. Hellos and errors may be of any version, others must be of the
    /// protocol's. The error's `xid` is that of the message, for the answer.
    pub fn decode(
        protocol: impl Into<Protocol>,
        bytes: &[u8],
    ) -> Result<(u32, Message), DecodeError> {
        let mut r = Reader::request(bytes);
        let xid = r.skip(4).and_then(|()| r.u32()).unwrap_or(0);
        decode(protocol.into(), xid, bytes)
            .map(|m| (xid, m))
            .map_err(|error| DecodeError { error, xid })
    }

    /// Writes the message. A reply that needs more than one message is refused as too long: see
    /// [`Message::encode_all`].
    pub fn encode(&self, protocol: impl Into<Protocol>, xid: u32) -> Result<Vec<u8>, EncodeError> {
        match self {
            Message::StatsReply(reply) => {
                let version = protocol.into().version;
                one(stats::encode_reply(version, xid, reply)?)
            }
            _ => encode(self, protocol.into(), xid),
        }
    }

    /// Writes the message, a long statistics reply as several.
    pub fn encode_all(
        &self,
        protocol: impl Into<Protocol>,
        xid: u32,
    ) -> Result<Vec<Vec<u8>>, EncodeError> {
        match self {
            Message::StatsReply(reply) => stats::encode_reply(protocol.into().version, xid, reply),
            _ => Ok(vec![encode(self, protocol.into(), xid)?]),
        }
    }

    /// The name of the message type as `ovs-ofctl` prints it, and its version and transaction id:
    /// all that its headers tell. `None` for what has no known type; the body may be cut short.
    pub fn name_of(bytes: &[u8]) -> Option<(&'static str, Version, u32)> {
        let mut r = Reader::request(bytes);
        let version = Version::from_wire(r.u8().ok()?)?;
        r.skip(3).ok()?;
        let xid = r.u32().ok()?;
        let announced = header::read_partial(version, bytes).ok()?;
        Some((announced.spelling.name, version, xid))
    }
}

/// Reads a flow-mod into `fm`, which may hold anything, and gives its transaction id; `None` for any other
/// message, and for one whose headers are wrong. There are so many of them.
pub fn decode_flow_mod(protocol: Protocol, bytes: &[u8], fm: &mut FlowMod) -> Option<Result<u32, DecodeError>> {
    let version = bytes.first().filter(|v| **v == protocol.version.wire()).map(|_| protocol.version)?;
    let a = header::read(version, bytes).ok()?;
    if !matches!(a.spelling.kind, Kind::FlowMod | Kind::NxtFlowMod) {
        return None;
    }
    let xid = Reader::request(bytes.get(4..)?).u32().ok()?;
    let read = flow_mod::read(protocol, a.spelling.kind, a.body, fm);
    Some(read.map(|()| xid).map_err(|error| DecodeError { error, xid }))
}

/// Writes a flow-mod without a [`Message`] around it.
pub fn encode_flow_mod(protocol: Protocol, xid: u32, fm: &FlowMod) -> Result<Vec<u8>, EncodeError> {
    flow_mod::encode(protocol, xid, fm)
}

/// Appends [`Message::BundleAdd`] with a message whose bytes are at hand, under its own transaction id.
pub fn put_bundle_add(out: &mut Vec<u8>, version: Version, id: u32, flags: u16, message: &[u8]) -> Result<(), EncodeError> {
    let xid = message.get(4..8).and_then(|x| x.try_into().ok()).map_or(0, u32::from_be_bytes);
    let start = out.len();
    out.put(&header::write(version, Kind::BundleAdd, xid, false, "bundle addition")?);
    switch::put_bundle_add(out, id, flags, message);
    out.patch_len(start, start + 2)
}

fn one(mut parts: Vec<Vec<u8>>) -> Result<Vec<u8>, EncodeError> {
    match parts.pop() {
        Some(only) if parts.is_empty() => Ok(only),
        _ => Err(EncodeError::TooLong),
    }
}

fn decode(p: Protocol, xid: u32, bytes: &[u8]) -> Result<Message, OfpError> {
    let mut r = Reader::request(bytes);
    let (version, kind, length) = (r.u8()?, r.u8()?, r.u16()?);
    r.skip(4)?;
    if length as usize != bytes.len() {
        return Err(OfpError::OFPBRC_BAD_LEN);
    }
    if kind == HELLO {
        return Ok(Message::Hello(switch::decode_hello(version, r.rest())));
    }
    let known = Version::from_wire(version).filter(|v| *v == p.version || kind == ERROR);
    let version = known.ok_or(OfpError::OFPBRC_BAD_VERSION)?;
    let a = header::read(version, bytes)?;
    body(p, xid, &a)
}

fn body(p: Protocol, xid: u32, a: &Announced<'_>) -> Result<Message, OfpError> {
    let (v, kind, b) = (a.version, a.spelling.kind, a.body);
    let mut r = Reader::request(b);
    Ok(match kind {
        Kind::Hello => Message::Hello(switch::decode_hello(v.wire(), b)),
        Kind::Error => Message::Error(switch::decode_error(v, b)?),
        Kind::EchoRequest => Message::EchoRequest(b.to_vec()),
        Kind::EchoReply => Message::EchoReply(b.to_vec()),
        Kind::FeaturesRequest => Message::FeaturesRequest,
        Kind::FeaturesReply => Message::FeaturesReply(switch::decode_features(v, b)?),
        Kind::GetConfigRequest => Message::GetConfigRequest,
        Kind::GetConfigReply => Message::GetConfigReply(switch::decode_config(v, b)?),
        Kind::SetConfig => {
            switch::check_config(v, b)?;
            Message::SetConfig(switch::decode_config(v, b)?)
        }
        Kind::PacketIn | Kind::NxtPacketIn | Kind::NxtPacketIn2 => {
            Message::PacketIn(Box::new(packet::decode_in(v, kind, b)?))
        }
        Kind::PacketOut => Message::PacketOut(Box::new(packet::decode_out(v, b)?)),
        Kind::FlowRemoved | Kind::NxtFlowRemoved => {
            Message::FlowRemoved(Box::new(flow_stats::decode_removed(v, kind, b)?))
        }
        Kind::PortStatus => Message::PortStatus(port::decode_status(v, b)?),
        Kind::FlowMod | Kind::NxtFlowMod => {
            Message::FlowMod(Box::new(flow_mod::decode(p, kind, b)?))
        }
        Kind::PortMod => Message::PortMod(port::decode_mod(v, b)?),
        Kind::TableMod => Message::TableMod(table::decode_mod(b)?),
        Kind::GroupMod => Message::GroupMod(Box::new(group::decode_mod(v, b)?)),
        Kind::MeterMod => Message::MeterMod(meter::decode_mod(b)?),
        Kind::BarrierRequest => Message::BarrierRequest,
        Kind::BarrierReply => Message::BarrierReply,
        Kind::RoleRequest => Message::RoleRequest(switch::decode_role(b, false)?),
        Kind::RoleReply => Message::RoleReply(switch::decode_role(b, true)?),
        Kind::NxtRoleRequest => Message::RoleRequest(switch::decode_nicira_role(b)?),
        Kind::NxtRoleReply => Message::RoleReply(switch::decode_nicira_role(b)?),
        Kind::GetAsyncRequest => Message::GetAsyncRequest,
        Kind::GetAsyncReply if v == Version::V13 => {
            Message::GetAsyncReply(switch::decode_async(b, false)?)
        }
        Kind::GetAsyncReply => Message::GetAsyncReply(switch::decode_async14(b)?),
        Kind::SetAsync if v == Version::V13 => Message::SetAsync(switch::decode_async(b, false)?),
        Kind::SetAsync | Kind::NxtSetAsync2 => Message::SetAsync(switch::decode_async14(b)?),
        Kind::NxtSetAsync => Message::SetAsync(switch::decode_async(b, true)?),
        Kind::SetFlowFormat => Message::SetFlowFormat { nxm: flow_format(r.u32()?)? },
        Kind::FlowModTableId => Message::FlowModTableId { enabled: r.u8()? != 0 },
        Kind::SetPacketInFormat => Message::SetPacketInFormat(packet_in_format(r.u32()?)?),
        Kind::FlowAge => Message::FlowAge,
        Kind::SetControllerId => {
            r.zeros(6, OfpError::NXBRC_MUST_BE_ZERO)?;
            Message::SetControllerId(r.u16()?)
        }
        Kind::BundleControl => Message::BundleControl(switch::decode_bundle_control(b)?),
        Kind::BundleAdd => Message::BundleAdd(switch::decode_bundle_add(v, xid, b)?),
        Kind::QueueGetConfigRequest => Message::QueueGetConfigRequest(port::number(v, &mut r)?),
        Kind::QueueGetConfigReply => {
            let (of, queues) = queue::decode_reply(v, &mut r)?;
            Message::QueueGetConfigReply(of, queues)
        }
        Kind::TlvTableMod => Message::TlvTableMod(switch::decode_tlv_mod(b)?),
        Kind::TlvTableRequest => Message::TlvTableRequest,
        Kind::TlvTableReply => Message::TlvTableReply(switch::decode_tlv_table(b)?),
        Kind::CtFlushZone => {
            r.zeros(6, OfpError::NXBRC_MUST_BE_ZERO)?;
            Message::CtFlushZone(r.u16()?)
        }
        Kind::CtFlush => Message::CtFlush(Box::new(status::decode_ct_flush(b)?)),
        Kind::Resume => {
            Message::Resume(Box::new(packet::decode_in(v, Kind::NxtPacketIn2, b)?))
        }
        Kind::RoleStatus => Message::RoleStatus(status::decode_role(b)?),
        Kind::TableStatus => Message::TableStatus(status::decode_table(b)?),
        Kind::RequestForward => Message::RequestForward(status::decode_forward(v, b)?),
        Kind::FlowMonitorCancel => Message::FlowMonitorCancel(r.u32()?),
        Kind::FlowMonitorPaused => Message::FlowMonitorPaused,
        Kind::FlowMonitorResumed => Message::FlowMonitorResumed,
        Kind::Unread => Message::Unread { name: a.spelling.name, body: b.to_vec() },
        _ => return statistics(a),
    })
}

fn statistics(a: &Announced<'_>) -> Result<Message, OfpError> {
    if a.is_reply() {
        return stats::decode_reply(a).map(Message::StatsReply);
    }
    stats::decode_request(a).map(Message::StatsRequest)
}

fn flow_format(code: u32) -> Result<bool, OfpError> {
    match code {
        0 => Ok(false),
        2 => Ok(true),
        _ => Err(OfpError::OFPBRC_EPERM),
    }
}

fn packet_in_format(code: u32) -> Result<PacketInFormat, OfpError> {
    match code {
        0 => Ok(PacketInFormat::Standard),
        1 => Ok(PacketInFormat::Nicira),
        2 => Ok(PacketInFormat::Nicira2),
        _ => Err(OfpError::OFPBRC_EPERM),
    }
}

/// The messages that are more than a header and a short body.
fn encode(m: &Message, p: Protocol, xid: u32) -> Result<Vec<u8>, EncodeError> {
    let v = p.version;
    match m {
        Message::Hello(h) => switch::encode_hello(xid, h),
        Message::FlowMod(fm) => flow_mod::encode(p, xid, fm),
        Message::PacketIn(packet_in) => packet::encode_in(v, xid, packet_in),
        Message::Resume(packet_in) => packet::encode_resume(v, xid, packet_in),
        Message::PacketOut(packet_out) => packet::encode_out(v, xid, packet_out),
        Message::FlowRemoved(removed) => flow_stats::encode_removed(p, xid, removed),
        Message::GroupMod(gm) => group::encode_mod(v, xid, gm),
        Message::StatsRequest(q) => stats::encode_request(v, xid, q),
        Message::StatsReply(reply) => one(stats::encode_reply(v, xid, reply)?),
        Message::Unread { name, .. } => Err(EncodeError::NotInVersion(name)),
        _ => {
            let (kind, what) = kind_of(m, v);
            let mut out = header::write(v, kind, xid, false, what)?;
            put_body(&mut out, v, m)?;
            header::finish(out)
        }
    }
}

/// The type of a message with a short body, and its name for people.
fn kind_of(m: &Message, v: Version) -> (Kind, &'static str) {
    match m {
        Message::Error(_) => (Kind::Error, "error"),
        Message::EchoRequest(_) => (Kind::EchoRequest, "echo request"),
        Message::EchoReply(_) => (Kind::EchoReply, "echo reply"),
        Message::FeaturesRequest => (Kind::FeaturesRequest, "features request"),
        Message::FeaturesReply(_) => (Kind::FeaturesReply, "features reply"),
        Message::GetConfigRequest => (Kind::GetConfigRequest, "get-config request"),
        Message::GetConfigReply(_) => (Kind::GetConfigReply, "get-config reply"),
        Message::SetConfig(_) => (Kind::SetConfig, "set-config"),
        Message::PortStatus(_) => (Kind::PortStatus, "port status"),
        Message::PortMod(_) => (Kind::PortMod, "port-mod"),
        Message::TableMod(_) => (Kind::TableMod, "table-mod"),
        Message::MeterMod(_) => (Kind::MeterMod, "meter-mod"),
        Message::BarrierRequest => (Kind::BarrierRequest, "barrier request"),
        Message::BarrierReply => (Kind::BarrierReply, "barrier reply"),
        Message::RoleRequest(r) if r.nicira => (Kind::NxtRoleRequest, "Nicira role request"),
        Message::RoleRequest(_) => (Kind::RoleRequest, "role request"),
        Message::RoleReply(r) if r.nicira => (Kind::NxtRoleReply, "Nicira role reply"),
        Message::RoleReply(_) => (Kind::RoleReply, "role reply"),
        Message::GetAsyncRequest => (Kind::GetAsyncRequest, "get-async request"),
        Message::GetAsyncReply(_) => (Kind::GetAsyncReply, "get-async reply"),
        Message::SetAsync(c) if c.nicira || v < Version::V13 => {
            (Kind::NxtSetAsync, "Nicira set-async")
        }
        Message::SetAsync(_) => (Kind::SetAsync, "set-async"),
        Message::SetFlowFormat { .. } => (Kind::SetFlowFormat, "set-flow-format"),
        Message::FlowModTableId { .. } => (Kind::FlowModTableId, "flow-mod-table-id"),
        Message::SetPacketInFormat(_) => (Kind::SetPacketInFormat, "set-packet-in-format"),
        Message::FlowAge => (Kind::FlowAge, "flow-age"),
        Message::SetControllerId(_) => (Kind::SetControllerId, "set-controller-id"),
        Message::BundleControl(_) => (Kind::BundleControl, "bundle control"),
        Message::BundleAdd(_) => (Kind::BundleAdd, "bundle addition"),
        Message::QueueGetConfigRequest(_) => (Kind::QueueGetConfigRequest, "queue config request"),
        Message::QueueGetConfigReply(..) => (Kind::QueueGetConfigReply, "queue config reply"),
        Message::TlvTableMod(_) => (Kind::TlvTableMod, "TLV table mod"),
        Message::TlvTableRequest => (Kind::TlvTableRequest, "TLV table request"),
        Message::TlvTableReply(_) => (Kind::TlvTableReply, "TLV table reply"),
        Message::CtFlushZone(_) => (Kind::CtFlushZone, "connection flush"),
        Message::CtFlush(_) => (Kind::CtFlush, "connection flush"),
        Message::RoleStatus(_) => (Kind::RoleStatus, "role status"),
        Message::TableStatus(_) => (Kind::TableStatus, "table status"),
        Message::RequestForward(_) => (Kind::RequestForward, "request forward"),
        Message::FlowMonitorCancel(_) => (Kind::FlowMonitorCancel, "flow monitor cancel"),
        Message::FlowMonitorPaused => (Kind::FlowMonitorPaused, "flow monitor pause"),
        Message::FlowMonitorResumed => (Kind::FlowMonitorResumed, "flow monitor resumption"),
        _ => (Kind::Unread, "such message"),
    }
}

fn put_body(out: &mut Vec<u8>, v: Version, m: &Message) -> Result<(), EncodeError> {
    match m {
        Message::Error(e) => switch::encode_error(out, v, e),
        Message::EchoRequest(bytes) | Message::EchoReply(bytes) => out.put(bytes),
        Message::FeaturesReply(f) => switch::encode_features(out, v, f),
        Message::GetConfigReply(c) | Message::SetConfig(c) => switch::encode_config(out, v, c),
        Message::PortStatus(s) => port::encode_status(out, v, s),
        Message::PortMod(pm) => port::encode_mod(out, v, pm)?,
        Message::TableMod(tm) => table::encode_mod(out, v, tm)?,
        Message::MeterMod(mm) => meter::encode_mod(out, mm),
        Message::RoleRequest(r) | Message::RoleReply(r) if r.nicira => {
            switch::encode_nicira_role(out, r);
        }
        Message::RoleRequest(r) | Message::RoleReply(r) => switch::encode_role(out, r),
        Message::SetAsync(c) if c.nicira || v <= Version::V13 => switch::encode_async(out, c),
        Message::GetAsyncReply(c) if v <= Version::V13 => switch::encode_async(out, c),
        Message::SetAsync(c) | Message::GetAsyncReply(c) => switch::encode_async14(out, c)?,
        Message::SetFlowFormat { nxm } => out.u32(if *nxm { 2 } else { 0 }),
        Message::FlowModTableId { enabled } => {
            out.u8(*enabled as u8);
            out.zeros(7);
        }
        Message::SetPacketInFormat(f) => out.u32(match f {
            PacketInFormat::Standard => 0,
            PacketInFormat::Nicira => 1,
            PacketInFormat::Nicira2 => 2,
        }),
        Message::SetControllerId(id) | Message::CtFlushZone(id) => {
            out.zeros(6);
            out.u16(*id);
        }
        Message::BundleControl(c) => switch::encode_bundle_control(out, c),
        Message::BundleAdd(a) => switch::encode_bundle_add(out, a),
        Message::QueueGetConfigRequest(p) => {
            port::put_number(out, v, *p);
            out.zeros(if v == Version::V10 { 2 } else { 4 });
        }
        Message::QueueGetConfigReply(of, queues) => queue::encode_reply(out, v, *of, queues),
        Message::TlvTableMod(t) => switch::encode_tlv_mod(out, t),
        Message::TlvTableReply(t) => switch::encode_tlv_table(out, t),
        Message::CtFlush(f) => status::encode_ct_flush(out, f)?,
        Message::RoleStatus(s) => status::encode_role(out, s),
        Message::TableStatus(s) => status::encode_table(out, s)?,
        Message::RequestForward(f) => out.put(&f.request),
        Message::FlowMonitorCancel(id) => out.u32(*id),
        _ => {}
    }
    Ok(())
}

impl From<StatsReply> for Message {
    fn from(reply: StatsReply) -> Message {
        Message::StatsReply(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::BundleAdd;

    #[test]
    fn an_addition_to_a_bundle_is_the_same_however_it_is_written() {
        for version in [Version::V13, Version::V14, Version::V15] {
            let message = Message::flow_mod(FlowMod::around(Default::default())).encode(version, 77).unwrap();
            let mut put = vec![1, 2, 3];
            put_bundle_add(&mut put, version, 5, 3, &message).unwrap();
            let whole = Message::BundleAdd(BundleAdd { id: 5, flags: 3, message }).encode(version, 77).unwrap();
            assert_eq!(put.get(3..), Some(&whole[..]), "{version:?}");
        }
    }
}

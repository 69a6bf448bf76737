//! Messages printed as `ovs-ofctl` prints them.
//!
//! Purpose: one function from bytes to text, for replies, errors and what an error is about.
//! Invariant: any bytes give some text; what cannot be read is shown in hexadecimal.
//! Deliberately does not know: connections, who asked.

mod bits;
mod flow;
mod group;
mod hex;
mod monitor;
mod packet;
mod port;
mod stats;
mod status;
mod switch;
mod table;

pub use hex::hex_dump;
pub use packet::format_packet;
pub use port::format_port;

use crate::error::OfpError;
use crate::message::{ErrorMessage, Message};
use crate::text::Names;
use crate::version::{Protocol, Version};
use crate::wire::{header_error, stats_flags};
use std::fmt::Write;

/// Prints one message with its name, version and transaction id; ends in a newline.
pub fn format_message(bytes: &[u8], names: &Names) -> String {
    if let Some(text) = impossible_length(bytes) {
        return text;
    }
    let mut out = String::new();
    match unreadable(bytes) {
        None => known(&mut out, bytes, names),
        Some(error) => {
            decode_error(&mut out, error);
            out.push_str(&hex_dump(bytes));
        }
    }
    end_line(&mut out);
    out
}

/// Why not even the headers of a message can be read.
fn unreadable(bytes: &[u8]) -> Option<OfpError> {
    match bytes.first().and_then(|v| Version::from_wire(*v)) {
        Some(version) => header_error(version, bytes),
        None => Some(OfpError::OFPBRC_BAD_VERSION),
    }
}

/// Writes the name, version and transaction id of a message, if its type is known.
fn write_name(out: &mut String, bytes: &[u8]) {
    if let Some((name, version, xid)) = Message::name_of(bytes) {
        let _ = write!(out, "{name}{} (xid={xid:#x}):", version.print_suffix());
    }
}

fn known(out: &mut String, bytes: &[u8], names: &Names) {
    write_name(out, bytes);
    let head = out.len();
    let Some(version) = bytes.first().and_then(|v| Version::from_wire(*v)) else { return };
    write_flags(out, stats_flags(version, bytes));
    // Whether the connection uses table ids cannot be seen here: the high byte of a command is the
    // table, and 0 without them.
    let protocol = Protocol { version, nxm: false, table_id: true };
    let error = match Message::decode(protocol, bytes) {
        Ok((_, message)) => body(out, version, &message, names).err(),
        Err(e) => Some(e.error),
    };
    match error {
        None => trim_space(out),
        Some(error) => {
            if out.len() > head {
                trim_space(out);
                end_line(out);
            } else {
                out.push(' ');
            }
            decode_error(out, error);
            out.push_str(&hex_dump(bytes));
        }
    }
}

/// Writes the flags of statistics, where there are any.
fn write_flags(out: &mut String, (flags, more_known): (u16, bool)) {
    const MORE: u16 = 1;
    if flags == 0 {
        return;
    }
    out.push_str(" flags=");
    let mut rest = flags;
    if more_known && flags & MORE != 0 {
        out.push_str("[more]");
        rest &= !MORE;
    }
    if rest != 0 {
        let _ = write!(out, "[***unknown flags 0x{rest:04x}***]");
    }
}

/// A header whose length is not that of the bytes.
fn impossible_length(bytes: &[u8]) -> Option<String> {
    let Some(&[_, _, high, low, ..]) = bytes.first_chunk::<8>() else {
        return Some(match bytes.len() {
            0 => "OpenFlow message is empty\n".to_string(),
            n => format!("OpenFlow packet too short (only {n} bytes):\n{}", hex_dump(bytes)),
        });
    };
    let (told, len) = (u16::from_be_bytes([high, low]) as usize, bytes.len());
    let text = match told.cmp(&len) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Greater => {
            let mut name = String::new();
            write_name(&mut name, bytes);
            end_line(&mut name);
            format!("{name}(***truncated to {len} bytes from {told}***)\n")
        }
        std::cmp::Ordering::Less => format!("(***only uses {told} bytes out of {len}***)\n"),
    };
    Some(text + &hex_dump(bytes))
}

fn decode_error(out: &mut String, error: OfpError) {
    let _ = writeln!(out, "***decode error: {error}***");
}

fn trim_space(out: &mut String) {
    if out.ends_with(' ') {
        out.pop();
    }
}

fn end_line(out: &mut String) {
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
}

/// Prints what follows the name.
fn body(out: &mut String, v: Version, m: &Message, names: &Names) -> Result<(), OfpError> {
    match m {
        Message::Error(e) => return error_message(out, e, names),
        Message::EchoRequest(bytes) | Message::EchoReply(bytes) => {
            let _ = writeln!(out, " {} bytes of payload", bytes.len());
        }
        Message::Hello(h) => switch::hello(out, h),
        Message::FeaturesReply(f) => switch::features(out, v, f),
        Message::GetConfigReply(c) | Message::SetConfig(c) => switch::config(out, c),
        Message::RoleRequest(r) | Message::RoleReply(r) => switch::role(out, r),
        Message::BundleControl(b) => switch::bundle_control(out, b),
        Message::BundleAdd(b) => {
            out.push_str("\n bundle_id=");
            write_hex(out, b.id);
            switch::bundle_flags(out, b.flags);
            out.push('\n');
            out.push_str(&format_message(&b.message, names));
        }
        Message::SetFlowFormat { nxm } => {
            out.push_str(if *nxm { " format=nxm" } else { " format=openflow10" });
        }
        Message::FlowModTableId { enabled } => {
            out.push_str(if *enabled { " enable" } else { " disable" });
        }
        Message::SetPacketInFormat(f) => switch::packet_in_format(out, *f),
        Message::SetControllerId(id) => {
            let _ = write!(out, " id={id}");
        }
        Message::CtFlushZone(zone) => {
            let _ = write!(out, " zone_id={zone}");
        }
        Message::TlvTableReply(t) => switch::tlv_table(out, t),
        Message::TlvTableMod(t) => status::tlv_mod(out, t),
        Message::RoleStatus(s) => status::role(out, s),
        Message::TableStatus(s) => status::table_status(out, s, names),
        Message::RequestForward(f) => status::forward(out, v, f, names),
        Message::SetAsync(c) | Message::GetAsyncReply(c) => status::async_config(out, c),
        Message::CtFlush(f) => status::ct_flush(out, f),
        Message::FlowMonitorCancel(id) => {
            let _ = write!(out, " id={id}");
        }
        Message::FlowMod(fm) => flow::flow_mod(out, v, fm, names),
        Message::PacketOut(p) => flow::packet_out(out, p, names),
        Message::PacketIn(p) | Message::Resume(p) => flow::packet_in(out, v, p, names)?,
        Message::FlowRemoved(f) => flow::removed(out, f, names),
        Message::PortStatus(s) => port::status(out, s),
        Message::PortMod(m) => port::port_mod(out, m, names),
        Message::TableMod(t) => table::table_mod(out, v, t, names),
        Message::GroupMod(g) => group::group_mod(out, v, g, names),
        Message::MeterMod(m) => group::meter_mod(out, m),
        Message::QueueGetConfigReply(_, queues) => port::queue_configs(out, queues, names),
        Message::QueueGetConfigRequest(p) => {
            out.push_str(" port=");
            names.write_port(out, *p);
        }
        Message::StatsRequest(q) => stats::request(out, q, names),
        Message::StatsReply(r) => stats::reply(out, v, r, names),
        _ => {}
    }
    Ok(())
}

/// Type of error messages.
const ERROR: u8 = 1;

/// Prints an error and the message that it is about.
fn error_message(out: &mut String, e: &ErrorMessage, names: &Names) -> Result<(), OfpError> {
    let error = e.error.ok_or(OfpError::OFPBRC_BAD_LEN)?;
    let _ = writeln!(out, " {error}");
    if error == OfpError::OFPHFC_INCOMPATIBLE || error == OfpError::OFPHFC_EPERM {
        out.push_str(&String::from_utf8_lossy(&e.about));
    } else if e.about.get(1) == Some(&ERROR) {
        // Nobody answers an error with an error; a chain of them could be as deep as it is long.
        out.push_str(&hex_dump(&e.about));
    } else {
        out.push_str(&format_message(&e.about, names));
    }
    Ok(())
}

/// Hexadecimal with `0x`, but a bare `0`.
fn write_hex(out: &mut String, n: u32) {
    let _ = match n {
        0 => write!(out, "0"),
        n => write!(out, "{n:#x}"),
    };
}

/// `12s`, `12.345s`, or as many decimals as it takes.
pub(crate) fn duration(out: &mut String, sec: u32, nsec: u32) {
    let _ = write!(out, "{sec}");
    if nsec > 0 && nsec % 1_000_000 == 0 {
        let _ = write!(out, ".{:03}", nsec / 1_000_000);
    } else if nsec > 0 {
        let decimals = format!("{nsec:09}");
        let _ = write!(out, ".{}", decimals.trim_end_matches('0'));
    }
    out.push('s');
}

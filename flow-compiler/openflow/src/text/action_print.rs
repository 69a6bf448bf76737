//! Actions and instructions, printed.
//!
//! Purpose: the text of a list as `ovs-ofctl dump-flows` has it. Invariant: parsing the text gives
//! the list back. Deliberately does not know: matches, and what a version's encoding changes.

use super::action_misc::{self as misc, write_encap};
use super::names::Names;
use super::{subfield, value_print};
use crate::action::{
    Action, Bundle, Controller, Ct, CtZone, HashFields, Learn, LearnSource, LearnSpec, Multipath,
    Nat, PortNo, Sample, SampleDirection, SetField, SetForm, WideValue, CONTROLLER_WHOLE_PACKET,
};
use crate::field::{Field, SubField};
use crate::wide::Wide;
use std::fmt::Write;
use std::net::IpAddr;

/// Prints a list; an empty one is `drop`.
pub fn format_actions(actions: &[Action], names: &Names) -> String {
    let mut out = String::with_capacity(64);
    list(&mut out, actions, names);
    out
}

fn list(out: &mut String, actions: &[Action], names: &Names) {
    if actions.is_empty() {
        out.push_str("drop");
    }
    for (i, action) in actions.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        one(out, action, names);
    }
}

/// `write!` to a string, which cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

fn one(out: &mut String, action: &Action, names: &Names) {
    match action {
        Action::Output { port, max_len } => output(out, *port, *max_len, names),
        Action::OutputTrunc { port, max_len } => {
            out.push_str("output(port=");
            names.write_port(out, *port);
            put!(out, ",max_len={max_len})");
        }
        Action::OutputReg { src, .. } => slice(out, "output:", *src),
        Action::Controller(c) => controller(out, c),
        Action::Enqueue { port, queue } => {
            out.push_str("enqueue:");
            names.write_port(out, *port);
            put!(out, ":{queue}");
        }
        Action::SetQueue(queue) => put!(out, "set_queue:{queue}"),
        Action::PopQueue => out.push_str("pop_queue"),
        Action::Group(group) => put!(out, "group:{group}"),
        Action::SetVlanVid {
            vid,
            push_vlan_if_needed,
        } => {
            put!(out, "{}_vlan_vid:{vid}", set_or_mod(*push_vlan_if_needed))
        }
        Action::SetVlanPcp {
            pcp,
            push_vlan_if_needed,
        } => {
            put!(out, "{}_vlan_pcp:{pcp}", set_or_mod(*push_vlan_if_needed))
        }
        Action::StripVlan { pop } => out.push_str(if *pop { "pop_vlan" } else { "strip_vlan" }),
        Action::PushVlan(ethertype) => put!(out, "push_vlan:0x{ethertype:x}"),
        Action::SetEthSrc(mac) => hardware(out, "mod_dl_src:", mac),
        Action::SetEthDst(mac) => hardware(out, "mod_dl_dst:", mac),
        Action::SetIpv4Src(ip) => address(out, "mod_nw_src:", *ip),
        Action::SetIpv4Dst(ip) => address(out, "mod_nw_dst:", *ip),
        Action::SetIpDscp(tos) => put!(out, "mod_nw_tos:{tos}"),
        Action::SetIpEcn(ecn) => put!(out, "mod_nw_ecn:{ecn}"),
        Action::SetIpTtl(ttl) => put!(out, "mod_nw_ttl:{ttl}"),
        Action::SetL4Src(port) => put!(out, "mod_tp_src:{port}"),
        Action::SetL4Dst(port) => put!(out, "mod_tp_dst:{port}"),
        Action::SetField(set) => set_field(out, set, names),
        Action::Move { src, dst } => {
            slice(out, "move:", *src);
            slice(out, "->", *dst);
        }
        Action::StackPush(src) => slice(out, "push:", *src),
        Action::StackPop(dst) => slice(out, "pop:", *dst),
        Action::DecTtl {
            controllers,
            with_ids: true,
        } => {
            out.push_str("dec_ttl(");
            separated(out, controllers, |out, id| put!(out, "{id}"));
            out.push(')');
        }
        Action::DecTtl { .. } => out.push_str("dec_ttl"),
        Action::SetMplsLabel(label) => put!(out, "set_mpls_label({label})"),
        Action::SetMplsTc(tc) => put!(out, "set_mpls_tc({tc})"),
        Action::SetMplsTtl(ttl) => put!(out, "set_mpls_ttl({ttl})"),
        Action::DecMplsTtl => out.push_str("dec_mpls_ttl"),
        Action::CopyTtlOut => out.push_str("copy_ttl_out"),
        Action::CopyTtlIn => out.push_str("copy_ttl_in"),
        Action::PushMpls(ethertype) => put!(out, "push_mpls:0x{ethertype:04x}"),
        Action::PushPbb => out.push_str("push_pbb:0x88e7"),
        Action::PopPbb => out.push_str("pop_pbb"),
        Action::PopMpls(ethertype) => put!(out, "pop_mpls:0x{ethertype:04x}"),
        Action::SetTunnel { id, wide } => {
            out.push_str(if *wide {
                "set_tunnel64:"
            } else {
                "set_tunnel:"
            });
            value_print::hexadecimal(out, u128::from(*id));
        }
        Action::Resubmit {
            in_port,
            table,
            with_ct_orig,
        } => resubmit(out, *in_port, *table, *with_ct_orig, names),
        Action::Learn(l) => learn(out, l, names),
        Action::Conjunction {
            id,
            clause,
            n_clauses,
        } => {
            put!(
                out,
                "conjunction({id},{}/{n_clauses})",
                u16::from(*clause) + 1
            )
        }
        Action::Multipath(m) => multipath(out, m),
        Action::Bundle(b) => bundle(out, b, names),
        Action::Note(bytes) => {
            out.push_str("note:");
            dotted(out, bytes);
        }
        Action::Exit => out.push_str("exit"),
        Action::FinTimeout { idle, hard } => fin_timeout(out, *idle, *hard),
        Action::Sample(s) => sample(out, s, names),
        Action::Ct(c) => ct(out, c, names),
        Action::Nat(n) => nat(out, n),
        Action::CtClear => out.push_str("ct_clear"),
        Action::Clone(actions) => wrapped(out, "clone(", actions, names),
        Action::Encap(e) => write_encap(out, e),
        Action::Decap {
            new_packet_type: None,
        } => out.push_str("decap()"),
        Action::Decap {
            new_packet_type: Some(kind),
        } => {
            put!(out, "decap(packet_type(ns={},type=", kind >> 16);
            value_print::hexadecimal(out, u128::from(kind & 0xffff));
            out.push_str("))");
        }
        Action::DecNshTtl => out.push_str("dec_nsh_ttl"),
        Action::CheckPktLarger { len, dst } => {
            put!(out, "check_pkt_larger({len})");
            slice(out, "->", *dst);
        }
        Action::DeleteField(field) => put!(out, "delete_field:{}", field.info().name),
        Action::DebugRecirc => out.push_str("debug_recirc"),
        Action::DebugSlow => out.push_str("debug_slow"),
        Action::Meter(meter) => put!(out, "meter:{meter}"),
        Action::ClearActions => out.push_str("clear_actions"),
        Action::WriteActions(actions) => wrapped(out, "write_actions(", actions, names),
        Action::WriteMetadata { value, mask } => {
            out.push_str("write_metadata:");
            value_print::hexadecimal(out, u128::from(*value));
            if *mask != u64::MAX {
                out.push('/');
                value_print::hexadecimal(out, u128::from(*mask));
            }
        }
        Action::GotoTable(table) => {
            out.push_str("goto_table:");
            names.write_table(out, *table);
        }
    }
}

fn set_or_mod(push_vlan_if_needed: bool) -> &'static str {
    if push_vlan_if_needed {
        "mod"
    } else {
        "set"
    }
}

fn separated<T>(out: &mut String, items: &[T], write: impl Fn(&mut String, &T)) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(out, item);
    }
}

fn wrapped(out: &mut String, word: &str, actions: &[Action], names: &Names) {
    out.push_str(word);
    list(out, actions, names);
    out.push(')');
}

fn slice(out: &mut String, word: &str, slice: SubField) {
    out.push_str(word);
    subfield::write(out, slice);
}

fn hardware(out: &mut String, word: &str, mac: &[u8; 6]) {
    out.push_str(word);
    let value = mac.iter().fold(0, |v, b| v << 8 | u64::from(*b));
    value_print::mac(out, value);
}

fn address(out: &mut String, word: &str, ip: u32) {
    out.push_str(word);
    value_print::ipv4(out, ip, u32::MAX);
}

fn dotted(out: &mut String, bytes: &[u8]) {
    for (i, byte) in bytes.iter().enumerate() {
        put!(out, "{}{byte:02x}", if i > 0 { "." } else { "" });
    }
}

fn output(out: &mut String, port: PortNo, max_len: u16, names: &Names) {
    if port.0 < PortNo::MAX.0 {
        out.push_str("output:");
    }
    names.write_port(out, port);
    if port == PortNo::CONTROLLER {
        put!(out, ":{max_len}");
    }
}

fn controller(out: &mut String, c: &Controller) {
    let plain = c.reason == misc::REASON_ACTION
        && c.id == 0
        && c.userdata.is_empty()
        && !c.pause
        && c.meter_id.is_none();
    if plain {
        return put!(out, "CONTROLLER:{}", c.max_len);
    }
    out.push_str("controller(");
    if c.reason != misc::REASON_ACTION {
        match misc::REASONS.get(usize::from(c.reason)) {
            Some(reason) => put!(out, "reason={reason},"),
            None => put!(out, "reason={},", c.reason),
        }
    }
    if c.max_len != CONTROLLER_WHOLE_PACKET {
        put!(out, "max_len={},", c.max_len);
    }
    if c.id != 0 {
        put!(out, "id={},", c.id);
    }
    if !c.userdata.is_empty() {
        out.push_str("userdata=");
        dotted(out, &c.userdata);
        out.push(',');
    }
    if c.pause {
        out.push_str("pause,");
    }
    if let Some(meter) = c.meter_id {
        put!(out, "meter_id={meter},");
    }
    close(out);
}

/// A comma at the end becomes the closing parenthesis; without one it is added.
fn close(out: &mut String) {
    if out.ends_with(',') {
        out.pop();
    }
    out.push(')');
}

fn set_field(out: &mut String, set: &SetField, names: &Names) {
    let (WideValue::Small(value), WideValue::Small(mask)) = (&set.value, &set.mask) else {
        return set_option(out, set);
    };
    match set.form {
        SetForm::SetField | SetForm::Load2 => {
            out.push_str("set_field:");
            value_print::write(out, set.field, *value, *mask, names);
            put!(out, "->{}", set.field.info().name);
        }
        SetForm::Load => loads(out, set, *value, *mask),
    }
}

/// One `load` for each run of bits, of at most 64.
fn loads(out: &mut String, set: &SetField, value: u128, mask: u128) {
    let mut rest = mask;
    let mut between = "";
    while rest != 0 {
        let start = rest.trailing_zeros();
        let width = (rest >> start).trailing_ones().min(64);
        let bits = u128::MAX >> (128 - width);
        put!(out, "{between}load:");
        value_print::hexadecimal(out, value >> start & bits);
        let dst = SubField {
            field: set.field,
            start: start as u16,
            width: width as u16,
        };
        slice(out, "->", dst);
        rest &= !(bits << start);
        between = ",";
    }
}

/// A value of a tunnel option.
fn set_option(out: &mut String, set: &SetField) {
    let (value, mask) = (Wide::from(&set.value), Wide::from(&set.mask));
    if set.form == SetForm::Load {
        return option_loads(out, set.field, &value, &mask);
    }
    put!(out, "set_field:{}", value.hex());
    if mask != Wide::ONES {
        put!(out, "/{}", mask.hex());
    }
    put!(out, "->{}", set.field.info().name);
}

fn option_loads(out: &mut String, field: Field, value: &Wide, mask: &Wide) {
    let mut start = 0;
    let mut between = "";
    while start < mask.significant_bits() {
        let width = mask.bits(start, 64).trailing_ones() as u16;
        if width == 0 {
            start += 1;
            continue;
        }
        put!(out, "{between}load:");
        value_print::hexadecimal(out, value.bits(start, width));
        slice(out, "->", SubField { field, start, width });
        between = ",";
        start += width;
    }
}

fn resubmit(
    out: &mut String,
    in_port: Option<PortNo>,
    table: Option<u8>,
    with_ct_orig: bool,
    names: &Names,
) {
    if let (Some(port), None) = (in_port, table) {
        out.push_str("resubmit:");
        return names.write_port(out, port);
    }
    out.push_str("resubmit(");
    if let Some(port) = in_port {
        names.write_port(out, port);
    }
    out.push(',');
    if let Some(table) = table {
        names.write_table(out, table);
    }
    out.push_str(if with_ct_orig { ",ct)" } else { ")" });
}

#[path = "action_print_long.rs"]
mod long;
use long::{bundle, ct, fin_timeout, learn, multipath, nat, sample};

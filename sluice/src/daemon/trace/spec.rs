//! Packets in words: `tcp,in_port=p1,tp_dst=80`, and the datapath's `in_port(1),eth(...)`.
//!
//! Invariant: what cannot be understood is refused with Open vSwitch's text.
//! Deliberately does not know: rules.

use std::sync::Arc;

use sluice_flow::key::slot;
use sluice_flow::options::OptionMap;
use sluice_flow::BridgeIdx;
use sluice_openflow::text::{parse_option, parse_value, Names};
use sluice_openflow::{Field, PortNo};

use super::packet::Packet;
use super::ports::datapath_number;
use super::request::default_port;
use crate::daemon::switch::Switch;

/// Words that stand for an Ethernet type and an IP protocol.
const PROTOCOLS: [(&str, u64, u64); 17] = [
    ("ip", 0x0800, 0),
    ("ipv4", 0x0800, 0),
    ("ip4", 0x0800, 0),
    ("arp", 0x0806, 0),
    ("icmp", 0x0800, 1),
    ("tcp", 0x0800, 6),
    ("udp", 0x0800, 17),
    ("sctp", 0x0800, 132),
    ("ipv6", 0x86dd, 0),
    ("ip6", 0x86dd, 0),
    ("icmp6", 0x86dd, 58),
    ("tcp6", 0x86dd, 6),
    ("udp6", 0x86dd, 17),
    ("sctp6", 0x86dd, 132),
    ("rarp", 0x8035, 0),
    ("mpls", 0x8847, 0),
    ("mplsm", 0x8848, 0),
];

/// A packet in the words of OpenFlow.
pub(super) fn exact_flow(text: &str, options: &Arc<OptionMap>, names: &Names) -> Result<Packet, String> {
    let mut packet = Packet { options: Some(options.clone()), ..Packet::ZERO };
    for (key, value) in pairs(text) {
        if let Some((_, eth_type, protocol)) = PROTOCOLS.iter().find(|(name, ..)| *name == key) {
            if packet.eth_type() != 0 {
                return Err(format!("{text}: Ethernet type set multiple times"));
            }
            packet.set(slot::ETH_TYPE, *eth_type);
            if *protocol != 0 && packet.protocol() != 0 {
                return Err(format!("{text}: network protocol set multiple times"));
            }
            if *protocol != 0 {
                packet.set(slot::NW_PROTO, *protocol);
            }
            continue;
        }
        if key == "eth" {
            continue;
        }
        take_field(text, key, value, &mut packet, names)?;
    }
    default_port(&mut packet);
    Ok(packet)
}

fn take_field(text: &str, key: &str, value: &str, packet: &mut Packet, names: &Names) -> Result<(), String> {
    let Some(field) = Field::by_name(key) else {
        if inner_tag(key, value, packet) {
            return Ok(());
        }
        return Err(format!("{text}: unknown field {key}"));
    };
    if !packet.has(field) {
        return Err(format!("{text}: prerequisites not met for setting {key}"));
    }
    if let Some(n) = field.option_number() {
        if packet.get(slot::tun_option_present(n)) != 0 {
            return Err(format!("{text}: field {key} set multiple times"));
        }
        let bad = |e: sluice_openflow::text::TextError| format!("{text}: bad value for {key} ({})", e.ovs_text());
        let value = parse_option(field, value).map_err(bad)?;
        packet.set_option(n, &value);
        return Ok(());
    }
    let tag_only = matches!(field, Field::DL_VLAN | Field::DL_VLAN_PCP | Field::VLAN_PCP | Field::VLAN_VID);
    if !tag_only && packet.read(field.whole()) != 0 {
        return Err(format!("{text}: field {key} set multiple times"));
    }
    let value = parse_value(field, value, names).map_err(|e| format!("{text}: bad value for {key} ({})", e.ovs_text()))?;
    let value = if field == Field::DL_VLAN { value | 0x1000 } else { value };
    if packet.write_bits(field, value, field.ones() | if field == Field::DL_VLAN { 0x1000 } else { 0 }) {
        return Ok(());
    }
    Err(format!("{text}: field {key} is not supported yet"))
}

/// The second VLAN tag, which has no field of its own.
fn inner_tag(key: &str, value: &str, packet: &mut Packet) -> bool {
    let number = |t: &str| match t.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => t.parse().ok(),
    };
    let Some(value) = number(value) else { return false };
    let tci = match key {
        "vlan_tci1" => value,
        "dl_vlan1" => packet.inner.1 & 0xe000 | value & 0xfff | 0x1000,
        "dl_vlan_pcp1" => packet.inner.1 & 0xfff | value << 13 | 0x1000,
        _ => return false,
    };
    packet.inner = (if tci == 0 { 0 } else { 0x8100 }, tci);
    true
}

/// `key=value`, `key(value)` and `key`, separated by commas and blanks outside of brackets.
fn pairs(text: &str) -> Vec<(&str, &str)> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t', '\n', '\r']);
        if rest.is_empty() {
            return out;
        }
        let mut depth = 0usize;
        let end = rest.find(|c| {
            depth = match c {
                '(' => depth + 1,
                ')' => depth.saturating_sub(1),
                _ => depth,
            };
            depth == 0 && matches!(c, ',' | ' ' | '\t' | '\n' | '\r')
        });
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        out.push(match word.find(['=', '(']) {
            Some(at) if word.get(at..at + 1) == Some("(") => (word.get(..at).unwrap_or(""), word.get(at + 1..).unwrap_or("").trim_end_matches(')')),
            Some(at) => (word.get(..at).unwrap_or(""), word.get(at + 1..).unwrap_or("")),
            None => (word, ""),
        });
    }
}

/// Names of the bits of a connection's state.
pub(super) const CT_STATES: [&str; 8] = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];

/// `trk,new` or `trk|new`.
pub(super) fn ct_state(text: &str) -> Result<u32, String> {
    let mut state = 0;
    for word in text.split([',', '|', ' ']).filter(|w| !w.is_empty()) {
        let bit = CT_STATES.iter().position(|name| *name == word);
        state |= 1u32 << bit.ok_or_else(|| format!("{word}: unknown connection tracking state flag"))?;
    }
    let has = |name: &str| CT_STATES.iter().position(|n| *n == name).is_some_and(|i| state & (1 << i) != 0);
    if state != 0 && !has("trk") {
        return Err("invalid connection state: If \"trk\" is unset, no other flags are set".to_string());
    }
    if has("inv") && state & !0x30 != 0 {
        return Err("invalid connection state: when \"inv\" is set, only \"trk\" may be set".to_string());
    }
    if has("new") && has("est") {
        return Err("invalid connection state: \"new\" and \"est\" are mutually exclusive".to_string());
    }
    if has("new") && has("rpl") {
        return Err("invalid connection state: \"new\" and \"rpy\" are mutually exclusive".to_string());
    }
    Ok(state)
}

/// A packet in the words of the datapath; the port tells the bridge.
pub(super) fn datapath_flow(switch: &Switch, text: &str) -> Result<(BridgeIdx, Packet), String> {
    if !text.contains('(') {
        return Err("syntax error at ".to_string() + text);
    }
    let mut packet = Packet::ZERO;
    let mut place = None;
    for (key, value) in pairs(text) {
        match key {
            "in_port" => place = Some(find_port(switch, value).ok_or_else(|| format!("{value}: no such port of the datapath"))?),
            _ => take_header(key, value, &mut packet)?,
        }
    }
    let (bridge, number) = place.ok_or("no in_port in the flow")?;
    packet.set(slot::IN_PORT, u64::from(number.0));
    Ok((bridge, packet))
}

fn find_port(switch: &Switch, text: &str) -> Option<(BridgeIdx, PortNo)> {
    let fits = |name: &str, number: Option<u32>| name == text || number.is_some_and(|n| text.parse() == Ok(n));
    let mut ports = switch.bridges().flat_map(|b| b.ports.values().map(move |p| (b.index, p)));
    ports.find(|(_, p)| fits(&p.name, datapath_number(p))).map(|(b, p)| (b, p.number))
}

fn take_header(key: &str, value: &str, packet: &mut Packet) -> Result<(), String> {
    let fields: &[(&str, Field)] = match key {
        "eth" => &[("src", Field::ETH_SRC), ("dst", Field::ETH_DST)],
        "eth_type" => &[("", Field::ETH_TYPE)],
        "ipv4" => &[("src", Field::IP_SRC), ("dst", Field::IP_DST), ("proto", Field::NW_PROTO), ("tos", Field::NW_TOS), ("ttl", Field::NW_TTL), ("frag", Field::IP_FRAG)],
        "ipv6" => &[("src", Field::IPV6_SRC), ("dst", Field::IPV6_DST), ("label", Field::IPV6_LABEL), ("proto", Field::NW_PROTO), ("tclass", Field::NW_TOS), ("hlimit", Field::NW_TTL), ("frag", Field::IP_FRAG)],
        "tcp" | "udp" | "sctp" => &[("src", Field::TCP_SRC), ("dst", Field::TCP_DST)],
        "icmp" | "icmpv6" => &[("type", Field::TCP_SRC), ("code", Field::TCP_DST)],
        "arp" => &[("sip", Field::ARP_SPA), ("tip", Field::ARP_TPA), ("op", Field::ARP_OP), ("sha", Field::ARP_SHA), ("tha", Field::ARP_THA)],
        "vlan" => &[("vid", Field::DL_VLAN), ("pcp", Field::DL_VLAN_PCP)],
        "tcp_flags" => &[("", Field::TCP_FLAGS)],
        "recirc_id" | "dp_hash" | "skb_priority" | "skb_mark" | "ct_state" | "ct_zone" | "ct_mark" | "ct_label" | "packet_type" => &[],
        "encap" => {
            return pairs(value).into_iter().try_for_each(|(key, value)| take_header(key, value, packet));
        }
        other => return Err(format!("syntax error at {other}")),
    };
    let parts = value.split(',').map(|part| part.split_once('=').unwrap_or(("", part)));
    for (name, text) in parts {
        let Some((_, field)) = fields.iter().find(|(n, _)| *n == name) else { continue };
        let text = text.split('/').next().unwrap_or(text);
        let value = parse_value(*field, text, &Names::new()).map_err(|e| e.ovs_text().to_string())?;
        packet.write_bits(*field, if *field == Field::DL_VLAN { value | 0x1000 } else { value }, u128::MAX);
    }
    Ok(())
}

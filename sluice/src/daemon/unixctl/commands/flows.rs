//! Commands that show cached flows.
//!
//! Purpose: the form of `dpctl/dump-flows`. One line tells of all flows that come in by the same port
//! and have the same verdict: what they have in common, and what is done to them.
//! Invariant: counts are of the verdict.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_engine::worker::flows::CachedFlows;
use sluice_flow::key::slot;
use sluice_flow::{Op, Slot};
use sluice_openflow::text::{parse_match, Names};
use sluice_openflow::{Match, PortNo};

use super::datapath::names_us;
use super::switching::mac;
use super::{Console, Reply};
use crate::daemon::trace::ports::{datapath_names, datapath_number};

pub(super) fn dump(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let filter = match words.iter().find_map(|w| w.strip_prefix("filter=")).map(|text| Filter::read(console, text)).transpose() {
        Ok(filter) => filter,
        Err(e) => return Reply::Error(format!("Failed to parse filter ({e})")),
    };
    if let Err(e) = names_us(words) {
        return Reply::Error(e);
    }
    let names = words.iter().any(|w| matches!(*w, "--names" | "-m" | "--more"));
    let mut out = "flow-dump from the worker:\n".to_string();
    out += &lines(console, names, |f| filter.as_ref().is_none_or(|wanted| wanted.admits(console, f)));
    Reply::Text(out)
}

/// A match in OpenFlow's words; `in_port` is a number or a name of the datapath.
struct Filter(Match);

impl Filter {
    fn read(console: &Console<'_>, text: &str) -> Result<Filter, String> {
        let mut names = Names::new();
        datapath_names(console.switch).iter().for_each(|(number, name)| names.add_port(PortNo(*number), name));
        parse_match(text, &names).map(Filter).map_err(|e| e.to_string())
    }

    /// Nothing that the flows have in common contradicts the filter, as in Open vSwitch.
    fn admits(&self, console: &Console<'_>, flows: &CachedFlows) -> bool {
        let Filter(Match { value, mask, .. }) = self;
        let same_port = || {
            let (bridge, number) = flows.ingress?;
            let port = console.switch.bridge(bridge)?.ports.get(&PortNo(number))?;
            Some(u64::from(datapath_number(port)?) == value.get(slot::IN_PORT))
        };
        if mask.get(slot::IN_PORT) != 0 && same_port() != Some(true) {
            return false;
        }
        let mut mask = *mask;
        mask.set(slot::IN_PORT, 0);
        let bits = mask.words.iter().zip(&flows.mask.words).zip(value.words.iter().zip(&flows.key.words));
        bits.into_iter().all(|((mask, known), (wanted, has))| (wanted ^ has) & mask & known == 0)
    }
}

pub(super) fn dump_bridge(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let Some(name) = words.iter().find(|w| !w.starts_with('-')) else { return Reply::Error("missing bridge name".to_string()) };
    let Some(bridge) = console.switch.bridge_by_name(name).map(|b| b.index) else { return Reply::Error("no such bridge".to_string()) };
    let names = words.contains(&"--names");
    Reply::Text(lines(console, names, |f| f.ingress.is_some_and(|(of, _)| of == bridge)))
}

fn lines(console: &Console<'_>, names: bool, wanted: impl Fn(&CachedFlows) -> bool) -> String {
    console.switch.cached_flows().filter(|f| wanted(f)).map(|f| line(console, f, names)).collect()
}

fn line(console: &Console<'_>, flows: &CachedFlows, names: bool) -> String {
    let recirculated = u8::from(flows.resumed);
    let mut out = format!("recirc_id({recirculated}),in_port({}),packet_type(ns=0,id=0)", in_port(console, flows, names));
    out += &headers(flows);
    let used = match flows.last_ms {
        0 => "never".to_string(),
        at => format!("{:.3}s", console.now_ms.saturating_sub(at) as f64 / 1000.0),
    };
    let ports = datapath_names(console.switch);
    let port = |device: u16| {
        let number = u32::from(device) + 1;
        ports.get(&number).filter(|_| names).cloned().unwrap_or_else(|| number.to_string())
    };
    let mut actions = actions_text(&flows.verdict.ops, &port);
    if actions.is_empty() {
        actions = flows.verdict.drop.map_or("drop".to_string(), |why| format!("drop({})", why.name()));
    }
    let _ = writeln!(out, ", flows:{}, packets:{}, bytes:{}, used:{used}, actions:{actions}", flows.flows, flows.packets, flows.bytes);
    out
}

fn in_port(console: &Console<'_>, flows: &CachedFlows, names: bool) -> String {
    let Some((bridge, number)) = flows.ingress else { return "underlay".to_string() };
    let port = console.switch.bridge(bridge).and_then(|b| b.ports.get(&PortNo(number)));
    match port {
        Some(port) if names => port.name.clone(),
        Some(port) => datapath_number(port).map_or("none".to_string(), |n| n.to_string()),
        None => "any".to_string(),
    }
}

/// The headers that the flows have in common.
fn headers(flows: &CachedFlows) -> String {
    let mut out = String::new();
    let value = |place: Slot| flows.key.get_wide(place);
    let mask = |place: Slot| flows.mask.get_wide(place);
    let mut group = |name: &str, parts: Vec<Option<String>>| {
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if !parts.is_empty() {
            let _ = write!(out, ",{name}({})", parts.join(","));
        }
    };
    let part = |name: &str, place: Slot, form: fn(u128) -> String| {
        let (v, m) = (value(place), mask(place));
        (m != 0).then(|| if m == place.ones() { format!("{name}={}", form(v)) } else { format!("{name}={}/{}", form(v), form(m)) })
    };
    let decimal = |v: u128| v.to_string();
    let hex = |v: u128| if v == 0 { "0".to_string() } else { format!("0x{v:x}") };
    let hw = |v: u128| mac(v as u64);
    let v4 = |v: u128| Ipv4Addr::from(v as u32).to_string();
    let v6 = |v: u128| Ipv6Addr::from(v).to_string();
    group("eth", vec![part("src", slot::ETH_SRC, hw), part("dst", slot::ETH_DST, hw)]);
    if value(slot::VLAN_PRESENT) == 1 {
        group("vlan", vec![part("vid", slot::VLAN_VID, decimal), part("pcp", slot::VLAN_PCP, decimal)]);
    }
    if mask(slot::ETH_TYPE) != 0 {
        group("eth_type", vec![Some(format!("0x{:04x}", value(slot::ETH_TYPE)))]);
    }
    let common = |tos: &str, ttl: &str| vec![part("proto", slot::NW_PROTO, decimal), part(tos, slot::NW_TOS, hex), part(ttl, slot::NW_TTL, decimal)];
    match value(slot::ETH_TYPE) {
        0x0800 => {
            let mut parts = vec![part("src", slot::NW_SRC, v4), part("dst", slot::NW_DST, v4)];
            parts.extend(common("tos", "ttl"));
            group("ipv4", parts);
        }
        0x86dd => {
            let mut parts = vec![part("src", slot::IPV6_SRC, v6), part("dst", slot::IPV6_DST, v6)];
            parts.extend(common("tclass", "hlimit"));
            group("ipv6", parts);
        }
        0x0806 => group("arp", vec![part("sip", slot::NW_SRC, v4), part("tip", slot::NW_DST, v4), part("op", slot::NW_PROTO, decimal)]),
        _ => {}
    }
    let transport = match value(slot::NW_PROTO) {
        6 => "tcp",
        17 => "udp",
        132 => "sctp",
        1 | 58 => "icmp",
        _ => return out,
    };
    let words = if transport == "icmp" { ["type", "code"] } else { ["src", "dst"] };
    group(transport, vec![part(words[0], slot::TP_SRC, decimal), part(words[1], slot::TP_DST, decimal)]);
    out
}

/// What a verdict does, in the datapath's words where it has any.
fn actions_text(ops: &[Op], port: &impl Fn(u16) -> String) -> String {
    let one = |op: &Op| match op {
        Op::Output(device) => port(*device),
        Op::OutputTruncated { port: device, max_len } => format!("trunc({max_len}),{}", port(*device)),
        Op::Branch(inner) => format!("clone({})", actions_text(inner, port)),
        Op::Copy(inner) => format!("mirror({})", actions_text(inner, port)),
        Op::Set { slot, value, .. } => format!("set({}=0x{value:x})", place_name(*slot)),
        Op::Move { src, dst } => format!("move({}->{})", place_name(*src), place_name(*dst)),
        Op::PushVlan { tpid: 0x8100, tci } => format!("push_vlan(vid={},pcp={})", tci & 0xfff, tci >> 13),
        Op::PushVlan { tpid, tci } => format!("push_vlan(tpid=0x{tpid:04x},vid={},pcp={})", tci & 0xfff, tci >> 13),
        Op::PopVlan => "pop_vlan".to_string(),
        Op::PushMpls { eth_type, entry } => {
            format!("push_mpls(label={},tc={},ttl={},bos={},eth_type=0x{eth_type:x})", entry >> 12, entry >> 9 & 7, entry & 0xff, entry >> 8 & 1)
        }
        Op::PopMpls { eth_type } => format!("pop_mpls(eth_type=0x{eth_type:x})"),
        Op::IfLonger { than, longer, other } => {
            format!("check_pkt_len(size={than},gt({}),le({}))", actions_text(longer, port), actions_text(other, port))
        }
        Op::DecTtl => "dec_ttl".to_string(),
        Op::Encap(_) => "tnl_push".to_string(),
        Op::Decap => "tnl_pop".to_string(),
        Op::PutTogether => "tnl_pop(fragments)".to_string(),
        Op::Punt { .. } => "userspace(controller)".to_string(),
        Op::Protocol { .. } => "userspace(protocol)".to_string(),
        Op::Meter(meter) => format!("meter({})", meter.place),
        Op::Storm { unicast, .. } => format!("storm({})", if *unicast { "unknown_unicast" } else { "broadcast" }),
        Op::SetQueue(queue) => format!("set(skb_priority({}))", queue.unwrap_or(0)),
        Op::Track(_) => "ct,recirc(0x1)".to_string(),
        Op::Untrack => "ct_clear".to_string(),
        other => format!("{other:?}").split([' ', '(', '{']).next().unwrap_or("").to_lowercase(),
    };
    ops.iter().map(one).collect::<Vec<_>>().join(",")
}

/// The name of the header field at a place.
fn place_name(place: Slot) -> &'static str {
    use sluice_openflow::Field;
    Field::all().find(|f| f.info().slot == Some(place)).map_or("header", |f| f.info().name)
}

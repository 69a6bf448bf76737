//! Made-up worlds of headers with whole packets under them: `encap`, `decap`, network service headers.
//!
//! Purpose: rules that match and change such headers, and packets that have them.
//! Invariant: only actions that the conditions and the actions before them allow; look-ups lead to later
//! tables, so that none loops.
//! Deliberately does not know: any switch.

use sluice_openflow::text::{parse_flow_line, Names};

use super::flows::{mac, Flow};
use super::random::Random;
use super::rules::mac_text;
use super::{topology, Scenario};
use crate::world::{BridgeSpec, Input, World};

const LAST: u8 = 4;
const NSH: u16 = 0x894f;
const PBB: u16 = 0x88e7;

/// What is known of a packet where an action is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// An Ethernet frame, of this type where that is known.
    Frame(Option<u16>),
    /// A packet of this type without Ethernet header.
    Bare(u16),
    /// A label in front of an IPv4 packet.
    LabelledIp,
    Nothing,
}

/// The usual topology, or its first bridge alone: on the way to another bridge a stock switch forgets
/// headers that it still had to write.
pub fn place(alone: bool) -> World {
    let mut world = topology();
    if alone {
        world.bridges.truncate(1);
        world.bridges[0].ports.retain(|p| p.peer.is_none());
    }
    world
}

/// A world of such rules, and exactly `packets` packets for it.
pub fn scenario(seed: u64, mut world: World, rules: usize, packets: usize) -> Result<Scenario, String> {
    let mut r = Random::new(seed ^ 0x0c0e_7501);
    let ports: Vec<(usize, u32)> = (world.bridges.iter().enumerate())
        .flat_map(|(i, b)| b.ports.iter().filter(|p| p.peer.is_none()).map(move |p| (i, p.number)))
        .collect();
    for bridge in &mut world.bridges {
        bridge.text = rule_set(&mut r, bridge, rules);
        let names = Names::new();
        let parse = |l: &String| parse_flow_line(l, &names).map(|p| p.0).map_err(|e| format!("{l}: {e:?}"));
        bridge.rules = bridge.text.iter().map(parse).collect::<Result<_, _>>()?;
    }
    let seen: Vec<Input> = (0..12).map(|_| packet(&mut r, &ports)).collect();
    let packets = (0..packets).map(|_| if r.chance(70) { r.pick(&seen) } else { packet(&mut r, &ports) }).collect();
    Ok(Scenario { world, packets })
}

fn rule_set(r: &mut Random, bridge: &BridgeSpec, n: usize) -> Vec<String> {
    let mut out = Vec::new();
    let backbones = bridge.ports.iter().any(|p| p.peer.is_some());
    for i in 0..n {
        let table = if r.chance(35) { 0 } else { r.below(u64::from(LAST) + 1) as u8 };
        // A stock switch does not know these fields; it gets the first bridge alone.
        let (conditions, known) = match r.below(100) {
            0..12 if backbones => (r.pick(&[",dl_type=0x88e7", ",dl_type=0x88e7,pbb_isid=0", ",dl_type=0x88e7,pbb_isid=5", ",dl_type=0x88e7,pbb_uca=1"]).into(), Known::Frame(Some(PBB))),
            12..24 if backbones => (format!(",ipv6,ipv6_exthdr={}", r.pick(&["0", "0x44", "0x40/0x40", "8/8", "0x10/0x10", "0x80/0x180", "0x100/0x100", "0x1/0x3"])), Known::Frame(Some(0x86dd))),
            _ => conditions(r, table == 0),
        };
        let actions = actions(r, bridge, table, known);
        out.push(format!("table={table},priority={}{conditions},actions={actions}", 10 + 2 * i));
    }
    for table in 0..=LAST {
        let what = match table {
            LAST => r.pick(&["NORMAL", "output:2", "FLOOD"]).to_string(),
            _ => format!("resubmit(,{})", table + 1),
        };
        out.push(format!("table={table},priority=1,actions={what}"));
    }
    out
}

fn conditions(r: &mut Random, first: bool) -> (String, Known) {
    let kinds = if first { 6 } else { 12 };
    let (text, known) = match r.below(kinds) {
        0 => (String::new(), Known::Nothing),
        1 => (format!("in_port={}", r.pick(&[1, 2, 9])), Known::Nothing),
        2 => ("ip".into(), Known::Frame(Some(0x0800))),
        3 => (format!("dl_type=0x894f{}", nsh_conditions(r)), Known::Frame(Some(NSH))),
        4 => (r.pick(&["ipv6", "mpls", "arp"]).into(), Known::Frame(None)),
        5 => (
            r.pick(&["dl_dst=00:00:00:00:00:00/01:00:00:00:00:00", "vlan_tci=0x0000/0x1fff", "vlan_tci=0x1000/0x1000"]).into(),
            Known::Frame(None),
        ),
        6 | 7 => (format!("packet_type=(1,0x894f){}", nsh_conditions(r)), Known::Bare(NSH)),
        8 => ("packet_type=(1,0x800)".to_string() + r.pick(&["", ",nw_ttl=64", ",nw_proto=6", ",nw_dst=10.0.0.0/16"]), Known::Bare(0x0800)),
        9 => ("packet_type=(1,0x86dd)".to_string() + r.pick(&["", ",nw_ttl=64", ",ipv6_dst=2001:db8::/64"]), Known::Bare(0x86dd)),
        10 => ("packet_type=(1,0x8847)".to_string() + r.pick(&["", ",mpls_bos=1", ",mpls_bos=0", ",mpls_label=16"]), Known::Bare(0x8847)),
        _ => (format!("reg0={}", r.below(3)), Known::Nothing),
    };
    (if text.is_empty() { text } else { format!(",{text}") }, known)
}

fn nsh_conditions(r: &mut Random) -> String {
    let all = [
        "nsh_np=3", "nsh_np=1", "nsh_mdtype=1", "nsh_mdtype=2", "nsh_si=255", "nsh_si=7", "nsh_spi=0", "nsh_spi=0x123", "nsh_ttl=63",
        "nsh_flags=0", "nsh_flags=2/2", "nsh_c1=0x5", "nsh_c1=0/0xff", "nsh_c3=0x10/0xf0", "nsh_c4=0",
    ];
    (0..r.below(3)).map(|_| format!(",{}", r.pick(&all))).collect()
}

fn actions(r: &mut Random, bridge: &BridgeSpec, table: u8, mut known: Known) -> String {
    let mut out = Vec::new();
    for _ in 0..1 + r.below(5) {
        out.push(match bridge.ports.iter().any(|p| p.peer.is_some()) && r.chance(20) {
            true => backbone(r, &mut known),
            false => step(r, &mut known),
        });
        if r.chance(12) {
            out.push(output(r, bridge));
        }
    }
    if r.chance(10) {
        let mut inside = known;
        let parts: Vec<String> = (0..2).map(|_| step(r, &mut inside)).collect();
        // Behind a copy that comes out from under a header stock switches do nothing more, and what is still
        // to be put on before a copy is made they put on twice.
        let odd = parts.iter().any(|p| p.starts_with("decap")) || out.iter().any(|a| a.starts_with("encap"));
        if !odd || bridge.ports.iter().any(|p| p.peer.is_some()) {
            out.push(format!("clone({},{})", parts.join(","), output(r, bridge)));
        }
    }
    if matches!(known, Known::Bare(_) | Known::LabelledIp) && r.chance(75) {
        out.push("encap(ethernet)".into());
        out.push(format!("set_field:{}->eth_dst", mac_text(mac(r.below(4) + 1))));
    }
    if table < LAST && r.chance(60) {
        out.push(format!("resubmit(,{})", u64::from(table) + 1 + r.below(u64::from(LAST - table))));
        if r.chance(30) {
            // What the tables did counts here as well.
            out.push(r.pick(&["load:0x2->NXM_NX_REG0[]", "decap(packet_type(ns=0,type=0))", "encap(ethernet)"]).into());
        }
    }
    out.push(output(r, bridge));
    out.join(",")
}

fn output(r: &mut Random, bridge: &BridgeSpec) -> String {
    match r.below(6) {
        0 => "NORMAL".into(),
        1 => "FLOOD".into(),
        _ => format!("output:{}", r.pick(&bridge.ports).number),
    }
}

/// As [`step`], with the tags of backbones, of which stock switches know nothing.
fn backbone(r: &mut Random, known: &mut Known) -> String {
    match *known {
        Known::Frame(Some(PBB)) if r.chance(40) => {
            *known = Known::Nothing;
            "pop_pbb".into()
        }
        Known::Frame(Some(PBB)) if r.chance(80) => {
            r.pick(&["set_field:5->pbb_isid", "set_field:0x100/0xff00->pbb_isid", "set_field:1->pbb_uca", "move:OXM_OF_PBB_ISID[]->NXM_NX_REG0[0..23]"]).into()
        }
        Known::Frame(_) => {
            *known = Known::Frame(Some(PBB));
            "push_pbb:0x88e7".into()
        }
        _ => step(r, known),
    }
}

/// One action, and what is known behind it.
fn step(r: &mut Random, known: &mut Known) -> String {
    match r.below(10) {
        0 | 1 => {
            // Stock switches stop where they are not told what is under a label.
            let (next, text) = match *known {
                Known::Frame(Some(t)) => (Known::Bare(t), "decap()"),
                Known::Bare(NSH) => (Known::Nothing, "decap()"),
                Known::LabelledIp => (Known::Nothing, "decap(packet_type(ns=1,type=0x800))"),
                _ => (Known::Nothing, "decap(packet_type(ns=0,type=0))"),
            };
            *known = next;
            text.into()
        }
        2 => {
            *known = Known::Bare(NSH);
            r.pick(&[
                "encap(nsh)",
                "encap(nsh(md_type=1))",
                "encap(nsh(md_type=2))",
                "encap(nsh(md_type=2,tlv(0x1000,10,0x12345678)))",
                "encap(nsh(md_type=2,tlv(0x1000,10,0x123456),tlv(0x2000,20,0xfedcba9876543210)))",
            ])
            .into()
        }
        // Stock switches stop where a labelled frame gets one more label in front, and where a label goes that
        // they had put in front of a service header.
        3 if matches!(known, Known::Frame(Some(0x0800)) | Known::Bare(0x0800 | 0x86dd | 0x8847)) => {
            let eth_type = r.pick(&[0x8847u16, 0x8847, 0x8848]);
            *known = if *known == Known::Bare(0x0800) { Known::LabelledIp } else { Known::Bare(eth_type) };
            (if eth_type == 0x8847 { "encap(mpls)" } else { "encap(mpls_mc)" }).into()
        }
        4 => {
            *known = Known::Frame(None);
            "encap(ethernet)".into()
        }
        3 | 5..=7 => write(r, *known),
        _ => r.pick(&["load:0x1->NXM_NX_REG0[]", "set_field:0x2->reg0", "push:NXM_NX_REG0[],pop:NXM_NX_REG1[]", "move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]"]).into(),
    }
}

fn write(r: &mut Random, known: Known) -> String {
    let nsh = [
        "set_field:0x123->nsh_spi", "set_field:7->nsh_si", "set_field:5->nsh_c1", "set_field:0x10/0xf0->nsh_c3", "set_field:2->nsh_flags",
        "set_field:1/1->nsh_flags", "set_field:1->nsh_ttl", "set_field:40->nsh_ttl", "dec_nsh_ttl", "dec_nsh_ttl",
        "move:NXM_NX_REG0[]->NXOXM_NSH_C2[]", "move:NXOXM_NSH_SI[]->NXM_NX_REG0[0..7]", "move:NXOXM_NSH_C1[0..7]->NXOXM_NSH_C4[8..15]",
        "push:NXOXM_NSH_C1[],pop:NXOXM_NSH_C2[]",
    ];
    let ip4 = ["dec_ttl", "set_field:10.9.9.9->ip_dst", "set_field:9->nw_ttl", "set_field:8->ip_dscp", "move:NXM_OF_IP_SRC[]->NXM_NX_REG0[]"];
    let any = ["set_field:0x2->reg0", "load:0x1->NXM_NX_REG0[]"];
    match known {
        Known::Frame(Some(NSH)) | Known::Bare(NSH) => r.pick(&nsh).into(),
        Known::Frame(Some(0x0800)) | Known::Bare(0x0800) => r.pick(&ip4).into(),
        Known::Bare(0x86dd) => r.pick(&["dec_ttl", "set_field:9->nw_ttl", "set_field:2001:db8::9->ipv6_dst"]).into(),
        Known::LabelledIp | Known::Bare(0x8847 | 0x8848) => r.pick(&["set_field:17->mpls_label", "dec_mpls_ttl", "set_field:3->mpls_tc", "set_field:200->mpls_ttl"]).into(),
        Known::Frame(_) => format!("set_field:{}->eth_src", mac_text(mac(r.below(4) + 1))),
        _ => r.pick(&any).into(),
    }
}

/// A frame, often with a service header or labels around it.
fn packet(r: &mut Random, ports: &[(usize, u32)]) -> Input {
    let flow = Flow { labels: Vec::new(), ..Flow::random(r, ports) };
    let plain = flow.bytes();
    let mut untagged = Flow { vlan: None, ..flow.clone() }.bytes();
    let plain = if r.chance(30) && extend(r, &mut untagged) { untagged.clone() } else { plain };
    let mut bytes = match r.below(5) {
        0 => plain,
        1 | 2 => link(&flow, NSH, &nsh(r, &untagged)),
        3 => {
            let inner = nsh(r, &untagged);
            link(&flow, NSH, &header(r, 4, &inner))
        }
        _ => {
            let label = r.pick(&[0x0001_0140u32, 0x0001_1101, 0x0000_0102]);
            let inner = if r.chance(50) { untagged } else { untagged[14..].to_vec() };
            link(&flow, 0x8847, &[&label.to_be_bytes()[..], &inner].concat())
        }
    };
    if r.chance(8) {
        let backbone = [&[r.below(16) as u8 * 8], &r.pick(&[0u32, 5, 0x123456]).to_be_bytes()[1..]].concat();
        bytes = link(&flow, PBB, &[backbone, bytes].concat());
    }
    if r.chance(4) {
        bytes.truncate(14 + r.below(30) as usize);
    }
    Input { bridge: flow.bridge, port: flow.in_port, bytes }
}

/// Puts up to three extension headers into an untagged IPv6 frame; says whether it was one.
fn extend(r: &mut Random, frame: &mut Vec<u8>) -> bool {
    if frame.get(12..14) != Some(&[0x86, 0xdd]) || frame.len() < 54 {
        return false;
    }
    for _ in 0..1 + r.below(3) {
        let kind = r.pick(&[0u8, 43, 44, 51, 60, 60]);
        let next = std::mem::replace(&mut frame[20], kind);
        let header = match kind {
            43 => [next, 0, 4, 0, 0, 0, 0, 0],
            44 | 51 => [next, 0, 0, 0, 0, 0, 0, 1],
            _ => [next, 0, 1, 4, 0, 0, 0, 0],
        };
        frame.splice(54..54, header);
    }
    let len = (frame.len() - 54) as u16;
    frame[18..20].copy_from_slice(&len.to_be_bytes());
    true
}

fn link(flow: &Flow, eth_type: u16, payload: &[u8]) -> Vec<u8> {
    [&flow.eth_dst.to_be_bytes()[2..], &flow.eth_src.to_be_bytes()[2..], &eth_type.to_be_bytes(), payload].concat()
}

/// A service header around a frame, or around the packet in it.
fn nsh(r: &mut Random, frame: &[u8]) -> Vec<u8> {
    let eth_type = u16::from_be_bytes([frame[12], frame[13]]);
    match (eth_type, r.below(2)) {
        (0x0800, 0) => header(r, 1, &frame[14..]),
        (0x86dd, 0) => header(r, 2, &frame[14..]),
        _ => header(r, 3, frame),
    }
}

fn header(r: &mut Random, next: u8, inner: &[u8]) -> Vec<u8> {
    let md_type = r.pick(&[1u8, 1, 1, 2, 2, 3]);
    let context = match md_type {
        1 => [5u32, 0, 0x10, 0].map(|v| if r.chance(60) { v } else { 0xaabb_cc00 }).iter().flat_map(|c| c.to_be_bytes()).collect(),
        _ => vec![0x5a; 4 * r.below(4) as usize],
    };
    let next = if r.chance(4) { 9 } else { next };
    let version = u16::from(r.chance(2)) << 14;
    let length = (8 + context.len()) as u16 / 4 + if r.chance(2) { 9 } else { 0 };
    let first = version | r.pick(&[0u16, 0, 2]) << 12 | r.pick(&[63u16, 63, 1, 0]) << 6 | length;
    let mut out = first.to_be_bytes().to_vec();
    out.extend([md_type, next]);
    out.extend((r.pick(&[0u32, 0x123]) << 8 | r.pick(&[255, 7])).to_be_bytes());
    out.extend(context);
    out.extend(inner);
    out
}

//! Made-up rules, as text.
//!
//! Purpose: each rule is made from a flow that packets will belong to, so that most packets hit
//! something; between them the rules use every field and action that this interpreter knows.
//! Invariant: legal rules; the priority of a plain rule is unique in its table, so that no answer
//! depends on an order that OpenFlow leaves open.
//! Deliberately does not know: how text is parsed.

use super::flows::{ipv4, ipv6, mac, Flow, Kind};
use super::random::Random;

/// Table that learned rules live in.
pub const LEARNED: u8 = 6;
/// Values that registers and metadata are given.
const STATES: u64 = 3;

/// Writes addresses as text.
pub fn mac_text(m: u64) -> String {
    let b = m.to_be_bytes();
    b[2..].iter().map(|x| format!("{x:02x}")).collect::<Vec<_>>().join(":")
}

fn ipv4_text(n: u8) -> String {
    std::net::Ipv4Addr::from(ipv4(n)).to_string()
}

fn ipv6_text(n: u8) -> String {
    std::net::Ipv6Addr::from(ipv6(n)).to_string()
}

/// Match conditions that the flow fulfils: some of all that could be said.
pub fn conditions(r: &mut Random, f: &Flow, table: u8, wanted: u64) -> Vec<String> {
    let mut all = ethernet(r, f);
    all.extend(state(r, table));
    let (keyword, mut inner) = inner(r, f);
    let mut out = Vec::new();
    if r.chance(75) {
        if let Some(keyword) = keyword {
            out.push(keyword);
            all.extend(inner.iter().cloned());
            all.append(&mut inner);
        }
    }
    for _ in 0..r.below(wanted + 1) {
        if all.is_empty() {
            break;
        }
        let i = r.below(all.len() as u64) as usize;
        let one = all.swap_remove(i);
        let name = |s: &str| s.split(['=', '/']).next().unwrap_or("").to_string();
        if !out.iter().any(|o| clash(&name(o), &name(&one))) {
            out.push(one);
        }
    }
    out
}

/// Two ways of saying something about the same bits.
fn clash(a: &str, b: &str) -> bool {
    let class = |n: &str| match n {
        "vlan_tci" | "dl_vlan" | "vlan_vid" | "dl_vlan_pcp" | "vlan_pcp" => "vlan",
        "nw_tos" | "ip_dscp" => "dscp",
        "reg0" | "reg1" | "xreg0" | "xxreg0" => "reg",
        "reg14" | "reg15" | "xreg7" => "high reg",
        _ => "",
    };
    a == b || (!class(a).is_empty() && class(a) == class(b))
}

fn ethernet(r: &mut Random, f: &Flow) -> Vec<String> {
    let tci = f.vlan.map_or(0, |(vid, pcp)| 0x1000 | vid | pcp << 13);
    let mut all = vec![
        format!("in_port={}", f.in_port),
        format!("in_port={}", f.in_port),
        format!("dl_src={}", mac_text(f.eth_src)),
        format!("dl_dst={}", mac_text(f.eth_dst)),
        format!("dl_src={}/ff:ff:00:00:00:ff", mac_text(f.eth_src & 0xffff_0000_00ff)),
    ];
    let multicast = 0x0100_0000_0000;
    all.push(format!("dl_dst={}/01:00:00:00:00:00", mac_text(f.eth_dst & multicast)));
    match f.vlan {
        Some((vid, pcp)) => {
            all.push(format!("dl_vlan={vid}"));
            all.push(format!("dl_vlan_pcp={pcp}"));
            all.push(format!("vlan_vid={:#x}/0x1fff", 0x1000 | vid));
            all.push(format!("vlan_vid={:#x}/0x1006", 0x1000 | (vid & 6)));
            all.push("vlan_tci=0x1000/0x1000".into());
            all.push(format!("vlan_tci={tci:#x}"));
        }
        None => {
            all.push("vlan_tci=0x0000".into());
            all.push("vlan_tci=0x0000/0x1fff".into());
            all.push("dl_vlan=0xffff".into());
        }
    }
    all.push(format!("vlan_tci={:#x}/{:#x}", tci & 0xf00f, 0xf00f));
    let keep = 3 + r.below(all.len() as u64 - 2) as usize;
    all.truncate(keep.max(9));
    all
}

/// Registers and the like: zero at first, then what rules wrote.
fn state(r: &mut Random, table: u8) -> Vec<String> {
    let v = if table == 0 { 0 } else { r.below(STATES) };
    let n = r.below(14) + 2;
    if table != 0 && r.chance(25) {
        return options(v);
    }
    vec![
        format!("reg0={v:#x}"),
        format!("reg1={v:#x}/0x3"),
        format!("reg{n}=0/0xff000000"),
        format!("xreg0=0/{:#x}", 0xff00_0000_0000u64),
        format!("xxreg0=0/{:#x}", 0xff00u64 << 24),
        format!("metadata={v:#x}"),
        format!("metadata={:#x}/0x1", v & 1),
        format!("tun_id={v:#x}"),
        "tun_id=0/0xff00".into(),
        "tun_src=0.0.0.0/8.0.0.0".into(),
        "tun_dst=0.0.0.0/128.0.0.0".into(),
        "tun_ipv6_src=::/ff00::".into(),
        "tun_ipv6_dst=::/ff00::".into(),
        format!("tun_ipv6_dst=fd00::{v}"),
        format!("tun_ipv6_dst=::{v}/::3"),
        "tun_flags=-oam".into(),
        format!("pkt_mark={v:#x}"),
        "ct_state=-trk".into(),
        "ct_mark=0".into(),
        "ct_zone=0".into(),
        "ct_label=0".into(),
    ]
}

/// Options of a tunnel that nothing came by: only rules can have written them.
fn options(v: u64) -> Vec<String> {
    vec![
        format!("tun_metadata0={v:#x}"),
        "tun_metadata0".into(),
        format!("tun_metadata1={v:#x}/0x3"),
        format!("tun_metadata1={:#x}/0xf00000000", v << 32),
        "tun_metadata5".into(),
        "tun_metadata5=0/0xff000000000000000000000000000000".into(),
    ]
}

/// The word for the protocol and the conditions that need it.
fn inner(r: &mut Random, f: &Flow) -> (Option<String>, Vec<String>) {
    if let Some((label, tc, ttl)) = f.labels.first() {
        let bottom = u8::from(f.labels.len() == 1);
        let all = [
            format!("mpls_label={label}"),
            format!("mpls_tc={tc}"),
            format!("mpls_bos={bottom}"),
            format!("mpls_ttl={ttl}"),
        ];
        return (Some("mpls".into()), all.into());
    }
    let ip = if f.v6 { "ipv6" } else { "ip" };
    let word = match f.kind {
        Kind::Tcp | Kind::FirstFragment => if f.v6 { "tcp6" } else { "tcp" },
        Kind::Udp => if f.v6 { "udp6" } else { "udp" },
        Kind::Sctp => if f.v6 { "sctp6" } else { "sctp" },
        Kind::Icmp => "icmp",
        Kind::Icmp6 | Kind::Solicit | Kind::Advert => "icmp6",
        Kind::Arp => "arp",
        Kind::OtherEther => return (Some("dl_type=0x88b5".into()), Vec::new()),
        Kind::OtherIp | Kind::LaterFragment => ip,
    };
    if f.kind == Kind::Arp {
        return (Some("arp".into()), arp(f));
    }
    let general = r.chance(30);
    let mut all = network(f);
    if general || word == ip {
        let proto = if f.kind == Kind::LaterFragment && f.v6 { 44 } else { f.proto().unwrap_or(0) };
        all.push(format!("nw_proto={proto}"));
        return (Some(ip.into()), all);
    }
    all.extend(transport(f));
    let nd = matches!(f.kind, Kind::Solicit | Kind::Advert);
    if nd && r.chance(70) {
        let kind = if f.kind == Kind::Solicit { 135 } else { 136 };
        all.retain(|c| !c.starts_with("icmp"));
        all.extend(neighbour(f));
        return (Some(format!("icmp6,icmpv6_type={kind},icmpv6_code=0")), all);
    }
    (Some(word.into()), all)
}

fn arp(f: &Flow) -> Vec<String> {
    vec![
        format!("arp_op={}", f.arp_op),
        format!("arp_spa={}", ipv4_text(f.src)),
        format!("arp_spa={}/255.0.0.252", std::net::Ipv4Addr::from(u32::from_be_bytes(ipv4(f.src)) & 0xff00_00fc)),
        format!("arp_tpa={}", ipv4_text(f.dst)),
        format!("arp_sha={}", mac_text(f.eth_src)),
        format!("arp_tha={}", mac_text(mac(u64::from(f.dst % 5)))),
    ]
}

fn network(f: &Flow) -> Vec<String> {
    let fragment = match f.kind {
        Kind::FirstFragment => "first",
        Kind::LaterFragment => "later",
        _ => "no",
    };
    let mut all = vec![
        format!("nw_tos={}", f.tos & 0xfc),
        format!("ip_dscp={}", f.tos >> 2),
        format!("nw_ecn={}", f.tos & 3),
        format!("nw_ttl={}", f.ttl),
        format!("nw_frag={fragment}"),
    ];
    if fragment != "no" {
        all.push("nw_frag=yes".into());
    } else {
        all.push("nw_frag=not_later".into());
    }
    if f.v6 {
        all.push(format!("ipv6_src={}", ipv6_text(f.src)));
        all.push(format!("ipv6_dst={}/64", std::net::Ipv6Addr::from(u128::from_be_bytes(ipv6(f.dst)) & !0u128 << 64)));
        all.push(format!("ipv6_dst={}", ipv6_text(f.dst)));
        all.push(format!("ipv6_label={:#x}", f.label));
        all.push(format!("ipv6_label={:#x}/0xff0", f.label & 0xff0));
    } else {
        let masked = |n: u8, len: u32| std::net::Ipv4Addr::from(u32::from_be_bytes(ipv4(n)) & (!0u32 << (32 - len)));
        all.push(format!("nw_src={}", ipv4_text(f.src)));
        all.push(format!("nw_src={}/24", masked(f.src, 24)));
        all.push(format!("nw_dst={}/16", masked(f.dst, 16)));
        all.push(format!("nw_dst={}", ipv4_text(f.dst)));
        let odd = u32::from_be_bytes(ipv4(f.dst)) & 0xff00_0007;
        all.push(format!("nw_dst={}/255.0.0.7", std::net::Ipv4Addr::from(odd)));
    }
    all
}

fn transport(f: &Flow) -> Vec<String> {
    let name = match f.kind {
        Kind::Tcp | Kind::FirstFragment => "tcp",
        Kind::Udp => "udp",
        Kind::Sctp => "sctp",
        Kind::Icmp => return vec![format!("icmp_type={}", f.tp_src), format!("icmp_code={}", f.tp_dst)],
        Kind::Icmp6 => return vec![format!("icmpv6_type={}", f.tp_src), format!("icmpv6_code={}", f.tp_dst)],
        _ => return Vec::new(),
    };
    let mut all = vec![
        format!("{name}_src={}", f.tp_src),
        format!("{name}_dst={}", f.tp_dst),
        format!("{name}_dst={:#x}/0xfff0", f.tp_dst & 0xfff0),
    ];
    if name == "tcp" {
        all.push(format!("tcp_flags={:#x}/{:#x}", f.tcp_flags & 0x12, 0x12));
        let syn = if f.tcp_flags & 2 != 0 { "+syn" } else { "-syn" };
        all.push(format!("tcp_flags={syn}"));
    }
    all
}

fn neighbour(f: &Flow) -> Vec<String> {
    let has_option = f.payload % 2 == 0;
    let address = mac_text(if has_option { f.eth_src } else { 0 });
    let option = if f.kind == Kind::Solicit { "nd_sll" } else { "nd_tll" };
    vec![
        format!("nd_target={}", ipv6_text(f.dst)),
        format!("nd_target={}", ipv6_text(f.dst)),
        format!("{option}={address}"),
        format!("{option}={address}"),
    ]
}

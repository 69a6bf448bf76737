//! Made-up actions, as text, that fit what a rule matches.
//!
//! Invariant: only writes that the conditions allow; look-ups lead to later tables, so that none loops.
//! Deliberately does not know: what the actions do.

use super::random::Random;
use super::rules::{mac_text, LEARNED};
use super::flows::mac;

/// What the actions of a rule may presume.
pub struct Ground<'a> {
    /// Its conditions.
    pub conditions: &'a [String],
    /// Its table.
    pub table: u8,
    /// Last table of the bridge.
    pub last: u8,
    /// Ports of the bridge.
    pub ports: &'a [u32],
    /// May a packet go back where it came from? Not in every bridge, lest it circle.
    pub may_return: bool,
}

impl Ground<'_> {
    fn says(&self, words: &[&str]) -> bool {
        self.conditions.iter().flat_map(|c| c.split(',')).any(|c| words.contains(&c))
    }

    fn starts(&self, prefixes: &[&str]) -> bool {
        self.conditions.iter().flat_map(|c| c.split(',')).any(|c| prefixes.iter().any(|p| c.starts_with(p)))
    }

    /// Is the packet as it came in, at the start of this rule? (Where tags were pushed or popped
    /// before, Open vSwitch cuts by the length that the packet had then.)
    fn pristine(&self) -> bool {
        self.table == 0 && self.starts(&["in_port="]) && !self.says(&["in_port=9"])
    }

    fn tagged(&self) -> bool {
        self.conditions.iter().any(|c| {
            c.starts_with("dl_vlan=") && c != "dl_vlan=0xffff"
                || c.starts_with("dl_vlan_pcp=")
                || c.starts_with("vlan_vid=")
                || c == "vlan_tci=0x1000/0x1000"
        })
    }

    fn untagged(&self) -> bool {
        self.conditions.iter().any(|c| c == "vlan_tci=0x0000" || c == "dl_vlan=0xffff" || c == "vlan_tci=0x0000/0x1fff")
    }
}

/// The actions of a rule: a list in `ovs-ofctl` syntax.
pub fn actions(r: &mut Random, g: &Ground<'_>) -> String {
    let mut out = Vec::new();
    let mut tag = if g.tagged() { Some(true) } else if g.untagged() { Some(false) } else { None };
    for _ in 0..r.below(4) {
        let one = match r.below(4) {
            0 => state(r),
            1 => vlan(r, &mut tag),
            _ => header(r, g),
        };
        out.extend(one);
        if r.chance(15) {
            out.push(output(r, g));
        }
    }
    // Cut only what has not been changed before.
    if let Some(cut) = out.iter().position(|a| a.contains("max_len=")) {
        let cut = out.remove(cut);
        out.retain(|a| !a.contains("max_len="));
        out.insert(0, cut);
    }
    if r.chance(12) {
        out.extend(labels(r, g));
    }
    finish(r, g, &mut out);
    if out.iter().any(|a| a.contains("_mpls:")) {
        // Nothing is certain of the packet's inside any more.
        out.retain(|a| !a.contains("dec_ttl"));
    }
    if let Some(at) = out.iter().position(|a| a.starts_with("check_pkt_larger")) {
        // One question for each rule: each doubles what is to be decided.
        let first = out[at].clone();
        out.retain(|a| !a.starts_with("check_pkt_larger"));
        out.insert(at.min(out.len()), first);
    }
    if let Some(again) = out.iter().skip(1).position(|a| a.contains("max_len=")) {
        out.remove(again + 1);
    }
    let has = |word: &str| out.iter().any(|a| a.contains(word));
    if out.iter().any(|a| needs_instructions(a)) && has("mod_vlan") {
        // OpenFlow 1.1+ has no "set the id and push if needed": command lines send something else.
        out.retain(|a| !a.to_lowercase().contains("vlan") || a.starts_with("write_") && !a.contains("push_vlan"));
    }
    out.join(",")
}

/// Is this something that OpenFlow 1.0 cannot say?
pub fn needs_instructions(text: &str) -> bool {
    ["group:", "goto_table", "write_actions", "clear_actions", "write_metadata", "push_vlan:"].iter().any(|w| text.contains(w))
}

/// The oldest version that a rule can be sent in.
pub fn version(text: &str) -> &'static str {
    match text {
        t if ["encap(", "decap(", "packet_type=", "nsh", "pbb"].iter().any(|w| t.contains(w)) => "OpenFlow15",
        t if needs_instructions(t) => "OpenFlow13",
        _ => "OpenFlow10",
    }
}

/// Writes that need nothing of the packet.
fn state(r: &mut Random) -> Option<String> {
    let v = r.below(3);
    if r.chance(12) {
        return Some(option(r, v));
    }
    Some(match r.below(26) {
        0 => format!("load:{v:#x}->NXM_NX_REG0[]"),
        1 => format!("set_field:{v:#x}->reg1"),
        2 => format!("set_field:{v:#x}/0x3->reg1"),
        3 => format!("load:{v:#x}->OXM_OF_METADATA[]"),
        4 => format!("set_tunnel:{v:#x}"),
        5 => format!("set_field:{v:#x}->pkt_mark"),
        6 => "move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]".into(),
        7 => "move:NXM_OF_ETH_SRC[0..7]->NXM_NX_REG2[8..15]".into(),
        8 => "move:NXM_NX_REG0[0..1]->NXM_NX_REG1[0..1]".into(),
        9 => "push:NXM_NX_REG0[0..15],pop:NXM_NX_REG3[0..15]".into(),
        10 => format!("set_field:{v:#x}->xreg0"),
        11 => format!("set_field:{v:#x}/0xffff->xxreg1"),
        12 => "note:01.02.03".into(),
        13 => format!("set_queue:{v},pop_queue"),
        14 if r.chance(50) => format!("set_field:fd00::{v}->tun_ipv6_dst,set_field:fd00::8->tun_ipv6_src"),
        14 => "set_field:10.0.0.9->tun_dst,set_field:10.0.0.8->tun_src".into(),
        15 => format!("set_field:{}->eth_src", mac_text(mac(r.below(4) + 1))),
        16 => format!("mod_dl_dst:{}", mac_text(mac(r.below(4) + 1))),
        17 => format!("mod_dl_src:{}", mac_text(mac(r.below(4) + 1))),
        18 => "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]".into(),
        19 => "ct_clear".into(),
        20 => format!("load:{:#x}->NXM_NX_TUN_ID[0..7]", v),
        21 | 22 => multipath(r),
        23 => format!("check_pkt_larger({})->NXM_NX_REG0[0]", r.pick(&[60, 64, 80, 90])),
        24 => format!("{},NXM_NX_REG1[0..15],slaves:1,2)", bundle("bundle_load", r)),
        _ => format!("load:{v:#x}->NXM_NX_REG{}[4..7]", r.below(16)),
    })
}

/// Reads and writes of tunnel options.
fn option(r: &mut Random, v: u64) -> String {
    match r.below(11) {
        0 | 1 => format!("set_field:{v:#x}->tun_metadata0"),
        2 => format!("set_field:{v:#x}/0x3->tun_metadata1"),
        3 => format!("load:{v:#x}->NXM_NX_TUN_METADATA1[30..35]"),
        4 => format!("load:{:#x}->NXM_NX_TUN_METADATA5[4..67]", v << 60),
        5 => "move:NXM_OF_ETH_SRC[]->NXM_NX_TUN_METADATA5[60..107]".into(),
        6 => "move:NXM_NX_TUN_METADATA5[60..75]->NXM_NX_TUN_METADATA0[0..15]".into(),
        7 => "move:NXM_NX_TUN_METADATA1[0..3]->NXM_NX_REG0[0..3]".into(),
        8 => format!("delete_field:tun_metadata{}", r.pick(&[0, 1, 5])),
        9 => "push:NXM_NX_TUN_METADATA0[0..15],pop:NXM_NX_REG3[0..15]".into(),
        _ => "push:NXM_NX_REG0[0..3],pop:NXM_NX_TUN_METADATA1[32..35]".into(),
    }
}

fn fields(r: &mut Random) -> &'static str {
    r.pick(&["eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst", "symmetric_l3"])
}

fn multipath(r: &mut Random) -> String {
    let algorithm = r.pick(&["modulo_n", "hash_threshold", "hrw", "iter_hash"]);
    format!("multipath({},{},{algorithm},{},0,NXM_NX_REG1[0..1])", fields(r), r.below(70), r.below(4) + 1)
}

fn bundle(word: &str, r: &mut Random) -> String {
    let algorithm = r.pick(&["hrw", "hrw", "active_backup"]);
    format!("{word}({},{},{algorithm},ofport", fields(r), r.below(70))
}

/// Labels: on a labelled packet changed, on another one pushed.
fn labels(r: &mut Random, g: &Ground<'_>) -> Option<String> {
    if g.says(&["mpls"]) {
        return Some(r.pick(&[
            "set_mpls_label:17".to_string(),
            "set_field:1000->mpls_label".into(),
            "set_mpls_tc:5".into(),
            "set_field:3->mpls_tc".into(),
            "set_mpls_ttl:9".into(),
            "dec_mpls_ttl".into(),
            "dec_mpls_ttl".into(),
            "push_mpls:0x8847".into(),
            "push_mpls:0x8848,set_mpls_label:16".into(),
            "pop_mpls:0x8847".into(),
            "pop_mpls:0x0800".into(),
            "pop_mpls:0x0800".into(),
            "pop_mpls:0x86dd".into(),
            "pop_mpls:0x0806".into(),
            "push_mpls:0x8847,pop_mpls:0x0806".into(),
            "push_mpls:0x8847,pop_mpls:0x8847".into(),
            "move:OXM_OF_MPLS_LABEL[0..7]->NXM_NX_REG0[0..7]".into(),
        ]));
    }
    let mut all = vec![
        "push_mpls:0x8847".to_string(),
        "push_mpls:0x8847,set_mpls_label:1000,set_mpls_tc:3".into(),
        "push_mpls:0x8847,push_mpls:0x8847,dec_mpls_ttl".into(),
    ];
    // Where pushing and popping leaves another type than there was, Open vSwitch keeps the old one.
    if g.says(&["ip", "tcp", "udp", "sctp", "icmp"]) {
        all.push("push_mpls:0x8847,set_mpls_ttl:3,pop_mpls:0x0800".into());
        all.push("push_mpls:0x8847,push_mpls:0x8847,pop_mpls:0x8847,pop_mpls:0x0800".into());
    }
    Some(r.pick(&all))
}

fn vlan(r: &mut Random, tag: &mut Option<bool>) -> Option<String> {
    let vid = r.pick(&[10u16, 20, 30, 4000]);
    let (text, after) = match (*tag, r.below(6)) {
        (Some(true), 0) => (format!("set_field:{}->vlan_vid", 0x1000 | vid), Some(true)),
        (Some(true), 1) => ("strip_vlan".into(), Some(false)),
        (Some(true), 2) => (format!("set_field:{}->vlan_pcp", r.below(8)), Some(true)),
        (Some(true), 3) => ("move:OXM_OF_VLAN_VID[]->NXM_NX_REG0[0..11]".into(), Some(true)),
        (Some(false), 0) => (format!("push_vlan:0x8100,set_field:{}->vlan_vid", 0x1000 | vid), Some(true)),
        (Some(false), 1) => (format!("push_vlan:0x88a8,set_field:{}->vlan_vid", 0x1000 | vid), Some(true)),
        (_, 4) => ("load:0->NXM_OF_VLAN_TCI[]".into(), Some(false)),
        (_, 5) => (format!("load:{:#x}->NXM_OF_VLAN_TCI[]", 0x1000 | vid), Some(true)),
        (_, 3) => (format!("mod_vlan_pcp:{}", r.below(8)), Some(true)),
        _ => (format!("mod_vlan_vid:{vid}"), Some(true)),
    };
    *tag = after;
    Some(text)
}

/// Writes to headers that the conditions promise.
fn header(r: &mut Random, g: &Ground<'_>) -> Option<String> {
    let mut all = Vec::new();
    if g.says(&["arp"]) {
        all.extend([
            "set_field:2->arp_op".to_string(),
            "load:0x2->NXM_OF_ARP_OP[]".into(),
            "set_field:10.9.9.9->arp_spa".into(),
            "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]".into(),
            "move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]".into(),
            "set_field:02:00:00:00:77:77->arp_sha".into(),
            "load:0x20000000505->NXM_NX_ARP_THA[]".into(),
            "load:0xa000001->NXM_OF_ARP_SPA[]".into(),
        ]);
    }
    let later = g.starts(&["nw_frag=later", "nw_frag=yes"]);
    let v4 = g.says(&["ip", "tcp", "udp", "sctp", "icmp"]);
    let v6 = g.says(&["ipv6", "tcp6", "udp6", "sctp6", "icmp6"]);
    if v4 && !later && !g.says(&["ip"]) {
        all.extend([
            "mod_nw_src:10.0.3.3".to_string(),
            "mod_nw_dst:10.1.1.1".into(),
            "set_field:10.0.1.1->ip_dst".into(),
            "move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]".into(),
            "load:0x7->NXM_OF_IP_SRC[0..7]".into(),
        ]);
    }
    if v4 || v6 {
        all.extend([
            "dec_ttl".to_string(),
            "dec_ttl".into(),
            "mod_nw_tos:40".into(),
            "mod_nw_ecn:2".into(),
            "set_field:46->ip_dscp".into(),
            "set_field:2->nw_ecn".into(),
            "mod_nw_ttl:9".into(),
            "move:NXM_NX_IP_TTL[]->NXM_NX_REG2[0..7]".into(),
            "load:0x2->NXM_NX_IP_TTL[]".into(),
        ]);
    }
    if v6 && !later && !g.says(&["ipv6"]) {
        all.extend([
            "set_field:2001:db8::7->ipv6_src".to_string(),
            "set_field:2001:db8:0:1::9->ipv6_dst".into(),
            "set_field:0x54321->ipv6_label".into(),
            "move:NXM_NX_IPV6_SRC[0..31]->NXM_NX_REG2[]".into(),
            "load:0x5->NXM_NX_IPV6_DST[0..7]".into(),
        ]);
    }
    all.extend(transport(g));
    (!all.is_empty()).then(|| r.pick(&all))
}

fn transport(g: &Ground<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for (word, name, nxm) in [("tcp", "tcp", "TCP"), ("udp", "udp", "UDP"), ("sctp", "sctp", "")] {
        if g.says(&[word, &format!("{word}6")]) {
            all.push(format!("set_field:443->{name}_dst"));
            all.push(format!("set_field:1000->{name}_src"));
            all.push("mod_tp_dst:80".into());
            all.push("mod_tp_src:53".into());
            if !nxm.is_empty() {
                all.push(format!("move:NXM_OF_{nxm}_SRC[]->NXM_OF_{nxm}_DST[]"));
                all.push(format!("load:0x7->NXM_OF_{nxm}_DST[0..3]"));
            }
            if name == "tcp" {
                all.push("fin_timeout(idle_timeout=3000)".into());
            }
        }
    }
    if g.says(&["icmp"]) {
        all.push("set_field:0->icmp_type".into());
        all.push("set_field:3->icmp_code".into());
    }
    if g.says(&["icmp6"]) && !g.starts(&["icmpv6_type=135", "icmpv6_type=136"]) {
        all.push("set_field:1->icmpv6_code".into());
    }
    let target = "set_field:2001:db8::44->nd_target".to_string();
    if g.starts(&["icmpv6_type=135"]) {
        all.push(target.clone());
        all.push("set_field:02:00:00:00:44:44->nd_sll".into());
    }
    if g.starts(&["icmpv6_type=136"]) {
        all.push(target);
        all.push("set_field:02:00:00:00:45:45->nd_tll".into());
    }
    all
}

fn output(r: &mut Random, g: &Ground<'_>) -> String {
    let port = r.pick(g.ports);
    match r.below(20) {
        14..=16 => format!("group:{}", r.below(GROUPS) + 1),
        17 => format!("{},slaves:1,2)", bundle("bundle", r)),
        0 if g.may_return => "IN_PORT".into(),
        1 => "FLOOD".into(),
        2 => "ALL".into(),
        3 => format!("enqueue:{port}:1"),
        4 if g.pristine() && port != 9 => format!("output(port={port},max_len=60)"),
        5 => format!("load:{port:#x}->NXM_NX_REG4[0..15],output:NXM_NX_REG4[0..15]"),
        6 => "LOCAL".into(),
        7 => format!("clone({},output:{port})", r.pick(&["set_field:1->reg0", "mod_dl_src:02:00:00:00:66:66", "mod_vlan_vid:30"])),
        8 => "NORMAL".into(),
        9 => "CONTROLLER:64".into(),
        10 if g.may_return => "load:0->NXM_OF_IN_PORT[]".into(),
        _ => format!("output:{port}"),
    }
}

/// Groups of each bridge, numbered from 1.
pub const GROUPS: u64 = 8;

/// A bucket's actions, in any order: they are a set.
pub fn bucket(r: &mut Random, ports: &[u32]) -> String {
    let mut set = Vec::new();
    if r.chance(40) {
        set.push(format!("set_field:{}->eth_dst", mac_text(mac(r.below(4) + 1))));
    }
    if r.chance(20) {
        set.push(format!("set_field:{}->reg0", r.below(3)));
    }
    let port = r.pick(ports);
    let end = r.pick(&[format!("output:{port}"), format!("output:{port}"), format!("output:{port}"), format!("resubmit(,{LEARNED})")]);
    set.insert(r.below(set.len() as u64 + 1) as usize, end);
    if r.chance(15) {
        set.push("push_vlan:0x8100".into());
    }
    if r.chance(10) {
        set.push("push_mpls:0x8847".into());
    }
    set.join(",")
}

/// How the rule ends: by sending, by looking on, or by dropping.
fn finish(r: &mut Random, g: &Ground<'_>, out: &mut Vec<String>) {
    let deeper = |r: &mut Random| g.table + 1 + r.below(u64::from(g.last - g.table)) as u8;
    let can_go_on = g.table < g.last;
    if can_go_on && r.chance(14) {
        out.push(learn(r));
    }
    match r.below(12) {
        0..=2 if can_go_on => {
            let port = r.pick(g.ports);
            let t = deeper(r);
            out.push(if r.chance(20) { format!("resubmit({port},{t})") } else { format!("resubmit(,{t})") });
            if r.chance(40) {
                let t = deeper(r);
                out.push(format!("resubmit(,{t})"));
            }
            if r.chance(10) {
                out.push("exit".into());
            }
            if r.chance(40) {
                out.push(output(r, g));
            }
        }
        3..=5 if can_go_on => {
            let t = deeper(r);
            if r.chance(15) {
                out.push("clear_actions".into());
            }
            if r.chance(45) {
                out.push(format!("write_actions({})", action_set(r, g)));
            }
            if r.chance(40) {
                out.push(format!("write_metadata:{:#x}{}", r.below(3), r.pick(&["", "/0x3"])));
            }
            out.push(format!("goto_table:{t}"));
        }
        6 if out.is_empty() => out.push("drop".into()),
        7 => out.push("NORMAL".into()),
        8 if g.table > 0 => out.push(format!("write_actions({})", action_set(r, g))),
        _ => out.push(output(r, g)),
    }
}

fn action_set(r: &mut Random, g: &Ground<'_>) -> String {
    let mut set = Vec::new();
    if r.chance(30) {
        set.push(format!("set_field:{}->eth_dst", mac_text(mac(r.below(4) + 1))));
    }
    if r.chance(20) {
        set.push(format!("set_field:{}->reg0", r.below(3)));
    }
    if r.chance(20) && g.says(&["ip", "tcp", "udp", "ipv6", "tcp6", "udp6"]) {
        set.push("dec_ttl".into());
    }
    let port = r.pick(g.ports);
    let back = if g.may_return { "IN_PORT" } else { "FLOOD" };
    let group = format!("group:{}", r.below(GROUPS) + 1);
    set.push(r.pick(&[format!("output:{port}"), format!("output:{port}"), "NORMAL".into(), back.into(), group]));
    set.join(",")
}

fn learn(r: &mut Random) -> String {
    // Each kind of match has a priority of its own: no two of them tie.
    let (priority, spec) = r.pick(&[
        (100, "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]"),
        (101, "NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],output:NXM_OF_IN_PORT[]"),
        (102, "NXM_OF_ETH_SRC[],load:0x1->NXM_NX_REG0[],load:NXM_OF_IN_PORT[]->NXM_NX_REG5[0..15]"),
        (103, "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:OXM_OF_IN_PORT[]"),
    ]);
    format!("learn(table={LEARNED},idle_timeout=3000,hard_timeout=6000,priority={priority},{spec}),resubmit(,{LEARNED})")
}

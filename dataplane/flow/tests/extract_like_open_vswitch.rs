//! Every frame gives the same fields as Open vSwitch finds in it.
//!
//! The judge is the stock tool: `ovs-ofctl parse-pcap` prints the flow of each frame of a capture.
//! It looks into two VLAN tags where the switch (and this extraction) looks into one, so a frame with
//! two tags is compared with its inner tag removed, and on its own it must show that tag's type.
//! It does not print ND options' type and reserved word; a test of their own covers these.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluice_fixtures::{malformed, mutate, samples, shared, write_pcap, Random};
use sluice_flow::extract::{extract, extract_narrow};
use sluice_flow::key::{slot, Key, NARROW_WORDS};

type Fields = BTreeMap<&'static str, u128>;

const BATCH: usize = 20_000;

#[test]
fn every_captured_frame_and_its_mutants_have_the_fields_that_open_vswitch_finds() {
    if let Some(frames) = captured_frames() {
        compare(with_mutants(frames, mutants_per_frame(2)));
    }
}

#[test]
fn every_kind_of_header_malformed_in_every_way_has_the_fields_that_open_vswitch_finds() {
    compare(malformed().into_iter().map(|s| s.frame).collect());
    let frames = samples().into_iter().map(|s| s.frame).collect();
    compare(with_mutants(frames, mutants_per_frame(2) * 500));
}

/// Set `SLUICE_MUTANTS` for a longer run.
fn mutants_per_frame(usual: usize) -> usize {
    std::env::var("SLUICE_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

fn with_mutants(frames: Vec<Vec<u8>>, each: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(2);
    let mut all = frames.clone();
    for frame in &frames {
        all.extend((0..each).map(|_| mutate(frame, &mut random)));
    }
    all
}

fn compare(mut frames: Vec<Vec<u8>>) {
    if !tool_exists() {
        eprintln!("SKIPPED comparison with Open vSwitch: no ovs-ofctl on this machine");
        return;
    }
    // The reader of the tool refuses empty frames and those of 64 KiB and more.
    frames.retain(|frame| (1..0xffff).contains(&frame.len()));
    let mut wrong = Vec::new();
    for batch in frames.chunks(BATCH) {
        for (frame, line) in batch.iter().zip(lines_of_tool(batch)) {
            wrong.extend(difference(frame, &line));
        }
    }
    println!("{} frames compared, {} differ", frames.len(), wrong.len());
    for report in wrong.iter().take(20) {
        println!("{report}");
    }
    assert!(wrong.is_empty(), "{} of {} frames differ from Open vSwitch", wrong.len(), frames.len());
}

/// Frames of all shared captures, without those whose first 200 bytes were seen before.
fn captured_frames() -> Option<Vec<Vec<u8>>> {
    let dir = shared::shared_dir("comparison with Open vSwitch")?.join("pcaps");
    let mut seen = std::collections::HashSet::new();
    let captures = shared::captures_below(&dir);
    let frames = captures.into_iter().flat_map(|(_, frames)| frames).map(|f| f.bytes);
    Some(frames.filter(|b| seen.insert(b[..b.len().min(200)].to_vec())).collect())
}

fn tool_exists() -> bool {
    Command::new("ovs-ofctl").arg("--version").output().is_ok_and(|o| o.status.success())
}

fn lines_of_tool(frames: &[Vec<u8>]) -> Vec<String> {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("sluice-extract-{}-{run}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("frames.pcap");
    std::fs::write(&file, write_pcap(frames)).unwrap();
    let output = Command::new("ovs-ofctl").arg("parse-pcap").arg(&file).output();
    std::fs::remove_dir_all(&dir).unwrap();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), frames.len(), "one line per frame; {}", String::from_utf8_lossy(&output.stderr));
    lines
}

fn difference(frame: &[u8], line: &str) -> Option<String> {
    let theirs = fields_of_line(line);
    let key = key_of(frame);
    let (narrow, headers) = extract_narrow(frame);
    assert_eq!(narrow, key.words[..NARROW_WORDS], "the short cut agrees on {frame:02x?}");
    assert_eq!(headers, sluice_wire::parse(frame));
    let ours = match inner_tag(frame) {
        None => fields_of_key(&key),
        Some(tci) => {
            assert!(is_opaque_behind_its_tag(frame, &key), "{frame:02x?}");
            let mut fields = fields_of_key(&key_of(&[&frame[..16], &frame[20..]].concat()));
            fields.insert("inner_vid", u128::from(tci & 0xfff));
            fields.insert("inner_pcp", u128::from(tci >> 13));
            fields.retain(|_, v| *v != 0);
            fields
        }
    };
    (ours != theirs).then(|| format!("{:02x?}\n  theirs {line}\n  ours   {ours:x?}", &frame[..frame.len().min(120)]))
}

fn key_of(frame: &[u8]) -> Key {
    let mut key = Key::ZERO;
    extract(frame, &sluice_wire::parse(frame), &mut key);
    key
}

/// TCI of a second VLAN tag that has an Ethernet type behind it.
fn inner_tag(frame: &[u8]) -> Option<u16> {
    let is_tag = |at| matches!(frame.get(at..at + 2), Some([0x81, 0] | [0x88, 0xa8]));
    if !is_tag(12) || !is_tag(16) || frame.len() < 22 {
        return None;
    }
    Some(u16::from_be_bytes([frame[18], frame[19]]))
}

fn is_opaque_behind_its_tag(frame: &[u8], key: &Key) -> bool {
    let mut link = Key::ZERO;
    for field in [slot::ETH_SRC, slot::ETH_DST, slot::VLAN_TCI, slot::VLAN_TPID] {
        link.set(field, key.get(field));
    }
    link.set(slot::ETH_TYPE, u64::from(frame[16]) << 8 | u64::from(frame[17]));
    *key == link
}

/// Our fields under the tool's names; zero fields are left out.
fn fields_of_key(key: &Key) -> Fields {
    let mut key = *key;
    if matches!(key.get(slot::ETH_TYPE), 0x8847 | 0x8848) {
        // What is under the labels is kept, but no rule sees it.
        key.hide_network();
    }
    let key = &key;
    let names = [
        ("dl_src", slot::ETH_SRC),
        ("dl_dst", slot::ETH_DST),
        ("dl_type", slot::ETH_TYPE),
        ("vid", slot::VLAN_VID),
        ("pcp", slot::VLAN_PCP),
        ("tagged", slot::VLAN_PRESENT),
        ("nw_src", slot::NW_SRC),
        ("nw_dst", slot::NW_DST),
        ("nw_proto", slot::NW_PROTO),
        ("nw_dscp", slot::NW_DSCP),
        ("nw_ecn", slot::NW_ECN),
        ("nw_ttl", slot::NW_TTL),
        ("nw_frag", slot::NW_FRAG),
        ("tp_src", slot::TP_SRC),
        ("tp_dst", slot::TP_DST),
        ("tcp_flags", slot::TCP_FLAGS),
        ("ipv6_label", slot::IPV6_LABEL),
        ("ipv6_src", slot::IPV6_SRC),
        ("ipv6_dst", slot::IPV6_DST),
        ("sha", slot::ARP_SHA),
        ("tha", slot::ARP_THA),
        ("nd_target", slot::ND_TARGET),
        ("mpls_label", slot::MPLS_LABEL),
        ("mpls_tc", slot::MPLS_TC),
        ("mpls_bos", slot::MPLS_BOS),
        ("mpls_ttl", slot::MPLS_TTL),
        ("mpls_lse1", slot::MPLS_LSE1),
        ("mpls_lse2", slot::MPLS_LSE2),
        ("nsh_flags", slot::NSH_FLAGS),
        ("nsh_ttl", slot::NSH_TTL),
        ("nsh_mdtype", slot::NSH_MDTYPE),
        ("nsh_np", slot::NSH_NP),
        ("nsh_spi", slot::NSH_SPI),
        ("nsh_si", slot::NSH_SI),
        ("nsh_c1", slot::nsh_c(1)),
        ("nsh_c2", slot::nsh_c(2)),
        ("nsh_c3", slot::nsh_c(3)),
        ("nsh_c4", slot::nsh_c(4)),
    ];
    names.into_iter().map(|(n, s)| (n, key.get_wide(s))).filter(|(_, v)| *v != 0).collect()
}

/// The tool's fields under the same names; zero fields are left out.
fn fields_of_line(line: &str) -> Fields {
    let mut fields = Fields::new();
    for token in line.split(',') {
        match token.split_once('=') {
            None => kind_of_packet(token, &mut fields),
            Some((name, value)) => field_of_tool(name, value, &mut fields),
        }
    }
    fields.retain(|_, v| *v != 0);
    fields
}

/// The word that a line begins with stands for an Ethernet type and an IP protocol.
fn kind_of_packet(word: &str, fields: &mut Fields) {
    let (dl_type, proto) = match word {
        "tcp" => (0x0800, 6),
        "udp" => (0x0800, 17),
        "sctp" => (0x0800, 132),
        "icmp" => (0x0800, 1),
        "ip" => (0x0800, 0),
        "tcp6" => (0x86dd, 6),
        "udp6" => (0x86dd, 17),
        "sctp6" => (0x86dd, 132),
        "icmp6" => (0x86dd, 58),
        "ipv6" => (0x86dd, 0),
        "arp" => (0x0806, 0),
        "rarp" => (0x8035, 0),
        "mpls" => (0x8847, 0),
        "mplsm" => (0x8848, 0),
        other => panic!("unknown kind of packet {other:?}"),
    };
    fields.insert("dl_type", dl_type);
    fields.insert("nw_proto", proto);
}

fn field_of_tool(name: &str, value: &str, fields: &mut Fields) {
    let (name, value) = match name {
        "in_port" | "vlan_tci1" => return,
        "vlan_tci" if value == "0x0000" => return,
        "dl_src" => ("dl_src", ethernet(value)),
        "dl_dst" => ("dl_dst", ethernet(value)),
        "dl_type" => ("dl_type", number(value)),
        "dl_vlan" => {
            fields.insert("tagged", 1);
            ("vid", number(value))
        }
        "dl_vlan_pcp" => ("pcp", number(value)),
        "dl_vlan1" => ("inner_vid", number(value)),
        "dl_vlan_pcp1" => ("inner_pcp", number(value)),
        "nw_src" | "arp_spa" => ("nw_src", ipv4(value)),
        "nw_dst" | "arp_tpa" => ("nw_dst", ipv4(value)),
        "nw_proto" | "arp_op" => ("nw_proto", number(value)),
        "nw_tos" => ("nw_dscp", number(value) >> 2),
        "nw_ecn" => ("nw_ecn", number(value)),
        "nw_ttl" => ("nw_ttl", number(value)),
        "nw_frag" => ("nw_frag", ["no", "first", "?", "later"].iter().position(|v| *v == value).unwrap() as u128),
        "tp_src" | "icmp_type" => ("tp_src", number(value)),
        "tp_dst" | "icmp_code" => ("tp_dst", number(value)),
        "tcp_flags" => ("tcp_flags", tcp_flags(value)),
        "ipv6_label" => ("ipv6_label", number(value)),
        "ipv6_src" => ("ipv6_src", ipv6(value)),
        "ipv6_dst" => ("ipv6_dst", ipv6(value)),
        "arp_sha" | "nd_sll" => ("sha", ethernet(value)),
        "arp_tha" | "nd_tll" => ("tha", ethernet(value)),
        "nd_target" => ("nd_target", ipv6(value)),
        "mpls_label" => ("mpls_label", number(value)),
        "mpls_tc" => ("mpls_tc", number(value)),
        "mpls_bos" => ("mpls_bos", number(value)),
        "mpls_ttl" => ("mpls_ttl", number(value)),
        "mpls_lse1" => ("mpls_lse1", number(value)),
        "mpls_lse2" => ("mpls_lse2", number(value)),
        "nsh_flags" => ("nsh_flags", number(value)),
        "nsh_ttl" => ("nsh_ttl", number(value)),
        "nsh_mdtype" => ("nsh_mdtype", number(value)),
        "nsh_np" => ("nsh_np", number(value)),
        "nsh_spi" => ("nsh_spi", number(value)),
        "nsh_si" => ("nsh_si", number(value)),
        "nsh_c1" => ("nsh_c1", number(value)),
        "nsh_c2" => ("nsh_c2", number(value)),
        "nsh_c3" => ("nsh_c3", number(value)),
        "nsh_c4" => ("nsh_c4", number(value)),
        other => panic!("unknown field {other}={value}"),
    };
    fields.insert(name, value);
}

fn number(text: &str) -> u128 {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u128::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("not a number: {text:?}"))
}

fn ethernet(text: &str) -> u128 {
    u128::from_str_radix(&text.replace(':', ""), 16).unwrap()
}

fn ipv4(text: &str) -> u128 {
    u128::from(u32::from(text.parse::<std::net::Ipv4Addr>().unwrap()))
}

fn ipv6(text: &str) -> u128 {
    u128::from(text.parse::<std::net::Ipv6Addr>().unwrap())
}

fn tcp_flags(text: &str) -> u128 {
    const NAMES: [&str; 9] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"];
    text.split('|').fold(0, |flags, word| match NAMES.iter().position(|n| *n == word) {
        Some(bit) => flags | 1 << bit,
        None => flags | u128::from_str_radix(word.trim_matches(['[', ']']), 16).unwrap(),
    })
}

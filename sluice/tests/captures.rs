//! Hundreds of real and hostile captures through whole switches: nothing is lost without a reason,
//! nothing panics, and what goes out through a tunnel comes back byte for byte.
//!
//! Reads the captures of `$SLUICE_SHARED/pcaps` and the rules of `$SLUICE_SHARED/neutron` and says so
//! where it skips.

use std::path::{Path, PathBuf};
use std::process::Command;

use sluice::inline::Inline;
use sluice_flow::program::{Ingress, Port, PortKind, Tunnel};
use sluice_flow::underlay::{Device, Exit, Route, Underlay};
use sluice_flow::verdict::{OuterTos, OuterTtl};
use sluice_flow::{Change, DropReason};
use sluice_openflow::text::{parse_flow_file, Names};
use sluice_openflow::version::Version;
use sluice_port::pcap::{Capture, Captured, Output, PcapError, PcapPort, Repeat};

fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("SLUICE_SHARED").map_or_else(|| PathBuf::from("../../shared"), PathBuf::from);
    root.join("pcaps").is_dir().then_some(root)
}

fn captures(root: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = ["tcpdump", "ndpi"]
        .iter()
        .filter_map(|d| std::fs::read_dir(root.join("pcaps").join(d)).ok())
        .flatten()
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.is_file())
        .collect();
    all.sort();
    all
}

/// Frames of an Ethernet capture; `None` for another link type or no capture at all, with the reason.
fn frames(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let capture = Capture::open(path).map_err(|e| e.to_string())?;
    let packets = capture.packets().map_err(|e: PcapError| e.to_string())?;
    let mut all = Vec::new();
    for p in packets {
        all.push(p.map_err(|e| e.to_string())?.bytes.to_vec());
    }
    Ok(all)
}

/// How many frames an independent reader finds.
const COUNTER: &str = r#"
import struct, sys
def count(path):
    b = open(path, 'rb').read()
    if b[:4] == b'\n\r\r\n':
        n = at = 0; e = '<'
        while at + 12 <= len(b):
            if b[at:at+4] == b'\n\r\r\n':
                e = '<' if b[at+8:at+12] == b'\x4d\x3c\x2b\x1a' else '>'
            kind, size = struct.unpack(e + 'II', b[at:at+8])
            if size < 12 or size % 4 or at + size > len(b): break
            if kind == 6 and size >= 32:
                cap, = struct.unpack(e + 'I', b[at+20:at+24])
                if cap > size - 32: break
                n += 1
            elif kind in (2, 3): n += 1
            at += size
        return n
    e = '<' if b[:4] in (b'\xd4\xc3\xb2\xa1', b'\x4d\x3c\xb2\xa1') else '>'
    n, at = 0, 24
    while at + 16 <= len(b):
        cap, = struct.unpack(e + 'I', b[at+8:at+12])
        if at + 16 + cap > len(b) or cap > 0x40000000: break
        n += 1; at += 16 + cap
    return n
for p in sys.stdin.read().split('\n'):
    if p: print(count(p))
"#;

fn independent_counts(files: &[PathBuf]) -> Vec<usize> {
    use std::io::Write;
    let mut child = Command::new("python3")
        .args(["-c", COUNTER])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 counts frames independently");
    let names: Vec<_> = files.iter().map(|f| f.display().to_string()).collect();
    child.stdin.take().expect("piped").write_all(names.join("\n").as_bytes()).expect("python reads");
    let out = child.wait_with_output().expect("python ends");
    String::from_utf8_lossy(&out.stdout).lines().map(|l| l.parse().expect("a number")).collect()
}

fn switch(rules: &str) -> Inline {
    let mut s = Inline::new(4096, 2048, 1 << 18).unwrap();
    s.add_bridge(0);
    let mods = parse_flow_file(rules, &Names::new()).unwrap_or_else(|e| panic!("{e}"));
    s.flow_mods(0, &mods, Version::V14).unwrap_or_else(|e| panic!("rule {}: {}", e.index, e.error));
    s
}

/// Feeds frames to device `idx`; answers how many came in and checks that none is unaccounted for.
fn feed(s: &mut Inline, idx: u16, frames: &[Vec<u8>], output: Output, now_ms: &mut u64) -> u64 {
    let mut port = PcapPort::new("in", Repeat::Times(1), output);
    frames.iter().for_each(|f| port.push(f));
    s.replace_device(idx, Box::new(port));
    let before = s.worker().counters().received;
    while s.turn(*now_ms) > 0 {
        *now_ms += 1;
    }
    let _ = s.take_punts();
    let c = s.worker().counters();
    assert!(c.conserved(), "{c:?}");
    c.received - before
}

#[test]
fn every_capture_passes_every_rule_set_with_each_frame_accounted_for() {
    let Some(root) = shared() else {
        return println!("SKIPPED: no captures at $SLUICE_SHARED/pcaps");
    };
    let mut ethernet = Vec::new();
    let mut refused = 0;
    for path in captures(&root) {
        match frames(&path) {
            Ok(f) => ethernet.push((path, f)),
            Err(reason) => {
                assert!(reason.contains("link type"), "{}: {reason}", path.display());
                refused += 1;
            }
        }
    }
    let files: Vec<_> = ethernet.iter().map(|(p, _)| p.clone()).collect();
    for ((path, frames), count) in ethernet.iter().zip(independent_counts(&files)) {
        assert_eq!(frames.len(), count, "{}", path.display());
    }
    let total: usize = ethernet.iter().map(|(_, f)| f.len()).sum();
    println!("{} Ethernet captures, {total} frames; {refused} refused by name", ethernet.len());

    for (name, rules, inputs) in rule_sets(&root) {
        let mut s = switch(&rules);
        let ports = sluice_ports(&rules);
        let mut devices = std::collections::BTreeMap::new();
        for p in ports.iter().chain(&inputs) {
            devices.entry(*p).or_insert_with(|| {
                s.add_device(0, *p, Box::new(PcapPort::new("p", Repeat::Times(0), Output::Discard)))
            });
        }
        let mut now_ms = 0;
        for input in inputs {
            for (path, frames) in &ethernet {
                let got = feed(&mut s, devices[&input], frames, Output::Discard, &mut now_ms);
                assert_eq!(got, frames.len() as u64, "{name}: {}", path.display());
            }
        }
        assert_eq!(s.worker().pool_mut().outstanding(), 0);
        let c = s.worker().counters().clone();
        println!("{name}: {} in, {} out, {} dropped, {} hits, {} misses", c.received, c.sent, c.dropped_total(), c.hits, c.misses);
    }
}

/// NORMAL, and a real agent's tables, with the ports to feed them by.
fn rule_sets(root: &Path) -> Vec<(&'static str, String, Vec<u32>)> {
    let neutron = root.join("neutron");
    let mut sets = vec![("NORMAL", "actions=NORMAL\n".to_owned(), vec![1, 2, 3])];
    match std::fs::read_to_string(neutron.join("corpus-zed-100ports-br-tun.flows")) {
        Ok(rules) => sets.push(("br-tun", rules, vec![1, 2])),
        Err(e) => println!("SKIPPED: br-tun rules: {e}"),
    }
    let zst = neutron.join("corpus-zed-100ports-br-int.flows.zst");
    match Command::new("zstd").arg("-dqc").arg(&zst).output() {
        Ok(out) if out.status.success() => {
            sets.push(("br-int", String::from_utf8_lossy(&out.stdout).into_owned(), vec![5, 1]));
        }
        _ => println!("SKIPPED: br-int rules: zstd cannot read {}", zst.display()),
    }
    sets
}

/// Numbers of the ports that rules send to.
fn sluice_ports(rules: &str) -> std::collections::BTreeSet<u32> {
    let mut all = std::collections::BTreeSet::new();
    for part in rules.split(&[',', '=', ' ', '\n'][..]) {
        if let Some(n) = part.strip_prefix("output:").and_then(|n| n.parse().ok()) {
            all.insert(n);
        }
    }
    all
}

#[test]
fn what_goes_out_through_a_tunnel_comes_back_byte_for_byte() {
    out_and_back("192.0.2.1", 65_535 - 36);
}

#[test]
fn what_goes_out_through_a_tunnel_over_ipv6_comes_back_byte_for_byte() {
    out_and_back("2001:db8::1", 65_535 - 16);
}

/// Every frame of the captures through a tunnel to ourselves, which carries frames of so many bytes at most.
fn out_and_back(own: &str, longest: usize) {
    let Some(root) = shared() else {
        return println!("SKIPPED: no captures at $SLUICE_SHARED/pcaps");
    };
    let mut s = switch("in_port=1 actions=set_field:123->tun_id,output:10\nin_port=10,tun_id=123 actions=output:2\n");
    let (near, far, wire) = (Captured::default(), Captured::default(), Captured::default());
    let input = s.add_device(0, 1, Box::new(PcapPort::new("in", Repeat::Times(1), Output::Memory(near.clone()))));
    s.add_device(0, 2, Box::new(PcapPort::new("out", Repeat::Times(1), Output::Memory(far.clone()))));
    let under = s.add_underlay_device(Box::new(PcapPort::new("wire", Repeat::Times(1), Output::Memory(wire.clone()))));
    let own: std::net::IpAddr = own.parse().unwrap();
    let tunnel = Tunnel {
        key: None, out_key: None,
        remote: Some(own),
        local: Some(own),
        dst_port: 4789,
        tos: OuterTos::Set(0),
        ttl: OuterTtl::Set(64),
        df: true,
        csum: None,
        gbp: false,
        mark: 0,
    };
    let device = Device { name: "wire".into(), mac: [2; 6], addresses: vec![own], exit: Exit::Port(under), mtu: u32::MAX };
    let route = Route { prefix: own, len: if own.is_ipv6() { 128 } else { 32 }, device: 0, gateway: None, source: Some(own) };
    s.change(&[
        Change::SetPort { bridge: 0, port: 10, to: Some(Port { kind: PortKind::Tunnel(tunnel.into()), ..Port::device(0) }) },
        Change::SetIngress { device: under, to: Some(Ingress::Underlay) },
    ]);
    s.set_underlay(Underlay { devices: vec![device], routes: vec![route], neighbours: [((0, own), [4; 6])].into(), ..Underlay::default() });

    let (mut now_ms, mut total, mut long, mut runts) = (0, 0, 0, 0);
    for path in captures(&root) {
        let Ok(frames) = frames(&path) else { continue };
        feed(&mut s, input, &frames, Output::Memory(near.clone()), &mut now_ms);
        let wrapped = wire.take();
        feed(&mut s, under, &wrapped, Output::Memory(wire.clone()), &mut now_ms);
        let fits = |f: &&Vec<u8>| f.len() >= 14 && f.len() <= longest;
        let expected: Vec<_> = frames.iter().filter(fits).cloned().collect();
        assert!(far.take() == expected, "{}", path.display());
        total += frames.len();
        long += frames.iter().filter(|f| f.len() > longest).count();
        runts += frames.iter().filter(|f| f.len() < 14).count();
    }
    let c = s.worker().counters();
    assert_eq!(c.dropped[DropReason::EncapTooLong as usize], long as u64);
    assert_eq!(c.dropped[DropReason::Runt as usize], runts as u64);
    assert_eq!(c.dropped_total(), (long + runts) as u64);
    println!("{total} frames out and back; {long} too long for a datagram, {runts} runts");
}

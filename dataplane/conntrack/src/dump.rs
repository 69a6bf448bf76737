//! The table as text, in the words of `ovs-dpctl`.
//!
//! Deliberately does not know: how a person asks (the control socket does).

use std::fmt::Write;

use crate::conn::Conn;
use crate::keep::Tracker;
use crate::tcp::{Peer, State};
use crate::tuple::{Tuple, ICMP, ICMP6, SCTP, TCP, UDP};

/// What to print.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Only this zone.
    pub zone: Option<u16>,
    /// `-m`: both peers' states and flags.
    pub verbose: bool,
    /// `-s`: the time left.
    pub timeouts: bool,
}

/// One line per connection, as `dpctl/dump-conntrack` prints them.
pub fn connections(tracker: &Tracker, options: &Options, now_ms: u64) -> String {
    let mut out = String::new();
    tracker.for_each(now_ms, |c, left| {
        if options.zone.is_none_or(|z| z == c.orig.zone) {
            connection(&mut out, c, left, options);
            out.push('\n');
        }
    });
    out
}

fn protocol(proto: u8) -> String {
    match proto {
        TCP => "tcp".into(),
        UDP => "udp".into(),
        SCTP => "sctp".into(),
        ICMP => "icmp".into(),
        ICMP6 => "icmpv6".into(),
        33 => "dccp".into(),
        2 => "igmp".into(),
        136 => "udplite".into(),
        other => other.to_string(),
    }
}

/// One connection as a line without its end.
pub fn connection(out: &mut String, c: &Conn, left_s: u32, options: &Options) {
    out.push_str(&protocol(c.orig.proto));
    for (name, t) in [("orig", &c.orig), ("reply", &c.reply)] {
        let _ = write!(out, ",{name}=({})", tuple(t));
    }
    if options.verbose {
        out.push_str(",id=0");
    }
    if c.orig.zone != 0 {
        let _ = write!(out, ",zone={}", c.orig.zone);
    }
    if options.verbose {
        out.push_str(",status=0");
    }
    if options.timeouts {
        let _ = write!(out, ",timeout={left_s}");
    }
    if c.mark != 0 {
        let _ = write!(out, ",mark={}", c.mark);
    }
    if c.label != 0 {
        let _ = write!(out, ",labels={:#x}", c.label);
    }
    if let Some(state) = c.tcp_state() {
        let _ = match options.verbose {
            false => write!(out, ",protoinfo=(state={})", state.name()),
            true => write!(out, ",protoinfo=({})", peers(&c.peers)),
        };
    }
    helper(out, c);
    if let Some(parent) = c.parent.filter(|_| options.verbose) {
        let _ = write!(out, ",parent=({})", tuple(&parent));
    }
}

fn helper(out: &mut String, c: &Conn) {
    let name = match c.alg {
        crate::Alg::None => return,
        crate::Alg::Ftp => "ftp",
        crate::Alg::Tftp => "tftp",
    };
    let _ = write!(out, ",helper={name}");
}

fn tuple(t: &Tuple) -> String {
    match t.is_icmp() {
        true => format!("src={},dst={},id={},type={},code=0", t.src(), t.dst(), t.sport(), t.dport()),
        false => format!("src={},dst={},sport={},dport={}", t.src(), t.dst(), t.sport(), t.dport()),
    }
}

fn peers([a, b]: &[Peer; 2]) -> String {
    let mut out = format!("state_orig={},state_reply={}", a.state.name(), b.state.name());
    let scales = (a.scale().unwrap_or(0), b.scale().unwrap_or(0));
    if scales != (0, 0) {
        let _ = write!(out, ",wscale_orig={},wscale_reply={}", scales.0, scales.1);
    }
    let _ = write!(out, ",flags_orig={},flags_reply={}", flags(a), flags(b));
    out
}

fn flags(p: &Peer) -> &'static str {
    match (p.scale().is_some(), p.was_picked_up()) {
        (true, true) => "WINDOW_SCALE|BE_LIBERAL",
        (true, false) => "WINDOW_SCALE",
        (false, true) => "BE_LIBERAL",
        (false, false) => "0",
    }
}

/// As `dpctl/ct-stats-show` prints it.
pub fn stats(tracker: &Tracker, zone: Option<u16>, verbose: bool, now_ms: u64) -> String {
    let (mut total, mut by) = (0u64, std::collections::BTreeMap::<&str, u64>::new());
    let mut states = std::collections::BTreeMap::<State, u64>::new();
    tracker.for_each(now_ms, |c, _| {
        if zone.is_some_and(|z| z != c.orig.zone) {
            return;
        }
        total += 1;
        let kind = match c.orig.proto {
            TCP => "TCP",
            UDP => "UDP",
            SCTP => "SCTP",
            ICMP => "ICMP",
            ICMP6 => "ICMPv6",
            _ => "Other",
        };
        *by.entry(kind).or_default() += 1;
        if let Some(s) = c.tcp_state() {
            *states.entry(s).or_default() += 1;
        }
    });
    let mut out = format!("Connections Stats:\n    Total: {total}\n");
    for kind in ["TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "Other"] {
        let Some(n) = by.get(kind) else { continue };
        let _ = writeln!(out, "  {kind}: {n}");
        if kind == "TCP" && verbose {
            out.push_str("    Conn per TCP states:\n");
            for (s, n) in &states {
                let _ = writeln!(out, "\t  [{}]={n}", s.name());
            }
        }
    }
    out
}

/// As `dpctl/ct-bkts` prints it for a table without buckets.
///
/// Fewer connections than `above` are shown as a dot.
pub fn buckets(tracker: &Tracker, above: usize, now_ms: u64) -> String {
    let mut n = 0;
    tracker.for_each(now_ms, |_, _| n += 1);
    let mut out = format!("Total Buckets: 1\nCurrent Connections: {n}\n\n");
    if n > 0 {
        let rule = "+-----------+-----------------------------------------+\n";
        let shown = if n > above { n.to_string() } else { ".".into() };
        let _ = write!(out, "{rule}|  Buckets  |         Connections per Buckets         |\n{rule}   0..  7   | {shown:>5}\n\n");
    }
    out
}

/// As `dpctl/ct-get-limits` prints it: all zones with limits, or these.
pub fn limits(tracker: &Tracker, zones: &[u16]) -> String {
    tracker.zones(|all| {
        let mut out = format!("default limit={}\n", all.default_limit().unwrap_or(0));
        if zones.is_empty() {
            for (zone, l) in all.own() {
                let _ = writeln!(out, "zone={zone},limit={},count={}", l.limit, l.count);
            }
        }
        for zone in zones {
            if let Some(l) = all.limit(*zone) {
                let _ = writeln!(out, "zone={zone},limit={},count={}", l.limit, l.count);
            }
        }
        out
    })
}

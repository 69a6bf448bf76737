//! Ports, printed.
//!
//! Purpose: descriptions, status, modifications and counters as `ovs-ofctl` shows them.
//! Deliberately does not know: devices.

use super::bits::write_bits;
use super::duration;
use crate::message::{
    features as f, port_config as c, port_state as s, Port, PortMod, PortReason, PortStats,
    PortStatus, QueueConfig, QueueStats,
};
use crate::text::Names;
use std::fmt::Write;

const CONFIG: [(u32, &str); 7] = [
    (c::PORT_DOWN, "PORT_DOWN"),
    (c::NO_STP, "NO_STP"),
    (c::NO_RECV, "NO_RECV"),
    (c::NO_RECV_STP, "NO_RECV_STP"),
    (c::NO_FLOOD, "NO_FLOOD"),
    (c::NO_FWD, "NO_FWD"),
    (c::NO_PACKET_IN, "NO_PACKET_IN"),
];

const STATE: [(u32, &str); 3] =
    [(s::LINK_DOWN, "LINK_DOWN"), (s::BLOCKED, "BLOCKED"), (s::LIVE, "LIVE")];

const FEATURES: [(u32, &str); 16] = [
    (f::MB10_HD, "10MB-HD"),
    (f::MB10_FD, "10MB-FD"),
    (f::MB100_HD, "100MB-HD"),
    (f::MB100_FD, "100MB-FD"),
    (f::GB1_HD, "1GB-HD"),
    (f::GB1_FD, "1GB-FD"),
    (f::GB10_FD, "10GB-FD"),
    (f::GB40_FD, "40GB-FD"),
    (f::GB100_FD, "100GB-FD"),
    (f::TB1_FD, "1TB-FD"),
    (f::OTHER, "OTHER"),
    (f::COPPER, "COPPER"),
    (f::FIBER, "FIBER"),
    (f::AUTONEG, "AUTO_NEG"),
    (f::PAUSE, "AUTO_PAUSE"),
    (f::PAUSE_ASYM, "AUTO_PAUSE_ASYM"),
];

fn write_mac(out: &mut String, mac: &[u8; 6]) {
    for (i, b) in mac.iter().enumerate() {
        let _ = write!(out, "{}{b:02x}", if i == 0 { "" } else { ":" });
    }
}

/// Prints one port as `show` and `dump-ports-desc` do.
pub fn format_port(out: &mut String, p: &Port) {
    let name: String = p.name.chars().take_while(|c| c.is_ascii_graphic() || *c == ' ').collect();
    out.push(' ');
    Names::new().write_port(out, p.number);
    let _ = write!(out, "({name}): addr:");
    write_mac(out, &p.hw_addr);
    out.push_str("\n     config:     ");
    write_bits(out, p.config, &CONFIG);
    out.push_str("\n     state:      ");
    write_state(out, p.state);
    out.push('\n');
    let all = [
        ("current:    ", p.current),
        ("advertised: ", p.advertised),
        ("supported:  ", p.supported),
        ("peer:       ", p.peer),
    ];
    for (label, bits) in all.into_iter().filter(|(_, bits)| *bits != 0) {
        let _ = write!(out, "     {label}");
        write_bits(out, bits, &FEATURES);
        out.push('\n');
    }
    let (now, max) = (p.current_speed / 1000, p.max_speed / 1000);
    let _ = writeln!(out, "     speed: {now} Mbps now, {max} Mbps max");
}

fn write_state(out: &mut String, state: u32) {
    let stp = state & s::STP_MASK;
    if stp == 0 {
        return write_bits(out, state, &STATE);
    }
    out.push_str(match stp >> 8 {
        1 => "STP_LEARN",
        2 => "STP_FORWARD",
        _ => "STP_BLOCK",
    });
    if state != stp {
        write_bits(out, state & !s::STP_MASK, &STATE);
    }
}

/// Prints ports in the order of their numbers.
pub(super) fn ports(out: &mut String, ports: &[Port]) {
    let mut sorted: Vec<&Port> = ports.iter().collect();
    sorted.sort_by_key(|p| p.number);
    sorted.into_iter().for_each(|p| format_port(out, p));
}

pub(super) fn status(out: &mut String, s: &PortStatus) {
    out.push_str(match s.reason {
        PortReason::Add => " ADD:",
        PortReason::Delete => " DEL:",
        PortReason::Modify => " MOD:",
    });
    format_port(out, &s.port);
}

pub(super) fn port_mod(out: &mut String, m: &PortMod, names: &Names) {
    out.push_str(" port: ");
    names.write_port(out, m.port);
    out.push_str(": addr:");
    write_mac(out, &m.hw_addr);
    out.push_str("\n     config: ");
    write_bits(out, m.config, &CONFIG);
    out.push_str("\n     mask:   ");
    write_bits(out, m.mask, &CONFIG);
    out.push_str("\n     advertise: ");
    match m.advertise {
        0 => out.push_str("UNCHANGED"),
        bits => write_bits(out, bits, &FEATURES),
    }
    out.push('\n');
}

/// Prints a counter, `?` where it is not kept.
fn count(out: &mut String, label: &str, n: u64, after: &str) {
    out.push_str(label);
    match n {
        u64::MAX => out.push('?'),
        n => {
            let _ = write!(out, "{n}");
        }
    }
    out.push_str(after);
}

/// Prints the counters of one port.
pub(super) fn port_stats(out: &mut String, p: &PortStats, names: &Names) {
    out.push_str("  port ");
    if p.port.0 < 10 {
        out.push(' ');
    }
    names.write_port(out, p.port);
    out.push_str(": rx ");
    count(out, "pkts=", p.rx_packets, ", ");
    count(out, "bytes=", p.rx_bytes, ", ");
    count(out, "drop=", p.rx_dropped, ", ");
    count(out, "errs=", p.rx_errors, ", ");
    count(out, "frame=", p.rx_frame_errors, ", ");
    count(out, "over=", p.rx_over_errors, ", ");
    count(out, "crc=", p.rx_crc_errors, "\n           tx ");
    count(out, "pkts=", p.tx_packets, ", ");
    count(out, "bytes=", p.tx_bytes, ", ");
    count(out, "drop=", p.tx_dropped, ", ");
    count(out, "errs=", p.tx_errors, ", ");
    count(out, "coll=", p.collisions, "\n");
    if p.duration_sec != u32::MAX {
        out.push_str("           duration=");
        duration(out, p.duration_sec, p.duration_nsec);
        out.push('\n');
    }
}

/// Prints queues and their rates, port by port.
pub(super) fn queue_configs(out: &mut String, queues: &[QueueConfig], names: &Names) {
    let mut all: Vec<&QueueConfig> = queues.iter().collect();
    all.sort_by_key(|q| (q.port.0, q.queue));
    let mut last = None;
    for q in all {
        if last.replace(q.port) != Some(q.port) {
            out.push_str(if out.ends_with('\n') { "port=" } else { " port=" });
            names.write_port(out, q.port);
            out.push('\n');
        }
        let _ = write!(out, "queue {}:", q.queue);
        rate(out, "min_rate", q.min_rate);
        rate(out, "max_rate", q.max_rate);
        out.push('\n');
    }
}

/// In tenths of a percent of the link.
fn rate(out: &mut String, name: &str, rate: u16) {
    let _ = match rate {
        0..=1000 => write!(out, " {name}:{}.{}%", rate / 10, rate % 10),
        u16::MAX => Ok(()),
        _ => write!(out, " {name}:(disabled)"),
    };
}

/// Prints the counters of one queue.
pub(super) fn queue_stats(out: &mut String, q: &QueueStats, names: &Names) {
    out.push_str("  port ");
    names.write_port(out, q.port);
    out.push_str(" queue ");
    match q.queue {
        u32::MAX => out.push_str("ALL"),
        n => {
            let _ = write!(out, "{n}");
        }
    }
    count(out, ": bytes=", q.tx_bytes, ", ");
    count(out, "pkts=", q.tx_packets, ", ");
    count(out, "errors=", q.tx_errors, ", duration=");
    match q.duration_sec {
        u32::MAX => out.push('?'),
        sec => duration(out, sec, q.duration_nsec),
    }
    out.push('\n');
}

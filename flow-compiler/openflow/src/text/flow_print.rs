//! Rules and flow-mods, printed.
//!
//! Purpose: the lines of `ovs-ofctl dump-flows`, and flow-mods as error reports show them.
//! Invariant: the lines of a dump can be read back as additions.
//! Deliberately does not know: where counters come from.

use super::action_print::format_actions;
use super::flow_parse::DEFAULT_PRIORITY;
use super::match_print::format_match;
use super::names::Names;
use crate::action::{Action, FlowFlags, FlowMod, FlowModCommand, PortNo};
use crate::matching::Match;
use crate::version::Version;
use std::fmt::Write;
use std::time::Duration;

/// A rule as `dump-flows` shows it.
#[derive(Clone, Copy, Debug)]
pub struct FlowLine<'a> {
    /// Its table.
    pub table: u8,
    /// Its priority.
    pub priority: u16,
    /// Its cookie.
    pub cookie: u64,
    /// What it matches.
    pub matching: &'a Match,
    /// What it does.
    pub actions: &'a [Action],
    /// Seconds, 0 for none.
    pub idle_timeout: u16,
    /// Seconds, 0 for none.
    pub hard_timeout: u16,
    /// Eviction importance.
    pub importance: u16,
    /// Flags.
    pub flags: FlowFlags,
    /// Its counters, where they are to be shown.
    pub counters: Option<FlowCounters>,
}

/// The counters of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowCounters {
    /// Time since it was added.
    pub duration: Duration,
    /// Packets that took it; `u64::MAX` where they are not counted.
    pub n_packets: u64,
    /// Bytes of these packets; `u64::MAX` where they are not counted.
    pub n_bytes: u64,
    /// Seconds since a packet took it, where known.
    pub idle_age: Option<u32>,
    /// Seconds since it was modified, where known.
    pub hard_age: Option<u32>,
}

/// Prints a line of `dump-flows`, without the space in front of it.
pub fn format_flow_stats(line: &FlowLine<'_>, names: &Names) -> String {
    let mut out = String::with_capacity(128);
    let stats = line.counters.is_some();
    if stats || line.cookie != 0 {
        put(&mut out, format_args!("cookie=0x{:x}, ", line.cookie));
    }
    if let Some(c) = line.counters {
        put(
            &mut out,
            format_args!("duration={}, ", format_duration(c.duration)),
        );
    }
    if stats || line.table != 0 || names.has_table(line.table) {
        out.push_str("table=");
        names.write_table(&mut out, line.table);
        out.push_str(", ");
    }
    if let Some(c) = line.counters {
        let (packets, bytes) = (c.n_packets, c.n_bytes);
        put(
            &mut out,
            format_args!("n_packets={packets}, n_bytes={bytes}, "),
        );
    }
    timeouts(&mut out, line);
    if let Some(c) = line.counters {
        if let Some(age) = c.idle_age {
            put(&mut out, format_args!("idle_age={age}, "));
        }
        if let Some(age) = c
            .hard_age
            .filter(|age| u64::from(*age) != c.duration.as_secs())
        {
            put(&mut out, format_args!("hard_age={age}, "));
        }
    }
    let matching = match_with_priority(line.matching, line.priority, names);
    if !matching.is_empty() {
        put(&mut out, format_args!("{matching} "));
    }
    out.push_str("actions=");
    out.push_str(&format_actions(line.actions, names));
    out
}

fn timeouts(out: &mut String, line: &FlowLine<'_>) {
    if line.idle_timeout != 0 {
        put(out, format_args!("idle_timeout={}, ", line.idle_timeout));
    }
    if line.hard_timeout != 0 {
        put(out, format_args!("hard_timeout={}, ", line.hard_timeout));
    }
    flags(out, line.flags);
    if line.importance != 0 {
        put(out, format_args!("importance={}, ", line.importance));
    }
}

/// Prints a flow-mod as error reports show it: `ADD table:1 priority=5,tcp actions=output:2`.
pub fn format_flow_mod(flow: &FlowMod, names: &Names) -> String {
    let mut out = String::with_capacity(128);
    out.push_str(match flow.command {
        FlowModCommand::Add => "ADD",
        FlowModCommand::Modify => "MOD",
        FlowModCommand::ModifyStrict => "MOD_STRICT",
        FlowModCommand::Delete => "DEL",
        FlowModCommand::DeleteStrict => "DEL_STRICT",
    });
    let table = flow.table.unwrap_or(255);
    if table != 0 {
        out.push_str(" table:");
        names.write_table(&mut out, table);
    }
    out.push(' ');
    let matching = match_with_priority(&flow.matching, flow.priority, names);
    if !matching.is_empty() {
        put(&mut out, format_args!("{matching} "));
    }
    if let Some(cookie) = flow.new_cookie.filter(|c| *c != 0 && *c != u64::MAX) {
        put(&mut out, format_args!("cookie:0x{cookie:x} "));
    }
    if flow.cookie_mask != 0 {
        put(
            &mut out,
            format_args!("cookie:0x{:x}/0x{:x} ", flow.cookie, flow.cookie_mask),
        );
    }
    let numbers = [
        ("idle", flow.idle_timeout),
        ("hard", flow.hard_timeout),
        ("importance", flow.importance),
    ];
    for (name, number) in numbers.into_iter().filter(|(_, n)| *n != 0) {
        put(&mut out, format_args!("{name}:{number} "));
    }
    if flow.buffer_id != u32::MAX {
        put(&mut out, format_args!("buf:0x{:x} ", flow.buffer_id));
    }
    if flow.out_port != PortNo::NONE {
        out.push_str("out_port:");
        names.write_port(&mut out, flow.out_port);
        out.push(' ');
    }
    flags(&mut out, flow.flags);
    out.push_str("actions=");
    out.push_str(&format_actions(&flow.actions, names));
    out
}

/// Like [`format_flow_mod`], for one that came in a message of this version: what the version implies
/// is not printed.
pub fn format_flow_mod_in(version: Version, flow: &FlowMod, names: &Names) -> String {
    let mut flow = flow.clone();
    if version <= Version::V11 {
        // Every addition and modification resets counters there.
        flow.flags.reset_counts = false;
    }
    format_flow_mod(&flow, names)
}

/// `12s`, `12.345s` or, where milliseconds do not say it all, `12.345678901s`.
pub fn format_duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    match nanos {
        0 => format!("{seconds}s"),
        _ if nanos % 1_000_000 == 0 => format!("{seconds}.{:03}s", nanos / 1_000_000),
        _ => {
            let decimals = format!("{nanos:09}");
            format!("{seconds}.{}s", decimals.trim_end_matches('0'))
        }
    }
}

/// `priority=5,tcp,tp_dst=80`
fn match_with_priority(m: &Match, priority: u16, names: &Names) -> String {
    let matching = format_match(m, names);
    match (priority, matching.is_empty()) {
        (DEFAULT_PRIORITY, _) => matching,
        (_, true) => format!("priority={priority}"),
        (_, false) => format!("priority={priority},{matching}"),
    }
}

fn flags(out: &mut String, flags: FlowFlags) {
    let words = [
        (flags.send_flow_rem, "send_flow_rem "),
        (flags.check_overlap, "check_overlap "),
        (flags.reset_counts, "reset_counts "),
        (flags.no_packet_counts, "no_packet_counts "),
        (flags.no_byte_counts, "no_byte_counts "),
    ];
    for (_, word) in words.into_iter().filter(|(set, _)| *set) {
        out.push_str(word);
    }
}

fn put(out: &mut String, part: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{parse_flow, parse_flow_line};

    fn dump(text: &str, table: u8, counters: Option<FlowCounters>) -> String {
        let names = Names::new();
        let flow = parse_flow(text, FlowModCommand::Add, &names).expect("a rule");
        let line = FlowLine {
            table,
            priority: flow.priority,
            cookie: flow.new_cookie.unwrap_or(0),
            matching: &flow.matching,
            actions: &flow.actions,
            idle_timeout: flow.idle_timeout,
            hard_timeout: flow.hard_timeout,
            importance: flow.importance,
            flags: flow.flags,
            counters,
        };
        format_flow_stats(&line, &names)
    }

    #[test]
    fn lines_of_a_dump_carry_counters_where_wanted() {
        let counters = FlowCounters {
            duration: Duration::from_millis(61),
            n_packets: 3,
            n_bytes: 180,
            idle_age: Some(0),
            hard_age: Some(7),
        };
        let cases = [
            (
                dump("priority=1,in_port=1,actions=1", 0, Some(counters)),
                "cookie=0x0, duration=0.061s, table=0, n_packets=3, n_bytes=180, idle_age=0, \
                 hard_age=7, priority=1,in_port=1 actions=output:1",
            ),
            (
                dump(
                    "idle_timeout=5,hard_timeout=6,send_flow_rem,importance=4,ip,actions=drop",
                    3,
                    Some(FlowCounters {
                        hard_age: Some(2),
                        ..later()
                    }),
                ),
                "cookie=0x0, duration=2.000000001s, table=3, n_packets=0, n_bytes=0, \
                 idle_timeout=5, hard_timeout=6, send_flow_rem importance=4, ip actions=drop",
            ),
            (
                dump("cookie=0x10,actions=drop", 0, None),
                "cookie=0x10, actions=drop",
            ),
            (dump("actions=drop", 7, None), "table=7, actions=drop"),
        ];
        for (ours, expected) in cases {
            assert_eq!(ours, expected);
        }
    }

    fn later() -> FlowCounters {
        FlowCounters {
            duration: Duration::new(2, 1),
            ..FlowCounters::default()
        }
    }

    #[test]
    fn flow_mods_are_shown_as_in_error_reports() {
        let cases = [
            ("delete", "DEL table:255 actions=drop"),
            (
                "delete table=3,out_port=2",
                "DEL table:3 out_port:2 actions=drop",
            ),
            (
                "delete_strict table=0,cookie=5/0xff,priority=7,ip",
                "DEL_STRICT priority=7,ip cookie:0x5/0xff actions=drop",
            ),
            (
                "modify table=0,cookie=5,ip,idle_timeout=4,hard_timeout=5,actions=1",
                "MOD ip cookie:0x5 idle:4 hard:5 actions=output:1",
            ),
            (
                "table=0,importance=3,check_overlap,send_flow_rem,priority=2 actions=2",
                "ADD priority=2 importance:3 send_flow_rem check_overlap actions=output:2",
            ),
        ];
        for (text, expected) in cases {
            let flow = parse_flow_line(text, &Names::new()).map(|(flow, _)| flow);
            let shown = flow.map(|f| format_flow_mod(&f, &Names::new()));
            assert_eq!(shown.as_deref(), Ok(expected));
        }
    }

    #[test]
    fn durations_have_no_more_digits_than_they_need() {
        let cases = [
            (Duration::from_secs(12), "12s"),
            (Duration::from_millis(12_045), "12.045s"),
            (Duration::new(0, 61_000_001), "0.061000001s"),
        ];
        for (duration, text) in cases {
            assert_eq!(format_duration(duration), text);
        }
    }
}

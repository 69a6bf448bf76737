//! Commands about bridges and learned addresses.

use std::fmt::Write;

use sluice_compiler::Filter;
use sluice_flow::program::OWN_TABLE;
use sluice_openflow::text::{format_actions, format_match, Names};
use sluice_openflow::PortNo;

use super::{Console, Reply};
use crate::daemon::switch::bridge::Bridge;
use crate::daemon::switch::own::shown_priority;

const NO_BRIDGE: &str = "no such bridge";
/// Most lines of an answer.
const LINES: usize = 100_000;

fn find<'a>(console: &'a Console<'_>, name: Option<&&str>) -> Result<&'a Bridge, String> {
    console.switch.bridge_by_name(name.unwrap_or(&"")).ok_or_else(|| NO_BRIDGE.to_string())
}

pub(super) fn list(console: &mut Console<'_>, _: &[&str]) -> Reply {
    let mut names: Vec<&str> = console.switch.bridges().map(|b| b.name.as_str()).collect();
    names.sort_unstable();
    Reply::Text(names.iter().map(|n| format!("{n}\n")).collect())
}

pub(super) fn fdb_show(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let now_ms = console.now_ms;
    let show = |bridge: &Bridge| {
        let mut out = String::from(" port  VLAN  MAC                Age\n");
        let mut entries = bridge.fdb.entries();
        entries.sort_by_key(|e| std::cmp::Reverse(now_ms.saturating_sub(e.seen_ms)));
        for e in entries.iter().take(LINES) {
            let mut port = String::new();
            Names::new().write_port(&mut port, PortNo(e.port));
            let age = if e.fixed { "static".to_string() } else { (now_ms.saturating_sub(e.seen_ms) / 1000).to_string() };
            let _ = writeln!(out, "{port:>5}  {:>4}  {}  {age:>3}", e.vlan, mac(e.mac));
        }
        out
    };
    find(console, words.first()).map(show).into()
}

pub(super) fn fdb_flush(console: &mut Console<'_>, words: &[&str]) -> Reply {
    match words.first() {
        Some(name) => match find(console, Some(name)) {
            Ok(bridge) => bridge.fdb.flush(None),
            Err(e) => return Reply::Error(e),
        },
        None => console.switch.bridges().for_each(|b| b.fdb.flush(None)),
    }
    Reply::Text("table successfully flushed\n".to_string())
}

pub(super) fn fdb_add(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let [bridge, port, vlan, address] = words else { return Reply::Error("syntax: bridge port vlan mac".to_string()) };
    let bridge = match find(console, Some(bridge)) {
        Ok(bridge) => bridge,
        Err(e) => return Reply::Error(e),
    };
    let Some(port) = bridge.port_by_name(port) else {
        return Reply::Error(format!("bridge {} has no port {port}", bridge.name));
    };
    match (vlan.parse::<u16>().ok().filter(|v| *v < 4096), parse_mac(address)) {
        (None, _) => Reply::Error("Invalid VLAN".to_string()),
        (_, None) => Reply::Error("Invalid MAC address".to_string()),
        (Some(vlan), Some(mac)) => {
            match bridge.fdb.fix(vlan, mac, port.number.0, console.now_ms) {
                true => Reply::Text(String::new()),
                false => Reply::Error("the table is full of static entries".to_string()),
            }
        }
    }
}

pub(super) fn fdb_del(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let [bridge, vlan, address] = words else { return Reply::Error("syntax: bridge vlan mac".to_string()) };
    let bridge = match find(console, Some(bridge)) {
        Ok(bridge) => bridge,
        Err(e) => return Reply::Error(e),
    };
    match (vlan.parse::<u16>().ok().filter(|v| *v < 4096), parse_mac(address)) {
        (None, _) => Reply::Error("Invalid VLAN".to_string()),
        (_, None) => Reply::Error("Invalid MAC address".to_string()),
        (Some(vlan), Some(mac)) if bridge.fdb.entries().iter().any(|e| e.fixed && (e.vlan, e.mac) == (vlan, mac)) => {
            bridge.fdb.forget(vlan, mac);
            Reply::Text(String::new())
        }
        _ => Reply::Error("could not find static mac entry".to_string()),
    }
}

pub(super) fn fdb_stats(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let show = |bridge: &Bridge| {
        let (entries, stats) = (bridge.fdb.entries(), bridge.fdb.stats());
        let placed = entries.iter().filter(|e| e.fixed).count();
        let rows = [
            ("Current/maximum MAC entries in the table", format!("{}/{}", entries.len(), bridge.fdb.limit())),
            ("Current static MAC entries in the table ", placed.to_string()),
            ("Total number of learned MAC entries     ", stats.learned.to_string()),
            ("Total number of expired MAC entries     ", stats.expired.to_string()),
            ("Total number of evicted MAC entries     ", stats.evicted.to_string()),
            ("Total number of port moved MAC entries  ", stats.moved.to_string()),
        ];
        let head = format!("Statistics for bridge \"{}\":\n", bridge.name);
        rows.iter().fold(head, |out, (what, value)| out + &format!("  {what}: {value}\n"))
    };
    find(console, words.first()).map(show).into()
}

pub(super) fn fdb_stats_clear(console: &mut Console<'_>, words: &[&str]) -> Reply {
    match words.first() {
        Some(name) => match find(console, Some(name)) {
            Ok(bridge) => bridge.fdb.clear_stats(),
            Err(e) => return Reply::Error(e),
        },
        None => console.switch.bridges().for_each(|b| b.fdb.clear_stats()),
    }
    Reply::Text("statistics successfully cleared\n".to_string())
}

pub(super) fn mdb_show(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let now_ms = console.now_ms;
    let show = |bridge: &Bridge| {
        let mut out = String::from(" port  VLAN  GROUP                Age\n");
        let Some(mdb) = &bridge.mdb else { return out };
        let port = |number: u32| {
            let mut name = String::new();
            Names::new().write_port(&mut name, PortNo(number));
            name
        };
        let age = |seen_ms: u64| now_ms.saturating_sub(seen_ms) / 1000;
        for (vlan, group, members) in mdb.groups().into_iter().take(LINES) {
            for m in members {
                let _ = writeln!(out, "{:>5}  {vlan:>4}  {group}         {:>3}", port(m.port), age(m.seen_ms));
            }
        }
        for (vlan, m) in mdb.all_routers() {
            let _ = writeln!(out, "{:>5}  {vlan:>4}  querier             {:>3}", port(m.port), age(m.seen_ms));
        }
        out
    };
    find(console, words.first()).map(show).into()
}

pub(super) fn mdb_flush(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let flush = |bridge: &Bridge| bridge.mdb.as_ref().map(|m| m.flush(None));
    match words.first() {
        Some(name) => match find(console, Some(name)).map(flush) {
            Err(e) => return Reply::Error(e),
            Ok(None) => return Reply::Error("bridge has no multicast snooping".to_string()),
            Ok(Some(())) => {}
        },
        None => console.switch.bridges().for_each(|b| _ = flush(b)),
    }
    Reply::Text("table successfully flushed\n".to_string())
}

/// Every rule of a bridge, on one line each.
pub(super) fn dump_flows(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let Some(name) = words.iter().find(|w| !w.starts_with("--")) else { return Reply::Error("missing bridge name".to_string()) };
    let Some(bridge) = console.switch.bridge_by_name(name) else { return Reply::Error("Unknown bridge".to_string()) };
    let mut out = String::new();
    let filter = Filter::default();
    let own = console.switch.rules.own(bridge.index);
    for rule in own.chain(console.switch.rules.dump(bridge.index, &filter)).take(LINES) {
        let hidden = rule.table == OWN_TABLE;
        let priority = if hidden { shown_priority(rule.priority()) } else { u32::from(rule.priority()) };
        if rule.table != 0 && !hidden {
            let _ = write!(out, "table_id={}, ", rule.table);
        }
        let seconds = console.now_ms.saturating_sub(rule.created) / 1000;
        let _ = write!(out, "duration={seconds}s, n_packets={}, n_bytes={}, ", rule.packets, rule.bytes);
        let matching = format_match(&rule.matching(), &Names::new());
        if priority != 0x8000 {
            let _ = write!(out, "priority={priority}");
            out.push_str(if matching.is_empty() { "" } else { "," });
        }
        let actions = if rule.actions.is_empty() { "drop".to_string() } else { format_actions(&rule.actions, &Names::new()) };
        let _ = writeln!(out, "{matching},actions={actions}");
    }
    Reply::Text(out)
}

pub(super) fn reconnect(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let bridge = match words.first() {
        None => None,
        Some(name) => match console.switch.bridge_by_name(name) {
            Some(bridge) => Some(bridge.index),
            None => return Reply::Error("unknown bridge".to_string()),
        },
    };
    console.wishes.reconnect.get_or_insert_default().push(bridge);
    Reply::Text(String::new())
}

/// `00:11:22:33:44:55`.
pub(super) fn mac(value: u64) -> String {
    let [_, _, a, b, c, d, e, f] = value.to_be_bytes();
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

pub(super) fn parse_mac(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split(':').collect();
    let bytes = parts.iter().map(|p| u8::from_str_radix(p, 16).ok()).collect::<Option<Vec<u8>>>()?;
    (bytes.len() == 6).then(|| bytes.iter().fold(0, |v, b| v << 8 | u64::from(*b)))
}

//! `replace-flows` and `diff-flows`: rules of a file or a switch beside those of another.

use std::collections::{BTreeMap, HashMap};

use sluice_openflow::action::FlowFlags;
use sluice_openflow::message::FlowStatsRequest;
use sluice_openflow::text::{format_actions, format_match, Formats, Names};
use sluice_openflow::{FlowMod, FlowModCommand, Match, PortNo};

use super::dump::fetch;
use super::fatal::Fatal;
use super::flow_file::read;
use super::flows::send;
use super::formats;
use super::run::{print, Failure, Run};

/// Priority that is not printed.
const DEFAULT_PRIORITY: u16 = 0x8000;

/// What two rules must agree in to be the same one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Identity {
    table: u8,
    priority: u16,
    matching: Match,
}

/// Rules by what identifies them, and the order in which they came.
#[derive(Default)]
struct Rules {
    by_identity: HashMap<Identity, FlowMod>,
    order: Vec<Identity>,
}

impl Rules {
    fn add(&mut self, fm: FlowMod) {
        let identity = Identity { table: fm.table.unwrap_or(0), priority: fm.priority, matching: fm.matching.clone() };
        if self.by_identity.insert(identity.clone(), fm).is_none() {
            self.order.push(identity);
        }
    }
}

/// `replace-flows`.
pub fn replace(run: &Run) -> Result<(), Failure> {
    let names = run.accepted_names(run.argument(1))?;
    let (wanted, usable) = from_file(run, run.argument(2), &names)?;
    let present = from_switch(run, run.argument(1))?;
    let mut changes = Vec::new();
    for identity in &present.order {
        if !wanted.by_identity.contains_key(identity) {
            changes.extend(present.by_identity.get(identity).map(removal));
        }
    }
    for identity in &wanted.order {
        let (Some(new), old) = (wanted.by_identity.get(identity), present.by_identity.get(identity)) else { continue };
        let same = old.is_some_and(|old| does_the_same(old, new));
        if !same || run.options.readd {
            changes.push(new.clone());
        }
    }
    send(run, changes, usable)
}

/// `diff-flows`.
pub fn diff(run: &Run) -> Result<(), Failure> {
    let old = from_source(run, run.argument(1))?;
    let new = from_source(run, run.argument(2))?;
    let mut tables: BTreeMap<u8, Vec<&Identity>> = BTreeMap::new();
    let only_new = new.order.iter().filter(|i| !old.by_identity.contains_key(i));
    for identity in old.order.iter().chain(only_new) {
        tables.entry(identity.table).or_default().push(identity);
    }
    let mut differ = false;
    for identity in tables.into_values().flatten() {
        let (a, b) = (old.by_identity.get(identity), new.by_identity.get(identity));
        if a.zip(b).is_some_and(|(a, b)| does_the_same(a, b)) {
            continue;
        }
        differ = true;
        for (sign, side) in [("-", a), ("+", b)] {
            if let Some(fm) = side {
                print(&format!("{sign}{}\n", line(fm)));
            }
        }
    }
    if differ {
        return Err(Failure::Silent(2));
    }
    Ok(())
}

/// A file when there is one of this name; else a switch.
fn from_source(run: &Run, source: &str) -> Result<Rules, Failure> {
    let is_file = std::fs::metadata(source).is_ok_and(|m| m.is_file());
    if is_file {
        return Ok(from_file(run, source, &Names::new())?.0);
    }
    from_switch(run, source)
}

fn from_file(run: &Run, path: &str, names: &Names) -> Result<(Rules, Formats), Fatal> {
    let (fms, usable) = read(run, path, Some(FlowModCommand::Add), names)?;
    let mut rules = Rules::default();
    for fm in fms {
        rules.add(FlowMod { table: Some(fm.table.unwrap_or(0)), ..fm });
    }
    Ok((rules, usable))
}

fn from_switch(run: &Run, target: &str) -> Result<Rules, Failure> {
    let mut client = run.open(target)?;
    formats::switch_for_dump(&mut client, Formats::ANY, run.allowed)?;
    let mut rules = Rules::default();
    for flow in fetch(&mut client, FlowStatsRequest::default())? {
        rules.add(FlowMod {
            command: FlowModCommand::Add,
            table: Some(flow.table),
            priority: flow.priority,
            matching: flow.matching,
            cookie: 0,
            cookie_mask: 0,
            new_cookie: Some(flow.cookie),
            idle_timeout: flow.idle_timeout,
            hard_timeout: flow.hard_timeout,
            importance: flow.importance,
            buffer_id: u32::MAX,
            out_port: PortNo::NONE,
            out_group: u32::MAX,
            flags: flow.flags,
            actions: flow.actions,
        });
    }
    Ok(rules)
}

/// Not told by every version, so not compared: flags that only matter when a rule is added.
fn does_the_same(a: &FlowMod, b: &FlowMod) -> bool {
    let lasting = |f: FlowFlags| (f.send_flow_rem, f.no_packet_counts, f.no_byte_counts);
    a.new_cookie == b.new_cookie
        && (a.idle_timeout, a.hard_timeout, a.importance) == (b.idle_timeout, b.hard_timeout, b.importance)
        && lasting(a.flags) == lasting(b.flags)
        && a.actions == b.actions
}

fn removal(fm: &FlowMod) -> FlowMod {
    FlowMod {
        command: FlowModCommand::DeleteStrict,
        new_cookie: None,
        idle_timeout: 0,
        hard_timeout: 0,
        importance: 0,
        flags: FlowFlags::default(),
        actions: Vec::new(),
        ..fm.clone()
    }
}

fn line(fm: &FlowMod) -> String {
    let names = Names::new();
    let mut text = String::new();
    if let Some(table) = fm.table.filter(|t| *t != 0) {
        text += &format!("table={table} ");
    }
    let matching = format_match(&fm.matching, &names);
    let priority = (fm.priority != DEFAULT_PRIORITY).then(|| format!("priority={}", fm.priority));
    let words: Vec<&str> = priority.as_deref().into_iter().chain(Some(&*matching)).filter(|w| !w.is_empty()).collect();
    text += &words.join(",");
    if let Some(cookie) = fm.new_cookie.filter(|c| *c != 0) {
        text += &format!(" cookie=0x{cookie:x}");
    }
    for (name, number) in [("idle_timeout", fm.idle_timeout), ("hard_timeout", fm.hard_timeout), ("importance", fm.importance)] {
        if number != 0 {
            text += &format!(" {name}={number}");
        }
    }
    text + " actions=" + &format_actions(&fm.actions, &names)
}

//! Text to wire to text is identity: what is sent for a text prints as a text that the same is sent for.
//!
//! Over every rule, group and meter of the recorded commands (`$SLUICE_SHARED/corpus`; skipped, and said, where
//! that is not there) and over those recorded in this repository, in every version that can carry them.

use std::path::PathBuf;

use sluice_openflow::message::{GroupCommand, MeterCommand};
use sluice_openflow::print::format_message;
use sluice_openflow::text::{
    format_flow_stats, parse_flow_formats, parse_flow_line, parse_group_line, parse_meter, FlowLine, Formats, Names,
};
use sluice_openflow::{FlowMod, FlowModCommand, Message, PortNo, Protocol, Version};

const SENT: &str = include_str!("vectors/sent.tsv");
const GROUPS: [&str; 4] = [
    "group_id=1,type=select,selection_method=hash,fields(ip_dst,tcp_dst=0xff),bucket=bucket_id:1,weight:10,output:1,bucket=bucket_id:2,weight:5,actions=set_field:1->reg0,output:2",
    "group_id=7,type=ff,bucket=watch_port:1,actions=output:1,bucket=watch_group:2,actions=output:2",
    "group_id=9,type=indirect,bucket=actions=mod_dl_src:2:0:0:0:0:1,output:3",
    "group_id=4294967040,type=all,bucket=output:1,bucket=output:2,bucket=resubmit(,7)",
];
const METERS: [&str; 4] = [
    "meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=500",
    "meter=2,pktps,bands=type=dscp_remark,rate=10,prec_level=1",
    "meter=3,kbps,bands=type=drop,rate=7,type=dscp_remark,rate=4,prec_level=2",
    "meter=controller,pktps,bands=type=drop,rate=5",
];

/// What a switch refuses to read, Open vSwitch among them: it depends on fields that stand behind.
const REFUSED: [&str; 1] = ["priority=100,ct_nw_src=10.0.0.0/8,ct_state=+trk,ip,actions=drop"];

fn names() -> Names {
    let mut names = Names::new();
    for n in 1..=4 {
        names.add_port(PortNo(n), &format!("p{n}"));
    }
    names
}

/// Every protocol, and the format that it is.
fn protocols() -> impl Iterator<Item = (Protocol, Formats)> {
    let plain = Version::ALL.into_iter().skip(1).map(|v| (Protocol::from(v), Formats::of_version(v)));
    let old = |nxm, table_id| Protocol { version: Version::V10, nxm, table_id };
    plain.chain([
        (old(false, false), Formats::OPENFLOW10),
        (old(false, true), Formats::OPENFLOW10_TABLE_ID),
        (old(true, false), Formats::NXM),
        (old(true, true), Formats::NXM_TABLE_ID),
    ])
}

fn dump_line(fm: &FlowMod, names: &Names) -> String {
    let shown = FlowLine {
        table: fm.table.unwrap_or(0),
        priority: fm.priority,
        cookie: fm.new_cookie.unwrap_or(0),
        matching: &fm.matching,
        actions: &fm.actions,
        idle_timeout: fm.idle_timeout,
        hard_timeout: fm.hard_timeout,
        importance: fm.importance,
        flags: fm.flags,
        counters: None,
    };
    format_flow_stats(&shown, names)
}

fn carried(message: &Message, protocol: Protocol) -> Result<(Vec<u8>, Message), String> {
    let bytes = message.encode(protocol, 1).map_err(|e| format!("{e}"))?;
    let (_, read) = Message::decode(protocol, &bytes).map_err(|e| format!("{e}"))?;
    Ok((bytes, read))
}

/// A rule as it arrives at the other end, without what its version implies.
fn arrived(fm: FlowMod, protocol: Protocol) -> Result<FlowMod, String> {
    let (_, Message::FlowMod(mut read)) = carried(&Message::flow_mod(fm), protocol)? else { return Err("no flow-mod came back".into()) };
    if protocol.version <= Version::V11 {
        // There every addition starts counting over.
        read.flags.reset_counts = false;
    }
    Ok(*read)
}

/// What is wrong with a rule in one protocol.
fn rule_differs(fm: &FlowMod, protocol: Protocol) -> Result<(), String> {
    let names = Names::new();
    let line = dump_line(&arrived(fm.clone(), protocol)?, &names);
    let (again, _) = parse_flow_formats(&line, FlowModCommand::Add, &names).map_err(|e| format!("{line}: {e}"))?;
    let lines = [dump_line(&again, &names), dump_line(&arrived(again, protocol)?, &names)];
    match lines.iter().find(|l| **l != line) {
        None => Ok(()),
        Some(other) => Err(format!("{line}\n  became {other}")),
    }
}

/// What is wrong with a group or meter in one protocol: its printed form, without its name, is read again.
fn change_differs(message: &Message, protocol: Protocol, read_again: impl Fn(&str) -> Result<Message, String>) -> Result<(), String> {
    let (bytes, _) = carried(message, protocol)?;
    let printed = format_message(&bytes, &Names::new());
    let text = printed.split_once("ADD ").map_or("", |(_, text)| text.trim()).replace('\n', " ");
    let again = read_again(&text).map_err(|e| format!("{text}: {e}"))?;
    match carried(&again, protocol)? {
        (same, _) if same == bytes => Ok(()),
        (other, _) => Err(format!("{text}\n  is sent as {other:02x?}\n  and was    {bytes:02x?}")),
    }
}

fn group(text: &str) -> Result<(Message, Formats), String> {
    let (gm, formats) = parse_group_line(text, &names()).map_err(|e| e.to_string())?;
    if gm.command != GroupCommand::Add {
        return Err("no addition".into());
    }
    Ok((Message::GroupMod(Box::new(gm)), formats))
}

fn meter(text: &str) -> Result<Message, String> {
    parse_meter(text, MeterCommand::Add).map(Message::MeterMod).map_err(|e| e.to_string())
}

#[derive(Default)]
struct Tally {
    rules: usize,
    groups: usize,
    meters: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn rule(&mut self, text: &str) {
        let Ok((fm, formats)) = parse_flow_line(text, &names()) else { return };
        // What tunnel options are called depends on the switch.
        if fm.command != FlowModCommand::Add || text.contains("tun_metadata") || REFUSED.contains(&text) {
            return;
        }
        let fm = FlowMod { matching: fm.matching.normalized(), ..fm };
        // Nicira's encapsulation is only understood from 1.3 on; 1.0 has no place for what follows write_metadata.
        let too_old = |v| (v < Version::V13 && text.contains("cap(")) || (v == Version::V10 && text.contains("write_metadata"));
        for (protocol, _) in protocols().filter(|(p, f)| !too_old(p.version) && formats.contains(*f)) {
            self.rules += 1;
            self.note(text, protocol, rule_differs(&fm, protocol));
        }
    }

    fn group(&mut self, text: &str) {
        let Ok((gm, formats)) = group(text) else { return };
        // Properties of groups came with 1.5; older versions leave them out.
        let has_properties = text.contains("selection_method") || text.contains("bucket_id");
        for (protocol, _) in protocols().filter(|(p, f)| p.version >= Version::V11 && formats.contains(*f)) {
            if !has_properties || protocol.version == Version::V15 {
                self.groups += 1;
                self.note(text, protocol, change_differs(&gm, protocol, |t| group(t).map(|(m, _)| m)));
            }
        }
    }

    fn meter(&mut self, text: &str) {
        let Ok(mm) = meter(text) else { return };
        for version in [Version::V13, Version::V14, Version::V15] {
            self.meters += 1;
            self.note(text, version.into(), change_differs(&mm, version.into(), meter));
        }
    }

    fn note(&mut self, text: &str, protocol: Protocol, result: Result<(), String>) {
        self.wrong.extend(result.err().map(|e| format!("{text} in {protocol:?}: {e}")));
    }

    fn end(self, at_least: [usize; 3]) {
        assert!(self.wrong.is_empty(), "{} wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
        let ran = [self.rules, self.groups, self.meters];
        println!("text to wire to text: {ran:?} rules, groups and meters in all their versions");
        assert!(ran.iter().zip(at_least).all(|(n, least)| *n >= least), "{ran:?}");
    }
}

#[test]
fn what_this_repository_has_recorded_prints_as_what_is_sent_alike() {
    let mut tally = Tally::default();
    let words = SENT.lines().filter(|l| !l.starts_with('#') && l.contains("add-flow"));
    words.filter_map(|l| l.split('\t').nth(1)?.split('\'').nth(1)).for_each(|t| tally.rule(t));
    GROUPS.iter().for_each(|t| tally.group(t));
    METERS.iter().for_each(|t| tally.meter(t));
    tally.end([500, 8, 12]);
}

#[test]
fn what_the_corpus_has_recorded_prints_as_what_is_sent_alike() {
    let shared = std::env::var("SLUICE_SHARED").map(PathBuf::from);
    let folder = shared.unwrap_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared")).join("corpus");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("SKIP text to wire to text over the recorded commands: {} is not there", folder.display());
        return;
    };
    let mut tally = Tally::default();
    for path in files.filter_map(|f| Some(f.ok()?.path())).filter(|p| p.extension().is_some_and(|e| e == "cmd")) {
        let commands = std::fs::read_to_string(&path).expect("a readable file");
        for line in commands.lines() {
            // Every text in quotes, for whatever it is: what is none is refused by its reader.
            for text in line.split('\'').skip(1).step_by(2) {
                let text = ["flow ", "group ", "add "].iter().fold(text, |t, word| t.strip_prefix(word).unwrap_or(t));
                tally.rule(text);
                if line.contains("group") {
                    tally.group(text);
                }
                if line.contains("meter") {
                    tally.meter(text);
                }
            }
        }
    }
    tally.end([500, 20, 3]);
}

//! What Open vSwitch printed for a command is what this crate prints.
//!
//! Walks the recorded commands: `add-flow` is read here, and where Open vSwitch refused it the words
//! of the refusal are compared; the rule is carried over the recorded protocol, and what `dump-flows
//! --no-stats` printed is compared with what is printed here. Prints how many cases ran. Skips where the recordings are not there.

use sluice_openflow::text::{format_flow_stats, parse_flow, FlowLine, Names};
use sluice_openflow::{FlowMod, FlowModCommand, Message, PortNo, Protocol, Version};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Cases that depend on more than rules: a flag that only the addition knows, a map of tunnel options.
const BEYOND_RULES: [&str; 2] = ["e-overlap", "b-act-67"];

fn recordings() -> Option<PathBuf> {
    let shared = std::env::var("SLUICE_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let folder = shared.join("corpus");
    folder.is_dir().then_some(folder)
}

/// A command and the lines that it printed.
struct Step {
    command: String,
    output: Vec<String>,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => steps.push(Step {
                command: command.to_string(),
                output: Vec::new(),
            }),
            None => {
                if let Some(step) = steps.last_mut() {
                    step.output.push(line.to_string());
                }
            }
        }
    }
    steps
}

/// The protocol that `ovs-ofctl` would speak for these words.
fn protocol(words: &[String]) -> Protocol {
    let version = words.iter().skip_while(|w| *w != "-O").nth(1);
    match version
        .and_then(|v| Version::by_name(v))
        .unwrap_or(Version::V10)
    {
        Version::V10 => Protocol::NXM_WITH_TABLE,
        version => version.into(),
    }
}

/// The rule as it arrives at the other end, and is dumped from there.
fn carried(case: &str, flow: FlowMod, protocol: Protocol) -> FlowMod {
    let bytes = Message::flow_mod(flow.clone()).encode(protocol, 1);
    let bytes = bytes.unwrap_or_else(|e| panic!("{case}: {e:?} {flow:?}"));
    let Ok((_, Message::FlowMod(mut flow))) = Message::decode(protocol, &bytes) else {
        panic!("{case}: what was encoded cannot be decoded: {flow:?}");
    };
    if protocol.version <= Version::V12 {
        // A dump of these versions has no flags.
        flow.flags = Default::default();
    }
    *flow
}

/// The words of a command line; single quotes hold together.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match (c, quoted) {
            ('\'', _) => quoted = !quoted,
            (' ', false) => words.push(String::new()),
            _ => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words
}

fn bridge() -> Names {
    let mut names = Names::new();
    for n in 1..=4 {
        names.add_port(PortNo(n), &format!("p{n}"));
    }
    names.add_table(4, "acl");
    names
}

fn line(flow: &FlowMod, names: &Names) -> String {
    let shown = FlowLine {
        table: flow.table.unwrap_or(0),
        priority: flow.priority,
        cookie: flow.new_cookie.unwrap_or(0),
        matching: &flow.matching,
        actions: &flow.actions,
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        importance: flow.importance,
        flags: flow.flags,
        counters: None,
    };
    format!(" {}", format_flow_stats(&shown, names))
}

#[derive(Default)]
struct Tally {
    dumps: usize,
    lines: usize,
    refusals: usize,
    skipped: usize,
    failures: Vec<String>,
}

impl Tally {
    fn compare(&mut self, case: &str, ours: &str, theirs: &str) {
        if ours != theirs {
            self.failures
                .push(format!("{case}\n  ours:   {ours}\n  theirs: {theirs}"));
        }
    }

    /// An addition, taken or refused. Returns the flow where Open vSwitch took it.
    fn addition(&mut self, case: &str, text: &str, output: &[String]) -> Option<FlowMod> {
        let ours = parse_flow(text, FlowModCommand::Add, &bridge());
        if let Some(message) = output.iter().find_map(|l| l.strip_prefix("ovs-ofctl: ")) {
            self.refusals += 1;
            let error = ours
                .err()
                .map_or("(accepted)".to_string(), |e| e.ovs_text().to_string());
            self.compare(case, &error, message);
            return None;
        }
        if output.iter().any(|l| l.starts_with("OFPT_ERROR")) {
            self.skipped += 1;
            return None;
        }
        match ours {
            Ok(flow) => Some(flow),
            Err(e) => {
                self.compare(case, &format!("refused: {e}"), text);
                None
            }
        }
    }

    /// Every line of a dump reads back as itself.
    fn read_back(&mut self, case: &str, output: &[String], names: &Names) {
        for theirs in output.iter().filter(|l| l.contains("actions=")) {
            self.lines += 1;
            match parse_flow(theirs, FlowModCommand::Add, &bridge()) {
                Ok(flow) => self.compare(case, &line(&flow, names), theirs),
                Err(e) => self.compare(case, &format!("refused: {e}"), theirs),
            }
        }
    }

    fn case(&mut self, case: &str, text: &str) {
        let steps = steps(text);
        let only_additions = steps.iter().all(|s| {
            let words = words(&s.command);
            words.iter().any(|w| w == "add-flow")
                || (words.iter().any(|w| w == "dump-flows")
                    && words.last().is_some_and(|w| w == "br0"))
        });
        let mut table: BTreeMap<String, FlowMod> = BTreeMap::new();
        for step in &steps {
            let words = words(&step.command);
            let has = |word: &str| words.iter().any(|w| w == word);
            if has("add-flow") && has("br0") {
                let Some(flow) = words
                    .last()
                    .and_then(|text| self.addition(case, text, &step.output))
                else {
                    continue;
                };
                if BEYOND_RULES.contains(&case) {
                    continue;
                }
                let flow = carried(case, flow, protocol(&words));
                let place = format!("{:?} {} {:?}", flow.table, flow.priority, flow.matching);
                table.insert(place, flow);
            } else if has("dump-flows") && has("--no-stats") {
                let names = if has("--names") {
                    bridge()
                } else {
                    Names::new()
                };
                self.read_back(case, &step.output, &names);
                if !only_additions || BEYOND_RULES.contains(&case) {
                    self.skipped += 1;
                    continue;
                }
                self.dumps += 1;
                let mut ours: Vec<String> = table
                    .values()
                    .map(|flow| line(&carried(case, flow.clone(), protocol(&words)), &names))
                    .collect();
                let mut theirs = step.output.clone();
                ours.sort();
                theirs.sort();
                self.compare(case, &format!("{ours:#?}"), &format!("{theirs:#?}"));
            }
        }
    }
}

#[test]
fn rules_are_printed_and_refused_as_open_vswitch_does() {
    let Some(folder) = recordings() else {
        println!("skipped: no recordings (set SLUICE_SHARED)");
        return;
    };
    let mut tally = Tally::default();
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("folder").flatten() {
        let path = entry.path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .to_string();
        let wanted = ["a-", "b-", "c-", "d-", "e-", "g-", "h-"]
            .iter()
            .any(|g| name.starts_with(g));
        if wanted && path.extension().is_some_and(|e| e == "out") {
            files += 1;
            tally.case(&name, &std::fs::read_to_string(&path).expect("recording"));
        }
    }
    println!(
        "{files} recordings: {} dumps equal, {} lines read back, {} refusals in the same words, \
         {} skipped (later commands or errors of a switch)",
        tally.dumps, tally.lines, tally.refusals, tally.skipped
    );
    assert!(tally.failures.is_empty(), "{}", tally.failures.join("\n"));
    assert!(files > 100 && tally.dumps > 80 && tally.lines > 100);
}

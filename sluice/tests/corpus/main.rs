//! Recorded commands and what Open vSwitch answered: the daemon and the command line give the same
//! text, with a bridge and four ports that the configuration file made.

mod canon;
mod database;
#[path = "../database/node.rs"]
#[allow(dead_code)] // a part of it is enough here
mod node;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{can_make_namespaces, links, shared, Daemon, Place};

const CONFIG: &str = r#"
[[bridge]]
name = "br0"
datapath_id = "00000000000000aa"
hwaddr = "aa:55:aa:55:00:00"
fail_mode = "secure"
protocols = ["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"]
[[bridge.port]]
name = "p1"
ofport_request = 1
[[bridge.port]]
name = "p2"
ofport_request = 2
[[bridge.port]]
name = "p3"
ofport_request = 3
[[bridge.port]]
name = "p4"
ofport_request = 4
"#;

/// Groups of cases: matches, actions, tables and bundles, malformed messages, errors of the client,
/// packets that a monitor sees.
const GROUPS: [&str; 6] = ["a-", "b-", "e-", "f-", "g-", "h-"];

/// What a case needs that does not exist yet, by a word in its commands.
const LATER: [(&str, &str); 2] = [("ovs-vsctl", "needs ovs-vsctl"), ("ovs-appctl", "needs ovs-appctl")];

/// Commands and what Open vSwitch answered.
pub struct Case {
    name: String,
    commands: String,
    expected: String,
}

fn cases(folder: &Path, groups: &[&str]) -> Vec<Case> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).expect("the corpus").flatten().map(|e| e.path()).collect();
    paths.sort();
    let commands = paths.iter().filter(|p| p.extension().is_some_and(|e| e == "cmd"));
    commands
        .filter_map(|path| {
            let name = path.file_stem()?.to_string_lossy().into_owned();
            let wanted = groups.iter().any(|g| name.starts_with(g));
            let text = |p: &Path| std::fs::read_to_string(p).ok();
            wanted.then_some(Case { name, commands: text(path)?, expected: text(&path.with_extension("out"))? })
        })
        .collect()
}

/// Times that a case which depends on the clock is run before it counts as different.
const TRIES: usize = 3;

fn reason_to_skip(case: &Case) -> Option<&'static str> {
    LATER.iter().find(|(word, _)| case.commands.contains(word)).map(|(_, reason)| *reason)
}

/// Runs one line of a case as a shell would; gives what it printed and its exit code.
fn shell(place: &Place, line: &str, path: Option<&Path>, tool: &Path) -> (String, i32) {
    let script = format!("exec 2>&1; ovs-ofctl() {{ command ovs-ofctl --timeout=10 \"$@\"; }}; {line}");
    let mut command = place.in_namespace("bash");
    command.args(["-c", &script]).env("CORPUS_TMP", &place.directory).env("CORPUS_TOOL", tool).stdin(Stdio::null());
    if let Some(folder) = path {
        let old = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{old}", folder.display()));
    }
    let output = command.output().expect("bash");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap_or(-1))
}

fn transcript(place: &Place, case: &Case, path: Option<&Path>, tool: &Path) -> String {
    let mut got = String::new();
    for line in case.commands.trim_end_matches('\n').split('\n') {
        let (text, code) = shell(place, line, path, tool);
        got += &format!("$ {line}\n{}", canon::canon(&text));
        if !got.ends_with('\n') {
            got.push('\n');
        }
        if code != 0 {
            got += &format!("[rc={code}]\n");
        }
    }
    got
}

/// One pass over the corpus; `own` tells whose command line is used.
fn pass(test: &str, own: bool) {
    if !can_make_namespaces(test) {
        return;
    }
    let (Some(folder), Some(recipes)) = (shared("corpus"), shared("recipes")) else {
        return println!("{test}: SKIPPED, there is no corpus at $SLUICE_SHARED or ../shared");
    };
    let place = Place::new();
    for i in 1..=4 {
        place.veth(&format!("p{i}"), &format!("q{i}"));
    }
    let config = place.write("node.toml", CONFIG);
    let path = own.then(|| links(&place));
    let tool = recipes.join("corpus_check.py");
    let (mut ran, mut skipped, mut failed) = (0, 0, Vec::new());
    for case in cases(&folder, &GROUPS) {
        if let Some(reason) = reason_to_skip(&case) {
            println!("{test}: {} skipped: {reason}", case.name);
            skipped += 1;
            continue;
        }
        let run = || {
            let daemon = Daemon::start(&place, &config, "br0");
            let got = transcript(&place, &case, path.as_deref(), &tool);
            assert_eq!(daemon.stop(), Some(0), "{}: sluiced ends cleanly", case.name);
            got
        };
        let mut got = run();
        // A case that sleeps was recorded by the clock: where the machine was held up, its time is over too early.
        for _ in 1..TRIES {
            if got == case.expected || !case.commands.contains("sleep ") {
                break;
            }
            println!("{test}: {} is timed and differs, it is run again", case.name);
            got = run();
        }
        ran += 1;
        if got != case.expected {
            println!("{test}: {} differs\n--- expected\n{}--- got\n{got}", case.name, case.expected);
            failed.push(case.name);
        }
    }
    println!("{test}: {ran} run, {} passed, {skipped} skipped", ran - failed.len());
    assert!(ran > 0, "no case of the corpus was run");
    assert!(failed.is_empty(), "{} cases differ: {failed:?}", failed.len());
}

#[test]
fn the_stock_command_line_gets_the_recorded_answers() {
    let test = "corpus with the stock ovs-ofctl";
    let there = Command::new("ovs-ofctl").arg("--version").output().is_ok_and(|o| o.status.success());
    if !there {
        return println!("{test}: SKIPPED, ovs-ofctl is not installed (apt install openvswitch-switch)");
    }
    pass(test, false);
}

#[test]
fn our_command_line_gets_the_recorded_answers() {
    pass("corpus with sluice ofctl", true);
}

//! The recorded commands as they were recorded: a database, the stock `ovs-vsctl`, and `ovs-ofctl`
//! and `ovs-appctl`, stock or ours.
//!
//! A part of the cases runs in every test run; `make corpus` runs all of them with both command lines.

use std::path::Path;
use std::process::Stdio;

use crate::node::Node;
use crate::support::{can_make_namespaces, links, shared};
use crate::{canon, cases, Case};


const SHELL: &str = "exec 2>&1; \
    ovs-vsctl() { command ovs-vsctl --timeout=10 --db=unix:$OVS_RUNDIR/db.sock \"$@\"; }; \
    ovs-appctl() { command ovs-appctl --timeout=10 -t $OVS_RUNDIR/ovs-vswitchd.ctl \"$@\"; }; \
    ovs-ofctl() { command ovs-ofctl --timeout=10 \"$@\"; }; ";

fn run(node: &Node, path: Option<&Path>, tool: &Path, line: &str) -> (String, i32) {
    let mut command = node.place.in_namespace("bash");
    command.args(["-c", &format!("{SHELL}{line}")]).stdin(Stdio::null());
    command.env("CORPUS_TMP", &node.place.directory).env("CORPUS_TOOL", tool);
    if let Some(folder) = path {
        let old = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{old}", folder.display()));
    }
    let output = command.output().expect("bash");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap_or(-1))
}

/// A bridge as it was when the answers were recorded.
fn reset(node: &Node) {
    let ports: String = (1..=4).map(|i| format!(" -- add-port br0 p{i} -- set interface p{i} ofport_request={i}")).collect();
    node.vsctl("--timeout=20 --if-exists del-br br0 -- --all destroy flow_table -- --all destroy mirror");
    node.vsctl(&format!(
        "--timeout=20 add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure \
         protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15 \
         other_config:datapath-id=00000000000000aa other_config:hwaddr=aa:55:aa:55:00:00 \
         other_config:disable-in-band=true{ports}"
    ));
}

fn transcript(node: &Node, case: &Case, path: Option<&Path>, tool: &Path) -> String {
    let mut got = String::new();
    for line in case.commands.trim_end_matches('\n').split('\n') {
        let (text, code) = run(node, path, tool, line);
        let text = text.replace(&format!("{}/", node.place.rundir().display()), "");
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

fn pass(test: &str, own: bool, wanted: impl Fn(usize, &Case) -> bool) {
    if !can_make_namespaces(test) {
        return;
    }
    let (Some(folder), Some(recipes)) = (shared("corpus"), shared("recipes")) else {
        return println!("{test}: SKIPPED, there is no corpus at $SLUICE_SHARED or ../shared");
    };
    if !std::process::Command::new("ovsdb-server").arg("--version").output().is_ok_and(|o| o.status.success()) {
        return println!("{test}: SKIPPED, ovsdb-server is not installed (apt install openvswitch-switch)");
    }
    let mut node = Node::without_switch();
    for i in 1..=4 {
        node.place.veth(&format!("p{i}"), &format!("q{i}"));
    }
    node.start_switch();
    std::os::unix::fs::symlink("switch.ctl", node.file("ovs-vswitchd.ctl")).expect("a link");
    let path = own.then(|| links(&node.place));
    let tool = recipes.join("corpus_check.py");
    let (mut ran, mut failed) = (0, Vec::new());
    for (i, case) in cases(&folder, &["a-", "b-", "c-", "d-", "e-", "f-", "g-", "h-"]).into_iter().enumerate() {
        if !wanted(i, &case) {
            continue;
        }
        reset(&node);
        run(&node, None, &tool, "ovs-appctl dpctl/flush-conntrack; rm -f $CORPUS_TMP/mon.*");
        let got = transcript(&node, &case, path.as_deref(), &tool);
        ran += 1;
        if got != case.expected {
            println!("{test}: {} differs\n--- expected\n{}--- got\n{got}", case.name, case.expected);
            failed.push(case.name);
        }
    }
    println!("{test}: {ran} run, {} passed", ran - failed.len());
    assert!(ran > 0, "no case of the corpus was run");
    assert!(failed.is_empty(), "{} cases differ: {failed:?}", failed.len());
}

/// Cases that need more than `ovs-ofctl`; a third of them keeps every test run short.
fn some(i: usize, case: &Case) -> bool {
    i % 3 == 0 && ["ovs-vsctl", "ovs-appctl"].iter().any(|word| case.commands.contains(word))
}

#[test]
fn traces_and_settings_through_a_database_are_as_recorded() {
    pass("corpus with a database", false, some);
}

#[test]
#[ignore = "long: make corpus"]
fn every_case_through_a_database_with_the_stock_command_lines() {
    pass("whole corpus with a database", false, |_, _| true);
}

#[test]
#[ignore = "long: make corpus"]
fn every_case_through_a_database_with_our_command_lines() {
    pass("whole corpus with our own command lines", true, |_, _| true);
}

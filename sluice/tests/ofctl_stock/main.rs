//! Our command line against a stock Open vSwitch: the same words give the same text and the same
//! exit code as from the stock command line.

#[path = "../corpus/canon.rs"]
mod canon;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;

use support::{can_make_namespaces, links, shared, wait_for, Daemon, Place};

/// A stock Open vSwitch in a place of its own, with bridge br0 and ports p1 to p4.
struct Stock<'a> {
    place: &'a Place,
}

impl Stock<'_> {
    fn start(place: &Place) -> Stock<'_> {
        for i in 1..=4 {
            place.veth(&format!("p{i}"), &format!("q{i}"));
        }
        let dir = place.rundir();
        std::fs::create_dir_all(&dir).expect("a run directory");
        let stock = Stock { place };
        stock.sh("ovsdb-tool create $D/conf.db /usr/share/openvswitch/vswitch.ovsschema");
        stock.sh("ovsdb-server --detach --no-chdir --pidfile=$D/db.pid --log-file=$D/db.log -vconsole:off --unixctl=$D/db.ctl --remote=punix:$D/db.sock $D/conf.db");
        stock.sh("ovs-vsctl --db=unix:$D/db.sock --no-wait init");
        stock.sh("ovs-vswitchd --detach --no-chdir --pidfile=$D/sw.pid --log-file=$D/sw.log -vconsole:off --unixctl=$D/sw.ctl unix:$D/db.sock");
        let ports: String = (1..=4).map(|i| format!(" -- add-port br0 p{i} -- set interface p{i} ofport_request={i}")).collect();
        stock.sh(&format!(
            "ovs-vsctl --timeout=20 --db=unix:$D/db.sock add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure \
             protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15{ports}"
        ));
        wait_for("br0", || dir.join("br0.mgmt").exists());
        stock
    }

    fn sh(&self, command: &str) {
        let dir = self.place.rundir().display().to_string();
        let set = "export OVS_LOGDIR=$D OVS_DBDIR=$D OVS_SYSCONFDIR=$D;";
        self.place.sh(&format!("D={dir}; {set} {command}"));
    }
}

impl Drop for Stock<'_> {
    fn drop(&mut self) {
        for name in ["sw.pid", "db.pid"] {
            if let Ok(pid) = std::fs::read_to_string(self.place.rundir().join(name)) {
                let _ = Command::new("kill").arg(pid.trim()).output();
            }
        }
    }
}

/// What is compared, in this order; each line works on what the ones before it left.
const COMMANDS: &str = include_str!("commands.txt");

fn answer(place: &Place, path: Option<&Path>, words: &str) -> String {
    let mut command = place.in_namespace("bash");
    command.args(["-c", &format!("exec 2>&1; ovs-ofctl {words}")]).current_dir(&place.directory);
    if let Some(folder) = path {
        let old = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{old}", folder.display()));
    }
    let output = command.output().expect("bash");
    let text = String::from_utf8_lossy(&output.stdout);
    let timeless: String = text.lines().map(|l| l.split(" time=").next().unwrap_or(l).to_string() + "\n").collect();
    format!("{}[rc={}]\n", canon::canon(&timeless), output.status.code().unwrap_or(-1))
}

#[test]
fn our_command_line_answers_like_the_stock_one() {
    let test = "ofctl against a stock Open vSwitch";
    if !can_make_namespaces(test) {
        return;
    }
    let installed = ["ovs-vswitchd", "ovsdb-server", "ovs-ofctl"];
    if !installed.iter().all(|p| Command::new(p).arg("--version").output().is_ok_and(|o| o.status.success())) {
        return println!("{test}: SKIPPED, Open vSwitch is not installed (apt install openvswitch-switch)");
    }
    let place = Place::new();
    let _stock = Stock::start(&place);
    let own = links(&place);
    place.write("rules1", "table=1,priority=3,ip,actions=1\ncookie=5,idle_timeout=3,tcp,actions=2 # a comment\n\n");
    place.write("rules2", "table=1,priority=3,ip,actions=2\nudp,actions=2\n");
    place.write("wrong", "ip,actions=1\nfoo\n");
    let (mut compared, mut differ) = (0, Vec::new());
    for words in COMMANDS.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        let words = words.trim();
        let (stock, ours) = (answer(&place, None, words), answer(&place, Some(&own), words));
        compared += 1;
        if stock != ours {
            println!("ovs-ofctl {words}\n--- stock\n{stock}--- ours\n{ours}");
            differ.push(words);
        }
    }
    println!("{test}: {compared} command lines compared, {} differ", differ.len());
    assert!(differ.is_empty(), "{differ:?}");
}

/// A line of `dump-flows` without what only a switch that ran it knows.
fn as_addition(line: &str) -> String {
    let told = ["duration=", "n_packets=", "n_bytes=", "idle_age=", "hard_age="];
    let words = line.trim().split(", ").filter(|word| !told.iter().any(|t| word.starts_with(t)));
    words.collect::<Vec<_>>().join(", ")
}

const OWN: &str = "[[bridge]]\nname = \"br0\"\nfail_mode = \"secure\"\n";

#[test]
fn real_neutron_tables_are_the_same_in_both_switches_by_both_command_lines() {
    let test = "Neutron's tables";
    if !can_make_namespaces(test) {
        return;
    }
    let Some(folder) = shared("neutron") else {
        return println!("{test}: SKIPPED, there are none at $SLUICE_SHARED or ../shared");
    };
    if !Command::new("ovs-vswitchd").arg("--version").output().is_ok_and(|o| o.status.success()) {
        return println!("{test}: SKIPPED, Open vSwitch is not installed (apt install openvswitch-switch)");
    }
    let (theirs, ours) = (Place::new(), Place::new());
    let _stock = Stock::start(&theirs);
    let config = ours.write("node.toml", OWN);
    let _daemon = Daemon::start(&ours, &config, "br0");
    let own = links(&ours);
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("Neutron's tables").flatten() {
        if entry.path().extension().is_none_or(|e| e != "flows") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).expect("a table");
        let rules: Vec<String> = text.lines().filter(|l| l.contains("actions=")).map(as_addition).collect();
        files += 1;
        for version in ["OpenFlow10", "OpenFlow13", "OpenFlow15"] {
            let mut dumps = Vec::new();
            for (place, path) in [(&theirs, None), (&theirs, Some(&*own)), (&ours, None), (&ours, Some(&*own))] {
                place.write("rules", &rules.join("\n"));
                let done = answer(place, path, "del-flows br0") + &answer(place, path, &format!("-O {version} --bundle add-flows br0 rules"));
                assert_eq!(done, "[rc=0]\n[rc=0]\n", "{}", entry.path().display());
                let dump = answer(place, path, &format!("-O {version} --no-stats dump-flows br0"));
                let mut lines: Vec<String> = dump.lines().map(str::to_string).collect();
                lines.sort();
                dumps.push(lines);
            }
            assert_eq!(dumps[0].len(), rules.len() + 1, "{}", entry.path().display());
            assert!(dumps.iter().all(|d| *d == dumps[0]), "{} in {version}", entry.path().display());
        }
    }
    println!("{test}: {files} files, each in three versions, by two command lines, in two switches");
}

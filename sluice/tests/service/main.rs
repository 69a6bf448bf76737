//! The daemon as scripts meet it: started in the background, found by its pid file, asked and ended
//! over its control socket, by the stock command line and by ours.

mod commands;
#[path = "../support/mod.rs"]
mod support;

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};

use support::{can_make_namespaces, links, wait_for, Place};

const BRIDGE: &str = "[[bridge]]\nname = \"br0\"\nfail_mode = \"secure\"\n";

/// A daemon in the background, gone with its owner.
struct Service<'a> {
    place: &'a Place,
}

impl<'a> Service<'a> {
    fn start(place: &'a Place, more: &str) -> (Service<'a>, Output) {
        Service::start_with(place, BRIDGE, more)
    }

    fn start_with(place: &'a Place, node: &str, more: &str) -> (Service<'a>, Output) {
        let config = place.write("node.toml", node);
        let logs = &place.directory;
        let words = format!("--config {} --detach --pidfile --log-file -vconsole:off {more}", config.display());
        let mut command = place.in_namespace(env!("CARGO_BIN_EXE_sluiced"));
        let output = command.args(words.split_whitespace()).env("OVS_LOGDIR", logs).output().expect("sluiced");
        (Service { place }, output)
    }

    fn pid(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.place.rundir().join("ovs-vswitchd.pid")).ok()?;
        Some(text.trim().to_string())
    }

    fn socket(&self) -> PathBuf {
        self.place.rundir().join(format!("ovs-vswitchd.{}.ctl", self.pid().unwrap_or_default()))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.place.directory.join("ovs-vswitchd.log")).unwrap_or_default()
    }

    fn kill(&self, signal: &str) {
        if let Some(pid) = self.pid() {
            let _ = Command::new("kill").args(["-s", signal, &pid]).output();
        }
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        self.kill("KILL");
    }
}

fn asked(place: &Place, tool: &str, words: &str) -> (String, String, Option<i32>) {
    let output = place.try_sh(&format!("{tool} {words}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

/// The stock command line, if it is installed, and ours.
fn tools(place: &Place) -> Vec<String> {
    let ours = links(place).join("ovs-appctl").display().to_string();
    let stock = Command::new("ovs-appctl").arg("--version").output().is_ok_and(|o| o.status.success());
    if !stock {
        println!("the stock ovs-appctl is not installed; only our own is used");
    }
    stock.then(|| "ovs-appctl".to_string()).into_iter().chain([ours]).collect()
}

#[test]
fn when_the_parent_returns_the_bridge_serves_and_both_command_lines_find_the_daemon() {
    if !can_make_namespaces("service") {
        return;
    }
    let place = Place::new();
    let (service, started) = Service::start(&place, "");
    assert!(started.status.success() && started.stderr.is_empty() && started.stdout.is_empty(), "{started:?}");
    assert!(UnixStream::connect(place.rundir().join("br0.mgmt")).is_ok());
    for tool in tools(&place) {
        let (text, errors, code) = asked(&place, &tool, "version");
        assert_eq!((text.lines().next(), errors.as_str(), code), (Some("ovs-vswitchd (Open vSwitch) 3.1.0"), "", Some(0)));
        let (text, errors, code) = asked(&place, &tool, "nonsense");
        assert_eq!((text.as_str(), code), ("", Some(2)), "{errors}");
        assert!(errors.contains("\"nonsense\" is not a valid command (use \"list-commands\""), "{errors}");
        assert!(errors.contains("ovs-appctl: ovs-vswitchd: server returned an error"), "{errors}");
        let (text, _, code) = asked(&place, &tool, &format!("-t {} -T 5 vlog/list", service.socket().display()));
        assert!(text.contains("OFF       INFO       INFO") && code == Some(0), "{text}");
    }
    let log = service.log();
    assert!(log.lines().all(|l| l.split('|').count() >= 5 && l.contains("Z|0")), "{log}");
    assert!(!log.contains("|WARN|") && !log.contains("|ERR|"), "{log}");
}

#[test]
fn logs_are_reopened_after_they_were_moved_away() {
    if !can_make_namespaces("log rotation") {
        return;
    }
    let place = Place::new();
    let (service, _) = Service::start(&place, "");
    let log = place.directory.join("ovs-vswitchd.log");
    std::fs::rename(&log, place.directory.join("old.log")).expect("the log is there");
    let tool = tools(&place).remove(0);
    assert_eq!(asked(&place, &tool, "vlog/reopen").2, Some(0));
    assert!(service.log().contains("opened log file"), "{}", service.log());
}

#[test]
fn exit_leaves_the_devices_and_exit_with_cleanup_takes_them() {
    if !can_make_namespaces("exit") {
        return;
    }
    let place = Place::new();
    for (words, remains) in [("exit", true), ("exit --cleanup", false)] {
        for tool in tools(&place) {
            let (service, _) = Service::start(&place, "");
            wait_for("LOCAL", || place.try_sh("ip link show br0").status.success());
            assert_eq!(asked(&place, &tool, words).2, Some(0), "{words}");
            assert_eq!(place.try_sh("ip link show br0").status.success(), remains, "{words}");
            wait_for("the end", || service.pid().is_none());
            let left: Vec<_> = std::fs::read_dir(place.rundir()).expect("run directory").flatten().map(|e| e.file_name()).collect();
            assert_eq!(left, ["sluiced.pid"], "only the lock's file remains");
        }
    }
}

#[test]
fn a_second_daemon_is_refused_and_a_crashed_one_is_started_again() {
    if !can_make_namespaces("monitor") {
        return;
    }
    let place = Place::new();
    let (service, started) = Service::start(&place, "--monitor");
    assert!(started.status.success(), "{started:?}");
    let (same, second) = Service::start(&place, "");
    std::mem::forget(same); // it never was one of its own
    assert!(String::from_utf8_lossy(&second.stderr).contains("already running as pid"), "{second:?}");
    let first = service.pid().expect("a pid");
    service.kill("ABRT");
    wait_for("another pid", || service.pid().is_some_and(|p| p != first) && UnixStream::connect(service.socket()).is_ok());
    assert!(service.log().contains("died (killed by signal 6), restarting"), "{}", service.log());
    service.kill("TERM");
    wait_for("the end", || service.pid().is_none());
}

#[test]
fn what_cannot_start_says_so_before_the_parent_returns() {
    if !can_make_namespaces("refusal") {
        return;
    }
    let place = Place::new();
    let mut command = place.in_namespace(env!("CARGO_BIN_EXE_sluiced"));
    let output = command.args(["--config", "/nonexistent.toml", "--detach", "--pidfile"]).output().expect("sluiced");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("/nonexistent.toml"), "{errors}");
}

#[test]
fn a_client_that_takes_nothing_and_one_that_talks_nonsense_hold_up_nobody() {
    use std::io::{Read, Write};
    if !can_make_namespaces("slow clients") {
        return;
    }
    let place = Place::new();
    let (service, _) = Service::start(&place, "");
    let mut slow = UnixStream::connect(service.socket()).expect("the control socket");
    slow.set_nonblocking(true).expect("a socket");
    let request = br#"{"id":1,"method":"list-commands","params":[]}"#;
    while matches!(slow.write(request), Ok(n) if n == request.len()) {}
    let mut wild = UnixStream::connect(service.socket()).expect("the control socket");
    wild.write_all(b"nonsense").expect("written");
    assert!(matches!(wild.read(&mut [0; 8]), Ok(0) | Err(_)), "nonsense ends its own connection");
    for tool in tools(&place) {
        assert_eq!(asked(&place, &tool, "-T 5 version").2, Some(0));
    }
}

#[test]
fn the_start_and_stop_script_finds_starts_and_stops_the_daemon() {
    if !can_make_namespaces("start and stop script") {
        return;
    }
    let place = Place::new();
    let config = place.write("node.toml", BRIDGE);
    std::fs::create_dir_all(place.rundir()).expect("a run directory");
    // The script looks for a database; the file takes its place here.
    let _database = std::os::unix::net::UnixListener::bind(place.rundir().join("db.sock")).expect("a socket");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/sluicectl");
    let run = |words: &str| {
        let mut command = place.in_namespace("sh");
        command.args(["-c", &format!("{script} {words}")]).env("OVS_LOGDIR", &place.directory);
        command.env("SLUICED", env!("CARGO_BIN_EXE_sluiced")).env("SLUICE", env!("CARGO_BIN_EXE_sluice"));
        let output = command.env("SLUICED_OPTS", format!("--config {}", config.display())).output().expect("the script");
        (String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr), output.status.code())
    };
    let _service = Service { place: &place };
    assert_eq!(run("status"), ("sluiced is not running\n".to_string(), Some(3)));
    let (text, code) = run("start");
    assert!(text.starts_with("Started sluiced with pid ") && code == Some(0), "{text}");
    assert!(run("start").0.starts_with("sluiced is already running with pid "));
    assert_eq!(run("status").1, Some(0));
    let (text, code) = run("restart");
    assert!(text.contains("Stopped sluiced") && text.contains("Started sluiced") && code == Some(0), "{text}");
    assert!(run("stop --cleanup").0.starts_with("Stopped sluiced"));
    assert!(!place.try_sh("ip link show br0").status.success());
}

#[test]
fn systemd_accepts_the_unit() {
    let test = "systemd-analyze verify";
    let place = std::env::temp_dir().join(format!("sluice-unit-{}", std::process::id()));
    let unit = include_str!("../../../packaging/ovs-vswitchd.service");
    let unit = unit.replace("/usr/sbin/sluiced", env!("CARGO_BIN_EXE_sluiced")).replace("/usr/bin/sluice ", concat!(env!("CARGO_BIN_EXE_sluice"), " "));
    std::fs::create_dir_all(&place).expect("a directory");
    std::fs::write(place.join("ovs-vswitchd.service"), unit).expect("a file");
    let verified = Command::new("systemd-analyze").arg("verify").arg(place.join("ovs-vswitchd.service")).output();
    let _ = std::fs::remove_dir_all(&place);
    match verified {
        Err(e) => println!("{test}: SKIPPED, systemd-analyze: {e}"),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let about_ours: Vec<&str> = said.lines().filter(|l| l.contains("ovs-vswitchd.service")).collect();
            assert!(about_ours.is_empty(), "{said}");
        }
    }
}

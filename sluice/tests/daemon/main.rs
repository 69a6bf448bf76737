//! The daemon as an operator meets it: starting, stopping, reloading, devices that come and go,
//! peers that misbehave.

mod connections;
mod devices;
mod misbehaviour;
mod unasked;
#[path = "../support/mod.rs"]
mod support;
mod traffic;
mod tunnel;
mod vhost;
mod workers;

use std::process::Command;

use support::{can_make_namespaces, links, wait_for, Daemon, Place};

/// A bridge with two ports.
pub const TWO_PORTS: &str = "\
[[bridge]]
name = \"br0\"
fail_mode = \"secure\"
[[bridge.port]]
name = \"p1\"
ofport_request = 1
[[bridge.port]]
name = \"p2\"
ofport_request = 2
";

/// Runs our `ovs-ofctl`; it must succeed.
pub fn ofctl(place: &Place, words: &str) -> String {
    let folder = place.directory.join("bin");
    let folder = if folder.is_dir() { folder } else { links(place) };
    place.sh(&format!("{}/ovs-ofctl --timeout=10 {words}", folder.display()))
}

/// A place with the two ports of [`TWO_PORTS`] and their other ends `q1` and `q2`.
pub fn two_ports() -> Place {
    let place = Place::new();
    place.veth("p1", "q1");
    place.veth("p2", "q2");
    place
}

#[test]
fn a_second_daemon_on_the_same_directory_is_refused_with_the_pid_of_the_first() {
    if !can_make_namespaces("second daemon") {
        return;
    }
    let place = two_ports();
    let config = place.write("node.toml", TWO_PORTS);
    let first = Daemon::start(&place, &config, "br0");
    let second = place
        .in_namespace(env!("CARGO_BIN_EXE_sluiced"))
        .arg("--config")
        .arg(&config)
        .arg("--rundir")
        .arg(place.rundir())
        .output()
        .expect("sluiced");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("pid {}", first.pid())), "{said}");
    assert!(ofctl(&place, "show br0").contains("p1"), "the first goes on");
}

#[test]
fn a_wrong_configuration_is_refused_with_file_line_and_column() {
    let config = std::env::temp_dir().join(format!("sluice-wrong-{}.toml", std::process::id()));
    std::fs::write(&config, "[[bridge]]\nname = \"br0\"\nfail_mode = \"x\"\n").expect("a scratch file");
    let output = Command::new(env!("CARGO_BIN_EXE_sluiced")).arg("--config").arg(&config).output().expect("sluiced");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let _ = std::fs::remove_file(&config);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains(&format!("{}:3:13: expected \"standalone\" or \"secure\"", config.display())), "{said}");
}

#[test]
fn a_stopped_daemon_leaves_neither_socket_nor_xdp_program() {
    if !can_make_namespaces("clean stop") {
        return;
    }
    let place = two_ports();
    place.veth("u0", "u1");
    place.sh("ip addr add 192.0.2.1/24 dev u0");
    let tunnel = "[[bridge.port]]\nname = \"vx\"\nkind = \"vxlan\"\nremote_ip = \"192.0.2.2\"\nlocal_ip = \"192.0.2.1\"\n";
    let config = place.write("node.toml", &format!("{TWO_PORTS}{tunnel}[[underlay]]\ndevice = \"u0\"\n"));
    let daemon = Daemon::start(&place, &config, "br0");
    wait_for("the underlay", || daemon.log().contains("u0: carries tunnels"));
    assert_eq!(daemon.stop(), Some(0));
    assert!(!place.rundir().join("br0.mgmt").exists());
    assert!(!place.sh("ip -d link show u0").contains("xdp"));
}

#[test]
fn a_killed_daemon_is_no_obstacle_to_the_next() {
    if !can_make_namespaces("restart after kill") {
        return;
    }
    let place = two_ports();
    let config = place.write("node.toml", TWO_PORTS);
    let daemon = Daemon::start(&place, &config, "br0");
    place.sh("ip addr add 10.1.1.1/24 dev br0");
    drop(daemon); // killed, not stopped
    let daemon = Daemon::start(&place, &config, "br0");
    assert!(place.sh("ip addr show br0").contains("10.1.1.1/24"), "LOCAL keeps its address");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_device_that_vanishes_keeps_its_rules_and_comes_back() {
    if !can_make_namespaces("vanishing device") {
        return;
    }
    let place = two_ports();
    let config = place.write("node.toml", TWO_PORTS);
    let daemon = Daemon::start(&place, &config, "br0");
    ofctl(&place, "add-flow br0 in_port=p1,actions=p2");
    wait_for("p1", || daemon.log().contains("p1: opened"));
    place.sh("ip link del p1");
    wait_for("word of it", || daemon.log().contains("p1: vanished"));
    let rules = ofctl(&place, "--no-stats dump-flows br0");
    assert!(rules.contains("in_port=1 actions=output:2"), "{rules}");
    place.veth("p1", "q1");
    wait_for("its return", || daemon.log().matches("p1: opened").count() == 2);
    place.sh("ip addr add 10.0.0.1/24 dev q1");
    wait_for("traffic", || {
        place.try_sh("ping -c 1 -W 1 10.0.0.9");
        !ofctl(&place, "dump-ports br0 p2").contains("tx pkts=0")
    });
}

#[test]
fn a_reload_touches_only_what_differs() {
    if !can_make_namespaces("reload") {
        return;
    }
    let place = two_ports();
    place.veth("p3", "q3");
    let config = place.write("node.toml", TWO_PORTS);
    let daemon = Daemon::start(&place, &config, "br0");
    ofctl(&place, "add-flow br0 priority=7,actions=drop");
    let three = format!("{TWO_PORTS}[[bridge.port]]\nname = \"p3\"\nofport_request = 3\n");
    place.write("node.toml", &three);
    daemon.signal("HUP");
    wait_for("p3", || daemon.log().contains("p3: opened as port 3"));
    assert!(ofctl(&place, "--no-stats dump-flows br0").contains("priority=7"));
    assert_eq!(daemon.log().matches("p1: opened").count(), 1);
    place.write("node.toml", &format!("{three}nonsense = 1\n"));
    daemon.signal("HUP");
    wait_for("the refusal", || daemon.log().contains("node.toml:13:1: expected one of"));
    assert!(ofctl(&place, "show br0").contains("3(p3)"));
    place.write("node.toml", &TWO_PORTS.replace("secure", "standalone"));
    daemon.signal("HUP");
    wait_for("p3 to go", || !ofctl(&place, "show br0").contains("p3"));
    assert!(ofctl(&place, "--no-stats dump-flows br0").contains(" priority=0 actions=NORMAL"));
}

#[test]
fn an_idle_daemon_uses_next_to_no_processor() {
    if !can_make_namespaces("idle") {
        return;
    }
    let place = two_ports();
    let config = place.write("node.toml", TWO_PORTS);
    let daemon = Daemon::start(&place, &config, "br0");
    wait_for("p2", || daemon.log().contains("p2: opened"));
    let used = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).expect("proc");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks")
    };
    let before = used();
    // The time is what is measured here, not a way to wait for something.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let ticks = used() - before;
    assert!(ticks <= 3, "{ticks} hundredths of a second in three seconds, of which one percent are 3");
}

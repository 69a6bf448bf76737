//! The controller drives `sluiced` as it drives a stock Open vSwitch.

use sluice_controller::client::{Client, Target};
use sluice_controller::keeper::{Event, Keeper};
use sluice_controller::reconcile::Change;
use sluice_controller::rules::cookie;
use sluice_controller::source;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SWITCH: &str = r#"
[[bridge]]
name = "br-int"
fail_mode = "secure"
[[bridge.port]]
name = "patch-tun"
kind = "patch"
peer = "patch-int"
[[bridge.port]]
name = "vm1"
kind = "internal"
[[bridge.port]]
name = "vm2"
kind = "internal"

[[bridge]]
name = "br-tun"
fail_mode = "secure"
[[bridge.port]]
name = "patch-int"
kind = "patch"
peer = "patch-tun"
[[bridge.port]]
name = "vxlan-c0000202"
kind = "vxlan"
remote_ip = "192.0.2.2"
key = "flow"
[[bridge.port]]
name = "vxlan-flow"
kind = "vxlan"
remote_ip = "flow"
key = "flow"
"#;

const CLOUD: &str = r#"
networks: [{name: blue, vni: 123}]
hosts: [{name: a, tunnel_ip: 192.0.2.1}, {name: b, tunnel_ip: 192.0.2.2}, {name: c, tunnel_ip: 192.0.2.3}]
ports:
  - {name: vm1, network: blue, mac: 02:00:00:00:00:01, addresses: [10.0.0.1, "fd00::1"], host: a, security_groups: [g]}
  - {name: vm2, network: blue, mac: 02:00:00:00:00:02, addresses: [10.0.0.2], host: a, security_groups: [g],
     allowed_address_pairs: [{address: 10.0.0.128/25}, {address: "fd00:1::/64", mac: 00:00:5e:00:01:01}]}
  - {name: vm3, network: blue, mac: 02:00:00:00:00:03, addresses: [10.0.0.3], host: b, security_groups: [g]}
  - {name: vm4, network: blue, mac: 02:00:00:00:00:04, addresses: [10.0.0.4], host: c}
security_groups:
  - name: g
    rules:
      - {direction: egress}
      - {direction: ingress, protocol: tcp, port_range: 80-8099, remote_group: g}
      - {direction: ingress, ethertype: IPv6, protocol: icmp, icmp_type: 128, icmp_code: 0}
"#;

/// `sluiced` in a network namespace of its own.
struct Sluiced {
    child: Child,
    netns: String,
    rundir: PathBuf,
}

impl Sluiced {
    /// `None`, with a line that says why, where it cannot run.
    fn start() -> Option<Sluiced> {
        let netns = format!("sluicectl-{}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &netns]).stderr(Stdio::null()).status();
        if !made.is_ok_and(|s| s.success()) {
            eprintln!("skipped: needs root and iproute2 for a network namespace");
            return None;
        }
        let rundir = std::env::temp_dir().join(&netns);
        std::fs::create_dir_all(&rundir).unwrap();
        let config = rundir.join("switch.toml");
        std::fs::write(&config, SWITCH).unwrap();
        // `ip` becomes the program, so that the child is sluiced itself.
        let child = Command::new("ip")
            .args(["netns", "exec", &netns, env!("CARGO_BIN_EXE_sluiced"), "--config"])
            .arg(&config)
            .arg("--rundir")
            .arg(&rundir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut sluiced = Sluiced { child, netns, rundir };
        let begin = Instant::now();
        while Client::connect(&sluiced.target("br-tun")).is_err() {
            assert!(sluiced.child.try_wait().unwrap().is_none(), "sluiced ended");
            assert!(begin.elapsed() < Duration::from_secs(30), "sluiced does not serve");
            std::thread::yield_now();
        }
        Some(sluiced)
    }

    fn target(&self, bridge: &str) -> Target {
        Target::Unix(self.rundir.join(format!("{bridge}.mgmt")))
    }

    fn keeper(&self) -> Keeper {
        let source = source::open(&format!("file:{}", self.rundir.join("cloud.yaml").display())).unwrap();
        Keeper::new("a", source, self.target("br-int"), self.target("br-tun"))
    }
}

impl Drop for Sluiced {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begin.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = Command::new("ip").args(["netns", "delete", &self.netns]).status();
        let _ = std::fs::remove_dir_all(&self.rundir);
    }
}

fn changed(events: &[Event]) -> Vec<String> {
    let changed = events.iter().filter_map(|e| match e {
        Event::Changed(what) => Some(what.clone()),
        Event::Trouble(what) => panic!("{what}"),
        Event::Observed(_) => None,
    });
    changed.collect()
}

#[test]
fn rules_are_made_found_again_repaired_and_taken_away() {
    let Some(sluiced) = Sluiced::start() else { return };
    let cloud = sluiced.rundir.join("cloud.yaml");
    std::fs::write(&cloud, CLOUD).unwrap();
    let mut keeper = sluiced.keeper();
    assert_eq!(changed(&keeper.step(Duration::ZERO)).len(), 2, "both bridges get rules");
    assert!(keeper.is_settled());
    assert!(changed(&sluiced.keeper().step(Duration::ZERO)).is_empty(), "a second run sends nothing");

    let mut client = Client::connect(&sluiced.target("br-int")).unwrap();
    let rules = client.rules(cookie::OWNER, cookie::OWNER_MASK).unwrap();
    let some: Vec<Change> = rules.iter().filter(|r| r.table == 82).cloned().map(Change::Delete).collect();
    assert!(some.len() > 10);
    client.apply(&some).unwrap();
    let repaired = changed(&keeper.step(Duration::from_secs(100)));
    assert_eq!(repaired, [format!("br-int: {} added, 0 modified, 0 deleted", some.len())]);

    std::fs::write(&cloud, "hosts: [{name: a, tunnel_ip: 192.0.2.1}]\n").unwrap();
    assert_eq!(changed(&keeper.step(Duration::from_secs(200))).len(), 2);
    let left = client.rules(cookie::OWNER, cookie::OWNER_MASK).unwrap();
    assert!(left.iter().all(|r| r.cookie == cookie::Purpose::Base.cookie()), "only the skeleton stays");
}

//! What controllers hear unasked, with the stock `ovs-ofctl monitor` as the controller.

use std::process::{Child, Stdio};

use super::support::{can_make_namespaces, wait_for, Daemon, Place};
use super::{ofctl, two_ports, TWO_PORTS};

/// A stock monitor, gone with its owner.
struct Monitor {
    child: Child,
    heard: std::path::PathBuf,
}

impl Monitor {
    fn start(place: &Place, name: &str, words: &[&str]) -> Monitor {
        let heard = place.directory.join(name);
        let file = std::fs::File::create(&heard).expect("a file");
        let both = file.try_clone().expect("a second handle");
        let child = place.in_namespace("ovs-ofctl").args(words).stdout(file).stderr(both).stdin(Stdio::null()).spawn();
        Monitor { child: child.expect("ovs-ofctl, from the package openvswitch-switch"), heard }
    }

    fn heard(&self) -> String {
        std::fs::read_to_string(&self.heard).unwrap_or_default()
    }

    fn wait_for(&self, what: &str) {
        wait_for(what, || self.heard().contains(what));
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PACKET: &str = "ffffffffffff0000000000010800450000140000000040110000010203040506070800000000";

#[test]
fn a_paused_packet_goes_on_when_the_controller_gives_it_back() {
    if !can_make_namespaces("pause and resume") {
        return;
    }
    let place = two_ports();
    let config = place.write("node.toml", TWO_PORTS);
    let daemon = Daemon::start(&place, &config, "br0");
    wait_for("p2", || daemon.log().contains("p2: opened"));
    ofctl(&place, "add-flow br0 'in_port=1,actions=load:0x55->NXM_NX_REG3[],push:NXM_NX_REG3[],resubmit(,1),resubmit(,2)'");
    ofctl(&place, "add-flow br0 'table=1,actions=controller(userdata=01.02,pause),load:7->NXM_NX_REG4[]'");
    ofctl(&place, "add-flow br0 'table=2,reg3=0x55,reg4=7,actions=output:2'");
    let monitor = Monitor::start(&place, "resume", &["monitor", "br0", "resume", "watch:"]);
    // Once it hears of a new rule it hears of packets too: it asked for those before.
    monitor.wait_for("NXST_FLOW_MONITOR reply");
    wait_for("the controller to be ready", || {
        ofctl(&place, &format!("packet-out br0 'in_port=1 packet={PACKET} actions=table'"));
        monitor.heard().contains("NXT_RESUME")
    });
    assert!(monitor.heard().contains("reg3=0x55,in_port=1 (via action)"), "{}", monitor.heard());
    assert!(monitor.heard().contains(" userdata=01.02\n"), "{}", monitor.heard());
    assert!(monitor.heard().contains(" continuation.stack=(top) 0x55 (bottom)\n"), "{}", monitor.heard());
    wait_for("the packet", || !ofctl(&place, "dump-ports br0 p2").contains("tx pkts=0"));
    // More than one packet may have been sent before the first was heard of: each goes on exactly once.
    wait_for("the rule to count each resumed packet once", || {
        let resumed = monitor.heard().matches("NXT_RESUME").count();
        ofctl(&place, "dump-flows br0 table=2").contains(&format!("n_packets={resumed},"))
    });
}

#[test]
fn watchers_hear_of_every_change_once_and_in_order() {
    if !can_make_namespaces("flow monitors") {
        return;
    }
    let place = two_ports();
    let config = place.write("node.toml", TWO_PORTS);
    let _daemon = Daemon::start(&place, &config, "br0");
    ofctl(&place, "add-flow br0 cookie=9,actions=drop");
    for version in ["OpenFlow10", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"] {
        let monitor = Monitor::start(&place, version, &["-O", version, "monitor", "br0", "watch:table=3"]);
        monitor.wait_for("FLOW_MONITOR reply");
        assert!(!monitor.heard().contains("cookie=0x9"), "a rule of another table: {}", monitor.heard());
        ofctl(&place, "add-flow br0 table=2,actions=drop");
        ofctl(&place, "add-flow br0 table=3,tcp,actions=drop");
        ofctl(&place, "mod-flows br0 table=3,tcp,actions=output:2");
        ofctl(&place, "mod-flows br0 table=3,tcp,actions=output:2");
        ofctl(&place, "del-flows br0 table=3");
        monitor.wait_for("event=DELETED");
        let events: Vec<String> = monitor.heard().lines().filter(|l| l.contains("event=")).map(str::to_string).collect();
        let all = " event=ADDED table=3 cookie=0 tcp| event=MODIFIED table=3 cookie=0 tcp actions=output:2| \
                   event=DELETED reason=delete table=3 cookie=0 tcp actions=output:2";
        assert_eq!(events.join("|"), all, "{version}");
    }
}

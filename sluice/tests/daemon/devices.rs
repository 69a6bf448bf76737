//! Devices that are unplugged, renamed and resized while packets pass.

use std::process::{Child, Stdio};
use std::time::Duration;

use super::support::{can_make_namespaces, wait_for, Daemon, Place};
use super::traffic::Machines;
use super::{ofctl, TWO_PORTS};

/// Pings that go on until this is dropped.
struct Load(Child);

impl Load {
    fn on(machines: &Machines) -> Load {
        Load(machines.flood(1_000_000).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ping"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(machines: &Machines, ports: &str) -> Daemon {
    let place = &machines.place;
    let config = place.write("node.toml", ports);
    let daemon = Daemon::start(place, &config, "br0");
    ofctl(place, "add-flow br0 in_port=1,actions=output:2");
    ofctl(place, "add-flow br0 in_port=2,actions=output:1");
    wait_for("a reply", || machines.ping(""));
    daemon
}

/// Does something to a device several times, a moment apart.
fn shake(place: &Place, commands: &[&str]) {
    for command in commands {
        // What the kernel refuses (a length that a mode cannot have) is no news for the switch.
        place.try_sh(command);
        std::thread::sleep(Duration::from_millis(60));
    }
}

fn is_well(daemon: Daemon) {
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    assert_eq!(daemon.stop(), Some(0));
}

fn survives_everything(io: &str) {
    let machines = Machines::new();
    let place = &machines.place;
    let ports = TWO_PORTS.replace("ofport_request = 1", &format!("ofport_request = 1\nio = \"{io}\""));
    let daemon = start(&machines, &ports);
    let load = Load::on(&machines);
    let again = |what: &str| wait_for(&format!("a reply by {io} after {what}"), || machines.ping(""));

    shake(place, &["ip link set p1 mtu 600", "ip link set p1 mtu 3000", "ip link set p1 mtu 9000", "ip link set p1 mtu 1500"]);
    again("other lengths");
    shake(place, &["ip link set p1 down", "ip link set p1 up", "ip link set p1 down", "ip link set p1 up"]);
    again("links that fall and rise");
    shake(place, &["ip link set p1 name p9", "ip link set p9 name p8"]);
    shake(place, &["ip link set p8 down; ip link set p8 name p1; ip link set p1 up"]);
    again("other names");
    for _ in 0..2 {
        shake(place, &["ip link del p1"]);
        machines.plug(1);
        again("it was unplugged");
    }
    drop(load);
    is_well(daemon);
}

#[test]
fn a_packet_sockets_device_may_be_unplugged_renamed_and_resized_under_load() {
    if can_make_namespaces("devices under load, packet socket") {
        survives_everything("packet");
    }
}

#[test]
fn an_xdp_sockets_device_may_be_unplugged_renamed_and_resized_under_load() {
    if can_make_namespaces("devices under load, AF_XDP") {
        survives_everything("afxdp");
    }
}

#[test]
fn a_tap_may_be_unplugged_renamed_and_resized_under_load_and_only_it_is_gone() {
    if !can_make_namespaces("devices under load, tap") {
        return;
    }
    let machines = Machines::new();
    let place = &machines.place;
    let ports = format!("{TWO_PORTS}[[bridge.port]]\nname = \"t1\"\nkind = \"internal\"\nofport_request = 3\n");
    let daemon = start(&machines, &ports);
    // Each ping of the machine's goes to the tap as well.
    ofctl(place, "add-flow br0 in_port=1,actions=output:2,output:3");
    place.sh("ip link set t1 up");
    let load = Load::on(&machines);
    shake(place, &["ip link set t1 mtu 600", "ip link set t1 mtu 9000", "ip link set t1 mtu 1500"]);
    shake(place, &["ip link set t1 down", "ip link set t1 up", "ip link set t1 name t9", "ip link set t9 name t1", "ip link del t1"]);
    wait_for("a reply", || machines.ping(""));
    drop(load);
    is_well(daemon);
}

//! Several workers behind one switch.

use std::process::Stdio;

use super::support::{can_make_namespaces, wait_for, Daemon, Place};
use super::ofctl;
use super::traffic::Machines;

fn config(workers: usize) -> String {
    format!("[workers]\ncount = {workers}\n{}", super::TWO_PORTS)
}

/// Who serves which queue.
pub fn queues(place: &Place) -> String {
    let socket = std::fs::read_dir(place.rundir()).expect("a run directory").filter_map(|e| Some(e.ok()?.path()));
    let socket = socket.into_iter().find(|p| p.extension().is_some_and(|e| e == "ctl")).expect("a control socket");
    let folder = super::support::links(place);
    place.sh(&format!("{}/ovs-appctl -t {} dpif-netdev/pmd-rxq-show", folder.display(), socket.display()))
}

/// Devices of each worker.
fn devices(place: &Place) -> Vec<usize> {
    let text = queues(place);
    text.split("pmd thread").skip(1).map(|part| part.matches("port:").count()).collect()
}

#[test]
fn workers_come_and_go_under_traffic_and_not_a_packet_is_lost() {
    if !can_make_namespaces("workers come and go") {
        return;
    }
    let machines = Machines::new();
    let place = &machines.place;
    let file = place.write("node.toml", &config(2));
    let daemon = Daemon::start(place, &file, "br0");
    ofctl(place, "add-flow br0 in_port=p1,actions=p2");
    ofctl(place, "add-flow br0 in_port=p2,actions=p1");
    wait_for("a reply", || machines.ping(""));
    assert_eq!(devices(place).iter().filter(|n| **n > 0).count(), 2, "{}", queues(place));

    let mut pings = machines.flood(3000);
    pings.stdout(Stdio::piped());
    let pings = pings.spawn().expect("ping");
    for workers in [1, 3, 2, 4, 1, 2] {
        place.write("node.toml", &config(workers));
        daemon.signal("HUP");
        wait_for("as many workers", || devices(place).len() == workers);
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let told = pings.wait_with_output().expect("ping ends");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("3000 packets transmitted, 3000 received, 0% packet loss"), "{told}");
    assert!(!told.contains("duplicate") && !told.contains("DUP"), "{told}");
    assert_eq!(devices(place).iter().sum::<usize>(), 3, "{}", queues(place));
    assert!(!daemon.log().contains("|ERR|"), "{}", daemon.log());
    assert_eq!(daemon.stop(), Some(0));
}

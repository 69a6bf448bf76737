//! Workers as the database asks for them.

use crate::node::Node;
use crate::support::{can_make_namespaces, wait_for};

/// Devices by the CPU of their worker.
fn served(node: &Node) -> Vec<(u16, Vec<String>)> {
    let socket = node.file("switch.ctl");
    let text = node.place.sh(&format!("ovs-appctl -t {} dpif-netdev/pmd-rxq-show", socket.display()));
    let worker = |part: &str| {
        let cpu = part.split("core_id ").nth(1)?.split(':').next()?.parse().ok()?;
        let ports = part.lines().filter_map(|l| Some(l.trim().strip_prefix("port: ")?.split_whitespace().next()?.to_string()));
        Some((cpu, ports.collect()))
    };
    text.split("pmd thread").skip(1).filter_map(worker).collect()
}

#[test]
fn a_mask_of_cpus_makes_workers_and_an_affinity_places_a_port() {
    if !can_make_namespaces("pmd-cpu-mask") {
        return;
    }
    if !std::path::Path::new("/sys/devices/system/cpu/cpu1").exists() {
        return println!("pmd-cpu-mask: SKIPPED, it needs two CPUs");
    }
    let node = Node::start();
    node.vsctl("add-br br0 -- add-port br0 vm0 -- set interface vm0 type=internal -- add-port br0 vm1 -- set interface vm1 type=internal");
    assert_eq!(served(&node).len(), 1);
    node.vsctl("set Open_vSwitch . other_config:pmd-cpu-mask=3");
    wait_for("two workers with a part each", || {
        let all = served(&node);
        all.len() == 2 && all.iter().all(|(_, ports)| !ports.is_empty())
    });
    for cpu in [1, 0, 1] {
        node.vsctl(&format!("set interface vm0 other_config:pmd-rxq-affinity=0:{cpu}"));
        wait_for("the port on its CPU", || served(&node).iter().any(|(c, ports)| *c == cpu && ports.contains(&"vm0".to_string())));
    }
    let (near, far) = (node.guest("vm0", "10.8.0.1/24"), node.guest("vm1", "10.8.0.2/24"));
    wait_for("a ping across workers", || node.pings(&near.0, "10.8.0.2", 1) == 1);
    drop(far);
    node.vsctl("set Open_vSwitch . other_config:pmd-cpu-mask=nonsense");
    wait_for("one worker", || served(&node).len() == 1);
    assert!(node.log().contains("pmd-cpu-mask=nonsense is not a hexadecimal mask"), "{}", node.log());
    assert_eq!(served(&node)[0].1.len(), 3, "{:?}", served(&node));
}

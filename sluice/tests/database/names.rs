//! Names of devices: whatever the kernel takes works everywhere, whatever it does not is refused.

use crate::node::Node;
use crate::support::{can_make_namespaces, wait_for};

const GOOD: [&str; 6] = ["eth0@if7", "a.b.c", "exactly15bytes0", "brüñ", "имя", "x+{~}"];
const BAD: [&str; 6] = ["sixteen-bytes-00", "a/b", "a%d", "a:b", "..", "äöüäöüäö"];

#[test]
fn names_work_as_ports_and_bridges_or_are_refused_clearly() {
    if !can_make_namespaces("names") {
        return;
    }
    let node = Node::start();
    node.vsctl("add-br br0");
    for name in GOOD {
        let port = format!("'{name}'");
        node.place.sh(&format!("ip link add name {port} type veth peer name peer0"));
        node.vsctl(&format!("-- add-port br0 {port}"));
        assert_eq!(node.column(&format!("interface {port} error")), "[]", "{name} as a device of the host");
        node.vsctl(&format!("-- del-port {port}"));
        node.place.sh(&format!("ip link del dev {port}"));
        node.vsctl(&format!("-- add-port br0 {port} -- set interface {port} type=internal"));
        assert!(node.place.try_sh(&format!("ip link show dev {port}")).status.success(), "{name} as an internal port");
        assert!(node.ofctl("show br0").contains(&format!("({name})")) || !name.is_ascii(), "{}", node.ofctl("show br0"));
        node.vsctl(&format!("-- del-port {port}"));
        node.vsctl(&format!("-- add-br {port}"));
        assert!(node.file(&format!("{name}.mgmt")).exists(), "{name} as a bridge");
        node.vsctl(&format!("-- del-br {port}"));
        wait_for("the device to go", || !node.place.try_sh(&format!("ip link show dev {port}")).status.success());
    }
    let links = node.place.sh("ip -o link | wc -l");
    for name in BAD {
        let said = node.try_vsctl(&format!("-- add-port br0 '{name}' -- set interface '{name}' type=internal"));
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains("is no name for a device: 1 to 15 bytes"), "{name}: {said}");
        node.try_vsctl(&format!("--no-wait -- del-port br0 '{name}'"));
    }
    assert_eq!(node.place.sh("ip -o link | wc -l"), links, "nothing was made");
}

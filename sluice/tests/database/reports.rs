//! What agents read in the database.

use crate::node::Node;
use crate::support::{can_make_namespaces, wait_for};

#[test]
fn every_column_that_agents_read_is_filled_as_open_vswitch_fills_it() {
    if !can_make_namespaces("columns") {
        return;
    }
    let node = Node::start();
    node.place.veth("ea", "eb");
    node.vsctl("add-br br0 -- add-port br0 ea -- add-port br0 in0 -- set interface in0 type=internal");
    wait_for("statistics", || node.column("interface ea statistics").contains("rx_crc_err"));
    for (port, key) in [("ea", "rx_crc_err"), ("in0", "collisions"), ("br0", "tx_dropped")] {
        wait_for("statistics", || node.column(&format!("interface {port} statistics")).contains(key));
    }
    let mac = node.place.sh("cat /sys/class/net/ea/address");
    assert_eq!(node.column("interface ea mac_in_use"), format!("\"{}\"", mac.trim()));
    let index = node.place.sh("cat /sys/class/net/ea/ifindex");
    assert_eq!(node.column("interface ea ifindex"), index.trim());
    for (column, value) in [
        ("admin_state", "up"), ("link_state", "up"), ("mtu", "1500"), ("link_speed", "10000000000"), ("duplex", "full"),
    ] {
        assert_eq!(node.column(&format!("interface ea {column}")), value, "{column}");
    }
    assert!(node.column("interface ea status").contains("driver_name=veth"));
    assert!(node.column("interface in0 status").contains("driver_name=tun"));
    assert_eq!(node.column("interface ea link_resets"), "0");
    node.place.sh("ip link set eb down");
    wait_for("the link's state", || node.column("interface ea link_state") == "down");
    assert_eq!(node.column("interface ea link_resets"), "1");
    node.vsctl("set interface in0 mtu_request=1400");
    wait_for("the MTU", || node.column("interface in0 mtu") == "1400");
    assert_eq!(node.column("bridge br0 datapath_version"), "\"<built-in>\"");
    node.vsctl("set bridge br0 other_config:datapath-id=00000000000000aa other_config:hwaddr=02:00:00:00:00:aa");
    assert_eq!(node.column("bridge br0 datapath_id"), "\"00000000000000aa\"");
    wait_for("the address", || node.place.sh("cat /sys/class/net/br0/address").trim() == "02:00:00:00:00:aa");
    assert!(node.column("Open_vSwitch . iface_types").contains("vxlan"));
    assert_eq!(node.column("Open_vSwitch . datapath_types"), "[netdev, system]");
}

#[test]
fn a_controller_that_stays_keeps_its_connection_when_others_come_and_go() {
    if !can_make_namespaces("controllers that stay") {
        return;
    }
    let node = Node::start();
    // Whoever says hello is connected: here the other bridge.
    node.vsctl("add-br br1 -- set-controller br1 ptcp:6700:127.0.0.1 -- add-br br0 -- set-controller br0 tcp:127.0.0.1:6700");
    let column = |target: &str, name: &str| {
        node.vsctl(&format!("--bare --columns={name} find controller target='\"{target}\"'"))
    };
    wait_for("the connection", || column("tcp:127.0.0.1:6700", "is_connected") == "true");
    let local = node.file("monitor");
    node.place.sh(&format!("ovs-ofctl monitor br0 --detach --no-chdir --pidfile={}.pid >/dev/null 2>&1", local.display()));
    let lines = |what: &str| node.log().lines().filter(|l| l.contains("closed") && l.contains(what)).count();
    let before = lines("6700");
    node.vsctl("-- --id=@c create controller target='\"tcp:127.0.0.1:6701\"' -- add bridge br0 controller @c");
    let row = column("tcp:127.0.0.1:6700", "_uuid");
    node.vsctl(&format!("set controller {row} max_backoff=30000 inactivity_probe=20000"));
    node.vsctl("-- --id=@c create controller target='\"ptcp:6702:127.0.0.1\"' -- add bridge br0 controller @c");
    wait_for("the refusal of the new one", || column("tcp:127.0.0.1:6701", "status").contains("refused"));
    assert_eq!((column("tcp:127.0.0.1:6700", "is_connected").as_str(), lines("6700")), ("true", before), "{}", node.log());
    node.place.sh(&format!("kill -0 $(cat {}.pid)", local.display()));
    node.place.sh("ovs-ofctl show tcp:127.0.0.1:6702");
    node.vsctl("set-controller br0 tcp:127.0.0.1:6701");
    wait_for("the door to be shut", || !node.place.try_sh("ovs-ofctl show tcp:127.0.0.1:6702").status.success());
    assert!(lines("6700") > before, "{}", node.log());
    node.place.sh(&format!("kill $(cat {}.pid)", local.display()));
}

#[test]
fn a_controllers_row_says_whether_it_is_connected() {
    if !can_make_namespaces("controller rows") {
        return;
    }
    let node = Node::start();
    node.vsctl("add-br br0 -- set-controller br0 tcp:127.0.0.1:6653");
    let uuid = node.vsctl("--columns=_uuid --bare list controller");
    let column = |name: &str| node.column(&format!("controller {uuid} {name}"));
    wait_for("the refusal", || column("status").contains("last_error=\"Connection refused\""));
    assert_eq!(column("is_connected"), "false");
}

//! Every command of the control socket, by the stock command line and by ours.

use crate::support::{can_make_namespaces, wait_for, Place};
use crate::{asked, tools, Service};

const NODE: &str = "\
[[bridge]]
name = \"br0\"
hwaddr = \"aa:55:aa:55:00:00\"
[[bridge.port]]
name = \"p1\"
ofport_request = 1
[[bridge.port]]
name = \"p2\"
ofport_request = 2
tag = 7
[[bridge.port]]
name = \"pa\"
kind = \"patch\"
peer = \"pb\"
[[bridge]]
name = \"br1\"
[[bridge.port]]
name = \"pb\"
kind = \"patch\"
peer = \"pa\"
";

fn node() -> Place {
    let place = Place::new();
    place.veth("p1", "q1");
    place.veth("p2", "q2");
    place
}

#[test]
fn every_command_that_is_listed_answers() {
    if !can_make_namespaces("commands") {
        return;
    }
    let place = node();
    let (service, started) = Service::start_with(&place, NODE, "");
    assert!(started.status.success(), "{started:?}");
    let tool = tools(&place).remove(0);
    let (listed, ..) = asked(&place, &tool, "list-commands");
    let names: Vec<&str> = listed.lines().skip(1).filter_map(|l| l.split_whitespace().next()).collect();
    assert!(names.len() > 90, "{}", names.len());
    for name in names.into_iter().filter(|n| *n != "exit") {
        for words in [name.to_string(), format!("{name} br0"), format!("{name} x y z")] {
            let (text, errors, code) = asked(&place, &tool, &format!("-T 5 {words}"));
            assert!(matches!(code, Some(0 | 2)), "{words}: {text}{errors}");
            assert!(code == Some(0) || errors.lines().count() >= 2, "{words}: an error says what is wrong: {errors}");
        }
    }
    assert!(!service.log().contains("|ERR|"), "{}", service.log());
}

#[test]
fn learned_and_static_addresses_are_shown_and_flushed() {
    if !can_make_namespaces("fdb") {
        return;
    }
    let place = node();
    let (_service, _) = Service::start_with(&place, NODE, "");
    place.sh("ip addr add 10.0.0.1/24 dev q1");
    let tool = tools(&place).remove(0);
    let ask = |words: &str| {
        let (text, errors, _) = asked(&place, &tool, words);
        text + &errors
    };
    let mac = place.sh("cat /sys/class/net/q1/address").trim().to_string();
    wait_for("the address", || {
        place.try_sh("ping -c 1 -W 1 10.0.0.9");
        ask("fdb/show br0").contains(&format!("    1     0  {mac}  "))
    });
    assert_eq!(ask("fdb/add br0 p2 7 00:00:00:00:00:05"), "");
    assert!(ask("fdb/show br0").contains("    2     7  00:00:00:00:00:05  static\n"));
    assert!(ask("fdb/stats-show br0").contains("Current static MAC entries in the table : 1\n"));
    assert_eq!(ask("fdb/flush br0"), "table successfully flushed\n");
    let shown = ask("fdb/show br0");
    assert!(!shown.contains(&mac) && shown.contains("00:00:00:00:00:05"), "{shown}");
    assert_eq!(ask("fdb/del br0 7 00:00:00:00:00:05"), "");
    assert!(ask("fdb/del br0 7 00:00:00:00:00:05").starts_with("could not find static mac entry\n"));
    assert!(ask("fdb/show brX").starts_with("no such bridge\n"));
}

#[test]
fn bridges_ports_and_rules_are_shown_as_people_know_them() {
    if !can_make_namespaces("shows") {
        return;
    }
    let place = node();
    let (_service, _) = Service::start_with(&place, NODE, "");
    let tool = tools(&place).remove(0);
    let ask = |words: &str| asked(&place, &tool, words).0;
    wait_for("the ports", || ask("dpif/show").contains("p2 2/"));
    let shown = ask("dpif/show");
    for line in ["  br0:", "    pa 3/none: (patch: peer=pb)", "    pb 1/none: (patch: peer=pa)"] {
        assert!(shown.lines().any(|l| l == line), "{line} in\n{shown}");
    }
    assert_eq!(ask("ofproto/list"), "br0\nbr1\n");
    assert!(ask("bridge/dump-flows br0").contains(", priority=0,actions=NORMAL\n"));
    assert!(ask("dpif/show-dp-features br0").contains("Tunnel push pop: Yes\n"));
    assert!(ask("ovs/route/show").starts_with("Route Table:\n"));
    assert_eq!(ask("tnl/neigh/set br0 192.0.2.9 00:11:22:33:44:55"), "OK\n");
    assert_eq!(ask("bond/show"), "");
}

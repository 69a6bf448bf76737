//! What a configuration file promises: it says what the node shall be, or where it is wrong.

use std::net::{IpAddr, Ipv4Addr};

use sluice_ovsdb_bridge::{
    diff, parse_toml, Address, BondMode, ControllerTarget, DesiredState, FailMode, Io, Key, Lacp, PortKind, Step, Tos,
    Ttl, Version, VlanMode,
};

fn parse(text: &str) -> DesiredState {
    match parse_toml(text, "node.toml") {
        Ok(state) => state,
        Err(error) => panic!("{error}"),
    }
}

fn error(text: &str) -> String {
    match parse_toml(text, "node.toml") {
        Ok(state) => panic!("accepted: {state:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_documented_example_is_read_whole() {
    let page = include_str!("../../docs/configuration.md");
    let text = page.split("```toml").nth(1).and_then(|t| t.split("```").next()).unwrap_or("");
    let state = parse(text);
    assert_eq!(state.workers.cpus, [1]);
    assert_eq!(state.underlays[0].device, "eth0");
    let [br_int, br_tun] = &state.bridges[..] else { panic!("two bridges") };
    assert_eq!(br_int.datapath_id, Some(0xaa));
    assert_eq!(br_int.hwaddr, Some([0xaa, 0x55, 0xaa, 0x55, 0, 0]));
    assert_eq!(br_int.fail_mode, FailMode::Secure);
    assert_eq!(br_int.protocols, [Version::V10, Version::V13, Version::V14]);
    assert!(matches!(br_int.controllers[0].target, ControllerTarget::PassiveTcp(_)));
    let vm1 = &br_int.ports[0];
    assert_eq!(vm1.kind, PortKind::System { device: "vm1".into(), io: Io::Auto, queues: Some(2) });
    assert_eq!((vm1.ofport_request, vm1.tag, vm1.mtu), (Some(1), Some(10), Some(1450)));
    assert_eq!(br_int.ports[2].kind, PortKind::Patch { peer: "patch-int".into() });
    let PortKind::Vxlan(vxlan) = br_tun.ports[1].kind else { panic!("a tunnel") };
    assert_eq!((vxlan.remote_ip, vxlan.key), (Address::Flow, Key::Flow));
    assert_eq!(vxlan.local_ip, Some(Address::Fixed(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)))));
    assert_eq!((vxlan.tos, vxlan.ttl, vxlan.df, vxlan.csum), (Tos::Inherit, Ttl::Fixed(64), true, Some(false)));
}

#[test]
fn an_error_names_file_line_column_and_what_was_expected() {
    let cases = [
        ("[[bridge]]\nname = 5\n", "node.toml:2:8: expected a name of 1 to 15 characters without blanks, slash or colon, found the number 5"),
        ("[[bridge]]\nnam = \"x\"\n", "node.toml:2:1: expected one of name, datapath_id, hwaddr, fail_mode, protocols, controllers, mac_table_size, mac_ageing, mtu, port, flood_vlans, forward_bpdu, mcast_snooping, bond, mirror, found \"nam\""),
        ("[[bridge]]\n", "node.toml:1:1: expected \"name = …\" in this table, found none"),
        ("bridge = 1", "node.toml:1:10: expected tables written as [[bridge]], found the number 1"),
        ("[[bridge]]\nname=\"b\"\nfail_mode=\"x\"", "node.toml:3:11: expected \"standalone\" or \"secure\", found \"x\""),
        ("[[bridge]]\nname=\"b\"\n[[bridge.port]]\nname=\"p\"\nofport_request=65280", "node.toml:5:16: expected an OpenFlow port number from 1 to 65279, found the number 65280"),
        ("[[bridge]]\nname=\"b\"\n[[bridge.port]]\nname=\"b\"", "node.toml:4:6: expected a name that no other bridge or port has, found \"b\""),
        ("[[bridge]]\nname=\"b\"\n[[bridge.port]]\nname=\"p\"\nkind=\"patch\"\npeer=\"p\"", "node.toml:6:6: expected a patch port that names this one as its peer, found \"p\""),
        ("[[bridge]]\nname=\"b\"\n[[bridge.port]]\nname=\"p\"\npeer=\"q\"", "node.toml:5:1: expected one of name, kind, ofport_request, tag, mtu, cpu, vlan_mode, trunks, cvlans, priority_tags, protected, ingress_policing_rate, ingress_policing_burst, ingress_policing_kpkts_rate, ingress_policing_kpkts_burst, qinq_ethtype, storm_broadcast_rate, storm_unknown_unicast_rate, device, io, n_rxq, found \"peer\""),
        ("[[bridge]]\nname=\"b\"\n[[bridge.port]]\nname=\"v\"\nkind=\"vxlan\"\nremote_ip=\"host\"", "node.toml:6:11: expected \"flow\" or an IP address, found \"host\""),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn what_is_not_toml_is_refused_at_its_place() {
    let message = error("[[bridge]]\nname = \"unclosed\nport = 1");
    assert!(message.starts_with("node.toml:2:"), "{message}");
    assert!(message.contains("expected TOML"), "{message}");
}

#[test]
fn every_prefix_of_a_file_is_read_or_refused_without_a_panic() {
    let page = include_str!("../../docs/configuration.md");
    for (at, _) in page.char_indices() {
        let _ = parse_toml(&page[..at], "prefix");
        let _ = parse_toml(&page[at..], "suffix");
    }
}

const TWO_PORTS: &str = "[[bridge]]\nname=\"b\"\n[[bridge.port]]\nname=\"p\"\n[[bridge.port]]\nname=\"q\"\n";

#[test]
fn an_unchanged_state_needs_no_step() {
    let state = parse(TWO_PORTS);
    assert_eq!(diff(&state, &state), []);
}

#[test]
fn a_first_state_is_built_bridge_before_port() {
    let steps = diff(&DesiredState::default(), &parse(TWO_PORTS));
    assert!(matches!(&steps[0], Step::AddBridge(b) if b.name == "b" && b.ports.is_empty()));
    assert!(matches!(&steps[1], Step::AddPort { bridge, port } if bridge == "b" && port.name == "p"));
    assert_eq!(steps.len(), 3);
}

#[test]
fn a_changed_setting_leaves_the_port_open_and_another_device_does_not() {
    let old = parse(TWO_PORTS);
    let tagged = parse(&TWO_PORTS.replace("\"q\"\n", "\"q\"\ntag=5\n"));
    let steps = diff(&old, &tagged);
    assert!(matches!(&steps[..], [Step::ChangePort { port, .. }] if port.tag == Some(5)), "{steps:?}");
    let moved = parse(&TWO_PORTS.replace("\"q\"\n", "\"q\"\ndevice=\"r\"\n"));
    let steps = diff(&old, &moved);
    let [Step::RemovePort { name, .. }, Step::AddPort { port, .. }] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!((name.as_str(), port.name.as_str()), ("q", "q"));
}

#[test]
fn a_bridge_goes_after_its_ports() {
    let steps = diff(&parse(TWO_PORTS), &DesiredState::default());
    assert!(matches!(steps.last(), Some(Step::RemoveBridge { name }) if name == "b"), "{steps:?}");
    assert_eq!(steps.len(), 3);
}

#[test]
fn vlans_bonds_and_mirrors_are_read_and_their_mistakes_named() {
    let text = "[[bridge]]
name = \"br0\"
flood_vlans = [7]
mcast_snooping = true
[[bridge.port]]
name = \"p1\"
tag = 5
vlan_mode = \"native-untagged\"
trunks = [5, 6]
priority_tags = \"always\"
protected = true
ingress_policing_rate = 1000
storm_broadcast_rate = 50
[[bridge.port]]
name = \"p2\"
[[bridge.bond]]
name = \"b\"
members = [\"p1\", \"p2\"]
mode = \"balance-tcp\"
lacp = \"active\"
updelay = 200
[[bridge.mirror]]
name = \"m\"
select_src = [\"p1\"]
output_port = \"p2\"
snaplen = 64
";
    let state = parse_toml(text, "t").unwrap();
    let bridge = &state.bridges[0];
    let s = &bridge.ports[0].switching;
    assert_eq!((s.vlan_mode, &s.trunks[..], s.protected), (Some(VlanMode::NativeUntagged), &[5, 6][..], true));
    assert_eq!((bridge.ports[0].policing.rate_kbps, bridge.normal.mcast_snooping.is_some()), (1000, true));
    let policing = &bridge.ports[0].policing;
    assert_eq!((policing.flood_broadcast_pps, policing.flood_unicast_pps, policing.limits_floods()), (50, 0, true));
    let bond = &bridge.bonds[0];
    assert_eq!((bond.mode, bond.lacp, bond.updelay_ms, bond.rebalance_ms), (BondMode::BalanceTcp, Lacp::Active, 200, 10_000));
    assert_eq!((bridge.mirrors[0].output_port.as_deref(), bridge.mirrors[0].snaplen), (Some("p2"), Some(64)));
    let wrong = |from: &str, to: &str| parse_toml(&text.replace(from, to), "t").unwrap_err().to_string();
    assert!(wrong("native-untagged", "hybrid").contains("native-untagged"));
    assert!(wrong("members = [\"p1\", \"p2\"]", "members = [\"p1\"]").contains("two names"));
    assert!(wrong("output_port = \"p2\"", "").contains("output_vlan"));
    assert!(wrong("trunks = [5, 6]", "trunks = [5000]").contains("VLAN"));
}

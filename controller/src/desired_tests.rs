use super::*;
use crate::model::read::cloud;

fn state(text: &str, host: &str) -> DesiredState {
    desired_state(&cloud(text).unwrap(), host).unwrap()
}

const TWO_HOSTS: &str = r#"
networks: [{name: n, vni: 123}, {name: far, vni: 7}]
hosts: [{name: a, tunnel_ip: 192.0.2.1}, {name: b, tunnel_ip: 192.0.2.2}]
ports:
  - {name: p1, network: n, mac: 02:00:00:00:00:01, addresses: [10.0.0.1], host: a}
  - {name: p2, network: n, mac: 02:00:00:00:00:02, addresses: [10.0.0.2], host: b}
  - {name: p3, network: n, mac: 02:00:00:00:00:03, addresses: [10.0.0.3], host: b}
  - {name: p4, network: far, mac: 02:00:00:00:00:04, addresses: [10.0.0.4], host: b}
"#;

#[test]
fn a_node_has_the_networks_of_its_ports_and_knows_who_is_elsewhere() {
    let state = state(TWO_HOSTS, "a");
    assert_eq!(state.networks.len(), 1, "a network without a port here is not ours");
    let network = &state.networks[0];
    assert_eq!((network.vni, network.vlan), (123, 123));
    assert_eq!(network.peers[0].tunnel_ip, Ipv4Addr::new(192, 0, 2, 2));
    assert_eq!(network.peers[0].stations.len(), 2);
    assert_eq!(network.peers[0].stations[0].answers, vec![Ipv4Addr::new(10, 0, 0, 2)]);
}

#[test]
fn an_unknown_host_is_refused_with_the_known_ones() {
    let error = desired_state(&cloud(TWO_HOSTS).unwrap(), "c").unwrap_err();
    assert!(error.to_string().contains("(a, b)"), "{error}");
}

#[test]
fn an_address_that_several_ports_may_use_is_never_answered_for() {
    for pair in ["10.0.0.2", "10.0.0.0/24"] {
        let text = TWO_HOSTS.replace(
            "addresses: [10.0.0.3], host: b",
            &format!("addresses: [10.0.0.3], host: b, allowed_address_pairs: [{{address: {pair}}}]"),
        );
        let state = state(&text, "a");
        let stations = &state.networks[0].peers[0].stations;
        assert!(stations[0].answers.is_empty(), "{pair} is claimed twice");
        assert_eq!(stations[1].answers, vec![Ipv4Addr::new(10, 0, 0, 3)], "its own range does not hurt it");
    }
}

#[test]
fn a_hardware_address_of_several_ports_belongs_to_none() {
    let vrrp = "allowed_address_pairs: [{address: 10.0.0.9, mac: 00:00:5e:00:01:01}]";
    let text = TWO_HOSTS
        .replace("[10.0.0.1], host: a", &format!("[10.0.0.1], host: a, {vrrp}"))
        .replace("[10.0.0.2], host: b", &format!("[10.0.0.2], host: b, {vrrp}"));
    let network = &state(&text, "a").networks[0];
    let virtual_mac: Mac = "00:00:5e:00:01:01".parse().unwrap();
    assert!(!network.ports[0].macs.contains(&virtual_mac));
    assert!(network.peers[0].stations.iter().all(|s| s.mac != virtual_mac));
    assert_eq!(network.shared_macs[&virtual_mac], vec![0]);
}

#[test]
fn a_network_keeps_its_vlan_when_others_come() {
    let one = "networks: [{name: n, vni: 5000}]\nhosts: [{name: a, tunnel_ip: 192.0.2.1}]\n\
               ports: [{name: p, network: n, mac: 02:00:00:00:00:01, host: a}]\n";
    let two = one.replace("[{name: n, vni: 5000}]", "[{name: m, vni: 1}, {name: n, vni: 5000}]").replace(
        "ports: [",
        "ports: [{name: q, network: m, mac: 02:00:00:00:00:02, host: a}, ",
    );
    let vlan = |text: &str| state(text, "a").networks.iter().find(|n| n.name == "n").unwrap().vlan;
    assert_eq!(vlan(one), vlan(&two));
    let collide = two.replace("vni: 1}", "vni: 906}");
    let vlans: BTreeSet<u16> = state(&collide, "a").networks.iter().map(|n| n.vlan).collect();
    assert_eq!(vlans.len(), 2, "5000 and 906 want the same VLAN");
}

#[test]
fn a_network_too_many_is_named() {
    let mut text = "hosts: [{name: a, tunnel_ip: 192.0.2.1}]\nnetworks:\n".to_owned();
    (1..=4095).for_each(|n| text += &format!("  - {{name: n{n}, vni: {n}}}\n"));
    text += "ports:\n";
    for n in 1..=4095 {
        let mac = format!("02:00:00:00:{:02x}:{:02x}", n >> 8, n & 0xff);
        text += &format!("  - {{name: p{n}, network: n{n}, mac: {mac}, host: a}}\n");
    }
    let state = state(&text, "a");
    assert_eq!(state.networks.len(), 4094);
    assert_eq!(state.without_vlan, ["n4095"]);
}

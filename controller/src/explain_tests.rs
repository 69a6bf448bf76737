use super::*;
use crate::model::read::cloud;
use std::collections::BTreeMap;

const CLOUD: &str = r#"
networks: [{name: n, vni: 123}]
hosts: [{name: a, tunnel_ip: 192.0.2.1}, {name: b, tunnel_ip: 192.0.2.2}]
ports:
  - {name: p1, network: n, mac: 02:00:00:00:00:01, addresses: [10.0.0.1], host: a, security_groups: [g]}
  - {name: p2, network: n, mac: 02:00:00:00:00:02, addresses: [10.0.0.2], host: a, security_groups: [g]}
  - {name: p3, network: n, mac: 02:00:00:00:00:03, addresses: [10.0.0.3], host: b, security_groups: [g]}
security_groups:
  - {name: g, rules: [{direction: egress}, {direction: ingress, protocol: tcp, port_range: 80, remote_group: g}]}
"#;

fn ports(state: &DesiredState) -> SwitchPorts {
    let mut integration: PortNumbers = BTreeMap::from([("patch-tun".to_owned(), 1)]);
    for (i, port) in state.networks[0].ports.iter().enumerate() {
        integration.insert(port.name.clone(), 2 + i as u32);
    }
    let tunnel = ["patch-int", "vxlan-c0000201", "vxlan-c0000202"];
    SwitchPorts { integration, tunnel: tunnel.iter().zip(1..).map(|(n, i)| ((*n).to_owned(), i)).collect() }
}

fn told(from: &str, to: &str, tp_dst: u16) -> Vec<String> {
    path(&cloud(CLOUD).unwrap(), &Question { from, to, protocol: "tcp", tp_dst }, ports).unwrap()
}

#[test]
fn the_way_ends_where_the_rules_end_it() {
    for (from, to, tp_dst, verdict) in [
        ("p1", "p2", 80, "=> delivered to 'p2' on a, without leaving the host"),
        ("p1", "p2", 81, "=> dropped on a"),
        ("p1", "p3", 80, "=> delivered to 'p3' on b"),
        ("p1", "p3", 22, "=> dropped on b"),
    ] {
        let lines = told(from, to, tp_dst);
        assert_eq!(lines.last().unwrap(), verdict, "{lines:#?}");
    }
}

#[test]
fn every_table_on_the_way_is_told_with_the_reason() {
    let lines = told("p1", "p3", 22);
    let text = lines.join("\n");
    for part in [
        "a br-int table 71 the sender's addresses are its own  [priority 65, anti-spoofing]",
        "a br-tun table 20 the station is known",
        "underlay: VXLAN, VNI 123, from 192.0.2.1 to 192.0.2.2 (by vxlan-c0000202)",
        "b br-tun table 4  the VNI is that of a network here",
        "b br-int table 82 no security group of the receiver allows it",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn an_unknown_port_is_refused() {
    let question = Question { from: "x", to: "p1", protocol: "tcp", tp_dst: 1 };
    assert!(path(&cloud(CLOUD).unwrap(), &question, ports).unwrap_err().contains("no port 'x'"));
}

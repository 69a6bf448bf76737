use super::*;

const GOOD: &str = r#"
networks:
  - {name: blue, vni: 123, cidr: [10.0.0.0/24, "fd00::/64"], mtu: 1450}
hosts:
  - {name: h1, tunnel_ip: 192.0.2.1}
  - {name: h2, tunnel_ip: 192.0.2.2}
ports:
  - name: vm1
    network: blue
    mac: 52:54:00:00:00:01
    addresses: [10.0.0.1, "fd00::1"]
    host: h1
    security_groups: [web]
    allowed_address_pairs:
      - {address: 10.0.0.100, mac: 00:00:5e:00:01:01}
  - {name: vm2, network: blue, mac: 52:54:00:00:00:02, host: h2, ofport: 7, port_security: false}
security_groups:
  - name: web
    rules:
      - {direction: egress}
      - {direction: ingress, protocol: tcp, port_range: 80-88, remote_group: web}
      - {direction: ingress, ethertype: IPv6, protocol: icmp, icmp_type: 128}
      - {direction: ingress, protocol: 112, remote_ip_prefix: 10.0.0.0/8}
"#;

#[test]
fn a_whole_file_is_read() {
    let cloud = cloud(GOOD).unwrap();
    assert_eq!(cloud.networks[0].cidrs.len(), 2);
    assert_eq!(cloud.ports[0].place, Place::Device("vm1".into()));
    assert_eq!(cloud.ports[1].place, Place::Number(7));
    assert!(!cloud.ports[1].port_security);
    let rules = &cloud.security_groups[0].rules;
    assert_eq!(rules[1].service, Service::Ports { protocol: 6, low: 80, high: 88 });
    assert_eq!(rules[1].remote, Remote::Group("web".into()));
    assert_eq!(rules[2].service, Service::Icmp { kind: 128, code: None });
    assert_eq!(rules[3].service, Service::Protocol(112));
}

#[test]
fn an_empty_file_is_an_empty_cloud() {
    for text in ["", "# nothing\n", "networks:\nports: []\n"] {
        assert_eq!(cloud(text).unwrap(), Cloud::default());
    }
}

#[test]
fn a_mistake_names_its_line_and_what_was_expected() {
    for (from, to, line, part) in [
        ("vni: 123", "vni: 16777216", 3, "whole number from 1 to 16777215, found '16777216'"),
        ("vni: 123, ", "", 3, "a network needs 'vni:'"),
        ("mtu: 1450", "mtus: 1450", 3, "no 'mtus'; expected one of: name, vni, cidr, mtu"),
        ("tunnel_ip: 192.0.2.2", "tunnel_ip: 192.0.2.1", 6, "first on line 5"),
        ("network: blue\n", "network: red\n", 9, "name of a network of this file, found 'red'"),
        ("mac: 52:54:00:00:00:01", "mac: 52:54:00:00:01", 10, "Ethernet address such as"),
        ("mac: 52:54:00:00:00:01", "mac: 53:54:00:00:00:01", 10, "one station"),
        ("52:54:00:00:00:02", "52:54:00:00:00:01", 16, "given twice on network 'blue'"),
        ("10.0.0.1, ", "10.0.0.256, ", 11, "IPv4 or IPv6 address"),
        ("security_groups: [web]", "security_groups: web", 13, "a list"),
        ("ofport: 7", "ofport: 0", 16, "whole number from 1"),
        ("ofport: 7", "ofport: 7, device: x", 16, "found both"),
        ("port_range: 80-88", "port_range: 88-80", 21, "LOW not above HIGH"),
        ("protocol: tcp, ", "", 21, "port_range needs"),
        ("remote_group: web", "remote_group: db", 21, "security group of this file"),
        ("icmp_type: 128", "icmp_code: 1", 22, "icmp_code needs icmp_type"),
        ("remote_ip_prefix: 10.0.0.0/8", "remote_ip_prefix: \"fd00::/8\"", 23, "ethertype"),
        ("protocol: 112", "protocol: foo", 23, "tcp, udp, sctp"),
        ("direction: egress", "direction: out", 20, "ingress or egress, found 'out'"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        let mistake = cloud(&text).expect_err(to);
        assert_eq!(mistake.at.line, line, "{to}: {mistake}");
        assert!(mistake.what.contains(part), "{to}: {mistake}");
    }
}

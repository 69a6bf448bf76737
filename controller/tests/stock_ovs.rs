//! The controller against a stock Open vSwitch: what it wants is there, and nothing else changes.

mod support;

use sluice_controller::client::{Client, Target};
use sluice_controller::keeper::{Event, Keeper};
use sluice_controller::rules::cookie;
use sluice_controller::source;
use sluice_controller::walk::{put, walk, Fields};
use sluice_openflow::Field;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::StockOvs;

const CLOUD: &str = r#"
networks: [{name: blue, vni: 123}, {name: red, vni: 4217}]
hosts: [{name: a, tunnel_ip: 192.0.2.1}, {name: b, tunnel_ip: 192.0.2.2}, {name: c, tunnel_ip: 192.0.2.3}]
ports:
  - {name: vm1, network: blue, mac: 02:00:00:00:00:01, addresses: [10.0.0.1, "fd00::1"], host: a, security_groups: [web, db]}
  - {name: vm2, network: blue, mac: 02:00:00:00:00:02, addresses: [10.0.0.2], host: a, security_groups: [db],
     allowed_address_pairs: [{address: 10.0.0.128/25}, {address: 10.0.0.9, mac: 00:00:5e:00:01:01}, {address: "fd00:1::/64"}]}
  - {name: vm3, network: red, mac: 02:00:00:00:00:03, addresses: [10.0.0.3], host: a, port_security: false}
  - {name: vm4, network: blue, mac: 02:00:00:00:00:04, addresses: [10.0.0.4, "fd00::4"], host: b, security_groups: [web]}
  - {name: vm5, network: blue, mac: 02:00:00:00:00:05, addresses: [10.0.0.5], host: c,
     allowed_address_pairs: [{address: 10.0.0.9, mac: 00:00:5e:00:01:01}]}
  - {name: vm6, network: red, mac: 02:00:00:00:00:06, addresses: [10.0.0.3], host: c}
security_groups:
  - name: web
    rules:
      - {direction: egress}
      - {direction: egress, ethertype: IPv6, remote_ip_prefix: "2001:db8::/32"}
      - {direction: ingress, protocol: tcp, port_range: 80-8099}
      - {direction: ingress, protocol: udp, port_range: 53, remote_group: db}
      - {direction: ingress, protocol: sctp, port_range: 1-65534}
      - {direction: ingress, ethertype: IPv6, protocol: icmp, icmp_type: 128, icmp_code: 0}
  - name: db
    rules:
      - {direction: ingress, remote_group: web}
      - {direction: ingress, protocol: icmp, icmp_type: 8, remote_ip_prefix: 10.0.0.0/8}
      - {direction: ingress, ethertype: IPv6, remote_group: web}
      - {direction: egress, protocol: 112, remote_group: db}
      - {direction: egress, protocol: tcp, port_range: 5432, remote_group: db}
"#;

/// A file in the switch's own directory.
struct File(PathBuf);

impl File {
    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }
}

fn ports(ovs: &StockOvs) {
    for name in ["vm1", "vm2", "vm3"] {
        ovs.add_port("br-int", name, &["type=internal"]);
    }
    for (name, remote) in [("vxlan-c0000202", "192.0.2.2"), ("vxlan-c0000203", "192.0.2.3")] {
        let remote = format!("options:remote_ip={remote}");
        ovs.add_port("br-tun", name, &["type=vxlan", "options:key=flow", &remote, "options:local_ip=192.0.2.1"]);
    }
}

fn keeper(ovs: &StockOvs, file: &Path) -> Keeper {
    let source = source::open(&format!("file:{}", file.display())).unwrap();
    let target = |bridge: &str| Target::Unix(ovs.rundir.join(format!("{bridge}.mgmt")));
    Keeper::new("a", source, target("br-int"), target("br-tun"))
}

/// What was changed in a step.
fn changed(events: &[Event]) -> Vec<String> {
    let changed = events.iter().filter_map(|e| match e {
        Event::Changed(what) => Some(what.clone()),
        Event::Trouble(what) => panic!("{what}"),
        Event::Observed(_) => None,
    });
    changed.collect()
}

fn both(ovs: &StockOvs) -> [Vec<String>; 2] {
    ["br-int", "br-tun"].map(|bridge| ovs.rules(bridge))
}

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn rules_are_made_kept_and_changed_by_the_smallest_change() {
    let Some(ovs) = StockOvs::start("keep") else { return };
    ports(&ovs);
    let file = File(ovs.rundir.join("cloud.yaml"));
    file.write(CLOUD);
    let mut one = keeper(&ovs, &file.0);
    assert_eq!(changed(&one.step(second(0))).len(), 2, "both bridges get rules");
    assert!(one.is_settled());
    let made = both(&ovs);
    assert!(made[0].len() > 100 && made[1].len() > 20, "{} and {}", made[0].len(), made[1].len());

    // Another run finds all as it wants it; so does this one when it looks again.
    assert!(changed(&keeper(&ovs, &file.0).step(second(0))).is_empty(), "a second run sends nothing");
    assert!(changed(&one.step(second(100))).is_empty(), "an audit sends nothing");

    // Somebody removes one rule, changes another, adds one of his own.
    ovs.ofctl("add-flow", "br-int", &["table=60,priority=7,in_port=77,actions=drop"]);
    ovs.ofctl("del-flows", "br-int", &["--strict", "table=93,priority=0"]);
    ovs.ofctl("mod-flows", "br-tun", &["--strict", "table=22,priority=0,actions=output:1"]);
    let repaired = changed(&one.step(second(200)));
    assert_eq!(
        repaired,
        ["br-int: 1 added, 0 modified, 0 deleted", "br-tun: 0 added, 1 modified, 0 deleted"]
    );
    let [mut integration, tunnel] = both(&ovs);
    let foreign = integration.iter().position(|l| l.contains("in_port=77")).expect("his rule stays");
    integration.remove(foreign);
    assert_eq!([integration, tunnel], made);

    // One station more on another host: its unicast rule and its answer.
    file.write(&CLOUD.replace(
        "security_groups:\n  - name: web",
        "  - {name: vm7, network: blue, mac: 02:00:00:00:00:07, addresses: [10.0.0.7], host: b}\n\
         security_groups:\n  - name: web",
    ));
    assert_eq!(changed(&one.step(second(300))), ["br-tun: 2 added, 0 modified, 0 deleted"]);
    // And back.
    file.write(CLOUD);
    assert_eq!(changed(&one.step(second(400))), ["br-tun: 0 added, 0 modified, 2 deleted"]);
    assert_eq!(both(&ovs)[1], made[1]);
}

#[test]
fn a_mistake_in_the_file_changes_nothing_and_a_late_port_is_served() {
    let Some(ovs) = StockOvs::start("late") else { return };
    let file = File(ovs.rundir.join("cloud.yaml"));
    file.write(CLOUD);
    let mut keeper = keeper(&ovs, &file.0);
    let events = keeper.step(second(0));
    let missing = events.iter().filter(|e| matches!(e, Event::Trouble(_))).count();
    assert_eq!(missing, 5, "three ports and two tunnels: {events:?}");
    ports(&ovs);
    assert_eq!(changed(&keeper.step(second(10))).len(), 2);
    let made = both(&ovs);
    file.write(&CLOUD.replace("vni: 123", "vni: many"));
    let events = keeper.step(second(20));
    let [Event::Trouble(what)] = &events[..] else { panic!("{events:?}") };
    assert!(what.contains("cloud.yaml:2:") && what.contains("found 'many'"), "{what}");
    assert_eq!(both(&ovs), made);
}

#[test]
fn a_switch_without_bundles_is_driven_in_batches() {
    let Some(ovs) = StockOvs::start("of13") else { return };
    ports(&ovs);
    let file = File(ovs.rundir.join("cloud.yaml"));
    file.write(CLOUD);
    changed(&keeper(&ovs, &file.0).step(second(0)));
    let with_bundles = both(&ovs);
    for bridge in ["br-int", "br-tun"] {
        ovs.ofctl("del-flows", bridge, &[]);
        ovs.set(&["bridge", bridge, "protocols=OpenFlow13"]);
    }
    assert_eq!(changed(&keeper(&ovs, &file.0).step(second(0))).len(), 2);
    assert!(changed(&keeper(&ovs, &file.0).step(second(0))).is_empty());
    for bridge in ["br-int", "br-tun"] {
        ovs.set(&["bridge", bridge, "protocols=OpenFlow13,OpenFlow14"]);
    }
    assert_eq!(both(&ovs), with_bundles);
}

/// A packet as `ofproto/trace` reads it and as the rules see it.
fn packet(n: usize, in_port: u32, tagged: bool, from: u8, to: u8) -> (String, Fields) {
    const PROTOCOLS: [(&str, u8); 5] = [("tcp", 6), ("udp", 17), ("icmp", 1), ("ip,nw_proto=112", 112), ("sctp", 132)];
    const PORTS: [u16; 8] = [53, 79, 80, 5432, 8099, 8100, 8, 0];
    let (name, protocol) = PROTOCOLS[n % PROTOCOLS.len()];
    let tp_dst = PORTS[n / PROTOCOLS.len() % PORTS.len()];
    let (tp_src, tp_dst) = if protocol == 1 { (tp_dst & 0xff, 0) } else { (1000, tp_dst) };
    let tp = match protocol {
        1 => format!(",icmp_type={tp_src},icmp_code=0"),
        112 => String::new(),
        _ => format!(",{name}_src={tp_src},{name}_dst={tp_dst}"),
    };
    let tag = if tagged { ",dl_vlan=123" } else { "" };
    let text = format!(
        "in_port={in_port}{tag},{name},dl_src=02:00:00:00:00:{from:02x},dl_dst=02:00:00:00:00:{to:02x},\
         nw_src=10.0.0.{from},nw_dst=10.0.0.{to},nw_ttl=64{tp}"
    );
    let mut fields = Fields::ANY;
    let mac = |n: u8| 0x0200_0000_0000 | u128::from(n);
    let ip = |n: u8| 0x0a00_0000 | u128::from(n);
    put(&mut fields, Field::IN_PORT_OXM, in_port.into());
    put(&mut fields, Field::ETH_SRC, mac(from));
    put(&mut fields, Field::ETH_DST, mac(to));
    put(&mut fields, Field::VLAN_TCI, if tagged { 0x1000 | 123 } else { 0 });
    put(&mut fields, Field::ETH_TYPE, 0x0800);
    put(&mut fields, Field::IP_SRC, ip(from));
    put(&mut fields, Field::IP_DST, ip(to));
    put(&mut fields, Field::NW_PROTO, protocol.into());
    if protocol != 112 {
        put(&mut fields, Field::TCP_SRC, tp_src.into());
        put(&mut fields, Field::TCP_DST, tp_dst.into());
    }
    (text, fields)
}

#[test]
fn the_switch_reads_the_rules_as_the_explanation_does() {
    let Some(ovs) = StockOvs::start("trace") else { return };
    ports(&ovs);
    let file = File(ovs.rundir.join("cloud.yaml"));
    file.write(CLOUD);
    changed(&keeper(&ovs, &file.0).step(second(0)));
    let mut client = Client::connect(&Target::Unix(ovs.rundir.join("br-int.mgmt"))).unwrap();
    let rules = client.rules(cookie::OWNER, cookie::OWNER_MASK).unwrap();
    let numbers = client.ports().unwrap();
    let datapath = ovs.datapath_ports();
    let (mut delivered, mut refused) = (0, 0);
    for n in 0..240 {
        // From another host to vm1 or vm2, or between these.
        let (from, to) = [(4, 1), (4, 2), (5, 1), (5, 2), (1, 2), (2, 1)][n % 6];
        let sender = ["vm1", "vm2"].get(from as usize - 1).filter(|_| from <= 2).unwrap_or(&"patch-tun");
        let (text, fields) = packet(n / 6, numbers[*sender], *sender == "patch-tun", from, to);
        let ours: Vec<String> = walk(&rules, fields)
            .outputs
            .iter()
            .map(|(port, _)| numbers.iter().find(|(_, number)| *number == port).expect("a port").0.clone())
            .collect();
        let trace = ovs.appctl(&["ofproto/trace", "br-int", &text]);
        let actions = trace.lines().find_map(|l| l.strip_prefix("Datapath actions: ")).expect("a verdict");
        let theirs: Vec<String> = actions
            .split(',')
            .filter_map(|a| datapath.iter().find(|(_, number)| *number == a).map(|(name, _)| name.clone()))
            .collect();
        assert_eq!(ours, theirs, "{text}\n{trace}");
        *if ours.is_empty() { &mut refused } else { &mut delivered } += 1;
    }
    assert!(delivered > 40 && refused > 40, "{delivered} delivered, {refused} refused: a one-sided test");
}

#[test]
fn a_bundle_that_is_refused_changes_nothing_and_names_the_rule() {
    use sluice_controller::reconcile::Change;
    use sluice_controller::rules::build::{any, goto, output};
    use cookie::Purpose;
    use sluice_controller::rules::RuleSet;
    let Some(ovs) = StockOvs::start("refuse") else { return };
    let target = Target::Unix(ovs.rundir.join("br-int.mgmt"));
    let mut client = Client::connect(&target).unwrap();
    let mut rules = RuleSet::default();
    rules.add(1, 5, any(), vec![output(7)], Purpose::Base);
    // A step back is not allowed.
    rules.add(9, 5, any(), vec![goto(3)], Purpose::Base);
    let changes: Vec<Change> = rules.iter().cloned().map(Change::Add).collect();
    let before = ovs.rules("br-int");
    let error = client.apply(&changes).unwrap_err().to_string();
    assert!(error.contains("refused add") && error.contains("goto_table:3"), "{error}");
    assert_eq!(ovs.rules("br-int"), before);
}

#[test]
fn a_switch_that_is_away_is_waited_for() {
    let directory = std::env::temp_dir().join(format!("sluice-away-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("cloud.yaml");
    std::fs::write(&file, CLOUD).unwrap();
    let source = source::open(&format!("file:{}", file.display())).unwrap();
    let target = |bridge: &str| Target::Unix(directory.join(bridge));
    let mut keeper = Keeper::new("a", source, target("br-int"), target("br-tun"));
    let told = |events: &[Event]| events.iter().filter(|e| matches!(e, Event::Trouble(_))).count();
    assert_eq!(told(&keeper.step(second(0))), 2, "each bridge is named");
    assert_eq!(told(&keeper.step(second(60))), 0, "the same trouble is told once");
    assert!(!keeper.is_settled());
    std::fs::remove_dir_all(&directory).unwrap();
}
